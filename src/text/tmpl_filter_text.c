/* tmpl_filter_text: filters that make strings of strings. */
#include "tmpl_run.h"

#include <string.h>

static int case_filter(struct call *c, enum case_map map) {
    struct val s;
    if (tmpl_str_from(c->r, c->self, &s) < 0)
        return tmpl_failed(c->r);
    return tmpl_str_case(c->r, s, map, c->out);
}

static int filter_upper(struct call *c) {
    return case_filter(c, CASE_UPPER);
}

static int filter_lower(struct call *c) {
    return case_filter(c, CASE_LOWER);
}

static int filter_string(struct call *c) {
    return tmpl_str_from(c->r, c->self, c->out);
}

static int filter_capitalize(struct call *c) {
    struct val s;
    if (tmpl_str_from(c->r, c->self, &s) < 0)
        return tmpl_failed(c->r);
    return tmpl_apply(c->r, tmpl_table_find(tmpl_methods_char, STR("capitalize")), s, &(struct args){0}, c->out);
}

static bool ends_word(uint32_t cp) {
    return tmpl_char_class(cp) & CHAR_SPACE || (cp < 0x80 && cp && strchr("-({[<", (int)cp));
}

/* Words begin behind blanks, hyphens and opening brackets. Behind its first character each is made small by itself. */
static int filter_title(struct call *c) {
    struct val s;
    struct text t = {0};
    unsigned len;
    if (tmpl_str_from(c->r, c->self, &s) < 0)
        return tmpl_failed(c->r);
    for (size_t at = 0, end = 0; at < s.n && !tmpl_failed(c->r); at = end) {
        tmpl_str_cp(s, at, &len);
        tmpl_text_case(c->r, &t, s, at, len, CASE_UPPER);
        size_t from = end = at + len;
        if (ends_word(tmpl_str_cp(s, at, &len)))
            continue;
        while (end < s.n && !ends_word(tmpl_str_cp(s, end, &len)))
            end += len;
        struct val rest = tmpl_str_sub(s, from, end - from);
        for (size_t i = 0; i < rest.n && !tmpl_failed(c->r); i += len) {
            tmpl_str_cp(rest, i, &len);
            tmpl_text_case(c->r, &t, rest, i, len, CASE_LOWER);
        }
    }
    return tmpl_text_end(c->r, &t, c->out);
}

static int filter_trim(struct call *c) {
    struct val s;
    if (tmpl_str_from(c->r, c->self, &s) < 0)
        return tmpl_failed(c->r);
    return tmpl_str_strip(c->r, s, c->arg[0], true, true, c->out);
}

/* An integer argument, or what stands for it where it is not given or None. */
static int read_int(struct render *r, struct val v, int64_t missing, int64_t *out) {
    *out = missing;
    if (v.type == VAL_MISSING || v.type == VAL_NONE)
        return 0;
    if (!tmpl_is_int(v))
        return tmpl_fail(r, "type", "'%s' object cannot be interpreted as an integer", tmpl_type_name(v));
    *out = tmpl_as_int(v);
    return 0;
}

static int filter_center(struct call *c) {
    struct val s;
    struct text t = {0};
    int64_t width;
    if (tmpl_str_from(c->r, c->self, &s) < 0 || read_int(c->r, c->arg[0], 80, &width) < 0)
        return tmpl_failed(c->r);
    tmpl_text_padded(c->r, &t, s, width, '^', tmpl_str_literal(" "));
    int code = tmpl_text_end(c->r, &t, c->out);
    c->out->flags = s.flags;
    return code;
}

/* replace(old, new, count=None) */
static int filter_replace(struct call *c) {
    struct render *r = c->r;
    struct val s, old, new;
    int64_t count;
    if (tmpl_str_from(r, c->self, &s) < 0 || tmpl_str_from(r, c->arg[0], &old) < 0 || tmpl_str_from(r, c->arg[1], &new) < 0 ||
        read_int(r, c->arg[2], -1, &count) < 0)
        return tmpl_failed(r);
    if (!r->autoescape)
        s.flags = 0;
    else if ((old.flags | new.flags) & FLAG_MARKUP && tmpl_str_escape(r, s, &s) < 0)
        return tmpl_failed(r);
    return tmpl_str_replace(r, s, old, new, count, c->out);
}

/* ---- lines -------------------------------------------------------------------------------------------------------- */

/* Appends the end of a line of s as a new-line, of the origin of what stood there. */
static void add_newline(struct render *r, struct text *t, struct val s, size_t at) {
    tmpl_text_byte(r, t, '\n', at < s.n ? tmpl_str_origin(s, at) : TEMPLATE);
}

