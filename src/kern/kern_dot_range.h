/* kern_dot_range: the loops around a tier's products: which weights are unpacked when, and which rows meet them. Included by
 * kern_dot_{avx2,avx512,neon}.h, between their enums and their texts:
 *
 *   DOT_T           rows in a panel; the last one may have fewer
 *   DOT_STREAM      rows that are streamed at once: a panel, or two full ones
 *   DOT_R           tiles that are multiplied at once: 1, or 4; what is left by twos and ones
 *   DOT_SPAN        times DOT_R tiles that share the activations of a chunk where those of whole rows are more than L2 holds
 *   CHUNK_BYTES     the most that a tile's chunk takes
 *
 * A panel that begins at row r lies r whole rows from the start of the activations; nothing is padded.
 *
 * Quantised and dense formats differ only in their step: a block of 32 k, or one k. Few rows are streamed past the
 * packed weights. More rows meet a chunk: the part of DOT_R tiles that fits in L1, unpacked once for all of them. Where one ends
 * and the other begins is a number of each format, in the tier's table of texts. */
#pragma once

#include <string.h>

#include "kern_dot.h"

enum { DOT_WIDTH = DOT_R * KERN_TILE, DOT_ROWS = 256 /* whose panels of a chunk fit in L2 */, DOT_ROWS_SOME = 16 };
enum { DOT_ACTS_L2 = 1 << 20 /* bytes of activations that stay in L2 from one chunk's tiles to the next ones' */ };

/* What a product brings into the nearest cache step by step: `lines` lines from each of DOT_R places, and in its first steps the
 * rows of outputs that come next. */
struct dot_ahead {
    const uint8_t *at;
    size_t apart, step_bytes; /* from one place, and one step, to the next */
    uint32_t lines, y_rows;
    const float *y;
    size_t y_stride;
};

/* The texts of one format. y is [T][DOT_WIDTH]; stream sets it for one tile, the others add to it. */
typedef void dot_stream_fn(const uint8_t *tile, const uint8_t *x, float *y, uint32_t n_steps);
/* The same for one row and DOT_R tiles, read side by side. */
typedef void dot_stream_row_fn(const uint8_t *tiles, uint64_t tile_bytes, const uint8_t *x, float *y, uint32_t n_steps);
typedef void dot_unpack_fn(const uint8_t *tile, uint32_t from, uint32_t n_steps, uint8_t *chunk);
typedef void dot_tile_fn(const uint8_t *chunks, const uint8_t *x, float *y, uint32_t n_steps, const struct dot_ahead *ahead);
struct dot_text {
    uint16_t step_k, step_bytes;            /* k in a step; bytes of a row's activations in it */
    uint16_t stream_rows;                   /* rows up to which they are streamed; measured */
    uint16_t chunk_steps, chunk_steps_some; /* for many rows; for a few */
    dot_stream_fn *const *stream;           /* [rows - 1] */
    dot_unpack_fn *unpack;
    dot_tile_fn *const *tile;      /* [tiles / 2][T - 1] */
    dot_stream_row_fn *stream_row; /* or NULL: tile by tile */
};

struct dot_job {
    const struct dot_text *text;
    const struct kern_packed *w;
    const struct kern_acts *a;
    uint64_t tile_bytes;
    uint32_t n_steps, step_weights; /* steps in k; about the bytes of a step in a tile, for prefetching */
};

/* Where outputs go: row 0 of some tiles, floats from row to row, outputs that are there. */
struct dot_y {
    float *p;
    size_t stride;
    unsigned n;
};

