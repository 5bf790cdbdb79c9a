/* tmpl_val: the values that templates compute with, private to src/text/tmpl*.c.
 *
 * A value is 24 bytes and is passed by copy. Everything it points to lies in the render's arena, in the compiled template or in
 * the JSON of the context, lives until the render ends and never changes (namespaces, loops, cyclers and joiners do).
 *
 * Strings carry the origin of their bytes: TEMPLATE or REQUEST for all of them, or MIXED, and then `text` knows the runs. Code
 * that builds strings does so with a struct text, by adding pieces of strings (tmpl_text_sub) and bytes of known origin, so that
 * no origin is ever lost. Containers and numbers have an origin too: that of the punctuation and digits they print as. */
#pragma once

#include "text.h"

struct render;

enum val_type {
    VAL_MISSING, /* no value: an argument that was not given */
    VAL_UNDEFINED,
    VAL_NONE,
    VAL_BOOL,
    VAL_INT,
    VAL_FLOAT,
    VAL_BIG, /* an integer of the request beyond 64 bits: its digits; prints, and does nothing else */
    VAL_STR,
    VAL_BYTES, /* as STR, of any bytes */
    VAL_LIST,
    VAL_TUPLE,
    VAL_DICT,
    VAL_VIEW, /* keys(), values(), items() of a dict */
    VAL_RANGE,
    VAL_ITER,   /* a generator: what filters like map return; used up by the first loop over it */
    VAL_SPACE,  /* namespace() */
    VAL_FUNC,   /* a function of the language: range, dict, ... */
    VAL_METHOD, /* a function with its object: 'x'.upper */
    VAL_MACRO,  /* a macro, or the caller of a call block */
    VAL_LOOP,
    VAL_CYCLER,
    VAL_JOINER,
    VAL_SELF, /* `self`, which holds the blocks */
    VAL_BLOCK,
};
enum { TEMPLATE, REQUEST, MIXED }; /* origin of bytes; MIXED only for strings */

enum {
    FLAG_MARKUP = 1,  /* STR: safe HTML, as filter `e` returns it */
    FLAG_UNSAFE = 2,  /* UNDEFINED: the sandbox refuses this attribute */
    FLAG_HINT = 4,    /* UNDEFINED: p is the whole message, not a name */
    FLAG_HIDDEN = 16, /* UNDEFINED: a name of a scope that is not set yet; blocks look past it */
    FLAG_GROUP = 8,   /* TUPLE: (grouper, list) of filter groupby */
    VIEW_KEYS = 1,
    VIEW_VALUES = 2,
    VIEW_ITEMS = 3, /* VIEW */
};

struct val {
    uint8_t type, origin, flags;
    uint32_t n; /* STR, BIG, UNDEFINED: bytes at p */
    union {
        bool b;
        int64_t i;
        double f;
        const char *p; /* STR: UTF-8; UNDEFINED: the name */
        struct list *list;
        struct dict *dict;
        struct range *range;
        struct gen *gen;
        const struct callable *func;
        struct bound *bound;
        struct macro *macro;
        struct loop *loop;
        struct cycler *cycler;
        struct joiner *joiner;
        const struct node *node; /* BLOCK */
    };
    union {
        struct text *text; /* STR: who knows the runs of a MIXED one, and where there may be room to append */
        const char *owner; /* UNDEFINED: the type whose attribute is missing, or NULL */
    };
};

struct list {
    struct val *items;
    size_t n;
    size_t *filled; /* items that are taken in the array behind `items`, of `cap`: lists share it when one extends the other */
    size_t cap;
};
struct entry {
    struct val key, value;
    uint64_t hash;
};
struct dict {
    struct entry *entries; /* in the order of insertion */
    size_t n, cap;
    uint32_t *index; /* entry + 1 by hash, 0 free; NULL while the dict is small */
    size_t index_size;
};
struct range {
    int64_t start, stop, step, n;
};
/* Item i. Items are between start and stop; unsigned, since i * step may leave 64 bits on the way. */
static inline int64_t tmpl_range_item(const struct range *g, int64_t i) {
    return (int64_t)((uint64_t)g->start + (uint64_t)i * (uint64_t)g->step);
}
struct cycler {
    struct list *items;
    size_t at;
};
struct joiner {
    struct val separator;
    bool used;
};

