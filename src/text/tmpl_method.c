/* tmpl_method: the methods of Python's str, dict, list, ... that the sandbox lets through; the rest of str is in
 * tmpl_method_char.c. */
#include "tmpl_run.h"

#include <math.h>
#include <string.h>

/* ---- arguments ----------------------------------------------------------------------------------------------------- */

static int need_str(struct call *c, size_t i) {
    if (c->arg[i].type == VAL_STR)
        return 0;
    return tmpl_fail(c->r, "type", "must be str, not %s", tmpl_type_name(c->arg[i]));
}

static bool is_given(struct val v) {
    return v.type != VAL_MISSING && v.type != VAL_NONE;
}

static int get_int(struct call *c, size_t i, int64_t missing, int64_t *out) {
    *out = missing;
    if (c->arg[i].type == VAL_MISSING)
        return 0;
    if (!tmpl_is_int(c->arg[i]))
        return tmpl_fail(c->r, "type", "'%s' object cannot be interpreted as an integer", tmpl_type_name(c->arg[i]));
    *out = tmpl_as_int(c->arg[i]);
    return 0;
}

/* Byte offsets of the bounds [arg i, arg i + 1) of a search. *valid false: the start is behind the end, nothing is found. */
static int get_range(struct call *c, size_t i, size_t *from, size_t *to, bool *valid) {
    struct val s = c->self;
    int64_t start = 0, stop = INT64_MAX;
    if ((is_given(c->arg[i]) && get_int(c, i, 0, &start) < 0) || (is_given(c->arg[i + 1]) && get_int(c, i + 1, 0, &stop) < 0))
        return tmpl_failed(c->r);
    *from = tmpl_str_offset(s, start);
    *to = stop == INT64_MAX ? s.n : tmpl_str_offset(s, stop);
    *valid = *from <= *to && !(start > 0 && *from == s.n && (uint64_t)start > tmpl_str_length(s));
    return tmpl_work(c->r, s.n);
}

/* A piece of the object itself: Markup stays Markup. */
static struct val piece(const struct call *c, size_t from, size_t to) {
    struct val v = tmpl_str_sub(c->self, from, to - from);
    v.flags = c->self.flags;
    return v;
}

static int end_text(struct call *c, struct text *t) {
    int code = tmpl_text_end(c->r, t, c->out);
    c->out->flags = c->self.flags;
    return code;
}

/* ---- searching ------------------------------------------------------------------------------------------------------- */

static int find_either(struct call *c, bool last, bool must) {
    size_t from, to, at;
    bool valid;
    if (need_str(c, 0) < 0 || get_range(c, 1, &from, &to, &valid) < 0)
        return tmpl_failed(c->r);
    struct str needle = tmpl_str_bytes(c->arg[0]);
    at = !valid ? SIZE_MAX : last ? tmpl_str_rfind(c->self, needle, from, to) : tmpl_str_find(c->self, needle, from, to);
    if (at == SIZE_MAX && must)
        return tmpl_fail(c->r, "type", "substring not found");
    *c->out = tmpl_int(at == SIZE_MAX ? -1 : (int64_t)tmpl_str_length(tmpl_str_sub(c->self, 0, at)));
    return 0;
}

static int str_find(struct call *c) {
    return find_either(c, false, false);
}

static int str_rfind(struct call *c) {
    return find_either(c, true, false);
}

static int str_index(struct call *c) {
    return find_either(c, false, true);
}

static int str_rindex(struct call *c) {
    return find_either(c, true, true);
}

static int str_count(struct call *c) {
    size_t from, to;
    int64_t n = 0;
    bool valid;
    if (need_str(c, 0) < 0 || get_range(c, 1, &from, &to, &valid) < 0)
        return tmpl_failed(c->r);
    struct str needle = tmpl_str_bytes(c->arg[0]);
    if (valid && needle.n == 0)
        n = (int64_t)tmpl_str_length(tmpl_str_sub(c->self, from, to - from)) + 1;
    else
        for (size_t at = from; valid && (at = tmpl_str_find(c->self, needle, at, to)) != SIZE_MAX; at += needle.n)
            n++;
    *c->out = tmpl_int(n);
    return 0;
}

