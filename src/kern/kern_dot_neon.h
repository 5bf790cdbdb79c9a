/* kern_dot_neon: products on 64-bit ARM with dot products (sdot), and where the compiler may use them (kern_i8mm.c) with byte
 * matrix products (smmla). acts_fill_neon and matmul_neon are its entries.
 *
 * A vector lane is an output: quarter v of a tile is outputs 4v..4v+3, and so one q register holds four k of each of them, as the
 * packed layout has them. sdot multiplies it by four activations of a row, which it takes from a lane of the row's register,
 * and adds in int32: nothing wraps, no zero point needs to be put back, and every format becomes 32 int8 an output (codes less
 * their zero, or looked up in the codebook) and the terms of numerics 3. scvtf makes floats of the sums exactly.
 *
 * Activations, a panel of T rows. Quantised: [block][T] lines, see struct acts_line. Dense: [k][T] floats.
 *
 * smmla multiplies eight k of two rows by those of two outputs: many rows meet a chunk whose weights lie so that a q register holds
 * two outputs' eight k. The sums are the same integers. */
#pragma once

#include <arm_neon.h>
#include <string.h>

#include "kern_dot.h"
#include "kern_fma.h"

enum { DOT_T = 4, DOT_STREAM = 4, DOT_R = 1, DOT_SPAN = 1, CHUNK_BYTES = 32 * 960 };
#include "kern_dot_range.h"

#define DOT_INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define DOT_UNROLL _Pragma("clang loop unroll(full)")
#else
#define DOT_UNROLL _Pragma("GCC unroll 16")
#endif

enum { DOT_AHEAD = 4096 /* bytes that GEMV prefetches ahead */ };
#ifdef __ARM_FEATURE_MATMUL_INT8
enum { DOT_MM = 1 };
#else
enum { DOT_MM = 0 };
#endif

/* 32 activations of a row: d * q; sums of the halves; d times the whole sum, rounded once. */
struct acts_line {
    int8_t q[KERN_BLOCK];
    float d, ds;
    int32_t sum[2];
    uint8_t unused[16];
};
_Static_assert(sizeof(struct acts_line) == KERN_LINE, "kern_acts_bytes counts lines");

/* What is done with the sums over the halves of a block; constant in every text made from it. */
struct dot_plan {
    bool halves; /* the halves have scales of their own: integers, or with split a term each */
    bool split, min;
};

/* 32 weights of 4 outputs with their terms (kern_terms): [1] is of the second half. */
struct dot_quad {
    int8x16_t w[8];
    float32x4_t d[2], m;
    int32x4_t sub[2], sub_min[2];
};

/* ---- packed weights ---------------------------------------------------------------------------------------------------- */

DOT_INLINE int8x16_t dot_codes(const struct kern_layout *f, const uint8_t *unit, unsigned s, unsigned v, unsigned g) {
    if (f->lo == 8)
        return vld1q_s8((const int8_t *)unit + s * 512 + g * 64 + v * 16);
    uint8x16_t c = vld1q_u8(unit + s * 256 + g % 4 * 64 + v * 16);
    c = g < 4 ? vandq_u8(c, vdupq_n_u8(15)) : vshrq_n_u8(c, 4);
    if (f->hi == 1) {
        uint8x16_t bits = vld1q_u8(unit + f->hi_at + s * 64 + v * 16);
        bits = vshlq_u8(bits, vdupq_n_s8((int8_t)(4 - (int)g)));
        c = vorrq_u8(c, vandq_u8(bits, vdupq_n_u8(16)));
    } else if (f->hi == 2) {
        uint8x16_t bits = vld1q_u8(unit + f->hi_at + s * 128 + g / 4 * 64 + v * 16);
        bits = vshlq_u8(bits, vdupq_n_s8((int8_t)(4 - (int)(g % 4 * 2))));
        c = vorrq_u8(c, vandq_u8(bits, vdupq_n_u8(48)));
    }
    if (f->values)
        return vqtbl1q_s8(vld1q_s8(f->values), c);
    return vsubq_s8(vreinterpretq_s8_u8(c), vdupq_n_s8((int8_t)f->zero));
}

