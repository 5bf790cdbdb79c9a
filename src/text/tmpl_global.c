/* tmpl_global: functions of the language (range, dict, namespace, ...) and the methods of values that are no strings. */
#include "tmpl_run.h"

#include <math.h>
#include <string.h>

/* ---- functions --------------------------------------------------------------------------------------------------------- */

static int get_int(struct call *c, size_t i, int64_t *out) {
    if (c->arg[i].type == VAL_UNDEFINED)
        return tmpl_fail(c->r, "type", "'Undefined' object cannot be interpreted as an integer");
    if (!tmpl_is_int(c->arg[i]))
        return tmpl_fail(c->r, "type", "'%s' object cannot be interpreted as an integer", tmpl_type_name(c->arg[i]));
    *out = tmpl_as_int(c->arg[i]);
    return 0;
}

/* Items of a range: at most UINT64_MAX, which is beyond every limit. */
static uint64_t range_length(int64_t start, int64_t stop, int64_t step) {
    if (step > 0 ? start >= stop : start <= stop)
        return 0;
    uint64_t span = step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
    uint64_t width = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    return (span - 1) / width + 1;
}

static int global_range(struct call *c) {
    struct range *g = tmpl_alloc(c->r, sizeof *g);
    if (!g)
        return tmpl_failed(c->r);
    g->step = 1;
    bool one = c->arg[1].type == VAL_MISSING;
    if (get_int(c, one ? 0 : 1, &g->stop) < 0 || (!one && get_int(c, 0, &g->start) < 0) ||
        (c->arg[2].type != VAL_MISSING && get_int(c, 2, &g->step) < 0))
        return tmpl_failed(c->r);
    if (g->step == 0)
        return tmpl_fail(c->r, "type", "range() arg 3 must not be zero");
    uint64_t n = range_length(g->start, g->stop, g->step);
    if (n > c->r->limits.range)
        return tmpl_fail(c->r, "limit", "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%u).",
                         c->r->limits.range);
    g->n = (int64_t)n;
    *c->out = (struct val){.type = VAL_RANGE, .range = g};
    return 0;
}

/* dict(mapping or pairs, name=value, ...), also behind namespace(). */
static int make_dict(struct call *c, uint8_t type) {
    struct dict *d = tmpl_dict_new(c->r);
    if (!d)
        return tmpl_failed(c->r);
    if (c->all->n > 1)
        return tmpl_fail(c->r, "type", "dict expected at most 1 argument, got %zu", c->all->n);
    if (c->all->n && tmpl_dict_fill(c->r, d, c->all->pos[0]) < 0)
        return tmpl_failed(c->r);
    for (size_t i = 0; i < c->all->n_kw; i++)
        if (tmpl_dict_set(c->r, d, tmpl_str_of(c->all->kw[i].name, TEMPLATE), c->all->kw[i].value) < 0)
            return tmpl_failed(c->r);
    *c->out = tmpl_dict(d);
    c->out->type = type;
    return 0;
}

static int global_dict(struct call *c) {
    return make_dict(c, VAL_DICT);
}

static int global_namespace(struct call *c) {
    return make_dict(c, VAL_SPACE);
}

static int global_cycler(struct call *c) {
    struct cycler *y = tmpl_alloc(c->r, sizeof *y);
    if (!y || !(y->items = tmpl_list_new(c->r, c->all->n)))
        return tmpl_failed(c->r);
    if (c->all->n == 0 || c->all->n_kw)
        return tmpl_fail(c->r, "type", "at least one item has to be provided");
    for (size_t i = 0; i < c->all->n; i++)
        if (tmpl_list_add(c->r, y->items, c->all->pos[i]) < 0)
            return tmpl_failed(c->r);
    *c->out = (struct val){.type = VAL_CYCLER, .cycler = y};
    return 0;
}

static int global_joiner(struct call *c) {
    struct joiner *j = tmpl_alloc(c->r, sizeof *j);
    if (!j)
        return tmpl_failed(c->r);
    j->separator = c->arg[0].type == VAL_MISSING ? tmpl_str_literal(", ") : c->arg[0];
    *c->out = (struct val){.type = VAL_JOINER, .joiner = j};
    return 0;
}

static int global_raise(struct call *c) {
    struct val message;
    if (tmpl_str_from(c->r, c->arg[0], &message) < 0)
        return tmpl_failed(c->r);
    return tmpl_fail(c->r, "raise", "%.*s", (int)message.n, message.p);
}

