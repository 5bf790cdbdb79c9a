/* kern_codes_avx512: a packed block of weights, and a block of a panel of activations, as vectors of 512 bits: what
 * kern_dot_avx512.h and kern_dot_amx.h read alike.
 *
 *     __m512i codes = dot_codes(f, unit, s, g);           // 16 outputs, four k each, of group g
 *     __m512 d = dot_scale(f, unit, s), m = dot_minimum(f, unit, s);
 *
 * The layout of a unit is kern_dot.h's, that of a panel kern_dot_avx512.h's. */
#pragma once

#include <immintrin.h>
#include <string.h>

#include "kern_dot.h"

#define DOT_INLINE static inline __attribute__((always_inline))
#ifndef DOT_UNROLL /* the test of this text without AVX-512 has its own */
#ifdef __clang__
#define DOT_UNROLL _Pragma("clang loop unroll(full)")
#else
#define DOT_UNROLL _Pragma("GCC unroll 16")
#endif
#endif
/* Keeps a vector in a register where it was loaded. */
#ifndef DOT_KEEP
#define DOT_KEEP(v) __asm__("" : "+v"(v))
#endif

enum { DOT_MAGIC = 0x4B400000 /* the bits of 1.5 * 2^23 */ };

/* Words of a row and a block in a panel. */
enum {
    WORD_D,         /* float d */
    WORD_DS,        /* float d * (float)S */
    WORD_MINUS_8,   /* int MAGIC - 8 * S */
    WORD_MINUS_16,  /* int MAGIC - 16 * S */
    WORD_MINUS_128, /* int MAGIC - 128 * S */
    WORD_HALF0,     /* int MAGIC - 32 * (sum of q over k < 16) */
    WORD_HALF1,     /* int -32 * (sum of q over k >= 16) */
    WORD_SUMS,      /* int16 pair: sums of the halves */
};

DOT_INLINE __m512i dot_load(const void *p) {
    return _mm512_loadu_si512(p);
}
DOT_INLINE int32_t dot_int(const uint8_t *p) {
    int32_t v;
    memcpy(&v, p, 4);
    return v;
}
DOT_INLINE __m512i dot_word(const uint8_t *x, unsigned T, unsigned word, unsigned t) {
    return _mm512_set1_epi32(dot_int(x + 4 * ((8 + word) * T + t)));
}
DOT_INLINE __m512 dot_word_ps(const uint8_t *x, unsigned T, unsigned word, unsigned t) {
    return _mm512_castsi512_ps(dot_word(x, T, word, t));
}
DOT_INLINE __m512 dot_load_ps(const uint8_t *p) {
    return _mm512_loadu_ps((const float *)p);
}
DOT_INLINE __m512 dot_f16(const uint8_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
DOT_INLINE __m512 dot_u8_ps(const uint8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
DOT_INLINE __m512 dot_minus_magic(__m512 d) {
    return _mm512_mul_ps(d, _mm512_set1_ps(-0x1.8p23f));
}

/* ---- packed weights ---------------------------------------------------------------------------------------------------- */

/* To the right, or for n < 0 to the left. The instruction wants a literal, also where gcc at -O0 sees none. */
DOT_INLINE __m512i dot_shift(__m512i v, int n) {
    switch (n) {
    case -4: return _mm512_slli_epi32(v, 4);
    case -3: return _mm512_slli_epi32(v, 3);
    case -2: return _mm512_slli_epi32(v, 2);
    case -1: return _mm512_slli_epi32(v, 1);
    case 1: return _mm512_srli_epi32(v, 1);
    case 2: return _mm512_srli_epi32(v, 2);
    case 3: return _mm512_srli_epi32(v, 3);
    default: return v;
    }
}

/* Codes of group g of block s in a unit; int8 weights with 128 added. */
DOT_INLINE __m512i dot_codes(const struct kern_layout *f, const uint8_t *unit, unsigned s, unsigned g) {
    if (f->lo == 8)
        return _mm512_xor_si512(dot_load(unit + s * 512 + g * 64), _mm512_set1_epi8(-128));
    __m512i v = dot_load(unit + s * 256 + g % 4 * 64);
    v = _mm512_and_si512(g < 4 ? v : _mm512_srli_epi16(v, 4), _mm512_set1_epi8(15));
    if (f->hi == 1) {
        __m512i bits = dot_load(unit + f->hi_at + s * 64);
        v = _mm512_or_si512(v, _mm512_and_si512(dot_shift(bits, (int)g - 4), _mm512_set1_epi8(16)));
    } else if (f->hi == 2) {
        __m512i bits = dot_load(unit + f->hi_at + s * 128 + g / 4 * 64);
        v = _mm512_or_si512(v, _mm512_and_si512(dot_shift(bits, (int)(g % 4) * 2 - 4), _mm512_set1_epi8(48)));
    }
    if (f->values) {
        __m512i values = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)f->values));
        v = _mm512_xor_si512(_mm512_shuffle_epi8(values, v), _mm512_set1_epi8(-128));
    }
    return v;
}

