/* step: computes the rows of the plan, turns their logits into tokens in parallel, and hands these out in order. */
#include "engine_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int step_init(struct engine *en, struct err *e) {
    struct plan *p = &en->plan;
    unsigned n_threads = pool_threads(en->pool);
    p->rows_max = en->opts.chunk + en->opts.parallel;
    p->rows = calloc(p->rows_max, sizeof *p->rows);
    p->owners = calloc(p->rows_max, sizeof(struct choice *));
    p->faults = calloc(p->rows_max, sizeof *p->faults);
    p->jobs = calloc(en->opts.parallel + SCHEDULE_ECHO_MAX, sizeof *p->jobs);
    en->samplers = calloc(n_threads, sizeof *en->samplers);
    if (!p->rows || !p->owners || !p->faults || !p->jobs || !en->samplers)
        return err_set(e, ERR_MEMORY, "engine", "no memory for steps of %u rows", p->rows_max);
    for (unsigned i = 0; i < n_threads; i++)
        if (sampler_init(&en->samplers[i], en->kern, en->n_vocab, e) < 0)
            return e->code;
    return 0;
}

void step_free(struct engine *en) {
    struct plan *p = &en->plan;
    for (unsigned i = 0; en->samplers && i < pool_threads(en->pool); i++)
        sampler_free(&en->samplers[i]);
    free(en->samplers);
    free(p->rows);
    free(p->owners);
    free(p->faults);
    free(p->jobs);
    free(p->logits);
}

/* The logits of a step may be large: memory for them is taken only as far as steps need it. */
static bool logits_room(struct engine *en) {
    struct plan *p = &en->plan;
    if (p->n_jobs <= p->n_logits)
        return true;
    free(p->logits);
    p->logits = malloc((size_t)p->n_jobs * en->n_vocab * sizeof *p->logits);
    p->n_logits = p->logits ? p->n_jobs : 0;
    return p->logits != NULL;
}

/* One job, on whichever thread: reads what belongs to the choice, writes nothing but the job. */
static void sample(void *ctx, uint32_t item, unsigned thread) {
    struct engine *en = ctx;
    struct sample_job *job = &en->plan.jobs[item];
    const struct choice *c = job->choice;
    const struct gen_req *req = &c->request->req;
    const float *logits = en->plan.logits + (size_t)item * en->n_vocab;
    if (c->fault)
        return;
    const struct sampler_want want = {.how = &req->sampling,
                                      .bias = req->bias,
                                      .n_bias = req->n_bias,
                                      .history = c->history->ids,
                                      .n_history = c->history->n,
                                      .seed = c->seed};
    if (!job->echo)
        job->banned = !sampler_draw(&en->samplers[thread], logits, &want, &job->token);
    if (req->logprobs && !job->banned)
        sampler_logprobs(&en->samplers[thread], logits, job->token, req->top_logprobs, job->logprobs);
}

static bool is_end(const struct engine *en, const struct choice *c, uint32_t token) {
    for (unsigned i = 0; i < en->n_ends && !c->request->req.ignore_eos; i++)
        if (en->ends[i] == token)
            return true;
    return false;
}

/* The part of an echo that waits for no logits: all of the prompt, or its first token when the others are scored. */
static void echo_unscored(const struct engine *en, struct choice *c) {
    const struct request *r = c->request;
    struct answer_to to = engine_answer_to(en, c);
    struct gen_logprob none[1 + WIRE_TOP_MAX];
    if (!r->req.echo || c->echoed)
        return;
    c->echoed = true;
    for (uint32_t i = 0; i < N_ITEMS(none); i++)
        none[i] = (struct gen_logprob){.token = r->ids.ids[0], .logprob = NAN};
    for (size_t i = 0; i < (r->req.logprobs ? 1 : r->ids.n); i++)
        answer_echo(&c->answer, &to, r->ids.ids[i], none);
}

static void take_echo(struct engine *en, struct choice *c, const struct sample_job *job) {
    struct answer_to to = engine_answer_to(en, c);
    echo_unscored(en, c);
    c->n_scored++;
    answer_echo(&c->answer, &to, job->token, job->logprobs);
}

static void take_token(struct engine *en, struct choice *c, const struct sample_job *job) {
    struct request *r = c->request;
    struct answer_to to = engine_answer_to(en, c);
    if (!r->first_token_ns)
        r->first_token_ns = clock_ns();
    echo_unscored(en, c);
    if (r->req.echo_only || is_end(en, c, job->token)) {
        answer_end(&c->answer, &to);
        engine_choice_over(en, c, r->req.echo_only ? GEN_LENGTH : GEN_STOP);
        return;
    }
    c->n_new++;
    r->usage.completion_tokens++;
    bool stopped = answer_add(&c->answer, &to, job->token, r->req.logprobs ? job->logprobs : NULL);
    bool full = (r->req.max_tokens && c->n_new == r->req.max_tokens) || c->history->n + 1 >= en->kit.ctx;
    if (!stopped && full)
        answer_end(&c->answer, &to);
    if (stopped || full)
        engine_choice_over(en, c, stopped ? GEN_STOP : GEN_LENGTH);
    else if (c->answer.held.failed || c->answer.tokens.failed || !history_add(c->history, job->token))
        engine_fail(en, r, GEN_FAULT, "no memory for the answer");
}

/* The layer is named as models count them: fault is the layer + 1, and one more after the last layer. */
static void fail_not_finite(struct engine *en, struct choice *c) {
    char text[128];
    uint32_t n_layers = model_info(en->model)->n_layers;
    if (c->fault <= n_layers)
        snprintf(text, sizeof text, "a value that is not finite came up in layer %u of %u", c->fault - 1u, n_layers);
    else
        snprintf(text, sizeof text, "a value that is not finite came up after the last of %u layers", n_layers);
    engine_fail(en, c->request, GEN_NOT_FINITE, text);
}

/* A request that ends here takes its choices' other jobs with it: their choices are over, so what it frees is kept until all
 * jobs are through (engine.c frees between steps). */
static void deliver(struct engine *en) {
    struct plan *p = &en->plan;
    for (uint32_t i = 0; i < p->n_jobs; i++) {
        struct sample_job *job = &p->jobs[i];
        struct choice *c = job->choice;
        if (c->over || c->fault)
            continue;
        if (job->banned)
            engine_fail(en, c->request, GEN_BAD_REQUEST, "every token is banned: logit_bias leaves nothing to draw");
        else if (job->echo)
            take_echo(en, c, job);
        else
            take_token(en, c, job);
    }
    for (uint32_t i = 0; i < p->n_rows; i++)
        if (p->owners[i]->fault && !p->owners[i]->over)
            fail_not_finite(en, p->owners[i]);
}

void step_run(struct engine *en) {
    struct plan *p = &en->plan;
    uint64_t start = clock_ns();
    if (!logits_room(en)) {
        for (uint32_t i = 0; i < p->n_rows; i++)
            if (!p->owners[i]->over)
                engine_fail(en, p->owners[i]->request, GEN_FAULT, "no memory for the logits");
        return;
    }
    memset(p->faults, 0, p->n_rows * sizeof *p->faults);
    model_forward(en->model, en->kv, p->rows, p->n_rows, p->logits, p->faults);
    for (uint32_t i = 0; i < p->n_rows; i++)
        if (p->faults[i] && !p->owners[i]->fault)
            p->owners[i]->fault = p->faults[i];
    pool_for(en->pool, p->n_jobs, sample, en);
    schedule_measured(en, clock_ns() - start);
    deliver(en);
}
