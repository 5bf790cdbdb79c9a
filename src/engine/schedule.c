/* schedule: who runs, and which rows the next step computes. Age decides: the older sequence is admitted first and preempted last, and
 * half of a step's prefill goes by age, so the oldest always makes progress. A preempted sequence goes back to the queue and later
 * recomputes what it lost, to the same bits. tests/sim shows what holds. */
#include "engine_int.h"

enum {
    STEP_NS = 100 * 1000 * 1000, /* the step length aimed at; none may reach twice that */
    ROWS_MIN = 4,                /* of prefill in a step, however slow: a few rows cost little more than one */
    DECODE_MIN = 8,              /* sequences that decode in a step, for the same reason */
    ROWS_FIRST_MAX = 64,         /* of the first step, whose speed nobody knows */
};

void schedule_queue(struct engine *en, struct choice *c) {
    struct choice **at = &en->queue;
    while (*at && (*at)->order < c->order)
        at = &(*at)->next;
    c->next = *at;
    *at = c;
}

void schedule_remove(struct engine *en, struct choice *c) {
    for (struct choice **at = &en->queue; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            return;
        }
    unsigned kept = 0;
    for (unsigned i = 0; i < en->n_running; i++)
        if (en->running[i] != c)
            en->running[kept++] = en->running[i];
    en->n_running = kept;
}

static void preempt(struct engine *en, struct choice *c) {
    schedule_remove(en, c);
    cache_drop(en, c->seq);
    c->seq = SEQ_NONE;
    schedule_queue(en, c);
}

/* Sends the youngest paused sequence back to the queue; false when there is none. */
static bool preempt_paused(struct engine *en) {
    for (unsigned i = en->n_running; i-- > 0;)
        if (en->running[i]->request->paused) {
            preempt(en, en->running[i]);
            return true;
        }
    return false;
}

/* Pages for n positions of c; makes room by evicting, then by preempting the youngest. False when that was c itself. */
static bool make_room(struct engine *en, struct choice *c, uint32_t n) {
    while (!kv_reserve(en->kv, c->seq, n)) {
        if (cache_evict(en))
            continue;
        struct choice *youngest = en->running[en->n_running - 1];
        preempt(en, youngest);
        if (youngest == c)
            return false;
    }
    return true;
}

/* ---- admission ---------------------------------------------------------------------------------------------------------- */

/* Room for all tokens of c that are known, and a page for each sequence that runs, so that admitting it preempts nobody soon. */
static bool fits(struct engine *en, struct choice *c) {
    for (;;) {
        if (kv_reserve(en->kv, c->seq, c->history->n) && (en->n_running == 0 || kv_pages_free(en->kv) > en->n_running))
            return true;
        if (!cache_evict(en))
            return false;
    }
}

/* Log-probabilities of the prompt need every row computed. */
static bool scores_prompt(const struct choice *c) {
    return c->request->req.echo && c->request->req.logprobs;
}

static void begin(struct engine *en, struct choice *c, uint32_t from, uint32_t n_common) {
    if (from != SEQ_NONE)
        en->slots[from].used = ++en->tick;
    c->seq = cache_take_slot(en);
    if (from != SEQ_NONE && en->slots[from].state != SLOT_FREE) /* else it was the only one that could be evicted */
        kv_share(en->kv, c->seq, from, n_common);
    en->slots[c->seq] = (struct slot){.state = SLOT_RUNNING, .history = c->history};
}

static void note_scheduled(struct choice *c, uint32_t n_cached, uint64_t now) {
    struct request *r = c->request;
    if (r->scheduled_ns)
        return;
    r->scheduled_ns = now;
    r->usage.queue_ns = now - r->started_ns;
    r->usage.cached_tokens = n_cached;
}

