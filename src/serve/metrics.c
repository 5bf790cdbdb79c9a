/* metrics: counters as Prometheus text (exposition format 0.0.4). */
#include "server.h"

static const double bucket_s[METRIC_BUCKETS] = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120};

void histogram_add(struct histogram *h, double seconds) {
    size_t i = 0;
    while (i < METRIC_BUCKETS && seconds > bucket_s[i])
        i++;
    h->counts[i]++;
    h->n++;
    h->sum += seconds;
}

static void head(struct buf *out, const char *name, const char *type, const char *help) {
    buf_fmt(out, "# HELP moat_%s %s\n# TYPE moat_%s %s\n", name, help, name, type);
}

static void value(struct buf *out, const char *name, const char *type, const char *help, uint64_t v) {
    head(out, name, type, help);
    buf_fmt(out, "moat_%s %llu\n", name, (unsigned long long)v);
}

static void histogram(struct buf *out, const char *name, const char *help, const struct histogram *h) {
    uint64_t below = 0;
    head(out, name, "histogram", help);
    for (size_t i = 0; i < METRIC_BUCKETS; i++) {
        below += h->counts[i];
        buf_fmt(out, "moat_%s_bucket{le=\"%g\"} %llu\n", name, bucket_s[i], (unsigned long long)below);
    }
    buf_fmt(out, "moat_%s_bucket{le=\"+Inf\"} %llu\nmoat_%s_sum %.6f\nmoat_%s_count %llu\n", name, (unsigned long long)h->n, name,
            h->sum, name, (unsigned long long)h->n);
}

/* One line per model of what `get` says. The name is a label: JSON's escapes of quotes and backslashes are Prometheus's. */
static void per_model(const struct server *s, struct buf *out, const char *name, const char *type, const char *help,
                      unsigned (*get)(const struct link *l)) {
    head(out, name, type, help);
    for (unsigned i = 0; i < s->n_links; i++) {
        buf_fmt(out, "moat_%s{model=", name);
        buf_json(out, str_of(link_name(s->links[i])));
        buf_fmt(out, "} %u\n", get(s->links[i]));
    }
}

static unsigned is_ready(const struct link *l) {
    return link_state(l) == LINK_READY;
}

void metrics_write(const struct server *s, struct buf *out) {
    const struct metrics *m = &s->metrics;
    head(out, "requests_total", "counter", "Requests answered, by route and class of status.");
    for (unsigned r = 0; r < METRIC_ROUTES; r++)
        for (unsigned c = 0; c < METRIC_STATUSES; c++)
            if (m->requests[r][c])
                buf_fmt(out, "moat_requests_total{route=\"%s\",status=\"%uxx\"} %llu\n", routes_path(r) ? routes_path(r) : "", c,
                        (unsigned long long)m->requests[r][c]);
    value(out, "requests_cancelled_total", "counter", "Requests whose client left before the end.", m->cancelled);
    value(out, "streams_paused_total", "counter", "Times that a stream waited for its client to read.", m->paused);
    value(out, "requests_refused_busy_total", "counter", "Requests refused because the queue was full.", m->refused_busy);
    value(out, "prompt_tokens_total", "counter", "Tokens of prompts.", m->prompt_tokens);
    value(out, "cached_tokens_total", "counter", "Tokens of prompts that the prefix cache held.", m->cached_tokens);
    value(out, "completion_tokens_total", "counter", "Tokens of answers.", m->completion_tokens);
    histogram(out, "first_token_seconds", "From a request's arrival to its first token.", &m->first_token);
    histogram(out, "request_seconds", "From a request's arrival to the end of its answer.", &m->duration);
    value(out, "connections", "gauge", "Open connections.", http_server_conns(s->http));
    per_model(s, out, "engine_ready", "gauge", "Whether the engine of the model answers.", is_ready);
    per_model(s, out, "engine_restarts_total", "counter", "Times that the engine was started again.", link_restarts);
    per_model(s, out, "engine_requests", "gauge", "Requests with the engine, running or waiting.", link_n_open);
}
