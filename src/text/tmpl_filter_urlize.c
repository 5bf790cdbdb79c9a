/* tmpl_filter_urlize: filter urlize: links out of what looks like a URL or a mail address, as jinja2's expressions recognise them. A
 * word is HEAD MIDDLE TAIL; only the middle can be a link. All of them are stretches of the escaped text, so each byte keeps its
 * origin; what is put around a link has that of the link. */
#include "tmpl_run.h"

#include <string.h>

struct linker {
    struct render *r;
    struct text *out;
    struct val s;              /* the text, escaped */
    struct val trim, rel_attr; /* trim: an integer, or None */
    struct val target_attr;
    struct list *schemes;
};
struct word {
    size_t from, to; /* the middle; then the tail up to `end` */
    size_t end;
};

/* ---- characters ----------------------------------------------------------------------------------------------------- */

/* The character at *at < to, small, with *at moved behind it; 0 at the end. Four characters beyond ASCII fold into it. */
static uint32_t take(const struct linker *l, size_t *at, size_t to) {
    unsigned len;
    if (*at >= to)
        return 0;
    uint32_t cp = tmpl_str_cp(l->s, *at, &len);
    *at += len;
    if (cp >= 'A' && cp <= 'Z')
        return cp + 32;
    return cp == 0x130 || cp == 0x131 ? 'i' : cp == 0x17f ? 's' : cp == 0x212a ? 'k' : cp;
}

static bool is_word(uint32_t cp) {
    return cp == '_' || tmpl_char_class(cp) & CHAR_ALNUM;
}

static bool is_label(uint32_t cp) {
    return cp == '%' || cp == '-' || (cp && is_word(cp));
}

static bool is_digit(uint32_t cp) {
    return cp && tmpl_char_class(cp) & CHAR_DECIMAL;
}

static bool is_hex(uint32_t cp) {
    return is_digit(cp) || (cp >= 'a' && cp <= 'f');
}

/* Moves *at behind the characters of z, whatever their case; false where they are not there. */
static bool skip(const struct linker *l, size_t *at, size_t to, const char *z) {
    size_t end = *at;
    for (; *z; z++)
        if (take(l, &end, to) != (uint32_t)(uint8_t)*z)
            return false;
    *at = end;
    return true;
}

/* How many characters from *at on, at most `max`, have `is`; *at moves behind them. */
static size_t count(const struct linker *l, size_t *at, size_t to, size_t max, bool (*is)(uint32_t)) {
    size_t n = 0;
    for (size_t next = *at; n < max && is(take(l, &next, to)); *at = next)
        n++;
    return n;
}

static bool has(const struct linker *l, size_t from, size_t to, const char *z) {
    size_t n = strlen(z);
    return n <= to - from && memcmp(l->s.p + from, z, n) == 0;
}

/* ---- what is a link --------------------------------------------------------------------------------------------------- */

/* A port, a path, and the end. */
static bool url_ends(const struct linker *l, size_t at, size_t to) {
    if (at < to && l->s.p[at] == ':') {
        at++;
        if (count(l, &at, to, 5, is_digit) == 0)
            return false;
    }
    return at == to || strchr("/?#", l->s.p[at]);
}

/* The labels of a host name at *at, one dot between them: *last is where the last one begins, *n how many stand before it; false
 * where one of these is shorter than `min` or longer than `max`. */
static bool labels(const struct linker *l, size_t *at, size_t to, size_t min, size_t max, size_t *last, size_t *n) {
    for (*n = 0;; ++*n) {
        *last = *at;
        size_t k = count(l, at, to, SIZE_MAX, is_label);
        if (*at >= to || l->s.p[*at] != '.')
            return true;
        if (k < min || k > max)
            return false;
        ++*at;
    }
}

static bool is_letter(uint32_t cp) {
    return cp >= 'a' && cp <= 'z';
}

static bool is_idna(uint32_t cp) {
    return cp != '-' && is_label(cp);
}

/* Any top-level domain in [at, to). */
static bool is_top(const struct linker *l, size_t at, size_t to) {
    size_t letters = at, idna = at, n = count(l, &letters, to, 64, is_letter);
    if (letters == to && n >= 2 && n <= 63)
        return true;
    if (!skip(l, &idna, to, "xn--"))
        return false;
    n = count(l, &idna, to, 60, is_idna);
    return idna == to && n >= 2 && n <= 59;
}

