/* op_attn: attention of a batch. Jobs (consecutive rows of a sequence) times KV heads make pairs. Where pairs are many, one
 * item computes all splits of a pair and merges them; where they are few (decoding of few sequences at depth), each split is
 * an item of its own. Both give the same bits: splits lie at absolute positions and are merged in order (numerics 7). */
#include "pass.h"

struct attn_loop {
    struct pass *p;
    struct attn_opts opts;
    uint32_t layer, heads; /* KV heads of it */
    uint32_t splits;       /* most splits of a job; only where each split is an item */
};
/* A KV head of a job's, with the splits that its rows see. */
struct pair {
    struct kern_attn attn;
    uint32_t head, first, end;
};

static void run_kv_write(struct pass *p, const struct row_op *op, uint32_t row) {
    const struct kern_kv *kv = op->with;
    const struct row *r = &p->rows[row];
    uint8_t *page = kv_pages(p->kv, r->seq)[r->pos / KERN_PAGE];
    pass_check_finite(p, op, SLOT_Q, op->n, row);
    pass_check_finite(p, op, SLOT_K, kv->heads * kv->d_k, row);
    pass_check_finite(p, op, SLOT_V, kv->heads * kv->d_v, row);
    p->m->kern->kv_write(kv, page, r->pos % KERN_PAGE, pass_at(p, SLOT_K, row), pass_at(p, SLOT_V, row));
}

/* Later jobs see more positions: they are taken first, so that the last items to finish are short ones. */
static struct pair pair_of(const struct attn_loop *loop, uint32_t i) {
    const struct pass *p = loop->p;
    const struct attn_job *job = &p->jobs[p->n_jobs - 1 - i / loop->heads];
    const struct row *row = &p->rows[job->row];
    const struct layer_shape *shape = &p->m->hp.layers[loop->layer];
    struct pair pair = {.head = i % loop->heads};
    pair.attn = (struct kern_attn){
        .kv = &p->m->kv[loop->layer],
        .pages = kv_pages(p->kv, row->seq),
        .q = pass_at(p, SLOT_Q, job->row),
        .q_stride = p->m->width[SLOT_Q],
        .out = pass_at(p, SLOT_O, job->row),
        .out_stride = p->m->width[SLOT_O],
        .n_rows = job->n_rows,
        .pos0 = row->pos,
        .n_heads = shape->n_heads,
        .window = shape->window,
        .softcap = loop->opts.softcap,
        .slopes = loop->opts.slopes,
        .sinks = loop->opts.sinks,
    };
    kern_attn_splits(&pair.attn, &pair.first, &pair.end);
    return pair;
}

static void *part_at(const struct pass *p, uint32_t i, uint32_t split) {
    return p->parts + ((size_t)i * p->m->splits_max + split) * p->m->part_bytes;
}

static void merge(const struct pass *p, const struct pair *pair, uint32_t i) {
    void *parts[SPLITS_MAX];
    for (uint32_t s = pair->first; s < pair->end; s++)
        parts[s - pair->first] = part_at(p, i, s);
    p->m->kern->attn_merge(&pair->attn, pair->head, pair->end - pair->first, parts);
}

static void pair_item(void *ctx, uint32_t item, unsigned thread) {
    const struct attn_loop *loop = ctx;
    const struct pass *p = loop->p;
    struct pair pair = pair_of(loop, item);
    kern_fp_assert();
    for (uint32_t s = pair.first; s < pair.end; s++)
        p->m->kern->attn(&pair.attn, pair.head, s, part_at(p, thread, s));
    merge(p, &pair, thread);
}

static void split_item(void *ctx, uint32_t item, unsigned thread) {
    const struct attn_loop *loop = ctx;
    uint32_t i = item / loop->splits;
    struct pair pair = pair_of(loop, i);
    uint32_t s = pair.first + item % loop->splits;
    (void)thread;
    kern_fp_assert();
    if (s < pair.end)
        loop->p->m->kern->attn(&pair.attn, pair.head, s, part_at(loop->p, i, s));
}

static void merge_item(void *ctx, uint32_t item, unsigned thread) {
    const struct attn_loop *loop = ctx;
    struct pair pair = pair_of(loop, item);
    (void)thread;
    merge(loop->p, &pair, item);
}

void op_attention(struct pass *p, const struct attn_opts *opts) {
    const struct layer_shape *shape = &p->m->hp.layers[p->layer];
    struct attn_loop loop = {.p = p, .opts = *opts, .layer = p->layer, .heads = shape->n_kv_heads, .splits = 1};
    op_scale(p, SLOT_Q, opts->scale);
    struct row_op *op = pass_queue(p, run_kv_write);
    op->with = &p->m->kv[p->layer];
    op->n = shape->n_heads * p->m->hp.d_k;
    pass_flush(p, SLOT_Q, 0, 0);
    for (uint32_t i = 0; i < p->n_jobs; i++) {
        struct pair pair = pair_of(&loop, i * loop.heads);
        loop.splits = pair.end - pair.first > loop.splits ? pair.end - pair.first : loop.splits;
    }
    uint32_t pairs = p->n_jobs * loop.heads;
    bool each_split = pairs <= p->n_parts && loop.splits > 1;
    void *ctx = plan_copy(p, &loop, sizeof loop);
    if (each_split) {
        plan_add(p, (struct pool_loop){.run = split_item, .ctx = ctx, .n = pairs * loop.splits});
        plan_add(p, (struct pool_loop){.run = merge_item, .ctx = ctx, .n = pairs});
    } else {
        plan_add(p, (struct pool_loop){.run = pair_item, .ctx = ctx, .n = pairs});
    }
}
