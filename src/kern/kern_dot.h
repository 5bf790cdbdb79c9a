/* kern_dot: what the texts of the products share: how a format's blocks are stored, what they mean, and where the one packed
 * layout keeps them. Private to kern.
 *
 *     const struct kern_layout *f = kern_layout(w->type);
 *     kern_block_read(f, tile, b, row, &block);   // 32 packed weights of one output
 *     kern_block_terms(f, &block, &terms);        // what numerics 3 does with them
 *
 * A packed matrix is a sequence of tiles of 16 outputs. A tile of a quantised format is a sequence of units: the fewest blocks
 * of 32 that fill whole cache lines. In a unit, `blocks` = B, r = output 0..15, g = k/4 and j = k%4 of a k in its block:
 *
 *     offset                  bytes    meaning
 *     0                       B*256    lo = 4: [B][g%4][r][j], low nibble k < 16, high nibble k >= 16
 *                             B*512    lo = 8: [B][g][r][j], int8
 *     hi_at                   B*64     hi = 1: [B][r][j], bit g is the fifth bit of the code
 *                             B*128    hi = 2: [B][g/4][r][j], bits 2*(g%4) and above are the fifth and sixth bit
 *     scales_at               ...      see enum kern_scales
 *
 * Padding (rows beyond n, blocks beyond k, the rest of the last line) is zero. A tile of F32, F16 or BF16 is [k][r], rounded up
 * to whole cache lines. */
#pragma once

#include "kern.h"

enum { KERN_BLOCK = 32, KERN_LINE = 64 };

/* What a unit keeps of scales, in this order; f16 stay as they were stored. */
enum kern_scales {
    KERN_SCALES_NONE, /* no quantised format */
    KERN_SCALES_D,    /* f16 d[B][16] */
    KERN_SCALES_DM,   /* f16 d[B][16], f16 m[B][16] */
    KERN_SCALES_K,    /* uint8 scale[B][16], uint8 min[B][16], f16 d[16], f16 dmin[16] */
    KERN_SCALES_S,    /* int8 scale[B][16], f16 d[16] */
    KERN_SCALES_SUB,  /* int8 scale[B][16][2] (of the halves of a block), f16 d[16] */
    KERN_SCALES_SUBM, /* int8 scale[B][16][2], uint8 min[B][16][2], f16 d[16], f16 dmin[16] */
    KERN_SCALES_E,    /* uint8 exponent[B][16] */
    KERN_SCALES_F8,   /* uint8 e4m3[B][16][2] (of the halves) */
};

struct kern_layout {
    enum kern_scales scales;
    uint8_t blocks, lo, hi; /* blocks in a unit, bits in the planes */
    uint8_t zero;           /* weight = code - zero, */
    const int8_t *values;   /* or values[code] where there is a codebook of 16 */
    float factor;           /* what the scale is multiplied by: a power of two */
    uint16_t hi_at, scales_at, bytes;
};

/* 32 weights of one output as stored, the zero point taken off, the codebook looked up. */
struct kern_block {
    int8_t q[KERN_BLOCK];
    uint16_t d, m;  /* f16 */
    uint8_t sub[2]; /* integer scales (int8 for S, SUB), exponents or e4m3 of the halves; [0] where there is one */
    uint8_t sub_min[2];
};

/* Numerics 3 for every format: I = sub[0]*I[0] + sub[1]*I[1], y = fma((float)I * d[0], dx, y); with a minimum then
 * M = sub_min[0]*S[0] + sub_min[1]*S[1], y = fma(m, dx * (float)M, y). A split format has a term per half instead:
 * y = fma((float)I[i] * d[i], dx, y). I[i], S[i] are the dot and the sum over half i. */
struct kern_terms {
    bool has_min, split;
    int32_t sub[2], sub_min[2];
    float d[2], m;
};

#define KERN_UNIT(B, LO, HI, SCALES, SCALE_BYTES)                                                                                \
    .blocks = (B), .lo = (LO), .hi = (HI), .hi_at = (B)*64 * (LO), .scales_at = (B)*64 * ((LO) + (HI)),                          \
    .scales = KERN_SCALES_##SCALES, .bytes = ((B)*64 * ((LO) + (HI)) + (SCALE_BYTES) + 63) / 64 * 64
/* Codebooks of 16, in the units of numerics 3: grids as they are, IQ1 times 8 with its shift of 1, the four-bit floats of MXFP4
 * and NVFP4 doubled. */
