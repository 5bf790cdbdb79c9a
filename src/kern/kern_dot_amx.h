/* kern_dot_amx: products of many rows with the int8 tiles of AMX, on top of the AVX-512 tier: packed weights and activations are
 * its own, and what is not worth a tile (few rows, dense and some rare formats) is left to its matmul_avx512. matmul_amx is the
 * entry.
 *
 * A unit is one tile product: 16 rows times 16 outputs over a block of 32 k, exact int32 sums. Weights are the B of a unit,
 * signed codes in the groups of the packed layout; activations are the A, 16 rows of 32 bytes. A job is 8 units: 16 rows times
 * 32 outputs (a pair of tiles of weights) times 4 blocks. Formats with a scale for each half of a block have two units instead
 * of one: the products code * scale, of up to 14 bits, are split in 128 * high + low, and a job has 2 blocks.
 *
 * The float work of numerics 3 is the limit, not the tile products: while these are under way the machine does one float
 * operation on 512 bits a cycle, not two. So both run side by side: a job is carried out in 8 steps, each of which does an eighth of
 * the float work and, between its rows, the instructions of one unit of the job that comes next. A unit's sums are stored two
 * steps after its product, for storing sooner would wait for it; the last two units of a job so remain in their registers.
 *
 * Loads that agree in the lower 12 bits of their address with tile stores under way wait for these. Sums therefore lie in the
 * lower halves of pages, those of even and of odd jobs in different quarters, and whatever else a job touches in upper halves. */
#pragma once

#include "kern_codes_avx512.h"
#include "kern_tile_amx.h"

enum {
    AMX_UNITS = 8,    /* units of a job, steps of its float work */
    AMX_JOBS = 2,     /* jobs of a chunk: the k that is unpacked at once */
    AMX_PANEL = 16,   /* rows of a job */
    AMX_PANELS = 16,  /* panels that meet a chunk */
    AMX_SPAN = 8,     /* pairs of tiles that share a chunk of activations */
    AMX_BLOCKS = 4,   /* blocks of a job with one unit a block */
    AMX_FEW = 8,      /* rows up to which the AVX-512 text is as fast */
    AMX_SUB_PANEL = 4 /* rows of a panel of kern_dot_avx512.h */
};

/* How a format is multiplied; constant in every text made from it. */
struct amx_plan {
    unsigned parts; /* units a block and tile: 1, or 2: high and low */
    bool min;
};
DOT_INLINE unsigned amx_job_blocks(struct amx_plan plan) {
    return AMX_BLOCKS / plan.parts;
}

/* ---- what a chunk occupies: a page an item -------------------------------------------------------------------------------------- */

/* What unit u has in the jobs of a chunk. Scales of a block and tile are with its first unit. */
struct amx_unit {
    int32_t sums[2][AMX_PANEL][KERN_TILE]; /* of even and of odd jobs */
    int8_t codes[AMX_JOBS][8][KERN_TILE][4];
    struct amx_scales {
        float d[KERN_TILE], minus_magic[KERN_TILE], min[KERN_TILE];
    } scales[AMX_JOBS];
    uint8_t unused[640];
};
/* 16 rows of activations, four blocks. */
struct amx_rows {
    uint8_t lower[2048];
    int8_t q[AMX_BLOCKS][AMX_PANEL][KERN_BLOCK];
};
/* Their scales, for four items of these. */
struct amx_row_scales {
    uint8_t lower[2048];
    struct amx_row_words {
        float d[AMX_BLOCKS][AMX_PANEL], ds[AMX_BLOCKS][AMX_PANEL];
    } of[4];
};
/* 16 rows of 32 outputs. */
struct amx_sums {
    uint8_t lower[2048];
    float y[AMX_PANEL][2][KERN_TILE];
};
struct amx_scratch {
    _Alignas(4096) struct amx_unit units[AMX_UNITS];
    struct amx_rows rows[AMX_PANELS * AMX_JOBS];
    struct amx_row_scales row_scales[AMX_PANELS * AMX_JOBS / 4];
    struct amx_sums sums[AMX_SPAN][AMX_PANELS];
};
_Static_assert(sizeof(struct amx_unit) == 4096 && sizeof(struct amx_rows) == 4096, "a page an item");
_Static_assert(sizeof(struct amx_row_scales) == 4096 && sizeof(struct amx_sums) == 4096, "a page an item");

