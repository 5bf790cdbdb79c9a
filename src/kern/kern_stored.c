/* kern_stored: what GGUF's blocks hold. One function per format takes apart 32 weights; the structs are those of the format
 * (little-endian, no padding), and `at` is the number of the 32 in the stored block. */
#include <string.h>

#include "kern_dot.h"

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

static void (*const loaders[])(const uint8_t *stored, unsigned at, struct kern_block *b) = {
    [DTYPE_Q4_0] = load_q4_0, [DTYPE_Q4_1] = load_q4_1, [DTYPE_Q5_0] = load_q5_0, [DTYPE_Q5_1] = load_q5_1,
    [DTYPE_Q8_0] = load_q8_0, [DTYPE_Q4_K] = load_q4_k, [DTYPE_Q5_K] = load_q5_k, [DTYPE_Q6_K] = load_q6_k,
};
_Static_assert(N_ITEMS(loaders) == N_ITEMS(kern_layouts), "a format has a loader and a layout");

void kern_block_load(uint32_t dtype, const uint8_t *stored, unsigned at, struct kern_block *b) {
    *b = (struct kern_block){0};
    loaders[dtype](stored, at, b);
}
