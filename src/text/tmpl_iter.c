/* tmpl_iter: iterating over values, sorting, and reading attributes along a path. */
#include "tmpl_run.h"

#include <string.h>

/* ---- iteration --------------------------------------------------------------------------------------------------- */

bool tmpl_is_iterable(struct val v) {
    switch ((enum val_type)v.type) {
    case VAL_UNDEFINED:
    case VAL_STR:
    case VAL_BYTES:
    case VAL_LIST:
    case VAL_TUPLE:
    case VAL_DICT:
    case VAL_VIEW:
    case VAL_RANGE:
    case VAL_ITER:
    case VAL_LOOP: return true;
    default: return false;
    }
}

int tmpl_iter(struct render *r, struct val v, struct iter *it) {
    *it = (struct iter){.over = v};
    if (!tmpl_is_iterable(v))
        return tmpl_fail(r, "type", "'%s' object is not iterable", tmpl_type_name(v));
    return 0;
}

static int next_entry(struct render *r, struct iter *it, unsigned what, struct val *out) {
    const struct entry *e = &it->over.dict->entries[it->at++];
    if (what == VIEW_ITEMS)
        return tmpl_pair(r, e->key, e->value, out) < 0 ? tmpl_failed(r) : 1;
    *out = what == VIEW_KEYS ? e->key : e->value;
    return 1;
}

static int next_char(struct iter *it, struct val *out) {
    unsigned len;
    tmpl_str_cp(it->over, it->at, &len);
    *out = tmpl_str_sub(it->over, it->at, len);
    out->flags = 0; /* Python iterates over safe HTML as over any string */
    it->at += len;
    return 1;
}

int tmpl_next(struct render *r, struct iter *it, struct val *out) {
    struct val v = it->over;
    if (tmpl_step(r) < 0)
        return tmpl_failed(r);
    switch ((enum val_type)v.type) {
    case VAL_STR: return it->at < v.n ? next_char(it, out) : 0;
    case VAL_BYTES:
        if (it->at >= v.n)
            return 0;
        *out = tmpl_byte_at(v, it->at++);
        return 1;
    case VAL_LIST:
    case VAL_TUPLE:
        if (it->at >= v.list->n)
            return 0;
        *out = v.list->items[it->at++];
        return 1;
    case VAL_DICT:
    case VAL_VIEW:
        if (it->at >= v.dict->n)
            return 0;
        return next_entry(r, it, v.type == VAL_DICT ? VIEW_KEYS : v.flags, out);
    case VAL_RANGE:
        if ((int64_t)it->at >= v.range->n)
            return 0;
        *out = tmpl_int(tmpl_range_item(v.range, (int64_t)it->at++));
        return 1;
    case VAL_ITER: {
        if (tmpl_enter(r) < 0) /* generators feed one another */
            return tmpl_failed(r);
        int more = v.gen->next(r, v.gen, out);
        tmpl_leave(r);
        return more;
    }
    case VAL_LOOP: return tmpl_loop_next(r, v.loop, out);
    default: return 0;
    }
}

int tmpl_to_list(struct render *r, struct val v, struct list **out) {
    struct iter it;
    struct val item;
    struct list *l = tmpl_list_new(r, v.type == VAL_LIST || v.type == VAL_TUPLE ? v.list->n : 0);
    int more = !l ? tmpl_failed(r) : tmpl_iter(r, v, &it);
    while (more >= 0 && (more = tmpl_next(r, &it, &item)) > 0)
        if (tmpl_list_add(r, l, item) < 0)
            return tmpl_failed(r);
    *out = l;
    return more;
}

/* ---- sorting ------------------------------------------------------------------------------------------------------- */

struct sort_pair {
    struct val key, item;
};

/* Merges the sorted halves [from, middle) and [middle, to) of a into b. */
static int merge(struct render *r, const struct sort_pair *a, struct sort_pair *b, size_t from, size_t middle, size_t to,
                 bool reverse) {
    size_t i = from, j = middle;
    for (size_t k = from; k < to; k++) {
        bool right = i >= middle;
        if (!right && j < to) { /* only < is asked, and the left one wins a tie: stable in both directions */
            struct val first = reverse ? a[i].key : a[j].key, second = reverse ? a[j].key : a[i].key;
            if (tmpl_step(r) < 0 || tmpl_compare(r, CMP_LT, first, second, &right) < 0)
                return tmpl_failed(r);
        }
        b[k] = right ? a[j++] : a[i++];
    }
    return 0;
}

int tmpl_sort(struct render *r, struct val *items, struct val *keys, size_t n, bool reverse) {
    struct sort_pair *a = tmpl_array(r, n, sizeof *a), *b = tmpl_array(r, n, sizeof *b);
    if (!a || !b)
        return tmpl_failed(r);
    for (size_t i = 0; i < n; i++)
        a[i] = (struct sort_pair){keys[i], items[i]};
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t from = 0; from < n; from += 2 * width) {
            size_t middle = from + width < n ? from + width : n, to = from + 2 * width < n ? from + 2 * width : n;
            if (merge(r, a, b, from, middle, to, reverse) < 0)
                return tmpl_failed(r);
        }
        struct sort_pair *other = a;
        a = b;
        b = other;
    }
    for (size_t i = 0; i < n; i++) {
        keys[i] = a[i].key;
        items[i] = a[i].item;
    }
    return 0;
}

/* ---- paths ------------------------------------------------------------------------------------------------------------ */

static bool all_digits(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return s.n > 0;
}

static int get_part(struct render *r, struct val item, struct str part, struct val *out) {
    int64_t index;
    bool ok;
    if (!all_digits(part))
        return tmpl_getitem(r, item, tmpl_str_of(part, TEMPLATE), out);
    if (tmpl_parse_int(r, part, 10, &index, &ok) < 0)
        return tmpl_failed(r);
    return tmpl_getitem(r, item, tmpl_int(index), out);
}

int tmpl_get_path(struct render *r, struct val item, struct val path, struct val fallback, struct val *out) {
    bool has_fallback = fallback.type != VAL_MISSING && fallback.type != VAL_NONE;
    *out = item;
    if (path.type == VAL_MISSING || path.type == VAL_NONE)
        return 0;
    if (path.type != VAL_STR) {
        if (tmpl_getitem(r, item, path, out) < 0)
            return tmpl_failed(r);
        if (has_fallback && out->type == VAL_UNDEFINED)
            *out = fallback;
        return 0;
    }
    struct str rest = tmpl_str_bytes(path);
    for (;;) {
        const char *dot = rest.n ? memchr(rest.p, '.', rest.n) : NULL;
        struct str part = {rest.p, dot ? (size_t)(dot - rest.p) : rest.n};
        if (get_part(r, *out, part, out) < 0)
            return tmpl_failed(r);
        if (has_fallback && out->type == VAL_UNDEFINED)
            *out = fallback;
        if (!dot)
            return 0;
        rest = (struct str){dot + 1, rest.n - part.n - 1};
    }
}
