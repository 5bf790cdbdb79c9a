/* gptneox: GPT-NeoX, Pythia, StableCode alpha. Layer norms with bias, rotary positions on the first dimensions of a head (in
 * halves), an exact GELU without gate. Usually both halves of a layer read the same x; else the second reads what the first
 * has written.
 *
 *     x = embd[token]
 *     x = x + Wo attention(rope(Wq h), rope(Wk h), Wv h) + Wdown gelu(Wup h')     h = norm(x), h' = norm'(x)
 *     logits = Wout norm(x) */
#include "gptneox.h"

#include <math.h>

static void load_layer(struct loader *l, int i, const struct gptneox_opts *opts, struct gptneox_layer *to) {
    uint64_t n = load_hp(l)->n_embd;
    to->attn_norm = load_norm(l, i, opts->attn_norm, n, opts->norm_bias);
    load_attn(l, i, opts->fused, opts->qkv_bias, opts->bias, &to->attn);
    if (opts->ffn_norm)
        to->ffn_norm = load_norm(l, i, opts->ffn_norm, n, opts->norm_bias);
    load_ffn(l, i, opts->gated ? FFN_GATED : FFN_PLAIN, opts->bias, &to->ffn);
}

struct gptneox *gptneox_load(struct loader *l, const struct gptneox_opts *opts) {
    const struct hparams *hp = load_hp(l);
    struct gptneox *m = load_own(l, sizeof *m);
    if (!m)
        return NULL;
    m->output = load_embd(l, opts->untied, &m->embd, &m->untied);
    if (opts->output_bias)
        m->untied.bias = load_vector(l, LOAD_GLOBAL, "output.bias", hp->n_vocab, true);
    m->output_norm = load_norm(l, LOAD_GLOBAL, "output_norm", hp->n_embd, opts->norm_bias);
    m->q_scale = load_positive(l, "attention.scale", 1 / sqrtf((float)hp->d_k));
    m->layers = load_array(l, hp->n_layers, sizeof *m->layers);
    for (int i = 0; m->layers && i < (int)hp->n_layers; i++)
        load_layer(l, i, opts, &m->layers[i]);
    return m->layers ? m : NULL;
}

static void embed(struct pass *p, const struct gptneox *m) {
    op_embed(p, &m->embd, 1, SLOT_X);
    if (m->position.w.n) {
        op_position(p, &m->position, SLOT_Y);
        op_residual(p, SLOT_X, SLOT_Y);
    }
    if (m->rope.inv_freq)
        op_rope_table(p, &m->rope, SLOT_ROPE);
}

static void attend(struct pass *p, const struct gptneox *m, const struct gptneox_layer *l) {
    op_qkv(p, SLOT_H, &l->attn);
    for (enum slot x = SLOT_Q; m->clamp > 0 && x <= SLOT_V; x++)
        op_clamp(p, x, m->clamp);
    if (m->rope.inv_freq && !l->no_rope)
        op_rope(p, &m->rope, SLOT_ROPE);
    op_attention(p, &(struct attn_opts){.scale = m->q_scale, .slopes = m->slopes});
}

void gptneox_forward(struct pass *p) {
    const struct gptneox *m = pass_own(p);
    embed(p, m);
    for (uint32_t i = 0; i < pass_hparams(p)->n_layers; i++) {
        const struct gptneox_layer *l = &m->layers[i];
        pass_layer(p, i);
        op_layer_norm(p, SLOT_X, &l->attn_norm, SLOT_H);
        attend(p, m, l);
        if (pass_is_last(p))
            op_wanted(p, 1 << SLOT_X | 1 << SLOT_O | 1 << SLOT_H);
        op_linear(p, SLOT_O, &l->attn.o, SLOT_Y);
        if (m->parallel && l->ffn_norm.w)
            op_layer_norm(p, SLOT_X, &l->ffn_norm, SLOT_H);
        op_residual(p, SLOT_X, SLOT_Y);

        if (!m->parallel)
            op_layer_norm(p, SLOT_X, &l->ffn_norm, SLOT_H);
        op_ffn(p, SLOT_H, m->act, &l->ffn);
        op_residual(p, SLOT_X, SLOT_Y);
    }
    op_layer_norm(p, SLOT_X, &m->output_norm, SLOT_H);
    op_logits(p, SLOT_H, m->output, &(struct logits_opts){.scale = m->logit_scale});
}

/* The file format does not say which GELU: it is the exact one in all but GPT-NeoX-20B itself. */
static void load(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_epsilon");
    struct gptneox *m = gptneox_load(l, &(struct gptneox_opts){.fused = true,
                                                               .untied = true,
                                                               .norm_bias = BIAS_MUST,
                                                               .qkv_bias = BIAS_MUST,
                                                               .bias = BIAS_MUST,
                                                               .attn_norm = "attn_norm",
                                                               .ffn_norm = "ffn_norm"});
    if (!m)
        return;
    m->act = ACT_GELU_ERF;
    m->parallel = load_bool(l, "use_parallel_residual", true);
    m->rope = load_rope(l, &hp->rope, false);
}

const struct family family_gptneox = {.arch = "gptneox", .load = load, .forward = gptneox_forward};
