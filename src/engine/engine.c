/* engine: requests from submit to their last event, and the step that moves all of them on. */
#include "engine_int.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { CTX_DEFAULT = 8192, PARALLEL_DEFAULT = 32, QUEUE_DEFAULT = 256, CHUNK_DEFAULT = 512, CACHE_SLOTS = 64, TEXT_THREADS = 2 };

/* ---- opening --------------------------------------------------------------------------------------------------------------- */

uint32_t engine_default_ctx(const struct gguf *g) {
    struct str arch;
    char key[128];
    uint32_t trained = CTX_DEFAULT;
    if (gguf_str(g, "general.architecture", &arch, NULL) < 0)
        return CTX_DEFAULT;
    snprintf(key, sizeof key, "%.*s.context_length", (int)(arch.n < 64 ? arch.n : 64), arch.p);
    (void)!gguf_u32_or(g, key, CTX_DEFAULT, &trained, NULL); /* model_open says what is wrong with it */
    return trained && trained < CTX_DEFAULT ? trained : CTX_DEFAULT;
}

static void set_defaults(struct engine_opts *o, const struct gguf *g) {
    o->threads = o->threads ? o->threads : cpus_usable();
    o->ctx = o->ctx ? o->ctx : engine_default_ctx(g);
    o->parallel = o->parallel ? o->parallel : PARALLEL_DEFAULT;
    o->queue = o->queue ? o->queue : QUEUE_DEFAULT;
    o->chunk = o->chunk ? o->chunk : CHUNK_DEFAULT;
}

/* Names under which models mark the end of a turn. One counts if it is a control token of the vocabulary and the template writes
 * it; eos and eot always count. */
static const char *const end_names[] = {
    "<|im_end|>",      "<|eot_id|>", "<|end|>",         "<end_of_turn>",         "<|endoftext|>",
    "<|end_of_text|>", "<|eom_id|>", "<|end_of_turn|>", "<|END_OF_TURN_TOKEN|>", "<|return|>",
    "<|call|>",        "<turn|>",
};

static void add_end(struct engine *en, int32_t id) {
    for (unsigned i = 0; i < en->n_ends; i++)
        if (en->ends[i] == (uint32_t)id)
            return;
    if (id != TOK_NONE && en->n_ends < N_ITEMS(en->ends))
        en->ends[en->n_ends++] = (uint32_t)id;
}

static int open_text(struct engine *en, struct err *e) {
    struct str source;
    if (model_tok_spec(en->g, &en->arena, &en->spec, e) < 0 || tok_new(&en->spec, &en->tok, e) < 0 ||
        model_template(en->g, &source, e) < 0)
        return e->code;
    if (source.n && tmpl_new(source, &en->tmpl, e) < 0) {
        err_within(e, "tokenizer.chat_template");
        return e->code;
    }
    add_end(en, en->spec.eos);
    add_end(en, en->spec.eot);
    for (size_t i = 0; i < N_ITEMS(end_names); i++) {
        struct str name = str_of(end_names[i]);
        int32_t id = tok_find(en->tok, name);
        if (id != TOK_NONE && tok_kind(en->tok, (uint32_t)id) == TOK_CONTROL && memmem(source.p, source.n, name.p, name.n))
            add_end(en, id);
    }
    return 0;
}

static int open_model(struct engine *en, struct err *e) {
    const struct engine_opts *o = &en->opts;
    en->kern = kern_get(o->isa, e);
    if (!en->kern)
        return e->code;
    en->pool = pool_new(o->threads);
    if (!en->pool)
        return err_set(e, ERR_ENV, "threads", "cannot start %u threads", o->threads);
    const struct model_opts opts = {.kern = en->kern,
                                    .pool = en->pool,
                                    .ctx = o->ctx,
                                    .kv_type = o->kv_type,
                                    .rows_max = o->chunk + o->parallel,
                                    .map = o->map,
                                    .packed = o->packed};
    if (model_open(en->g, &opts, &en->model, e) < 0)
        return e->code;
    en->n_vocab = model_info(en->model)->n_vocab;
    en->recurrent = model_info(en->model)->state_bytes_per_seq > 0;
    schedule_init(en);
    return 0;
}

