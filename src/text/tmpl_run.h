/* tmpl_run: the state of one render, private to src/text/tmpl*.c. */
#pragma once

#include "tmpl_tree.h"

enum {
    RENDER_DEPTH_MAX = 1000,   /* nested evaluations: bounds the C stack */
    RENDER_MEMORY = 64 << 20,  /* bytes beyond what the context takes */
    RENDER_WORK_PER_BYTE = 64, /* looks at a byte of the request's text, ... */
    RENDER_WORK = 64 << 20,    /* ... and this much for nothing */
};

/* Variables of one block; found by walking up `parent`. */
struct scope {
    struct scope *parent;
    bool block; /* of a block */
    struct var {
        uint32_t id;
        struct val value;
    } * vars;
    uint32_t n, cap;
};

struct render {
    const struct tmpl *t;
    struct arena arena;
    struct err *e;
    struct tmpl_limits limits; /* filled in */
    uint64_t steps, work, work_max;
    uint64_t draws;        /* of filter random */
    unsigned depth, calls; /* nested evaluations; nested macros and recursive loops */
    bool autoescape;
    struct text *out; /* where output goes: the page, or what a set block, macro, ... captures */
    struct text page;
    size_t page_max;
    struct scope *scope, *top;
    struct val *context; /* by name id; VAL_MISSING: not given */
    struct str now;
    const struct node *at; /* the statement at work, for messages */
};

struct macro {
    const struct node_macro *def;
    struct scope *scope; /* where it was defined */
};

/* One `for` at work, and what its `loop` variable shows. */
struct loop {
    const struct node *node;
    struct scope *outer; /* where the `for` stands */
    struct scope *test;  /* where its filter is evaluated; NULL: no filter (any more) */
    struct iter items;
    struct val iterable;
    struct val before, current, after; /* MISSING: none (yet) */
    struct val changed;                /* what loop.changed saw last */
    int64_t index0, depth0;
    int64_t length; /* -1: not known yet */
};

int tmpl_eval(struct render *r, const struct node *n, struct val *out) MUST_USE;
/* Runs a statement: 0, FLOW_BREAK or FLOW_CONTINUE, or an error. */
enum { FLOW_BREAK = 1, FLOW_CONTINUE = 2 };
int tmpl_exec(struct render *r, const struct node *n) MUST_USE;
int tmpl_exec_for(struct render *r, const struct node *n, struct scope *outer, struct val iterable, int64_t depth0) MUST_USE;
int tmpl_eval_filter(struct render *r, const struct node *n, const struct val *body, struct val *out) MUST_USE;

struct scope *tmpl_scope_new(struct render *r, struct scope *parent); /* NULL: failed */
int tmpl_scope_set(struct render *r, struct scope *s, uint32_t id, struct val v) MUST_USE;
struct val tmpl_scope_get(const struct render *r, uint32_t id); /* undefined where there is none */
/* Assigns v to a target in scope s: a name, a tuple of targets, or an attribute of a namespace. */
int tmpl_assign(struct render *r, struct scope *s, const struct node *target, struct val v) MUST_USE;

int tmpl_call_macro(struct render *r, const struct macro *m, const struct args *args, struct val *out) MUST_USE;
int tmpl_call_block(struct render *r, const struct node *block, struct val *out) MUST_USE;
int tmpl_call_loop(struct render *r, const struct loop *l, struct val iterable, struct val *out) MUST_USE;
int tmpl_loop_attr(struct render *r, struct loop *l, struct str name, struct val *out) MUST_USE;
int tmpl_loop_next(struct render *r, struct loop *l, struct val *out) MUST_USE;
