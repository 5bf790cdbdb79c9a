/* dot_cases: inputs for the tests of matrix products, and the exact comparison of one tier's text with the definition. The
 * generator is a counter and integer arithmetic only, so that its bits are the same everywhere. */
#pragma once

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kern/kern_dot.h"

struct rng {
    uint64_t state;
};
static uint64_t rng_next(struct rng *r) { /* splitmix64 */
    uint64_t z = r->state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}
static uint32_t rng_below(struct rng *r, uint32_t n) {
    return (uint32_t)(rng_next(r) >> 32) % n;
}
static float rng_float(struct rng *r) {
    return (float)((int32_t)(rng_next(r) >> 40) - (1 << 23)) * 0x1p-23f;
} /* [-1, 1) */

static void *need(size_t n) {
    void *p = aligned_alloc(64, (n + 127) / 64 * 64);
    ASSERT(p);
    memset(p, 0, (n + 127) / 64 * 64);
    return p;
}

/* Formats of the tests, with the offsets of f16 scales in a stored block (-1: none). */
static const struct format_case {
    uint32_t dtype;
    int d, m;
} format_cases[] = {
    {DTYPE_F32, -1, -1},   {DTYPE_F16, 0, -1},     {DTYPE_BF16, -1, -1},  {DTYPE_Q4_0, 0, -1},   {DTYPE_Q4_1, 0, 2},
    {DTYPE_Q5_0, 0, -1},   {DTYPE_Q5_1, 0, 2},     {DTYPE_Q8_0, 0, -1},   {DTYPE_Q4_K, 0, 2},    {DTYPE_Q5_K, 0, 2},
    {DTYPE_Q6_K, 208, -1}, {DTYPE_Q2_K, 80, 82},   {DTYPE_Q3_K, 108, -1}, {DTYPE_IQ4_NL, 0, -1}, {DTYPE_IQ4_XS, 0, -1},
    {DTYPE_MXFP4, -1, -1}, {DTYPE_NVFP4, -1, -1},  {DTYPE_TQ1_0, 52, -1}, {DTYPE_TQ2_0, 64, -1}, {DTYPE_Q1_0, 0, -1},
    {DTYPE_Q2_0, 0, -1},   {DTYPE_IQ2_XXS, 0, -1}, {DTYPE_IQ2_XS, 0, -1}, {DTYPE_IQ2_S, 0, -1},  {DTYPE_IQ3_XXS, 0, -1},
    {DTYPE_IQ3_S, 0, -1},  {DTYPE_IQ1_S, 0, -1},   {DTYPE_IQ1_M, -1, -1},
};

/* Ways to fill a case; weights and scales, and activations. */
enum { WEIGHT_MODES = 8, X_MODES = 9 };

static uint16_t f16_case(struct rng *r, unsigned mode) {
    uint16_t sign = (uint16_t)(rng_next(r) & 0x8000);
    switch (mode) {
    case 1: return (uint16_t)(sign | rng_below(r, 0x400));                         /* zeros and subnormals */
    case 2: return (uint16_t)(sign | rng_below(r, 0x7c00));                        /* any */
    case 3: return rng_below(r, 2) ? 0x7bff : 1;                                   /* largest, smallest */
    case 4: return (uint16_t)(rng_below(r, 4) ? 0x2000 + rng_below(r, 0x800) : 0); /* some zero */
    default: return (uint16_t)(0x1c00 + rng_below(r, 0x1000));
    }
}

static void fill_dense(struct rng *r, uint32_t dtype, unsigned mode, size_t n, uint8_t *out) {
    for (size_t i = 0; i < n; i++) {
        union {
            float f;
            uint32_t bits;
        } v = {rng_float(r)};
        if (mode == 1)
            v.f *= 0x1p-126f;
        else if (mode == 2)
            v.f *= rng_below(r, 2) ? 0x1p40f : 1;
        else if (mode == 3 && rng_below(r, 2))
            v.f = 0;
        uint16_t half = dtype == DTYPE_F16 ? f16_case(r, mode) : (uint16_t)(v.bits >> 16);
        if (dtype == DTYPE_F32)
            memcpy(out + 4 * i, &v.f, 4);
        else
            memcpy(out + 2 * i, &half, 2);
    }
}

static void fill_weights(struct rng *r, const struct format_case *c, unsigned mode, uint32_t n, uint32_t k, uint8_t *out) {
    const struct dtype_info *info = dtype_info(c->dtype);
    if (info->block_values == 1) {
        fill_dense(r, c->dtype, mode, (size_t)n * k, out);
        return;
    }
    size_t n_blocks = (size_t)n * k / info->block_values;
    for (size_t b = 0; b < n_blocks; b++, out += info->block_bytes) {
        for (unsigned i = 0; i < info->block_bytes; i++) {
            uint8_t any = (uint8_t)rng_next(r);
            out[i] = mode == 5 ? 0 : mode == 6 ? 0xff : mode == 7 ? (any & 1 ? 0x80 : 0x7f) : any;
        }
        uint16_t d = f16_case(r, mode), m = f16_case(r, mode);
        if (c->d >= 0)
            memcpy(out + c->d, &d, 2);
        if (c->m >= 0)
            memcpy(out + c->m, &m, 2);
        if (c->dtype == DTYPE_MXFP4) /* the exponent: subnormal scales, and what cannot overflow */
            out[0] = (uint8_t)(mode == 1 ? rng_below(r, 4) : 60 + rng_below(r, 100));
        if (c->dtype == DTYPE_IQ1_M) /* the f16 lies in four nibbles; without its top exponent bit it is finite */
            out[55] &= 0xbf;
    }
}

