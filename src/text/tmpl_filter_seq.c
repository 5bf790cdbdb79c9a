/* tmpl_filter_seq: filters that take a sequence as a whole: ends, length, order, groups, sums. */
#include "tmpl_run.h"

#include <string.h>

/* ---- one item ------------------------------------------------------------------------------------------------------ */

static int filter_first(struct call *c) {
    struct iter it;
    int more = tmpl_iter(c->r, c->self, &it);
    if (more == 0)
        more = tmpl_next(c->r, &it, c->out);
    if (more == 0)
        *c->out = tmpl_undefined_hint("No first item, sequence was empty.");
    return more < 0 ? more : 0;
}

static bool is_reversible(struct val v) {
    return v.type == VAL_UNDEFINED || v.type == VAL_STR || v.type == VAL_BYTES || v.type == VAL_LIST || v.type == VAL_TUPLE ||
           v.type == VAL_DICT || v.type == VAL_VIEW || v.type == VAL_RANGE;
}

static int filter_last(struct call *c) {
    struct list *items;
    if (!is_reversible(c->self))
        return tmpl_fail(c->r, "type", "'%s' object is not reversible", tmpl_type_name(c->self));
    if (c->self.type == VAL_STR && c->self.n) {
        size_t n = tmpl_str_cp_before(c->self, c->self.n);
        *c->out = tmpl_str_sub(c->self, c->self.n - n, n);
        c->out->flags = 0;
        return 0;
    }
    if (c->self.type == VAL_LIST || c->self.type == VAL_TUPLE)
        items = c->self.list;
    else if (tmpl_to_list(c->r, c->self, &items) < 0)
        return tmpl_failed(c->r);
    *c->out = items->n ? items->items[items->n - 1] : tmpl_undefined_hint("No last item, sequence was empty.");
    return 0;
}

/* The next number below n of a sequence that begins anew with each render: the same request gets the same prompt. */
static int64_t draw(struct render *r, int64_t n) {
    uint64_t x = ++r->draws * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (int64_t)((unsigned __int128)(x ^ x >> 31) * (uint64_t)n >> 64);
}

static int filter_random(struct call *c) {
    struct render *r = c->r;
    int64_t n;
    if (tmpl_length(r, c->self, &n) < 0)
        return tmpl_failed(r);
    if (n == 0) {
        *c->out = tmpl_undefined_hint("No random item, sequence was empty.");
        return 0;
    }
    bool indexed = c->self.type == VAL_STR || c->self.type == VAL_BYTES || c->self.type == VAL_LIST ||
                   c->self.type == VAL_TUPLE || c->self.type == VAL_RANGE;
    if (!indexed)
        return tmpl_fail(r, "type", "'%s' object is not subscriptable", tmpl_type_name(c->self));
    return tmpl_getitem(r, c->self, tmpl_int(draw(r, n)), c->out);
}

static int filter_length(struct call *c) {
    int64_t n;
    int code = tmpl_length(c->r, c->self, &n);
    *c->out = tmpl_int(n);
    return code;
}

/* ---- all items, in another form -------------------------------------------------------------------------------------- */

static int filter_list(struct call *c) {
    struct list *l;
    if (tmpl_to_list(c->r, c->self, &l) < 0)
        return tmpl_failed(c->r);
    *c->out = tmpl_list(l);
    c->out->origin = c->self.type == VAL_LIST || c->self.type == VAL_TUPLE ? c->self.origin : TEMPLATE;
    return 0;
}

static int next_of_list(struct render *r, struct gen *g, struct val *out) {
    (void)r;
    if (g->at >= (int64_t)g->items->n)
        return 0;
    *out = g->items->items[g->at++];
    return 1;
}

static int reverse_str(struct render *r, struct val s, struct val *out) {
    struct text t = {0};
    for (size_t end = s.n; end > 0 && !tmpl_failed(r);) {
        size_t n = tmpl_str_cp_before(s, end);
        end -= n;
        tmpl_text_sub(r, &t, s, end, n);
    }
    int code = tmpl_text_end(r, &t, out);
    out->flags = s.flags;
    return code;
}