/* startswith and endswith: one string or a tuple of them. */
static int affix(struct call *c, bool at_end) {
    size_t from, to;
    bool valid, found = false;
    struct val one = c->arg[0], *items = &one;
    size_t n = 1;
    if (get_range(c, 1, &from, &to, &valid) < 0)
        return tmpl_failed(c->r);
    if (one.type == VAL_TUPLE) {
        items = one.list->items;
        n = one.list->n;
    }
    for (size_t i = 0; i < n && !found; i++) {
        if (items[i].type != VAL_STR)
            return tmpl_fail(c->r, "type", "%s first arg must be str or a tuple of str, not %s",
                             at_end ? "endswith" : "startswith", tmpl_type_name(items[i]));
        uint32_t k = items[i].n;
        found = valid && k <= to - from && (k == 0 || memcmp(c->self.p + (at_end ? to - k : from), items[i].p, k) == 0);
    }
    *c->out = tmpl_bool(found);
    return 0;
}

static int str_startswith(struct call *c) {
    return affix(c, false);
}

static int str_endswith(struct call *c) {
    return affix(c, true);
}

/* ---- cutting ----------------------------------------------------------------------------------------------------------- */

static int str_strip(struct call *c) {
    return tmpl_str_strip(c->r, c->self, c->arg[0], true, true, c->out);
}

static int str_lstrip(struct call *c) {
    return tmpl_str_strip(c->r, c->self, c->arg[0], true, false, c->out);
}

static int str_rstrip(struct call *c) {
    return tmpl_str_strip(c->r, c->self, c->arg[0], false, true, c->out);
}

static int str_removeprefix(struct call *c) {
    if (need_str(c, 0) < 0)
        return tmpl_failed(c->r);
    bool has = str_starts(tmpl_str_bytes(c->self), tmpl_str_bytes(c->arg[0]));
    *c->out = piece(c, has ? c->arg[0].n : 0, c->self.n);
    return 0;
}

static int str_removesuffix(struct call *c) {
    if (need_str(c, 0) < 0)
        return tmpl_failed(c->r);
    uint32_t n = c->arg[0].n;
    bool has = n && n <= c->self.n && memcmp(c->self.p + c->self.n - n, c->arg[0].p, n) == 0;
    *c->out = piece(c, 0, has ? c->self.n - n : c->self.n);
    return 0;
}

/* Splits at white space from the left, at most `max` times (negative: always). */
static int split_blank(struct call *c, int64_t max, struct list *l) {
    struct val s = c->self;
    size_t at = 0;
    unsigned len;
    for (;; max--) {
        at += tmpl_space_length((struct str){s.p + at, s.n - at});
        if (at == s.n)
            return 0;
        size_t end = at;
        if (max == 0) {
            struct val rest;
            if (tmpl_str_strip(c->r, piece(c, at, s.n), (struct val){0}, false, true, &rest) < 0)
                return tmpl_failed(c->r);
            return tmpl_list_add(c->r, l, rest);
        }
        for (; end < s.n && !(tmpl_char_class(tmpl_str_cp(s, end, &len)) & CHAR_SPACE); end += len)
            ;
        if (tmpl_list_add(c->r, l, piece(c, at, end)) < 0)
            return tmpl_failed(c->r);
        at = end;
    }
}

/* The same from the right; the pieces come last one first. */
static int rsplit_blank(struct call *c, int64_t max, struct list *l) {
    struct val s = c->self;
    size_t at = s.n;
    unsigned len, whole;
    for (;; max--) {
        for (; at > 0 && tmpl_char_class(tmpl_str_cp(s, at - (len = tmpl_str_cp_before(s, at)), &whole)) & CHAR_SPACE; at -= len)
            ;
        if (at == 0)
            return 0;
        size_t from = at;
        if (max == 0)
            return tmpl_list_add(c->r, l, piece(c, tmpl_space_length(tmpl_str_bytes(s)), at));
        for (; from > 0 && !(tmpl_char_class(tmpl_str_cp(s, from - (len = tmpl_str_cp_before(s, from)), &whole)) & CHAR_SPACE);
             from -= len)
            ;
        if (tmpl_list_add(c->r, l, piece(c, from, at)) < 0)
            return tmpl_failed(c->r);
        at = from;
    }
}

static int split_at(struct call *c, struct str sep, int64_t max, struct list *l) {
    size_t at = 0, next;
    for (; max != 0 && (next = tmpl_str_find(c->self, sep, at, c->self.n)) != SIZE_MAX; max--) {
        if (tmpl_list_add(c->r, l, piece(c, at, next)) < 0)
            return tmpl_failed(c->r);
        at = next + sep.n;
    }
    return tmpl_list_add(c->r, l, piece(c, at, c->self.n));
}

static int rsplit_at(struct call *c, struct str sep, int64_t max, struct list *l) {
    size_t end = c->self.n, found;
    for (; max != 0 && (found = tmpl_str_rfind(c->self, sep, 0, end)) != SIZE_MAX; max--) {
        if (tmpl_list_add(c->r, l, piece(c, found + sep.n, end)) < 0)
            return tmpl_failed(c->r);
        end = found;
    }
    return tmpl_list_add(c->r, l, piece(c, 0, end));
}

