/* packed weights as a file: what is read is what would be packed; whatever is damaged, cut, or of something else is made anew; a
 * file that cannot be written is no error. Beside it: the bytes that KERN_PACKED_VERSION names. */
#include "unit.h"

#include "store/store.h"
#include "tiny_model.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VALUES = 4096 };

struct fixture {
    struct tiny_model tiny;
    struct buf made; /* its packed weights as they should be */
    struct digest source, weights;
    int fd;
    float logits[VALUES];
};

static void content_of(int fd, struct buf *out) {
    struct stat is;
    assert_int_equal(fstat(fd, &is), 0);
    out->n = 0;
    void *room = buf_room(out, (size_t)is.st_size + 1);
    assert_int_equal(fs_read_at(fd, room, (size_t)is.st_size, 0), 0);
    out->n = (size_t)is.st_size;
}

static void put_content(int fd, const void *p, size_t n) {
    assert_int_equal(fs_truncate(fd, 0, "", NULL), 0);
    assert_int_equal(fs_write_at(fd, p, n, 0, "", NULL), 0);
}

/* Opens the model with the packed file and computes a few logits. */
static void compute(struct fixture *f, int fd, const struct digest *source, float *logits) {
    struct err e = {0};
    const struct packed_file packed = {.fd = fd, .source = *source, .weights = &f->weights};
    f->tiny.opts.packed = &packed;
    struct model *m = NULL;
    struct kv *kv = NULL;
    struct row rows[8];
    uint16_t faults[8] = {0};
    assert_int_equal(model_open(f->tiny.gguf, &f->tiny.opts, &m, &e), 0);
    assert_int_equal(kv_new(m, 2, 1, &kv, &e), 0);
    assert_true(kv_reserve(kv, 0, 8) && model_info(m)->n_vocab <= VALUES);
    for (uint32_t i = 0; i < 8; i++)
        rows[i] = (struct row){.pos = i, .token = 10 + i, .want_logits = i == 7};
    memset(logits, 0, VALUES * sizeof *logits);
    model_forward(m, kv, rows, 8, logits, faults);
    kv_free(kv);
    model_close(m);
}

/* The answer is the same, and the file is what it should be. */
static void check(struct fixture *f) {
    float logits[VALUES];
    struct buf now = {0};
    compute(f, f->fd, &f->source, logits);
    assert_memory_equal(logits, f->logits, sizeof logits);
    content_of(f->fd, &now);
    assert_int_equal(now.n, f->made.n);
    assert_memory_equal(now.p, f->made.p, now.n);
    buf_free(&now);
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    log_level = LOG_ERROR;
    tiny_open(&f->tiny, "tiny-window", 2, 8);
    f->tiny.opts.ctx = 64;
    f->source = sha256_of(STR("this model"));
    f->weights = sha256_of(buf_as_str(&f->tiny.file));
    f->fd = memfd_create("packed", MFD_CLOEXEC);
    compute(f, -1, &f->source, f->logits);
    float logits[VALUES];
    compute(f, f->fd, &f->source, logits);
    assert_memory_equal(logits, f->logits, sizeof logits);
    content_of(f->fd, &f->made);
    assert_true(f->made.n > 8192);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    close(f->fd);
    tiny_close(&f->tiny);
    buf_free(&f->made);
    free(f);
    return 0;
}

static void is_read_again(void **state) {
    struct fixture *f = *state;
    struct digest weights;
    check(f);
    assert_true(packed_file_weights(f->fd, &f->source, &weights));
    assert_memory_equal(&weights, &f->weights, sizeof weights);
    assert_false(packed_file_weights(f->fd, &f->weights, &weights));
    assert_false(packed_file_weights(-1, &f->source, &weights));
}

/* Each byte of the head, some of the table, and many of the data. */
static void damage_is_mended(void **state) {
    struct fixture *f = *state;
    size_t step = 1;
    for (size_t at = 0; at < f->made.n; at += step) {
        uint8_t wrong = (uint8_t)f->made.p[at] ^ (uint8_t)(1u << at % 8);
        assert_int_equal(fs_write_at(f->fd, &wrong, 1, at, "", NULL), 0);
        bool means_nothing = (at >= 184 && at < 4096); /* between head and table */
        if (means_nothing)
            put_content(f->fd, f->made.p, f->made.n);
        check(f);
        step = at < 184 ? 1 : at < 4096 + 32 ? 977 : 4093;
    }
}

static void any_length_is_mended(void **state) {
    struct fixture *f = *state;
    for (size_t n = 0; n < f->made.n; n = n < 8192 ? n + 1021 : n + 16381) {
        put_content(f->fd, f->made.p, n);
        check(f);
    }
}

static void another_source_is_made_anew(void **state) {
    struct fixture *f = *state;
    float logits[VALUES];
    struct buf now = {0};
    struct digest other = sha256_of(STR("another model"));
    compute(f, f->fd, &other, logits);
    assert_memory_equal(logits, f->logits, sizeof logits);
    content_of(f->fd, &now);
    assert_memory_not_equal(now.p, f->made.p, now.n);
    buf_free(&now);
    check(f);
}

