/* llama: Llama 1 to 3, Mistral, SmolLM2 and all that GGUF calls `llama`. Pre-norm blocks of grouped-query attention with
 * rotary positions on adjacent pairs (the converter permutes q and k so) and a gated SiLU feed-forward.
 *
 *     x = embd[token]
 *     x = x + Wo attention(rope(Wq h), rope(Wk h), Wv h)     h = rms_norm(x)
 *     x = x + Wdown (silu(Wgate h) * Wup h)                  h = rms_norm(x)
 *     logits = Wout rms_norm(x)                              Wout = embd where the file has no output.weight */
#include "ops.h"

#include <math.h>

struct layer {
    const float *attn_norm; /* [n_embd] */
    struct linear q;        /* [n_heads * d_k][n_embd] */
    struct linear k, v;     /* [n_kv_heads * d][n_embd] */
    struct linear o;        /* [n_embd][n_heads * d_v] */
    const float *ffn_norm;  /* [n_embd] */
    struct linear gate, up; /* [n_ff][n_embd] */
    struct linear down;     /* [n_embd][n_ff] */
};
struct llama {
    struct linear embd;   /* [n_vocab][n_embd] */
    struct linear output; /* [n_vocab][n_embd], where it is not tied */
    bool tied;
    const float *output_norm; /* [n_embd] */
    struct rope rope;
    float q_scale;
    struct layer *layers;
};

static void load_layer(struct loader *l, const struct hparams *hp, int i, struct layer *to) {
    const struct layer_shape *s = &hp->layers[i];
    to->attn_norm = load_vector(l, i, "attn_norm.weight", hp->n_embd, true);
    load_linear(l, i, "attn_q", (uint64_t)s->n_heads * hp->d_k, hp->n_embd, BIAS_MAY, &to->q);
    load_linear(l, i, "attn_k", (uint64_t)s->n_kv_heads * hp->d_k, hp->n_embd, BIAS_MAY, &to->k);
    load_linear(l, i, "attn_v", (uint64_t)s->n_kv_heads * hp->d_v, hp->n_embd, BIAS_MAY, &to->v);
    load_linear(l, i, "attn_output", hp->n_embd, (uint64_t)s->n_heads * hp->d_v, BIAS_MAY, &to->o);
    to->ffn_norm = load_vector(l, i, "ffn_norm.weight", hp->n_embd, true);
    load_linear(l, i, "ffn_gate", s->n_ff, hp->n_embd, BIAS_MAY, &to->gate);
    load_linear(l, i, "ffn_up", s->n_ff, hp->n_embd, BIAS_MAY, &to->up);
    load_linear(l, i, "ffn_down", hp->n_embd, s->n_ff, BIAS_MAY, &to->down);
}

static void load(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_rms_epsilon");
    if (load_u32(l, "expert_count", 0) > 0)
        load_refuse(l, "llama.expert_count", "is above 0; mixtures of experts are not computed yet");
    struct llama *m = load_own(l, sizeof *m);
    if (!m)
        return;
    load_linear(l, LOAD_GLOBAL, "token_embd", hp->n_vocab, hp->n_embd, BIAS_NONE, &m->embd);
    m->tied = !load_has(l, LOAD_GLOBAL, "output.weight");
    if (!m->tied)
        load_linear(l, LOAD_GLOBAL, "output", hp->n_vocab, hp->n_embd, BIAS_NONE, &m->output);
    m->output_norm = load_vector(l, LOAD_GLOBAL, "output_norm.weight", hp->n_embd, true);
    struct kern_rope_spec spec = hp->rope;
    spec.factors = load_vector(l, LOAD_GLOBAL, "rope_freqs.weight", hp->n_rot / 2, false); /* Llama 3.1's scaling */
    m->rope = load_rope(l, &spec, true);
    m->q_scale = 1 / sqrtf((float)hp->d_k);
    m->layers = load_array(l, hp->n_layers, sizeof *m->layers);
    for (uint32_t i = 0; m->layers && i < hp->n_layers; i++)
        load_layer(l, hp, (int)i, &m->layers[i]);
}

static void attend(struct pass *p, const struct llama *m, const struct layer *l, const struct layer_shape *s) {
    const struct hparams *hp = pass_hparams(p);
    op_rms_norm(p, SLOT_X, l->attn_norm, hp->eps, SLOT_H);
    op_linears(p, SLOT_H, 3, (struct linear_out[]){{&l->q, SLOT_Q}, {&l->k, SLOT_K}, {&l->v, SLOT_V}});
    op_rope(p, &m->rope, SLOT_ROPE, SLOT_Q, s->n_heads, hp->d_k);
    op_rope(p, &m->rope, SLOT_ROPE, SLOT_K, s->n_kv_heads, hp->d_k);
    op_attention(p, &(struct attn_opts){.scale = m->q_scale, .window = hp->window});
}

static void forward(struct pass *p) {
    const struct llama *m = pass_own(p);
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

const struct family family_llama = {.arch = "llama", .load = load, .forward = forward};