/* ---- functions of the language ------------------------------------------------------------------------------- */

struct kwarg {
    struct str name;
    struct val value;
};
struct args {
    struct val *pos;
    size_t n;
    struct kwarg *kw;
    size_t n_kw;
};
enum { ARGS_MAX = 8, VARIADIC = 255 };

/* One call of a filter, test, method or function. */
struct call {
    struct render *r;
    struct val self;          /* what a filter or test is applied to, the object of a method */
    struct val arg[ARGS_MAX]; /* arguments by parameter; VAL_MISSING where not given */
    const struct args *all;   /* VARIADIC functions read this instead */
    struct val *out;
};
/* A row of the tables of filters, tests, methods and functions. */
struct callable {
    const char *name;
    uint8_t min, max;   /* arguments (besides self); max VARIADIC: fn reads c->all */
    const char *params; /* names, separated by a space, for keyword arguments; NULL: positional only */
    int (*fn)(struct call *c);
};
struct bound {
    const struct callable *func;
    struct val self;
};
/* Binds args to f's parameters and calls it. */
int tmpl_apply(struct render *r, const struct callable *f, struct val self, const struct args *args, struct val *out) MUST_USE;
/* Calls any value: function, method, macro, loop, ... */
int tmpl_call(struct render *r, struct val callee, const struct args *args, struct val *out) MUST_USE;

const struct callable *tmpl_filter_find(struct str name); /* NULL: no such filter */
const struct callable *tmpl_test_find(struct str name);
const struct callable *tmpl_global_find(struct str name);
/* The method of a value, NULL where it has none of that name. */
const struct callable *tmpl_method_find(struct val self, struct str name);
const struct callable *tmpl_table_find(const struct callable *table, struct str name);
/* The tables behind them, each ending with a NULL name. */
extern const struct callable tmpl_filters_seq[], tmpl_filters_pick[], tmpl_filters_text[], tmpl_filters_html[],
    tmpl_filters_value[];
extern const struct callable tmpl_methods_str[], tmpl_methods_char[], tmpl_methods_map[], tmpl_methods_encode[],
    tmpl_methods_bytes[];

/* ---- failing, and limits ----------------------------------------------------------------------------------------- */

/* Fails the render with a kind of text.h and a message; returns the error code. The first failure stays. */
int tmpl_fail(struct render *r, const char *kind, const char *fmt, ...) PRINTF_LIKE(3, 4);
int tmpl_failed(const struct render *r); /* 0, or the code of what failed: builders report through this */
/* Memory of the render, zeroed; NULL and a failure of kind limit beyond the cap. */
void *tmpl_alloc(struct render *r, size_t bytes) MUST_USE;
void *tmpl_array(struct render *r, size_t n, size_t item_bytes) MUST_USE;
int tmpl_step(struct render *r) MUST_USE;           /* one more step of the limit */
int tmpl_work(struct render *r, size_t n) MUST_USE; /* n bytes or items looked at without a copy (copies are bounded by memory) */
/* Bounds recursion over values and expressions: each successful enter is paired with a leave. */
int tmpl_enter(struct render *r) MUST_USE;
void tmpl_leave(struct render *r);

/* ---- text: a string under construction --------------------------------------------------------------------------- */

