/* emu_avx512: the AVX-512 texts on machines without AVX-512. SIMDe carries out its intrinsics on AVX2 (the Makefile gives the
 * files that include this their flags); what Debian's SIMDe lacks is written down here by halves of 256 bits. */
#pragma once

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

/* Applies a conversion of 128 or 256 bits, which AVX2 has, to both halves. */
static inline __m512 emu_cvtph_ps(__m256i h) {
    simde__m512_private out;
    out.m256[0] = _mm256_cvtph_ps(_mm256_castsi256_si128(h));
    out.m256[1] = _mm256_cvtph_ps(_mm256_extracti128_si256(h, 1));
    return simde__m512_from_private(out);
}
static inline __m512i emu_cvtepu8_epi32(__m128i v) {
    simde__m512i_private out;
    out.m256i[0] = _mm256_cvtepu8_epi32(v);
    out.m256i[1] = _mm256_cvtepu8_epi32(_mm_srli_si128(v, 8));
    return simde__m512i_from_private(out);
}
static inline __m512i emu_cvtepu16_epi32(__m256i v) {
    simde__m512i_private out;
    out.m256i[0] = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(v));
    out.m256i[1] = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(v, 1));
    return simde__m512i_from_private(out);
}
static inline __m512 emu_cvtepi32_ps(__m512i v) {
    simde__m512i_private in = simde__m512i_to_private(v);
    simde__m512_private out;
    out.m256[0] = _mm256_cvtepi32_ps(in.m256i[0]);
    out.m256[1] = _mm256_cvtepi32_ps(in.m256i[1]);
    return simde__m512_from_private(out);
}
static inline __m512i emu_srai_epi32(__m512i v, int n) {
    simde__m512i_private in = simde__m512i_to_private(v);
    in.m256i[0] = _mm256_srai_epi32(in.m256i[0], n);
    in.m256i[1] = _mm256_srai_epi32(in.m256i[1], n);
    return simde__m512i_from_private(in);
}
static inline __m512i emu_cvtepi8_epi32(__m128i v) {
    simde__m512i_private out;
    out.m256i[0] = _mm256_cvtepi8_epi32(v);
    out.m256i[1] = _mm256_cvtepi8_epi32(_mm_srli_si128(v, 8));
    return simde__m512i_from_private(out);
}
static inline __m256 emu_half(__m512 v, int i) {
    return simde__m512_to_private(v).m256[i];
}
static inline __m256i emu_cvtps_ph(__m512 v, int rounding) {
    (void)rounding; /* nearest even is all that is used */
    return _mm256_setr_m128i(_mm256_cvtps_ph(emu_half(v, 0), 0), _mm256_cvtps_ph(emu_half(v, 1), 0));
}
static inline float emu_reduce_max_ps(__m512 v) {
    float lane[16], m;
    simde_mm512_storeu_ps(lane, v);
    m = lane[0];
    for (int i = 1; i < 16; i++)
        m = lane[i] > m ? lane[i] : m;
    return m;
}
static inline __m512 emu_maskz_loadu_ps(unsigned mask, const float *p) {
    float lane[16] = {0};
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1)
            lane[i] = p[i];
    return simde_mm512_loadu_ps(lane);
}
static inline void emu_mask_storeu_ps(float *p, unsigned mask, __m512 v) {
    float lane[16];
    simde_mm512_storeu_ps(lane, v);
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1)
            p[i] = lane[i];
}
#define __mmask16 simde__mmask16
#define _mm512_cvtepi8_epi32 emu_cvtepi8_epi32
#define _mm512_cvtps_ph emu_cvtps_ph
#define _mm512_extractf32x8_ps emu_half
#define _mm512_reduce_max_ps emu_reduce_max_ps
#define _mm512_maskz_loadu_ps emu_maskz_loadu_ps
#define _mm512_mask_storeu_ps emu_mask_storeu_ps
#define _mm512_cvtph_ps emu_cvtph_ps
#define _mm512_cvtepu8_epi32 emu_cvtepu8_epi32
#define _mm512_cvtepu16_epi32 emu_cvtepu16_epi32
#define _mm512_cvtepi32_ps emu_cvtepi32_ps
#define _mm512_srai_epi32 emu_srai_epi32