/* Pages for what --kv-memory allows, and never fewer than one sequence of the whole context needs with one page copied. */
static int open_kv(struct engine *en, struct err *e) {
    const struct model_info *info = model_info(en->model);
    uint64_t page = info->kv_bytes_per_page ? info->kv_bytes_per_page : 1;
    uint64_t one = info->ctx / KERN_PAGE + 2, want = one + en->opts.parallel * (uint64_t)info->ctx / 2 / KERN_PAGE;
    uint64_t memory = memory_usable(), quarter = memory / 4 / page;
    uint64_t n = en->opts.kv_memory ? en->opts.kv_memory / page : want < quarter ? want : quarter;
    if (en->opts.kv_memory && n < one)
        return err_set(e, ERR_USAGE, "kv-memory",
                       "holds %llu tokens; a context of %u needs %llu bytes: give more, or a smaller --ctx",
                       (unsigned long long)n * KERN_PAGE, info->ctx, (unsigned long long)(one * page));
    if (en->opts.kv_memory > memory)
        return err_set(e, ERR_USAGE, "kv-memory", "is more than the memory that this process may use, %llu bytes",
                       (unsigned long long)memory);
    n = n < one ? one : n > UINT32_MAX / 2 ? UINT32_MAX / 2 : n;
    en->n_slots = en->opts.parallel + CACHE_SLOTS;
    en->slots = calloc(en->n_slots, sizeof *en->slots);
    en->running = calloc(en->opts.parallel, sizeof(struct choice *));
    if (!en->slots || !en->running)
        return err_set(e, ERR_MEMORY, "engine", "no memory for %u sequences", en->n_slots);
    en->info.kv_bytes = n * page;
    return kv_new(en->model, (uint32_t)n, en->n_slots, &en->kv, e);
}

static int fill_info(struct engine *en, struct err *e) {
    const struct model_info *m = model_info(en->model);
    struct wire_model *w = &en->info;
    snprintf(w->name, sizeof w->name, "%s", en->opts.name ? en->opts.name : "");
    snprintf(w->family, sizeof w->family, "%s", m->family);
    snprintf(w->isa, sizeof w->isa, "%s", en->kern->name);
    w->n_vocab = m->n_vocab;
    w->ctx = m->ctx;
    w->ctx_train = m->n_ctx_train;
    w->parallel = en->opts.parallel;
    w->threads = pool_threads(en->pool);
    w->n_params = m->n_params;
    w->weight_bytes = m->weight_bytes;
    w->has_template = en->tmpl != NULL;
    if (!en->opts.weights)
        return 0;
    int r = engine_fingerprint(en->g, &en->opts, m->ctx, w->digest, e);
    snprintf(w->fingerprint, sizeof w->fingerprint, "%.16s", w->digest);
    return r;
}

struct text_opening {
    struct engine *en;
    struct err err;
};

static void *text_main(void *arg) {
    struct text_opening *t = arg;
    (void)open_text(t->en, &t->err);
    return NULL;
}

/* The vocabulary is one thread's work and takes as long as reading the weights: both at once. Its error comes first. */
static int open_text_and_model(struct engine *en, struct err *e) {
    struct text_opening t = {.en = en};
    struct err model = {0};
    pthread_t thread;
    bool beside = pthread_create(&thread, NULL, text_main, &t) == 0;
    if (!beside)
        text_main(&t);
    (void)open_model(en, &model);
    if (beside)
        pthread_join(thread, NULL);
    *e = t.err.code ? t.err : model;
    return e->code;
}

static int open_all(struct engine *en, struct err *e) {
    if (open_text_and_model(en, e) < 0 || open_kv(en, e) < 0 || step_init(en, e) < 0 || fill_info(en, e) < 0)
        return e->code;
    en->kit = (struct text_kit){
        .tok = en->tok, .tmpl = en->tmpl, .spec = &en->spec, .n_vocab = en->n_vocab, .ctx = model_info(en->model)->ctx};
    return en->opts.sync_text ? 0 : text_workers_new(&en->kit, TEXT_THREADS, &en->text, e);
}

int engine_new(const struct gguf *g, const struct engine_opts *opts, struct engine **out, struct err *e) {
    struct engine *en = calloc(1, sizeof *en);
    if (!en)
        return err_set(e, ERR_MEMORY, "engine", "no memory");
    en->g = g;
    en->opts = *opts;
    set_defaults(&en->opts, g);
    if (open_all(en, e) < 0) {
        engine_free(en);
        return e->code;
    }
    *out = en;
    return 0;
}

