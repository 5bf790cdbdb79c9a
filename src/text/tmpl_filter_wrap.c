/* tmpl_filter_wrap: filter wordwrap, which breaks lines as Python's textwrap does. A text is a row of chunks: blanks, words, and
 * the parts of words that hyphens and dashes end. A line is a stretch of them, so that each byte keeps its origin. */
#include "tmpl_run.h"

#include <string.h>

struct wrapper {
    struct render *r;
    struct text *out;
    struct val s, newline;
    size_t to; /* where the line at hand ends in s */
    int64_t width;
    bool break_words, hyphens;
};
struct chunk {
    size_t at, n; /* bytes */
    int64_t len;  /* characters */
};

static bool is_blank(char c) {
    return c && strchr(" \t\n\r\f\v", c);
}

/* The character at byte `at` of the line, 0 at its end. */
static uint32_t cp_at(const struct wrapper *w, size_t at) {
    unsigned len;
    return at < w->to ? tmpl_str_cp(w->s, at, &len) : 0;
}

/* The character before byte *at, and *at moved to it; 0 where the line begins. */
static uint32_t cp_before(const struct wrapper *w, size_t from, size_t *at) {
    unsigned len;
    if (*at <= from)
        return 0;
    *at -= tmpl_str_cp_before(w->s, *at);
    return tmpl_str_cp(w->s, *at, &len);
}

static bool is_word(uint32_t cp) {
    return cp == '_' || tmpl_char_class(cp) & CHAR_ALNUM;
}

static bool is_letter(uint32_t cp) {
    return is_word(cp) && !(tmpl_char_class(cp) & CHAR_DECIMAL);
}

static bool is_word_or_mark(uint32_t cp) {
    return is_word(cp) || (cp && cp < 0x80 && strchr("!\"'&.,?", (int)cp));
}

/* Bytes of a dash ("--" or longer) between words at `at`, or 0. */
static size_t dash_length(const struct wrapper *w, size_t from, size_t at) {
    size_t before = at, n = 0;
    while (at + n < w->to && w->s.p[at + n] == '-')
        n++;
    return n >= 2 && is_word_or_mark(cp_before(w, from, &before)) && is_word(cp_at(w, at + n)) ? n : 0;
}

/* Whether the hyphen at `at` stands inside a word: two letters before it (or letter, hyphen, letter) and two behind it. */
static bool hyphen_breaks(const struct wrapper *w, size_t from, size_t at) {
    unsigned len;
    size_t back = at, next = at + 1;
    uint32_t b1 = cp_before(w, from, &back), b2 = cp_before(w, from, &back), b3 = cp_before(w, from, &back);
    if (!(is_letter(b1) && (is_letter(b2) || (b2 == '-' && is_letter(b3)))))
        return false;
    if (!is_letter(cp_at(w, next)))
        return false;
    tmpl_str_cp(w->s, next, &len);
    next += len;
    return is_letter(cp_at(w, next + (cp_at(w, next) == '-')));
}

/* The end of the chunk that begins at `at` < to; the line begins at `from`. */
static size_t chunk_end(const struct wrapper *w, size_t from, size_t at) {
    const char *p = w->s.p;
    size_t end = at;
    if (is_blank(p[at])) {
        while (end < w->to && is_blank(p[end]))
            end++;
        return end;
    }
    size_t dash = w->hyphens ? dash_length(w, from, at) : 0;
    if (dash)
        return at + dash;
    for (unsigned len; end < w->to && !is_blank(p[end]); end += len) {
        tmpl_str_cp(w->s, end, &len);
        if (!w->hyphens || p[end] != '-' || end == at)
            continue;
        if (hyphen_breaks(w, from, end))
            return end + 1;
        if (dash_length(w, from, end))
            return end;
    }
    return end;
}

static struct chunk next_chunk(const struct wrapper *w, size_t from, size_t at) {
    size_t end = at < w->to ? chunk_end(w, from, at) : at;
    return (struct chunk){at, end - at, (int64_t)tmpl_str_length(tmpl_str_sub(w->s, at, end - at))};
}

static bool chunk_is_space(const struct wrapper *w, const struct chunk *c) {
    return tmpl_space_length((struct str){w->s.p + c->at, c->n}) == c->n;
}

