/* tmpl_parse: statements of a template, and what all of the parser uses. */
#include "tmpl_parse.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- tokens ---------------------------------------------------------------------------------------------------- */

bool parse_at(const struct parser *p, enum lex_kind kind) {
    return p->at->kind == kind;
}

bool parse_at_name(const struct parser *p, const char *name) {
    return p->at->kind == LEX_NAME && str_is(p->at->text, name);
}

bool parse_skip(struct parser *p, enum lex_kind kind) {
    if (p->at->kind != kind || kind == LEX_EOF)
        return false;
    p->at++;
    return true;
}

bool parse_skip_name(struct parser *p, const char *name) {
    if (!parse_at_name(p, name))
        return false;
    p->at++;
    return true;
}

struct node *parse_fail(struct parser *p, const char *fmt, ...) {
    char text[300];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    err_set(p->e, ERR_INPUT, "syntax", "line %u: %s", p->at->line, text);
    return NULL;
}

struct node *parse_unexpected(struct parser *p, enum lex_kind expected) {
    if (parse_at(p, LEX_EOF))
        return parse_fail(p, "unexpected end of template, expected '%s'.", tmpl_lex_name(expected));
    struct str got = parse_at(p, LEX_NAME) ? p->at->text : str_of(tmpl_lex_name(p->at->kind));
    return parse_fail(p, "expected token '%s', got '%.*s'", tmpl_lex_name(expected), (int)got.n, got.p);
}

bool parse_expect(struct parser *p, enum lex_kind kind) {
    if (parse_skip(p, kind))
        return true;
    parse_unexpected(p, kind);
    return false;
}

bool parse_enter(struct parser *p) {
    if (p->depth == TREE_DEPTH_MAX) {
        err_set(p->e, ERR_LIMIT, "limit", "line %u: nested more than %d deep", p->at->line, TREE_DEPTH_MAX);
        return false;
    }
    p->depth++;
    return true;
}

void parse_leave(struct parser *p) {
    p->depth--;
}

/* ---- nodes -------------------------------------------------------------------------------------------------------- */

struct node *parse_node(struct parser *p, enum node_kind kind) {
    struct node *n = arena_alloc(&p->t->arena, sizeof *n);
    if (!n)
        return parse_fail(p, "the template is too large");
    n->kind = (uint8_t)kind;
    n->line = p->at->line;
    return n;
}

/* Doubles in the arena: what is left behind is at most as much as stays. */
bool parse_add(struct parser *p, struct parse_list *l, struct node *n) {
    if (!n)
        return false;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 4;
        struct node **items = arena_array(&p->t->arena, cap, sizeof *items);
        if (!items) {
            parse_fail(p, "the template is too large");
            return false;
        }
        if (l->n)
            memcpy(items, l->items, l->n * sizeof *items);
        l->items = items;
        l->cap = cap;
    }
    l->items[l->n++] = n;
    return true;
}

struct node *parse_kids(struct parser *p, struct node *n, struct parse_list *l) {
    (void)p;
    n->kids = l->items;
    n->n = (uint32_t)l->n;
    return n;
}

/* ---- names --------------------------------------------------------------------------------------------------------- */

uint64_t tmpl_hash(struct str s) {
    uint64_t h = 0xcbf29ce484222325;
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (uint8_t)s.p[i]) * 0x100000001b3;
    return h ^ h >> 32;
}

uint32_t tmpl_name_find(const struct tmpl *t, struct str name) {
    if (!t->name_index_size)
        return UINT32_MAX;
    size_t mask = t->name_index_size - 1;
    for (size_t i = tmpl_hash(name) & mask; t->name_index[i]; i = (i + 1) & mask)
        if (str_eq(t->names[t->name_index[i] - 1], name))
            return t->name_index[i] - 1;
    return UINT32_MAX;
}

