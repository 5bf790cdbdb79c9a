/* compute: a model ready to compute, for the inspection commands that run the forward pass themselves. */
#pragma once

#include "cmd.h"
#include "../model/model.h"

struct compute {
    struct cmd_model file;
    struct gguf *gguf;
    const struct kern *kern;
    struct pool *pool;
    struct model *model;
    uint32_t chunk; /* rows of a step */
};
/* Opens MODEL with the compute options of a. threads 0: all that may be used. On failure nothing is left to close. */
int compute_open(const struct cmd_args *a, const char *model, unsigned threads, struct compute *out, struct err *e) MUST_USE;
void compute_close(struct compute *c);
/* Token ids of a JSON array, each below n_vocab. *ids is malloc'ed. */
int compute_ids(struct str json, uint32_t n_vocab, uint32_t n_max, uint32_t **ids, uint32_t *n, struct err *e) MUST_USE;