/* Blocks [from, from + n) of a pair of tiles; the second one may be missing (NULL). */
struct amx_chunk {
    const uint8_t *tile[2];
    uint32_t from, n;
};

/* ---- weights ----------------------------------------------------------------------------------------------------------------- */

/* Group g of block s in a unit of the packed layout, as signed codes. */
DOT_INLINE __m512i amx_codes(const struct kern_layout *f, const uint8_t *unit, unsigned s, unsigned g) {
    __m512i v = dot_codes(f, unit, s, g);
    if (f->lo == 8 || f->values)
        return _mm512_xor_si512(v, _mm512_set1_epi8(-128));
    return f->zero ? _mm512_sub_epi8(v, _mm512_set1_epi8((char)f->zero)) : v;
}

/* Codes times the scale of their half, for every second k: int16 lanes. */
DOT_INLINE void amx_split(__m512i codes16, __m512i sub16, __m512i *high, __m512i *low) {
    __m512i product = _mm512_mullo_epi16(codes16, sub16);
    *high = _mm512_srai_epi16(_mm512_add_epi16(product, _mm512_set1_epi16(64)), 7);
    *low = _mm512_sub_epi16(product, _mm512_slli_epi16(*high, 7));
}
/* Even and odd bytes from int16 lanes. */
DOT_INLINE __m512i amx_interleave(__m512i even, __m512i odd) {
    return _mm512_or_si512(_mm512_and_si512(even, _mm512_set1_epi16(255)), _mm512_slli_epi16(odd, 8));
}

DOT_INLINE void amx_unpack_block(const struct kern_layout *f, struct amx_plan plan, const uint8_t *tile, uint32_t b,
                                 struct amx_unit *to, unsigned job) {
    const uint8_t *unit = tile + (size_t)(b / f->blocks) * f->bytes;
    unsigned s = b % f->blocks;
    __m512 d = dot_scale(f, unit, s);
    _mm512_storeu_ps(to->scales[job].d, d);
    _mm512_storeu_ps(to->scales[job].minus_magic, dot_minus_magic(d));
    if (plan.min)
        _mm512_storeu_ps(to->scales[job].min, dot_minimum(f, unit, s));
    DOT_UNROLL
    for (unsigned g = 0; g < 8; g++) {
        __m512i v = amx_codes(f, unit, s, g), high[2], low[2];
        if (plan.parts == 1) {
            _mm512_storeu_si512(to->codes[job][g], v);
            continue;
        }
        __m512i sub = dot_sub(f, unit, s, g / 4);
        sub = _mm512_or_si512(_mm512_and_si512(sub, _mm512_set1_epi32(0xffff)), _mm512_slli_epi32(sub, 16));
        amx_split(_mm512_srai_epi16(_mm512_slli_epi16(v, 8), 8), sub, &high[0], &low[0]);
        amx_split(_mm512_srai_epi16(v, 8), sub, &high[1], &low[1]);
        _mm512_storeu_si512(to[0].codes[job][g], amx_interleave(high[0], high[1]));
        _mm512_storeu_si512(to[1].codes[job][g], amx_interleave(low[0], low[1]));
    }
}

/* What is not there adds -0, which changes no sum, not even -0. */
static void amx_unpack_none(unsigned parts, struct amx_unit *to, unsigned job) {
    for (unsigned i = 0; i < parts; i++)
        memset(to[i].codes[job], 0, sizeof to[i].codes[job]);
    for (unsigned r = 0; r < KERN_TILE; r++)
        to->scales[job].d[r] = to->scales[job].minus_magic[r] = to->scales[job].min[r] = -0.0f;
}

DOT_INLINE void amx_unpack(const struct kern_layout *f, struct amx_plan plan, const struct amx_chunk *chunk,
                           struct amx_unit *units) {
    const unsigned blocks = amx_job_blocks(plan), jobs = (chunk->n + blocks - 1) / blocks;
    for (unsigned i = 0; i < jobs * blocks; i++)
        for (unsigned o = 0; o < 2; o++) {
            struct amx_unit *to = units + (i % blocks * 2 + o) * plan.parts;
            if (i < chunk->n && chunk->tile[o])
                amx_unpack_block(f, plan, chunk->tile[o], chunk->from + i, to, i / blocks);
            else
                amx_unpack_none(plan.parts, to, i / blocks);
        }
}

