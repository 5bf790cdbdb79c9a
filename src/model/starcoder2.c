/* starcoder2: StarCoder2. Layer norms and biases, rotary positions on halves, few heads of k and v, GELU by tanh without gate.
 *
 *     x = embd[token]
 *     x = x + Wo attention(rope(Wq h), rope(Wk h), Wv h)     h = norm(x)
 *     x = x + Wdown gelu(Wup h)                              h = norm(x)
 *     logits = Wout norm(x)                                  Wout = embd where the file has no output.weight */
#include "gptneox.h"

static void load(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_epsilon");
    struct gptneox *m = gptneox_load(
        l, &(struct gptneox_opts){
               .norm_bias = BIAS_MUST, .qkv_bias = BIAS_MAY, .bias = BIAS_MAY, .attn_norm = "attn_norm", .ffn_norm = "ffn_norm"});
    if (!m)
        return;
    m->act = ACT_GELU_TANH;
    m->rope = load_rope(l, &hp->rope, false);
}

const struct family family_starcoder2 = {.arch = "starcoder2", .load = load, .forward = gptneox_forward};
