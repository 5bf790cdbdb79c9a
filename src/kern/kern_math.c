/* kern_math: the functions of numerics 6 that are computed in binary64, once a value: logarithm, and the tables of rotary
 * positions. One text for all tiers. Binary64 arithmetic uses + - * / and nothing else, each rounded by itself: it is never
 * fused, so it needs no fma of its own. */

#include "kern_def.h"

static const double ln2 = 0x1.62e42fefa39efp-1, log2e = 0x1.71547652b82fep+0, two_pi = 0x1.921fb54442d18p+2;

static uint64_t bits64(double x) {
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}
static double double_of(uint64_t u) {
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* q[0] z^(n-1) + ... + q[n-1] */
static double horner(const double *q, size_t n, double z) {
    double p = q[0];
    for (size_t i = 1; i < n; i++)
        p = p * z + q[i];
    return p;
}

/* Nearest whole number, ties to even; |x| < 2^51. */
static double nearest(double x) {
    const double magic = 0x1.8p+52;
    return (x + magic) - magic;
}
static double floor64(double x) {
    double n = nearest(x);
    return n > x ? n - 1 : n;
}

/* x = m 2^e with m in [sqrt(1/2), sqrt(2)); returns ln m = 2 artanh((m-1)/(m+1)) by its series to s^21. */
static double log_mantissa(double x, double *e) {
    static const double q[] = {0x1.8618618618618p-5, 0x1.af286bca1af28p-5, 0x1.e1e1e1e1e1e1ep-5, 0x1.1111111111111p-4,
                               0x1.3b13b13b13b14p-4, 0x1.745d1745d1746p-4, 0x1.c71c71c71c71cp-4, 0x1.2492492492492p-3,
                               0x1.999999999999ap-3, 0x1.5555555555555p-2};
    const uint64_t sqrt_half = 0x3fe6a09e667f3bcd;
    double extra = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p+54;
        extra = -54;
    }
    uint64_t shift = (bits64(x) - sqrt_half) & 0xfff0000000000000;
    *e = (double)((int64_t)shift >> 52) + extra;
    double m = double_of(bits64(x) - shift), s = (m - 1) / (m + 1), z = s * s;
    return 2 * s + 2 * s * (z * horner(q, N_ITEMS(q), z));
}

double kern_log(double x) {
    const double ln2_hi = 0x1.62e42feep-1, ln2_lo = 0x1.a39ef35793c76p-33;
    double e, m = log_mantissa(x, &e);
    return e * ln2_hi + (e * ln2_lo + m);
}

static double log2_64(double x) {
    double e, m = log_mantissa(x, &e);
    return e + m * log2e;
}

/* 2^x for |x| <= 1021: Taylor to the 13th power of the fraction's logarithm. */
double kern_exp2(double x) {
    static const double q[] = {0x1.6124613a86d09p-33,
                               0x1.1eed8eff8d898p-29,
                               0x1.ae64567f544e4p-26,
                               0x1.27e4fb7789f5cp-22,
                               0x1.71de3a556c734p-19,
                               0x1.a01a01a01a01ap-16,
                               0x1.a01a01a01a01ap-13,
                               0x1.6c16c16c16c17p-10,
                               0x1.1111111111111p-7,
                               0x1.5555555555555p-5,
                               0x1.5555555555555p-3,
                               0x1p-1,
                               0x1p+0,
                               0x1p+0};
    double n = nearest(x), p = horner(q, N_ITEMS(q), (x - n) * ln2);
    return p * double_of((uint64_t)((int64_t)n + 1023) << 52);
}

/* Sine and cosine of 0 <= x: the quadrant is taken off in three parts of 33 bits, exact products while x < 2^20; then Taylor
 * to r^15 and r^16. */
