/* answer: held-back text and its tokens. Invariant: a held token's `end` is at most held.n, and ends ascend. */
#include "answer.h"

#include <math.h>
#include <string.h>

/* Most of each in one event, so that a record always holds it. */
enum { LOGPROB_GROUPS = 8, TOKEN_BYTES_MAX = 256, TOKENS_MAX = 64 };

struct held_token {
    uint32_t token;
    size_t end; /* of its text in `held` */
    struct gen_logprob logprobs[1 + WIRE_TOP_MAX];
};

void answer_begin(struct answer *a, bool at_start) {
    *a = (struct answer){.stream.begun = !at_start};
}

void answer_free(struct answer *a) {
    buf_free(&a->held);
    buf_free(&a->tokens);
}

static void send(const struct answer_to *to, struct gen_event ev) {
    ev.id = to->req->id;
    ev.choice = to->choice;
    to->sink(to->ctx, &ev);
}

void answer_send_text(const struct answer_to *to, struct str text) {
    while (text.n) {
        struct str piece = {text.p, text.n < WIRE_PIECE_MAX ? text.n : WIRE_PIECE_MAX};
        if (piece.n < text.n)
            piece.n = utf8_complete(piece);
        send(to, (struct gen_event){.kind = GEN_CONTENT, .text = piece});
        text = (struct str){text.p + piece.n, text.n - piece.n};
    }
}

void answer_send_tokens(const struct answer_to *to, const uint32_t *ids, size_t n) {
    for (size_t at = 0, piece; at < n; at += piece) {
        piece = n - at < WIRE_PIECE_MAX / sizeof *ids ? n - at : WIRE_PIECE_MAX / sizeof *ids;
        send(to, (struct gen_event){.kind = GEN_CONTENT, .tokens = ids + at, .n_tokens = (uint32_t)piece});
    }
}

/* Takes n bytes off the front. */
static void buf_drop(struct buf *b, size_t n) {
    if (n == 0)
        return;
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
}

static struct held_token *held_tokens(const struct answer *a, size_t *n) {
    *n = a->tokens.n / sizeof(struct held_token);
    return (struct held_token *)(void *)a->tokens.p;
}

static struct str shown_bytes(const struct tok *tok, uint32_t token) {
    struct str bytes = token < tok_n(tok) ? tok_piece_bytes(tok, token) : (struct str){0}; /* models may have more rows */
    bytes.n = bytes.n < TOKEN_BYTES_MAX ? bytes.n : TOKEN_BYTES_MAX;
    return bytes;
}

static void send_logprobs(const struct answer_to *to, const struct held_token *held, size_t n) {
    struct gen_logprob group[LOGPROB_GROUPS * (1 + WIRE_TOP_MAX)];
    uint32_t width = 1 + to->req->top_logprobs;
    for (size_t at = 0; at < n;) {
        uint32_t n_groups = 0, n_entries = 0;
        for (; n_groups < LOGPROB_GROUPS && at < n; n_groups++, at++)
            for (uint32_t i = 0; i < width; i++) {
                group[n_entries] = held[at].logprobs[i];
                group[n_entries].bytes = shown_bytes(to->tok, group[n_entries].token);
                n_entries++;
            }
        send(to, (struct gen_event){.kind = GEN_LOGPROBS, .logprobs = group, .n_logprobs = n_groups, .n_top = width - 1});
    }
}

/* One content where text and ids fit, as they nearly always do. */
static void send_content(const struct answer_to *to, struct str text, const struct held_token *held, size_t n) {
    uint32_t ids[TOKENS_MAX];
    size_t n_ids = to->req->token_ids ? n : 0, at = 0;
    if (text.n > WIRE_PIECE_MAX) {
        answer_send_text(to, text);
        text.n = 0;
    }
    while (text.n || at < n_ids) {
        uint32_t got = 0;
        while (got < TOKENS_MAX && at < n_ids)
            ids[got++] = held[at++].token;
        send(to, (struct gen_event){.kind = GEN_CONTENT, .text = text, .tokens = ids, .n_tokens = got});
        text.n = 0;
    }
}

/* Sends the first n_bytes of what is held, the tokens that end there, and their log-probabilities. */
static void send_held(struct answer *a, const struct answer_to *to, size_t n_bytes) {
    size_t n_held, n = 0;
    struct held_token *held = held_tokens(a, &n_held);
    while (n < n_held && held[n].end <= n_bytes)
        n++;
    send_content(to, (struct str){a->held.p, n_bytes}, held, n);
    if (to->req->logprobs)
        send_logprobs(to, held, n);
    for (size_t i = n; i < n_held; i++)
        held[i].end -= n_bytes;
    buf_drop(&a->tokens, n * sizeof *held);
    buf_drop(&a->held, n_bytes);
}

static void hold(struct answer *a, const struct answer_to *to, uint32_t token, const struct gen_logprob *logprobs) {
    struct held_token held = {.token = token};
    if (token < tok_n(to->tok))
        tok_stream_add(to->tok, &a->stream, token, false, &a->held);
    held.end = a->held.n;
    if (logprobs)
        memcpy(held.logprobs, logprobs, (1 + to->req->top_logprobs) * sizeof *logprobs);
    buf_add(&a->tokens, &held, sizeof held);
}

/* Where in s the earliest stop string begins, or s.n. */
static size_t find_stop(const struct gen_req *req, struct str s) {
    size_t first = s.n;
    for (uint32_t i = 0; i < req->n_stop && s.n; i++) {
        const char *at = memmem(s.p, s.n, req->stop[i].p, req->stop[i].n);
        if (at && (size_t)(at - s.p) < first)
            first = (size_t)(at - s.p);
    }
    return first;
}

/* Bytes at the end of s that may be the beginning of a stop string. */
static size_t may_stop(const struct gen_req *req, struct str s) {
    size_t longest = 0;
    for (uint32_t i = 0; i < req->n_stop; i++) {
        size_t n = req->stop[i].n - 1 < s.n ? req->stop[i].n - 1 : s.n;
        while (n > longest && memcmp(s.p + s.n - n, req->stop[i].p, n) != 0)
            n--;
        longest = n > longest ? n : longest;
    }
    return longest;
}

bool answer_add(struct answer *a, const struct answer_to *to, uint32_t token, const struct gen_logprob *logprobs) {
    hold(a, to, token, logprobs);
    struct str held = buf_as_str(&a->held);
    size_t stop = find_stop(to->req, held);
    bool stopped = stop < held.n;
    send_held(a, to, stopped ? stop : held.n - may_stop(to->req, held));
    return stopped;
}

void answer_echo(struct answer *a, const struct answer_to *to, uint32_t token, const struct gen_logprob *logprobs) {
    hold(a, to, token, logprobs);
    send_held(a, to, a->held.n);
}

void answer_end(struct answer *a, const struct answer_to *to) {
    size_t n;
    tok_stream_end(&a->stream, &a->held);
    struct held_token *held = held_tokens(a, &n);
    for (size_t i = 0; i < n; i++) /* what the stream still held belongs to the last ones */
        held[i].end = i + 1 == n ? a->held.n : held[i].end;
    send_held(a, to, a->held.n);
}
