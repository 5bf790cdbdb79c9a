/* kern_dot_avx2: products on AVX2. Included by kern_avx2.c and, for AVX-VNNI, by kern_avxvnni.c; acts_fill_avx2 and matmul_avx2
 * are its entries.
 *
 * A vector lane is an output: half h of a tile is outputs 8h..8h+7 in one ymm. vpmaddubsw multiplies unsigned codes by signed
 * activations; all eight products' pairs of a block are added in int16, then one vpmaddwd widens. int16 wraps, so a sum may
 * pass through any value if the true one fits:
 *   SUM_CODE    codes 0..15:            16 * 15 * 127 = 30,480
 *   SUM_CENTRED codes 0..31, started at -16 * (lane's sum of q): 16 * 16 * 127 = 32,512
 *   SUM_SUB     codes 0..63, two sums of four groups started at -32 * (lane's sum): 8 * 32 * 127 = 32,512; their vpmaddwd
 *               multiplies by the scales of the halves
 *   SUM_SIGNED  int8 weights: |w| times sign(q, w), widened at once
 *   SUM_HALVES  the same, a sum for each half of the block: any format that numerics 3 has terms for
 *   SUM_VNNI    codes 0..255 by vpdpbusd, which adds in int32: for all but SUM_SUB and SUM_HALVES where the CPU has it
 * An int32 sum I becomes a float by adding MAGIC = the bits of 1.5 * 2^23: P = fma(1.5 * 2^23 + I, d, -1.5 * 2^23 * d) is
 * (float)I * d rounded once, as long as |I| < 2^22 (not so for SUM_SUB). The zero point is added with MAGIC.
 *
 * Activations, a panel of T rows. Quantised:
 * per block 64*T bytes, q [8 groups][T][4], then words [8][T], see the enum. Dense: [k][T] floats. */
#pragma once

#include <immintrin.h>
#include <string.h>

#include "kern_dot.h"

enum { DOT_T = 4, DOT_STREAM = 4, DOT_R = 1, DOT_SPAN = 1, CHUNK_BYTES = 32 * 704 };
#include "kern_dot_range.h"

#define DOT_INLINE static inline __attribute__((always_inline))
/* Keeps a vector in a register and its computation where it stands: gcc 12 otherwise re-orders the sums and spills them. */
#define DOT_KEEP(v) __asm__("" : "+x"(v))
#ifdef __clang__
#define DOT_UNROLL _Pragma("clang loop unroll(full)")
#else
#define DOT_UNROLL _Pragma("GCC unroll 16")
#endif

#include "kern_dot_acts.h"

enum { DOT_MAGIC = 0x4B400000, DOT_AHEAD = 6144 /* bytes that GEMV prefetches ahead */ };

#ifdef __AVXVNNI__
enum { DOT_VNNI = true };
#else
enum { DOT_VNNI = false };
#endif

/* Words of a row and a block in a panel. */
enum {
    WORD_D,       /* float d */
    WORD_DS,      /* float d * (float)S */
    WORD_MINUS_8, /* int MAGIC - 8 * S */
    WORD_PLUS_16, /* int MAGIC + 16 * S; with VNNI MAGIC - 16 * S */
    WORD_CENTRED, /* int16 pair: -16 * (sum of the q with k%4 in {0,1}, in {2,3}); with VNNI MAGIC - 128 * S */
    WORD_HALF0,   /* int16 pair: -32 * (the same over k < 16) */
    WORD_HALF1,   /* int16 pair: -32 * (the same over k >= 16) */
    WORD_SUMS,    /* int16 pair: sums of the halves */
};

/* Codes of a block in a chunk, [8 groups][16][4], then floats [16] each. */
enum { CHUNK_D = 512, CHUNK_MINUS_MAGIC_D = 576, CHUNK_MIN = 640, CHUNK_SUB0 = 576, CHUNK_SUB1 = 640, CHUNK_BLOCK = 704 };
/* For SUM_HALVES: kern_terms of the 16 outputs, [16] each; 0 and 1 are the halves. */
enum { HALVES_D = 512, HALVES_SUB = 640, HALVES_MIN = 768, HALVES_SUB_MIN = 832, HALVES_BLOCK = 960 };

/* How a format is multiplied; constant in every text made from it. */
struct dot_plan {
    enum { SUM_CODE, SUM_CENTRED, SUM_SUB, SUM_SIGNED, SUM_HALVES, SUM_VNNI } sum;
    unsigned offset; /* the word that is added to I; 0: MAGIC alone */
    bool min;
    bool flip;  /* SUM_VNNI: weights are int8, the codes are 128 more */
    bool split; /* SUM_HALVES: a term for each half */
};

