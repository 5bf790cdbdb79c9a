/* tmpl_method_map: methods of str that map its characters by a table: translate and maketrans. */
#include "tmpl_run.h"

static uint32_t first_cp(struct val s) {
    unsigned len;
    return tmpl_str_cp(s, 0, &len);
}

/* ---- translate ------------------------------------------------------------------------------------------------------ */

/* table[cp]: missing where the table has nothing for it. */
static int look_up(struct render *r, struct val table, uint32_t cp, struct val *out) {
    switch ((enum val_type)table.type) {
    case VAL_DICT: return tmpl_dict_get(r, table.dict, tmpl_int(cp), out);
    case VAL_UNDEFINED: return tmpl_undefined_fail(r, table);
    case VAL_STR:
    case VAL_LIST:
    case VAL_TUPLE:
    case VAL_RANGE: break;
    default: return tmpl_fail(r, "type", "'%s' object is not subscriptable", tmpl_type_name(table));
    }
    if (tmpl_getitem(r, table, tmpl_int(cp), out) < 0)
        return tmpl_failed(r);
    int64_t n;
    if (out->type == VAL_UNDEFINED && tmpl_length(r, table, &n) == 0 && cp >= n)
        *out = (struct val){0};
    return tmpl_failed(r);
}

/* Appends what a table gives for the character at byte `at` of s. A number becomes a character of the request where either of
 * them is the request's. */
static int add_mapped(struct render *r, struct text *t, struct val s, size_t at, unsigned len, struct val to) {
    if (to.type == VAL_MISSING)
        tmpl_text_sub(r, t, s, at, len);
    else if (to.type == VAL_STR)
        tmpl_text_str(r, t, to);
    else if (tmpl_is_int(to)) {
        int64_t cp = tmpl_as_int(to);
        if (cp < 0 || cp > 0x10ffff)
            return tmpl_fail(r, "type", "character mapping must be in range(0x110000)");
        if (tmpl_is_surrogate(cp))
            return tmpl_fail(r, "type", "surrogates not allowed");
        tmpl_text_cp(r, t, (uint32_t)cp, to.origin == TEMPLATE ? tmpl_str_origin(s, at) : REQUEST);
    } else if (to.type != VAL_NONE)
        return tmpl_fail(r, "type", "character mapping must return integer, None or str");
    return tmpl_failed(r);
}

static int str_translate(struct call *c) {
    struct text t = {0};
    unsigned len;
    for (size_t at = 0; at < c->self.n && !tmpl_failed(c->r); at += len) {
        struct val to;
        uint32_t cp = tmpl_str_cp(c->self, at, &len);
        if (look_up(c->r, c->arg[0], cp, &to) < 0 || add_mapped(c->r, &t, c->self, at, len, to) < 0)
            return tmpl_failed(c->r);
    }
    int code = tmpl_text_end(c->r, &t, c->out);
    c->out->flags = c->self.flags;
    return code;
}

/* ---- maketrans ------------------------------------------------------------------------------------------------------- */

/* A mapping whose keys are characters or their numbers. */
static int fill_from_dict(struct render *r, struct dict *d, struct val from) {
    if (from.type != VAL_DICT)
        return tmpl_fail(r, "type", "if you give only one argument to maketrans it must be a dict");
    for (size_t i = 0; i < from.dict->n; i++) {
        struct val key = from.dict->entries[i].key;
        if (key.type == VAL_STR) {
            if (tmpl_str_length(key) != 1)
                return tmpl_fail(r, "type", "string keys in translate table must be of length 1");
            key = tmpl_int(first_cp(key));
        } else if (!tmpl_is_int(key)) {
            return tmpl_fail(r, "type", "keys in translate table must be strings or integers");
        }
        if (tmpl_dict_set(r, d, key, from.dict->entries[i].value) < 0)
            return tmpl_failed(r);
    }
    return 0;
}

/* Each character of a to that of b at the same place; b missing: to None. */
static int fill_from_pairs(struct render *r, struct dict *d, struct val a, struct val b) {
    bool paired = b.type != VAL_MISSING;
    if (a.type != VAL_STR || (paired && b.type != VAL_STR))
        return tmpl_fail(r, "type", "maketrans() argument must be str, not %s", tmpl_type_name(a.type != VAL_STR ? a : b));
    if (paired && tmpl_str_length(a) != tmpl_str_length(b))
        return tmpl_fail(r, "type", "the first two maketrans arguments must have equal length");
    unsigned len, len_to = 0;
    for (size_t at = 0, to = 0; at < a.n; at += len, to += len_to) {
        struct val key = tmpl_int(tmpl_str_cp(a, at, &len)), value = tmpl_none();
        if (paired) {
            value = tmpl_int(tmpl_str_cp(b, to, &len_to));
            value.origin = tmpl_str_origin(b, to);
        }
        if (tmpl_dict_set(r, d, key, value) < 0)
            return tmpl_failed(r);
    }
    return 0;
}

static int str_maketrans(struct call *c) {
    struct dict *d = tmpl_dict_new(c->r);
    if (!d)
        return tmpl_failed(c->r);
    *c->out = tmpl_dict(d);
    if (c->arg[1].type == VAL_MISSING)
        return fill_from_dict(c->r, d, c->arg[0]);
    if (fill_from_pairs(c->r, d, c->arg[0], c->arg[1]) < 0)
        return tmpl_failed(c->r);
    return c->arg[2].type == VAL_MISSING ? 0 : fill_from_pairs(c->r, d, c->arg[2], (struct val){0});
}

const struct callable tmpl_methods_map[] = {
    {"maketrans", 1, 3, NULL, str_maketrans},
    {"translate", 1, 1, NULL, str_translate},
    {.name = NULL},
};
