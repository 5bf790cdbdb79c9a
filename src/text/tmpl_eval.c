/* tmpl_eval: expressions of the tree into values. */
#include "tmpl_run.h"

#include <math.h>
#include <string.h>

/* ---- names, constants, containers ---------------------------------------------------------------------------------- */

static int eval_const(struct render *r, const struct node *n, struct val *out) {
    (void)r;
    *out = n->value;
    return 0;
}

static int eval_name(struct render *r, const struct node *n, struct val *out) {
    *out = tmpl_scope_get(r, n->id);
    return 0;
}

static int eval_attr(struct render *r, const struct node *n, struct val *out) {
    struct val obj;
    if (tmpl_eval(r, n->a, &obj) < 0)
        return tmpl_failed(r);
    return tmpl_getattr(r, obj, n->text, out);
}

static int eval_item(struct render *r, const struct node *n, struct val *out) {
    struct val obj, key;
    if (tmpl_eval(r, n->a, &obj) < 0 || tmpl_eval(r, n->b, &key) < 0)
        return tmpl_failed(r);
    return tmpl_getitem(r, obj, key, out);
}

static int eval_slice(struct render *r, const struct node *n, struct val *out) {
    struct val obj, bounds[3] = {0};
    if (tmpl_eval(r, n->a, &obj) < 0)
        return tmpl_failed(r);
    for (uint32_t i = 0; i < 3; i++)
        if (n->kids[i] && tmpl_eval(r, n->kids[i], &bounds[i]) < 0)
            return tmpl_failed(r);
    return tmpl_getslice(r, obj, bounds, out);
}

static int eval_list(struct render *r, const struct node *n, struct val *out) {
    struct list *l = tmpl_list_new(r, n->n);
    struct val v;
    if (!l)
        return tmpl_failed(r);
    for (uint32_t i = 0; i < n->n; i++)
        if (tmpl_eval(r, n->kids[i], &v) < 0 || tmpl_list_add(r, l, v) < 0)
            return tmpl_failed(r);
    *out = n->kind == NODE_LIST ? tmpl_list(l) : tmpl_tuple(l);
    return 0;
}

static int eval_dict(struct render *r, const struct node *n, struct val *out) {
    struct dict *d = tmpl_dict_new(r);
    struct val key, value;
    if (!d)
        return tmpl_failed(r);
    for (uint32_t i = 0; i < n->n; i += 2)
        if (tmpl_eval(r, n->kids[i], &key) < 0 || tmpl_eval(r, n->kids[i + 1], &value) < 0 || tmpl_dict_set(r, d, key, value) < 0)
            return tmpl_failed(r);
    *out = tmpl_dict(d);
    return 0;
}

/* ---- calls --------------------------------------------------------------------------------------------------------- */

enum { FEW = 6 };

/* Arguments of one call; `few` spares the arena in the usual case. */
struct arg_space {
    struct args args;
    struct val few[FEW];
    struct kwarg few_kw[FEW];
};

static int add_star(struct render *r, const struct node *star, struct arg_space *s) {
    struct val v;
    struct list *all, *more;
    if (tmpl_eval(r, star, &v) < 0 || !(all = tmpl_list_new(r, s->args.n)) || tmpl_to_list(r, v, &more) < 0)
        return tmpl_failed(r);
    for (size_t i = 0; i < s->args.n; i++)
        if (tmpl_list_add(r, all, s->args.pos[i]) < 0)
            return tmpl_failed(r);
    if (tmpl_list_concat(r, all, more, &all) < 0)
        return tmpl_failed(r);
    s->args.pos = all->items;
    s->args.n = all->n;
    return 0;
}

static int add_star_star(struct render *r, const struct node *star, struct arg_space *s) {
    struct val v;
    if (tmpl_eval(r, star, &v) < 0)
        return tmpl_failed(r);
    if (v.type != VAL_DICT)
        return tmpl_fail(r, "type", "argument after ** must be a mapping, not %s", tmpl_type_name(v));
    struct kwarg *kw = tmpl_array(r, s->args.n_kw + v.dict->n, sizeof *kw);
    if (!kw)
        return tmpl_failed(r);
    if (s->args.n_kw)
        memcpy(kw, s->args.kw, s->args.n_kw * sizeof *kw);
    s->args.kw = kw;
    for (size_t i = 0; i < v.dict->n; i++) {
        struct entry *e = &v.dict->entries[i];
        if (e->key.type != VAL_STR)
            return tmpl_fail(r, "type", "keywords must be strings");
        for (size_t k = 0; k < s->args.n_kw - i; k++)
            if (str_eq(kw[k].name, tmpl_str_bytes(e->key)))
                return tmpl_fail(r, "type", "got multiple values for keyword argument '%.*s'", (int)e->key.n, e->key.p);
        kw[s->args.n_kw++] = (struct kwarg){tmpl_str_bytes(e->key), e->value};
    }
    return 0;
}

