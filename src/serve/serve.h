/* serve: the server process. Sockets, keys, admission, routing to engine processes, metrics. It parses no model file and runs no
 * template: engines do, one child process a model, over wire.
 *
 *     struct serve_model m = {.fd = fd, .packed_fd = -1, .open = {.name = "smollm2", ...}};
 *     serve_run(&(struct serve_opts){.models = &m, .n_models = 1, .host = "127.0.0.1", .port = 8080, ...}, &e);
 *
 * One thread, one loop. A request's way: routes.c (what it is, who asks) -> generate.c (codec, admission, engine, answer) ->
 * engine_link.c (the child and its requests) and back. */
#pragma once

#include "../base/base.h"
#include "../wire/wire.h"

enum { SERVE_MODELS_MAX = 16, SERVE_KEYS_MAX = 64 };

struct serve_model {
    int fd;                /* of the model file; borrowed while the server runs */
    int packed_fd;         /* of the file for its packed weights, or -1; borrowed too */
    struct wire_open open; /* how the engine opens it; its name is the model's name in the API */
};
struct serve_opts {
    const struct serve_model *models;
    unsigned n_models;
    const char *host;
    unsigned port;           /* 0: a free one */
    const char *const *keys; /* what clients must send; none: nothing is asked for */
    unsigned n_keys;
    bool warn_unknown; /* --unknown-fields warn */
    /* Called once, when every model answers. */
    void (*announce)(void *ctx, const char *url);
    void *ctx;
};
/* Serves until SIGTERM or SIGINT, then drains and returns 0; a second signal ends it at once. ERR_ENV: cannot listen, or an
 * engine cannot be started; ERR_INPUT: a model cannot be opened. */
int serve_run(const struct serve_opts *opts, struct err *e) MUST_USE;
