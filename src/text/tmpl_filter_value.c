/* tmpl_filter_value: filters on single values: numbers, conversions, defaults. */
#include "tmpl_run.h"

#include <math.h>
#include <string.h>

static int filter_abs(struct call *c) {
    struct val v = c->self;
    if (!tmpl_is_number(v))
        return tmpl_fail(c->r, "type", "bad operand type for abs(): '%s'", tmpl_type_name(v));
    return tmpl_negate(c->r, v, v.type == VAL_FLOAT ? signbit(v.f) : tmpl_as_int(v) < 0, c->out);
}

static int filter_attr(struct call *c) {
    struct render *r = c->r;
    if (c->arg[0].type != VAL_STR)
        return tmpl_fail(r, "type", "attribute name must be string, not '%s'", tmpl_type_name(c->arg[0]));
    struct val item;
    int code = tmpl_getattr(r, c->self, tmpl_str_bytes(c->arg[0]), c->out);
    if (code < 0 || c->self.type != VAL_DICT || c->out->type == VAL_UNDEFINED)
        return code;
    if (tmpl_dict_get(r, c->self.dict, c->arg[0], &item) < 0) /* attributes only, never items */
        return tmpl_failed(r);
    if (item.type != VAL_MISSING && c->out->type != VAL_METHOD)
        *c->out = tmpl_undefined(tmpl_str_bytes(c->arg[0]), tmpl_type_name(c->self));
    return 0;
}

/* default(default_value='', boolean=False) */
static int filter_default(struct call *c) {
    bool use = c->self.type == VAL_UNDEFINED || (tmpl_truth(c->arg[1]) && !tmpl_truth(c->self));
    *c->out = !use ? c->self : c->arg[0].type == VAL_MISSING ? tmpl_str_literal("") : c->arg[0];
    return 0;
}

/* Python's float(v); *ok false where that is a TypeError or ValueError. */
static int to_float(struct render *r, struct val v, double *out, bool *ok) {
    *ok = true;
    if (v.type == VAL_UNDEFINED)
        return tmpl_undefined_fail(r, v);
    if (tmpl_is_number(v))
        *out = tmpl_as_float(v);
    else if (v.type == VAL_STR || v.type == VAL_BYTES || v.type == VAL_BIG)
        *ok = tmpl_parse_float(tmpl_str_bytes(v), out);
    else
        *ok = false;
    return v.type == VAL_STR ? tmpl_work(r, v.n) : 0;
}

/* float(default=0.0) */
static int filter_float(struct call *c) {
    double f = 0;
    bool ok;
    if (to_float(c->r, c->self, &f, &ok) < 0)
        return tmpl_failed(c->r);
    *c->out = ok ? tmpl_float(f) : c->arg[0].type == VAL_MISSING ? tmpl_float(0) : c->arg[0];
    return 0;
}

static int float_to_int(struct render *r, double f, struct val *out) {
    if (!(f >= -0x1p63 && f < 0x1p63))
        return tmpl_fail(r, "limit", "a float does not fit a 64-bit integer");
    *out = tmpl_int((int64_t)f);
    return 0;
}

/* int(default=0, base=10) */
static int filter_int(struct call *c) {
    struct render *r = c->r;
    struct val v = c->self;
    int64_t i = 0, base = 10;
    double f = 0;
    bool ok = false;
    if (c->arg[1].type != VAL_MISSING) {
        if (!tmpl_is_int(c->arg[1]))
            return tmpl_fail(r, "type", "'%s' object cannot be interpreted as an integer", tmpl_type_name(c->arg[1]));
        base = tmpl_as_int(c->arg[1]);
    }
    *c->out = c->arg[0].type == VAL_MISSING ? tmpl_int(0) : c->arg[0];
    if (v.type == VAL_BIG) {
        *c->out = v;
        return 0;
    }
    if (tmpl_is_int(v)) {
        *c->out = tmpl_int(tmpl_as_int(v));
        return 0;
    }
    if (v.type == VAL_FLOAT)
        return isnan(v.f)   ? 0
               : isinf(v.f) ? tmpl_fail(r, "limit", "cannot convert float infinity to integer")
                            : float_to_int(r, v.f, c->out);
    if (v.type == VAL_BYTES)
        base = 10;
    if ((v.type == VAL_STR || v.type == VAL_BYTES) && (base == 0 || (base >= 2 && base <= 36)) &&
        tmpl_parse_int(r, tmpl_str_bytes(v), (int)base, &i, &ok) < 0)
        return tmpl_failed(r);
    if (ok) {
        *c->out = tmpl_int(i);
        return 0;
    }
    if (to_float(r, v, &f, &ok) < 0)
        return tmpl_failed(r);
    return ok && isfinite(f) ? float_to_int(r, f, c->out) : 0; /* "42.9" is 42, "inf" the default */
}