static int eval_args(struct render *r, const struct node_args *n, struct arg_space *s) {
    s->args = (struct args){.pos = s->few, .kw = s->few_kw, .n = n->n, .n_kw = n->n_kw};
    if (n->n > FEW && !(s->args.pos = tmpl_array(r, n->n, sizeof *s->args.pos)))
        return tmpl_failed(r);
    if (n->n_kw > FEW && !(s->args.kw = tmpl_array(r, n->n_kw, sizeof *s->args.kw)))
        return tmpl_failed(r);
    for (size_t i = 0; i < n->n; i++)
        if (tmpl_eval(r, n->pos[i], &s->args.pos[i]) < 0)
            return tmpl_failed(r);
    for (size_t i = 0; i < n->n_kw; i++) {
        s->args.kw[i].name = n->kw[i].name;
        if (tmpl_eval(r, n->kw[i].value, &s->args.kw[i].value) < 0)
            return tmpl_failed(r);
    }
    if (n->star && add_star(r, n->star, s) < 0)
        return tmpl_failed(r);
    return n->star_star ? add_star_star(r, n->star_star, s) : 0;
}

/* Index of a keyword among f's parameters, or f->max. */
static size_t find_param(const struct callable *f, struct str name) {
    size_t i = 0;
    for (const char *w = f->params; w && *w; i++) {
        size_t n = strcspn(w, " ");
        if (str_eq((struct str){w, n}, name))
            return i;
        w += n + (w[n] == ' ');
    }
    return f->max;
}

int tmpl_apply(struct render *r, const struct callable *f, struct val self, const struct args *args, struct val *out) {
    struct call c = {.r = r, .self = self, .all = args, .out = out};
    if (tmpl_step(r) < 0)
        return tmpl_failed(r);
    if (f->max == VARIADIC)
        return f->fn(&c);
    if (args->n > f->max)
        return tmpl_fail(r, "type", "%s() takes at most %d arguments (%zu given)", f->name, f->max, args->n);
    for (size_t i = 0; i < args->n; i++)
        c.arg[i] = args->pos[i];
    for (size_t i = 0; i < args->n_kw; i++) {
        struct str name = args->kw[i].name;
        size_t at = find_param(f, name);
        if (at == f->max)
            return tmpl_fail(r, "type", "%s() got an unexpected keyword argument '%.*s'", f->name, (int)name.n, name.p);
        if (c.arg[at].type != VAL_MISSING)
            return tmpl_fail(r, "type", "%s() got multiple values for argument '%.*s'", f->name, (int)name.n, name.p);
        c.arg[at] = args->kw[i].value;
    }
    for (size_t i = 0; i < f->min; i++)
        if (c.arg[i].type == VAL_MISSING)
            return tmpl_fail(r, "type", "%s() is missing a required argument", f->name);
    return f->fn(&c);
}

static int no_args(struct render *r, const struct args *args, const char *what) {
    return args->n || args->n_kw ? tmpl_fail(r, "type", "%s takes no arguments", what) : 0;
}

int tmpl_call(struct render *r, struct val f, const struct args *args, struct val *out) {
    if (tmpl_step(r) < 0)
        return tmpl_failed(r);
    switch ((enum val_type)f.type) {
    case VAL_FUNC: return tmpl_apply(r, f.func, (struct val){0}, args, out);
    case VAL_METHOD: return tmpl_apply(r, f.bound->func, f.bound->self, args, out);
    case VAL_MACRO: return tmpl_call_macro(r, f.macro, args, out);
    case VAL_BLOCK: return no_args(r, args, "a block") < 0 ? tmpl_failed(r) : tmpl_call_block(r, f.node, out);
    case VAL_LOOP:
        if (args->n != 1 || args->n_kw)
            return tmpl_fail(r, "type", "loop() takes one argument");
        return tmpl_call_loop(r, f.loop, args->pos[0], out);
    case VAL_JOINER:
        if (no_args(r, args, "a joiner") < 0)
            return tmpl_failed(r);
        *out = f.joiner->used ? f.joiner->separator : tmpl_str_literal("");
        f.joiner->used = true;
        return 0;
    case VAL_UNDEFINED: return tmpl_undefined_fail(r, f);
    default: return tmpl_fail(r, "type", "'%s' object is not callable", tmpl_type_name(f));
    }
}

