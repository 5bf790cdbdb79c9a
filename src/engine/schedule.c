/* schedule: who runs, and which rows the next step computes. Age decides everything: the older sequence is admitted first, gets
 * rows first and is preempted last, so the oldest always makes progress. A preempted sequence goes back to the queue and later
 * recomputes what it lost, to the same bits. */
#include "engine_int.h"

enum {
    STEP_NS = 100 * 1000 * 1000, /* the step length aimed at; none may reach twice that */
    ROWS_MIN = 4,                /* of prefill in a step, however slow: a few rows cost little more than one */
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

enum admission { ADMITTED, NO_ROOM, PREFIX_IS_COMING };
static enum admission admit(struct engine *en, struct choice *c) {
    uint32_t n_common = 0, from = SEQ_NONE;
    if (!scores_prompt(c)) {
        from = cache_find(en, c->history, &n_common);
        if (cache_is_coming(en, c->history, n_common))
            return PREFIX_IS_COMING;
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

/* In order of age; only who waits for a prefix lets others pass. */
void schedule_admit(struct engine *en) {
    for (struct choice *c = en->queue, *next; c && en->n_running < en->opts.parallel; c = next) {
        next = c->next;
        enum admission got = admit(en, c);
        if (got == NO_ROOM)
            break;
        if (got == PREFIX_IS_COMING)
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

/* Appends rows for the next n tokens of c; fewer when an echo asks for too many logits. */
static void add_rows(struct engine *en, struct choice *c, uint32_t n) {
    struct plan *p = &en->plan;
    uint32_t from = kv_length(en->kv, c->seq);
    for (uint32_t pos = from; pos < from + n; pos++) {
        bool wanted = wants_logits(c, pos), echo = wanted && pos + 1 < c->history->n;
        if (echo && p->n_echo++ >= SCHEDULE_ECHO_MAX)
            return;
        p->owners[p->n_rows] = c;
        p->rows[p->n_rows++] = (struct row){.seq = c->seq, .pos = pos, .token = c->history->ids[pos], .want_logits = wanted};
        if (wanted)
            p->jobs[p->n_jobs++] = (struct sample_job){.choice = c, .echo = echo, .token = echo ? c->history->ids[pos + 1] : 0};
    }
}

static uint32_t pending(const struct engine *en, const struct choice *c) {
    return c->history->n - kv_length(en->kv, c->seq);
}

/* Decoding rows of everyone, and what is left of the budget for prefill, oldest first. Making room preempts only sequences that
 * are younger than the one it is for, so none that has rows already. */
void schedule_rows(struct engine *en) {
    struct plan *p = &en->plan;
    uint32_t n_decode = 0;
    p->n_rows = p->n_jobs = p->n_echo = 0;
    for (unsigned i = 0; i < en->n_running; i++)
        n_decode += pending(en, en->running[i]) == 1;
    uint32_t left = en->budget > n_decode + ROWS_MIN ? en->budget - n_decode : ROWS_MIN;
    left = left < en->opts.chunk ? left : en->opts.chunk;
    for (unsigned i = 0; i < en->n_running;) {
        struct choice *c = en->running[i];
        uint32_t n = pending(en, c), before = p->n_rows;
        bool decode = n == 1;
        n = decode || n < left ? n : left;
        if (n > 0 && !make_room(en, c, kv_length(en->kv, c->seq) + n))
            break; /* c was the youngest, and waits in the queue now */
        add_rows(en, c, n);
        left -= decode ? 0 : p->n_rows - before;
        i++;
    }
}

uint32_t schedule_first_budget(uint64_t n_params) {
    uint64_t rows = 4000000000 / (n_params ? n_params : 1);
    return (uint32_t)(rows < ROWS_MIN ? ROWS_MIN : rows > ROWS_FIRST_MAX ? ROWS_FIRST_MAX : rows);
}

/* The budget follows the speed of the steps that used it up: prompts get slower with their length, machines with their load. */
void schedule_measured(struct engine *en, uint32_t n_rows, uint64_t ns) {
    if (n_rows < en->budget && ns <= STEP_NS)
        return;
    uint64_t fitting = (uint64_t)n_rows * STEP_NS / (ns ? ns : 1);
    uint64_t grown = fitting > en->budget ? en->budget + (fitting - en->budget + 1) / 2 : fitting;
    uint64_t most = en->plan.rows_max;
    en->budget = (uint32_t)(grown < ROWS_MIN ? ROWS_MIN : grown > most ? most : grown);
}
