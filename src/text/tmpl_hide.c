/* tmpl_hide: names that a scope sets belong to it from its beginning on, as in jinja2: where the first thing that a scope itself does
 * with a name is to set it in any case, scopes within it that read the name before see it undefined, not what the request gave.
 *
 * Names are looked at in jinja2's order: those of a scope, then those of the scopes within. Each name has a stack of entries, one a
 * scope that knows it. */
#include "tmpl_tree.h"

struct known {
    struct known *under, *next; /* of the same name, further out; of the same scope */
    const struct level *level;
    uint32_t id;
    bool hidden; /* set before it was read, and known to no scope around */
    bool wanted; /* a scope within reads it */
    unsigned stores;
};
struct level {
    struct level *outer;
    struct known *entries;
};
struct finder {
    struct tmpl *t;
    struct arena arena;
    struct known **top; /* by name */
    struct level *level;
    bool failed;
};

static struct known *add(struct finder *f, uint32_t id, bool hidden, unsigned stores) {
    struct known *e = arena_alloc(&f->arena, sizeof *e);
    if (!e) {
        f->failed = true;
        return NULL;
    }
    *e = (struct known){f->top[id], f->level->entries, f->level, id, hidden, false, stores};
    f->level->entries = f->top[id] = e;
    return e;
}

static void load(struct finder *f, uint32_t id) {
    struct known *e = f->top[id];
    if (!e)
        add(f, id, false, 0);
    else if (e->level != f->level)
        e->wanted = true;
}

static void store(struct finder *f, uint32_t id) {
    struct known *e = f->top[id];
    if (e && e->level == f->level) {
        e->stores++;
        return;
    }
    if (e)
        e->wanted = true;
    add(f, id, !e, 1);
}

/* Takes back what the level gained since `before`: a list of it, last one first. */
static struct known *take_back(struct finder *f, struct known *before) {
    struct known *taken = f->level->entries;
    for (struct known *e = taken; e != before; e = e->next)
        f->top[e->id] = e->under;
    f->level->entries = before;
    return taken;
}

/* ---- the names of a scope itself ------------------------------------------------------------------------------------ */

static void visit(struct finder *f, const struct node *n);

static void visit_all(struct finder *f, struct node *const *nodes, size_t n) {
    for (size_t i = 0; i < n; i++)
        visit(f, nodes[i]);
}

static void visit_args(struct finder *f, const struct node_args *args) {
    if (!args)
        return;
    visit_all(f, args->pos, args->n);
    for (size_t i = 0; i < args->n_kw; i++)
        visit(f, args->kw[i].value);
    visit(f, args->star);
    visit(f, args->star_star);
}

static void store_target(struct finder *f, const struct node *target) {
    if (target->kind == NODE_NAME)
        store(f, target->id);
    else if (target->kind == NODE_TARGET_ATTR)
        load(f, target->id);
    for (uint32_t i = 0; target->kind == NODE_TUPLE && i < target->n; i++)
        store_target(f, target->kids[i]);
}

/* What three branches of an `if` did: a name is set in any case where all of them set it. */
static void merge(struct finder *f, struct known *const branches[3], struct known *before) {
    for (int i = 0; i < 3; i++)
        for (const struct known *e = branches[i]; e != before; e = e->next) {
            struct known *m = f->top[e->id];
            if (!m || m->level != f->level)
                m = add(f, e->id, e->hidden, 0);
            if (!m)
                return;
            m->hidden = e->hidden;
            m->stores += e->stores > 0;
        }
    for (struct known *m = f->level->entries; m != before; m = m->next)
        m->hidden = m->hidden && m->stores == 3;
}

/* `elif`s are one branch, each of them an `if` without others. */
static void visit_if(struct finder *f, const struct node *n, bool alone) {
    struct known *before, *branches[3];
    const struct node *last = n->c;
    visit(f, n->a);
    before = f->level->entries;
    visit(f, n->b);
    branches[0] = take_back(f, before);
    for (; !alone && last && last->kind == NODE_IF; last = last->c)
        visit_if(f, last, true);
    branches[1] = take_back(f, before);
    if (!alone)
        visit(f, last);
    branches[2] = take_back(f, before);
    merge(f, branches, before);
}

/* One node, without what it is applied to (a): a template may hang as many filters, attributes and calls on each other as it likes,
 * so these are no recursion. Expressions only read names, in whatever order. False: nothing is left to visit. */
static bool visit_one(struct finder *f, const struct node *n) {
    switch ((enum node_kind)n->kind) {
    case NODE_NAME: load(f, n->id); return false;
    case NODE_IF: visit_if(f, n, false); return false;
    case NODE_FOR: visit(f, n->b); return false;
    case NODE_SET:
        visit(f, n->b);
        store_target(f, n->a);
        return false;
    case NODE_SET_BLOCK: store_target(f, n->a); return false;
    case NODE_MACRO: store(f, n->id); return false;
    case NODE_CALL_BLOCK: visit(f, n->a); return false;
    case NODE_FILTER_BLOCK: visit(f, n->b); return false;
    case NODE_WITH:
        for (uint32_t i = 2; i < n->n; i += 2)
            visit(f, n->kids[i]);
        return false;
    case NODE_AUTOESCAPE:
    case NODE_BLOCK:
    case NODE_SCOPE: return false;
    default: break;
    }
    visit(f, n->b);
    visit(f, n->c);
    visit_all(f, n->kids, n->n);
    visit_args(f, n->args);
    return true;
}

