/* sampler: the generator's published vectors, and draws beside a second, slow text of numerics 9 that sorts everything. */
#include "unit.h"

#include "../../src/engine/philox.h"
#include "../../src/engine/sampler.h"

#include <math.h>

enum { VOCAB = 300 };

static struct sampler sampler;
static const struct kern *kern;

static uint64_t next_random(uint64_t *state) {
    return philox(99, (*state)++, PHILOX_SAMPLE);
}

/* Logits with ties, and a few far below the rest. */
static void fill_logits(uint64_t *state, float *logits) {
    for (unsigned i = 0; i < VOCAB; i++) {
        logits[i] = (float)(int)(next_random(state) % 64) / 4.0f - 8;
        if (next_random(state) % 16 == 0)
            logits[i] -= 40;
    }
}

/* From Random123's kat_vectors, philox4x32 with 10 rounds. */
static void test_philox(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < N_ITEMS(known); i++) {
        uint32_t out[4];
        philox_block(known[i].key, known[i].counter, out);
        assert_memory_equal(out, known[i].out, sizeof out);
    }
    assert_int_equal(philox(0, 0, PHILOX_SAMPLE), 0xe169c58d6627e8d5);
    assert_int_equal(sampler_choice_seed(7, 0), 7);
    assert_int_equal(sampler_choice_seed(7, 3), philox(7, 3, PHILOX_CHOICE));
    assert_int_not_equal(philox(7, 3, PHILOX_CHOICE), philox(7, 3, PHILOX_SAMPLE));
}

/* ---- the slow text ------------------------------------------------------------------------------------------------------- */

struct slow {
    float logit;
    uint32_t token;
    uint64_t weight;
    double deviation;
};

static int slow_by_logit(const void *a, const void *b) {
    const struct slow *x = a, *y = b;
    return x->logit > y->logit ? -1 : x->logit < y->logit ? 1 : x->token < y->token ? -1 : 1;
}

static int slow_by_deviation(const void *a, const void *b) {
    const struct slow *x = a, *y = b;
    return x->deviation < y->deviation ? -1 : x->deviation > y->deviation ? 1 : slow_by_logit(a, b);
}

static int slow_by_token(const void *a, const void *b) {
    const struct slow *x = a, *y = b;
    return x->token < y->token ? -1 : 1;
}

static uint64_t slow_sum(const struct slow *t, unsigned n) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < n; i++)
        sum += t[i].weight;
    return sum;
}

static uint64_t slow_share(double p, uint64_t sum) {
    if (p >= 1)
        return sum;
    unsigned __int128 product = (unsigned __int128)(uint64_t)(p * 0x1p64) * sum;
    return (uint64_t)(product >> 64);
}

static unsigned slow_prefix(const struct slow *t, unsigned n, uint64_t limit) {
    unsigned kept = 1;
    while (kept < n && slow_sum(t, kept) < limit)
        kept++;
    return kept;
}

static unsigned slow_typical(struct slow *t, unsigned n, float typical) {
    uint64_t sum = slow_sum(t, n);
    double entropy = 0;
    qsort(t, n, sizeof *t, slow_by_token);
    for (unsigned i = 0; i < n; i++)
        if (t[i].weight)
            entropy -= (double)t[i].weight / (double)sum * kern_log((double)t[i].weight / (double)sum);
    for (unsigned i = 0; i < n; i++)
        t[i].deviation = t[i].weight ? fabs(-kern_log((double)t[i].weight / (double)sum) - entropy) : INFINITY;
    qsort(t, n, sizeof *t, slow_by_deviation);
    n = slow_prefix(t, n, slow_share(typical, sum));
    qsort(t, n, sizeof *t, slow_by_logit);
    return n;
}

static uint32_t slow_draw(const float *logits, const struct sampler_want *want) {
    struct slow t[VOCAB];
    uint64_t weights[VOCAB];
    const struct gen_sampling *how = want->how;
    unsigned n = VOCAB, kept = 0;
    kern->weights(VOCAB, logits, kern->max(VOCAB, logits), how->temperature, weights);
    for (unsigned i = 0; i < n; i++)
        t[i] = (struct slow){.logit = logits[i], .token = i, .weight = weights[i]};
    qsort(t, n, sizeof *t, slow_by_logit);
    if (how->top_k && how->top_k < n)
        n = how->top_k;
    if (how->typical < 1)
        n = slow_typical(t, n, how->typical);
    if (how->top_p < 1)
        n = slow_prefix(t, n, slow_share(how->top_p, slow_sum(t, n)));
    for (unsigned i = 0; i < n; i++)
        if (t[i].weight >= slow_share(how->min_p, t[0].weight))
            t[kept++] = t[i];
    qsort(t, kept, sizeof *t, slow_by_token);
    uint64_t at, sum = 0;
    unsigned __int128 product = (unsigned __int128)philox(want->seed, want->n_history, PHILOX_SAMPLE) * slow_sum(t, kept);
    at = (uint64_t)(product >> 64);
    for (unsigned i = 0; i < kept; i++)
        if ((sum += t[i].weight) > at)
            return t[i].token;
    fail_msg("nothing drawn");
    return 0;
}

