/* tmpl_parse: what the two halves of the parser share: expressions (tmpl_expr.c) and statements (tmpl_parse.c). */
#pragma once

#include "tmpl_tree.h"

/* A function that returns a node returns NULL after it filled p->e. */
struct parser {
    struct tmpl *t;
    const struct lex_token *at;
    struct err *e;
    unsigned depth;
    unsigned loops; /* `for` around here: may a break stand here, is `loop` a reserved name */
    bool breakable;
    /* caller, varargs, kwargs: which the macro at hand reads, which it has set itself; bits by id */
    unsigned reads, stores;
    /* An unknown filter or test is an error at once, but in an `if` or a conditional expression only when it is used. So
     * these take back what `unknown` gained within; what they cannot take back is in `fatal`. */
    struct parse_unknown {
        struct str name; /* p NULL: none */
        const char *what;
        uint32_t line;
    } unknown, fatal;
};

bool parse_at(const struct parser *p, enum lex_kind kind);
bool parse_at_name(const struct parser *p, const char *name);
bool parse_skip(struct parser *p, enum lex_kind kind); /* skips it if it is next */
bool parse_skip_name(struct parser *p, const char *name);
bool parse_expect(struct parser *p, enum lex_kind kind);                           /* false: failed */
struct node *parse_fail(struct parser *p, const char *fmt, ...) PRINTF_LIKE(2, 3); /* NULL */
struct node *parse_unexpected(struct parser *p, enum lex_kind expected);           /* NULL */
bool parse_enter(struct parser *p);                                                /* false: nested too deep */
void parse_leave(struct parser *p);

struct node *parse_node(struct parser *p, enum node_kind kind);
/* Children and other lists while they grow; fixed into the arena by parse_kids. */
struct parse_list {
    struct node **items;
    size_t n, cap;
};
bool parse_add(struct parser *p, struct parse_list *l, struct node *n); /* false when n is NULL or memory runs out */
struct node *parse_kids(struct parser *p, struct node *n, struct parse_list *l);
uint32_t parse_intern(struct parser *p, struct str name);

struct node *parse_expression(struct parser *p);
/* One expression, or a tuple where a comma follows. end_name (or NULL) ends a tuple like a closing tag does. */
struct node *parse_tuple(struct parser *p, bool with_cond, const char *end_name);
struct node *parse_filters(struct parser *p, struct node *on, bool inline_start);
/* What can stand left of `=` or `in`: names, tuples of them, and with_attr also ns.name. */
struct node *parse_target(struct parser *p, const char *end_name, bool with_attr);
