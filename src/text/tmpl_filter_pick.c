/* tmpl_filter_pick: map, select, reject, selectattr, rejectattr: lazy, like Python's generators, so that an error in an item that
 * nobody asks for is no error. Also the lookup of filters by name. */
#include "tmpl_run.h"

#include <string.h>

/* ---- generators ----------------------------------------------------------------------------------------------------- */

static int next_in(struct render *r, struct gen *g, struct val *out) {
    struct iter unused;
    return tmpl_is_iterable(g->in.over) ? tmpl_next(r, &g->in, out) : tmpl_iter(r, g->in.over, &unused);
}

static int next_mapped(struct render *r, struct gen *g, struct val *out) {
    struct val item;
    int more = next_in(r, g, &item);
    if (more <= 0)
        return more;
    int code = g->func ? tmpl_apply(r, g->func, item, &g->args, out) : tmpl_get_path(r, item, g->attribute, g->fill, out);
    return code < 0 ? code : 1;
}

static int next_picked(struct render *r, struct gen *g, struct val *out) {
    int more;
    while ((more = next_in(r, g, out)) > 0) {
        struct val tested, passes;
        if (tmpl_get_path(r, *out, g->attribute, (struct val){0}, &tested) < 0)
            return tmpl_failed(r);
        passes = tested;
        if (g->func && tmpl_apply(r, g->func, tested, &g->args, &passes) < 0)
            return tmpl_failed(r);
        if (tmpl_truth(passes) != g->negate)
            return 1;
    }
    return more;
}

/* A generator that keeps `args` from the n-th on for the filter or test that it applies. */
static struct gen *new_gen(struct call *c, size_t n, int (*next)(struct render *r, struct gen *g, struct val *out)) {
    struct render *r = c->r;
    struct gen *g = tmpl_alloc(r, sizeof *g);
    size_t n_pos = c->all->n > n ? c->all->n - n : 0;
    struct val *pos = tmpl_array(r, n_pos, sizeof *pos);
    struct kwarg *kw = tmpl_array(r, c->all->n_kw, sizeof *kw);
    if (!g || !pos || !kw)
        return NULL;
    if (n_pos)
        memcpy(pos, c->all->pos + n, n_pos * sizeof *pos);
    if (c->all->n_kw)
        memcpy(kw, c->all->kw, c->all->n_kw * sizeof *kw);
    *g = (struct gen){.next = next, .name = "generator", .args = {pos, n_pos, kw, c->all->n_kw}};
    *c->out = (struct val){.type = VAL_ITER, .gen = g};
    struct val empty = tmpl_list(NULL);
    if (!tmpl_truth(c->self)) { /* nothing to iterate: not even None is looked at */
        empty.list = tmpl_list_new(r, 0);
        g->in.over = empty;
        return empty.list ? g : NULL;
    }
    g->in.over = c->self; /* what cannot be iterated over is an error when the first item is asked for */
    return g;
}

/* The filter or test that argument n names. */
static int find_func(struct call *c, size_t n, const struct callable *(*find)(struct str name), const char *what,
                     const struct callable **out) {
    struct val name = c->all->pos[n];
    *out = name.type == VAL_STR ? find(tmpl_str_bytes(name)) : NULL;
    return *out ? 0 : tmpl_fail(c->r, "template", "No %s named '%.*s'.", what, name.type == VAL_STR ? (int)name.n : 0, name.p);
}

/* map(name, ...) or map(attribute=..., default=...) */
static int filter_map(struct call *c) {
    struct gen *g = new_gen(c, 1, next_mapped);
    if (!g)
        return tmpl_failed(c->r);
    if (c->all->n > 0)
        return find_func(c, 0, tmpl_filter_find, "filter", &g->func);
    for (size_t i = 0; i < c->all->n_kw; i++) {
        const struct kwarg *kw = &c->all->kw[i];
        if (str_is(kw->name, "attribute"))
            g->attribute = kw->value;
        else if (str_is(kw->name, "default"))
            g->fill = kw->value;
        else
            return tmpl_fail(c->r, "template", "Unexpected keyword argument '%.*s'", (int)kw->name.n, kw->name.p);
    }
    return g->attribute.type == VAL_MISSING ? tmpl_fail(c->r, "template", "map requires a filter argument") : 0;
}

static int pick(struct call *c, bool by_attribute, bool negate) {
    struct gen *g = new_gen(c, by_attribute + 1u, next_picked);
    if (!g)
        return tmpl_failed(c->r);
    g->negate = negate;
    if (by_attribute && c->all->n == 0)
        return tmpl_fail(c->r, "template", "Missing parameter for attribute name");
    if (by_attribute)
        g->attribute = c->all->pos[0];
    return c->all->n > by_attribute ? find_func(c, by_attribute, tmpl_test_find, "test", &g->func) : 0;
}

static int filter_select(struct call *c) {
    return pick(c, false, false);
}

static int filter_reject(struct call *c) {
    return pick(c, false, true);
}

static int filter_selectattr(struct call *c) {
    return pick(c, true, false);
}

static int filter_rejectattr(struct call *c) {
    return pick(c, true, true);
}

const struct callable tmpl_filters_pick[] = {
    {"map", 0, VARIADIC, NULL, filter_map},
    {"reject", 0, VARIADIC, NULL, filter_reject},
    {"rejectattr", 0, VARIADIC, NULL, filter_rejectattr},
    {"select", 0, VARIADIC, NULL, filter_select},
    {"selectattr", 0, VARIADIC, NULL, filter_selectattr},
    {.name = NULL},
};

/* ---- lookup ---------------------------------------------------------------------------------------------------------------- */

const struct callable *tmpl_table_find(const struct callable *table, struct str name) {
    for (; table->name; table++)
        if (str_is(name, table->name))
            return table;
    return NULL;
}

const struct callable *tmpl_filter_find(struct str name) {
    static const struct callable *const tables[] = {tmpl_filters_seq, tmpl_filters_pick, tmpl_filters_text, tmpl_filters_html,
                                                    tmpl_filters_value};
    const struct callable *found = NULL;
    for (size_t i = 0; i < N_ITEMS(tables) && !found; i++)
        found = tmpl_table_find(tables[i], name);
    return found;
}
