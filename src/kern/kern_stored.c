/* kern_stored: what GGUF's blocks hold. One function per format takes apart 32 weights; the structs are those of the format
 * (little-endian, no padding), and `at` is the number of the 32 in the stored block. */
#include <string.h>

#include "kern_dot.h"
#include "kern_grids.h"

static uint16_t u16_at(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}
static uint32_t u32_at(const uint8_t *p) {
    return (uint32_t)u16_at(p) | (uint32_t)u16_at(p + 2) << 16;
}
static unsigned bit_at(uint32_t bits, unsigned i) {
    return bits >> i & 1;
}

/* 16 bytes: low nibbles are weights 0..15, high nibbles 16..31. */
static void nibbles(const uint8_t *qs, int zero, int8_t *q) {
    for (unsigned i = 0; i < 16; i++) {
        q[i] = (int8_t)((qs[i] & 15) - zero);
        q[16 + i] = (int8_t)((qs[i] >> 4) - zero);
    }
}

/* Q4_0: d, qs[16]. Q4_1: d, m, qs[16]. */
static void load_q4_0(const uint8_t *s, unsigned at, struct kern_block *b) {
    (void)at;
    b->d = u16_at(s);
    nibbles(s + 2, 8, b->q);
}
static void load_q4_1(const uint8_t *s, unsigned at, struct kern_block *b) {
    (void)at;
    b->d = u16_at(s);
    b->m = u16_at(s + 2);
    nibbles(s + 4, 0, b->q);
}

/* Q5_0: d, qh[4] (bit i is the fifth bit of weight i), qs[16]. Q5_1: d, m, qh, qs. */
static void add_fifth_bits(uint32_t qh, int8_t *q) {
    for (unsigned i = 0; i < 32; i++)
        q[i] = (int8_t)(q[i] + (int)(bit_at(qh, i) << 4));
}
static void load_q5_0(const uint8_t *s, unsigned at, struct kern_block *b) {
    (void)at;
    b->d = u16_at(s);
    nibbles(s + 6, 16, b->q);
    add_fifth_bits(u32_at(s + 2), b->q);
}
static void load_q5_1(const uint8_t *s, unsigned at, struct kern_block *b) {
    (void)at;
    b->d = u16_at(s);
    b->m = u16_at(s + 2);
    nibbles(s + 8, 0, b->q);
    add_fifth_bits(u32_at(s + 4), b->q);
}

/* Q8_0: d, qs[32]. */
static void load_q8_0(const uint8_t *s, unsigned at, struct kern_block *b) {
    (void)at;
    b->d = u16_at(s);
    memcpy(b->q, s + 2, 32);
}

/* Q4_K, Q5_K: d, dmin, 8 scales and 8 minima of 6 bits in 12 bytes, Q5_K: qh[32] (bit `at` of byte i is the fifth bit of weight
 * i), qs[128]: 32 bytes hold two blocks, the even one in the low nibbles. */
static void scale_min_k(const uint8_t *scales, unsigned at, struct kern_block *b) {
    const uint8_t *p = scales + at;
    b->sub[0] = at < 4 ? p[0] & 63 : (uint8_t)((p[4] & 15) | p[-4] >> 6 << 4);
    b->sub_min[0] = at < 4 ? p[4] & 63 : (uint8_t)(p[4] >> 4 | p[0] >> 6 << 4);
}
static void load_q4_k(const uint8_t *s, unsigned at, struct kern_block *b) {
    b->d = u16_at(s);
    b->m = u16_at(s + 2);
    scale_min_k(s + 4, at, b);
    const uint8_t *qs = s + 16 + at / 2 * 32;
    for (unsigned i = 0; i < 32; i++)
        b->q[i] = (int8_t)(qs[i] >> at % 2 * 4 & 15);
}
static void load_q5_k(const uint8_t *s, unsigned at, struct kern_block *b) {
    b->d = u16_at(s);
    b->m = u16_at(s + 2);
    scale_min_k(s + 4, at, b);
    const uint8_t *qh = s + 16, *qs = s + 48 + at / 2 * 32;
    for (unsigned i = 0; i < 32; i++)
        b->q[i] = (int8_t)((qs[i] >> at % 2 * 4 & 15) | (int)(bit_at(qh[i], at) << 4));
}

/* Q6_K: ql[128], qh[64], int8 scales[16], d. Four blocks share 64 bytes of ql and 32 of qh. */
static void load_q6_k(const uint8_t *s, unsigned at, struct kern_block *b) {
    unsigned part = at % 4;
    const uint8_t *ql = s + at / 4 * 64 + part % 2 * 32, *qh = s + 128 + at / 4 * 32;
    for (unsigned i = 0; i < 32; i++)
        b->q[i] = (int8_t)(((ql[i] >> part / 2 * 4 & 15) | (qh[i] >> part * 2 & 3) << 4) - 32);
    memcpy(b->sub, s + 192 + 2 * at, 2);
    b->d = u16_at(s + 208);
}

