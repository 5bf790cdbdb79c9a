/* tmpl_attr: obj.name, obj[key] and obj[a:b:c], with the rules of jinja2's immutable sandbox: what would change a value or reach
 * into the interpreter is there, but using it is an error of kind security. */
#include "tmpl_run.h"

#include <string.h>

/* ---- attributes ---------------------------------------------------------------------------------------------------- */

static bool is_one_of(struct str name, const char *const *names) {
    for (; *names; names++)
        if (str_is(name, *names))
            return true;
    return false;
}

/* Methods that the sandbox keeps back, and the names that every object of Python has. */
static bool is_unsafe(struct val obj, struct str name) {
    static const char *const of_dict[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};
    static const char *const of_list[] = {"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove", NULL};
    static const char *const of_all[] = {"__class__",   "__init__",    "__doc__",       "__dict__",         "__new__",
                                         "__eq__",      "__ne__",      "__str__",       "__repr__",         "__hash__",
                                         "__dir__",     "__reduce__",  "__reduce_ex__", "__getattribute__", "__setattr__",
                                         "__delattr__", "__format__",  "__sizeof__",    "__subclasshook__", "__init_subclass__",
                                         "__len__",     "__getitem__", "__iter__",      "__contains__",     "__add__",
                                         "__call__",    "__globals__", "__code__",      "__self__",         "__module__",
                                         "__name__",    NULL};
    if (obj.type == VAL_DICT && is_one_of(name, of_dict))
        return true;
    if (obj.type == VAL_LIST && is_one_of(name, of_list))
        return true;
    return name.n > 4 && name.p[0] == '_' && name.p[1] == '_' && obj.type != VAL_SPACE && is_one_of(name, of_all);
}

static int bind_method(struct render *r, const struct callable *f, struct val self, struct val *out) {
    struct bound *b = tmpl_alloc(r, sizeof *b);
    if (!b)
        return tmpl_failed(r);
    *b = (struct bound){f, self};
    *out = (struct val){.type = VAL_METHOD, .bound = b};
    return 0;
}

static int macro_attr(struct render *r, const struct macro *m, struct str name, struct val *out) {
    if (str_is(name, "name"))
        *out = m->def->name.n ? tmpl_str_of(m->def->name, TEMPLATE) : tmpl_none();
    else if (str_is(name, "catch_kwargs"))
        *out = tmpl_bool(m->def->uses_kwargs);
    else if (str_is(name, "catch_varargs"))
        *out = tmpl_bool(m->def->uses_varargs);
    else if (str_is(name, "caller"))
        *out = tmpl_bool(m->def->uses_caller);
    else if (str_is(name, "arguments")) {
        struct list *l = tmpl_list_new(r, m->def->n_params);
        for (size_t i = 0; l && i < m->def->n_params; i++)
            if (tmpl_list_add(r, l, tmpl_str_of(m->def->params[i].name, TEMPLATE)) < 0)
                return tmpl_failed(r);
        *out = tmpl_tuple(l);
    }
    return tmpl_failed(r);
}

static int number_attr(struct render *r, struct val v, struct str name, struct val *out) {
    if (str_is(name, "real") || (v.type != VAL_FLOAT && str_is(name, "numerator")))
        *out = v.type == VAL_BOOL ? tmpl_int(v.b) : v;
    else if (str_is(name, "imag"))
        *out = v.type == VAL_FLOAT ? tmpl_float(0) : tmpl_int(0);
    else if (v.type != VAL_FLOAT && str_is(name, "denominator"))
        *out = tmpl_int(1);
    return tmpl_failed(r);
}

static int block_attr(struct render *r, struct str name, struct val *out) {
    for (size_t i = 0; i < r->t->n_blocks; i++)
        if (str_eq(r->t->blocks[i]->text, name))
            *out = (struct val){.type = VAL_BLOCK, .node = r->t->blocks[i]};
    return 0;
}

static void range_attr(const struct range *g, struct str name, struct val *out) {
    if (str_is(name, "start") || str_is(name, "stop") || str_is(name, "step"))
        *out = tmpl_int(str_is(name, "start") ? g->start : str_is(name, "stop") ? g->stop : g->step);
}

