/* tmpl_loop: {% for %}, and the `loop` variable in it. */
#include "tmpl_run.h"

/* ---- the items ------------------------------------------------------------------------------------------------------- */

/* The next item that passes the filter: 1, 0 at the end, or an error. The filter runs only when an item is asked for. */
static int pull(struct render *r, struct loop *l, struct val *out) {
    for (;;) {
        int more = tmpl_next(r, &l->items, out);
        if (more <= 0 || !l->test)
            return more;
        struct scope *old = r->scope;
        struct val passes;
        l->test->n = 0;
        r->scope = l->test;
        int code = tmpl_assign(r, l->test, l->node->a, *out);
        if (code == 0)
            code = tmpl_eval(r, l->node->c, &passes);
        r->scope = old;
        if (code < 0)
            return code;
        if (tmpl_truth(passes))
            return 1;
    }
}

/* Looks one item ahead: l->after is it, or stays missing at the end. */
static int peek(struct render *r, struct loop *l) {
    if (l->after.type != VAL_MISSING)
        return 0;
    struct val v;
    int more = pull(r, l, &v);
    if (more > 0)
        l->after = v;
    return more < 0 ? more : 0;
}

int tmpl_loop_next(struct render *r, struct loop *l, struct val *out) {
    int more = 1;
    if (l->after.type != VAL_MISSING)
        *out = l->after;
    else
        more = pull(r, l, out);
    if (more <= 0)
        return more;
    l->after = (struct val){0};
    l->before = l->current;
    l->current = *out;
    l->index0++;
    return 1;
}

/* What has no length of its own (a generator, a filter) is read to its end, and goes on from the list. */
static int find_length(struct render *r, struct loop *l) {
    if (l->length >= 0)
        return 0;
    if (!l->test && l->items.over.type != VAL_ITER)
        return tmpl_length(r, l->items.over, &l->length);
    struct list *rest = tmpl_list_new(r, 0);
    struct val v;
    int more = rest ? 1 : tmpl_failed(r);
    while (more > 0 && (more = pull(r, l, &v)) > 0)
        if (tmpl_list_add(r, rest, v) < 0)
            return tmpl_failed(r);
    if (more < 0)
        return more;
    l->length = (int64_t)rest->n + l->index0 + 1 + (l->after.type != VAL_MISSING);
    l->items = (struct iter){.over = tmpl_list(rest)};
    l->test = NULL;
    return 0;
}

/* ---- loop.name --------------------------------------------------------------------------------------------------------- */

static int get_length(struct render *r, struct loop *l, int64_t from, struct val *out) {
    if (find_length(r, l) < 0)
        return tmpl_failed(r);
    *out = tmpl_int(l->length - from);
    return 0;
}

static int get_last(struct render *r, struct loop *l, struct val *out) {
    if (peek(r, l) < 0)
        return tmpl_failed(r);
    *out = tmpl_bool(l->after.type == VAL_MISSING);
    return 0;
}

static int get_next(struct render *r, struct loop *l, struct val *out) {
    if (peek(r, l) < 0)
        return tmpl_failed(r);
    *out = l->after.type == VAL_MISSING ? tmpl_undefined_hint("there is no next item") : l->after;
    return 0;
}

int tmpl_loop_attr(struct render *r, struct loop *l, struct str name, struct val *out) {
    *out = (struct val){0};
    if (str_is(name, "index"))
        *out = tmpl_int(l->index0 + 1);
    else if (str_is(name, "index0"))
        *out = tmpl_int(l->index0);
    else if (str_is(name, "first"))
        *out = tmpl_bool(l->index0 == 0);
    else if (str_is(name, "last"))
        return get_last(r, l, out);
    else if (str_is(name, "length"))
        return get_length(r, l, 0, out);
    else if (str_is(name, "revindex"))
        return get_length(r, l, l->index0, out);
    else if (str_is(name, "revindex0"))
        return get_length(r, l, l->index0 + 1, out);
    else if (str_is(name, "previtem"))
        *out = l->index0 == 0 ? tmpl_undefined_hint("there is no previous item") : l->before;
    else if (str_is(name, "nextitem"))
        return get_next(r, l, out);
    else if (str_is(name, "depth"))
        *out = tmpl_int(l->depth0 + 1);
    else if (str_is(name, "depth0"))
        *out = tmpl_int(l->depth0);
    return 0;
}

/* ---- the statement ------------------------------------------------------------------------------------------------------- */

/* *ended: whether a round came to its end, without break or continue; if none did, jinja2 runs the else part. */
static int run_items(struct render *r, struct loop *l, struct scope *body, bool *ended) {
    const struct node *n = l->node;
    struct val item;
    int more, flow = 0;
    while (flow != FLOW_BREAK && (more = tmpl_loop_next(r, l, &item)) != 0) {
        if (more < 0)
            return more;
        body->n = 1; /* what the last round set is gone; `loop` stays */
        r->scope = body;
        if (tmpl_assign(r, body, n->a, item) < 0)
            return tmpl_failed(r);
        flow = tmpl_exec(r, n->kids[0]);
        r->scope = l->outer;
        if (flow < 0)
            return flow;
        *ended |= flow == 0;
    }
    return 0;
}

int tmpl_exec_for(struct render *r, const struct node *n, struct scope *outer, struct val iterable, int64_t depth0) {
    struct loop *l = tmpl_alloc(r, sizeof *l);
    struct scope *body = tmpl_scope_new(r, outer), *old = r->scope;
    if (!l || !body || tmpl_iter(r, iterable, &l->items) < 0)
        return tmpl_failed(r);
    l->node = n;
    l->outer = outer;
    l->index0 = -1;
    l->length = -1;
    l->depth0 = depth0;
    if (n->c && !(l->test = tmpl_scope_new(r, outer)))
        return tmpl_failed(r);
    if (tmpl_scope_set(r, body, ID_LOOP, (struct val){.type = VAL_LOOP, .loop = l}) < 0)
        return tmpl_failed(r);
    r->scope = outer;
    bool ended = false;
    int flow = run_items(r, l, body, &ended);
    if (flow == 0 && !ended && n->n > 1) {
        r->scope = tmpl_scope_new(r, outer);
        flow = r->scope ? tmpl_exec(r, n->kids[1]) : tmpl_failed(r);
    }
    r->scope = old;
    return flow;
}

int tmpl_call_loop(struct render *r, const struct loop *l, struct val iterable, struct val *out) {
    struct text text = {0}, *old = r->out;
    if (!l->node->flag)
        return tmpl_fail(r, "type", "The loop must have the 'recursive' marker to be called recursively.");
    if (r->calls == r->limits.depth)
        return tmpl_fail(r, "limit", "macros and loops are nested more than %u deep", r->limits.depth);
    r->calls++;
    r->out = &text;
    int flow = tmpl_exec_for(r, l->node, l->outer, iterable, l->depth0 + 1);
    r->out = old;
    r->calls--;
    if (flow < 0 || tmpl_text_end(r, &text, out) < 0)
        return flow < 0 ? flow : tmpl_failed(r);
    out->flags = r->autoescape ? FLAG_MARKUP : 0;
    return 0;
}
