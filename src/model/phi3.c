/* phi3: Phi-3, Phi-3.5 and Phi-4-mini. Llama with rotary positions on halves; the file holds q, k and v in one matrix, and gate
 * and up in another. Long contexts stretch each pair's frequency by a factor of its own (longrope): one set of factors up to the
 * original context, another one when more is served. */
#include "llama.h"

struct kern_rope_spec load_longrope(struct loader *l) {
    const struct hparams *hp = load_hp(l);
    struct kern_rope_spec spec = hp->rope;
    if (!load_has(l, LOAD_GLOBAL, "rope_factors_long.weight") && !load_has(l, LOAD_GLOBAL, "rope_factors_short.weight"))
        return spec;
    uint32_t original = load_u32(l, "rope.scaling.original_context_length", hp->n_ctx_train);
    const float *longer = load_vector(l, LOAD_GLOBAL, "rope_factors_long.weight", hp->n_rot / 2, true);
    const float *shorter = load_vector(l, LOAD_GLOBAL, "rope_factors_short.weight", hp->n_rot / 2, true);
    if (original < 2 || original > hp->n_ctx_train)
        load_refuse(l, "rope.scaling.original_context_length", "is below 2, or above context_length");
    if (spec.scaling != KERN_ROPE_NONE && spec.scaling != KERN_ROPE_LONGROPE)
        load_refuse(l, "rope.scaling.type", "is not 'longrope', but there are rope_factors");
    float stretch = (float)hp->n_ctx_train / (float)(original ? original : 1);
    spec.factors = load_ctx(l) > original ? longer : shorter;
    spec.attn_factor =
        load_positive(l, "rope.scaling.attn_factor", kern_rope_attn_factor(KERN_ROPE_LONGROPE, stretch, (float)original));
    return spec;
}

static void load(struct loader *l) {
    load_hparams(l, "attention.layer_norm_rms_epsilon");
    struct kern_rope_spec spec = load_longrope(l);
    llama_load(l, &(struct llama_opts){.rope = &spec, .fused = true});
}

const struct family family_phi3 = {.arch = "phi3", .load = load, .forward = llama_forward};
