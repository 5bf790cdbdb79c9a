/* tmpl_expr: expressions, by recursive descent in jinja2's order of precedence:
 *
 *     condition   a if b else c            concat   a ~ b
 *     or, and, not                         product  a * b / c // d % e
 *     comparison  a < b in c not in d      power    a ** b
 *     sum         a + b - c                unary    -a, then .name [item] (call) |filter is test
 *
 * Chains of one level become one node with many kids, so that long sums do not make deep trees. */
#include "tmpl_parse.h"

#include <string.h>

static struct node *parse_condition(struct parser *p);
static struct node *parse_unary(struct parser *p, bool with_filters);

/* ---- literals ------------------------------------------------------------------------------------------------ */

static struct node *constant(struct parser *p, struct val v) {
    struct node *n = parse_node(p, NODE_CONST);
    if (n)
        n->value = v;
    return n;
}

/* 'a' "b": adjacent strings are one. */
static struct node *parse_string(struct parser *p) {
    struct str text = p->at->text;
    p->at++;
    while (parse_at(p, LEX_STRING)) {
        struct str more = p->at->text;
        char *joined = arena_alloc(&p->t->arena, text.n + more.n);
        if (!joined)
            return parse_fail(p, "the template is too large");
        if (text.n)
            memcpy(joined, text.p, text.n);
        if (more.n)
            memcpy(joined + text.n, more.p, more.n);
        text = (struct str){joined, text.n + more.n};
        p->at++;
    }
    return constant(p, tmpl_str_of(text, TEMPLATE));
}

static struct node *parse_list_literal(struct parser *p) {
    struct node *n = parse_node(p, NODE_LIST);
    struct parse_list items = {0};
    p->at++;
    while (n && !parse_at(p, LEX_RBRACKET)) {
        if (items.n && !parse_expect(p, LEX_COMMA))
            return NULL;
        if (parse_at(p, LEX_RBRACKET))
            break;
        if (!parse_add(p, &items, parse_expression(p)))
            return NULL;
    }
    return n && parse_expect(p, LEX_RBRACKET) ? parse_kids(p, n, &items) : NULL;
}

static struct node *parse_dict_literal(struct parser *p) {
    struct node *n = parse_node(p, NODE_DICT);
    struct parse_list items = {0};
    p->at++;
    while (n && !parse_at(p, LEX_RBRACE)) {
        if (items.n && !parse_expect(p, LEX_COMMA))
            return NULL;
        if (parse_at(p, LEX_RBRACE))
            break;
        if (!parse_add(p, &items, parse_expression(p)) || !parse_expect(p, LEX_COLON) ||
            !parse_add(p, &items, parse_expression(p)))
            return NULL;
    }
    return n && parse_expect(p, LEX_RBRACE) ? parse_kids(p, n, &items) : NULL;
}

/* The rest of a tuple: `items` up to something that cannot follow a comma. */
static struct node *finish_tuple(struct parser *p, struct parse_list *items) {
    struct node *n = parse_node(p, NODE_TUPLE);
    return n ? parse_kids(p, n, items) : NULL;
}

static bool tuple_ends(const struct parser *p, const char *end_name) {
    return parse_at(p, LEX_PRINT_END) || parse_at(p, LEX_BLOCK_END) || parse_at(p, LEX_RPAREN) ||
           (end_name && parse_at_name(p, end_name));
}

/* One thing, or things with commas between and perhaps behind them; `one` parses a thing. */
static struct node *parse_series(struct parser *p, struct node *(*one)(struct parser *p), const char *end_name,
                                 bool may_be_empty) {
    struct parse_list items = {0};
    bool comma = false;
    while (!tuple_ends(p, end_name)) {
        if (!parse_add(p, &items, one(p)))
            return NULL;
        if (!parse_skip(p, LEX_COMMA)) {
            if (!comma)
                return items.items[0];
            break;
        }
        comma = true;
    }
    if (!comma && !may_be_empty)
        return parse_fail(p, "Expected an expression, got '%s'", tmpl_lex_name(p->at->kind));
    return finish_tuple(p, &items);
}

