/* cohere: Command-R and Aya (GGUF: command-r). Both halves of a layer read the same norm of x, which has no bias; rotary
 * positions on adjacent pairs, a gated SiLU feed-forward, tied output, scaled logits.
 *
 *     x = embd[token]
 *     x = x + Wo attention(rope(Wq h), rope(Wk h), Wv h) + Wdown (silu(Wgate h) * Wup h)     h = norm(x)
 *     logits = logit_scale * embd norm(x) */
#include "gptneox.h"

static void load(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_epsilon");
    struct gptneox *m = gptneox_load(l, &(struct gptneox_opts){.gated = true, .attn_norm = "attn_norm"});
    if (!m)
        return;
    m->act = ACT_SILU;
    m->parallel = true;
    m->logit_scale = load_positive(l, "logit_scale", 1);
    m->rope = load_rope(l, &hp->rope, true);
}

const struct family family_cohere = {.arch = "command-r", .load = load, .forward = gptneox_forward};
