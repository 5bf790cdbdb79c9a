/* gguf values: typed reading of metadata, arrays, JSON. The container is checked: every value lies whole in the file. */
#include "gguf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LOAD(type, p)                                                                                                            \
    ({                                                                                                                           \
        type v_;                                                                                                                 \
        memcpy(&v_, p, sizeof v_);                                                                                               \
        v_;                                                                                                                      \
    })

static bool is_int(enum gguf_type t) {
    return t != GGUF_F32 && t != GGUF_F64 && t != GGUF_BOOL && t != GGUF_STR && t != GGUF_ARR;
}

/* An integer of any type and how many bytes it takes; a u64 beyond int64_t becomes its largest value. */
static unsigned load_int(enum gguf_type t, const uint8_t *p, int64_t *out) {
    switch (t) {
    case GGUF_U8: *out = *p; return 1;
    case GGUF_I8: *out = LOAD(int8_t, p); return 1;
    case GGUF_U16: *out = LOAD(uint16_t, p); return 2;
    case GGUF_I16: *out = LOAD(int16_t, p); return 2;
    case GGUF_U32: *out = LOAD(uint32_t, p); return 4;
    case GGUF_I32: *out = LOAD(int32_t, p); return 4;
    case GGUF_I64: *out = LOAD(int64_t, p); return 8;
    case GGUF_U64: *out = LOAD(uint64_t, p) > INT64_MAX ? INT64_MAX : LOAD(int64_t, p); return 8;
    default: ASSERT(is_int(t)); return 0;
    }
}

static struct str load_str(const uint8_t *p) {
    return (struct str){(const char *)p + 8, LOAD(uint64_t, p)};
}

/* ---- one value ------------------------------------------------------------------------------------------------- */

static int missing(const char *key, struct err *e) {
    return err_set(e, ERR_INPUT, key, "is missing; convert the model again");
}

static int mistyped(const struct gguf_kv *kv, const char *key, const char *wanted, struct err *e) {
    bool arr = kv->type == GGUF_ARR;
    return err_set(e, ERR_INPUT, key, "is of type %s%s, not %s", arr ? "array of " : "",
                   gguf_type_name(arr ? kv->item : kv->type), wanted);
}

static int to_u32(const struct gguf_kv *kv, const char *key, uint32_t *out, struct err *e) {
    if (!is_int(kv->type))
        return mistyped(kv, key, "an integer", e);
    int64_t v = 0;
    load_int(kv->type, kv->value, &v);
    if (v < 0 || v > UINT32_MAX)
        return err_set(e, ERR_INPUT, key, "is %lld, out of range", (long long)v);
    *out = (uint32_t)v;
    return 0;
}

int gguf_u32(const struct gguf *g, const char *key, uint32_t *out, struct err *e) {
    const struct gguf_kv *kv = gguf_find(g, key);
    return kv ? to_u32(kv, key, out, e) : missing(key, e);
}

int gguf_u32_or(const struct gguf *g, const char *key, uint32_t absent, uint32_t *out, struct err *e) {
    const struct gguf_kv *kv = gguf_find(g, key);
    *out = absent;
    return kv ? to_u32(kv, key, out, e) : 0;
}

static int to_f32(const struct gguf_kv *kv, const char *key, float *out, struct err *e) {
    if (kv->type == GGUF_F32)
        *out = LOAD(float, kv->value);
    else if (kv->type == GGUF_F64)
        *out = (float)LOAD(double, kv->value);
    else
        return mistyped(kv, key, "a float", e);
    return 0;
}

int gguf_f32(const struct gguf *g, const char *key, float *out, struct err *e) {
    const struct gguf_kv *kv = gguf_find(g, key);
    return kv ? to_f32(kv, key, out, e) : missing(key, e);
}

int gguf_f32_or(const struct gguf *g, const char *key, float absent, float *out, struct err *e) {
    const struct gguf_kv *kv = gguf_find(g, key);
    *out = absent;
    return kv ? to_f32(kv, key, out, e) : 0;
}

int gguf_bool_or(const struct gguf *g, const char *key, bool absent, bool *out, struct err *e) {
    const struct gguf_kv *kv = gguf_find(g, key);
    *out = absent;
    if (!kv)
        return 0;
    if (kv->type != GGUF_BOOL)
        return mistyped(kv, key, "bool", e);
    *out = *kv->value != 0;
    return 0;
}

static int to_str(const struct gguf_kv *kv, const char *key, struct str *out, struct err *e) {
    if (kv->type != GGUF_STR)
        return mistyped(kv, key, "str", e);
    *out = load_str(kv->value);
    return 0;
}

int gguf_str(const struct gguf *g, const char *key, struct str *out, struct err *e) {
    const struct gguf_kv *kv = gguf_find(g, key);
    return kv ? to_str(kv, key, out, e) : missing(key, e);
}

int gguf_str_or(const struct gguf *g, const char *key, struct str absent, struct str *out, struct err *e) {
    const struct gguf_kv *kv = gguf_find(g, key);
    *out = absent;
    return kv ? to_str(kv, key, out, e) : 0;
}