static void reverse(struct list *l) {
    for (size_t i = 0; i < l->n / 2; i++) {
        struct val v = l->items[i];
        l->items[i] = l->items[l->n - 1 - i];
        l->items[l->n - 1 - i] = v;
    }
}

/* split(sep=None, maxsplit=-1) and rsplit. */
static int split(struct call *c, bool from_right) {
    struct list *l = tmpl_list_new(c->r, 0);
    int64_t max;
    int code;
    if (!l || get_int(c, 1, -1, &max) < 0 || (is_given(c->arg[0]) && need_str(c, 0) < 0) || tmpl_work(c->r, c->self.n) < 0)
        return tmpl_failed(c->r);
    if (max < 0)
        max = -1;
    struct str sep = tmpl_str_bytes(c->arg[0]);
    if (!is_given(c->arg[0]))
        code = from_right ? rsplit_blank(c, max, l) : split_blank(c, max, l);
    else if (sep.n == 0)
        return tmpl_fail(c->r, "type", "empty separator");
    else
        code = from_right ? rsplit_at(c, sep, max, l) : split_at(c, sep, max, l);
    if (from_right)
        reverse(l);
    *c->out = tmpl_list(l);
    return code;
}

static int str_split(struct call *c) {
    return split(c, false);
}

static int str_rsplit(struct call *c) {
    return split(c, true);
}

static int str_splitlines(struct call *c) {
    struct list *l = tmpl_list_new(c->r, 0);
    size_t n, with_end;
    if (!l)
        return tmpl_failed(c->r);
    for (size_t at = 0; at < c->self.n; at += with_end) {
        tmpl_str_line(c->self, at, &n, &with_end);
        if (tmpl_list_add(c->r, l, piece(c, at, at + (tmpl_truth(c->arg[0]) ? with_end : n))) < 0)
            return tmpl_failed(c->r);
    }
    *c->out = tmpl_list(l);
    return 0;
}

static int partition(struct call *c, bool last) {
    struct list *l = tmpl_list_new(c->r, 3);
    if (!l || need_str(c, 0) < 0)
        return tmpl_failed(c->r);
    if (c->arg[0].n == 0)
        return tmpl_fail(c->r, "type", "empty separator");
    struct str sep = tmpl_str_bytes(c->arg[0]);
    size_t n = c->self.n, at = last ? tmpl_str_rfind(c->self, sep, 0, n) : tmpl_str_find(c->self, sep, 0, n),
           cut[4] = {0, at, at + sep.n, n};
    if (at == SIZE_MAX) {
        cut[1] = last ? 0 : n;
        cut[2] = cut[1];
    }
    for (size_t i = 0; i < 3; i++)
        if (tmpl_list_add(c->r, l, piece(c, cut[i], cut[i + 1])) < 0)
            return tmpl_failed(c->r);
    *c->out = tmpl_tuple(l);
    return tmpl_work(c->r, n);
}

static int str_partition(struct call *c) {
    return partition(c, false);
}

static int str_rpartition(struct call *c) {
    return partition(c, true);
}

/* ---- making ------------------------------------------------------------------------------------------------------------- */

static int str_replace(struct call *c) {
    int64_t count;
    if (need_str(c, 0) < 0 || need_str(c, 1) < 0 || get_int(c, 2, -1, &count) < 0)
        return tmpl_failed(c->r);
    return tmpl_str_replace(c->r, c->self, c->arg[0], c->arg[1], count, c->out);
}

static int str_join(struct call *c) {
    struct text t = {0};
    struct iter it;
    struct val v;
    int more = tmpl_iter(c->r, c->arg[0], &it);
    for (int64_t i = 0; more >= 0 && (more = tmpl_next(c->r, &it, &v)) > 0; i++) {
        if (c->self.flags & FLAG_MARKUP && tmpl_str_escape(c->r, v, &v) < 0)
            return tmpl_failed(c->r);
        if (v.type != VAL_STR)
            return tmpl_fail(c->r, "type", "sequence item %lld: expected str instance, %s found", (long long)i,
                             tmpl_type_name(v));
        if (i > 0)
            tmpl_text_str(c->r, &t, c->self);
        tmpl_text_str(c->r, &t, v);
    }
    return more < 0 ? more : end_text(c, &t);
}

