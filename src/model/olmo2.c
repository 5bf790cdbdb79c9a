/* olmo2: OLMo 2 and 3, EXAONE 4 (dense). Norms stand behind each half of a layer and none before it; q and k are normed, over all
 * their heads at once (OLMo) or each head by itself (EXAONE). Rotary positions on halves. OLMo 3 and the large EXAONE have a sliding
 * window in three of four layers: those of OLMo rotate without the scaling, those of EXAONE alone rotate.
 *
 *     x = embd[token]
 *     x = x + norm(Wo attention(rope(norm_q(Wq x)), rope(norm_k(Wk x)), Wv x))
 *     x = x + norm(Wdown (silu(Wgate x) * Wup x))
 *     logits = Wout rms_norm(x) */
#include "llama.h"

#include <math.h>

enum { WINDOW_PERIOD = 4 };

struct layer {
    struct attn attn;
    struct norm q_norm, k_norm; /* [n_heads * d_k], [n_kv_heads * d_k]; EXAONE: [d_k] */
    struct norm attn_post_norm; /* [n_embd] */
    struct ffn ffn;
    struct norm ffn_post_norm; /* [n_embd] */
};
struct olmo2 {
    struct linear embd, untied;  /* [n_vocab][n_embd] */
    const struct linear *output; /* one of the two */
    struct norm output_norm;     /* [n_embd] */
    struct rope rope;            /* of layers that see everything; inv_freq is NULL: they leave positions out */
    struct rope rope_local;      /* of windowed layers */
    bool head_norms;
    float q_scale;
    struct layer *layers;
};

static void load_layer(struct loader *l, int i, bool head_norms, struct layer *to) {
    const struct hparams *hp = load_hp(l);
    const struct layer_shape *shape = &hp->layers[i];
    load_attn(l, i, false, BIAS_NONE, BIAS_NONE, &to->attn);
    to->q_norm = load_norm(l, i, "attn_q_norm", (head_norms ? 1ull : shape->n_heads) * hp->d_k, BIAS_NONE);
    to->k_norm = load_norm(l, i, "attn_k_norm", (head_norms ? 1ull : shape->n_kv_heads) * hp->d_k, BIAS_NONE);
    to->attn_post_norm = load_norm(l, i, "post_attention_norm", hp->n_embd, BIAS_NONE);
    load_ffn(l, i, FFN_GATED, BIAS_NONE, &to->ffn);
    to->ffn_post_norm = load_norm(l, i, "post_ffw_norm", hp->n_embd, BIAS_NONE);
}

/* All but the rotation. */
static struct olmo2 *load(struct loader *l, bool untied, bool head_norms) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_rms_epsilon");
    struct olmo2 *m = load_own(l, sizeof *m);
    if (!m)
        return NULL;
    load_window_period(l, WINDOW_PERIOD);
    m->output = load_embd(l, untied, &m->embd, &m->untied);
    m->output_norm = load_norm(l, LOAD_GLOBAL, "output_norm", hp->n_embd, BIAS_NONE);
    m->q_scale = load_positive(l, "attention.scale", 1 / sqrtf((float)hp->d_k));
    m->head_norms = head_norms;
    m->layers = load_array(l, hp->n_layers, sizeof *m->layers);
    for (int i = 0; m->layers && i < (int)hp->n_layers; i++)
        load_layer(l, i, head_norms, &m->layers[i]);
    return m->layers ? m : NULL;
}

static void load_olmo2(struct loader *l) {
    struct olmo2 *m = load(l, true, false);
    if (!m)
        return;
    const struct hparams *hp = load_hp(l);
    struct kern_rope_spec local = {
        .n_dims = hp->n_rot, .base = load_positive(l, "rope.freq_base_swa", hp->rope.base), .factor = 1};
    m->rope = load_rope(l, &hp->rope, false);
    m->rope_local = load_rope(l, &local, false);
}

/* The 32B has windows, and its files say so. */
enum { EXAONE_32B_LAYERS = 64 };

static void load_exaone4(struct loader *l) {
    struct olmo2 *m = load(l, false, true);
    if (!m)
        return;
    const struct hparams *hp = load_hp(l);
    struct kern_rope_spec spec = load_llama3_rope(l);
    bool windows = false;
    for (uint32_t i = 0; i < hp->n_layers; i++)
        windows |= hp->layers[i].window > 0;
    if (windows)
        spec.base = load_positive(l, "rope.freq_base_swa", spec.base);
    else if (hp->n_layers == EXAONE_32B_LAYERS)
        load_refuse(l, "attention.sliding_window", "is missing or 0");
    m->rope_local = load_rope(l, &spec, false);
    if (!windows)
        m->rope = m->rope_local;
}

static void norm_heads(struct pass *p, const struct olmo2 *m, const struct layer *l) {
    if (m->head_norms) {
        op_head_norm(p, SLOT_Q, &l->q_norm);
        op_head_norm(p, SLOT_K, &l->k_norm);
    } else {
        op_rms_norm(p, SLOT_Q, &l->q_norm, SLOT_Q);
        op_rms_norm(p, SLOT_K, &l->k_norm, SLOT_K);
    }
}

static void forward(struct pass *p) {
    const struct olmo2 *m = pass_own(p);
    const struct hparams *hp = pass_hparams(p);
    op_embed(p, &m->embd, 1, SLOT_X);
    if (m->rope.inv_freq)
        op_rope_table(p, &m->rope, SLOT_ROPE);
    op_rope_table(p, &m->rope_local, SLOT_ROPE_B);
    for (uint32_t i = 0; i < hp->n_layers; i++) {
        const struct layer *l = &m->layers[i];
        bool local = hp->layers[i].window > 0;
        pass_layer(p, i);
        op_qkv(p, SLOT_X, &l->attn);
        norm_heads(p, m, l);
        if (local || m->rope.inv_freq)
            op_rope(p, local ? &m->rope_local : &m->rope, local ? SLOT_ROPE_B : SLOT_ROPE);
        op_attention(p, &(struct attn_opts){.scale = m->q_scale});
        if (pass_is_last(p))
            op_wanted(p, 1 << SLOT_X | 1 << SLOT_O);
        op_linear(p, SLOT_O, &l->attn.o, SLOT_Y);
        op_rms_norm(p, SLOT_Y, &l->attn_post_norm, SLOT_Y);
        op_residual(p, SLOT_X, SLOT_Y);

        op_ffn(p, SLOT_X, ACT_SILU, &l->ffn);
        op_rms_norm(p, SLOT_Y, &l->ffn_post_norm, SLOT_Y);
        op_residual(p, SLOT_X, SLOT_Y);
    }
    op_rms_norm(p, SLOT_X, &m->output_norm, SLOT_H);
    op_logits(p, SLOT_H, m->output, &(struct logits_opts){0});
}

const struct family family_olmo2 = {.arch = "olmo2", .load = load_olmo2, .forward = forward};
const struct family family_exaone4 = {.arch = "exaone4", .load = load_exaone4, .forward = forward};