static void sincos_64(double x, double *sine, double *cosine) {
    static const double qs[] = {-0x1.ae7f3e733b81fp-41, 0x1.6124613a86d09p-33, -0x1.ae64567f544e4p-26, 0x1.71de3a556c734p-19,
                                -0x1.a01a01a01a01ap-13, 0x1.1111111111111p-7,  -0x1.5555555555555p-3};
    static const double qc[] = {0x1.ae7f3e733b81fp-45, -0x1.93974a8c07c9dp-37, 0x1.1eed8eff8d898p-29, -0x1.27e4fb7789f5cp-22,
                                0x1.a01a01a01a01ap-16, -0x1.6c16c16c16c17p-10, 0x1.5555555555555p-5,  -0x1p-1};
    double n = nearest(x * 0x1.45f306dc9c883p-1);
    double r = ((x - n * 0x1.921fb544p+0) - n * 0x1.0b4611a6p-34) - n * 0x1.3198a2ep-69, z = r * r;
    double s = r + r * (z * horner(qs, N_ITEMS(qs), z)), c = 1 + z * horner(qc, N_ITEMS(qc), z);
    int64_t quadrant = (int64_t)n & 3;
    *sine = quadrant == 0 ? s : quadrant == 1 ? c : quadrant == 2 ? -s : -c;
    *cosine = quadrant == 0 ? c : quadrant == 1 ? -s : quadrant == 2 ? -c : s;
}

/* ---- rotary positions ---------------------------------------------------------------------------------------------- */

/* Llama 3: long waves are stretched by `factor`, short ones stay, those between are blended. */
static double rope_llama3(const struct kern_rope_spec *r, double inv) {
    double wave = two_pi / inv, low = (double)r->original_ctx / r->low_freq_factor;
    double high = (double)r->original_ctx / r->high_freq_factor;
    if (wave < high)
        return inv;
    if (wave > low)
        return inv / r->factor;
    double blend = (r->original_ctx / wave - r->low_freq_factor) / ((double)r->high_freq_factor - r->low_freq_factor);
    return (1 - blend) * (inv / r->factor) + blend * inv;
}

/* YaRN: the dimension (as a fraction) whose wave turns `turns` times within the original context. */
static double yarn_dim(const struct kern_rope_spec *r, double turns) {
    return r->n_dims * kern_log(r->original_ctx / (turns * two_pi)) / (2 * kern_log(r->base));
}

/* YaRN: the share of the stretched frequency at dimension i, rising from 0 at beta_fast's dimension to 1 at beta_slow's. */
static double yarn_ramp(const struct kern_rope_spec *r, uint32_t i) {
    double low = yarn_dim(r, r->beta_fast), high = yarn_dim(r, r->beta_slow), last = (double)r->n_dims - 1;
    if (r->yarn_truncate) {
        low = floor64(low);
        high = -floor64(-high);
    }
    low = low < 0 ? 0 : low;
    high = high > last ? last : high;
    if (high == low)
        high += 0x1.0624dd2f1a9fcp-10; /* 0.001: a step instead of a division by zero */
    double ramp = (i - low) / (high - low);
    return ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
}

static double rope_scaled(const struct kern_rope_spec *r, uint32_t i, double inv) {
    double ramp;
    switch (r->scaling) {
    case KERN_ROPE_LINEAR: return inv / r->factor;
    case KERN_ROPE_LLAMA3: return rope_llama3(r, inv);
    case KERN_ROPE_YARN: ramp = 1 - (1 - yarn_ramp(r, i)) * r->ext_factor; return (inv / r->factor) * ramp + inv * (1 - ramp);
    case KERN_ROPE_NONE:
    case KERN_ROPE_LONGROPE: break;
    }
    return inv;
}

void kern_rope_init(const struct kern_rope_spec *spec, double *inv_freq) {
    double octaves = log2_64(spec->base);
    for (uint32_t i = 0; i < spec->n_dims / 2; i++) {
        double inv = kern_exp2(-(2.0 * i / spec->n_dims) * octaves);
        if (spec->factors)
            inv /= spec->factors[i];
        inv_freq[i] = rope_scaled(spec, i, inv);
    }
}

void kern_rope_row(const struct kern_rope_spec *spec, const double *inv_freq, uint32_t position, float *table) {
    double factor = spec->attn_factor == 0 ? 1 : spec->attn_factor, s, c;
    for (uint32_t i = 0; i < spec->n_dims / 2; i++) {
        sincos_64(position * inv_freq[i], &s, &c);
        table[2 * i] = (float)(c * factor);
        table[2 * i + 1] = (float)(s * factor);
    }
}

float kern_rope_attn_factor(enum kern_rope_scaling scaling, float factor, float original_ctx) {
    if (factor <= 1)
        return 1;
    if (scaling == KERN_ROPE_YARN)
        return (float)(0x1.999999999999ap-4 * kern_log(factor) + 1);
    if (scaling == KERN_ROPE_LONGROPE)
        return (float)__builtin_sqrt(1 + kern_log(factor) / kern_log(original_ctx));
    return 1;
}