DOT_INLINE __m256i dot_load(const void *p) {
    return _mm256_loadu_si256(p);
}
DOT_INLINE void dot_store(void *p, __m256i v) {
    _mm256_storeu_si256(p, v);
}
DOT_INLINE __m256i dot_word(const uint8_t *x, unsigned T, unsigned word, unsigned t) {
    int32_t v;
    memcpy(&v, x + 4 * ((8 + word) * T + t), 4);
    return _mm256_set1_epi32(v);
}
DOT_INLINE __m256i dot_q(const uint8_t *x, unsigned T, unsigned g, unsigned t) {
    int32_t v;
    memcpy(&v, x + 4 * (g * T + t), 4);
    return _mm256_set1_epi32(v);
}
DOT_INLINE __m256 dot_word_ps(const uint8_t *x, unsigned T, unsigned word, unsigned t) {
    return _mm256_castsi256_ps(dot_word(x, T, word, t));
}
DOT_INLINE __m256 dot_f16(const void *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(p));
}
DOT_INLINE __m256 dot_u8_ps(const void *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(p)));
}
DOT_INLINE __m256 dot_minus_magic(__m256 d) {
    return _mm256_mul_ps(d, _mm256_set1_ps(-0x1.8p23f));
}

/* ---- packed weights ---------------------------------------------------------------------------------------------------- */

/* Codes of group g of block s in a unit, half h. */
DOT_INLINE __m256i dot_codes(const struct kern_layout *f, const uint8_t *unit, unsigned s, unsigned h, unsigned g) {
    if (f->lo == 8)
        return dot_load(unit + s * 512 + g * 64 + h * 32);
    __m256i nibble = _mm256_set1_epi8(15), v = dot_load(unit + s * 256 + g % 4 * 64 + h * 32);
    v = _mm256_and_si256(g < 4 ? v : _mm256_srli_epi16(v, 4), nibble);
    if (f->hi == 1) {
        __m256i bits = dot_load(unit + f->hi_at + s * 64 + h * 32);
        bits = g < 4 ? _mm256_slli_epi16(bits, (int)(4 - g)) : _mm256_srli_epi16(bits, (int)(g - 4));
        v = _mm256_or_si256(v, _mm256_and_si256(bits, _mm256_set1_epi8(16)));
    } else if (f->hi == 2) {
        __m256i bits = dot_load(unit + f->hi_at + s * 128 + g / 4 * 64 + h * 32);
        bits = g % 4 < 3 ? _mm256_slli_epi16(bits, (int)(4 - g % 4 * 2)) : _mm256_srli_epi16(bits, 2);
        v = _mm256_or_si256(v, _mm256_and_si256(bits, _mm256_set1_epi8(48)));
    }
    if (f->values)
        v = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)f->values)), v);
    return v;
}

/* 2^(e-128), MXFP4's exponents e: half of the float with that exponent; e = 0 is the smallest. */
DOT_INLINE __m256 dot_exponent(__m256i e) {
    __m256 d = _mm256_mul_ps(_mm256_castsi256_ps(_mm256_slli_epi32(e, 23)), _mm256_set1_ps(0.5f));
    return _mm256_max_ps(d, _mm256_set1_ps(0x1p-128f));
}

/* Half of an e4m3: its bits under a float's exponent are 2^-119 of it, also where it is subnormal. */
DOT_INLINE __m256 dot_e4m3(__m256i v) {
    v = _mm256_and_si256(v, _mm256_set1_epi32(0x7f));
    v = _mm256_andnot_si256(_mm256_cmpeq_epi32(v, _mm256_set1_epi32(0x7f)), v);
    return _mm256_mul_ps(_mm256_castsi256_ps(_mm256_slli_epi32(v, 20)), _mm256_set1_ps(0x1p119f));
}

/* The scale of block s, or of its half i where they have their own. */
DOT_INLINE __m256 dot_scale_half(const struct kern_layout *f, const uint8_t *unit, unsigned s, unsigned h, unsigned i) {
    const uint8_t *p = unit + f->scales_at;
    __m256 d;
    switch (f->scales) {
    case KERN_SCALES_K: return _mm256_mul_ps(dot_f16(p + f->blocks * 32 + h * 16), dot_u8_ps(p + s * 16 + h * 8));
    case KERN_SCALES_S:
        d = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p + s * 16 + h * 8))));
        d = _mm256_mul_ps(dot_f16(p + f->blocks * 16 + h * 16), d);
        break;
    case KERN_SCALES_SUB: d = dot_f16(p + f->blocks * 32 + h * 16); break;
    case KERN_SCALES_SUBM: return dot_f16(p + f->blocks * 64 + h * 16);
    case KERN_SCALES_E: return dot_exponent(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p + s * 16 + h * 8))));
    case KERN_SCALES_F8: {
        __m256i both = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(p + s * 32 + h * 16)));
        return dot_e4m3(i ? _mm256_srli_epi32(both, 8) : both);
    }
    default: return dot_f16(p + s * 32 + h * 16);
    }
    return f->factor != 1 ? _mm256_mul_ps(d, _mm256_set1_ps(f->factor)) : d;
}
DOT_INLINE __m256 dot_scale(const struct kern_layout *f, const uint8_t *unit, unsigned s, unsigned h) {
    return dot_scale_half(f, unit, s, h, 0);
}

DOT_INLINE __m256 dot_minimum(const struct kern_layout *f, const uint8_t *unit, unsigned s, unsigned h) {
    const uint8_t *p = unit + f->scales_at + f->blocks * 32;
    if (f->scales == KERN_SCALES_DM)
        return dot_f16(p + s * 32 + h * 16);
    if (f->scales == KERN_SCALES_SUBM)
        return _mm256_xor_ps(dot_f16(p + f->blocks * 32 + 32 + h * 16), _mm256_set1_ps(-0.0f));
    __m256 m = _mm256_mul_ps(dot_f16(p + 32 + h * 16), dot_u8_ps(p - f->blocks * 16 + s * 16 + h * 8));
    return _mm256_xor_ps(m, _mm256_set1_ps(-0.0f));
}

