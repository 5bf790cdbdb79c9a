/* kern: all arithmetic and every layout of weights, activations and KV cache (docs/numerics.md is what it means).
 *
 *     const struct kern *kern = kern_get(NULL, &e);                  // the fastest tier of this machine, or MOAT_ISA's
 *     kern_pack(DTYPE_Q4_0, n, k, rows, packed_bytes, &e);           // once per tensor
 *     kern->acts_fill(&acts, x, k, 0, n_rows, faults);               // in parallel over panels of rows
 *     kern->matmul(&w, &acts, y, n, 0, kern_tiles(n));               // in parallel over tiles of 16 outputs
 *
 * kern allocates nothing and starts no thread: who calls owns memory and splits the work. Whatever the split, the tier, the
 * compiler: the same bits. A row is one (sequence, position); everything is row-major float32 unless said otherwise. */
#pragma once

#include "../base/base.h"

enum {
    KERN_TILE = 16,      /* outputs in a tile: the unit in which matmul is split */
    KERN_PANEL = 16,     /* rows in a panel of activations at most; struct kern's panel divides it */
    KERN_PAGE = 64,      /* positions in a KV page */
    KERN_HEAD_MAX = 512, /* d_k, d_v at most */
    KERN_SPLIT = 512,    /* positions in an attention split (numerics 7) */
    KERN_ALIGN = 64,     /* alignment of packed weights, pages, activations and scratch */
};

/* ---- weights ---------------------------------------------------------------------------------------------------- */

/* Names the bytes that kern_pack makes: goes up when any of them changes, so that packed weights that were kept are made anew. */
enum { KERN_PACKED_VERSION = 1 };
/* A matrix of n outputs by k inputs in tiles of 16 outputs; the last tile is padded with zero rows. */
struct kern_packed {
    enum dtype type;
    uint32_t n, k;
    const uint8_t *data; /* kern_packed_bytes(type, n, k) of them, aligned to KERN_ALIGN, borrowed */
};
bool kern_supports(uint32_t dtype);                                 /* matmul, pack and decode exist for it */
uint64_t kern_packed_bytes(uint32_t dtype, uint32_t n, uint32_t k); /* 0: not supported, or k is no multiple of the block */
/* Packs n rows of k values as GGUF stores them (dtype_bytes(type, k) each). Refuses a scale, minimum or plain weight that is
 * not finite (ERR_INPUT; e->where stays for the caller to fill with the tensor's name, e->msg names row and block). */
int kern_pack(uint32_t dtype, uint32_t n, uint32_t k, const void *rows, uint8_t *out, struct err *e) MUST_USE;
/* The exact values of one stored row of n values, and of one packed output row (token embeddings, `moat show --tensor`). */
void kern_decode(uint32_t dtype, uint64_t n, const void *stored, float *out);
void kern_packed_row(const struct kern_packed *w, uint32_t row, float *out);
static inline uint32_t kern_tiles(uint32_t n) {
    return (n + KERN_TILE - 1) / KERN_TILE;
}
/* Tiles [from, to) by themselves. */
static inline struct kern_packed kern_packed_tiles(const struct kern_packed *w, uint32_t from, uint32_t to) {
    uint32_t first = from * KERN_TILE, end = to * KERN_TILE < w->n ? to * KERN_TILE : w->n;
    return (struct kern_packed){w->type, end - first, w->k, w->data + kern_packed_bytes(w->type, first, w->k)};
}

/* ---- activations ------------------------------------------------------------------------------------------------- */

enum kern_acts_kind { KERN_ACTS_F32, KERN_ACTS_Q8 }; /* dense weights take float rows; quantised ones take numerics 2's blocks */
struct kern_acts {
    enum kern_acts_kind kind;
    uint32_t rows, k;
    uint8_t *data; /* kern_acts_bytes(kind, rows, k), aligned to KERN_ALIGN; its layout is the tier's own */
};
enum kern_acts_kind kern_acts_kind(uint32_t dtype);
uint64_t kern_acts_bytes(enum kern_acts_kind kind, uint32_t rows, uint32_t k);
/* Rows [from, to) of a for matmul. Panels of KERN_PANEL rows follow one another in every tier's layout: `from` begins one, `to`
 * ends one or is a->rows. */
static inline struct kern_acts kern_acts_rows(const struct kern_acts *a, uint32_t from, uint32_t to) {
    return (struct kern_acts){a->kind, to - from, a->k, a->data + kern_acts_bytes(a->kind, from, a->k)};
}

/* ---- rotary positions (numerics 6) --------------------------------------------------------------------------------- */

