/* ignored: which tensors and keys of a file its architecture does not compute with. All others are asked for, or the file is
 * refused: leaving one out would compute another model (rule 6). */
#include "pass.h"

#include <math.h>
#include <string.h>

/* The layer of "blk.LAYER.REST" and REST; false for other names. */
static bool split_name(struct str name, uint64_t *layer, struct str *rest) {
    size_t i = 4;
    if (!str_starts(name, STR("blk.")))
        return false;
    for (*layer = 0; i < name.n && name.p[i] >= '0' && name.p[i] <= '9' && *layer < UINT32_MAX; i++)
        *layer = *layer * 10 + (uint64_t)(name.p[i] - '0');
    if (i == 4 || i == name.n || name.p[i] != '.')
        return false;
    *rest = (struct str){name.p + i + 1, name.n - i - 1};
    return true;
}

/* Entries are names; "blk.*.NAME" stands for any layer, a star at the end for any rest. */
static bool is_listed(const struct family *family, struct str name) {
    uint64_t layer = 0;
    struct str rest = {0};
    bool in_layer = split_name(name, &layer, &rest);
    for (const char *const *at = family->ignored; at && *at; at++) {
        struct str entry = str_of(*at);
        bool any_layer = str_starts(entry, STR("blk.*."));
        bool any_rest = entry.p[entry.n - 1] == '*';
        if (any_rest    ? str_starts(name, (struct str){entry.p, entry.n - 1})
            : any_layer ? in_layer && str_eq((struct str){entry.p + 6, entry.n - 6}, rest)
                        : str_eq(entry, name))
            return true;
    }
    return false;
}

/* block_count includes the layers that predict tokens further ahead; the model is those before. */
static bool predicts_further(const struct gguf *g, struct str arch, struct str name) {
    char key[160];
    uint32_t blocks = 0, further = 0;
    uint64_t layer = 0;
    struct str rest;
    if (!split_name(name, &layer, &rest))
        return false;
    snprintf(key, sizeof key, "%.*s.block_count", (int)(arch.n < 64 ? arch.n : 64), arch.p);
    if (gguf_u32_or(g, key, 0, &blocks, NULL) < 0)
        return false;
    snprintf(key, sizeof key, "%.*s.nextn_predict_layers", (int)(arch.n < 64 ? arch.n : 64), arch.p);
    return gguf_u32_or(g, key, 0, &further, NULL) == 0 && further < blocks && layer >= blocks - further && layer < blocks;
}

/* What activations of 4 bits would be scaled by; ours have 8 bits or more, and scales of their own. */
static bool is_input_scale(const struct gguf *g, struct str name) {
    const struct str end = STR(".input_scale");
    char z[96];
    if (name.n <= end.n || name.n >= sizeof z || memcmp(name.p + name.n - end.n, end.p, end.n) != 0)
        return false;
    snprintf(z, sizeof z, "%.*s.weight", (int)(name.n - end.n), name.p);
    const struct gguf_tensor *t = gguf_tensor(g, z);
    return t && t->type == DTYPE_NVFP4;
}

bool model_ignores(const struct gguf *g, struct str name) {
    struct str arch;
    const struct family *family = gguf_str(g, "general.architecture", &arch, NULL) == 0 ? find_family(arch) : NULL;
    return family && (is_input_scale(g, name) || is_listed(family, name) || predicts_further(g, arch, name));
}

/* Keys that change what is computed, of those that llama.cpp's converter writes; and all under attention. and rope. that are not
 * named as harmless here. A family that has not asked for one does not compute it, unless its value says that nothing is to be
 * done: NAN is never such a value. */
static const struct effect {
    const char *name;
    double none;
} effects[] = {
    {"attn_logit_softcapping", 0},
    {"final_logit_softcapping", 0},
    {"logit_scale", 1},
    {"residual_scale", 1},
    {"embedding_scale", 1},
    {"use_parallel_residual", NAN},
    {"hidden_activation", NAN},
    {"swin_norm", 0},
    {"full_attention_interval", 1},
    {"activation_sparsity_scale", NAN},
    {"swiglu_clamp_exp", NAN},
    {"swiglu_clamp_shexp", NAN},
    {"num_loops", 1},
    {"attention.max_alibi_bias", 0},
    {"attention.clamp_kqv", 0},
    {"attention.temperature_scale", 0},
    {"attention.output_scale", 1},
    {"attention.value_scale", 1},
    {"attention.shared_kv_layers", 0},
    {"rope.scaling.alpha", 0},
};
static const char *const harmless[] = {
    "attention.layer_norm_epsilon", /* of the other kind of norm */
    "attention.layer_norm_rms_epsilon",
    "attention.temperature_length", /* where there is no temperature_scale */
    "rope.scaling.finetuned",
};

static bool says_none(const struct gguf *g, const char *key, double none) {
    float f;
    uint32_t u;
    bool b;
    if (gguf_f32(g, key, &f, NULL) == 0)
        return (double)f == none;
    if (gguf_u32(g, key, &u, NULL) == 0)
        return (double)u == none;
    return gguf_bool_or(g, key, true, &b, NULL) == 0 && (double)b == none;
}

static bool has_no_effect(const struct gguf *g, const char *key, struct str rest) {
    for (size_t i = 0; i < N_ITEMS(effects); i++)
        if (str_is(rest, effects[i].name))
            return says_none(g, key, effects[i].none);
    for (size_t i = 0; i < N_ITEMS(harmless); i++)
        if (str_is(rest, harmless[i]))
            return true;
    return !str_starts(rest, STR("attention.")) && !str_starts(rest, STR("rope."));
}

static int check_keys(const struct loader *l, const struct family *family, struct err *e) {
    size_t skip = strlen(family->arch) + 1;
    for (uint64_t i = 0; i < gguf_n_kv(l->g); i++) {
        struct str key = gguf_kv(l->g, i)->key;
        if (l->keys_used[i] || key.n <= skip || memcmp(key.p, family->arch, skip - 1) != 0 || key.p[skip - 1] != '.')
            continue;
        char z[160];
        snprintf(z, sizeof z, "%.*s", (int)key.n, key.p);
        if (!has_no_effect(l->g, z, (struct str){key.p + skip, key.n - skip}))
            return err_set(e, ERR_INPUT, z, "is a key that %s does not know: leaving it out would compute another model",
                           family->arch);
    }
    return 0;
}

static int check_tensors(const struct loader *l, const struct family *family, struct err *e) {
    for (uint64_t i = 0; i < gguf_n_tensors(l->g); i++) {
        struct str name = gguf_tensor_at(l->g, i)->name;
        if (!l->used[i] && !model_ignores(l->g, name)) {
            char z[96];
            snprintf(z, sizeof z, "%.*s", (int)name.n, name.p);
            return err_set(e, ERR_INPUT, z, "is a tensor that %s does not know: leaving it out would compute another model",
                           family->arch);
        }
    }
    return 0;
}

int load_check_all_used(const struct loader *l, const struct family *family, struct err *e) {
    int r = check_keys(l, family, e);
    return r < 0 ? r : check_tensors(l, family, e);
}
