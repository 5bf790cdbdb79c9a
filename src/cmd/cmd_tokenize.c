/* moat tokenize, moat detokenize: a vocabulary at work, line by line. */
#include "cmds.h"

#include "../model/model.h"

struct tokens {
    const struct cmd_opts *opts;
    struct tok *tok;
};

/* "[1, 2]". By hand: printf takes longer than the tokenizer. */
static void write_ids(struct buf *out, const struct tok_ids *ids) {
    buf_byte(out, '[');
    for (size_t i = 0; i < ids->n; i++) {
        char digits[16], *p = digits + sizeof digits;
        for (uint32_t v = ids->ids[i]; p == digits + sizeof digits || v; v /= 10)
            *--p = (char)('0' + v % 10);
        if (i) {
            *--p = ' ';
            *--p = ',';
        }
        buf_add(out, p, (size_t)(digits + sizeof digits - p));
    }
    buf_byte(out, ']');
}

static int tokenize_line(void *ctx, uint64_t i, struct str line, struct buf *out, struct err *e) {
    const struct tokens *t = ctx;
    yyjson_doc *doc;
    struct tok_ids ids = {0};
    (void)i;
    int r = json_read(line, 2, &doc, e);
    if (r < 0)
        return r;
    yyjson_val *text = yyjson_doc_get_root(doc);
    if (!yyjson_is_str(text))
        r = err_set(e, ERR_INPUT, "line", "is not a JSON string");
    if (r == 0 && t->opts->bos)
        r = tok_add_front(t->tok, &ids, e);
    if (r == 0)
        r = tok_encode(t->tok, (struct str){yyjson_get_str(text), yyjson_get_len(text)},
                       t->opts->special ? TOK_SPECIAL : TOK_TEXT, &ids, e);
    if (r == 0 && t->opts->bos)
        r = tok_add_back(t->tok, &ids, e);
    if (r == 0)
        write_ids(out, &ids);
    tok_ids_free(&ids);
    yyjson_doc_free(doc);
    return r;
}

/* Ids of a JSON array, appended to ids. */
static int read_ids(yyjson_val *array, const struct tok *tok, struct tok_ids *ids, struct buf *room, struct err *e) {
    size_t i, max;
    yyjson_val *v;
    if (!yyjson_is_arr(array))
        return err_set(e, ERR_INPUT, "line", "is not a JSON array of token ids");
    ids->ids = buf_room(room, yyjson_arr_size(array) * sizeof *ids->ids);
    if (!ids->ids)
        return err_set(e, ERR_MEMORY, "line", "out of memory");
    yyjson_arr_foreach(array, i, max, v) {
        if (!yyjson_is_uint(v) || yyjson_get_uint(v) >= tok_n(tok))
            return err_set(e, ERR_INPUT, "line", "item %zu is no token id below %u", i, tok_n(tok));
        ids->ids[ids->n++] = (uint32_t)yyjson_get_uint(v);
    }
    return 0;
}

static void write_hex(struct buf *out, struct str bytes) {
    buf_byte(out, '"');
    for (size_t i = 0; i < bytes.n; i++)
        buf_fmt(out, "%02x", (uint8_t)bytes.p[i]);
    buf_byte(out, '"');
}

static int detokenize_line(void *ctx, uint64_t i, struct str line, struct buf *out, struct err *e) {
    const struct tokens *t = ctx;
    yyjson_doc *doc;
    struct tok_ids ids = {0};
    struct tok_stream stream = {0};
    struct buf room = {0}, text = {0};
    (void)i;
    int r = json_read(line, 2, &doc, e);
    if (r < 0)
        return r;
    r = read_ids(yyjson_doc_get_root(doc), t->tok, &ids, &room, e);
    if (r == 0 && t->opts->hex) {
        tok_decode(t->tok, ids.ids, ids.n, true, &text);
        write_hex(out, buf_as_str(&text));
    } else if (r == 0) {
        for (size_t k = 0; k < ids.n; k++)
            tok_stream_add(t->tok, &stream, ids.ids[k], true, &text);
        tok_stream_end(&stream, &text);
        buf_json(out, buf_as_str(&text));
    }
    out->failed = out->failed || text.failed;
    buf_free(&room);
    buf_free(&text);
    yyjson_doc_free(doc);
    return r;
}

/* Opens the file's tokenizer, whatever its architecture, and runs the lines of stdin through `each`. */
static int with_tokenizer(struct cmd_args *a, int (*each)(void *ctx, uint64_t i, struct str line, struct buf *out, struct err *e),
                          struct err *e) {
    struct cmd_model file;
    struct gguf *g = NULL;
    struct arena arena = {0};
    struct tok_spec spec;
    struct tokens t = {.opts = &a->opts};
    int r = cmd_model_open(a->args[0], &file, e);
    if (r < 0)
        return r;
    r = gguf_open(file.map, &g, e);
    if (r == 0)
        r = model_tok_spec(g, &arena, &spec, e);
    if (r == 0)
        r = tok_new(&spec, &t.tok, e);
    arena_free(&arena);
    if (r < 0)
        err_within(e, file.path);
    else
        r = cmd_lines(each, &t, e);
    tok_free(t.tok);
    gguf_close(g);
    cmd_model_close(&file);
    return r;
}

int cmd_tokenize(struct cmd_args *a, struct err *e) {
    return with_tokenizer(a, tokenize_line, e);
}

int cmd_detokenize(struct cmd_args *a, struct err *e) {
    return with_tokenizer(a, detokenize_line, e);
}