/* The scale of half i of block s (SUM_SUB), as pairs of int16. */
DOT_INLINE __m256i dot_sub(const struct kern_layout *f, const uint8_t *unit, unsigned s, unsigned h, unsigned i) {
    __m256i both = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(unit + f->scales_at + s * 32 + h * 16)));
    __m256i low = _mm256_set1_epi32(0xffff);
    return i == 0 ? _mm256_or_si256(_mm256_and_si256(both, low), _mm256_slli_epi32(both, 16))
                  : _mm256_or_si256(_mm256_srli_epi32(both, 16), _mm256_andnot_si256(low, both));
}

/* The same as they are multiplied. */
DOT_INLINE __m256i dot_planned_codes(const struct kern_layout *f, struct dot_plan plan, const uint8_t *unit, unsigned s,
                                     unsigned h, unsigned g) {
    __m256i v = dot_codes(f, unit, s, h, g);
    return plan.flip ? _mm256_xor_si256(v, _mm256_set1_epi8(-128)) : v;
}

DOT_INLINE void dot_unpack(const struct kern_layout *f, struct dot_plan plan, const uint8_t *tile, uint32_t b0, uint32_t n,
                           uint8_t *out) {
    for (uint32_t b = b0; b < b0 + n; b++, out += CHUNK_BLOCK) {
        const uint8_t *unit = tile + (size_t)(b / f->blocks) * f->bytes;
        unsigned s = b % f->blocks;
        DOT_UNROLL
        for (unsigned g = 0; g < 8; g++) {
            dot_store(out + g * 64, dot_planned_codes(f, plan, unit, s, 0, g));
            dot_store(out + g * 64 + 32, dot_planned_codes(f, plan, unit, s, 1, g));
        }
        DOT_UNROLL
        for (unsigned h = 0; h < 2; h++) {
            __m256 d = dot_scale(f, unit, s, h);
            _mm256_storeu_ps((float *)(out + CHUNK_D) + 8 * h, d);
            if (plan.sum == SUM_SUB) {
                dot_store(out + CHUNK_SUB0 + 32 * h, dot_sub(f, unit, s, h, 0));
                dot_store(out + CHUNK_SUB1 + 32 * h, dot_sub(f, unit, s, h, 1));
                continue;
            }
            _mm256_storeu_ps((float *)(out + CHUNK_MINUS_MAGIC_D) + 8 * h, dot_minus_magic(d));
            if (plan.min)
                _mm256_storeu_ps((float *)(out + CHUNK_MIN) + 8 * h, dot_minimum(f, unit, s, h));
        }
    }
}

/* 8 outputs' bytes of half i from pairs of halves. */
DOT_INLINE __m256i dot_pair_half(const uint8_t *pairs, unsigned i, bool is_signed) {
    __m256i both = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)pairs));
    both = _mm256_slli_epi32(both, i ? 16 : 24);
    return is_signed ? _mm256_srai_epi32(both, 24) : _mm256_srli_epi32(both, 24);
}

DOT_INLINE void dot_unpack_halves(const struct kern_layout *f, struct dot_plan plan, const uint8_t *tile, uint32_t b0, uint32_t n,
                                  uint8_t *out) {
    for (uint32_t b = b0; b < b0 + n; b++, out += HALVES_BLOCK) {
        const uint8_t *unit = tile + (size_t)(b / f->blocks) * f->bytes;
        unsigned s = b % f->blocks;
        for (unsigned h = 0; h < 2; h++) {
            DOT_UNROLL
            for (unsigned g = 0; g < 8; g++)
                dot_store(out + g * 64 + h * 32, dot_codes(f, unit, s, h, g));
            for (unsigned i = 0; i < 2; i++) {
                const uint8_t *subs = unit + f->scales_at + s * 32 + h * 16;
                bool has_subs = f->scales == KERN_SCALES_SUB || f->scales == KERN_SCALES_SUBM;
                _mm256_storeu_ps((float *)(out + HALVES_D + i * 64) + 8 * h, dot_scale_half(f, unit, s, h, i));
                dot_store(out + HALVES_SUB + i * 64 + h * 32, has_subs ? dot_pair_half(subs, i, true) : _mm256_set1_epi32(1));
                if (plan.min)
                    dot_store(out + HALVES_SUB_MIN + i * 64 + h * 32, dot_pair_half(subs + f->blocks * 32, i, false));
            }
            if (plan.min)
                _mm256_storeu_ps((float *)(out + HALVES_MIN) + 8 * h, dot_minimum(f, unit, s, h));
        }
    }
}

/* ---- the integer part of a block: codes times activations ---------------------------------------------------------------- */

/* What is added to I to make it the bits of 1.5 * 2^23 + I. */
DOT_INLINE __m256i dot_offset(struct dot_plan plan, const uint8_t *x, unsigned T, unsigned t) {
    return plan.offset ? dot_word(x, T, plan.offset, t) : _mm256_set1_epi32(DOT_MAGIC);
}