static const int8_t kern_values_iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
static const int8_t kern_values_fp4[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
static const int8_t kern_values_q2k[16] = {0, 1, 2, 3};
static const int8_t kern_values_q3k[16] = {-4, -3, -2, -1, 0, 1, 2, 3};
static const int8_t kern_values_few[16] = {-1, 0, 1, 2};
static const int8_t kern_values_iq2[16] = {8, 25, 43, -8, -25, -43};
static const int8_t kern_values_iq3_xxs[16] = {4, 12, 20, 28, 36, 44, 52, 62, -4, -12, -20, -28, -36, -44, -52, -62};
static const int8_t kern_values_iq3_s[16] = {1, 3, 5, 7, 9, 11, 13, 15, -1, -3, -5, -7, -9, -11, -13, -15};
static const int8_t kern_values_iq1[16] = {-9, -7, -1, 1, 7, 9};

/* Visible to the fast texts, whose offsets are to be constants. */
static const struct kern_layout kern_layouts[] = {
    [DTYPE_Q4_0] = {KERN_UNIT(2, 4, 0, D, 64), .zero = 8, .factor = 1},
    [DTYPE_Q4_1] = {KERN_UNIT(1, 4, 0, DM, 64), .factor = 1},
    [DTYPE_Q5_0] = {KERN_UNIT(2, 4, 1, D, 64), .zero = 16, .factor = 1},
    [DTYPE_Q5_1] = {KERN_UNIT(1, 4, 1, DM, 64), .factor = 1},
    [DTYPE_Q8_0] = {KERN_UNIT(2, 8, 0, D, 64), .factor = 1},
    [DTYPE_Q4_K] = {KERN_UNIT(8, 4, 0, K, 320), .factor = 1},
    [DTYPE_Q5_K] = {KERN_UNIT(8, 4, 1, K, 320), .factor = 1},
    [DTYPE_Q6_K] = {KERN_UNIT(8, 4, 2, SUB, 288), .zero = 32, .factor = 1},
    [DTYPE_Q2_K] = {KERN_UNIT(8, 4, 0, SUBM, 576), .values = kern_values_q2k, .factor = 1},
    [DTYPE_Q3_K] = {KERN_UNIT(8, 4, 0, SUB, 288), .values = kern_values_q3k, .factor = 1},
    [DTYPE_IQ4_NL] = {KERN_UNIT(2, 4, 0, D, 64), .values = kern_values_iq4, .factor = 1},
    [DTYPE_IQ4_XS] = {KERN_UNIT(8, 4, 0, S, 160), .values = kern_values_iq4, .factor = 1},
    [DTYPE_MXFP4] = {KERN_UNIT(4, 4, 0, E, 64), .values = kern_values_fp4, .factor = 1},
    [DTYPE_NVFP4] = {KERN_UNIT(2, 4, 0, F8, 64), .values = kern_values_fp4, .factor = 1},
    [DTYPE_IQ2_XXS] = {KERN_UNIT(8, 4, 0, S, 160), .values = kern_values_iq2, .factor = 0.125f},
    [DTYPE_IQ2_XS] = {KERN_UNIT(8, 4, 0, SUB, 288), .values = kern_values_iq2, .factor = 0.125f},
    [DTYPE_IQ2_S] = {KERN_UNIT(8, 4, 0, SUB, 288), .values = kern_values_iq2, .factor = 0.125f},
    [DTYPE_IQ3_XXS] = {KERN_UNIT(8, 4, 0, S, 160), .values = kern_values_iq3_xxs, .factor = 0.25f},
    [DTYPE_IQ3_S] = {KERN_UNIT(8, 4, 0, S, 160), .values = kern_values_iq3_s, .factor = 1},
    [DTYPE_IQ1_S] = {KERN_UNIT(8, 4, 0, S, 160), .values = kern_values_iq1, .factor = 0.125f},
    [DTYPE_IQ1_M] = {KERN_UNIT(8, 4, 0, SUB, 288), .values = kern_values_iq1, .factor = 0.125f},
    [DTYPE_TQ1_0] = {KERN_UNIT(2, 4, 0, D, 64), .values = kern_values_few, .factor = 1},
    [DTYPE_TQ2_0] = {KERN_UNIT(2, 4, 0, D, 64), .values = kern_values_few, .factor = 1},
    [DTYPE_Q1_0] = {KERN_UNIT(2, 4, 0, D, 64), .values = kern_values_few, .factor = 1},
    [DTYPE_Q2_0] = {KERN_UNIT(2, 4, 0, D, 64), .values = kern_values_few, .factor = 1},
};
/* NULL for a type that is not quantised or not supported. */
const struct kern_layout *kern_layout(uint32_t dtype);
static inline bool kern_is_dense(uint32_t dtype) {
    return dtype == DTYPE_F32 || dtype == DTYPE_F16 || dtype == DTYPE_BF16;
}
uint64_t kern_tile_bytes(uint32_t dtype, uint32_t k);

/* Block `at` (of 32) of a stored block of dtype. */
void kern_block_load(uint32_t dtype, const uint8_t *stored, unsigned at, struct kern_block *b);
/* Block b of output `row` (0..15) of a packed tile. */
void kern_block_read(const struct kern_layout *f, const uint8_t *tile, uint32_t b, unsigned row, struct kern_block *out);
void kern_block_terms(const struct kern_layout *f, const struct kern_block *b, struct kern_terms *t);
/* One dense weight. `stored` is an array of dtype. */
float kern_dense_at(uint32_t dtype, const void *stored, uint64_t i);

/* The plain texts of struct kern's members. */
void acts_fill_def(struct kern_acts *a, const float *x, size_t x_stride, uint32_t from, uint32_t to, uint8_t *faults);
void matmul_def(const struct kern_packed *w, const struct kern_acts *a, float *y, size_t y_stride, uint32_t from, uint32_t to);
/* kern_amx.c's; kern_avx512.c makes them the tier of that name. */
void acts_fill_amx(struct kern_acts *a, const float *x, size_t x_stride, uint32_t from, uint32_t to, uint8_t *faults);
void matmul_amx(const struct kern_packed *w, const struct kern_acts *a, float *y, size_t y_stride, uint32_t from, uint32_t to);
