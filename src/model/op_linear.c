/* op_linear: all products with weights, split over the pool. A loop is cut into slices of the outputs: slice i of n holds part i of
 * n of each matrix, so that a thread, whose share of the slices is the same in all loops, multiplies the same weights in each step.
 * Where slices are too few for the threads, many rows are cut too.
 *
 * Of few rows an item takes microseconds, and the kernel may take its thread off the core for milliseconds: such items may be run again by
 * others (pool_loop.keep). Their outputs are kept in the thread's piece until they are put where they belong. */
#include "pass.h"

#include <string.h>

/* Items per thread in a loop: even sharing against the cost of claiming, of reading the inputs and of unpacking once more. */
enum { ITEMS_PER_THREAD = 8, ROWS_FEW = 4, ROWS_LEAST = 32 /* of a cut: unpacking for so few costs 4 % */, UNIT = 4 };
/* Weights of an item of few rows, at most: read by one thread in some 20 us. */
enum { ITEM_BYTES = 256 << 10 };

struct part {
    const struct linear *linear;
    struct kern_acts acts;
    float *y;
    size_t y_stride;
};
struct linears_loop {
    struct pass *p;
    struct part parts[LINEARS_MAX];
    uint32_t n_parts, unit;          /* unit: tiles that stay together */
    uint32_t n_slices, n_rows, rows; /* rows: of an item */
    enum act act;                    /* of gates */
};
/* Rows and tiles of a part. */
struct cut {
    uint32_t row, row_end, from, to;
};