/* Such a sum is of int16 until the end of the block. */
DOT_INLINE bool dot_is_narrow(struct dot_plan plan) {
    return plan.sum == SUM_CODE || plan.sum == SUM_CENTRED;
}

/* c += w * q over group g of row t. first: the sum begins here. */
DOT_INLINE __m256i dot_add_group(struct dot_plan plan, __m256i w, __m256i q, const uint8_t *x, unsigned T, unsigned g, unsigned t,
                                 bool first, __m256i c) {
#ifdef __AVXVNNI__
    if (plan.sum == SUM_VNNI)
        return _mm256_dpbusd_avx_epi32(first ? dot_offset(plan, x, T, t) : c, w, q);
#endif
    if (plan.sum == SUM_SIGNED) {
        __m256i p = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w));
        p = _mm256_madd_epi16(p, _mm256_set1_epi16(1));
        return _mm256_add_epi32(first ? _mm256_set1_epi32(DOT_MAGIC) : c, p);
    }
    __m256i p = _mm256_maddubs_epi16(w, q);
    if (!first)
        return _mm256_add_epi16(c, p);
    if (plan.sum == SUM_CODE)
        return p;
    return _mm256_add_epi16(p, dot_word(x, T, plan.sum == SUM_CENTRED ? WORD_CENTRED : g < 4 ? WORD_HALF0 : WORD_HALF1, t));
}

/* ---- up to 4 rows: streamed ------------------------------------------------------------------------------------------------ */

/* Spreads the prefetch of a unit evenly over its blocks. */
DOT_INLINE void dot_prefetch(const struct kern_layout *f, const uint8_t *unit, unsigned s) {
    unsigned lines = f->bytes / 64u, end = (s + 1) * lines / f->blocks;
    for (unsigned i = s * lines / f->blocks; i < end; i++)
        _mm_prefetch((const char *)unit + DOT_AHEAD + i * 64, _MM_HINT_T0);
}

/* Block s of a unit for half h: y[t] takes the block in. */
DOT_INLINE void dot_stream_block(const struct kern_layout *f, struct dot_plan plan, const uint8_t *unit, unsigned s, unsigned h,
                                 const uint8_t *x, const unsigned T, __m256 y[DOT_T][2]) {
    __m256i c[DOT_T], first_half[DOT_T];
    DOT_UNROLL
    for (unsigned i = 0; i < 8; i++) {
        /* both nibbles of a load one after the other, except where a sum ends after four groups */
        const unsigned g = plan.sum == SUM_SUB || f->lo == 8 ? i : i / 2 + i % 2 * 4;
        const bool first = i == 0 || (plan.sum == SUM_SUB && i == 4);
        __m256i w = dot_planned_codes(f, plan, unit, s, h, g);
        DOT_KEEP(w);
        DOT_UNROLL
        for (unsigned t = 0; t < T; t++) {
            if (first && i)
                first_half[t] = _mm256_madd_epi16(c[t], dot_sub(f, unit, s, h, 0));
            __m256i q = dot_q(x, T, g, t);
            DOT_KEEP(q);
            c[t] = dot_add_group(plan, w, q, x, T, g, t, first, c[t]);
            DOT_KEEP(c[t]);
        }
    }
    __m256 d = dot_scale(f, unit, s, h), minus_magic = dot_minus_magic(d), min = plan.min ? dot_minimum(f, unit, s, h) : d;
    DOT_UNROLL
    for (unsigned t = 0; t < T; t++) {
        __m256 p;
        if (plan.sum == SUM_SUB) {
            __m256i sum = _mm256_add_epi32(first_half[t], _mm256_madd_epi16(c[t], dot_sub(f, unit, s, h, 1)));
            p = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), d);
        } else {
            if (dot_is_narrow(plan))
                c[t] = _mm256_add_epi32(_mm256_madd_epi16(c[t], _mm256_set1_epi16(1)), dot_offset(plan, x, T, t));
            p = _mm256_fmadd_ps(_mm256_castsi256_ps(c[t]), d, minus_magic);
        }
        y[t][h] = _mm256_fmadd_ps(p, dot_word_ps(x, T, WORD_D, t), y[t][h]);
        if (plan.min)
            y[t][h] = _mm256_fmadd_ps(min, dot_word_ps(x, T, WORD_DS, t), y[t][h]);
    }
}

DOT_INLINE void dot_stream(const struct kern_layout *f, struct dot_plan plan, const uint8_t *unit, const uint8_t *x, float *out,
                           uint32_t n_blocks, const unsigned T) {
    __m256 y[DOT_T][2];
    for (unsigned t = 0; t < T; t++)
        y[t][0] = y[t][1] = _mm256_setzero_ps();
    for (uint32_t b = 0; b < n_blocks; unit += f->bytes)
        for (unsigned s = 0; s < f->blocks && b < n_blocks; s++, b++, x += KERN_LINE * T) {
            dot_prefetch(f, unit, s);
            dot_stream_block(f, plan, unit, s, 0, x, T, y);
            dot_stream_block(f, plan, unit, s, 1, x, T, y);
        }
    for (unsigned t = 0; t < T; t++) {
        _mm256_storeu_ps(out + t * KERN_TILE, y[t][0]);
        _mm256_storeu_ps(out + t * KERN_TILE + 8, y[t][1]);
    }
}

