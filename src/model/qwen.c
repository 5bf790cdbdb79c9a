/* qwen: Qwen 2, 2.5 and 3 (dense). Blocks as llama's, with rotary positions on halves (i, i + d/2). Qwen 2 has biases on q, k
 * and v; Qwen 3 has none, and norms each head of q and k before the rotation instead.
 *
 *     q = rope(norm_q(Wq h)), k = rope(norm_k(Wk h)), v = Wv h      h = rms_norm(x)
 *     x = x + Wo attention(q, k, v)
 *     x = x + Wdown (silu(Wgate h) * Wup h)                         h = rms_norm(x)
 *     logits = Wout rms_norm(x)                                     Wout = embd where the file has no output.weight */
#include "ops.h"

#include <math.h>

struct layer {
    const float *attn_norm; /* [n_embd] */
    struct linear q;        /* [n_heads * d_k][n_embd] */
    struct linear k, v;     /* [n_kv_heads * d][n_embd] */
    const float *q_norm;    /* [d_k]; NULL in Qwen 2 */
    const float *k_norm;    /* [d_k]; NULL in Qwen 2 */
    struct linear o;        /* [n_embd][n_heads * d_v] */
    const float *ffn_norm;  /* [n_embd] */
    struct linear gate, up; /* [n_ff][n_embd] */
    struct linear down;     /* [n_embd][n_ff] */
};
struct qwen {
    struct linear embd;   /* [n_vocab][n_embd] */
    struct linear output; /* [n_vocab][n_embd], where it is not tied */
    bool tied;
    const float *output_norm; /* [n_embd] */
    struct rope rope;
    float q_scale;
    struct layer *layers;
};

static void load_layer(struct loader *l, const struct hparams *hp, int i, bool head_norms, struct layer *to) {
    const struct layer_shape *s = &hp->layers[i];
    enum load_bias bias = head_norms ? BIAS_NONE : BIAS_MUST;
    to->attn_norm = load_vector(l, i, "attn_norm.weight", hp->n_embd, true);
    load_linear(l, i, "attn_q", (uint64_t)s->n_heads * hp->d_k, hp->n_embd, bias, &to->q);
    load_linear(l, i, "attn_k", (uint64_t)s->n_kv_heads * hp->d_k, hp->n_embd, bias, &to->k);
    load_linear(l, i, "attn_v", (uint64_t)s->n_kv_heads * hp->d_v, hp->n_embd, bias, &to->v);
    if (head_norms) {
        to->q_norm = load_vector(l, i, "attn_q_norm.weight", hp->d_k, true);
        to->k_norm = load_vector(l, i, "attn_k_norm.weight", hp->d_k, true);
    }
    load_linear(l, i, "attn_output", hp->n_embd, (uint64_t)s->n_heads * hp->d_v, BIAS_NONE, &to->o);
    to->ffn_norm = load_vector(l, i, "ffn_norm.weight", hp->n_embd, true);
    load_linear(l, i, "ffn_gate", s->n_ff, hp->n_embd, BIAS_NONE, &to->gate);
    load_linear(l, i, "ffn_up", s->n_ff, hp->n_embd, BIAS_NONE, &to->up);
    load_linear(l, i, "ffn_down", hp->n_embd, s->n_ff, BIAS_NONE, &to->down);
}

static void load(struct loader *l, bool head_norms) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_rms_epsilon");
    struct qwen *m = load_own(l, sizeof *m);
    if (!m)
        return;
    load_linear(l, LOAD_GLOBAL, "token_embd", hp->n_vocab, hp->n_embd, BIAS_NONE, &m->embd);
    m->tied = !load_has(l, LOAD_GLOBAL, "output.weight");
    if (!m->tied)
        load_linear(l, LOAD_GLOBAL, "output", hp->n_vocab, hp->n_embd, BIAS_NONE, &m->output);
    m->output_norm = load_vector(l, LOAD_GLOBAL, "output_norm.weight", hp->n_embd, true);
    m->rope = load_rope(l, &hp->rope, false);
    m->q_scale = 1 / sqrtf((float)hp->d_k);
    m->layers = load_array(l, hp->n_layers, sizeof *m->layers);
    for (uint32_t i = 0; m->layers && i < hp->n_layers; i++)
        load_layer(l, hp, (int)i, head_norms, &m->layers[i]);
}

static void load_qwen2(struct loader *l) {
    load(l, false);
}

static void load_qwen3(struct loader *l) {
    load(l, true);
}

static void attend(struct pass *p, const struct qwen *m, const struct layer *l, const struct layer_shape *s) {
    const struct hparams *hp = pass_hparams(p);
    op_rms_norm(p, SLOT_X, l->attn_norm, hp->eps, SLOT_H);
    op_linears(p, SLOT_H, 3, (struct linear_out[]){{&l->q, SLOT_Q}, {&l->k, SLOT_K}, {&l->v, SLOT_V}});
    if (l->q_norm) {
        op_head_norm(p, SLOT_Q, s->n_heads, hp->d_k, l->q_norm, hp->eps);
        op_head_norm(p, SLOT_K, s->n_kv_heads, hp->d_k, l->k_norm, hp->eps);
    }
    op_rope(p, &m->rope, SLOT_ROPE, SLOT_Q, s->n_heads, hp->d_k);
    op_rope(p, &m->rope, SLOT_ROPE, SLOT_K, s->n_kv_heads, hp->d_k);
    op_attention(p, &(struct attn_opts){.scale = m->q_scale, .window = hp->window});
}

static void forward(struct pass *p) {
    const struct qwen *m = pass_own(p);
    const struct hparams *hp = pass_hparams(p);
    op_embed(p, &m->embd, 1, SLOT_X);
    op_rope_table(p, &m->rope, SLOT_ROPE);
    for (uint32_t i = 0; i < hp->n_layers; i++) {
        const struct layer *l = &m->layers[i];
        pass_layer(p, i);
        attend(p, m, l, &hp->layers[i]);
        if (i + 1 == hp->n_layers)
            op_wanted(p, SLOT_X, SLOT_O);
        op_linear(p, SLOT_O, &l->o, SLOT_Y);
        op_residual(p, SLOT_X, SLOT_Y);

        op_rms_norm(p, SLOT_X, l->ffn_norm, hp->eps, SLOT_H);
        op_linears(p, SLOT_H, 2, (struct linear_out[]){{&l->gate, SLOT_GATE}, {&l->up, SLOT_UP}});
        op_gate(p, GATE_SILU, SLOT_GATE, SLOT_UP);
        op_linear(p, SLOT_GATE, &l->down, SLOT_Y);
        op_residual(p, SLOT_X, SLOT_Y);
    }
    op_logits(p, SLOT_X, m->output_norm, hp->eps, m->tied ? &m->embd : &m->output);
}

const struct family family_qwen2 = {.arch = "qwen2", .load = load_qwen2, .forward = forward};
const struct family family_qwen3 = {.arch = "qwen3", .load = load_qwen3, .forward = forward};
