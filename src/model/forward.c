/* forward: one batch of rows through a family. Owns the buffers of a pass, the order of its rows, the plan that the ops write, and the
 * loop that runs queued row ops. The layout of a batch never moves a bit: each row's values depend on its own row and its sequence's
 * pages. */
#include "pass.h"

#include <stdlib.h>
#include <string.h>

/* ---- buffers ------------------------------------------------------------------------------------------------------------- */

static void *take(uint8_t *base, size_t *at, size_t bytes) {
    void *p = base ? base + *at : NULL;
    *at += (bytes + KERN_ALIGN - 1) / KERN_ALIGN * KERN_ALIGN;
    return p;
}

/* Attention items before a step's attention is split further: enough for the threads to share evenly. */
static uint32_t pairs_shared(const struct model *m) {
    return 4 * pool_threads(m->pool);
}

/* With base NULL only counts. */
static size_t lay_out(struct model *m, uint8_t *base) {
    struct pass *p = &m->pass;
    size_t at = 0, rows = m->rows_max;
    uint32_t rows32 = m->rows_max;
    for (int s = 0; s < SLOTS; s++)
        p->slot[s] = take(base, &at, rows * m->width[s] * sizeof(float));
    for (int kind = 0; kind < 2; kind++) {
        p->acts[kind] = (struct kern_acts){.kind = (enum kern_acts_kind)kind};
        p->acts[kind].data = take(base, &at, kern_acts_bytes((enum kern_acts_kind)kind, rows32, m->acts_k));
    }
    p->rows = take(base, &at, rows * sizeof *p->rows);
    p->origin = take(base, &at, rows * sizeof *p->origin);
    p->keys = take(base, &at, rows * sizeof *p->keys);
    p->output_row = take(base, &at, rows * sizeof *p->output_row);
    p->bad = take(base, &at, rows);
    p->jobs = take(base, &at, rows * sizeof *p->jobs);
    p->pieces = take(base, &at, (size_t)pool_threads(m->pool) * 2 * PIECE_FLOATS * sizeof *p->pieces);
    for (int i = 0; i < 2; i++) {
        struct plan *plan = &p->plans[i];
        *plan = (struct plan){.loops_max = (m->hp.n_layers + 1) * PLAN_LOOPS_LAYER,
                              .bytes = (size_t)(m->hp.n_layers + 1) * PLAN_BYTES_LAYER};
        plan->loops = take(base, &at, plan->loops_max * sizeof *plan->loops);
        plan->room = take(base, &at, plan->bytes);
    }
    p->n_parts = pairs_shared(m);
    p->parts = take(base, &at, (size_t)p->n_parts * m->splits_max * m->part_bytes);
    return at;
}

int pass_new(struct model *m, struct err *e) {
    m->pass = (struct pass){.m = m};
    int r = mem_new(lay_out(m, NULL), &m->scratch, e);
    if (r == 0)
        lay_out(m, m->scratch.p);
    return r;
}

/* ---- what families see ----------------------------------------------------------------------------------------------------- */

const void *pass_own(const struct pass *p) {
    return p->m->own;
}

const struct hparams *pass_hparams(const struct pass *p) {
    return &p->m->hp;
}

void pass_layer(struct pass *p, uint32_t layer) {
    p->layer = layer;
}

bool pass_is_last(const struct pass *p) {
    return p->layer + 1 == p->m->hp.n_layers;
}

/* ---- the plan --------------------------------------------------------------------------------------------------------------- */

void *plan_copy(struct pass *p, const void *ctx, size_t bytes) {
    struct plan *plan = p->plan;
    void *to = plan->room + plan->used;
    plan->used += (bytes + 15) / 16 * 16;
    ASSERT(plan->used <= plan->bytes);
    return memcpy(to, ctx, bytes);
}

void plan_add(struct pass *p, struct pool_loop loop) {
    struct plan *plan = p->plan;
    ASSERT(plan->n_loops < plan->loops_max);
    plan->loops[plan->n_loops++] = loop;
}

/* ---- row ops ----------------------------------------------------------------------------------------------------------------- */

struct row_op *pass_queue(struct pass *p, void (*run)(struct pass *p, const struct row_op *op, uint32_t row)) {
    ASSERT(p->n_ops < ROW_OPS_MAX);
    struct row_op *op = &p->ops[p->n_ops++];
    *op = (struct row_op){.run = run, .layer = p->layer};
    return op;
}

void pass_note_fault(struct pass *p, uint32_t layer, uint32_t row) {
    uint16_t *fault = &p->faults[p->origin[row]];
    if (*fault == 0)
        *fault = (uint16_t)(layer + 1);
}

void pass_check_finite(struct pass *p, const struct row_op *op, enum slot slot, uint32_t n, uint32_t row) {
    float *x = pass_at(p, slot, row);
    if (p->m->kern->finite(n, x))
        return;
    pass_note_fault(p, op->layer, row);
    memset(x, 0, n * sizeof *x);
}

struct flush_loop {
    struct pass *p;
    const struct row_op *ops;
    enum slot from;
    uint32_t n_ops, n_rows, rows; /* rows: in an item */
    uint32_t layer;
    struct kern_acts acts[2]; /* of no rows where they are not wanted */
};

static void fill_acts(const struct flush_loop *loop, struct kern_acts acts, uint32_t first, uint32_t end) {
    struct pass *p = loop->p;
    memset(p->bad + first, 0, end - first);
    p->m->kern->acts_fill(&acts, pass_at(p, loop->from, 0), p->m->width[loop->from], first, end, p->bad);
    for (uint32_t row = first; row < end; row++)
        if (p->bad[row])
            pass_note_fault(p, loop->layer, row);
}

