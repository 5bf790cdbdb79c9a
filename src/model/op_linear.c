/* op_linear: all products with weights, split over the pool by groups of tiles. */
#include "pass.h"

/* Groups per thread in a loop: even sharing against the cost of claiming and of reading the inputs once more. */
enum { GROUPS_PER_THREAD = 8 };

struct part {
    const struct kern_packed *w;
    const struct kern_acts *acts;
    float *y;
    size_t y_stride;
    uint32_t first_item; /* of this part's groups */
};
struct linears_loop {
    struct part parts[LINEARS_MAX];
    uint32_t n_parts, group; /* tiles in a group */
    const struct kern *kern;
};

static void matmul_group(void *ctx, uint32_t item, unsigned thread) {
    const struct linears_loop *loop = ctx;
    (void)thread;
    uint32_t i = loop->n_parts - 1;
    while (loop->parts[i].first_item > item)
        i--;
    const struct part *part = &loop->parts[i];
    uint32_t tiles = kern_tiles(part->w->n), from = (item - part->first_item) * loop->group;
    uint32_t to = from + loop->group < tiles ? from + loop->group : tiles;
    kern_fp_assert();
    loop->kern->matmul(part->w, part->acts, part->y, part->y_stride, from, to);
}

/* Groups of a multiple of four tiles: fast kernels take four at a time. */
static uint32_t group_size(uint32_t tiles, unsigned threads) {
    if (threads == 1)
        return tiles;
    uint32_t groups = threads * GROUPS_PER_THREAD, size = (tiles + groups - 1) / groups;
    return (size + 3) / 4 * 4;
}

static void run_loop(struct pass *p, struct linears_loop *loop) {
    uint32_t tiles = 0, items = 0;
    for (uint32_t i = 0; i < loop->n_parts; i++)
        tiles += kern_tiles(loop->parts[i].w->n);
    loop->kern = p->m->kern;
    loop->group = group_size(tiles, pool_threads(p->m->pool));
    for (uint32_t i = 0; i < loop->n_parts; i++) {
        loop->parts[i].first_item = items;
        items += (kern_tiles(loop->parts[i].w->n) + loop->group - 1) / loop->group;
    }
    pool_for(p->m->pool, items, matmul_group, loop);
}

static void run_bias(struct pass *p, const struct row_op *op, uint32_t row) {
    float *y = pass_at(p, op->a, row);
    p->m->kern->add(op->n, y, op->with, y);
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
        loop.parts[i] = (struct part){w, &p->acts[kind], p->slot[outs[i].to], p->m->width[outs[i].to], 0};
    }
    pass_flush(p, from, outs[0].linear->w.k, kinds);
    if (p->n_rows == 0)
        return;
    run_loop(p, &loop);
    for (uint32_t i = 0; i < n; i++)
        if (outs[i].linear->bias) {
            struct row_op *op = pass_queue(p, run_bias);
            op->n = outs[i].linear->w.n;
            op->with = outs[i].linear->bias;
            op->a = outs[i].to;
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
    ASSERT(p->kept_wanted && output->w.k == p->m->hp.n_embd && output->w.n == p->m->hp.n_vocab && !output->bias);
    p->layer = p->m->hp.n_layers;
    enum kern_acts_kind kind = kern_acts_kind(output->w.type);
    pass_flush(p, from, output->w.k, 1u << kind);
    if (p->n_rows == 0)
        return;
    struct linears_loop loop = {.n_parts = 1};
    loop.parts[0] = (struct part){&output->w, &p->acts[kind], p->logits, output->w.n, 0};
    run_loop(p, &loop);
    pool_for(p->m->pool, p->n_rows, finish_logits, &(struct logits_loop){p, opts});
}
