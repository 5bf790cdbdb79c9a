/* stablelm: StableLM 3B and 2, StableCode. Layer norms with bias, rotary positions on the first dimensions of a head (in
 * halves), a gated SiLU feed-forward; some sizes have biases on q, k and v.
 *
 *     x = embd[token]
 *     x = x + Wo attention(rope(Wq h), rope(Wk h), Wv h)     h = norm(x)
 *     x = x + Wdown (silu(Wgate h) * Wup h)                  h = norm(x); of the h above where residuals are parallel
 *     logits = Wout norm(x) */
#include "gptneox.h"

static void load(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_epsilon");
    bool parallel = load_bool(l, "use_parallel_residual", false);
    struct gptneox *m = gptneox_load(l, &(struct gptneox_opts){.gated = true,
                                                               .untied = true,
                                                               .norm_bias = BIAS_MUST,
                                                               .qkv_bias = BIAS_MAY,
                                                               .attn_norm = "attn_norm",
                                                               .ffn_norm = parallel ? NULL : "ffn_norm"});
    if (!m)
        return;
    m->act = ACT_SILU;
    m->parallel = parallel;
    m->rope = load_rope(l, &hp->rope, false);
}

const struct family family_stablelm = {.arch = "stablelm", .load = load, .forward = gptneox_forward};
