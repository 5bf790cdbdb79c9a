/* tmpl_test: the tests behind `is`. */
#include "tmpl_run.h"

#include <string.h>

static int yes(struct call *c, bool b) {
    *c->out = tmpl_bool(b);
    return 0;
}

static int test_defined(struct call *c) {
    return yes(c, c->self.type != VAL_UNDEFINED);
}

static int test_undefined(struct call *c) {
    return yes(c, c->self.type == VAL_UNDEFINED);
}

static int test_none(struct call *c) {
    return yes(c, c->self.type == VAL_NONE);
}

static int test_boolean(struct call *c) {
    return yes(c, c->self.type == VAL_BOOL);
}

static int test_true(struct call *c) {
    return yes(c, c->self.type == VAL_BOOL && c->self.b);
}

static int test_false(struct call *c) {
    return yes(c, c->self.type == VAL_BOOL && !c->self.b);
}

static int test_integer(struct call *c) {
    return yes(c, c->self.type == VAL_INT || c->self.type == VAL_BIG);
}

static int test_float(struct call *c) {
    return yes(c, c->self.type == VAL_FLOAT);
}

static int test_number(struct call *c) {
    return yes(c, tmpl_is_number(c->self) || c->self.type == VAL_BIG);
}

static int test_string(struct call *c) {
    return yes(c, c->self.type == VAL_STR);
}

static int test_mapping(struct call *c) {
    return yes(c, c->self.type == VAL_DICT);
}

/* Has a length and items: an undefined value has both. */
static int test_sequence(struct call *c) {
    switch ((enum val_type)c->self.type) {
    case VAL_UNDEFINED:
    case VAL_STR:
    case VAL_BYTES:
    case VAL_LIST:
    case VAL_TUPLE:
    case VAL_DICT:
    case VAL_RANGE: return yes(c, true);
    default: return yes(c, false);
    }
}

static int test_iterable(struct call *c) {
    return yes(c, tmpl_is_iterable(c->self));
}

static int test_callable(struct call *c) {
    switch ((enum val_type)c->self.type) {
    case VAL_UNDEFINED:
    case VAL_FUNC:
    case VAL_METHOD:
    case VAL_MACRO:
    case VAL_LOOP:
    case VAL_JOINER:
    case VAL_BLOCK: return yes(c, true);
    default: return yes(c, false);
    }
}

static int test_escaped(struct call *c) {
    return yes(c, c->self.type == VAL_STR && c->self.flags & FLAG_MARKUP);
}

/* Whether the language has something of this name; what cannot be a key of Python's table is an error there. */
static int is_known(struct call *c, const struct callable *(*find)(struct str name)) {
    if (c->self.type == VAL_LIST || c->self.type == VAL_DICT)
        return tmpl_fail(c->r, "type", "unhashable type: '%s'", tmpl_type_name(c->self));
    return yes(c, c->self.type == VAL_STR && find(tmpl_str_bytes(c->self)));
}

static int test_filter(struct call *c) {
    return is_known(c, tmpl_filter_find);
}

static int test_test(struct call *c) {
    return is_known(c, tmpl_test_find);
}

/* Python's `is`: small values are what they equal, containers are themselves. */
static int test_sameas(struct call *c) {
    struct val a = c->self, b = c->arg[0];
    bool same = a.type == b.type;
    if (same && (a.type == VAL_LIST || a.type == VAL_TUPLE || a.type == VAL_DICT || a.type == VAL_RANGE))
        return yes(c, a.list == b.list);
    return same ? (tmpl_equal(c->r, a, b, &same) < 0 ? tmpl_failed(c->r) : yes(c, same)) : yes(c, false);
}

static int test_in(struct call *c) {
    bool b;
    return tmpl_contains(c->r, c->arg[0], c->self, &b) < 0 ? tmpl_failed(c->r) : yes(c, b);
}

