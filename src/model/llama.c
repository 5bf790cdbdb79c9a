/* llama: Llama 1 to 3, Mistral, SmolLM2 and all that GGUF calls `llama`; InternLM2 and ERNIE 4.5 (dense), which are the same
 * under another name, and EXAONE 3, the same with rotary positions on halves. Pre-norm blocks of grouped-query attention with
 * rotary positions on adjacent pairs (the converter permutes q and k so) and a gated SiLU feed-forward.
 *
 *     x = embd[token]
 *     x = x + Wo attention(rope(Wq h), rope(Wk h), Wv h)     h = rms_norm(x)
 *     x = x + Wdown (silu(Wgate h) * Wup h)                  h = rms_norm(x)
 *     logits = Wout rms_norm(x)                              Wout = embd where the file has no output.weight */
#include "llama.h"

#include <math.h>

static void load_layer(struct loader *l, int i, const struct llama_opts *opts, struct llama_layer *to) {
    const struct hparams *hp = load_hp(l);
    to->attn_norm = load_norm(l, i, "attn_norm", hp->n_embd, BIAS_NONE);
    load_attn(l, i, opts->fused, opts->qkv_bias, opts->bias, &to->attn);
    if (opts->head_norms) {
        to->q_norm = load_norm(l, i, "attn_q_norm", hp->d_k, BIAS_NONE);
        to->k_norm = load_norm(l, i, "attn_k_norm", hp->d_k, BIAS_NONE);
    }
    to->ffn_norm = load_norm(l, i, opts->ffn_norm ? opts->ffn_norm : "ffn_norm", hp->n_embd, BIAS_NONE);
    load_ffn(l, i, opts->plain ? FFN_PLAIN : opts->fused ? FFN_FUSED : FFN_GATED, opts->bias, &to->ffn);
    if (opts->post_norms) {
        to->attn_post_norm = load_norm(l, i, "post_attention_norm", hp->n_embd, BIAS_NONE);
        to->ffn_post_norm = load_norm(l, i, "post_ffw_norm", hp->n_embd, BIAS_NONE);
    }
}

struct llama *llama_load(struct loader *l, const struct llama_opts *opts) {
    const struct hparams *hp = load_hp(l);
    struct llama *m = load_own(l, sizeof *m);
    if (!m)
        return NULL;
    load_window_period(l, 0);
    m->output = load_embd(l, opts->untied, &m->embd, &m->untied);
    m->output_norm = load_norm(l, LOAD_GLOBAL, "output_norm", hp->n_embd, BIAS_NONE);
    m->rope = load_rope(l, opts->rope, opts->adjacent);
    m->q_scale = load_positive(l, "attention.scale", 1 / sqrtf((float)hp->d_k));
    m->embd_scale = m->residual_scale = 1;
    m->layers = load_array(l, hp->n_layers, sizeof *m->layers);
    for (int i = 0; m->layers && i < (int)hp->n_layers; i++)
        load_layer(l, i, opts, &m->layers[i]);
    return m->layers ? m : NULL;
}

static void add(struct pass *p, const struct llama *m, const struct norm *post) {
    if (post->w)
        op_rms_norm(p, SLOT_Y, post, SLOT_Y);
    if (m->residual_scale != 1)
        op_scale(p, SLOT_Y, m->residual_scale);
    op_residual(p, SLOT_X, SLOT_Y);
}

static void norm_heads(struct pass *p, const struct llama_layer *l) {
    if (!l->q_norm.w)
        return;
    op_head_norm(p, SLOT_Q, &l->q_norm);
    op_head_norm(p, SLOT_K, &l->k_norm);
}

static void attend(struct pass *p, const struct llama *m, const struct llama_layer *l) {
    op_qkv(p, SLOT_H, &l->attn);
    if (!m->norm_after_rope)
        norm_heads(p, l);
    if (!l->no_rope)
        op_rope(p, &m->rope, SLOT_ROPE);
    if (m->norm_after_rope)
        norm_heads(p, l);
    if (m->temper != 0)
        op_temper(p, SLOT_Q, m->temper, m->temper_period);
    op_attention(p, &(struct attn_opts){.scale = m->q_scale});
}

void llama_forward(struct pass *p) {
    const struct llama *m = pass_own(p);
    op_embed(p, &m->embd, m->embd_scale, SLOT_X);
    op_rope_table(p, &m->rope, SLOT_ROPE);
    for (uint32_t i = 0; i < pass_hparams(p)->n_layers; i++) {
        const struct llama_layer *l = &m->layers[i];
        pass_layer(p, i);
        op_rms_norm(p, SLOT_X, &l->attn_norm, SLOT_H);
        attend(p, m, l);
        if (pass_is_last(p))
            op_wanted(p, 1 << SLOT_X | 1 << SLOT_O);
        op_linear(p, SLOT_O, &l->attn.o, SLOT_Y);
        add(p, m, &l->attn_post_norm);

        op_rms_norm(p, SLOT_X, &l->ffn_norm, SLOT_H);
        op_ffn(p, SLOT_H, m->act, &l->ffn);
        add(p, m, &l->ffn_post_norm);
    }
    op_rms_norm(p, SLOT_X, &m->output_norm, SLOT_H);
    op_logits(p, SLOT_H, m->output, &(struct logits_opts){.divide = m->logit_divisor});
}

struct kern_rope_spec load_llama3_rope(struct loader *l) {
    struct kern_rope_spec spec = load_hp(l)->rope;
    spec.factors = load_vector(l, LOAD_GLOBAL, "rope_freqs.weight", load_hp(l)->n_rot / 2, false);
    return spec;
}

static void load_with(struct loader *l, struct llama_opts opts) {
    load_hparams(l, "attention.layer_norm_rms_epsilon");
    struct kern_rope_spec spec = load_llama3_rope(l);
    opts.rope = &spec;
    llama_load(l, &opts);
}

static void load(struct loader *l) {
    load_with(l, (struct llama_opts){.adjacent = true, .qkv_bias = BIAS_MAY, .bias = BIAS_MAY});
}

static void load_internlm2(struct loader *l) {
    load_with(l, (struct llama_opts){.adjacent = true, .untied = true, .qkv_bias = BIAS_MAY, .bias = BIAS_MAY});
}

static void load_exaone(struct loader *l) {
    load_with(l, (struct llama_opts){0});
}

/* Early files hold the frequencies of the rotation, which follow from rope.freq_base. */
static const char *const ignored[] = {"blk.*.attn_rot_embd", "blk.*.attn_rot_embd.weight", NULL};
const struct family family_llama = {.arch = "llama", .load = load, .forward = llama_forward, .ignored = ignored};
const struct family family_internlm2 = {.arch = "internlm2", .load = load_internlm2, .forward = llama_forward};
const struct family family_ernie4_5 = {.arch = "ernie4_5", .load = load, .forward = llama_forward};
const struct family family_exaone = {.arch = "exaone", .load = load_exaone, .forward = llama_forward};
