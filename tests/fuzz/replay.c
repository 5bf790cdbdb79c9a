/* Runs a fuzz target over the files of the folders and files given as arguments, for compilers without libFuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned n_run;

static void run_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) {
        fprintf(stderr, "replay: cannot read %s\n", path);
        exit(1);
    }
    long n = ftell(f);
    rewind(f);
    uint8_t *data = malloc((size_t)n + 1);
    size_t got = data ? fread(data, 1, (size_t)n, f) : 0;
    uint8_t *exact = malloc(got ? got : 1); /* of the exact size, so that a sanitizer sees a read beyond the end */
    for (size_t i = 0; exact && i < got; i++)
        exact[i] = data[i];
    fclose(f);
    free(data);
    LLVMFuzzerTestOneInput(exact, got);
    free(exact);
    n_run++;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (!dir) {
            run_file(argv[i]);
            continue;
        }
        for (struct dirent *entry; (entry = readdir(dir));) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            if (entry->d_name[0] != '.')
                run_file(path);
        }
        closedir(dir);
    }
    printf("%u passed, 0 failed\n", n_run);
    return 0;
}
