/* fun_cases: inputs for every operation of struct kern but the products, what a text makes of them, and the hashes that every
 * text, compiler and machine must reproduce. Included by the test_fun*.c, which differ in the texts they compare. */
#pragma once

#include <inttypes.h>
#include <stdlib.h>

#include "kern/kern_def.h"

/* ---- deterministic inputs, collected outputs --------------------------------------------------------------------------- */

struct run {
    const struct kern *kern;
    uint64_t state; /* of the generator: every text gets the same inputs */
    uint8_t *out;
    size_t n, cap;
};

static uint64_t next_u64(struct run *r) { /* splitmix64 */
    uint64_t z = r->state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}
static float next_uniform(struct run *r, float limit) {
    return (float)(int32_t)(next_u64(r) >> 32) * 0x1p-31f * limit;
}
static float next_finite(struct run *r) { /* any bits but those of infinities and NaN */
    uint32_t u = (uint32_t)next_u64(r);
    return float_of((u & 0x7f800000) == 0x7f800000 ? u ^ 0x40000000 : u);
}

static const float specials[] = {
    0.0f,         -0.0f,    0x1p-149f, -0x1p-149f,     0x1p-126f,        -0x1.fffffep-127f, 0x1p-100f, 1.0f,
    -1.0f,        0.5f,     0.625f,    0x1.3ffffep-1f, -69.0f,           -0x1.140002p+6f,   88.0f,     0x1.62e148p+6f,
    89.0f,        -88.0f,   12.0f,     -12.0f,         65504.0f,         65520.0f,          -65504.0f, 0x1p-14f,
    0x1.ffcp-15f, 0x1p-24f, 0x1p-25f,  0x1.8p-25f,     0x1.fffffep+127f, -0x1.fffffep+127f, 0x1p-64f,  3.0f,
    -3.0f};

enum kind { UNIFORM, WIDE, ANY, SPECIAL, N_KINDS };
static void fill(struct run *r, enum kind kind, uint32_t n, float *x) {
    for (uint32_t i = 0; i < n; i++)
        x[i] = kind == UNIFORM ? next_uniform(r, 8)
               : kind == WIDE  ? next_uniform(r, 100)
               : kind == ANY   ? next_finite(r)
                               : specials[next_u64(r) % N_ITEMS(specials)];
}

/* What is no number is one value here: its bits differ between machines, and none may flow. */
static void out_floats(struct run *r, uint32_t n, const float *x) {
    if (r->n + n * sizeof *x > r->cap) {
        r->cap = 2 * r->cap + n * sizeof *x;
        r->out = realloc(r->out, r->cap);
        ASSERT(r->out);
    }
    for (uint32_t i = 0; i < n; i++, r->n += sizeof *x) {
        uint32_t u = x[i] == x[i] ? bits_of(x[i]) : 0x7fc00000;
        memcpy(r->out + r->n, &u, sizeof u);
    }
}
static void out_bytes(struct run *r, size_t n, const void *bytes) {
    for (size_t i = 0; i < n; i++)
        out_floats(r, 1, &(float){((const uint8_t *)bytes)[i]});
}

enum { N_MAX = 1024 };
static const uint32_t sizes[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 63, 64, 100, 576, 1000, N_MAX};
#define EACH_CASE(r, n)                                                                                                          \
    float x[N_MAX], y[N_MAX], z[N_MAX + 1];                                                                                      \
    for (size_t size = 0; size < N_ITEMS(sizes); size++)                                                                         \
        for (enum kind kind = 0; kind < N_KINDS; kind++)                                                                         \
            for (uint32_t n = sizes[size], once = (fill(r, kind, n, x), fill(r, kind, n, y), z[n] = 7, 1); once;                 \
                 out_floats(r, n + 1, z), once = 0)

/* ---- one function an operation ------------------------------------------------------------------------------------------ */

