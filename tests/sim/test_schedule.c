/* The scheduler under a seed: random arrivals, cancellations and few pages. Answers are those of each request alone, every request
 * ends exactly once, no page is lost, no step is longer than 0.2 s, a cancelled request computes nothing more and a paused one nothing
 * until it is resumed, nobody starves.
 *
 * usage: test_schedule [RUNS [FIRST_SEED]]    each run has its own seed; a failure names it */
#include "sim.h"

enum { CLIENTS_MAX = 64, IDS_MAX = 1200 };
static const double POS_COST = 0.001; /* of real models; the tiny one is nearly all attention */

/* One request and all that was said about it. */
struct client {
    struct gen_req req;
    uint32_t prompt[IDS_MAX];
    uint32_t n_prompt;
    bool accepted, started, paused, cancelled, refused, over;
    uint32_t n_choices_done;
    struct {
        uint32_t ids[IDS_MAX], n, n_logprobs;
        bool done;
        enum gen_finish finish;
    } choices[3];
    uint32_t first_step, last_step; /* of its first and last token, counted from 1 */
};
static struct client clients[CLIENTS_MAX];
static uint32_t n_clients;

/* ---- what must come out ---------------------------------------------------------------------------------------------------- */

static bool ends_answer(const struct client *c, uint32_t token) {
    for (unsigned i = 0; i < sim.en->n_ends && !c->req.ignore_eos; i++)
        if (sim.en->ends[i] == token)
            return true;
    return false;
}

/* The answer of the model to this prompt alone: no batch, no cache, no pages. */
static uint32_t expected_answer(const struct client *c, uint32_t *ids, enum gen_finish *finish) {
    uint32_t n = 0, ctx = sim.en->kit.ctx;
    uint64_t h = 0;
    for (uint32_t i = 0; i < c->n_prompt; i++) {
        h = sim_hash(h, c->prompt[i]);
        if (c->req.echo)
            ids[n++] = c->prompt[i];
    }
    *finish = GEN_LENGTH;
    for (uint32_t n_new = 1;; n_new++) {
        uint32_t token = sim_likeliest(h, sim.en->n_vocab);
        if (ends_answer(c, token)) {
            *finish = GEN_STOP;
            return n;
        }
        ids[n++] = token;
        if (n_new == c->req.max_tokens || c->n_prompt + n_new == ctx)
            return n;
        h = sim_hash(h, token);
    }
}

static void assert_answer(const struct client *c) {
    uint32_t ids[IDS_MAX];
    enum gen_finish finish;
    uint32_t n = expected_answer(c, ids, &finish);
    for (uint32_t i = 0; i < c->req.n; i++) {
        assert_true(c->choices[i].done);
        assert_int_equal(c->choices[i].finish, finish);
        assert_int_equal(c->choices[i].n, n);
        assert_memory_equal(c->choices[i].ids, ids, n * sizeof *ids);
        assert_int_equal(c->choices[i].n_logprobs, c->req.logprobs ? n : 0);
    }
}

/* ---- events ---------------------------------------------------------------------------------------------------------------- */

static struct client *client_of(uint64_t id) {
    assert_true(id >= 1 && id <= n_clients);
    return &clients[id - 1];
}

/* log-probabilities of the model: one likely token, all others alike. */
static void assert_logprobs(const struct gen_event *ev, bool echo) {
    double all = log(exp(SIM_PEAK) + sim.en->n_vocab - 1);
    for (uint32_t i = 0; i < ev->n_logprobs; i++) {
        const struct gen_logprob *group = &ev->logprobs[(size_t)i * (1 + ev->n_top)];
        if (isnan(group->logprob)) {
            assert_true(echo);
            continue;
        }
        assert_float_equal(group[1].logprob, SIM_PEAK - all, 1e-4);
        assert_float_equal(group[0].logprob, group[0].token == group[1].token ? SIM_PEAK - all : -all, 1e-4);
    }
}

static void take_content(struct client *c, const struct gen_event *ev) {
    for (uint32_t i = 0; i < ev->n_tokens; i++) {
        assert_true(c->choices[ev->choice].n < IDS_MAX);
        c->choices[ev->choice].ids[c->choices[ev->choice].n++] = ev->tokens[i];
    }
    c->first_step = c->first_step ? c->first_step : sim.n_steps;
    c->last_step = sim.n_steps;
}