/* As much of a chunk longer than a line as fits into the `left` characters of this one. */
static struct chunk cut_word(const struct wrapper *w, const struct chunk *c, int64_t left) {
    struct val word = tmpl_str_sub(w->s, c->at, c->n);
    struct chunk part = {c->at, tmpl_str_offset(word, left), left};
    size_t hyphen = w->hyphens ? tmpl_str_rfind(word, STR("-"), 0, part.n) : SIZE_MAX;
    for (size_t i = 0; hyphen != SIZE_MAX && i < hyphen; i++)
        if (word.p[i] != '-') { /* a hyphen that ends more than hyphens */
            part.n = hyphen + 1;
            part.len = (int64_t)tmpl_str_length(tmpl_str_sub(word, 0, part.n));
            break;
        }
    return part;
}

/* Takes chunks from *c on into a line of s; returns where the line ends, *c becomes what is next. */
static size_t fill_line(const struct wrapper *w, size_t from, struct chunk *c) {
    struct chunk last = {.at = c->at};
    int64_t len = 0;
    while (c->n && len + c->len <= w->width) {
        last = *c;
        len += c->len;
        *c = next_chunk(w, from, c->at + c->n);
    }
    if (c->n && c->len > w->width) {
        if (w->break_words) {
            last = cut_word(w, c, w->width - len);
            *c = (struct chunk){c->at + last.n, c->n - last.n, c->len - last.len};
            if (c->n == 0)
                *c = next_chunk(w, from, c->at);
        } else if (len == 0) {
            last = *c;
            *c = next_chunk(w, from, c->at + c->n);
        }
    }
    return chunk_is_space(w, &last) ? last.at : last.at + last.n;
}

static void wrap_line(const struct wrapper *w, size_t from) {
    struct chunk c = next_chunk(w, from, from);
    for (bool first = true; c.n && !tmpl_failed(w->r);) {
        if (!first && chunk_is_space(w, &c))
            c = next_chunk(w, from, c.at + c.n);
        size_t start = c.at, end = fill_line(w, from, &c);
        if (end <= start)
            continue;
        if (!first)
            tmpl_text_str(w->r, w->out, w->newline);
        tmpl_text_sub(w->r, w->out, w->s, start, end - start);
        first = false;
    }
}

/* wordwrap(width=79, break_long_words=True, wrapstring=None, break_on_hyphens=True) */
int tmpl_filter_wordwrap(struct call *c) {
    struct render *r = c->r;
    struct text t = {0};
    struct wrapper w = {.r = r, .out = &t, .s = c->self, .newline = c->arg[2], .width = 79};
    size_t n, with_end;
    w.break_words = c->arg[1].type == VAL_MISSING || tmpl_truth(c->arg[1]);
    w.hyphens = c->arg[3].type == VAL_MISSING || tmpl_truth(c->arg[3]);
    if (w.newline.type == VAL_MISSING || w.newline.type == VAL_NONE)
        w.newline = tmpl_str_literal("\n");
    if (w.s.type == VAL_UNDEFINED)
        return tmpl_undefined_fail(r, w.s);
    if (w.s.type != VAL_STR || w.newline.type != VAL_STR || (c->arg[0].type != VAL_MISSING && !tmpl_is_number(c->arg[0])))
        return tmpl_fail(r, "type", "filter wordwrap takes a string, a width and a string");
    if (c->arg[0].type != VAL_MISSING)
        w.width = tmpl_is_int(c->arg[0]) ? tmpl_as_int(c->arg[0]) : 0;
    if (w.width <= 0 && w.s.n)
        return tmpl_fail(r, "type", "invalid width %lld (must be > 0)", (long long)w.width);
    for (size_t at = 0; at < w.s.n && !tmpl_failed(r); at += with_end) {
        tmpl_str_line(w.s, at, &n, &with_end);
        if (at > 0)
            tmpl_text_str(r, &t, w.newline);
        w.to = at + n;
        wrap_line(&w, at);
    }
    return tmpl_work(r, w.s.n) < 0 ? tmpl_failed(r) : tmpl_text_end(r, &t, c->out);
}