/* A descriptor for reading alone: the model opens, the file stays as it is. */
static void what_cannot_be_written_stays(void **state) {
    struct fixture *f = *state;
    float logits[VALUES];
    char path[64];
    struct buf now = {0};
    put_content(f->fd, f->made.p, f->made.n / 2);
    snprintf(path, sizeof path, "/proc/self/fd/%d", f->fd);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    compute(f, fd, &f->source, logits);
    assert_memory_equal(logits, f->logits, sizeof logits);
    content_of(fd, &now);
    assert_int_equal(now.n, f->made.n / 2);
    close(fd);
    buf_free(&now);
}

/* A disk that is full in the middle: nothing stays behind. */
static void a_full_disk_is_no_error(void **state) {
    struct fixture *f = *state;
    float logits[VALUES];
    struct stat is;
    int fd = memfd_create("full", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(fs_truncate(fd, 0, "", NULL), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
    compute(f, fd, &f->source, logits);
    assert_memory_equal(logits, f->logits, sizeof logits);
    assert_int_equal(fstat(fd, &is), 0);
    assert_int_equal(is.st_size, 0);
    close(fd);
}

/* ---- the packer's bytes ------------------------------------------------------------------------------------------------- */

/* Every format, packed from bytes that are no infinity anywhere. When this digest changes, kept files are of another layout:
 * raise KERN_PACKED_VERSION in the same change. */
static void the_packers_bytes_have_a_version(void **state) {
    static const char expected[] = "19f2dbd6a2a264cc67b8bd4e1c337de5bc44dad42b93f450cb5f4bce0390098a";
    struct sha256 *h = sha256_new();
    struct err e = {0};
    (void)state;
    for (uint32_t type = 0; type < 64; type++) {
        const struct dtype_info *info = dtype_info(type);
        if (!info || !kern_supports(type))
            continue;
        uint64_t row_bytes = dtype_bytes(type, 512), bytes = kern_packed_bytes(type, 33, 512);
        uint8_t *rows = malloc(33 * row_bytes), *out = aligned_alloc(KERN_ALIGN, (bytes + 63) / 64 * 64);
        for (uint64_t i = 0; i < 33 * row_bytes; i++)
            rows[i] = (uint8_t)(i * 2654435761u >> 13) & 0x3b;
        assert_int_equal(kern_pack(type, 33, 512, rows, out, &e), 0);
        sha256_add(h, out, bytes);
        free(rows);
        free(out);
    }
    char hex[65];
    struct digest d = sha256_end(h);
    digest_hex(&d, hex);
    assert_int_equal(KERN_PACKED_VERSION, 1);
    assert_string_equal(hex, expected);
}

/* ---- where the store keeps them ------------------------------------------------------------------------------------------ */

static void the_store_keeps_a_few_of_files(void **state) {
    char home[] = "/tmp/moat-test-XXXXXX", path[128], command[160];
    struct stat is;
    (void)state;
    assert_non_null(mkdtemp(home));
    struct digest d = {{0}};
    for (unsigned i = 0; i < STORE_PACKED_FILES_MAX + 3; i++) {
        d.bytes[0] = (uint8_t)i;
        int fd = store_packed(home, &d, 1, true), again = store_packed(home, &d, 1, true);
        assert_true(fd >= 0 && again >= 0);
        const struct timespec used[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};
        assert_int_equal(futimens(fd, used), 0);
        close(fd);
        close(again);
    }
    snprintf(command, sizeof command, "ls %s/packed | wc -l", home);
    FILE *list = popen(command, "r");
    unsigned n = 0;
    assert_true(list && fscanf(list, "%u", &n) == 1);
    pclose(list);
    assert_int_equal(n, STORE_PACKED_FILES_MAX);
    snprintf(path, sizeof path, "%s/packed/file-%02x%062d.v1", home, 2, 0);
    assert_int_equal(stat(path, &is), -1); /* the ones used longest ago went */
    snprintf(path, sizeof path, "%s/packed/file-%02x%062d.v1", home, 3, 0);
    assert_int_equal(stat(path, &is), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    d.bytes[0] = 3;
    assert_int_equal(store_packed(home, &d, 1, true), -1); /* no regular file */
    assert_int_equal(store_packed("/proc/self/no", &d, 1, true), -1);
    snprintf(command, sizeof command, "rm -r %s", home);
    assert_int_equal(system(command), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(is_read_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_is_mended, set_up, tear_down),
        cmocka_unit_test_setup_teardown(any_length_is_mended, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_source_is_made_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_written_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_disk_is_no_error, set_up, tear_down),
        cmocka_unit_test(the_packers_bytes_have_a_version),
        cmocka_unit_test(the_store_keeps_a_few_of_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