static struct node *parse_or(struct parser *p);

struct node *parse_tuple(struct parser *p, bool with_cond, const char *end_name) {
    return parse_series(p, with_cond ? parse_expression : parse_or, end_name, false);
}

static struct node *parse_parens(struct parser *p) {
    p->at++;
    struct node *n = parse_series(p, parse_expression, NULL, true);
    return n && parse_expect(p, LEX_RPAREN) ? n : NULL;
}

static struct node *parse_name(struct parser *p) {
    struct str name = p->at->text;
    p->at++;
    if (str_is(name, "true") || str_is(name, "True"))
        return constant(p, tmpl_bool(true));
    if (str_is(name, "false") || str_is(name, "False"))
        return constant(p, tmpl_bool(false));
    if (str_is(name, "none") || str_is(name, "None"))
        return constant(p, tmpl_none());
    struct node *n = parse_node(p, NODE_NAME);
    if (!n)
        return NULL;
    n->text = name;
    n->id = parse_intern(p, name);
    if (n->id < N_IDS)
        p->reads |= 1u << n->id & ~p->stores;
    return n;
}

static struct node *parse_primary(struct parser *p) {
    switch (p->at->kind) {
    case LEX_NAME: return parse_name(p);
    case LEX_STRING: return parse_string(p);
    case LEX_INT: return constant(p, tmpl_int((p->at++)->i));
    case LEX_FLOAT: return constant(p, tmpl_float((p->at++)->f));
    case LEX_LPAREN: return parse_parens(p);
    case LEX_LBRACKET: return parse_list_literal(p);
    case LEX_LBRACE: return parse_dict_literal(p);
    default: return parse_fail(p, "unexpected '%s'", tmpl_lex_name(p->at->kind));
    }
}

/* ---- calls, subscripts, filters and tests ---------------------------------------------------------------------- */

/* Moves positional and keyword arguments into the arena. Keyword values come as kids with their name in `text`. */
static struct node_args *finish_args(struct parser *p, struct node_args args, const struct parse_list *pos,
                                     const struct parse_list *kw, const struct str *names) {
    struct arena *arena = &p->t->arena;
    struct node_args *out = arena_alloc(arena, sizeof *out);
    args.n = pos->n;
    args.n_kw = kw->n;
    args.pos = arena_array(arena, pos->n, sizeof *args.pos);
    args.kw = arena_array(arena, kw->n, sizeof *args.kw);
    if (!out || !args.pos || !args.kw) {
        parse_fail(p, "the template is too large");
        return NULL;
    }
    for (size_t i = 0; i < pos->n; i++)
        args.pos[i] = pos->items[i];
    for (size_t i = 0; i < kw->n; i++)
        args.kw[i] = (struct node_kwarg){names[i], kw->items[i]};
    *out = args;
    return out;
}

enum { KWARGS_MAX = 64 };

/* name=value. */
static bool parse_kwarg(struct parser *p, struct parse_list *kw, struct str names[KWARGS_MAX]) {
    if (kw->n == KWARGS_MAX) {
        parse_fail(p, "a call has more than %d keyword arguments", KWARGS_MAX);
        return false;
    }
    struct str name = p->at->text;
    for (size_t i = 0; i < kw->n; i++)
        if (str_eq(names[i], name)) {
            parse_fail(p, "keyword argument '%.*s' stands twice", (int)name.n, name.p);
            return false;
        }
    names[kw->n] = name;
    p->at += 2;
    return parse_add(p, kw, parse_expression(p));
}