/* ---- activations --------------------------------------------------------------------------------------------------------------- */

/* A block of T rows from their panel to rows [row, row + T). */
DOT_INLINE void amx_take_block(const uint8_t *x, const unsigned T, int8_t (*q)[KERN_BLOCK], float *d, float *ds) {
    memcpy(d, x + 4 * (8 + WORD_D) * T, 4 * T);
    memcpy(ds, x + 4 * (8 + WORD_DS) * T, 4 * T);
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

/* Rows of a panel of kern_dot_avx512.h, of n blocks; x: the first of them. */
DOT_INLINE void amx_take_rows(const uint8_t *x, const unsigned T, unsigned n, unsigned row, struct amx_rows *rows,
                              struct amx_row_words *words) {
    for (unsigned i = 0; i < n; i++, x += KERN_LINE * T) {
        unsigned j = i / AMX_BLOCKS, b = i % AMX_BLOCKS;
        amx_take_block(x, T, rows[j].q[b] + row, words[j].d[b] + row, words[j].ds[b] + row);
    }
}

/* Words of the four blocks of item i. */
DOT_INLINE struct amx_row_words *amx_words(struct amx_scratch *s, unsigned i) {
    return &s->row_scales[i / 4].of[i % 4];
}

/* Blocks [from, from + n) of the rows that a holds, at most AMX_PANELS panels. What is missing in the last panel or up to a whole
 * item is zero. */
static void amx_take(struct amx_scratch *s, const struct kern_acts *a, uint32_t from, uint32_t n) {
    uint64_t row_bytes = (uint64_t)(a->k / KERN_BLOCK) * KERN_LINE;
    for (uint32_t row = 0, T; row < a->rows; row += T) {
        unsigned item = row / AMX_PANEL * AMX_JOBS;
        T = a->rows - row < AMX_SUB_PANEL ? a->rows - row : AMX_SUB_PANEL;
        const uint8_t *x = a->data + row * row_bytes + (uint64_t)from * T * KERN_LINE;
        if (row % AMX_PANEL == 0 && (n % AMX_BLOCKS != 0 || a->rows - row < AMX_PANEL)) {
            memset(&s->rows[item], 0, AMX_JOBS * sizeof s->rows[item]);
            memset(amx_words(s, item), 0, AMX_JOBS * sizeof(struct amx_row_words));
        }
        switch (T) {
        case 1: amx_take_rows(x, 1, n, row % AMX_PANEL, &s->rows[item], amx_words(s, item)); break;
        case 2: amx_take_rows(x, 2, n, row % AMX_PANEL, &s->rows[item], amx_words(s, item)); break;
        case 3: amx_take_rows(x, 3, n, row % AMX_PANEL, &s->rows[item], amx_words(s, item)); break;
        default: amx_take_rows(x, 4, n, row % AMX_PANEL, &s->rows[item], amx_words(s, item));
        }
    }
}

/* ---- a job ---------------------------------------------------------------------------------------------------------------------- */

struct amx_job {
    struct amx_unit *units;
    unsigned of_chunk, parity; /* which job of the chunk; which sums are its */
    const int8_t (*q)[AMX_PANEL][KERN_BLOCK];
    const float (*d)[AMX_PANEL], (*ds)[AMX_PANEL];
    float (*y)[2][KERN_TILE];
    bool first; /* y begins here */
};

/* What a job brings into the nearest cache, evenly over its steps: the rows of the job after the next, half of the next sums,
 * and `lines` lines of each of two tiles of weights. */
struct amx_ahead {
    const struct amx_job *job;
    const uint8_t *y, *weights[2];
    unsigned lines;
};

DOT_INLINE void amx_bring(struct amx_plan plan, const unsigned step, const struct amx_ahead *ahead) {
    const uint8_t *q = (const uint8_t *)ahead->job->q + step * (256 / plan.parts);
    for (unsigned i = 0; i < 256 / plan.parts; i += KERN_LINE)
        __builtin_prefetch(q + i);
    __builtin_prefetch((const uint8_t *)ahead->job->d + step % 4 * KERN_LINE +
                       (step / 4 ? sizeof(float[AMX_BLOCKS][AMX_PANEL]) : 0));
    __builtin_prefetch(ahead->y + step * 128);
    __builtin_prefetch(ahead->y + step * 128 + KERN_LINE);
    for (unsigned i = step * ahead->lines, end = i + ahead->lines; i < end; i++) {
        __builtin_prefetch(ahead->weights[0] + i * KERN_LINE);
        __builtin_prefetch(ahead->weights[1] + i * KERN_LINE);
    }
}

DOT_INLINE void amx_unit_load_rows(struct amx_plan plan, const struct amx_job *job, const unsigned u) {
    const unsigned block = u / (2 * plan.parts);
    if (u % (2 * plan.parts) == 0)
        tile_load(TILE_A + block % 2, job->q[block], KERN_BLOCK);
}
DOT_INLINE void amx_unit_multiply(struct amx_plan plan, const struct amx_job *job, const unsigned u) {
    const unsigned a = TILE_A + u / (2 * plan.parts) % 2, b = TILE_B + u % 2, c = TILE_C + u % 4;
    tile_load(b, job->units[u].codes[job->of_chunk], 64);
    tile_zero(c);
    tile_dot(c, a, b);
}
DOT_INLINE void amx_unit_store(const struct amx_job *job, const unsigned u) {
    tile_store(TILE_C + u % 4, job->units[u].sums[job->parity], 64);
}

/* Scales of a block for a pair of tiles. */
struct amx_terms {
    __m512 d[2], minus_magic[2], min[2];
};
DOT_INLINE struct amx_terms amx_terms_load(struct amx_plan plan, const struct amx_job *job, const unsigned block) {
    struct amx_terms w;
    DOT_UNROLL
    for (unsigned o = 0; o < 2; o++) {
        const struct amx_scales *s = &job->units[(block * 2 + o) * plan.parts].scales[job->of_chunk];
        w.d[o] = _mm512_loadu_ps(s->d);
        w.minus_magic[o] = plan.parts == 1 ? _mm512_loadu_ps(s->minus_magic) : w.d[o];
        w.min[o] = plan.min ? _mm512_loadu_ps(s->min) : w.d[o];
        DOT_KEEP(w.d[o]);
        DOT_KEEP(w.minus_magic[o]);
        DOT_KEEP(w.min[o]);
    }
    return w;
}

/* 1.5 * 2^23 + I as a float; |I| < 2^22. */
DOT_INLINE __m512 amx_magic(const struct amx_unit *unit, unsigned parity, unsigned row) {
    __m512i sums = _mm512_loadu_si512(unit->sums[parity][row]);
    return _mm512_castsi512_ps(_mm512_add_epi32(sums, _mm512_set1_epi32(DOT_MAGIC)));
}

/* (float)I * d, rounded once. units: those of the block and tile. */
DOT_INLINE __m512 amx_scaled(struct amx_plan plan, const struct amx_unit *units, unsigned parity, unsigned row, __m512 d,
                             __m512 minus_magic) {
    const __m512 magic = _mm512_set1_ps(0x1.8p23f);
    if (plan.parts == 1)
        return _mm512_fmadd_ps(amx_magic(units, parity, row), d, minus_magic);
    __m512 high = _mm512_sub_ps(amx_magic(units, parity, row), magic),
           low = _mm512_sub_ps(amx_magic(units + 1, parity, row), magic);
    return _mm512_mul_ps(_mm512_fmadd_ps(high, _mm512_set1_ps(128), low), d); /* the sum is exact: |I| < 2^24 */
}

/* One row of a block: y takes it in. */
DOT_INLINE void amx_row(struct amx_plan plan, const struct amx_job *job, const unsigned block, unsigned row,
                        const struct amx_terms *w, __m512 y[2]) {
    __m512 d = _mm512_set1_ps(job->d[block][row]), ds = plan.min ? _mm512_set1_ps(job->ds[block][row]) : d;
    DOT_KEEP(d);
    DOT_KEEP(ds);
    DOT_UNROLL
    for (unsigned o = 0; o < 2; o++) {
        const struct amx_unit *units = job->units + (block * 2 + o) * plan.parts;
        y[o] = _mm512_fmadd_ps(amx_scaled(plan, units, job->parity, row, w->d[o], w->minus_magic[o]), d, y[o]);
        if (plan.min)
            y[o] = _mm512_fmadd_ps(w->min[o], ds, y[o]);
        DOT_KEEP(y[o]);
    }
}

/* A step of `now`, with unit `step` of `next` (NULL: none) between its rows. */
DOT_INLINE void amx_step(struct amx_plan plan, const unsigned step, const struct amx_job *now, const struct amx_job *next,
                         __m512 y[AMX_UNITS][2]) {
    const unsigned n_rows = AMX_UNITS / plan.parts, block = step % amx_job_blocks(plan),
                   row = step / amx_job_blocks(plan) * n_rows;
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

/* All of `now`, whose last two units are still in their registers. */
DOT_INLINE void amx_job(struct amx_plan plan, const struct amx_job *now, const struct amx_job *next,
                        const struct amx_ahead *ahead) {
    const unsigned n_rows = AMX_UNITS / plan.parts, blocks = amx_job_blocks(plan);
    const __mmask16 loaded = now->first ? 0 : 0xffff;
    __m512 y[AMX_UNITS][2];
    DOT_UNROLL
    for (unsigned step = 0; step < AMX_UNITS; step++) {
        float(*rows)[2][KERN_TILE] = now->y + step / blocks * n_rows;
        if (step % blocks == 0)
            DOT_UNROLL
        for (unsigned t = 0; t < n_rows; t++)
            for (unsigned o = 0; o < 2; o++)
                y[t][o] = _mm512_maskz_loadu_ps(loaded, rows[t][o]);
        if (next)
            amx_bring(plan, step, ahead);
        amx_step(plan, step, now, next, y);
        if (step % blocks == blocks - 1)
            DOT_UNROLL
        for (unsigned t = 0; t < n_rows; t++)
            for (unsigned o = 0; o < 2; o++)
                _mm512_storeu_ps(rows[t][o], y[t][o]);
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

/* ---- all rows of a chunk ---------------------------------------------------------------------------------------------------------- */

/* A chunk of weights meets its rows. */
struct amx_pass {
    struct amx_scratch *scratch;
    struct amx_sums *sums; /* of this pair of tiles, a panel each */
    unsigned n_panels, n_jobs;
    bool first;                     /* of the chunks in k */
    const uint8_t *next_weights[2]; /* what is unpacked next: so many bytes from each tile */
    uint32_t next_bytes;
};

/* Job i: the jobs of a panel one after the other. */
DOT_INLINE struct amx_job amx_job_at(struct amx_plan plan, const struct amx_pass *pass, unsigned i) {
    unsigned panel = i / pass->n_jobs, of_chunk = i % pass->n_jobs, block = of_chunk * amx_job_blocks(plan);
    unsigned item = panel * AMX_JOBS + block / AMX_BLOCKS;
    const struct amx_row_words *words = amx_words(pass->scratch, item);
    block %= AMX_BLOCKS;
    return (struct amx_job){.units = pass->scratch->units,
                            .of_chunk = of_chunk,
                            .parity = i % 2,
                            .q = pass->scratch->rows[item].q + block,
                            .d = words->d + block,
                            .ds = words->ds + block,
                            .y = pass->sums[panel].y,
                            .first = pass->first && of_chunk == 0};
}

/* What job i of n brings in; later: the job after the next. */
DOT_INLINE struct amx_ahead amx_ahead_at(const struct amx_pass *pass, unsigned i, unsigned n, const struct amx_job *later) {
    unsigned panel = i / pass->n_jobs + 1,
             lines = (pass->next_bytes + n * AMX_UNITS * KERN_LINE - 1) / (n * AMX_UNITS * KERN_LINE);
    uint32_t at = i * AMX_UNITS * lines * KERN_LINE;
    const struct amx_sums *sums = &pass->sums[panel < pass->n_panels ? panel : 0];
    return (struct amx_ahead){.job = later,
                              .y = (const uint8_t *)sums->y + i % pass->n_jobs * (sizeof sums->y / 2),
                              .weights = {pass->next_weights[0] + at, pass->next_weights[1] + at},
                              .lines = at < pass->next_bytes ? lines : 0};
}

DOT_INLINE void amx_panels(struct amx_plan plan, const struct amx_pass *pass) {
    const unsigned n = pass->n_panels * pass->n_jobs;
    struct amx_job now = amx_job_at(plan, pass, 0);
    amx_start(plan, &now);
    for (unsigned i = 0; i < n; i++) {
        const struct amx_job next = amx_job_at(plan, pass, i + 1 < n ? i + 1 : 0);
        const struct amx_job later = amx_job_at(plan, pass, i + 2 < n ? i + 2 : 0);
        const struct amx_ahead ahead = amx_ahead_at(pass, i, n, &later);
        if (i + 1 < n)
            amx_job(plan, &now, &next, &ahead);
        else
            amx_job(plan, &now, NULL, &ahead);
        now = next;
    }
}

/* ---- one text per format or plan ------------------------------------------------------------------------------------------------- */

typedef void amx_unpack_fn(const struct amx_chunk *chunk, struct amx_unit *units);
typedef void amx_panels_fn(const struct amx_pass *pass);
struct amx_text {
    uint8_t few, blocks; /* rows up to which the AVX-512 text takes them; blocks of a chunk */
    amx_unpack_fn *unpack;
    amx_panels_fn *panels;
};

static const struct amx_plan amx_plan_code = {.parts = 1};
static const struct amx_plan amx_plan_code_min = {.parts = 1, .min = true};
static const struct amx_plan amx_plan_sub = {.parts = 2};

#define AMX_PANELS_TEXT(PLAN)                                                                                                    \
    static void amx_panels_##PLAN(const struct amx_pass *pass) {                                                                 \
        amx_panels(amx_plan_##PLAN, pass);                                                                                       \
    }
AMX_PANELS_TEXT(code)
AMX_PANELS_TEXT(code_min)
AMX_PANELS_TEXT(sub)

/* Formats that are products of many rows by tiles. The others: dense ones have no integers; MXFP4's scales are too large for the
 * conversion of amx_magic, NVFP4 has two terms a block, Q2_K a minimum for each half. */
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
    OP(Q2_0, code)
#define AMX_UNPACK_TEXT(F, PLAN)                                                                                                 \
    static void amx_unpack_##F(const struct amx_chunk *chunk, struct amx_unit *units) {                                          \
        amx_unpack(&kern_layouts[DTYPE_##F], amx_plan_##PLAN, chunk, units);                                                     \
    }
AMX_FORMATS(AMX_UNPACK_TEXT)
enum { AMX_CHUNK_code = 8, AMX_CHUNK_code_min = 8, AMX_CHUNK_sub = 4 };
#define AMX_TEXT(F, PLAN) [DTYPE_##F] = {AMX_FEW, AMX_CHUNK_##PLAN, amx_unpack_##F, amx_panels_##PLAN},
static const struct amx_text amx_texts[] = {AMX_FORMATS(AMX_TEXT)};

/* ---- products --------------------------------------------------------------------------------------------------------------------- */

struct amx_product {
    const struct amx_text *text;
    const struct kern_packed *w;
    uint64_t tile_bytes;
    uint32_t n_blocks, block_bytes; /* of k; about the bytes of a block in a tile, for prefetching */
    struct amx_scratch *scratch;
};

/* Blocks [from, ...) of the pair that begins at `tile`, of tiles that end at `to`. */
static struct amx_chunk amx_chunk_at(const struct amx_product *p, uint32_t tile, uint32_t to, uint32_t from) {
    const uint8_t *first = p->w->data + tile * p->tile_bytes;
    uint32_t rest = p->n_blocks - from, n = rest < p->text->blocks ? rest : p->text->blocks;
    return (struct amx_chunk){{first, tile + 1 < to ? first + p->tile_bytes : NULL}, from, n};
}

/* All rows meet blocks [from, ...) of tiles [tile, to). */
static void amx_chunks(const struct amx_product *p, unsigned n_panels, uint32_t tile, uint32_t to, uint32_t from) {
    const unsigned job_blocks = p->text->blocks / AMX_JOBS;
    for (uint32_t at = tile; at < to; at += 2) {
        struct amx_chunk chunk = amx_chunk_at(p, at, to, from), next = chunk;
        if (at + 2 < to)
            next = amx_chunk_at(p, at + 2, to, from);
        else if (from + chunk.n < p->n_blocks)
            next = amx_chunk_at(p, tile, to, from + chunk.n);
        p->text->unpack(&chunk, p->scratch->units);
        struct amx_pass pass = {.scratch = p->scratch,
                                .sums = p->scratch->sums[(at - tile) / 2],
                                .n_panels = n_panels,
                                .n_jobs = (chunk.n + job_blocks - 1) / job_blocks,
                                .first = from == 0,
                                .next_bytes = next.n * p->block_bytes};
        for (unsigned o = 0; o < 2; o++)
            pass.next_weights[o] = (next.tile[o] ? next.tile[o] : next.tile[0]) + (uint64_t)next.from * p->block_bytes;
        p->text->panels(&pass);
    }
}

/* A row of sums, whose pairs of tiles lie apart, to n outputs. */
static void amx_put_row(const struct amx_scratch *s, uint32_t row, uint32_t n, float *y) {
    const uint32_t width = 2 * KERN_TILE;
    for (uint32_t o = 0; o < n; o += width) {
        const void *from = s->sums[o / width][row / AMX_PANEL].y[row % AMX_PANEL];
        memcpy(y + o, from, (n - o < width ? n - o : width) * sizeof *y);
    }
}

/* Tiles [tile, to), at most a span of them, and at most AMX_PANELS panels of rows. */
static void amx_span(const struct amx_product *p, const struct kern_acts *a, float *y, size_t y_stride, uint32_t tile,
                     uint32_t to) {
    for (uint32_t from = 0; from < p->n_blocks; from += p->text->blocks) {
        uint32_t rest = p->n_blocks - from;
        amx_take(p->scratch, a, from, rest < p->text->blocks ? rest : p->text->blocks);
        amx_chunks(p, (a->rows + AMX_PANEL - 1) / AMX_PANEL, tile, to, from);
    }
    uint32_t first = tile * KERN_TILE, n = to * KERN_TILE < p->w->n ? to * KERN_TILE - first : p->w->n - first;
    for (uint32_t row = 0; row < a->rows; row++)
        amx_put_row(p->scratch, row, n, y + row * y_stride + first);
}

static struct kern_acts amx_acts_rows(const struct kern_acts *a, uint32_t from, uint32_t to) {
    return (struct kern_acts){a->kind, to - from, a->k, a->data + (uint64_t)from * (a->k / KERN_BLOCK) * KERN_LINE};
}

/* Rows that tiles take: all but a rest that is not worth a panel of its own. */
static uint32_t amx_rows_of(const struct amx_text *text, uint32_t rows) {
    uint32_t rest = rows % AMX_PANEL;
    return rest <= text->few ? rows - rest : rows;
}

static void amx_range(const struct amx_text *text, const struct kern_packed *w, const struct kern_acts *a, float *y,
                      size_t y_stride, uint32_t from, uint32_t to) {
    struct amx_scratch scratch;
    struct amx_product p = {text, w, kern_tile_bytes(w->type, w->k), w->k / KERN_BLOCK, 0, &scratch};
    p.block_bytes = (uint32_t)(p.tile_bytes / p.n_blocks);
    uint32_t tiled = amx_rows_of(text, a->rows);
    const struct kern_acts rest = amx_acts_rows(a, tiled, a->rows);
    for (uint32_t row = 0, row_end; row < tiled; row = row_end) {
        row_end = tiled - row < AMX_PANELS * AMX_PANEL ? tiled : row + AMX_PANELS * AMX_PANEL;
        const struct kern_acts rows = amx_acts_rows(a, row, row_end);
        for (uint32_t tile = from, tile_end; tile < to; tile = tile_end) {
            tile_end = to - tile < 2 * AMX_SPAN ? to : tile + 2 * AMX_SPAN;
            amx_span(&p, &rows, y + row * y_stride, y_stride, tile, tile_end);
            if (row_end == tiled && rest.rows) /* while the weights are near */
                matmul_avx512(w, &rest, y + tiled * y_stride, y_stride, tile, tile_end);
        }
    }
}

/* struct kern's matmul. Tiles are configured for a call: 0.1 us, beside 30 and more that a group of tiles takes. */
void matmul_amx(const struct kern_packed *w, const struct kern_acts *a, float *y, size_t y_stride, uint32_t from, uint32_t to) {
    const struct amx_text *text = w->type < N_ITEMS(amx_texts) ? &amx_texts[w->type] : NULL;
    if (!text || !text->unpack || amx_rows_of(text, a->rows) == 0) {
        matmul_avx512(w, a, y, y_stride, from, to);
        return;
    }
    tile_open();
    amx_range(text, w, a, y, y_stride, from, to);
    tile_close();
}
