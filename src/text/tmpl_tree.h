/* tmpl_tree: tokens and the tree that a template is compiled to, private to src/text/tmpl*.c. Immutable once compiled. */
#pragma once

#include "tmpl_val.h"

enum { TREE_DEPTH_MAX = 200 }; /* nesting of expressions and blocks in a template */

enum lex_kind {
    LEX_EOF,
    LEX_DATA,
    LEX_PRINT_BEGIN,
    LEX_PRINT_END,
    LEX_BLOCK_BEGIN,
    LEX_BLOCK_END,
    LEX_NAME,
    LEX_STRING,
    LEX_INT,
    LEX_FLOAT,
    /* operators */
    LEX_ADD,
    LEX_SUB,
    LEX_MUL,
    LEX_DIV,
    LEX_FLOORDIV,
    LEX_MOD,
    LEX_POW,
    LEX_TILDE,
    LEX_EQ,
    LEX_NE,
    LEX_LT,
    LEX_LE,
    LEX_GT,
    LEX_GE,
    LEX_ASSIGN,
    LEX_DOT,
    LEX_COLON,
    LEX_PIPE,
    LEX_COMMA,
    LEX_SEMICOLON,
    LEX_LPAREN,
    LEX_RPAREN,
    LEX_LBRACKET,
    LEX_RBRACKET,
    LEX_LBRACE,
    LEX_RBRACE,
};
struct lex_token {
    enum lex_kind kind;
    uint32_t line;
    struct str text; /* DATA, NAME, and STRING (unescaped) */
    union {
        int64_t i;
        double f;
    };
};
struct lex_tokens {
    struct lex_token *items; /* ends with LEX_EOF; the texts lie in the arena */
    size_t n;
};
/* Splits a template into tokens, with trim_blocks and lstrip_blocks. The array is the caller's to free. */
int tmpl_lex(struct arena *arena, struct str source, struct lex_tokens *out, struct err *e) MUST_USE;
const char *tmpl_lex_name(enum lex_kind kind); /* for messages: "end of print statement" */

/* What each kind of node means. `kids` may hold any number; a NULL child is "left out". */
enum node_kind {
    /* expressions       fields */
    NODE_CONST,   /* value */
    NODE_NAME,    /* id */
    NODE_ATTR,    /* a.text */
    NODE_ITEM,    /* a[b] */
    NODE_SLICE,   /* a[kids 0:1:2] */
    NODE_CALL,    /* a(args) */
    NODE_FILTER,  /* a | text(args); func or NULL when unknown; a NULL stands for the body of a block */
    NODE_TEST,    /* a is text(args); func or NULL */
    NODE_LIST,    /* kids */
    NODE_TUPLE,   /* kids */
    NODE_DICT,    /* kids: key, value, key, value ... */
    NODE_COND,    /* a if b else c */
    NODE_OR,      /* kids */
    NODE_AND,     /* kids */
    NODE_NOT,     /* a */
    NODE_NEG,     /* -a; +a with flag */
    NODE_COMPARE, /* kids[0] op[0] kids[1] op[1] kids[2] ...: ops hold enum compare + 1 */
    NODE_MATH,    /* the same, from the left: ops hold tmpl_arith's letters */
    NODE_CONCAT,  /* kids */
    /* statements */
    NODE_OUTPUT,       /* kids; template text is a NODE_CONST with flag: never escaped */
    NODE_BODY,         /* kids; hidden */
    NODE_IF,           /* a: condition, b: body, c: else (an IF or a BODY) or NULL */
    NODE_FOR,          /* a: target, b: iterable, c: filter or NULL, kids: body, else; flag: recursive */
    NODE_SET,          /* a: target, b: value */
    NODE_SET_BLOCK,    /* a: target, b: filter or NULL, kids: body */
    NODE_MACRO,        /* id, macro, kids: body */
    NODE_CALL_BLOCK,   /* a: call, macro (the caller), kids: body */
    NODE_FILTER_BLOCK, /* b: filter, kids: body */
    NODE_WITH,         /* kids: body, target, value, target, value ... */
    NODE_AUTOESCAPE,   /* a: value, kids: body */
    NODE_BLOCK,        /* id, text, kids: body; flag: scoped */
    NODE_SCOPE,        /* kids: body ({% generation %}) */
    NODE_NO_LOADER,    /* include, import, extends */
    NODE_BREAK,
    NODE_CONTINUE,
    NODE_TARGET_ATTR, /* {% set id.text = ... %} */
};
struct node {
    uint8_t kind;
    bool flag;
    uint32_t line, id; /* id: an interned name */
    uint32_t n;        /* kids */
    uint32_t n_hidden;
    struct node *a, *b, *c;
    const uint32_t *hidden; /* names that are undefined where the body begins (tmpl_hide.c) */
    struct node **kids;
    const uint8_t *ops;
    struct str text;
    struct val value;
    const struct callable *func;
    const struct node_args *args;
    const struct node_macro *macro;
};
struct node_kwarg {
    struct str name;
    struct node *value;
};
struct node_args {
    struct node **pos;
    struct node_kwarg *kw;
    size_t n, n_kw;
    struct node *star, *star_star; /* *list, **dict */
};
struct node_macro {
    struct str name;
    struct node_param {
        struct str name;
        uint32_t id;
        struct node *initial; /* NULL: undefined */
    } * params;
    size_t n_params;
    bool uses_caller, uses_varargs, uses_kwargs; /* the body reads these names */
    struct node *body;
};

/* Ids of names with a meaning; they are interned first, in this order. */
enum { ID_LOOP, ID_CALLER, ID_VARARGS, ID_KWARGS, ID_SELF, N_IDS };

struct tmpl {
    struct arena arena;
    struct node *body;
    struct str *names;               /* by id */
    const struct callable **globals; /* by id: the function that the language has under this name, or NULL */
    size_t n_names, cap_names;
    uint32_t *name_index; /* id + 1 by hash, 0 free */
    size_t name_index_size;
    struct node **blocks;
    size_t n_blocks;
};
uint64_t tmpl_hash(struct str s);
uint32_t tmpl_name_find(const struct tmpl *t, struct str name); /* the id, or UINT32_MAX */

/* Parses tokens into t->body, interning names in t. */
int tmpl_parse(struct tmpl *t, const struct lex_token *tokens, struct err *e) MUST_USE;
/* Fills `hidden` of all bodies. */
int tmpl_hide(struct tmpl *t, struct err *e) MUST_USE;
