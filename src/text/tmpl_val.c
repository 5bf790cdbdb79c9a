/* tmpl_val: making values, and Python's truth, length, equality, order and membership of them. */
#include "tmpl_run.h"

#include <math.h>
#include <string.h>

struct val tmpl_none(void) {
    return (struct val){.type = VAL_NONE};
}

struct val tmpl_bool(bool b) {
    return (struct val){.type = VAL_BOOL, .b = b};
}

struct val tmpl_int(int64_t i) {
    return (struct val){.type = VAL_INT, .i = i};
}

struct val tmpl_float(double f) {
    return (struct val){.type = VAL_FLOAT, .f = f};
}

struct val tmpl_undefined(struct str name, const char *owner) {
    return (struct val){.type = VAL_UNDEFINED, .n = (uint32_t)name.n, .p = name.p, .owner = owner};
}

struct val tmpl_undefined_hint(const char *message) {
    struct val v = tmpl_undefined(str_of(message), NULL);
    v.flags = FLAG_HINT;
    return v;
}

int tmpl_undefined_fail(struct render *r, struct val v) {
    int n = v.n < 100 ? (int)v.n : 100;
    if (v.flags & FLAG_HINT)
        return tmpl_fail(r, "undefined", "%.*s", n, v.p);
    if (v.flags & FLAG_UNSAFE)
        return tmpl_fail(r, "security", "access to attribute '%.*s' of '%s' object is unsafe.", n, v.p, v.owner);
    if (v.owner)
        return tmpl_fail(r, "undefined", "'%s object' has no attribute '%.*s'", v.owner, n, v.p);
    return tmpl_fail(r, "undefined", "'%.*s' is undefined", n, v.p);
}

const char *tmpl_type_name(struct val v) {
    switch ((enum val_type)v.type) {
    case VAL_MISSING:
    case VAL_UNDEFINED: return "Undefined";
    case VAL_NONE: return "NoneType";
    case VAL_BOOL: return "bool";
    case VAL_INT:
    case VAL_BIG: return "int";
    case VAL_FLOAT: return "float";
    case VAL_STR: return v.flags & FLAG_MARKUP ? "Markup" : "str";
    case VAL_BYTES: return "bytes";
    case VAL_LIST: return "list";
    case VAL_TUPLE: return "tuple";
    case VAL_DICT: return "dict";
    case VAL_VIEW: return v.flags == VIEW_KEYS ? "dict_keys" : v.flags == VIEW_VALUES ? "dict_values" : "dict_items";
    case VAL_RANGE: return "range";
    case VAL_ITER: return v.gen->name;
    case VAL_SPACE: return "Namespace";
    case VAL_FUNC: return "function";
    case VAL_METHOD: return "builtin_function_or_method";
    case VAL_MACRO: return "Macro";
    case VAL_LOOP: return "LoopContext";
    case VAL_CYCLER: return "Cycler";
    case VAL_JOINER: return "Joiner";
    case VAL_SELF: return "TemplateReference";
    case VAL_BLOCK: return "BlockReference";
    }
    return "object";
}

bool tmpl_is_str(struct val v, const char *z) {
    return v.type == VAL_STR && str_is(tmpl_str_bytes(v), z);
}

bool tmpl_is_int(struct val v) {
    return v.type == VAL_INT || v.type == VAL_BOOL;
}

bool tmpl_is_number(struct val v) {
    return tmpl_is_int(v) || v.type == VAL_FLOAT;
}

int64_t tmpl_as_int(struct val v) {
    return v.type == VAL_BOOL ? v.b : v.i;
}

double tmpl_as_float(struct val v) {
    return v.type == VAL_FLOAT ? v.f : (double)tmpl_as_int(v);
}

/* ---- truth and length ------------------------------------------------------------------------------------------ */

static int64_t length_or_none(struct val v) {
    switch ((enum val_type)v.type) {
    case VAL_UNDEFINED: return 0;
    case VAL_STR: return (int64_t)tmpl_str_length(v);
    case VAL_BYTES: return v.n;
    case VAL_LIST:
    case VAL_TUPLE: return (int64_t)v.list->n;
    case VAL_DICT:
    case VAL_VIEW: return (int64_t)v.dict->n;
    case VAL_RANGE: return v.range->n;
    default: return -1;
    }
}