static void take_choice_done(struct client *c, const struct gen_event *ev) {
    assert_false(c->choices[ev->choice].done);
    c->choices[ev->choice].done = true;
    c->choices[ev->choice].finish = ev->finish;
    c->n_choices_done++;
}

static void take_done(struct client *c, const struct gen_event *ev) {
    assert_true(c->cancelled || c->started);
    assert_int_equal(c->n_choices_done, c->accepted ? c->req.n : 0);
    c->over = true;
    if (c->cancelled)
        return;
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->req.n; i++)
        n += c->choices[i].n - (c->req.echo ? c->n_prompt : 0);
    assert_int_equal(ev->usage.prompt_tokens, c->n_prompt);
    assert_int_equal(ev->usage.completion_tokens, n);
    assert_true(ev->usage.cached_tokens < c->n_prompt);
    assert_answer(c);
}

static void take_event(void *ctx, const struct gen_event *ev) {
    struct client *c = client_of(ev->id);
    (void)ctx;
    assert_false(c->over || c->refused);
    assert_true(c->accepted || ev->kind == GEN_ACCEPTED || ev->kind == GEN_REFUSED || (ev->kind == GEN_DONE && c->cancelled));
    switch (ev->kind) {
    case GEN_ACCEPTED:
        assert_false(c->accepted || c->cancelled);
        c->accepted = true;
        break;
    case GEN_REFUSED:
        assert_int_equal(ev->code, GEN_OVERLOADED);
        c->refused = true;
        break;
    case GEN_CONTENT:
        assert_false(c->cancelled);
        take_content(c, ev);
        break;
    case GEN_LOGPROBS:
        c->choices[ev->choice].n_logprobs += ev->n_logprobs;
        assert_logprobs(ev, c->req.echo);
        break;
    case GEN_CHOICE_DONE: take_choice_done(c, ev); break;
    case GEN_DONE: take_done(c, ev); break;
    default: fail_msg("event %d", ev->kind);
    }
}

/* ---- rows --------------------------------------------------------------------------------------------------------------------- */

static bool is_paused(const struct choice *c) {
    return client_of(c->request->req.id)->paused;
}

/* Who is running computes, the oldest always; who is cancelled or paused does not. */
static void check_rows(const struct row *rows, uint32_t n_rows) {
    const struct engine *en = sim.en;
    bool oldest = false;
    unsigned first = 0;
    while (is_paused(en->running[first]))
        first++;
    assert_true(n_rows <= en->opts.chunk + en->opts.parallel);
    for (uint32_t i = 0; i < n_rows; i++) {
        const struct choice *c = en->plan.owners[i];
        assert_int_equal(rows[i].seq, c->seq);
        assert_false(c->over || is_paused(c) || client_of(c->request->req.id)->cancelled);
        oldest |= c == en->running[first];
    }
    assert_true(oldest || en->n_running > 8); /* else it may have to wait for its turn */
}

/* One step, and what holds after each. */
static bool step(void) {
    uint32_t before = sim.n_forwards;
    sim.n_steps++;
    bool more = engine_step(sim.en, take_event, NULL);
    assert_true(sim.n_forwards - before <= 1);
    bool idle = true;
    for (unsigned i = 0; i < sim.en->n_running; i++)
        idle = idle && is_paused(sim.en->running[i]);
    assert_true(sim.n_forwards > before || idle);
    for (uint32_t i = 0; i < n_clients; i++) /* within one step, whatever it was doing */
        assert_true(!clients[i].cancelled || clients[i].over || clients[i].refused);
    return more;
}

static void submit(struct client *c) {
    struct err e = {0};
    c->req.id = ++n_clients;
    c->req.kind = GEN_TOKENS;
    c->req.body = (struct str){(const char *)c->prompt, c->n_prompt * sizeof *c->prompt};
    c->req.token_ids = true;
    c->req.sampling = (struct gen_sampling){.top_p = 1, .typical = 1, .repetition_penalty = 1};
    c->req.n = c->req.n ? c->req.n : 1;
    assert_int_equal(engine_submit(sim.en, &c->req, &e), 0);
}

static void start(struct client *c) {
    engine_start(sim.en, c->req.id);
    c->started = true;
}

static void set_paused(struct client *c, bool paused) {
    engine_pause(sim.en, c->req.id, paused);
    c->paused = paused;
}