/* ---- panels against a chunk ---------------------------------------------------------------------------------------------- */

/* c[t][h]: I of a block, for all but SUM_SUB as the bits of 1.5 * 2^23 + I. */
DOT_INLINE void dot_tile_sums(struct dot_plan plan, const uint8_t *w, const uint8_t *x, const unsigned T, __m256i c[DOT_T][2]) {
    __m256i first_half[DOT_T][2];
    DOT_UNROLL
    for (unsigned g = 0; g < 8; g++) {
        __m256i v[2] = {dot_load(w + g * 64), dot_load(w + g * 64 + 32)};
        DOT_KEEP(v[0]);
        DOT_KEEP(v[1]);
        const bool first = g == 0 || (plan.sum == SUM_SUB && g == 4);
        DOT_UNROLL
        for (unsigned t = 0; t < T; t++) {
            __m256i q = dot_q(x, T, g, t);
            DOT_KEEP(q);
            DOT_UNROLL
            for (unsigned h = 0; h < 2; h++) {
                if (first && g)
                    first_half[t][h] = _mm256_madd_epi16(c[t][h], dot_load(w + CHUNK_SUB0 + h * 32));
                c[t][h] = dot_add_group(plan, v[h], q, x, T, g, t, first, c[t][h]);
                DOT_KEEP(c[t][h]);
            }
        }
    }
    DOT_UNROLL
    for (unsigned t = 0; t < T; t++) {
        __m256i offset = dot_offset(plan, x, T, t);
        DOT_KEEP(offset);
        DOT_UNROLL
        for (unsigned h = 0; h < 2; h++)
            if (plan.sum == SUM_SUB)
                c[t][h] = _mm256_add_epi32(first_half[t][h], _mm256_madd_epi16(c[t][h], dot_load(w + CHUNK_SUB1 + h * 32)));
            else if (dot_is_narrow(plan))
                c[t][h] = _mm256_add_epi32(_mm256_madd_epi16(c[t][h], _mm256_set1_epi16(1)), offset);
    }
}

/* p[t][h] = (float)I * d. */
DOT_INLINE void dot_tile_products(struct dot_plan plan, const uint8_t *w, const unsigned T, __m256i c[DOT_T][2],
                                  __m256 p[DOT_T][2]) {
    DOT_UNROLL
    for (unsigned h = 0; h < 2; h++) {
        __m256 d = _mm256_loadu_ps((const float *)(w + CHUNK_D) + 8 * h);
        DOT_KEEP(d);
        if (plan.sum == SUM_SUB) {
            DOT_UNROLL
            for (unsigned t = 0; t < T; t++)
                p[t][h] = _mm256_mul_ps(_mm256_cvtepi32_ps(c[t][h]), d);
            continue;
        }
        __m256 minus_magic = _mm256_loadu_ps((const float *)(w + CHUNK_MINUS_MAGIC_D) + 8 * h);
        DOT_KEEP(minus_magic);
        DOT_UNROLL
        for (unsigned t = 0; t < T; t++)
            p[t][h] = _mm256_fmadd_ps(_mm256_castsi256_ps(c[t][h]), d, minus_magic);
    }
}

/* y [T][16] stays in memory: it is the operand of the fma. */
DOT_INLINE void dot_tile(struct dot_plan plan, const uint8_t *w, const uint8_t *x, float *y, uint32_t n_blocks,
                         const struct dot_ahead *ahead, const unsigned T) {
    for (uint32_t b = 0; b < n_blocks; b++, w += CHUNK_BLOCK, x += KERN_LINE * T) {
        dot_bring(ahead, b);
        __m256i c[DOT_T][2];
        __m256 p[DOT_T][2];
        dot_tile_sums(plan, w, x, T, c);
        dot_tile_products(plan, w, T, c, p);
        DOT_UNROLL
        for (unsigned t = 0; t < T; t++) {
            __m256 d = dot_word_ps(x, T, WORD_D, t), ds = plan.min ? dot_word_ps(x, T, WORD_DS, t) : d;
            DOT_KEEP(d);
            DOT_KEEP(ds);
            DOT_UNROLL
            for (unsigned h = 0; h < 2; h++) {
                __m256 sum = _mm256_fmadd_ps(p[t][h], d, _mm256_loadu_ps(y + t * KERN_TILE + 8 * h));
                if (plan.min)
                    sum = _mm256_fmadd_ps(_mm256_loadu_ps((const float *)(w + CHUNK_MIN) + 8 * h), ds, sum);
                _mm256_storeu_ps(y + t * KERN_TILE + 8 * h, sum);
            }
        }
        __asm__("" ::: "memory"); /* or gcc keeps all of y on the stack */
    }
}

