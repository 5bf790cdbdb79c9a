/* generate: requests that an engine answers. A job is one HTTP request: its call, its prompts with the engine, its answer.
 *
 * The status line waits until the engine has accepted or refused every prompt, so that a prompt that is too long is a real 400.
 * A job ends in one of three ways: the answer is complete, it failed, or the client left. All three free it at once, and
 * requests still with the engine are cancelled. */
#include "server.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SEED_BITS = 53,         /* what every client's JSON reader keeps exactly */
    UNSENT_MAX = 64 * 1024, /* of a stream: beyond it the engine pauses until the client has read */
};

struct job {
    struct server *server;
    struct http_res *res;
    const struct api_codec *codec;
    struct link *link;
    unsigned route;
    struct api_call call;
    struct api_answer *answer;
    uint64_t ids[API_PROMPTS_MAX]; /* 0: the engine has no more to say */
    uint32_t n_accepted, n_open;
    uint64_t arrived_ns;
    bool answering; /* tokens are being generated: every prompt was accepted */
    bool has_first_token, paused;
    char now[24], name[48];
    struct buf out;
};

static void job_free(struct job *j) {
    for (uint32_t i = 0; i < j->call.n_prompts; i++)
        if (j->ids[i])
            link_cancel(j->link, j->ids[i]);
    api_answer_free(j->answer);
    api_call_free(&j->call);
    buf_free(&j->out);
    free(j);
}

static void job_fail(struct job *j, const struct api_error *bad) {
    if (http_res_begun(j->res)) { /* too late for a status: the stream says it */
        buf_z(&j->out, "data: ");
        api_error_json(&j->out, bad);
        buf_z(&j->out, "\n\n");
        http_res_write(j->res, buf_as_str(&j->out));
        http_res_end(j->res);
        j->server->metrics.requests[j->route][5]++;
    } else {
        routes_fail(j->server, j->route, j->res, bad);
    }
    job_free(j);
}

static void on_gone(void *ctx) {
    struct job *j = ctx;
    j->server->metrics.cancelled++;
    job_free(j);
}

/* ---- the engine's events ------------------------------------------------------------------------------------------------ */

static double seconds_since(uint64_t ns) {
    return (double)(clock_ns() - ns) / 1e9;
}

/* The head's own fields: what one needs to get the same answer again. */
static void add_fields(struct job *j) {
    const struct wire_model *m = link_model(j->link);
    char text[64];
    http_res_field(j->res, "x-request-id", str_of(j->name));
    snprintf(text, sizeof text, "moat-%s", m->fingerprint);
    http_res_field(j->res, "moat-fingerprint", str_of(text));
    http_res_field(j->res, "moat-digest", str_of(m->digest));
    snprintf(text, sizeof text, "%llu", (unsigned long long)j->call.gen.sampling.seed);
    http_res_field(j->res, "moat-seed", str_of(text));
    http_res_field(j->res, "moat-now", j->call.gen.now);
    if (j->call.ignored.n)
        http_res_field(j->res, "moat-ignored", buf_as_str(&j->call.ignored));
}

static void pause_work(struct job *j, bool paused) {
    j->paused = paused;
    j->server->metrics.paused += paused;
    for (uint32_t i = 0; i < j->call.n_prompts; i++)
        if (j->ids[i])
            link_pause(j->link, j->ids[i], paused);
}

static void on_sent(void *ctx) {
    struct job *j = ctx;
    if (j->paused)
        pause_work(j, false);
}

/* Every prompt fits and is tokenised: the answer begins and the work may start. */
static void job_begin(struct job *j) {
    j->answering = true;
    add_fields(j);
    if (j->call.stream) {
        http_res_field(j->res, "Cache-Control", STR("no-cache"));
        http_res_field(j->res, "X-Accel-Buffering", STR("no"));
        http_res_begin(j->res, 200, "text/event-stream; charset=utf-8");
        http_res_on_sent(j->res, on_sent, j);
    }
    for (uint32_t i = 0; i < j->call.n_prompts; i++)
        link_start(j->link, j->ids[i]);
}