DOT_INLINE float32x4_t dot_f16(const uint8_t *p) {
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}
/* 4 bytes, signed or not, as int32. */
DOT_INLINE int32x4_t dot_bytes(const uint8_t *p, bool is_signed) {
    uint32_t four;
    memcpy(&four, p, 4);
    uint8x8_t v = vreinterpret_u8_u32(vdup_n_u32(four));
    if (is_signed)
        return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(v))));
    return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(v))));
}
/* Byte i of 4 pairs. */
DOT_INLINE int32x4_t dot_pairs(const uint8_t *p, unsigned i, bool is_signed) {
    uint32x4_t v = vmovl_u16(vreinterpret_u16_u8(vld1_u8(p)));
    v = vshlq_n_u32(i ? v : vshlq_n_u32(v, 8), 16);
    return is_signed ? vshrq_n_s32(vreinterpretq_s32_u32(v), 24) : vreinterpretq_s32_u32(vshrq_n_u32(v, 24));
}

/* 2^(e-128), MXFP4's exponents e: half of the float with that exponent; e = 0 is the smallest. */
DOT_INLINE float32x4_t dot_exponent(int32x4_t e) {
    float32x4_t d = vmulq_n_f32(vreinterpretq_f32_s32(vshlq_n_s32(e, 23)), 0.5f);
    return vmaxq_f32(d, vdupq_n_f32(0x1p-128f));
}
/* Half of an e4m3: its bits under a float's exponent are 2^-119 of it, also where it is subnormal. */
DOT_INLINE float32x4_t dot_e4m3(int32x4_t pair) {
    int32x4_t v = vandq_s32(pair, vdupq_n_s32(0x7f));
    v = vbicq_s32(v, vreinterpretq_s32_u32(vceqq_s32(v, vdupq_n_s32(0x7f))));
    return vmulq_n_f32(vreinterpretq_f32_s32(vshlq_n_s32(v, 20)), 0x1p119f);
}

/* Scales, minima and integer scales of block s of a unit, for quarter v. */
DOT_INLINE void dot_terms(const struct kern_layout *f, const uint8_t *unit, unsigned s, unsigned v, struct dot_quad *to) {
    const uint8_t *p = unit + f->scales_at, *one = p + s * 16 + v * 4, *two = p + s * 32 + v * 8;
    const unsigned B = f->blocks;
    to->sub[0] = to->sub[1] = to->sub_min[0] = to->sub_min[1] = vdupq_n_s32(1);
    switch (f->scales) {
    case KERN_SCALES_DM: to->m = dot_f16(two + B * 32); /* fallthrough */
    case KERN_SCALES_NONE:
    case KERN_SCALES_D: to->d[0] = dot_f16(two); break;
    case KERN_SCALES_K:
        to->d[0] = vmulq_f32(dot_f16(p + B * 32 + v * 8), vcvtq_f32_s32(dot_bytes(one, false)));
        to->m = vnegq_f32(vmulq_f32(dot_f16(p + B * 32 + 32 + v * 8), vcvtq_f32_s32(dot_bytes(one + B * 16, false))));
        return;
    case KERN_SCALES_S: to->d[0] = vmulq_f32(dot_f16(p + B * 16 + v * 8), vcvtq_f32_s32(dot_bytes(one, true))); break;
    case KERN_SCALES_SUBM:
    case KERN_SCALES_SUB:
        to->d[0] = dot_f16(p + B * (f->scales == KERN_SCALES_SUB ? 32 : 64) + v * 8);
        DOT_UNROLL
        for (unsigned i = 0; i < 2; i++) {
            to->sub[i] = dot_pairs(two, i, true);
            if (f->scales == KERN_SCALES_SUBM)
                to->sub_min[i] = dot_pairs(two + B * 32, i, false);
        }
        if (f->scales == KERN_SCALES_SUBM)
            to->m = vnegq_f32(dot_f16(p + B * 64 + 32 + v * 8));
        break;
    case KERN_SCALES_E: to->d[0] = dot_exponent(dot_bytes(one, false)); return;
    case KERN_SCALES_F8:
        to->d[0] = dot_e4m3(dot_pairs(two, 0, false));
        to->d[1] = dot_e4m3(dot_pairs(two, 1, false));
        return;
    }
    if (f->factor != 1)
        to->d[0] = vmulq_n_f32(to->d[0], f->factor);
}

