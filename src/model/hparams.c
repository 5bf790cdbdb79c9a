/* hparams: the numbers of a model file that nearly all families share, each checked against its bounds and against the others
 * before a tensor is looked at (rules 6 and 7 of the format page). Every error names the key. */
#include "pass.h"

#include <math.h>
#include <string.h>

/* Bounds far above any model; they keep every product of sizes below 2^63. */
enum { EMBD_MAX = 1 << 20, FF_MAX = 1 << 24, HEADS_MAX = 1 << 16, CTX_MAX = 1 << 28, EXPERTS_MAX = 1 << 16 };

struct key {
    char z[160];
};

/* Whoever asks for a key knows it: see load_check_all_used. */
static struct key key_of(const struct loader *l, const char *name) {
    struct key k;
    snprintf(k.z, sizeof k.z, "%.*s.%s", (int)(l->arch.n < 64 ? l->arch.n : 64), l->arch.p, name);
    const struct gguf_kv *kv = gguf_find(l->g, k.z);
    if (kv)
        l->keys_used[kv - gguf_kv(l->g, 0)] = true;
    return k;
}

static bool failed(const struct loader *l) {
    return l->e->code != 0;
}

bool load_has_key(const struct loader *l, const char *key) {
    return gguf_find(l->g, key_of(l, key).z) != NULL;
}

uint32_t load_u32(struct loader *l, const char *key, uint32_t absent) {
    uint32_t v = absent;
    if (failed(l) || gguf_u32_or(l->g, key_of(l, key).z, absent, &v, l->e) < 0)
        return absent;
    return v;
}

float load_f32(struct loader *l, const char *key, float absent) {
    float v = absent;
    if (failed(l) || gguf_f32_or(l->g, key_of(l, key).z, absent, &v, l->e) < 0)
        return absent;
    if (!isfinite(v))
        err_set(l->e, ERR_INPUT, key_of(l, key).z, "is not a finite number");
    return v;
}

bool load_bool(struct loader *l, const char *key, bool absent) {
    bool v = absent;
    if (failed(l) || gguf_bool_or(l->g, key_of(l, key).z, absent, &v, l->e) < 0)
        return absent;
    return v;
}

void load_refuse(struct loader *l, const char *key, const char *why) {
    err_set(l->e, ERR_INPUT, key_of(l, key).z, "%s", why);
}

static void check_range(struct loader *l, const char *key, uint64_t v, uint64_t min, uint64_t max) {
    if (v < min || v > max)
        err_set(l->e, ERR_INPUT, key_of(l, key).z, "is %llu; it must be from %llu to %llu", (unsigned long long)v,
                (unsigned long long)min, (unsigned long long)max);
}

static uint32_t need_u32(struct loader *l, const char *key, uint32_t min, uint32_t max) {
    uint32_t v = 0;
    if (failed(l) || gguf_u32(l->g, key_of(l, key).z, &v, l->e) < 0)
        return 0;
    check_range(l, key, v, min, max);
    return v;
}

static uint32_t may_u32(struct loader *l, const char *key, uint32_t absent, uint32_t min, uint32_t max) {
    return load_has_key(l, key) ? need_u32(l, key, min, max) : absent;
}

float load_positive(struct loader *l, const char *key, float absent) {
    float v = load_f32(l, key, absent);
    if (!failed(l) && !(v > 0))
        err_set(l->e, ERR_INPUT, key_of(l, key).z, "is %g; it must be above 0", (double)v);
    return v;
}

/* out[n_blocks] of an integer or an array of one integer per layer. */
static void need_layers(struct loader *l, const char *key, uint32_t min, uint32_t max, uint32_t *out) {
    if (failed(l) || gguf_u32_layers(l->g, key_of(l, key).z, l->n_blocks, out, l->e) < 0)
        return;
    for (uint32_t i = 0; i < l->hp.n_layers; i++)
        check_range(l, key, out[i], min, max);
}

