/* pool: compute threads that share out one loop at a time.
 *
 * Item i of n belongs to thread t where n*t/T <= i < n*(t+1)/T: its share, which it works off from the front; then it helps others,
 * from the end of theirs. What is left of a share is one word on a cache line of its own: generation (32 bits) | end (16) |
 * next (16). Claiming is one compare-and-swap on it: who claims from its own share meets others only when those have
 * nothing left. A word of an earlier loop stands for a share that nobody has touched, so a loop begins without writing any.
 *
 * `loop` is generation (32) | n (32). A thread that wakes late can claim nothing of a loop that is over: all shares of it that held
 * items carry its generation and are empty, or carry a later one. `done` counts finished items, once for what a thread did of its
 * own share; the caller returns when it reaches n. A thread without work spins for a while (a loop of a small model follows the
 * one before within microseconds), then sleeps on a futex until the generation changes. */
#include "base.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How long who has nothing to do spins: longer than what one thread does between two loops of a step; a small part of a slice of
 * the kernel's, so that on a shared machine others get the CPU soon. A pause is 5 to 50 ns: the clock is looked at now and then. */
enum { SPIN_NS = 50000, SPINS_UNTIMED = 64 };

struct worker {
    _Alignas(64) _Atomic uint64_t left; /* of its share: generation << 32 | end << 16 | next */
    struct pool *pool;
    pthread_t thread;
    unsigned index;
};

struct pool {
    /* What all read and only the caller writes. */
    _Alignas(64) _Atomic uint64_t loop; /* generation << 32 | n */
    void (*fn)(void *ctx, uint32_t item, unsigned thread);
    void *ctx;
    unsigned n_threads, n_wanted;
    _Atomic uint32_t wake; /* futex word: the generation, for sleepers */
    _Atomic bool stop;
    _Alignas(64) _Atomic uint32_t done; /* items of this generation that are finished */
    _Atomic uint32_t sleepers;
    _Atomic bool waiting; /* the caller sleeps on `done` */
    struct cpu_map map;
    cpu_set_t before;        /* where the caller of pool_new might run */
    struct worker workers[]; /* [0]: the caller's share, without a thread */
};

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

struct spin {
    uint64_t start_ns;
    unsigned n;
};
/* Pauses; false when it was long enough. */
static bool spin(struct spin *s) {
    relax();
    if (++s->n % SPINS_UNTIMED)
        return true;
    uint64_t now = clock_ns();
    s->start_ns = s->start_ns ? s->start_ns : now;
    return now - s->start_ns < SPIN_NS;
}

static void futex_wait(_Atomic uint32_t *word, uint32_t expected) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int n) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

/* Claims an item from the share of thread `of`: the first one left for its owner, the last one for others. */
static bool claim(struct pool *p, uint64_t loop, unsigned of, bool own, uint32_t *item) {
    _Atomic uint64_t *left = &p->workers[of].left;
    uint64_t was = atomic_load_explicit(left, memory_order_acquire);
    for (;;) {
        uint32_t next = (uint32_t)(was & 0xffff), end = (uint32_t)(was >> 16 & 0xffff);
        if (was >> 32 != loop >> 32) {
            if (atomic_load_explicit(&p->loop, memory_order_acquire) != loop)
                return false;
            next = pool_share((uint32_t)loop, of, p->n_threads);
            end = pool_share((uint32_t)loop, of + 1, p->n_threads);
        }
        if (next == end)
            return false;
        *item = own ? next++ : --end;
        uint64_t now = loop >> 32 << 32 | end << 16 | next;
        if (atomic_compare_exchange_weak_explicit(left, &was, now, memory_order_acq_rel, memory_order_acquire))
            return true;
    }
}

static void count_done(struct pool *p, uint32_t n_done, uint32_t n) {
    if (n_done && atomic_fetch_add(&p->done, n_done) + n_done == n && atomic_load(&p->waiting))
        futex_wake(&p->done, 1);
}

/* Runs items of a loop until none is left to claim. */
static void run_items(struct pool *p, uint64_t loop, unsigned thread) {
    uint32_t item, n_done = 0;
    while (claim(p, loop, thread, true, &item)) {
        p->fn(p->ctx, item, thread);
        n_done++;
    }
    count_done(p, n_done, (uint32_t)loop);
    for (unsigned i = 1; i < p->n_threads; i++)
        while (claim(p, loop, (thread + i) % p->n_threads, false, &item)) {
            p->fn(p->ctx, item, thread);
            count_done(p, 1, (uint32_t)loop);
        }
}