/* indent(width=4, first=False, blank=False) */
static int filter_indent(struct call *c) {
    struct render *r = c->r;
    struct val s = c->self, pad = c->arg[0];
    struct text t = {0};
    bool first = tmpl_truth(c->arg[1]), blank = tmpl_truth(c->arg[2]);
    size_t n, with_end;
    if (s.type == VAL_UNDEFINED)
        return tmpl_undefined_fail(r, s);
    if (s.type != VAL_STR)
        return tmpl_fail(r, "type", "filter indent takes a string, not '%s'", tmpl_type_name(s));
    if (pad.type == VAL_MISSING)
        pad = tmpl_int(4);
    if (pad.type != VAL_STR && tmpl_arith(r, '*', tmpl_str_literal(" "), pad, &pad) < 0)
        return tmpl_failed(r);
    if (first)
        tmpl_text_str(r, &t, pad);
    for (size_t at = 0; at < s.n && !tmpl_failed(r); at += with_end) {
        tmpl_str_line(s, at, &n, &with_end);
        if (at > 0 && (blank || n > 0))
            tmpl_text_str(r, &t, pad);
        tmpl_text_sub(r, &t, s, at, n);
        bool ends = with_end > n && (at + with_end < s.n || s.p[s.n - 1] != '\r'); /* "\r" and the added "\n" are one end */
        if (ends)
            add_newline(r, &t, s, at + n);
        if (ends && at + with_end == s.n && blank) /* an empty last line */
            tmpl_text_str(r, &t, pad);
    }
    int code = tmpl_text_end(r, &t, c->out);
    c->out->flags = s.flags;
    return code;
}

/* truncate(length=255, killwords=False, end='...', leeway=5) */
static int filter_truncate(struct call *c) {
    struct render *r = c->r;
    int64_t length, leeway, n;
    struct val s = c->self, end = c->arg[2].type == VAL_MISSING ? tmpl_str_literal("...") : c->arg[2], cut;
    if (end.type != VAL_STR)
        return tmpl_fail(r, "type", "filter truncate takes strings, not '%s'", tmpl_type_name(end));
    if (read_int(r, c->arg[0], 255, &length) < 0 || read_int(r, c->arg[3], 5, &leeway) < 0)
        return tmpl_failed(r);
    int64_t n_end = (int64_t)tmpl_str_length(end);
    if (length < n_end || leeway < 0)
        return tmpl_fail(r, "type", "expected length >= %lld and leeway >= 0", (long long)n_end);
    if (tmpl_length(r, s, &n) < 0)
        return tmpl_failed(r);
    if (leeway > INT64_MAX - length || n <= length + leeway) { /* of whatever has a length */
        *c->out = s;
        return 0;
    }
    if (s.type != VAL_STR)
        return tmpl_fail(r, "type", "filter truncate takes strings, not '%s'", tmpl_type_name(s));
    cut = tmpl_str_sub(s, 0, tmpl_str_offset(s, length - n_end));
    if (!tmpl_truth(c->arg[1])) {
        size_t space = tmpl_str_rfind(cut, STR(" "), 0, cut.n);
        cut = tmpl_str_sub(cut, 0, space == SIZE_MAX ? cut.n : space);
    }
    return tmpl_arith(r, '+', cut, end, c->out);
}

static bool is_word(uint32_t cp) {
    return cp == '_' || tmpl_char_class(cp) & CHAR_ALNUM;
}

static int filter_wordcount(struct call *c) {
    struct val s;
    int64_t n = 0;
    bool inside = false;
    unsigned len;
    if (tmpl_str_from(c->r, c->self, &s) < 0)
        return tmpl_failed(c->r);
    for (size_t i = 0; i < s.n; i += len) {
        bool word = is_word(tmpl_str_cp(s, i, &len));
        n += word && !inside;
        inside = word;
    }
    *c->out = tmpl_int(n);
    return tmpl_work(c->r, s.n);
}

const struct callable tmpl_filters_text[] = {
    {"capitalize", 0, 0, NULL, filter_capitalize},
    {"center", 0, 1, "width", filter_center},
    {"indent", 0, 3, "width first blank", filter_indent},
    {"lower", 0, 0, NULL, filter_lower},
    {"replace", 2, 3, "old new count", filter_replace},
    {"string", 0, 0, NULL, filter_string},
    {"title", 0, 0, NULL, filter_title},
    {"trim", 0, 1, "chars", filter_trim},
    {"truncate", 0, 4, "length killwords end leeway", filter_truncate},
    {"upper", 0, 0, NULL, filter_upper},
    {"wordcount", 0, 0, NULL, filter_wordcount},
    {"wordwrap", 0, 4, "width break_long_words wrapstring break_on_hyphens", tmpl_filter_wordwrap},
    {.name = NULL},
};