static void op_add(struct run *r) {
    EACH_CASE (r, n)
        r->kern->add(n, x, y, z);
}
static void op_scale(struct run *r) {
    EACH_CASE (r, n)
        r->kern->scale(n, x, y[0], z);
}
static void op_divide(struct run *r) {
    EACH_CASE (r, n)
        r->kern->divide(n, x, y[0], z);
}
static void op_axpy(struct run *r) {
    EACH_CASE (r, n) {
        memcpy(z, y, n * sizeof *z);
        r->kern->axpy(n, x[n / 2], x, z);
    }
}
static void op_clamp(struct run *r) {
    EACH_CASE (r, n) {
        memcpy(z, x, n * sizeof *z);
        r->kern->clamp(n, z, float_of(bits_of(y[0]) & 0x7fffffff));
    }
}
static void op_softcap(struct run *r) {
    EACH_CASE (r, n)
        r->kern->softcap(n, x, kind == UNIFORM ? 1.0f : 30.0f, z);
}
static void op_silu(struct run *r) {
    EACH_CASE (r, n)
        r->kern->silu(n, x, z);
}
static void op_gelu_tanh(struct run *r) {
    EACH_CASE (r, n)
        r->kern->gelu_tanh(n, x, z);
}
static void op_gelu_erf(struct run *r) {
    EACH_CASE (r, n)
        r->kern->gelu_erf(n, x, z);
}
static void op_relu2(struct run *r) {
    EACH_CASE (r, n)
        r->kern->relu2(n, x, z);
}
static void op_silu_mul(struct run *r) {
    EACH_CASE (r, n)
        r->kern->silu_mul(n, x, y, z);
}
static void op_gelu_tanh_mul(struct run *r) {
    EACH_CASE (r, n)
        r->kern->gelu_tanh_mul(n, x, y, z);
}
static void op_gelu_erf_mul(struct run *r) {
    EACH_CASE (r, n)
        r->kern->gelu_erf_mul(n, x, y, z);
}
static void op_in_place(struct run *r) {
    EACH_CASE (r, n) {
        memcpy(z, x, n * sizeof *z);
        r->kern->silu_mul(n, z, y, z);
        r->kern->add(n, z, y, z);
    }
}
static void op_rms_norm(struct run *r) {
    EACH_CASE (r, n)
        r->kern->rms_norm(n, x, size % 3 ? y : NULL, 1e-5f, z);
}
static void op_layer_norm(struct run *r) {
    EACH_CASE (r, n)
        r->kern->layer_norm(n, x, size % 3 ? y : NULL, size % 2 ? x : NULL, 1e-5f, z);
}
static void op_max(struct run *r) {
    EACH_CASE (r, n) {
        memset(z, 0, n * sizeof *z);
        z[0] = r->kern->max(n, x);
    }
}
static void op_finite(struct run *r) {
    EACH_CASE (r, n) {
        memset(z, 0, n * sizeof *z);
        uint32_t at = (uint32_t)(next_u64(r) % n), bad = (uint32_t)next_u64(r) | 0x7f800000;
        bool before = r->kern->finite(n, x);
        x[at] = float_of(size % 2 ? bad : bad & 0xff800000);
        z[0] = (float)(before + 2 * r->kern->finite(n, x));
    }
}
static void op_softmax(struct run *r) {
    EACH_CASE (r, n) {
        if (kind == UNIFORM && n > 1)
            x[n / 2] = NO_SCORE;
        r->kern->softmax(n, x, z);
    }
}
static void op_weights(struct run *r) {
    uint64_t w[N_MAX];
    EACH_CASE (r, n) {
        memset(z, 0, n * sizeof *z);
        uint64_t sum = r->kern->weights(n, x, r->kern->max(n, x), kind == WIDE ? 7.5f : 1.0f, w);
        out_bytes(r, n * sizeof *w, w);
        out_bytes(r, sizeof sum, &sum);
    }
}

static void op_rope(struct run *r) {
    static const uint32_t shapes[][3] = {{3, 64, 64}, {2, 80, 32}, {1, 128, 128}, {2, 10, 6}, {1, 96, 72}, {2, 16, 16}};
    for (size_t i = 0; i < N_ITEMS(shapes); i++)
        for (int adjacent = 0; adjacent < 2; adjacent++) {
            float x[512], table[512];
            fill(r, UNIFORM, N_ITEMS(x), x);
            fill(r, UNIFORM, N_ITEMS(table), table);
            r->kern->rope(shapes[i][0], shapes[i][1], shapes[i][2], adjacent, table, x);
            out_floats(r, N_ITEMS(x), x);
        }
}