/* 2^(e-128), MXFP4's exponents e: half of the float with that exponent; e = 0 is the smallest. */
DOT_INLINE __m512 dot_exponent(__m512i e) {
    __m512 d = _mm512_mul_ps(_mm512_castsi512_ps(_mm512_slli_epi32(e, 23)), _mm512_set1_ps(0.5f));
    return _mm512_max_ps(d, _mm512_set1_ps(0x1p-128f));
}

/* Half of an e4m3: its bits under a float's exponent are 2^-119 of it, also where it is subnormal. */
DOT_INLINE __m512 dot_e4m3(__m512i v) {
    v = _mm512_and_si512(v, _mm512_set1_epi32(0x7f));
    __mmask16 is_none = _mm512_cmpeq_epi32_mask(v, _mm512_set1_epi32(0x7f));
    v = _mm512_mask_mov_epi32(v, is_none, _mm512_setzero_si512());
    return _mm512_mul_ps(_mm512_castsi512_ps(_mm512_slli_epi32(v, 20)), _mm512_set1_ps(0x1p119f));
}

/* The byte of half i from pairs of halves. */
DOT_INLINE __m512i dot_pair_half(const uint8_t *pairs, unsigned i, bool is_signed) {
    __m512i both = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)pairs));
    both = i ? _mm512_slli_epi32(both, 16) : _mm512_slli_epi32(both, 24);
    return is_signed ? _mm512_srai_epi32(both, 24) : _mm512_srli_epi32(both, 24);
}

/* The scale of block s, or of its half i where they have their own. */
DOT_INLINE __m512 dot_scale_half(const struct kern_layout *f, const uint8_t *unit, unsigned s, unsigned i) {
    const uint8_t *p = unit + f->scales_at;
    __m512 d;
    switch (f->scales) {
    case KERN_SCALES_K: return _mm512_mul_ps(dot_f16(p + f->blocks * 32), dot_u8_ps(p + s * 16));
    case KERN_SCALES_S:
        d = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(p + s * 16))));
        d = _mm512_mul_ps(dot_f16(p + f->blocks * 16), d);
        break;
    case KERN_SCALES_SUB: d = dot_f16(p + f->blocks * 32); break;
    case KERN_SCALES_SUBM: return dot_f16(p + f->blocks * 64);
    case KERN_SCALES_E: return dot_exponent(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(p + s * 16))));
    case KERN_SCALES_F8: return dot_e4m3(dot_pair_half(p + s * 32, i, false));
    default: return dot_f16(p + s * 32);
    }
    return f->factor != 1 ? _mm512_mul_ps(d, _mm512_set1_ps(f->factor)) : d;
}
DOT_INLINE __m512 dot_scale(const struct kern_layout *f, const uint8_t *unit, unsigned s) {
    return dot_scale_half(f, unit, s, 0);
}

DOT_INLINE __m512 dot_negate(__m512 v) {
    return _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(v), _mm512_set1_epi32(INT32_MIN)));
}

DOT_INLINE __m512 dot_minimum(const struct kern_layout *f, const uint8_t *unit, unsigned s) {
    const uint8_t *p = unit + f->scales_at + f->blocks * 32;
    if (f->scales == KERN_SCALES_DM)
        return dot_f16(p + s * 32);
    if (f->scales == KERN_SCALES_SUBM)
        return dot_negate(dot_f16(p + f->blocks * 32 + 32));
    return dot_negate(_mm512_mul_ps(dot_f16(p + 32), dot_u8_ps(p - f->blocks * 16 + s * 16)));
}

/* The scale of half i of block s as int32. */
DOT_INLINE __m512i dot_sub(const struct kern_layout *f, const uint8_t *unit, unsigned s, unsigned i) {
    return dot_pair_half(unit + f->scales_at + s * 32, i, true);
}
/* The same of minimums. */
DOT_INLINE __m512i dot_sub_min(const struct kern_layout *f, const uint8_t *unit, unsigned s, unsigned i) {
    return dot_pair_half(unit + f->scales_at + (f->blocks + s) * 32, i, false);
}