static bool is_basic_top(const struct linker *l, size_t from, size_t to) {
    static const char *const tops[] = {"com", "net", "int", "edu", "gov", "org", "info", "mil"};
    for (size_t i = 0; i < N_ITEMS(tops); i++) {
        size_t at = from;
        if (skip(l, &at, to, tops[i]) && at == to)
            return true;
    }
    return false;
}

static bool skip_ipv4(const struct linker *l, size_t *at, size_t to) {
    for (int i = 0; i < 4; i++)
        if ((i > 0 && !skip(l, at, to, ".")) || count(l, at, to, 3, is_digit) == 0)
            return false;
    return true;
}

/* '\[([\da-f]{0,4}:){2}([\da-f]{0,4}:?){1,6}\]' */
static bool skip_ipv6(const struct linker *l, size_t *at, size_t to) {
    if (!skip(l, at, to, "["))
        return false;
    for (int i = 0; i < 2; i++) {
        count(l, at, to, 4, is_hex);
        if (!skip(l, at, to, ":"))
            return false;
    }
    for (int i = 0; i < 6; i++) {
        count(l, at, to, 4, is_hex);
        skip(l, at, to, ":");
    }
    return skip(l, at, to, "]");
}

static bool skip_scheme(const struct linker *l, size_t *at, size_t to) {
    return skip(l, at, to, "https://") || skip(l, at, to, "http://");
}

static bool is_url(const struct linker *l, size_t from, size_t to) {
    size_t at = from, last, n;
    if ((skip_scheme(l, &at, to) || skip(l, &at, to, "www.")) && labels(l, &at, to, 1, SIZE_MAX, &last, &n) &&
        is_top(l, last, at) && url_ends(l, at, to))
        return true;
    at = from;
    if (labels(l, &at, to, 2, 63, &last, &n) && n > 0 && is_basic_top(l, last, at) && url_ends(l, at, to))
        return true;
    at = from;
    if (!skip_scheme(l, &at, to))
        return false;
    size_t v4 = at, v6 = at;
    return (skip_ipv4(l, &v4, to) && url_ends(l, v4, to)) || (skip_ipv6(l, &v6, to) && url_ends(l, v6, to));
}

/* '\S+@\w[\w.-]*\.\w+': all behind the last @ is the domain. */
static bool is_mail(const struct linker *l, size_t from, size_t to) {
    size_t at = tmpl_str_rfind(l->s, STR("@"), from, to), dot = tmpl_str_rfind(l->s, STR("."), from, to);
    if (at == SIZE_MAX || at == from || dot == SIZE_MAX || dot <= at + 1 || dot + 1 == to)
        return false;
    size_t i = at + 1;
    if (!is_word(take(l, &i, to)))
        return false;
    while (i < to) {
        bool in_last = i > dot;
        uint32_t cp = take(l, &i, to);
        if (!is_word(cp) && (in_last || (cp != '.' && cp != '-')))
            return false;
    }
    return true;
}

/* ---- words --------------------------------------------------------------------------------------------------------------- */

/* Brackets before and marks behind are no part of a link, but for brackets that close one inside of it. */
static struct word cut(const struct linker *l, size_t from, size_t end) {
    static const char *const pairs[][2] = {{"(", ")"}, {"<", ">"}, {"&lt;", "&gt;"}};
    struct word w = {from, end, end};
    while (w.from < end && (l->s.p[w.from] == '(' || l->s.p[w.from] == '<' || has(l, w.from, end, "&lt;")))
        w.from += l->s.p[w.from] == '&' ? 4 : 1;
    while (w.to > w.from) {
        bool entity = w.to - w.from >= 4 && has(l, w.to - 4, w.to, "&gt;");
        if (!entity && !strchr(")>.,", l->s.p[w.to - 1]))
            break;
        w.to -= entity ? 4 : 1;
    }
    for (size_t i = 0; i < N_ITEMS(pairs); i++) {
        struct str open = str_of(pairs[i][0]), close = str_of(pairs[i][1]);
        size_t n_open = 0, n_close = 0, at;
        for (at = w.from; (at = tmpl_str_find(l->s, open, at, w.to)) != SIZE_MAX; at += open.n)
            n_open++;
        for (at = w.from; (at = tmpl_str_find(l->s, close, at, w.to)) != SIZE_MAX; at += close.n)
            n_close++;
        for (size_t k = 0; n_open > n_close && k < n_open && (at = tmpl_str_find(l->s, close, w.to, end)) != SIZE_MAX; k++)
            w.to = at + close.n;
    }
    return w;
}