static void count_usage(struct job *j) {
    struct metrics *m = &j->server->metrics;
    struct gen_usage u = api_answer_usage(j->answer);
    m->prompt_tokens += u.prompt_tokens;
    m->cached_tokens += u.cached_tokens;
    m->completion_tokens += u.completion_tokens;
    log_line(LOG_INFO, "%s: %u prompt tokens (%u cached), %u tokens, %.3f s", j->name, u.prompt_tokens, u.cached_tokens,
             u.completion_tokens, seconds_since(j->arrived_ns));
    if (j->answering)
        histogram_add(&m->duration, seconds_since(j->arrived_ns));
    routes_count(j->server, j->route, 200);
}

static void job_finish(struct job *j) {
    j->codec->finish(j->answer, &j->out);
    if (j->out.failed) {
        struct api_error bad = {0};
        api_refuse(&bad, 500, "out_of_memory", "", "The answer is larger than the server can hold.");
        job_fail(j, &bad);
        return;
    }
    count_usage(j);
    if (j->call.stream) {
        http_res_write(j->res, buf_as_str(&j->out));
        http_res_end(j->res);
    } else {
        if (!j->answering)
            add_fields(j);
        http_res_send(j->res, 200, "application/json", buf_as_str(&j->out));
    }
    job_free(j);
}

static void take_output(struct job *j, uint32_t prompt, const struct gen_event *ev) {
    if (j->answering && !j->has_first_token && ev->kind == GEN_CONTENT) {
        j->has_first_token = true;
        histogram_add(&j->server->metrics.first_token, seconds_since(j->arrived_ns));
    }
    j->codec->event(j->answer, prompt, ev, &j->out);
    if (ev->kind == GEN_DONE && --j->n_open == 0) {
        job_finish(j);
        return;
    }
    if (j->call.stream && j->out.n) {
        http_res_write(j->res, buf_as_str(&j->out));
        j->out.n = 0;
        if (!j->paused && http_res_unsent(j->res) > UNSENT_MAX)
            pause_work(j, true);
    }
}

static void on_event(void *ctx, uint64_t id, const struct gen_event *ev) {
    struct job *j = ctx;
    uint32_t prompt = 0;
    while (j->ids[prompt] != id)
        prompt++;
    if (ev->kind == GEN_REFUSED || ev->kind == GEN_ERROR) {
        struct api_error bad = {0};
        j->ids[prompt] = 0;
        api_error_of_event(&bad, ev);
        job_fail(j, &bad);
        return;
    }
    if (ev->kind == GEN_DONE)
        j->ids[prompt] = 0;
    if (ev->kind != GEN_ACCEPTED)
        take_output(j, prompt, ev);
    else if (++j->n_accepted == j->call.n_prompts)
        job_begin(j);
}

/* ---- from the body to the engine ------------------------------------------------------------------------------------------- */

static void refuse_model(const struct server *s, struct str model, struct api_error *bad) {
    struct buf known = {0};
    for (unsigned i = 0; i < s->n_links; i++)
        buf_fmt(&known, "%s'%.64s'", i ? ", " : "", link_name(s->links[i]));
    int n = known.n < 250 ? (int)known.n : 250;
    api_refuse(bad, 404, "model_not_found", "model", "The model '%.*s' does not exist here. There are: %.*s.",
               (int)(model.n < 100 ? model.n : 100), model.p, n, known.p);
    buf_free(&known);
}

/* The link of the model that the request names, or the first. */
static struct link *find_link(struct server *s, struct str model, struct api_error *bad) {
    if (model.n == 0)
        return s->links[0];
    for (unsigned i = 0; i < s->n_links; i++)
        if (str_is(model, link_name(s->links[i])))
            return s->links[i];
    refuse_model(s, model, bad);
    return NULL;
}

