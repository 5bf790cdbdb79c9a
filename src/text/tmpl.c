/* tmpl: chat templates. Compiles once into an immutable tree; each render has its own arena, limits and scopes, so that any
 * number of threads may render one template. */
#include "tmpl_run.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCE_MAX = 1 << 20, TREE_MAX = 512 << 20, CONTEXT_MAX = 1 << 30 };

/* ---- compiling ------------------------------------------------------------------------------------------------------ */

int tmpl_new(struct str source, struct tmpl **out, struct err *e) {
    struct lex_tokens tokens = {0};
    struct err own = {0};
    *out = NULL;
    if (!e)
        e = &own;
    if (!source.p)
        source = STR("");
    if (source.n > SOURCE_MAX)
        return err_set(e, ERR_LIMIT, "limit", "the template is %zu bytes long; at most %d are read", source.n, SOURCE_MAX);
    struct tmpl *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(e, ERR_MEMORY, "template", "out of memory");
    t->arena.max = TREE_MAX;
    int r = tmpl_lex(&t->arena, source, &tokens, e);
    if (r == 0)
        r = tmpl_parse(t, tokens.items, e);
    if (r == 0)
        r = tmpl_hide(t, e);
    free(tokens.items);
    if (r < 0)
        tmpl_free(t);
    else
        *out = t;
    return r;
}

void tmpl_free(struct tmpl *t) {
    if (!t)
        return;
    arena_free(&t->arena);
    free(t);
}

/* ---- failing and limits ------------------------------------------------------------------------------------------------ */

int tmpl_failed(const struct render *r) {
    return r->e->code;
}

int tmpl_fail(struct render *r, const char *kind, const char *fmt, ...) {
    char text[sizeof r->e->msg];
    va_list args;
    if (r->e->code)
        return r->e->code;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t n = utf8_complete(str_of(text));
    for (size_t i = 0; i < n && !utf8_valid((struct str){text, n}); i++) /* halves of surrogate pairs */
        text[i] = (uint8_t)text[i] < 0x80 ? text[i] : '?';
    return err_set(r->e, strcmp(kind, "limit") == 0 ? ERR_LIMIT : ERR_INPUT, kind, "%.*s", (int)n, text);
}

void *tmpl_alloc(struct render *r, size_t bytes) {
    void *p = r->e->code ? NULL : arena_alloc(&r->arena, bytes);
    if (!p)
        tmpl_fail(r, "limit", "the template needs more than %d MiB of memory", RENDER_MEMORY >> 20);
    return p;
}

void *tmpl_array(struct render *r, size_t n, size_t item_bytes) {
    size_t bytes;
    if (__builtin_mul_overflow(n, item_bytes, &bytes))
        bytes = SIZE_MAX;
    return tmpl_alloc(r, bytes);
}

int tmpl_step(struct render *r) {
    if (r->steps++ < r->limits.steps)
        return 0;
    return tmpl_fail(r, "limit", "the template takes more than %llu steps", (unsigned long long)r->limits.steps);
}

int tmpl_work(struct render *r, size_t n) {
    r->work += n;
    return r->work <= r->work_max ? 0 : tmpl_fail(r, "limit", "the template looks at its text too often");
}

int tmpl_enter(struct render *r) {
    if (r->depth == RENDER_DEPTH_MAX)
        return tmpl_fail(r, "limit", "values or expressions are nested more than %d deep", RENDER_DEPTH_MAX);
    r->depth++;
    return 0;
}

void tmpl_leave(struct render *r) {
    r->depth--;
}

/* ---- rendering ------------------------------------------------------------------------------------------------------------ */

/* Bytes of all strings in a JSON value; values of a document lie one behind the other. */
static size_t text_bytes(yyjson_val *json) {
    size_t n = 0;
    for (yyjson_val *v = json, *end = unsafe_yyjson_get_next(json); v < end; v++)
        if (yyjson_is_str(v))
            n += yyjson_get_len(v);
    return n;
}