enum kern_rope_scaling { KERN_ROPE_NONE, KERN_ROPE_LINEAR, KERN_ROPE_LLAMA3, KERN_ROPE_YARN, KERN_ROPE_LONGROPE };
struct kern_rope_spec {
    uint32_t n_dims; /* rotated dimensions of a head, even */
    float base;      /* theta */
    enum kern_rope_scaling scaling;
    float factor;                            /* linear, llama3, yarn: > 0 */
    float low_freq_factor, high_freq_factor; /* llama3 */
    float original_ctx;                      /* llama3, yarn, longrope */
    float beta_fast, beta_slow, ext_factor;  /* yarn; ext_factor 1 switches it on */
    bool yarn_truncate;                      /* round the ramp's bounds to whole dimensions */
    float attn_factor;                       /* multiplies cos and sin; 0 means 1 */
    const float *factors; /* n_dims/2 divisors of the inverse frequencies (longrope, rope_freqs tensor), or NULL */
};
/* inv_freq[n_dims/2] in binary64 */
void kern_rope_init(const struct kern_rope_spec *spec, double *inv_freq);
/* cos and sin of one position: table[2*i] = c, table[2*i+1] = s for pair i, each rounded to float once. */
void kern_rope_row(const struct kern_rope_spec *spec, const double *inv_freq, uint32_t position, float *table);
/* The attn_factor of a model that names none: yarn 0.1 ln(factor) + 1, longrope sqrt(1 + ln(factor)/ln(original_ctx)) with
 * factor = served or trained context / original; 1 for the others and for factor <= 1. */
float kern_rope_attn_factor(enum kern_rope_scaling scaling, float factor, float original_ctx);

/* ---- KV cache ------------------------------------------------------------------------------------------------------ */

/* One layer's part of a page of KERN_PAGE positions. Keys lie in tiles of 16 positions, [d_k][16]; values row-major. */
struct kern_kv {
    enum dtype type; /* DTYPE_F16, DTYPE_F32; DTYPE_Q8_0 stands for numerics 7's q8 */
    uint32_t heads, d_k, d_v;
    uint64_t at; /* offset of this layer in a page: the model lays layers one after the other */
};
uint64_t kern_kv_bytes(const struct kern_kv *kv); /* of one page's part, a multiple of KERN_ALIGN */

/* Attention of consecutive rows of one sequence: row i is at position pos0 + i and sees positions 0..pos0+i (or the last
 * `window` of them, itself included). All keys and values up to pos0+n_rows-1 have been written before. */
struct kern_attn {
    const struct kern_kv *kv;
    uint8_t *const *pages; /* page table: page p holds positions [64 p, 64 p + 64) */
    const float *q;        /* [n_rows] rows of n_heads * d_k, q_stride floats apart, already scaled (numerics 7) */
    size_t q_stride;
    float *out; /* [n_rows] rows of n_heads * d_v */
    size_t out_stride;
    uint32_t n_rows, pos0, n_heads;
    uint32_t window;     /* 0: all */
    float softcap;       /* 0: none */
    const float *slopes; /* ALiBi, per head, or NULL */
    const float *sinks;  /* per head, or NULL */
};
/* Splits that some row of the job sees: [first, end). One call of kern->attn handles one KV head in one split. */
void kern_attn_splits(const struct kern_attn *job, uint32_t *first, uint32_t *end);
/* Bytes of the partial result of one (KV head, split), aligned to KERN_ALIGN. */
uint64_t kern_attn_part_bytes(const struct kern_attn *job);

/* ---- the table of operations ---------------------------------------------------------------------------------------- */

/* Filled with the plain C text first, then overwritten by what the CPU has. y, x, out may be the same array where both are
 * named in one argument list of elementwise operations; nowhere else. n is a count of floats, any value. */
struct kern {
    const char *name; /* "c", "avx2", "avxvnni", "avx512", "amx", "neon", "i8mm" */
    uint32_t panel;   /* rows in a panel: the unit in which acts_fill is split */

    /* Rows [from, to) of x (x_stride floats apart), from a multiple of `panel`. Sets faults[row] = 1 where a value is not
     * finite (and treats the row as zeros); leaves it alone otherwise. */
    void (*acts_fill)(struct kern_acts *a, const float *x, size_t x_stride, uint32_t from, uint32_t to, uint8_t *faults);
    /* y[row][o] for all rows of a and the outputs of tiles [from, to); y_stride >= n; nothing beyond n is written. */
    void (*matmul)(const struct kern_packed *w, const struct kern_acts *a, float *y, size_t y_stride, uint32_t from, uint32_t to);

