/* npy: NumPy's format 1.0: "\x93NUMPY", version 1 0, u16 length of the header, the header (a Python literal, padded with
 * spaces to a multiple of 64 and ended by \n), then the values, little-endian, last dimension fastest. */
#include "cmd.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { NPY_HEADER_BYTES = 192, NPY_MAGIC_BYTES = 10 }; /* enough for four dimensions of 20 digits */

/* Appends the header's text to `text`, and returns the number of values, or 0 where that overflows. */
static uint64_t describe(struct buf *text, unsigned n_dims, const uint64_t *dims) {
    uint64_t n = sizeof(float);
    buf_z(text, "{'descr': '<f4', 'fortran_order': False, 'shape': (");
    for (unsigned i = 0; i < n_dims; i++) {
        buf_fmt(text, "%llu,%s", (unsigned long long)dims[i], i + 1 < n_dims ? " " : ")}");
        if (__builtin_mul_overflow(n, dims[i], &n))
            return 0;
    }
    return n / sizeof(float);
}

int npy_begin(struct npy *f, int fd, const char *path, unsigned n_dims, const uint64_t *dims, struct err *e) {
    ASSERT(n_dims >= 1 && n_dims <= 4);
    struct buf header = {0};
    buf_add(&header, "\x93NUMPY\x01\x00", 8);
    buf_byte(&header, (char)(NPY_HEADER_BYTES - NPY_MAGIC_BYTES));
    buf_byte(&header, 0);
    *f = (struct npy){fd, path, describe(&header, n_dims, dims)};
    while (header.n < NPY_HEADER_BYTES - 1)
        buf_byte(&header, ' ');
    buf_byte(&header, '\n');
    int code = 0;
    if (header.failed || header.n != NPY_HEADER_BYTES || (f->left == 0 && dims[0]))
        code = err_set(e, ERR_LIMIT, path, "the array is too large");
    else if (ftruncate(fd, 0) < 0 && errno != EINVAL) /* EINVAL: a pipe or a terminal */
        code = err_set(e, ERR_ENV, path, "cannot empty it: %s", strerror(errno));
    else
        code = fs_write_all(fd, header.p, header.n, path, e);
    buf_free(&header);
    return code;
}

int npy_add(struct npy *f, const float *values, uint64_t n, struct err *e) {
    ASSERT(n <= f->left);
    f->left -= n;
    return fs_write_all(f->fd, values, n * sizeof *values, f->path, e);
}
