/* answer: from the tokens of one choice to events: whole characters, stop strings, log-probabilities beside their text.
 *
 * Text that may be the beginning of a stop string is held back, and with it the tokens and log-probabilities it belongs to,
 * until the next tokens decide. What a stop string cuts off never leaves. */
#pragma once

#include "engine.h"

/* Where an answer's events go and how they look. */
struct answer_to {
    const struct tok *tok;
    const struct gen_req *req;
    uint32_t choice;
    engine_sink sink;
    void *ctx;
};
struct answer {
    struct tok_stream stream;
    struct buf held;   /* text that is decoded and not sent */
    struct buf tokens; /* struct held_token each, in order */
};
/* at_start: the first token begins a text; else it continues one, and a space before its first word is kept. */
void answer_begin(struct answer *a, bool at_start);
void answer_free(struct answer *a);
/* Adds a token. logprobs: 1 + top_logprobs entries, or NULL. Sends what is decided. True when a stop string is complete:
 * everything before it has been sent then, and the answer is over. */
bool answer_add(struct answer *a, const struct answer_to *to, uint32_t token, const struct gen_logprob *logprobs) MUST_USE;
/* Adds a token of an echoed prompt: no stop string is looked for. */
void answer_echo(struct answer *a, const struct answer_to *to, uint32_t token, const struct gen_logprob *logprobs);
/* The end without a stop string: sends what is held back. */
void answer_end(struct answer *a, const struct answer_to *to);

/* Sends text as contents of at most WIRE_PIECE_MAX bytes, cut between characters. */
void answer_send_text(const struct answer_to *to, struct str text);
void answer_send_tokens(const struct answer_to *to, const uint32_t *ids, size_t n);