/* (a, b, name=c, *d, **e) */
static struct node_args *parse_args(struct parser *p) {
    struct node_args args = {0};
    struct parse_list pos = {0}, kw = {0};
    struct str names[KWARGS_MAX];
    bool good = parse_expect(p, LEX_LPAREN), first = true;
    while (good && !parse_at(p, LEX_RPAREN)) {
        if (!first && !parse_expect(p, LEX_COMMA))
            return NULL;
        if (parse_at(p, LEX_RPAREN))
            break;
        first = false;
        bool ordered = true;
        if (parse_skip(p, LEX_MUL)) {
            ordered = !args.star && !args.star_star;
            good = (args.star = parse_expression(p)) != NULL;
        } else if (parse_skip(p, LEX_POW)) {
            ordered = !args.star_star;
            good = (args.star_star = parse_expression(p)) != NULL;
        } else if (parse_at(p, LEX_NAME) && p->at[1].kind == LEX_ASSIGN) {
            ordered = !args.star_star;
            good = parse_kwarg(p, &kw, names);
        } else {
            ordered = !args.star && !args.star_star && kw.n == 0;
            good = parse_add(p, &pos, parse_expression(p));
        }
        if (good && !ordered) {
            parse_fail(p, "invalid syntax for function call expression");
            good = false;
        }
    }
    return good && parse_expect(p, LEX_RPAREN) ? finish_args(p, args, &pos, &kw, names) : NULL;
}

static const struct node_args no_args = {0};

static struct node *parse_call(struct parser *p, struct node *callee) {
    struct node *n = parse_node(p, NODE_CALL);
    if (!n)
        return NULL;
    n->a = callee;
    n->args = parse_args(p);
    return n->args ? n : NULL;
}

/* A filter's or test's name, perhaps with dots. */
static bool parse_dotted(struct parser *p, struct str *name) {
    *name = p->at->text;
    if (!parse_expect(p, LEX_NAME))
        return false;
    while (parse_skip(p, LEX_DOT)) {
        if (!parse_at(p, LEX_NAME))
            return parse_expect(p, LEX_NAME);
        name->n = (size_t)(p->at->text.p + p->at->text.n - name->p); /* no name with a dot is known: only messages see it */
        p->at++;
    }
    return true;
}

static void note_unknown(struct parser *p, const struct node *n, const char *what) {
    if (!n->func && !p->unknown.name.p)
        p->unknown = (struct parse_unknown){n->text, what, n->line};
}

struct node *parse_filters(struct parser *p, struct node *on, bool inline_start) {
    while (inline_start || parse_skip(p, LEX_PIPE)) {
        inline_start = false;
        struct node *n = parse_node(p, NODE_FILTER);
        if (!n || !parse_dotted(p, &n->text))
            return NULL;
        n->a = on;
        n->func = tmpl_filter_find(n->text);
        n->args = parse_at(p, LEX_LPAREN) ? parse_args(p) : &no_args;
        if (!n->args)
            return NULL;
        note_unknown(p, n, "filter");
        on = n;
    }
    return on;
}

/* Can a test's argument without parentheses begin here? */
static bool argument_begins(const struct parser *p) {
    switch (p->at->kind) {
    case LEX_NAME: return !parse_at_name(p, "else") && !parse_at_name(p, "or") && !parse_at_name(p, "and");
    case LEX_STRING:
    case LEX_INT:
    case LEX_FLOAT:
    case LEX_LBRACKET:
    case LEX_LBRACE: return true;
    default: return false;
    }
}

static struct node *parse_postfix(struct parser *p, struct node *n);

/* The one argument of `x is divisibleby 3`. */
static const struct node_args *parse_bare_argument(struct parser *p) {
    if (parse_at_name(p, "is")) {
        parse_fail(p, "You cannot chain multiple tests with is");
        return NULL;
    }
    struct parse_list pos = {0}, kw = {0};
    struct node *n = parse_primary(p);
    if (!n || !parse_add(p, &pos, parse_postfix(p, n)))
        return NULL;
    return finish_args(p, (struct node_args){0}, &pos, &kw, NULL);
}

