/* vec_neon: vectors of 16 floats in four q registers (64-bit ARM). */
#pragma once

#include <arm_neon.h>

#include "vec.h"

#define VEC_SUMS 6
#define VEC_KEEP(v) __asm__("" : "+w"((v).q[0]), "+w"((v).q[1]), "+w"((v).q[2]), "+w"((v).q[3]))
#define VEC_FORGET() ((void)0)

struct vec {
    float32x4_t q[4];
};
#define EACH_QUARTER(value)                                                                                                      \
    struct vec out;                                                                                                              \
    UNROLLED (i, 4)                                                                                                              \
        out.q[i] = (value);                                                                                                      \
    return out

FLAT struct vec vec_set(float x) {
    EACH_QUARTER(vdupq_n_f32(x));
}
FLAT struct vec vec_load(const float *p) {
    EACH_QUARTER(vld1q_f32(p + 4 * i));
}
FLAT struct vec vec_lanes(void) {
    static const float lanes[LANES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return vec_load(lanes);
}
FLAT struct vec vec_load_n(const float *p, uint32_t n) {
    float lane[LANES] = {0};
    memcpy(lane, p, n * sizeof *p);
    return vec_load(lane);
}
FLAT struct vec vec_load_f16(const uint16_t *p) {
    EACH_QUARTER(vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))));
}
FLAT struct vec vec_load_i8(const int8_t *p) {
    int8x16_t v = vld1q_s8(p);
    int16x8_t low = vmovl_s8(vget_low_s8(v)), high = vmovl_s8(vget_high_s8(v));
    return (struct vec){{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
                         vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)))}};
}
FLAT void vec_store(float *p, struct vec x) {
    UNROLLED (i, 4)
        vst1q_f32(p + 4 * i, x.q[i]);
}
FLAT void vec_store_n(float *p, uint32_t n, struct vec x) {
    float lane[LANES];
    vec_store(lane, x);
    memcpy(p, lane, n * sizeof *p);
}
FLAT void vec_store_f16(uint16_t *p, struct vec x) {
    UNROLLED (i, 4)
        vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.q[i])));
}

FLAT struct vec vec_add(struct vec a, struct vec b) {
    EACH_QUARTER(vaddq_f32(a.q[i], b.q[i]));
}
FLAT struct vec vec_sub(struct vec a, struct vec b) {
    EACH_QUARTER(vsubq_f32(a.q[i], b.q[i]));
}
FLAT struct vec vec_mul(struct vec a, struct vec b) {
    EACH_QUARTER(vmulq_f32(a.q[i], b.q[i]));
}
FLAT struct vec vec_div(struct vec a, struct vec b) {
    EACH_QUARTER(vdivq_f32(a.q[i], b.q[i]));
}
FLAT struct vec vec_fma(struct vec a, struct vec b, struct vec c) {
    EACH_QUARTER(vfmaq_f32(c.q[i], a.q[i], b.q[i]));
}
/* Not vminq and vmaxq, which give NaN where min32 and max32 give b, and order zeros. */
FLAT float32x4_t quarter_max(float32x4_t a, float32x4_t b) {
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}
FLAT struct vec vec_min(struct vec a, struct vec b) {
    EACH_QUARTER(vbslq_f32(vcltq_f32(a.q[i], b.q[i]), a.q[i], b.q[i]));
}
FLAT struct vec vec_max(struct vec a, struct vec b) {
    EACH_QUARTER(quarter_max(a.q[i], b.q[i]));
}
FLAT struct vec vec_neg(struct vec a) {
    EACH_QUARTER(vnegq_f32(a.q[i]));
}
FLAT struct vec vec_abs(struct vec a) {
    EACH_QUARTER(vabsq_f32(a.q[i]));
}
FLAT struct vec vec_signed(struct vec a, struct vec s) {
    EACH_QUARTER(vbslq_f32(vdupq_n_u32(0x80000000), s.q[i], a.q[i]));
}
FLAT struct vec vec_pick(struct vec a, struct vec b, struct vec x, struct vec y) {
    EACH_QUARTER(vbslq_f32(vcltq_f32(a.q[i], b.q[i]), x.q[i], y.q[i]));
}
FLAT struct vec vec_exponent(struct vec p, struct vec t) {
    EACH_QUARTER(vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(p.q[i]), vshlq_n_u32(vreinterpretq_u32_f32(t.q[i]), 23))));
}
FLAT void vec_unzip(struct vec *a, struct vec *b) {
    struct vec x = {
        {vuzp1q_f32(a->q[0], a->q[1]), vuzp1q_f32(a->q[2], a->q[3]), vuzp1q_f32(b->q[0], b->q[1]), vuzp1q_f32(b->q[2], b->q[3])}};
    struct vec y = {
        {vuzp2q_f32(a->q[0], a->q[1]), vuzp2q_f32(a->q[2], a->q[3]), vuzp2q_f32(b->q[0], b->q[1]), vuzp2q_f32(b->q[2], b->q[3])}};
    *a = x;
    *b = y;
}
FLAT void vec_zip(struct vec *x, struct vec *y) {
    struct vec a = {
        {vzip1q_f32(x->q[0], y->q[0]), vzip2q_f32(x->q[0], y->q[0]), vzip1q_f32(x->q[1], y->q[1]), vzip2q_f32(x->q[1], y->q[1])}};
    struct vec b = {
        {vzip1q_f32(x->q[2], y->q[2]), vzip2q_f32(x->q[2], y->q[2]), vzip1q_f32(x->q[3], y->q[3]), vzip2q_f32(x->q[3], y->q[3])}};
    *x = a;
    *y = b;
}

FLAT float vec_sum(struct vec a) {
    float32x4_t s4 = vaddq_f32(vaddq_f32(a.q[0], a.q[2]), vaddq_f32(a.q[1], a.q[3]));
    float32x2_t s2 = vadd_f32(vget_low_f32(s4), vget_high_f32(s4));
    return vget_lane_f32(s2, 0) + vget_lane_f32(s2, 1);
}
FLAT float vec_top(struct vec a) {
    float32x4_t m4 = quarter_max(quarter_max(a.q[0], a.q[2]), quarter_max(a.q[1], a.q[3]));
    m4 = quarter_max(m4, vextq_f32(m4, m4, 2));
    return vgetq_lane_f32(quarter_max(m4, vextq_f32(m4, m4, 1)), 0);
}
FLAT bool vec_finite(struct vec a) {
    const uint32x4_t exponent = vdupq_n_u32(0x7f800000);
    uint32x4_t bad = vdupq_n_u32(0);
    UNROLLED (i, 4)
        bad = vorrq_u32(bad, vceqq_u32(vandq_u32(vreinterpretq_u32_f32(a.q[i]), exponent), exponent));
    return vmaxvq_u32(bad) == 0;
}
