/* gemma3: Gemma 3 (text). Norms before and after each half of a layer (the file's weights are 1 + w already), norms on the
 * heads of q and k, embeddings scaled by sqrt(n_embd), GELU gates, tied output. Of six layers five see a sliding window and
 * rotate by a base of their own; the sixth sees everything.
 *
 *     x = sqrt(n_embd) * embd[token]
 *     x = x + norm(Wo attention(rope(norm_q(Wq h)), rope(norm_k(Wk h)), Wv h))     h = rms_norm(x)
 *     x = x + norm(Wdown (gelu(Wgate h) * Wup h))                                  h = rms_norm(x)
 *     logits = embd rms_norm(x) */
#include "ops.h"

#include <math.h>

enum { LAYERS_OF_27B = 62 }; /* the one size whose queries are not scaled by the width of a head */

struct layer {
    const float *attn_norm, *attn_post_norm; /* [n_embd] */
    struct linear q;                         /* [n_heads * d_k][n_embd] */
    struct linear k, v;                      /* [n_kv_heads * d][n_embd] */
    const float *q_norm, *k_norm;            /* [d_k] */
    struct linear o;                         /* [n_embd][n_heads * d_v] */
    const float *ffn_norm, *ffn_post_norm;   /* [n_embd] */
    struct linear gate, up;                  /* [n_ff][n_embd] */
    struct linear down;                      /* [n_embd][n_ff] */
    bool global;                             /* sees all positions */
};
struct gemma3 {
    struct linear embd;       /* [n_vocab][n_embd] */
    const float *output_norm; /* [n_embd] */
    struct rope rope, rope_local;
    float embd_scale, q_scale;
    struct layer *layers;
};

static void load_layer(struct loader *l, const struct hparams *hp, int i, struct layer *to) {
    const struct layer_shape *s = &hp->layers[i];
    to->attn_norm = load_vector(l, i, "attn_norm.weight", hp->n_embd, true);
    load_linear(l, i, "attn_q", (uint64_t)s->n_heads * hp->d_k, hp->n_embd, BIAS_NONE, &to->q);
    load_linear(l, i, "attn_k", (uint64_t)s->n_kv_heads * hp->d_k, hp->n_embd, BIAS_NONE, &to->k);
    load_linear(l, i, "attn_v", (uint64_t)s->n_kv_heads * hp->d_v, hp->n_embd, BIAS_NONE, &to->v);
    to->q_norm = load_vector(l, i, "attn_q_norm.weight", hp->d_k, true);
    to->k_norm = load_vector(l, i, "attn_k_norm.weight", hp->d_k, true);
    load_linear(l, i, "attn_output", hp->n_embd, (uint64_t)s->n_heads * hp->d_v, BIAS_NONE, &to->o);
    to->attn_post_norm = load_vector(l, i, "post_attention_norm.weight", hp->n_embd, true);
    to->ffn_norm = load_vector(l, i, "ffn_norm.weight", hp->n_embd, true);
    load_linear(l, i, "ffn_gate", s->n_ff, hp->n_embd, BIAS_NONE, &to->gate);
    load_linear(l, i, "ffn_up", s->n_ff, hp->n_embd, BIAS_NONE, &to->up);
    load_linear(l, i, "ffn_down", hp->n_embd, s->n_ff, BIAS_NONE, &to->down);
    to->ffn_post_norm = load_vector(l, i, "post_ffw_norm.weight", hp->n_embd, true);
}

