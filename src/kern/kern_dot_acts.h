/* kern_dot_acts: activations of the x86 tiers, the rows of a panel side by side. Included by kern_dot_{avx2,avx512}.h behind
 * kern_dot_range.h, before their acts_words, which makes the words of a block; the rest is the same: what is not finite, numerics 2,
 * the order. */
#pragma once

#include <immintrin.h>

enum { ACTS_WORDS = 8, ACTS_INFINITE = 0x7f800000 /* bits of infinity; those of a NaN are above */ };

/* The words of a block, lane = row. lanes: in 128 bits each, of k < 16 and of k >= 16, int16 pairs of a row: the sums of its q with
 * k%4 in {0,1} and in {2,3}. */
static void acts_words(__m256i lanes, __m128 d, __m128i words[ACTS_WORDS]);

/* One int32 a row. */
DOT_INLINE void acts_store(uint8_t *out, const unsigned T, __m128i v) {
    int32_t last = _mm_extract_epi32(v, 2);
    switch (T) {
    case 1: _mm_storeu_si32(out, v); break;
    case 2: _mm_storel_epi64((__m128i *)out, v); break;
    case 3:
        _mm_storel_epi64((__m128i *)out, v);
        memcpy(out + 8, &last, 4);
        break;
    default: _mm_storeu_si128((__m128i *)out, v);
    }
}

DOT_INLINE __m256i acts_abs(const float *x) {
    return _mm256_and_si256(_mm256_loadu_si256((const __m256i *)x), _mm256_set1_epi32(INT32_MAX));
}

/* The bits of the largest magnitude of each row's 32 values; bits of magnitudes are in the order of the magnitudes. */
DOT_INLINE __m128i acts_max(const float *const x[DOT_T], const unsigned T) {
    __m128i m[DOT_T];
    DOT_UNROLL
    for (unsigned t = 0; t < DOT_T; t++) {
        const float *row = x[t < T ? t : 0];
        __m256i a = _mm256_max_epi32(_mm256_max_epi32(acts_abs(row), acts_abs(row + 8)),
                                     _mm256_max_epi32(acts_abs(row + 16), acts_abs(row + 24)));
        m[t] = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    }
    __m128i m01 = _mm_max_epi32(_mm_unpacklo_epi32(m[0], m[1]), _mm_unpackhi_epi32(m[0], m[1]));
    __m128i m23 = _mm_max_epi32(_mm_unpacklo_epi32(m[2], m[3]), _mm_unpackhi_epi32(m[2], m[3]));
    return _mm_max_epi32(_mm_unpacklo_epi64(m01, m23), _mm_unpackhi_epi64(m01, m23));
}

/* 32 values as int8, in order. */
DOT_INLINE __m256i acts_round(const float *x, __m256 id) {
    __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), id));
    __m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8), id));
    __m256i c = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 16), id));
    __m256i d = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 24), id));
    __m256i q = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    return _mm256_permutevar8x32_epi32(q, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* A block of T rows by numerics 2; returns acts_max. */
DOT_INLINE __m128i acts_block(const float *const x[DOT_T], const unsigned T, uint8_t *out) {
    __m128i bits = acts_max(x, T), words[ACTS_WORDS];
    __m128 a = _mm_castsi128_ps(bits), tiny = _mm_cmplt_ps(a, _mm_set1_ps(0x1p-100f));
    __m128 id = _mm_andnot_ps(tiny, _mm_div_ps(_mm_set1_ps(127), a)), d = _mm_andnot_ps(tiny, _mm_div_ps(a, _mm_set1_ps(127)));
    __m256i q[DOT_T], pairs[4], groups[4], lanes = _mm256_setzero_si256();
    DOT_UNROLL
    for (unsigned t = 0; t < DOT_T; t++) {
        __m128 one = _mm_castsi128_ps(_mm_shuffle_epi32(_mm_castps_si128(id), 0));
        q[t] = t < T ? acts_round(x[t], _mm256_broadcastss_ps(one)) : _mm256_setzero_si256();
        id = _mm_castsi128_ps(_mm_srli_si128(_mm_castps_si128(id), 4));
    }
    for (unsigned i = 0; i < 2; i++) {
        pairs[2 * i] = _mm256_unpacklo_epi32(q[2 * i], q[2 * i + 1]);
        pairs[2 * i + 1] = _mm256_unpackhi_epi32(q[2 * i], q[2 * i + 1]);
    }
    for (unsigned i = 0; i < 2; i++) {
        groups[2 * i] = _mm256_unpacklo_epi64(pairs[i], pairs[2 + i]);
        groups[2 * i + 1] = _mm256_unpackhi_epi64(pairs[i], pairs[2 + i]);
    }
    for (unsigned g = 0; g < 4; g++) {
        acts_store(out + 4 * g * T, T, _mm256_castsi256_si128(groups[g]));
        acts_store(out + 4 * (g + 4) * T, T, _mm256_extracti128_si256(groups[g], 1));
        lanes = _mm256_add_epi16(lanes, _mm256_maddubs_epi16(_mm256_set1_epi8(1), groups[g]));
    }
    acts_words(lanes, d, words);
    DOT_UNROLL
    for (unsigned i = 0; i < ACTS_WORDS; i++)
        acts_store(out + 4 * (8 + i) * T, T, words[i]);
    return bits;
}

/* The rows whose largest bits are not those of a number. */
DOT_INLINE unsigned acts_bad(__m128i top, const unsigned T) {
    return (unsigned)_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpgt_epi32(top, _mm_set1_epi32(ACTS_INFINITE - 1)))) & ((1u << T) - 1);
}

