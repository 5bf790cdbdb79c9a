/* smollm3: SmolLM3. Llama in which every fourth layer leaves positions out: no rope in layers 3, 7, 11 ... */
#include "llama.h"

enum { NO_ROPE_PERIOD = 4 }; /* the file format has no key for it */

static void load(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_rms_epsilon");
    struct llama *m =
        llama_load(l, &(struct llama_opts){.rope = &hp->rope, .adjacent = true, .qkv_bias = BIAS_MAY, .bias = BIAS_MAY});
    for (uint32_t i = NO_ROPE_PERIOD - 1; m && i < hp->n_layers; i += NO_ROPE_PERIOD)
        m->layers[i].no_rope = true;
}

const struct family family_smollm3 = {.arch = "smollm3", .load = load, .forward = llama_forward};
