/* replay: stands in for libFuzzer where a target is built by any compiler. Runs the files and folders given, or by default
 * the target's own corpus, tests/fuzz/corpus/NAME for fuzz_NAME, and prints the total. A crash is the failure. */
#include "base/base.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static unsigned n_passed, n_failed;

static void replay_file(const char *path) {
    struct buf b = {0};
    struct err e = {0};
    if (fs_read(AT_FDCWD, path, &b, &e) < 0) {
        printf("%s: %s\n", e.where, e.msg);
        n_failed++;
    } else {
        uint8_t *copy = malloc(b.n ? b.n : 1); /* of its own size, so that a sanitizer sees a byte too far */
        ASSERT(copy);
        if (b.n)
            memcpy(copy, b.p, b.n);
        LLVMFuzzerTestOneInput(copy, b.n);
        free(copy);
        n_passed++;
    }
    buf_free(&b);
}

static void replay(const char *path) {
    struct stat s;
    if (stat(path, &s) < 0 || !S_ISDIR(s.st_mode)) {
        replay_file(path);
        return;
    }
    struct dirent **names = NULL;
    int n = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            replay(file);
        free(names[i]);
    }
    free(names);
}

int main(int argc, char **argv) {
    const char *name = strstr(argv[0], "fuzz_");
    char corpus[256];
    snprintf(corpus, sizeof corpus, "tests/fuzz/corpus/%s", name ? name + strlen("fuzz_") : "");
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    if (argc == 1)
        replay(corpus);
    printf("%u passed, %u failed\n", n_passed, n_failed);
    return n_failed != 0;
}
