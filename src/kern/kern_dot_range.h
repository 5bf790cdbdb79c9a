/* kern_dot_range: the loops around a tier's products: which weights are unpacked when, and which rows meet them. Included by
 * kern_dot_{avx2,avx512}.h, between their enums and their texts:
 *
 *   DOT_T           rows in a panel
 *   DOT_STREAM      rows that can be streamed; rows that fill no panel of DOT_T go in panels of at most so many
 *   DOT_R           tiles that are multiplied at once
 *   CHUNK_BYTES     the most that a tile's chunk takes
 *
 * A panel that begins at row r lies r whole rows from the start of the activations; nothing is padded.
 *
 * Quantised and dense formats differ only in their step: a block of 32 k, or one k. Up to DOT_STREAM rows are streamed past the
 * packed weights. More rows meet a chunk: the part of DOT_R tiles that fits in L1, unpacked once for all of them. */
#pragma once

#include <string.h>

#include "kern_dot.h"

enum { DOT_WIDTH = DOT_R * KERN_TILE, DOT_ROWS = 256 /* whose panels of a chunk fit in L2 */, DOT_ROWS_SOME = 16 };

/* The texts of one format. y is [T][DOT_WIDTH]; stream sets it for one tile, the others add to it. */
typedef void dot_stream_fn(const uint8_t *tile, const uint8_t *x, float *y, uint32_t n_steps);
typedef void dot_unpack_fn(const uint8_t *tile, uint32_t from, uint32_t n_steps, uint8_t *chunk);
typedef void dot_tile_fn(const uint8_t *chunks, const uint8_t *x, float *y, uint32_t n_steps);
struct dot_text {
    uint16_t step_k, step_bytes;            /* k in a step; bytes of a row's activations in it */
    uint16_t chunk_steps, chunk_steps_some; /* for many rows; for a few */
    dot_stream_fn *const *stream;           /* [T - 1]; NULL: there is none, chunks serve */
    dot_unpack_fn *unpack;
    dot_tile_fn *const *tile; /* [tiles - 1][T - 1] */
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

/* Rows in the panel that begins at a row with `rest` rows to go. */
static inline unsigned dot_panel_rows(uint32_t rest) {
    return rest >= DOT_T ? DOT_T : dot_min(rest, DOT_STREAM);
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

/* Weights are the traffic: each tile is read once, from its begin to its end. */
static void dot_few_rows(const struct dot_job *job, float *y, size_t y_stride, uint32_t from, uint32_t to) {
    _Alignas(KERN_ALIGN) float buffer[DOT_STREAM * DOT_WIDTH];
    for (uint32_t tile = from; tile < to; tile++) {
        job->text->stream[job->a->rows - 1](job->w->data + tile * job->tile_bytes, job->a->data, buffer, job->n_steps);
        struct dot_y out = dot_y_at(job, y, y_stride, tile, 1);
        dot_y_put(&out, 0, job->a->rows, buffer);
    }
}

/* A piece of work: n_tiles tiles from tile on, rows [row, row_end), steps [from, from + n). */
struct dot_part {
    uint32_t tile, n_tiles, row, row_end, from, n;
};

/* Brings in piece i of n of the weights that are unpacked next: the chunk behind part's, or the first one of the next tiles. */
static void dot_prefetch_weights(const struct dot_job *job, const struct dot_part *part, uint32_t i, uint32_t n) {
    uint32_t bytes = part->n * job->step_weights, piece = (bytes / n + KERN_LINE) / KERN_LINE * KERN_LINE;
    bool more = part->from + part->n < job->n_steps;
    const uint8_t *next = job->w->data + (part->tile + (more ? 0 : part->n_tiles)) * job->tile_bytes;
    next += more ? (part->from + part->n) * (uint64_t)job->step_weights : 0;
    for (uint32_t r = 0; r < part->n_tiles && i * piece < bytes; r++)
        for (uint32_t at = i * piece; at < (i + 1) * piece; at += KERN_LINE)
            __builtin_prefetch(next + r * job->tile_bytes + at, 0, 2);
}

/* All rows of a part against its chunks; the last steps go on from the sums to y. */
static void dot_panels(const struct dot_job *job, const struct dot_part *part, const struct dot_y *y, const uint8_t *chunks,
                       float *sums) {
    dot_tile_fn *const *tile = job->text->tile + (part->n_tiles - 1) * DOT_T;
    uint32_t n_panels = (part->row_end - part->row + DOT_T - 1) / DOT_T, panel_bytes = job->n_steps * job->text->step_bytes;
    bool is_last = part->from + part->n == job->n_steps;
    for (uint32_t row = part->row, T; row < part->row_end; row += T) {
        T = dot_panel_rows(part->row_end - row);
        float *sum = sums + (row - part->row) * DOT_WIDTH;
        dot_prefetch_weights(job, part, (row - part->row) / DOT_T, n_panels);
        for (uint32_t r = row + T; is_last && r < dot_min(row + T + DOT_T, part->row_end); r++)
            __builtin_prefetch(y->p + r * y->stride, 1), __builtin_prefetch(y->p + r * y->stride + 16, 1);
        if (part->from == 0)
            memset(sum, 0, T * DOT_WIDTH * sizeof *sum);
        const uint8_t *x = job->a->data + row * (uint64_t)panel_bytes + part->from * T * job->text->step_bytes;
        tile[T - 1](chunks, x, sum, part->n);
        if (is_last)
            dot_y_put(y, row, T, sum);
    }
}

/* Rows meet a chunk: the part of DOT_R tiles that fits in L1, unpacked once for all of them. Activations of DOT_ROWS rows are
 * to stay in L2, and so do their sums. */
static void dot_many_rows(const struct dot_job *job, float *y, size_t y_stride, uint32_t from, uint32_t to, uint32_t most) {
    _Alignas(KERN_ALIGN) uint8_t chunks[DOT_R * CHUNK_BYTES];
    _Alignas(KERN_ALIGN) float sums[DOT_ROWS * DOT_WIDTH];
    uint32_t n_chunks = (job->n_steps + most - 1) / most, n = (job->n_steps + n_chunks - 1) / n_chunks;
    struct dot_part part;
    for (part.row = 0; part.row < job->a->rows; part.row = part.row_end) {
        part.row_end = dot_min(job->a->rows, part.row + DOT_ROWS);
        for (part.tile = from; part.tile < to; part.tile += part.n_tiles) {
            part.n_tiles = dot_min(to - part.tile, DOT_R);
            struct dot_y out = dot_y_at(job, y, y_stride, part.tile, part.n_tiles);
            for (part.from = 0; part.from < job->n_steps; part.from += part.n) {
                part.n = dot_min(job->n_steps - part.from, n);
                for (uint32_t i = 0; i < part.n_tiles; i++)
                    job->text->unpack(job->w->data + (part.tile + i) * job->tile_bytes, part.from, part.n,
                                      chunks + i * CHUNK_BYTES);
                dot_panels(job, &part, &out, chunks, sums);
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
    if (a->rows <= DOT_STREAM && text->stream)
        dot_few_rows(&job, y, y_stride, from, to);
    else
        dot_many_rows(&job, y, y_stride, from, to, a->rows <= DOT_ROWS_SOME ? text->chunk_steps_some : text->chunk_steps);
}