static bool grow_names(struct tmpl *t) {
    size_t cap = t->cap_names ? 2 * t->cap_names : 32, size = 4 * cap;
    struct str *names = arena_array(&t->arena, cap, sizeof *names);
    const struct callable **globals = arena_array(&t->arena, cap, sizeof *globals);
    uint32_t *index = arena_array(&t->arena, size, sizeof *index);
    if (!names || !globals || !index)
        return false;
    for (size_t i = 0; i < t->n_names; i++) {
        names[i] = t->names[i];
        globals[i] = t->globals[i];
        size_t at = tmpl_hash(names[i]) & (size - 1);
        while (index[at])
            at = (at + 1) & (size - 1);
        index[at] = (uint32_t)i + 1;
    }
    t->names = names;
    t->globals = globals;
    t->cap_names = cap;
    t->name_index = index;
    t->name_index_size = size;
    return true;
}

/* An id that no name has when memory runs out: the error is set then. */
uint32_t parse_intern(struct parser *p, struct str name) {
    struct tmpl *t = p->t;
    uint32_t id = tmpl_name_find(t, name);
    if (id != UINT32_MAX)
        return id;
    if (t->n_names == t->cap_names && !grow_names(t)) {
        parse_fail(p, "the template is too large");
        return 0;
    }
    t->names[t->n_names] = name;
    t->globals[t->n_names] = tmpl_global_find(name);
    size_t mask = t->name_index_size - 1, at = tmpl_hash(name) & mask;
    while (t->name_index[at])
        at = (at + 1) & mask;
    t->name_index[at] = (uint32_t)++t->n_names;
    return (uint32_t)t->n_names - 1;
}

/* ---- bodies ---------------------------------------------------------------------------------------------------------- */

static struct node *parse_statement(struct parser *p);

/* Does one of `ends` ("endfor|else") stand here? */
static bool at_end_tag(const struct parser *p, const char *ends) {
    if (!ends || !parse_at(p, LEX_NAME))
        return false;
    size_t n = p->at->text.n;
    for (const char *w = ends; w; w = strchr(w, '|') ? strchr(w, '|') + 1 : NULL)
        if (strncmp(w, p->at->text.p, n) == 0 && (w[n] == '|' || w[n] == 0))
            return true;
    return false;
}

/* Text and prints up to the next block tag, as one OUTPUT; NULL without an error: there is none. */
static struct node *parse_output(struct parser *p) {
    struct node *n = parse_node(p, NODE_OUTPUT);
    struct parse_list kids = {0};
    while (n && (parse_at(p, LEX_DATA) || parse_at(p, LEX_PRINT_BEGIN))) {
        struct node *kid;
        if (parse_at(p, LEX_DATA)) {
            kid = parse_node(p, NODE_CONST);
            if (kid) {
                kid->flag = true;
                kid->value = tmpl_str_of(p->at->text, TEMPLATE);
            }
            p->at++;
        } else {
            p->at++;
            kid = parse_tuple(p, true, NULL);
            if (kid && !parse_expect(p, LEX_PRINT_END))
                return NULL;
        }
        if (!parse_add(p, &kids, kid))
            return NULL;
    }
    return n ? parse_kids(p, n, &kids) : NULL;
}

/* Statements up to a tag of `ends`, which becomes the current token; up to the end of the template where ends is NULL. */
static struct node *parse_body(struct parser *p, const char *ends) {
    struct node *body = parse_node(p, NODE_BODY);
    struct parse_list kids = {0};
    if (!body || !parse_enter(p))
        return NULL;
    while (!parse_at(p, LEX_EOF)) {
        struct node *n;
        if (parse_at(p, LEX_BLOCK_BEGIN)) {
            p->at++;
            if (at_end_tag(p, ends))
                break;
            n = parse_statement(p);
            if (n && !parse_expect(p, LEX_BLOCK_END))
                return NULL;
        } else {
            n = parse_output(p);
        }
        if (!parse_add(p, &kids, n))
            return NULL;
    }
    if (ends && parse_at(p, LEX_EOF))
        return parse_fail(p, "Unexpected end of template. Jinja was looking for the following tags: %s.", ends);
    parse_leave(p);
    return parse_kids(p, body, &kids);
}

