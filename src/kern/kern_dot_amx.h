/* kern_dot_amx: products of many rows with the int8 tiles of AMX, on top of the AVX-512 tier: packed weights are the same, and
 * what is not worth a tile (few rows, dense formats) is left to its acts_fill_avx512 and matmul_avx512. acts_fill_amx and
 * matmul_amx are the entries.
 *
 * A unit is one tile product: 16 rows times 16 outputs over a block of 32 k, exact int32 sums. Weights are the B of a unit,
 * signed codes in the groups of the packed layout; activations are the A, 16 rows of 32 bytes. A job is 8 units: 16 rows times
 * 32 outputs (a pair of tiles of weights) times 4 blocks. Some formats have two units instead of one, and 2 blocks in a job: see
 * struct amx_plan.
 *
 * The float work of numerics 3 is the limit, not the tile products: while these are under way the machine does one float
 * operation on 512 bits a cycle, not two. So both run side by side: a job is carried out in 8 steps, each of which does an
 * eighth of the float work and, between its rows, the instructions of one unit of the job that comes next. A unit's sums are
 * stored two steps after its product, for storing sooner would wait for it; the last two units of a job so remain in their
 * registers.
 *
 * Loads that agree in the lower 12 bits of their address with tile stores under way wait for these. Sums therefore lie in the
 * lower halves of pages, those of even and of odd jobs in different quarters, and codes, scales and outputs in upper halves.
 * (Activations are read where acts_fill put them.)
 *
 * Activations of 16 rows are a struct amx_rows a block. A rest of at most AMX_FEW rows, or so few rows in all, are panels of
 * kern_dot_avx512.h; a longer rest is filled up with zero rows. Both lie where its rows would: 16 rows of 40 bytes take no more
 * than 10 rows of 64. */
#pragma once

#include "kern_codes_avx512.h"
#include "kern_tile_amx.h"

enum {
    AMX_UNITS = 8,     /* units of a job, steps of its float work */
    AMX_JOBS = 2,      /* jobs of a chunk: the k that is unpacked at once */
    AMX_PANEL = 16,    /* rows of a job */
    AMX_PANELS = 16,   /* panels that meet a chunk */
    AMX_SPAN = 8,      /* pairs of tiles that share a chunk of activations */
    AMX_BLOCKS = 4,    /* blocks of a job with one unit a block */
    AMX_FEW = 9,       /* rows that are left to the AVX-512 text: to about 8 it is as fast */
    AMX_SUB_PANEL = 4, /* rows of a panel of kern_dot_avx512.h */
    AMX_FILL = 8,      /* blocks that acts_fill takes at once */
};

/* How a format is multiplied; constant in every text made from it. */
enum amx_kind {
    AMX_CODE,   /* one unit a block and tile: P = (float)I * d */
    AMX_WIDE,   /* the same, with scales too large for the short cut of amx_scaled */
    AMX_SUB,    /* scales of halves: code * scale, of up to 15 bits, is 256 * high + low, a unit each */
    AMX_SUBMIN, /* code * scale fits a byte; the other unit's codes are the minimums of the halves, its sums M */
    AMX_SPLIT,  /* a unit and a term for each half, with zeros for the other one */
};
struct amx_plan {
    enum amx_kind kind;
    bool min; /* a minimum for each block */
};
DOT_INLINE unsigned amx_parts(struct amx_plan plan) { /* units of a block and tile */
    return plan.kind <= AMX_WIDE ? 1 : 2;
}
DOT_INLINE unsigned amx_job_blocks(struct amx_plan plan) {
    return AMX_BLOCKS / amx_parts(plan);
}

/* 16 rows of a block. */
struct amx_rows {
    int8_t q[AMX_PANEL][KERN_BLOCK];
    float d[AMX_PANEL], ds[AMX_PANEL]; /* d * (float)S */
};
_Static_assert(sizeof(struct amx_rows) <= (AMX_FEW + 1) * KERN_LINE, "a rest that is filled up takes no more than its rows");

/* ---- what a chunk occupies: a page an item ------------------------------------------------------------------------------- */

/* What unit u has in the jobs of a chunk. */
struct amx_unit {
    int32_t sums[2][AMX_PANEL][KERN_TILE]; /* of even and of odd jobs */
    int8_t codes[AMX_JOBS][8][KERN_TILE][4];
    struct amx_scales {
        float d[KERN_TILE], minus_magic[KERN_TILE], min[KERN_TILE];
    } scales[AMX_JOBS];
    uint8_t unused[640];
};
/* 16 rows of 32 outputs. */
struct amx_sums {
    uint8_t lower[2048];
    float y[AMX_PANEL][2][KERN_TILE];
};
struct amx_scratch {
    _Alignas(4096) struct amx_unit units[AMX_UNITS];
    struct amx_sums sums[AMX_SPAN][AMX_PANELS];
    struct amx_rows last[AMX_PANELS][AMX_BLOCKS]; /* activations of the last job, filled up with zero blocks */
};
_Static_assert(sizeof(struct amx_unit) == 4096 && sizeof(struct amx_sums) == 4096, "a page an item");