static void load(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_rms_epsilon");
    struct gemma3 *m = load_own(l, sizeof *m);
    if (!m)
        return;
    load_linear(l, LOAD_GLOBAL, "token_embd", hp->n_vocab, hp->n_embd, BIAS_NONE, &m->embd);
    m->output_norm = load_vector(l, LOAD_GLOBAL, "output_norm.weight", hp->n_embd, true);
    m->embd_scale = sqrtf((float)hp->n_embd);
    m->q_scale = 1 / sqrtf(hp->n_layers == LAYERS_OF_27B ? (float)(hp->n_embd / hp->layers[0].n_heads) : (float)hp->d_k);
    uint32_t pattern = load_u32(l, "attention.sliding_window_pattern", 6);
    struct kern_rope_spec local = {.n_dims = hp->n_rot, .base = load_f32(l, "rope.freq_base_swa", 10000), .factor = 1};
    if (hp->window == 0 || pattern == 0 || !(local.base > 0))
        load_refuse(l, "gemma3.attention.sliding_window", "a window, its pattern and rope.freq_base_swa must be above 0");
    m->rope = load_rope(l, &hp->rope, false);
    m->rope_local = load_rope(l, &local, false);
    load_width(l, SLOT_ROPE_B, hp->n_rot);
    m->layers = load_array(l, hp->n_layers, sizeof *m->layers);
    for (uint32_t i = 0; m->layers && i < hp->n_layers; i++) {
        load_layer(l, hp, (int)i, &m->layers[i]);
        m->layers[i].global = pattern > 0 && (i + 1) % pattern == 0;
    }
}

static void attend(struct pass *p, const struct gemma3 *m, const struct layer *l, const struct layer_shape *s) {
    const struct hparams *hp = pass_hparams(p);
    const struct rope *rope = l->global ? &m->rope : &m->rope_local;
    enum slot table = l->global ? SLOT_ROPE : SLOT_ROPE_B;
    op_rms_norm(p, SLOT_X, l->attn_norm, hp->eps, SLOT_H);
    op_linears(p, SLOT_H, 3, (struct linear_out[]){{&l->q, SLOT_Q}, {&l->k, SLOT_K}, {&l->v, SLOT_V}});
    op_head_norm(p, SLOT_Q, s->n_heads, hp->d_k, l->q_norm, hp->eps);
    op_head_norm(p, SLOT_K, s->n_kv_heads, hp->d_k, l->k_norm, hp->eps);
    op_rope(p, rope, table, SLOT_Q, s->n_heads, hp->d_k);
    op_rope(p, rope, table, SLOT_K, s->n_kv_heads, hp->d_k);
    op_attention(p, &(struct attn_opts){.scale = m->q_scale, .window = l->global ? 0 : hp->window});
}

static void forward(struct pass *p) {
    const struct gemma3 *m = pass_own(p);
    const struct hparams *hp = pass_hparams(p);
    op_embed(p, &m->embd, m->embd_scale, SLOT_X);
    op_rope_table(p, &m->rope, SLOT_ROPE);
    op_rope_table(p, &m->rope_local, SLOT_ROPE_B);
    for (uint32_t i = 0; i < hp->n_layers; i++) {
        const struct layer *l = &m->layers[i];
        pass_layer(p, i);
        attend(p, m, l, &hp->layers[i]);
        if (i + 1 == hp->n_layers)
            op_wanted(p, SLOT_X, SLOT_O);
        op_linear(p, SLOT_O, &l->o, SLOT_Y);
        op_rms_norm(p, SLOT_Y, l->attn_post_norm, hp->eps, SLOT_Y);
        op_residual(p, SLOT_X, SLOT_Y);

        op_rms_norm(p, SLOT_X, l->ffn_norm, hp->eps, SLOT_H);
        op_linears(p, SLOT_H, 2, (struct linear_out[]){{&l->gate, SLOT_GATE}, {&l->up, SLOT_UP}});
        op_gate(p, GATE_GELU_TANH, SLOT_GATE, SLOT_UP);
        op_linear(p, SLOT_GATE, &l->down, SLOT_Y);
        op_rms_norm(p, SLOT_Y, l->ffn_post_norm, hp->eps, SLOT_Y);
        op_residual(p, SLOT_X, SLOT_Y);
    }
    op_logits(p, SLOT_X, m->output_norm, hp->eps, &m->embd);
}

const struct family family_gemma3 = {.arch = "gemma3", .load = load, .forward = forward};