/* Python's reversed(): an iterator; a list where only that is possible. */
static int filter_reverse(struct call *c) {
    if (c->self.type == VAL_STR)
        return reverse_str(c->r, c->self, c->out);
    struct list *l;
    if (tmpl_to_list(c->r, c->self, &l) < 0)
        return tmpl_failed(c->r);
    for (size_t i = 0; i < l->n / 2; i++) {
        struct val v = l->items[i];
        l->items[i] = l->items[l->n - 1 - i];
        l->items[l->n - 1 - i] = v;
    }
    *c->out = tmpl_list(l);
    if (!is_reversible(c->self))
        return 0;
    struct gen *g = tmpl_alloc(c->r, sizeof *g);
    if (!g)
        return tmpl_failed(c->r);
    *g = (struct gen){.next = next_of_list, .name = "list_reverseiterator", .items = l};
    *c->out = (struct val){.type = VAL_ITER, .gen = g};
    return 0;
}

static int next_item(struct render *r, struct gen *g, struct val *out) {
    if (g->in.over.type == VAL_UNDEFINED)
        return 0;
    if (g->in.over.type != VAL_DICT)
        return tmpl_fail(r, "type", "Can only get item pairs from a mapping.");
    struct val view = g->in.over;
    struct iter it = {.over = view, .at = g->in.at++};
    it.over.type = VAL_VIEW;
    it.over.flags = VIEW_ITEMS;
    return tmpl_next(r, &it, out);
}

static struct gen *new_gen(struct call *c, int (*next)(struct render *r, struct gen *g, struct val *out)) {
    struct gen *g = tmpl_alloc(c->r, sizeof *g);
    if (!g)
        return NULL;
    *g = (struct gen){.next = next, .name = "generator", .in = {.over = c->self}};
    *c->out = (struct val){.type = VAL_ITER, .gen = g};
    return g;
}

static int filter_items(struct call *c) {
    return new_gen(c, next_item) ? 0 : tmpl_failed(c->r);
}

/* ---- keys ------------------------------------------------------------------------------------------------------------------ */

static int ignore_case(struct render *r, struct val v, bool case_sensitive, struct val *out) {
    if (!case_sensitive && v.type == VAL_STR)
        return tmpl_str_case(r, v, CASE_LOWER, out);
    *out = v;
    return 0;
}

/* What an item is compared by: its attribute (path), in lower case. */
static int get_key(struct render *r, struct val item, struct val path, struct val fallback, bool case_sensitive,
                   struct val *out) {
    struct val v;
    if (tmpl_get_path(r, item, path, fallback, &v) < 0)
        return tmpl_failed(r);
    return ignore_case(r, v, case_sensitive, out);
}

/* The keys of filter sort: a list, of several where the attribute names several, "a,b". In lists equals are not compared, so that
 * undefined ones stay as they are. */
static int get_sort_key(struct render *r, struct val item, struct val paths, bool case_sensitive, struct val *out) {
    struct list *keys = tmpl_list_new(r, 1);
    size_t at = 0;
    bool more = true;
    while (keys && more) {
        size_t comma = paths.type == VAL_STR ? tmpl_str_find(paths, STR(","), at, paths.n) : SIZE_MAX;
        size_t end = comma == SIZE_MAX ? paths.n : comma;
        struct val key, path = paths.type == VAL_STR ? tmpl_str_sub(paths, at, end - at) : paths;
        if (get_key(r, item, path, (struct val){0}, case_sensitive, &key) < 0 || tmpl_list_add(r, keys, key) < 0)
            return tmpl_failed(r);
        more = comma != SIZE_MAX;
        at = end + 1;
    }
    if (!keys)
        return tmpl_failed(r);
    *out = tmpl_list(keys);
    return 0;
}

/* sort(reverse=False, case_sensitive=False, attribute=None) */
static int filter_sort(struct call *c) {
    struct render *r = c->r;
    struct list *l;
    struct val *keys;
    if (tmpl_to_list(r, c->self, &l) < 0 || !(keys = tmpl_array(r, l->n, sizeof *keys)))
        return tmpl_failed(r);
    for (size_t i = 0; i < l->n; i++)
        if (get_sort_key(r, l->items[i], c->arg[2], tmpl_truth(c->arg[1]), &keys[i]) < 0)
            return tmpl_failed(r);
    *c->out = tmpl_list(l);
    return tmpl_sort(r, l->items, keys, l->n, tmpl_truth(c->arg[0]));
}