/* round(precision=0, method='common') */
static int filter_round(struct call *c) {
    struct render *r = c->r;
    struct val precision = c->arg[0].type == VAL_MISSING ? tmpl_int(0) : c->arg[0], scale;
    bool ceil_it = tmpl_is_str(c->arg[1], "ceil"), floor_it = tmpl_is_str(c->arg[1], "floor");
    if (c->arg[1].type != VAL_MISSING && !ceil_it && !floor_it && !tmpl_is_str(c->arg[1], "common"))
        return tmpl_fail(r, "template", "method must be common, ceil or floor");
    if (!tmpl_is_int(precision))
        return tmpl_fail(r, "type", "'%s' object cannot be interpreted as an integer", tmpl_type_name(precision));
    if (!ceil_it && !floor_it)
        return tmpl_round(r, c->self, tmpl_as_int(precision), c->out);
    if (tmpl_arith(r, 'p', tmpl_int(10), precision, &scale) < 0 || tmpl_arith(r, '*', c->self, scale, c->out) < 0)
        return tmpl_failed(r);
    if (!tmpl_is_number(*c->out))
        return tmpl_fail(r, "type", "must be real number, not %s", tmpl_type_name(c->self));
    if (c->out->type == VAL_FLOAT && float_to_int(r, ceil_it ? ceil(c->out->f) : floor(c->out->f), c->out) < 0)
        return tmpl_failed(r);
    return tmpl_arith(r, '/', *c->out, scale, c->out);
}

/* filesizeformat(binary=False) */
static int filter_filesizeformat(struct call *c) {
    struct render *r = c->r;
    struct text t = {0};
    char text[64];
    double bytes = 0, base = tmpl_truth(c->arg[0]) ? 1024 : 1000, unit = base;
    bool ok;
    if (to_float(r, c->self, &bytes, &ok) < 0 || !ok)
        return tmpl_failed(r) ? tmpl_failed(r) : tmpl_fail(r, "type", "could not convert to float");
    if (bytes == 1) {
        snprintf(text, sizeof text, "1 Byte");
    } else if (bytes < base) {
        snprintf(text, sizeof text, "%.0f Bytes", trunc(bytes) + 0.0); /* no -0 */
    } else {
        const char *letters = base > 1000 ? "KMGTPEZY" : "kMGTPEZY";
        size_t i = 0;
        for (unit = base * base; i < 7 && bytes >= unit; i++)
            unit *= base;
        snprintf(text, sizeof text, "%.1f %c%sB", base * bytes / unit, letters[i], base > 1000 ? "i" : "");
    }
    tmpl_text_z(r, &t, text, c->self.origin == MIXED ? REQUEST : c->self.origin);
    return tmpl_text_end(r, &t, c->out);
}

static int filter_format(struct call *c) {
    struct render *r = c->r;
    struct val s, args;
    if (c->all->n && c->all->n_kw)
        return tmpl_fail(r, "template", "can't handle positional and keyword arguments at the same time");
    if (tmpl_str_from(r, c->self, &s) < 0)
        return tmpl_failed(r);
    struct list *l = tmpl_list_new(r, c->all->n);
    struct dict *d = tmpl_dict_new(r);
    if (!l || !d)
        return tmpl_failed(r);
    for (size_t i = 0; i < c->all->n; i++)
        if (tmpl_list_add(r, l, c->all->pos[i]) < 0)
            return tmpl_failed(r);
    for (size_t i = 0; i < c->all->n_kw; i++)
        if (tmpl_dict_set(r, d, tmpl_str_of(c->all->kw[i].name, TEMPLATE), c->all->kw[i].value) < 0)
            return tmpl_failed(r);
    args = c->all->n_kw ? tmpl_dict(d) : tmpl_tuple(l);
    return tmpl_percent(r, s, args, c->out);
}

const struct callable tmpl_filters_value[] = {
    {"abs", 0, 0, NULL, filter_abs},
    {"attr", 1, 1, "name", filter_attr},
    {"d", 0, 2, "default_value boolean", filter_default},
    {"default", 0, 2, "default_value boolean", filter_default},
    {"filesizeformat", 0, 1, "binary", filter_filesizeformat},
    {"float", 0, 1, "default", filter_float},
    {"format", 0, VARIADIC, NULL, filter_format},
    {"int", 0, 2, "default base", filter_int},
    {"pprint", 0, 0, NULL, tmpl_filter_pprint},
    {"round", 0, 2, "precision method", filter_round},
    {"tojson", 0, 4, "ensure_ascii indent separators sort_keys", tmpl_filter_tojson},
    {.name = NULL},
};