bool tmpl_truth(struct val v) {
    switch ((enum val_type)v.type) {
    case VAL_MISSING:
    case VAL_UNDEFINED:
    case VAL_NONE: return false;
    case VAL_BOOL: return v.b;
    case VAL_INT: return v.i != 0;
    case VAL_FLOAT: return v.f != 0;
    case VAL_STR: return v.n > 0;
    default: return length_or_none(v) != 0;
    }
}

int tmpl_length(struct render *r, struct val v, int64_t *n) {
    if (v.type == VAL_LOOP) {
        struct val length;
        int code = tmpl_loop_attr(r, v.loop, STR("length"), &length);
        *n = code < 0 ? 0 : length.i;
        return code;
    }
    *n = length_or_none(v);
    if (*n < 0)
        return tmpl_fail(r, "type", "object of type '%s' has no len()", tmpl_type_name(v));
    return v.type == VAL_STR ? tmpl_work(r, v.n) : 0;
}

/* ---- equality ----------------------------------------------------------------------------------------------------- */

/* -1, 0, 1 for a < b, a == b, a > b; 2 where one is NaN. Exact, also beyond 2^53. */
static int compare_int_float(int64_t i, double f) {
    if (isnan(f))
        return 2;
    if (f >= 0x1p63)
        return -1;
    if (f < -0x1p63)
        return 1;
    double whole = trunc(f);
    int64_t w = (int64_t)whole;
    if (i != w)
        return i < w ? -1 : 1;
    return f > whole ? -1 : f < whole ? 1 : 0;
}

static int compare_numbers(struct val a, struct val b) {
    if (a.type == VAL_FLOAT && b.type == VAL_FLOAT)
        return isnan(a.f) || isnan(b.f) ? 2 : (a.f > b.f) - (a.f < b.f);
    if (a.type == VAL_FLOAT) {
        int order = compare_int_float(tmpl_as_int(b), a.f);
        return order == 2 ? 2 : -order;
    }
    if (b.type == VAL_FLOAT)
        return compare_int_float(tmpl_as_int(a), b.f);
    int64_t x = tmpl_as_int(a), y = tmpl_as_int(b);
    return (x > y) - (x < y);
}

static int equal_lists(struct render *r, const struct list *a, const struct list *b, bool *out) {
    *out = a->n == b->n;
    for (size_t i = 0; *out && i < a->n; i++)
        if (tmpl_equal(r, a->items[i], b->items[i], out) < 0)
            return tmpl_failed(r);
    return 0;
}

static int equal_dicts(struct render *r, const struct dict *a, const struct dict *b, bool *out) {
    *out = a->n == b->n;
    for (size_t i = 0; *out && i < a->n; i++) {
        struct val other;
        if (tmpl_dict_get(r, b, a->entries[i].key, &other) < 0)
            return tmpl_failed(r);
        *out = other.type != VAL_MISSING;
        if (*out && tmpl_equal(r, a->entries[i].value, other, out) < 0)
            return tmpl_failed(r);
    }
    return 0;
}

static bool equal_ranges(const struct range *a, const struct range *b) {
    return a->n == b->n && (a->n == 0 || (a->start == b->start && (a->n == 1 || a->step == b->step)));
}

static int equal_same_type(struct render *r, struct val a, struct val b, bool *out) {
    switch ((enum val_type)a.type) {
    case VAL_MISSING:
    case VAL_UNDEFINED:
    case VAL_NONE: *out = true; return 0;
    case VAL_BIG:
    case VAL_BYTES:
    case VAL_STR: *out = str_eq(tmpl_str_bytes(a), tmpl_str_bytes(b)); return a.n == b.n ? tmpl_work(r, a.n) : 0;
    case VAL_LIST:
    case VAL_TUPLE: return equal_lists(r, a.list, b.list, out);
    case VAL_DICT: return equal_dicts(r, a.dict, b.dict, out);
    case VAL_RANGE: *out = equal_ranges(a.range, b.range); return 0;
    case VAL_VIEW: *out = a.dict == b.dict && a.flags == b.flags; return 0;
    case VAL_METHOD: *out = a.bound == b.bound; return 0;
    default: *out = a.node == b.node; return 0; /* the same object */
    }
}

int tmpl_equal(struct render *r, struct val a, struct val b, bool *out) {
    *out = false;
    if (tmpl_is_number(a) && tmpl_is_number(b)) {
        *out = compare_numbers(a, b) == 0;
        return 0;
    }
    if (a.type != b.type)
        return 0;
    if (tmpl_enter(r) < 0 || tmpl_step(r) < 0)
        return tmpl_failed(r);
    int code = equal_same_type(r, a, b, out);
    tmpl_leave(r);
    return code;
}

