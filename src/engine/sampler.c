/* sampler: numerics 9 written down. Cuts (top-k, typical, top-p, min-p) work on integer weights, so their sums are exact in any
 * order and each cut is an integer comparison. Tokens whose weight is 0 can never be drawn and fall away first. */
#include "sampler.h"
#include "philox.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int sampler_init(struct sampler *s, const struct kern *kern, uint32_t n_vocab, struct err *e) {
    *s = (struct sampler){.kern = kern, .n_vocab = n_vocab};
    s->logits = calloc(n_vocab, sizeof *s->logits);
    s->weights = calloc(n_vocab, sizeof *s->weights);
    s->counts = calloc(n_vocab, sizeof *s->counts);
    s->cands = calloc(n_vocab, sizeof *s->cands);
    if (s->logits && s->weights && s->counts && s->cands)
        return 0;
    sampler_free(s);
    return err_set(e, ERR_MEMORY, "sampler", "no memory for %u tokens", n_vocab);
}

void sampler_free(struct sampler *s) {
    free(s->logits);
    free(s->weights);
    free(s->counts);
    free(s->cands);
    *s = (struct sampler){0};
}

uint64_t sampler_choice_seed(uint64_t seed, uint32_t choice) {
    return choice == 0 ? seed : philox(seed, choice, PHILOX_CHOICE);
}

/* ---- penalties and bias ------------------------------------------------------------------------------------------------ */

static bool has_penalties(const struct gen_sampling *how) {
    return how->repetition_penalty != 1 || how->presence_penalty != 0 || how->frequency_penalty != 0;
}

static float penalised(float logit, uint32_t count, const struct gen_sampling *how) {
    logit = logit > 0 ? logit / how->repetition_penalty : logit * how->repetition_penalty;
    logit = logit - (float)count * how->frequency_penalty;
    return logit - how->presence_penalty;
}

/* Changes the logit of each token of the window once. */
static void apply_penalties(struct sampler *s, const struct sampler_want *want) {
    uint32_t last_n = want->how->penalty_last_n;
    uint32_t from = last_n && last_n < want->n_history ? want->n_history - last_n : 0;
    for (uint32_t i = from; i < want->n_history; i++)
        s->counts[want->history[i]]++;
    for (uint32_t i = from; i < want->n_history; i++) {
        uint32_t token = want->history[i];
        if (s->counts[token])
            s->logits[token] = penalised(s->logits[token], s->counts[token], want->how);
        s->counts[token] = 0;
    }
}

static void apply_bias(struct sampler *s, const struct sampler_want *want) {
    for (uint32_t i = 0; i < want->n_bias; i++)
        s->logits[want->bias[i].token] += want->bias[i].value;
}

/* ---- cuts ----------------------------------------------------------------------------------------------------------------- */

static uint64_t mulhi64(uint64_t a, uint64_t b) {
    return (uint64_t)((unsigned __int128)a * b >> 64);
}

/* The share p of a sum of weights, p in [0, 1): exact, for p has 24 bits of mantissa. */
static uint64_t share_of(float p, uint64_t sum) {
    return mulhi64((uint64_t)((double)p * 0x1p64), sum);
}

static int by_logit(const void *a, const void *b) {
    const struct sampler_cand *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit > y->logit ? -1 : 1;
    return x->token < y->token ? -1 : x->token > y->token;
}

static int by_deviation(const void *a, const void *b) {
    const struct sampler_cand *x = a, *y = b;
    if (x->deviation != y->deviation)
        return x->deviation < y->deviation ? -1 : 1;
    return by_logit(a, b);
}

static int by_token(const void *a, const void *b) {
    const struct sampler_cand *x = a, *y = b;
    return x->token < y->token ? -1 : x->token > y->token;
}

static void sort(struct sampler *s, uint32_t n, int (*by)(const void *, const void *)) {
    qsort(s->cands, n, sizeof *s->cands, by);
}

/* Fills cands, in id order, with the tokens whose logit is at least `lowest`; returns their number and the sum of their weights. */
static uint32_t gather(struct sampler *s, float lowest, uint64_t *sum) {
    uint32_t n = 0;
    *sum = 0;
    for (uint32_t i = 0; i < s->n_vocab; i++) {
        if (s->weights[i] == 0 || s->logits[i] < lowest)
            continue;
        s->cands[n++] = (struct sampler_cand){.token = i, .logit = s->logits[i], .weight = s->weights[i]};
        *sum += s->weights[i];
    }
    return n;
}

/* Fills cands with the likeliest tokens, likeliest first: at least `count` of them that make up `weight`, or all. Taking all and
 * sorting them gives the same beginning, only slower: the limit on logits is lowered until enough are above it. */
static uint32_t gather_head(struct sampler *s, float max, float temperature, uint32_t count, uint64_t weight) {
    uint64_t sum;
    uint32_t n = 0;
    for (float margin = 8; margin < 128; margin *= 2) { /* weights are 0 from 44 ln 2 = 31 on */
        n = gather(s, max - margin * temperature, &sum);
        if (n >= count && sum >= weight)
            break;
    }
    sort(s, n, by_logit);
    return n;
}

/* Length of the shortest beginning of cands that weighs `limit` or more, at least 1. */
static uint32_t prefix_of_weight(const struct sampler *s, uint32_t n, uint64_t limit) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += s->cands[i].weight;
        if (sum >= limit)
            return i + 1;
    }
    return n;
}

static uint64_t sum_of(const struct sampler *s, uint32_t n) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += s->cands[i].weight;
    return sum;
}