/* Blocks [from, from + n) of a pair of tiles; the second one may be missing (NULL). */
struct amx_chunk {
    const uint8_t *tile[2];
    uint32_t from, n;
};

/* ---- weights ------------------------------------------------------------------------------------------------------------- */

/* Group g of block s in a unit of the packed layout, as signed codes. */
DOT_INLINE __m512i amx_codes(const struct kern_layout *f, const uint8_t *unit, unsigned s, unsigned g) {
    __m512i v = dot_codes(f, unit, s, g);
    if (f->lo == 8 || f->values)
        return _mm512_xor_si512(v, _mm512_set1_epi8(-128));
    return f->zero ? _mm512_sub_epi8(v, _mm512_set1_epi8((char)f->zero)) : v;
}

/* Codes times the scale of their half, for every second k: int16 lanes. */
DOT_INLINE void amx_split(__m512i codes16, __m512i sub16, __m512i *high, __m512i *low) {
    *low = _mm512_mullo_epi16(codes16, sub16); /* its low byte */
    *high = _mm512_srai_epi16(_mm512_add_epi16(*low, _mm512_set1_epi16(128)), 8);
}
/* Even and odd bytes from int16 lanes. */
DOT_INLINE __m512i amx_interleave(__m512i even, __m512i odd) {
    return _mm512_or_si512(_mm512_and_si512(even, _mm512_set1_epi16(255)), _mm512_slli_epi16(odd, 8));
}

/* int32 lanes as pairs of int16. */
DOT_INLINE __m512i amx_pairs(__m512i v) {
    return _mm512_or_si512(_mm512_and_si512(v, _mm512_set1_epi32(0xffff)), _mm512_slli_epi32(v, 16));
}

/* Codes of group g for the two units of a block and tile. */
DOT_INLINE void amx_codes_two(const struct kern_layout *f, struct amx_plan plan, const uint8_t *unit, unsigned s, unsigned g,
                              __m512i out[2]) {
    __m512i v = amx_codes(f, unit, s, g), high[2], low[2];
    if (plan.kind == AMX_SPLIT) {
        out[g / 4] = v;
        out[1 - g / 4] = _mm512_setzero_si512();
        return;
    }
    __m512i sub = amx_pairs(dot_sub(f, unit, s, g / 4));
    amx_split(_mm512_srai_epi16(_mm512_slli_epi16(v, 8), 8), sub, &high[0], &low[0]);
    amx_split(_mm512_srai_epi16(v, 8), sub, &high[1], &low[1]);
    if (plan.kind == AMX_SUB) {
        out[0] = amx_interleave(high[0], high[1]);
        out[1] = amx_interleave(low[0], low[1]);
        return;
    }
    __m512i min = amx_pairs(dot_sub_min(f, unit, s, g / 4));
    out[0] = amx_interleave(low[0], low[1]); /* below 128: there is no high part */
    out[1] = amx_interleave(min, min);
}

DOT_INLINE void amx_unpack_block(const struct kern_layout *f, struct amx_plan plan, const uint8_t *tile, uint32_t b,
                                 struct amx_unit *to, unsigned job) {
    const uint8_t *unit = tile + (size_t)(b / f->blocks) * f->bytes;
    unsigned s = b % f->blocks;
    for (unsigned i = 0; i < (plan.kind == AMX_SPLIT ? 2 : 1); i++) {
        __m512 d = dot_scale_half(f, unit, s, i);
        _mm512_storeu_ps(to[i].scales[job].d, d);
        _mm512_storeu_ps(to[i].scales[job].minus_magic, dot_minus_magic(d));
    }
    if (plan.min)
        _mm512_storeu_ps(to->scales[job].min, dot_minimum(f, unit, s));
    DOT_UNROLL
    for (unsigned g = 0; g < 8; g++) {
        __m512i codes[2];
        if (amx_parts(plan) == 1)
            codes[0] = amx_codes(f, unit, s, g);
        else
            amx_codes_two(f, plan, unit, s, g, codes);
        for (unsigned i = 0; i < amx_parts(plan); i++)
            _mm512_storeu_si512(to[i].codes[job][g], codes[i]);
    }
}

/* What is not there adds -0, which changes no sum, not even -0. */
static void amx_unpack_none(unsigned parts, struct amx_unit *to, unsigned job) {
    for (unsigned i = 0; i < parts; i++) {
        struct amx_scales *scales = &to[i].scales[job];
        memset(to[i].codes[job], 0, sizeof to[i].codes[job]);
        for (unsigned r = 0; r < KERN_TILE; r++)
            scales->d[r] = scales->minus_magic[r] = scales->min[r] = -0.0f;
    }
}