/* str(value).islower() and isupper() */
static int test_case(struct call *c, const char *method) {
    struct val s;
    if (tmpl_str_from(c->r, c->self, &s) < 0)
        return tmpl_failed(c->r);
    return tmpl_apply(c->r, tmpl_table_find(tmpl_methods_char, str_of(method)), s, &(struct args){0}, c->out);
}

static int test_lower(struct call *c) {
    return test_case(c, "islower");
}

static int test_upper(struct call *c) {
    return test_case(c, "isupper");
}

static int modulo_is(struct call *c, struct val by, int64_t rest) {
    struct val m;
    bool b;
    if (tmpl_arith(c->r, '%', c->self, by, &m) < 0 || tmpl_equal(c->r, m, tmpl_int(rest), &b) < 0)
        return tmpl_failed(c->r);
    return yes(c, b);
}

static int test_divisibleby(struct call *c) {
    return modulo_is(c, c->arg[0], 0);
}

static int test_even(struct call *c) {
    return modulo_is(c, tmpl_int(2), 0);
}

static int test_odd(struct call *c) {
    return modulo_is(c, tmpl_int(2), 1);
}

static int compare(struct call *c, enum compare op) {
    bool b;
    return tmpl_compare(c->r, op, c->self, c->arg[0], &b) < 0 ? tmpl_failed(c->r) : yes(c, b);
}

static int test_eq(struct call *c) {
    return compare(c, CMP_EQ);
}

static int test_ne(struct call *c) {
    return compare(c, CMP_NE);
}

static int test_lt(struct call *c) {
    return compare(c, CMP_LT);
}

static int test_le(struct call *c) {
    return compare(c, CMP_LE);
}

static int test_gt(struct call *c) {
    return compare(c, CMP_GT);
}

static int test_ge(struct call *c) {
    return compare(c, CMP_GE);
}

static const struct callable tests[] = {
    {"!=", 1, 1, NULL, test_ne},
    {"<", 1, 1, NULL, test_lt},
    {"<=", 1, 1, NULL, test_le},
    {"==", 1, 1, NULL, test_eq},
    {">", 1, 1, NULL, test_gt},
    {">=", 1, 1, NULL, test_ge},
    {"boolean", 0, 0, NULL, test_boolean},
    {"callable", 0, 0, NULL, test_callable},
    {"defined", 0, 0, NULL, test_defined},
    {"divisibleby", 1, 1, "num", test_divisibleby},
    {"eq", 1, 1, NULL, test_eq},
    {"equalto", 1, 1, NULL, test_eq},
    {"escaped", 0, 0, NULL, test_escaped},
    {"even", 0, 0, NULL, test_even},
    {"false", 0, 0, NULL, test_false},
    {"filter", 0, 0, NULL, test_filter},
    {"float", 0, 0, NULL, test_float},
    {"ge", 1, 1, NULL, test_ge},
    {"greaterthan", 1, 1, NULL, test_gt},
    {"gt", 1, 1, NULL, test_gt},
    {"in", 1, 1, "seq", test_in},
    {"integer", 0, 0, NULL, test_integer},
    {"iterable", 0, 0, NULL, test_iterable},
    {"le", 1, 1, NULL, test_le},
    {"lessthan", 1, 1, NULL, test_lt},
    {"lower", 0, 0, NULL, test_lower},
    {"lt", 1, 1, NULL, test_lt},
    {"mapping", 0, 0, NULL, test_mapping},
    {"ne", 1, 1, NULL, test_ne},
    {"none", 0, 0, NULL, test_none},
    {"number", 0, 0, NULL, test_number},
    {"odd", 0, 0, NULL, test_odd},
    {"sameas", 1, 1, "other", test_sameas},
    {"sequence", 0, 0, NULL, test_sequence},
    {"string", 0, 0, NULL, test_string},
    {"test", 0, 0, NULL, test_test},
    {"true", 0, 0, NULL, test_true},
    {"undefined", 0, 0, NULL, test_undefined},
    {"upper", 0, 0, NULL, test_upper},
    {.name = NULL},
};

const struct callable *tmpl_test_find(struct str name) {
    return tmpl_table_find(tests, name);
}
