/* server: the process around it all. Starts the engines, listens, says so, drains on SIGTERM. */
#include "server.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { DRAIN_MS = 30000 };

static void end_loop(void *ctx) {
    uv_stop(&((struct server *)ctx)->loop);
}

static void on_grace_over(uv_timer_t *t) {
    struct server *s = t->data;
    log_line(LOG_WARN, "answers were still under way after %d s; they are broken off", DRAIN_MS / 1000);
    http_server_abort(s->http);
}

static void stop(struct server *s) {
    if (s->stopping) {
        http_server_abort(s->http);
        return;
    }
    s->stopping = true;
    unsigned n_open = 0;
    for (unsigned i = 0; i < s->n_links; i++)
        n_open += link_n_open(s->links[i]);
    if (n_open)
        log_line(LOG_WARN,
                 "stopping when the requests under way (%u) are answered, after %d s at most; a second signal ends at once",
                 n_open, DRAIN_MS / 1000);
    uv_timer_start(&s->grace, on_grace_over, DRAIN_MS, 0);
    http_server_drain(s->http, end_loop, s);
}

static void on_signal(uv_signal_t *h, int signum) {
    (void)signum;
    stop(h->data);
}

/* An engine has another state: the server answers when all do, and gives up when one cannot open its model at all. */
static void on_link_changed(void *ctx) {
    struct server *s = ctx;
    bool all_ready = true;
    for (unsigned i = 0; i < s->n_links; i++) {
        const struct err *fault = link_fault(s->links[i]);
        if (fault->code && !s->stopping) {
            err_set(s->err, fault->code, fault->where, "%s", fault->msg);
            stop(s);
            return;
        }
        all_ready = all_ready && link_state(s->links[i]) == LINK_READY;
    }
    if (!all_ready || s->n_links < s->opts->n_models || s->announced)
        return;
    char url[128];
    bool v6 = strchr(s->opts->host, ':');
    snprintf(url, sizeof url, "http://%s%.90s%s:%u", v6 ? "[" : "", s->opts->host, v6 ? "]" : "", http_server_port(s->http));
    s->announced = true;
    s->opts->announce(s->opts->ctx, url);
}

/* A connection is a descriptor: takes as many as the system lets us have. */
static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int start_engines(struct server *s, struct err *e) {
    for (unsigned i = 0; i < s->opts->n_models; i++) {
        struct link_opts o = {.loop = &s->loop, .model = &s->opts->models[i], .changed = on_link_changed, .ctx = s};
        struct link *l = link_new(&o);
        if (!l)
            return err_set(e, ERR_MEMORY, "engine", "out of memory");
        s->links[s->n_links++] = l;
    }
    on_link_changed(s); /* a fault at once was seen by nobody */
    return 0;
}

static void close_handle(uv_handle_t *h, void *ctx) {
    (void)ctx;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

static int run(struct server *s, struct err *e) {
    struct http_opts http = {.loop = &s->loop,
                             .host = s->opts->host,
                             .port = s->opts->port,
                             .request = routes_handle,
                             .error_body = routes_error_body,
                             .ctx = s};
    int r = http_server_new(&http, &s->http, e);
    if (r < 0)
        return r;
    uv_signal_start(&s->on_term, on_signal, SIGTERM);
    uv_signal_start(&s->on_int, on_signal, SIGINT);
    r = start_engines(s, e);
    if (r < 0)
        stop(s);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    return s->err->code;
}

int serve_run(const struct serve_opts *opts, struct err *e) {
    struct err own = {0};
    struct server *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ERR_MEMORY, "server", "out of memory");
    s->opts = opts;
    s->err = e ? e : &own;
    s->started_s = clock_wall_s();
    for (unsigned i = 0; i < opts->n_keys && i < SERVE_KEYS_MAX; i++)
        s->keys[s->n_keys++] = sha256_of(str_of(opts->keys[i]));
    raise_descriptor_limit();
    uv_loop_init(&s->loop);
    uv_signal_init(&s->loop, &s->on_term);
    uv_signal_init(&s->loop, &s->on_int);
    uv_timer_init(&s->loop, &s->grace);
    s->on_term.data = s->on_int.data = s->grace.data = s;
    int r = run(s, s->err);
    for (unsigned i = 0; i < s->n_links; i++)
        link_free(s->links[i]);
    uv_walk(&s->loop, close_handle, NULL);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    uv_loop_close(&s->loop);
    http_server_free(s->http);
    free(s);
    return r;
}