/* The tables of rotary positions, with every scaling; the same for all texts, but not for all compilers. */
static void op_rope_table(struct run *r) {
    float factors[64], table[128];
    double inv[64];
    for (unsigned i = 0; i < 64; i++)
        factors[i] = 1 + 0.5f * (float)i;
    struct kern_rope_spec spec = {.factor = 8,
                                  .low_freq_factor = 1,
                                  .high_freq_factor = 4,
                                  .original_ctx = 8192,
                                  .beta_fast = 32,
                                  .beta_slow = 1,
                                  .ext_factor = 1};
    for (unsigned i = 0; i < 60; i++) {
        spec.scaling = i % 5;
        spec.n_dims = 2 + (uint32_t)(next_u64(r) % 64) * 2;
        spec.base = i % 2 ? 10000.0f : 500000.0f;
        spec.yarn_truncate = i % 3 == 0;
        spec.attn_factor = i % 4 ? 0 : kern_rope_attn_factor(spec.scaling, 4, spec.original_ctx);
        spec.factors = spec.scaling == KERN_ROPE_LONGROPE ? factors : NULL;
        kern_rope_init(&spec, inv);
        for (unsigned bit = 0; bit < 20; bit++) {
            kern_rope_row(&spec, inv, (1u << bit) + (uint32_t)(next_u64(r) % (1u << bit)), table);
            out_floats(r, spec.n_dims, table);
        }
    }
}
static void op_log(struct run *r) {
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t u = next_u64(r) >> 1;
        double x, y;
        u = u >> 52 == 2047 ? u - (1ull << 52) : u;
        memcpy(&x, &u, sizeof x);
        y = kern_log(x);
        memcpy(&u, &y, sizeof u);
        out_bytes(r, sizeof u, &u);
    }
}
static void op_f16(struct run *r) {
    for (uint32_t h = 0; h < 0x10000; h++)
        if ((h & 0x7c00) != 0x7c00)
            out_floats(r, 1, &(float){kern_f16_to((uint16_t)h)});
    for (unsigned i = 0; i < 200000; i++) {
        float x = i % 2 ? next_finite(r) : next_uniform(r, i % 4 ? 70000 : 0x1p-14f);
        out_floats(r, 1, &(float){kern_f16_from(x)});
    }
}

/* ---- attention ----------------------------------------------------------------------------------------------------------- */

struct attn_case {
    enum dtype type;
    uint32_t heads, group, d_k, d_v, pos0, n_rows, window;
    float softcap;
    bool slopes, sinks;
};
static const struct attn_case attn_cases[] = {
    {DTYPE_F16, 1, 3, 64, 64, 0, 40, 0, 0, 0, 0},    {DTYPE_F16, 1, 3, 64, 64, 700, 1, 0, 0, 0, 0},
    {DTYPE_F16, 2, 1, 32, 48, 500, 30, 0, 0, 0, 0},  {DTYPE_F16, 1, 2, 40, 16, 1020, 9, 100, 0, 0, 0},
    {DTYPE_F16, 2, 4, 16, 24, 505, 11, 0, 0, 1, 0},  {DTYPE_F16, 1, 5, 128, 128, 61, 7, 0, 30, 0, 0},
    {DTYPE_F16, 1, 8, 64, 64, 511, 3, 3, 0, 0, 1},   {DTYPE_F16, 1, 7, 8, 10, 130, 6, 64, 4, 1, 1},
    {DTYPE_F32, 1, 3, 64, 64, 600, 10, 0, 0, 0, 0},  {DTYPE_F32, 2, 1, 24, 80, 0, 70, 0, 0, 0, 1},
    {DTYPE_F32, 1, 6, 48, 36, 1500, 5, 33, 0, 0, 0}, {DTYPE_Q8_0, 2, 3, 64, 64, 520, 20, 0, 0, 0, 0},
    {DTYPE_Q8_0, 1, 1, 96, 32, 100, 8, 0, 0, 1, 1},  {DTYPE_Q8_0, 1, 12, 32, 64, 0, 1, 0, 0, 0, 0},
    {DTYPE_F16, 1, 9, 512, 256, 90, 2, 0, 0, 0, 0},  {DTYPE_F16, 1, 1, 64, 64, 2000, 1, 600, 0, 0, 0},
    {DTYPE_F16, 1, 4, 32, 32, 470, 50, 70, 0, 0, 0}, {DTYPE_Q8_0, 1, 5, 32, 32, 600, 40, 90, 0, 0, 0},
};

struct attn_memory {
    uint8_t *pages[40];
    void *parts[8];
};

/* Memory that nothing has written is full of NaN: who reads it, shows. */
static void *garbage(size_t bytes) {
    void *p = aligned_alloc(KERN_ALIGN, (bytes + KERN_ALIGN - 1) / KERN_ALIGN * KERN_ALIGN);
    ASSERT(p);
    return memset(p, 0xff, bytes);
}

static void attn_write(struct run *r, const struct kern_kv *kv, uint32_t n, uint8_t *const *pages) {
    float k[16 * KERN_HEAD_MAX], v[16 * KERN_HEAD_MAX];
    for (uint32_t i = 0; i < n; i++) {
        fill(r, i % 31 == 5 ? SPECIAL : UNIFORM, kv->heads * kv->d_k, k);
        fill(r, i % 31 == 5 ? SPECIAL : UNIFORM, kv->heads * kv->d_v, v);
        for (uint32_t j = 0; i % 31 == 5 && j < kv->heads * kv->d_k; j++)
            k[j] = kv->type == DTYPE_F32 && (k[j] > 1e6f || k[j] < -1e6f) ? 1 : k[j];
        r->kern->kv_write(kv, pages[i / KERN_PAGE], i % KERN_PAGE, k, v);
    }
}

