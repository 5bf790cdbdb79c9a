/* server: what the files of serve share. Private to serve. */
#pragma once

#include "../api/api.h"
#include "../http/http.h"
#include "serve.h"

#include <uv.h>

/* ---- metrics: counters of the life of the process, written as Prometheus text ---------------------------------------------- */

enum { METRIC_BUCKETS = 12, METRIC_ROUTES = 16, METRIC_STATUSES = 6 };
struct histogram {
    uint64_t counts[METRIC_BUCKETS + 1], n;
    double sum;
};
struct metrics {
    uint64_t requests[METRIC_ROUTES][METRIC_STATUSES]; /* by route and status / 100 */
    uint64_t cancelled, paused, refused_busy, prompt_tokens, cached_tokens, completion_tokens;
    struct histogram first_token, duration; /* seconds, of generating requests */
};
void histogram_add(struct histogram *h, double seconds);
struct server;
void metrics_write(const struct server *s, struct buf *out);

/* ---- engine_link: one engine process ------------------------------------------------------------------------------------------ */

enum link_state { LINK_STARTING, LINK_READY, LINK_DOWN };
struct link;
struct link_opts {
    uv_loop_t *loop;
    const struct serve_model *model;
    void (*changed)(void *ctx); /* the state is another */
    void *ctx;
};
/* Starts the child; it answers later. NULL: out of memory. */
struct link *link_new(const struct link_opts *opts);
enum link_state link_state(const struct link *l);
const struct wire_model *link_model(const struct link *l); /* NULL until it has once answered */
const char *link_name(const struct link *l);
/* Why the engine could not open its model; code 0: nothing is wrong, or it did answer once. */
const struct err *link_fault(const struct link *l);
unsigned link_restarts(const struct link *l);
unsigned link_n_open(const struct link *l); /* requests with the engine or on their way */
bool link_is_full(const struct link *l, unsigned n_more);
/* Hands a request on: `shared` with another kind and body. Both stay valid until accepted, refused, error or link_cancel.
 * event(ctx) is called for each event; done, refused and error are the last. The id, or 0 when there is no room. */
uint64_t link_submit(struct link *l, const struct gen_req *shared, enum gen_kind kind, struct str body,
                     void (*event)(void *ctx, uint64_t id, const struct gen_event *ev), void *ctx);
void link_start(struct link *l, uint64_t id);
void link_pause(struct link *l, uint64_t id, bool paused); /* nothing is computed for it meanwhile; may be said again and again */
void link_cancel(struct link *l, uint64_t id);             /* no event comes any more */
/* Closes the socket, upon which the engine ends, and waits for it. */
void link_free(struct link *l);

/* ---- the server -------------------------------------------------------------------------------------------------------------------- */

struct server {
    const struct serve_opts *opts;
    uv_loop_t loop;
    uv_signal_t on_term, on_int;
    uv_timer_t grace;
    struct http_server *http;
    struct link *links[SERVE_MODELS_MAX];
    unsigned n_links;
    struct digest keys[SERVE_KEYS_MAX];
    unsigned n_keys;
    struct metrics metrics;
    int64_t started_s;
    bool announced, stopping;
    struct err *err;
};
/* The handler of http: finds the route and answers. */
void routes_handle(void *ctx, struct http_res *res);
void routes_error_body(struct buf *out, int status, const char *why);
const char *routes_path(unsigned i); /* for metrics; NULL past the last */
/* Answers with an error and counts it. */
void routes_fail(struct server *s, unsigned route, struct http_res *res, const struct api_error *bad);
void routes_count(struct server *s, unsigned route, int status);

/* generate: a request that an engine answers, from its body to the last byte. */
void generate(struct server *s, unsigned route, struct http_res *res, const struct api_codec *codec, uint64_t cache_scope);