/* Half integers times the block's scale: their products with its inverse lie on a tie, or just beside it, so that any other
 * rounding than numerics 2's gives other integers. */
static void fill_ties(struct rng *r, uint32_t n, float *x) {
    for (uint32_t b = 0; b + KERN_BLOCK <= n; b += KERN_BLOCK) {
        x[b] = 1 + rng_float(r) / 2;
        float step = x[b] / 127;
        for (uint32_t i = b + 1; i < b + KERN_BLOCK; i++)
            x[i] = ((float)rng_below(r, 253) / 2 - 63) * step;
    }
}

static void fill_x(struct rng *r, unsigned mode, uint32_t rows, uint32_t k, float *x) {
    if (mode == 8) {
        fill_ties(r, rows * k, x);
        return;
    }
    for (uint32_t row = 0; row < rows; row++)
        for (uint32_t i = 0; i < k; i++) {
            float v = rng_float(r);
            switch (mode) {
            case 1: v *= 0x1p-98f; break;                       /* around the smallest block that counts */
            case 2: v *= rng_below(r, 2) ? 0x1p60f : 1; break;  /* huge beside small */
            case 3: v = i / KERN_BLOCK % 3 == 0 ? 0 : v; break; /* zero blocks */
            case 4: v *= 0x1p-130f; break;                      /* denormal */
            case 5: v = 1; break;
            case 6: v = row % 2 ? -1 : 1; break;
            case 7: v = rng_below(r, 2) ? -1 : 1; break;
            }
            x[(size_t)row * k + i] = v;
        }
}

struct dot_fns {
    const char *name;
    uint32_t panel;
    void (*acts_fill)(struct kern_acts *a, const float *x, size_t x_stride, uint32_t from, uint32_t to, uint8_t *faults);
    void (*matmul)(const struct kern_packed *w, const struct kern_acts *a, float *y, size_t y_stride, uint32_t from, uint32_t to);
};

/* One product: packed weights, rows, and outputs with `pad` floats between the rows. */
struct dot_case {
    struct kern_packed w;
    uint8_t *packed;
    float *x;
    uint32_t rows, y_stride;
};

static struct dot_case case_make(const struct format_case *c, uint32_t n, uint32_t k, uint32_t rows, unsigned w_mode,
                                 unsigned x_mode, uint64_t seed) {
    struct rng r = {seed};
    struct dot_case out = {.rows = rows, .y_stride = n + 3};
    uint8_t *stored = need(n * dtype_bytes(c->dtype, k));
    out.packed = need(kern_packed_bytes(c->dtype, n, k));
    out.x = need((size_t)rows * k * sizeof(float));
    fill_weights(&r, c, w_mode, n, k, stored);
    fill_x(&r, x_mode, rows, k, out.x);
    struct err e = {0};
    if (kern_pack(c->dtype, n, k, stored, out.packed, &e) < 0) {
        fprintf(stderr, "%s: %s\n", dtype_info(c->dtype)->name, e.msg);
        abort();
    }
    out.w = (struct kern_packed){c->dtype, n, k, out.packed};
    free(stored);
    return out;
}

static void case_free(struct dot_case *c) {
    free(c->packed);
    free(c->x);
}

/* y [rows][y_stride], 0xff where nothing was written; acts and tiles in pieces that split_seed chooses (0: whole). */
static float *case_run(const struct dot_case *c, const struct dot_fns *fns, uint64_t split_seed) {
    struct rng r = {split_seed};
    enum kern_acts_kind kind = kern_acts_kind(c->w.type);
    struct kern_acts a = {kind, c->rows, c->w.k, need(kern_acts_bytes(kind, c->rows, c->w.k))};
    uint8_t *faults = need(c->rows);
    size_t bytes = (size_t)c->rows * c->y_stride * sizeof(float);
    float *y = need(bytes);
    memset(y, 0xff, bytes);
    for (uint32_t row = 0, to; row < c->rows; row = to) {
        to = split_seed ? row + fns->panel * (1 + rng_below(&r, 2)) : c->rows;
        to = to < c->rows ? to : c->rows;
        fns->acts_fill(&a, c->x, c->w.k, row, to, faults);
    }
    for (uint32_t tile = 0, to, n = kern_tiles(c->w.n); tile < n; tile = to) {
        to = split_seed ? tile + 1 + rng_below(&r, 3) : n;
        to = to < n ? to : n;
        for (uint32_t row = 0, end; row < c->rows; row = end) {
            end = split_seed ? row + KERN_PANEL * (1 + rng_below(&r, 3)) : c->rows;
            end = end < c->rows ? end : c->rows;
            struct kern_acts part = kern_acts_rows(&a, row, end);
            fns->matmul(&c->w, &part, y + (size_t)row * c->y_stride, c->y_stride, tile, to);
        }
    }
    free(a.data);
    free(faults);
    return y;
}

