/* pool: compute threads that work off lists of loops.
 *
 * Item i of n belongs to thread t where n*t/T <= i < n*(t+1)/T: its share, which it works off from the front; then it takes over what is
 * left of others' shares. What is left of a share is one word on a cache line of its own: generation (32 bits) | end (16) | next (16).
 * Claiming is one compare-and-swap on it: who claims from its own share meets others only when those have nothing left. A word
 * of an earlier loop stands for a share that nobody has touched, so a loop begins without writing any.
 *
 * `loop` is generation (32) | n (32). A thread that wakes late can claim nothing of a loop that is over: all shares of it that held
 * items carry its generation and are empty, or carry a later one. `done` counts finished items, once for a share; who brings it to n
 * begins the next loop, be it the caller of pool_run or not. A thread without work spins for a while (a loop of a small model
 * follows the one before within microseconds), then sleeps on a futex until the generation changes.
 *
 * The kernel takes a thread off its core for milliseconds, which are hundreds of loops, and mostly within an item. If that may be run
 * again (pool_loop.keep), whoever has waited long enough does so: the item and how many uncounted ones its thread has finished are in
 * `hand`, and who clears HAND_RUNNING there keeps his results and counts. The other finds out when it is back, throws its own
 * away, and goes on wherever the loops are by then. What it reads meanwhile must stay readable: `inside` tells which
 * run a thread looks at, and of a list nothing is reused before all have left its run. */
#include "base.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How long who has nothing to do spins: longer than what one thread does between two loops of a step, or an item that may be run again; a
 * small part of a slice of the kernel's, so that on a shared machine others get the CPU soon. A pause is 5 to 50 ns: the clock is
 * looked at now and then. */
enum { SPIN_NS = 50000, NAP_NS = 1000000, SPINS_UNTIMED = 64 };

/* What a thread has in hand of a loop whose items may be run again: generation (32 bits) | item (16) | uncounted (15) | running (1) */
enum { HAND_RUNNING = 1, HAND_UNCOUNTED = 1, HAND_ITEM = 16 };

/* A list of loops; the generation of loop i is first + i, that of the pause behind them first + n. */
struct run {
    const struct pool_loop *loops;
    uint32_t n, first;
};

struct worker {
    _Alignas(64) _Atomic uint64_t left; /* of its share: generation << 32 | end << 16 | next */
    _Atomic uint64_t hand;
    _Alignas(64) _Atomic uint32_t inside; /* the number of the run whose loops it may look at; 0: none */
    struct pool *pool;
    pthread_t thread;
    unsigned index;
};