/* dictsort(case_sensitive=False, by='key', reverse=False) */
static int filter_dictsort(struct call *c) {
    struct render *r = c->r;
    bool by_value = tmpl_is_str(c->arg[1], "value");
    if (c->arg[1].type != VAL_MISSING && !by_value && !tmpl_is_str(c->arg[1], "key"))
        return tmpl_fail(r, "template", "You can only sort by either \"key\" or \"value\"");
    if (c->self.type == VAL_UNDEFINED)
        return tmpl_undefined_fail(r, c->self);
    if (c->self.type != VAL_DICT)
        return tmpl_fail(r, "type", "'%s' object has no attribute 'items'", tmpl_type_name(c->self));
    const struct dict *d = c->self.dict;
    struct list *l = tmpl_list_new(r, d->n);
    struct val *keys = tmpl_array(r, d->n, sizeof *keys), pair;
    if (!l || !keys)
        return tmpl_failed(r);
    for (size_t i = 0; i < d->n; i++) {
        struct val by = by_value ? d->entries[i].value : d->entries[i].key;
        if (ignore_case(r, by, tmpl_truth(c->arg[0]), &keys[i]) < 0 ||
            tmpl_pair(r, d->entries[i].key, d->entries[i].value, &pair) < 0 || tmpl_list_add(r, l, pair) < 0)
            return tmpl_failed(r);
    }
    *c->out = tmpl_list(l);
    return tmpl_sort(r, l->items, keys, l->n, tmpl_truth(c->arg[2]));
}

/* min, max(case_sensitive=False, attribute=None) */
static int extreme(struct call *c, enum compare better) {
    struct render *r = c->r;
    struct iter it;
    struct val item, key, best_key = {0};
    int more = tmpl_iter(r, c->self, &it);
    *c->out = tmpl_undefined_hint("No aggregated item, sequence was empty.");
    while (more >= 0 && (more = tmpl_next(r, &it, &item)) > 0) {
        bool take = true;
        if (get_key(r, item, c->arg[1], (struct val){0}, tmpl_truth(c->arg[0]), &key) < 0)
            return tmpl_failed(r);
        if (best_key.type != VAL_MISSING && tmpl_compare(r, better, key, best_key, &take) < 0)
            return tmpl_failed(r);
        if (take) {
            *c->out = item;
            best_key = key;
        }
    }
    return more;
}

static int filter_min(struct call *c) {
    return extreme(c, CMP_LT);
}

static int filter_max(struct call *c) {
    return extreme(c, CMP_GT);
}

/* ---- groups ------------------------------------------------------------------------------------------------------------------- */

static int new_group(struct render *r, struct val key, struct list *items, struct val *out) {
    int code = tmpl_pair(r, key, tmpl_list(items), out);
    out->flags = FLAG_GROUP;
    return code;
}

/* groupby(attribute, default=None, case_sensitive=False): sorted, then runs of equal keys. */
static int filter_groupby(struct call *c) {
    struct render *r = c->r;
    bool sensitive = tmpl_truth(c->arg[2]);
    struct list *l, *groups = tmpl_list_new(r, 0);
    struct val *keys;
    if (!groups || tmpl_to_list(r, c->self, &l) < 0 || !(keys = tmpl_array(r, l->n, sizeof *keys)))
        return tmpl_failed(r);
    for (size_t i = 0; i < l->n; i++)
        if (get_key(r, l->items[i], c->arg[0], c->arg[1], sensitive, &keys[i]) < 0)
            return tmpl_failed(r);
    if (tmpl_sort(r, l->items, keys, l->n, false) < 0)
        return tmpl_failed(r);
    for (size_t from = 0, to; from < l->n; from = to) {
        struct list *items = tmpl_list_new(r, 0);
        struct val key, group;
        bool same = true;
        for (to = from; to < l->n && same; to += same) {
            if (!items || tmpl_equal(r, keys[from], keys[to], &same) < 0 || (same && tmpl_list_add(r, items, l->items[to]) < 0))
                return tmpl_failed(r);
        }
        if (tmpl_get_path(r, items->items[0], c->arg[0], c->arg[1], &key) < 0 || new_group(r, key, items, &group) < 0 ||
            tmpl_list_add(r, groups, group) < 0)
            return tmpl_failed(r);
    }
    *c->out = tmpl_list(groups);
    return 0;
}

