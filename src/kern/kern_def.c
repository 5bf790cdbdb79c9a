/* kern_def: what the operations of struct kern mean, in plain loops (docs/numerics.md 5, 6, 7, 9). Every faster text is equal
 * to this one bit for bit. It is also the tier "c", for machines that have no other. */

#include "kern_def.h"
#include "kern_dot.h"

/* ---- functions (numerics 6) ------------------------------------------------------------------------------------------ */

float kern_exp(float x) {
    if (x < -69.0f)
        return 0;
    const float magic = 0x1.8p+23f;
    x = min32(x, 0x1.62e148p+6f); /* 88.72 */
    float t = fma32(x, 0x1.715476p+0f, magic), n = t - magic;
    float r = fma32(n, -0x1.62e4p-1f, x);
    r = fma32(n, -0x1.7f7d1cp-20f, r);
    float q = 0x1.6a2434p-10f;
    q = fma32(q, r, 0x1.1239e2p-7f);
    q = fma32(q, r, 0x1.5558f2p-5f);
    q = fma32(q, r, 0x1.555492p-3f);
    q = fma32(q, r, 0x1.fffffcp-2f);
    float p = fma32(r * r, q, r) + 1.0f;
    return float_of(bits_of(p) + (bits_of(t) << 23)); /* n stands in the low bits of t */
}

static float def_silu(float x) {
    return x / (1.0f + kern_exp(-x));
}

static float def_gelu_tanh(float x) {
    float u = x * fma32(x * x, 0x1.2444f2p-4f, 0x1.988454p+0f);
    return x / (1.0f + kern_exp(-u));
}

/* x Phi(x), with Phi(-a) = exp(-a^2/2) P(s) / (1 + a), s = (a-3)/(a+3), and what a*a rounds off put back into the exp. */
static float def_gelu_erf(float x) {
    float a = min32(float_of(bits_of(x) & 0x7fffffff), 12.0f), h = a * a, low = fma32(a, a, -h);
    float s = (a - 3.0f) / (a + 3.0f), p = 0x1.4dc392p-15f;
    p = fma32(p, s, -0x1.6e919ep-19f);
    p = fma32(p, s, -0x1.f0f098p-12f);
    p = fma32(p, s, -0x1.5a6b2ap-12f);
    p = fma32(p, s, 0x1.88c5p-9f);
    p = fma32(p, s, 0x1.2e447ap-10f);
    p = fma32(p, s, -0x1.74606p-6f);
    p = fma32(p, s, 0x1.71fd64p-5f);
    p = fma32(p, s, -0x1.0d39dep-6f);
    p = fma32(p, s, -0x1.8b5facp-4f);
    p = fma32(p, s, 0x1.f1b89cp-2f);
    float e = kern_exp(-0.5f * h);
    float tail = fma32(e, -0.5f * low, e) * (p / (a + 1.0f));
    return x * (x < 0 ? tail : 1.0f - tail);
}

static float def_tanh(float x) {
    float a = float_of(bits_of(x) & 0x7fffffff), z = a * a, q = -0x1.76ac18p-8f;
    q = fma32(q, z, 0x1.5256d6p-6f);
    q = fma32(q, z, -0x1.b84448p-5f);
    q = fma32(q, z, 0x1.110768p-3f);
    q = fma32(q, z, -0x1.555534p-2f);
    float y = a < 0.625f ? z * a * q + a : 1.0f - 2.0f / (kern_exp(a + a) + 1.0f);
    return float_of(bits_of(y) | (bits_of(x) & 0x80000000));
}

uint16_t kern_f16_from(float x) {
    float a = min32(float_of(bits_of(x) & 0x7fffffff), F16_MAX);
    uint32_t sign = bits_of(x) >> 16 & 0x8000, u = bits_of(a);
    if (a < 0x1p-14f) /* f16 is subnormal there: the sum has its unit, 2^-24, in its last place */
        return (uint16_t)(sign | (bits_of(a + 0.5f) - bits_of(0.5f)));
    u += 0xfff + (u >> 13 & 1);
    return (uint16_t)(sign | (u - (112u << 23)) >> 13);
}

