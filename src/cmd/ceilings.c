/* ceilings: rates that kernels are held against: the loops of their tier in registers, a walk over memory as large as the matrices,
 * and the pool's own loops. */
#include "bench.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PIECES = 64, SECONDS_TENTHS = 3, HUGE_PAGE = 2 << 20 };

enum { LOOP_STEPS = 1 << 16, LINE_WORDS = 8, AHEAD_WORDS = 512 };

struct probe {
    double (*loop)(uint64_t n); /* or NULL: a walk over memory */
    const uint64_t *memory;
    uint64_t piece_words;
    volatile uint64_t sink[PIECES];
    _Atomic uint64_t cpu_ns; /* of the items */
};

/* A word of each line; the rest of it is free. Without the prefetch, a fifth or more of what a kernel reads is missed. */
static uint64_t walk(const uint64_t *memory, uint64_t n_words) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < n_words; i += LINE_WORDS) {
        __builtin_prefetch(memory + i + AHEAD_WORDS);
        sum += memory[i];
    }
    return sum;
}

static void probe_item(void *ctx, uint32_t item, unsigned thread) {
    struct probe *p = ctx;
    uint64_t start = bench_cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    (void)thread;
    if (p->loop)
        (void)p->loop(LOOP_STEPS);
    else
        p->sink[item] = walk(p->memory + item * p->piece_words, p->piece_words);
    atomic_fetch_add(&p->cpu_ns, bench_cpu_ns(CLOCK_THREAD_CPUTIME_ID) - start);
}

/* Calls of probe_item per second of all threads together, the best of a few loops. */
static double items_per_s(struct pool *pool, struct probe *p) {
    double best = 0;
    for (uint64_t until = clock_ns() + SECONDS_TENTHS * 100000000ull; clock_ns() < until;) {
        atomic_store(&p->cpu_ns, 0);
        pool_for(pool, PIECES, probe_item, p);
        double rate = PIECES * 1e9 * pool_threads(pool) / (double)atomic_load(&p->cpu_ns);
        best = rate > best ? rate : best;
    }
    return best;
}

/* Operations per second: products and sums. */
static double loop_rate(struct pool *pool, const struct kern_loop *loop) {
    return loop->run ? items_per_s(pool, &(struct probe){.loop = loop->run}) * LOOP_STEPS * loop->products * 2 : 0;
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
        _Atomic uint32_t here[LOOPS];
        struct pool_loop loops[LOOPS];
        for (int i = 0; i < LOOPS; i++) {
            here[i] = pool_threads(pool);
            loops[i] = (struct pool_loop){.run = meet_item, .ctx = &here[i], .n = pool_threads(pool)};
        }
        uint64_t start = clock_ns();
        pool_run(pool, loops, LOOPS);
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

void ceilings_measure(const struct kern *kern, unsigned threads, uint64_t set_bytes, struct ceilings *out) {
    struct pool *pool = pool_new(threads);
    uint64_t bytes = set_bytes / (PIECES * 64) * (PIECES * 64); /* whole lines in every piece */
    void *memory = NULL;
    *out = (struct ceilings){0};
    if (pool && posix_memalign(&memory, HUGE_PAGE, bytes) == 0) {
        (void)madvise(memory, bytes, MADV_HUGEPAGE);
        memset(memory, 1, bytes);
        measure_pool(pool, out);
        out->int8_ops = loop_rate(pool, &kern_ceiling(kern)->int8);
        out->f32_flops = loop_rate(pool, &kern_ceiling(kern)->f32);
        out->read_bytes =
            items_per_s(pool, &(struct probe){.memory = memory, .piece_words = bytes / PIECES / 8}) * ((double)bytes / PIECES);
    }
    free(memory);
    pool_free(pool);
}