void engine_free(struct engine *en) {
    if (!en)
        return;
    text_workers_free(en->text);
    while (en->requests) {
        struct request *next = en->requests->next;
        request_free(en->requests);
        en->requests = next;
    }
    for (unsigned i = 0; en->slots && i < en->n_slots; i++)
        if (en->slots[i].state == SLOT_CACHED)
            history_free(en->slots[i].history);
    if (en->pool)
        step_free(en);
    kv_free(en->kv);
    model_close(en->model);
    pool_free(en->pool);
    tmpl_free(en->tmpl);
    tok_free(en->tok);
    arena_free(&en->arena);
    free(en->slots);
    free(en->running);
    free(en);
}

const struct wire_model *engine_model(const struct engine *en) {
    return &en->info;
}

struct model *engine_raw_model(struct engine *en) {
    return en->model;
}

const struct tok *engine_tok(const struct engine *en) {
    return en->tok;
}

int engine_fd(const struct engine *en) {
    return en->text ? text_workers_fd(en->text) : -1;
}

/* ---- events ------------------------------------------------------------------------------------------------------------------ */

static void emit(struct engine *en, const struct request *r, struct gen_event ev) {
    ev.id = r->req.id;
    en->sink(en->ctx, &ev);
}

struct answer_to engine_answer_to(const struct engine *en, const struct choice *c) {
    return (struct answer_to){.tok = en->tok, .req = &c->request->req, .choice = c->index, .sink = en->sink, .ctx = en->ctx};
}

static void emit_done(struct engine *en, struct request *r) {
    uint64_t now = clock_ns();
    if (r->scheduled_ns)
        r->usage.prefill_ns = (r->first_token_ns ? r->first_token_ns : now) - r->scheduled_ns;
    if (r->first_token_ns)
        r->usage.decode_ns = now - r->first_token_ns;
    emit(en, r, (struct gen_event){.kind = GEN_DONE, .usage = r->usage});
    r->state = REQ_OVER;
}

/* Takes a choice off the queue or its KV sequence. What it computed stays for others, unless it is tainted. */
static void release(struct engine *en, struct choice *c) {
    if (c->over)
        return;
    c->over = true;
    c->request->n_open--;
    schedule_remove(en, c);
    if (c->seq == SEQ_NONE)
        return;
    if (c->fault) {
        cache_drop(en, c->seq);
    } else {
        c->history = NULL; /* the slot's now */
        cache_keep(en, c->seq);
    }
    c->seq = SEQ_NONE;
}

void engine_choice_over(struct engine *en, struct choice *c, enum gen_finish finish) {
    struct request *r = c->request;
    release(en, c);
    emit(en, r, (struct gen_event){.kind = GEN_CHOICE_DONE, .choice = c->index, .finish = finish});
    if (r->n_open == 0)
        emit_done(en, r);
}

void engine_fail(struct engine *en, struct request *r, enum gen_error code, const char *message) {
    for (uint32_t i = 0; i < r->req.n; i++)
        release(en, &r->choices[i]);
    emit(en, r, (struct gen_event){.kind = GEN_ERROR, .code = code, .message = str_of(message)});
    r->state = REQ_OVER;
}

/* ---- from submit to start ---------------------------------------------------------------------------------------------------- */

int engine_submit(struct engine *en, const struct gen_req *req, struct err *e) {
    struct request *r = request_new(req), **at = &en->requests;
    if (!r)
        return err_set(e, ERR_MEMORY, "request", "no memory for it");
    while (*at)
        at = &(*at)->next;
    *at = r;
    r->state = REQ_PREPARED;
    if (en->n_requests++ >= en->opts.parallel + en->opts.queue) {
        request_refuse(r, GEN_OVERLOADED, "", "%u requests are waiting; try again later", en->n_requests - 1);
    } else if (!en->text) {
        request_prepare(&en->kit, r);
    } else {
        r->state = REQ_PREPARING;
        ASSERT(text_workers_put(en->text, r) == 0);
    }
    return 0;
}

static struct request *find(struct engine *en, uint64_t id) {
    struct request *r = en->requests;
    while (r && r->req.id != id)
        r = r->next;
    return r;
}