static void read_layer_shapes(struct loader *l) {
    uint32_t n = l->n_blocks;
    struct layer_shape *shapes = load_array(l, n, sizeof *shapes);
    uint32_t *heads = load_array(l, n, sizeof *heads), *kv = load_array(l, n, sizeof *kv), *ff = load_array(l, n, sizeof *ff);
    uint32_t *window = load_array(l, n, sizeof *window);
    if (failed(l))
        return;
    need_layers(l, "attention.head_count", 1, HEADS_MAX, heads);
    memcpy(kv, heads, n * sizeof *kv);
    if (load_has_key(l, "attention.head_count_kv"))
        need_layers(l, "attention.head_count_kv", 1, HEADS_MAX, kv);
    need_layers(l, "feed_forward_length", 1, FF_MAX, ff);
    if (load_has_key(l, "attention.sliding_window"))
        need_layers(l, "attention.sliding_window", 0, CTX_MAX, window);
    for (uint32_t i = 0; i < n && !failed(l); i++) {
        if (heads[i] % kv[i] != 0)
            err_set(l->e, ERR_INPUT, key_of(l, "attention.head_count_kv").z,
                    "is %u, which does not divide the %u heads of layer %u", kv[i], heads[i], i);
        shapes[i] = (struct layer_shape){heads[i], kv[i], ff[i], window[i]};
    }
    l->hp.layers = shapes;
}

void load_window_period(struct loader *l, uint32_t period) {
    const char *key = "attention.sliding_window_pattern";
    const struct gguf_kv *kv = failed(l) ? NULL : gguf_find(l->g, key_of(l, key).z);
    const uint8_t *windowed = kv && kv->type == GGUF_ARR && kv->item == GGUF_BOOL ? kv->value : NULL;
    if (windowed && kv->n_items != l->n_blocks)
        err_set(l->e, ERR_INPUT, key_of(l, key).z, "has %llu items for %u layers", (unsigned long long)kv->n_items, l->n_blocks);
    if (!windowed)
        period = may_u32(l, key, period, 0, UINT32_MAX);
    for (uint32_t i = 0; i < l->hp.n_layers && !failed(l); i++)
        if (windowed ? !windowed[i] : period > 0 && (i + 1) % period == 0)
            l->hp.layers[i].window = 0;
}

uint32_t load_ctx(struct loader *l) {
    return l->ctx ? l->ctx : l->hp.n_ctx_train;
}

void load_ctx_max(struct loader *l, uint32_t ctx_max) {
    l->m->ctx_max = ctx_max;
}

static void read_head_dims(struct loader *l) {
    struct hparams *hp = &l->hp;
    if (failed(l))
        return;
    uint32_t heads = hp->layers[0].n_heads;
    if (!load_has_key(l, "attention.key_length") && hp->n_embd % heads != 0)
        err_set(l->e, ERR_INPUT, key_of(l, "attention.head_count").z, "is %u, which does not divide the embedding_length %u",
                heads, hp->n_embd);
    hp->d_k = may_u32(l, "attention.key_length", hp->n_embd / heads, 1, KERN_HEAD_MAX);
    hp->d_v = may_u32(l, "attention.value_length", hp->d_k, 1, KERN_HEAD_MAX);
    hp->n_rot = may_u32(l, "rope.dimension_count", hp->d_k, 2, hp->d_k);
    const char *key = load_has_key(l, "rope.dimension_count") ? "rope.dimension_count" : "attention.key_length";
    if (!failed(l) && hp->n_rot % 2 != 0)
        err_set(l->e, ERR_INPUT, key_of(l, key).z, "is %u; rotated dimensions come in pairs", hp->n_rot);
}

static double yarn_mscale(float factor, float by) {
    return factor > 1 ? 0.1 * (double)by * kern_log((double)factor) + 1 : 1;
}

/* The attention factor of YaRN: 0.1 ln(factor) + 1 (arXiv 2309.00071, section 3.4), over the same with yarn_log_multiplier for 1
 * (DeepSeek's mscale_all_dim), or what yarn_attn_factor says; times attn_factor. */