DOT_INLINE void amx_unpack(const struct kern_layout *f, struct amx_plan plan, const struct amx_chunk *chunk,
                           struct amx_unit *units) {
    const unsigned blocks = amx_job_blocks(plan), jobs = (chunk->n + blocks - 1) / blocks;
    for (unsigned i = 0; i < jobs * blocks; i++)
        for (unsigned o = 0; o < 2; o++) {
            struct amx_unit *to = units + (i % blocks * 2 + o) * amx_parts(plan);
            if (i < chunk->n && chunk->tile[o])
                amx_unpack_block(f, plan, chunk->tile[o], chunk->from + i, to, i / blocks);
            else
                amx_unpack_none(amx_parts(plan), to, i / blocks);
        }
}

/* ---- activations --------------------------------------------------------------------------------------------------------- */

/* Rows that tiles take: all but a rest that is not worth 16 rows. Rows [from, to) of others, from a multiple of 16 to one or to
 * their end, are told alike. */
static uint32_t amx_rows_of(uint32_t rows) {
    uint32_t rest = rows % AMX_PANEL;
    return rest <= AMX_FEW ? rows - rest : rows;
}

/* A block of T rows from their panel. */
DOT_INLINE void amx_take_block(const uint8_t *x, const unsigned T, unsigned row, struct amx_rows *to) {
    int8_t(*q)[KERN_BLOCK] = to->q + row;
    memcpy(to->d + row, x + 4 * (8 + WORD_D) * T, 4 * T);
    memcpy(to->ds + row, x + 4 * (8 + WORD_DS) * T, 4 * T);
    if (T < AMX_SUB_PANEL) {
        for (unsigned t = 0; t < T; t++)
            for (unsigned g = 0; g < 8; g++)
                memcpy(q[t] + 4 * g, x + 4 * (g * T + t), 4);
        return;
    }
    const __m512i first = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29);
    __m512i lo = dot_load(x), hi = dot_load(x + 64);
    _mm512_storeu_si512(q[0], _mm512_permutex2var_epi32(lo, first, hi));
    _mm512_storeu_si512(q[2], _mm512_permutex2var_epi32(lo, _mm512_add_epi32(first, _mm512_set1_epi32(2)), hi));
}

static void amx_zero_rows(struct amx_rows *to, uint32_t n_blocks, unsigned row, unsigned n) {
    for (uint32_t b = 0; b < n_blocks; b++) {
        memset(to[b].q[row], 0, n * sizeof to[b].q[row]);
        memset(to[b].d + row, 0, n * sizeof *to[b].d);
        memset(to[b].ds + row, 0, n * sizeof *to[b].ds);
    }
}

/* Up to AMX_SUB_PANEL rows, a few blocks at a time by the AVX-512 text, then from its panel to their place in `to`. */
static void amx_fill_rows(struct amx_rows *to, const float *x, size_t x_stride, uint32_t n_blocks, unsigned row, unsigned T,
                          uint8_t *faults) {
    _Alignas(KERN_ALIGN) uint8_t panel[AMX_FILL * AMX_SUB_PANEL * KERN_LINE];
    uint8_t bad[AMX_SUB_PANEL] = {0};
    for (uint32_t b = 0, n; b < n_blocks; b += n) {
        n = n_blocks - b < AMX_FILL ? n_blocks - b : AMX_FILL;
        struct kern_acts part = {KERN_ACTS_Q8, T, n * KERN_BLOCK, panel};
        acts_fill_avx512(&part, x + (size_t)b * KERN_BLOCK, x_stride, 0, T, bad);
        for (uint32_t i = 0; i < n; i++)
            if (T == AMX_SUB_PANEL)
                amx_take_block(panel + (size_t)i * AMX_SUB_PANEL * KERN_LINE, AMX_SUB_PANEL, row, &to[b + i]);
            else
                amx_take_block(panel + (size_t)i * T * KERN_LINE, T, row, &to[b + i]);
    }
    for (unsigned t = 0; t < T; t++)
        if (bad[t]) {
            faults[t] = 1;
            amx_zero_rows(to, n_blocks, row + t, 1);
        }
}

/* struct kern's acts_fill; rows from a multiple of AMX_SUB_PANEL. */
void acts_fill_amx(struct kern_acts *a, const float *x, size_t x_stride, uint32_t from, uint32_t to, uint8_t *faults) {
    uint32_t n_blocks = a->k / KERN_BLOCK, tiled = a->kind == KERN_ACTS_Q8 ? amx_rows_of(a->rows) : 0, row = from;
    for (unsigned T; row < to && row < tiled; row += T) {
        T = to - row < AMX_SUB_PANEL ? to - row : AMX_SUB_PANEL;
        unsigned in_panel = row % AMX_PANEL;
        struct amx_rows *rows = (struct amx_rows *)(a->data + (uint64_t)(row - in_panel) * n_blocks * KERN_LINE);
        amx_fill_rows(rows, x + row * x_stride, x_stride, n_blocks, in_panel, T, faults + row);
        if (row + T == a->rows)
            amx_zero_rows(rows, n_blocks, in_panel + T, AMX_PANEL - in_panel - T);
    }
    if (row < to)
        acts_fill_avx512(a, x, x_stride, row, to, faults);
}

