/* op_linear: all products with weights, split over the pool. A loop is cut into slices of the outputs: slice i of n holds part i of
 * n of each matrix, so that a thread, whose share of the slices is the same in all loops, multiplies the same weights in each step.
 * Where slices are too few for the threads, many rows are cut too. */
#include "pass.h"

/* Items per thread in a loop: even sharing against the cost of claiming, of reading the inputs and of unpacking once more. */
enum { ITEMS_PER_THREAD = 8, ROWS_FEW = 4, ROWS_LEAST = 32 /* of a cut: unpacking for so few costs 4 % */, UNIT = 4 };

struct part {
    const struct linear *linear;
    const struct kern_acts *acts;
    float *y;
    size_t y_stride;
};
struct linears_loop {
    struct pass *p;
    struct part parts[LINEARS_MAX];
    uint32_t n_parts, unit;          /* unit: tiles that stay together */
    uint32_t n_slices, n_rows, rows; /* rows: of an item */
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

/* The cut's products with scale and bias; y: where the first row's first output goes. */
static void multiply(const struct kern *kern, const struct part *part, const struct cut *cut, float *y, size_t y_stride) {
    const struct linear *linear = part->linear;
    struct kern_packed w = kern_packed_tiles(&linear->w, cut->from, cut->to);
    struct kern_acts acts = kern_acts_rows(part->acts, cut->row, cut->row_end);
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
            multiply(loop->p->m->kern, part, &cut, part->y + cut.row * part->y_stride + (size_t)cut.from * KERN_TILE,
                     part->y_stride);
    }
}

/* Fast kernels take four tiles at a time, but for few rows. */
static void share_out(struct linears_loop *loop, unsigned threads) {
    uint32_t units = 0, wanted = threads == 1 ? 1 : threads * ITEMS_PER_THREAD;
    loop->unit = loop->n_rows > ROWS_FEW ? UNIT : 1;
    for (uint32_t i = 0; i < loop->n_parts; i++) {
        uint32_t n = ceil_div(kern_tiles(loop->parts[i].linear->w.n), loop->unit);
        units = n > units ? n : units;
    }
    loop->n_slices = ceil_div(units, ceil_div(units, wanted));
    uint32_t cuts = least(ceil_div(wanted, loop->n_slices), ceil_div(loop->n_rows, ROWS_LEAST));
    loop->rows = ceil_div(ceil_div(loop->n_rows, cuts), KERN_PANEL) * KERN_PANEL;
}

static void run_loop(struct linears_loop *loop, void (*run_item)(void *loop, uint32_t item, unsigned thread)) {
    struct pool *pool = loop->p->m->pool;
    loop->n_rows = loop->p->n_rows;
    share_out(loop, pool_threads(pool));
    pool_for(pool, loop->n_slices * ceil_div(loop->n_rows, loop->rows), run_item, loop);
}

/* Adds a matrix; returns the kind of activations that it is multiplied with. */
static enum kern_acts_kind add_part(struct linears_loop *loop, const struct linear *linear, float *y, size_t y_stride) {
    enum kern_acts_kind kind = kern_acts_kind(linear->w.type);
    ASSERT(loop->n_parts < LINEARS_MAX && linear->w.n <= y_stride);
    loop->parts[loop->n_parts++] = (struct part){linear, &loop->p->acts[kind], y, y_stride};
    return kind;
}

void op_linears(struct pass *p, enum slot from, uint32_t n, const struct linear_out *outs) {
    struct linears_loop loop = {.p = p};
    unsigned kinds = 0;
    for (uint32_t i = 0; i < n; i++) {
        ASSERT(outs[i].linear->w.k == outs[0].linear->w.k);
        kinds |= 1u << add_part(&loop, outs[i].linear, p->slot[outs[i].to], p->m->width[outs[i].to]);
    }
    pass_flush(p, from, outs[0].linear->w.k, kinds);
    if (p->n_rows > 0)
        run_loop(&loop, linears_item);
}

void op_linear(struct pass *p, enum slot from, const struct linear *linear, enum slot to) {
    op_linears(p, from, 1, &(struct linear_out){linear, to});
}

void op_qkv(struct pass *p, enum slot from, const struct attn *w) {
    op_linears(p, from, 3, (struct linear_out[]){{&w->q, SLOT_Q}, {&w->k, SLOT_K}, {&w->v, SLOT_V}});
}

/* ---- gates ----------------------------------------------------------------------------------------------------------------- */