DOT_INLINE struct dot_quad dot_read(const struct kern_layout *f, const uint8_t *unit, unsigned s, unsigned v) {
    struct dot_quad out = {0};
    DOT_UNROLL
    for (unsigned g = 0; g < 8; g++)
        out.w[g] = dot_codes(f, unit, s, v, g);
    dot_terms(f, unit, s, v, &out);
    return out;
}

/* ---- chunks: blocks unpacked for many rows ------------------------------------------------------------------------------- */

/* Weights of a block, [8 groups][16][4] (with DOT_MM [4][4 quarters][2][2 outputs][8] in two planes, see dot_pair), then terms, [16]
 * each; those of the second halves follow the first. */
enum { CHUNK_D = 512, CHUNK_SUB = 640, CHUNK_MIN = 768, CHUNK_SUB_MIN = 832, CHUNK_BLOCK = 960 };

/* Four k of four outputs and the next four become eight k of the first two outputs and of the last two. */
DOT_INLINE void dot_pair(int8x16_t *w) {
    int32x4_t low = vreinterpretq_s32_s8(w[0]), high = vreinterpretq_s32_s8(w[1]);
    w[0] = vreinterpretq_s8_s32(vzip1q_s32(low, high));
    w[1] = vreinterpretq_s8_s32(vzip2q_s32(low, high));
}

DOT_INLINE void dot_unpack(const struct kern_layout *f, struct dot_plan plan, const uint8_t *tile, uint32_t b0, uint32_t n,
                           uint8_t *out) {
    for (uint32_t b = b0; b < b0 + n; b++, out += CHUNK_BLOCK)
        for (unsigned v = 0; v < 4; v++) {
            struct dot_quad from = dot_read(f, tile + (size_t)(b / f->blocks) * f->bytes, b % f->blocks, v);
            uint8_t *to = out + v * 16;
            DOT_UNROLL
            for (unsigned g = 0; g < 8; g += 2)
                if (DOT_MM)
                    dot_pair(&from.w[g]);
            DOT_UNROLL
            for (unsigned g = 0; g < 8; g++)
                vst1q_s8((int8_t *)to + g * 64, from.w[g]);
            DOT_UNROLL
            for (unsigned i = 0; i < 2; i++) {
                if (i == 0 || plan.split)
                    vst1q_f32((float *)(to + CHUNK_D + i * 64), from.d[i]);
                if (plan.halves && !plan.split)
                    vst1q_s32((int32_t *)(to + CHUNK_SUB + i * 64), from.sub[i]);
                if (plan.halves && plan.min)
                    vst1q_s32((int32_t *)(to + CHUNK_SUB_MIN + i * 64), from.sub_min[i]);
            }
            if (plan.min)
                vst1q_f32((float *)(to + CHUNK_MIN), from.m);
        }
}

DOT_INLINE struct dot_quad dot_chunk_read(struct dot_plan plan, const uint8_t *block, unsigned v) {
    const uint8_t *from = block + v * 16;
    struct dot_quad out = {0};
    DOT_UNROLL
    for (unsigned g = 0; g < 8; g++)
        out.w[g] = vld1q_s8((const int8_t *)from + g * 64);
    DOT_UNROLL
    for (unsigned i = 0; i < 2; i++) {
        if (i == 0 || plan.split)
            out.d[i] = vld1q_f32((const float *)(from + CHUNK_D + i * 64));
        if (plan.halves && !plan.split)
            out.sub[i] = vld1q_s32((const int32_t *)(from + CHUNK_SUB + i * 64));
        if (plan.halves && plan.min)
            out.sub_min[i] = vld1q_s32((const int32_t *)(from + CHUNK_SUB_MIN + i * 64));
    }
    if (plan.min)
        out.m = vld1q_f32((const float *)(from + CHUNK_MIN));
    return out;
}

/* ---- a block ------------------------------------------------------------------------------------------------------------------ */