    void (*rms_norm)(uint32_t n, const float *x, const float *w, float eps, float *y); /* w may be NULL (all ones: no product) */
    void (*layer_norm)(uint32_t n, const float *x, const float *w, const float *b, float eps,
                       float *y);                                        /* w, b may be NULL: 1, 0 */
    void (*add)(uint32_t n, const float *x, const float *y, float *out); /* x + y: residual, bias */
    void (*scale)(uint32_t n, const float *x, float s, float *out);      /* x * s */
    void (*divide)(uint32_t n, const float *x, float s, float *out);     /* x / s */
    void (*axpy)(uint32_t n, float s, const float *x, float *y);         /* y = fma(s, x, y) */
    void (*clamp)(uint32_t n, float *x, float limit);                    /* to [-limit, limit] */
    void (*softcap)(uint32_t n, const float *x, float cap, float *out);  /* cap * tanh(x / cap) */
    void (*silu)(uint32_t n, const float *x, float *y);
    void (*gelu_tanh)(uint32_t n, const float *x, float *y);
    void (*gelu_erf)(uint32_t n, const float *x, float *y);
    void (*relu2)(uint32_t n, const float *x, float *y);                          /* max(x, 0)^2; makes a number of a NaN */
    void (*silu_mul)(uint32_t n, const float *gate, const float *up, float *out); /* act(gate) * up */
    void (*gelu_tanh_mul)(uint32_t n, const float *gate, const float *up, float *out);
    void (*gelu_erf_mul)(uint32_t n, const float *gate, const float *up, float *out);
    /* Rotates the first n_dims of each of `heads` heads of d floats. adjacent: pairs (2i, 2i+1); else (i, i + n_dims/2). */
    void (*rope)(uint32_t heads, uint32_t d, uint32_t n_dims, bool adjacent, const float *table, float *x);
    float (*max)(uint32_t n, const float *x); /* n >= 1, no NaN */
    bool (*finite)(uint32_t n, const float *x);
    void (*softmax)(uint32_t n, const float *x, float *p); /* sums by numerics 5 */
    /* w[i] = (uint64)(exp((x[i] - max) / t) * 2^44); returns their exact sum (numerics 9). */
    uint64_t (*weights)(uint32_t n, const float *x, float max, float t, uint64_t *w);

    /* Writes keys [heads][d_k] and values [heads][d_v] of one position into its page, rounded to the cache's type. */
    void (*kv_write)(const struct kern_kv *kv, uint8_t *page, uint32_t slot, const float *k, const float *v);
    /* Partial attention of all rows for one KV head in one split into part; then, with the parts of splits [first, end) in
     * order, the merge into out for that KV head's query heads. */
    void (*attn)(const struct kern_attn *job, uint32_t kv_head, uint32_t split, void *part);
    void (*attn_merge)(const struct kern_attn *job, uint32_t kv_head, uint32_t n_parts, void *const *parts);
};

/* The table of a tier by name, or with NULL that of MOAT_ISA, or the best this CPU has. Small products are computed with it first:
 * the best tier is left out, with an error in the log, when their bits are not the definition's. ERR_ENV when the tier that was
 * named does so, when the CPU lacks it or the name is unknown (the message lists what it has). The result is a constant. */
const struct kern *kern_get(const char *isa, struct err *e);
/* Tiers of this CPU from the plainest to the fastest: i = 0, 1, ... until NULL. */
const char *kern_isa(unsigned i);
/* What a tier is held against: loops in registers of the instructions that its int8 products, and float32 fma, are made of. run does
 * n steps and tells how many products are in its sums: n * products (exact for n <= 1024; beyond, sums may wrap). NULL where the
 * compiler chooses instructions: tier "c". Only for a tier that kern_get gave. */
struct kern_loop {
    double (*run)(uint64_t n);
    uint32_t products; /* of a step, each of which is also a sum: two operations */
};
struct kern_ceiling {
    struct kern_loop int8, f32;
};
const struct kern_ceiling *kern_ceiling(const struct kern *kern);
/* Floating-point control of this thread as numerics 1 wants it; false when it had to be corrected. Called once a step. */
bool kern_fp_assert(void);
/* numerics 9: natural logarithm in binary64, for log-probabilities. x > 0, finite. */
double kern_log(double x);
double kern_exp2(double x); /* numerics 6: in binary64, of |x| <= 1021; for rotary frequencies and ALiBi slopes */
float kern_exp(float x);
uint16_t kern_f16_from(float x); /* nearest even, clamped to +-65504 */
float kern_f16_to(uint16_t h);
