/* api_fields: reading a JSON object by a table of its fields, with OpenAI's words for what is wrong. */
#include "api_fields.h"

#include <math.h>
#include <string.h>

struct str api_json_str(yyjson_val *v) {
    return (struct str){yyjson_get_str(v), yyjson_get_len(v)};
}

static const char *type_name(yyjson_val *v) {
    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_NONE: return "nothing";
    case YYJSON_TYPE_NULL: return "null";
    case YYJSON_TYPE_BOOL: return "a boolean";
    case YYJSON_TYPE_STR: return "a string";
    case YYJSON_TYPE_ARR: return "an array";
    case YYJSON_TYPE_OBJ: return "an object";
    case YYJSON_TYPE_NUM: return yyjson_is_real(v) ? "a decimal" : "an integer";
    default: return "a number that is too large";
    }
}

int api_wrong_type(struct reader *r, const char *name, const char *expected, yyjson_val *v) {
    return api_refuse(r->bad, 400, "invalid_type", name, "Invalid type for '%s': expected %s, but got %s instead.", name,
                      expected, type_name(v));
}

static int check_range(struct reader *r, const char *name, const char *noun, double x, double min, double max) {
    if (x > max)
        return api_refuse(r->bad, 400, *noun == 'i' ? "integer_above_max_value" : "decimal_above_max_value", name,
                          "Invalid '%s': %s above maximum value. Expected a value <= %.10g, but got %.10g instead.", name, noun,
                          max, x);
    if (!(x >= min))
        return api_refuse(r->bad, 400, *noun == 'i' ? "integer_below_min_value" : "decimal_below_min_value", name,
                          "Invalid '%s': %s below minimum value. Expected a value >= %.10g, but got %.10g instead.", name, noun,
                          min, x);
    return 0;
}

int api_count_read(struct reader *r, const char *name, yyjson_val *v, double min, double max, uint32_t *out) {
    if (!yyjson_is_int(v))
        return api_wrong_type(r, name, "an integer", v);
    double x = yyjson_is_sint(v) ? (double)yyjson_get_sint(v) : (double)yyjson_get_uint(v);
    if (check_range(r, name, "integer", x, min, max) < 0)
        return -1;
    *out = (uint32_t)x;
    return 0;
}

static int read_real(struct reader *r, const char *name, yyjson_val *v, double min, double max, float *out) {
    if (!yyjson_is_num(v))
        return api_wrong_type(r, name, "a decimal", v);
    double x = yyjson_get_num(v);
    if (check_range(r, name, "decimal", x, min, max) < 0)
        return -1;
    *out = (float)x;
    return 0;
}

int api_text_read(struct reader *r, const char *name, yyjson_val *v, struct str *out) {
    if (!yyjson_is_str(v))
        return api_wrong_type(r, name, "a string", v);
    *out = api_json_str(v);
    return 0;
}

static const struct field *find_field(const struct field *const *groups, struct str name) {
    for (; *groups; groups++)
        for (const struct field *f = *groups; f->name; f++)
            if (str_is(name, f->name))
                return f;
    return NULL;
}

static void ignore(struct reader *r, struct str name) {
    struct buf *list = &r->call->ignored;
    buf_z(list, list->n ? ", " : "");
    buf_str(list, name);
}

static int read_field(struct reader *r, const struct field *f, yyjson_val *v) {
    void *to = (char *)r->call + f->at;
    switch (f->kind) {
    case FIELD_BOOL:
        if (!yyjson_is_bool(v))
            return api_wrong_type(r, f->name, "a boolean", v);
        *(bool *)to = yyjson_get_bool(v);
        return 0;
    case FIELD_COUNT: return api_count_read(r, f->name, v, f->min, f->max, to);
    case FIELD_REAL: return read_real(r, f->name, v, f->min, f->max, to);
    case FIELD_TEXT: return api_text_read(r, f->name, v, to);
    case FIELD_READ: return f->read(r, f->name, v);
    case FIELD_IDLE: return 0;
    case FIELD_REFUSED: break;
    }
    if (r->opts->warn_unknown) {
        ignore(r, str_of(f->name));
        return 0;
    }
    return api_refuse(r->bad, 400, "unsupported_parameter", f->name,
                      "Unsupported parameter: '%s' is not supported by this server.", f->name);
}

int api_fields_read(struct reader *r, yyjson_val *root, const struct field *const *groups) {
    size_t i, max;
    yyjson_val *key, *v;
    yyjson_obj_foreach(root, i, max, key, v) {
        struct str name = api_json_str(key);
        const struct field *f = find_field(groups, name);
        if (f && !yyjson_is_null(v)) {
            if (read_field(r, f, v) < 0)
                return -1;
        } else if (!f && r->opts->warn_unknown) {
            ignore(r, name);
        } else if (!f) {
            char shown[96];
            snprintf(shown, sizeof shown, "%s%s%.*s", r->within ? r->within : "", r->within ? "." : "",
                     name.n < 64 ? (int)name.n : 64, name.p);
            return api_refuse(r->bad, 400, "unknown_parameter", shown, "Unknown parameter: '%s'.", shown);
        }
    }
    return 0;
}

int api_body_read(struct str body, struct api_call *call, struct api_error *bad) {
    struct err e = {0};
    if (json_read(body, API_JSON_DEPTH_MAX, &call->doc, &e) < 0)
        return api_refuse(bad, e.code == ERR_MEMORY ? 500 : 400, "invalid_json", "",
                          "We could not parse the JSON body of your request: %s: %s.", e.where, e.msg);
    if (!yyjson_is_obj(yyjson_doc_get_root(call->doc)))
        return api_refuse(bad, 400, "invalid_type", "", "The body of the request must be a JSON object.");
    return 0;
}

void api_call_free(struct api_call *c) {
    yyjson_doc_free(c->doc);
    arena_free(&c->mem);
    buf_free(&c->text);
    buf_free(&c->ignored);
    *c = (struct api_call){0};
}
