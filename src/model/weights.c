/* weights: tensors by name. A family asks for each with the shape it must have; what is left over is refused (rule 6). What is
 * a matrix goes to pack.c. Nothing of a file's tensor data is read before every shape and type has been checked. */
#include "pass.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 96 };

static void tensor_name(char out[NAME_BYTES], int layer, const char *name, const char *suffix) {
    if (layer == LOAD_GLOBAL)
        snprintf(out, NAME_BYTES, "%s%s", name, suffix);
    else
        snprintf(out, NAME_BYTES, "blk.%d.%s%s", layer, name, suffix);
}

void *load_array(struct loader *l, size_t n, size_t item_bytes) {
    void *p = l->e->code ? NULL : arena_array(&l->m->arena, n, item_bytes);
    if (!p && !l->e->code)
        err_set(l->e, ERR_MEMORY, "model", "no memory for %zu items of %zu bytes", n, item_bytes);
    return p;
}

void *load_own(struct loader *l, size_t bytes) {
    return l->m->own = load_array(l, 1, bytes);
}

void load_width(struct loader *l, enum slot slot, uint64_t width) {
    ASSERT(width <= UINT32_MAX);
    if (width > l->m->width[slot])
        l->m->width[slot] = (uint32_t)width;
}

/* Finds a tensor and marks it as used. */
static const struct gguf_tensor *find(struct loader *l, const char *name) {
    const struct gguf_tensor *t = gguf_tensor(l->g, name);
    if (t)
        l->used[t - gguf_tensor_at(l->g, 0)] = true;
    return t;
}

bool load_has(struct loader *l, int layer, const char *name) {
    char full[NAME_BYTES];
    tensor_name(full, layer, name, "");
    return gguf_tensor(l->g, full) != NULL;
}

static void check_matrix(struct loader *l, const char *name, const struct gguf_tensor *t, uint64_t n, uint64_t k) {
    if (!t) {
        err_set(l->e, ERR_INPUT, name, "is missing; download or convert the model again");
        return;
    }
    if (t->n_dims != 2 || t->dims[0] != k || t->dims[1] != n)
        err_set(l->e, ERR_INPUT, name, "is %llux%llux%llux%llu; the metadata asks for %llux%llu", (unsigned long long)t->dims[0],
                (unsigned long long)t->dims[1], (unsigned long long)t->dims[2], (unsigned long long)t->dims[3],
                (unsigned long long)k, (unsigned long long)n);
    else if (!kern_supports(t->type) || kern_packed_bytes(t->type, (uint32_t)n, (uint32_t)k) == 0)
        err_set(l->e, ERR_INPUT, name, "has type %s, which is no type for weights here", dtype_info(t->type)->name);
}

/* A bias that may be there is there in all layers or in none: what is left over of another layer stays unasked for, and is refused. */
static const float *load_bias(struct loader *l, int layer, const char *name, uint64_t n, enum load_bias bias) {
    char full[NAME_BYTES], first[NAME_BYTES];
    tensor_name(full, layer, name, ".bias");
    tensor_name(first, layer > 0 ? 0 : layer, name, ".bias");
    if (bias == BIAS_MAY)
        bias = gguf_tensor(l->g, first) ? BIAS_MUST : BIAS_NONE;
    if (bias == BIAS_MUST && layer > 0 && !gguf_tensor(l->g, full) && gguf_tensor(l->g, first))
        err_set(l->e, ERR_INPUT, full, "is missing, but %s is there", first);
    return bias == BIAS_MUST ? load_vector(l, LOAD_GLOBAL, full, n, true) : NULL;
}

void load_linear_rows(struct loader *l, int layer, const char *name, struct load_rows rows, uint64_t k, enum load_bias bias,
                      struct linear *out) {
    char full[NAME_BYTES];
    if (l->e->code)
        return;
    tensor_name(full, layer, name, ".weight");
    const struct gguf_tensor *t = find(l, full);
    check_matrix(l, full, t, rows.n_all, k);
    if (l->e->code)
        return;
    ASSERT(rows.from <= rows.n_all && rows.n <= rows.n_all - rows.from);
    ASSERT(rows.n_all <= UINT32_MAX && k <= UINT32_MAX && l->n_weights < l->weights_max);
    out->w = (struct kern_packed){.type = (enum dtype)t->type, .n = (uint32_t)rows.n, .k = (uint32_t)k};
    l->weights[l->n_weights++] =
        (struct weight){.w = &out->w, .tensor = t, .rows = t->data + rows.from * dtype_bytes(t->type, k)};
    if (k > l->m->acts_k)
        l->m->acts_k = (uint32_t)k;
    tensor_name(full, layer, name, ".scale");
    bool is_table = layer == LOAD_GLOBAL && strcmp(name, "output") != 0; /* rows of it are read, not multiplied */
    out->scale = is_table ? NULL : load_vector(l, LOAD_GLOBAL, full, 1, false);
    const float *b = load_bias(l, layer, name, rows.n_all, bias);
    out->bias = b ? b + rows.from : NULL;
}

void load_linear(struct loader *l, int layer, const char *name, uint64_t n, uint64_t k, enum load_bias bias, struct linear *out) {
    load_linear_rows(l, layer, name, (struct load_rows){0, n, n}, k, bias, out);
}

const float *load_vector(struct loader *l, int layer, const char *name, uint64_t n, bool must) {
    char full[NAME_BYTES];
    if (l->e->code)
        return NULL;
    tensor_name(full, layer, name, "");
    const struct gguf_tensor *t = find(l, full);
    if (!t) {
        if (must)
            err_set(l->e, ERR_INPUT, full, "is missing; download or convert the model again");
        return NULL;
    }
    if (t->n_dims != 1 || t->dims[0] != n)
        err_set(l->e, ERR_INPUT, full, "is %llux%llux%llu; the metadata asks for %llu values in one dimension",
                (unsigned long long)t->dims[0], (unsigned long long)t->dims[1], (unsigned long long)t->dims[2],
                (unsigned long long)n);
    if (t->type != DTYPE_F32 && t->type != DTYPE_F16 && t->type != DTYPE_BF16)
        err_set(l->e, ERR_INPUT, full, "has type %s; it must be F32, F16 or BF16", dtype_info(t->type)->name);
    float *v = load_array(l, n, sizeof *v);
    if (!v)
        return NULL;
    kern_decode(t->type, n, t->data, v);
    for (uint64_t i = 0; i < n; i++)
        if (!isfinite(v[i]))
            err_set(l->e, ERR_INPUT, full, "value %llu is not finite", (unsigned long long)i);
    return v;
}

struct norm load_norm(struct loader *l, int layer, const char *name, uint64_t n, enum load_bias bias) {
    char full[NAME_BYTES];
    struct norm norm = {0};
    tensor_name(full, layer, name, ".weight");
    norm.w = load_vector(l, LOAD_GLOBAL, full, n, true);
    norm.b = load_bias(l, layer, name, n, bias);
    return norm;
}
