/* tmpl_pprint: filter pprint, as Python's pprint.pformat prints: on one line where that fits into 80 characters, else an item a line;
 * dictionaries in the order of their keys; strings in pieces of whole words. */
#include "tmpl_run.h"

#include <string.h>

enum { WIDTH = 80 };

struct printer {
    struct render *r;
    struct text out, scratch;
    size_t budget; /* bytes that scratch may take: more does not fit a line anyway */
};

static void format(struct printer *p, struct val v, int64_t indent, int64_t allowance, unsigned level);

/* ---- one line -------------------------------------------------------------------------------------------------------- */

/* Keys of different kinds stand in the order of their types' names. */
static unsigned rank(struct val key) {
    return key.type == VAL_NONE ? 0 : tmpl_is_number(key) || key.type == VAL_BIG ? 1 : key.type == VAL_TUPLE ? 3 : 2;
}

/* The entries of d in the order of their keys: two lists; false after a failure. */
static bool sort_entries(struct render *r, const struct dict *d, struct list **keys, struct list **values) {
    *keys = tmpl_list_new(r, d->n);
    *values = tmpl_list_new(r, d->n);
    for (unsigned k = 0; !tmpl_failed(r) && k < 4; k++) {
        size_t from = (*keys)->n;
        for (size_t i = 0; i < d->n; i++)
            if (rank(d->entries[i].key) == k &&
                (tmpl_list_add(r, *keys, d->entries[i].key) < 0 || tmpl_list_add(r, *values, d->entries[i].value) < 0))
                return false;
        size_t n = (*keys)->n - from;
        if (n > 1 && tmpl_sort(r, (*values)->items + from, (*keys)->items + from, n, false) < 0)
            return false;
    }
    return !tmpl_failed(r);
}

static bool add_plain(struct printer *p, struct text *t, struct val v);

static bool add_plain_items(struct printer *p, struct text *t, struct val v, const char *open, const char *close) {
    bool good = true;
    tmpl_text_z(p->r, t, open, v.origin);
    for (size_t i = 0; good && i < v.list->n; i++) {
        if (i > 0)
            tmpl_text_z(p->r, t, ", ", v.origin);
        good = add_plain(p, t, v.list->items[i]);
    }
    tmpl_text_z(p->r, t, close, v.origin);
    return good;
}

static bool add_plain_dict(struct printer *p, struct text *t, struct val v) {
    struct list *keys, *values;
    if (v.dict->n > p->budget || !sort_entries(p->r, v.dict, &keys, &values))
        return false;
    bool good = true;
    tmpl_text_byte(p->r, t, '{', v.origin);
    for (size_t i = 0; good && i < keys->n; i++) {
        if (i > 0)
            tmpl_text_z(p->r, t, ", ", v.origin);
        good = add_plain(p, t, keys->items[i]);
        tmpl_text_z(p->r, t, ": ", v.origin);
        good = good && add_plain(p, t, values->items[i]);
    }
    tmpl_text_byte(p->r, t, '}', v.origin);
    return good;
}

/* Appends v on one line; false where it grows beyond the budget, or after a failure. */
static bool add_plain(struct printer *p, struct text *t, struct val v) {
    bool good = v.type != VAL_STR || v.n <= p->budget;
    if (!good || tmpl_step(p->r) < 0 || tmpl_enter(p->r) < 0)
        return false;
    switch ((enum val_type)v.type) {
    case VAL_LIST: good = add_plain_items(p, t, v, "[", "]"); break;
    case VAL_TUPLE: good = add_plain_items(p, t, v, "(", v.list->n == 1 ? ",)" : ")"); break;
    case VAL_DICT: good = add_plain_dict(p, t, v); break;
    default: tmpl_text_repr(p->r, t, v);
    }
    tmpl_leave(p->r);
    return good && t->n <= p->budget && !tmpl_failed(p->r);
}

/* Does v fit into `max` characters? Then scratch holds it. */
static bool fits(struct printer *p, struct val v, int64_t max) {
    p->scratch.n = p->scratch.n_runs = 0;
    p->budget = max > 0 ? (size_t)max * 4 : 0;
    return add_plain(p, &p->scratch, v) &&
           (int64_t)tmpl_str_length(tmpl_str_of((struct str){p->scratch.p, p->scratch.n}, TEMPLATE)) <= max;
}

/* Appends what scratch holds; returns its length in characters. */
static int64_t add_scratch(struct printer *p) {
    struct val s = tmpl_str_of((struct str){p->scratch.p, p->scratch.n}, p->scratch.n_runs ? MIXED : p->scratch.origin);
    s.text = &p->scratch;
    tmpl_text_str(p->r, &p->out, s);
    return (int64_t)tmpl_str_length(s);
}

/* Appends v on one line, however long. */
static int64_t add_whole(struct printer *p, struct val v) {
    p->scratch.n = p->scratch.n_runs = 0;
    p->budget = SIZE_MAX;
    return add_plain(p, &p->scratch, v) ? add_scratch(p) : 0;
}

/* ---- lines --------------------------------------------------------------------------------------------------------------- */

static void add_line(struct printer *p, const char *before, int64_t indent, uint8_t origin) {
    tmpl_text_z(p->r, &p->out, before, origin);
    tmpl_text_byte(p->r, &p->out, '\n', origin);
    if (indent > 0)
        tmpl_text_fill(p->r, &p->out, tmpl_str_of(STR(" "), origin), (size_t)indent);
}

