/* tmpl_json: values of JSON, and filter tojson, which writes what Python's json.dumps writes. */
#include "tmpl_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- in ------------------------------------------------------------------------------------------------------------ */

static int from_number(yyjson_val *json, struct val *out) {
    if (yyjson_is_sint(json) || (yyjson_is_uint(json) && yyjson_get_uint(json) <= INT64_MAX)) {
        *out = tmpl_int(yyjson_get_sint(json));
        return 0;
    }
    if (yyjson_is_real(json)) {
        *out = tmpl_float(yyjson_get_real(json));
        return 0;
    }
    return 1;
}

/* What 64 bits do not hold: an integer stays as its digits, anything else is a float. */
static int from_big(struct render *r, yyjson_val *json, struct val *out) {
    char digits[24];
    struct str text = yyjson_is_raw(json) ? (struct str){yyjson_get_raw(json), yyjson_get_len(json)} : (struct str){0};
    if (yyjson_is_uint(json)) {
        int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)yyjson_get_uint(json));
        char *kept = tmpl_alloc(r, sizeof digits);
        if (!kept)
            return tmpl_failed(r);
        memcpy(kept, digits, sizeof digits);
        text = (struct str){kept, (size_t)n};
    }
    double f;
    if (memchr(text.p, '.', text.n) || memchr(text.p, 'e', text.n) || memchr(text.p, 'E', text.n)) {
        *out = tmpl_float(tmpl_parse_float(text, &f) ? f : NAN);
        return 0;
    }
    *out = (struct val){.type = VAL_BIG, .n = (uint32_t)text.n, .p = text.p};
    return 0;
}

static int from_array(struct render *r, yyjson_val *json, uint8_t origin, struct val *out) {
    struct list *l = tmpl_list_new(r, yyjson_arr_size(json));
    size_t i, max;
    yyjson_val *item;
    if (!l)
        return tmpl_failed(r);
    yyjson_arr_foreach(json, i, max, item) {
        struct val v;
        if (tmpl_from_json(r, item, origin, &v) < 0 || tmpl_list_add(r, l, v) < 0)
            return tmpl_failed(r);
    }
    *out = tmpl_list(l);
    return 0;
}

static int from_object(struct render *r, yyjson_val *json, uint8_t origin, struct val *out) {
    struct dict *d = tmpl_dict_new(r);
    size_t i, max;
    yyjson_val *key, *item;
    if (!d)
        return tmpl_failed(r);
    yyjson_obj_foreach(json, i, max, key, item) {
        struct val k, v;
        if (tmpl_from_json(r, key, origin, &k) < 0 || tmpl_from_json(r, item, origin, &v) < 0 || tmpl_dict_set(r, d, k, v) < 0)
            return tmpl_failed(r);
    }
    *out = tmpl_dict(d);
    return 0;
}

int tmpl_from_json(struct render *r, yyjson_val *json, uint8_t origin, struct val *out) {
    int code = 0;
    if (tmpl_enter(r) < 0)
        return tmpl_failed(r);
    if (yyjson_is_str(json))
        *out = tmpl_str_of((struct str){yyjson_get_str(json), yyjson_get_len(json)}, origin);
    else if (yyjson_is_bool(json))
        *out = tmpl_bool(yyjson_get_bool(json));
    else if (yyjson_is_null(json))
        *out = tmpl_none();
    else if (yyjson_is_arr(json))
        code = from_array(r, json, origin, out);
    else if (yyjson_is_obj(json))
        code = from_object(r, json, origin, out);
    else if (from_number(json, out))
        code = from_big(r, json, out);
    out->origin = origin;
    tmpl_leave(r);
    return code;
}

/* ---- out ------------------------------------------------------------------------------------------------------------- */

struct writer {
    struct render *r;
    struct text t;
    struct val item_separator, key_separator, indent; /* indent: one level, or VAL_MISSING for one line */
    unsigned level;
    bool ascii, sort;
};

static int write_value(struct writer *w, struct val v);

