/* request: one gen_req from submit to its last event, its choices, and what text workers make of it.
 *
 * Owner: the engine thread, but while state is REQ_PREPARING a text worker, which touches nothing but what request_prepare
 * names. The strings of `req` are copies in the request's arena. */
#pragma once

#include "answer.h"
#include "sampler.h"

#include <stdatomic.h>

enum request_state {
    REQ_PREPARING, /* with a text worker */
    REQ_PREPARED,  /* neither accepted nor refused yet */
    REQ_ACCEPTED,  /* waits for the server's start */
    REQ_STARTED,   /* its choices wait or run */
    REQ_OVER,      /* its last event was sent */
};

/* The tokens of a sequence. Belongs to its choice, and to the prefix cache when the choice is over. */
struct history {
    uint64_t scope; /* prefixes are shared within one scope */
    uint32_t *ids;
    uint32_t n, cap;
};
struct history *history_new(uint64_t scope, const uint32_t *ids, uint32_t n); /* NULL without memory */
bool history_add(struct history *h, uint32_t id) MUST_USE;
void history_free(struct history *h);
/* Length of the longest common prefix; 0 for different scopes. */
uint32_t history_common(const struct history *a, const struct history *b);

enum { SEQ_NONE = UINT32_MAX };
struct choice {
    struct request *request;
    struct choice *next;     /* in the queue */
    struct history *history; /* prompt and answer; NULL when over */
    uint64_t order;          /* age: smaller runs first and is preempted last */
    uint64_t seed;
    uint32_t index;    /* among the request's choices */
    uint32_t seq;      /* number of its KV sequence, or SEQ_NONE */
    uint32_t share;    /* rows it has in this step */
    uint32_t n_new;    /* tokens drawn, end tokens not counted */
    uint32_t n_scored; /* of an echo with logprobs: positions whose logits were used */
    bool echoed;       /* what an echo shows without logits was sent */
    struct answer answer;
    uint16_t fault; /* layer + 1 that met a value that is not finite */
    bool over;
};

struct request {
    struct gen_req req;
    struct arena arena;
    enum request_state state;
    atomic_bool cancelled;
    bool paused;
    struct request *next;
    unsigned worker; /* the text worker that has it */

    /* written by request_prepare */
    struct tok_ids ids;     /* the prompt; what GEN_TOKENIZE answers */
    struct buf text;        /* what GEN_RENDER and GEN_DETOKENIZE answer */
    enum gen_error refusal; /* 0: none */
    const char *param;
    char why[400];

    struct choice *choices; /* [req.n], from its acceptance on */
    uint32_t n_open;        /* choices that are not over */
    uint64_t seed;
    struct gen_usage usage;
    uint64_t started_ns, scheduled_ns, first_token_ns;
};
/* Copies req; NULL when memory runs out. */
struct request *request_new(const struct gen_req *req);
void request_free(struct request *r);
static inline bool request_generates(const struct request *r) {
    return r->req.kind <= GEN_TOKENS;
}

/* What preparing needs: shared by all text workers, immutable. */
struct text_kit {
    const struct tok *tok;
    const struct tmpl *tmpl;     /* NULL: the model has no template */
    const struct tok_spec *spec; /* ids of special tokens, which templates name */
    uint32_t n_vocab, ctx;       /* n_vocab: of the model; its last tokens may have no spelling */
};
/* Checks, renders and tokenises: fills ids, text, refusal, param, why. Any thread. */
void request_prepare(const struct text_kit *kit, struct request *r);
/* Sets refusal, param, why; returns false. */
bool request_refuse(struct request *r, enum gen_error code, const char *param, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* ---- text workers --------------------------------------------------------------------------------------------------- */

/* Threads that run request_prepare, so that a megabyte of text stalls no stream. Used by the engine thread. */
struct text_workers;
int text_workers_new(const struct text_kit *kit, unsigned n_threads, struct text_workers **out, struct err *e) MUST_USE;
int text_workers_put(struct text_workers *w, struct request *r) MUST_USE; /* 0 or ERR_MEMORY; the request is lent out */
struct request *text_workers_take(struct text_workers *w);                /* one that is ready, or NULL */
int text_workers_fd(const struct text_workers *w);                        /* readable when one is ready */
void text_workers_free(struct text_workers *w);                           /* waits for them; unfinished requests come to no one */
