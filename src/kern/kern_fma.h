/* kern_fma: the fused multiply-add of numerics 1 for plain C. Private to kern. */
#pragma once

#include <stdint.h>

/* a * b + c, rounded once. Without the instruction: the product is exact in binary64, the sum is rounded to odd there, and a
 * value rounded to odd in 53 bits rounds to the right 24. With an
 * infinity the error is no number, and the sum stays as it is. */
static inline float fma32(float a, float b, float c) {
#ifdef __FP_FAST_FMAF
    return __builtin_fmaf(a, b, c);
#else
    double product = (double)a * (double)b, addend = (double)c;
    union {
        double d;
        uint64_t bits;
    } sum = {product + addend};
    double back = sum.d - product, error = (product - (sum.d - back)) + (addend - back);
    if ((error < 0 || error > 0) && !(sum.bits & 1))
        sum.bits += (error > 0) == (sum.d > 0) ? 1 : (uint64_t)-1;
    return (float)sum.d;
#endif
}