/* A panel of T rows; the rows whose bits are set in `skip` are zeros. Returns the bits of those that are not finite. */
DOT_INLINE unsigned acts_panel_q8(const float *x, size_t x_stride, uint32_t k, const unsigned T, unsigned skip, uint8_t *out) {
    static const float zeros[KERN_BLOCK];
    const float *at[DOT_T];
    __m128i top = _mm_setzero_si128();
    for (uint32_t b = 0; b < k / KERN_BLOCK; b++, out += KERN_LINE * T) {
        for (unsigned t = 0; t < T; t++)
            at[t] = skip >> t & 1 ? zeros : x + t * x_stride + b * KERN_BLOCK;
        top = _mm_max_epi32(top, acts_block(at, T, out));
    }
    return acts_bad(top, T);
}

static unsigned acts_rows_q8(const float *x, size_t x_stride, uint32_t k, unsigned T, unsigned skip, uint8_t *out) {
    switch (T) {
    case 1: return acts_panel_q8(x, x_stride, k, 1, skip, out);
    case 2: return acts_panel_q8(x, x_stride, k, 2, skip, out);
    case 3: return acts_panel_q8(x, x_stride, k, 3, skip, out);
    default: return acts_panel_q8(x, x_stride, k, 4, skip, out);
    }
}

/* The same for dense formats: one k of all rows, or four of them. keep: zeros for the rows that are skipped. */
DOT_INLINE __m128i acts_put(float *out, const unsigned T, __m128 v, __m128 keep, __m128i top) {
    acts_store((uint8_t *)out, T, _mm_castps_si128(_mm_and_ps(v, keep)));
    return _mm_max_epi32(top, _mm_and_si128(_mm_castps_si128(v), _mm_set1_epi32(INT32_MAX)));
}

DOT_INLINE unsigned acts_panel_f32(const float *x, size_t x_stride, uint32_t k, const unsigned T, unsigned skip, float *out) {
    const float *at[DOT_T];
    for (unsigned t = 0; t < DOT_T; t++)
        at[t] = x + (t < T ? t : 0) * x_stride;
    __m128i top = _mm_setzero_si128(), skipped = _mm_and_si128(_mm_set1_epi32((int)skip), _mm_setr_epi32(1, 2, 4, 8));
    __m128 keep = _mm_castsi128_ps(_mm_cmpeq_epi32(skipped, top));
    uint32_t i = 0;
    for (; i + 4 <= k; i += 4) {
        __m128 v[4] = {_mm_loadu_ps(at[0] + i), _mm_loadu_ps(at[1] + i), _mm_loadu_ps(at[2] + i), _mm_loadu_ps(at[3] + i)};
        _MM_TRANSPOSE4_PS(v[0], v[1], v[2], v[3]);
        DOT_UNROLL
        for (unsigned j = 0; j < 4; j++)
            top = acts_put(out + (size_t)(i + j) * T, T, v[j], keep, top);
    }
    for (; i < k; i++)
        top = acts_put(out + (size_t)i * T, T, _mm_setr_ps(at[0][i], at[1][i], at[2][i], at[3][i]), keep, top);
    return acts_bad(top, T);
}

static unsigned acts_rows_f32(const float *x, size_t x_stride, uint32_t k, unsigned T, unsigned skip, float *out) {
    switch (T) {
    case 1: return acts_panel_f32(x, x_stride, k, 1, skip, out);
    case 2: return acts_panel_f32(x, x_stride, k, 2, skip, out);
    case 3: return acts_panel_f32(x, x_stride, k, 3, skip, out);
    default: return acts_panel_f32(x, x_stride, k, 4, skip, out);
    }
}

static unsigned acts_rows(const struct kern_acts *a, const float *x, size_t x_stride, unsigned T, unsigned skip, uint8_t *out) {
    if (a->kind == KERN_ACTS_F32)
        return acts_rows_f32(x, x_stride, a->k, T, skip, (float *)out);
    return acts_rows_q8(x, x_stride, a->k, T, skip, out);
}

static void dot_acts_fill(struct kern_acts *a, const float *x, size_t x_stride, uint32_t from, uint32_t to, uint8_t *faults) {
    uint64_t row_bytes = a->kind == KERN_ACTS_F32 ? (uint64_t)a->k * sizeof *x : (uint64_t)(a->k / KERN_BLOCK) * KERN_LINE;
    for (uint32_t panel = from, T; panel < to; panel += T) {
        T = dot_min(a->rows - panel, DOT_T);
        uint8_t *out = a->data + panel * row_bytes;
        unsigned bad = acts_rows(a, x + panel * x_stride, x_stride, T, 0, out);
        for (unsigned t = 0; t < T; t++)
            if (bad >> t & 1)
                faults[panel + t] = 1;
        if (bad)
            acts_rows(a, x + panel * x_stride, x_stride, T, bad, out);
    }
}