/* Different outputs between the definition and the tier, whole and split; what lies beyond n counts too. */
static size_t case_compare(const struct dot_case *c, const struct dot_fns *def, const struct dot_fns *tier) {
    size_t n = (size_t)c->rows * c->y_stride, bad = 0;
    float *want = case_run(c, def, 0);
    for (uint64_t split = 0; split < 2; split++) {
        float *got = case_run(c, tier, split * 77);
        for (size_t i = 0; i < n; i++)
            bad += memcmp(&want[i], &got[i], sizeof(float)) != 0;
        free(got);
    }
    free(want);
    return bad;
}

/* Every format in every mode on one tier, with shapes that leave rests everywhere; returns the number of failed formats. */
static inline unsigned cases_all(const struct dot_fns *def, const struct dot_fns *tier, size_t *outputs) {
    static const struct {
        uint32_t n, k, rows;
    } shapes[] = {{16, 32, 1}, {139, 288, 1}, {49, 96, 4}, {40, 1120, 13}, {72, 1536, 23}, {33, 288, 40}, {20, 77, 9}};
    unsigned failed = 0;
    for (const struct format_case *c = format_cases; c < format_cases + N_ITEMS(format_cases); c++) {
        uint32_t block = dtype_info(c->dtype)->block_values;
        size_t bad = 0;
        for (unsigned mode = 0; mode < WEIGHT_MODES; mode++)
            for (unsigned i = 0; i < N_ITEMS(shapes); i++) {
                uint32_t k = (shapes[i].k + block - 1) / block * block;
                struct dot_case one =
                    case_make(c, shapes[i].n, k, shapes[i].rows, mode, (mode + i) % X_MODES, 1 + mode * 100 + i);
                bad += case_compare(&one, def, tier);
                *outputs += 2 * (size_t)one.rows * one.w.n;
                case_free(&one);
            }
        for (uint32_t rows = 1; rows <= 41; rows++) { /* the last: scales and rows so small that MXFP4's sums are -0 */
            unsigned x_mode = rows == 41;
            struct dot_case one = case_make(c, 24, (544 + block - 1) / block * block, rows, rows % WEIGHT_MODES, x_mode, rows);
            bad += case_compare(&one, def, tier);
            *outputs += 2 * (size_t)rows * one.w.n;
            case_free(&one);
        }
        if (bad)
            printf("FAIL %s %s: %zu outputs differ from the definition\n", tier->name, dtype_info(c->dtype)->name, bad);
        failed += bad != 0;
    }
    return failed;
}

/* Rows that are not finite: NULL, or what is wrong with how they are told. */
static const char *faults_wrong(const struct dot_fns *fns) {
    const struct format_case *f = &format_cases[3];
    struct dot_case good = case_make(f, 16, 320, 20, 0, 0, 5), bad = case_make(f, 16, 320, 20, 0, 0, 5);
    const char *wrong = NULL;
    const uint32_t bad_rows[] = {3, 9, 19};
    for (unsigned i = 0; i < N_ITEMS(bad_rows); i++)
        memset(good.x + bad_rows[i] * 320, 0, 320 * sizeof(float));
    bad.x[3 * 320 + 319] = (float)INFINITY, bad.x[9 * 320] = (float)NAN, bad.x[19 * 320 + 31] = -(float)INFINITY;
    for (enum kern_acts_kind kind = KERN_ACTS_F32; kind <= KERN_ACTS_Q8; kind++)
        for (uint32_t rows = 20; rows <= 28; rows += 8) { /* the rest behind 16 rows in another layout */
            uint8_t faults[20] = {0}, want[20] = {[3] = 1, [9] = 1, [19] = 1};
            size_t bytes = kern_acts_bytes(kind, rows, 320);
            struct kern_acts a = {kind, rows, 320, need(bytes)}, b = {kind, rows, 320, need(bytes)};
            fns->acts_fill(&a, good.x, 320, 0, 20, faults);
            wrong = memchr(faults, 1, sizeof faults) ? "a fault without cause" : wrong;
            fns->acts_fill(&b, bad.x, 320, 0, 20, faults);
            wrong = memcmp(faults, want, sizeof want) ? "not exactly the rows with NaN or infinity are flagged" : wrong;
            wrong = memcmp(a.data, b.data, bytes) ? "a faulty row is not zeros, or moved another" : wrong;
            free(a.data);
            free(b.data);
        }
    case_free(&good);
    case_free(&bad);
    return wrong;
}