/* The fingerprint that the client expects, from the body or the header, with or without "moat-". */
static int check_fingerprint(const struct job *j, struct api_error *bad) {
    struct str want = j->call.fingerprint.n ? j->call.fingerprint : http_req_field(http_req(j->res), "moat-fingerprint"),
               prefix = STR("moat-");
    if (str_starts(want, prefix))
        want = (struct str){want.p + prefix.n, want.n - prefix.n};
    const char *have = link_model(j->link)->fingerprint;
    if (want.n == 0 || str_is(want, have))
        return 0;
    return api_refuse(bad, 412, "fingerprint_mismatch", "fingerprint",
                      "This model's fingerprint is moat-%s, and moat-%.*s is expected.", have, (int)(want.n < 64 ? want.n : 64),
                      want.p);
}

static int admit(struct job *j, struct api_error *bad) {
    if (link_state(j->link) != LINK_READY)
        return api_refuse(bad, 503, "engine_not_ready", "", "The engine of '%s' is being started; try again.",
                          link_name(j->link));
    if (check_fingerprint(j, bad) < 0)
        return -1;
    if (!link_is_full(j->link, j->call.n_prompts))
        return 0;
    j->server->metrics.refused_busy++;
    return api_refuse(bad, 503, "overloaded", "", "The server has as many requests as it takes; try again.");
}

/* What a request leaves open is decided here, once for all its prompts, and named in the answer. */
static void fill_in(struct job *j, uint64_t cache_scope) {
    struct gen_req *gen = &j->call.gen;
    gen->cache_scope = cache_scope;
    if (!gen->sampling.has_seed)
        gen->sampling.seed = random_u64() >> (64 - SEED_BITS);
    gen->sampling.has_seed = true;
    if (gen->now.n == 0) {
        time_t t = (time_t)clock_wall_s();
        struct tm local;
        gen->now = (struct str){j->now, strftime(j->now, sizeof j->now, "%Y-%m-%dT%H:%M:%S", localtime_r(&t, &local))};
    }
    snprintf(j->name, sizeof j->name, "%s-%016llx%08x", j->codec == &api_openai_completion ? "cmpl" : "chatcmpl",
             (unsigned long long)random_u64(), (unsigned)random_u64());
}

static int submit(struct job *j, struct api_error *bad) {
    char fingerprint[32];
    snprintf(fingerprint, sizeof fingerprint, "moat-%s", link_model(j->link)->fingerprint);
    j->answer = api_answer_new(&j->call, j->name, clock_wall_s(), link_name(j->link), fingerprint);
    if (!j->answer)
        return api_refuse(bad, 500, "out_of_memory", "", "The server is out of memory.");
    http_res_on_gone(j->res, on_gone, j);
    for (uint32_t i = 0; i < j->call.n_prompts; i++) {
        j->ids[i] = link_submit(j->link, &j->call.gen, j->call.prompts[i].kind, j->call.prompts[i].body, on_event, j);
        j->n_open += j->ids[i] != 0;
    }
    return j->n_open == j->call.n_prompts
               ? 0
               : api_refuse(bad, 503, "overloaded", "", "The server has as many requests as it takes; try again.");
}

void generate(struct server *s, unsigned route, struct http_res *res, const struct api_codec *codec, uint64_t cache_scope) {
    struct api_opts opts = {.warn_unknown = s->opts->warn_unknown};
    struct api_error bad = {0};
    struct job *j = calloc(1, sizeof *j);
    if (!j) {
        api_refuse(&bad, 500, "out_of_memory", "", "The server is out of memory.");
        routes_fail(s, route, res, &bad);
        return;
    }
    j->server = s;
    j->res = res;
    j->codec = codec;
    j->route = route;
    j->arrived_ns = clock_ns();
    int r = codec->read(http_req(res)->body, &opts, &j->call, &bad);
    if (r == 0)
        r = (j->link = find_link(s, j->call.model, &bad)) ? admit(j, &bad) : -1;
    if (r == 0) {
        fill_in(j, cache_scope);
        r = submit(j, &bad);
    }
    if (r < 0)
        job_fail(j, &bad);
}
