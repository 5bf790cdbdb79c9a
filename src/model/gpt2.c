/* gpt2: GPT-2, and StarCoder (GPTBigCode), which is the same with one head of k and v. Learned positions, layer norms and
 * biases everywhere, GELU by tanh without gate.
 *
 *     x = embd[token] + position[pos]
 *     x = x + Wo attention(Wq h, Wk h, Wv h)     h = norm(x)
 *     x = x + Wdown gelu(Wup h)                  h = norm(x)
 *     logits = Wout norm(x)                      Wout = embd where the file has no output.weight */
#include "gptneox.h"

static void load(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_epsilon");
    struct gptneox *m = gptneox_load(l, &(struct gptneox_opts){.fused = true,
                                                               .norm_bias = BIAS_MUST,
                                                               .qkv_bias = BIAS_MUST,
                                                               .bias = BIAS_MUST,
                                                               .attn_norm = "attn_norm",
                                                               .ffn_norm = "ffn_norm"});
    if (!m)
        return;
    m->act = ACT_GELU_TANH;
    load_linear(l, LOAD_GLOBAL, "position_embd", hp->n_ctx_train, hp->n_embd, BIAS_NONE, &m->position);
    load_ctx_max(l, hp->n_ctx_train);
}

const struct family family_gpt2 = {.arch = "gpt2", .load = load, .forward = gptneox_forward};
const struct family family_starcoder = {.arch = "starcoder", .load = load, .forward = gptneox_forward};