/* Q2_K: scales[16] (low nibble scale, high nibble minimum of 16 weights), qs[64], d, dmin. Four blocks share 32 bytes of qs. */
static void load_q2_k(const uint8_t *s, unsigned at, struct kern_block *b) {
    const uint8_t *qs = s + 16 + at / 4 * 32;
    for (unsigned i = 0; i < 32; i++)
        b->q[i] = (int8_t)(qs[i] >> at % 4 * 2 & 3);
    for (unsigned half = 0; half < 2; half++) {
        b->sub[half] = s[2 * at + half] & 15;
        b->sub_min[half] = s[2 * at + half] >> 4;
    }
    b->d = u16_at(s + 80);
    b->m = u16_at(s + 82);
}

/* Q3_K: hmask[32] (bit `at` of byte i set: weight i is not lowered by 4), qs[64], 16 scales of 6 bits in 12 bytes, d. */
static void load_q3_k(const uint8_t *s, unsigned at, struct kern_block *b) {
    const uint8_t *qs = s + 32 + at / 4 * 32, *scales = s + 96;
    for (unsigned i = 0; i < 32; i++)
        b->q[i] = (int8_t)((qs[i] >> at % 4 * 2 & 3) - (bit_at(s[i], at) ? 0 : 4));
    for (unsigned half = 0; half < 2; half++) {
        unsigned i = 2 * at + half, low = scales[i % 8] >> i / 8 * 4 & 15, high = scales[8 + i % 4] >> i / 4 * 2 & 3;
        b->sub[half] = (uint8_t)((low | high << 4) - 32);
    }
    b->d = u16_at(s + 108);
}

/* 16 bytes of indices into a codebook, as nibbles() has its weights. */
static void codes(const uint8_t *qs, const int8_t *values, int8_t *q) {
    for (unsigned i = 0; i < 16; i++) {
        q[i] = values[qs[i] & 15];
        q[16 + i] = values[qs[i] >> 4];
    }
}

/* IQ4_NL: d, qs[16]. IQ4_XS: d, a word with 2 high bits and 4 bytes with 4 low bits of each of 8 scales, qs[128]. */
static void load_iq4_nl(const uint8_t *s, unsigned at, struct kern_block *b) {
    (void)at;
    b->d = u16_at(s);
    codes(s + 2, kern_values_iq4, b->q);
}
static void load_iq4_xs(const uint8_t *s, unsigned at, struct kern_block *b) {
    unsigned low = s[4 + at / 2] >> at % 2 * 4 & 15, high = u16_at(s + 2) >> 2 * at & 3;
    b->d = u16_at(s);
    b->sub[0] = (uint8_t)((low | high << 4) - 32);
    codes(s + 8 + 16 * at, kern_values_iq4, b->q);
}

/* MXFP4: exponent, qs[16]. NVFP4: e4m3[4] of 16 weights each, qs[32]: 8 bytes for 16 weights, low nibbles first. */
static void load_mxfp4(const uint8_t *s, unsigned at, struct kern_block *b) {
    (void)at;
    b->sub[0] = s[0];
    codes(s + 1, kern_values_fp4, b->q);
}
static void load_nvfp4(const uint8_t *s, unsigned at, struct kern_block *b) {
    const uint8_t *qs = s + 4 + 16 * at;
    memcpy(b->sub, s + 2 * at, 2);
    for (unsigned i = 0; i < 32; i++)
        b->q[i] = kern_values_fp4[qs[i / 16 * 8 + i % 8] >> i % 16 / 8 * 4 & 15];
}

/* TQ1_0: qs[48], qh[4], d. A byte is a fraction in base 3 of five digits, the weights of five rows of 32 (bytes 0..31), five rows
 * of 16 (bytes 32..47), four rows of 4 (qh). TQ2_0: qs[64], d. */
static int8_t ternary(uint8_t byte, unsigned digit) {
    static const uint8_t power[5] = {1, 3, 9, 27, 81};
    return (int8_t)(((uint8_t)(byte * power[digit]) * 3 >> 8) - 1);
}
static void load_tq1_0(const uint8_t *s, unsigned at, struct kern_block *b) {
    b->d = u16_at(s + 52);
    for (unsigned i = 0; i < 32; i++) {
        unsigned k = at * 32 + i;
        if (k < 160)
            b->q[i] = ternary(s[k % 32], k / 32);
        else if (k < 240)
            b->q[i] = ternary(s[32 + (k - 160) % 16], (k - 160) / 16);
        else
            b->q[i] = ternary(s[48 + (k - 240) % 4], (k - 240) / 4);
    }
}
static void load_tq2_0(const uint8_t *s, unsigned at, struct kern_block *b) {
    b->d = u16_at(s + 64);
    for (unsigned i = 0; i < 32; i++)
        b->q[i] = (int8_t)((s[at / 4 * 32 + i] >> at % 4 * 2 & 3) - 1);
}

