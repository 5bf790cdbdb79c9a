/* op_attn: attention of a batch. Jobs (consecutive rows of a sequence) times KV heads make pairs. Where pairs are many, one
 * item computes all splits of a pair and merges them; where they are few (decoding of few sequences at depth), each split is
 * an item of its own. Both give the same bits: splits lie at absolute positions and are merged in order (numerics 7). */
#include "pass.h"

struct attn_loop {
    struct pass *p;
    const struct attn_opts *opts;
    uint32_t heads;  /* KV heads of this layer */
    uint32_t splits; /* most splits of a job; only where each split is an item */
};

static void run_kv_write(struct pass *p, const struct row_op *op, uint32_t row) {
    const struct kern_kv *kv = op->with;
    const struct row *r = &p->rows[row];
    uint8_t *page = kv_pages(p->kv, r->seq)[r->pos / KERN_PAGE];
    pass_check_finite(p, SLOT_Q, op->n, row);
    pass_check_finite(p, SLOT_K, kv->heads * kv->d_k, row);
    pass_check_finite(p, SLOT_V, kv->heads * kv->d_v, row);
    p->m->kern->kv_write(kv, page, r->pos % KERN_PAGE, pass_at(p, SLOT_K, row), pass_at(p, SLOT_V, row));
}

static void fill_job(struct pass *p, const struct attn_opts *opts, struct attn_job *job) {
    const struct row *row = &p->rows[job->row];
    job->attn = (struct kern_attn){
        .kv = &p->m->kv[p->layer],
        .pages = kv_pages(p->kv, row->seq),
        .q = pass_at(p, SLOT_Q, job->row),
        .q_stride = p->m->width[SLOT_Q],
        .out = pass_at(p, SLOT_O, job->row),
        .out_stride = p->m->width[SLOT_O],
        .n_rows = job->n_rows,
        .pos0 = row->pos,
        .n_heads = p->m->hp.layers[p->layer].n_heads,
        .window = p->m->hp.layers[p->layer].window,
        .softcap = opts->softcap,
        .slopes = opts->slopes,
        .sinks = opts->sinks,
    };
    kern_attn_splits(&job->attn, &job->first, &job->end);
}

static void *part_at(const struct pass *p, uint32_t pair, uint32_t split) {
    return p->parts + ((size_t)pair * p->m->splits_max + split) * p->m->part_bytes;
}

static void merge(struct pass *p, const struct attn_job *job, uint32_t head, uint32_t pair) {
    void *parts[SPLITS_MAX];
    for (uint32_t s = job->first; s < job->end; s++)
        parts[s - job->first] = part_at(p, pair, s);
    p->m->kern->attn_merge(&job->attn, head, job->end - job->first, parts);
}

/* Later jobs see more positions: they are taken first, so that the last items to finish are short ones. */
static const struct attn_job *job_of(const struct attn_loop *loop, uint32_t pair) {
    return &loop->p->jobs[loop->p->n_jobs - 1 - pair / loop->heads];
}

static void pair_item(void *ctx, uint32_t item, unsigned thread) {
    const struct attn_loop *loop = ctx;
    const struct attn_job *job = job_of(loop, item);
    uint32_t head = item % loop->heads;
    kern_fp_assert();
    for (uint32_t s = job->first; s < job->end; s++)
        loop->p->m->kern->attn(&job->attn, head, s, part_at(loop->p, thread, s));
    merge(loop->p, job, head, thread);
}

static void split_item(void *ctx, uint32_t item, unsigned thread) {
    const struct attn_loop *loop = ctx;
    uint32_t pair = item / loop->splits;
    const struct attn_job *job = job_of(loop, pair);
    uint32_t s = job->first + item % loop->splits;
    (void)thread;
    kern_fp_assert();
    if (s < job->end)
        loop->p->m->kern->attn(&job->attn, pair % loop->heads, s, part_at(loop->p, pair, s));
}

static void merge_item(void *ctx, uint32_t item, unsigned thread) {
    const struct attn_loop *loop = ctx;
    (void)thread;
    merge(loop->p, job_of(loop, item), item % loop->heads, item);
}

void op_attention(struct pass *p, const struct attn_opts *opts) {
    const struct layer_shape *shape = &p->m->hp.layers[p->layer];
    struct attn_loop loop = {.p = p, .opts = opts, .heads = shape->n_kv_heads, .splits = 1};
    op_scale(p, SLOT_Q, opts->scale);
    struct row_op *op = pass_queue(p, run_kv_write);
    op->with = &p->m->kv[p->layer];
    op->n = shape->n_heads * p->m->hp.d_k;
    pass_flush(p, SLOT_Q, 0, 0);
    for (uint32_t i = 0; i < p->n_jobs; i++) {
        fill_job(p, opts, &p->jobs[i]);
        uint32_t splits = p->jobs[i].end - p->jobs[i].first;
        loop.splits = splits > loop.splits ? splits : loop.splits;
    }
    uint32_t pairs = p->n_jobs * loop.heads;
    if (pairs <= p->n_parts && loop.splits > 1) {
        pool_for(p->m->pool, pairs * loop.splits, split_item, &loop);
        pool_for(p->m->pool, pairs, merge_item, &loop);
    } else {
        pool_for(p->m->pool, pairs, pair_item, &loop);
    }
}