/* Appends <a href="PREFIX MIDDLE" ATTRIBUTES>SHOWN</a>. */
static int add_link(const struct linker *l, const struct word *w, const char *prefix, bool attributes, struct val shown) {
    uint8_t origin = tmpl_str_origin(l->s, w->from);
    tmpl_text_z(l->r, l->out, "<a href=\"", origin);
    tmpl_text_z(l->r, l->out, prefix, origin);
    tmpl_text_sub(l->r, l->out, l->s, w->from, w->to - w->from);
    tmpl_text_byte(l->r, l->out, '"', origin);
    if (attributes) {
        tmpl_text_str(l->r, l->out, l->rel_attr);
        tmpl_text_str(l->r, l->out, l->target_attr);
    }
    tmpl_text_byte(l->r, l->out, '>', origin);
    tmpl_text_str(l->r, l->out, shown);
    tmpl_text_z(l->r, l->out, "</a>", origin);
    return tmpl_failed(l->r);
}

static int add_url(const struct linker *l, const struct word *w, struct val middle) {
    bool whole = has(l, w->from, w->to, "https://") || has(l, w->from, w->to, "http://");
    struct val bounds[3] = {{0}, l->trim, {0}};
    int64_t length = (int64_t)tmpl_str_length(middle);
    if (l->trim.type != VAL_NONE && !tmpl_is_number(l->trim))
        return tmpl_fail(l->r, "type", "'>' not supported between instances of 'int' and '%s'", tmpl_type_name(l->trim));
    if (l->trim.type != VAL_NONE && (double)length > tmpl_as_float(l->trim) &&
        (tmpl_getslice(l->r, middle, bounds, &middle) < 0 || tmpl_arith(l->r, '+', middle, tmpl_str_literal("..."), &middle) < 0))
        return tmpl_failed(l->r);
    return add_link(l, w, whole ? "" : "https://", true, middle);
}

static bool has_scheme(const struct linker *l, struct val middle) {
    for (size_t i = 0; i < l->schemes->n; i++) {
        struct str scheme = tmpl_str_bytes(l->schemes->items[i]);
        if (middle.n > scheme.n && str_starts(tmpl_str_bytes(middle), scheme))
            return true;
    }
    return false;
}

static int add_word(const struct linker *l, size_t from, size_t end) {
    struct word w = cut(l, from, end);
    struct val middle = tmpl_str_sub(l->s, w.from, w.to - w.from);
    struct str text = tmpl_str_bytes(middle);
    bool mailto = str_starts(text, STR("mailto:"));
    int code = 0;
    tmpl_text_sub(l->r, l->out, l->s, from, w.from - from);
    if (is_url(l, w.from, w.to))
        code = add_url(l, &w, middle);
    else if (mailto && is_mail(l, w.from + 7, w.to))
        code = add_link(l, &w, "", false, tmpl_str_sub(middle, 7, middle.n - 7));
    else if (!str_starts(text, STR("www.")) && !str_starts(text, STR("@")) && !memchr(text.p, ':', text.n) &&
             is_mail(l, w.from, w.to))
        code = add_link(l, &w, "mailto:", false, middle);
    else if (has_scheme(l, middle))
        code = add_link(l, &w, "", true, middle);
    else
        tmpl_text_str(l->r, l->out, middle);
    tmpl_text_sub(l->r, l->out, l->s, w.to, end - w.to);
    return code < 0 ? code : tmpl_work(l->r, 8 * (end - from));
}

static int add_words(const struct linker *l) {
    unsigned len;
    size_t done = 0, at = 0;
    while (at < l->s.n && !tmpl_failed(l->r)) {
        for (done = at; at < l->s.n && !(tmpl_char_class(tmpl_str_cp(l->s, at, &len)) & CHAR_SPACE);)
            at += len;
        if (at > done && add_word(l, done, at) < 0)
            break;
        for (done = at; at < l->s.n && tmpl_char_class(tmpl_str_cp(l->s, at, &len)) & CHAR_SPACE;)
            at += len;
        tmpl_text_sub(l->r, l->out, l->s, done, at - done);
    }
    return tmpl_failed(l->r);
}

/* ---- arguments -------------------------------------------------------------------------------------------------------------- */

