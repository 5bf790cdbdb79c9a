/* weights: tensors by name. A family asks for each with the shape it must have; what is left over is refused (rule 6); then all
 * matrices are packed once. Nothing of a file's tensor data is read before every shape and type has been checked. */
#include "pass.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 96, PACK_ALIGN = 4096 };

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
        err_set(l->e, ERR_INPUT, name, "is missing");
        return;
    }
    if (t->n_dims != 2 || t->dims[0] != k || t->dims[1] != n)
        err_set(l->e, ERR_INPUT, name, "is %llux%llux%llu; the metadata asks for %llux%llu", (unsigned long long)t->dims[0],
                (unsigned long long)t->dims[1], (unsigned long long)t->dims[2], (unsigned long long)k, (unsigned long long)n);
    else if (!kern_supports(t->type) || kern_packed_bytes(t->type, (uint32_t)n, (uint32_t)k) == 0)
        err_set(l->e, ERR_INPUT, name, "has type %s, which is no type for weights here", dtype_info(t->type)->name);
}

void load_linear_rows(struct loader *l, int layer, const char *name, struct load_rows rows, uint64_t k, enum load_bias bias,
                      struct linear *out) {
    char full[NAME_BYTES], bias_name[NAME_BYTES];
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
    if (bias != BIAS_NONE) {
        tensor_name(bias_name, layer, name, ".bias");
        const float *b = load_vector(l, LOAD_GLOBAL, bias_name, rows.n_all, bias == BIAS_MUST);
        out->bias = b ? b + rows.from : NULL;
    }
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
            err_set(l->e, ERR_INPUT, full, "is missing");
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
    if (bias != BIAS_NONE) {
        tensor_name(full, layer, name, ".bias");
        norm.b = load_vector(l, LOAD_GLOBAL, full, n, bias == BIAS_MUST);
    }
    return norm;
}

/* "blk.*.NAME" of an ignored[] entry stands for any layer. */
static bool is_ignored(const struct family *family, struct str name) {
    for (const char *const *at = family->ignored; at && *at; at++) {
        struct str pattern = str_of(*at), rest = name;
        if (str_starts(pattern, STR("blk.*")) && str_starts(name, STR("blk."))) {
            size_t i = 4;
            while (i < name.n && name.p[i] >= '0' && name.p[i] <= '9')
                i++;
            pattern = (struct str){pattern.p + 5, pattern.n - 5};
            rest = (struct str){name.p + i, name.n - i};
        }
        if (str_eq(pattern, rest))
            return true;
    }
    return false;
}

int load_check_all_used(const struct loader *l, const struct family *family, struct err *e) {
    for (uint64_t i = 0; i < gguf_n_tensors(l->g); i++) {
        struct str name = gguf_tensor_at(l->g, i)->name;
        if (!l->used[i] && !is_ignored(family, name)) {
            char z[NAME_BYTES];
            snprintf(z, sizeof z, "%.*s", (int)name.n, name.p);
            return err_set(e, ERR_INPUT, z, "is a tensor that %s does not know: leaving it out would compute another model",
                           family->arch);
        }
    }
    return 0;
}

static uint64_t packed_bytes(const struct weight *w) {
    return kern_packed_bytes(w->w->type, w->w->n, w->w->k);
}

static int pack_one(const struct weight *w, uint8_t *to, struct err *e) {
    char z[NAME_BYTES];
    int r = kern_pack(w->w->type, w->w->n, w->w->k, w->rows, to, e);
    if (r < 0) {
        snprintf(z, sizeof z, "%.*s", (int)w->tensor->name.n, w->tensor->name.p);
        err_within(e, z);
    }
    return r;
}

struct pack_loop {
    const struct weight *weights;
    uint8_t *to;
    struct err *errors; /* one per weight: the first in the file's order is reported, whoever packed it */
};

static void pack_item(void *ctx, uint32_t item, unsigned thread) {
    struct pack_loop *loop = ctx;
    const struct weight *w = &loop->weights[item];
    (void)thread;
    if (pack_one(w, loop->to + w->at, &loop->errors[item]) == 0)
        w->w->data = loop->to + w->at;
}

static int larger_first(const void *a, const void *b) {
    uint64_t x = packed_bytes(a), y = packed_bytes(b);
    return x < y ? 1 : x > y ? -1 : 0;
}

int load_pack(struct loader *l, struct mem *out, struct err *e) {
    uint64_t bytes = 0;
    int r = 0;
    for (uint32_t i = 0; i < l->n_weights; i++) {
        l->weights[i].at = bytes;
        bytes += (packed_bytes(&l->weights[i]) + PACK_ALIGN - 1) / PACK_ALIGN * PACK_ALIGN;
    }
    struct err *errors = calloc(l->n_weights, sizeof *errors);
    if (!errors)
        return err_set(e, ERR_MEMORY, "weights", "no memory");
    if ((r = mem_new(bytes, out, e)) < 0)
        goto out;
    qsort(l->weights, l->n_weights, sizeof *l->weights, larger_first);
    struct pack_loop loop = {l->weights, out->p, errors};
    for (uint32_t from = 0; from < l->n_weights; from += UINT16_MAX) {
        uint32_t n = l->n_weights - from < UINT16_MAX ? l->n_weights - from : UINT16_MAX;
        loop.weights = l->weights + from;
        loop.errors = errors + from;
        pool_for(l->m->pool, n, pack_item, &loop);
    }
    for (uint32_t i = 0; i < l->n_weights && r == 0; i++)
        if (errors[i].code)
            r = err_set(e, errors[i].code, errors[i].where, "%s", errors[i].msg);
out:
    free(errors);
    return r;
}

int load_dry_pack(struct loader *l, struct err *e) {
    uint64_t most = 0;
    struct mem scratch = {0};
    for (uint32_t i = 0; i < l->n_weights; i++)
        most = packed_bytes(&l->weights[i]) > most ? packed_bytes(&l->weights[i]) : most;
    int r = mem_new(most, &scratch, e);
    for (uint32_t i = 0; i < l->n_weights && r == 0; i++)
        r = pack_one(&l->weights[i], scratch.p, e);
    mem_free(&scratch);
    return r;
}