/* The body of a tag: behind its `%}`, after the colon that Python's habit may put there. */
static struct node *parse_block_body(struct parser *p, const char *ends) {
    parse_skip(p, LEX_COLON);
    return parse_expect(p, LEX_BLOCK_END) ? parse_body(p, ends) : NULL;
}

/* What is parsed between these two stands in a scope of its own, so no `if` around excuses what is unknown in it. */
static struct parse_unknown begin_scope(struct parser *p) {
    struct parse_unknown around = p->unknown;
    p->unknown = (struct parse_unknown){0};
    return around;
}

static void end_scope(struct parser *p, struct parse_unknown around) {
    if (!p->fatal.name.p)
        p->fatal = p->unknown;
    p->unknown = around;
}

/* The body of any tag but `if`. */
static struct node *parse_scope_body(struct parser *p, const char *ends) {
    struct parse_unknown around = begin_scope(p);
    struct node *body = parse_block_body(p, ends);
    end_scope(p, around);
    return body;
}

/* Adds a body up to `end`, and skips that tag. */
static struct node *with_body(struct parser *p, struct node *n, const char *end) {
    struct parse_list kids = {0};
    if (!n || !parse_add(p, &kids, parse_scope_body(p, end)))
        return NULL;
    p->at++;
    return parse_kids(p, n, &kids);
}

/* with_body where a break cannot leave. */
static struct node *with_function_body(struct parser *p, struct node *n, const char *end) {
    bool breakable = p->breakable;
    p->breakable = false;
    n = with_body(p, n, end);
    p->breakable = breakable;
    return n;
}

/* ---- statements --------------------------------------------------------------------------------------------------------- */

static struct node *parse_if(struct parser *p) {
    struct parse_unknown unknown = p->unknown;
    struct node *first = parse_node(p, NODE_IF), *n = first;
    while (n) {
        p->at++; /* if, elif */
        n->a = parse_tuple(p, false, NULL);
        n->b = n->a ? parse_block_body(p, "elif|else|endif") : NULL;
        if (!n->b)
            return NULL;
        if (!parse_at_name(p, "elif"))
            break;
        n->c = parse_node(p, NODE_IF);
        n = n->c;
    }
    if (!n)
        return NULL;
    if (parse_skip_name(p, "else") && !(n->c = parse_block_body(p, "endif")))
        return NULL;
    p->at++;
    p->unknown = unknown;
    return first;
}

static struct node *parse_for(struct parser *p) {
    struct node *n = parse_node(p, NODE_FOR);
    struct parse_list kids = {0};
    bool breakable = p->breakable;
    p->at++;
    p->loops++;
    if (!n || !(n->a = parse_target(p, NULL, false)))
        return NULL;
    if (!parse_skip_name(p, "in"))
        return parse_fail(p, "expected token 'in'");
    p->loops--;
    if (!(n->b = parse_tuple(p, false, NULL)))
        return NULL;
    struct parse_unknown around = begin_scope(p);
    if (parse_skip_name(p, "if") && !(n->c = parse_expression(p)))
        return NULL;
    end_scope(p, around);
    n->flag = parse_skip_name(p, "recursive");
    p->loops++;
    p->breakable = true;
    if (!parse_add(p, &kids, parse_scope_body(p, "endfor|else")))
        return NULL;
    p->breakable = breakable;
    if (parse_skip_name(p, "else") && !parse_add(p, &kids, parse_scope_body(p, "endfor")))
        return NULL;
    p->loops--;
    p->at++;
    return parse_kids(p, n, &kids);
}

static struct node *parse_set(struct parser *p) {
    p->at++;
    struct node *n = parse_node(p, NODE_SET);
    if (!n || !(n->a = parse_target(p, NULL, true)))
        return NULL;
    if (parse_skip(p, LEX_ASSIGN)) {
        n->b = parse_tuple(p, true, NULL);
        return n->b ? n : NULL;
    }
    struct parse_unknown around = begin_scope(p);
    n->kind = NODE_SET_BLOCK;
    n->b = parse_filters(p, NULL, false);
    end_scope(p, around);
    return p->e->code ? NULL : with_body(p, n, "endset");
}

