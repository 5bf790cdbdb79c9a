/* text_workers: each has a box of requests to prepare; all put what is ready into one box of the engine. The first one takes no long
 * texts, of which one may take seconds: a short request never waits behind them. */
#include "request.h"

#include <pthread.h>
#include <stdlib.h>

enum { WORKERS_MAX = 4, LONG_BYTES = 128 << 10 };

struct worker {
    const struct text_kit *kit;
    struct mbox *in, *out;
    pthread_t thread;
    unsigned n_lent, n_long; /* requests it has, and those of them that are long; the engine thread counts */
};
struct text_workers {
    struct mbox *out;
    unsigned n;
    struct worker workers[WORKERS_MAX];
};

/* A worker's box ends with its own address. */
static void *worker_main(void *arg) {
    struct worker *w = arg;
    for (void *message; (message = mbox_wait(w->in)) != w;) {
        struct request *r = message;
        if (!atomic_load(&r->cancelled))
            request_prepare(w->kit, r);
        ASSERT(mbox_put(w->out, r) == 0);
    }
    return NULL;
}

int text_workers_new(const struct text_kit *kit, unsigned n_threads, struct text_workers **out, struct err *e) {
    ASSERT(n_threads >= 1 && n_threads <= WORKERS_MAX);
    struct text_workers *w = calloc(1, sizeof *w);
    if (!w || !(w->out = mbox_new())) {
        free(w);
        return err_set(e, ERR_MEMORY, "engine", "no memory for the text workers");
    }
    for (; w->n < n_threads; w->n++) {
        struct worker *one = &w->workers[w->n];
        *one = (struct worker){.kit = kit, .in = mbox_new(), .out = w->out};
        if (!one->in || pthread_create(&one->thread, NULL, worker_main, one) != 0) {
            mbox_free(one->in);
            text_workers_free(w);
            return err_set(e, ERR_ENV, "engine", "cannot start a text worker");
        }
    }
    *out = w;
    return 0;
}

static bool is_long(const struct request *r) {
    return r->req.body.n > LONG_BYTES;
}

/* The worker with the least to do: of a long text among all but the first, of a short one among those that have no long one. */
int text_workers_put(struct text_workers *w, struct request *r) {
    bool is = is_long(r);
    unsigned least = is && w->n > 1 ? 1 : 0;
    for (unsigned i = least + 1; i < w->n; i++)
        if ((is || w->workers[i].n_long == 0) && w->workers[i].n_lent < w->workers[least].n_lent)
            least = i;
    r->worker = least;
    w->workers[least].n_lent++;
    w->workers[least].n_long += is;
    return mbox_put(w->workers[least].in, r);
}

struct request *text_workers_take(struct text_workers *w) {
    struct request *r = mbox_take(w->out);
    if (r) {
        w->workers[r->worker].n_lent--;
        w->workers[r->worker].n_long -= is_long(r);
    }
    return r;
}

int text_workers_fd(const struct text_workers *w) {
    return mbox_fd(w->out);
}

void text_workers_free(struct text_workers *w) {
    if (!w)
        return;
    for (unsigned i = 0; i < w->n; i++) {
        ASSERT(mbox_put(w->workers[i].in, &w->workers[i]) == 0);
        pthread_join(w->workers[i].thread, NULL);
        mbox_free(w->workers[i].in);
    }
    mbox_free(w->out);
    free(w);
}
