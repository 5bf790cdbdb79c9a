/* kern_dot_avx512: products on AVX-512 with VNNI. Included by kern_avx512.c only; acts_fill_avx512 and matmul_avx512 are its
 * entries.
 *
 * A vector lane is an output: one zmm is a tile. vpdpbusd adds four products of unsigned codes and signed activations to an
 * int32. The sums start where the zero point (z) puts them, at -z * S, and at MAGIC = the bits of 1.5 * 2^23, so that they end
 * as the bits of the float 1.5 * 2^23 + I: P = fma(that, d, -1.5 * 2^23 * d) is (float)I * d rounded once, as long as
 * |I| < 2^22. With a scale for each half of a block (plan.sub) the halves are summed, scaled and converted without that.
 *
 * Activations, a panel of T rows. Quantised: per block 64*T bytes, q [8 groups][T][4], then words [8][T], which
 * kern_codes_avx512.h names. Dense: [k][T] floats. */
#pragma once

#include "kern_dot.h"

enum { DOT_T = 4, DOT_STREAM = 8, DOT_R = 4, DOT_SPAN = 4, CHUNK_BYTES = 10 * 704 };
#include "kern_dot_range.h"
#include "kern_codes_avx512.h"
#include "kern_dot_acts.h"

enum { DOT_AHEAD = 6144, DOT_AHEAD_EACH = 3072 /* bytes that GEMV prefetches ahead, of one tile and of each of DOT_R */ };

/* Codes of a block in a chunk, [8 groups][16][4], then floats or int32 [16] each. */
enum { CHUNK_D = 512, CHUNK_MINUS_MAGIC_D = 576, CHUNK_MIN = 640, CHUNK_SUB0 = 576, CHUNK_SUB1 = 640, CHUNK_BLOCK = 704 };
/* For plan.halves: behind the codes kern_terms of the 16 outputs as floats; 0 and 1 are the halves. */
struct dot_halves {
    __m512 d[2], sub[2], min, sub_min[2];
};
enum { HALVES_TERMS = 512, HALVES_BLOCK = HALVES_TERMS + sizeof(struct dot_halves) };

/* How a format is multiplied; constant in every text made from it. */
struct dot_plan {
    unsigned start; /* the word that a sum starts with; 0: MAGIC alone */
    bool min, sub;
    bool halves, split; /* a sum for each half of a block: any format that numerics 3 has terms for; split: two terms */
};

/* ---- weights of a chunk ------------------------------------------------------------------------------------------------- */

DOT_INLINE void dot_unpack(const struct kern_layout *f, struct dot_plan plan, const uint8_t *tile, uint32_t b0, uint32_t n,
                           uint8_t *out) {
    for (uint32_t b = b0; b < b0 + n; b++, out += CHUNK_BLOCK) {
        const uint8_t *unit = tile + (size_t)(b / f->blocks) * f->bytes;
        unsigned s = b % f->blocks;
        DOT_UNROLL
        for (unsigned g = 0; g < 8; g++)
            _mm512_storeu_si512(out + g * 64, dot_codes(f, unit, s, g));
        __m512 d = dot_scale(f, unit, s);
        _mm512_storeu_ps((float *)(out + CHUNK_D), d);
        if (plan.sub) {
            _mm512_storeu_ps((float *)(out + CHUNK_SUB0), _mm512_cvtepi32_ps(dot_sub(f, unit, s, 0)));
            _mm512_storeu_ps((float *)(out + CHUNK_SUB1), _mm512_cvtepi32_ps(dot_sub(f, unit, s, 1)));
            continue;
        }
        _mm512_storeu_ps((float *)(out + CHUNK_MINUS_MAGIC_D), dot_minus_magic(d));
        if (plan.min)
            _mm512_storeu_ps((float *)(out + CHUNK_MIN), dot_minimum(f, unit, s));
    }
}

DOT_INLINE struct dot_halves dot_halves_of(const struct kern_layout *f, struct dot_plan plan, const uint8_t *unit, unsigned s) {
    bool has_subs = f->scales == KERN_SCALES_SUB || f->scales == KERN_SCALES_SUBM;
    struct dot_halves h;
    for (unsigned i = 0; i < 2; i++) {
        h.d[i] = dot_scale_half(f, unit, s, i);
        h.sub[i] = has_subs ? _mm512_cvtepi32_ps(dot_sub(f, unit, s, i)) : _mm512_set1_ps(1);
        h.sub_min[i] = h.sub[i];
        if (plan.min)
            h.sub_min[i] = _mm512_cvtepi32_ps(dot_sub_min(f, unit, s, i));
    }
    h.min = plan.min ? dot_minimum(f, unit, s) : h.d[0];
    return h;
}