static void attn_run(struct run *r, const struct attn_case *c) {
    struct kern_kv kv = {.type = c->type, .heads = c->heads, .d_k = c->d_k, .d_v = c->d_v, .at = 128};
    struct attn_memory m = {0};
    uint32_t n = c->pos0 + c->n_rows, n_heads = c->heads * c->group, first, end;
    for (uint32_t p = 0; p <= (n - 1) / KERN_PAGE; p++)
        m.pages[p] = garbage(kv.at + kern_kv_bytes(&kv));
    attn_write(r, &kv, n, m.pages);
    size_t q_stride = n_heads * c->d_k + 5, out_stride = n_heads * c->d_v + 3;
    float *q = malloc(c->n_rows * q_stride * sizeof *q), *out = malloc(c->n_rows * out_stride * sizeof *out), per_head[64];
    fill(r, UNIFORM, (uint32_t)(c->n_rows * q_stride), q);
    fill(r, UNIFORM, N_ITEMS(per_head), per_head);
    memset(out, 0, c->n_rows * out_stride * sizeof *out);
    struct kern_attn job = {.kv = &kv,
                            .pages = m.pages,
                            .q = q,
                            .q_stride = q_stride,
                            .out = out,
                            .out_stride = out_stride,
                            .n_rows = c->n_rows,
                            .pos0 = c->pos0,
                            .n_heads = n_heads,
                            .window = c->window,
                            .softcap = c->softcap,
                            .slopes = c->slopes ? per_head : NULL,
                            .sinks = c->sinks ? per_head + 8 : NULL};
    kern_attn_splits(&job, &first, &end);
    for (uint32_t h = 0; h < c->heads; h++) {
        for (uint32_t s = first; s < end; s++) {
            m.parts[s - first] = garbage(kern_attn_part_bytes(&job));
            r->kern->attn(&job, h, s, m.parts[s - first]);
        }
        r->kern->attn_merge(&job, h, end - first, m.parts);
        for (uint32_t s = first; s < end; s++)
            free(m.parts[s - first]);
    }
    out_floats(r, (uint32_t)(c->n_rows * out_stride), out);
    for (uint32_t p = 0; p <= (n - 1) / KERN_PAGE; p++)
        free(m.pages[p]);
    free(q);
    free(out);
}

static void op_attn(struct run *r) {
    for (size_t i = 0; i < N_ITEMS(attn_cases); i++)
        attn_run(r, &attn_cases[i]);
}

/* ---- comparing ------------------------------------------------------------------------------------------------------------- */

struct fun_op {
    const char *name;
    void (*run)(struct run *r);
    uint64_t golden; /* of N1: moves only with a rule, which the commit names */
};
static const struct fun_op fun_ops[] = {
#include "golden_fun.inc"
};

static uint64_t hash_of(const struct run *r) { /* FNV-1a */
    uint64_t h = 0xcbf29ce484222325;
    for (size_t i = 0; i < r->n; i++)
        h = (h ^ r->out[i]) * 0x100000001b3;
    return h;
}

/* Runs one operation and compares with `want` (bytes) and the golden hash; returns the number of faults and frees nothing. */
static int fun_compare(const struct fun_op *op, struct run *r, const struct run *want) {
    op->run(r);
    uint64_t h = hash_of(r);
    if (h == op->golden)
        return 0;
    size_t at = 0;
    while (want && at < r->n && at < want->n && r->out[at] == want->out[at])
        at++;
    fprintf(stderr, "%s on %s: hash 0x%016" PRIx64 ", golden 0x%016" PRIx64, op->name, r->kern->name, h, op->golden);
    if (want && at < r->n)
        fprintf(stderr, "; value %zu of %zu is the first that differs from %s", at / 4, r->n / 4, want->kern->name);
    fprintf(stderr, "\n");
    return 1;
}

/* All operations on the given texts, the first of which is compared with the goldens alone. Prints the totals. */
static int fun_main(size_t n_texts, const struct kern *const *texts) {
    int passed = 0, failed = 0;
    for (size_t i = 0; i < N_ITEMS(fun_ops); i++) {
        struct run first = {0};
        for (size_t t = 0; t < n_texts; t++) {
            struct run r = {.kern = texts[t], .state = i};
            int bad = fun_compare(&fun_ops[i], &r, t ? &first : NULL);
            failed += bad;
            passed += !bad;
            if (t)
                free(r.out);
            else
                first = r;
        }
        free(first.out);
    }
    printf("%zu operations on", N_ITEMS(fun_ops));
    for (size_t t = 0; t < n_texts; t++)
        printf(" %s", texts[t]->name);
    printf("\n%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
