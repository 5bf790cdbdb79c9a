/* kern_def: what the texts of one operation share: the few scalar steps of numerics 1 and 5, how a page and a partial
 * attention result are laid out, and the table of each tier. Private to kern; kern_dot.h is its sibling for the products. */
#pragma once

#include <float.h>
#include <string.h>

#include "kern.h"
#include "kern_fma.h"

_Static_assert(FLT_EVAL_METHOD == 0, "numerics 1 needs floats that are not kept wider than they are");

/* kern_get among tiers that a machine has, from the plainest to the fastest. `where` is what asked for one by name. */
const struct kern *kern_choose(const struct kern *const *choices, unsigned n, const char *wanted, const char *where,
                               struct err *e);
/* Whether a tier computes what the definition does: small products of each kind, about a millisecond. */
bool kern_check(const struct kern *kern);

extern const struct kern kern_c, kern_avx2, kern_avxvnni, kern_avx512, kern_amx, kern_neon, kern_i8mm;

enum {
    LANES = 16,                          /* of a sum over one vector (numerics 5) */
    KV_TILE = 16,                        /* positions in a tile of keys */
    KV_PAGE_TILES = KERN_PAGE / KV_TILE, /* tiles in a page */
    KV_BLOCK = 32,                       /* values that share a scale in a q8 cache */
};
#define F16_MAX 65504.0f
#define NO_SCORE (-__builtin_inff()) /* the score of a position that is not visible, the maximum of none */

/* ---- scalars --------------------------------------------------------------------------------------------------- */

static inline uint32_t bits_of(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}
static inline float float_of(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* The order of the comparison is x86's: with a NaN in a, both give b. */
static inline float min32(float a, float b) {
    return a < b ? a : b;
}
static inline float max32(float a, float b) {
    return a > b ? a : b;
}
static inline uint32_t round_up(uint32_t n, uint32_t unit) {
    return (n + unit - 1) / unit * unit;
}

/* ---- the KV cache of one layer in a page: for each head its keys, then its values ----------------------------------- */

/* F16 and F32: keys [4 tiles][d_k][16 positions], values [64][kv_v_stride]. Q8: the same as int8, each part followed by its
 * float scales: keys [4][d_k/32][16], values [64][d_v/32]. Nothing reads what pads a row of values. */
static inline size_t kv_item_bytes(const struct kern_kv *kv) {
    return kv->type == DTYPE_F32 ? 4 : kv->type == DTYPE_F16 ? 2 : 1;
}
static inline uint32_t kv_v_stride(const struct kern_kv *kv) {
    return round_up(kv->d_v, LANES);
}
static inline size_t kv_scale_bytes(const struct kern_kv *kv, uint32_t d) {
    return kv->type == DTYPE_Q8_0 ? (size_t)KERN_PAGE * (d / KV_BLOCK) * sizeof(float) : 0;
}
/* The scale of values of a q8 cache whose largest magnitude is a: 127 times it is finite, or it would be infinite times the weight
 * 0 of who does not see it. */
static inline float kv_scale_of(float a) {
    const float most = 0x1.020406p+121f;
    return a < 0x1p-100f ? 0 : a / 127.0f < most ? a / 127.0f : most;
}
static inline size_t kv_k_bytes(const struct kern_kv *kv) {
    return (size_t)KERN_PAGE * kv->d_k * kv_item_bytes(kv) + kv_scale_bytes(kv, kv->d_k);
}
static inline size_t kv_v_bytes(const struct kern_kv *kv) {
    return (size_t)KERN_PAGE * kv_v_stride(kv) * kv_item_bytes(kv) + kv_scale_bytes(kv, kv->d_v);
}
static inline size_t kv_head_at(const struct kern_kv *kv, uint32_t head) {
    return (size_t)kv->at + head * (kv_k_bytes(kv) + kv_v_bytes(kv));
}

/* ---- a partial attention result: maximum, sum and weighted values of each (row, query head of the group) -------------- */

/* float m[items16], l[items16], o[items][kv_v_stride]; item = row * group + head within the group. */
struct attn_part {
    uint32_t items, group, stride;
    float *m, *l, *o;
};
static inline uint32_t attn_group(const struct kern_attn *job) {
    return job->n_heads / job->kv->heads;
}
static inline struct attn_part attn_part_at(const struct kern_attn *job, void *part) {
    struct attn_part p = {.group = attn_group(job), .stride = kv_v_stride(job->kv), .m = part};
    p.items = job->n_rows * p.group;
    p.l = p.m + round_up(p.items, LANES);
    p.o = p.l + round_up(p.items, LANES);
    return p;
}

/* First and end of the positions of a split that row i sees, counted from the split's first; equal when there is none. */
static inline void attn_span(const struct kern_attn *job, uint32_t i, uint32_t split, uint32_t *first, uint32_t *end) {
    uint32_t at = split * KERN_SPLIT, stop = job->pos0 + i + 1;
    uint32_t start = job->window && stop > job->window ? stop - job->window : 0;
    *end = stop <= at ? 0 : stop - at < KERN_SPLIT ? stop - at : KERN_SPLIT;
    *first = start <= at ? 0 : start - at < *end ? start - at : *end;
}

/* The merge, with the axpy, the scale and the exp of a tier. */
typedef void axpy_fn(uint32_t n, float s, const float *x, float *y);
typedef void scale_fn(uint32_t n, const float *x, float s, float *out);
typedef float exp_fn(float x);
void attn_merge_by(const struct kern_attn *job, uint32_t kv_head, uint32_t n_parts, void *const *parts, axpy_fn *add_scaled,
                   scale_fn *scale_by, exp_fn *exp_of);
