/* gemma: Gemma 1 to 3 (text). Gemma 1 is Llama with scaled embeddings, GELU gates and rotary positions on halves. The others have
 * norms before and after each half of a layer (the file's weights are 1 + w already), embeddings scaled by sqrt(n_embd), GELU
 * gates and a tied output. Some layers see a sliding window, some everything. Gemma 2 (every second layer) caps scores and logits
 * softly; Gemma 3 (five of six) norms the heads of q and k, and windowed layers rotate by a base of their own.
 *
 *     x = sqrt(n_embd) * embd[token]
 *     x = x + norm(Wo attention(rope(norm_q(Wq h)), rope(norm_k(Wk h)), Wv h))     h = rms_norm(x)
 *     x = x + norm(Wdown (gelu(Wgate h) * Wup h))                                  h = rms_norm(x)
 *     logits = embd rms_norm(x)                                                    capped: c tanh(s / c) */
#include "llama.h"

#include <math.h>

struct layer {
    struct norm attn_norm, attn_post_norm; /* [n_embd] */
    struct attn attn;
    struct norm q_norm, k_norm;          /* [d_k]; Gemma 3 */
    struct norm ffn_norm, ffn_post_norm; /* [n_embd] */
    struct ffn ffn;
};
struct gemma {
    struct linear embd;      /* [n_vocab][n_embd] */
    struct norm output_norm; /* [n_embd] */
    struct rope rope;        /* of layers that see everything */
    struct rope rope_local;  /* of windowed layers */
    float embd_scale, q_scale, score_cap, logit_cap;
    struct layer *layers;
};

static void load_layer(struct loader *l, int i, bool head_norms, struct layer *to) {
    const struct hparams *hp = load_hp(l);
    to->attn_norm = load_norm(l, i, "attn_norm", hp->n_embd, BIAS_NONE);
    load_attn(l, i, false, BIAS_NONE, BIAS_NONE, &to->attn);
    if (head_norms) {
        to->q_norm = load_norm(l, i, "attn_q_norm", hp->d_k, BIAS_NONE);
        to->k_norm = load_norm(l, i, "attn_k_norm", hp->d_k, BIAS_NONE);
    }
    to->attn_post_norm = load_norm(l, i, "post_attention_norm", hp->n_embd, BIAS_NONE);
    to->ffn_norm = load_norm(l, i, "ffn_norm", hp->n_embd, BIAS_NONE);
    load_ffn(l, i, FFN_GATED, BIAS_NONE, &to->ffn);
    to->ffn_post_norm = load_norm(l, i, "post_ffw_norm", hp->n_embd, BIAS_NONE);
}

/* The 27B sizes scale queries by the embedding's share of a head, the others by the width of a head. */
static struct gemma *load(struct loader *l, uint32_t window_period, uint32_t layers_of_27b, const struct kern_rope_spec *rope,
                          bool head_norms) {
    const struct hparams *hp = load_hp(l);
    struct gemma *m = load_own(l, sizeof *m);
    if (!m)
        return NULL;
    if (hp->layers[0].window == 0)
        load_refuse(l, "attention.sliding_window", "is missing or 0");
    load_window_period(l, window_period);
    load_linear(l, LOAD_GLOBAL, "token_embd", hp->n_vocab, hp->n_embd, BIAS_NONE, &m->embd);
    m->output_norm = load_norm(l, LOAD_GLOBAL, "output_norm", hp->n_embd, BIAS_NONE);
    m->embd_scale = sqrtf((float)hp->n_embd);
    float q_width = hp->n_layers == layers_of_27b ? (float)hp->n_embd / (float)hp->layers[0].n_heads : (float)hp->d_k;
    m->q_scale = 1 / sqrtf(q_width);
    m->rope = load_rope(l, rope, false);
    m->layers = load_array(l, hp->n_layers, sizeof *m->layers);
    for (int i = 0; m->layers && i < (int)hp->n_layers; i++)
        load_layer(l, i, head_norms, &m->layers[i]);
    return m->layers ? m : NULL;
}

static void load_gemma1(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_rms_epsilon");
    struct llama *m = llama_load(l, &(struct llama_opts){.rope = &hp->rope});
    if (!m)
        return;
    m->embd_scale = sqrtf((float)hp->n_embd);
    m->act = ACT_GELU_TANH;
}

static void load_gemma2(struct loader *l) {
    const struct hparams *hp = load_hparams(l, "attention.layer_norm_rms_epsilon");
    struct gemma *m = load(l, 2, 46, &hp->rope, false);
    if (!m)
        return;
    m->rope_local = m->rope;
    m->score_cap = load_positive(l, "attn_logit_softcapping", 50);
    m->logit_cap = load_positive(l, "final_logit_softcapping", 30);
}