/* ' NAME="VALUE"', escaped; nothing where the value is empty. */
static int make_attribute(struct render *r, const char *name, struct val value, struct val *out) {
    struct text t = {0};
    *out = tmpl_str_literal("");
    if (!tmpl_truth(value))
        return 0;
    if (tmpl_str_escape(r, value, &value) < 0)
        return tmpl_failed(r);
    tmpl_text_z(r, &t, name, TEMPLATE);
    tmpl_text_str(r, &t, value);
    tmpl_text_byte(r, &t, '"', TEMPLATE);
    return tmpl_text_end(r, &t, out);
}

/* The words of rel, "nofollow" where asked for and "noopener", each once and sorted. */
static int make_rel(struct render *r, struct val rel, bool nofollow, struct val *out) {
    struct val words = tmpl_tuple(tmpl_list_new(r, 0));
    struct args none = {0};
    if (tmpl_failed(r))
        return tmpl_failed(r);
    if (tmpl_truth(rel) && rel.type != VAL_STR)
        return tmpl_fail(r, "undefined", "'%s' object has no attribute 'split'", tmpl_type_name(rel));
    if (tmpl_truth(rel) && tmpl_apply(r, tmpl_table_find(tmpl_methods_str, STR("split")), rel, &none, &words) < 0)
        return tmpl_failed(r);
    struct list *l = words.list;
    if ((nofollow && tmpl_list_add(r, l, tmpl_str_literal("nofollow")) < 0) ||
        tmpl_list_add(r, l, tmpl_str_literal("noopener")) < 0 || tmpl_sort(r, l->items, l->items, l->n, false) < 0)
        return tmpl_failed(r);
    struct text t = {0};
    for (size_t i = 0; i < l->n; i++) {
        if (i > 0 && str_eq(tmpl_str_bytes(l->items[i - 1]), tmpl_str_bytes(l->items[i])))
            continue;
        if (i > 0)
            tmpl_text_byte(r, &t, ' ', TEMPLATE);
        tmpl_text_str(r, &t, l->items[i]);
    }
    return tmpl_text_end(r, &t, out);
}

/* '[\w.+-]{2,}:(/){0,2}' */
static bool is_scheme(struct val s) {
    size_t n = 0, at = 0;
    unsigned len;
    for (uint32_t cp; at < s.n && ((cp = tmpl_str_cp(s, at, &len)) == '.' || cp == '+' || cp == '-' || is_word(cp)); at += len)
        n++;
    if (n < 2 || at >= s.n || s.p[at++] != ':')
        return false;
    for (int i = 0; i < 2 && at < s.n && s.p[at] == '/'; i++)
        at++;
    return at == s.n;
}

static int read_schemes(struct render *r, struct val given, struct list **out) {
    *out = tmpl_list_new(r, 0);
    if (!*out || given.type == VAL_MISSING || given.type == VAL_NONE)
        return tmpl_failed(r);
    if (tmpl_to_list(r, given, out) < 0)
        return tmpl_failed(r);
    for (size_t i = 0; i < (*out)->n; i++) {
        struct val scheme = (*out)->items[i];
        if (scheme.type != VAL_STR)
            return tmpl_fail(r, "type", "expected string or bytes-like object, got '%s'", tmpl_type_name(scheme));
        if (!is_scheme(scheme))
            return tmpl_fail(r, "template", "'%.*s' is not a valid URI scheme prefix.", (int)(scheme.n < 64 ? scheme.n : 64),
                             scheme.p);
    }
    return 0;
}

/* urlize(trim_url_limit=None, nofollow=False, target=None, rel=None, extra_schemes=None) */
int tmpl_filter_urlize(struct call *c) {
    struct render *r = c->r;
    struct text t = {0};
    struct linker l = {.r = r, .out = &t, .trim = c->arg[0].type == VAL_MISSING ? tmpl_none() : c->arg[0]};
    struct val rel;
    if (make_rel(r, c->arg[3], tmpl_truth(c->arg[1]), &rel) < 0 || make_attribute(r, " rel=\"", rel, &l.rel_attr) < 0 ||
        make_attribute(r, " target=\"", c->arg[2], &l.target_attr) < 0 || read_schemes(r, c->arg[4], &l.schemes) < 0 ||
        tmpl_str_escape(r, c->self, &l.s) < 0 || add_words(&l) < 0)
        return tmpl_failed(r);
    int code = tmpl_text_end(r, &t, c->out);
    c->out->flags = r->autoescape ? FLAG_MARKUP : 0;
    return code;
}