/* Q1_0: d, 128 bits: -1 or 1. Q2_0: d, 64 times two bits, less 1. */
static void load_q1_0(const uint8_t *s, unsigned at, struct kern_block *b) {
    b->d = u16_at(s);
    for (unsigned i = 0; i < 32; i++)
        b->q[i] = bit_at(u32_at(s + 2 + 4 * at), i) ? 1 : -1;
}
static void load_q2_0(const uint8_t *s, unsigned at, struct kern_block *b) {
    b->d = u16_at(s);
    for (unsigned i = 0; i < 32; i++)
        b->q[i] = (int8_t)((s[2 + 8 * at + i / 4] >> i % 4 * 2 & 3) - 1);
}

/* ---- grids: 8 or 4 weights by an index into a codebook, and a sign each ------------------------------------------------------ */

static void grid_of_8(unsigned entry, unsigned signs, int8_t *q) {
    for (unsigned i = 0; i < 8; i++) {
        int8_t v = kern_values_iq2[entry >> 2 * i & 3];
        q[i] = bit_at(signs, i) ? (int8_t)-v : v;
    }
}
static void grid_of_4(const int8_t *values, unsigned entry, unsigned signs, int8_t *q) {
    for (unsigned i = 0; i < 4; i++) {
        int8_t v = values[entry >> 3 * i & 7];
        q[i] = bit_at(signs, i) ? (int8_t)-v : v;
    }
}
/* Seven signs; the eighth makes the number of minus signs even. */
static unsigned even_signs(unsigned seven) {
    return seven | (unsigned)__builtin_parity(seven) << 7;
}
static uint8_t odd(unsigned s) {
    return (uint8_t)(2 * s + 1);
}

/* IQ2_XXS: d; a block: 4 indices of 8 bits, then a word of 4 times 7 signs and a scale of 4 bits. */
static void load_iq2_xxs(const uint8_t *s, unsigned at, struct kern_block *b) {
    const uint8_t *p = s + 2 + 8 * at;
    uint32_t word = u32_at(p + 4);
    b->d = u16_at(s);
    b->sub[0] = odd(word >> 28);
    for (unsigned l = 0; l < 4; l++)
        grid_of_8(kern_grid_iq2_xxs[p[l]], even_signs(word >> 7 * l & 127), b->q + 8 * l);
}

/* IQ2_XS: d, words[32] (9 bits of index, 7 signs), scales[8] (a nibble for 16 weights). */
static void load_iq2_xs(const uint8_t *s, unsigned at, struct kern_block *b) {
    b->d = u16_at(s);
    b->sub[0] = odd(s[66 + at] & 15u);
    b->sub[1] = odd(s[66 + at] >> 4);
    for (unsigned l = 0; l < 4; l++) {
        unsigned word = u16_at(s + 2 + 8 * at + 2 * l);
        grid_of_8(kern_grid_iq2_xs[word & 511], even_signs(word >> 9), b->q + 8 * l);
    }
}

/* IQ2_S: d, qs[32] (8 bits of index), signs[32], qh[8] (2 more bits of 4 indices), scales[8]. */
static void load_iq2_s(const uint8_t *s, unsigned at, struct kern_block *b) {
    b->d = u16_at(s);
    b->sub[0] = odd(s[74 + at] & 15u);
    b->sub[1] = odd(s[74 + at] >> 4);
    for (unsigned l = 0; l < 4; l++) {
        unsigned index = s[2 + 4 * at + l] | (s[66 + at] >> 2 * l & 3u) << 8;
        grid_of_8(kern_grid_iq2_s[index], s[34 + 4 * at + l], b->q + 8 * l);
    }
}

/* IQ3_XXS: d, qs[64] (indices of 4 weights), a word for each block as in IQ2_XXS. */
static void load_iq3_xxs(const uint8_t *s, unsigned at, struct kern_block *b) {
    uint32_t word = u32_at(s + 66 + 4 * at);
    b->d = u16_at(s);
    b->sub[0] = odd(word >> 28);
    for (unsigned l = 0; l < 8; l++) {
        unsigned signs = even_signs(word >> 7 * (l / 2) & 127) >> l % 2 * 4;
        grid_of_4(kern_values_iq3_xxs, kern_grid_iq3_xxs[s[2 + 8 * at + l]], signs, b->q + 4 * l);
    }
}