/* The name of a macro or parameter: true, false and none are constants, in either spelling. */
static bool parse_new_name(struct parser *p, struct str *name) {
    static const char *const constants[] = {"true", "True", "false", "False", "none", "None"};
    *name = p->at->text;
    if (!parse_expect(p, LEX_NAME))
        return false;
    for (size_t i = 0; i < N_ITEMS(constants); i++)
        if (str_is(*name, constants[i])) {
            parse_fail(p, "can't assign to 'name'");
            return false;
        }
    return true;
}

/* (a, b=1) of a macro or call block. */
static bool parse_signature(struct parser *p, struct node_macro *m) {
    struct parse_list names = {0}, initial = {0};
    struct parse_unknown around = begin_scope(p);
    size_t n_plain = 0;
    if (!parse_expect(p, LEX_LPAREN))
        return false;
    while (!parse_at(p, LEX_RPAREN)) {
        if (names.n && !parse_expect(p, LEX_COMMA))
            return false;
        struct node *name = parse_node(p, NODE_NAME);
        if (!name || !parse_new_name(p, &name->text))
            return false;
        name->id = parse_intern(p, name->text);
        for (size_t i = 0; i < names.n; i++)
            if (names.items[i]->id == name->id) {
                parse_fail(p, "a parameter stands twice");
                return false;
            }
        if (!parse_add(p, &names, name))
            return false;
        if (parse_skip(p, LEX_ASSIGN)) {
            if (!parse_add(p, &initial, parse_expression(p)))
                return false;
        } else if (initial.n) {
            parse_fail(p, "non-default argument follows default argument");
            return false;
        } else {
            n_plain++;
        }
    }
    p->at++;
    end_scope(p, around);
    m->n_params = names.n;
    m->params = arena_array(&p->t->arena, names.n, sizeof *m->params);
    for (size_t i = 0; m->params && i < names.n; i++)
        m->params[i] =
            (struct node_param){names.items[i]->text, names.items[i]->id, i < n_plain ? NULL : initial.items[i - n_plain]};
    return m->params || parse_fail(p, "the template is too large");
}

static const struct node_param *find_param(const struct node_macro *m, uint32_t id) {
    for (size_t i = 0; i < m->n_params; i++)
        if (m->params[i].id == id)
            return &m->params[i];
    return NULL;
}

/* Parses the body of a macro or caller, and notes which special names it reads. */
static struct node *parse_macro_body(struct parser *p, struct node *n, struct node_macro *m, const char *end) {
    unsigned reads = p->reads, stores = p->stores;
    p->reads = p->stores = 0;
    n->macro = m;
    if (!with_function_body(p, n, end))
        return NULL;
    m->body = n->kids[0];
    const struct node_param *caller = find_param(m, ID_CALLER);
    if (p->reads & 1u << ID_CALLER && caller && !caller->initial)
        return parse_fail(p, "the special \"caller\" argument must be omitted or be given a default");
    m->uses_caller = p->reads & 1u << ID_CALLER;
    m->uses_varargs = p->reads & 1u << ID_VARARGS && !find_param(m, ID_VARARGS);
    m->uses_kwargs = p->reads & 1u << ID_KWARGS && !find_param(m, ID_KWARGS);
    p->reads = reads | (p->reads & ~stores);
    p->stores = stores;
    return n;
}

static struct node *parse_macro(struct parser *p) {
    struct node *n = parse_node(p, NODE_MACRO);
    struct node_macro *m = arena_alloc(&p->t->arena, sizeof *m);
    p->at++;
    if (!n || !m)
        return NULL;
    if (!parse_new_name(p, &m->name))
        return NULL;
    n->id = parse_intern(p, m->name);
    return parse_signature(p, m) ? parse_macro_body(p, n, m, "endmacro") : NULL;
}

