/* kern_dot_acts: activations of the x86 tiers. Included by kern_dot_{avx2,avx512}.h behind kern_dot_range.h, before their
 * acts_put, which writes one block of a row into a panel; the rest is the same: what is not finite, numerics 2, the order. */
#pragma once

#include <immintrin.h>

/* q: 32 int8 in order of k. */
static void acts_put(uint8_t *out, unsigned T, unsigned t, __m256i q, float d);

static bool acts_finite(const float *x, uint32_t k) {
    __m256i exponent = _mm256_set1_epi32(0x7f800000), bad = _mm256_setzero_si256();
    uint32_t i = 0;
    for (; i + 8 <= k; i += 8) {
        __m256i v = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(x + i)), exponent);
        bad = _mm256_or_si256(bad, _mm256_cmpeq_epi32(v, exponent));
    }
    bool ok = _mm256_testz_si256(bad, bad);
    for (; i < k; i++) {
        int32_t bits;
        memcpy(&bits, x + i, 4);
        ok = ok && (bits & 0x7f800000) != 0x7f800000;
    }
    return ok;
}

static inline float acts_max(const __m256 v[4]) {
    __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 a = _mm256_max_ps(_mm256_andnot_ps(sign, v[0]), _mm256_andnot_ps(sign, v[1]));
    __m256 b = _mm256_max_ps(_mm256_andnot_ps(sign, v[2]), _mm256_andnot_ps(sign, v[3]));
    a = _mm256_max_ps(a, b);
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/* 32 values as int8, in order. */
static inline __m256i acts_round(const __m256 v[4], float id) {
    __m256 factor = _mm256_set1_ps(id);
    __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(v[0], factor)), b = _mm256_cvtps_epi32(_mm256_mul_ps(v[1], factor));
    __m256i c = _mm256_cvtps_epi32(_mm256_mul_ps(v[2], factor)), d = _mm256_cvtps_epi32(_mm256_mul_ps(v[3], factor));
    __m256i q = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    return _mm256_permutevar8x32_epi32(q, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* Row t of a panel of T; x NULL: zeros. */
static void acts_row_q8(const float *x, uint32_t k, unsigned T, unsigned t, uint8_t *out) {
    for (uint32_t b = 0; b < k / KERN_BLOCK; b++, out += KERN_LINE * T) {
        __m256 v[4];
        for (unsigned i = 0; i < 4; i++)
            v[i] = x ? _mm256_loadu_ps(x + b * KERN_BLOCK + 8 * i) : _mm256_setzero_ps();
        float a = acts_max(v);
        if (a < 0x1p-100f)
            acts_put(out, T, t, _mm256_setzero_si256(), 0);
        else
            acts_put(out, T, t, acts_round(v, 127 / a), a / 127);
    }
}

static void acts_row_f32(const float *x, uint32_t k, unsigned T, unsigned t, float *out) {
    for (uint32_t i = 0; i < k; i++)
        out[i * T + t] = x ? x[i] : 0;
}

static void dot_acts_fill(struct kern_acts *a, const float *x, size_t x_stride, uint32_t from, uint32_t to, uint8_t *faults) {
    uint64_t row_bytes = a->kind == KERN_ACTS_F32 ? (uint64_t)a->k * sizeof *x : (uint64_t)(a->k / KERN_BLOCK) * KERN_LINE;
    for (uint32_t panel = from, T; panel < to; panel += T) {
        T = dot_min(a->rows - panel, DOT_T);
        uint8_t *out = a->data + panel * row_bytes;
        for (uint32_t t = 0; t < T; t++) {
            const float *in = x + (panel + t) * x_stride;
            if (!acts_finite(in, a->k)) {
                faults[panel + t] = 1;
                in = NULL;
            }
            if (a->kind == KERN_ACTS_F32)
                acts_row_f32(in, a->k, T, t, (float *)out);
            else
                acts_row_q8(in, a->k, T, t, out);
        }
    }
}
