/* vec_avx512: vectors of 16 floats in one zmm register (AVX-512 F, DQ). */
#pragma once

#include <immintrin.h>

#include "vec.h"

#define VEC_SUMS 24
#ifndef VEC_KEEP
#define VEC_KEEP(x) __asm__("" : "+v"((x).z))
#endif
#define VEC_FORGET() __asm__("" ::: "memory")

struct vec {
    __m512 z;
};
#define VEC(value) ((struct vec){(value)})

FLAT struct vec vec_set(float x) {
    return VEC(_mm512_set1_ps(x));
}
FLAT struct vec vec_lanes(void) {
    return VEC(_mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

FLAT __mmask16 lanes_mask(uint32_t n) {
    return (__mmask16)((1u << n) - 1);
}
FLAT struct vec vec_load(const float *p) {
    return VEC(_mm512_loadu_ps(p));
}
FLAT struct vec vec_load_n(const float *p, uint32_t n) {
    return VEC(_mm512_maskz_loadu_ps(lanes_mask(n), p));
}
FLAT struct vec vec_load_f16(const uint16_t *p) {
    return VEC(_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)));
}
FLAT struct vec vec_load_i8(const int8_t *p) {
    return VEC(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p))));
}
FLAT void vec_store(float *p, struct vec x) {
    _mm512_storeu_ps(p, x.z);
}
FLAT void vec_store_n(float *p, uint32_t n, struct vec x) {
    _mm512_mask_storeu_ps(p, lanes_mask(n), x.z);
}
FLAT void vec_store_f16(uint16_t *p, struct vec x) {
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(x.z, _MM_FROUND_TO_NEAREST_INT));
}

FLAT struct vec vec_add(struct vec a, struct vec b) {
    return VEC(_mm512_add_ps(a.z, b.z));
}
FLAT struct vec vec_sub(struct vec a, struct vec b) {
    return VEC(_mm512_sub_ps(a.z, b.z));
}
FLAT struct vec vec_mul(struct vec a, struct vec b) {
    return VEC(_mm512_mul_ps(a.z, b.z));
}
FLAT struct vec vec_div(struct vec a, struct vec b) {
    return VEC(_mm512_div_ps(a.z, b.z));
}
FLAT struct vec vec_fma(struct vec a, struct vec b, struct vec c) {
    return VEC(_mm512_fmadd_ps(a.z, b.z, c.z));
}
FLAT struct vec vec_min(struct vec a, struct vec b) {
    return VEC(_mm512_min_ps(a.z, b.z));
}
FLAT struct vec vec_max(struct vec a, struct vec b) {
    return VEC(_mm512_max_ps(a.z, b.z));
}
FLAT struct vec vec_neg(struct vec a) {
    return VEC(_mm512_xor_ps(a.z, _mm512_set1_ps(-0.0f)));
}
FLAT struct vec vec_abs(struct vec a) {
    return VEC(_mm512_andnot_ps(_mm512_set1_ps(-0.0f), a.z));
}
FLAT struct vec vec_signed(struct vec a, struct vec s) {
    return VEC(_mm512_or_ps(a.z, _mm512_and_ps(s.z, _mm512_set1_ps(-0.0f))));
}
FLAT struct vec vec_pick(struct vec a, struct vec b, struct vec x, struct vec y) {
    return VEC(_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.z, b.z, _CMP_LT_OQ), y.z, x.z));
}
FLAT struct vec vec_exponent(struct vec p, struct vec t) {
    return VEC(_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p.z), _mm512_slli_epi32(_mm512_castps_si512(t.z), 23))));
}
FLAT void vec_unzip(struct vec *a, struct vec *b) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    __m512 x = _mm512_permutex2var_ps(a->z, even, b->z);
    b->z = _mm512_permutex2var_ps(a->z, _mm512_add_epi32(even, _mm512_set1_epi32(1)), b->z);
    a->z = x;
}
FLAT void vec_zip(struct vec *x, struct vec *y) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    __m512 a = _mm512_permutex2var_ps(x->z, low, y->z);
    y->z = _mm512_permutex2var_ps(x->z, _mm512_add_epi32(low, _mm512_set1_epi32(8)), y->z);
    x->z = a;
}

FLAT float vec_sum(struct vec a) {
    __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(a.z), _mm512_extractf32x8_ps(a.z, 1));
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}
FLAT float vec_top(struct vec a) {
    return _mm512_reduce_max_ps(a.z);
}
FLAT bool vec_finite(struct vec a) {
    const __m512i exponent = _mm512_set1_epi32(0x7f800000);
    return _mm512_cmpeq_epi32_mask(_mm512_and_si512(_mm512_castps_si512(a.z), exponent), exponent) == 0;
}