static int next_unique(struct render *r, struct gen *g, struct val *out) {
    int more;
    while ((more = tmpl_next(r, &g->in, out)) > 0) {
        struct val key, seen;
        if (get_key(r, *out, g->attribute, (struct val){0}, g->case_sensitive, &key) < 0 ||
            tmpl_dict_get(r, g->seen, key, &seen) < 0)
            return tmpl_failed(r);
        if (seen.type == VAL_MISSING)
            return tmpl_dict_set(r, g->seen, key, tmpl_none()) < 0 ? tmpl_failed(r) : 1;
    }
    return more;
}

/* unique(case_sensitive=False, attribute=None) */
static int filter_unique(struct call *c) {
    struct gen *g = new_gen(c, next_unique);
    if (!g || !(g->seen = tmpl_dict_new(c->r)))
        return tmpl_failed(c->r);
    g->case_sensitive = tmpl_truth(c->arg[0]);
    g->attribute = c->arg[1];
    return tmpl_iter(c->r, c->self, &g->in);
}

static int next_batch(struct render *r, struct gen *g, struct val *out) {
    struct list *l = tmpl_list_new(r, 0);
    struct val v;
    int more = l ? 1 : tmpl_failed(r);
    while (more > 0 && (int64_t)l->n < (g->n > 0 ? g->n : INT64_MAX) && (more = tmpl_next(r, &g->in, &v)) > 0)
        if (tmpl_list_add(r, l, v) < 0)
            return tmpl_failed(r);
    if (more < 0 || l->n == 0)
        return more < 0 ? more : 0;
    while (g->fill.type != VAL_MISSING && g->fill.type != VAL_NONE && (int64_t)l->n < g->n)
        if (tmpl_list_add(r, l, g->fill) < 0)
            return tmpl_failed(r);
    *out = tmpl_list(l);
    return 1;
}

static int read_count(struct render *r, struct val v, int64_t *n) {
    if (!tmpl_is_int(v))
        return tmpl_fail(r, "type", "'%s' object cannot be interpreted as an integer", tmpl_type_name(v));
    *n = tmpl_as_int(v);
    return 0;
}

/* batch(linecount, fill_with=None) */
static int filter_batch(struct call *c) {
    struct gen *g = new_gen(c, next_batch);
    if (!g || read_count(c->r, c->arg[0], &g->n) < 0)
        return tmpl_failed(c->r);
    g->fill = c->arg[1];
    return tmpl_iter(c->r, c->self, &g->in);
}

static int next_slice(struct render *r, struct gen *g, struct val *out) {
    int64_t length = (int64_t)g->items->n, each = length / g->n, extra = length % g->n, i = g->at++;
    if (i >= g->n)
        return 0;
    int64_t from = i * each + (i < extra ? i : extra), to = from + each + (i < extra);
    struct list *l = tmpl_list_new(r, (size_t)(to - from) + 1);
    if (!l)
        return tmpl_failed(r);
    for (int64_t k = from; k < to; k++)
        if (tmpl_list_add(r, l, g->items->items[k]) < 0)
            return tmpl_failed(r);
    if (g->fill.type != VAL_MISSING && g->fill.type != VAL_NONE && i >= extra && tmpl_list_add(r, l, g->fill) < 0)
        return tmpl_failed(r);
    *out = tmpl_list(l);
    return 1;
}

