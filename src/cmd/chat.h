/* chat: one conversation with an engine child, as `moat run` holds it. A client of the wire like the server, without HTTP.
 *
 *     struct chat *c = NULL;
 *     chat_open(model.fd, -1, &open, &c, &e);
 *     chat_ask(c, request, print, ctx, &answer, &e);      // blocks until the answer is complete, refused or stopped */
#pragma once

#include "../wire/wire.h"

struct chat;
/* Starts the engine and opens the model behind model_fd (borrowed). */
int chat_open(int model_fd, int packed_fd, const struct wire_open *open, struct chat **out, struct err *e) MUST_USE;
void chat_close(struct chat *c);
const struct wire_model *chat_model(const struct chat *c);

struct chat_answer {
    enum gen_finish finish;
    struct gen_usage usage;
    uint64_t seed;
    enum gen_error refused; /* 0, or why the engine would not begin (then ERR_INPUT came back) */
};
/* Sends req (its id is filled in) and hands each piece of text to `print`. When *stop becomes true (a signal handler sets it)
 * the answer is cancelled: finish is GEN_CANCELLED. */
int chat_ask(struct chat *c, struct gen_req *req, void (*print)(void *ctx, struct str text), void *ctx, volatile const int *stop,
             struct chat_answer *answer, struct err *e) MUST_USE;
