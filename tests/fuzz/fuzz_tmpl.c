/* A template and its context, both hostile: Jinja source, a NUL byte, JSON. Whatever it is, it compiles and renders or fails
 * with a reason, within its limits; segments are the text, and two renders are equal. */
#include "text/text.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { JSON_DEPTH = 64 };

static void check_out(const struct tmpl_out *out) {
    size_t at = 0;
    for (size_t i = 0; i < out->n_segments; i++) {
        const struct tmpl_segment *s = &out->segments[i];
        ASSERT(s->text.p == out->text.p + at && s->text.n > 0);
        ASSERT(i == 0 || s->from_request != s[-1].from_request);
        at += s->text.n;
    }
    ASSERT(at == out->text.n);
}

static void render(const struct tmpl *t, yyjson_val *context) {
    static const char *const trusted[] = {"bos_token", NULL};
    static const struct tmpl_limits limits = {.steps = 20000, .range = 2000, .output = 1 << 16, .depth = 40};
    struct tmpl_out out[2] = {0};
    struct err e[2] = {0};
    int code[2];
    for (int i = 0; i < 2; i++) {
        code[i] = tmpl_render(t, context, trusted, STR("2026-01-31T12:34:56"), &limits, &out[i], &e[i]);
        ASSERT(code[i] == e[i].code && (code[i] == 0 || (e[i].where[0] && utf8_valid(str_of(e[i].msg)))));
    }
    check_out(&out[0]);
    ASSERT(code[0] == code[1] && out[0].n_segments == out[1].n_segments &&
           str_eq(buf_as_str(&out[0].text), buf_as_str(&out[1].text)));
    tmpl_out_free(&out[0]);
    tmpl_out_free(&out[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const uint8_t *end = n ? memchr(data, 0, n) : NULL;
    struct str source = {(const char *)data, end ? (size_t)(end - data) : n};
    struct str json = end && source.n + 1 < n ? (struct str){(const char *)end + 1, n - source.n - 1} : STR("{}");
    struct tmpl *t = NULL;
    struct err e = {0};
    int code = tmpl_new(source, &t, &e);
    ASSERT(code == e.code && (code == 0) == (t != NULL));
    yyjson_doc *doc = NULL;
    if (code == 0 && json_read(json, JSON_DEPTH, &doc, &e) == 0) {
        render(t, yyjson_doc_get_root(doc));
        yyjson_doc_free(doc);
    }
    tmpl_free(t);
    return 0;
}
