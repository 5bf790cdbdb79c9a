/* glm: ChatGLM 3, GLM-4-9B and GLM-Edge (GGUF: chatglm), GLM-4-0414 (glm4; dense). Llama with rotary positions on the first half of a head
 * (adjacent pairs) and gate and up in one matrix; chatglm has biases on q, k and v. glm4 also norms what each half adds.
 *
 *     x = x + norm(Wo attention(rope(Wq h), rope(Wk h), Wv h))     h = rms_norm(x); the outer norms: glm4
 *     x = x + norm(Wdown (silu(Wgate h) * Wup h))                  h = rms_norm(x) */
#include "llama.h"

static void load_with(struct loader *l, bool post_norms) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_rms_epsilon");
    llama_load(l, &(struct llama_opts){
                      .rope = &hp->rope, .adjacent = true, .fused = true, .post_norms = post_norms, .qkv_bias = BIAS_MAY});
}

static void load_chatglm(struct loader *l) {
    load_with(l, false);
}

static void load_glm4(struct loader *l) {
    load_with(l, true);
}

const struct family family_chatglm = {.arch = "chatglm", .load = load_chatglm, .forward = llama_forward};
const struct family family_glm4 = {.arch = "glm4", .load = load_glm4, .forward = llama_forward};