void engine_start(struct engine *en, uint64_t id) {
    struct request *r = find(en, id);
    if (!r || r->state != REQ_ACCEPTED)
        return;
    r->state = REQ_STARTED;
    r->started_ns = clock_ns();
    for (uint32_t i = 0; i < r->req.n; i++) {
        r->choices[i].order = ++en->order;
        schedule_queue(en, &r->choices[i]);
    }
}

void engine_pause(struct engine *en, uint64_t id, bool paused) {
    struct request *r = find(en, id);
    if (r)
        r->paused = paused;
}

void engine_cancel(struct engine *en, uint64_t id) {
    struct request *r = find(en, id);
    if (r)
        atomic_store(&r->cancelled, true);
}

static bool make_choices(struct request *r) {
    r->choices = arena_array(&r->arena, r->req.n, sizeof *r->choices);
    r->seed = r->req.sampling.has_seed ? r->req.sampling.seed : random_u64();
    for (uint32_t i = 0; r->choices && i < r->req.n; i++) {
        struct choice *c = &r->choices[i];
        *c = (struct choice){.request = r, .index = i, .seq = SEQ_NONE, .seed = sampler_choice_seed(r->seed, i)};
        c->history = history_new(r->req.cache_scope, r->ids.ids, (uint32_t)r->ids.n);
        answer_begin(&c->answer, r->req.echo);
        if (!c->history)
            return false;
    }
    r->n_open = r->req.n;
    return r->choices != NULL;
}

/* Kinds that need no model are answered at once. */
static void answer_text(struct engine *en, struct request *r) {
    struct answer_to to = {.tok = en->tok, .req = &r->req, .sink = en->sink, .ctx = en->ctx};
    answer_send_text(&to, buf_as_str(&r->text));
    if (r->req.kind == GEN_TOKENIZE)
        answer_send_tokens(&to, r->ids.ids, r->ids.n);
    emit_done(en, r);
}

static void accept(struct engine *en, struct request *r) {
    if (!r->refusal && request_generates(r) && !make_choices(r))
        request_refuse(r, GEN_FAULT, "", "no memory for %u choices of %zu tokens", r->req.n, r->ids.n);
    if (r->refusal) {
        struct gen_event ev = {.kind = GEN_REFUSED, .code = r->refusal, .param = str_of(r->param), .message = str_of(r->why)};
        emit(en, r, ev);
        r->state = REQ_OVER;
        return;
    }
    r->state = REQ_ACCEPTED;
    r->usage.prompt_tokens = (uint32_t)r->ids.n;
    if (request_generates(r))
        cache_find(en, r->choices[0].history, &r->usage.cached_tokens);
    emit(en, r, (struct gen_event){.kind = GEN_ACCEPTED, .usage = r->usage, .seed = r->seed});
    if (!request_generates(r))
        answer_text(en, r);
}

/* ---- the step ------------------------------------------------------------------------------------------------------------------ */

static void cancel(struct engine *en, struct request *r) {
    for (uint32_t i = 0; r->choices && i < r->req.n && r->n_open; i++)
        if (!r->choices[i].over)
            engine_choice_over(en, &r->choices[i], GEN_CANCELLED);
    if (r->state != REQ_OVER)
        emit_done(en, r);
}

static void move_on(struct engine *en) {
    for (struct request *r; en->text && (r = text_workers_take(en->text));)
        r->state = REQ_PREPARED;
    for (struct request *r = en->requests; r; r = r->next) {
        if (r->state == REQ_PREPARING || r->state == REQ_OVER)
            continue;
        if (atomic_load(&r->cancelled))
            cancel(en, r);
        else if (r->state == REQ_PREPARED)
            accept(en, r);
    }
}

static void free_finished(struct engine *en) {
    for (struct request **at = &en->requests, *r; (r = *at);) {
        if (r->state != REQ_OVER) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        request_free(r);
        en->n_requests--;
    }
}

bool engine_step(struct engine *en, engine_sink sink, void *ctx) {
    en->sink = sink;
    en->ctx = ctx;
    move_on(en);
    schedule_admit(en);
    schedule_rows(en);
    if (en->plan.n_rows)
        step_run(en);
    free_finished(en);
    return schedule_has_work(en);
}