static void format_items(struct printer *p, struct val v, const char *open, const char *close, int64_t indent, int64_t allowance,
                         unsigned level) {
    tmpl_text_z(p->r, &p->out, open, v.origin);
    for (size_t i = 0; i < v.list->n && !tmpl_failed(p->r); i++) {
        bool last = i + 1 == v.list->n;
        if (i > 0)
            add_line(p, ",", indent + 1, v.origin);
        format(p, v.list->items[i], indent + 1, last ? allowance + (int64_t)strlen(close) : 1, level);
    }
    tmpl_text_z(p->r, &p->out, close, v.origin);
}

static void format_dict(struct printer *p, struct val v, int64_t indent, int64_t allowance, unsigned level) {
    struct list *keys, *values;
    if (!sort_entries(p->r, v.dict, &keys, &values))
        return;
    tmpl_text_byte(p->r, &p->out, '{', v.origin);
    for (size_t i = 0; i < keys->n && !tmpl_failed(p->r); i++) {
        if (i > 0)
            add_line(p, ",", indent + 1, v.origin);
        int64_t n = add_whole(p, keys->items[i]);
        tmpl_text_z(p->r, &p->out, ": ", v.origin);
        format(p, values->items[i], indent + 1 + n + 2, i + 1 == keys->n ? allowance + 1 : 1, level);
    }
    tmpl_text_byte(p->r, &p->out, '}', v.origin);
}

/* ---- strings ----------------------------------------------------------------------------------------------------------------- */

struct pieces {
    struct printer *p;
    struct val s;
    int64_t indent;
    bool emit; /* else they are only counted */
    size_t n;
};

static void add_piece(struct pieces *w, size_t from, size_t to) {
    if (w->emit) {
        if (w->n > 0)
            add_line(w->p, "", w->indent, tmpl_str_origin(w->s, 0));
        add_whole(w->p, tmpl_str_sub(w->s, from, to - from));
    }
    w->n++;
}

/* The end of the word at `at` < end, and of the white space behind it. */
static size_t word_end(struct val s, size_t at, size_t end) {
    unsigned len;
    while (at < end && !(tmpl_char_class(tmpl_str_cp(s, at, &len)) & CHAR_SPACE))
        at += len;
    while (at < end && tmpl_char_class(tmpl_str_cp(s, at, &len)) & CHAR_SPACE)
        at += len;
    return at;
}

/* A line that is too long, in pieces of as many words as fit; the last one leaves room for `allowance` more. */
static void cut_line(struct pieces *w, size_t from, size_t end, int64_t max, int64_t allowance) {
    size_t start = from;
    for (size_t at = from, next; at < end && !tmpl_failed(w->p->r); at = next) {
        next = word_end(w->s, at, end);
        if (!fits(w->p, tmpl_str_sub(w->s, start, next - start), next == end ? max - allowance : max)) {
            if (at > start)
                add_piece(w, start, at);
            start = at;
        }
    }
    add_piece(w, start, end);
}

static void cut_lines(struct pieces *w, int64_t max, int64_t allowance) {
    size_t n, with_end;
    w->n = 0;
    for (size_t at = 0; at < w->s.n && !tmpl_failed(w->p->r); at += with_end) {
        tmpl_str_line(w->s, at, &n, &with_end);
        int64_t behind = at + with_end == w->s.n ? allowance : 0;
        if (fits(w->p, tmpl_str_sub(w->s, at, with_end), max - behind))
            add_piece(w, at, at + with_end);
        else
            cut_line(w, at, at + with_end, max, behind);
    }
}

static void format_str(struct printer *p, struct val s, int64_t indent, int64_t allowance, unsigned level) {
    bool outermost = level == 1;
    struct pieces w = {.p = p, .s = s, .indent = indent + outermost};
    if (s.n)
        cut_lines(&w, WIDTH - w.indent, allowance + outermost);
    if (w.n <= 1) {
        add_whole(p, s);
        return;
    }
    uint8_t origin = tmpl_str_origin(s, 0);
    if (outermost)
        tmpl_text_byte(p->r, &p->out, '(', origin);
    w.emit = true;
    cut_lines(&w, WIDTH - w.indent, allowance + outermost);
    if (outermost)
        tmpl_text_byte(p->r, &p->out, ')', origin);
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------------ */

static void format(struct printer *p, struct val v, int64_t indent, int64_t allowance, unsigned level) {
    if (fits(p, v, WIDTH - indent - allowance)) {
        add_scratch(p);
        return;
    }
    if (tmpl_failed(p->r) || tmpl_enter(p->r) < 0)
        return;
    level++;
    switch ((enum val_type)v.type) {
    case VAL_LIST: format_items(p, v, "[", "]", indent, allowance, level); break;
    case VAL_TUPLE: format_items(p, v, "(", v.list->n == 1 ? ",)" : ")", indent, allowance, level); break;
    case VAL_DICT: format_dict(p, v, indent, allowance, level); break;
    case VAL_STR:
        if (!(v.flags & FLAG_MARKUP)) {
            format_str(p, v, indent, allowance, level);
            break;
        }
        /* fallthrough */
    default: add_whole(p, v);
    }
    tmpl_leave(p->r);
}

int tmpl_filter_pprint(struct call *c) {
    struct printer p = {.r = c->r};
    format(&p, c->self, 0, 0, 0);
    return tmpl_text_end(c->r, &p.out, c->out);
}
