/* tmpl_filter_html: filters for HTML and URLs: rare in chat templates, but part of the language. */
#include "tmpl_run.h"

#include <string.h>

static int filter_escape(struct call *c) {
    return tmpl_str_escape(c->r, c->self, c->out);
}

static int filter_forceescape(struct call *c) {
    struct val s;
    if (tmpl_str_from(c->r, c->self, &s) < 0)
        return tmpl_failed(c->r);
    s.flags = 0;
    return tmpl_str_escape(c->r, s, c->out);
}

static int filter_safe(struct call *c) {
    if (tmpl_str_from(c->r, c->self, c->out) < 0)
        return tmpl_failed(c->r);
    c->out->flags = FLAG_MARKUP;
    return 0;
}

/* ---- striptags ------------------------------------------------------------------------------------------------------ */

/* s without <tags> and <!-- comments -->. */
static int drop_tags(struct render *r, struct val s, struct val *out) {
    struct text t = {0};
    size_t at = 0, start;
    while ((start = tmpl_str_find(s, STR("<"), at, s.n)) != SIZE_MAX) {
        bool comment = str_starts((struct str){s.p + start, s.n - start}, STR("<!--"));
        size_t end = tmpl_str_find(s, comment ? STR("-->") : STR(">"), start + (comment ? 4 : 0), s.n);
        if (end == SIZE_MAX)
            break;
        tmpl_text_sub(r, &t, s, at, start - at);
        at = end + (comment ? 3 : 1);
    }
    tmpl_text_sub(r, &t, s, at, s.n - at);
    return tmpl_text_end(r, &t, out);
}

static const struct {
    const char *name;
    uint32_t cp;
} entities[] = {
    {"amp;", '&'},      {"lt;", '<'},       {"gt;", '>'},       {"quot;", '"'},      {"apos;", '\''},
    {"nbsp;", 0xa0},    {"copy;", 0xa9},    {"reg;", 0xae},     {"hellip;", 0x2026}, {"mdash;", 0x2014},
    {"ndash;", 0x2013}, {"lsquo;", 0x2018}, {"rsquo;", 0x2019}, {"ldquo;", 0x201c},  {"rdquo;", 0x201d},
    {"euro;", 0x20ac},  {"trade;", 0x2122}, {"laquo;", 0xab},   {"raquo;", 0xbb},    {"middot;", 0xb7},
};

/* The character that an entity at `s` (behind the &) names, and its length; 0: none. */
static size_t read_entity(struct str s, uint32_t *cp) {
    for (size_t i = 0; i < N_ITEMS(entities); i++)
        if (str_starts(s, str_of(entities[i].name))) {
            *cp = entities[i].cp;
            return strlen(entities[i].name);
        }
    if (s.n < 2 || s.p[0] != '#')
        return 0;
    bool hex = s.p[1] == 'x' || s.p[1] == 'X';
    size_t i = hex ? 2 : 1, from = i;
    uint32_t v = 0;
    for (; i < s.n; i++) {
        char c = s.p[i], low = (char)(c | 32);
        if (!(c >= '0' && c <= '9') && !(hex && low >= 'a' && low <= 'f'))
            break;
        v = v > 0x110000 ? v : v * (hex ? 16 : 10) + (uint32_t)(c <= '9' ? c - '0' : low - 'a' + 10);
    }
    *cp = v == 0 || v > 0x10ffff || tmpl_is_surrogate(v) ? 0xfffd : v;
    return i == from ? 0 : i + (i < s.n && s.p[i] == ';');
}

static int unescape(struct render *r, struct val s, struct val *out) {
    struct text t = {0};
    size_t done = 0, at = 0;
    while ((at = tmpl_str_find(s, STR("&"), at, s.n)) != SIZE_MAX) {
        uint32_t cp = 0;
        size_t n = read_entity((struct str){s.p + at + 1, s.n - at - 1}, &cp);
        if (n) {
            tmpl_text_sub(r, &t, s, done, at - done);
            tmpl_text_cp(r, &t, cp, tmpl_str_origin(s, at));
            done = at + 1 + n;
        }
        at += 1 + n;
    }
    tmpl_text_sub(r, &t, s, done, s.n - done);
    return tmpl_text_end(r, &t, out);
}

static int filter_striptags(struct call *c) {
    struct render *r = c->r;
    struct val s, words;
    struct args none = {0};
    if (tmpl_str_from(r, c->self, &s) < 0 || drop_tags(r, s, &s) < 0 ||
        tmpl_apply(r, tmpl_table_find(tmpl_methods_str, STR("split")), s, &none, &words) < 0 ||
        tmpl_apply(r, tmpl_table_find(tmpl_methods_str, STR("join")), tmpl_str_literal(" "),
                   &(struct args){.pos = &words, .n = 1}, &s) < 0)
        return tmpl_failed(r);
    return unescape(r, s, c->out);
}

