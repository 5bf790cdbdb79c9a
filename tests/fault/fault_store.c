/* The n-th call that the store's state depends on fails, for every n: the store stays whole, and the same work done again succeeds.
 *
 * The calls are the linker's --wrap of openat, write, fsync and renameat (see the Makefile): everything else is the real program. */
#include "../unit/unit.h"

#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <sys/mman.h>
#include <unistd.h>

static int countdown; /* > 0: the call that takes it to 0 fails; 0: none does */
static int reason;
static bool disk_full; /* until packed weights are removed */

static bool fails(void) {
    if (countdown == 0 || --countdown > 0)
        return false;
    errno = reason;
    return true;
}

int __real_openat(int dir, const char *path, int flags, int mode);
ssize_t __real_write(int fd, const void *p, size_t n);
int __real_fsync(int fd);
int __real_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_openat(int dir, const char *path, int flags, int mode);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __wrap_fsync(int fd);
int __real_unlinkat(int dir, const char *path, int flags);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_unlinkat(int dir, const char *path, int flags);

int __wrap_openat(int dir, const char *path, int flags, int mode) {
    return fails() ? -1 : __real_openat(dir, path, flags, mode);
}
ssize_t __wrap_write(int fd, const void *p, size_t n) {
    if (disk_full || fails()) { /* a full disk takes some bytes first */
        if (n > 1 && __real_write(fd, p, n / 2) < 0)
            abort();
        errno = reason;
        return -1;
    }
    return __real_write(fd, p, n);
}
int __wrap_fsync(int fd) {
    return fails() ? -1 : __real_fsync(fd);
}
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to) {
    return fails() ? -1 : __real_renameat(from_dir, from, to_dir, to);
}

int __wrap_unlinkat(int dir, const char *path, int flags) {
    disk_full = disk_full && strncmp(path, "sha256-", 7) != 0;
    return __real_unlinkat(dir, path, flags);
}

static int unlink_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static const struct store_facts facts = {.file = "tiny.gguf", .architecture = "llama", .quantization = "Q4_0", .n_params = 1000};

static int import(struct store *s, const char *text, const char *ref, struct err *e) {
    struct store_entry entry;
    int fd = memfd_create("weights", 0);
    assert_int_equal(__real_write(fd, text, strlen(text)), strlen(text));
    int r = store_import(s, fd, &facts, ref, &entry, e);
    close(fd);
    return r;
}

/* Every entry of the store can be read, and nothing but blobs with the names of their bytes is there. */
static void assert_whole(struct store *s, const char *home, size_t n_expected) {
    struct store_entry *list;
    size_t n;
    struct err e = {0};
    if (store_list(s, &list, &n, &e) < 0)
        fail_msg("%s: %s", e.where, e.msg);
    assert_int_equal(n, n_expected);
    for (size_t i = 0; i < n; i++) {
        int fd = store_blob(s, &list[i].weights, list[i].weights_bytes, NULL);
        assert_true(fd >= 0);
        close(fd);
    }
    free(list);
    char path[100];
    snprintf(path, sizeof path, "%s/blobs/sha256", home);
    DIR *dir = opendir(path);
    for (struct dirent *d; (d = readdir(dir));) {
        struct digest digest, is;
        if (d->d_name[0] == '.')
            continue;
        assert_true(digest_parse(str_of(d->d_name), &digest));
        char blob[400];
        struct buf b = {0};
        snprintf(blob, sizeof blob, "%s/%s", path, d->d_name);
        assert_int_equal(fs_read(-100, blob, &b, NULL), 0);
        is = sha256_of(buf_as_str(&b));
        assert_memory_equal(&is, &digest, sizeof is);
        buf_free(&b);
    }
    closedir(dir);
}

static void every_call_fails_once(void **state) {
    (void)state;
    static const int reasons[] = {ENOSPC, EIO, EDQUOT};
    for (size_t k = 0; k < N_ITEMS(reasons); k++) {
        char home[] = "/tmp/moat-fault-XXXXXX";
        struct store *s;
        assert_non_null(mkdtemp(home));
        assert_int_equal(store_open(home, STORE_CREATE, &s, NULL), 0);
        assert_int_equal(import(s, "first", "m:v1", NULL), 0);
        reason = reasons[k];
        int n = 1;
        for (bool failed = true; failed; n++) {
            struct err e = {0};
            countdown = n;
            int r = import(s, "second", "m:v2", &e);
            failed = countdown == 0; /* else the work ended before its n-th call */
            countdown = 0;
            assert_true(r == 0 || (failed && r == ERR_ENV)); /* tidying up may fail without harm */
            if (r < 0)
                assert_true(e.msg[0] && strstr(e.msg, strerror(reason)));
            /* The last step may have put the new index in place before its folder could be synced: both states are whole. */
            struct store_entry entry;
            bool there = store_find(s, "m:v2", &entry, NULL) == 0;
            assert_true(there || r < 0);
            assert_whole(s, home, 1 + there);
            uint64_t freed;
            if (failed && there)
                assert_int_equal(store_remove(s, "m:v2", &freed, NULL), 0);
        }
        assert_true(n > 15); /* there was something to fail */
        store_close(s);
        assert_int_equal(nftw(home, unlink_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    }
}

/* Whoever removes a model because the disk is full: its packed weights make room for the new index. */
static void a_full_disk_lets_go_of_a_model(void **state) {
    (void)state;
    char home[] = "/tmp/moat-fault-XXXXXX";
    struct store *s;
    struct store_entry entry;
    uint64_t freed;
    struct err e = {0};
    assert_non_null(mkdtemp(home));
    assert_int_equal(store_open(home, STORE_CREATE, &s, NULL), 0);
    assert_int_equal(import(s, "weights", "m:v1", NULL), 0);
    for (int packed = 0; packed <= 1; packed++) {
        int fd = packed ? store_packed(home, &(struct digest){{1}}, 1, false) : -1;
        if (packed)
            assert_true(fd >= 0 && __real_write(fd, "packed", 6) == 6 && close(fd) == 0);
        assert_int_equal(store_find(s, "m:v1", &entry, NULL), 0);
        disk_full = true;
        reason = ENOSPC;
        int r = store_remove(s, "m:v1", &freed, &e);
        disk_full = false;
        assert_int_equal(r, packed ? 0 : ERR_ENV);
        assert_whole(s, home, !packed);
    }
    assert_true(freed > 6);
    store_close(s);
    assert_int_equal(nftw(home, unlink_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_call_fails_once), cmocka_unit_test(a_full_disk_lets_go_of_a_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
