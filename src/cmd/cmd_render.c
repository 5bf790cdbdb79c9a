/* moat render: chat templates at work, line by line. */
#include "cmds.h"

#include "../model/model.h"

#include <string.h>
#include <time.h>

enum { JSON_DEPTH = 64 };

struct renderer {
    const struct cmd_opts *opts;
    struct tmpl *own; /* the model's template, or NULL */
    struct tok *tok;  /* with --ids */
    char now[32];     /* the clock, for lines that give no time */
};

static struct str str_field(yyjson_val *object, const char *key) {
    yyjson_val *v = yyjson_obj_get(object, key);
    return (struct str){yyjson_get_str(v), yyjson_get_len(v)};
}

/* Variables that spell one of the model's control tokens count as the template's own; whatever else they hold is of the request. */
static void find_trusted(const struct renderer *r, yyjson_val *context, const char *trusted[8]) {
    static const char *const names[] = {"bos_token", "eos_token", "pad_token", "unk_token",
                                        "sep_token", "cls_token", "mask_token"};
    size_t n = 0;
    for (size_t i = 0; r->tok && i < N_ITEMS(names); i++) {
        struct str value = str_field(context, names[i]);
        int32_t id = value.n ? tok_find(r->tok, value) : TOK_NONE;
        if (id != TOK_NONE && tok_kind(r->tok, (uint32_t)id) == TOK_CONTROL)
            trusted[n++] = names[i];
    }
    trusted[n] = NULL;
}

static void write_segments(const struct tmpl_out *page, struct buf *out) {
    buf_z(out, "{\"output\": ");
    buf_json(out, buf_as_str(&page->text));
    buf_z(out, ", \"segments\": [");
    for (size_t i = 0; i < page->n_segments; i++) {
        buf_z(out, i ? ", [" : "[");
        buf_z(out, page->segments[i].from_request ? "\"r\", " : "\"t\", ");
        buf_json(out, page->segments[i].text);
        buf_byte(out, ']');
    }
    buf_byte(out, ']');
}

static int write_ids(const struct renderer *r, const struct tmpl_out *page, struct buf *out, struct err *e) {
    struct tok_ids ids = {0};
    int code = tok_encode_segments(r->tok, page, &ids, e);
    buf_z(out, ", \"ids\": [");
    for (size_t i = 0; code == 0 && i < ids.n; i++)
        buf_fmt(out, i ? ", %u" : "%u", ids.ids[i]);
    buf_byte(out, ']');
    tok_ids_free(&ids);
    return code;
}

static int render_line(struct renderer *r, yyjson_val *line, struct buf *out, struct err *e) {
    yyjson_val *source = yyjson_obj_get(line, "template"), *context = yyjson_obj_get(line, "context");
    struct str now = str_field(line, "now");
    struct tmpl *given = NULL;
    struct tmpl_out page = {0};
    const char *trusted[8];
    int code = 0;
    if (!context || (source && !yyjson_is_str(source)) || (!source && !r->own))
        return err_set(e, ERR_INPUT, "line", "wants {\"template\": text (or a MODEL with one), \"context\": object}");
    if (source)
        code = tmpl_new(str_field(line, "template"), &given, e);
    find_trusted(r, context, trusted);
    if (code == 0)
        code = tmpl_render(source ? given : r->own, context, trusted, now.p ? now : str_of(r->now), NULL, &page, e);
    if (code == 0)
        write_segments(&page, out);
    if (code == 0 && r->tok)
        code = write_ids(r, &page, out, e);
    buf_byte(out, '}');
    tmpl_out_free(&page);
    tmpl_free(given);
    return code;
}

static int each_line(void *ctx, uint64_t i, struct str line, struct buf *out, struct err *e) {
    yyjson_doc *doc;
    (void)i;
    int code = json_read(line, JSON_DEPTH, &doc, e);
    if (code < 0)
        return code;
    code = render_line(ctx, yyjson_doc_get_root(doc), out, e);
    yyjson_doc_free(doc);
    return code;
}

/* The template of a model file, where it has one, and with --ids its tokenizer. */
static int open_model(struct renderer *r, const struct gguf *g, struct err *e) {
    struct arena arena = {0};
    struct tok_spec spec;
    struct str source = {0};
    int code = model_template(g, &source, e);
    if (code == 0 && source.n)
        code = tmpl_new(source, &r->own, e);
    if (code == 0 && r->opts->ids)
        code = model_tok_spec(g, &arena, &spec, e);
    if (code == 0 && r->opts->ids)
        code = tok_new(&spec, &r->tok, e);
    arena_free(&arena);
    return code;
}

int cmd_render(struct cmd_args *a, struct err *e) {
    struct renderer r = {.opts = &a->opts};
    struct cmd_model file;
    struct gguf *g = NULL;
    struct tm local;
    time_t t = (time_t)clock_wall_s();
    int code = 0;
    if (localtime_r(&t, &local))
        strftime(r.now, sizeof r.now, "%Y-%m-%dT%H:%M:%S", &local);
    if (a->n_args == 0)
        return r.opts->ids ? err_set(e, ERR_USAGE, "--ids", "needs a MODEL, whose tokens they are") : cmd_lines(each_line, &r, e);
    if ((code = cmd_model_open(a->args[0], &file, e)) < 0)
        return code;
    code = gguf_open(file.map, &g, e);
    if (code == 0)
        code = open_model(&r, g, e);
    if (code < 0)
        err_within(e, file.path);
    else
        code = cmd_lines(each_line, &r, e);
    tmpl_free(r.own);
    tok_free(r.tok);
    gguf_close(g);
    cmd_model_close(&file);
    return code;
}
