/* qwen: Qwen 2, 2.5 and 3 (dense). Llama with rotary positions on halves (i, i + d/2). Qwen 2 has biases on q, k and v; Qwen 3
 * has none, and norms each head of q and k before the rotation instead.
 *
 *     q = rope(norm_q(Wq h)), k = rope(norm_k(Wk h)), v = Wv h      h = rms_norm(x) */
#include "llama.h"

static void load_qwen2(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_rms_epsilon");
    llama_load(l, &(struct llama_opts){.rope = &hp->rope, .qkv_bias = BIAS_MUST});
}

static void load_qwen3(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_rms_epsilon");
    llama_load(l, &(struct llama_opts){.rope = &hp->rope, .head_norms = true});
}

const struct family family_qwen2 = {.arch = "qwen2", .load = load_qwen2, .forward = llama_forward};
const struct family family_qwen3 = {.arch = "qwen3", .load = load_qwen3, .forward = llama_forward};
