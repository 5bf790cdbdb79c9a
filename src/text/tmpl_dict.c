/* tmpl_dict: lists and dicts of templates. Dicts keep the order of insertion; a hash index comes when they are no longer small. */
#include "tmpl_run.h"

#include <math.h>
#include <string.h>

enum { SMALL_DICT = 8 };

/* ---- lists -------------------------------------------------------------------------------------------------------- */

struct list *tmpl_list_new(struct render *r, size_t cap) {
    struct list *l = tmpl_alloc(r, sizeof *l);
    if (!l || !(l->filled = tmpl_alloc(r, sizeof *l->filled)))
        return NULL;
    if (cap && !(l->items = tmpl_array(r, cap, sizeof *l->items)))
        return NULL;
    l->cap = cap;
    return l;
}

static int grow(struct render *r, struct list *l, size_t n) {
    size_t cap = 2 * (l->n + n) + 2;
    struct val *items = tmpl_array(r, cap, sizeof *items);
    size_t *filled = tmpl_alloc(r, sizeof *filled);
    if (!items || !filled)
        return tmpl_failed(r);
    if (l->n)
        memcpy(items, l->items, l->n * sizeof *items);
    *filled = l->n;
    l->items = items;
    l->cap = cap;
    l->filled = filled;
    return 0;
}

int tmpl_list_add(struct render *r, struct list *l, struct val v) {
    if (l->n == l->cap && grow(r, l, 1) < 0)
        return tmpl_failed(r);
    l->items[l->n++] = v;
    *l->filled = l->n;
    return 0;
}

int tmpl_list_concat(struct render *r, const struct list *a, const struct list *b, struct list **out) {
    struct list *l = tmpl_alloc(r, sizeof *l);
    if (!l)
        return tmpl_failed(r);
    *l = *a;
    bool at_end = *a->filled == a->n && a->cap - a->n >= b->n; /* nobody else extended a: its array takes b */
    if (!at_end && grow(r, l, b->n) < 0)
        return tmpl_failed(r);
    if (b->n)
        memcpy(l->items + l->n, b->items, b->n * sizeof *l->items);
    l->n += b->n;
    *l->filled = l->n;
    *out = l;
    return 0;
}

struct val tmpl_list(struct list *l) {
    return (struct val){.type = VAL_LIST, .list = l};
}

struct val tmpl_tuple(struct list *l) {
    return (struct val){.type = VAL_TUPLE, .list = l};
}

int tmpl_pair(struct render *r, struct val a, struct val b, struct val *out) {
    struct list *l = tmpl_list_new(r, 2);
    if (!l || tmpl_list_add(r, l, a) < 0 || tmpl_list_add(r, l, b) < 0)
        return tmpl_failed(r);
    *out = tmpl_tuple(l);
    return 0;
}

/* ---- hashing ------------------------------------------------------------------------------------------------------------ */

static uint64_t mix(uint64_t h) {
    h *= 0x9e3779b97f4a7c15;
    return h ^ h >> 29;
}

/* Equal values hash equally: 1, 1.0 and True too. */
static int hash_value(struct render *r, struct val v, uint64_t *h) {
    switch ((enum val_type)v.type) {
    case VAL_STR: *h = tmpl_hash(tmpl_str_bytes(v)); return tmpl_work(r, v.n);
    case VAL_BYTES: *h = tmpl_hash(tmpl_str_bytes(v)) + 2; return 0;
    case VAL_BIG: *h = tmpl_hash(tmpl_str_bytes(v)) + 1; return 0;
    case VAL_BOOL:
    case VAL_INT: *h = mix((uint64_t)tmpl_as_int(v)); return 0;
    case VAL_FLOAT:
        if (v.f >= -0x1p63 && v.f < 0x1p63 && trunc(v.f) == v.f)
            *h = mix((uint64_t)(int64_t)v.f);
        else
            memcpy(h, &v.f, sizeof *h);
        return 0;
    case VAL_TUPLE: {
        *h = 0x345678;
        if (tmpl_enter(r) < 0)
            return tmpl_failed(r);
        for (size_t i = 0; i < v.list->n; i++) {
            uint64_t item;
            if (tmpl_step(r) < 0 || hash_value(r, v.list->items[i], &item) < 0)
                return tmpl_failed(r);
            *h = mix(*h ^ item);
        }
        tmpl_leave(r);
        return 0;
    }
    case VAL_LIST:
    case VAL_DICT:
    case VAL_VIEW: return tmpl_fail(r, "type", "unhashable type: '%s'", tmpl_type_name(v));
    case VAL_NONE:
    case VAL_UNDEFINED: *h = v.type; return 0;
    default: *h = mix((uint64_t)(uintptr_t)v.node); return 0;
    }
}

/* ---- dicts ---------------------------------------------------------------------------------------------------------------- */

struct dict *tmpl_dict_new(struct render *r) {
    return tmpl_alloc(r, sizeof(struct dict));
}

struct val tmpl_dict(struct dict *d) {
    return (struct val){.type = VAL_DICT, .dict = d};
}