/* ---- a job --------------------------------------------------------------------------------------------------------------- */

struct amx_job {
    /* Of unit 0; that of unit u lies u pages on. */
    int32_t (*sums)[KERN_TILE];
    const int8_t (*codes)[KERN_TILE][4];
    const struct amx_scales *scales;
    const struct amx_rows *rows; /* a block each */
    float (*y)[2][KERN_TILE];
    bool first; /* y begins here */
};
/* What `of_first` is of unit 0, of unit u. */
DOT_INLINE void *amx_of_unit(const void *of_first, const unsigned u) {
    return (uint8_t *)of_first + u * sizeof(struct amx_unit);
}

/* What a job brings into the nearest cache, evenly over its steps: the rows of the job after the next, half of the next sums,
 * and `lines` lines of each of two tiles of weights. */
struct amx_ahead {
    const uint8_t *rows, *y, *weights[2];
    unsigned lines;
};

DOT_INLINE void amx_bring(struct amx_plan plan, const unsigned step, const struct amx_ahead *ahead) {
    const unsigned bytes = amx_job_blocks(plan) * (unsigned)sizeof(struct amx_rows) / AMX_UNITS;
    for (unsigned i = step * bytes / KERN_LINE; i < (step + 1) * bytes / KERN_LINE; i++)
        __builtin_prefetch(ahead->rows + i * KERN_LINE);
    __builtin_prefetch(ahead->y + step * 128);
    __builtin_prefetch(ahead->y + step * 128 + KERN_LINE);
    for (unsigned i = step * ahead->lines, end = i + ahead->lines; i < end; i++) {
        __builtin_prefetch(ahead->weights[0] + i * KERN_LINE);
        __builtin_prefetch(ahead->weights[1] + i * KERN_LINE);
    }
}

DOT_INLINE void amx_unit_load_rows(struct amx_plan plan, const struct amx_job *job, const unsigned u) {
    const unsigned block = u / (2 * amx_parts(plan));
    if (u % (2 * amx_parts(plan)) == 0)
        tile_load(TILE_A + block % 2, job->rows[block].q, KERN_BLOCK);
}
DOT_INLINE void amx_unit_multiply(struct amx_plan plan, const struct amx_job *job, const unsigned u) {
    const unsigned a = TILE_A + u / (2 * amx_parts(plan)) % 2, b = TILE_B + u % 2, c = TILE_C + u % 4;
    tile_load(b, amx_of_unit(job->codes, u), 64);
    tile_zero(c);
    tile_dot(c, a, b);
}
DOT_INLINE void amx_unit_store(const struct amx_job *job, const unsigned u) {
    tile_store(TILE_C + u % 4, amx_of_unit(job->sums, u), 64);
}

/* Scales of a block for a pair of tiles; of the second half for AMX_SPLIT. */
struct amx_terms {
    __m512 d[2], minus_magic[2], min[2], d1[2], minus_magic1[2];
};
DOT_INLINE __m512 amx_term(const float *from) {
    __m512 v = _mm512_loadu_ps(from);
    DOT_KEEP(v);
    return v;
}
DOT_INLINE struct amx_terms amx_terms_load(struct amx_plan plan, const struct amx_job *job, const unsigned block) {
    const bool magic = plan.kind != AMX_WIDE && plan.kind != AMX_SUB, split = plan.kind == AMX_SPLIT;
    struct amx_terms w;
    DOT_UNROLL
    for (unsigned o = 0; o < 2; o++) {
        const struct amx_scales *s = amx_of_unit(job->scales, (block * 2 + o) * amx_parts(plan));
        const struct amx_scales *s1 = amx_of_unit(s, 1);
        w.d[o] = amx_term(s->d);
        w.minus_magic[o] = magic ? amx_term(s->minus_magic) : w.d[o];
        w.min[o] = plan.min ? amx_term(s->min) : w.d[o];
        w.d1[o] = split ? amx_term(s1->d) : w.d[o];
        w.minus_magic1[o] = split ? amx_term(s1->minus_magic) : w.d[o];
    }
    return w;
}

DOT_INLINE __m512 amx_set1(const float *from) {
    __m512 v = _mm512_set1_ps(*from);
    DOT_KEEP(v);
    return v;
}

/* 1.5 * 2^23 + I as a float, of unit u; |I| < 2^22. */
DOT_INLINE __m512 amx_magic(const struct amx_job *job, const unsigned u, const unsigned row) {
    const int32_t(*sums)[KERN_TILE] = amx_of_unit(job->sums, u);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_loadu_si512(sums[row]), _mm512_set1_epi32(DOT_MAGIC)));
}
DOT_INLINE __m512 amx_float(const struct amx_job *job, const unsigned u, const unsigned row) {
    return _mm512_sub_ps(amx_magic(job, u, row), _mm512_set1_ps(0x1.8p23f));
}