static void read_yarn(struct loader *l, struct kern_rope_spec *r) {
    r->original_ctx = (float)may_u32(l, "rope.scaling.original_context_length", l->hp.n_ctx_train, 1, CTX_MAX);
    r->beta_fast = load_positive(l, "rope.scaling.yarn_beta_fast", 32);
    r->beta_slow = load_positive(l, "rope.scaling.yarn_beta_slow", 1);
    r->ext_factor = load_f32(l, "rope.scaling.yarn_ext_factor", 1);
    r->yarn_truncate = true;
    float below = load_f32(l, "rope.scaling.yarn_log_multiplier", 0);
    if (below < 0)
        load_refuse(l, "rope.scaling.yarn_log_multiplier", "is below 0");
    if (failed(l))
        return;
    double yarn = yarn_mscale(r->factor, 1) / yarn_mscale(r->factor, below);
    if (load_has_key(l, "rope.scaling.yarn_attn_factor"))
        yarn = (double)load_positive(l, "rope.scaling.yarn_attn_factor", 1);
    r->attn_factor = (float)((double)r->attn_factor * yarn);
}

/* A factor without a type is linear scaling, and so is the older key. */
static void read_rope(struct loader *l) {
    struct kern_rope_spec *r = &l->hp.rope;
    struct str type = {0};
    *r = (struct kern_rope_spec){.n_dims = l->hp.n_rot, .base = load_positive(l, "rope.freq_base", 10000)};
    r->factor = load_positive(l, "rope.scaling.factor", load_positive(l, "rope.scale_linear", 1));
    r->attn_factor = load_positive(l, "rope.scaling.attn_factor", 1);
    struct str absent = r->factor == 1 ? STR("none") : STR("linear");
    if (failed(l) || gguf_str_or(l->g, key_of(l, "rope.scaling.type").z, absent, &type, l->e) < 0)
        return;
    if (str_is(type, "linear"))
        r->scaling = KERN_ROPE_LINEAR;
    else if (str_is(type, "yarn"))
        r->scaling = KERN_ROPE_YARN;
    else if (str_is(type, "longrope"))
        r->scaling = KERN_ROPE_LONGROPE;
    else if (!str_is(type, "none"))
        err_set(l->e, ERR_INPUT, key_of(l, "rope.scaling.type").z, "is '%.*s'; known are none, linear, yarn and longrope",
                (int)(type.n < 64 ? type.n : 64), type.p);
    struct kern_rope_spec yarn = *r;
    read_yarn(l, &yarn); /* its keys mean nothing elsewhere, but must not be nonsense */
    if (r->scaling == KERN_ROPE_YARN)
        *r = yarn;
}

/* Rows of the embedding, tokens of the tokenizer and vocab_size are one number. */
static void read_vocab(struct loader *l) {
    const struct gguf_tensor *embd = gguf_tensor(l->g, "token_embd.weight");
    if (!embd) {
        err_set(l->e, ERR_INPUT, "token_embd.weight", "is missing; download or convert the model again");
        return;
    }
    if (embd->n_dims != 2 || embd->dims[1] > UINT32_MAX / 2)
        err_set(l->e, ERR_INPUT, "token_embd.weight", "is no matrix of one row per token");
    l->hp.n_vocab = (uint32_t)embd->dims[1];
    const struct gguf_kv *tokens = gguf_find(l->g, "tokenizer.ggml.tokens");
    uint64_t n_tokens = tokens && tokens->type == GGUF_ARR ? tokens->n_items : l->hp.n_vocab;
    uint32_t said = load_u32(l, "vocab_size", (uint32_t)n_tokens);
    if (said != n_tokens)
        err_set(l->e, ERR_INPUT, key_of(l, "vocab_size").z, "is %u, but tokenizer.ggml.tokens has %llu", said,
                (unsigned long long)n_tokens);
    if (n_tokens != l->hp.n_vocab)
        err_set(l->e, ERR_INPUT, "token_embd.weight", "has %u rows for %llu tokens", l->hp.n_vocab, (unsigned long long)n_tokens);
}