float kern_f16_to(uint16_t h) {
    float a = float_of((uint32_t)(h & 0x7fff) << 13) * 0x1p+112f;
    if ((h & 0x7c00) == 0x7c00)
        a = float_of(bits_of(a) | 0x7f800000);
    return float_of(bits_of(a) | (uint32_t)(h & 0x8000) << 16);
}

/* ---- sums over one vector (numerics 5) ---------------------------------------------------------------------------------- */

static float lanes_sum(float lane[LANES]) {
    for (unsigned half = LANES / 2; half; half /= 2)
        for (unsigned i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

static float def_sum(uint32_t n, const float *x) {
    float lane[LANES] = {0};
    for (uint32_t i = 0; i < n; i++)
        lane[i % LANES] += x[i];
    return lanes_sum(lane);
}

/* Of (x - mean)^2. */
static float def_square_sum(uint32_t n, const float *x, float mean) {
    float lane[LANES] = {0};
    for (uint32_t i = 0; i < n; i++)
        lane[i % LANES] = fma32(x[i] - mean, x[i] - mean, lane[i % LANES]);
    return lanes_sum(lane);
}

/* 1/sqrt(mean of squares + eps) */
static float norm_factor(uint32_t n, float square_sum, float eps) {
    return 1.0f / __builtin_sqrtf(square_sum * (1.0f / (float)n) + eps);
}

static void rms_norm(uint32_t n, const float *x, const float *w, float eps, float *y) {
    float r = norm_factor(n, def_square_sum(n, x, 0), eps);
    for (uint32_t i = 0; i < n; i++)
        y[i] = w ? x[i] * r * w[i] : x[i] * r;
}

static void layer_norm(uint32_t n, const float *x, const float *w, const float *b, float eps, float *y) {
    float mean = def_sum(n, x) * (1.0f / (float)n), r = norm_factor(n, def_square_sum(n, x, mean), eps);
    for (uint32_t i = 0; i < n; i++)
        y[i] = fma32((x[i] - mean) * r, w ? w[i] : 1.0f, b ? b[i] : 0.0f);
}

/* ---- value by value ----------------------------------------------------------------------------------------------------- */

static void add(uint32_t n, const float *x, const float *y, float *out) {
    for (uint32_t i = 0; i < n; i++)
        out[i] = x[i] + y[i];
}
static void scale(uint32_t n, const float *x, float s, float *out) {
    for (uint32_t i = 0; i < n; i++)
        out[i] = x[i] * s;
}
static void divide(uint32_t n, const float *x, float s, float *out) {
    for (uint32_t i = 0; i < n; i++)
        out[i] = x[i] / s;
}
static void axpy(uint32_t n, float s, const float *x, float *y) {
    for (uint32_t i = 0; i < n; i++)
        y[i] = fma32(s, x[i], y[i]);
}
static void clamp(uint32_t n, float *x, float limit) {
    for (uint32_t i = 0; i < n; i++)
        x[i] = min32(max32(x[i], -limit), limit);
}
static void softcap(uint32_t n, const float *x, float cap, float *out) {
    for (uint32_t i = 0; i < n; i++)
        out[i] = cap * def_tanh(x[i] / cap);
}
static void silu(uint32_t n, const float *x, float *y) {
    for (uint32_t i = 0; i < n; i++)
        y[i] = def_silu(x[i]);
}
static void gelu_tanh(uint32_t n, const float *x, float *y) {
    for (uint32_t i = 0; i < n; i++)
        y[i] = def_gelu_tanh(x[i]);
}
static void gelu_erf(uint32_t n, const float *x, float *y) {
    for (uint32_t i = 0; i < n; i++)
        y[i] = def_gelu_erf(x[i]);
}
static void relu2(uint32_t n, const float *x, float *y) {
    for (uint32_t i = 0; i < n; i++)
        y[i] = max32(x[i], 0) * max32(x[i], 0);
}
static void silu_mul(uint32_t n, const float *gate, const float *up, float *out) {
    for (uint32_t i = 0; i < n; i++)
        out[i] = def_silu(gate[i]) * up[i];
}
static void gelu_tanh_mul(uint32_t n, const float *gate, const float *up, float *out) {
    for (uint32_t i = 0; i < n; i++)
        out[i] = def_gelu_tanh(gate[i]) * up[i];
}
static void gelu_erf_mul(uint32_t n, const float *gate, const float *up, float *out) {
    for (uint32_t i = 0; i < n; i++)
        out[i] = def_gelu_erf(gate[i]) * up[i];
}

static void rope(uint32_t heads, uint32_t d, uint32_t n_dims, bool adjacent, const float *table, float *x) {
    for (uint32_t h = 0; h < heads; h++, x += d)
        for (uint32_t i = 0; i < n_dims / 2; i++) {
            float *p0 = adjacent ? x + 2 * i : x + i, *p1 = adjacent ? p0 + 1 : p0 + n_dims / 2;
            float x0 = *p0, x1 = *p1, c = table[2 * i], s = table[2 * i + 1];
            *p0 = fma32(x0, c, -(x1 * s));
            *p1 = fma32(x0, s, x1 * c);
        }
}

static float maximum(uint32_t n, const float *x) {
    float m = NO_SCORE;
    for (uint32_t i = 0; i < n; i++)
        m = max32(x[i], m);
    return m;
}
static bool all_finite(uint32_t n, const float *x) {
    for (uint32_t i = 0; i < n; i++)
        if ((bits_of(x[i]) & 0x7f800000) == 0x7f800000)
            return false;
    return true;
}

static void softmax(uint32_t n, const float *x, float *p) {
    float m = maximum(n, x);
    for (uint32_t i = 0; i < n; i++)
        p[i] = kern_exp(x[i] - m);
    float r = 1.0f / def_sum(n, p);
    for (uint32_t i = 0; i < n; i++)
        p[i] *= r;
}

static uint64_t weights(uint32_t n, const float *x, float max, float t, uint64_t *w) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += w[i] = (uint64_t)(kern_exp((x[i] - max) / t) * 0x1p+44f);
    return sum;
}

/* ---- attention (numerics 7) ------------------------------------------------------------------------------------------------ */

/* Index of a value of a head within a page: of its keys, of its values; and the scale of a q8 cache that goes with it. */
static size_t key_at(const struct kern_kv *kv, uint32_t slot, uint32_t d) {
    return ((size_t)(slot / KV_TILE) * kv->d_k + d) * KV_TILE + slot % KV_TILE;
}
static size_t value_at(const struct kern_kv *kv, uint32_t slot, uint32_t d) {
    return (size_t)slot * kv_v_stride(kv) + d;
}
static float *key_scale(const struct kern_kv *kv, uint8_t *keys, uint32_t slot, uint32_t d) {
    float *scales = (float *)(keys + (size_t)KERN_PAGE * kv->d_k);
    return scales + (slot / KV_TILE * (kv->d_k / KV_BLOCK) + d / KV_BLOCK) * KV_TILE + slot % KV_TILE;
}
static float *value_scale(const struct kern_kv *kv, uint8_t *values, uint32_t slot, uint32_t d) {
    float *scales = (float *)(values + (size_t)KERN_PAGE * kv_v_stride(kv));
    return scales + slot * (kv->d_v / KV_BLOCK) + d / KV_BLOCK;
}

static float kv_read(const struct kern_kv *kv, const uint8_t *base, size_t at, float scale_q8) {
    return kv->type == DTYPE_F32   ? ((const float *)base)[at]
           : kv->type == DTYPE_F16 ? kern_f16_to(((const uint16_t *)base)[at])
                                   : (float)((const int8_t *)base)[at] * scale_q8;
}

static float kv_key(const struct kern_kv *kv, uint8_t *page, uint32_t head, uint32_t slot, uint32_t d) {
    uint8_t *keys = page + kv_head_at(kv, head);
    return kv_read(kv, keys, key_at(kv, slot, d), kv->type == DTYPE_Q8_0 ? *key_scale(kv, keys, slot, d) : 0);
}
static float kv_value(const struct kern_kv *kv, uint8_t *page, uint32_t head, uint32_t slot, uint32_t d) {
    uint8_t *values = page + kv_head_at(kv, head) + kv_k_bytes(kv);
    return kv_read(kv, values, value_at(kv, slot, d), kv->type == DTYPE_Q8_0 ? *value_scale(kv, values, slot, d) : 0);
}

/* Numerics 2 on the block of 32 around x[d]: q of x[d], and the scale. */
static int8_t kv_quantise(const float *x, uint32_t d, float *scale_out) {
    const float *block = x + d / KV_BLOCK * KV_BLOCK;
    float a = 0;
    for (uint32_t i = 0; i < KV_BLOCK; i++)
        a = max32(float_of(bits_of(block[i]) & 0x7fffffff), a);
    *scale_out = kv_scale_of(a);
    if (a < 0x1p-100f)
        return 0;
    float y = x[d] * (127.0f / a);
    return (int8_t)((y + 0x1.8p+23f) - 0x1.8p+23f);
}

static void kv_store(const struct kern_kv *kv, uint8_t *base, size_t at, const float *x, uint32_t d, float *scale_out) {
    if (kv->type == DTYPE_F32)
        ((float *)base)[at] = x[d];
    else if (kv->type == DTYPE_F16)
        ((uint16_t *)base)[at] = kern_f16_from(x[d]);
    else
        ((int8_t *)base)[at] = kv_quantise(x, d, scale_out);
}

static void kv_write(const struct kern_kv *kv, uint8_t *page, uint32_t slot, const float *k, const float *v) {
    for (uint32_t h = 0; h < kv->heads; h++) {
        uint8_t *keys = page + kv_head_at(kv, h), *values = keys + kv_k_bytes(kv);
        for (uint32_t d = 0; d < kv->d_k; d++)
            kv_store(kv, keys, key_at(kv, slot, d), k + h * kv->d_k, d, key_scale(kv, keys, slot, d));
        for (uint32_t d = 0; d < kv->d_v; d++)
            kv_store(kv, values, value_at(kv, slot, d), v + h * kv->d_v, d, value_scale(kv, values, slot, d));
    }
}

uint64_t kern_kv_bytes(const struct kern_kv *kv) {
    uint64_t bytes = (uint64_t)kv->heads * (kv_k_bytes(kv) + kv_v_bytes(kv));
    return (bytes + KERN_ALIGN - 1) / KERN_ALIGN * KERN_ALIGN;
}

void kern_attn_splits(const struct kern_attn *job, uint32_t *first, uint32_t *end) {
    uint32_t oldest = job->window && job->pos0 + 1 > job->window ? job->pos0 + 1 - job->window : 0;
    *first = oldest / KERN_SPLIT;
    *end = (job->pos0 + job->n_rows - 1) / KERN_SPLIT + 1;
}

uint64_t kern_attn_part_bytes(const struct kern_attn *job) {
    struct attn_part p = attn_part_at(job, NULL);
    uint64_t bytes = (2 * (uint64_t)round_up(p.items, LANES) + (uint64_t)p.items * p.stride) * sizeof(float);
    return (bytes + KERN_ALIGN - 1) / KERN_ALIGN * KERN_ALIGN;
}

/* Score of one position of a split for row i. */
static float attn_score(const struct kern_attn *job, uint32_t kv_head, uint32_t head, uint32_t i, uint32_t position) {
    const float *q = job->q + i * job->q_stride + (size_t)head * job->kv->d_k;
    uint8_t *page = job->pages[position / KERN_PAGE];
    float s = 0;
    for (uint32_t d = 0; d < job->kv->d_k; d++)
        s = fma32(q[d], kv_key(job->kv, page, kv_head, position % KERN_PAGE, d), s);
    if (job->softcap != 0)
        s = job->softcap * def_tanh(s / job->softcap);
    if (job->slopes)
        s = fma32(job->slopes[head], (float)((int32_t)position - (int32_t)(job->pos0 + i)), s);
    return s;
}

static void attn(const struct kern_attn *job, uint32_t kv_head, uint32_t split, void *part) {
    struct attn_part out = attn_part_at(job, part);
    for (uint32_t item = 0; item < out.items; item++) {
        uint32_t i = item / out.group, head = kv_head * out.group + item % out.group, at = split * KERN_SPLIT, first, end;
        float p[KERN_SPLIT], lane[LANES] = {0}, *o = out.o + (size_t)item * out.stride;
        attn_span(job, i, split, &first, &end);
        for (uint32_t j = first; j < end; j++)
            p[j] = attn_score(job, kv_head, head, i, at + j);
        out.m[item] = maximum(end - first, p + first);
        memset(o, 0, out.stride * sizeof *o);
        for (uint32_t j = first; j < end; j++) {
            p[j] = kern_exp(p[j] - out.m[item]);
            lane[j % LANES] += p[j];
            for (uint32_t d = 0; d < job->kv->d_v; d++)
                o[d] = fma32(p[j], kv_value(job->kv, job->pages[(at + j) / KERN_PAGE], kv_head, j % KERN_PAGE, d), o[d]);
        }
        out.l[item] = lanes_sum(lane);
    }
}

/* Of one item: a part in which the row saw nothing (m is that of none) takes no part. */
static void attn_merge_item(const struct kern_attn *job, uint32_t head, uint32_t item, uint32_t n_parts, void *const *parts,
                            axpy_fn *add_scaled, scale_fn *scale_by, exp_fn *exp_of) {
    float *out = job->out + item / attn_group(job) * job->out_stride + (size_t)head * job->kv->d_v;
    float m = job->sinks ? job->sinks[head] : NO_SCORE, l = 0;
    for (uint32_t s = 0; s < n_parts; s++)
        m = max32(attn_part_at(job, parts[s]).m[item], m);
    memset(out, 0, job->kv->d_v * sizeof *out);
    for (uint32_t s = 0; s < n_parts; s++) {
        struct attn_part p = attn_part_at(job, parts[s]);
        if (p.m[item] == NO_SCORE)
            continue;
        float w = exp_of(p.m[item] - m);
        l = fma32(w, p.l[item], l);
        add_scaled(job->kv->d_v, w, p.o + (size_t)item * p.stride, out);
    }
    if (job->sinks)
        l += exp_of(job->sinks[head] - m);
    scale_by(job->kv->d_v, out, 1.0f / l, out);
}

void attn_merge_by(const struct kern_attn *job, uint32_t kv_head, uint32_t n_parts, void *const *parts, axpy_fn *add_scaled,
                   scale_fn *scale_by, exp_fn *exp_of) {
    uint32_t group = attn_group(job);
    for (uint32_t item = 0; item < job->n_rows * group; item++)
        attn_merge_item(job, kv_head * group + item % group, item, n_parts, parts, add_scaled, scale_by, exp_of);
}
static void attn_merge(const struct kern_attn *job, uint32_t kv_head, uint32_t n_parts, void *const *parts) {
    attn_merge_by(job, kv_head, n_parts, parts, axpy, scale, kern_exp);
}

const struct kern kern_c = {
    .name = "c",
    .panel = 1,
    .acts_fill = acts_fill_def,
    .matmul = matmul_def,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .add = add,
    .scale = scale,
    .divide = divide,
    .axpy = axpy,
    .clamp = clamp,
    .softcap = softcap,
    .silu = silu,
    .gelu_tanh = gelu_tanh,
    .gelu_erf = gelu_erf,
    .relu2 = relu2,
    .silu_mul = silu_mul,
    .gelu_tanh_mul = gelu_tanh_mul,
    .gelu_erf_mul = gelu_erf_mul,
    .rope = rope,
    .max = maximum,
    .finite = all_finite,
    .softmax = softmax,
    .weights = weights,
    .kv_write = kv_write,
    .attn = attn,
    .attn_merge = attn_merge,
};