/* 256 * high + low as floats, exact: |I| < 2^24. A shift by a byte is a shuffle, on a port that the tiles leave free. */
DOT_INLINE __m512 amx_whole(const struct amx_job *job, const unsigned u, const unsigned row) {
    const int32_t(*high)[KERN_TILE] = amx_of_unit(job->sums, u), (*low)[KERN_TILE] = amx_of_unit(job->sums, u + 1);
    const __m512i up = _mm512_broadcast_i32x4(_mm_setr_epi8(-1, 0, 1, 2, -1, 4, 5, 6, -1, 8, 9, 10, -1, 12, 13, 14));
    __m512i sums = _mm512_shuffle_epi8(_mm512_loadu_si512(high[row]), up);
    return _mm512_cvtepi32_ps(_mm512_add_epi32(sums, _mm512_loadu_si512(low[row])));
}

/* (float)I * d, rounded once; of tile o, whose units begin at u. */
DOT_INLINE __m512 amx_scaled(struct amx_plan plan, const struct amx_job *job, const struct amx_terms *w, unsigned o,
                             const unsigned u, const unsigned row) {
    if (plan.kind == AMX_SUB)
        return _mm512_mul_ps(amx_whole(job, u, row), w->d[o]);
    if (plan.kind == AMX_WIDE)
        return _mm512_mul_ps(amx_float(job, u, row), w->d[o]);
    return _mm512_fmadd_ps(amx_magic(job, u, row), w->d[o], w->minus_magic[o]);
}

/* One row of a block: y takes it in. */
DOT_INLINE void amx_row(struct amx_plan plan, const struct amx_job *job, const unsigned block, const unsigned row,
                        const struct amx_terms *w, __m512 y[2]) {
    const bool by_block = plan.min && plan.kind != AMX_SUBMIN;
    __m512 d = amx_set1(&job->rows[block].d[row]), ds = by_block ? amx_set1(&job->rows[block].ds[row]) : d;
    DOT_UNROLL
    for (unsigned o = 0; o < 2; o++) {
        const unsigned u = (block * 2 + o) * amx_parts(plan);
        y[o] = _mm512_fmadd_ps(amx_scaled(plan, job, w, o, u, row), d, y[o]);
        if (by_block)
            y[o] = _mm512_fmadd_ps(w->min[o], ds, y[o]);
        if (plan.kind == AMX_SUBMIN)
            y[o] = _mm512_fmadd_ps(w->min[o], _mm512_mul_ps(d, amx_float(job, u + 1, row)), y[o]);
        if (plan.kind == AMX_SPLIT)
            y[o] = _mm512_fmadd_ps(_mm512_fmadd_ps(amx_magic(job, u + 1, row), w->d1[o], w->minus_magic1[o]), d, y[o]);
        DOT_KEEP(y[o]);
    }
}

/* A step of `now`, with unit `step` of `next` (NULL: none) between its rows. */
DOT_INLINE void amx_step(struct amx_plan plan, const unsigned step, const struct amx_job *now, const struct amx_job *next,
                         __m512 y[AMX_UNITS][2]) {
    const unsigned n_rows = AMX_UNITS / amx_parts(plan), blocks = amx_job_blocks(plan);
    const unsigned block = step % blocks, row = step / blocks * n_rows;
    struct amx_terms w = amx_terms_load(plan, now, block);
    if (step < 2)
        amx_unit_store(now, 6 + step);
    else if (next)
        amx_unit_store(next, step - 2);
    DOT_UNROLL
    for (unsigned t = 0; t < n_rows; t++) {
        if (next && t == n_rows / 4)
            amx_unit_load_rows(plan, next, step);
        if (next && t == n_rows / 2)
            amx_unit_multiply(plan, next, step);
        amx_row(plan, now, block, row + t, &w, y[t]);
    }
}

DOT_INLINE void amx_sums_load(float (*from)[2][KERN_TILE], const unsigned n_rows, __mmask16 mask, __m512 y[AMX_UNITS][2]) {
    DOT_UNROLL
    for (unsigned t = 0; t < n_rows; t++)
        for (unsigned o = 0; o < 2; o++)
            y[t][o] = _mm512_maskz_loadu_ps(mask, from[t][o]);
}
DOT_INLINE void amx_sums_store(float (*to)[2][KERN_TILE], const unsigned n_rows, const __m512 y[AMX_UNITS][2]) {
    DOT_UNROLL
    for (unsigned t = 0; t < n_rows; t++)
        for (unsigned o = 0; o < 2; o++)
            _mm512_storeu_ps(to[t][o], y[t][o]);
}