/* Numerics 3: y takes in block x of one row; sum: of the halves, or [0] alone. */
DOT_INLINE float32x4_t dot_add(struct dot_plan plan, const struct dot_quad *w, const struct acts_line *x, const int32x4_t sum[2],
                               float32x4_t y) {
    if (plan.split) {
        y = vfmaq_n_f32(y, vmulq_f32(vcvtq_f32_s32(sum[0]), w->d[0]), x->d);
        return vfmaq_n_f32(y, vmulq_f32(vcvtq_f32_s32(sum[1]), w->d[1]), x->d);
    }
    int32x4_t all = plan.halves ? vmlaq_s32(vmulq_s32(sum[0], w->sub[0]), sum[1], w->sub[1]) : sum[0];
    y = vfmaq_n_f32(y, vmulq_f32(vcvtq_f32_s32(all), w->d[0]), x->d);
    if (plan.min && plan.halves) {
        int32x4_t sums = vmlaq_n_s32(vmulq_n_s32(w->sub_min[0], x->sum[0]), w->sub_min[1], x->sum[1]);
        return vfmaq_f32(y, w->m, vmulq_n_f32(vcvtq_f32_s32(sums), x->d));
    }
    return plan.min ? vfmaq_n_f32(y, w->m, x->ds) : y;
}

#ifdef __ARM_FEATURE_MATMUL_INT8
/* Eight k at a time of T rows, two rows in a register; a row without a second one is its own. */
struct dot_acts {
    int8x16_t q[4][DOT_T / 2];
};
DOT_INLINE struct dot_acts dot_acts_read(const struct acts_line *x, const unsigned T) {
    struct dot_acts out;
    DOT_UNROLL
    for (unsigned p = 0; p < (T + 1) / 2; p++)
        DOT_UNROLL
    for (unsigned half = 0; half < 2; half++) {
        int64x2_t a = vreinterpretq_s64_s8(vld1q_s8(x[2 * p].q + 16 * half));
        int64x2_t b = vreinterpretq_s64_s8(vld1q_s8(x[2 * p + 1 < T ? 2 * p + 1 : 2 * p].q + 16 * half));
        out.q[2 * half][p] = vreinterpretq_s8_s64(vzip1q_s64(a, b));
        out.q[2 * half + 1][p] = vreinterpretq_s8_s64(vzip2q_s64(a, b));
    }
    return out;
}

/* A chunk's block for T rows; y[t] is quarter v of row t. */
DOT_INLINE void dot_chunk_rows(struct dot_plan plan, const struct dot_quad *w, const struct dot_acts *a,
                               const struct acts_line *x, const unsigned T, float32x4_t *y) {
    int32x4_t sum[DOT_T][2];
    DOT_UNROLL
    for (unsigned p = 0; p < (T + 1) / 2; p++) {
        int32x4_t two[2]; /* of the first two outputs, of the last two: both rows */
        DOT_UNROLL
        for (unsigned half = 0; half < 2; half++) {
            if (half == 0 || plan.halves)
                two[0] = two[1] = vdupq_n_s32(0);
            DOT_UNROLL
            for (unsigned i = 0; i < 4; i++)
                two[i % 2] = vmmlaq_s32(two[i % 2], a->q[2 * half + i / 2][p], w->w[4 * half + i]);
            if (!plan.halves && half == 0)
                continue;
            const unsigned at = plan.halves ? half : 0;
            int64x2_t first = vreinterpretq_s64_s32(two[0]), last = vreinterpretq_s64_s32(two[1]);
            sum[2 * p][at] = vreinterpretq_s32_s64(vzip1q_s64(first, last));
            if (2 * p + 1 < T)
                sum[2 * p + 1][at] = vreinterpretq_s32_s64(vzip2q_s64(first, last));
        }
    }
    DOT_UNROLL
    for (unsigned t = 0; t < T; t++)
        y[t] = dot_add(plan, w, &x[t], sum[t], y[t]);
}
#endif

