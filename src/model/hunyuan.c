/* hunyuan: Hunyuan 0.5B to 7B (dense). Llama with rotary positions on halves that norms each head of q and k behind the rotation.
 *
 *     q = norm_q(rope(Wq h)), k = norm_k(rope(Wk h)), v = Wv h      h = rms_norm(x) */
#include "llama.h"

static void load(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_rms_epsilon");
    struct llama *m =
        llama_load(l, &(struct llama_opts){.rope = &hp->rope, .head_norms = true, .qkv_bias = BIAS_MAY, .bias = BIAS_MAY});
    if (m)
        m->norm_after_rope = true;
}

const struct family family_hunyuan = {.arch = "hunyuan-dense", .load = load, .forward = llama_forward};