/* slice(slices, fill_with=None) */
static int filter_slice(struct call *c) {
    struct gen *g = new_gen(c, next_slice);
    if (!g || read_count(c->r, c->arg[0], &g->n) < 0 || tmpl_to_list(c->r, c->self, &g->items) < 0)
        return tmpl_failed(c->r);
    g->fill = c->arg[1];
    if (g->n == 0)
        return tmpl_fail(c->r, "division", "integer division or modulo by zero");
    return 0;
}

/* ---- sums ------------------------------------------------------------------------------------------------------------------------- */

/* sum(attribute=None, start=0) */
static int filter_sum(struct call *c) {
    struct render *r = c->r;
    struct iter it;
    struct val item, total = c->arg[1].type == VAL_MISSING ? tmpl_int(0) : c->arg[1];
    int more = tmpl_iter(r, c->self, &it);
    if (total.type == VAL_STR)
        return tmpl_fail(r, "type", "sum() can't sum strings [use ''.join(seq) instead]");
    while (more >= 0 && (more = tmpl_next(r, &it, &item)) > 0)
        if (tmpl_get_path(r, item, c->arg[0], (struct val){0}, &item) < 0 || tmpl_arith(r, '+', total, item, &total) < 0)
            return tmpl_failed(r);
    *c->out = total;
    return more;
}

/* Does any item make the result safe HTML, so that the others must be escaped? */
static int has_markup(struct render *r, const struct list *l, struct val path, bool *out) {
    *out = false;
    for (size_t i = 0; i < l->n && !*out; i++) {
        struct val v;
        if (tmpl_get_path(r, l->items[i], path, (struct val){0}, &v) < 0)
            return tmpl_failed(r);
        *out = v.type == VAL_STR && v.flags & FLAG_MARKUP;
    }
    return 0;
}

/* join(d='', attribute=None) */
static int filter_join(struct call *c) {
    struct render *r = c->r;
    struct list *l;
    struct text t = {0};
    struct val item, separator = c->arg[0].type == VAL_MISSING ? tmpl_str_literal("") : c->arg[0];
    bool markup = false;
    if (tmpl_str_from(r, separator, &separator) < 0 || tmpl_to_list(r, c->self, &l) < 0)
        return tmpl_failed(r);
    if (r->autoescape) {
        markup = separator.flags & FLAG_MARKUP;
        if (!markup && has_markup(r, l, c->arg[1], &markup) < 0)
            return tmpl_failed(r);
        if (markup && tmpl_str_escape(r, separator, &separator) < 0)
            return tmpl_failed(r);
    }
    for (size_t i = 0; i < l->n; i++) {
        if (i > 0)
            tmpl_text_str(r, &t, separator);
        if (tmpl_get_path(r, l->items[i], c->arg[1], (struct val){0}, &item) < 0 ||
            (markup && tmpl_str_escape(r, item, &item) < 0))
            return tmpl_failed(r);
        tmpl_text_val(r, &t, item);
    }
    int code = tmpl_text_end(r, &t, c->out);
    c->out->flags = markup ? FLAG_MARKUP : 0;
    return code;
}

const struct callable tmpl_filters_seq[] = {
    {"batch", 1, 2, "linecount fill_with", filter_batch},
    {"count", 0, 0, NULL, filter_length},
    {"dictsort", 0, 3, "case_sensitive by reverse", filter_dictsort},
    {"first", 0, 0, NULL, filter_first},
    {"groupby", 1, 3, "attribute default case_sensitive", filter_groupby},
    {"items", 0, 0, NULL, filter_items},
    {"join", 0, 2, "d attribute", filter_join},
    {"last", 0, 0, NULL, filter_last},
    {"length", 0, 0, NULL, filter_length},
    {"list", 0, 0, NULL, filter_list},
    {"max", 0, 2, "case_sensitive attribute", filter_max},
    {"min", 0, 2, "case_sensitive attribute", filter_min},
    {"random", 0, 0, NULL, filter_random},
    {"reverse", 0, 0, NULL, filter_reverse},
    {"slice", 1, 2, "slices fill_with", filter_slice},
    {"sort", 0, 3, "reverse case_sensitive attribute", filter_sort},
    {"sum", 0, 2, "attribute start", filter_sum},
    {"unique", 0, 2, "case_sensitive attribute", filter_unique},
    {.name = NULL},
};