/* All of `now`, whose last two units are still in their registers. */
DOT_INLINE void amx_job(struct amx_plan plan, const struct amx_job *now, const struct amx_job *next,
                        const struct amx_ahead *ahead) {
    const unsigned n_rows = AMX_UNITS / amx_parts(plan), blocks = amx_job_blocks(plan);
    const __mmask16 mask = now->first ? 0 : 0xffff;
    __m512 y[AMX_UNITS][2];
    DOT_UNROLL
    for (unsigned step = 0; step < AMX_UNITS; step++) {
        float(*rows)[2][KERN_TILE] = now->y + step / blocks * n_rows;
        if (step % blocks == 0)
            amx_sums_load(rows, n_rows, mask, y);
        if (next)
            amx_bring(plan, step, ahead);
        amx_step(plan, step, now, next, y);
        if (step % blocks == blocks - 1)
            amx_sums_store(rows, n_rows, y);
    }
}

/* The units of the first job, which has no float work beside it. */
DOT_INLINE void amx_start(struct amx_plan plan, const struct amx_job *job) {
    DOT_UNROLL
    for (unsigned u = 0; u < AMX_UNITS; u++) {
        amx_unit_load_rows(plan, job, u);
        amx_unit_multiply(plan, job, u);
        if (u >= 2)
            amx_unit_store(job, u - 2);
    }
}

/* ---- all rows of a chunk ------------------------------------------------------------------------------------------------- */

/* A chunk of weights meets its rows. */
struct amx_pass {
    struct amx_scratch *scratch;
    struct amx_sums *sums;       /* of this pair of tiles, a panel each */
    const struct amx_rows *rows; /* of the first panel, from the chunk on */
    size_t panel_bytes;
    unsigned n_panels, n_jobs;      /* jobs of the chunk: 1 or 2 */
    bool first, has_rest;           /* of the chunks in k; its last job has fewer blocks, which are in scratch->last */
    const uint8_t *next_weights[2]; /* what is unpacked next: so many bytes from each tile, so many lines a step */
    uint32_t next_bytes, next_lines;
};

/* Job i: the jobs of a panel one after the other. */
DOT_INLINE struct amx_job amx_job_at(struct amx_plan plan, const struct amx_pass *pass, unsigned i) {
    unsigned panel = i >> (pass->n_jobs - 1), of_chunk = i & (pass->n_jobs - 1);
    const uint8_t *rows = (const uint8_t *)(pass->rows + of_chunk * amx_job_blocks(plan)) + panel * pass->panel_bytes;
    struct amx_unit *first = &pass->scratch->units[0];
    bool is_rest = pass->has_rest && of_chunk + 1 == pass->n_jobs;
    return (struct amx_job){.sums = first->sums[i % 2],
                            .codes = first->codes[of_chunk],
                            .scales = &first->scales[of_chunk],
                            .rows = is_rest ? pass->scratch->last[panel] : (const struct amx_rows *)rows,
                            .y = pass->sums[panel].y,
                            .first = pass->first && of_chunk == 0};
}

/* What job i brings in; later: the job after the next. */
DOT_INLINE struct amx_ahead amx_ahead_at(const struct amx_pass *pass, unsigned i, const struct amx_job *later) {
    unsigned panel = (i >> (pass->n_jobs - 1)) + 1, half = i & (pass->n_jobs - 1);
    uint32_t at = i * AMX_UNITS * pass->next_lines * KERN_LINE;
    const struct amx_sums *sums = &pass->sums[panel < pass->n_panels ? panel : 0];
    return (struct amx_ahead){.rows = (const uint8_t *)later->rows,
                              .y = (const uint8_t *)sums->y + half * (sizeof sums->y / 2),
                              .weights = {pass->next_weights[0] + at, pass->next_weights[1] + at},
                              .lines = at < pass->next_bytes ? pass->next_lines : 0};
}

DOT_INLINE void amx_panels(struct amx_plan plan, const struct amx_pass *pass) {
    const unsigned n = pass->n_panels * pass->n_jobs;
    struct amx_job now = amx_job_at(plan, pass, 0);
    amx_start(plan, &now);
    for (unsigned i = 0; i < n; i++) {
        const struct amx_job next = amx_job_at(plan, pass, i + 1 < n ? i + 1 : 0);
        const struct amx_job later = amx_job_at(plan, pass, i + 2 < n ? i + 2 : 0);
        const struct amx_ahead ahead = amx_ahead_at(pass, i, &later);
        if (i + 1 < n)
            amx_job(plan, &now, &next, &ahead);
        else
            amx_job(plan, &now, NULL, &ahead);
        now = next;
    }
}

/* ---- one text per format or plan ----------------------------------------------------------------------------------------- */

typedef void amx_unpack_fn(const struct amx_chunk *chunk, struct amx_unit *units);
typedef void amx_panels_fn(const struct amx_pass *pass);
struct amx_text {
    unsigned job_blocks; /* 0: a dense format */
    amx_unpack_fn *unpack;
    amx_panels_fn *panels;
};