DOT_INLINE void dot_unpack_halves(const struct kern_layout *f, struct dot_plan plan, const uint8_t *tile, uint32_t b0, uint32_t n,
                                  uint8_t *out) {
    for (uint32_t b = b0; b < b0 + n; b++, out += HALVES_BLOCK) {
        const uint8_t *unit = tile + (size_t)(b / f->blocks) * f->bytes;
        unsigned s = b % f->blocks;
        DOT_UNROLL
        for (unsigned g = 0; g < 8; g++)
            _mm512_storeu_si512(out + g * 64, dot_codes(f, unit, s, g));
        *(struct dot_halves *)(out + HALVES_TERMS) = dot_halves_of(f, plan, unit, s);
    }
}

/* ---- what streamed and chunked products share ------------------------------------------------------------------------------ */

DOT_INLINE __m512i dot_start(struct dot_plan plan, const uint8_t *x, unsigned T, unsigned t) {
    if (plan.sub)
        return dot_word(x, T, WORD_HALF0, t);
    return plan.start ? dot_word(x, T, plan.start, t) : _mm512_set1_epi32(DOT_MAGIC);
}

/* (float)I * d, with c the sum of a block, or of its second half and first_half the other one, scaled. */
DOT_INLINE __m512 dot_product(struct dot_plan plan, __m512i c, __m512 first_half, __m512 sub1, __m512 d, __m512 minus_magic) {
    if (plan.sub)
        return _mm512_mul_ps(_mm512_fmadd_ps(_mm512_cvtepi32_ps(c), sub1, first_half), d);
    return _mm512_fmadd_ps(_mm512_castsi512_ps(c), d, minus_magic);
}

/* a[0] * b[0] + a[1] * b[1] of integers; that stays below 2^24 in all formats with two sums a block, so floats are exact. */
DOT_INLINE __m512 dot_halves_sum(const __m512i a[2], const __m512 b[2]) {
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(a[1]), b[1], _mm512_mul_ps(_mm512_cvtepi32_ps(a[0]), b[0]));
}

/* Numerics 3 as kern_terms has it, for row t; c: the sums of the halves. */
DOT_INLINE __m512 dot_halves_add(struct dot_plan plan, const struct dot_halves *h, const uint8_t *x, unsigned T, unsigned t,
                                 const __m512i c[2], __m512 y) {
    __m512 d = dot_word_ps(x, T, WORD_D, t);
    if (plan.split) {
        y = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(c[0]), h->d[0]), d, y);
        return _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(c[1]), h->d[1]), d, y);
    }
    y = _mm512_fmadd_ps(_mm512_mul_ps(dot_halves_sum(c, h->sub), h->d[0]), d, y);
    if (!plan.min)
        return y;
    __m512i both = dot_word(x, T, WORD_SUMS, t), sums[2] = {_mm512_srai_epi32(_mm512_slli_epi32(both, 16), 16)};
    sums[1] = _mm512_srai_epi32(both, 16);
    return _mm512_fmadd_ps(h->min, _mm512_mul_ps(d, dot_halves_sum(sums, h->sub_min)), y);
}

/* -128 times the sum of half i */
DOT_INLINE __m512i dot_half_start(const uint8_t *x, unsigned T, unsigned i, unsigned t) {
    __m512i start = dot_word(x, T, i ? WORD_HALF1 : WORD_HALF0, t);
    return _mm512_slli_epi32(i ? start : _mm512_sub_epi32(start, _mm512_set1_epi32(DOT_MAGIC)), 2);
}

/* ---- few rows: streamed ------------------------------------------------------------------------------------------- */

/* The lines of a unit that are prefetched with its block s, so that they are spread evenly. */
DOT_INLINE unsigned dot_lines(const struct kern_layout *f, unsigned s) {
    return s * (f->bytes / 64u) / f->blocks;
}
DOT_INLINE void dot_prefetch(const uint8_t *at, unsigned n_lines) {
    for (unsigned i = 0; i < n_lines; i++)
        _mm_prefetch((const char *)at + i * 64, _MM_HINT_T0);
}