static void flush_rows(void *ctx, uint32_t item, unsigned thread) {
    const struct flush_loop *loop = ctx;
    uint32_t first = item * loop->rows, end = first + loop->rows < loop->n_rows ? first + loop->rows : loop->n_rows;
    (void)thread;
    kern_fp_assert();
    for (uint32_t i = 0; i < loop->n_ops; i++)
        for (uint32_t row = first; row < end; row++)
            loop->ops[i].run(loop->p, &loop->ops[i], row);
    for (int kind = 0; kind < 2; kind++)
        if (loop->acts[kind].rows)
            fill_acts(loop, loop->acts[kind], first, end);
}

/* Whole panels, two items a thread at least while there are enough of them. */
static uint32_t rows_shared(const struct pass *p) {
    uint32_t panel = p->m->kern->panel, shares = 2 * pool_threads(p->m->pool);
    uint32_t rows = (p->n_rows / shares + panel - 1) / panel * panel;
    return rows < panel ? panel : rows < KERN_PANEL ? rows : KERN_PANEL;
}

void pass_flush(struct pass *p, enum slot from, uint32_t k, unsigned kinds) {
    struct flush_loop loop = {
        .p = p, .from = from, .n_ops = p->n_ops, .n_rows = p->n_rows, .rows = rows_shared(p), .layer = p->layer};
    for (int kind = 0; kind < 2; kind++) {
        p->acts[kind].rows = p->n_rows;
        p->acts[kind].k = k;
        if (kinds >> kind & 1)
            loop.acts[kind] = p->acts[kind];
    }
    loop.ops = plan_copy(p, p->ops, p->n_ops * sizeof *p->ops);
    plan_add(p, (struct pool_loop){
                    .run = flush_rows, .ctx = plan_copy(p, &loop, sizeof loop), .n = (p->n_rows + loop.rows - 1) / loop.rows});
    p->n_ops = 0;
}

/* ---- a batch -------------------------------------------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Rows of a sequence side by side in the order given, so that attention can take them together. */
static void sort_rows(struct pass *p, const struct row *rows, uint32_t n_rows) {
    bool sorted = true;
    for (uint32_t i = 0; i < n_rows; i++) {
        p->keys[i] = (uint64_t)rows[i].seq << 32 | i;
        sorted = sorted && (i == 0 || p->keys[i - 1] < p->keys[i]);
    }
    if (!sorted)
        qsort(p->keys, n_rows, sizeof *p->keys, ascending);
    for (uint32_t i = 0; i < n_rows; i++) {
        p->origin[i] = (uint32_t)p->keys[i];
        p->rows[i] = rows[p->origin[i]];
    }
}

/* Which row becomes which row of the logits: the caller's order, whatever the order here. */
static void number_outputs(struct pass *p, const struct row *rows, uint32_t n_rows) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_rows; i++) {
        p->keys[i] = n; /* the keys have done their work */
        n += rows[i].want_logits;
    }
    for (uint32_t i = 0; i < n_rows; i++)
        if (p->rows[i].want_logits)
            p->output_row[p->keys[p->origin[i]]] = i;
    p->n_wanted = n;
}

/* Consecutive rows of a sequence become jobs of attention, at most ATTN_ROWS each. */
static void find_jobs(struct pass *p) {
    p->n_jobs = 0;
    for (uint32_t i = 0; i < p->n_rows; i++) {
        const struct row *row = &p->rows[i];
        struct attn_job *job = p->n_jobs ? &p->jobs[p->n_jobs - 1] : NULL;
        bool goes_on = job && i > 0 && row[-1].seq == row->seq;
        ASSERT(row->pos == (goes_on ? row[-1].pos + 1 : kv_length(p->kv, row->seq)));
        ASSERT(row->pos < p->m->info.ctx && row->token < p->m->hp.n_vocab);
        ASSERT(row->adapter == MODEL_NO_ADAPTER && row->steer == MODEL_NO_STEER);
        if (!goes_on || job->n_rows == ATTN_ROWS)
            p->jobs[p->n_jobs++] = (struct attn_job){.row = i, .n_rows = 1};
        else
            job->n_rows++;
    }
}

void model_forward(struct model *m, struct kv *kv, const struct row *rows, uint32_t n_rows, float *logits, uint16_t *faults) {
    struct pass *p = &m->pass;
    ASSERT(n_rows <= m->rows_max);
    p->kv = kv;
    p->n_rows = n_rows;
    p->n_ops = 0;
    p->layer = 0;
    p->kept_wanted = false;
    p->logits = logits;
    p->faults = faults;
    if (n_rows == 0)
        return;
    sort_rows(p, rows, n_rows);
    number_outputs(p, rows, n_rows);
    find_jobs(p);
    p->plan = &p->plans[p->plan == &p->plans[0]];
    p->plan->n_loops = 0;
    p->plan->used = 0;
    m->family->forward(p);
    ASSERT(p->kept_wanted && p->n_ops == 0);
    pool_run(m->pool, p->plan->loops, p->plan->n_loops);
    for (uint32_t i = 0; i < n_rows; i++)
        if (kv_length(kv, rows[i].seq) <= rows[i].pos)
            kv_advance(kv, rows[i].seq, rows[i].pos + 1);
}