static bool is_trusted(const char *const *trusted, struct str name) {
    for (; trusted && *trusted; trusted++)
        if (str_is(name, *trusted))
            return true;
    return false;
}

/* Makes values of what the template names; the rest of the context is not looked at. */
static int read_context(struct render *r, yyjson_val *context, const char *const *trusted) {
    size_t i, max;
    yyjson_val *key, *value;
    r->context = tmpl_array(r, r->t->n_names, sizeof *r->context);
    if (!r->context)
        return tmpl_failed(r);
    yyjson_obj_foreach(context, i, max, key, value) {
        struct str name = {yyjson_get_str(key), yyjson_get_len(key)};
        uint32_t id = tmpl_name_find(r->t, name);
        if (id != UINT32_MAX && tmpl_from_json(r, value, is_trusted(trusted, name) ? TEMPLATE : REQUEST, &r->context[id]) < 0)
            return tmpl_failed(r);
    }
    return 0;
}

static void set_limits(struct render *r, const struct tmpl_limits *given, size_t request_bytes) {
    if (given)
        r->limits = *given;
    if (!r->limits.steps)
        r->limits.steps = 1000000;
    if (!r->limits.range)
        r->limits.range = 100000;
    if (!r->limits.output)
        r->limits.output = 1 << 20;
    if (!r->limits.depth)
        r->limits.depth = 64;
    r->page_max = request_bytes + r->limits.output;
    r->work_max = RENDER_WORK + RENDER_WORK_PER_BYTE * (uint64_t)request_bytes;
    r->arena.max = CONTEXT_MAX;
}

/* The page as segments of one origin each. */
static int cut_segments(const struct text *page, struct tmpl_out *out, struct err *e) {
    size_t n = page->n_runs ? page->n_runs : page->n > 0, from = 0;
    if (!utf8_valid((struct str){page->p, page->n}))
        return err_set(e, ERR_INPUT, "type", "surrogates not allowed: half of a surrogate pair cannot be put out");
    out->text = (struct buf){0};
    out->segments = malloc((n ? n : 1) * sizeof *out->segments);
    buf_add(&out->text, page->p, page->n);
    if (!out->segments || out->text.failed)
        return err_set(e, ERR_MEMORY, "template", "out of memory");
    for (size_t i = 0; i < n; i++) {
        size_t end = page->n_runs ? page->runs[i].end : page->n;
        bool request = (page->n_runs ? page->runs[i].origin : page->origin) == REQUEST;
        out->segments[i] = (struct tmpl_segment){{out->text.p + from, end - from}, request};
        from = end;
    }
    out->n_segments = n;
    return 0;
}

int tmpl_render(const struct tmpl *t, yyjson_val *context, const char *const *trusted, struct str now,
                const struct tmpl_limits *limits, struct tmpl_out *out, struct err *e) {
    struct err own = {0};
    struct render r = {.t = t, .e = e ? e : &own, .now = now};
    *out = (struct tmpl_out){0};
    if (!yyjson_is_obj(context))
        return err_set(r.e, ERR_INPUT, "type", "the context of a template is an object");
    set_limits(&r, limits, text_bytes(context));
    r.out = &r.page;
    int code = read_context(&r, context, trusted);
    r.arena.max = r.arena.used + RENDER_MEMORY;
    if (code == 0 && !(r.top = r.scope = tmpl_scope_new(&r, NULL)))
        code = tmpl_failed(&r);
    if (code == 0)
        code = tmpl_exec(&r, t->body);
    if (code == 0)
        code = cut_segments(&r.page, out, r.e);
    if (code < 0)
        tmpl_out_free(out);
    arena_free(&r.arena);
    return code;
}

void tmpl_out_free(struct tmpl_out *out) {
    buf_free(&out->text);
    free(out->segments);
    *out = (struct tmpl_out){0};
}
