/* sampler: from logits to a token, exactly as numerics 9 says.
 *
 *     struct sampler s = {0};                       // scratch of one thread
 *     sampler_init(&s, kern, n_vocab, &e);
 *     if (!sampler_draw(&s, logits, &want, &token)) ...   // every token is banned
 *     sampler_logprobs(&s, logits, token, n_top, out);
 *
 * The result depends on nothing but the arguments: the same token on any machine, thread and batch. */
#pragma once

#include "../kern/kern.h"
#include "../wire/wire.h"

struct sampler_cand {
    uint32_t token;
    float logit; /* after penalties and bias */
    uint64_t weight;
    double deviation; /* of typical: |-log p - entropy| */
};
struct sampler {
    const struct kern *kern;
    uint32_t n_vocab;
    float *logits;              /* [n_vocab] after penalties and bias */
    uint64_t *weights;          /* [n_vocab] */
    uint32_t *counts;           /* [n_vocab] all zero between calls */
    struct sampler_cand *cands; /* [n_vocab] */
};
int sampler_init(struct sampler *s, const struct kern *kern, uint32_t n_vocab, struct err *e) MUST_USE;
void sampler_free(struct sampler *s);

struct sampler_want {
    const struct gen_sampling *how;
    const struct gen_bias *bias; /* tokens below n_vocab */
    uint32_t n_bias;
    const uint32_t *history; /* the sequence so far, prompt and answer */
    uint32_t n_history;      /* also the absolute position of the token that is drawn */
    uint64_t seed;           /* of the choice */
};
/* logits are finite. False when nothing can be drawn because every token is banned. */
bool sampler_draw(struct sampler *s, const float *logits, const struct sampler_want *want, uint32_t *token) MUST_USE;
/* out[0] is token, out[1..n_top] are the likeliest tokens in order; log-probabilities of the raw logits. `bytes` stays empty. */
void sampler_logprobs(struct sampler *s, const float *logits, uint32_t token, uint32_t n_top, struct gen_logprob *out);
/* Seed of a choice of a request with `seed`. */
uint64_t sampler_choice_seed(uint64_t seed, uint32_t choice);
