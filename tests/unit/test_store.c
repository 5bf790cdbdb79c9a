/* store: references, import, find, remove; damage is named; nothing half-written stays. */
#include "unit.h"

#include "store/store.h"

#include <sys/mman.h>

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <unistd.h>

static char home[64];
static struct store *s;
static const struct store_facts facts = {.file = "tiny.gguf", .architecture = "llama", .quantization = "Q4_0", .n_params = 1000};

static int unlink_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static int setup(void **state) {
    (void)state;
    snprintf(home, sizeof home, "/tmp/moat-store-XXXXXX");
    return mkdtemp(home) && store_open(home, STORE_CREATE, &s, NULL) == 0 ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    store_close(s);
    return nftw(home, unlink_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* A descriptor of a file that holds text. */
static int file_with(const char *text) {
    int fd = memfd_create("weights", 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    return fd;
}

static struct store_entry import(const char *text, const char *ref) {
    struct store_entry entry;
    struct err e = {0};
    int fd = file_with(text);
    if (store_import(s, fd, &facts, ref, &entry, &e) < 0)
        fail_msg("%s: %s", e.where, e.msg);
    close(fd);
    return entry;
}

static size_t n_blobs(void) {
    char path[100];
    size_t n = 0;
    snprintf(path, sizeof path, "%s/blobs/sha256", home);
    DIR *dir = opendir(path);
    for (struct dirent *d; (d = readdir(dir));)
        n += d->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void references(void **state) {
    (void)state;
    char ref[STORE_REF_MAX + 1];
    static const char *const good[] = {"a", "smollm2:135m-instruct-q4_1", "team/model:v1", "a.b-c_d/e:V.1_x"};
    static const char *const bad[] = {"",   ":",  "a:",   ":x",  "A",   "a//b", "../a",   "a..b",
                                      "-a", "a/", "a:.x", "a b", "a\n", "é",    "a:b:c d"};
    for (size_t i = 0; i < N_ITEMS(good); i++)
        assert_int_equal(store_ref_parse(good[i], ref, NULL), 0);
    for (size_t i = 0; i < N_ITEMS(bad); i++)
        assert_int_equal(store_ref_parse(bad[i], ref, NULL), ERR_USAGE);
    assert_int_equal(store_ref_parse("a", ref, NULL), 0);
    assert_string_equal(ref, "a:latest");
}

static void import_find_remove(void **state) {
    (void)state;
    struct store_entry one = import("weights one", "m:v1"), again = import("weights one", "m:v1b"),
                       two = import("weights two", "m:v2"), found;
    assert_memory_equal(&one.release, &again.release, sizeof one.release); /* same content, same name */
    assert_memory_not_equal(&one.release, &two.release, sizeof one.release);
    struct err e = {0};
    assert_int_equal(store_find(s, "m", &found, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "m:v2"));
    assert_int_equal(store_find(s, "m:v1", &found, NULL), 0);
    assert_string_equal(found.file, "tiny.gguf");
    char by_digest[120], hex[65];
    digest_hex(&two.release, hex);
    snprintf(by_digest, sizeof by_digest, "m@sha256:%s", hex);
    assert_int_equal(store_find(s, by_digest, &found, NULL), 0);
    assert_string_equal(found.ref, "m:v2");
    int fd = store_blob(s, &found.weights, found.weights_bytes, NULL);
    char text[32] = {0};
    assert_int_equal(read(fd, text, sizeof text), 11);
    assert_string_equal(text, "weights two");
    close(fd);

    uint64_t freed;
    size_t before = n_blobs();
    assert_int_equal(store_remove(s, "m:v1", &freed, NULL), 0);
    assert_int_equal(freed, 0); /* v1b needs it all */
    assert_int_equal(store_remove(s, "m:v1b", &freed, NULL), 0);
    assert_true(freed > 11);
    assert_int_equal(n_blobs(), before - 3); /* weights, config, manifest; the release layer is shared */
    assert_int_equal(store_remove(s, "m:v1", &freed, NULL), ERR_INPUT);
    assert_int_equal(store_find(s, "m", &found, NULL), 0); /* only one tag is left */
    assert_int_equal(store_remove(s, "m", &freed, NULL), 0);
    assert_int_equal(n_blobs(), 0);
}

static void a_moved_tag_keeps_the_old_digest_until_gc(void **state) {
    (void)state;
    import("first", "m:prod");
    struct store_entry second = import("second", "m:prod"), found, *list;
    size_t n;
    assert_int_equal(store_list(s, &list, &n, NULL), 0);
    assert_int_equal(n, 1);
    free(list);
    assert_int_equal(store_find(s, "m:prod", &found, NULL), 0);
    assert_memory_equal(&found.release, &second.release, sizeof found.release);
}

static void overwrite(const char *name, const char *text) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", home, name);
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void damage_is_named(void **state) {
    (void)state;
    struct store_entry entry = import("weights", "m:v1"), found;
    struct err e = {0};
    char hex[65], name[100];
    digest_hex(&entry.weights, hex);
    snprintf(name, sizeof name, "blobs/sha256/%s", hex);
    overwrite(name, "short");
    assert_int_equal(store_blob(s, &entry.weights, entry.weights_bytes, &e), ERR_INPUT);
    assert_string_equal(e.where, hex);
    digest_hex(&entry.release, hex);
    snprintf(name, sizeof name, "blobs/sha256/%s", hex);
    overwrite(name, "{}");
    struct err m = {0};
    assert_int_equal(store_find(s, "m:v1", &found, &m), ERR_INPUT);
    assert_non_null(strstr(m.msg, "damaged"));
    overwrite("index.json", "{\"manifests\": [{\"digest\": \"sha256:../../etc\", \"size\": 3, \"annotations\": "
                            "{\"org.opencontainers.image.ref.name\": \"m:v1\"}}]}");
    struct err i = {0};
    assert_int_equal(store_find(s, "m:v1", &found, &i), ERR_INPUT);
    assert_non_null(strstr(i.where, "index.json"));
}

static void nothing_half_written(void **state) {
    (void)state;
    struct store_entry entry;
    int dir = open("/tmp", O_RDONLY | O_DIRECTORY); /* reading a folder fails after the temporary file was made */
    assert_true(store_import(s, dir, &facts, "m:v1", &entry, NULL) < 0);
    close(dir);
    assert_int_equal(n_blobs(), 0);
    char path[120];
    snprintf(path, sizeof path, "%s/blobs/sha256/tmp-0123", home); /* as a killed import leaves it */
    close(open(path, O_CREAT | O_WRONLY, 0600));
    import("weights", "m:v1");
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(n_blobs(), 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references),
        cmocka_unit_test_setup_teardown(import_find_remove, setup, teardown),
        cmocka_unit_test_setup_teardown(a_moved_tag_keeps_the_old_digest_until_gc, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_half_written, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
