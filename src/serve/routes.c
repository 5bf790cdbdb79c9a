/* routes: one row an endpoint. Who asks is settled here; what is asked is the row's. */
#include "server.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct route {
    const char *method, *path; /* a path that ends in '/' stands for all below it */
    bool open;                 /* needs no key */
    void (*answer)(struct server *s, unsigned route, struct http_res *res);
    const struct api_codec *codec; /* instead of answer: an engine answers */
};
static void get_root(struct server *s, unsigned route, struct http_res *res);
static void get_health(struct server *s, unsigned route, struct http_res *res);
static void get_ready(struct server *s, unsigned route, struct http_res *res);
static void get_metrics(struct server *s, unsigned route, struct http_res *res);
static void get_models(struct server *s, unsigned route, struct http_res *res);
static void get_model(struct server *s, unsigned route, struct http_res *res);

static const struct route routes[] = {
    {"GET", "/", true, get_root, NULL},
    {"GET", "/health", true, get_health, NULL},
    {"GET", "/ready", true, get_ready, NULL},
    {"GET", "/metrics", false, get_metrics, NULL},
    {"GET", "/v1/models", false, get_models, NULL},
    {"GET", "/v1/models/", false, get_model, NULL},
    {"POST", "/v1/chat/completions", false, NULL, &api_openai_chat},
    {"POST", "/v1/completions", false, NULL, &api_openai_completion},
    {"POST", "/tokenize", false, NULL, &api_tokenize},
    {"POST", "/detokenize", false, NULL, &api_detokenize},
    {"POST", "/apply-template", false, NULL, &api_apply_template},
};
enum { N_ROUTES = N_ITEMS(routes), NO_ROUTE = N_ROUTES };
_Static_assert(N_ITEMS(routes) < METRIC_ROUTES, "metrics.requests has a row for each route and one for none");

const char *routes_path(unsigned i) {
    return i < N_ROUTES ? routes[i].path : NULL;
}

/* ---- errors and counts ----------------------------------------------------------------------------------------------------- */

void routes_count(struct server *s, unsigned route, int status) {
    log_line(LOG_INFO, "%s %s: %d", route < N_ROUTES ? routes[route].method : "request of",
             route < N_ROUTES ? routes[route].path : "no endpoint", status);
    s->metrics.requests[route][status / 100 < METRIC_STATUSES ? status / 100 : 5]++;
}

void routes_fail(struct server *s, unsigned route, struct http_res *res, const struct api_error *bad) {
    struct buf out = {0};
    api_error_json(&out, bad);
    if (bad->status == 503 || bad->status == 429)
        http_res_field(res, "Retry-After", STR("1"));
    if (bad->status == 401)
        http_res_field(res, "WWW-Authenticate", STR("Bearer"));
    routes_count(s, route, bad->status);
    http_res_send(res, bad->status, "application/json", buf_as_str(&out));
    buf_free(&out);
}

void routes_error_body(struct buf *out, int status, const char *why) {
    struct api_error bad = {0};
    api_refuse(&bad, status, "bad_http", "", "%s", why);
    api_error_json(out, &bad);
}

static void send_json(struct server *s, unsigned route, struct http_res *res, int status, struct buf *body) {
    routes_count(s, route, status);
    http_res_send(res, status, "application/json", buf_as_str(body));
    buf_free(body);
}

/* ---- small answers ----------------------------------------------------------------------------------------------------------- */

static void get_root(struct server *s, unsigned route, struct http_res *res) {
    struct buf out = {0};
    buf_fmt(&out, "moat %s: open-weight language models behind OpenAI's API.\n\n", MOAT_VERSION);
    for (size_t i = 1; i < N_ROUTES; i++)
        buf_fmt(&out, "%-4s %s%s\n", routes[i].method, routes[i].path, routes[i].answer == get_model ? "NAME" : "");
    routes_count(s, route, 200);
    http_res_send(res, 200, "text/plain; charset=utf-8", buf_as_str(&out));
    buf_free(&out);
}

static void get_health(struct server *s, unsigned route, struct http_res *res) {
    routes_count(s, route, 200);
    http_res_send(res, 200, "application/json", STR("{\"status\":\"ok\"}"));
}

static void get_ready(struct server *s, unsigned route, struct http_res *res) {
    static const char *const names[] = {[LINK_STARTING] = "starting", [LINK_READY] = "ready", [LINK_DOWN] = "down"};
    struct buf out = {0};
    bool ready = true;
    buf_z(&out, "{\"models\":{");
    for (unsigned i = 0; i < s->n_links; i++) {
        enum link_state state = link_state(s->links[i]);
        ready = ready && state == LINK_READY;
        buf_z(&out, i ? "," : "");
        buf_json(&out, str_of(link_name(s->links[i])));
        buf_fmt(&out, ":\"%s\"", names[state]);
    }
    buf_fmt(&out, "},\"ready\":%s}", ready ? "true" : "false");
    if (!ready)
        http_res_field(res, "Retry-After", STR("1"));
    send_json(s, route, res, ready ? 200 : 503, &out);
}

static void get_metrics(struct server *s, unsigned route, struct http_res *res) {
    struct buf out = {0};
    routes_count(s, route, 200);
    metrics_write(s, &out);
    http_res_send(res, 200, "text/plain; version=0.0.4; charset=utf-8", buf_as_str(&out));
    buf_free(&out);
}