/* Layers of the sizes of Gemma 3, where something depends on the size. */
enum { LAYERS_1B = 26, LAYERS_4B = 34, LAYERS_12B = 48, LAYERS_27B = 62 };

/* Ollama's converter leaves out what all sizes have in common (the epsilon, the bases), and the scaling of those that see images;
 * it has other names for the bases, and wrote a cap for the 1B that the model does not have. */
static bool by_ollama(const struct loader *l) {
    return load_has_key(l, "mm.tokens_per_image") || load_has_key(l, "rope.local.freq_base") ||
           load_has_key(l, "rope.global.freq_base");
}

static struct kern_rope_spec rope_by_ollama(struct loader *l) {
    const struct hparams *hp = load_hp(l);
    struct kern_rope_spec spec = hp->rope;
    spec.base = load_positive(l, "rope.freq_base", load_positive(l, "rope.global.freq_base", 1e6f));
    bool stretched = hp->n_layers == LAYERS_4B || hp->n_layers == LAYERS_12B || hp->n_layers == LAYERS_27B;
    if (stretched && !load_has_key(l, "rope.scaling.factor")) {
        spec.scaling = KERN_ROPE_LINEAR;
        spec.factor = 8;
    }
    return spec;
}

static void load_gemma3(struct loader *l) {
    bool ollama = by_ollama(l);
    const struct hparams *hp = load_hparams_or(l, "attention.layer_norm_rms_epsilon", ollama ? 1e-6f : 0);
    struct kern_rope_spec spec = ollama ? rope_by_ollama(l) : hp->rope;
    struct gemma *m = load(l, 6, LAYERS_27B, &spec, true);
    if (!m)
        return;
    if (!ollama && !load_has_key(l, "rope.freq_base"))
        load_refuse(l, "rope.freq_base", "is missing, and no size of Gemma 3 has the usual base");
    float base = load_positive(l, "rope.freq_base_swa", load_positive(l, "rope.local.freq_base", 10000));
    m->rope_local = load_rope(l, &(struct kern_rope_spec){.n_dims = hp->n_rot, .base = base, .factor = 1}, false);
    float cap = load_f32(l, "final_logit_softcapping", 0); /* of models that were made from Gemma 3 */
    if (cap < 0)
        load_refuse(l, "final_logit_softcapping", "is below 0");
    m->logit_cap = ollama && hp->n_layers == LAYERS_1B ? 0 : cap;
}

static void forward(struct pass *p) {
    const struct gemma *m = pass_own(p);
    const struct hparams *hp = pass_hparams(p);
    op_embed(p, &m->embd, m->embd_scale, SLOT_X);
    op_rope_table(p, &m->rope, SLOT_ROPE);
    op_rope_table(p, &m->rope_local, SLOT_ROPE_B);
    for (uint32_t i = 0; i < hp->n_layers; i++) {
        const struct layer *l = &m->layers[i];
        bool local = hp->layers[i].window > 0;
        pass_layer(p, i);
        op_rms_norm(p, SLOT_X, &l->attn_norm, SLOT_H);
        op_qkv(p, SLOT_H, &l->attn);
        if (l->q_norm.w) {
            op_head_norm(p, SLOT_Q, &l->q_norm);
            op_head_norm(p, SLOT_K, &l->k_norm);
        }
        op_rope(p, local ? &m->rope_local : &m->rope, local ? SLOT_ROPE_B : SLOT_ROPE);
        op_attention(p, &(struct attn_opts){.scale = m->q_scale, .softcap = m->score_cap});
        if (pass_is_last(p))
            op_wanted(p, 1 << SLOT_X | 1 << SLOT_O);
        op_linear(p, SLOT_O, &l->attn.o, SLOT_Y);
        op_rms_norm(p, SLOT_Y, &l->attn_post_norm, SLOT_Y);
        op_residual(p, SLOT_X, SLOT_Y);

        op_rms_norm(p, SLOT_X, &l->ffn_norm, SLOT_H);
        op_ffn(p, SLOT_H, ACT_GELU_TANH, &l->ffn);
        op_rms_norm(p, SLOT_Y, &l->ffn_post_norm, SLOT_Y);
        op_residual(p, SLOT_X, SLOT_Y);
    }
    op_rms_norm(p, SLOT_X, &m->output_norm, SLOT_H);
    op_logits(p, SLOT_H, &m->embd, &(struct logits_opts){.softcap = m->logit_cap});
}

const struct family family_gemma = {.arch = "gemma", .load = load_gemma1, .forward = llama_forward};
const struct family family_gemma2 = {.arch = "gemma2", .load = load_gemma2, .forward = forward};
/* Ollama keeps the encoder of images in the same file; no answer to a text depends on it. */
static const char *const ignored[] = {"v.*", "mm.*", NULL};
const struct family family_gemma3 = {.arch = "gemma3", .load = load_gemma3, .forward = forward, .ignored = ignored};