/* Binds the calling thread. */
static void go_to_node(const struct pool *p, unsigned thread) {
    if (p->map.n_nodes > 1)
        (void)sched_setaffinity(0, sizeof p->before, &p->map.nodes[cpus_node(&p->map, thread, p->n_wanted)].cpus);
}

static void *worker_main(void *arg) {
    struct worker *w = arg;
    struct pool *p = w->pool;
    uint32_t seen = 0;
    go_to_node(p, w->index);
    while (!atomic_load_explicit(&p->stop, memory_order_acquire)) {
        struct spin s = {0};
        uint64_t loop;
        do
            loop = atomic_load_explicit(&p->loop, memory_order_acquire);
        while (loop >> 32 == seen && spin(&s));
        if (loop >> 32 == seen) {
            atomic_fetch_add(&p->sleepers, 1);
            futex_wait(&p->wake, seen);
            atomic_fetch_sub(&p->sleepers, 1);
            continue;
        }
        seen = (uint32_t)(loop >> 32);
        run_items(p, loop, w->index);
    }
    return NULL;
}

struct pool *pool_new(unsigned n_threads) {
    if (n_threads < 1 || n_threads > POOL_THREADS_MAX)
        return NULL;
    size_t bytes = (sizeof(struct pool) + n_threads * sizeof(struct worker) + 63) / 64 * 64;
    struct pool *p = aligned_alloc(64, bytes);
    if (!p)
        return NULL;
    memset(p, 0, bytes);
    p->n_threads = 1;
    p->n_wanted = n_threads;
    if (sched_getaffinity(0, sizeof p->before, &p->before) == 0)
        cpus_map("/sys/devices/system", &p->before, &p->map);
    for (unsigned i = 1; i < n_threads; i++) {
        p->workers[i] = (struct worker){.pool = p, .index = i};
        if (pthread_create(&p->workers[i].thread, NULL, worker_main, &p->workers[i]) != 0) {
            pool_free(p);
            return NULL;
        }
        p->n_threads++;
    }
    go_to_node(p, 0);
    return p;
}

const struct cpu_map *pool_cpus(const struct pool *p) {
    return &p->map;
}

unsigned pool_threads(const struct pool *p) {
    return p->n_threads;
}

static void wait_done(struct pool *p, uint32_t n) {
    struct spin s = {0};
    do
        if (atomic_load_explicit(&p->done, memory_order_acquire) == n)
            return;
    while (spin(&s));
    atomic_store(&p->waiting, true);
    for (uint32_t done; (done = atomic_load(&p->done)) != n;)
        futex_wait(&p->done, done);
    atomic_store(&p->waiting, false);
}

void pool_for(struct pool *p, uint32_t n, void (*fn)(void *ctx, uint32_t item, unsigned thread), void *ctx) {
    ASSERT(n <= 0xffff);
    if (p->n_threads == 1 || n <= 1) {
        for (uint32_t i = 0; i < n; i++)
            fn(ctx, i, 0);
        return;
    }
    p->fn = fn;
    p->ctx = ctx;
    atomic_store_explicit(&p->done, 0, memory_order_relaxed);
    uint64_t loop = ((atomic_load_explicit(&p->loop, memory_order_relaxed) >> 32) + 1) << 32 | n;
    atomic_store_explicit(&p->loop, loop, memory_order_release);
    atomic_store(&p->wake, (uint32_t)(loop >> 32));
    if (atomic_load(&p->sleepers))
        futex_wake(&p->wake, (int)n - 1);
    run_items(p, loop, 0);
    wait_done(p, n);
}

void pool_free(struct pool *p) {
    if (!p)
        return;
    atomic_store(&p->stop, true);
    atomic_fetch_add(&p->wake, 1);
    futex_wake(&p->wake, POOL_THREADS_MAX);
    for (unsigned i = 1; i < p->n_threads; i++)
        pthread_join(p->workers[i].thread, NULL);
    if (p->map.n_nodes > 1)
        (void)sched_setaffinity(0, sizeof p->before, &p->before);
    free(p);
}
