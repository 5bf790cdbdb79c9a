/* vec_c: what the functions on vectors mean, lane by lane. The tests run kern_body.inc over it on every machine. */
#pragma once

#include "vec.h"

#define VEC_SUMS 6
#define VEC_KEEP(v) ((void)0)
#define VEC_FORGET() ((void)0)

struct vec {
    float lane[LANES];
};
#define EACH_LANE(value)                                                                                                         \
    struct vec out;                                                                                                              \
    for (unsigned i = 0; i < LANES; i++)                                                                                         \
        out.lane[i] = (value);                                                                                                   \
    return out

FLAT struct vec vec_set(float x) {
    EACH_LANE(x);
}
FLAT struct vec vec_lanes(void) {
    EACH_LANE((float)i);
} /* 0, 1, ... 15 */

FLAT struct vec vec_load(const float *p) {
    EACH_LANE(p[i]);
}
FLAT struct vec vec_load_n(const float *p, uint32_t n) {
    EACH_LANE(i < n ? p[i] : 0);
} /* reads n < 16 values */
FLAT struct vec vec_load_f16(const uint16_t *p) {
    EACH_LANE(kern_f16_to(p[i]));
}
FLAT struct vec vec_load_i8(const int8_t *p) {
    EACH_LANE(p[i]);
}
FLAT void vec_store(float *p, struct vec x) {
    memcpy(p, x.lane, sizeof x.lane);
}
FLAT void vec_store_n(float *p, uint32_t n, struct vec x) {
    memcpy(p, x.lane, n * sizeof *p);
} /* writes n < 16 values */
FLAT void vec_store_f16(uint16_t *p, struct vec x) { /* |x| <= 65504 */
    for (unsigned i = 0; i < LANES; i++)
        p[i] = kern_f16_from(x.lane[i]);
}

FLAT struct vec vec_add(struct vec a, struct vec b) {
    EACH_LANE(a.lane[i] + b.lane[i]);
}
FLAT struct vec vec_sub(struct vec a, struct vec b) {
    EACH_LANE(a.lane[i] - b.lane[i]);
}
FLAT struct vec vec_mul(struct vec a, struct vec b) {
    EACH_LANE(a.lane[i] * b.lane[i]);
}
FLAT struct vec vec_div(struct vec a, struct vec b) {
    EACH_LANE(a.lane[i] / b.lane[i]);
}
FLAT struct vec vec_fma(struct vec a, struct vec b, struct vec c) {
    EACH_LANE(fma32(a.lane[i], b.lane[i], c.lane[i]));
}
FLAT struct vec vec_min(struct vec a, struct vec b) {
    EACH_LANE(min32(a.lane[i], b.lane[i]));
}
FLAT struct vec vec_max(struct vec a, struct vec b) {
    EACH_LANE(max32(a.lane[i], b.lane[i]));
}
FLAT struct vec vec_neg(struct vec a) {
    EACH_LANE(-a.lane[i]);
}
FLAT struct vec vec_abs(struct vec a) {
    EACH_LANE(float_of(bits_of(a.lane[i]) & 0x7fffffff));
}
/* a with the sign of s; a >= +0 */
FLAT struct vec vec_signed(struct vec a, struct vec s) {
    EACH_LANE(float_of(bits_of(a.lane[i]) | (bits_of(s.lane[i]) & 0x80000000)));
}
/* a < b ? x : y */
FLAT struct vec vec_pick(struct vec a, struct vec b, struct vec x, struct vec y) {
    EACH_LANE(a.lane[i] < b.lane[i] ? x.lane[i] : y.lane[i]);
}
/* p times 2^n, n being the whole number in the low bits of t */
FLAT struct vec vec_exponent(struct vec p, struct vec t) {
    EACH_LANE(float_of(bits_of(p.lane[i]) + (bits_of(t.lane[i]) << 23)));
}
/* a = x0 y0 x1 y1 .., b = x8 y8 ..: becomes a = x0 .. x15, b = y0 .. y15; and back */
FLAT void vec_unzip(struct vec *a, struct vec *b) {
    struct vec x, y;
    for (unsigned i = 0; i < LANES; i++) {
        x.lane[i] = i < 8 ? a->lane[2 * i] : b->lane[2 * i - LANES];
        y.lane[i] = i < 8 ? a->lane[2 * i + 1] : b->lane[2 * i + 1 - LANES];
    }
    *a = x;
    *b = y;
}
FLAT void vec_zip(struct vec *x, struct vec *y) {
    struct vec a, b;
    for (unsigned i = 0; i < LANES; i++) {
        a.lane[i] = i % 2 ? y->lane[i / 2] : x->lane[i / 2];
        b.lane[i] = i % 2 ? y->lane[8 + i / 2] : x->lane[8 + i / 2];
    }
    *x = a;
    *y = b;
}

/* The sum in the order of numerics 5: lanes i += i + 8, + 4, + 2, + 1. */
FLAT float vec_sum(struct vec a) {
    for (unsigned half = LANES / 2; half; half /= 2)
        for (unsigned i = 0; i < half; i++)
            a.lane[i] += a.lane[i + half];
    return a.lane[0];
}
FLAT float vec_top(struct vec a) { /* the maximum */
    float m = a.lane[0];
    for (unsigned i = 1; i < LANES; i++)
        m = max32(a.lane[i], m);
    return m;
}
FLAT bool vec_finite(struct vec a) {
    for (unsigned i = 0; i < LANES; i++)
        if ((bits_of(a.lane[i]) & 0x7f800000) == 0x7f800000)
            return false;
    return true;
}
