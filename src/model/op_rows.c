/* op_rows: the rowwise ops. Each queues one row_op; what it does to a row is the function above it. */
#include "pass.h"

static const struct kern *kern_of(const struct pass *p) {
    return p->m->kern;
}

/* How many values of a slot the layer uses. */
static uint32_t n_of(const struct pass *p, enum slot slot) {
    const struct hparams *hp = &p->m->hp;
    const struct layer_shape *shape = &hp->layers[p->layer];
    switch (slot) {
    case SLOT_X:
    case SLOT_H:
    case SLOT_Y: return hp->n_embd;
    case SLOT_Q: return shape->n_heads * hp->d_k;
    case SLOT_K: return shape->n_kv_heads * hp->d_k;
    case SLOT_V: return shape->n_kv_heads * hp->d_v;
    case SLOT_O: return shape->n_heads * hp->d_v;
    case SLOT_UP: return shape->n_ff;
    default: return p->m->width[slot];
    }
}

static void run_embed(struct pass *p, const struct row_op *op, uint32_t row) {
    const struct linear *embd = op->with;
    float *x = pass_at(p, op->a, row);
    kern_packed_row(&embd->w, p->rows[row].token, x);
    if (op->s != 1)
        kern_of(p)->scale(embd->w.k, x, op->s, x);
}

void op_embed(struct pass *p, const struct linear *embd, float scale, enum slot to) {
    struct row_op *op = pass_queue(p, run_embed);
    op->with = embd;
    op->s = scale;
    op->a = to;
}

static void run_position(struct pass *p, const struct row_op *op, uint32_t row) {
    const struct linear *table = op->with;
    kern_packed_row(&table->w, p->rows[row].pos, pass_at(p, op->a, row));
}

void op_position(struct pass *p, const struct linear *table, enum slot to) {
    struct row_op *op = pass_queue(p, run_position);
    op->with = table;
    op->a = to;
}

static void run_rms_norm(struct pass *p, const struct row_op *op, uint32_t row) {
    const struct norm *w = op->with;
    kern_of(p)->rms_norm(op->n, pass_at(p, op->a, row), w->w, op->s, pass_at(p, op->b, row));
}

static void run_layer_norm(struct pass *p, const struct row_op *op, uint32_t row) {
    const struct norm *w = op->with;
    kern_of(p)->layer_norm(op->n, pass_at(p, op->a, row), w->w, w->b, op->s, pass_at(p, op->b, row));
}

static void queue_norm(struct pass *p, void (*run)(struct pass *, const struct row_op *, uint32_t), enum slot from,
                       const struct norm *w, enum slot to) {
    struct row_op *op = pass_queue(p, run);
    op->n = n_of(p, from);
    op->with = w;
    op->s = p->m->hp.eps;
    op->a = from;
    op->b = to;
}

void op_rms_norm(struct pass *p, enum slot from, const struct norm *w, enum slot to) {
    queue_norm(p, run_rms_norm, from, w, to);
}

void op_layer_norm(struct pass *p, enum slot from, const struct norm *w, enum slot to) {
    queue_norm(p, run_layer_norm, from, w, to);
}

static void run_head_norm(struct pass *p, const struct row_op *op, uint32_t row) {
    const struct norm *w = op->with;
    float *x = pass_at(p, op->a, row);
    for (uint32_t h = 0; h < op->heads; h++, x += op->n)
        kern_of(p)->rms_norm(op->n, x, w->w, op->s, x);
}

void op_head_norm(struct pass *p, enum slot x, const struct norm *w) {
    struct row_op *op = pass_queue(p, run_head_norm);
    op->n = p->m->hp.d_k;
    op->heads = n_of(p, x) / op->n;
    op->with = w;
    op->s = p->m->hp.eps;
    op->a = x;
}

static void run_rope_table(struct pass *p, const struct row_op *op, uint32_t row) {
    const struct rope *rope = op->with;
    kern_rope_row(&rope->spec, rope->inv_freq, p->rows[row].pos, pass_at(p, op->a, row));
}

void op_rope_table(struct pass *p, const struct rope *rope, enum slot table) {
    struct row_op *op = pass_queue(p, run_rope_table);
    op->with = rope;
    op->a = table;
}

static void run_rope(struct pass *p, const struct row_op *op, uint32_t row) {
    const struct rope *rope = op->with;
    kern_of(p)->rope(op->heads, op->n, rope->spec.n_dims, rope->adjacent, pass_at(p, op->b, row), pass_at(p, op->a, row));
}

void op_rope(struct pass *p, const struct rope *rope, enum slot table) {
    for (enum slot x = SLOT_Q; x <= SLOT_K; x++) {
        struct row_op *op = pass_queue(p, run_rope);
        op->with = rope;
        op->n = p->m->hp.d_k;
        op->heads = n_of(p, x) / op->n;
        op->a = x;
        op->b = table;
    }
}