static const struct amx_plan amx_plan_code = {.kind = AMX_CODE};
static const struct amx_plan amx_plan_code_min = {.kind = AMX_CODE, .min = true};
static const struct amx_plan amx_plan_wide = {.kind = AMX_WIDE};
static const struct amx_plan amx_plan_sub = {.kind = AMX_SUB};
static const struct amx_plan amx_plan_sub_min = {.kind = AMX_SUBMIN, .min = true};
static const struct amx_plan amx_plan_split = {.kind = AMX_SPLIT};
enum { AMX_JOB_code = 4, AMX_JOB_code_min = 4, AMX_JOB_wide = 4, AMX_JOB_sub = 2, AMX_JOB_sub_min = 2, AMX_JOB_split = 2 };

#define AMX_PANELS_TEXT(PLAN)                                                                                                    \
    static void amx_panels_##PLAN(const struct amx_pass *pass) {                                                                 \
        amx_panels(amx_plan_##PLAN, pass);                                                                                       \
    }
AMX_PANELS_TEXT(code)
AMX_PANELS_TEXT(code_min)
AMX_PANELS_TEXT(wide)
AMX_PANELS_TEXT(sub)
AMX_PANELS_TEXT(sub_min)
AMX_PANELS_TEXT(split)

#define AMX_FORMATS(OP)                                                                                                          \
    OP(Q4_0, code)                                                                                                               \
    OP(Q4_1, code_min)                                                                                                           \
    OP(Q5_0, code)                                                                                                               \
    OP(Q5_1, code_min)                                                                                                           \
    OP(Q8_0, code)                                                                                                               \
    OP(Q4_K, code_min)                                                                                                           \
    OP(Q5_K, code_min)                                                                                                           \
    OP(Q6_K, sub)                                                                                                                \
    OP(Q3_K, sub)                                                                                                                \
    OP(Q2_K, sub_min)                                                                                                            \
    OP(IQ4_NL, code)                                                                                                             \
    OP(IQ4_XS, code)                                                                                                             \
    OP(IQ3_XXS, code)                                                                                                            \
    OP(IQ3_S, code)                                                                                                              \
    OP(IQ2_XXS, code)                                                                                                            \
    OP(IQ2_XS, sub)                                                                                                              \
    OP(IQ2_S, sub)                                                                                                               \
    OP(IQ1_S, code)                                                                                                              \
    OP(IQ1_M, sub)                                                                                                               \
    OP(TQ1_0, code)                                                                                                              \
    OP(TQ2_0, code)                                                                                                              \
    OP(Q1_0, code)                                                                                                               \
    OP(Q2_0, code)                                                                                                               \
    OP(MXFP4, wide)                                                                                                              \
    OP(NVFP4, split)