/* Probing is counted as work, so that keys chosen to collide cost the limit and not the server. */
static int index_add(struct render *r, struct dict *d, size_t entry) {
    size_t mask = d->index_size - 1, at = d->entries[entry].hash & mask, probes = 0;
    for (; d->index[at]; at = (at + 1) & mask)
        probes++;
    d->index[at] = (uint32_t)entry + 1;
    return probes > 16 ? tmpl_work(r, 16 * probes) : 0;
}

static int index_build(struct render *r, struct dict *d) {
    size_t size = 32;
    while (size < 3 * d->cap)
        size *= 2;
    d->index = tmpl_array(r, size, sizeof *d->index);
    if (!d->index)
        return tmpl_failed(r);
    d->index_size = size;
    for (size_t i = 0; i < d->n; i++)
        if (index_add(r, d, i) < 0)
            return tmpl_failed(r);
    return 0;
}

static int key_equal(struct render *r, const struct entry *e, uint64_t hash, struct val key, bool *out) {
    *out = false;
    if (e->hash != hash)
        return 0;
    if (key.type == VAL_STR && e->key.type == VAL_STR) {
        *out = str_eq(tmpl_str_bytes(e->key), tmpl_str_bytes(key));
        return 0;
    }
    return tmpl_equal(r, e->key, key, out);
}

/* *at: the entry, or d->n. */
static int find(struct render *r, const struct dict *d, uint64_t hash, struct val key, size_t *at) {
    bool equal = false;
    *at = d->n;
    if (!d->index) {
        for (size_t i = 0; i < d->n; i++) {
            if (key_equal(r, &d->entries[i], hash, key, &equal) < 0)
                return tmpl_failed(r);
            if (equal) {
                *at = i;
                return 0;
            }
        }
        return 0;
    }
    size_t mask = d->index_size - 1, probes = 0;
    for (size_t i = hash & mask; d->index[i]; i = (i + 1) & mask, probes++) {
        if (key_equal(r, &d->entries[d->index[i] - 1], hash, key, &equal) < 0)
            return tmpl_failed(r);
        if (equal) {
            *at = d->index[i] - 1;
            break;
        }
    }
    return probes > 16 ? tmpl_work(r, 16 * probes) : 0;
}

static int append(struct render *r, struct dict *d, struct val key, uint64_t hash, struct val value) {
    if (d->n == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 4;
        struct entry *entries = tmpl_array(r, cap, sizeof *entries);
        if (!entries)
            return tmpl_failed(r);
        if (d->n)
            memcpy(entries, d->entries, d->n * sizeof *entries);
        d->entries = entries;
        d->cap = cap;
        d->index = NULL; /* it is sized by cap */
    }
    d->entries[d->n] = (struct entry){key, value, hash};
    d->n++;
    if (d->index)
        return index_add(r, d, d->n - 1);
    return d->n > SMALL_DICT ? index_build(r, d) : 0;
}

int tmpl_dict_set(struct render *r, struct dict *d, struct val key, struct val value) {
    uint64_t hash;
    size_t at;
    if (hash_value(r, key, &hash) < 0 || find(r, d, hash, key, &at) < 0)
        return tmpl_failed(r);
    if (at == d->n)
        return append(r, d, key, hash, value);
    d->entries[at].value = value;
    return 0;
}

int tmpl_dict_get(struct render *r, const struct dict *d, struct val key, struct val *out) {
    uint64_t hash;
    size_t at;
    *out = (struct val){0};
    if (hash_value(r, key, &hash) < 0 || find(r, d, hash, key, &at) < 0)
        return tmpl_failed(r);
    if (at < d->n)
        *out = d->entries[at].value;
    return 0;
}

int tmpl_dict_get_str(struct render *r, const struct dict *d, struct str key, struct val *out) {
    return tmpl_dict_get(r, d, tmpl_str_of(key, TEMPLATE), out);
}

static int add_pair(struct render *r, struct dict *d, struct val pair) {
    struct iter it;
    struct val kv[3];
    int n = 0, more = tmpl_iter(r, pair, &it);
    while (more >= 0 && n < 3 && (more = tmpl_next(r, &it, &kv[n])) > 0)
        n++;
    if (more < 0)
        return more;
    if (n != 2)
        return tmpl_fail(r, "type", "a dictionary is made of pairs: an element has another length than 2");
    return tmpl_dict_set(r, d, kv[0], kv[1]);
}

int tmpl_dict_fill(struct render *r, struct dict *d, struct val v) {
    if (v.type == VAL_DICT) {
        for (size_t i = 0; i < v.dict->n; i++)
            if (tmpl_dict_set(r, d, v.dict->entries[i].key, v.dict->entries[i].value) < 0)
                return tmpl_failed(r);
        return 0;
    }
    struct iter it;
    struct val pair;
    int more = tmpl_iter(r, v, &it);
    while (more >= 0 && (more = tmpl_next(r, &it, &pair)) > 0)
        if (add_pair(r, d, pair) < 0)
            return tmpl_failed(r);
    return more;
}