/* Block s of a unit: y[t] takes it in. x: that block in the first of the panels of PT rows, and in the second one if T > PT. */
DOT_INLINE void dot_stream_block(const struct kern_layout *f, struct dot_plan plan, const uint8_t *unit, unsigned s,
                                 const uint8_t *const *x, const unsigned PT, const unsigned T, __m512 *y) {
    __m512i c[DOT_STREAM];
    __m512 first_half[DOT_STREAM], sub[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()}, minus_magic = sub[0];
    if (plan.sub) {
        sub[0] = _mm512_cvtepi32_ps(dot_sub(f, unit, s, 0));
        sub[1] = _mm512_cvtepi32_ps(dot_sub(f, unit, s, 1));
        minus_magic = dot_minus_magic(sub[0]);
    }
    DOT_UNROLL
    for (unsigned t = 0; t < T; t++) {
        c[t] = dot_start(plan, x[t / DOT_T], PT, t % DOT_T);
        first_half[t] = sub[0];
    }
    DOT_UNROLL
    for (unsigned i = 0; i < 8; i++) {
        /* both nibbles of a load one after the other, except where a sum ends after four groups */
        const unsigned g = plan.sub || f->lo == 8 ? i : i / 2 + i % 2 * 4;
        __m512i w = dot_codes(f, unit, s, g);
        DOT_KEEP(w);
        DOT_UNROLL
        for (unsigned t = 0; t < T; t++) {
            const uint8_t *panel = x[t / DOT_T];
            if (plan.sub && i == 4) {
                first_half[t] = _mm512_fmadd_ps(_mm512_castsi512_ps(c[t]), sub[0], minus_magic);
                c[t] = dot_word(panel, PT, WORD_HALF1, t % DOT_T);
            }
            c[t] = _mm512_dpbusd_epi32(c[t], w, _mm512_set1_epi32(dot_int(panel + 4 * (g * PT + t % DOT_T))));
        }
    }
    __m512 d = dot_scale(f, unit, s), min = plan.min ? dot_minimum(f, unit, s) : d;
    minus_magic = dot_minus_magic(d);
    DOT_UNROLL
    for (unsigned t = 0; t < T; t++) {
        __m512 p = dot_product(plan, c[t], first_half[t], sub[1], d, minus_magic);
        y[t] = _mm512_fmadd_ps(p, dot_word_ps(x[t / DOT_T], PT, WORD_D, t % DOT_T), y[t]);
        if (plan.min)
            y[t] = _mm512_fmadd_ps(min, dot_word_ps(x[t / DOT_T], PT, WORD_DS, t % DOT_T), y[t]);
    }
}

/* The same for plan.halves. */
DOT_INLINE void dot_stream_halves(const struct kern_layout *f, struct dot_plan plan, const uint8_t *unit, unsigned s,
                                  const uint8_t *const *x, const unsigned PT, const unsigned T, __m512 *y) {
    __m512i c[DOT_STREAM][2];
    DOT_UNROLL
    for (unsigned g = 0; g < 8; g++) {
        __m512i w = dot_codes(f, unit, s, g);
        DOT_KEEP(w);
        DOT_UNROLL
        for (unsigned t = 0; t < T; t++) {
            const uint8_t *panel = x[t / DOT_T];
            __m512i sum = g % 4 ? c[t][g / 4] : dot_half_start(panel, PT, g / 4, t % DOT_T);
            c[t][g / 4] = _mm512_dpbusd_epi32(sum, w, _mm512_set1_epi32(dot_int(panel + 4 * (g * PT + t % DOT_T))));
        }
    }
    struct dot_halves h = dot_halves_of(f, plan, unit, s);
    DOT_UNROLL
    for (unsigned t = 0; t < T; t++)
        y[t] = dot_halves_add(plan, &h, x[t / DOT_T], PT, t % DOT_T, c[t], y[t]);
}

DOT_INLINE void dot_stream_step(const struct kern_layout *f, struct dot_plan plan, const uint8_t *unit, unsigned s,
                                const uint8_t *const *x, const unsigned PT, const unsigned T, __m512 *y) {
    if (plan.halves)
        dot_stream_halves(f, plan, unit, s, x, PT, T, y);
    else
        dot_stream_block(f, plan, unit, s, x, PT, T, y);
}

DOT_INLINE void dot_stream(const struct kern_layout *f, struct dot_plan plan, const uint8_t *unit, const uint8_t *x, float *out,
                           uint32_t n_blocks, const unsigned T) {
    const unsigned PT = T < DOT_T ? T : DOT_T;
    __m512 y[DOT_STREAM];
    DOT_UNROLL
    for (unsigned t = 0; t < T; t++)
        y[t] = _mm512_setzero_ps();
    const uint8_t *panels[2] = {x, x + (size_t)n_blocks * KERN_LINE * DOT_T};
    for (uint32_t b = 0; b < n_blocks; unit += f->bytes)
        for (unsigned s = 0; s < f->blocks && b < n_blocks; s++, b++) {
            dot_prefetch(unit + DOT_AHEAD + dot_lines(f, s) * 64, dot_lines(f, s + 1) - dot_lines(f, s));
            dot_stream_step(f, plan, unit, s, panels, PT, T, y);
            panels[0] += KERN_LINE * PT;
            panels[1] += KERN_LINE * PT;
        }
    for (unsigned t = 0; t < T; t++)
        _mm512_storeu_ps(out + t * DOT_WIDTH, y[t]);
}

/* One row past DOT_R tiles at once: memory gives several streams more than one. Their ends bring in the next tiles' begins. */
DOT_INLINE void dot_stream_row(const struct kern_layout *f, struct dot_plan plan, const uint8_t *unit, uint64_t tile_bytes,
                               const uint8_t *x, float *out, uint32_t n_blocks) {
    __m512 y[DOT_R] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
    const uint8_t *end = unit + tile_bytes;
    for (uint32_t b = 0; b < n_blocks; unit += f->bytes)
        for (unsigned s = 0; s < f->blocks && b < n_blocks; s++, b++, x += KERN_LINE) {
            const uint8_t *next = unit + DOT_AHEAD_EACH + dot_lines(f, s) * 64;
            next += next < end ? 0 : (DOT_R - 1) * tile_bytes;
            DOT_UNROLL
            for (unsigned r = 0; r < DOT_R; r++) {
                dot_prefetch(next + r * tile_bytes, dot_lines(f, s + 1) - dot_lines(f, s));
                dot_stream_step(f, plan, unit + r * tile_bytes, s, &x, 1, 1, &y[r]);
            }
        }
    for (unsigned r = 0; r < DOT_R; r++)
        _mm512_storeu_ps(out + r * KERN_TILE, y[r]);
}

