/* tmpl_exec: statements of the tree. Scopes are found by walking up from the one at work; macros and callers keep the scope they
 * were defined in. */
#include "tmpl_run.h"

#include <string.h>

/* ---- scopes ------------------------------------------------------------------------------------------------------- */

struct scope *tmpl_scope_new(struct render *r, struct scope *parent) {
    struct scope *s = tmpl_alloc(r, sizeof *s);
    if (s)
        s->parent = parent;
    return s;
}

int tmpl_scope_set(struct render *r, struct scope *s, uint32_t id, struct val v) {
    for (uint32_t i = 0; i < s->n; i++)
        if (s->vars[i].id == id) {
            s->vars[i].value = v;
            return 0;
        }
    if (s->n == s->cap) {
        uint32_t cap = s->cap ? 2 * s->cap : 4;
        struct var *vars = tmpl_array(r, cap, sizeof *vars);
        if (!vars)
            return tmpl_failed(r);
        if (s->n)
            memcpy(vars, s->vars, s->n * sizeof *vars);
        s->vars = vars;
        s->cap = cap;
    }
    s->vars[s->n++] = (struct var){id, v};
    return 0;
}

struct val tmpl_scope_get(const struct render *r, uint32_t id) {
    bool in_block = false;
    for (const struct scope *s = r->scope; s; in_block |= s->block, s = s->parent)
        for (uint32_t i = 0; i < s->n; i++)
            if (s->vars[i].id == id) {
                struct val v = s->vars[i].value;
                bool hidden = v.type == VAL_UNDEFINED && v.flags & FLAG_HIDDEN;
                if (hidden && in_block)
                    break;
                v.flags = hidden ? 0 : v.flags;
                return v;
            }
    if (r->context[id].type != VAL_MISSING)
        return r->context[id];
    if (r->t->globals[id])
        return (struct val){.type = VAL_FUNC, .func = r->t->globals[id]};
    if (id == ID_SELF)
        return (struct val){.type = VAL_SELF};
    return tmpl_undefined(r->t->names[id], NULL);
}

static int assign_tuple(struct render *r, struct scope *s, const struct node *target, struct val v) {
    struct iter it;
    struct val item;
    uint32_t n = 0;
    int more = tmpl_iter(r, v, &it);
    while (more >= 0 && (more = tmpl_next(r, &it, &item)) > 0) {
        if (n == target->n)
            return tmpl_fail(r, "type", "too many values to unpack (expected %u)", target->n);
        if (tmpl_assign(r, s, target->kids[n++], item) < 0)
            return tmpl_failed(r);
    }
    if (more == 0 && n < target->n)
        return tmpl_fail(r, "type", "not enough values to unpack (expected %u, got %u)", target->n, n);
    return more;
}

int tmpl_assign(struct render *r, struct scope *s, const struct node *target, struct val v) {
    if (target->kind == NODE_NAME)
        return tmpl_scope_set(r, s, target->id, v);
    if (target->kind == NODE_TUPLE)
        return assign_tuple(r, s, target, v);
    struct val space = tmpl_scope_get(r, target->id);
    if (space.type == VAL_UNDEFINED)
        return tmpl_undefined_fail(r, space);
    if (space.type != VAL_SPACE)
        return tmpl_fail(r, "template", "cannot assign attribute on non-namespace object");
    return tmpl_dict_set(r, space.dict, tmpl_str_of(target->text, TEMPLATE), v);
}

/* ---- output and what captures it ----------------------------------------------------------------------------------- */

static int write_out(struct render *r, const struct node *n) {
    struct val v;
    if (tmpl_eval(r, n, &v) < 0)
        return tmpl_failed(r);
    if (r->autoescape && !n->flag) {
        if (tmpl_str_escape(r, v, &v) < 0)
            return tmpl_failed(r);
    }
    tmpl_text_val(r, r->out, v);
    if (r->page.n > r->page_max)
        return tmpl_fail(r, "limit", "the output is longer than %zu bytes", r->page_max);
    return tmpl_failed(r);
}

static int exec_output(struct render *r, const struct node *n) {
    for (uint32_t i = 0; i < n->n; i++)
        if (write_out(r, n->kids[i]) < 0)
            return tmpl_failed(r);
    return 0;
}

