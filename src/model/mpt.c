/* mpt: MPT and replit-code. No positions but ALiBi: a head lowers scores by its slope times the distance. Usually without any
 * bias; q, k and v clamped, exact GELU without gate, tied output.
 *
 *     x = embd[token]
 *     x = x + Wo attention(clamp(Wq h), clamp(Wk h), clamp(Wv h))     h = norm(x); scores + slope * (j - i)
 *     x = x + Wdown gelu(Wup h)                                       h = norm(x)
 *     logits = Wout norm(x)                                           Wout = embd where the file has no output.weight */
#include "gptneox.h"

/* Slopes 2^(-b/n), 2^(-2b/n), ... for n heads, a power of two. Of other numbers of heads the power of two below has its slopes,
 * and the rest every second one of twice as many (arXiv 2108.12409; b is max_alibi_bias). */
static const float *alibi_slopes(struct loader *l, uint32_t heads, float max_bias) {
    float *slopes = load_array(l, heads, sizeof *slopes);
    uint32_t n = 1;
    while (n * 2 <= heads)
        n *= 2;
    for (uint32_t i = 0; slopes && i < heads; i++) {
        double step = i < n ? i + 1 : 2 * (i - n) + 1, of = i < n ? n : 2 * n;
        slopes[i] = (float)kern_exp2(-(double)max_bias * step / of);
    }
    return slopes;
}

static void load(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_epsilon");
    enum load_bias bias = load_has(l, LOAD_GLOBAL, "output_norm.bias") ? BIAS_MUST : BIAS_NONE; /* all or none */
    struct gptneox *m = gptneox_load(
        l,
        &(struct gptneox_opts){
            .fused = true, .norm_bias = bias, .qkv_bias = bias, .bias = bias, .attn_norm = "attn_norm", .ffn_norm = "ffn_norm"});
    if (!m)
        return;
    m->act = ACT_GELU_ERF;
    m->clamp = load_f32(l, "attention.clamp_kqv", 0);
    if (m->clamp < 0)
        load_refuse(l, "attention.clamp_kqv", "is below 0");
    m->slopes = alibi_slopes(l, hp->layers[0].n_heads, load_positive(l, "attention.max_alibi_bias", 8));
}

const struct family family_mpt = {.arch = "mpt", .load = load, .forward = gptneox_forward};
