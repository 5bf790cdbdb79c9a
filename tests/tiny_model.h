/* tiny_model: a model of tests/golden/models for tests in C, up to model_open:
 *
 *     struct tiny_model t;
 *     tiny_open(&t, "tiny-window", 2, 64);           // threads, rows of a step
 *     model_open(t.gguf, &t.opts, &model, &e);       // opts: also ctx, packed ... as the test likes
 *     tiny_close(&t);                                // behind model_close
 *
 * The file is in memory of its own, so that a test can spoil it before the model is opened. */
#pragma once

#include "model/model.h"

#include <fcntl.h>

struct tiny_model {
    struct buf file;
    struct gguf *gguf;
    struct pool *pool;
    struct model_opts opts;
};

static inline void tiny_open(struct tiny_model *t, const char *name, unsigned n_threads, uint32_t rows_max) {
    char path[64];
    struct err e = {0};
    *t = (struct tiny_model){.pool = pool_new(n_threads)};
    t->opts = (struct model_opts){.kern = kern_get(NULL, &e), .pool = t->pool, .kv_type = DTYPE_F16, .rows_max = rows_max};
    snprintf(path, sizeof path, "tests/golden/models/%s.gguf", name);
    ASSERT(t->pool && t->opts.kern && fs_read(AT_FDCWD, path, &t->file, &e) == 0);
    ASSERT(gguf_open(buf_as_str(&t->file), &t->gguf, &e) == 0);
}

static inline void tiny_close(struct tiny_model *t) {
    pool_free(t->pool);
    gguf_close(t->gguf);
    buf_free(&t->file);
}
