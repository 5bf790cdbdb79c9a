/* packed weights as a file: a good one with edits. The model opens whatever the file holds. With digests that were not made to fit,
 * the weights are those of the model, and the file is good again.
 *
 * Input: a byte whose lowest bit says that the head's digest is made to fit the edits; then edits of 4 bytes: u24 place, byte. */
#include "tiny_model.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { HEAD_BYTES = 152, FILE_MAX = 1 << 24 };

static struct {
    struct tiny_model tiny;
    int fd;
    uint8_t *good, *now;
    size_t n;
} f;

static void open_model(void) {
    struct err e = {0};
    static const struct digest weights = {{7}};
    const struct packed_file packed = {.fd = f.fd, .source = {{1}}, .weights = &weights};
    struct model *m = NULL;
    f.tiny.opts.packed = &packed;
    ASSERT(model_open(f.tiny.gguf, &f.tiny.opts, &m, &e) == 0);
    model_close(m);
}

static size_t content(uint8_t *to) {
    off_t n = lseek(f.fd, 0, SEEK_END);
    ASSERT(n > 0 && n < FILE_MAX && fs_read_at(f.fd, to, (size_t)n, 0) == 0);
    return (size_t)n;
}

static void set_up(void) {
    log_level = LOG_ERROR;
    tiny_open(&f.tiny, "tiny-window", 1, 1);
    f.tiny.opts.ctx = 64;
    f.fd = memfd_create("packed", MFD_CLOEXEC);
    f.good = malloc(FILE_MAX);
    f.now = malloc(FILE_MAX);
    ASSERT(f.fd >= 0 && f.good && f.now);
    open_model();
    f.n = content(f.good);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (!f.good)
        set_up();
    if (n == 0)
        return 0;
    memcpy(f.now, f.good, f.n);
    for (size_t i = 1; i + 4 <= n; i += 4) {
        size_t at = data[i] | data[i + 1] << 8 | data[i + 2] << 16;
        f.now[at % f.n] = data[i + 3];
    }
    bool fits = data[0] & 1;
    if (fits) {
        struct digest d = sha256_of((struct str){(const char *)f.now, HEAD_BYTES});
        memcpy(f.now + HEAD_BYTES, &d, sizeof d);
    }
    ASSERT(fs_truncate(f.fd, 0, "", NULL) == 0 && fs_write_at(f.fd, f.now, f.n, 0, "", NULL) == 0);
    bool in_gap = memcmp(f.now, f.good, HEAD_BYTES + 32) == 0 && memcmp(f.now + 4096, f.good + 4096, f.n - 4096) == 0;
    open_model();
    if (!fits && !in_gap)
        ASSERT(content(f.now) == f.n && memcmp(f.now, f.good, f.n) == 0);
    return 0;
}