/* ---- order and membership -------------------------------------------------------------------------------------------- */

static bool holds(enum compare op, int order) {
    switch (op) {
    case CMP_LT: return order == -1;
    case CMP_LE: return order == -1 || order == 0;
    case CMP_GT: return order == 1;
    default: return order == 1 || order == 0;
    }
}

static int order_lists(struct render *r, enum compare op, const struct list *a, const struct list *b, bool *out) {
    size_t n = a->n < b->n ? a->n : b->n;
    for (size_t i = 0; i < n; i++) {
        bool equal;
        if (tmpl_equal(r, a->items[i], b->items[i], &equal) < 0)
            return tmpl_failed(r);
        if (!equal)
            return tmpl_compare(r, op, a->items[i], b->items[i], out);
    }
    *out = holds(op, (a->n > b->n) - (a->n < b->n));
    return 0;
}

static int order(struct render *r, enum compare op, struct val a, struct val b, bool *out) {
    static const char *const names[] = {[CMP_LT] = "<", [CMP_LE] = "<=", [CMP_GT] = ">", [CMP_GE] = ">="};
    if (tmpl_is_number(a) && tmpl_is_number(b)) {
        *out = holds(op, compare_numbers(a, b));
        return 0;
    }
    if (a.type == b.type && (a.type == VAL_STR || a.type == VAL_BYTES)) { /* the order of UTF-8 bytes is that of code points */
        uint32_t n = a.n < b.n ? a.n : b.n;
        int c = n ? memcmp(a.p, b.p, n) : 0;
        *out = holds(op, c ? (c > 0) - (c < 0) : (a.n > b.n) - (a.n < b.n));
        return tmpl_work(r, n);
    }
    if (a.type == b.type && (a.type == VAL_LIST || a.type == VAL_TUPLE)) {
        if (tmpl_enter(r) < 0)
            return tmpl_failed(r);
        int code = order_lists(r, op, a.list, b.list, out);
        tmpl_leave(r);
        return code;
    }
    if (a.type == VAL_UNDEFINED || b.type == VAL_UNDEFINED)
        return tmpl_undefined_fail(r, a.type == VAL_UNDEFINED ? a : b);
    return tmpl_fail(r, "type", "'%s' not supported between instances of '%s' and '%s'", names[op], tmpl_type_name(a),
                     tmpl_type_name(b));
}

int tmpl_contains(struct render *r, struct val seq, struct val item, bool *out) {
    *out = false;
    if (seq.type == VAL_STR) {
        if (item.type != VAL_STR)
            return tmpl_fail(r, "type", "'in <string>' requires string as left operand, not %s", tmpl_type_name(item));
        *out = tmpl_str_find(seq, tmpl_str_bytes(item), 0, seq.n) != SIZE_MAX;
        return tmpl_work(r, seq.n);
    }
    if (seq.type == VAL_BYTES)
        return tmpl_bytes_contain(r, seq, item, out);
    if (seq.type == VAL_DICT || (seq.type == VAL_VIEW && seq.flags == VIEW_KEYS)) {
        struct val found;
        if (tmpl_dict_get(r, seq.dict, item, &found) < 0)
            return tmpl_failed(r);
        *out = found.type != VAL_MISSING;
        return 0;
    }
    if (!tmpl_is_iterable(seq))
        return tmpl_fail(r, "type", "argument of type '%s' is not iterable", tmpl_type_name(seq));
    struct iter it;
    struct val v;
    int more = tmpl_iter(r, seq, &it);
    while (more >= 0 && !*out && (more = tmpl_next(r, &it, &v)) > 0)
        if (tmpl_equal(r, v, item, out) < 0)
            return tmpl_failed(r);
    return more < 0 ? more : 0;
}

int tmpl_compare(struct render *r, enum compare op, struct val a, struct val b, bool *out) {
    int code;
    switch (op) {
    case CMP_EQ:
    case CMP_NE: code = tmpl_equal(r, a, b, out); break;
    case CMP_IN:
    case CMP_NOT_IN: code = tmpl_contains(r, b, a, out); break;
    default: return order(r, op, a, b, out);
    }
    if (op == CMP_NE || op == CMP_NOT_IN)
        *out = !*out;
    return code;
}