static uint32_t ceil_div(uint32_t a, uint32_t b) {
    return (a + b - 1) / b;
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static struct cut cut_of(const struct linears_loop *loop, const struct part *part, uint32_t item) {
    uint32_t cuts = ceil_div(loop->n_rows, loop->rows), slice = item / cuts, row = item % cuts * loop->rows;
    uint32_t tiles = kern_tiles(part->linear->w.n), units = ceil_div(tiles, loop->unit);
    return (struct cut){
        .row = row,
        .row_end = least(row + loop->rows, loop->n_rows),
        .from = pool_share(units, slice, loop->n_slices) * loop->unit,
        .to = least(pool_share(units, slice + 1, loop->n_slices) * loop->unit, tiles),
    };
}

static uint32_t outputs_of(const struct part *part, const struct cut *cut) {
    return least(cut->to * KERN_TILE, part->linear->w.n) - cut->from * KERN_TILE;
}

/* Where the first output of the cut's first row goes. */
static float *place_of(const struct part *part, const struct cut *cut) {
    return part->y + cut->row * part->y_stride + (size_t)cut->from * KERN_TILE;
}

/* The cut's products with scale and bias; y: where the first row's first output goes. */
static void multiply(const struct kern *kern, const struct part *part, const struct cut *cut, float *y, size_t y_stride) {
    const struct linear *linear = part->linear;
    struct kern_packed w = kern_packed_tiles(&linear->w, cut->from, cut->to);
    struct kern_acts acts = kern_acts_rows(&part->acts, cut->row, cut->row_end);
    kern->matmul(&w, &acts, y, y_stride, 0, cut->to - cut->from);
    for (uint32_t row = 0; row < acts.rows; row++, y += y_stride) {
        if (linear->scale)
            kern->scale(w.n, y, *linear->scale, y);
        if (linear->bias)
            kern->add(w.n, y, linear->bias + (size_t)cut->from * KERN_TILE, y);
    }
}

static void linears_item(void *ctx, uint32_t item, unsigned thread) {
    const struct linears_loop *loop = ctx;
    (void)thread;
    kern_fp_assert();
    for (uint32_t i = 0; i < loop->n_parts; i++) {
        const struct part *part = &loop->parts[i];
        struct cut cut = cut_of(loop, part, item);
        if (cut.from < cut.to)
            multiply(loop->p->m->kern, part, &cut, place_of(part, &cut), part->y_stride);
    }
}

static float *piece_of(const struct pass *p, unsigned thread) {
    return p->pieces + (size_t)thread * 2 * PIECE_FLOATS;
}

/* Rows in a piece are so many floats apart: no power of two, which would share cache sets. */
static size_t piece_stride(const struct cut *cut) {
    return (size_t)(cut->to - cut->from + 1) * KERN_TILE;
}

static size_t piece_floats(const struct cut *cut) {
    return (cut->row_end - cut->row) * piece_stride(cut);
}

static void linears_in_piece(void *ctx, uint32_t item, unsigned thread) {
    const struct linears_loop *loop = ctx;
    float *piece = piece_of(loop->p, thread);
    kern_fp_assert();
    for (uint32_t i = 0; i < loop->n_parts; i++) {
        struct cut cut = cut_of(loop, &loop->parts[i], item);
        if (cut.from < cut.to)
            multiply(loop->p->m->kern, &loop->parts[i], &cut, piece, piece_stride(&cut));
        piece += piece_floats(&cut);
    }
}

static void keep_part(const struct part *part, const struct cut *cut, const float *piece) {
    if (cut->from == cut->to)
        return;
    float *y = place_of(part, cut);
    for (uint32_t row = cut->row; row < cut->row_end; row++, piece += piece_stride(cut), y += part->y_stride)
        memcpy(y, piece, outputs_of(part, cut) * sizeof *y);
}

static void linears_keep(void *ctx, uint32_t item, unsigned thread) {
    const struct linears_loop *loop = ctx;
    const float *piece = piece_of(loop->p, thread);
    for (uint32_t i = 0; i < loop->n_parts; i++) {
        struct cut cut = cut_of(loop, &loop->parts[i], item);
        keep_part(&loop->parts[i], &cut, piece);
        piece += piece_floats(&cut);
    }
}

/* Fast kernels take four tiles at a time, but for few rows. */
static void share_out(struct linears_loop *loop, unsigned threads) {
    uint32_t units = 0, wanted = threads == 1 ? 1 : threads * ITEMS_PER_THREAD;
    uint64_t bytes = 0;
    loop->unit = loop->n_rows > ROWS_FEW ? UNIT : 1;
    for (uint32_t i = 0; i < loop->n_parts; i++) {
        const struct kern_packed *w = &loop->parts[i].linear->w;
        uint32_t n = ceil_div(kern_tiles(w->n), loop->unit);
        units = n > units ? n : units;
        bytes += kern_packed_bytes(w->type, w->n, w->k);
    }
    if (threads > 1 && loop->n_rows <= ROWS_FEW && bytes / ITEM_BYTES > wanted)
        wanted = least((uint32_t)(bytes / ITEM_BYTES), POOL_KEPT_MAX / 2);
    loop->n_slices = ceil_div(units, ceil_div(units, wanted));
    uint32_t cuts = least(ceil_div(wanted, loop->n_slices), ceil_div(loop->n_rows, ROWS_LEAST));
    loop->rows = ceil_div(ceil_div(loop->n_rows, cuts), KERN_PANEL) * KERN_PANEL;
}

/* Whether items may be run again, each with no more outputs than `floats` of a piece. A thread that is late reads activations while
 * they are written: nothing comes of it, but where data races are looked for this would be one. */
static bool may_run_again(const struct linears_loop *loop, size_t floats) {
#ifdef __SANITIZE_THREAD__
    return false;
#endif
    size_t n = 0;
    for (uint32_t i = 0; i < loop->n_parts; i++) {
        uint32_t units = ceil_div(kern_tiles(loop->parts[i].linear->w.n), loop->unit);
        n += ((size_t)ceil_div(units, loop->n_slices) * loop->unit + 1) * KERN_TILE * loop->n_rows;
    }
    return pool_threads(loop->p->m->pool) > 1 && loop->n_rows <= ROWS_FEW && n <= floats;
}

/* Adds a matrix; returns the kind of activations that it is multiplied with, as a mask. */
static unsigned add_part(struct linears_loop *loop, const struct linear *linear, float *y, size_t y_stride) {
    ASSERT(loop->n_parts < LINEARS_MAX && linear->w.n <= y_stride);
    loop->parts[loop->n_parts++] = (struct part){.linear = linear, .y = y, .y_stride = y_stride};
    return 1u << kern_acts_kind(linear->w.type);
}

/* How items of products are run: their outputs go where they belong, or for items that may be run again into a piece, of so many
 * floats at most, and are put there by keep. */
struct way {
    void (*direct)(void *ctx, uint32_t item, unsigned thread);
    void (*in_piece)(void *ctx, uint32_t item, unsigned thread);
    void (*keep)(void *ctx, uint32_t item, unsigned thread);
    size_t floats;
};

/* Plans what is queued, the activations of `from`, and their products with the parts. */
static void plan_products(struct linears_loop *loop, enum slot from, unsigned kinds, const struct way *way) {
    struct pass *p = loop->p;
    pass_flush(p, from, loop->parts[0].linear->w.k, kinds);
    loop->n_rows = p->n_rows;
    if (loop->n_rows == 0)
        return;
    for (uint32_t i = 0; i < loop->n_parts; i++)
        loop->parts[i].acts = p->acts[kern_acts_kind(loop->parts[i].linear->w.type)];
    share_out(loop, pool_threads(p->m->pool));
    bool again = may_run_again(loop, way->floats);
    plan_add(p, (struct pool_loop){.run = again ? way->in_piece : way->direct,
                                   .keep = again ? way->keep : NULL,
                                   .ctx = plan_copy(p, loop, sizeof *loop),
                                   .n = loop->n_slices * ceil_div(loop->n_rows, loop->rows)});
}

static const struct way linears_way = {linears_item, linears_in_piece, linears_keep, 2 * PIECE_FLOATS};

void op_linears(struct pass *p, enum slot from, uint32_t n, const struct linear_out *outs) {
    struct linears_loop loop = {.p = p};
    unsigned kinds = 0;
    for (uint32_t i = 0; i < n; i++) {
        ASSERT(outs[i].linear->w.k == outs[0].linear->w.k);
        kinds |= add_part(&loop, outs[i].linear, p->slot[outs[i].to], p->m->width[outs[i].to]);
    }
    plan_products(&loop, from, kinds, &linears_way);
}

void op_linear(struct pass *p, enum slot from, const struct linear *linear, enum slot to) {
    op_linears(p, from, 1, &(struct linear_out){linear, to});
}

void op_qkv(struct pass *p, enum slot from, const struct attn *w) {
    op_linears(p, from, 3, (struct linear_out[]){{&w->q, SLOT_Q}, {&w->k, SLOT_K}, {&w->v, SLOT_V}});
}

/* ---- gates ----------------------------------------------------------------------------------------------------------------- */

static void gate_row(const struct kern *kern, enum act act, uint32_t n, const float *gate, const float *up, float *y) {
    switch (act) {
    case ACT_SILU: kern->silu_mul(n, gate, up, y); break;
    case ACT_GELU_TANH: kern->gelu_tanh_mul(n, gate, up, y); break;
    case ACT_GELU_ERF: kern->gelu_erf_mul(n, gate, up, y); break;
    case ACT_RELU2: ASSERT(0); break; /* of no family with a gate */
    }
}

/* A piece: both products, of gate and up, stay in a cache until they are gated. y may be gate. */
static void gate_piece(const struct linears_loop *loop, const struct cut *cut, float *gate, float *y, size_t y_stride) {
    const struct part *part = loop->parts;
    const struct kern *kern = loop->p->m->kern;
    size_t stride = piece_stride(cut);
    float *up = gate + PIECE_FLOATS;
    multiply(kern, &part[0], cut, gate, stride);
    multiply(kern, &part[1], cut, up, stride);
    for (uint32_t row = cut->row; row < cut->row_end; row++, gate += stride, up += stride, y += y_stride)
        gate_row(kern, loop->act, outputs_of(part, cut), gate, up, y);
}

static void gate_item(void *ctx, uint32_t item, unsigned thread) {
    const struct linears_loop *loop = ctx;
    const struct part *part = loop->parts;
    struct cut all = cut_of(loop, part, item), piece;
    uint32_t rows = least(all.row_end - all.row, PIECE_ROWS), tiles = (PIECE_FLOATS / KERN_TILE / rows - 1) / UNIT * UNIT;
    kern_fp_assert();
    for (piece.row = all.row; piece.row < all.row_end; piece.row = piece.row_end) {
        piece.row_end = least(piece.row + rows, all.row_end);
        for (piece.from = all.from; piece.from < all.to; piece.from = piece.to) {
            piece.to = least(piece.from + tiles, all.to);
            gate_piece(loop, &piece, piece_of(loop->p, thread), place_of(part, &piece), part->y_stride);
        }
    }
}

static void gate_in_piece(void *ctx, uint32_t item, unsigned thread) {
    const struct linears_loop *loop = ctx;
    struct cut cut = cut_of(loop, loop->parts, item);
    float *gate = piece_of(loop->p, thread);
    kern_fp_assert();
    if (cut.from < cut.to)
        gate_piece(loop, &cut, gate, gate, piece_stride(&cut));
}

static void gate_keep(void *ctx, uint32_t item, unsigned thread) {
    const struct linears_loop *loop = ctx;
    struct cut cut = cut_of(loop, loop->parts, item);
    keep_part(loop->parts, &cut, piece_of(loop->p, thread));
}

static const struct way gate_way = {gate_item, gate_in_piece, gate_keep, PIECE_FLOATS};

static void op_gated(struct pass *p, enum slot from, enum act act, const struct ffn *w, enum slot to) {
    struct linears_loop loop = {.p = p, .act = act};
    ASSERT(w->gate.w.k == w->up.w.k && w->gate.w.n == w->up.w.n);
    unsigned kinds = add_part(&loop, &w->gate, p->slot[to], p->m->width[to]);
    kinds |= add_part(&loop, &w->up, p->slot[to], p->m->width[to]);
    plan_products(&loop, from, kinds, &gate_way);
}

void op_ffn(struct pass *p, enum slot from, enum act act, const struct ffn *w) {
    if (w->gate.w.n) {
        op_gated(p, from, act, w, SLOT_UP);
    } else {
        op_linear(p, from, &w->up, SLOT_UP);
        op_act(p, act, SLOT_UP);
    }
    op_linear(p, SLOT_UP, &w->down, SLOT_Y);
}

/* ---- logits ---------------------------------------------------------------------------------------------------------------- */

struct logits_loop {
    struct pass *p;
    struct logits_opts opts;
};

static void finish_logits(void *ctx, uint32_t item, unsigned thread) {
    const struct logits_loop *loop = ctx;
    struct pass *p = loop->p;
    const struct kern *kern = p->m->kern;
    uint32_t n = p->m->hp.n_vocab;
    float *row = p->logits + (size_t)item * n;
    (void)thread;
    if (loop->opts.scale != 0)
        kern->scale(n, row, loop->opts.scale, row);
    if (loop->opts.divide != 0)
        kern->divide(n, row, loop->opts.divide, row);
    if (!kern->finite(n, row)) /* before the cap, which makes a number of everything */
        pass_note_fault(p, p->m->hp.n_layers, item);
    if (loop->opts.softcap != 0)
        kern->softcap(n, row, loop->opts.softcap, row);
}

void op_logits(struct pass *p, enum slot from, const struct linear *output, const struct logits_opts *opts) {
    ASSERT(p->kept_wanted && output->w.k == p->m->hp.n_embd && output->w.n == p->m->hp.n_vocab);
    struct linears_loop loop = {.p = p};
    struct logits_loop finish = {p, *opts};
    p->layer = p->m->hp.n_layers;
    plan_products(&loop, from, add_part(&loop, output, p->logits, output->w.n), &linears_way);
    plan_add(p, (struct pool_loop){.run = finish_logits, .ctx = plan_copy(p, &finish, sizeof finish), .n = p->n_rows});
}