static void visit(struct finder *f, const struct node *n) {
    while (n && !f->failed && visit_one(f, n))
        n = n->a;
}

/* ---- scopes within ----------------------------------------------------------------------------------------------------- */

static void find_within(struct finder *f, const struct node *n);

/* Keeps the names to hide at the beginning of a body. */
static void keep(struct finder *f, struct node *body, const struct level *level) {
    uint32_t n = 0;
    for (const struct known *e = level->entries; e; e = e->next)
        n += e->hidden && e->wanted;
    if (n == 0)
        return;
    uint32_t *ids = arena_array(&f->t->arena, n, sizeof *ids);
    f->failed = f->failed || !ids;
    for (const struct known *e = level->entries; ids && e; e = e->next)
        if (e->hidden && e->wanted)
            ids[body->n_hidden++] = e->id;
    body->hidden = ids;
}

static bool begin_scope(struct finder *f) {
    struct level *level = arena_alloc(&f->arena, sizeof *level);
    f->failed = f->failed || !level;
    if (f->failed)
        return false;
    *level = (struct level){.outer = f->level};
    f->level = level;
    return true;
}

static void leave_scope(struct finder *f) {
    take_back(f, NULL);
    f->level = f->level->outer;
}

/* A scope with a body; its parameters are known already. */
static void end_scope(struct finder *f, struct node *body) {
    visit(f, body);
    find_within(f, body);
    keep(f, body, f->level);
    leave_scope(f);
}

static void plain_scope(struct finder *f, struct node *body) {
    if (begin_scope(f))
        end_scope(f, body);
}

/* A target, or names of a macro, that are set when the scope begins. */
static void know_target(struct finder *f, const struct node *target) {
    if (target->kind == NODE_NAME)
        add(f, target->id, false, 1);
    for (uint32_t i = 0; target->kind == NODE_TUPLE && i < target->n; i++)
        know_target(f, target->kids[i]);
}

static void for_scopes(struct finder *f, const struct node *n) {
    if (!begin_scope(f))
        return;
    know_target(f, n->a);
    visit(f, n->c); /* the filter has a scope of its own */
    leave_scope(f);
    if (!begin_scope(f))
        return;
    know_target(f, n->a);
    end_scope(f, n->kids[0]);
    if (n->n > 1)
        plain_scope(f, n->kids[1]);
}

static void macro_scope(struct finder *f, const struct node_macro *m) {
    if (!begin_scope(f))
        return;
    for (size_t i = 0; i < m->n_params; i++)
        add(f, m->params[i].id, false, 1);
    for (size_t i = 0; i < m->n_params; i++)
        visit(f, m->params[i].initial);
    end_scope(f, m->body);
}

static void with_scope(struct finder *f, const struct node *n) {
    if (!begin_scope(f))
        return;
    for (uint32_t i = 1; i < n->n; i += 2)
        know_target(f, n->kids[i]);
    end_scope(f, n->kids[0]);
}

static void find_within(struct finder *f, const struct node *n) {
    for (; n && n->kind == NODE_IF; n = n->c) /* as many `elif`s as there are */
        find_within(f, n->b);
    if (f->failed || !n)
        return;
    switch ((enum node_kind)n->kind) {
    case NODE_BODY:
        for (uint32_t i = 0; i < n->n; i++)
            find_within(f, n->kids[i]);
        return;
    case NODE_FOR: for_scopes(f, n); return;
    case NODE_MACRO:
    case NODE_CALL_BLOCK: macro_scope(f, n->macro); return;
    case NODE_WITH: with_scope(f, n); return;
    case NODE_SET_BLOCK:
    case NODE_FILTER_BLOCK:
    case NODE_AUTOESCAPE:
    case NODE_SCOPE: plain_scope(f, n->kids[0]); return;
    default: return; /* blocks stand by themselves */
    }
}

int tmpl_hide(struct tmpl *t, struct err *e) {
    struct finder f = {.t = t, .arena = {.max = t->arena.max}};
    f.top = arena_array(&f.arena, t->n_names, sizeof *f.top);
    f.failed = !f.top;
    if (!f.failed)
        plain_scope(&f, t->body);
    for (size_t i = 0; !f.failed && i < t->n_blocks; i++)
        plain_scope(&f, t->blocks[i]->kids[0]);
    arena_free(&f.arena);
    return f.failed ? err_set(e, ERR_LIMIT, "limit", "the template is too large") : 0;
}