enum admission { ADMITTED, NO_ROOM, NOT_NOW };
static enum admission admit(struct engine *en, struct choice *c) {
    uint32_t n_common = 0, from = SEQ_NONE;
    if (!scores_prompt(c)) {
        from = cache_find(en, c->history, &n_common);
        if (cache_is_coming(en, c->history, n_common))
            return NOT_NOW;
    }
    begin(en, c, from, n_common);
    if (!fits(en, c)) {
        ASSERT(en->n_running > 0); /* the pages hold a whole context */
        cache_drop(en, c->seq);
        c->seq = SEQ_NONE;
        return NO_ROOM;
    }
    note_scheduled(c, kv_length(en->kv, c->seq), clock_ns());
    return ADMITTED;
}

/* As admit; paused sequences make room. */
static enum admission admit_before_paused(struct engine *en, struct choice *c) {
    enum admission got;
    do
        got = en->n_running < en->opts.parallel ? admit(en, c) : NO_ROOM;
    while (got == NO_ROOM && preempt_paused(en));
    return got;
}

/* In order of age; only who waits for a prefix or is paused lets others pass. */
void schedule_admit(struct engine *en) {
    for (struct choice *c = en->queue, *next; c; c = next) {
        next = c->next;
        enum admission got = c->request->paused ? NOT_NOW : admit_before_paused(en, c);
        if (got == NO_ROOM)
            break;
        if (got == NOT_NOW)
            continue;
        schedule_remove(en, c);
        unsigned at = en->n_running++;
        for (; at > 0 && en->running[at - 1]->order > c->order; at--)
            en->running[at] = en->running[at - 1];
        en->running[at] = c;
    }
}

/* ---- rows ----------------------------------------------------------------------------------------------------------------- */

static bool wants_logits(const struct choice *c, uint32_t pos) {
    return pos + 1 == c->history->n || (scores_prompt(c) && pos >= c->n_scored && pos + 1 < c->request->ids.n);
}

/* What a row costs, in rows at the beginning of a sequence: attention looks back on all positions before it. */
static double row_cost(const struct engine *en, uint32_t pos) {
    return 1 + en->pos_cost * pos;
}

/* Appends rows for the next n tokens of c; fewer when an echo asks for too many logits. */
static void add_rows(struct engine *en, struct choice *c, uint32_t n) {
    struct plan *p = &en->plan;
    uint32_t from = kv_length(en->kv, c->seq);
    for (uint32_t pos = from; pos < from + n; pos++) {
        bool wanted = wants_logits(c, pos), echo = wanted && pos + 1 < c->history->n;
        if (echo && p->n_echo++ >= SCHEDULE_ECHO_MAX)
            return;
        p->work += row_cost(en, pos);
        p->owners[p->n_rows] = c;
        p->rows[p->n_rows++] = (struct row){.seq = c->seq, .pos = pos, .token = c->history->ids[pos], .want_logits = wanted};
        if (wanted)
            p->jobs[p->n_jobs++] = (struct sample_job){.choice = c, .echo = echo, .token = echo ? c->history->ids[pos + 1] : 0};
    }
}

/* Tokens that are known and not computed. */
static uint32_t pending(const struct engine *en, const struct choice *c) {
    return c->request->paused ? 0 : c->history->n - kv_length(en->kv, c->seq);
}

/* What a step can still hold. */
struct room {
    double work;
    uint32_t prefill_rows;
};

/* Decoding: a row each, all of them where the budget allows, else in turns by age. Returns how many sequences have a prompt to
 * compute instead. */
static uint32_t share_decode(struct engine *en, struct room *room) {
    uint32_t n_prompts = 0, n_decode = 0;
    unsigned first = 0;
    for (unsigned i = 0; i < en->n_running; i++) {
        en->running[i]->share = 0;
        n_prompts += pending(en, en->running[i]) > 1;
        first += en->running[i]->order <= en->turn;
    }
    double kept = n_prompts ? ROWS_MIN : 0;
    for (unsigned i = 0; i < en->n_running; i++) {
        struct choice *c = en->running[(first + i) % en->n_running];
        double cost = row_cost(en, kv_length(en->kv, c->seq));
        if (pending(en, c) != 1)
            continue;
        if (n_decode >= DECODE_MIN && room->work - cost < kept) {
            en->plan.full = true;
            break;
        }
        c->share = 1;
        en->turn = c->order;
        room->work -= cost;
        n_decode++;
    }
    return n_prompts;
}

