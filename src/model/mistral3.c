/* mistral3: Ministral 3, and Mistral Small 3 where its file says so. Llama with YaRN, whose queries grow with the position once it
 * leaves the original context (Llama 4's temperature).
 *
 *     scores of q * (1 + t ln(1 + floor(pos / original)))      t: attention.temperature_scale */
#include "llama.h"

static void load(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_rms_epsilon");
    struct llama *m =
        llama_load(l, &(struct llama_opts){.rope = &hp->rope, .adjacent = true, .qkv_bias = BIAS_MAY, .bias = BIAS_MAY});
    if (!m)
        return;
    m->temper = load_f32(l, "attention.temperature_scale", 0);
    m->temper_period = load_u32(l, "rope.scaling.original_context_length", hp->n_ctx_train);
    m->temper_period = load_u32(l, "attention.temperature_length", m->temper_period);
    if (m->temper < 0)
        load_refuse(l, "attention.temperature_scale", "is below 0");
    if (m->temper_period == 0)
        load_refuse(l, "attention.temperature_length", "is 0");
}

const struct family family_mistral3 = {.arch = "mistral3", .load = load, .forward = llama_forward};