struct gate_loop {
    struct linears_loop linears; /* gate, up */
    enum act act;
};

static void gate_row(const struct kern *kern, enum act act, uint32_t n, const float *gate, const float *up, float *y) {
    switch (act) {
    case ACT_SILU: kern->silu_mul(n, gate, up, y); break;
    case ACT_GELU_TANH: kern->gelu_tanh_mul(n, gate, up, y); break;
    case ACT_GELU_ERF: kern->gelu_erf_mul(n, gate, up, y); break;
    case ACT_RELU2: ASSERT(0); break; /* of no family with a gate */
    }
}

/* A piece: both products stay in a cache until they are gated. */
static void gate_piece(const struct gate_loop *loop, const struct cut *cut, float *gate) {
    const struct part *part = loop->linears.parts;
    const struct kern *kern = loop->linears.p->m->kern;
    uint32_t first = cut->from * KERN_TILE, n = least(cut->to * KERN_TILE, part->linear->w.n) - first;
    size_t stride = (size_t)(cut->to - cut->from + 1) * KERN_TILE; /* no power of two, which would share cache sets */
    float *up = gate + PIECE_FLOATS;
    multiply(kern, &part[0], cut, gate, stride);
    multiply(kern, &part[1], cut, up, stride);
    for (uint32_t row = cut->row; row < cut->row_end; row++, gate += stride, up += stride)
        gate_row(kern, loop->act, n, gate, up, part->y + row * part->y_stride + first);
}

static void gate_item(void *ctx, uint32_t item, unsigned thread) {
    const struct gate_loop *loop = ctx;
    const struct pass *p = loop->linears.p;
    struct cut all = cut_of(&loop->linears, loop->linears.parts, item), piece;
    uint32_t rows = least(all.row_end - all.row, PIECE_ROWS), tiles = (PIECE_FLOATS / KERN_TILE / rows - 1) / UNIT * UNIT;
    kern_fp_assert();
    for (piece.row = all.row; piece.row < all.row_end; piece.row = piece.row_end) {
        piece.row_end = least(piece.row + rows, all.row_end);
        for (piece.from = all.from; piece.from < all.to; piece.from = piece.to) {
            piece.to = least(piece.from + tiles, all.to);
            gate_piece(loop, &piece, p->pieces + (size_t)thread * 2 * PIECE_FLOATS);
        }
    }
}

static void op_gated(struct pass *p, enum slot from, enum act act, const struct ffn *w, enum slot to) {
    struct gate_loop loop = {.linears = {.p = p}, .act = act};
    ASSERT(w->gate.w.k == w->up.w.k && w->gate.w.n == w->up.w.n);
    unsigned kinds = 1u << add_part(&loop.linears, &w->gate, p->slot[to], p->m->width[to]);
    kinds |= 1u << add_part(&loop.linears, &w->up, p->slot[to], p->m->width[to]);
    pass_flush(p, from, w->up.w.k, kinds);
    if (p->n_rows > 0)
        run_loop(&loop.linears, gate_item);
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
    const struct logits_opts *opts;
};

static void finish_logits(void *ctx, uint32_t item, unsigned thread) {
    const struct logits_loop *loop = ctx;
    struct pass *p = loop->p;
    const struct kern *kern = p->m->kern;
    uint32_t n = p->m->hp.n_vocab;
    float *row = p->logits + (size_t)item * n;
    (void)thread;
    if (loop->opts->scale != 0)
        kern->scale(n, row, loop->opts->scale, row);
    if (loop->opts->divide != 0)
        kern->divide(n, row, loop->opts->divide, row);
    if (!kern->finite(n, row)) /* before the cap, which makes a number of everything */
        pass_note_fault(p, item);
    if (loop->opts->softcap != 0)
        kern->softcap(n, row, loop->opts->softcap, row);
}

void op_logits(struct pass *p, enum slot from, const struct linear *output, const struct logits_opts *opts) {
    ASSERT(p->kept_wanted && output->w.k == p->m->hp.n_embd && output->w.n == p->m->hp.n_vocab);
    p->layer = p->m->hp.n_layers;
    struct linears_loop loop = {.p = p};
    pass_flush(p, from, output->w.k, 1u << add_part(&loop, output, p->logits, output->w.n));
    if (p->n_rows == 0)
        return;
    run_loop(&loop, linears_item);
    pool_for(p->m->pool, p->n_rows, finish_logits, &(struct logits_loop){p, opts});
}
