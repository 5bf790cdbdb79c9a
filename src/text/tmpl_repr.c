/* tmpl_repr: values as Python prints them: str() and repr(). */
#include "tmpl_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/* The shortest decimal digits that read back as f (> 0, finite), and where the point stands: 0.DIGITS * 10^point. */
static int shortest_digits(double f, char digits[24], int *point) {
    yyjson_val v = {0};
    v.tag = YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL;
    v.uni.f64 = f;
    char *text = yyjson_val_write(&v, 0, NULL);
    int n = 0, exponent = 0, before = 0;
    bool fraction = false;
    for (const char *p = text; p && *p; p++) {
        if (*p == '.')
            fraction = true;
        else if ((*p | 32) == 'e') {
            exponent = (int)strtol(p + 1, NULL, 10);
            break;
        } else if (*p >= '0' && *p <= '9') {
            if (n > 0 || *p != '0') {
                if (n < 23)
                    digits[n++] = *p;
                before += !fraction;
            } else if (fraction)
                before--; /* 0.00ddd */
        }
    }
    free(text);
    *point = before + exponent;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    digits[n] = 0;
    return n;
}

void tmpl_text_float(struct render *r, struct text *t, double f, uint8_t origin) {
    char digits[24], out[64];
    int point, n, k;
    if (signbit(f) && !isnan(f))
        tmpl_text_byte(r, t, '-', origin);
    f = fabs(f);
    if (isnan(f) || isinf(f) || f == 0) {
        tmpl_text_z(r, t, isnan(f) ? "nan" : isinf(f) ? "inf" : "0.0", origin);
        return;
    }
    n = shortest_digits(f, digits, &point);
    if (point > 16 || point < -3) {
        k = snprintf(out, sizeof out, "%c%s%.*se%+03d", digits[0], n > 1 ? "." : "", n - 1, digits + 1, point - 1);
    } else if (point <= 0) {
        k = snprintf(out, sizeof out, "0.%.*s%s", -point, "0000", digits);
    } else if (n > point) {
        k = snprintf(out, sizeof out, "%.*s.%s", point, digits, digits + point);
    } else {
        k = snprintf(out, sizeof out, "%s%.*s.0", digits, point - n, "0000000000000000");
    }
    tmpl_text_add(r, t, out, (size_t)k, origin);
}

/* ---- strings -------------------------------------------------------------------------------------------------------- */