static int justify(struct call *c, char align) {
    struct text t = {0};
    struct val fill = c->arg[1].type == VAL_MISSING ? tmpl_str_literal(" ") : c->arg[1];
    int64_t width;
    if (get_int(c, 0, 0, &width) < 0)
        return tmpl_failed(c->r);
    if (fill.type != VAL_STR || tmpl_str_length(fill) != 1)
        return tmpl_fail(c->r, "type", "The fill character must be exactly one character long");
    tmpl_text_padded(c->r, &t, c->self, width, align, fill);
    return end_text(c, &t);
}

static int str_ljust(struct call *c) {
    return justify(c, '<');
}

static int str_rjust(struct call *c) {
    return justify(c, '>');
}

static int str_center(struct call *c) {
    return justify(c, '^');
}

static int str_zfill(struct call *c) {
    struct text t = {0};
    int64_t width;
    if (get_int(c, 0, 0, &width) < 0)
        return tmpl_failed(c->r);
    uint32_t sign = c->self.n && (c->self.p[0] == '-' || c->self.p[0] == '+');
    tmpl_text_sub(c->r, &t, c->self, 0, sign);
    tmpl_text_padded(c->r, &t, tmpl_str_sub(c->self, sign, c->self.n - sign), width < INT64_MIN + 1 ? 0 : width - sign, '>',
                     tmpl_str_literal("0"));
    return end_text(c, &t);
}

static int str_expandtabs(struct call *c) {
    struct text t = {0};
    int64_t size, column = 0;
    unsigned len;
    if (get_int(c, 0, 8, &size) < 0)
        return tmpl_failed(c->r);
    for (size_t i = 0; i < c->self.n && !tmpl_failed(c->r); i += len) {
        uint32_t cp = tmpl_str_cp(c->self, i, &len);
        if (cp == '\t') {
            int64_t n = size > 0 ? size - column % size : 0;
            tmpl_text_fill(c->r, &t, tmpl_str_of(STR(" "), tmpl_str_origin(c->self, i)), n > UINT32_MAX ? UINT32_MAX : (size_t)n);
            column += n;
        } else {
            tmpl_text_sub(c->r, &t, c->self, i, len);
            column = cp == '\n' || cp == '\r' ? 0 : column + 1;
        }
    }
    return end_text(c, &t);
}

static int str_format(struct call *c) {
    return tmpl_format(c->r, c->self, c->all, c->out);
}

static int str_format_map(struct call *c) {
    struct args args = {0};
    if (c->arg[0].type != VAL_DICT)
        return tmpl_fail(c->r, "type", "format_map() argument must be a mapping");
    const struct dict *d = c->arg[0].dict;
    args.kw = tmpl_array(c->r, d->n, sizeof *args.kw);
    for (size_t i = 0; args.kw && i < d->n; i++)
        if (d->entries[i].key.type == VAL_STR)
            args.kw[args.n_kw++] = (struct kwarg){tmpl_str_bytes(d->entries[i].key), d->entries[i].value};
    return args.kw ? tmpl_format(c->r, c->self, &args, c->out) : tmpl_failed(c->r);
}

const struct callable tmpl_methods_str[] = {
    {"center", 1, 2, NULL, str_center},
    {"count", 1, 3, NULL, str_count},
    {"endswith", 1, 3, NULL, str_endswith},
    {"expandtabs", 0, 1, "tabsize", str_expandtabs},
    {"find", 1, 3, NULL, str_find},
    {"format", 0, VARIADIC, NULL, str_format},
    {"format_map", 1, 1, NULL, str_format_map},
    {"index", 1, 3, NULL, str_index},
    {"join", 1, 1, NULL, str_join},
    {"ljust", 1, 2, NULL, str_ljust},
    {"lstrip", 0, 1, NULL, str_lstrip},
    {"partition", 1, 1, NULL, str_partition},
    {"removeprefix", 1, 1, NULL, str_removeprefix},
    {"removesuffix", 1, 1, NULL, str_removesuffix},
    {"replace", 2, 3, NULL, str_replace},
    {"rfind", 1, 3, NULL, str_rfind},
    {"rindex", 1, 3, NULL, str_rindex},
    {"rjust", 1, 2, NULL, str_rjust},
    {"rpartition", 1, 1, NULL, str_rpartition},
    {"rsplit", 0, 2, "sep maxsplit", str_rsplit},
    {"rstrip", 0, 1, NULL, str_rstrip},
    {"split", 0, 2, "sep maxsplit", str_split},
    {"splitlines", 0, 1, "keepends", str_splitlines},
    {"startswith", 1, 3, NULL, str_startswith},
    {"strip", 0, 1, NULL, str_strip},
    {"zfill", 1, 1, NULL, str_zfill},
    {.name = NULL},
};