/* The same for T rows; y[t] is quarter v of row t. */
DOT_INLINE void dot_rows(struct dot_plan plan, const struct dot_quad *w, const struct acts_line *x, const unsigned T,
                         float32x4_t *y) {
    int32x4_t sum[DOT_T][2];
    DOT_UNROLL
    for (unsigned half = 0; half < 2; half++) {
        const unsigned at = plan.halves ? half : 0;
        int8x16_t q[DOT_T];
        DOT_UNROLL
        for (unsigned t = 0; t < T; t++) {
            q[t] = vld1q_s8(x[t].q + 16 * half);
            if (half == at)
                sum[t][at] = vdupq_n_s32(0);
        }
#define GROUP(lane)                                                                                                              \
    DOT_UNROLL                                                                                                                   \
    for (unsigned t = 0; t < T; t++)                                                                                             \
    sum[t][at] = vdotq_laneq_s32(sum[t][at], w->w[4 * half + (lane)], q[t], (lane))
        GROUP(0);
        GROUP(1);
        GROUP(2);
        GROUP(3);
#undef GROUP
    }
    DOT_UNROLL
    for (unsigned t = 0; t < T; t++)
        y[t] = dot_add(plan, w, &x[t], sum[t], y[t]);
}

/* ---- up to 4 rows: streamed ---------------------------------------------------------------------------------------------------- */

/* Spreads the prefetch of a unit evenly over its blocks. */
DOT_INLINE void dot_prefetch(const struct kern_layout *f, const uint8_t *unit, unsigned s) {
    unsigned lines = f->bytes / 64u, end = (s + 1) * lines / f->blocks;
    for (unsigned i = s * lines / f->blocks; i < end; i++)
        __builtin_prefetch(unit + DOT_AHEAD + i * 64);
}

DOT_INLINE void dot_stream(const struct kern_layout *f, struct dot_plan plan, const uint8_t *unit, const uint8_t *x, float *out,
                           uint32_t n_blocks, const unsigned T) {
    const struct acts_line *line = (const struct acts_line *)x;
    float32x4_t y[4][DOT_T];
    for (unsigned i = 0; i < 4 * DOT_T; i++)
        y[i / DOT_T][i % DOT_T] = vdupq_n_f32(0);
    for (uint32_t b = 0; b < n_blocks; unit += f->bytes)
        for (unsigned s = 0; s < f->blocks && b < n_blocks; s++, b++, line += T) {
            dot_prefetch(f, unit, s);
            DOT_UNROLL
            for (unsigned v = 0; v < 4; v++) {
                struct dot_quad w = dot_read(f, unit, s, v);
                dot_rows(plan, &w, line, T, y[v]);
            }
        }
    for (unsigned t = 0; t < T; t++)
        for (unsigned v = 0; v < 4; v++)
            vst1q_f32(out + t * KERN_TILE + 4 * v, y[v][t]);
}

/* ---- panels against a chunk ------------------------------------------------------------------------------------------------------ */

DOT_INLINE void dot_tile(struct dot_plan plan, const uint8_t *w, const uint8_t *x, float *out, uint32_t n_blocks,
                         const struct dot_ahead *ahead, const unsigned T) {
    const struct acts_line *line = (const struct acts_line *)x;
    for (uint32_t b = 0; b < n_blocks; b++, w += CHUNK_BLOCK, line += T) {
        dot_bring(ahead, b);
#ifdef __ARM_FEATURE_MATMUL_INT8
        const struct dot_acts acts = dot_acts_read(line, T);
#endif
        for (unsigned v = 0; v < 4; v++) {
            struct dot_quad quad = dot_chunk_read(plan, w, v);
            float32x4_t y[DOT_T];
            DOT_UNROLL
            for (unsigned t = 0; t < T; t++)
                y[t] = vld1q_f32(out + t * KERN_TILE + 4 * v);
#ifdef __ARM_FEATURE_MATMUL_INT8
            dot_chunk_rows(plan, &quad, &acts, line, T, y);
#else
            dot_rows(plan, &quad, line, T, y);
#endif
            DOT_UNROLL
            for (unsigned t = 0; t < T; t++)
                vst1q_f32(out + t * KERN_TILE + 4 * v, y[t]);
        }
    }
}

/* ---- one text per format, plan and number of rows -------------------------------------------------------------------------------- */