static void test_draws(void **state) {
    (void)state;
    static const float some_p[] = {1, 0.95f, 0.5f, 0.1f, 0}, some_t[] = {0.1f, 0.7f, 1, 2.5f, 100},
                       some_min[] = {0, 0.05f, 0.5f, 1};
    uint64_t random = 0;
    float logits[VOCAB];
    for (unsigned round = 0; round < 4000; round++) {
        fill_logits(&random, logits);
        const struct gen_sampling how = {.temperature = some_t[next_random(&random) % 5],
                                         .top_k = next_random(&random) % 2 ? 0 : (uint32_t)(next_random(&random) % 40),
                                         .top_p = some_p[next_random(&random) % 5],
                                         .min_p = some_min[next_random(&random) % 4],
                                         .typical = some_p[next_random(&random) % 5],
                                         .repetition_penalty = 1};
        const struct sampler_want want = {.how = &how, .seed = next_random(&random), .n_history = round};
        uint32_t got;
        assert_true(
            sampler_draw(&sampler, logits, &(struct sampler_want){.how = &how, .seed = want.seed, .n_history = round}, &got));
        assert_int_equal(got, slow_draw(logits, &want));
    }
}

static void test_greedy(void **state) {
    (void)state;
    float logits[VOCAB] = {0};
    struct gen_sampling how = {.repetition_penalty = 1, .top_p = 1, .typical = 1};
    struct sampler_want want = {.how = &how};
    uint32_t token;
    logits[7] = logits[9] = 3; /* a tie goes to the lower id */
    assert_true(sampler_draw(&sampler, logits, &want, &token));
    assert_int_equal(token, 7);
    const struct gen_bias ban[] = {{7, -INFINITY}, {9, 0.5f}};
    want.bias = ban;
    want.n_bias = 2;
    assert_true(sampler_draw(&sampler, logits, &want, &token));
    assert_int_equal(token, 9);
    struct gen_bias all[VOCAB];
    for (unsigned i = 0; i < VOCAB; i++)
        all[i] = (struct gen_bias){i, -INFINITY};
    want.bias = all;
    want.n_bias = VOCAB;
    assert_false(sampler_draw(&sampler, logits, &want, &token));
}

/* A negative logit is multiplied, a positive one divided; each once, however often the token stands there. */
static void test_penalties(void **state) {
    (void)state;
    float logits[VOCAB];
    uint32_t token, history[] = {5, 6, 5};
    struct gen_sampling how = {.repetition_penalty = 2, .top_p = 1, .typical = 1};
    struct sampler_want want = {.how = &how, .history = history, .n_history = 3};
    for (unsigned i = 0; i < VOCAB; i++)
        logits[i] = -10;
    logits[5] = 4, logits[6] = -1, logits[7] = 2.25f, logits[8] = -1.5f;
    assert_true(sampler_draw(&sampler, logits, &want, &token));
    assert_int_equal(token, 7); /* 5: 4/2 = 2 */
    how.penalty_last_n = 1;     /* only the last 5 counts; 6 is free */
    logits[7] = 1.75f;
    assert_true(sampler_draw(&sampler, logits, &want, &token));
    assert_int_equal(token, 5);
    how = (struct gen_sampling){
        .repetition_penalty = 1, .frequency_penalty = 1, .presence_penalty = 0.5f, .top_p = 1, .typical = 1};
    logits[7] = 1.375f; /* 5: 4 - 2*1 - 0.5 = 1.5 */
    assert_true(sampler_draw(&sampler, logits, &want, &token));
    assert_int_equal(token, 5);
    logits[7] = 1.625f;
    assert_true(sampler_draw(&sampler, logits, &want, &token));
    assert_int_equal(token, 7);
}

static void test_logprobs(void **state) {
    (void)state;
    uint64_t random = 5;
    float logits[VOCAB];
    struct gen_logprob got[1 + WIRE_TOP_MAX];
    for (unsigned round = 0; round < 50; round++) {
        fill_logits(&random, logits);
        struct slow t[VOCAB];
        double sum = 0;
        for (unsigned i = 0; i < VOCAB; i++)
            t[i] = (struct slow){.logit = logits[i], .token = i};
        qsort(t, VOCAB, sizeof *t, slow_by_logit);
        for (unsigned i = 0; i < VOCAB; i++)
            sum += exp((double)(logits[i] - t[0].logit));
        sampler_logprobs(&sampler, logits, 17, WIRE_TOP_MAX, got);
        assert_true(got[0].token == 17 && fabs(got[0].logprob - (logits[17] - t[0].logit - log(sum))) < 1e-4);
        for (unsigned i = 0; i < WIRE_TOP_MAX; i++) {
            assert_int_equal(got[1 + i].token, t[i].token);
            assert_true(fabs(got[1 + i].logprob - (t[i].logit - t[0].logit - log(sum))) < 1e-4);
        }
    }
}

static int set_up(void **state) {
    (void)state;
    kern = kern_get(NULL, NULL);
    return kern && sampler_init(&sampler, kern, VOCAB, NULL) == 0 ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    sampler_free(&sampler);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox),    cmocka_unit_test(test_draws),    cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_penalties), cmocka_unit_test(test_logprobs),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
