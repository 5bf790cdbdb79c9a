/* granite: IBM Granite 3 (dense). Llama with four multipliers: of the embedding, of the attention scores, of what each half
 * adds, and a divisor of the logits.
 *
 *     x = embd[token] * embedding_scale
 *     x = x + residual_scale * Wo attention(rope(Wq h), rope(Wk h), Wv h)     h = rms_norm(x); scores by attention.scale
 *     x = x + residual_scale * Wdown (silu(Wgate h) * Wup h)                  h = rms_norm(x)
 *     logits = Wout rms_norm(x) / logit_scale */
#include "llama.h"

static void load(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_rms_epsilon");
    struct llama *m =
        llama_load(l, &(struct llama_opts){.rope = &hp->rope, .adjacent = true, .qkv_bias = BIAS_MAY, .bias = BIAS_MAY});
    if (!m)
        return;
    m->embd_scale = load_positive(l, "embedding_scale", 1);
    m->residual_scale = load_positive(l, "residual_scale", 1);
    m->logit_divisor = load_positive(l, "logit_scale", 1);
}

const struct family family_granite = {.arch = "granite", .load = load, .forward = llama_forward};