/* Up to n more rows of c's prompt, as far as `work` goes; the first `least` whatever they cost. */
static void share_prompt(struct engine *en, struct choice *c, uint32_t n, double work, uint32_t least, struct room *room) {
    uint32_t at = kv_length(en->kv, c->seq) + c->share;
    for (uint32_t i = 0; i < n && room->prefill_rows > 0; i++, at++) {
        double cost = row_cost(en, at);
        if (cost > work && i >= least) {
            en->plan.full = true;
            return;
        }
        work -= cost;
        room->work -= cost;
        room->prefill_rows--;
        c->share++;
    }
}

/* How many rows each running sequence has in this step. Decoding comes first. Half of what is left is for all prompts alike, so
 * that a short one does not wait for the end of a long one; the other half goes by age, so that each comes to its end. */
static void share_out(struct engine *en) {
    struct room room = {.work = en->budget, .prefill_rows = en->opts.chunk / 2};
    uint32_t n_prompts = share_decode(en, &room);
    double part = n_prompts ? room.work / 2 / n_prompts : 0;
    for (unsigned i = 0; i < en->n_running; i++)
        if (pending(en, en->running[i]) > 1)
            share_prompt(en, en->running[i], pending(en, en->running[i]), part, 0, &room);
    room.prefill_rows += en->opts.chunk - en->opts.chunk / 2;
    uint32_t least = ROWS_MIN;
    for (unsigned i = 0; i < en->n_running; i++) {
        struct choice *c = en->running[i];
        uint32_t n = pending(en, c);
        if (n <= 1)
            continue;
        share_prompt(en, c, n - c->share, room.work, least > c->share ? least - c->share : 0, &room);
        least -= c->share < least ? c->share : least;
    }
}

/* Making room preempts only sequences that are younger than the one it is for, so none that has rows already. */
void schedule_rows(struct engine *en) {
    struct plan *p = &en->plan;
    p->n_rows = p->n_jobs = p->n_echo = 0;
    p->work = 0;
    p->full = false;
    share_out(en);
    for (unsigned i = 0; i < en->n_running; i++) {
        struct choice *c = en->running[i];
        if (c->share == 0)
            continue;
        if (!make_room(en, c, kv_length(en->kv, c->seq) + c->share))
            break; /* c was the youngest, and waits in the queue now */
        add_rows(en, c, c->share);
    }
}

bool schedule_has_work(const struct engine *en) {
    for (unsigned i = 0; i < en->n_running; i++)
        if (!en->running[i]->request->paused)
            return true;
    for (const struct choice *c = en->queue; c; c = c->next)
        if (!c->request->paused)
            return true;
    return false;
}

/* Nobody knows the speed of the first step. Attention is 4 operations for each value of each layer a position, the weights are 2
 * operations each and about 4 times as fast. */
void schedule_init(struct engine *en) {
    const struct model_info *m = model_info(en->model);
    double n_params = m->n_params ? (double)m->n_params : 1, rows = 4e9 / n_params;
    en->pos_cost = 8.0 * m->n_layers * m->n_embd / n_params;
    en->budget = rows < ROWS_MIN ? ROWS_MIN : rows > ROWS_FIRST_MAX ? ROWS_FIRST_MAX : rows;
}

/* The budget follows the speed of the steps that used it up: models differ in what a row costs, machines in their load. */
void schedule_measured(struct engine *en, uint64_t ns) {
    const struct plan *p = &en->plan;
    if (!p->full && ns <= STEP_NS)
        return;
    double fitting = p->work * STEP_NS / (double)(ns ? ns : 1);
    double grown = fitting > en->budget ? en->budget + (fitting - en->budget) / 2 : fitting;
    double most = p->rows_max * row_cost(en, en->kit.ctx);
    en->budget = grown < ROWS_MIN ? ROWS_MIN : grown > most ? most : grown;
}
