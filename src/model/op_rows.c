/* op_rows: the rowwise ops. Each queues one row_op; what it does to a row is the function above it. */
#include "pass.h"

#include <math.h>
#include <string.h>

static const struct kern *kern_of(const struct pass *p) {
    return p->m->kern;
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

static void run_rope_table(struct pass *p, const struct row_op *op, uint32_t row) {
    const struct rope *rope = op->with;
    kern_rope_row(&rope->spec, rope->inv_freq, p->rows[row].pos, pass_at(p, op->a, row));
}

void op_rope_table(struct pass *p, const struct rope *rope, enum slot table) {
    struct row_op *op = pass_queue(p, run_rope_table);
    op->with = rope;
    op->a = table;
}

static void run_rms_norm(struct pass *p, const struct row_op *op, uint32_t row) {
    kern_of(p)->rms_norm(op->n, pass_at(p, op->a, row), op->with, op->s, pass_at(p, op->b, row));
}

void op_rms_norm(struct pass *p, enum slot from, const float *w, float eps, enum slot to) {
    struct row_op *op = pass_queue(p, run_rms_norm);
    op->n = p->m->hp.n_embd;
    op->with = w;
    op->s = eps;
    op->a = from;
    op->b = to;
}

static void run_head_norm(struct pass *p, const struct row_op *op, uint32_t row) {
    float *x = pass_at(p, op->a, row);
    for (uint32_t h = 0; h < op->heads; h++, x += op->d)
        kern_of(p)->rms_norm(op->d, x, op->with, op->s, x);
}

void op_head_norm(struct pass *p, enum slot x, uint32_t heads, uint32_t d, const float *w, float eps) {
    struct row_op *op = pass_queue(p, run_head_norm);
    op->heads = heads;
    op->d = d;
    op->with = w;
    op->s = eps;
    op->a = x;
}

static void run_rope(struct pass *p, const struct row_op *op, uint32_t row) {
    const struct rope *rope = op->with;
    kern_of(p)->rope(op->heads, op->d, rope->spec.n_dims, rope->adjacent, pass_at(p, op->b, row), pass_at(p, op->a, row));
}

void op_rope(struct pass *p, const struct rope *rope, enum slot table, enum slot x, uint32_t heads, uint32_t d) {
    struct row_op *op = pass_queue(p, run_rope);
    op->with = rope;
    op->heads = heads;
    op->d = d;
    op->a = x;
    op->b = table;
}

static void run_gate(struct pass *p, const struct row_op *op, uint32_t row) {
    float *gate = pass_at(p, op->a, row);
    const float *up = pass_at(p, op->b, row);
    switch ((enum gate)op->heads) {
    case GATE_SILU: kern_of(p)->silu_mul(op->n, gate, up, gate); break;
    case GATE_GELU_TANH: kern_of(p)->gelu_tanh_mul(op->n, gate, up, gate); break;
    case GATE_GELU_ERF: kern_of(p)->gelu_erf_mul(op->n, gate, up, gate); break;
    }
}

void op_gate(struct pass *p, enum gate act, enum slot gate, enum slot up) {
    struct row_op *op = pass_queue(p, run_gate);
    op->heads = act;
    op->n = p->m->hp.layers[p->layer].n_ff;
    op->a = gate;
    op->b = up;
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

/* Moves the wanted rows of two slots to the front. Few rows or one layer's worth: not worth a loop of its own. */
void op_wanted(struct pass *p, enum slot a, enum slot b) {
    ASSERT(!p->kept_wanted);
    pass_flush(p, a, 0, 0);
    uint32_t at = 0;
    for (uint32_t row = 0; row < p->n_rows; row++) {
        if (!p->rows[row].want_logits)
            continue;
        if (at != row) {
            memcpy(pass_at(p, a, at), pass_at(p, a, row), p->m->width[a] * sizeof(float));
            memcpy(pass_at(p, b, at), pass_at(p, b, row), p->m->width[b] * sizeof(float));
            p->rows[at] = p->rows[row];
            p->origin[at] = p->origin[row];
        }
        at++;
    }
    p->n_rows = at;
    p->kept_wanted = true;
}
