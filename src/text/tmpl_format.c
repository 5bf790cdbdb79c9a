/* tmpl_format: Python's string formatting: `format % args` and str.format(). Bytes of the format keep their origin, and so do
 * those of the arguments. */
#include "tmpl_number.h"

#include <math.h>
#include <string.h>

/* ---- format % args ---------------------------------------------------------------------------------------------------- */

struct percent {
    struct render *r;
    struct val format, args;
    struct text t;
    size_t at;
    size_t next_arg;
    bool one_used; /* args is no tuple, and was used */
};

static char peek(const struct percent *p) {
    return p->at < p->format.n ? p->format.p[p->at] : 0;
}

static int next_arg(struct percent *p, struct val *out) {
    bool tuple = p->args.type == VAL_TUPLE;
    if (tuple ? p->next_arg >= p->args.list->n : p->one_used)
        return tmpl_fail(p->r, "type", "not enough arguments for format string");
    *out = tuple ? p->args.list->items[p->next_arg++] : p->args;
    p->one_used = true;
    return 0;
}

/* Digits, or * for an argument. */
static int read_number(struct percent *p, int64_t *out) {
    *out = 0;
    if (peek(p) == '*') {
        struct val v;
        p->at++;
        if (next_arg(p, &v) < 0)
            return tmpl_failed(p->r);
        if (!tmpl_is_int(v))
            return tmpl_fail(p->r, "type", "* wants int");
        *out = tmpl_as_int(v);
        return 0;
    }
    for (; peek(p) >= '0' && peek(p) <= '9'; p->at++)
        if (*out < 1 << 30)
            *out = *out * 10 + (peek(p) - '0');
    return 0;
}

/* (name): the argument from a mapping. */
static int read_key(struct percent *p, struct val *out) {
    size_t from = ++p->at;
    unsigned depth = 1;
    for (; p->at < p->format.n && depth > 0; p->at++)
        depth += peek(p) == '(' ? 1 : peek(p) == ')' ? -1u : 0;
    if (depth > 0)
        return tmpl_fail(p->r, "type", "incomplete format key");
    if (p->args.type != VAL_DICT)
        return tmpl_fail(p->r, "type", "format requires a mapping");
    struct val key = tmpl_str_sub(p->format, from, p->at - 1 - from);
    if (tmpl_dict_get(p->r, p->args.dict, key, out) < 0)
        return tmpl_failed(p->r);
    return out->type == VAL_MISSING ? tmpl_fail(p->r, "type", "no key '%.*s' to format", (int)key.n, key.p) : 0;
}

static int put_number(struct percent *p, struct val v, const struct spec *spec) {
    struct render *r = p->r;
    bool real = strchr("eEfFgG", spec->type);
    if (v.type == VAL_UNDEFINED)
        return tmpl_undefined_fail(r, v);
    if (!tmpl_is_number(v) || (v.type == VAL_FLOAT && strchr("xXo", spec->type)))
        return tmpl_fail(r, "type", "%%%c format: a number is required, not %s", spec->type, tmpl_type_name(v));
    if (real)
        return tmpl_format_float(r, &p->t, tmpl_as_float(v), spec, v.origin);
    if (v.type == VAL_FLOAT && !(v.f >= -0x1p63 && v.f < 0x1p63))
        return tmpl_fail(r, "limit", "a float does not fit a 64-bit integer");
    return tmpl_format_int(r, &p->t, v.type == VAL_FLOAT ? (int64_t)v.f : tmpl_as_int(v), spec, v.origin);
}

static int put_char(struct percent *p, struct val v, const struct spec *spec) {
    struct text t = {0};
    if (tmpl_is_int(v) && tmpl_as_int(v) >= 0 && tmpl_as_int(v) < 0x110000 && !tmpl_is_surrogate(tmpl_as_int(v))) {
        tmpl_text_cp(p->r, &t, (uint32_t)tmpl_as_int(v), v.origin);
        if (tmpl_text_end(p->r, &t, &v) < 0)
            return tmpl_failed(p->r);
    }
    if (v.type != VAL_STR || tmpl_str_length(v) != 1)
        return tmpl_fail(p->r, "type", "%%c requires int or char");
    return tmpl_format_str(p->r, &p->t, v, spec);
}