static const struct dot_plan plan_plain = {0};
static const struct dot_plan plan_min = {.min = true};
static const struct dot_plan plan_halves = {.halves = true};
static const struct dot_plan plan_halves_min = {.halves = true, .min = true};
static const struct dot_plan plan_split = {.halves = true, .split = true};

#define DOT_TILE(PLAN, T)                                                                                                        \
    static void dot_tile_##PLAN##_##T(const uint8_t *chunk, const uint8_t *x, float *y, uint32_t n_blocks,                       \
                                      const struct dot_ahead *ahead) {                                                           \
        dot_tile(plan_##PLAN, chunk, x, y, n_blocks, ahead, T);                                                                  \
    }
#define DOT_TILES(PLAN)                                                                                                          \
    DOT_TILE(PLAN, 1)                                                                                                            \
    DOT_TILE(PLAN, 2)                                                                                                            \
    DOT_TILE(PLAN, 3)                                                                                                            \
    DOT_TILE(PLAN, 4)                                                                                                            \
    static dot_tile_fn *const dot_tiles_##PLAN[DOT_T] = {dot_tile_##PLAN##_1, dot_tile_##PLAN##_2, dot_tile_##PLAN##_3,          \
                                                         dot_tile_##PLAN##_4};
DOT_TILES(plain)
DOT_TILES(min)
DOT_TILES(halves)
DOT_TILES(halves_min)
DOT_TILES(split)

#define DOT_STREAM(F, PLAN, T)                                                                                                   \
    static void dot_stream_##F##_##T(const uint8_t *tile, const uint8_t *x, float *y, uint32_t n_blocks) {                       \
        dot_stream(&kern_layouts[DTYPE_##F], plan_##PLAN, tile, x, y, n_blocks, T);                                              \
    }
#define DOT_UNPACK(F, PLAN)                                                                                                      \
    static void dot_unpack_##F(const uint8_t *tile, uint32_t from, uint32_t n_blocks, uint8_t *chunk) {                          \
        dot_unpack(&kern_layouts[DTYPE_##F], plan_##PLAN, tile, from, n_blocks, chunk);                                          \
    }
#define DOT_FORMAT(F, PLAN)                                                                                                      \
    DOT_STREAM(F, PLAN, 1)                                                                                                       \
    DOT_STREAM(F, PLAN, 2)                                                                                                       \
    DOT_STREAM(F, PLAN, 3)                                                                                                       \
    DOT_STREAM(F, PLAN, 4)                                                                                                       \
    static dot_stream_fn *const dot_streams_##F[DOT_T] = {dot_stream_##F##_1, dot_stream_##F##_2, dot_stream_##F##_3,            \
                                                          dot_stream_##F##_4};                                                   \
    DOT_UNPACK(F, PLAN)
DOT_FORMAT(Q4_0, plain)
DOT_FORMAT(Q4_1, min)
DOT_FORMAT(Q5_0, plain)
DOT_FORMAT(Q5_1, min)
DOT_FORMAT(Q8_0, plain)
DOT_FORMAT(Q4_K, min)
DOT_FORMAT(Q5_K, min)
DOT_FORMAT(Q6_K, halves)
DOT_FORMAT(IQ4_NL, plain)
DOT_FORMAT(IQ4_XS, plain)
/* These are always unpacked, also for one row. */
DOT_UNPACK(IQ2_XXS, plain)
DOT_UNPACK(IQ3_XXS, plain)
DOT_UNPACK(IQ3_S, plain)
DOT_UNPACK(IQ1_S, plain)
DOT_UNPACK(TQ1_0, plain)
DOT_UNPACK(TQ2_0, plain)
DOT_UNPACK(Q1_0, plain)
DOT_UNPACK(Q2_0, plain)
DOT_UNPACK(MXFP4, plain)
DOT_UNPACK(Q3_K, halves)
DOT_UNPACK(IQ2_XS, halves)
DOT_UNPACK(IQ2_S, halves)
DOT_UNPACK(IQ1_M, halves)
DOT_UNPACK(Q2_K, halves_min)
DOT_UNPACK(NVFP4, split)

/* ---- dense weights --------------------------------------------------------------------------------------------------------------- */

DOT_INLINE float32x4_t dense_load(uint32_t dtype, const uint8_t *w, size_t i) {
    if (dtype == DTYPE_F32)
        return vld1q_f32((const float *)w + i);
    if (dtype == DTYPE_F16)
        return dot_f16(w + 2 * i);
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(w + 2 * i)), 16));
}

