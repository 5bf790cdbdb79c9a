/* pool: compute threads that share out one loop at a time.
 *
 * One 64-bit word says which loop is on and which item is next: generation (32 bits) | n (16) | next (16). Claiming is one
 * compare-and-swap on it, so a thread that wakes late can never take an item of a loop that is over. `done` counts finished
 * items; the caller returns when it reaches n. A thread without work spins for a while (a loop of a small model follows
 * the one before within microseconds), then sleeps on a futex until the generation changes. */
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
    struct pool *pool;
    pthread_t thread;
    unsigned index;
};

struct pool {
    _Alignas(64) _Atomic uint64_t claim; /* generation << 32 | n << 16 | next */
    _Alignas(64) _Atomic uint32_t done;  /* items of this generation that are finished */
    _Alignas(64) _Atomic uint32_t wake;  /* futex word: the generation, for sleepers */
    _Atomic uint32_t sleepers;
    _Atomic bool waiting; /* the caller sleeps on `done` */
    _Atomic bool stop;
    void (*fn)(void *ctx, uint32_t item, unsigned thread);
    void *ctx;
    unsigned n_threads;
    struct worker workers[];
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

/* Runs items of the current loop until none is left to claim. */
static void run_items(struct pool *p, unsigned thread) {
    uint64_t claim = atomic_load_explicit(&p->claim, memory_order_acquire);
    while ((claim & 0xffff) < (claim >> 16 & 0xffff)) {
        if (!atomic_compare_exchange_weak_explicit(&p->claim, &claim, claim + 1, memory_order_acquire, memory_order_acquire))
            continue;
        p->fn(p->ctx, (uint32_t)(claim & 0xffff), thread);
        uint32_t n = (uint32_t)(claim >> 16 & 0xffff);
        if (atomic_fetch_add(&p->done, 1) + 1 == n && atomic_load(&p->waiting))
            futex_wake(&p->done, 1);
        claim = atomic_load_explicit(&p->claim, memory_order_acquire);
    }
}

static void *worker_main(void *arg) {
    struct worker *w = arg;
    struct pool *p = w->pool;
    uint32_t seen = 0;
    while (!atomic_load_explicit(&p->stop, memory_order_acquire)) {
        struct spin s = {0};
        while (atomic_load_explicit(&p->wake, memory_order_acquire) == seen && spin(&s))
            ;
        if (atomic_load_explicit(&p->wake, memory_order_acquire) == seen) {
            atomic_fetch_add(&p->sleepers, 1);
            futex_wait(&p->wake, seen);
            atomic_fetch_sub(&p->sleepers, 1);
            continue;
        }
        seen = atomic_load_explicit(&p->wake, memory_order_acquire);
        run_items(p, w->index);
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
    for (unsigned i = 1; i < n_threads; i++) {
        p->workers[i] = (struct worker){.pool = p, .index = i};
        if (pthread_create(&p->workers[i].thread, NULL, worker_main, &p->workers[i]) != 0) {
            pool_free(p);
            return NULL;
        }
        p->n_threads++;
    }
    return p;
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
    uint64_t generation = (atomic_load_explicit(&p->claim, memory_order_relaxed) >> 32) + 1;
    atomic_store_explicit(&p->claim, generation << 32 | (uint64_t)n << 16, memory_order_release);
    atomic_store(&p->wake, (uint32_t)generation);
    if (atomic_load(&p->sleepers))
        futex_wake(&p->wake, (int)p->n_threads);
    run_items(p, 0);
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
    free(p);
}