static struct node *parse_test(struct parser *p, struct node *on) {
    struct node *n = parse_node(p, NODE_TEST), *not = NULL;
    p->at++;
    if (parse_skip_name(p, "not") && !(not = parse_node(p, NODE_NOT)))
        return NULL;
    if (!n || !parse_dotted(p, &n->text))
        return NULL;
    n->a = on;
    n->func = tmpl_test_find(n->text);
    n->args = parse_at(p, LEX_LPAREN) ? parse_args(p) : argument_begins(p) ? parse_bare_argument(p) : &no_args;
    if (!n->args)
        return NULL;
    note_unknown(p, n, "test");
    if (!not )
        return n;
    not ->a = n;
    return not ;
}

/* One part of a subscript: an expression, or a slice with up to three. */
static struct node *parse_slice(struct parser *p) {
    struct node *bounds[3] = {0};
    if (!parse_at(p, LEX_COLON)) {
        bounds[0] = parse_expression(p);
        if (!bounds[0] || !parse_at(p, LEX_COLON))
            return bounds[0];
    }
    for (size_t i = 1; i < 3 && parse_skip(p, LEX_COLON); i++)
        if (!parse_at(p, LEX_COLON) && !parse_at(p, LEX_RBRACKET) && !parse_at(p, LEX_COMMA) &&
            !(bounds[i] = parse_expression(p)))
            return NULL;
    struct node *n = parse_node(p, NODE_SLICE);
    if (!n)
        return NULL;
    n->kids = arena_array(&p->t->arena, 3, sizeof *n->kids);
    if (!n->kids)
        return parse_fail(p, "the template is too large");
    memcpy(n->kids, bounds, sizeof bounds);
    n->n = 3;
    return n;
}

static struct node *parse_brackets(struct parser *p, struct node *on) {
    struct parse_list parts = {0};
    p->at++;
    while (!parse_at(p, LEX_RBRACKET)) {
        if (parts.n && !parse_expect(p, LEX_COMMA))
            return NULL;
        if (!parse_add(p, &parts, parse_slice(p)))
            return NULL;
    }
    p->at++;
    if (parts.n == 1 && parts.items[0]->kind == NODE_SLICE) {
        parts.items[0]->a = on;
        return parts.items[0];
    }
    for (size_t i = 0; i < parts.n; i++)
        if (parts.items[i]->kind == NODE_SLICE)
            return parse_fail(p, "a slice cannot stand among several subscripts");
    struct node *n = parse_node(p, NODE_ITEM);
    if (!n)
        return NULL;
    n->a = on;
    n->b = parts.n == 1 ? parts.items[0] : finish_tuple(p, &parts);
    return n->b ? n : NULL;
}

static struct node *parse_dot(struct parser *p, struct node *on) {
    p->at++;
    if (!parse_at(p, LEX_NAME) && !parse_at(p, LEX_INT))
        return parse_fail(p, "expected name or number");
    bool name = parse_at(p, LEX_NAME);
    struct node *n = parse_node(p, name ? NODE_ATTR : NODE_ITEM);
    if (!n)
        return NULL;
    n->a = on;
    if (name)
        n->text = (p->at++)->text;
    else if (!(n->b = constant(p, tmpl_int((p->at++)->i))))
        return NULL;
    return n;
}

static struct node *parse_postfix(struct parser *p, struct node *n) {
    while (n) {
        if (parse_at(p, LEX_DOT))
            n = parse_dot(p, n);
        else if (parse_at(p, LEX_LBRACKET))
            n = parse_brackets(p, n);
        else if (parse_at(p, LEX_LPAREN))
            n = parse_call(p, n);
        else
            break;
    }
    return n;
}

static struct node *parse_filters_and_tests(struct parser *p, struct node *n) {
    while (n) {
        if (parse_at(p, LEX_PIPE))
            n = parse_filters(p, n, false);
        else if (parse_at_name(p, "is"))
            n = parse_test(p, n);
        else if (parse_at(p, LEX_LPAREN))
            n = parse_call(p, n);
        else
            break;
    }
    return n;
}