/* ---- panels against the chunks of R tiles -------------------------------------------------------------------------------------- */

/* The sums of a block. w: that block in the first tile's chunk. */
DOT_INLINE void dot_tile_sums(struct dot_plan plan, const uint8_t *w, const uint8_t *x, const unsigned R, const unsigned T,
                              __m512i c[DOT_T][DOT_R], __m512 first_half[DOT_T][DOT_R]) {
    DOT_UNROLL
    for (unsigned t = 0; t < T; t++)
        for (unsigned r = 0; r < R; r++)
            c[t][r] = dot_start(plan, x, T, t);
    DOT_UNROLL
    for (unsigned g = 0; g < 8; g++) {
        __m512i v[DOT_R];
        for (unsigned r = 0; r < R; r++) {
            v[r] = dot_load(w + r * CHUNK_BYTES + g * 64);
            DOT_KEEP(v[r]);
            if (!plan.sub || g != 4)
                continue;
            __m512 sub = dot_load_ps(w + r * CHUNK_BYTES + CHUNK_SUB0), minus_magic = dot_minus_magic(sub);
            DOT_UNROLL
            for (unsigned t = 0; t < T; t++) {
                first_half[t][r] = _mm512_fmadd_ps(_mm512_castsi512_ps(c[t][r]), sub, minus_magic);
                c[t][r] = dot_word(x, T, WORD_HALF1, t);
            }
        }
        DOT_UNROLL
        for (unsigned t = 0; t < T; t++) {
            __m512i q = _mm512_set1_epi32(dot_int(x + 4 * (g * T + t)));
            DOT_UNROLL
            for (unsigned r = 0; r < R; r++)
                c[t][r] = _mm512_dpbusd_epi32(c[t][r], v[r], q);
        }
    }
}

/* What the sums of a block add to y [T][DOT_WIDTH], which stays in memory: it is the operand of the fma. Each scale is loaded once,
 * before y is stored: loads are what is scarce beside the products. */
DOT_INLINE void dot_tile_add(struct dot_plan plan, const uint8_t *w, const uint8_t *x, float *y, const unsigned R,
                             const unsigned T, __m512i c[DOT_T][DOT_R], __m512 first_half[DOT_T][DOT_R]) {
    __m512 d[DOT_R], minus_magic[DOT_R], min[DOT_R], sub1[DOT_R];
    DOT_UNROLL
    for (unsigned r = 0; r < R; r++) {
        const uint8_t *scales = w + r * CHUNK_BYTES;
        d[r] = dot_load_ps(scales + CHUNK_D);
        minus_magic[r] = plan.sub ? d[r] : dot_load_ps(scales + CHUNK_MINUS_MAGIC_D);
        min[r] = plan.min ? dot_load_ps(scales + CHUNK_MIN) : d[r];
        sub1[r] = plan.sub ? dot_load_ps(scales + CHUNK_SUB1) : d[r];
    }
    DOT_UNROLL
    for (unsigned t = 0; t < T; t++) {
        __m512 x_d = dot_word_ps(x, T, WORD_D, t), x_ds = plan.min ? dot_word_ps(x, T, WORD_DS, t) : x_d;
        DOT_UNROLL
        for (unsigned r = 0; r < R; r++) {
            float *out = y + t * DOT_WIDTH + r * KERN_TILE;
            __m512 p = dot_product(plan, c[t][r], plan.sub ? first_half[t][r] : d[r], sub1[r], d[r], minus_magic[r]);
            __m512 sum = _mm512_fmadd_ps(p, x_d, _mm512_loadu_ps(out));
            _mm512_storeu_ps(out, plan.min ? _mm512_fmadd_ps(min[r], x_ds, sum) : sum);
        }
    }
}

DOT_INLINE void dot_tile(struct dot_plan plan, const uint8_t *w, const uint8_t *x, float *y, uint32_t n_blocks,
                         const struct dot_ahead *ahead, const unsigned R, const unsigned T) {
    for (uint32_t b = 0; b < n_blocks; b++, w += CHUNK_BLOCK, x += KERN_LINE * T) {
        dot_bring(ahead, b);
        __m512i c[DOT_T][DOT_R];
        __m512 first_half[DOT_T][DOT_R];
        dot_tile_sums(plan, w, x, R, T, c, first_half);
        dot_tile_add(plan, w, x, y, R, T, c, first_half);
        __asm__("" ::: "memory"); /* or gcc keeps all of y on the stack */
    }
}

