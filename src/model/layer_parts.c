/* layer_parts: loading of what the layers of most families are made of, by the names that GGUF gives it. */
#include "pass.h"

static const struct layer_shape *shape_of(const struct loader *l, int layer) {
    return &l->hp.layers[layer];
}

void load_attn(struct loader *l, int layer, bool fused, enum load_bias qkv, enum load_bias output, struct attn *out) {
    const struct hparams *hp = &l->hp;
    if (l->e->code)
        return;
    const struct layer_shape *s = shape_of(l, layer);
    bool parts = load_has(l, layer, "attn_q.weight") || load_has(l, layer, "attn_k.weight");
    bool one = load_has(l, layer, "attn_qkv.weight") || (fused && !parts);
    uint64_t q = (uint64_t)s->n_heads * hp->d_k, k = (uint64_t)s->n_kv_heads * hp->d_k, v = (uint64_t)s->n_kv_heads * hp->d_v;
    if (one) {
        load_linear_rows(l, layer, "attn_qkv", (struct load_rows){0, q, q + k + v}, hp->n_embd, qkv, &out->q);
        load_linear_rows(l, layer, "attn_qkv", (struct load_rows){q, k, q + k + v}, hp->n_embd, qkv, &out->k);
        load_linear_rows(l, layer, "attn_qkv", (struct load_rows){q + k, v, q + k + v}, hp->n_embd, qkv, &out->v);
    } else {
        load_linear(l, layer, "attn_q", q, hp->n_embd, qkv, &out->q);
        load_linear(l, layer, "attn_k", k, hp->n_embd, qkv, &out->k);
        load_linear(l, layer, "attn_v", v, hp->n_embd, qkv, &out->v);
    }
    load_linear(l, layer, "attn_output", hp->n_embd, (uint64_t)s->n_heads * hp->d_v, output, &out->o);
}

void load_ffn(struct loader *l, int layer, enum load_ffn kind, enum load_bias bias, struct ffn *out) {
    if (l->e->code)
        return;
    uint64_t n_ff = shape_of(l, layer)->n_ff, n_embd = l->hp.n_embd;
    if (kind == FFN_FUSED) {
        load_linear_rows(l, layer, "ffn_up", (struct load_rows){0, n_ff, 2 * n_ff}, n_embd, bias, &out->gate);
        load_linear_rows(l, layer, "ffn_up", (struct load_rows){n_ff, n_ff, 2 * n_ff}, n_embd, bias, &out->up);
    } else {
        if (kind == FFN_GATED)
            load_linear(l, layer, "ffn_gate", n_ff, n_embd, bias, &out->gate);
        load_linear(l, layer, "ffn_up", n_ff, n_embd, bias, &out->up);
    }
    load_linear(l, layer, "ffn_down", n_embd, n_ff, bias, &out->down);
}

const struct linear *load_embd(struct loader *l, bool must, struct linear *embd, struct linear *own) {
    load_linear(l, LOAD_GLOBAL, "token_embd", l->hp.n_vocab, l->hp.n_embd, BIAS_NONE, embd);
    if (!must && !load_has(l, LOAD_GLOBAL, "output.weight"))
        return embd;
    load_linear(l, LOAD_GLOBAL, "output", l->hp.n_vocab, l->hp.n_embd, BIAS_NONE, own);
    return own;
}

/* Keeps angles far below 2^53, where they have bits behind the point. Models have frequencies up to 1. */
enum { FREQ_MAX = 1 << 20 };

struct rope load_rope(struct loader *l, const struct kern_rope_spec *spec, bool adjacent) {
    struct rope r = {.spec = *spec, .adjacent = adjacent};
    for (uint32_t i = 0; spec->factors && i < spec->n_dims / 2; i++)
        if (!(spec->factors[i] > 0))
            err_set(l->e, ERR_INPUT, "rope factors", "value %u is %g; it must be above 0", i, (double)spec->factors[i]);
    if (spec->scaling == KERN_ROPE_LONGROPE && !spec->factors)
        load_refuse(l, "rope.scaling.type", "is 'longrope', but there are no factors");
    r.inv_freq = load_array(l, spec->n_dims / 2, sizeof *r.inv_freq);
    if (r.inv_freq)
        kern_rope_init(&r.spec, r.inv_freq);
    for (uint32_t i = 0; r.inv_freq && i < spec->n_dims / 2; i++)
        if (!(r.inv_freq[i] >= 0 && r.inv_freq[i] <= FREQ_MAX)) {
            load_refuse(l, "rope.freq_base", "and its scaling give a frequency that is no number, or far above any model's");
            break;
        }
    return r;
}