static struct node *parse_call_block(struct parser *p) {
    struct node *n = parse_node(p, NODE_CALL_BLOCK);
    struct node_macro *m = arena_alloc(&p->t->arena, sizeof *m);
    p->at++;
    if (!n || !m)
        return NULL;
    if (parse_at(p, LEX_LPAREN) && !parse_signature(p, m))
        return NULL;
    if (!(n->a = parse_expression(p)))
        return NULL;
    if (n->a->kind != NODE_CALL)
        return parse_fail(p, "expected call");
    return parse_macro_body(p, n, m, "endcall");
}

static struct node *parse_filter_block(struct parser *p) {
    struct node *n = parse_node(p, NODE_FILTER_BLOCK);
    struct parse_unknown around = begin_scope(p);
    p->at++;
    if (!n || !(n->b = parse_filters(p, NULL, true)))
        return NULL;
    end_scope(p, around);
    return with_body(p, n, "endfilter");
}

static struct node *parse_with(struct parser *p) {
    struct node *n = parse_node(p, NODE_WITH), *body;
    struct parse_list kids = {0}, all = {0};
    p->at++;
    while (n && !parse_at(p, LEX_BLOCK_END)) {
        if (kids.n && !parse_expect(p, LEX_COMMA))
            return NULL;
        if (!parse_add(p, &kids, parse_target(p, NULL, false)) || !parse_expect(p, LEX_ASSIGN) ||
            !parse_add(p, &kids, parse_expression(p)))
            return NULL;
    }
    if (!n || !(body = parse_scope_body(p, "endwith")) || !parse_add(p, &all, body))
        return NULL;
    p->at++;
    for (size_t i = 0; i < kids.n; i++)
        if (!parse_add(p, &all, kids.items[i]))
            return NULL;
    return parse_kids(p, n, &all);
}

static struct node *parse_autoescape(struct parser *p) {
    struct node *n = parse_node(p, NODE_AUTOESCAPE);
    p->at++;
    if (!n || !(n->a = parse_expression(p)))
        return NULL;
    return with_body(p, n, "endautoescape");
}

static bool only_space(const struct node *body) {
    for (uint32_t i = 0; i < body->n; i++) {
        const struct node *out = body->kids[i];
        for (uint32_t k = 0; k < out->n || out->kind != NODE_OUTPUT; k++) {
            if (out->kind != NODE_OUTPUT || !out->kids[k]->flag ||
                tmpl_space_length(tmpl_str_bytes(out->kids[k]->value)) != out->kids[k]->value.n)
                return false;
        }
    }
    return true;
}

static bool add_block(struct parser *p, struct node *n) {
    struct tmpl *t = p->t;
    for (size_t i = 0; i < t->n_blocks; i++)
        if (str_eq(t->blocks[i]->text, n->text)) {
            parse_fail(p, "block '%.*s' defined twice", (int)n->text.n, n->text.p);
            return false;
        }
    struct node **blocks = arena_array(&t->arena, t->n_blocks + 1, sizeof *blocks);
    if (!blocks) {
        parse_fail(p, "the template is too large");
        return false;
    }
    if (t->n_blocks)
        memcpy(blocks, t->blocks, t->n_blocks * sizeof *blocks);
    blocks[t->n_blocks++] = n;
    t->blocks = blocks;
    return true;
}

static struct node *parse_block(struct parser *p) {
    struct node *n = parse_node(p, NODE_BLOCK);
    unsigned reads = p->reads, stores = p->stores, loops = p->loops;
    p->at++;
    if (!n)
        return NULL;
    n->text = p->at->text;
    if (!parse_expect(p, LEX_NAME) || !add_block(p, n))
        return NULL;
    n->flag = parse_skip_name(p, "scoped");
    bool required = parse_skip_name(p, "required");
    if (parse_at(p, LEX_SUB))
        return parse_fail(p, "block names may not contain hyphens, use an underscore instead");
    if (!with_function_body(p, n, "endblock"))
        return NULL;
    if (required && !only_space(n->kids[0]))
        return parse_fail(p, "Required blocks can only contain comments or whitespace");
    if (parse_at(p, LEX_NAME) && str_eq(p->at->text, n->text))
        p->at++;
    p->reads = reads;
    p->stores = stores;
    p->loops = loops;
    if (required)
        n->kind = NODE_NO_LOADER; /* only a child template could fill it */
    return n;
}

