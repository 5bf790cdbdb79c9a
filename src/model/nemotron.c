/* nemotron: Nemotron 4, Minitron (dense). Layer norms with bias (the file's weights are 1 + w already), rotary positions on the first
 * dimensions of a head (in halves), the square of ReLU without gate.
 *
 *     x = embd[token]
 *     x = x + Wo attention(rope(Wq h), rope(Wk h), Wv h)     h = norm(x)
 *     x = x + Wdown max(Wup h, 0)^2                          h = norm(x)
 *     logits = Wout norm(x) */
#include "gptneox.h"

static void load(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_epsilon");
    struct gptneox *m = gptneox_load(l, &(struct gptneox_opts){.untied = true,
                                                               .norm_bias = BIAS_MUST,
                                                               .qkv_bias = BIAS_MAY,
                                                               .bias = BIAS_MAY,
                                                               .attn_norm = "attn_norm",
                                                               .ffn_norm = "ffn_norm"});
    if (!m)
        return;
    m->act = ACT_RELU2;
    m->rope = load_rope(l, &hp->rope, false);
}

const struct family family_nemotron = {.arch = "nemotron", .load = load, .forward = gptneox_forward};
