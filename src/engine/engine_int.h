/* engine_int: what the files of the engine share. engine.c owns requests and events, schedule.c who runs and which rows a step
 * has, prefix_cache.c what sequences leave behind, step.c the step itself. */
#pragma once

#include "engine.h"
#include "request.h"

/* A KV sequence: free, of a running choice, or kept for its prefix. */
enum slot_state { SLOT_FREE, SLOT_RUNNING, SLOT_CACHED };
struct slot {
    enum slot_state state;
    struct history *history; /* owned when cached; its first kv_length tokens are computed */
    uint64_t used;           /* of cached ones: the tick of the last use, for LRU */
};

/* What becomes of one row's logits. */
struct sample_job {
    struct choice *choice;
    bool echo;      /* scores the next token of the prompt instead of drawing one */
    bool banned;    /* result: nothing could be drawn */
    uint32_t token; /* result, or what an echo scores */
    struct gen_logprob logprobs[1 + WIRE_TOP_MAX];
};

enum { SCHEDULE_ECHO_MAX = 32 }; /* rows of a step whose logits only score a prompt */

/* The rows of one step. */
struct plan {
    struct row *rows;       /* [rows_max]: chunk + parallel */
    struct choice **owners; /* [rows_max] */
    uint16_t *faults;       /* [rows_max] */
    uint32_t n_rows, rows_max;
    struct sample_job *jobs; /* [parallel + SCHEDULE_ECHO_MAX]: one for each row that wants logits, in order */
    uint32_t n_jobs, n_echo;
    double work;   /* what the rows cost, in rows at the beginning of a sequence */
    bool full;     /* more was to be done than the budget holds */
    float *logits; /* [n_logits][n_vocab]; grows to the most jobs of a step so far */
    uint32_t n_logits;
};

struct engine {
    struct engine_opts opts;
    const struct gguf *g;
    const struct kern *kern;
    struct pool *pool;
    struct model *model;
    struct kv *kv;
    struct tok *tok;
    struct tmpl *tmpl;
    struct arena arena; /* of tok_spec */
    struct tok_spec spec;
    struct text_kit kit;
    struct text_workers *text; /* NULL with sync_text */
    struct wire_model info;
    uint32_t n_vocab;
    bool recurrent;    /* a sequence's state cannot be cut shorter */
    uint32_t ends[16]; /* tokens that end an answer */
    unsigned n_ends;

    struct request *requests; /* all, in the order of their submission */
    unsigned n_requests;
    struct choice *queue;    /* by age */
    struct choice **running; /* [parallel] by age */
    unsigned n_running;
    struct slot *slots; /* [n_slots] by number of the KV sequence */
    unsigned n_slots;
    uint64_t order, tick;

    struct plan plan;
    struct sampler *samplers; /* [threads of the pool] */
    double budget;            /* work of a step, by the speed measured so far: as plan.work */
    double pos_cost;          /* work of a row for each position before it */
    uint64_t turn;            /* age of the sequence that last had a row of decoding */
    engine_sink sink;         /* during a step */
    void *ctx;
};

/* engine.c */
struct answer_to engine_answer_to(const struct engine *en, const struct choice *c);
/* Ends a choice and, with the last one, its request: their last events. Memory stays until the step is over. */
void engine_choice_over(struct engine *en, struct choice *c, enum gen_finish finish);
void engine_fail(struct engine *en, struct request *r, enum gen_error code, const char *message);

/* prefix_cache.c */
/* Longest prefix of h that some sequence has computed, at most h->n - 1 (the last token's logits are wanted); its slot or SEQ_NONE. */
uint32_t cache_find(const struct engine *en, const struct history *h, uint32_t *n_common);
/* Whether a running sequence is about to compute a longer prefix of h than `have`: better to wait for it. */
bool cache_is_coming(const struct engine *en, const struct history *h, uint32_t have);
uint32_t cache_take_slot(struct engine *en);      /* a free KV sequence, evicting if need be */
void cache_keep(struct engine *en, uint32_t seq); /* a running sequence is over: keeps what it computed */
void cache_drop(struct engine *en, uint32_t seq); /* frees a sequence and its pages; the history stays the choice's if running */
bool cache_evict(struct engine *en);              /* the least recently used one; false when there is none */

/* schedule.c */
void schedule_queue(struct engine *en, struct choice *c);  /* by age */
void schedule_admit(struct engine *en);                    /* from the queue to running, while there is room */
void schedule_remove(struct engine *en, struct choice *c); /* from queue or running; its slot is the caller's matter */
void schedule_rows(struct engine *en);                     /* fills the plan */
bool schedule_has_work(const struct engine *en);           /* somebody waits or runs who is not paused */
void schedule_init(struct engine *en);
void schedule_measured(struct engine *en, uint64_t ns); /* the plan took so long */

/* step.c */
int step_init(struct engine *en, struct err *e) MUST_USE;
void step_free(struct engine *en);
void step_run(struct engine *en); /* computes the plan, samples, emits */
