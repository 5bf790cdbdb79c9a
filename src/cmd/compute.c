#include "compute.h"
#include "../engine/engine.h"

#include <stdlib.h>

enum { CHUNK_DEFAULT = 512 };

static int open_all(const struct cmd_args *a, const char *model, unsigned threads, struct compute *c, struct err *e) {
    const struct cmd_opts *o = &a->opts;
    struct model_opts opts = {0};
    c->kern = kern_get(o->isa, e);
    if (!c->kern)
        return e->code;
    if (cmd_model_open(model, &c->file, e) < 0)
        return e->code;
    if (gguf_open(c->file.map, &c->gguf, e) < 0) {
        err_within(e, model);
        return e->code;
    }
    c->pool = pool_new(threads);
    if (!c->pool)
        return err_set(e, ERR_ENV, "threads", "cannot start %u threads", threads);
    opts.kern = c->kern;
    opts.kv_type = (enum dtype)cmd_kv_type(o->kv);
    opts.pool = c->pool;
    opts.map = c->file.map;
    cmd_model_packed(&c->file);
    const struct packed_file packed = {.fd = c->file.packed,
                                       .source = c->file.source,
                                       .weights = c->file.from_store ? &c->file.weights : NULL,
                                       .claimed = c->file.from_store};
    opts.packed = &packed;
    opts.ctx = o->ctx ? (uint32_t)o->ctx : engine_default_ctx(c->gguf);
    opts.rows_max = c->chunk;
    if (model_open(c->gguf, &opts, &c->model, e) < 0)
        err_within(e, model);
    return e->code;
}

int compute_open(const struct cmd_args *a, const char *model, unsigned threads, struct compute *out, struct err *e) {
    *out = (struct compute){.file.fd = -1, .chunk = a->opts.chunk ? (uint32_t)a->opts.chunk : CHUNK_DEFAULT};
    if (open_all(a, model, threads ? threads : cpus_usable(), out, e) < 0)
        compute_close(out);
    return e->code;
}

void compute_close(struct compute *c) {
    model_close(c->model);
    pool_free(c->pool);
    gguf_close(c->gguf);
    if (c->file.fd >= 0)
        cmd_model_close(&c->file);
    *c = (struct compute){.file.fd = -1};
}

int compute_ids(struct str json, uint32_t n_vocab, uint32_t n_max, uint32_t **ids, uint32_t *n, struct err *e) {
    yyjson_doc *doc = NULL;
    if (json_read(json, 2, &doc, e) < 0)
        return e->code;
    yyjson_val *array = yyjson_doc_get_root(doc), *item;
    size_t i, n_items = yyjson_arr_size(array);
    if (!yyjson_is_arr(array))
        err_set(e, ERR_INPUT, "line", "is no JSON array of token ids");
    else if (n_items > n_max)
        err_set(e, ERR_LIMIT, "line", "has %zu ids; the context holds %u (--ctx)", n_items, n_max);
    else if (!(*ids = malloc((n_items + 1) * sizeof **ids)))
        err_set(e, ERR_MEMORY, "line", "no memory for %zu ids", n_items);
    size_t count;
    if (!e->code)
        yyjson_arr_foreach(array, i, count, item) {
            if (!yyjson_is_uint(item) || yyjson_get_uint(item) >= n_vocab) {
                err_set(e, ERR_INPUT, "line", "item %zu is no token id below %u", i, n_vocab);
                break;
            }
            (*ids)[i] = (uint32_t)yyjson_get_uint(item);
        }
    *n = (uint32_t)n_items;
    yyjson_doc_free(doc);
    return e->code;
}