/* ---- arrays ---------------------------------------------------------------------------------------------------- */

int gguf_array(const struct gguf *g, const char *key, enum gguf_type item, struct gguf_iter *it, struct err *e) {
    const struct gguf_kv *kv = gguf_find(g, key);
    if (!kv)
        return missing(key, e);
    if (kv->type != GGUF_ARR || kv->item != item) {
        char wanted[32];
        snprintf(wanted, sizeof wanted, "array of %s", gguf_type_name(item));
        return mistyped(kv, key, wanted, e);
    }
    *it = (struct gguf_iter){kv->value, kv->n_items, kv->item};
    return 0;
}

int gguf_int_array(const struct gguf *g, const char *key, struct gguf_iter *it, struct err *e) {
    const struct gguf_kv *kv = gguf_find(g, key);
    if (!kv)
        return missing(key, e);
    if (kv->type != GGUF_ARR || !is_int(kv->item))
        return mistyped(kv, key, "an array of integers", e);
    *it = (struct gguf_iter){kv->value, kv->n_items, kv->item};
    return 0;
}

bool gguf_next_str(struct gguf_iter *it, struct str *out) {
    ASSERT(it->item == GGUF_STR);
    if (it->left == 0)
        return false;
    *out = load_str(it->at);
    it->at += 8 + out->n;
    it->left--;
    return true;
}

bool gguf_next_f32(struct gguf_iter *it, float *out) {
    ASSERT(it->item == GGUF_F32);
    if (it->left == 0)
        return false;
    *out = LOAD(float, it->at);
    it->at += sizeof *out;
    it->left--;
    return true;
}

bool gguf_next_i64(struct gguf_iter *it, int64_t *out) {
    if (it->left == 0)
        return false;
    it->at += load_int(it->item, it->at, out);
    it->left--;
    return true;
}

int gguf_u32_layers(const struct gguf *g, const char *key, uint32_t n_layers, uint32_t *out, struct err *e) {
    const struct gguf_kv *kv = gguf_find(g, key);
    if (!kv)
        return missing(key, e);
    struct gguf_iter it = {kv->value, 1, kv->type}; /* one for all */
    if (kv->type == GGUF_ARR) {
        int code = gguf_int_array(g, key, &it, e);
        if (code < 0)
            return code;
        if (it.left != n_layers)
            return err_set(e, ERR_INPUT, key, "has %llu items for %u layers", (unsigned long long)it.left, n_layers);
    } else if (!is_int(kv->type)) {
        return mistyped(kv, key, "an integer or one for each layer", e);
    }
    int64_t v = 0;
    for (uint32_t i = 0; i < n_layers; i++) {
        gguf_next_i64(&it, &v);
        if (v < 0 || v > UINT32_MAX)
            return err_set(e, ERR_INPUT, key, "is %lld for layer %u, out of range", (long long)v, i);
        out[i] = (uint32_t)v;
    }
    return 0;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------ */

/* The shortest decimal that reads back as the same bits; what JSON has no number for becomes a string. */
static void float_json(double v, bool single, struct buf *out) {
    if (isnan(v) || isinf(v)) {
        buf_z(out, isnan(v) ? "\"NaN\"" : v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    char text[40];
    for (int digits = single ? 6 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (single ? strtof(text, NULL) == (float)v : strtod(text, NULL) == v)
            break;
    }
    buf_z(out, text);
    if (!strpbrk(text, ".e"))
        buf_z(out, ".0");
}

/* Appends one value and returns where it ends. Depth is bounded by gguf_open. */
static const uint8_t *value_json(enum gguf_type t, const uint8_t *p, struct buf *out);

static const uint8_t *items_json(enum gguf_type item, uint64_t n, const uint8_t *p, struct buf *out) {
    buf_byte(out, '[');
    for (uint64_t i = 0; i < n; i++) {
        if (i)
            buf_z(out, ", ");
        p = value_json(item, p, out);
    }
    buf_byte(out, ']');
    return p;
}

static const uint8_t *value_json(enum gguf_type t, const uint8_t *p, struct buf *out) {
    int64_t v = 0;
    switch (t) {
    case GGUF_F32: float_json((double)LOAD(float, p), true, out); return p + 4;
    case GGUF_F64: float_json(LOAD(double, p), false, out); return p + 8;
    case GGUF_BOOL: buf_z(out, *p ? "true" : "false"); return p + 1;
    case GGUF_STR: buf_json(out, load_str(p)); return p + 8 + load_str(p).n;
    case GGUF_ARR: return items_json((enum gguf_type)LOAD(uint32_t, p), LOAD(uint64_t, p + 4), p + 12, out);
    case GGUF_U64: buf_fmt(out, "%llu", (unsigned long long)LOAD(uint64_t, p)); return p + 8;
    default:
        p += load_int(t, p, &v);
        buf_fmt(out, "%lld", (long long)v);
        return p;
    }
}

void gguf_kv_json(const struct gguf_kv *kv, struct buf *out) {
    if (kv->type == GGUF_ARR)
        items_json(kv->item, kv->n_items, kv->value, out);
    else
        value_json(kv->type, kv->value, out);
}