/* Numerics 3 as kern_terms has it, for outputs 8h..8h+7 of row t; c: the sums of the halves. */
DOT_INLINE __m256 dot_halves_add(struct dot_plan plan, const uint8_t *w, const uint8_t *x, unsigned T, unsigned t, unsigned h,
                                 const __m256i c[2], __m256 y) {
    __m256 d = dot_word_ps(x, T, WORD_D, t), d0 = _mm256_loadu_ps((const float *)(w + HALVES_D) + 8 * h);
    if (plan.split) {
        __m256 d1 = _mm256_loadu_ps((const float *)(w + HALVES_D + 64) + 8 * h);
        y = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(c[0]), d0), d, y);
        return _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(c[1]), d1), d, y);
    }
    const uint8_t *sub = w + HALVES_SUB + h * 32, *sub_min = w + HALVES_SUB_MIN + h * 32;
    __m256i sum = _mm256_add_epi32(_mm256_mullo_epi32(c[0], dot_load(sub)), _mm256_mullo_epi32(c[1], dot_load(sub + 64)));
    y = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), d0), d, y);
    if (!plan.min)
        return y;
    __m256i sums = dot_word(x, T, WORD_SUMS, t), s0 = _mm256_srai_epi32(_mm256_slli_epi32(sums, 16), 16);
    __m256i s1 = _mm256_srai_epi32(sums, 16);
    sum = _mm256_add_epi32(_mm256_mullo_epi32(s0, dot_load(sub_min)), _mm256_mullo_epi32(s1, dot_load(sub_min + 64)));
    __m256 m = _mm256_loadu_ps((const float *)(w + HALVES_MIN) + 8 * h);
    return _mm256_fmadd_ps(m, _mm256_mul_ps(d, _mm256_cvtepi32_ps(sum)), y);
}

DOT_INLINE void dot_tile_halves(struct dot_plan plan, const uint8_t *w, const uint8_t *x, float *y, uint32_t n_blocks,
                                const struct dot_ahead *ahead, const unsigned T) {
    for (uint32_t b = 0; b < n_blocks; b++, w += HALVES_BLOCK, x += KERN_LINE * T) {
        dot_bring(ahead, b);
        for (unsigned h = 0; h < 2; h++) {
            __m256i c[DOT_T][2];
            DOT_UNROLL
            for (unsigned g = 0; g < 8; g++) {
                __m256i v = dot_load(w + g * 64 + h * 32), magnitude = _mm256_abs_epi8(v);
                DOT_UNROLL
                for (unsigned t = 0; t < T; t++) {
                    __m256i p = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(dot_q(x, T, g, t), v));
                    p = _mm256_madd_epi16(p, _mm256_set1_epi16(1));
                    c[t][g / 4] = g % 4 ? _mm256_add_epi32(c[t][g / 4], p) : p;
                    DOT_KEEP(c[t][g / 4]);
                }
            }
            DOT_UNROLL
            for (unsigned t = 0; t < T; t++) {
                float *out = y + t * KERN_TILE + 8 * h;
                _mm256_storeu_ps(out, dot_halves_add(plan, w, x, T, t, h, c[t], _mm256_loadu_ps(out)));
            }
        }
    }
}

/* ---- one text per format, plan and number of rows --------------------------------------------------------------------------- */

#ifdef __AVXVNNI__
static const struct dot_plan plan_code_8 = {.sum = SUM_VNNI, .offset = WORD_MINUS_8};
static const struct dot_plan plan_code_min = {.sum = SUM_VNNI, .min = true};
static const struct dot_plan plan_centred = {.sum = SUM_VNNI, .offset = WORD_PLUS_16};
static const struct dot_plan plan_centred_min = {.sum = SUM_VNNI, .min = true};
static const struct dot_plan plan_signed = {.sum = SUM_VNNI, .offset = WORD_CENTRED, .flip = true};
#else
static const struct dot_plan plan_code_8 = {.sum = SUM_CODE, .offset = WORD_MINUS_8};
static const struct dot_plan plan_code_min = {.sum = SUM_CODE, .min = true};
static const struct dot_plan plan_centred = {.sum = SUM_CENTRED};
static const struct dot_plan plan_centred_min = {.sum = SUM_CENTRED, .offset = WORD_PLUS_16, .min = true};
static const struct dot_plan plan_signed = {.sum = SUM_SIGNED};
#endif
static const struct dot_plan plan_sub = {.sum = SUM_SUB};
static const struct dot_plan plan_halves = {.sum = SUM_HALVES};
static const struct dot_plan plan_halves_min = {.sum = SUM_HALVES, .min = true};
static const struct dot_plan plan_halves_split = {.sum = SUM_HALVES, .split = true};