struct origin_run {
    uint32_t end, origin; /* bytes up to `end`, from the end of the run before */
};
/* All-zero is empty. While it is built it lies on the stack; tmpl_text_end moves it into the arena where it must stay. */
struct text {
    char *p;
    uint32_t n, cap;
    struct origin_run *runs; /* none: all bytes are of `origin` */
    uint32_t n_runs, cap_runs;
    uint8_t origin;
};
/* These fail through tmpl_failed; tmpl_text_end returns what happened. */
void tmpl_text_add(struct render *r, struct text *t, const char *p, size_t n, uint8_t origin);
void tmpl_text_z(struct render *r, struct text *t, const char *z, uint8_t origin);
void tmpl_text_byte(struct render *r, struct text *t, char c, uint8_t origin);
void tmpl_text_cp(struct render *r, struct text *t, uint32_t cp, uint8_t origin);
void tmpl_text_fill(struct render *r, struct text *t, struct val s, size_t times);       /* s, `times` times */
void tmpl_text_sub(struct render *r, struct text *t, struct val s, size_t at, size_t n); /* n bytes of string s */
void tmpl_text_str(struct render *r, struct text *t, struct val s);                      /* all of string s */
void tmpl_text_val(struct render *r, struct text *t, struct val v);                      /* Python's str(v) */
void tmpl_text_repr(struct render *r, struct text *t, struct val v);                     /* Python's repr(v) */
void tmpl_text_escaped(struct render *r, struct text *t, struct val s);                  /* string s as HTML text */
void tmpl_text_float(struct render *r, struct text *t, double f, uint8_t origin);        /* Python's repr(f) */
int tmpl_text_end(struct render *r, struct text *t, struct val *out) MUST_USE;

/* ---- strings ------------------------------------------------------------------------------------------------------- */

struct val tmpl_str_literal(const char *z);
struct val tmpl_str_of(struct str s, uint8_t origin);
struct str tmpl_str_bytes(struct val s);
struct val tmpl_str_sub(struct val s, size_t at, size_t n); /* bytes [at, at + n): shares the memory */
uint8_t tmpl_str_origin(struct val s, size_t at);           /* of one byte: TEMPLATE or REQUEST */
int tmpl_str_concat(struct render *r, struct val a, struct val b, struct val *out) MUST_USE; /* amortised linear in b */
int tmpl_str_from(struct render *r, struct val v, struct val *out) MUST_USE;                 /* str(v); a string stays as it is */
int tmpl_str_escape(struct render *r, struct val v, struct val *out) MUST_USE;               /* markupsafe.escape(v) */
size_t tmpl_str_length(struct val s);                                                        /* characters */
size_t tmpl_str_offset(struct val s, int64_t index); /* byte offset of a character, negative from the end; clamped */
/* The character at byte `at` and its length. Bytes that are not UTF-8 count as one character each. */
static inline bool tmpl_is_surrogate(int64_t cp) { /* half of a pair: no character */
    return cp >= 0xd800 && cp < 0xe000;
}
uint32_t tmpl_str_cp(struct val s, size_t at, unsigned *len);
unsigned tmpl_str_cp_before(struct val s, size_t end); /* length of the character that ends at `end` > 0 */
/* The line at byte `at` < s.n, without and with its end, as str.splitlines cuts. */
void tmpl_str_line(struct val s, size_t at, size_t *n, size_t *with_end);
/* s without characters of `chars` (white space where missing or None) on the sides asked for. */
int tmpl_str_strip(struct render *r, struct val s, struct val chars, bool left, bool right, struct val *out) MUST_USE;
/* Appends s in a field of `width` characters; align '<', '>', '^' or '=' (^ pads more on the right). */
void tmpl_text_padded(struct render *r, struct text *t, struct val s, int64_t width, char align, struct val fill);
int tmpl_str_replace(struct render *r, struct val s, struct val old, struct val new, int64_t count, struct val *out) MUST_USE;
/* Where needle begins in s[from, to), or SIZE_MAX. */
size_t tmpl_str_find(struct val s, struct str needle, size_t from, size_t to);
size_t tmpl_str_rfind(struct val s, struct str needle, size_t from, size_t to);

/* ---- bytes ---------------------------------------------------------------------------------------------------------- */