static struct client *next_client(void) {
    assert_true(n_clients < CLIENTS_MAX);
    struct client *c = &clients[n_clients];
    memset(c, 0, sizeof *c);
    return c;
}

/* All is over: nothing waits, no page is lost, and the cache gives back every one. */
static void check_idle(uint32_t n_pages) {
    assert_int_equal(sim.en->n_running, 0);
    assert_null(sim.en->queue);
    assert_null(sim.en->requests);
    assert_int_equal(sim.en->n_requests, 0);
    assert_int_equal(kv_pages_free(sim.en->kv), sim_pages_unused(n_pages));
    while (cache_evict(sim.en))
        assert_int_equal(kv_pages_free(sim.en->kv), sim_pages_unused(n_pages));
    assert_int_equal(kv_pages_free(sim.en->kv), n_pages);
}

static void finish(uint32_t n_pages) {
    check_idle(n_pages);
    engine_free(sim.en);
    n_clients = 0;
}

static void begin(uint64_t seed, struct engine_opts opts, uint32_t n_pages) {
    sim = (struct sim){.now = 1, .random = seed, .base_ns = 1e6, .row_ns = 1e6, .on_forward = check_rows};
    n_clients = 0;
    sim_open(opts, n_pages);
    sim.en->pos_cost = POS_COST;
}

/* ---- a random run ------------------------------------------------------------------------------------------------------------ */

/* Prompts share beginnings: a trunk that all have in common, up to some place. */
static void draw_prompt(struct client *c, uint32_t n_max) {
    uint32_t n_shared = (uint32_t)sim_random(n_max);
    c->n_prompt = 1 + (uint32_t)sim_random(n_max);
    for (uint32_t i = 0; i < c->n_prompt; i++)
        c->prompt[i] = i < n_shared ? i * 7 % 200 : (uint32_t)sim_random(sim.en->n_vocab);
}

static void draw_client(struct client *c) {
    uint32_t ctx = sim.en->kit.ctx, room;
    draw_prompt(c, sim_random(3) ? ctx / 4 : ctx - 1);
    room = ctx - c->n_prompt;
    c->req.max_tokens =
        sim_random(8) == 0 ? 0 : 1 + (uint32_t)sim_random(sim_random(3) || room < 4 ? (room < 40 ? room : 40) : room);
    c->req.n = 1 + (sim_random(4) == 0 ? (uint32_t)sim_random(3) : 0);
    c->req.ignore_eos = sim_random(2);
    c->req.cache_scope = sim_random(3) == 0;
    c->req.logprobs = sim_random(4) == 0;
    c->req.top_logprobs = c->req.logprobs ? SIM_TOP : 0;
    c->req.echo = sim_random(6) == 0;
}

/* The machine gets faster and slower, but never by more than a step may be longer than aimed at: nothing tells of it while steps are
 * small. */
static void drift(double *row_ns, double least, double most) {
    double x = *row_ns * (0.8 + 0.005 * (double)sim_random(101));
    *row_ns = x < least ? least : x > most ? most : x;
}

static void random_run(uint64_t seed) {
    sim.random = seed;
    const uint32_t ctx = 64u << sim_random(5);
    struct engine_opts opts = {.ctx = ctx, .parallel = 1 + (uint32_t)sim_random(8), .queue = (uint32_t)sim_random(20)};
    opts.queue = opts.queue ? opts.queue : 1;
    opts.chunk = sim_random(2) ? 1 + (uint32_t)sim_random(16) : 512;
    uint32_t least = ctx / KERN_PAGE + 2, n_pages = least + (uint32_t)sim_random(2 * least);
    begin(seed, opts, n_pages);
    const double fastest = 1e5 * (double)(1 + sim_random(10)), slowest = fastest * 1.6;
    sim.row_ns = fastest;
    sim.pos_ns = fastest * POS_COST * (0.7 + 0.2 * (double)sim_random(4)); /* the estimate is not quite right */
    uint32_t n_wanted = 4 + (uint32_t)sim_random(CLIENTS_MAX - 4), n_steps_max = 300000, n_refused = 0;
    while (n_clients < n_wanted || sim.en->requests) {
        assert_true(sim.n_steps < n_steps_max);
        if (n_clients < n_wanted && sim_random(4) == 0) {
            struct client *c = next_client();
            draw_client(c);
            submit(c);
        }
        for (uint32_t i = 0; i < n_clients; i++) {
            struct client *c = &clients[i];
            if (c->accepted && !c->started && !c->over && sim_random(3))
                start(c);
            if (sim_random(c->paused ? 20 : 100) == 0)
                set_paused(c, !c->paused);
            if (!c->cancelled && !c->over && !c->refused && sim_random(400) == 0) {
                engine_cancel(sim.en, c->req.id);
                c->cancelled = true;
            }
        }
        step();
        drift(&sim.row_ns, fastest, slowest);
    }
    for (uint32_t i = 0; i < n_clients; i++) {
        assert_true(clients[i].over || clients[i].refused);
        n_refused += clients[i].refused;
    }
    assert_true(n_refused == 0 || n_wanted > opts.parallel + opts.queue);
    assert_true(sim.step_ns_most <= 200 * sim_ms);
    finish(n_pages);
}

