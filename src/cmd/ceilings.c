/* ceilings: register-only loops of the instructions that products are made of, and a walk over memory larger than the caches.
 * The rates are what a kernel is held against; where the target has no such loop here, a rate is 0. */
#include "bench.h"

#include "../base/base.h"

#include <stdlib.h>
#include <string.h>

enum { READ_BYTES = 256 << 20, PIECES = 64, SECONDS_TENTHS = 3 };

#if defined(__x86_64__)
#include <immintrin.h>

/* Twelve independent chains hide the latency of four cycles at two a cycle with room to spare. */
__attribute__((target("avx2,fma"))) static float fma_loop(uint64_t n) {
    __m256 y[12];
    const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
    for (int i = 0; i < 12; i++)
        y[i] = _mm256_set1_ps((float)i);
    while (n--)
        for (int i = 0; i < 12; i++) {
            y[i] = _mm256_fmadd_ps(y[i], a, b);
            __asm__ volatile("" : "+x"(y[i]));
        }
    float out = 0;
    for (int i = 0; i < 12; i++)
        out += _mm256_cvtss_f32(y[i]);
    return out;
}

__attribute__((target("avx2"))) static float dot_loop(uint64_t n) {
    __m256i y[12];
    const __m256i a = _mm256_set1_epi8(1);
    for (int i = 0; i < 12; i++)
        y[i] = _mm256_set1_epi8((char)i);
    while (n--)
        for (int i = 0; i < 12; i++) {
            y[i] = _mm256_maddubs_epi16(a, y[i]);
            __asm__ volatile("" : "+x"(y[i]));
        }
    int out = 0;
    for (int i = 0; i < 12; i++)
        out += _mm256_extract_epi16(y[i], 0);
    return (float)out;
}

static bool has_loops(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#else
static float fma_loop(uint64_t n) {
    return (float)n;
}
static float dot_loop(uint64_t n) {
    return (float)n;
}
static bool has_loops(void) {
    return false;
}
#endif

enum { LOOP_STEPS = 1 << 16, FMA_OPS = 12 * 8 * 2, DOT_OPS = 12 * 32 * 2 };

struct probe {
    float (*loop)(uint64_t n);
    const uint64_t *memory; /* or NULL */
    uint64_t piece_words;
    volatile uint64_t sink[PIECES];
};

static void probe_item(void *ctx, uint32_t item, unsigned thread) {
    struct probe *p = ctx;
    uint64_t sum = 0;
    (void)thread;
    if (p->memory)
        for (uint64_t i = 0; i < p->piece_words; i += 8) { /* a line at a time; the rest of it is free */
            const uint64_t *line = p->memory + item * p->piece_words + i;
            sum += line[0] + line[4];
        }
    else
        sum = (uint64_t)p->loop(LOOP_STEPS);
    p->sink[item] = sum;
}

/* Calls of probe_item per second, the best of a few loops: a loaded machine disturbs some of them. */
static double items_per_s(struct pool *pool, struct probe *p) {
    double best = 0;
    for (uint64_t until = clock_ns() + SECONDS_TENTHS * 100000000ull; clock_ns() < until;) {
        uint64_t at = clock_ns();
        pool_for(pool, PIECES, probe_item, p);
        double rate = PIECES * 1e9 / (double)(clock_ns() - at);
        best = rate > best ? rate : best;
    }
    return best;
}

void bench_ceilings(unsigned threads) {
    struct pool *pool = pool_new(threads);
    uint64_t *memory = malloc(READ_BYTES);
    double dot = 0, fma = 0, read = 0;
    if (pool && has_loops()) {
        dot = items_per_s(pool, &(struct probe){.loop = dot_loop}) * LOOP_STEPS * DOT_OPS;
        fma = items_per_s(pool, &(struct probe){.loop = fma_loop}) * LOOP_STEPS * FMA_OPS;
    }
    if (pool && memory) {
        memset(memory, 1, READ_BYTES);
        read =
            items_per_s(pool, &(struct probe){.memory = memory, .piece_words = READ_BYTES / PIECES / 8}) * (READ_BYTES / PIECES);
    }
    printf("{\"n_threads\": %u, \"int8_ops\": %.3g, \"f32_flops\": %.3g, \"read_bytes\": %.3g}\n", threads, dot, fma, read);
    free(memory);
    pool_free(pool);
}