/* Runs a body in a scope, with its output as a string. Breaks do not come through here: the parser sees to that, but for set
 * and filter blocks, whose flow is handed on. */
static int capture(struct render *r, const struct node *body, struct scope *scope, struct val *out) {
    struct text text = {0}, *old_out = r->out;
    struct scope *old_scope = r->scope;
    if (!scope)
        return tmpl_failed(r);
    r->out = &text;
    r->scope = scope;
    int flow = tmpl_exec(r, body);
    r->out = old_out;
    r->scope = old_scope;
    if (flow != 0)
        return flow;
    if (tmpl_text_end(r, &text, out) < 0)
        return tmpl_failed(r);
    out->flags = r->autoescape ? FLAG_MARKUP : 0;
    return 0;
}

static int in_scope(struct render *r, const struct node *body, struct scope *scope) {
    struct scope *old = r->scope;
    if (!scope)
        return tmpl_failed(r);
    r->scope = scope;
    int flow = tmpl_exec(r, body);
    r->scope = old;
    return flow;
}

/* ---- plain statements ------------------------------------------------------------------------------------------------ */

static int exec_body(struct render *r, const struct node *n) {
    for (uint32_t i = 0; i < n->n_hidden; i++) {
        struct str name = r->t->names[n->hidden[i]];
        struct val v = tmpl_undefined(name, NULL);
        v.flags = FLAG_HIDDEN;
        if (tmpl_scope_set(r, r->scope, n->hidden[i], v) < 0)
            return tmpl_failed(r);
    }
    for (uint32_t i = 0; i < n->n; i++) {
        int flow = tmpl_exec(r, n->kids[i]);
        if (flow != 0)
            return flow;
    }
    return 0;
}

static int exec_if(struct render *r, const struct node *n) {
    for (; n && n->kind == NODE_IF; n = n->c) {
        struct val condition;
        if (tmpl_eval(r, n->a, &condition) < 0)
            return tmpl_failed(r);
        if (tmpl_truth(condition))
            return tmpl_exec(r, n->b);
    }
    return n ? tmpl_exec(r, n) : 0;
}

static int exec_set(struct render *r, const struct node *n) {
    struct val v;
    if (tmpl_eval(r, n->b, &v) < 0)
        return tmpl_failed(r);
    return tmpl_assign(r, r->scope, n->a, v);
}

static int exec_set_block(struct render *r, const struct node *n) {
    struct val v;
    int flow = capture(r, n->kids[0], tmpl_scope_new(r, r->scope), &v);
    if (flow != 0)
        return flow;
    if (n->b && tmpl_eval_filter(r, n->b, &v, &v) < 0)
        return tmpl_failed(r);
    return tmpl_assign(r, r->scope, n->a, v);
}

static int exec_filter_block(struct render *r, const struct node *n) {
    struct val v;
    int flow = capture(r, n->kids[0], tmpl_scope_new(r, r->scope), &v);
    if (flow != 0)
        return flow;
    if (tmpl_eval_filter(r, n->b, &v, &v) < 0)
        return tmpl_failed(r);
    if (v.type != VAL_STR) /* jinja2 joins what blocks give as it is */
        return tmpl_fail(r, "type", "sequence item: expected str instance, %s found", tmpl_type_name(v));
    tmpl_text_str(r, r->out, v);
    return tmpl_failed(r);
}

static int exec_with(struct render *r, const struct node *n) {
    struct scope *s = tmpl_scope_new(r, r->scope);
    struct val v;
    for (uint32_t i = 1; s && i < n->n; i += 2)
        if (tmpl_eval(r, n->kids[i + 1], &v) < 0 || tmpl_assign(r, s, n->kids[i], v) < 0)
            return tmpl_failed(r);
    return in_scope(r, n->kids[0], s);
}

static int exec_autoescape(struct render *r, const struct node *n) {
    struct val v;
    bool old = r->autoescape;
    if (tmpl_eval(r, n->a, &v) < 0)
        return tmpl_failed(r);
    r->autoescape = tmpl_truth(v);
    int flow = in_scope(r, n->kids[0], tmpl_scope_new(r, r->scope));
    r->autoescape = old;
    return flow;
}