static const char *json_escape(uint32_t cp, bool ascii, char out[16]) {
    static const char letters[] = "\bb\ff\nn\rr\tt\"\"\\\\";
    out[0] = 0;
    for (const char *p = letters; *p; p += 2)
        if (cp == (uint32_t)*p)
            snprintf(out, 16, "\\%c", p[1]);
    if (out[0])
        return out;
    if (ascii && cp >= 0x10000)
        snprintf(out, 16, "\\u%04x\\u%04x", 0xd800 + ((cp - 0x10000) >> 10), 0xdc00 + ((cp - 0x10000) & 0x3ff));
    else if (cp < 0x20 || (ascii && cp >= 0x7f))
        snprintf(out, 16, "\\u%04x", cp);
    return out;
}

/* The quotes are of the origin of the first byte, so that a string of the request is one piece. */
static void write_string(struct writer *w, struct val s, uint8_t origin) {
    struct render *r = w->r;
    char escape[16];
    size_t done = 0;
    unsigned len;
    uint8_t quotes = s.n ? tmpl_str_origin(s, 0) : origin;
    tmpl_text_byte(r, &w->t, '"', quotes);
    for (size_t i = 0; i < s.n; i += len) {
        uint32_t cp = tmpl_str_cp(s, i, &len);
        if ((cp >= ' ' && cp != '"' && cp != '\\' && (cp < 0x7f || !w->ascii)) || !*json_escape(cp, w->ascii, escape))
            continue;
        tmpl_text_sub(r, &w->t, s, done, i - done);
        tmpl_text_z(r, &w->t, escape, tmpl_str_origin(s, i));
        done = i + len;
    }
    tmpl_text_sub(r, &w->t, s, done, s.n - done);
    tmpl_text_byte(r, &w->t, '"', quotes);
}

static void write_float(struct writer *w, struct val v) {
    if (isfinite(v.f))
        tmpl_text_float(w->r, &w->t, v.f, v.origin);
    else
        tmpl_text_z(w->r, &w->t, isnan(v.f) ? "NaN" : v.f > 0 ? "Infinity" : "-Infinity", v.origin);
}

/* Separators and indentation are punctuation of the container, so they take its origin where it is the request's. */
static void write_text(struct writer *w, struct val s, uint8_t origin) {
    if (origin == REQUEST)
        tmpl_text_add(w->r, &w->t, s.p, s.n, REQUEST);
    else
        tmpl_text_str(w->r, &w->t, s);
}

static void new_line(struct writer *w, uint8_t origin) {
    if (w->indent.type == VAL_MISSING)
        return;
    tmpl_text_byte(w->r, &w->t, '\n', origin);
    for (unsigned i = 0; i < w->level; i++)
        write_text(w, w->indent, origin);
}

/* Before item i of a container. */
static void begin_item(struct writer *w, size_t i, uint8_t origin) {
    if (i > 0)
        write_text(w, w->item_separator, origin);
    new_line(w, origin);
}

static int write_list(struct writer *w, const struct list *l, uint8_t origin) {
    tmpl_text_byte(w->r, &w->t, '[', origin);
    w->level++;
    for (size_t i = 0; i < l->n; i++) {
        begin_item(w, i, origin);
        if (write_value(w, l->items[i]) < 0)
            return tmpl_failed(w->r);
    }
    w->level--;
    if (l->n)
        new_line(w, origin);
    tmpl_text_byte(w->r, &w->t, ']', origin);
    return 0;
}

static int write_key(struct writer *w, struct val key) {
    struct text t = {0};
    struct val s = key;
    switch ((enum val_type)key.type) {
    case VAL_STR: break;
    case VAL_NONE: s = tmpl_str_literal("null"); break;
    case VAL_BOOL: s = tmpl_str_literal(key.b ? "true" : "false"); break;
    case VAL_INT:
    case VAL_BIG:
    case VAL_FLOAT:
        tmpl_text_repr(w->r, &t, key);
        if (tmpl_text_end(w->r, &t, &s) < 0)
            return tmpl_failed(w->r);
        break;
    default: return tmpl_fail(w->r, "type", "keys must be str, int, float, bool or None, not %s", tmpl_type_name(key));
    }
    write_string(w, s, key.origin);
    return 0;
}