void tmpl_text_bytes(struct render *r, struct text *t, struct val b); /* Python's repr(b) */
struct val tmpl_byte_at(struct val b, size_t at);
int tmpl_bytes_pick(struct render *r, struct val b, int64_t start, int64_t step, int64_t n, struct val *out) MUST_USE;
int tmpl_bytes_contain(struct render *r, struct val b, struct val item, bool *out) MUST_USE;

/* ---- other values ---------------------------------------------------------------------------------------------------- */

struct val tmpl_none(void);
struct val tmpl_bool(bool b);
struct val tmpl_int(int64_t i);
struct val tmpl_float(double f);
struct val tmpl_undefined(struct str name, const char *owner); /* owner: the type that lacks the attribute, or NULL */
struct val tmpl_undefined_hint(const char *message);
int tmpl_undefined_fail(struct render *r, struct val undefined); /* what using it gives */
const char *tmpl_type_name(struct val v);                        /* Python's name: "str", "NoneType" */
bool tmpl_is_str(struct val v, const char *z);
bool tmpl_is_int(struct val v);     /* INT or BOOL */
bool tmpl_is_number(struct val v);  /* INT, BOOL or FLOAT */
int64_t tmpl_as_int(struct val v);  /* of INT or BOOL */
double tmpl_as_float(struct val v); /* of INT, BOOL or FLOAT */

bool tmpl_truth(struct val v);
int tmpl_length(struct render *r, struct val v, int64_t *n) MUST_USE; /* kind type where it has none */
int tmpl_equal(struct render *r, struct val a, struct val b, bool *out) MUST_USE;
enum compare { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE, CMP_IN, CMP_NOT_IN };
int tmpl_compare(struct render *r, enum compare op, struct val a, struct val b, bool *out) MUST_USE;
int tmpl_contains(struct render *r, struct val seq, struct val item, bool *out) MUST_USE;
/* a op b of Python: '+' '-' '*' '/' 'f' (//) '%' 'p' (**). */
int tmpl_arith(struct render *r, char op, struct val a, struct val b, struct val *out) MUST_USE;
int tmpl_negate(struct render *r, struct val a, bool minus, struct val *out) MUST_USE;
int tmpl_round(struct render *r, struct val v, int64_t digits, struct val *out) MUST_USE; /* Python's round() */

struct list *tmpl_list_new(struct render *r, size_t cap);                   /* NULL: failed */
int tmpl_list_add(struct render *r, struct list *l, struct val v) MUST_USE; /* only while l is being built */
int tmpl_list_concat(struct render *r, const struct list *a, const struct list *b, struct list **out) MUST_USE;
struct val tmpl_list(struct list *l);
struct val tmpl_tuple(struct list *l);
int tmpl_pair(struct render *r, struct val a, struct val b, struct val *out) MUST_USE; /* the tuple (a, b) */

struct dict *tmpl_dict_new(struct render *r);
int tmpl_dict_set(struct render *r, struct dict *d, struct val key, struct val value) MUST_USE;
/* *out is VAL_MISSING where the key is not there; kind type for a key that cannot be hashed. */
int tmpl_dict_get(struct render *r, const struct dict *d, struct val key, struct val *out) MUST_USE;
int tmpl_dict_get_str(struct render *r, const struct dict *d, struct str key, struct val *out) MUST_USE;
/* Adds what Python's dict(v) takes: a mapping or pairs. */
int tmpl_dict_fill(struct render *r, struct dict *d, struct val v) MUST_USE;
struct val tmpl_dict(struct dict *d);

/* Values of a JSON value, of one origin; memory is linear in the JSON. */
int tmpl_from_json(struct render *r, yyjson_val *json, uint8_t origin, struct val *out) MUST_USE;

/* obj.name and obj[key] as the sandbox of jinja2 does them; undefined where there is nothing. */
int tmpl_getattr(struct render *r, struct val obj, struct str name, struct val *out) MUST_USE;
int tmpl_getitem(struct render *r, struct val obj, struct val key, struct val *out) MUST_USE;
/* obj[start:stop:step]; VAL_MISSING or None where left out. */
int tmpl_getslice(struct render *r, struct val obj, const struct val bounds[3], struct val *out) MUST_USE;