static int exec_scope(struct render *r, const struct node *n) {
    return in_scope(r, n->kids[0], tmpl_scope_new(r, r->scope));
}

static struct scope *block_scope(struct render *r, struct scope *around) {
    struct scope *s = tmpl_scope_new(r, around);
    if (s)
        s->block = true;
    return s;
}

/* A block sees the variables of the top level; a scoped one also those around it. */
static int exec_block(struct render *r, const struct node *n) {
    return in_scope(r, n->kids[0], block_scope(r, n->flag ? r->scope : r->top));
}

int tmpl_call_block(struct render *r, const struct node *n, struct val *out) {
    if (r->calls == r->limits.depth)
        return tmpl_fail(r, "limit", "macros and loops are nested more than %u deep", r->limits.depth);
    r->calls++;
    int code = capture(r, n->kids[0], block_scope(r, r->top), out);
    r->calls--;
    return code;
}

static int exec_no_loader(struct render *r, const struct node *n) {
    (void)n;
    return tmpl_fail(r, "type", "no loader for this environment specified");
}

static int exec_break(struct render *r, const struct node *n) {
    (void)r;
    return n->kind == NODE_BREAK ? FLOW_BREAK : FLOW_CONTINUE;
}

/* ---- macros ---------------------------------------------------------------------------------------------------------- */

static struct macro *new_macro(struct render *r, const struct node *n) {
    struct macro *m = tmpl_alloc(r, sizeof *m);
    if (m)
        *m = (struct macro){n->macro, r->scope};
    return m;
}

static int exec_macro(struct render *r, const struct node *n) {
    struct macro *m = new_macro(r, n);
    if (!m)
        return tmpl_failed(r);
    return tmpl_scope_set(r, r->scope, n->id, (struct val){.type = VAL_MACRO, .macro = m});
}

static const struct kwarg *find_kwarg(const struct args *args, struct str name) {
    for (size_t i = 0; i < args->n_kw; i++)
        if (str_eq(args->kw[i].name, name))
            return &args->kw[i];
    return NULL;
}

static bool is_param(const struct node_macro *def, struct str name) {
    for (size_t i = 0; i < def->n_params; i++)
        if (str_eq(def->params[i].name, name))
            return true;
    return false;
}

/* Parameters from arguments, else from their initial values, which may use the parameters before. */
static int bind_params(struct render *r, const struct node_macro *def, const struct args *args, struct scope *s) {
    struct scope *old = r->scope;
    for (size_t i = 0; i < def->n_params; i++) {
        const struct node_param *p = &def->params[i];
        const struct kwarg *kw = find_kwarg(args, p->name);
        struct val v = tmpl_undefined(p->name, NULL);
        if (i < args->n && kw)
            return tmpl_fail(r, "type", "macro '%.*s' takes no keyword argument '%.*s'", (int)def->name.n, def->name.p,
                             (int)p->name.n, p->name.p);
        if (i < args->n) {
            v = args->pos[i];
        } else if (kw) {
            v = kw->value;
        } else if (p->initial) {
            r->scope = s;
            int code = tmpl_eval(r, p->initial, &v);
            r->scope = old;
            if (code < 0)
                return code;
        }
        if (tmpl_scope_set(r, s, p->id, v) < 0)
            return tmpl_failed(r);
    }
    return 0;
}