static uint64_t n_runs = 500, first_seed = 1;

static void random_runs(void **state) {
    (void)state;
    uint64_t n_steps = 0, n_forwards = 0;
    for (uint64_t seed = first_seed; seed < first_seed + n_runs; seed++) {
        print_message("\r[ seed ] %llu ", (unsigned long long)seed);
        random_run(seed);
        n_steps += sim.n_steps;
        n_forwards += sim.n_forwards;
    }
    print_message("\n[ runs ] %llu steps, %llu of them with rows\n", (unsigned long long)n_steps, (unsigned long long)n_forwards);
}

/* ---- single claims --------------------------------------------------------------------------------------------------------------- */

static struct client *add(uint32_t n_prompt, uint32_t max_tokens) {
    struct client *c = next_client();
    c->n_prompt = n_prompt;
    for (uint32_t i = 0; i < n_prompt; i++)
        c->prompt[i] = (n_clients * 31 + i) % 250;
    c->req.max_tokens = max_tokens;
    c->req.ignore_eos = true;
    submit(c);
    step();
    assert_true(c->accepted);
    start(c);
    return c;
}

/* Steps of prefill grow to what fits the aim, never past --chunk, and shrink when the machine slows down. */
static void steps_follow_the_speed(void **state) {
    (void)state;
    for (uint32_t chunk = 16; chunk <= 512; chunk *= 32) {
        begin(1, (struct engine_opts){.ctx = 1024, .parallel = 4, .chunk = chunk}, 40);
        sim.row_ns = 0.5e6;
        add(1000, 1);
        uint32_t n_before = sim.n_steps;
        while (sim.en->requests)
            step();
        assert_true(sim.rows_most <= chunk && sim.step_ns_most <= 130 * sim_ms);
        if (chunk == 512) {
            assert_true(sim.rows_most > 150);        /* 0.1 s is 198 rows */
            assert_true(sim.n_steps - n_before < 9); /* and it comes there soon */
        }
        sim.row_ns = 5e6;
        add(900, 1);
        step(); /* the one that finds out */
        sim.step_ns_most = 0;
        while (sim.en->requests)
            step();
        assert_true(sim.step_ns_most <= 130 * sim_ms);
        finish(40);
    }
}

/* Also where rows get dearer with their position, and a deep prompt comes after a shallow one. */
static void deep_prompts_are_dear(void **state) {
    (void)state;
    begin(1, (struct engine_opts){.ctx = 1024, .parallel = 4, .chunk = 512}, 60);
    sim.row_ns = 0.4e6;
    sim.pos_ns = 0.4e6 / 128;
    sim.en->pos_cost = 1.0 / 100;
    struct client *deep = add(1000, 1);
    while (sim.en->requests)
        step();
    for (int i = 0; i < 4; i++) { /* others make the scheduler bold */
        add(100, 1);
        while (sim.en->requests)
            step();
    }
    struct client *again = next_client();
    memcpy(again->prompt, deep->prompt, sizeof deep->prompt);
    again->n_prompt = 1000;
    again->prompt[600] = 255; /* so that the cache holds the first 600 */
    again->req.max_tokens = 1;
    submit(again);
    step();
    start(again);
    sim.step_ns_most = 0;
    while (sim.en->requests)
        step();
    assert_true(sim.step_ns_most <= 200 * sim_ms);
    finish(60);
}