/* A model that has not answered yet is there by name: the rest is not known. */
static void model_json(const struct server *s, unsigned i, struct buf *out) {
    struct wire_model unknown = {0};
    const struct wire_model *m = link_model(s->links[i]);
    snprintf(unknown.name, sizeof unknown.name, "%s", link_name(s->links[i]));
    api_model_json(out, m ? m : &unknown, s->started_s);
}

static void get_models(struct server *s, unsigned route, struct http_res *res) {
    struct buf out = {0};
    buf_z(&out, "{\"object\":\"list\",\"data\":[");
    for (unsigned i = 0; i < s->n_links; i++) {
        buf_z(&out, i ? "," : "");
        model_json(s, i, &out);
    }
    buf_z(&out, "]}");
    send_json(s, route, res, 200, &out);
}

static void get_model(struct server *s, unsigned route, struct http_res *res) {
    struct str path = http_req(res)->path;
    size_t skip = strlen(routes[route].path);
    struct buf name = {0}, out = {0};
    bool good = http_unescape(&name, (struct str){path.p + skip, path.n - skip});
    for (unsigned i = 0; good && i < s->n_links && !out.n; i++)
        if (str_is(buf_as_str(&name), link_name(s->links[i])))
            model_json(s, i, &out);
    if (out.n) {
        send_json(s, route, res, 200, &out);
    } else {
        struct api_error bad = {0};
        api_refuse(&bad, 404, "model_not_found", "model",
                   "The model '%.*s' does not exist here; GET /v1/models lists those that do.",
                   (int)(name.n < 100 ? name.n : 100), name.n ? name.p : "");
        routes_fail(s, route, res, &bad);
    }
    buf_free(&name);
}

/* ---- who asks, and for what ------------------------------------------------------------------------------------------------------ */

static bool same_digest(const struct digest *a, const struct digest *b) {
    unsigned differs = 0;
    for (size_t i = 0; i < sizeof a->bytes; i++)
        differs |= a->bytes[i] ^ b->bytes[i];
    return differs == 0;
}

/* The key of the request, hashed: comparing digests takes the same time for any key. The cache scope is a part of the digest,
 * so that prefixes are shared within one key only. */
static bool knows_key(const struct server *s, const struct http_req *req, uint64_t *cache_scope) {
    struct str bearer = STR("Bearer "), key = http_req_field(req, "authorization");
    *cache_scope = 0;
    if (s->n_keys == 0)
        return true;
    bool has_bearer = key.n >= bearer.n && strncasecmp(key.p, bearer.p, bearer.n) == 0;
    key = has_bearer ? (struct str){key.p + bearer.n, key.n - bearer.n} : http_req_field(req, "x-api-key");
    struct digest d = sha256_of(key);
    bool known = false;
    for (unsigned i = 0; i < s->n_keys; i++)
        known |= same_digest(&d, &s->keys[i]);
    memcpy(cache_scope, d.bytes, sizeof *cache_scope);
    return known;
}

static bool path_fits(const struct route *r, struct str path) {
    size_t n = strlen(r->path);
    bool below = n > 1 && r->path[n - 1] == '/';
    return below ? path.n > n && str_starts(path, str_of(r->path)) : str_is(path, r->path);
}

/* The row that answers, or NO_ROUTE; `allowed` gets the method that the path has instead. */
static unsigned find_route(const struct http_req *req, const char **allowed) {
    struct str method = str_is(req->method, "HEAD") ? STR("GET") : req->method;
    for (unsigned i = 0; i < N_ROUTES; i++)
        if (path_fits(&routes[i], req->path)) {
            if (str_is(method, routes[i].method))
                return i;
            *allowed = routes[i].method;
        }
    return NO_ROUTE;
}

static void refuse_route(struct server *s, struct http_res *res, const char *allowed) {
    const struct http_req *req = http_req(res);
    struct api_error bad = {0};
    int n = req->path.n < 100 ? (int)req->path.n : 100;
    if (allowed) {
        http_res_field(res, "Allow", str_of(strcmp(allowed, "GET") == 0 ? "GET, HEAD" : allowed));
        api_refuse(&bad, 405, "method_not_allowed", "", "Not allowed to %.*s on %.*s; use %s.", (int)req->method.n, req->method.p,
                   n, req->path.p, allowed);
    } else {
        api_refuse(&bad, 404, "unknown_url", "", "Unknown request URL: %.*s %.*s. GET / lists the endpoints.", (int)req->method.n,
                   req->method.p, n, req->path.p);
    }
    routes_fail(s, NO_ROUTE, res, &bad);
}

void routes_handle(void *ctx, struct http_res *res) {
    struct server *s = ctx;
    const struct http_req *req = http_req(res);
    const char *allowed = NULL;
    uint64_t cache_scope;
    unsigned i = find_route(req, &allowed);
    bool known = knows_key(s, req, &cache_scope);
    if (!known && (i == NO_ROUTE || !routes[i].open)) {
        struct api_error bad = {0};
        api_refuse(&bad, 401, "invalid_api_key", "",
                   "Incorrect or no API key provided; send 'Authorization: Bearer KEY' or 'x-api-key: KEY'.");
        routes_fail(s, i, res, &bad);
    } else if (i == NO_ROUTE) {
        refuse_route(s, res, allowed);
    } else if (routes[i].codec) {
        generate(s, i, res, routes[i].codec, cache_scope);
    } else {
        routes[i].answer(s, i, res);
    }
}
