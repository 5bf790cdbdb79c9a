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
    struct norm attn_norm; /* [n_embd] */
    struct attn attn;
    struct norm ffn_norm; /* [n_embd] */
    struct ffn ffn;
};
struct llama {
    struct linear embd;          /* [n_vocab][n_embd] */
    struct linear untied;        /* [n_vocab][n_embd], where the file has it */
    const struct linear *output; /* one of the two */
    struct norm output_norm;     /* [n_embd] */
    struct rope rope;
    float q_scale;
    struct layer *layers;
};

static void load(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_rms_epsilon");
    struct llama *m = load_own(l, sizeof *m);
    if (!m)
        return;
    load_window_period(l, 0);
    m->output = load_embd(l, &m->embd, &m->untied);
    m->output_norm = load_norm(l, LOAD_GLOBAL, "output_norm", hp->n_embd, BIAS_NONE);
    struct kern_rope_spec spec = hp->rope;
    spec.factors = load_vector(l, LOAD_GLOBAL, "rope_freqs.weight", hp->n_rot / 2, false); /* Llama 3.1's scaling */
    m->rope = load_rope(l, &spec, true);
    m->q_scale = 1 / sqrtf((float)hp->d_k);
    m->layers = load_array(l, hp->n_layers, sizeof *m->layers);
    for (int i = 0; m->layers && i < (int)hp->n_layers; i++) {
        struct layer *to = &m->layers[i];
        to->attn_norm = load_norm(l, i, "attn_norm", hp->n_embd, BIAS_NONE);
        load_attn(l, i, BIAS_MAY, BIAS_MAY, &to->attn);
        to->ffn_norm = load_norm(l, i, "ffn_norm", hp->n_embd, BIAS_NONE);
        load_ffn(l, i, true, BIAS_MAY, &to->ffn);
    }
}

static void forward(struct pass *p) {
    const struct llama *m = pass_own(p);
    const struct hparams *hp = pass_hparams(p);
    op_embed(p, &m->embd, 1, SLOT_X);
    op_rope_table(p, &m->rope, SLOT_ROPE);
    for (uint32_t i = 0; i < hp->n_layers; i++) {
        const struct layer *l = &m->layers[i];
        pass_layer(p, i);
        op_rms_norm(p, SLOT_X, &l->attn_norm, SLOT_H);
        op_qkv(p, SLOT_H, &l->attn);
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

/* Early files hold the frequencies of the rotation, which follow from rope.freq_base. */
static const char *const ignored[] = {"blk.*.attn_rot_embd", "blk.*.attn_rot_embd.inv_freq", NULL};
const struct family family_llama = {.arch = "llama", .load = load, .forward = forward, .ignored = ignored};