/* repr(v) as a string; `ascii` also escapes what is not ASCII. */
static int repr_of(struct render *r, struct val v, bool ascii, struct val *out) {
    struct text t = {0}, plain = {0};
    unsigned len;
    tmpl_text_repr(r, &t, v);
    if (tmpl_text_end(r, &t, out) < 0 || !ascii)
        return tmpl_failed(r);
    for (size_t i = 0; i < out->n; i += len) {
        char escape[12];
        uint32_t cp = tmpl_str_cp(*out, i, &len);
        snprintf(escape, sizeof escape, cp < 0x80 ? "%c" : cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
        tmpl_text_z(r, &plain, escape, tmpl_str_origin(*out, i));
    }
    return tmpl_text_end(r, &plain, out);
}

static int put_text(struct percent *p, struct val v, const struct spec *spec) {
    struct val s;
    int code = spec->type == 's' ? tmpl_str_from(p->r, v, &s) : repr_of(p->r, v, spec->type == 'a', &s);
    if (code == 0 && p->format.flags & FLAG_MARKUP) {
        s.flags = v.type == VAL_STR ? v.flags : 0;
        code = tmpl_str_escape(p->r, s, &s);
    }
    return code < 0 ? code : tmpl_format_str(p->r, &p->t, s, spec);
}

static void read_flags(struct percent *p, struct spec *spec) {
    spec->align = '>';
    for (; peek(p) && strchr("-+ #0", peek(p)); p->at++)
        switch (peek(p)) {
        case '-': spec->align = '<'; break;
        case '+': spec->sign = '+'; break;
        case ' ': spec->sign = spec->sign ? spec->sign : ' '; break;
        case '#': spec->alternate = true; break;
        default: spec->fill = tmpl_str_literal("0"); break;
        }
}

/* One conversion, behind its %. */
static int convert(struct percent *p) {
    struct render *r = p->r;
    struct spec spec = {.precision = -1, .percent = true};
    struct val v = {0};
    if (peek(p) == '(' && read_key(p, &v) < 0)
        return tmpl_failed(r);
    read_flags(p, &spec);
    if (read_number(p, &spec.width) < 0)
        return tmpl_failed(r);
    if (spec.width < 0) {
        spec.align = '<';
        spec.width = spec.width == INT64_MIN ? INT64_MAX : -spec.width;
    }
    if (peek(p) == '.') {
        p->at++;
        if (read_number(p, &spec.precision) < 0)
            return tmpl_failed(r);
    }
    if (peek(p) == 'h' || peek(p) == 'l' || peek(p) == 'L')
        p->at++;
    spec.type = peek(p);
    if (!spec.type)
        return tmpl_fail(r, "type", "incomplete format");
    p->at++;
    if (spec.type == '%') {
        tmpl_text_sub(r, &p->t, p->format, p->at - 1, 1);
        return 0;
    }
    if (v.type == VAL_MISSING && next_arg(p, &v) < 0)
        return tmpl_failed(r);
    bool number = strchr("diuoxXeEfFgG", spec.type);
    if (spec.fill.type != VAL_MISSING && (!number || spec.align == '<'))
        spec.fill = (struct val){0};
    else if (spec.fill.type != VAL_MISSING)
        spec.align = '=';
    if (number)
        return put_number(p, v, &spec);
    if (spec.type == 'c')
        return put_char(p, v, &spec);
    if (strchr("sra", spec.type))
        return put_text(p, v, &spec);
    return tmpl_fail(r, "type", "unsupported format character '%c'", spec.type < 0x20 || spec.type > 0x7e ? '?' : spec.type);
}

int tmpl_percent(struct render *r, struct val format, struct val args, struct val *out) {
    struct percent p = {.r = r, .format = format, .args = args};
    while (p.at < format.n) {
        const char *next = memchr(format.p + p.at, '%', format.n - p.at);
        size_t n = next ? (size_t)(next - format.p) - p.at : format.n - p.at;
        tmpl_text_sub(r, &p.t, format, p.at, n);
        p.at += n + (next != NULL);
        if (next && convert(&p) < 0)
            return tmpl_failed(r);
    }
    bool left = args.type == VAL_TUPLE ? p.next_arg < args.list->n : !p.one_used;
    bool mapping = args.type == VAL_DICT || args.type == VAL_LIST || args.type == VAL_UNDEFINED || args.type == VAL_RANGE;
    if (left && !mapping)
        return tmpl_fail(r, "type", "not all arguments converted during string formatting");
    int code = tmpl_text_end(r, &p.t, out);
    out->flags = format.flags;
    return code;
}

/* ---- str.format -------------------------------------------------------------------------------------------------------------- */

struct formatter {
    struct render *r;
    struct val format;
    const struct args *args;
    int64_t next_auto; /* of {}; -1: fields have numbers */
};

static int format_into(struct formatter *f, struct val format, unsigned depth, struct text *t);

static bool is_align(char c) {
    return c == '<' || c == '>' || c == '^' || c == '=';
}

static int64_t read_digits(struct val s, size_t *at) {
    int64_t n = 0;
    for (; *at < s.n && s.p[*at] >= '0' && s.p[*at] <= '9'; ++*at)
        if (n < 1 << 30)
            n = n * 10 + (s.p[*at] - '0');
    return n;
}

static bool skip(struct val s, size_t *at, char c) {
    if (*at >= s.n || s.p[*at] != c)
        return false;
    ++*at;
    return true;
}

static int parse_spec(struct render *r, struct val s, struct spec *spec) {
    size_t at = 0;
    unsigned len = 0;
    *spec = (struct spec){.precision = -1};
    if (s.n)
        tmpl_str_cp(s, 0, &len);
    if (len < s.n && is_align(s.p[len])) {
        spec->fill = tmpl_str_sub(s, 0, len);
        spec->align = s.p[len];
        at = len + 1;
    } else if (s.n && is_align(s.p[0])) {
        spec->align = s.p[at++];
    }
    if (at < s.n && strchr("+- ", s.p[at]) && s.p[at])
        spec->sign = s.p[at++];
    spec->alternate = skip(s, &at, '#');
    if (at < s.n && s.p[at] == '0' && spec->fill.type == VAL_MISSING) {
        spec->fill = tmpl_str_sub(s, at, 1);
        if (!spec->align)
            spec->align = '0'; /* '=' for numbers, the usual for strings */
        at++;
    }
    spec->width = read_digits(s, &at);
    if (at < s.n && (s.p[at] == ',' || s.p[at] == '_'))
        spec->grouping = s.p[at++];
    if (skip(s, &at, '.')) {
        if (at >= s.n || s.p[at] < '0' || s.p[at] > '9')
            return tmpl_fail(r, "type", "Format specifier missing precision");
        spec->precision = read_digits(s, &at);
    }
    if (at < s.n)
        spec->type = s.p[at++];
    return at < s.n ? tmpl_fail(r, "type", "Invalid format specifier") : 0;
}

static int unknown_code(struct render *r, const struct spec *spec, struct val v) {
    return tmpl_fail(r, "type", "Unknown format code '%c' for object of type '%s'",
                     spec->type < 0x20 || spec->type > 0x7e ? '?' : spec->type, tmpl_type_name(v));
}

static int format_number(struct render *r, struct text *t, struct val v, struct spec *spec) {
    if (spec->align == '0')
        spec->align = '=';
    if (v.type == VAL_FLOAT)
        return !spec->type || strchr("eEfFgGn%", spec->type) ? tmpl_format_float(r, t, v.f, spec, v.origin)
                                                             : unknown_code(r, spec, v);
    if (spec->type == 'c') {
        struct text one = {0};
        struct val s;
        if (tmpl_as_int(v) < 0 || tmpl_as_int(v) > 0x10ffff || tmpl_is_surrogate(tmpl_as_int(v)))
            return tmpl_fail(r, "limit", "%%c arg not in range(0x110000)");
        tmpl_text_cp(r, &one, (uint32_t)tmpl_as_int(v), v.origin);
        return tmpl_text_end(r, &one, &s) < 0 ? tmpl_failed(r) : tmpl_format_str(r, t, s, spec);
    }
    if (spec->type && !strchr("bdnoxXeEfFgG%", spec->type))
        return unknown_code(r, spec, v);
    if (spec->precision >= 0 && (!spec->type || strchr("bdnoxX", spec->type)))
        return tmpl_fail(r, "type", "Precision not allowed in integer format specifier");
    return tmpl_format_int(r, t, tmpl_as_int(v), spec, v.origin);
}

/* format(v, spec) */
static int format_value(struct render *r, struct text *t, struct val v, struct val spec_text) {
    struct spec spec;
    if (spec_text.n == 0) {
        tmpl_text_val(r, t, v);
        return tmpl_failed(r);
    }
    if (!tmpl_is_number(v) && v.type != VAL_STR)
        return tmpl_fail(r, "type", "unsupported format string passed to %s.__format__", tmpl_type_name(v));
    if (parse_spec(r, spec_text, &spec) < 0)
        return tmpl_failed(r);
    if (v.type != VAL_STR)
        return format_number(r, t, v, &spec);
    if (spec.align == '0')
        spec.align = '<';
    if (spec.type && spec.type != 's')
        return unknown_code(r, &spec, v);
    if (spec.align == '=' || spec.sign || spec.alternate || spec.grouping)
        return tmpl_fail(r, "type", "not allowed in string format specifier");
    return tmpl_format_str(r, t, v, &spec);
}

static bool all_digits(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return s.n > 0;
}

static int positional(struct formatter *f, int64_t i, struct val *out) {
    if (i >= (int64_t)f->args->n)
        return tmpl_fail(f->r, "type", "Replacement index %lld out of range for positional args tuple", (long long)i);
    *out = f->args->pos[i];
    return 0;
}

/* The argument that the first part of a field name names. */
static int first_value(struct formatter *f, struct str name, bool whole, struct val *out) {
    struct render *r = f->r;
    int64_t i;
    bool ok;
    if (name.n == 0) {
        if (f->next_auto < 0)
            return tmpl_fail(r, "type", "cannot switch from manual field specification to automatic field numbering");
        return positional(f, f->next_auto++, out);
    }
    if (all_digits(name)) {
        if (whole && f->next_auto > 0)
            return tmpl_fail(r, "type", "cannot switch from automatic field numbering to manual field specification");
        f->next_auto = -1;
        return tmpl_parse_int(r, name, 10, &i, &ok) < 0 ? tmpl_failed(r) : positional(f, i, out);
    }
    for (size_t k = 0; k < f->args->n_kw; k++)
        if (str_eq(f->args->kw[k].name, name)) {
            *out = f->args->kw[k].value;
            return 0;
        }
    return tmpl_fail(r, "type", "no argument '%.*s' to format", (int)name.n, name.p);
}

/* .name or [item] */
static int step_into(struct formatter *f, struct str *rest, struct val *v) {
    struct render *r = f->r;
    bool attr = rest->p[0] == '.';
    size_t n = 1;
    int64_t i;
    bool ok;
    while (n < rest->n && (attr ? rest->p[n] != '.' && rest->p[n] != '[' : rest->p[n] != ']'))
        n++;
    struct str part = {rest->p + 1, n - 1};
    if (part.n == 0 || (!attr && n == rest->n))
        return tmpl_fail(r, "type", "Empty attribute in format string");
    n += !attr;
    *rest = (struct str){rest->p + n, rest->n - n};
    if (rest->n && rest->p[0] != '.' && rest->p[0] != '[')
        return tmpl_fail(r, "type", "Only '.' or '[' may follow ']' in format field specifier");
    if (attr)
        return tmpl_getattr(r, *v, part, v);
    if (!all_digits(part))
        return tmpl_getitem(r, *v, tmpl_str_of(part, TEMPLATE), v);
    return tmpl_parse_int(r, part, 10, &i, &ok) < 0 ? tmpl_failed(r) : tmpl_getitem(r, *v, tmpl_int(i), v);
}

static int field_value(struct formatter *f, struct str name, struct val *out) {
    size_t n = 0;
    while (n < name.n && name.p[n] != '.' && name.p[n] != '[')
        n++;
    struct str rest = {name.p + n, name.n - n};
    if (first_value(f, (struct str){name.p, n}, n == name.n, out) < 0)
        return tmpl_failed(f->r);
    while (rest.n)
        if (step_into(f, &rest, out) < 0)
            return tmpl_failed(f->r);
    return 0;
}

/* Where the field that begins at `at` (behind its brace) ends: the offset of its closing brace, or SIZE_MAX. */
static size_t field_end(struct val s, size_t at) {
    unsigned depth = 1;
    for (; at < s.n; at++) {
        depth += s.p[at] == '{' ? 1 : s.p[at] == '}' ? -1u : 0;
        if (depth == 0)
            return at;
    }
    return SIZE_MAX;
}

/* name[!conversion][:spec] */
static int format_field(struct formatter *f, struct val field, unsigned depth, struct text *t) {
    struct render *r = f->r;
    struct val v, spec = tmpl_str_literal("");
    size_t n = 0;
    unsigned brackets = 0;
    char conversion = 0;
    for (; n < field.n && (brackets || (field.p[n] != '!' && field.p[n] != ':')); n++)
        brackets = field.p[n] == '[' ? 1 : field.p[n] == ']' ? 0 : brackets;
    if (field_value(f, (struct str){field.p, n}, &v) < 0)
        return tmpl_failed(r);
    if (n < field.n && field.p[n] == '!') {
        if (n + 1 >= field.n || !strchr("sra", field.p[n + 1]) || (n + 2 < field.n && field.p[n + 2] != ':'))
            return tmpl_fail(r, "type", "expected one of !s, !r, !a in a format string");
        conversion = field.p[n + 1];
        n += 2;
    }
    if (n < field.n) {
        struct text inner = {0};
        if (format_into(f, tmpl_str_sub(field, n + 1, field.n - n - 1), depth + 1, &inner) < 0 ||
            tmpl_text_end(r, &inner, &spec) < 0)
            return tmpl_failed(r);
    }
    if (conversion && (conversion == 's' ? tmpl_str_from(r, v, &v) : repr_of(r, v, conversion == 'a', &v)) < 0)
        return tmpl_failed(r);
    if (!(f->format.flags & FLAG_MARKUP))
        return format_value(r, t, v, spec);
    struct text plain = {0};
    struct val s;
    if (format_value(r, &plain, v, spec) < 0 || tmpl_text_end(r, &plain, &s) < 0)
        return tmpl_failed(r);
    s.flags = v.type == VAL_STR ? v.flags : 0;
    if (tmpl_str_escape(r, s, &s) < 0)
        return tmpl_failed(r);
    tmpl_text_str(r, t, s);
    return tmpl_failed(r);
}

static int format_into(struct formatter *f, struct val s, unsigned depth, struct text *t) {
    size_t at = 0;
    if (depth > 1)
        return tmpl_fail(f->r, "type", "Max string recursion exceeded");
    while (at < s.n) {
        size_t n = 0;
        while (at + n < s.n && s.p[at + n] != '{' && s.p[at + n] != '}')
            n++;
        tmpl_text_sub(f->r, t, s, at, n);
        at += n;
        if (at == s.n)
            break;
        if (at + 1 < s.n && s.p[at + 1] == s.p[at]) { /* {{ and }} */
            tmpl_text_sub(f->r, t, s, at, 1);
            at += 2;
            continue;
        }
        size_t end = s.p[at] == '{' ? field_end(s, at + 1) : SIZE_MAX;
        if (end == SIZE_MAX)
            return tmpl_fail(f->r, "type", "Single '%c' encountered in format string", s.p[at]);
        if (format_field(f, tmpl_str_sub(s, at + 1, end - at - 1), depth, t) < 0)
            return tmpl_failed(f->r);
        at = end + 1;
    }
    return tmpl_failed(f->r);
}

int tmpl_format(struct render *r, struct val format, const struct args *args, struct val *out) {
    struct formatter f = {r, format, args, 0};
    struct text t = {0};
    if (format_into(&f, format, 0, &t) < 0)
        return tmpl_failed(r);
    int code = tmpl_text_end(r, &t, out);
    out->flags = format.flags;
    return code;
}