/* Locally typical sampling (Meister et al. 2022): keeps the tokens whose surprise is nearest to the entropy. */
static uint32_t cut_typical(struct sampler *s, uint32_t n, float typical, uint64_t sum) {
    double entropy = 0;
    sort(s, n, by_token);
    for (uint32_t i = 0; i < n; i++) {
        double p = (double)s->cands[i].weight / (double)sum;
        entropy = entropy - p * kern_log(p);
    }
    for (uint32_t i = 0; i < n; i++)
        s->cands[i].deviation = fabs(-kern_log((double)s->cands[i].weight / (double)sum) - entropy);
    sort(s, n, by_deviation);
    n = prefix_of_weight(s, n, share_of(typical, sum));
    sort(s, n, by_logit);
    return n;
}

static uint32_t cut_min_p(const struct sampler *s, uint32_t n, float min_p) {
    uint64_t largest = 0, limit;
    for (uint32_t i = 0; i < n; i++)
        largest = s->cands[i].weight > largest ? s->cands[i].weight : largest;
    limit = min_p < 1 ? share_of(min_p, largest) : largest;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (s->cands[i].weight >= limit)
            s->cands[kept++] = s->cands[i];
    return kept;
}

/* All cuts in order. The tokens that survive are in cands, in any order; returns their number. */
static uint32_t cut(struct sampler *s, const struct gen_sampling *how, float max, uint64_t total) {
    bool top_p = how->top_p < 1, typical = how->typical < 1;
    uint32_t n;
    if (how->top_k) {
        n = gather_head(s, max, how->temperature, how->top_k, 0);
        n = n < how->top_k ? n : how->top_k;
        total = sum_of(s, n);
    } else if (top_p && !typical) {
        n = gather_head(s, max, how->temperature, 1, share_of(how->top_p, total));
    } else {
        n = gather(s, -INFINITY, &total);
    }
    if (typical) {
        n = cut_typical(s, n, how->typical, total);
        total = sum_of(s, n);
    }
    if (top_p)
        n = prefix_of_weight(s, n, share_of(how->top_p, total));
    return how->min_p > 0 ? cut_min_p(s, n, how->min_p) : n;
}

/* ---- drawing ------------------------------------------------------------------------------------------------------------- */

/* The first of n tokens in id order whose cumulative weight exceeds the drawn share of the sum. */
static uint32_t draw(struct sampler *s, uint32_t n, uint64_t u) {
    uint64_t at = mulhi64(u, sum_of(s, n)), sum = 0;
    uint32_t i = 0;
    sort(s, n, by_token);
    while (i < n && (sum += s->cands[i].weight) <= at)
        i++;
    ASSERT(i < n); /* a share is less than the whole */
    return s->cands[i].token;
}

/* The same over all tokens, where nothing was cut. */
static uint32_t draw_uncut(const struct sampler *s, uint64_t total, uint64_t u) {
    uint64_t at = mulhi64(u, total), sum = 0;
    uint32_t i = 0;
    while (i < s->n_vocab && (sum += s->weights[i]) <= at)
        i++;
    ASSERT(i < s->n_vocab);
    return i;
}

static uint32_t first_of(const struct sampler *s, float logit) {
    uint32_t i = 0;
    while (s->logits[i] != logit)
        i++;
    return i;
}

bool sampler_draw(struct sampler *s, const float *logits, const struct sampler_want *want, uint32_t *token) {
    const struct gen_sampling *how = want->how;
    memcpy(s->logits, logits, s->n_vocab * sizeof *logits);
    if (has_penalties(how))
        apply_penalties(s, want);
    apply_bias(s, want);
    float max = s->kern->max(s->n_vocab, s->logits);
    if (!isfinite(max))
        return false;
    if (how->temperature == 0) {
        *token = first_of(s, max);
        return true;
    }
    uint64_t total = s->kern->weights(s->n_vocab, s->logits, max, how->temperature, s->weights);
    uint64_t u = philox(want->seed, want->n_history, PHILOX_SAMPLE);
    bool uncut = how->top_k == 0 && how->top_p >= 1 && how->typical >= 1 && how->min_p == 0;
    *token = uncut ? draw_uncut(s, total, u) : draw(s, cut(s, how, max, total), u);
    return true;
}

/* ---- log-probabilities ----------------------------------------------------------------------------------------------------- */

/* Puts token among the n likeliest so far: (logit descending, token ascending). Tokens come in ascending order. */
static uint32_t insert_top(struct gen_logprob *top, uint32_t n, uint32_t n_max, uint32_t token, float logit) {
    uint32_t at = n;
    while (at > 0 && top[at - 1].logprob < logit)
        at--;
    if (at == n_max)
        return n;
    uint32_t moved = (n < n_max ? n : n_max - 1) - at;
    memmove(&top[at + 1], &top[at], moved * sizeof *top);
    top[at] = (struct gen_logprob){.token = token, .logprob = logit};
    return n < n_max ? n + 1 : n;
}

void sampler_logprobs(struct sampler *s, const float *logits, uint32_t token, uint32_t n_top, struct gen_logprob *out) {
    float max = s->kern->max(s->n_vocab, logits);
    double log_sum = kern_log((double)s->kern->weights(s->n_vocab, logits, max, 1, s->weights) * 0x1p-44);
    out[0] = (struct gen_logprob){.token = token, .logprob = logits[token]};
    uint32_t n = 0;
    for (uint32_t i = 0; n_top && i < s->n_vocab; i++)
        if (n < n_top || logits[i] > out[n].logprob)
            n = insert_top(out + 1, n, n_top, i, logits[i]);
    for (; n < n_top; n++) /* a vocabulary smaller than the list */
        out[1 + n] = (struct gen_logprob){.token = token, .logprob = logits[token]};
    for (uint32_t i = 0; i <= n_top; i++)
        out[i].logprob = (float)(((double)out[i].logprob - (double)max) - log_sum);
}