/* What Python's getattr(obj, name) finds; VAL_MISSING where nothing is. */
static int python_attr(struct render *r, struct val obj, struct str name, struct val *out) {
    *out = (struct val){0};
    switch ((enum val_type)obj.type) {
    case VAL_SPACE: return tmpl_dict_get_str(r, obj.dict, name, out);
    case VAL_LOOP:
        if (tmpl_loop_attr(r, obj.loop, name, out) < 0)
            return tmpl_failed(r);
        break;
    case VAL_MACRO: return macro_attr(r, obj.macro, name, out);
    case VAL_SELF: return block_attr(r, name, out);
    case VAL_RANGE: range_attr(obj.range, name, out); break;
    case VAL_CYCLER:
        if (str_is(name, "current"))
            *out = obj.cycler->items->items[obj.cycler->at];
        break;
    case VAL_TUPLE:
        if (obj.flags & FLAG_GROUP && (str_is(name, "grouper") || str_is(name, "list")))
            *out = obj.list->items[str_is(name, "list")];
        break;
    case VAL_BOOL:
    case VAL_INT:
    case VAL_FLOAT: number_attr(r, obj, name, out); break;
    default: break;
    }
    if (out->type != VAL_MISSING)
        return 0;
    const struct callable *method = tmpl_method_find(obj, name);
    if (method)
        return bind_method(r, method, obj, out);
    if (is_unsafe(obj, name)) {
        *out = tmpl_undefined(name, tmpl_type_name(obj));
        out->flags = FLAG_UNSAFE;
    }
    return 0;
}

int tmpl_getattr(struct render *r, struct val obj, struct str name, struct val *out) {
    if (obj.type == VAL_UNDEFINED)
        return tmpl_undefined_fail(r, obj);
    if (python_attr(r, obj, name, out) < 0)
        return tmpl_failed(r);
    if (out->type == VAL_MISSING && obj.type == VAL_DICT && tmpl_dict_get_str(r, obj.dict, name, out) < 0)
        return tmpl_failed(r);
    if (out->type == VAL_MISSING)
        *out = tmpl_undefined(name, tmpl_type_name(obj));
    return 0;
}

/* ---- items ------------------------------------------------------------------------------------------------------------ */

static int str_at(struct render *r, struct val s, int64_t index, struct val *out) {
    size_t at;
    unsigned len;
    if (index >= 0) {
        at = tmpl_str_offset(s, index);
        if (at >= s.n)
            return 0;
    } else {
        size_t behind = tmpl_str_offset(s, index + 1); /* where the character ends */
        if (index == -1)
            behind = s.n;
        if (behind == 0)
            return 0;
        at = behind - tmpl_str_cp_before(s, behind);
    }
    tmpl_str_cp(s, at, &len);
    *out = tmpl_str_sub(s, at, len);
    out->flags = s.flags;
    return tmpl_work(r, index >= 0 ? at : s.n - at);
}

/* obj[index]; *out stays missing where it is out of range or obj has no such items. */
static int index_item(struct render *r, struct val obj, int64_t index, struct val *out) {
    if (obj.type == VAL_STR)
        return str_at(r, obj, index, out);
    int64_t n = obj.type == VAL_LIST || obj.type == VAL_TUPLE ? (int64_t)obj.list->n
                : obj.type == VAL_RANGE                       ? obj.range->n
                : obj.type == VAL_BYTES                       ? obj.n
                                                              : 0;
    if (index < 0)
        index += n;
    if (index < 0 || index >= n)
        return 0;
    *out = obj.type == VAL_RANGE   ? tmpl_int(tmpl_range_item(obj.range, index))
           : obj.type == VAL_BYTES ? tmpl_byte_at(obj, (size_t)index)
                                   : obj.list->items[index];
    return 0;
}

static bool is_hashable(struct val v) {
    if (v.type == VAL_TUPLE)
        for (size_t i = 0; i < v.list->n; i++)
            if (v.list->items[i].type == VAL_TUPLE || !is_hashable(v.list->items[i])) /* tuples of tuples are not worth a look */
                return false;
    return v.type != VAL_LIST && v.type != VAL_DICT && v.type != VAL_VIEW;
}

int tmpl_getitem(struct render *r, struct val obj, struct val key, struct val *out) {
    int code = 0;
    if (obj.type == VAL_UNDEFINED)
        return tmpl_undefined_fail(r, obj);
    *out = (struct val){0};
    if (obj.type == VAL_DICT)
        code = is_hashable(key) ? tmpl_dict_get(r, obj.dict, key, out) : 0;
    else if (tmpl_is_int(key))
        code = index_item(r, obj, tmpl_as_int(key), out);
    if (code == 0 && out->type == VAL_MISSING && key.type == VAL_STR)
        code = python_attr(r, obj, tmpl_str_bytes(key), out);
    if (code == 0 && out->type == VAL_MISSING)
        *out = tmpl_undefined(key.type == VAL_STR ? tmpl_str_bytes(key) : STR("that element"), tmpl_type_name(obj));
    return code;
}

/* ---- slices ------------------------------------------------------------------------------------------------------------- */

struct slice {
    int64_t start, step, n; /* items start, start + step, ... */
};

static int read_bound(struct render *r, struct val v, bool *given, int64_t *out) {
    *given = v.type != VAL_MISSING && v.type != VAL_NONE;
    if (!*given)
        return 0;
    if (!tmpl_is_int(v))
        return tmpl_fail(r, "type", "slice indices must be integers or None or have an __index__ method");
    *out = tmpl_as_int(v);
    return 0;
}