/* IQ3_S: d, qs[64], qh[8] (the ninth bits of a block's indices), signs[32], scales[4] (a nibble for a block). */
static void load_iq3_s(const uint8_t *s, unsigned at, struct kern_block *b) {
    b->d = u16_at(s);
    b->sub[0] = odd(s[106 + at / 2] >> at % 2 * 4 & 15u);
    for (unsigned l = 0; l < 8; l++) {
        unsigned index = s[2 + 8 * at + l] | bit_at(s[66 + at], l) << 8, signs = s[74 + 4 * at + l / 2] >> l % 2 * 4;
        grid_of_4(kern_values_iq3_s, kern_grid_iq3_s[index], signs, b->q + 4 * l);
    }
}

/* 8 * grid + or - 1: the weights in eighths. */
static void grid_iq1(unsigned index, bool minus, int8_t *q) {
    for (unsigned i = 0; i < 8; i++)
        q[i] = (int8_t)(8 * kern_values_few[kern_grid_iq1[index] >> 2 * i & 3] + (minus ? -1 : 1));
}

/* IQ1_S: d, qs[32], words[8]: 4 times 3 bits of index, 3 bits of scale, the sign of the shift. */
static void load_iq1_s(const uint8_t *s, unsigned at, struct kern_block *b) {
    unsigned word = u16_at(s + 34 + 2 * at);
    b->d = u16_at(s);
    b->sub[0] = odd(word >> 12 & 7);
    for (unsigned l = 0; l < 4; l++)
        grid_iq1(s[2 + 4 * at + l] | (word >> 3 * l & 7) << 8, word >> 15, b->q + 8 * l);
}

/* IQ1_M: qs[32], qh[16] (a nibble for 8 weights: 3 bits of index, the sign of the shift), words[4]: four scales of 3 bits each,
 * and a nibble of d in the top. */
static void load_iq1_m(const uint8_t *s, unsigned at, struct kern_block *b) {
    unsigned word = u16_at(s + 48 + at / 2 * 2), d = 0;
    for (unsigned i = 0; i < 4; i++)
        d |= (unsigned)(u16_at(s + 48 + 2 * i) >> 12) << 4 * i;
    b->d = (uint16_t)d;
    for (unsigned half = 0; half < 2; half++)
        b->sub[half] = odd(word >> (at % 2 * 6 + half * 3) & 7);
    for (unsigned l = 0; l < 4; l++) {
        unsigned high = s[32 + 2 * at + l / 2] >> l % 2 * 4 & 15u;
        grid_iq1(s[4 * at + l] | (high & 7) << 8, high >> 3, b->q + 8 * l);
    }
}

static void (*const loaders[])(const uint8_t *stored, unsigned at, struct kern_block *b) = {
    [DTYPE_Q4_0] = load_q4_0,   [DTYPE_Q4_1] = load_q4_1,       [DTYPE_Q5_0] = load_q5_0,       [DTYPE_Q5_1] = load_q5_1,
    [DTYPE_Q8_0] = load_q8_0,   [DTYPE_Q4_K] = load_q4_k,       [DTYPE_Q5_K] = load_q5_k,       [DTYPE_Q6_K] = load_q6_k,
    [DTYPE_Q2_K] = load_q2_k,   [DTYPE_Q3_K] = load_q3_k,       [DTYPE_IQ4_NL] = load_iq4_nl,   [DTYPE_IQ4_XS] = load_iq4_xs,
    [DTYPE_MXFP4] = load_mxfp4, [DTYPE_NVFP4] = load_nvfp4,     [DTYPE_TQ1_0] = load_tq1_0,     [DTYPE_TQ2_0] = load_tq2_0,
    [DTYPE_Q1_0] = load_q1_0,   [DTYPE_Q2_0] = load_q2_0,       [DTYPE_IQ2_XXS] = load_iq2_xxs, [DTYPE_IQ2_XS] = load_iq2_xs,
    [DTYPE_IQ2_S] = load_iq2_s, [DTYPE_IQ3_XXS] = load_iq3_xxs, [DTYPE_IQ3_S] = load_iq3_s,     [DTYPE_IQ1_S] = load_iq1_s,
    [DTYPE_IQ1_M] = load_iq1_m,
};
_Static_assert(N_ITEMS(loaders) == N_ITEMS(kern_layouts), "a format has a loader and a layout");

void kern_block_load(uint32_t dtype, const uint8_t *stored, unsigned at, struct kern_block *b) {
    *b = (struct kern_block){0};
    loaders[dtype](stored, at, b);
}