/* ---- operators ----------------------------------------------------------------------------------------------------- */

static struct node *parse_unary(struct parser *p, bool with_filters) {
    struct node *n;
    if (!parse_enter(p))
        return NULL;
    if (parse_at(p, LEX_SUB) || parse_at(p, LEX_ADD)) {
        n = parse_node(p, NODE_NEG);
        if (!n)
            return NULL;
        n->flag = (p->at++)->kind == LEX_ADD;
        n->a = parse_unary(p, false);
        if (!n->a)
            return NULL;
    } else {
        n = parse_primary(p);
    }
    if (n)
        n = parse_postfix(p, n);
    if (n && with_filters)
        n = parse_filters_and_tests(p, n);
    parse_leave(p);
    return n;
}

static struct node *parse_operand(struct parser *p) {
    return parse_unary(p, true);
}

/* Which operator of a level stands here: its code, or 0. Skips it. */
static uint8_t skip_power(struct parser *p) {
    return parse_skip(p, LEX_POW) ? 'p' : 0;
}

static uint8_t skip_product(struct parser *p) {
    return parse_skip(p, LEX_MUL)        ? '*'
           : parse_skip(p, LEX_DIV)      ? '/'
           : parse_skip(p, LEX_FLOORDIV) ? 'f'
           : parse_skip(p, LEX_MOD)      ? '%'
                                         : 0;
}

static uint8_t skip_tilde(struct parser *p) {
    return parse_skip(p, LEX_TILDE) ? '~' : 0;
}

static uint8_t skip_sum(struct parser *p) {
    return parse_skip(p, LEX_ADD) ? '+' : parse_skip(p, LEX_SUB) ? '-' : 0;
}

static uint8_t skip_and(struct parser *p) {
    return parse_skip_name(p, "and") ? '&' : 0;
}

static uint8_t skip_or(struct parser *p) {
    return parse_skip_name(p, "or") ? '|' : 0;
}

/* CMP_EQ is 0, so comparisons count from 1 here. */
static uint8_t skip_compare(struct parser *p) {
    static const uint8_t kinds[][2] = {{LEX_EQ, CMP_EQ}, {LEX_NE, CMP_NE}, {LEX_LT, CMP_LT},
                                       {LEX_LE, CMP_LE}, {LEX_GT, CMP_GT}, {LEX_GE, CMP_GE}};
    for (size_t i = 0; i < N_ITEMS(kinds); i++)
        if (parse_skip(p, kinds[i][0]))
            return kinds[i][1] + 1;
    if (parse_skip_name(p, "in"))
        return CMP_IN + 1;
    if (parse_at_name(p, "not") && p->at[1].kind == LEX_NAME && str_is(p->at[1].text, "in")) {
        p->at += 2;
        return CMP_NOT_IN + 1;
    }
    return 0;
}

/* operand (operator operand)*: the operand alone where there is no operator. */
static struct node *parse_chain(struct parser *p, enum node_kind kind, struct node *(*operand)(struct parser *p),
                                uint8_t (*skip)(struct parser *p)) {
    struct node *first = operand(p);
    uint8_t op = first ? skip(p) : 0;
    if (!op)
        return first;
    struct parse_list kids = {0};
    struct buf ops = {0};
    struct node *n = parse_node(p, kind);
    bool good = n && parse_add(p, &kids, first);
    for (; good && op; op = good ? skip(p) : 0) {
        buf_byte(&ops, (char)op);
        good = parse_add(p, &kids, operand(p));
    }
    struct str kept = good ? arena_str(&p->t->arena, buf_as_str(&ops)) : (struct str){0};
    buf_free(&ops);
    if (!kept.p)
        return good ? parse_fail(p, "the template is too large") : NULL;
    n->ops = (const uint8_t *)kept.p;
    return parse_kids(p, n, &kids);
}