/* The entries of d, sorted by key where asked. */
static int ordered(struct writer *w, const struct dict *d, struct val **keys, struct val **values) {
    struct render *r = w->r;
    struct val *k = tmpl_array(r, d->n, sizeof *k), *v = tmpl_array(r, d->n, sizeof *v);
    if (!k || !v)
        return tmpl_failed(r);
    for (size_t i = 0; i < d->n; i++) {
        k[i] = d->entries[i].key;
        v[i] = d->entries[i].value;
    }
    *keys = k;
    *values = v;
    return w->sort ? tmpl_sort(r, v, k, d->n, false) : 0;
}

static int write_dict(struct writer *w, const struct dict *d, uint8_t origin) {
    struct val *keys = NULL, *values = NULL;
    if (ordered(w, d, &keys, &values) < 0)
        return tmpl_failed(w->r);
    tmpl_text_byte(w->r, &w->t, '{', origin);
    w->level++;
    for (size_t i = 0; i < d->n; i++) {
        begin_item(w, i, origin);
        if (write_key(w, keys[i]) < 0)
            return tmpl_failed(w->r);
        write_text(w, w->key_separator, origin);
        if (write_value(w, values[i]) < 0)
            return tmpl_failed(w->r);
    }
    w->level--;
    if (d->n)
        new_line(w, origin);
    tmpl_text_byte(w->r, &w->t, '}', origin);
    return 0;
}

static int write_value(struct writer *w, struct val v) {
    struct render *r = w->r;
    int code = 0;
    if (tmpl_enter(r) < 0 || tmpl_step(r) < 0)
        return tmpl_failed(r);
    switch ((enum val_type)v.type) {
    case VAL_STR: write_string(w, v, v.origin); break;
    case VAL_NONE: tmpl_text_z(r, &w->t, "null", v.origin); break;
    case VAL_BOOL: tmpl_text_z(r, &w->t, v.b ? "true" : "false", v.origin); break;
    case VAL_INT:
    case VAL_BIG: tmpl_text_repr(r, &w->t, v); break;
    case VAL_FLOAT: write_float(w, v); break;
    case VAL_LIST:
    case VAL_TUPLE: code = write_list(w, v.list, v.origin); break;
    case VAL_DICT: code = write_dict(w, v.dict, v.origin); break;
    default: code = tmpl_fail(r, "type", "Object of type %s is not JSON serializable", tmpl_type_name(v));
    }
    tmpl_leave(r);
    return code < 0 ? code : tmpl_failed(r);
}

/* indent: a number of blanks or a string. */
static int read_indent(struct render *r, struct val v, struct val *indent) {
    *indent = (struct val){0};
    if (v.type == VAL_MISSING || v.type == VAL_NONE)
        return 0;
    if (v.type == VAL_STR) {
        *indent = v;
        return 0;
    }
    if (!tmpl_is_int(v))
        return tmpl_fail(r, "type", "can't multiply sequence by non-int of type '%s'", tmpl_type_name(v));
    return tmpl_arith(r, '*', tmpl_str_literal(" "), v, indent);
}

static int read_separators(struct render *r, struct val v, struct writer *w) {
    w->item_separator = tmpl_str_literal(w->indent.type == VAL_MISSING ? ", " : ",");
    w->key_separator = tmpl_str_literal(": ");
    if (v.type == VAL_MISSING || v.type == VAL_NONE)
        return 0;
    struct list *l;
    if (tmpl_to_list(r, v, &l) < 0)
        return tmpl_failed(r);
    if (l->n != 2 || l->items[0].type != VAL_STR || l->items[1].type != VAL_STR)
        return tmpl_fail(r, "type", "separators must be two strings");
    w->item_separator = l->items[0];
    w->key_separator = l->items[1];
    return 0;
}

/* tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False), as transformers sets it up: no HTML escapes. */
int tmpl_filter_tojson(struct call *c) {
    struct writer w = {.r = c->r, .ascii = tmpl_truth(c->arg[0]), .sort = tmpl_truth(c->arg[3])};
    if (read_indent(c->r, c->arg[1], &w.indent) < 0 || read_separators(c->r, c->arg[2], &w) < 0 || write_value(&w, c->self) < 0)
        return tmpl_failed(c->r);
    return tmpl_text_end(c->r, &w.t, c->out);
}