static inline uint32_t dot_min(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* Rows that are streamed at once, and tiles that are multiplied at once, with `rest` to go. */
static inline unsigned dot_stream_rows(uint32_t rest) {
    return rest >= DOT_STREAM ? DOT_STREAM : dot_min(rest, DOT_T);
}
static inline unsigned dot_tiles_now(uint32_t rest) {
    return rest >= DOT_R ? DOT_R : dot_min(rest, 2);
}

/* One row: the usual case has its own constant length. */
static inline void dot_row_copy(float *to, const float *from, unsigned n) {
    if (n == DOT_WIDTH)
        memcpy(to, from, DOT_WIDTH * sizeof *to);
    else
        memcpy(to, from, n * sizeof *to);
}
static void dot_y_put(const struct dot_y *y, uint32_t row, unsigned T, const float *buffer) {
    for (unsigned t = 0; t < T; t++)
        dot_row_copy(y->p + (row + t) * y->stride, buffer + t * DOT_WIDTH, y->n);
}

static struct dot_y dot_y_at(const struct dot_job *job, float *y, size_t y_stride, uint32_t tile, uint32_t n_tiles) {
    return (struct dot_y){y + (size_t)tile * KERN_TILE, y_stride, dot_min(job->w->n - tile * KERN_TILE, n_tiles * KERN_TILE)};
}

/* One row: as many tiles as are whole groups. Returns the first of those that are left. */
static uint32_t dot_one_row(const struct dot_job *job, float *y, uint32_t from, uint32_t to) {
    _Alignas(KERN_ALIGN) float buffer[DOT_WIDTH];
    for (; to - from >= DOT_R; from += DOT_R) {
        struct dot_y out = dot_y_at(job, y, 0, from, DOT_R);
        job->text->stream_row(job->w->data + from * job->tile_bytes, job->tile_bytes, job->a->data, buffer, job->n_steps);
        dot_y_put(&out, 0, 1, buffer);
    }
    return from;
}

/* Weights are the traffic: a tile is read from its begin to its end, and once more from cache for what DOT_STREAM leaves. */
static void dot_few_rows(const struct dot_job *job, float *y, size_t y_stride, uint32_t from, uint32_t to) {
    _Alignas(KERN_ALIGN) float buffer[DOT_STREAM * DOT_WIDTH];
    uint64_t row_bytes = (uint64_t)job->n_steps * job->text->step_bytes;
    if (job->a->rows == 1 && job->text->stream_row)
        from = dot_one_row(job, y, from, to);
    for (uint32_t tile = from; tile < to; tile++) {
        struct dot_y out = dot_y_at(job, y, y_stride, tile, 1);
        for (uint32_t row = 0, n; row < job->a->rows; row += n) {
            n = dot_stream_rows(job->a->rows - row);
            const uint8_t *x = job->a->data + row * row_bytes;
            job->text->stream[n - 1](job->w->data + tile * job->tile_bytes, x, buffer, job->n_steps);
            dot_y_put(&out, row, n, buffer);
        }
    }
}

/* A piece of work: n_tiles tiles from tile on, of those of a span, rows [row, row_end), steps [from, from + n). */
struct dot_part {
    uint32_t span, span_end, tile, n_tiles, row, row_end, from, n;
};

/* Brings in the share of a step. */
static inline void dot_bring(const struct dot_ahead *ahead, uint32_t step) {
    const uint8_t *at = ahead->at + step * ahead->step_bytes;
    for (uint32_t i = 0; i < ahead->lines; i++, at += KERN_LINE)
        for (unsigned r = 0; r < DOT_R; r++)
            __builtin_prefetch(at + r * ahead->apart);
    for (unsigned r = 0; step < ahead->y_rows && r < DOT_R; r++)
        __builtin_prefetch(ahead->y + step * ahead->y_stride + r * KERN_TILE, 1);
}

/* The chunks that are unpacked behind part's: those of the span's next tiles, then of its next steps, then the next span's. */
static const uint8_t *dot_next_chunks(const struct dot_job *job, const struct dot_part *part) {
    bool goes_on = part->tile + part->n_tiles < part->span_end, more = part->from + part->n < job->n_steps;
    uint32_t tile = !goes_on && more ? part->span : part->tile + part->n_tiles;
    uint32_t from = goes_on ? part->from : more ? part->from + part->n : 0;
    return job->w->data + tile * job->tile_bytes + (uint64_t)from * job->step_weights;
}

/* The weights that are unpacked next come in with the first panels, evenly over their steps. lines is 0 where panel i of n has
 * none to bring. */
static struct dot_ahead dot_ahead_weights(const struct dot_job *job, const struct dot_part *part, uint32_t i, uint32_t n) {
    uint32_t lines = (job->step_weights + n * KERN_LINE - 1) / (n * KERN_LINE), step = lines * KERN_LINE;
    bool has = i * step < job->step_weights;
    const uint8_t *next = dot_next_chunks(job, part) + i * part->n * step;
    return (struct dot_ahead){next, job->tile_bytes, has ? step : 0, has ? lines : 0, 0, NULL, 0};
}

/* What panel i, T rows from `row` on, brings in; x: its activations. */
static struct dot_ahead dot_ahead_of(const struct dot_job *job, const struct dot_part *part, uint32_t row, unsigned T,
                                     const uint8_t *x, const struct dot_y *y) {
    uint32_t n_panels = (part->row_end - part->row + DOT_T - 1) / DOT_T;
    struct dot_ahead ahead = dot_ahead_weights(job, part, (row - part->row) / DOT_T, n_panels);
    if (row + 2 * DOT_T > part->row_end)
        return ahead;
    if (ahead.lines == 0 && part->n < job->n_steps) { /* else they follow in order, as the machine itself expects */
        uint32_t step = DOT_T * job->text->step_bytes;
        ahead = (struct dot_ahead){x + (uint64_t)job->n_steps * step, KERN_LINE, step, step / (DOT_R * KERN_LINE), 0, NULL, 0};
    }
    if (part->from + part->n == job->n_steps)
        ahead.y = y->p + (row + T) * y->stride, ahead.y_stride = y->stride, ahead.y_rows = T;
    return ahead;
}

/* All rows of a part against its chunks; the last steps go on from the sums to y. */
static void dot_panels(const struct dot_job *job, const struct dot_part *part, const struct dot_y *y, const uint8_t *chunks,
                       float *sums) {
    dot_tile_fn *const *tile = job->text->tile + part->n_tiles / 2 * DOT_T;
    uint32_t row_bytes = job->n_steps * job->text->step_bytes;
    for (uint32_t row = part->row, T; row < part->row_end; row += T) {
        T = dot_min(part->row_end - row, DOT_T);
        float *sum = sums + (row - part->row) * DOT_WIDTH;
        const uint8_t *x = job->a->data + row * (uint64_t)row_bytes + part->from * T * job->text->step_bytes;
        struct dot_ahead ahead = dot_ahead_of(job, part, row, T, x, y);
        if (part->from == 0)
            memset(sum, 0, T * DOT_WIDTH * sizeof *sum);
        tile[T - 1](chunks, x, sum, part->n, &ahead);
        if (part->from + part->n == job->n_steps)
            dot_y_put(y, row, T, sum);
    }
}

/* The span that begins at tile from: whole groups of DOT_R tiles, or what is left of fewer. */
static uint32_t dot_span_end(const struct dot_job *job, uint32_t from, uint32_t to) {
    uint64_t acts = (uint64_t)dot_min(job->a->rows, DOT_ROWS) * job->n_steps * job->text->step_bytes;
    uint32_t most = acts > DOT_ACTS_L2 ? DOT_SPAN : 1, groups = dot_min((to - from) / DOT_R, most);
    return from + (groups ? groups * DOT_R : dot_tiles_now(to - from));
}

/* Unpacks part's chunks, and all its rows meet them. */
static void dot_chunks(const struct dot_job *job, const struct dot_part *part, const struct dot_y *y, uint8_t *chunks,
                       float *sums) {
    for (uint32_t i = 0; i < part->n_tiles; i++)
        job->text->unpack(job->w->data + (part->tile + i) * job->tile_bytes, part->from, part->n, chunks + i * CHUNK_BYTES);
    dot_panels(job, part, y, chunks, sums);
}

/* Rows meet a chunk: the part of DOT_R tiles that fits in L1, unpacked once for all of them. Activations of DOT_ROWS rows are
 * to stay in L2, and so do their sums. */
static void dot_many_rows(const struct dot_job *job, float *y, size_t y_stride, uint32_t from, uint32_t to, uint32_t most) {
    _Alignas(KERN_ALIGN) uint8_t chunks[DOT_R * CHUNK_BYTES];
    _Alignas(KERN_ALIGN) float sums[DOT_SPAN][DOT_ROWS * DOT_WIDTH];
    uint32_t n_chunks = (job->n_steps + most - 1) / most, n = (job->n_steps + n_chunks - 1) / n_chunks;
    struct dot_part part;
    for (part.row = 0; part.row < job->a->rows; part.row = part.row_end) {
        part.row_end = dot_min(job->a->rows, part.row + DOT_ROWS);
        for (part.span = from; part.span < to; part.span = part.span_end) {
            part.span_end = dot_span_end(job, part.span, to);
            part.n_tiles = dot_tiles_now(part.span_end - part.span);
            for (part.from = 0; part.from < job->n_steps; part.from += part.n) {
                part.n = dot_min(job->n_steps - part.from, n);
                for (part.tile = part.span; part.tile < part.span_end; part.tile += part.n_tiles) {
                    struct dot_y out = dot_y_at(job, y, y_stride, part.tile, part.n_tiles);
                    dot_chunks(job, &part, &out, chunks, sums[(part.tile - part.span) / DOT_R]);
                }
            }
        }
    }
}

/* struct kern's matmul, with the text of w's format. */
static void dot_range(const struct dot_text *text, const struct kern_packed *w, const struct kern_acts *a, float *y,
                      size_t y_stride, uint32_t from, uint32_t to) {
    struct dot_job job = {text, w, a, kern_tile_bytes(w->type, w->k), w->k / text->step_k, 0};
    if (a->rows == 0)
        return;
    job.step_weights = (uint32_t)(job.tile_bytes / job.n_steps);
    if (a->rows <= text->stream_rows)
        dot_few_rows(&job, y, y_stride, from, to);
    else
        dot_many_rows(&job, y, y_stride, from, to, a->rows <= DOT_ROWS_SOME ? text->chunk_steps_some : text->chunk_steps);
}