/* Behind the clamp a NaN would look like a limit. */
static void run_clamp(struct pass *p, const struct row_op *op, uint32_t row) {
    pass_check_finite(p, op, op->a, op->n, row);
    kern_of(p)->clamp(op->n, pass_at(p, op->a, row), op->s);
}

static void run_scale(struct pass *p, const struct row_op *op, uint32_t row) {
    float *x = pass_at(p, op->a, row);
    kern_of(p)->scale(op->n, x, op->s, x);
}

static void run_temper(struct pass *p, const struct row_op *op, uint32_t row) {
    float *x = pass_at(p, op->a, row);
    double s = 1 + (double)op->s * kern_log(1 + (double)(p->rows[row].pos / op->period));
    kern_of(p)->scale(op->n, x, (float)s, x);
}

static struct row_op *queue_whole(struct pass *p, void (*run)(struct pass *, const struct row_op *, uint32_t), enum slot x,
                                  float s) {
    struct row_op *op = pass_queue(p, run);
    op->n = n_of(p, x);
    op->s = s;
    op->a = x;
    return op;
}

void op_clamp(struct pass *p, enum slot x, float limit) {
    queue_whole(p, run_clamp, x, limit);
}

void op_scale(struct pass *p, enum slot x, float s) {
    queue_whole(p, run_scale, x, s);
}

void op_temper(struct pass *p, enum slot x, float t, uint32_t period) {
    queue_whole(p, run_temper, x, t)->period = period;
}

static void run_act(struct pass *p, const struct row_op *op, uint32_t row) {
    const struct kern *kern = kern_of(p);
    float *x = pass_at(p, op->a, row);
    switch ((enum act)op->heads) {
    case ACT_SILU: kern->silu(op->n, x, x); break;
    case ACT_GELU_TANH: kern->gelu_tanh(op->n, x, x); break;
    case ACT_GELU_ERF: kern->gelu_erf(op->n, x, x); break;
    case ACT_RELU2:
        pass_check_finite(p, op, op->a, op->n, row);
        kern->relu2(op->n, x, x);
        break;
    }
}

void op_act(struct pass *p, enum act act, enum slot x) {
    struct row_op *op = pass_queue(p, run_act);
    op->heads = act;
    op->n = n_of(p, x);
    op->a = x;
}

static void run_residual(struct pass *p, const struct row_op *op, uint32_t row) {
    float *x = pass_at(p, op->a, row);
    kern_of(p)->add(op->n, x, pass_at(p, op->b, row), x);
}

void op_residual(struct pass *p, enum slot x, enum slot y) {
    struct row_op *op = pass_queue(p, run_residual);
    op->n = p->m->hp.n_embd;
    op->a = x;
    op->b = y;
}

static void swap_rows(struct pass *p, unsigned slots, uint32_t a, uint32_t b) {
    for (unsigned slot = 0; slot < SLOTS; slot++)
        for (uint32_t i = 0; slots >> slot & 1 && i < p->m->width[slot]; i++) {
            float *x = pass_at(p, (enum slot)slot, a) + i, *y = pass_at(p, (enum slot)slot, b) + i, t = *x;
            *x = *y;
            *y = t;
        }
    struct row row = p->rows[a];
    p->rows[a] = p->rows[b];
    p->rows[b] = row;
    uint32_t origin = p->origin[a];
    p->origin[a] = p->origin[b];
    p->origin[b] = origin;
}

struct wanted {
    struct pass *p;
    unsigned slots;
    uint32_t n;
};

/* Row output_row[i] goes to place i. What was at i goes where that row was, and is looked for there when its turn comes. */
static void move_wanted(void *ctx, uint32_t item, unsigned thread) {
    const struct wanted *wanted = ctx;
    struct pass *p = wanted->p;
    (void)item, (void)thread;
    for (uint32_t i = 0; i < wanted->n; i++) {
        uint32_t from = p->output_row[i];
        while (from < i)
            from = p->output_row[from];
        if (from != i)
            swap_rows(p, wanted->slots, i, from);
    }
}

/* Few rows or one layer's worth: not worth more than one item. */
void op_wanted(struct pass *p, unsigned slots) {
    ASSERT(!p->kept_wanted && pass_is_last(p));
    pass_flush(p, SLOT_X, 0, 0);
    struct wanted wanted = {p, slots, p->n_wanted};
    plan_add(p, (struct pool_loop){.run = move_wanted, .ctx = plan_copy(p, &wanted, sizeof wanted), .n = 1});
    p->n_rows = p->n_wanted;
    p->kept_wanted = true;
}
