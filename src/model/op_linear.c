/* op_linear: all products with weights, split over the pool. A loop is cut into slices of the outputs: slice i of n holds part i of
 * n of each matrix, so that a thread, whose share of the slices is the same in all loops, multiplies the same weights in each step.
 * Where slices are too few for the threads, many rows are cut too. */
#include "pass.h"

/* Items per thread in a loop: even sharing against the cost of claiming, of reading the inputs and of unpacking once more. */
enum { ITEMS_PER_THREAD = 8, ROWS_FEW = 4, ROWS_LEAST = 32 /* of a cut: unpacking for so few costs 4 % */ };

struct part {
    const struct kern_packed *w;
    const struct kern_acts *acts;
    float *y;
    size_t y_stride;
};
struct linears_loop {
    struct part parts[LINEARS_MAX];
    uint32_t n_parts, unit;          /* unit: tiles that stay together */
    uint32_t n_slices, n_rows, rows; /* rows: of an item */
    const struct kern *kern;
};

static uint32_t ceil_div(uint32_t a, uint32_t b) {
    return (a + b - 1) / b;
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static void matmul_item(void *ctx, uint32_t item, unsigned thread) {
    const struct linears_loop *loop = ctx;
    uint32_t cuts = ceil_div(loop->n_rows, loop->rows), slice = item / cuts, row = item % cuts * loop->rows;
    (void)thread;
    kern_fp_assert();
    for (uint32_t i = 0; i < loop->n_parts; i++) {
        const struct part *part = &loop->parts[i];
        uint32_t tiles = kern_tiles(part->w->n), units = ceil_div(tiles, loop->unit);
        uint32_t from = pool_share(units, slice, loop->n_slices) * loop->unit;
        uint32_t to = least(pool_share(units, slice + 1, loop->n_slices) * loop->unit, tiles);
        struct kern_acts acts = kern_acts_rows(part->acts, row, least(row + loop->rows, loop->n_rows));
        if (from < to)
            loop->kern->matmul(part->w, &acts, part->y + row * part->y_stride, part->y_stride, from, to);
    }
}

/* Fast kernels take four tiles at a time, but for few rows. */
static void cut(struct linears_loop *loop, unsigned threads) {
    uint32_t units = 0, wanted = threads == 1 ? 1 : threads * ITEMS_PER_THREAD;
    loop->unit = loop->n_rows > ROWS_FEW ? 4 : 1;
    for (uint32_t i = 0; i < loop->n_parts; i++) {
        uint32_t n = ceil_div(kern_tiles(loop->parts[i].w->n), loop->unit);
        units = n > units ? n : units;
    }
    loop->n_slices = ceil_div(units, ceil_div(units, wanted));
    uint32_t cuts = least(ceil_div(wanted, loop->n_slices), ceil_div(loop->n_rows, ROWS_LEAST));
    loop->rows = ceil_div(ceil_div(loop->n_rows, cuts), KERN_PANEL) * KERN_PANEL;
}

static void run_loop(struct pass *p, struct linears_loop *loop) {
    loop->kern = p->m->kern;
    loop->n_rows = p->n_rows;
    cut(loop, pool_threads(p->m->pool));
    pool_for(p->m->pool, loop->n_slices * ceil_div(loop->n_rows, loop->rows), matmul_item, loop);
}

static void run_bias(struct pass *p, const struct row_op *op, uint32_t row) {
    float *y = pass_at(p, op->a, row);
    p->m->kern->add(op->n, y, op->with, y);
}

static void run_weight_scale(struct pass *p, const struct row_op *op, uint32_t row) {
    float *y = pass_at(p, op->a, row);
    p->m->kern->scale(op->n, y, *(const float *)op->with, y);
}

static void queue_after(struct pass *p, void (*run)(struct pass *, const struct row_op *, uint32_t), const float *with,
                        const struct linear_out *out) {
    if (!with)
        return;
    struct row_op *op = pass_queue(p, run);
    op->n = out->linear->w.n;
    op->with = with;
    op->a = out->to;
}

void op_linears(struct pass *p, enum slot from, uint32_t n, const struct linear_out *outs) {
    struct linears_loop loop = {.n_parts = n};
    unsigned kinds = 0;
    ASSERT(n >= 1 && n <= LINEARS_MAX);
    for (uint32_t i = 0; i < n; i++) {
        const struct kern_packed *w = &outs[i].linear->w;
        enum kern_acts_kind kind = kern_acts_kind(w->type);
        ASSERT(w->n <= p->m->width[outs[i].to] && w->k == outs[0].linear->w.k);
        kinds |= 1u << kind;
        loop.parts[i] = (struct part){w, &p->acts[kind], p->slot[outs[i].to], p->m->width[outs[i].to]};
    }
    pass_flush(p, from, outs[0].linear->w.k, kinds);
    if (p->n_rows == 0)
        return;
    run_loop(p, &loop);
    for (uint32_t i = 0; i < n; i++) {
        queue_after(p, run_weight_scale, outs[i].linear->scale, &outs[i]);
        queue_after(p, run_bias, outs[i].linear->bias, &outs[i]);
    }
}

void op_linear(struct pass *p, enum slot from, const struct linear *linear, enum slot to) {
    op_linears(p, from, 1, &(struct linear_out){linear, to});
}

void op_qkv(struct pass *p, enum slot from, const struct attn *w) {
    op_linears(p, from, 3, (struct linear_out[]){{&w->q, SLOT_Q}, {&w->k, SLOT_K}, {&w->v, SLOT_V}});
}

void op_ffn(struct pass *p, enum slot from, enum act act, const struct ffn *w) {
    if (w->gate.w.n) {
        op_linears(p, from, 2, (struct linear_out[]){{&w->gate, SLOT_GATE}, {&w->up, SLOT_UP}});
        op_gate(p, act, SLOT_GATE, SLOT_UP);
        op_linear(p, SLOT_GATE, &w->down, SLOT_Y);
    } else {
        op_linear(p, from, &w->up, SLOT_UP);
        op_act(p, act, SLOT_UP);
        op_linear(p, SLOT_UP, &w->down, SLOT_Y);
    }
}

/* ---- logits ---------------------------------------------------------------------------------------------------------------- */

struct logits_loop {
    struct pass *p;
    const struct linear *output;
    const struct logits_opts *opts;
};

static void finish_logits(void *ctx, uint32_t item, unsigned thread) {
    const struct logits_loop *loop = ctx;
    struct pass *p = loop->p;
    const struct kern *kern = p->m->kern;
    uint32_t n = p->m->hp.n_vocab;
    float *row = p->logits + (size_t)item * n;
    (void)thread;
    if (loop->output->scale)
        kern->scale(n, row, *loop->output->scale, row);
    if (loop->output->bias)
        kern->add(n, row, loop->output->bias, row);
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
    enum kern_acts_kind kind = kern_acts_kind(output->w.type);
    pass_flush(p, from, output->w.k, 1u << kind);
    if (p->n_rows == 0)
        return;
    struct linears_loop loop = {.n_parts = 1};
    loop.parts[0] = (struct part){&output->w, &p->acts[kind], p->logits, output->w.n};
    run_loop(p, &loop);
    pool_for(p->m->pool, p->n_rows, finish_logits, &(struct logits_loop){p, output, opts});
}