/* caller, varargs and kwargs, where the body reads them; else an error where there are such arguments. */
static int bind_rest(struct render *r, const struct node_macro *def, const struct args *args, struct scope *s) {
    const struct kwarg *caller = find_kwarg(args, STR("caller"));
    bool has_caller = def->uses_caller && !is_param(def, STR("caller"));
    if (has_caller &&
        tmpl_scope_set(r, s, ID_CALLER,
                       caller && caller->value.type != VAL_NONE ? caller->value : tmpl_undefined_hint("No caller defined")) < 0)
        return tmpl_failed(r);
    struct dict *kwargs = tmpl_dict_new(r);
    for (size_t i = 0; kwargs && i < args->n_kw; i++) {
        struct str name = args->kw[i].name;
        if (is_param(def, name) || (has_caller && caller == &args->kw[i]))
            continue;
        if (!def->uses_kwargs)
            return tmpl_fail(r, "type", "macro '%.*s' takes no keyword argument '%.*s'", (int)def->name.n, def->name.p,
                             (int)name.n, name.p);
        if (tmpl_dict_set(r, kwargs, tmpl_str_of(name, TEMPLATE), args->kw[i].value) < 0)
            return tmpl_failed(r);
    }
    if (!kwargs || (def->uses_kwargs && tmpl_scope_set(r, s, ID_KWARGS, tmpl_dict(kwargs)) < 0))
        return tmpl_failed(r);
    if (!def->uses_varargs)
        return args->n <= def->n_params ? 0
                                        : tmpl_fail(r, "type", "macro '%.*s' takes not more than %zu argument(s)",
                                                    (int)def->name.n, def->name.p, def->n_params);
    struct list *varargs = tmpl_list_new(r, 0);
    for (size_t i = def->n_params; varargs && i < args->n; i++)
        if (tmpl_list_add(r, varargs, args->pos[i]) < 0)
            return tmpl_failed(r);
    return varargs ? tmpl_scope_set(r, s, ID_VARARGS, tmpl_tuple(varargs)) : tmpl_failed(r);
}

int tmpl_call_macro(struct render *r, const struct macro *m, const struct args *args, struct val *out) {
    struct scope *s = tmpl_scope_new(r, m->scope);
    if (r->calls == r->limits.depth)
        return tmpl_fail(r, "limit", "macros and loops are nested more than %u deep", r->limits.depth);
    if (!s || bind_params(r, m->def, args, s) < 0 || bind_rest(r, m->def, args, s) < 0)
        return tmpl_failed(r);
    r->calls++;
    int code = capture(r, m->def->body, s, out);
    r->calls--;
    return code;
}

/* {% call(x) f(...) %}: calls f with the body as its `caller`. */
static int exec_call_block(struct render *r, const struct node *n) {
    const struct node_args *given = n->a->args;
    struct node caller = {.kind = NODE_CONST}, call = *n->a;
    struct macro *m = new_macro(r, n);
    struct node_kwarg *kw = tmpl_array(r, given->n_kw + 1, sizeof *kw);
    struct val v;
    if (!m || !kw)
        return tmpl_failed(r);
    if (given->n_kw)
        memcpy(kw, given->kw, given->n_kw * sizeof *kw);
    caller.value = (struct val){.type = VAL_MACRO, .macro = m};
    kw[given->n_kw] = (struct node_kwarg){STR("caller"), &caller};
    struct node_args args = *given;
    args.kw = kw;
    args.n_kw = given->n_kw + 1;
    call.args = &args;
    if (tmpl_eval(r, &call, &v) < 0)
        return tmpl_failed(r);
    tmpl_text_val(r, r->out, v);
    return tmpl_failed(r);
}

/* ---- dispatch ---------------------------------------------------------------------------------------------------------- */

static int exec_for(struct render *r, const struct node *n) {
    struct val iterable;
    if (tmpl_eval(r, n->b, &iterable) < 0)
        return tmpl_failed(r);
    return tmpl_exec_for(r, n, r->scope, iterable, 0);
}

static int (*const execs[])(struct render *r, const struct node *n) = {
    [NODE_OUTPUT] = exec_output,
    [NODE_BODY] = exec_body,
    [NODE_IF] = exec_if,
    [NODE_FOR] = exec_for,
    [NODE_SET] = exec_set,
    [NODE_SET_BLOCK] = exec_set_block,
    [NODE_MACRO] = exec_macro,
    [NODE_CALL_BLOCK] = exec_call_block,
    [NODE_FILTER_BLOCK] = exec_filter_block,
    [NODE_WITH] = exec_with,
    [NODE_AUTOESCAPE] = exec_autoescape,
    [NODE_BLOCK] = exec_block,
    [NODE_SCOPE] = exec_scope,
    [NODE_NO_LOADER] = exec_no_loader,
    [NODE_BREAK] = exec_break,
    [NODE_CONTINUE] = exec_break,
};

int tmpl_exec(struct render *r, const struct node *n) {
    if (tmpl_step(r) < 0 || tmpl_enter(r) < 0)
        return tmpl_failed(r);
    int flow = execs[n->kind](r, n);
    tmpl_leave(r);
    return flow;
}