#define DOT_TILE(PLAN, T)                                                                                                        \
    static void dot_tile_##PLAN##_##T(const uint8_t *chunk, const uint8_t *x, float *y, uint32_t n_blocks,                       \
                                      const struct dot_ahead *ahead) {                                                           \
        if (plan_##PLAN.sum == SUM_HALVES)                                                                                       \
            dot_tile_halves(plan_##PLAN, chunk, x, y, n_blocks, ahead, T);                                                       \
        else                                                                                                                     \
            dot_tile(plan_##PLAN, chunk, x, y, n_blocks, ahead, T);                                                              \
    }
#define DOT_TILES(PLAN)                                                                                                          \
    DOT_TILE(PLAN, 1)                                                                                                            \
    DOT_TILE(PLAN, 2)                                                                                                            \
    DOT_TILE(PLAN, 3)                                                                                                            \
    DOT_TILE(PLAN, 4)                                                                                                            \
    static dot_tile_fn *const dot_tiles_##PLAN[DOT_T] = {dot_tile_##PLAN##_1, dot_tile_##PLAN##_2, dot_tile_##PLAN##_3,          \
                                                         dot_tile_##PLAN##_4};
DOT_TILES(code_8)
DOT_TILES(code_min)
DOT_TILES(centred)
DOT_TILES(centred_min)
DOT_TILES(sub)
DOT_TILES(signed)
DOT_TILES(halves)
DOT_TILES(halves_min)
DOT_TILES(halves_split)

#define DOT_STREAM(F, PLAN, T)                                                                                                   \
    static void dot_stream_##F##_##T(const uint8_t *tile, const uint8_t *x, float *y, uint32_t n_blocks) {                       \
        dot_stream(&kern_layouts[DTYPE_##F], plan_##PLAN, tile, x, y, n_blocks, T);                                              \
    }
#define DOT_UNPACK(F, PLAN)                                                                                                      \
    static void dot_unpack_##F(const uint8_t *tile, uint32_t from, uint32_t n_blocks, uint8_t *chunk) {                          \
        if (plan_##PLAN.sum == SUM_HALVES)                                                                                       \
            dot_unpack_halves(&kern_layouts[DTYPE_##F], plan_##PLAN, tile, from, n_blocks, chunk);                               \
        else                                                                                                                     \
            dot_unpack(&kern_layouts[DTYPE_##F], plan_##PLAN, tile, from, n_blocks, chunk);                                      \
    }
#define DOT_FORMAT(F, PLAN)                                                                                                      \
    DOT_STREAM(F, PLAN, 1)                                                                                                       \
    DOT_STREAM(F, PLAN, 2)                                                                                                       \
    DOT_STREAM(F, PLAN, 3)                                                                                                       \
    DOT_STREAM(F, PLAN, 4)                                                                                                       \
    static dot_stream_fn *const dot_streams_##F[DOT_T] = {dot_stream_##F##_1, dot_stream_##F##_2, dot_stream_##F##_3,            \
                                                          dot_stream_##F##_4};                                                   \
    DOT_UNPACK(F, PLAN)
DOT_FORMAT(Q4_0, code_8)
DOT_FORMAT(Q4_1, code_min)
DOT_FORMAT(Q5_0, centred)
DOT_FORMAT(Q5_1, centred_min)
DOT_FORMAT(Q8_0, signed)
DOT_FORMAT(Q4_K, code_min)
DOT_FORMAT(Q5_K, centred_min)
DOT_FORMAT(Q6_K, sub)
/* These are always unpacked, also for one row. */
DOT_UNPACK(IQ4_NL, signed)
DOT_UNPACK(IQ4_XS, signed)
DOT_UNPACK(IQ2_XXS, signed)
DOT_UNPACK(IQ3_XXS, signed)
DOT_UNPACK(IQ3_S, signed)
DOT_UNPACK(IQ1_S, signed)
DOT_UNPACK(TQ1_0, signed)
DOT_UNPACK(TQ2_0, signed)
DOT_UNPACK(Q1_0, signed)
DOT_UNPACK(Q2_0, signed)
DOT_UNPACK(Q3_K, halves)
DOT_UNPACK(IQ2_XS, halves)
DOT_UNPACK(IQ2_S, halves)
DOT_UNPACK(IQ1_M, halves)
DOT_UNPACK(MXFP4, halves)
DOT_UNPACK(Q2_K, halves_min)
DOT_UNPACK(NVFP4, halves_split)

/* ---- dense weights ------------------------------------------------------------------------------------------------------------ */

DOT_INLINE __m256 dense_load(uint32_t dtype, const uint8_t *w, size_t i) {
    if (dtype == DTYPE_F32)
        return _mm256_loadu_ps((const float *)w + i);
    __m128i v = _mm_loadu_si128((const void *)(w + 2 * i));
    if (dtype == DTYPE_F16)
        return _mm256_cvtph_ps(v);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16));
}

/* y [T][16] over n of k; first: y begins here. */
DOT_INLINE void dense_tile(uint32_t dtype, const uint8_t *w, const float *x, float *out, uint32_t n, const unsigned T,
                           bool first) {
    __m256 y[DOT_T][2];
    DOT_UNROLL
    for (unsigned t = 0; t < T; t++) {
        y[t][0] = first ? _mm256_setzero_ps() : _mm256_loadu_ps(out + t * KERN_TILE);
        y[t][1] = first ? _mm256_setzero_ps() : _mm256_loadu_ps(out + t * KERN_TILE + 8);
    }
    for (uint32_t k = 0; k < n; k++, x += T) {
        __m256 w0 = dense_load(dtype, w, (size_t)k * KERN_TILE), w1 = dense_load(dtype, w, (size_t)k * KERN_TILE + 8);
        DOT_UNROLL
        for (unsigned t = 0; t < T; t++) {
            __m256 v = _mm256_broadcast_ss(x + t);
            y[t][0] = _mm256_fmadd_ps(w0, v, y[t][0]);
            y[t][1] = _mm256_fmadd_ps(w1, v, y[t][1]);
        }
    }
    DOT_UNROLL
    for (unsigned t = 0; t < T; t++) {
        _mm256_storeu_ps(out + t * KERN_TILE, y[t][0]);
        _mm256_storeu_ps(out + t * KERN_TILE + 8, y[t][1]);
    }
}

/* Weights in a chunk are float32. */
DOT_INLINE void dense_unpack(uint32_t dtype, const uint8_t *tile, uint32_t from, uint32_t n, uint8_t *chunk) {
    for (size_t i = 0; i < (size_t)n * KERN_TILE; i += 8)
        _mm256_store_ps((float *)chunk + i, dense_load(dtype, tile, (size_t)from * KERN_TILE + i));
}

#include "kern_dot_dense.h"

/* ---- the table of formats ------------------------------------------------------------------------------------------------------ */

#define DOT_TEXT(F, PLAN) [DTYPE_##F] = {KERN_BLOCK, KERN_LINE, 4, 32, 8, dot_streams_##F, dot_unpack_##F, dot_tiles_##PLAN, NULL}
#define DOT_TEXT_UNPACKED(F, PLAN) [DTYPE_##F] = {KERN_BLOCK, KERN_LINE, 0, 16, 8, NULL, dot_unpack_##F, dot_tiles_##PLAN, NULL}
#define DENSE_TEXT(F) [DTYPE_##F] = {1, sizeof(float), 4, 256, 256, dot_streams_##F, dense_unpack_##F, dense_tiles, NULL}
static const struct dot_text dot_texts[] = {
    DENSE_TEXT(F32),
    DENSE_TEXT(F16),
    DENSE_TEXT(BF16),
    DOT_TEXT(Q4_0, code_8),
    DOT_TEXT(Q4_1, code_min),
    DOT_TEXT(Q5_0, centred),
    DOT_TEXT(Q5_1, centred_min),
    DOT_TEXT(Q8_0, signed),
    DOT_TEXT(Q4_K, code_min),
    DOT_TEXT(Q5_K, centred_min),
    DOT_TEXT(Q6_K, sub),
    DOT_TEXT_UNPACKED(IQ4_NL, signed),
    DOT_TEXT_UNPACKED(IQ4_XS, signed),
    DOT_TEXT_UNPACKED(IQ2_XXS, signed),
    DOT_TEXT_UNPACKED(IQ3_XXS, signed),
    DOT_TEXT_UNPACKED(IQ3_S, signed),
    DOT_TEXT_UNPACKED(IQ1_S, signed),
    DOT_TEXT_UNPACKED(TQ1_0, signed),
    DOT_TEXT_UNPACKED(TQ2_0, signed),
    DOT_TEXT_UNPACKED(Q1_0, signed),
    DOT_TEXT_UNPACKED(Q2_0, signed),
    DOT_TEXT_UNPACKED(Q3_K, halves),
    DOT_TEXT_UNPACKED(IQ2_XS, halves),
    DOT_TEXT_UNPACKED(IQ2_S, halves),
    DOT_TEXT_UNPACKED(IQ1_M, halves),
    DOT_TEXT_UNPACKED(MXFP4, halves),
    DOT_TEXT_UNPACKED(Q2_K, halves_min),
    DOT_TEXT_UNPACKED(NVFP4, halves_split),
};

static void matmul_avx2(const struct kern_packed *w, const struct kern_acts *a, float *y, size_t y_stride, uint32_t from,
                        uint32_t to) {
    dot_range(&dot_texts[w->type], w, a, y, y_stride, from, to);
}

/* ---- activations ------------------------------------------------------------------------------------------------------------- */

static void acts_words(__m256i lanes, __m128 d, __m128i words[ACTS_WORDS]) {
    __m256i sums = _mm256_madd_epi16(lanes, _mm256_set1_epi16(1));
    __m128i s0 = _mm256_castsi256_si128(sums), s1 = _mm256_extracti128_si256(sums, 1), s = _mm_add_epi32(s0, s1);
    __m128i pairs0 = _mm256_castsi256_si128(lanes), pairs1 = _mm256_extracti128_si256(lanes, 1);
    __m128i magic = _mm_set1_epi32(DOT_MAGIC), zero = _mm_setzero_si128();
    words[WORD_D] = _mm_castps_si128(d);
    words[WORD_DS] = _mm_castps_si128(_mm_mul_ps(d, _mm_cvtepi32_ps(s)));
    words[WORD_MINUS_8] = _mm_sub_epi32(magic, _mm_slli_epi32(s, 3));
    words[WORD_PLUS_16] = _mm_add_epi32(magic, _mm_slli_epi32(s, 4));
    words[WORD_CENTRED] = _mm_sub_epi16(zero, _mm_slli_epi16(_mm_add_epi16(pairs0, pairs1), 4));
    if (DOT_VNNI) {
        words[WORD_PLUS_16] = _mm_sub_epi32(magic, _mm_slli_epi32(s, 4));
        words[WORD_CENTRED] = _mm_sub_epi32(magic, _mm_slli_epi32(s, 7));
    }
    words[WORD_HALF0] = _mm_sub_epi16(zero, _mm_slli_epi16(pairs0, 5));
    words[WORD_HALF1] = _mm_sub_epi16(zero, _mm_slli_epi16(pairs1, 5));
    words[WORD_SUMS] = _mm_blend_epi16(s0, _mm_slli_epi32(s1, 16), 0xaa);
}

static void acts_fill_avx2(struct kern_acts *a, const float *x, size_t x_stride, uint32_t from, uint32_t to, uint8_t *faults) {
    dot_acts_fill(a, x, x_stride, from, to, faults);
}
