/* kern_amx: products of the tier for AMX-INT8. All the rest of its table is AVX-512's text: kern_avx512.c. */
#include "kern_def.h"

static void acts_fill_avx512(struct kern_acts *a, const float *x, size_t x_stride, uint32_t from, uint32_t to, uint8_t *faults) {
    kern_avx512.acts_fill(a, x, x_stride, from, to, faults);
}
static void matmul_avx512(const struct kern_packed *w, const struct kern_acts *a, float *y, size_t y_stride, uint32_t from,
                          uint32_t to) {
    kern_avx512.matmul(w, a, y, y_stride, from, to);
}
#include "kern_dot_amx.h"