struct pool {
    /* What all read, and who begins a loop writes. */
    _Alignas(64) _Atomic uint64_t loop; /* generation << 32 | n; n 0: a pause between runs */
    _Atomic uint32_t wake;              /* futex word: the generation, for sleepers */
    _Atomic uint32_t run;               /* its number, from 1; its loops are in runs[run % 2] */
    struct run runs[2];
    unsigned n_threads, n_wanted;
    _Atomic bool stop;
    _Alignas(64) _Atomic uint32_t done; /* items of this generation that are finished */
    _Atomic uint32_t sleepers;
    _Atomic bool settling; /* the caller sleeps until a thread is no longer inside */
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

/* ns 0: for as long as it takes. */
static void futex_wait(_Atomic uint32_t *word, uint32_t expected, long ns) {
    const struct timespec most = {.tv_nsec = ns};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, ns ? &most : NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int n) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

/* Items [next, end). */
struct range {
    uint32_t next, end;
};

static uint64_t left_word(uint64_t loop, struct range left) {
    return loop >> 32 << 32 | left.end << 16 | left.next;
}

/* Takes from what is left of a share: its owner the first item, another the second half, or all if nobody has touched it in this
 * loop. Half or all in one piece, since weights are read ahead. */
static bool take(struct pool *p, uint64_t loop, unsigned of, bool own, struct range *taken) {
    _Atomic uint64_t *word = &p->workers[of].left;
    uint64_t was = atomic_load_explicit(word, memory_order_acquire);
    struct range rest;
    do {
        bool touched = was >> 32 == loop >> 32;
        struct range left = {(uint32_t)(was & 0xffff), (uint32_t)(was >> 16 & 0xffff)};
        if (!touched) {
            if (atomic_load_explicit(&p->loop, memory_order_acquire) != loop)
                return false;
            left = (struct range){pool_share((uint32_t)loop, of, p->n_threads), pool_share((uint32_t)loop, of + 1, p->n_threads)};
        }
        if (left.next == left.end)
            return false;
        uint32_t middle = own ? left.next + 1 : touched ? left.next + (left.end - left.next) / 2 : left.next;
        *taken = own ? (struct range){left.next, middle} : (struct range){middle, left.end};
        rest = own ? (struct range){middle, left.end} : (struct range){left.next, middle};
    } while (
        !atomic_compare_exchange_weak_explicit(word, &was, left_word(loop, rest), memory_order_acq_rel, memory_order_acquire));
    return true;
}

/* Makes what is left of another's share the thread's own, whose share is empty. */
static bool take_over(struct pool *p, uint64_t loop, unsigned thread) {
    struct range taken;
    unsigned t = 1;
    while (t < p->n_threads && !take(p, loop, (thread + t) % p->n_threads, false, &taken))
        t++;
    if (t == p->n_threads)
        return false;
    atomic_store_explicit(&p->workers[thread].left, left_word(loop, taken), memory_order_release);
    return true;
}

static void run_alone(const struct pool_loop *loop, unsigned thread) {
    for (uint32_t item = 0; item < loop->n; item++) {
        loop->run(loop->ctx, item, thread);
        if (loop->keep)
            loop->keep(loop->ctx, item, thread);
    }
}

/* Begins loop i of a run, or ends it. Nobody would be quicker than who is here to run a loop of one item. */
static void begin(struct pool *p, const struct run *r, uint32_t i, unsigned thread) {
    for (; i < r->n && r->loops[i].n <= 1; i++)
        run_alone(&r->loops[i], thread);
    uint32_t generation = r->first + i;
    atomic_store_explicit(&p->done, 0, memory_order_relaxed);
    atomic_store(&p->loop, (uint64_t)generation << 32 | (i < r->n ? r->loops[i].n : 0));
    atomic_store(&p->wake, generation);
    if (atomic_load(&p->sleepers))
        futex_wake(&p->wake, POOL_THREADS_MAX);
}

static void count_done(struct pool *p, const struct run *r, uint32_t i, uint32_t n_done, unsigned thread) {
    if (n_done && atomic_fetch_add(&p->done, n_done) + n_done == r->loops[i].n)
        begin(p, r, i + 1, thread);
}

/* The item in `hand` of a thread has been run by this one: keeps the results if nobody else has. */
static bool keep(const struct pool_loop *loop, _Atomic uint64_t *hand, uint64_t running, unsigned thread) {
    if (!atomic_compare_exchange_strong(hand, &running, running & ~(uint64_t)HAND_RUNNING))
        return false;
    loop->keep(loop->ctx, running >> HAND_ITEM & 0xffff, thread);
    return true;
}

/* Runs a claimed item. How many finished ones this thread has to count now, of the uncounted ones before and this: none if another
 * thread was before it and counted them all. */
static uint32_t run_item(struct pool *p, const struct pool_loop *loop, uint64_t word, uint32_t item, uint32_t uncounted,
                         unsigned thread) {
    _Atomic uint64_t *hand = &p->workers[thread].hand;
    uint64_t running = word >> 32 << 32 | item << HAND_ITEM | uncounted << HAND_UNCOUNTED | HAND_RUNNING;
    if (loop->keep)
        atomic_store_explicit(hand, running, memory_order_release);
    loop->run(loop->ctx, item, thread);
    return !loop->keep || keep(loop, hand, running, thread) ? uncounted + 1 : 0;
}

/* Runs items of a loop until none is left to claim; false when there was none. */
static bool take_part(struct pool *p, const struct run *r, uint64_t word, unsigned thread) {
    uint32_t i = (uint32_t)(word >> 32) - r->first;
    struct range item;
    bool some = false;
    do {
        uint32_t n_done = 0;
        for (; take(p, word, thread, true, &item); some = true)
            n_done = run_item(p, &r->loops[i], word, item.next, n_done, thread);
        count_done(p, r, i, n_done, thread);
    } while (take_over(p, word, thread));
    return some;
}

/* Runs an item that another thread has had in hand for too long; false when there is none. */
static bool run_again(struct pool *p, const struct run *r, uint64_t word, unsigned thread) {
    uint32_t i = (uint32_t)(word >> 32) - r->first;
    const struct pool_loop *loop = &r->loops[i];
    for (unsigned t = 1; loop->keep && t < p->n_threads; t++) {
        _Atomic uint64_t *hand = &p->workers[(thread + t) % p->n_threads].hand;
        uint64_t held = atomic_load(hand);
        if (held >> 32 != word >> 32 || !(held & HAND_RUNNING))
            continue;
        loop->run(loop->ctx, held >> HAND_ITEM & 0xffff, thread);
        if (keep(loop, hand, held, thread))
            count_done(p, r, i, (uint32_t)(held >> HAND_UNCOUNTED & 0x7fff) + 1, thread);
        return true;
    }
    return false;
}

static void sleep_on(struct pool *p, uint64_t word, long ns) {
    atomic_fetch_add(&p->sleepers, 1);
    futex_wait(&p->wake, (uint32_t)(word >> 32), ns);
    atomic_fetch_sub(&p->sleepers, 1);
}

/* Takes part in a run until it is over. Who waits looks again now and then: what was being taken over when it looked first may be there
 * to claim, and who was awake may be off its core. */
static void work(struct pool *p, const struct run *r, unsigned thread) {
    struct spin s = {0};
    uint64_t word, seen = 0;
    while ((uint32_t)((word = atomic_load_explicit(&p->loop, memory_order_acquire)) >> 32) - r->first < r->n) {
        bool is_new = word != seen;
        if (!is_new && spin(&s))
            continue;
        if (!take_part(p, r, word, thread) && !is_new && !run_again(p, r, word, thread))
            sleep_on(p, word, NAP_NS);
        seen = word;
        s = (struct spin){0};
    }
}

/* From here on the loops of the run that is returned may be looked at. */
static const struct run *enter(struct pool *p, struct worker *w) {
    uint32_t run;
    do {
        run = atomic_load(&p->run);
        atomic_store(&w->inside, run);
    } while (run != atomic_load(&p->run));
    return &p->runs[run % 2];
}

static void leave(struct pool *p, struct worker *w) {
    atomic_store(&w->inside, 0);
    if (atomic_load(&p->settling))
        futex_wake(&w->inside, 1);
}

/* Until no thread is inside a run but this one (0: any). */
static void settle(struct pool *p, uint32_t but) {
    for (unsigned t = 1; t < p->n_threads; t++) {
        struct spin s = {0};
        uint32_t inside;
        while ((inside = atomic_load(&p->workers[t].inside)) && inside != but)
            if (!spin(&s)) {
                atomic_store(&p->settling, true);
                futex_wait(&p->workers[t].inside, inside, 0);
                atomic_store(&p->settling, false);
            }
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
    struct spin s = {0};
    go_to_node(p, w->index);
    while (!atomic_load_explicit(&p->stop, memory_order_acquire)) {
        uint64_t word = atomic_load_explicit(&p->loop, memory_order_acquire);
        if ((uint32_t)word) {
            work(p, enter(p, w), w->index);
            leave(p, w);
            s = (struct spin){0};
        } else if (!spin(&s)) {
            sleep_on(p, word, 0);
        }
    }
    return NULL;
}

static int start_worker(struct worker *w) {
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0)
        return -1;
    int r = pthread_attr_setstacksize(&attr, POOL_STACK);
    r = r ? r : pthread_create(&w->thread, &attr, worker_main, w);
    pthread_attr_destroy(&attr);
    return r;
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
        if (start_worker(&p->workers[i]) != 0) {
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

void pool_run(struct pool *p, const struct pool_loop *loops, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        ASSERT(loops[i].n <= (loops[i].keep ? POOL_KEPT_MAX : POOL_ITEMS_MAX));
    if (p->n_threads == 1) {
        for (uint32_t i = 0; i < n; i++)
            run_alone(&loops[i], 0);
        return;
    }
    uint32_t run = atomic_load(&p->run) + 1;
    run = run ? run : 2; /* numbers in a row are odd and even in turn */
    struct run *r = &p->runs[run % 2];
    *r = (struct run){loops, n, (uint32_t)(atomic_load(&p->loop) >> 32) + 1};
    atomic_store(&p->run, run);
    begin(p, r, 0, 0);
    work(p, r, 0);
    settle(p, run);
}

void pool_for(struct pool *p, uint32_t n, void (*run)(void *ctx, uint32_t item, unsigned thread), void *ctx) {
    const struct pool_loop loop = {.run = run, .ctx = ctx, .n = n};
    if (p->n_threads == 1 || n <= 1) {
        run_alone(&loop, 0);
        return;
    }
    pool_run(p, &loop, 1);
    pool_settle(p);
}

void pool_settle(struct pool *p) {
    settle(p, 0);
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