static int global_strftime(struct call *c) {
    if (c->arg[0].type != VAL_STR)
        return tmpl_fail(c->r, "type", "strftime() argument 1 must be str, not %s", tmpl_type_name(c->arg[0]));
    return tmpl_strftime(c->r, c->arg[0], c->out);
}

/* A prompt is a function of its request, and this is other text each time. */
static int global_lipsum(struct call *c) {
    return tmpl_fail(c->r, "template", "lipsum() makes up text at random; a prompt must be the same for the same request");
}

static const struct callable globals[] = {
    {"cycler", 0, VARIADIC, NULL, global_cycler},
    {"dict", 0, VARIADIC, NULL, global_dict},
    {"joiner", 0, 1, "sep", global_joiner},
    {"lipsum", 0, 4, "n html min max", global_lipsum},
    {"namespace", 0, VARIADIC, NULL, global_namespace},
    {"raise_exception", 1, 1, "message", global_raise},
    {"range", 1, 3, NULL, global_range},
    {"strftime_now", 1, 1, "format", global_strftime},
    {.name = NULL},
};

const struct callable *tmpl_global_find(struct str name) {
    return tmpl_table_find(globals, name);
}

/* ---- methods of dicts and lists ---------------------------------------------------------------------------------------------- */

static int dict_get(struct call *c) {
    if (tmpl_dict_get(c->r, c->self.dict, c->arg[0], c->out) < 0)
        return tmpl_failed(c->r);
    if (c->out->type == VAL_MISSING)
        *c->out = c->arg[1].type == VAL_MISSING ? tmpl_none() : c->arg[1];
    return 0;
}

static int view(struct call *c, uint8_t what) {
    *c->out = c->self;
    c->out->type = VAL_VIEW;
    c->out->flags = what;
    return 0;
}

static int dict_items(struct call *c) {
    return view(c, VIEW_ITEMS);
}

static int dict_keys(struct call *c) {
    return view(c, VIEW_KEYS);
}

static int dict_values(struct call *c) {
    return view(c, VIEW_VALUES);
}

/* Values never change, so a copy is the value itself. */
static int copy(struct call *c) {
    *c->out = c->self;
    return 0;
}

static int dict_fromkeys(struct call *c) {
    struct dict *d = tmpl_dict_new(c->r);
    struct iter it;
    struct val key;
    int more = d ? tmpl_iter(c->r, c->arg[0], &it) : tmpl_failed(c->r);
    while (more >= 0 && (more = tmpl_next(c->r, &it, &key)) > 0)
        if (tmpl_dict_set(c->r, d, key, c->arg[1].type == VAL_MISSING ? tmpl_none() : c->arg[1]) < 0)
            return tmpl_failed(c->r);
    *c->out = tmpl_dict(d);
    return more;
}

static int seq_count(struct call *c) {
    struct iter it;
    struct val v;
    int64_t n = 0;
    int more = tmpl_iter(c->r, c->self, &it);
    while (more >= 0 && (more = tmpl_next(c->r, &it, &v)) > 0) {
        bool equal;
        if (tmpl_equal(c->r, v, c->arg[0], &equal) < 0)
            return tmpl_failed(c->r);
        n += equal;
    }
    *c->out = tmpl_int(n);
    return more;
}

static int read_bound(struct call *c, size_t i, int64_t n, int64_t missing, int64_t *out) {
    *out = missing;
    if (c->arg[i].type == VAL_MISSING)
        return 0;
    if (get_int(c, i, out) < 0)
        return tmpl_failed(c->r);
    if (*out < 0)
        *out = *out < -n ? 0 : *out + n;
    return 0;
}

static int seq_index(struct call *c) {
    struct iter it;
    struct val v;
    int64_t n, from, to, at = 0;
    if (tmpl_length(c->r, c->self, &n) < 0 || read_bound(c, 1, n, 0, &from) < 0 || read_bound(c, 2, n, n, &to) < 0)
        return tmpl_failed(c->r);
    int more = tmpl_iter(c->r, c->self, &it);
    for (; more >= 0 && at < to && (more = tmpl_next(c->r, &it, &v)) > 0; at++) {
        bool equal = false;
        if (at >= from && tmpl_equal(c->r, v, c->arg[0], &equal) < 0)
            return tmpl_failed(c->r);
        if (equal) {
            *c->out = tmpl_int(at);
            return 0;
        }
    }
    return more < 0 ? more : tmpl_fail(c->r, "type", "value is not in %s", tmpl_type_name(c->self));
}

/* ---- methods of loops, cyclers, numbers ------------------------------------------------------------------------------------------ */

