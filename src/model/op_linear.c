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

/* Groups of an even number of tiles: fast kernels take two at a time. */
static uint32_t group_size(uint32_t tiles, unsigned threads) {
    if (threads == 1)
        return tiles;
    uint32_t groups = threads * GROUPS_PER_THREAD, size = (tiles + groups - 1) / groups;
    return (size + 1) / 2 * 2;
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

/* ---- logits ---------------------------------------------------------------------------------------------------------------- */

/* From here on rows stand in the caller's order: H of row i is the norm of row output_row[i]. */
static void run_logits_norm(struct pass *p, const struct row_op *op, uint32_t row) {
    p->m->kern->rms_norm(op->n, pass_at(p, op->a, p->output_row[row]), op->with, op->s, pass_at(p, SLOT_H, row));
}

static void check_logits(void *ctx, uint32_t item, unsigned thread) {
    struct pass *p = ctx;
    uint32_t n = p->m->hp.n_vocab;
    (void)thread;
    if (!p->m->kern->finite(n, p->logits + (size_t)item * n))
        pass_note_fault(p, item);
}

static void order_as_called(struct pass *p) {
    for (uint32_t i = 0; i < p->n_rows; i++)
        p->keys[i] = p->origin[p->output_row[i]];
    for (uint32_t i = 0; i < p->n_rows; i++)
        p->origin[i] = (uint32_t)p->keys[i];
}

void op_logits(struct pass *p, enum slot x, const float *norm, float eps, const struct linear *output) {
    ASSERT(p->kept_wanted && output->w.k == p->m->hp.n_embd);
    p->layer = p->m->hp.n_layers;
    pass_flush(p, x, 0, 0); /* a row may now be read at another place than it is written */
    order_as_called(p);
    struct row_op *op = pass_queue(p, run_logits_norm);
    op->n = output->w.k;
    op->with = norm;
    op->s = eps;
    op->a = x;
    enum kern_acts_kind kind = kern_acts_kind(output->w.type);
    pass_flush(p, SLOT_H, output->w.k, 1u << kind);
    if (p->n_rows == 0)
        return;
    struct linears_loop loop = {.n_parts = 1};
    loop.parts[0] = (struct part){&output->w, &p->acts[kind], p->logits, output->w.n, 0};
    run_loop(p, &loop);
    pool_for(p->m->pool, p->n_rows, check_logits, p);
}