static int eval_call(struct render *r, const struct node *n, struct val *out) {
    struct arg_space s;
    struct val obj, f;
    const struct callable *method = NULL;
    if (n->a->kind == NODE_ATTR) { /* a method is called without being bound first */
        if (tmpl_eval(r, n->a->a, &obj) < 0)
            return tmpl_failed(r);
        method = obj.type == VAL_STR || obj.type == VAL_DICT ? tmpl_method_find(obj, n->a->text) : NULL;
        if (!method && tmpl_getattr(r, obj, n->a->text, &f) < 0)
            return tmpl_failed(r);
    } else if (tmpl_eval(r, n->a, &f) < 0) {
        return tmpl_failed(r);
    }
    if (eval_args(r, n->args, &s) < 0)
        return tmpl_failed(r);
    return method ? tmpl_apply(r, method, obj, &s.args, out) : tmpl_call(r, f, &s.args, out);
}

/* What a filter is applied to: a value, another filter's result, or at the front of a chain the body of a block. */
static int eval_filtered(struct render *r, const struct node *on, const struct val *body, struct val *out) {
    if (!on) {
        *out = *body;
        return 0;
    }
    if (on->kind != NODE_FILTER)
        return tmpl_eval(r, on, out);
    if (tmpl_enter(r) < 0)
        return tmpl_failed(r);
    int code = tmpl_eval_filter(r, on, body, out);
    tmpl_leave(r);
    return code;
}

int tmpl_eval_filter(struct render *r, const struct node *n, const struct val *body, struct val *out) {
    struct arg_space s;
    struct val self;
    if (eval_filtered(r, n->a, body, &self) < 0 || eval_args(r, n->args, &s) < 0)
        return tmpl_failed(r);
    if (!n->func)
        return tmpl_fail(r, "template", "No filter named '%.*s' found.", (int)n->text.n, n->text.p);
    return tmpl_apply(r, n->func, self, &s.args, out);
}

static int eval_filter(struct render *r, const struct node *n, struct val *out) {
    return tmpl_eval_filter(r, n, NULL, out);
}

static int eval_test(struct render *r, const struct node *n, struct val *out) {
    struct arg_space s;
    struct val self;
    if (tmpl_eval(r, n->a, &self) < 0 || eval_args(r, n->args, &s) < 0)
        return tmpl_failed(r);
    if (!n->func)
        return tmpl_fail(r, "template", "No test named '%.*s' found.", (int)n->text.n, n->text.p);
    return tmpl_apply(r, n->func, self, &s.args, out);
}

/* ---- operators ------------------------------------------------------------------------------------------------------- */

static int eval_cond(struct render *r, const struct node *n, struct val *out) {
    struct val condition;
    if (tmpl_eval(r, n->b, &condition) < 0)
        return tmpl_failed(r);
    if (tmpl_truth(condition))
        return tmpl_eval(r, n->a, out);
    if (n->c)
        return tmpl_eval(r, n->c, out);
    *out = tmpl_undefined_hint("the inline if-expression evaluated to false and no else section was defined.");
    return 0;
}

/* The first operand that settles it, or the last. */
static int eval_and_or(struct render *r, const struct node *n, struct val *out) {
    for (uint32_t i = 0; i < n->n; i++) {
        if (tmpl_eval(r, n->kids[i], out) < 0)
            return tmpl_failed(r);
        if (tmpl_truth(*out) == (n->kind == NODE_OR))
            break;
    }
    return 0;
}

static int eval_not(struct render *r, const struct node *n, struct val *out) {
    struct val v;
    if (tmpl_eval(r, n->a, &v) < 0)
        return tmpl_failed(r);
    *out = tmpl_bool(!tmpl_truth(v));
    return 0;
}

static int eval_neg(struct render *r, const struct node *n, struct val *out) {
    struct val v;
    if (tmpl_eval(r, n->a, &v) < 0)
        return tmpl_failed(r);
    return tmpl_negate(r, v, !n->flag, out);
}

static int eval_compare(struct render *r, const struct node *n, struct val *out) {
    struct val left, right;
    bool holds = true;
    if (tmpl_eval(r, n->kids[0], &left) < 0)
        return tmpl_failed(r);
    for (uint32_t i = 1; i < n->n && holds; i++) {
        if (tmpl_eval(r, n->kids[i], &right) < 0 || tmpl_compare(r, (enum compare)(n->ops[i - 1] - 1), left, right, &holds) < 0)
            return tmpl_failed(r);
        left = right;
    }
    *out = tmpl_bool(holds);
    return 0;
}

static bool is_const(const struct node *n);

static bool are_const(struct node *const *nodes, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (nodes[i] && !is_const(nodes[i]))
            return false;
    return true;
}