/* A part of a split model is no model; an encoder is none that this forward computes; experts are chosen among those there are. */
static void check_kind(struct loader *l) {
    uint32_t parts = 1, no = 0, n_tensors = (uint32_t)gguf_n_tensors(l->g);
    if (gguf_u32_or(l->g, "split.count", 1, &parts, l->e) == 0 && parts > 1)
        err_set(l->e, ERR_INPUT, "split.count", "is %u: this is one part of a split model; join the parts first", parts);
    if (gguf_u32_or(l->g, "split.no", 0, &no, l->e) == 0 && no > 0)
        err_set(l->e, ERR_INPUT, "split.no", "is %u: this is one part of a split model; join the parts first", no);
    if (gguf_u32_or(l->g, "split.tensors.count", n_tensors, &parts, l->e) == 0 && parts != n_tensors)
        err_set(l->e, ERR_INPUT, "split.tensors.count", "is %u, but %u tensors are here: this is one part of a split model",
                parts, n_tensors);
    if (!load_bool(l, "attention.causal", true))
        load_refuse(l, "attention.causal", "is false: models that attend in both directions are not computed");
    uint32_t experts = may_u32(l, "expert_count", 0, 0, EXPERTS_MAX), used = may_u32(l, "expert_used_count", 0, 0, EXPERTS_MAX);
    if (used > experts)
        err_set(l->e, ERR_INPUT, key_of(l, "expert_used_count").z, "is %u, but there are %u experts", used, experts);
    if (experts > 0)
        load_refuse(l, "expert_count", "is above 0; mixtures of experts are not computed yet");
}

static void set_widths(struct loader *l) {
    const struct hparams *hp = &l->hp;
    load_width(l, SLOT_X, hp->n_embd);
    load_width(l, SLOT_H, hp->n_embd);
    load_width(l, SLOT_Y, hp->n_embd);
    load_width(l, SLOT_ROPE, hp->n_rot);
    load_width(l, SLOT_ROPE_B, hp->n_rot);
    for (uint32_t i = 0; i < hp->n_layers; i++) {
        const struct layer_shape *s = &hp->layers[i];
        load_width(l, SLOT_Q, (uint64_t)s->n_heads * hp->d_k);
        load_width(l, SLOT_K, (uint64_t)s->n_kv_heads * hp->d_k);
        load_width(l, SLOT_V, (uint64_t)s->n_kv_heads * hp->d_v);
        load_width(l, SLOT_O, (uint64_t)s->n_heads * hp->d_v);
        load_width(l, SLOT_UP, s->n_ff);
    }
}

const struct hparams *load_hp(const struct loader *l) {
    return &l->hp;
}

/* block_count includes layers that predict tokens further ahead; each has the matrix that joins its two inputs. */
static void leave_out_further_layers(struct loader *l) {
    uint32_t further = may_u32(l, "nextn_predict_layers", 0, 0, l->n_blocks ? l->n_blocks - 1 : 0);
    l->hp.n_layers = l->n_blocks - further;
    for (uint32_t i = l->hp.n_layers; i < l->n_blocks && !failed(l); i++)
        if (!load_has(l, (int)i, "nextn.eh_proj.weight"))
            err_set(l->e, ERR_INPUT, key_of(l, "nextn_predict_layers").z, "is %u, but there is no blk.%u.nextn.eh_proj.weight",
                    further, i);
}

const struct hparams *load_hparams(struct loader *l, const char *eps_key) {
    return load_hparams_or(l, eps_key, 0);
}

const struct hparams *load_hparams_or(struct loader *l, const char *eps_key, float eps) {
    struct hparams *hp = &l->hp;
    check_kind(l);
    /* A layer has several tensors, so their number bounds the layers before anything is allocated for them. */
    uint64_t n_tensors = gguf_n_tensors(l->g);
    l->n_blocks = need_u32(l, "block_count", 1, n_tensors < UINT32_MAX ? (uint32_t)n_tensors : UINT32_MAX);
    leave_out_further_layers(l);
    hp->n_ctx_train = need_u32(l, "context_length", 1, CTX_MAX);
    hp->n_embd = need_u32(l, "embedding_length", 1, EMBD_MAX);
    if (!failed(l) && eps == 0 && !load_has_key(l, eps_key))
        err_set(l->e, ERR_INPUT, key_of(l, eps_key).z, "is missing");
    hp->eps = load_positive(l, eps_key, eps == 0 ? 1 : eps);
    if (!failed(l))
        read_layer_shapes(l);
    read_head_dims(l);
    read_rope(l);
    if (!failed(l))
        read_vocab(l);
    if (!failed(l))
        set_widths(l);
    return hp;
}