/* One or two tiles. */
DOT_INLINE void dot_tile_halves(struct dot_plan plan, const uint8_t *w, const uint8_t *x, float *y, uint32_t n_blocks,
                                const struct dot_ahead *ahead, const unsigned R, const unsigned T) {
    for (uint32_t b = 0; b < n_blocks; b++, w += HALVES_BLOCK, x += KERN_LINE * T) {
        if (ahead)
            dot_bring(ahead, b);
        __m512i c[DOT_T][2][2];
        DOT_UNROLL
        for (unsigned g = 0; g < 8; g++) {
            __m512i v[2] = {dot_load(w + g * 64), dot_load(w + (R - 1) * CHUNK_BYTES + g * 64)};
            DOT_UNROLL
            for (unsigned t = 0; t < T; t++) {
                __m512i q = _mm512_set1_epi32(dot_int(x + 4 * (g * T + t)));
                DOT_UNROLL
                for (unsigned r = 0; r < R; r++) {
                    __m512i sum = g % 4 ? c[t][r][g / 4] : dot_half_start(x, T, g / 4, t);
                    c[t][r][g / 4] = _mm512_dpbusd_epi32(sum, v[r], q);
                }
            }
        }
        DOT_UNROLL
        for (unsigned t = 0; t < T; t++)
            DOT_UNROLL
        for (unsigned r = 0; r < R; r++) {
            float *out = y + t * DOT_WIDTH + r * KERN_TILE;
            _mm512_storeu_ps(out, dot_halves_add(plan, (const void *)(w + r * CHUNK_BYTES + HALVES_TERMS), x, T, t, c[t][r],
                                                 _mm512_loadu_ps(out)));
        }
    }
}

/* The text of a plan for R tiles. */
DOT_INLINE void dot_tiles(struct dot_plan plan, const uint8_t *chunks, const uint8_t *x, float *y, uint32_t n_blocks,
                          const struct dot_ahead *ahead, const unsigned R, const unsigned T) {
    const unsigned together = R < 2 ? R : 2;
    if (!plan.halves)
        dot_tile(plan, chunks, x, y, n_blocks, ahead, R, T);
    for (unsigned r = 0; plan.halves && r < R; r += together)
        dot_tile_halves(plan, chunks + r * CHUNK_BYTES, x, y + r * KERN_TILE, n_blocks, r == 0 ? ahead : NULL, together, T);
}

/* ---- dense weights ------------------------------------------------------------------------------------------------------------ */