static int64_t clamp(int64_t i, int64_t n, int64_t low, int64_t high) {
    if (i < 0)
        i = i < -n ? low : i + n;
    return i < low ? low : i > high ? high : i;
}

/* Python's slice.indices(n). */
static int read_slice(struct render *r, const struct val bounds[3], int64_t n, struct slice *s) {
    int64_t start = 0, stop = 0, step = 1;
    bool has_start, has_stop, has_step;
    if (read_bound(r, bounds[0], &has_start, &start) < 0 || read_bound(r, bounds[1], &has_stop, &stop) < 0 ||
        read_bound(r, bounds[2], &has_step, &step) < 0)
        return tmpl_failed(r);
    if (step == 0)
        return tmpl_fail(r, "type", "slice step cannot be zero");
    if (step == INT64_MIN)
        step = -INT64_MAX;
    bool back = step < 0;
    start = has_start ? clamp(start, n, back ? -1 : 0, back ? n - 1 : n) : back ? n - 1 : 0;
    stop = has_stop ? clamp(stop, n, back ? -1 : 0, back ? n - 1 : n) : back ? -1 : n;
    int64_t span = back ? start - stop : stop - start, width = back ? -step : step;
    *s = (struct slice){start, step, span > 0 ? (span - 1) / width + 1 : 0};
    return 0;
}

static int slice_str(struct render *r, struct val s, const struct val bounds[3], struct val *out) {
    struct slice range;
    int64_t n = (int64_t)tmpl_str_length(s);
    if (tmpl_work(r, s.n) < 0 || read_slice(r, bounds, n, &range) < 0)
        return tmpl_failed(r);
    if (range.step == 1 || range.n == 0) {
        size_t at = tmpl_str_offset(s, range.start), end = tmpl_str_offset(s, range.start + range.n);
        *out = tmpl_str_sub(s, at, end - at);
        out->flags = s.flags;
        return 0;
    }
    uint32_t *offsets = tmpl_array(r, (size_t)n, sizeof *offsets);
    struct text t = {0};
    size_t k = 0;
    unsigned len;
    if (!offsets)
        return tmpl_failed(r);
    for (size_t at = 0; at < s.n; at += len) {
        tmpl_str_cp(s, at, &len);
        offsets[k++] = (uint32_t)at;
    }
    for (int64_t i = 0; i < range.n; i++) {
        size_t at = offsets[range.start + i * range.step];
        tmpl_str_cp(s, at, &len);
        tmpl_text_sub(r, &t, s, at, len);
    }
    if (tmpl_text_end(r, &t, out) < 0)
        return tmpl_failed(r);
    out->flags = s.flags;
    return 0;
}

static int slice_list(struct render *r, struct val v, const struct val bounds[3], struct val *out) {
    struct slice range;
    if (read_slice(r, bounds, (int64_t)v.list->n, &range) < 0)
        return tmpl_failed(r);
    struct list *l = tmpl_list_new(r, (size_t)range.n);
    if (!l)
        return tmpl_failed(r);
    for (int64_t i = 0; i < range.n; i++)
        if (tmpl_list_add(r, l, v.list->items[range.start + i * range.step]) < 0)
            return tmpl_failed(r);
    *out = (struct val){.type = v.type, .origin = v.origin, .list = l};
    return 0;
}

static int slice_bytes(struct render *r, struct val b, const struct val bounds[3], struct val *out) {
    struct slice s;
    if (read_slice(r, bounds, b.n, &s) < 0)
        return tmpl_failed(r);
    return tmpl_bytes_pick(r, b, s.start, s.step, s.n, out);
}

static int slice_range(struct render *r, struct val v, const struct val bounds[3], struct val *out) {
    struct slice s;
    struct range *g = tmpl_alloc(r, sizeof *g);
    if (!g || read_slice(r, bounds, v.range->n, &s) < 0)
        return tmpl_failed(r);
    g->start = tmpl_range_item(v.range, s.start);
    g->step = s.n > 1 ? tmpl_range_item(v.range, s.start + s.step) - g->start : v.range->step;
    g->n = s.n;
    g->stop = tmpl_range_item(g, s.n);
    *out = (struct val){.type = VAL_RANGE, .range = g};
    return 0;
}

int tmpl_getslice(struct render *r, struct val obj, const struct val bounds[3], struct val *out) {
    switch ((enum val_type)obj.type) {
    case VAL_UNDEFINED: return tmpl_undefined_fail(r, obj);
    case VAL_STR: return slice_str(r, obj, bounds, out);
    case VAL_BYTES: return slice_bytes(r, obj, bounds, out);
    case VAL_LIST:
    case VAL_TUPLE: return slice_list(r, obj, bounds, out);
    case VAL_RANGE: return slice_range(r, obj, bounds, out);
    default: return tmpl_fail(r, "type", "'%s' object is not subscriptable by a slice", tmpl_type_name(obj));
    }
}