#define AMX_UNPACK_TEXT(F, PLAN)                                                                                                 \
    static void amx_unpack_##F(const struct amx_chunk *chunk, struct amx_unit *units) {                                          \
        amx_unpack(&kern_layouts[DTYPE_##F], amx_plan_##PLAN, chunk, units);                                                     \
    }
AMX_FORMATS(AMX_UNPACK_TEXT)
#define AMX_TEXT(F, PLAN) [DTYPE_##F] = {AMX_JOB_##PLAN, amx_unpack_##F, amx_panels_##PLAN},
static const struct amx_text amx_texts[] = {AMX_FORMATS(AMX_TEXT)};

/* ---- products ------------------------------------------------------------------------------------------------------------ */

struct amx_product {
    const struct amx_text *text;
    const struct kern_packed *w;
    uint64_t tile_bytes;
    uint32_t n_blocks, block_bytes; /* of k; about the bytes of a block in a tile, for prefetching */
    struct amx_scratch *scratch;
    /* Rows of the pass. */
    const struct amx_rows *rows;
    size_t panel_bytes;
    uint32_t n_rows, n_panels;
};

/* Blocks [from, ...) of the pair that begins at `tile`, of tiles that end at `to`. */
static struct amx_chunk amx_chunk_at(const struct amx_product *p, uint32_t tile, uint32_t to, uint32_t from) {
    const uint8_t *first = p->w->data + tile * p->tile_bytes;
    uint32_t rest = p->n_blocks - from, most = AMX_JOBS * p->text->job_blocks;
    return (struct amx_chunk){{first, tile + 1 < to ? first + p->tile_bytes : NULL}, from, rest < most ? rest : most};
}

/* The blocks behind the last whole job, with zero blocks up to one. */
static void amx_fill_last(const struct amx_product *p) {
    uint32_t n = p->n_blocks % p->text->job_blocks;
    for (unsigned panel = 0; panel < p->n_panels; panel++) {
        const uint8_t *rows = (const uint8_t *)(p->rows + p->n_blocks - n) + panel * p->panel_bytes;
        memcpy(p->scratch->last[panel], rows, n * sizeof(struct amx_rows));
        memset(p->scratch->last[panel] + n, 0, (p->text->job_blocks - n) * sizeof(struct amx_rows));
    }
}

/* All rows meet a chunk of a pair of tiles; next: the chunk that is unpacked next. */
static void amx_chunk(const struct amx_product *p, struct amx_sums *sums, const struct amx_chunk *chunk,
                      const struct amx_chunk *next) {
    const unsigned job_blocks = p->text->job_blocks;
    struct amx_pass pass = {.scratch = p->scratch,
                            .sums = sums,
                            .rows = p->rows + chunk->from,
                            .panel_bytes = p->panel_bytes,
                            .n_panels = p->n_panels,
                            .n_jobs = (chunk->n + job_blocks - 1) / job_blocks,
                            .first = chunk->from == 0,
                            .has_rest = chunk->n % job_blocks != 0,
                            .next_bytes = next->n * p->block_bytes};
    uint32_t steps_bytes = pass.n_panels * pass.n_jobs * AMX_UNITS * KERN_LINE;
    pass.next_lines = (pass.next_bytes + steps_bytes - 1) / steps_bytes;
    for (unsigned o = 0; o < 2; o++)
        pass.next_weights[o] = (next->tile[o] ? next->tile[o] : next->tile[0]) + (uint64_t)next->from * p->block_bytes;
    p->text->unpack(chunk, p->scratch->units);
    p->text->panels(&pass);
}

/* A row of sums, whose pairs of tiles lie apart, to n outputs. */
static void amx_put_row(const struct amx_scratch *s, uint32_t row, uint32_t n, float *y) {
    const uint32_t width = 2 * KERN_TILE;
    for (uint32_t o = 0; o < n; o += width) {
        const void *from = s->sums[o / width][row / AMX_PANEL].y[row % AMX_PANEL];
        memcpy(y + o, from, (n - o < width ? n - o : width) * sizeof *y);
    }
}

/* Tiles [tile, to), at most a span of them. y: of the first row. */
static void amx_span(const struct amx_product *p, float *y, size_t y_stride, uint32_t tile, uint32_t to) {
    const uint32_t most = AMX_JOBS * p->text->job_blocks;
    for (uint32_t from = 0; from < p->n_blocks; from += most)
        for (uint32_t at = tile; at < to; at += 2) {
            struct amx_chunk chunk = amx_chunk_at(p, at, to, from), next = chunk;
            if (at + 2 < to)
                next = amx_chunk_at(p, at + 2, to, from);
            else if (from + chunk.n < p->n_blocks)
                next = amx_chunk_at(p, tile, to, from + chunk.n);
            amx_chunk(p, p->scratch->sums[(at - tile) / 2], &chunk, &next);
        }
    uint32_t first = tile * KERN_TILE, n = to * KERN_TILE < p->w->n ? to * KERN_TILE - first : p->w->n - first;
    for (uint32_t row = 0; row < p->n_rows; row++)
        amx_put_row(p->scratch, row, n, y + row * y_stride + first);
}

static void amx_range(const struct amx_text *text, const struct kern_packed *w, const struct kern_acts *a, uint32_t tiled,
                      float *y, size_t y_stride, uint32_t from, uint32_t to) {
    struct amx_scratch scratch;
    struct amx_product p = {text, w, kern_tile_bytes(w->type, w->k), w->k / KERN_BLOCK, 0, &scratch, NULL, 0, 0, 0};
    p.block_bytes = (uint32_t)(p.tile_bytes / p.n_blocks);
    p.panel_bytes = (size_t)AMX_PANEL * p.n_blocks * KERN_LINE;
    const struct kern_acts rest = kern_acts_rows(a, tiled, a->rows);
    for (uint32_t row = 0; row < tiled; row += p.n_rows) {
        p.n_rows = tiled - row < AMX_PANELS * AMX_PANEL ? tiled - row : AMX_PANELS * AMX_PANEL;
        p.n_panels = (p.n_rows + AMX_PANEL - 1) / AMX_PANEL;
        p.rows = (const struct amx_rows *)(a->data + row / AMX_PANEL * p.panel_bytes);
        amx_fill_last(&p);
        for (uint32_t tile = from, tile_end; tile < to; tile = tile_end) {
            tile_end = to - tile < 2 * AMX_SPAN ? to : tile + 2 * AMX_SPAN;
            amx_span(&p, y + row * y_stride, y_stride, tile, tile_end);
            if (row + p.n_rows == tiled && rest.rows) /* while the weights are near */
                matmul_avx512(w, &rest, y + tiled * y_stride, y_stride, tile, tile_end);
        }
    }
}

/* struct kern's matmul. Tiles are configured for a call: 0.1 us, beside 30 and more that a group of tiles takes. */
void matmul_amx(const struct kern_packed *w, const struct kern_acts *a, float *y, size_t y_stride, uint32_t from, uint32_t to) {
    uint32_t tiled = a->kind == KERN_ACTS_Q8 ? amx_rows_of(a->rows) : 0;
    if (tiled == 0) {
        matmul_avx512(w, a, y, y_stride, from, to);
        return;
    }
    ASSERT(w->type < N_ITEMS(amx_texts) && amx_texts[w->type].job_blocks);
    tile_open(&tile_shapes);
    amx_range(&amx_texts[w->type], w, a, tiled, y, y_stride, from, to);
    tile_close();
}