/* ---- URLs and attributes ------------------------------------------------------------------------------------------------ */

static void quote_url(struct render *r, struct text *t, struct val s, bool query) {
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n && !tmpl_failed(r); i++) {
        uint8_t byte = (uint8_t)s.p[i], origin = tmpl_str_origin(s, i);
        bool letter = (byte >= '0' && byte <= '9') || ((byte | 32) >= 'a' && (byte | 32) <= 'z');
        if (letter || (byte && strchr(query ? "_.-~" : "_.-~/", byte)))
            tmpl_text_byte(r, t, (char)byte, origin);
        else if (query && byte == ' ')
            tmpl_text_byte(r, t, '+', origin);
        else
            tmpl_text_add(r, t, (char[]){'%', hex[byte >> 4], hex[byte & 15]}, 3, origin);
    }
}

static int quote_value(struct render *r, struct text *t, struct val v, bool query) {
    struct val s;
    if (tmpl_str_from(r, v, &s) < 0)
        return tmpl_failed(r);
    quote_url(r, t, s, query);
    return 0;
}

static int filter_urlencode(struct call *c) {
    struct render *r = c->r;
    struct text t = {0};
    struct val pairs = c->self, pair;
    struct iter it;
    if (pairs.type == VAL_STR || !tmpl_is_iterable(pairs))
        return quote_value(r, &t, pairs, false) < 0 ? tmpl_failed(r) : tmpl_text_end(r, &t, c->out);
    if (pairs.type == VAL_DICT) {
        pairs.type = VAL_VIEW;
        pairs.flags = VIEW_ITEMS;
    }
    int more = tmpl_iter(r, pairs, &it);
    for (bool first = true; more >= 0 && (more = tmpl_next(r, &it, &pair)) > 0; first = false) {
        struct list *kv;
        if (tmpl_to_list(r, pair, &kv) < 0)
            return tmpl_failed(r);
        if (kv->n != 2)
            return tmpl_fail(r, "type", "expected pairs of name and value");
        if (!first)
            tmpl_text_byte(r, &t, '&', TEMPLATE);
        if (quote_value(r, &t, kv->items[0], true) < 0)
            return tmpl_failed(r);
        tmpl_text_byte(r, &t, '=', TEMPLATE);
        if (quote_value(r, &t, kv->items[1], true) < 0)
            return tmpl_failed(r);
    }
    return more < 0 ? more : tmpl_text_end(r, &t, c->out);
}

/* xmlattr(autospace=True) */
static int filter_xmlattr(struct call *c) {
    struct render *r = c->r;
    struct text t = {0};
    bool space = c->arg[0].type == VAL_MISSING || tmpl_truth(c->arg[0]);
    if (c->self.type != VAL_DICT)
        return tmpl_fail(r, "type", "'%s' object has no attribute 'items'", tmpl_type_name(c->self));
    for (size_t i = 0; i < c->self.dict->n; i++) {
        struct val key = c->self.dict->entries[i].key, value = c->self.dict->entries[i].value;
        if (value.type == VAL_NONE || value.type == VAL_UNDEFINED)
            continue;
        if (key.type != VAL_STR)
            return tmpl_fail(r, "type", "expected string or bytes-like object, got '%s'", tmpl_type_name(key));
        for (size_t k = 0; k < key.n; k++)
            if (key.p[k] && strchr(" \t\n\r\f\v/>=", key.p[k]))
                return tmpl_fail(r, "type", "Invalid character in attribute name: '%.*s'", (int)key.n, key.p);
        if (tmpl_str_escape(r, key, &key) < 0 || tmpl_str_escape(r, value, &value) < 0)
            return tmpl_failed(r);
        if (space || t.n)
            tmpl_text_byte(r, &t, ' ', TEMPLATE);
        tmpl_text_str(r, &t, key);
        tmpl_text_z(r, &t, "=\"", TEMPLATE);
        tmpl_text_str(r, &t, value);
        tmpl_text_byte(r, &t, '"', TEMPLATE);
    }
    int code = tmpl_text_end(r, &t, c->out);
    c->out->flags = r->autoescape ? FLAG_MARKUP : 0;
    return code;
}

const struct callable tmpl_filters_html[] = {
    {"e", 0, 0, NULL, filter_escape},
    {"escape", 0, 0, NULL, filter_escape},
    {"forceescape", 0, 0, NULL, filter_forceescape},
    {"safe", 0, 0, NULL, filter_safe},
    {"striptags", 0, 0, NULL, filter_striptags},
    {"urlencode", 0, 0, NULL, filter_urlencode},
    {"urlize", 0, 5, "trim_url_limit nofollow target rel extra_schemes", tmpl_filter_urlize},
    {"xmlattr", 0, 1, "autospace", filter_xmlattr},
    {.name = NULL},
};
