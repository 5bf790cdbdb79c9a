/* seed_oss: Seed-OSS. Llama with rotary positions on halves and biases on q, k and v; the norm of the second half stands in the file as
 * post_attention_norm. */
#include "llama.h"

static void load(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_rms_epsilon");
    llama_load(l,
               &(struct llama_opts){
                   .rope = &hp->rope, .untied = true, .ffn_norm = "post_attention_norm", .qkv_bias = BIAS_MAY, .bias = BIAS_MAY});
}

const struct family family_seed_oss = {.arch = "seed_oss", .load = load, .forward = llama_forward};