static int loop_cycle(struct call *c) {
    if (c->all->n == 0)
        return tmpl_fail(c->r, "type", "no items for cycling given");
    *c->out = c->all->pos[(size_t)c->self.loop->index0 % c->all->n];
    return 0;
}

static int loop_changed(struct call *c) {
    struct loop *l = c->self.loop;
    struct list *now = tmpl_list_new(c->r, c->all->n);
    bool same = false;
    for (size_t i = 0; now && i < c->all->n; i++)
        if (tmpl_list_add(c->r, now, c->all->pos[i]) < 0)
            return tmpl_failed(c->r);
    if (!now || (l->changed.type != VAL_MISSING && tmpl_equal(c->r, l->changed, tmpl_tuple(now), &same) < 0))
        return tmpl_failed(c->r);
    l->changed = tmpl_tuple(now);
    *c->out = tmpl_bool(!same);
    return 0;
}

static int cycler_next(struct call *c) {
    struct cycler *y = c->self.cycler;
    *c->out = y->items->items[y->at];
    y->at = (y->at + 1) % y->items->n;
    return 0;
}

static int cycler_reset(struct call *c) {
    c->self.cycler->at = 0;
    *c->out = tmpl_none();
    return 0;
}

static int int_bit_length(struct call *c) {
    int64_t i = tmpl_as_int(c->self);
    uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    *c->out = tmpl_int(u ? 64 - __builtin_clzll(u) : 0);
    return 0;
}

static int int_bit_count(struct call *c) {
    int64_t i = tmpl_as_int(c->self);
    *c->out = tmpl_int(__builtin_popcountll(i < 0 ? 0 - (uint64_t)i : (uint64_t)i));
    return 0;
}

static int float_is_integer(struct call *c) {
    *c->out = tmpl_bool(isfinite(c->self.f) && floor(c->self.f) == c->self.f);
    return 0;
}

static const struct callable methods_dict[] = {
    {"copy", 0, 0, NULL, copy},
    {"fromkeys", 1, 2, NULL, dict_fromkeys},
    {"get", 1, 2, NULL, dict_get},
    {"items", 0, 0, NULL, dict_items},
    {"keys", 0, 0, NULL, dict_keys},
    {"values", 0, 0, NULL, dict_values},
    {.name = NULL},
};
static const struct callable methods_list[] = {
    {"copy", 0, 0, NULL, copy},
    {"count", 1, 1, NULL, seq_count},
    {"index", 1, 3, NULL, seq_index},
    {.name = NULL},
};
static const struct callable methods_tuple[] = {
    /* of ranges too */
    {"count", 1, 1, NULL, seq_count},
    {"index", 1, 3, NULL, seq_index},
    {.name = NULL},
};
static const struct callable methods_loop[] = {
    {"changed", 0, VARIADIC, NULL, loop_changed},
    {"cycle", 0, VARIADIC, NULL, loop_cycle},
    {.name = NULL},
};
static const struct callable methods_cycler[] = {
    {"next", 0, 0, NULL, cycler_next},
    {"reset", 0, 0, NULL, cycler_reset},
    {.name = NULL},
};
static const struct callable methods_int[] = {
    {"bit_count", 0, 0, NULL, int_bit_count},
    {"bit_length", 0, 0, NULL, int_bit_length},
    {"conjugate", 0, 0, NULL, copy},
    {.name = NULL},
};
static const struct callable methods_float[] = {
    {"conjugate", 0, 0, NULL, copy},
    {"is_integer", 0, 0, NULL, float_is_integer},
    {.name = NULL},
};

const struct callable *tmpl_method_find(struct val self, struct str name) {
    const struct callable *found;
    switch ((enum val_type)self.type) {
    case VAL_STR:
        found = tmpl_table_find(tmpl_methods_str, name);
        found = found ? found : tmpl_table_find(tmpl_methods_char, name);
        found = found ? found : tmpl_table_find(tmpl_methods_map, name);
        return found ? found : tmpl_table_find(tmpl_methods_encode, name);
    case VAL_BYTES: return tmpl_table_find(tmpl_methods_bytes, name);
    case VAL_DICT: return tmpl_table_find(methods_dict, name);
    case VAL_LIST: return tmpl_table_find(methods_list, name);
    case VAL_TUPLE:
    case VAL_RANGE: return tmpl_table_find(methods_tuple, name);
    case VAL_LOOP: return tmpl_table_find(methods_loop, name);
    case VAL_CYCLER: return tmpl_table_find(methods_cycler, name);
    case VAL_BOOL:
    case VAL_INT: return tmpl_table_find(methods_int, name);
    case VAL_FLOAT: return tmpl_table_find(methods_float, name);
    default: return NULL;
    }
}
