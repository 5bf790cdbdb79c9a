/* ignored: which tensors of a file its architecture does not compute with. All others are asked for, or the file is refused:
 * leaving one out would compute another model (rule 6). */
#include "pass.h"

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

/* Entries are names; "blk.*.NAME" stands for any layer. */
static bool is_listed(const struct family *family, struct str name) {
    uint64_t layer = 0;
    struct str rest = {0};
    bool in_layer = split_name(name, &layer, &rest);
    for (const char *const *at = family->ignored; at && *at; at++) {
        struct str entry = str_of(*at);
        bool any_layer = str_starts(entry, STR("blk.*."));
        if (any_layer ? in_layer && str_eq((struct str){entry.p + 6, entry.n - 6}, rest) : str_eq(entry, name))
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

bool model_ignores(const struct gguf *g, struct str name) {
    struct str arch;
    const struct family *family = gguf_str(g, "general.architecture", &arch, NULL) == 0 ? find_family(arch) : NULL;
    return family && (is_listed(family, name) || predicts_further(g, arch, name));
}

int load_check_all_used(const struct loader *l, const struct family *family, struct err *e) {
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