static struct node *parse_print(struct parser *p) {
    struct node *n = parse_node(p, NODE_OUTPUT);
    struct parse_list kids = {0};
    p->at++;
    while (n && !parse_at(p, LEX_BLOCK_END)) {
        if (kids.n && !parse_expect(p, LEX_COMMA))
            return NULL;
        if (!parse_add(p, &kids, parse_expression(p)))
            return NULL;
    }
    return n ? parse_kids(p, n, &kids) : NULL;
}

static struct node *parse_generation(struct parser *p) {
    p->at++;
    return with_function_body(p, parse_node(p, NODE_SCOPE), "endgeneration");
}

/* include, import, from, extends: there is nothing to load from, so only what they need to be skipped is read. */
static struct node *parse_no_loader(struct parser *p) {
    struct node *n = parse_node(p, NODE_NO_LOADER);
    p->at++;
    if (!n || !parse_expression(p))
        return NULL;
    while (!parse_at(p, LEX_BLOCK_END) && !parse_at(p, LEX_EOF)) {
        if (!parse_at(p, LEX_NAME) && !parse_at(p, LEX_COMMA))
            return parse_unexpected(p, LEX_BLOCK_END);
        p->at++;
    }
    return n;
}

static struct node *parse_jump(struct parser *p) {
    bool is_break = parse_at_name(p, "break");
    if (!p->breakable)
        return parse_fail(p, "'%s' outside loop", is_break ? "break" : "continue");
    struct node *n = parse_node(p, is_break ? NODE_BREAK : NODE_CONTINUE);
    p->at++;
    return n;
}

static const struct tag {
    const char *name;
    struct node *(*parse)(struct parser *p);
} tags[] = {
    {"if", parse_if},
    {"for", parse_for},
    {"set", parse_set},
    {"macro", parse_macro},
    {"call", parse_call_block},
    {"filter", parse_filter_block},
    {"with", parse_with},
    {"autoescape", parse_autoescape},
    {"block", parse_block},
    {"print", parse_print},
    {"generation", parse_generation},
    {"break", parse_jump},
    {"continue", parse_jump},
    {"include", parse_no_loader},
    {"import", parse_no_loader},
    {"from", parse_no_loader},
    {"extends", parse_no_loader},
};

static struct node *parse_statement(struct parser *p) {
    if (!parse_at(p, LEX_NAME))
        return parse_fail(p, "tag name expected");
    for (size_t i = 0; i < N_ITEMS(tags); i++)
        if (parse_at_name(p, tags[i].name))
            return tags[i].parse(p);
    return parse_fail(p, "Encountered unknown tag '%.*s'.", (int)p->at->text.n, p->at->text.p);
}

int tmpl_parse(struct tmpl *t, const struct lex_token *tokens, struct err *e) {
    static const char *const special[N_IDS] = {"loop", "caller", "varargs", "kwargs", "self"};
    struct parser p = {.t = t, .at = tokens, .e = e};
    for (size_t i = 0; i < N_IDS; i++)
        parse_intern(&p, str_of(special[i]));
    t->body = e->code ? NULL : parse_body(&p, NULL);
    const struct parse_unknown *u = p.fatal.name.p ? &p.fatal : &p.unknown;
    if (t->body && u->name.p)
        return err_set(e, ERR_INPUT, "syntax", "line %u: No %s named '%.*s'.", u->line, u->what, (int)u->name.n, u->name.p);
    return t->body ? 0 : e->code;
}
