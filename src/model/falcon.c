/* falcon: Falcon 7B and 40B. Both halves of a layer read the same x, through one norm (7B) or one each (40B). Rotary positions
 * on halves, one or few heads of k and v, exact GELU without gate, no biases but those of the norms.
 *
 *     x = embd[token]
 *     x = x + Wo attention(rope(Wq h), rope(Wk h), Wv h) + Wdown gelu(Wup h')     h = norm(x), h' = h or norm'(x)
 *     logits = Wout norm(x)                                                       Wout = embd where the file has no output.weight */
#include "gptneox.h"

static void load(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_epsilon");
    bool two = load_has(l, 0, "attn_norm_2.weight"); /* that of attention; attn_norm is the feed-forward's then */
    struct gptneox *m = gptneox_load(l, &(struct gptneox_opts){.fused = true,
                                                               .norm_bias = BIAS_MUST,
                                                               .attn_norm = two ? "attn_norm_2" : "attn_norm",
                                                               .ffn_norm = two ? "attn_norm" : NULL});
    if (!m)
        return;
    m->act = ACT_GELU_ERF;
    m->parallel = true;
    m->rope = load_rope(l, &hp->rope, false);
}

const struct family family_falcon = {.arch = "falcon", .load = load, .forward = gptneox_forward};