/* ---- iteration --------------------------------------------------------------------------------------------------------- */

struct iter {
    struct val over;
    size_t at;
};
/* A generator. next gives 1 and a value, 0 at the end, or a negative error. */
struct gen {
    int (*next)(struct render *r, struct gen *g, struct val *out);
    const char *name; /* as Python prints it */
    struct iter in;
    const struct callable *func; /* filter or test to apply */
    struct args args;
    struct val attribute, fill;
    struct dict *seen;
    struct list *items;
    int64_t at, n;
    bool negate, case_sensitive;
};
int tmpl_iter(struct render *r, struct val v, struct iter *it) MUST_USE; /* kind type where v cannot be iterated */
bool tmpl_is_iterable(struct val v);
int tmpl_next(struct render *r, struct iter *it, struct val *out) MUST_USE;   /* 1, 0, or an error */
int tmpl_to_list(struct render *r, struct val v, struct list **out) MUST_USE; /* a new list of all items */
/* Sorts items and their keys (as many) by the keys with Python's <, stable. */
int tmpl_sort(struct render *r, struct val *items, struct val *keys, size_t n, bool reverse) MUST_USE;
/* What make_attrgetter of jinja2 does: "a.b.0" step by step. fallback (or VAL_MISSING) replaces undefined. */
int tmpl_get_path(struct render *r, struct val item, struct val path, struct val fallback, struct val *out) MUST_USE;

/* ---- conversions and formats ------------------------------------------------------------------------------------------- */

int tmpl_parse_int(struct render *r, struct str s, int base, int64_t *out, bool *ok) MUST_USE;    /* Python's int(s, base) */
bool tmpl_parse_float(struct str s, double *out);                                                 /* Python's float(s) */
int tmpl_percent(struct render *r, struct val format, struct val args, struct val *out) MUST_USE; /* format % args */
int tmpl_format(struct render *r, struct val format, const struct args *args, struct val *out) MUST_USE; /* str.format */
int tmpl_strftime(struct render *r, struct val format, struct val *out) MUST_USE;
int tmpl_filter_tojson(struct call *c);
int tmpl_filter_wordwrap(struct call *c);
int tmpl_filter_urlize(struct call *c);
int tmpl_filter_pprint(struct call *c);

/* ---- characters ---------------------------------------------------------------------------------------------------------- */

enum {
    CHAR_ALPHA = 1,
    CHAR_DECIMAL = 2,
    CHAR_DIGIT = 4,
    CHAR_NUMERIC = 8,
    CHAR_SPACE = 16,
    CHAR_PRINTABLE = 32,
    CHAR_UPPER = 64,
    CHAR_LOWER = 128,
    CHAR_TITLE = 256,
    CHAR_IGNORABLE = 512,
    CHAR_ALNUM = CHAR_ALPHA | CHAR_DECIMAL | CHAR_DIGIT | CHAR_NUMERIC,
    CHAR_CASED = CHAR_UPPER | CHAR_LOWER | CHAR_TITLE,
};
unsigned tmpl_char_class(uint32_t cp); /* bits of CHAR_ */
enum case_map { CASE_UPPER, CASE_LOWER, CASE_TITLE, CASE_FOLD };
unsigned tmpl_char_map(enum case_map map, uint32_t cp, uint32_t out[3]); /* full mapping: 1..3 code points */
/* Appends the character at byte `at` of s, mapped; lower case knows the final sigma. */
void tmpl_text_case(struct render *r, struct text *t, struct val s, size_t at, unsigned len, enum case_map map);
int tmpl_str_case(struct render *r, struct val s, enum case_map map, struct val *out) MUST_USE;
size_t tmpl_space_length(struct str s); /* bytes of white space that s begins with */
