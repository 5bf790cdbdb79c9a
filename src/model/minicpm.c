/* minicpm: MiniCPM 1, 2 and 4. Llama with multipliers of the embedding and of what each half adds, and a divisor of the logits. Early
 * files do not say them: they are MiniCPM-2B's then (12, 1.4 / sqrt(layers), n_embd / 256).
 *
 *     x = embd[token] * embedding_scale
 *     x = x + residual_scale * Wo attention(rope(Wq h), rope(Wk h), Wv h)     h = rms_norm(x)
 *     x = x + residual_scale * Wdown (silu(Wgate h) * Wup h)                  h = rms_norm(x)
 *     logits = Wout rms_norm(x) / logit_scale */
#include "llama.h"

#include <math.h>

static void load(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_rms_epsilon");
    struct kern_rope_spec spec = load_longrope(l);
    struct llama *m =
        llama_load(l, &(struct llama_opts){.rope = &spec, .adjacent = true, .qkv_bias = BIAS_MAY, .bias = BIAS_MAY});
    if (!m)
        return;
    m->embd_scale = load_positive(l, "embedding_scale", 12);
    m->residual_scale = load_positive(l, "residual_scale", 1.4f / sqrtf((float)hp->n_layers));
    m->logit_divisor = load_positive(l, "logit_scale", (float)hp->n_embd / 256);
}

const struct family family_minicpm = {.arch = "minicpm", .load = load, .forward = llama_forward};