static struct node *parse_power(struct parser *p) {
    return parse_chain(p, NODE_MATH, parse_operand, skip_power);
}

static struct node *parse_product(struct parser *p) {
    return parse_chain(p, NODE_MATH, parse_power, skip_product);
}

static struct node *parse_concat(struct parser *p) {
    return parse_chain(p, NODE_CONCAT, parse_product, skip_tilde);
}

static struct node *parse_sum(struct parser *p) {
    return parse_chain(p, NODE_MATH, parse_concat, skip_sum);
}

static struct node *parse_comparison(struct parser *p) {
    return parse_chain(p, NODE_COMPARE, parse_sum, skip_compare);
}

static struct node *parse_not(struct parser *p) {
    if (!parse_at_name(p, "not"))
        return parse_comparison(p);
    struct node *n = parse_node(p, NODE_NOT);
    if (!n || !parse_enter(p))
        return NULL;
    p->at++;
    n->a = parse_not(p);
    parse_leave(p);
    return n->a ? n : NULL;
}

static struct node *parse_and(struct parser *p) {
    return parse_chain(p, NODE_AND, parse_not, skip_and);
}

static struct node *parse_or(struct parser *p) {
    return parse_chain(p, NODE_OR, parse_and, skip_or);
}

static struct node *parse_condition(struct parser *p) {
    struct parse_unknown unknown = p->unknown;
    struct node *n = parse_or(p);
    while (n && parse_skip_name(p, "if")) {
        struct node *cond = parse_node(p, NODE_COND);
        if (!cond)
            return NULL;
        cond->a = n;
        cond->b = parse_or(p);
        if (!cond->b || (parse_skip_name(p, "else") && !(cond->c = parse_expression(p))))
            return NULL;
        p->unknown = unknown; /* what is unknown in here fails only when it is used */
        n = cond;
    }
    return n;
}

struct node *parse_expression(struct parser *p) {
    if (!parse_enter(p))
        return NULL;
    struct node *n = parse_condition(p);
    parse_leave(p);
    return n;
}

/* ---- targets ---------------------------------------------------------------------------------------------------------- */

/* A name (or ns.name) of a target that is being read. */
static struct node *target_name(struct parser *p, bool with_attr) {
    if (!parse_at(p, LEX_NAME))
        return parse_primary(p);
    if (with_attr && p->at[1].kind == LEX_DOT) {
        struct node *n = parse_name(p);
        p->at++;
        if (!n || n->kind != NODE_NAME || !parse_at(p, LEX_NAME))
            return n && n->kind == NODE_NAME ? parse_unexpected(p, LEX_NAME) : parse_fail(p, "can't assign to a constant");
        n->kind = NODE_TARGET_ATTR;
        n->text = (p->at++)->text;
        return n;
    }
    unsigned reads = p->reads;
    struct node *n = parse_name(p);
    p->reads = reads;
    if (n && n->kind == NODE_NAME && n->id == ID_LOOP && p->loops)
        return parse_fail(p, "Can't assign to special loop variable in for-loop target");
    return n;
}

static struct node *target_plain(struct parser *p) {
    return target_name(p, false);
}

static struct node *target_any(struct parser *p) {
    return target_name(p, true);
}

static bool assignable(struct parser *p, const struct node *n) {
    if (n->kind == NODE_NAME) {
        if (n->id < N_IDS)
            p->stores |= 1u << n->id;
        return true;
    }
    if (n->kind != NODE_TUPLE)
        return n->kind == NODE_TARGET_ATTR;
    for (uint32_t i = 0; i < n->n; i++)
        if (!assignable(p, n->kids[i]))
            return false;
    return true;
}

struct node *parse_target(struct parser *p, const char *end_name, bool with_attr) {
    struct node *n = parse_series(p, with_attr ? target_any : target_plain, end_name, false);
    if (n && !assignable(p, n))
        return parse_fail(p, "can't assign to this");
    return n;
}