/* How repr spells a character: "" as it is. */
static const char *repr_escape(uint32_t cp, char quote, char out[12]) {
    out[0] = 0;
    if (cp == '\\' || cp == (uint32_t)quote)
        snprintf(out, 12, "\\%c", (int)cp);
    else if (cp == '\n' || cp == '\r' || cp == '\t')
        snprintf(out, 12, "\\%c", cp == '\n' ? 'n' : cp == '\r' ? 'r' : 't');
    else if (!(tmpl_char_class(cp) & CHAR_PRINTABLE))
        snprintf(out, 12, cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
    return out;
}

/* Quotes are of the string's own first byte: whoever wrote it can only make quotes of his own. */
static void repr_str(struct render *r, struct text *t, struct val s) {
    char quote = s.n && memchr(s.p, '\'', s.n) && !memchr(s.p, '"', s.n) ? '"' : '\'', escape[12];
    uint8_t origin = s.n ? tmpl_str_origin(s, 0) : TEMPLATE;
    size_t done = 0;
    unsigned len;
    tmpl_text_byte(r, t, quote, origin);
    for (size_t i = 0; i < s.n; i += len) {
        uint32_t cp = tmpl_str_cp(s, i, &len);
        if (cp >= ' ' && cp < 0x7f && cp != '\\' && cp != '\'' && cp != '"')
            continue;
        if (!*repr_escape(cp, quote, escape))
            continue;
        tmpl_text_sub(r, t, s, done, i - done);
        tmpl_text_z(r, t, escape, tmpl_str_origin(s, i));
        done = i + len;
    }
    tmpl_text_sub(r, t, s, done, s.n - done);
    tmpl_text_byte(r, t, quote, origin);
}

/* ---- containers ------------------------------------------------------------------------------------------------------- */

static void repr_items(struct render *r, struct text *t, const struct list *l, const char *open, const char *close,
                       uint8_t origin) {
    tmpl_text_z(r, t, open, origin);
    for (size_t i = 0; i < l->n && !tmpl_failed(r); i++) {
        if (i > 0)
            tmpl_text_z(r, t, ", ", origin);
        tmpl_text_repr(r, t, l->items[i]);
    }
    tmpl_text_z(r, t, close, origin);
}

static void repr_dict(struct render *r, struct text *t, const struct dict *d, uint8_t origin) {
    tmpl_text_z(r, t, "{", origin);
    for (size_t i = 0; i < d->n && !tmpl_failed(r); i++) {
        if (i > 0)
            tmpl_text_z(r, t, ", ", origin);
        tmpl_text_repr(r, t, d->entries[i].key);
        tmpl_text_z(r, t, ": ", origin);
        tmpl_text_repr(r, t, d->entries[i].value);
    }
    tmpl_text_z(r, t, "}", origin);
}

static void repr_view(struct render *r, struct text *t, struct val v) {
    struct list *items;
    if (tmpl_to_list(r, v, &items) < 0)
        return;
    tmpl_text_z(r, t, tmpl_type_name(v), v.origin);
    repr_items(r, t, items, "([", "])", v.origin);
}

static void repr_range(struct render *r, struct text *t, const struct range *g) {
    char text[96];
    if (g->step == 1)
        snprintf(text, sizeof text, "range(%lld, %lld)", (long long)g->start, (long long)g->stop);
    else
        snprintf(text, sizeof text, "range(%lld, %lld, %lld)", (long long)g->start, (long long)g->stop, (long long)g->step);
    tmpl_text_z(r, t, text, TEMPLATE);
}

static void repr_loop(struct render *r, struct text *t, struct val v) {
    int64_t length;
    char text[64];
    if (tmpl_length(r, v, &length) < 0)
        return;
    snprintf(text, sizeof text, "<LoopContext %lld/%lld>", (long long)v.loop->index0 + 1, (long long)length);
    tmpl_text_z(r, t, text, TEMPLATE);
}

static void repr_macro(struct render *r, struct text *t, struct str name) {
    if (!name.n) { /* the caller of a call block */
        tmpl_text_z(r, t, "<Macro anonymous>", TEMPLATE);
        return;
    }
    tmpl_text_z(r, t, "<Macro '", TEMPLATE);
    tmpl_text_add(r, t, name.p, name.n, TEMPLATE);
    tmpl_text_z(r, t, "'>", TEMPLATE);
}

/* The functions of the language that are classes in Python, and how these print. */
static const char *class_of(const char *name) {
    static const char *const classes[][2] = {{"cycler", "<class 'jinja2.utils.Cycler'>"},
                                             {"dict", "<class 'dict'>"},
                                             {"joiner", "<class 'jinja2.utils.Joiner'>"},
                                             {"namespace", "<class 'jinja2.utils.Namespace'>"},
                                             {"range", "<class 'range'>"}};
    for (size_t i = 0; i < N_ITEMS(classes); i++)
        if (strcmp(name, classes[i][0]) == 0)
            return classes[i][1];
    return NULL;
}

/* Things without a value of their own print without the address that Python shows. */
static void repr_object(struct render *r, struct text *t, struct val v) {
    const char *class = v.type == VAL_FUNC ? class_of(v.func->name) : NULL;
    if (class) {
        tmpl_text_z(r, t, class, TEMPLATE);
        return;
    }
    tmpl_text_byte(r, t, '<', TEMPLATE);
    tmpl_text_z(r, t, tmpl_type_name(v), TEMPLATE);
    tmpl_text_byte(r, t, ' ', TEMPLATE);
    tmpl_text_z(r, t,
                v.type == VAL_FUNC     ? v.func->name
                : v.type == VAL_METHOD ? v.bound->func->name
                : v.type == VAL_SELF   ? "None" /* a template without a name */
                                       : "object",
                TEMPLATE);
    tmpl_text_byte(r, t, '>', TEMPLATE);
}

static void repr_inner(struct render *r, struct text *t, struct val v) {
    switch ((enum val_type)v.type) {
    case VAL_STR:
        if (v.flags & FLAG_MARKUP)
            tmpl_text_z(r, t, "Markup(", TEMPLATE);
        repr_str(r, t, v);
        if (v.flags & FLAG_MARKUP)
            tmpl_text_z(r, t, ")", TEMPLATE);
        return;
    case VAL_LIST: repr_items(r, t, v.list, "[", "]", v.origin); return;
    case VAL_TUPLE: repr_items(r, t, v.list, "(", v.list->n == 1 ? ",)" : ")", v.origin); return;
    case VAL_DICT: repr_dict(r, t, v.dict, v.origin); return;
    case VAL_VIEW: repr_view(r, t, v); return;
    case VAL_RANGE: repr_range(r, t, v.range); return;
    case VAL_LOOP: repr_loop(r, t, v); return;
    case VAL_MACRO: repr_macro(r, t, v.macro->def->name); return;
    case VAL_SPACE:
        tmpl_text_z(r, t, "<Namespace ", TEMPLATE);
        repr_dict(r, t, v.dict, TEMPLATE);
        tmpl_text_z(r, t, ">", TEMPLATE);
        return;
    default: repr_object(r, t, v);
    }
}

void tmpl_text_repr(struct render *r, struct text *t, struct val v) {
    char text[24];
    switch ((enum val_type)v.type) {
    case VAL_MISSING:
    case VAL_UNDEFINED: tmpl_text_z(r, t, "Undefined", TEMPLATE); return;
    case VAL_NONE: tmpl_text_z(r, t, "None", v.origin); return;
    case VAL_BOOL: tmpl_text_z(r, t, v.b ? "True" : "False", v.origin); return;
    case VAL_INT: tmpl_text_add(r, t, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)v.i), v.origin); return;
    case VAL_BIG: tmpl_text_add(r, t, v.p, v.n, v.origin); return;
    case VAL_FLOAT: tmpl_text_float(r, t, v.f, v.origin); return;
    case VAL_BYTES: tmpl_text_bytes(r, t, v); return;
    default: break;
    }
    if (tmpl_step(r) < 0 || tmpl_enter(r) < 0)
        return;
    repr_inner(r, t, v);
    tmpl_leave(r);
}

void tmpl_text_val(struct render *r, struct text *t, struct val v) {
    if (v.type == VAL_STR)
        tmpl_text_str(r, t, v);
    else if (v.type != VAL_UNDEFINED)
        tmpl_text_repr(r, t, v);
}