/* More sequences than a step can decode take turns, and each gets as many tokens. */
static void decoding_takes_turns(void **state) {
    (void)state;
    enum { N = 32 };
    begin(1, (struct engine_opts){.ctx = 128, .parallel = N, .queue = 40, .chunk = 512}, 100);
    sim.row_ns = 10e6; /* 32 rows would take 0.32 s */
    for (int i = 0; i < N; i++)
        add(4, 100);
    const uint32_t most_apart = sim.en->running[0]->n_new + 1; /* they began one after the other */
    while (sim.en->n_running == N) {
        uint32_t least = UINT32_MAX, most = 0;
        step();
        for (unsigned i = 0; i < sim.en->n_running; i++) {
            least = sim.en->running[i]->n_new < least ? sim.en->running[i]->n_new : least;
            most = sim.en->running[i]->n_new > most ? sim.en->running[i]->n_new : most;
        }
        assert_true(most - least <= most_apart);
    }
    while (sim.en->requests)
        step();
    assert_true(sim.step_ns_most <= 200 * sim_ms);
    finish(100);
}

/* A short prompt does not wait for the end of a long one, which goes on meanwhile. */
static void short_prompts_pass_long_ones(void **state) {
    (void)state;
    begin(1, (struct engine_opts){.ctx = 1024, .parallel = 4, .chunk = 512}, 60);
    sim.row_ns = 2e6;
    struct client *slow = add(1000, 2);
    for (int i = 0; i < 3; i++)
        step();
    struct client *quick = add(20, 2);
    uint32_t asked = sim.n_steps;
    while (!quick->over)
        step();
    assert_true(quick->first_step - asked <= 4 && slow->first_step == 0);
    while (sim.en->requests)
        step();
    finish(60);
}

/* In prefill and while decoding: the next step computes none of its rows, and its end is told in it. */
static void cancel_takes_one_step(void **state) {
    (void)state;
    for (uint32_t n_before = 0; n_before < 30; n_before++) {
        begin(1, (struct engine_opts){.ctx = 512, .parallel = 4, .chunk = 32}, 40);
        struct client *c = add(400, 100), *other = add(10, 60);
        for (uint32_t i = 0; i < n_before; i++)
            step();
        engine_cancel(sim.en, c->req.id);
        c->cancelled = true;
        step(); /* checks it */
        assert_true(c->over && c->choices[0].finish == GEN_CANCELLED);
        while (sim.en->requests)
            step();
        assert_true(other->over);
        finish(40);
    }
}

/* Who waits gets the place of who is paused, and nothing is to be done while only paused ones are left. */
static void paused_make_room(void **state) {
    (void)state;
    begin(1, (struct engine_opts){.ctx = 256, .parallel = 2, .chunk = 64}, 8);
    struct client *slow[] = {add(100, 50), add(90, 50)};
    for (int i = 0; i < 10; i++)
        step();
    set_paused(slow[0], true);
    set_paused(slow[1], true);
    assert_false(step());
    struct client *other = add(200, 20);
    while (!other->over)
        step();
    assert_false(step());
    assert_false(slow[0]->over || slow[1]->over);
    set_paused(slow[1], false);
    while (!slow[1]->over)
        step();
    set_paused(slow[0], false);
    while (sim.en->requests)
        step();
    assert_true(slow[0]->over);
    finish(8);
}

/* Several sequences that only just fit alone: they take each other's pages, and all answers stay right. */
static void few_pages(void **state) {
    (void)state;
    begin(1, (struct engine_opts){.ctx = 512, .parallel = 6, .chunk = 64}, 10);
    for (int i = 0; i < 6; i++)
        add(200, 250);
    bool preempted = false;
    while (sim.en->requests) {
        step();
        for (const struct choice *c = sim.en->queue; c; c = c->next)
            preempted |= c->n_new > 0;
    }
    assert_true(preempted);
    finish(10);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_follow_the_speed),
        cmocka_unit_test(deep_prompts_are_dear),
        cmocka_unit_test(decoding_takes_turns),
        cmocka_unit_test(short_prompts_pass_long_ones),
        cmocka_unit_test(cancel_takes_one_step),
        cmocka_unit_test(paused_make_room),
        cmocka_unit_test(few_pages),
        cmocka_unit_test(random_runs),
    };
    n_runs = argc > 1 ? strtoull(argv[1], NULL, 10) : n_runs;
    first_seed = argc > 2 ? strtoull(argv[2], NULL, 10) : first_seed;
    return cmocka_run_group_tests(tests, sim_set_up, NULL);
}