/* y [T][16] over n of k; first: y begins here. */
DOT_INLINE void dense_tile(uint32_t dtype, const uint8_t *w, const float *x, float *out, uint32_t n, const unsigned T,
                           bool first) {
    float32x4_t y[DOT_T][4];
    DOT_UNROLL
    for (unsigned i = 0; i < 4 * T; i++)
        y[i / 4][i % 4] = first ? vdupq_n_f32(0) : vld1q_f32(out + i / 4 * KERN_TILE + i % 4 * 4);
    for (uint32_t k = 0; k < n; k++, x += T) {
        DOT_UNROLL
        for (unsigned v = 0; v < 4; v++) {
            float32x4_t four = dense_load(dtype, w, (size_t)k * KERN_TILE + 4 * v);
            DOT_UNROLL
            for (unsigned t = 0; t < T; t++)
                y[t][v] = vfmaq_n_f32(y[t][v], four, x[t]);
        }
    }
    DOT_UNROLL
    for (unsigned i = 0; i < 4 * T; i++)
        vst1q_f32(out + i / 4 * KERN_TILE + i % 4 * 4, y[i / 4][i % 4]);
}

/* Weights in a chunk are float32. */
DOT_INLINE void dense_unpack(uint32_t dtype, const uint8_t *tile, uint32_t from, uint32_t n, uint8_t *chunk) {
    for (size_t i = 0; i < (size_t)n * KERN_TILE; i += 4)
        vst1q_f32((float *)chunk + i, dense_load(dtype, tile, (size_t)from * KERN_TILE + i));
}

#include "kern_dot_dense.h"

/* ---- the table of formats ---------------------------------------------------------------------------------------------------------- */

#define DOT_TEXT(F, PLAN) [DTYPE_##F] = {KERN_BLOCK, KERN_LINE, 4, 32, 8, dot_streams_##F, dot_unpack_##F, dot_tiles_##PLAN, NULL}
#define DOT_TEXT_UNPACKED(F, PLAN) [DTYPE_##F] = {KERN_BLOCK, KERN_LINE, 0, 32, 8, NULL, dot_unpack_##F, dot_tiles_##PLAN, NULL}
#define DENSE_TEXT(F) [DTYPE_##F] = {1, sizeof(float), 4, 256, 256, dot_streams_##F, dense_unpack_##F, dense_tiles, NULL}
static const struct dot_text dot_texts[] = {
    DENSE_TEXT(F32),
    DENSE_TEXT(F16),
    DENSE_TEXT(BF16),
    DOT_TEXT(Q4_0, plain),
    DOT_TEXT(Q4_1, min),
    DOT_TEXT(Q5_0, plain),
    DOT_TEXT(Q5_1, min),
    DOT_TEXT(Q8_0, plain),
    DOT_TEXT(Q4_K, min),
    DOT_TEXT(Q5_K, min),
    DOT_TEXT(Q6_K, halves),
    DOT_TEXT(IQ4_NL, plain),
    DOT_TEXT(IQ4_XS, plain),
    DOT_TEXT_UNPACKED(IQ2_XXS, plain),
    DOT_TEXT_UNPACKED(IQ3_XXS, plain),
    DOT_TEXT_UNPACKED(IQ3_S, plain),
    DOT_TEXT_UNPACKED(IQ1_S, plain),
    DOT_TEXT_UNPACKED(TQ1_0, plain),
    DOT_TEXT_UNPACKED(TQ2_0, plain),
    DOT_TEXT_UNPACKED(Q1_0, plain),
    DOT_TEXT_UNPACKED(Q2_0, plain),
    DOT_TEXT_UNPACKED(MXFP4, plain),
    DOT_TEXT_UNPACKED(Q3_K, halves),
    DOT_TEXT_UNPACKED(IQ2_XS, halves),
    DOT_TEXT_UNPACKED(IQ2_S, halves),
    DOT_TEXT_UNPACKED(IQ1_M, halves),
    DOT_TEXT_UNPACKED(Q2_K, halves_min),
    DOT_TEXT_UNPACKED(NVFP4, split),
};