static bool is_const_call(const struct node *n) {
    static const char *const of_context[] = {"map", "select", "reject", "selectattr", "rejectattr", "random"};
    for (size_t i = 0; n->kind == NODE_FILTER && i < N_ITEMS(of_context); i++)
        if (str_is(n->text, of_context[i]))
            return false;
    for (size_t i = 0; n->args && i < n->args->n_kw; i++)
        if (!is_const(n->args->kw[i].value))
            return false;
    return n->func && n->a && is_const(n->a) &&
           (!n->args || (!n->args->star && !n->args->star_star && are_const(n->args->pos, n->args->n)));
}

/* What jinja2 evaluates when it compiles. */
static bool is_const(const struct node *n) {
    switch ((enum node_kind)n->kind) {
    case NODE_NAME:
    case NODE_CALL: return false;
    case NODE_FILTER:
    case NODE_TEST: return is_const_call(n);
    default: break;
    }
    return (!n->a || is_const(n->a)) && (!n->b || is_const(n->b)) && (!n->c || is_const(n->c)) && are_const(n->kids, n->n);
}

static bool is_negative(struct val v) {
    return v.type == VAL_FLOAT ? signbit(v.f) : v.type == VAL_INT && v.i < 0;
}

/* left ** right. A negative number that jinja2 knows when it compiles is written into the code as -N, and there ** binds tighter. */
static int power(struct render *r, bool left_is_const, const struct node *n, struct val left, struct val right, struct val *out) {
    if (!left_is_const || !is_negative(left) || is_const(n))
        return tmpl_arith(r, 'p', left, right, out);
    if (tmpl_negate(r, left, true, &left) < 0 || tmpl_arith(r, 'p', left, right, out) < 0)
        return tmpl_failed(r);
    return tmpl_negate(r, *out, true, out);
}

static int eval_math(struct render *r, const struct node *n, struct val *out) {
    struct val left, right;
    if (tmpl_eval(r, n->kids[0], &left) < 0)
        return tmpl_failed(r);
    for (uint32_t i = 1; i < n->n; i++) {
        char op = (char)n->ops[i - 1];
        if (tmpl_eval(r, n->kids[i], &right) < 0)
            return tmpl_failed(r);
        int code = op == 'p' && is_negative(left) ? power(r, are_const(n->kids, i), n->kids[i], left, right, &left)
                                                  : tmpl_arith(r, op, left, right, &left);
        if (code < 0)
            return code;
    }
    *out = left;
    return 0;
}

/* a ~ b; with autoescape, one that is safe makes the result safe and the others are escaped. */
static int eval_concat(struct render *r, const struct node *n, struct val *out) {
    struct val all = tmpl_str_literal("");
    struct val *parts = tmpl_array(r, n->n, sizeof *parts);
    bool safe = false;
    for (uint32_t i = 0; parts && i < n->n; i++) {
        if (tmpl_eval(r, n->kids[i], &parts[i]) < 0)
            return tmpl_failed(r);
        safe |= r->autoescape && parts[i].type == VAL_STR && parts[i].flags & FLAG_MARKUP;
    }
    for (uint32_t i = 0; parts && i < n->n; i++) {
        int code = safe ? tmpl_str_escape(r, parts[i], &parts[i]) : tmpl_str_from(r, parts[i], &parts[i]);
        if (code < 0 || tmpl_str_concat(r, all, parts[i], &all) < 0)
            return tmpl_failed(r);
    }
    *out = all;
    out->flags = safe ? FLAG_MARKUP : 0;
    return tmpl_failed(r);
}

static int (*const evals[])(struct render *r, const struct node *n, struct val *out) = {
    [NODE_CONST] = eval_const,     [NODE_NAME] = eval_name,  [NODE_ATTR] = eval_attr,     [NODE_ITEM] = eval_item,
    [NODE_SLICE] = eval_slice,     [NODE_CALL] = eval_call,  [NODE_FILTER] = eval_filter, [NODE_TEST] = eval_test,
    [NODE_LIST] = eval_list,       [NODE_TUPLE] = eval_list, [NODE_DICT] = eval_dict,     [NODE_COND] = eval_cond,
    [NODE_OR] = eval_and_or,       [NODE_AND] = eval_and_or, [NODE_NOT] = eval_not,       [NODE_NEG] = eval_neg,
    [NODE_COMPARE] = eval_compare, [NODE_MATH] = eval_math,  [NODE_CONCAT] = eval_concat,
};

int tmpl_eval(struct render *r, const struct node *n, struct val *out) {
    if (tmpl_enter(r) < 0)
        return tmpl_failed(r);
    int code = evals[n->kind](r, n, out);
    tmpl_leave(r);
    return code;
}
