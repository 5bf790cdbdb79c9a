/* kern_def_dot: the meaning of quantised activations and of matrix products, numerics 2 to 4, in plain loops. Every faster
 * text is equal to it bit for bit. */
#include <string.h>

#include "kern_dot.h"
#include "kern_fma.h"

/* 32 activations: x = d * q, and the sums of the two halves. */
struct line {
    int8_t q[KERN_BLOCK];
    float d;
    int32_t sum[2];
    uint8_t unused[20];
};
_Static_assert(sizeof(struct line) == KERN_LINE, "kern_acts_bytes counts lines");

static bool is_finite(float x) {
    union {
        float f;
        uint32_t bits;
    } v = {x};
    return (v.bits & 0x7f800000) != 0x7f800000;
}

static bool row_finite(const float *x, uint32_t k) {
    for (uint32_t i = 0; i < k; i++)
        if (!is_finite(x[i]))
            return false;
    return true;
}

/* The nearest integer, ties to even, of |x| < 2^22: numerics 1 has no other way. */
static int32_t round_even(float x) {
    float shifted = x + 0x1.8p23f;
    return (int32_t)(shifted - 0x1.8p23f);
}

/* Numerics 2. */
static void quantise(const float *x, struct line *out) {
    float a = 0;
    for (unsigned i = 0; i < KERN_BLOCK; i++) {
        float v = x[i] < 0 ? -x[i] : x[i];
        a = v > a ? v : a;
    }
    *out = (struct line){0};
    if (a < 0x1p-100f)
        return;
    float id = 127 / a;
    out->d = a / 127;
    for (unsigned i = 0; i < KERN_BLOCK; i++) {
        int32_t q = round_even(x[i] * id);
        out->q[i] = (int8_t)q;
        out->sum[i / 16] += q;
    }
}

void acts_fill_def(struct kern_acts *a, const float *x, size_t x_stride, uint32_t from, uint32_t to, uint8_t *faults) {
    for (uint32_t row = from; row < to; row++) {
        const float *in = x + row * x_stride;
        uint64_t row_bytes = kern_acts_bytes(a->kind, 1, a->k);
        bool ok = row_finite(in, a->k);
        if (!ok)
            faults[row] = 1;
        if (a->kind == KERN_ACTS_F32) {
            float *out = (float *)a->data + (uint64_t)row * a->k;
            for (uint32_t i = 0; i < a->k; i++)
                out[i] = ok ? in[i] : 0;
            continue;
        }
        struct line *out = (struct line *)(a->data + row * row_bytes);
        for (uint32_t b = 0; b < a->k / KERN_BLOCK; b++)
            if (ok)
                quantise(in + b * KERN_BLOCK, &out[b]);
            else
                out[b] = (struct line){0};
    }
}

/* Numerics 3: what a block adds to y. */
static float add_block(const int8_t *w, const struct kern_terms *t, const struct line *x, float y) {
    int32_t dot[2] = {0};
    for (unsigned i = 0; i < KERN_BLOCK; i++)
        dot[i / 16] += w[i] * x->q[i];
    if (t->split) {
        y = fma32((float)dot[0] * t->d[0], x->d, y);
        return fma32((float)dot[1] * t->d[1], x->d, y);
    }
    int32_t all = t->sub[0] * dot[0] + t->sub[1] * dot[1];
    y = fma32((float)all * t->d[0], x->d, y);
    if (!t->has_min)
        return y;
    int32_t sums = t->sub_min[0] * x->sum[0] + t->sub_min[1] * x->sum[1];
    return fma32(t->m, x->d * (float)sums, y);
}

static void output_blocks(const struct kern_packed *w, const struct kern_acts *a, uint32_t o, float *y, size_t y_stride) {
    const struct kern_layout *f = kern_layout(w->type);
    const uint8_t *tile = w->data + o / KERN_TILE * kern_tile_bytes(w->type, w->k);
    uint32_t n_blocks = w->k / KERN_BLOCK;
    for (uint32_t row = 0; row < a->rows; row++)
        y[row * y_stride + o] = 0;
    for (uint32_t b = 0; b < n_blocks; b++) {
        struct kern_block block;
        struct kern_terms terms;
        kern_block_read(f, tile, b, o % KERN_TILE, &block);
        kern_block_terms(f, &block, &terms);
        for (uint32_t row = 0; row < a->rows; row++) {
            const struct line *x = (const struct line *)a->data + (uint64_t)row * n_blocks + b;
            float *out = &y[row * y_stride + o];
            *out = add_block(block.q, &terms, x, *out);
        }
    }
}

/* Numerics 4. */
static void output_dense(const struct kern_packed *w, const struct kern_acts *a, uint32_t o, float *y, size_t y_stride) {
    const uint8_t *tile = w->data + o / KERN_TILE * kern_tile_bytes(w->type, w->k);
    for (uint32_t row = 0; row < a->rows; row++) {
        const float *x = (const float *)a->data + (uint64_t)row * w->k;
        float sum = 0;
        for (uint32_t k = 0; k < w->k; k++)
            sum = fma32(kern_dense_at(w->type, tile, (uint64_t)k * KERN_TILE + o % KERN_TILE), x[k], sum);
        y[row * y_stride + o] = sum;
    }
}

void matmul_def(const struct kern_packed *w, const struct kern_acts *a, float *y, size_t y_stride, uint32_t from, uint32_t to) {
    for (uint32_t o = from * KERN_TILE; o < to * KERN_TILE && o < w->n; o++)
        if (kern_is_dense(w->type))
            output_dense(w, a, o, y, y_stride);
        else
            output_blocks(w, a, o, y, y_stride);
}
