/* ceilings: register-only loops of the instructions that products are made of, and a walk over memory as large as the matrices.
 * The rates are what a kernel is held against; where the target has no such loop here, a rate is 0. */
#include "bench.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PIECES = 64, SECONDS_TENTHS = 3, HUGE_PAGE = 2 << 20 };

/* A loop does n steps, each of `ops` operations. */
struct loop {
    float (*run)(uint64_t n);
    double ops;
};

#if defined(__x86_64__)
#include <immintrin.h>

/* Twelve independent chains hide a latency of four cycles at two a cycle with room to spare. They are written out: in an array that a
 * loop walks through, they would lie in memory. */
enum { CHAINS = 12 };
#define STEP(next, i)                                                                                                            \
    do {                                                                                                                         \
        y[i] = next(y[i], c);                                                                                                    \
        __asm__ volatile("" : "+v"(y[i]));                                                                                       \
    } while (0)
#define LOOP(name, isa, vector, zero, constant, next, first)                                                                     \
    __attribute__((target(isa))) static float name(uint64_t n) {                                                                 \
        const vector c = constant;                                                                                               \
        vector y[CHAINS] = {zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero};                             \
        while (n--) {                                                                                                            \
            STEP(next, 0);                                                                                                       \
            STEP(next, 1);                                                                                                       \
            STEP(next, 2);                                                                                                       \
            STEP(next, 3);                                                                                                       \
            STEP(next, 4);                                                                                                       \
            STEP(next, 5);                                                                                                       \
            STEP(next, 6);                                                                                                       \
            STEP(next, 7);                                                                                                       \
            STEP(next, 8);                                                                                                       \
            STEP(next, 9);                                                                                                       \
            STEP(next, 10);                                                                                                      \
            STEP(next, 11);                                                                                                      \
        }                                                                                                                        \
        return first(y[0]);                                                                                                      \
    }

#define FMA_256(y, c) _mm256_fmadd_ps(y, c, c)
#define FMA_512(y, c) _mm512_fmadd_ps(y, c, c)
#define MADDUBS_256(y, c) _mm256_maddubs_epi16(c, y)
#define DPBUSD_512(y, c) _mm512_dpbusd_epi32(y, c, c)
#define FIRST_256I(y) (float)_mm256_extract_epi16(y, 0)
#define FIRST_512I(y) (float)_mm_cvtsi128_si32(_mm512_castsi512_si128(y))
LOOP(fma_256, "avx2,fma", __m256, _mm256_setzero_ps(), _mm256_set1_ps(0.5f), FMA_256, _mm256_cvtss_f32)
LOOP(fma_512, "avx512f", __m512, _mm512_setzero_ps(), _mm512_set1_ps(0.5f), FMA_512, _mm512_cvtss_f32)
LOOP(maddubs_256, "avx2", __m256i, _mm256_setzero_si256(), _mm256_set1_epi8(1), MADDUBS_256, FIRST_256I)
LOOP(dpbusd_512, "avx512f,avx512vnni", __m512i, _mm512_setzero_si512(), _mm512_set1_epi8(1), DPBUSD_512, FIRST_512I)

static struct loop fma_loop(void) {
    if (__builtin_cpu_supports("avx512f"))
        return (struct loop){fma_512, CHAINS * 16 * 2};
    bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return (struct loop){has ? fma_256 : NULL, CHAINS * 8 * 2};
}

static struct loop dot_loop(void) {
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni"))
        return (struct loop){dpbusd_512, CHAINS * 64 * 2};
    return (struct loop){__builtin_cpu_supports("avx2") ? maddubs_256 : NULL, CHAINS * 32 * 2};
}
#else
static struct loop fma_loop(void) {
    return (struct loop){NULL, 0};
}
static struct loop dot_loop(void) {
    return (struct loop){NULL, 0};
}
#endif

enum { LOOP_STEPS = 1 << 16 };

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

/* Calls of probe_item per second of all threads together, the best of a few loops. */
static double items_per_s(struct pool *pool, struct probe *p) {
    double best = 0;
    for (uint64_t until = clock_ns() + SECONDS_TENTHS * 100000000ull; clock_ns() < until;) {
        uint64_t cpu = bench_cpu_ns();
        pool_for(pool, PIECES, probe_item, p);
        double rate = PIECES * 1e9 * pool_threads(pool) / (double)(bench_cpu_ns() - cpu);
        best = rate > best ? rate : best;
    }
    return best;
}

static double loop_rate(struct pool *pool, struct loop loop) {
    return loop.run ? items_per_s(pool, &(struct probe){.loop = loop.run}) * LOOP_STEPS * loop.ops : 0;
}

/* ---- the pool ----------------------------------------------------------------------------------------------------------- */

static void meet_item(void *ctx, uint32_t item, unsigned thread) {
    _Atomic uint32_t *here = ctx;
    (void)item, (void)thread;
    atomic_fetch_sub(here, 1);
    while (atomic_load_explicit(here, memory_order_acquire))
        ;
}

static void empty_item(void *ctx, uint32_t item, unsigned thread) {
    (void)ctx, (void)item, (void)thread;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Medians: a round in which one thread has all CPUs to itself is as wrong as one that is disturbed. */
static void measure_pool(struct pool *pool, struct ceilings *out) {
    enum { ROUNDS = 51, LOOPS = 100, EMPTY = 60000 };
    double loop[ROUNDS], item[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = clock_ns();
        for (int i = 0; i < LOOPS; i++) {
            _Atomic uint32_t here = pool_threads(pool);
            pool_for(pool, pool_threads(pool), meet_item, &here);
        }
        uint64_t met = clock_ns();
        pool_for(pool, EMPTY, empty_item, NULL);
        loop[round] = (double)(met - start) / LOOPS;
        item[round] = (double)(clock_ns() - met) / EMPTY;
    }
    qsort(loop, ROUNDS, sizeof *loop, ascending);
    qsort(item, ROUNDS, sizeof *item, ascending);
    out->loop_ns = loop[ROUNDS / 2];
    out->item_ns = item[ROUNDS / 2];
}

void ceilings_measure(unsigned threads, uint64_t set_bytes, struct ceilings *out) {
    struct pool *pool = pool_new(threads);
    uint64_t bytes = set_bytes / (PIECES * 64) * (PIECES * 64); /* whole lines in every piece */
    void *memory = NULL;
    *out = (struct ceilings){0};
    if (pool && posix_memalign(&memory, HUGE_PAGE, bytes) == 0) {
        (void)madvise(memory, bytes, MADV_HUGEPAGE);
        memset(memory, 1, bytes);
        measure_pool(pool, out);
        out->int8_ops = loop_rate(pool, dot_loop());
        out->f32_flops = loop_rate(pool, fma_loop());
        out->read_bytes =
            items_per_s(pool, &(struct probe){.memory = memory, .piece_words = bytes / PIECES / 8}) * ((double)bytes / PIECES);
    }
    free(memory);
    pool_free(pool);
}
