/* vec_avx2: vectors of 16 floats in two ymm registers (AVX2, FMA, F16C). */
#pragma once

#include <immintrin.h>

#include "vec.h"

#define VEC_SUMS 6
#define VEC_KEEP(v) __asm__("" : "+x"((v).half[0]), "+x"((v).half[1]))
#define VEC_FORGET() __asm__("" ::: "memory")

struct vec {
    __m256 half[2];
};
#define EACH_HALF(value)                                                                                                         \
    struct vec out;                                                                                                              \
    for (unsigned i = 0; i < 2; i++)                                                                                             \
        out.half[i] = (value);                                                                                                   \
    return out

FLAT struct vec vec_set(float x) {
    EACH_HALF(_mm256_set1_ps(x));
}
FLAT struct vec vec_lanes(void) {
    return (struct vec){{_mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7), _mm256_setr_ps(8, 9, 10, 11, 12, 13, 14, 15)}};
}

/* All ones in the first n lanes of half i. */
FLAT __m256i half_mask(uint32_t n, unsigned i) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)n - (int32_t)(8 * i)), lane);
}
FLAT struct vec vec_load(const float *p) {
    EACH_HALF(_mm256_loadu_ps(p + 8 * i));
}
FLAT struct vec vec_load_n(const float *p, uint32_t n) {
    EACH_HALF(_mm256_maskload_ps(p + 8 * i, half_mask(n, i)));
}
FLAT struct vec vec_load_f16(const uint16_t *p) {
    EACH_HALF(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8 * i))));
}
FLAT struct vec vec_load_i8(const int8_t *p) {
    EACH_HALF(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p + 8 * i)))));
}
FLAT void vec_store(float *p, struct vec x) {
    for (unsigned i = 0; i < 2; i++)
        _mm256_storeu_ps(p + 8 * i, x.half[i]);
}
FLAT void vec_store_n(float *p, uint32_t n, struct vec x) {
    for (unsigned i = 0; i < 2; i++)
        _mm256_maskstore_ps(p + 8 * i, half_mask(n, i), x.half[i]);
}
FLAT void vec_store_f16(uint16_t *p, struct vec x) {
    for (unsigned i = 0; i < 2; i++)
        _mm_storeu_si128((__m128i *)(p + 8 * i), _mm256_cvtps_ph(x.half[i], _MM_FROUND_TO_NEAREST_INT));
}

FLAT struct vec vec_add(struct vec a, struct vec b) {
    EACH_HALF(_mm256_add_ps(a.half[i], b.half[i]));
}
FLAT struct vec vec_sub(struct vec a, struct vec b) {
    EACH_HALF(_mm256_sub_ps(a.half[i], b.half[i]));
}
FLAT struct vec vec_mul(struct vec a, struct vec b) {
    EACH_HALF(_mm256_mul_ps(a.half[i], b.half[i]));
}
FLAT struct vec vec_div(struct vec a, struct vec b) {
    EACH_HALF(_mm256_div_ps(a.half[i], b.half[i]));
}
FLAT struct vec vec_fma(struct vec a, struct vec b, struct vec c) {
    EACH_HALF(_mm256_fmadd_ps(a.half[i], b.half[i], c.half[i]));
}
FLAT struct vec vec_min(struct vec a, struct vec b) {
    EACH_HALF(_mm256_min_ps(a.half[i], b.half[i]));
}
FLAT struct vec vec_max(struct vec a, struct vec b) {
    EACH_HALF(_mm256_max_ps(a.half[i], b.half[i]));
}
FLAT struct vec vec_neg(struct vec a) {
    EACH_HALF(_mm256_xor_ps(a.half[i], _mm256_set1_ps(-0.0f)));
}
FLAT struct vec vec_abs(struct vec a) {
    EACH_HALF(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.half[i]));
}
FLAT struct vec vec_signed(struct vec a, struct vec s) {
    EACH_HALF(_mm256_or_ps(a.half[i], _mm256_and_ps(s.half[i], _mm256_set1_ps(-0.0f))));
}
FLAT struct vec vec_pick(struct vec a, struct vec b, struct vec x, struct vec y) {
    EACH_HALF(_mm256_blendv_ps(y.half[i], x.half[i], _mm256_cmp_ps(a.half[i], b.half[i], _CMP_LT_OQ)));
}
FLAT struct vec vec_exponent(struct vec p, struct vec t) {
    EACH_HALF(_mm256_castsi256_ps(
        _mm256_add_epi32(_mm256_castps_si256(p.half[i]), _mm256_slli_epi32(_mm256_castps_si256(t.half[i]), 23))));
}
FLAT __m256 half_even(__m256 a, __m256 b, int pairs) { /* the even (0x88) or odd (0xdd) lanes of a, then of b */
    __m256 mixed = pairs == 0x88 ? _mm256_shuffle_ps(a, b, 0x88) : _mm256_shuffle_ps(a, b, 0xdd);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(mixed), 0xd8));
}
FLAT void vec_unzip(struct vec *a, struct vec *b) {
    struct vec x = {{half_even(a->half[0], a->half[1], 0x88), half_even(b->half[0], b->half[1], 0x88)}};
    struct vec y = {{half_even(a->half[0], a->half[1], 0xdd), half_even(b->half[0], b->half[1], 0xdd)}};
    *a = x;
    *b = y;
}
FLAT struct vec half_zip(__m256 x, __m256 y) {
    __m256 low = _mm256_unpacklo_ps(x, y), high = _mm256_unpackhi_ps(x, y);
    return (struct vec){{_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)}};
}
FLAT void vec_zip(struct vec *x, struct vec *y) {
    struct vec a = half_zip(x->half[0], y->half[0]), b = half_zip(x->half[1], y->half[1]);
    *x = a;
    *y = b;
}

FLAT float vec_sum(struct vec a) {
    __m256 s8 = _mm256_add_ps(a.half[0], a.half[1]);
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}
FLAT float vec_top(struct vec a) {
    __m256 m8 = _mm256_max_ps(a.half[0], a.half[1]);
    __m128 m4 = _mm_max_ps(_mm256_castps256_ps128(m8), _mm256_extractf128_ps(m8, 1));
    __m128 m2 = _mm_max_ps(m4, _mm_movehl_ps(m4, m4));
    return _mm_cvtss_f32(_mm_max_ss(m2, _mm_movehdup_ps(m2)));
}
FLAT bool vec_finite(struct vec a) {
    const __m256i exponent = _mm256_set1_epi32(0x7f800000);
    __m256i low = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_castps_si256(a.half[0]), exponent), exponent);
    __m256i high = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_castps_si256(a.half[1]), exponent), exponent);
    return _mm256_testz_si256(_mm256_or_si256(low, high), _mm256_or_si256(low, high));
}