static void matmul_neon(const struct kern_packed *w, const struct kern_acts *a, float *y, size_t y_stride, uint32_t from,
                        uint32_t to) {
    dot_range(&dot_texts[w->type], w, a, y, y_stride, from, to);
}

/* ---- activations -------------------------------------------------------------------------------------------------------------------- */

static bool acts_finite(const float *x, uint32_t k) {
    uint32x4_t exponent = vdupq_n_u32(0x7f800000), bad = vdupq_n_u32(0);
    uint32_t i = 0, tail = 0;
    for (; i + 4 <= k; i += 4) {
        uint32x4_t v = vandq_u32(vreinterpretq_u32_f32(vld1q_f32(x + i)), exponent);
        bad = vorrq_u32(bad, vceqq_u32(v, exponent));
    }
    for (; i < k; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, 4);
        tail |= (bits & 0x7f800000) == 0x7f800000;
    }
    return vmaxvq_u32(bad) == 0 && tail == 0;
}

/* 16 values times id as int8, in order. */
DOT_INLINE int8x16_t acts_round(const float32x4_t *v, float id) {
    int16x8_t low =
        vcombine_s16(vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(v[0], id))), vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(v[1], id))));
    int16x8_t high =
        vcombine_s16(vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(v[2], id))), vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(v[3], id))));
    return vcombine_s8(vmovn_s16(low), vmovn_s16(high));
}

/* Numerics 2 on 32 finite values. */
static void acts_quantise(const float *x, struct acts_line *out) {
    float32x4_t v[8], a = vdupq_n_f32(0);
    for (unsigned i = 0; i < 8; i++) {
        v[i] = vld1q_f32(x + 4 * i);
        a = vmaxq_f32(a, vabsq_f32(v[i]));
    }
    float most = vmaxvq_f32(a);
    memset(out, 0, sizeof *out);
    if (most < 0x1p-100f)
        return;
    int8x16_t q[2] = {acts_round(v, 127 / most), acts_round(v + 4, 127 / most)};
    for (unsigned half = 0; half < 2; half++) {
        vst1q_s8(out->q + 16 * half, q[half]);
        out->sum[half] = vaddlvq_s8(q[half]);
    }
    out->d = most / 127;
    out->ds = out->d * (float)(out->sum[0] + out->sum[1]);
}

/* Row t of a panel of T; x NULL: zeros. */
static void acts_row(enum kern_acts_kind kind, const float *x, uint32_t k, unsigned T, unsigned t, uint8_t *panel) {
    if (kind == KERN_ACTS_F32) {
        for (uint32_t i = 0; i < k; i++)
            ((float *)panel)[i * T + t] = x ? x[i] : 0;
        return;
    }
    struct acts_line *out = (struct acts_line *)panel + t;
    for (uint32_t b = 0; b < k / KERN_BLOCK; b++, out += T)
        if (x)
            acts_quantise(x + b * KERN_BLOCK, out);
        else
            memset(out, 0, sizeof *out);
}

static void acts_fill_neon(struct kern_acts *a, const float *x, size_t x_stride, uint32_t from, uint32_t to, uint8_t *faults) {
    uint64_t row_bytes = a->kind == KERN_ACTS_F32 ? (uint64_t)a->k * sizeof *x : (uint64_t)(a->k / KERN_BLOCK) * KERN_LINE;
    for (uint32_t panel = from, T; panel < to; panel += T) {
        T = dot_min(a->rows - panel, DOT_T);
        for (uint32_t t = 0; t < T; t++) {
            const float *in = x + (panel + t) * x_stride;
            bool ok = acts_finite(in, a->k);
            if (!ok)
                faults[panel + t] = 1;
            acts_row(a->kind, ok ? in : NULL, a->k, T, t, a->data + panel * row_bytes);
        }
    }
}
