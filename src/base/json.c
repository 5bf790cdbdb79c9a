/* json: yyjson behind limits, and the canonical form that digests are taken of. */
#include "base.h"

#include <stdlib.h>
#include <string.h>

/* Depth and quotes only: what is not JSON is yyjson's to name. */
static bool too_deep(struct str text, unsigned depth_max) {
    unsigned depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            if (++depth > depth_max)
                return true;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return false;
}

static int compare_keys(const void *a, const void *b) {
    yyjson_val *const *x = a, *const *y = b;
    size_t nx = yyjson_get_len(*x), ny = yyjson_get_len(*y);
    int order = memcmp(yyjson_get_str(*x), yyjson_get_str(*y), nx < ny ? nx : ny);
    return order ? order : (nx > ny) - (nx < ny);
}

/* The keys of an object in byte order, in memory of the caller's to free; NULL when out of memory or empty. */
static yyjson_val **sorted_keys(yyjson_val *object) {
    size_t n = yyjson_obj_size(object), i, max;
    yyjson_val **keys = n ? malloc(n * sizeof *keys) : NULL, *key, *value;
    if (!keys)
        return NULL;
    yyjson_obj_foreach(object, i, max, key, value) {
        keys[i] = key;
    }
    qsort(keys, n, sizeof *keys, compare_keys);
    return keys;
}

static int find_duplicate(yyjson_val *v, struct err *e) {
    size_t i, max, n = yyjson_obj_size(v);
    yyjson_val *key, *child;
    if (yyjson_is_obj(v) && n > 1) {
        yyjson_val **keys = sorted_keys(v);
        if (!keys)
            return err_set(e, ERR_MEMORY, "", "out of memory");
        const char *twice = NULL;
        for (size_t k = 1; k < n && !twice; k++)
            if (compare_keys(&keys[k - 1], &keys[k]) == 0)
                twice = yyjson_get_str(keys[k]);
        free(keys);
        if (twice)
            return err_set(e, ERR_INPUT, twice, "this key stands twice in one object; keep one of them");
    }
    if (yyjson_is_obj(v)) {
        yyjson_obj_foreach(v, i, max, key, child) {
            if (yyjson_is_ctn(child) && find_duplicate(child, e) < 0)
                return e ? e->code : ERR_INPUT;
        }
    } else if (yyjson_is_arr(v)) {
        yyjson_arr_foreach(v, i, max, child) {
            if (yyjson_is_ctn(child) && find_duplicate(child, e) < 0)
                return e ? e->code : ERR_INPUT;
        }
    }
    return 0;
}

int json_read(struct str text, unsigned depth_max, yyjson_doc **doc, struct err *e) {
    *doc = NULL;
    if (too_deep(text, depth_max))
        return err_set(e, ERR_LIMIT, "JSON", "is nested deeper than %u levels", depth_max);
    yyjson_read_err why = {0};
    static char empty[1];
    yyjson_doc *d = yyjson_read_opts(text.n ? (char *)(uintptr_t)text.p : empty, text.n, YYJSON_READ_BIGNUM_AS_RAW, NULL, &why);
    if (!d)
        return err_set(e, why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION ? ERR_MEMORY : ERR_INPUT, "JSON",
                       "is not valid at byte %zu: %s", why.pos, why.msg ? why.msg : "unknown reason");
    int r = find_duplicate(yyjson_doc_get_root(d), e);
    if (r < 0) {
        yyjson_doc_free(d);
        return r;
    }
    *doc = d;
    return 0;
}

static void canonical_number(struct buf *b, yyjson_val *v) {
    char *text = yyjson_val_write(v, YYJSON_WRITE_ALLOW_INF_AND_NAN, NULL);
    if (text)
        buf_z(b, text);
    else
        b->failed = true;
    free(text);
}

static void canonical_object(struct buf *b, yyjson_val *v) {
    size_t n = yyjson_obj_size(v);
    yyjson_val **keys = sorted_keys(v);
    if (!keys && n)
        b->failed = true;
    buf_byte(b, '{');
    for (size_t i = 0; keys && i < n; i++) {
        if (i)
            buf_byte(b, ',');
        buf_json(b, (struct str){yyjson_get_str(keys[i]), yyjson_get_len(keys[i])});
        buf_byte(b, ':');
        json_canonical(b, yyjson_obj_iter_get_val(keys[i]));
    }
    buf_byte(b, '}');
    free(keys);
}

void json_canonical(struct buf *b, yyjson_val *v) {
    size_t i, max;
    yyjson_val *child;
    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_NULL: buf_z(b, "null"); break;
    case YYJSON_TYPE_BOOL: buf_z(b, yyjson_get_bool(v) ? "true" : "false"); break;
    case YYJSON_TYPE_NUM: canonical_number(b, v); break;
    case YYJSON_TYPE_RAW: buf_add(b, yyjson_get_raw(v), yyjson_get_len(v)); break;
    case YYJSON_TYPE_STR: buf_json(b, (struct str){yyjson_get_str(v), yyjson_get_len(v)}); break;
    case YYJSON_TYPE_OBJ: canonical_object(b, v); break;
    case YYJSON_TYPE_ARR:
        buf_byte(b, '[');
        yyjson_arr_foreach(v, i, max, child) {
            if (i)
                buf_byte(b, ',');
            json_canonical(b, child);
        }
        buf_byte(b, ']');
        break;
    default: b->failed = true;
    }
}
