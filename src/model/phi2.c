/* phi2: Phi-1, 1.5 and 2. Both halves of a layer read the same norm of x; rotary positions on the first dimensions of a head (in
 * halves), GELU by tanh without gate, biases everywhere, the logits' too.
 *
 *     x = embd[token]
 *     x = x + Wo attention(rope(Wq h), rope(Wk h), Wv h) + Wdown gelu(Wup h)     h = norm(x)
 *     logits = Wout norm(x) + b */
#include "gptneox.h"

static void load(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_epsilon");
    struct gptneox *m = gptneox_load(l, &(struct gptneox_opts){.untied = true,
                                                               .output_bias = true,
                                                               .norm_bias = BIAS_MUST,
                                                               .qkv_bias = BIAS_MUST,
                                                               .bias = BIAS_MUST,
                                                               .attn_norm = "attn_norm"});
    if (!m)
        return;
    m->act = ACT_GELU_TANH;
    m->parallel = true;
    m->rope = load_rope(l, &hp->rope, false);
}

const struct family family_phi2 = {.arch = "phi2", .load = load, .forward = gptneox_forward};
