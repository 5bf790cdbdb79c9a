/* arcee: Arcee's AFM-4.5B. Llama with the square of ReLU instead of a gate.
 *
 *     x = x + Wdown max(Wup h, 0)^2      h = rms_norm(x) */
#include "llama.h"

static void load(struct loader *l) {
    load_hparams(l, "attention.layer_norm_rms_epsilon");
    struct kern_rope_spec spec = load_llama3_rope(l);
    struct llama *m = llama_load(
        l, &(struct llama_opts){
               .rope = &spec, .adjacent = true, .untied = true, .plain = true, .qkv_bias = BIAS_MAY, .bias = BIAS_MAY});
    if (m)
        m->act = ACT_RELU2;
}

const struct family family_arcee = {.arch = "arcee", .load = load, .forward = llama_forward};