DOT_INLINE __m512 dense_load(uint32_t dtype, const uint8_t *w, size_t k) {
    if (dtype == DTYPE_F32)
        return dot_load_ps(w + 64 * k);
    if (dtype == DTYPE_F16)
        return dot_f16(w + 32 * k);
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(w + 32 * k)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

/* One k of a panel, or of two. */
DOT_INLINE void dense_step(uint32_t dtype, const uint8_t *w, const float *const panels[2], size_t k, const unsigned R,
                           const unsigned T, __m512 y[DOT_STREAM][DOT_R]) {
    const unsigned PT = T < DOT_T ? T : DOT_T;
    __m512 v[DOT_R];
    DOT_UNROLL
    for (unsigned r = 0; r < R; r++)
        v[r] = dense_load(dtype, w + r * CHUNK_BYTES, k);
    DOT_UNROLL
    for (unsigned t = 0; t < T; t++) {
        __m512 x = _mm512_set1_ps(panels[t / DOT_T][k * PT + t % DOT_T]);
        DOT_UNROLL
        for (unsigned r = 0; r < R; r++)
            y[t][r] = _mm512_fmadd_ps(v[r], x, y[t][r]);
    }
}

/* y [T][DOT_WIDTH] over n of k; first: y begins here. Activations take four times what quantised ones do, and do not stay in L2
 * where rows are long: four k at once, a line of the next panel comes in with each four. */
DOT_INLINE void dense_tile(uint32_t dtype, const uint8_t *w, const float *x, float *out, uint32_t n, const unsigned R,
                           const unsigned T, const struct dot_ahead *ahead, bool first) {
    const float *panels[2] = {x, x + (size_t)n * DOT_T};
    const uint32_t n_bring = !ahead ? 0 : ahead->lines ? n : dot_min(ahead->y_rows, n);
    uint32_t k = 0;
    __m512 y[DOT_STREAM][DOT_R];
    DOT_UNROLL
    for (unsigned t = 0; t < T; t++)
        for (unsigned r = 0; r < R; r++)
            y[t][r] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(out + t * DOT_WIDTH + r * KERN_TILE);
    for (; k < n_bring; k++) {
        dot_bring(ahead, k);
        dense_step(dtype, w, panels, k, R, T, y);
    }
    for (; k + 4 <= n; k += 4) {
        if (ahead)
            _mm_prefetch((const char *)ahead->at + k * ahead->step_bytes, _MM_HINT_T0);
        DOT_UNROLL
        for (unsigned i = 0; i < 4; i++)
            dense_step(dtype, w, panels, k + i, R, T, y);
    }
    for (; k < n; k++)
        dense_step(dtype, w, panels, k, R, T, y);
    DOT_UNROLL
    for (unsigned t = 0; t < T; t++)
        for (unsigned r = 0; r < R; r++)
            _mm512_storeu_ps(out + t * DOT_WIDTH + r * KERN_TILE, y[t][r]);
}

/* One row past DOT_R tiles at once, as dot_stream_row: a sum waits for its own fma only, and four do not wait for one another. */
DOT_INLINE void dense_stream_row(uint32_t dtype, const uint8_t *tile, uint64_t tile_bytes, const float *x, float *out,
                                 uint32_t n) {
    const unsigned step_bytes = dtype == DTYPE_F32 ? 64 : 32;
    __m512 y[DOT_R] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
    const uint8_t *end = tile + tile_bytes;
    for (uint32_t k = 0; k < n; k++) {
        const uint8_t *next = tile + k * (size_t)step_bytes + DOT_AHEAD_EACH;
        next += next < end ? 0 : (DOT_R - 1) * tile_bytes;
        __m512 v = _mm512_set1_ps(x[k]);
        DOT_UNROLL
        for (unsigned r = 0; r < DOT_R; r++) {
            if (k * step_bytes % KERN_LINE == 0)
                _mm_prefetch((const char *)(next + r * tile_bytes), _MM_HINT_T0);
            y[r] = _mm512_fmadd_ps(dense_load(dtype, tile + r * tile_bytes, k), v, y[r]);
        }
    }
    for (unsigned r = 0; r < DOT_R; r++)
        _mm512_storeu_ps(out + r * KERN_TILE, y[r]);
}

/* Weights in a chunk are float32. */
DOT_INLINE void dense_unpack(uint32_t dtype, const uint8_t *tile, uint32_t from, uint32_t n, uint8_t *chunk) {
    for (uint32_t k = 0; k < n; k++)
        _mm512_storeu_ps((float *)chunk + (size_t)k * KERN_TILE, dense_load(dtype, tile, (size_t)from + k));
}

/* ---- one text per format or plan and number of rows ----------------------------------------------------------------------------- */

static const struct dot_plan plan_code_8 = {.start = WORD_MINUS_8};
static const struct dot_plan plan_code_16 = {.start = WORD_MINUS_16};
static const struct dot_plan plan_code_128 = {.start = WORD_MINUS_128};
static const struct dot_plan plan_code_min = {.min = true};
static const struct dot_plan plan_sub = {.sub = true};
static const struct dot_plan plan_halves = {.halves = true};
static const struct dot_plan plan_halves_min = {.halves = true, .min = true};
static const struct dot_plan plan_halves_split = {.halves = true, .split = true};

#define DOT_TILE(PLAN, R, T)                                                                                                     \
    static void dot_tile_##PLAN##_##R##_##T(const uint8_t *chunks, const uint8_t *x, float *y, uint32_t n_blocks,                \
                                            const struct dot_ahead *ahead) {                                                     \
        dot_tiles(plan_##PLAN, chunks, x, y, n_blocks, ahead, R, T);                                                             \
    }
#define DENSE_TILE(F, R, T)                                                                                                      \
    static void dot_tile_##F##_##R##_##T(const uint8_t *chunks, const uint8_t *x, float *y, uint32_t n,                          \
                                         const struct dot_ahead *ahead) {                                                        \
        dense_tile(DTYPE_##F, chunks, (const float *)x, y, n, R, T, ahead, false);                                               \
    }
/* Makes the texts for the numbers of tiles and of rows in a panel, and their table. */
#define DOT_TILES_ROWS(MAKE, PLAN, R) MAKE(PLAN, R, 1) MAKE(PLAN, R, 2) MAKE(PLAN, R, 3) MAKE(PLAN, R, 4)
#define DOT_TILES(MAKE, PLAN)                                                                                                    \
    DOT_TILES_ROWS(MAKE, PLAN, 1)                                                                                                \
    DOT_TILES_ROWS(MAKE, PLAN, 2)                                                                                                \
    DOT_TILES_ROWS(MAKE, PLAN, 4)                                                                                                \
    static dot_tile_fn *const dot_tiles_##PLAN[3 * DOT_T] = {                                                                    \
        dot_tile_##PLAN##_1_1, dot_tile_##PLAN##_1_2, dot_tile_##PLAN##_1_3, dot_tile_##PLAN##_1_4,                              \
        dot_tile_##PLAN##_2_1, dot_tile_##PLAN##_2_2, dot_tile_##PLAN##_2_3, dot_tile_##PLAN##_2_4,                              \
        dot_tile_##PLAN##_4_1, dot_tile_##PLAN##_4_2, dot_tile_##PLAN##_4_3, dot_tile_##PLAN##_4_4};
DOT_TILES(DOT_TILE, code_8)
DOT_TILES(DOT_TILE, code_16)
DOT_TILES(DOT_TILE, code_128)
DOT_TILES(DOT_TILE, code_min)
DOT_TILES(DOT_TILE, sub)
DOT_TILES(DOT_TILE, halves)
DOT_TILES(DOT_TILE, halves_min)
DOT_TILES(DOT_TILE, halves_split)
DOT_TILES(DENSE_TILE, F32)

#define DOT_STREAM_TEXT(F, PLAN, T)                                                                                              \
    static void dot_stream_##F##_##T(const uint8_t *tile, const uint8_t *x, float *y, uint32_t n_blocks) {                       \
        dot_stream(&kern_layouts[DTYPE_##F], plan_##PLAN, tile, x, y, n_blocks, T);                                              \
    }
#define DENSE_STREAM_TEXT(F, PLAN, T)                                                                                            \
    static void dot_stream_##F##_##T(const uint8_t *tile, const uint8_t *x, float *y, uint32_t n) {                              \
        dense_tile(DTYPE_##F, tile, (const float *)x, y, n, 1, T, NULL, true);                                                   \
    }
#define DOT_STREAMS(MAKE, F, PLAN)                                                                                               \
    MAKE(F, PLAN, 1)                                                                                                             \
    MAKE(F, PLAN, 2)                                                                                                             \
    MAKE(F, PLAN, 3)                                                                                                             \
    MAKE(F, PLAN, 4)                                                                                                             \
    MAKE(F, PLAN, 8)                                                                                                             \
    static dot_stream_fn *const dot_streams_##F[DOT_STREAM] = {dot_stream_##F##_1, dot_stream_##F##_2, dot_stream_##F##_3,       \
                                                               dot_stream_##F##_4, [7] = dot_stream_##F##_8};
#define DOT_UNPACK(F, PLAN)                                                                                                      \
    static void dot_unpack_##F(const uint8_t *tile, uint32_t from, uint32_t n_blocks, uint8_t *chunk) {                          \
        if (plan_##PLAN.halves)                                                                                                  \
            dot_unpack_halves(&kern_layouts[DTYPE_##F], plan_##PLAN, tile, from, n_blocks, chunk);                               \
        else                                                                                                                     \
            dot_unpack(&kern_layouts[DTYPE_##F], plan_##PLAN, tile, from, n_blocks, chunk);                                      \
    }
#define DOT_FORMAT(F, PLAN)                                                                                                      \
    DOT_STREAMS(DOT_STREAM_TEXT, F, PLAN)                                                                                        \
    static void dot_stream_row_##F(const uint8_t *tiles, uint64_t tile_bytes, const uint8_t *x, float *y, uint32_t n_blocks) {   \
        dot_stream_row(&kern_layouts[DTYPE_##F], plan_##PLAN, tiles, tile_bytes, x, y, n_blocks);                                \
    }                                                                                                                            \
    DOT_UNPACK(F, PLAN)
#define DENSE_FORMAT(F)                                                                                                          \
    DOT_STREAMS(DENSE_STREAM_TEXT, F, )                                                                                          \
    static void dot_stream_row_##F(const uint8_t *tiles, uint64_t tile_bytes, const uint8_t *x, float *y, uint32_t n) {          \
        dense_stream_row(DTYPE_##F, tiles, tile_bytes, (const float *)x, y, n);                                                  \
    }                                                                                                                            \
    static void dot_unpack_##F(const uint8_t *tile, uint32_t from, uint32_t n, uint8_t *chunk) {                                 \
        dense_unpack(DTYPE_##F, tile, from, n, chunk);                                                                           \
    }
DENSE_FORMAT(F32)
DENSE_FORMAT(F16)
DENSE_FORMAT(BF16)
DOT_FORMAT(Q4_0, code_8)
DOT_FORMAT(Q4_1, code_min)
DOT_FORMAT(Q5_0, code_16)
DOT_FORMAT(Q5_1, code_min)
DOT_FORMAT(Q8_0, code_128)
DOT_FORMAT(Q4_K, code_min)
DOT_FORMAT(Q5_K, code_min)
DOT_FORMAT(Q6_K, sub)
DOT_FORMAT(Q3_K, halves)
DOT_FORMAT(Q2_K, halves_min)
DOT_FORMAT(IQ4_NL, code_128)
DOT_FORMAT(IQ4_XS, code_128)
/* These are always unpacked, also for one row. */
DOT_UNPACK(IQ2_XXS, code_128)
DOT_UNPACK(IQ3_XXS, code_128)
DOT_UNPACK(IQ3_S, code_128)
DOT_UNPACK(IQ1_S, code_128)
DOT_UNPACK(TQ1_0, code_128)
DOT_UNPACK(TQ2_0, code_128)
DOT_UNPACK(Q1_0, code_128)
DOT_UNPACK(Q2_0, code_128)
DOT_UNPACK(IQ2_XS, halves)
DOT_UNPACK(IQ2_S, halves)
DOT_UNPACK(IQ1_M, halves)
DOT_UNPACK(MXFP4, halves)
DOT_UNPACK(NVFP4, halves_split)

#define DOT_TEXT(F, PLAN)                                                                                                        \
    [DTYPE_##F] = {KERN_BLOCK, KERN_LINE, 8, 10, 10, dot_streams_##F, dot_unpack_##F, dot_tiles_##PLAN, dot_stream_row_##F}
#define DOT_TEXT_HALVES(F, PLAN)                                                                                                 \
    [DTYPE_##F] = {KERN_BLOCK, KERN_LINE, 8, 7, 7, dot_streams_##F, dot_unpack_##F, dot_tiles_##PLAN, dot_stream_row_##F}
#define DOT_TEXT_UNPACKED(F, PLAN) [DTYPE_##F] = {KERN_BLOCK, KERN_LINE, 0, 7, 7, NULL, dot_unpack_##F, dot_tiles_##PLAN, NULL}
#define DENSE_TEXT(F)                                                                                                            \
    [DTYPE_##F] = {1, sizeof(float), 8, 110, 110, dot_streams_##F, dot_unpack_##F, dot_tiles_F32, dot_stream_row_##F}
static const struct dot_text dot_texts[] = {
    DENSE_TEXT(F32),
    DENSE_TEXT(F16),
    DENSE_TEXT(BF16),
    DOT_TEXT(Q4_0, code_8),
    DOT_TEXT(Q4_1, code_min),
    DOT_TEXT(Q5_0, code_16),
    DOT_TEXT(Q5_1, code_min),
    DOT_TEXT(Q8_0, code_128),
    DOT_TEXT(Q4_K, code_min),
    DOT_TEXT(Q5_K, code_min),
    DOT_TEXT(Q6_K, sub),
    DOT_TEXT(IQ4_NL, code_128),
    DOT_TEXT(IQ4_XS, code_128),
    DOT_TEXT_HALVES(Q3_K, halves),
    DOT_TEXT_HALVES(Q2_K, halves_min),
    DOT_TEXT_UNPACKED(IQ2_XXS, code_128),
    DOT_TEXT_UNPACKED(IQ3_XXS, code_128),
    DOT_TEXT_UNPACKED(IQ3_S, code_128),
    DOT_TEXT_UNPACKED(IQ1_S, code_128),
    DOT_TEXT_UNPACKED(TQ1_0, code_128),
    DOT_TEXT_UNPACKED(TQ2_0, code_128),
    DOT_TEXT_UNPACKED(Q1_0, code_128),
    DOT_TEXT_UNPACKED(Q2_0, code_128),
    DOT_TEXT_UNPACKED(IQ2_XS, halves),
    DOT_TEXT_UNPACKED(IQ2_S, halves),
    DOT_TEXT_UNPACKED(IQ1_M, halves),
    DOT_TEXT_UNPACKED(MXFP4, halves),
    DOT_TEXT_UNPACKED(NVFP4, halves_split),
};
_Static_assert(110 * 64 == CHUNK_BYTES, "a dense chunk fits");

static void matmul_avx512(const struct kern_packed *w, const struct kern_acts *a, float *y, size_t y_stride, uint32_t from,
                          uint32_t to) {
    dot_range(&dot_texts[w->type], w, a, y, y_stride, from, to);
}

/* ---- activations ------------------------------------------------------------------------------------------------------------- */

static void acts_words(__m256i lanes, __m128 d, __m128i words[ACTS_WORDS]) {
    __m256i sums = _mm256_madd_epi16(lanes, _mm256_set1_epi16(1));
    __m128i s0 = _mm256_castsi256_si128(sums), s1 = _mm256_extracti128_si256(sums, 1), s = _mm_add_epi32(s0, s1);
    __m128i magic = _mm_set1_epi32(DOT_MAGIC);
    words[WORD_D] = _mm_castps_si128(d);
    words[WORD_DS] = _mm_castps_si128(_mm_mul_ps(d, _mm_cvtepi32_ps(s)));
    words[WORD_MINUS_8] = _mm_sub_epi32(magic, _mm_slli_epi32(s, 3));
    words[WORD_MINUS_16] = _mm_sub_epi32(magic, _mm_slli_epi32(s, 4));
    words[WORD_MINUS_128] = _mm_sub_epi32(magic, _mm_slli_epi32(s, 7));
    words[WORD_HALF0] = _mm_sub_epi32(magic, _mm_slli_epi32(s0, 5));
    words[WORD_HALF1] = _mm_sub_epi32(_mm_setzero_si128(), _mm_slli_epi32(s1, 5));
    words[WORD_SUMS] = _mm_blend_epi16(s0, _mm_slli_epi32(s1, 16), 0xaa);
}

static void acts_fill_avx512(struct kern_acts *a, const float *x, size_t x_stride, uint32_t from, uint32_t to, uint8_t *faults) {
    dot_acts_fill(a, x, x_stride, from, to, faults);
}
