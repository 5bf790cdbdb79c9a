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
    struct norm attn_norm; /* [n_embd] */
    struct attn attn;
    struct norm q_norm, k_norm; /* [d_k]; Qwen 3 */
    struct norm ffn_norm;       /* [n_embd] */
    struct ffn ffn;
};
struct qwen {
    struct linear embd;          /* [n_vocab][n_embd] */
    struct linear untied;        /* [n_vocab][n_embd], where the file has it */
    const struct linear *output; /* one of the two */
    struct norm output_norm;     /* [n_embd] */
    struct rope rope;
    float q_scale;
    bool head_norms; /* Qwen 3 */
    struct layer *layers;
};

static void load_layer(struct loader *l, const struct hparams *hp, int i, bool head_norms, struct layer *to) {
    to->attn_norm = load_norm(l, i, "attn_norm", hp->n_embd, BIAS_NONE);
    load_attn(l, i, head_norms ? BIAS_NONE : BIAS_MUST, BIAS_NONE, &to->attn);
    if (head_norms) {
        to->q_norm = load_norm(l, i, "attn_q_norm", hp->d_k, BIAS_NONE);
        to->k_norm = load_norm(l, i, "attn_k_norm", hp->d_k, BIAS_NONE);
    }
    to->ffn_norm = load_norm(l, i, "ffn_norm", hp->n_embd, BIAS_NONE);
    load_ffn(l, i, true, BIAS_NONE, &to->ffn);
}

static void load(struct loader *l, bool head_norms) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_rms_epsilon");
    struct qwen *m = load_own(l, sizeof *m);
    if (!m)
        return;
    load_window_period(l, 0);
    m->output = load_embd(l, &m->embd, &m->untied);
    m->output_norm = load_norm(l, LOAD_GLOBAL, "output_norm", hp->n_embd, BIAS_NONE);
    m->rope = load_rope(l, &hp->rope, false);
    m->q_scale = 1 / sqrtf((float)hp->d_k);
    m->head_norms = head_norms;
    m->layers = load_array(l, hp->n_layers, sizeof *m->layers);
    for (int i = 0; m->layers && i < (int)hp->n_layers; i++)
        load_layer(l, hp, i, head_norms, &m->layers[i]);
}

static void load_qwen2(struct loader *l) {
    load(l, false);
}

static void load_qwen3(struct loader *l) {
    load(l, true);
}

static void forward(struct pass *p) {
    const struct qwen *m = pass_own(p);
    const struct hparams *hp = pass_hparams(p);
    op_embed(p, &m->embd, 1, SLOT_X);
    op_rope_table(p, &m->rope, SLOT_ROPE);
    for (uint32_t i = 0; i < hp->n_layers; i++) {
        const struct layer *l = &m->layers[i];
        pass_layer(p, i);
        op_rms_norm(p, SLOT_X, &l->attn_norm, SLOT_H);
        op_qkv(p, SLOT_H, &l->attn);
        if (m->head_norms) {
            op_head_norm(p, SLOT_Q, &l->q_norm);
            op_head_norm(p, SLOT_K, &l->k_norm);
        }
        op_rope(p, &m->rope, SLOT_ROPE);
        op_attention(p, &(struct attn_opts){.scale = m->q_scale});
        if (pass_is_last(p))
            op_wanted(p, 1 << SLOT_X | 1 << SLOT_O);
        op_linear(p, SLOT_O, &l->attn.o, SLOT_Y);
        op_residual(p, SLOT_X, SLOT_Y);

        op_rms_norm(p, SLOT_X, &l->ffn_norm, SLOT_H);
        op_ffn(p, SLOT_H, ACT_SILU, &l->ffn);
        op_residual(p, SLOT_X, SLOT_Y);
    }
    op_rms_norm(p, SLOT_X, &m->output_norm, SLOT_H);
    op_logits(p, SLOT_H, m->output, &(struct logits_opts){0});
}

const struct family family_qwen2 = {.arch = "qwen2", .load = load_qwen2, .forward = forward};
const struct family family_qwen3 = {.arch = "qwen3", .load = load_qwen3, .forward = forward};
