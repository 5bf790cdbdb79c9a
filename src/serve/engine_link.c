/* engine_link: the child process of one model, and the requests it has.
 *
 * A request is a slot; its id is  serial << 16 | slot + 1,  so an event finds it without a search and an old id finds nothing.
 * What is to be said about a slot (its request, start, pause, cancel) is marked in it, and its id waits in `outbox` until the socket has
 * room: the loop is never blocked. An id whose slot is gone says nothing.
 * A child that ends takes its requests with it (each gets an error event) and is started again, later each time it fails. */
#include "server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOTS_MAX = 8192, RECEIVE_AT_ONCE = 64, BACKOFF_MS_FIRST = 250, BACKOFF_MS_MAX = 30000, END_WAIT_MS = 3000 };

struct slot {
    uint64_t id; /* 0: free */
    const struct gen_req *shared;
    enum gen_kind kind;
    struct str body;
    void (*event)(void *ctx, uint64_t id, const struct gen_event *ev); /* NULL: cancelled */
    void *ctx;
    bool sent, starts, cancels, waits; /* starts, cancels: still to be said; waits: is in the outbox */
    bool paused, said_paused;          /* as it is to be; as the engine knows it */
};
struct link {
    struct link_opts opts;
    enum link_state state;
    struct wire_child child;
    struct wire_model model;
    bool answered_once;
    struct err fault;
    unsigned restarts, n_open;
    uint64_t backoff_ms, serial;
    uv_poll_t *poll; /* its own memory: libuv lets go of it later */
    uv_timer_t *restart;
    struct slot *slots;
    uint64_t *outbox; /* ring of 2 * n_slots ids: a slot's own, and at most one of its past */
    uint32_t n_slots, outbox_at, n_outbox;
    struct buf datagram;
    struct wire_msg msg;
};

static void start_child(struct link *l);
static void on_socket(uv_poll_t *p, int status, int events);

/* ---- slots ------------------------------------------------------------------------------------------------------------------ */

static struct slot *slot_of(struct link *l, uint64_t id) {
    uint64_t i = (id & 0xffff) - 1;
    return i < l->n_slots && l->slots[i].id == id ? &l->slots[i] : NULL;
}

static struct slot *slot_new(struct link *l) {
    for (uint32_t i = 0; i < l->n_slots; i++)
        if (!l->slots[i].id) {
            l->slots[i] = (struct slot){.id = ++l->serial << 16 | (i + 1)};
            l->n_open++;
            return &l->slots[i];
        }
    return NULL;
}

static void slot_free(struct link *l, struct slot *s) {
    *s = (struct slot){0};
    l->n_open--;
}

/* ---- sending ------------------------------------------------------------------------------------------------------------------ */

static void watch(struct link *l) {
    uv_poll_start(l->poll, UV_READABLE | (l->n_outbox ? UV_WRITABLE : 0), on_socket);
}

static int send_record(struct link *l, enum wire_type type, uint64_t id) {
    struct buf out = {.max = WIRE_RECORD_MAX};
    l->msg.type = type;
    l->msg.id = id;
    wire_put(&out, &l->msg);
    int r = wire_send(l->child.sock, buf_as_str(&out), -1, false, NULL);
    buf_free(&out);
    return r;
}

static int send_request(struct link *l, const struct slot *s) {
    struct gen_req *req = &l->msg.req;
    *req = *s->shared;
    req->id = s->id;
    req->kind = s->kind;
    req->body = s->body;
    return wire_send_request(l->child.sock, req, false, NULL);
}

/* Says what there is to say about a slot: 1 all of it, 0 the socket is full, or an error. */
static int send_slot(struct link *l, struct slot *s) {
    int r = 1;
    if (!s->sent && !s->event) { /* cancelled before the engine heard of it */
        slot_free(l, s);
        return 1;
    }
    if (!s->sent && (r = send_request(l, s)) > 0)
        s->sent = true;
    if (r > 0 && s->starts && (r = send_record(l, WIRE_START, s->id)) > 0)
        s->starts = false;
    if (r > 0 && s->paused != s->said_paused && (r = send_record(l, s->paused ? WIRE_PAUSE : WIRE_RESUME, s->id)) > 0)
        s->said_paused = s->paused;
    if (r > 0 && s->cancels && (r = send_record(l, WIRE_CANCEL, s->id)) > 0)
        s->cancels = false;
    s->waits = r <= 0;
    return r;
}

/* Errors are not looked at here: a peer that is gone shows when the loop reads. */
static void flush(struct link *l) {
    if (l->state != LINK_READY)
        return;
    while (l->n_outbox) {
        struct slot *s = slot_of(l, l->outbox[l->outbox_at]);
        if (s && send_slot(l, s) <= 0)
            break;
        l->outbox_at = (l->outbox_at + 1) % (2 * l->n_slots);
        l->n_outbox--;
    }
    watch(l);
}

static void say(struct link *l, struct slot *s) {
    if (!s->waits) {
        s->waits = true;
        l->outbox[(l->outbox_at + l->n_outbox++) % (2 * l->n_slots)] = s->id;
    }
    flush(l);
}

uint64_t link_submit(struct link *l, const struct gen_req *shared, enum gen_kind kind, struct str body,
                     void (*event)(void *ctx, uint64_t id, const struct gen_event *ev), void *ctx) {
    struct slot *s = l->state == LINK_READY ? slot_new(l) : NULL;
    if (!s)
        return 0;
    uint64_t id = s->id;
    *s = (struct slot){.id = id, .shared = shared, .kind = kind, .body = body, .event = event, .ctx = ctx};
    say(l, s);
    return id;
}

void link_start(struct link *l, uint64_t id) {
    struct slot *s = slot_of(l, id);
    if (!s)
        return;
    s->starts = true;
    say(l, s);
}

void link_pause(struct link *l, uint64_t id, bool paused) {
    struct slot *s = slot_of(l, id);
    if (!s)
        return;
    s->paused = paused;
    say(l, s);
}

void link_cancel(struct link *l, uint64_t id) {
    struct slot *s = slot_of(l, id);
    if (!s)
        return;
    s->event = NULL; /* the slot stays taken until the engine says that it let go */
    s->cancels = true;
    say(l, s);
}

/* ---- receiving ------------------------------------------------------------------------------------------------------------------ */

static void set_state(struct link *l, enum link_state state) {
    l->state = state;
    l->opts.changed(l->opts.ctx);
}

static void take_hello(struct link *l, const struct gen_event *ev) {
    const struct wire_model *m = &ev->model;
    log_line(LOG_INFO, "%s: moat-%s, %s, %u threads, context %u, %u sequences, weights %.1f MB, KV cache %.1f MB at most",
             link_name(l), m->fingerprint, m->isa, m->threads, m->ctx, m->parallel, (double)m->weight_bytes / 1e6,
             (double)m->kv_bytes / 1e6);
    l->model = *m;
    l->answered_once = true;
    l->backoff_ms = 0;
    set_state(l, LINK_READY);
}

/* An engine that refuses `open` says why. Its end, which is helped along, is then like any other. */
static void take_refusal(struct link *l, const struct gen_event *ev) {
    char where[sizeof l->fault.where], why[sizeof l->fault.msg];
    snprintf(where, sizeof where, "%.*s", (int)(ev->param.n < sizeof where ? ev->param.n : sizeof where - 1),
             ev->param.n ? ev->param.p : "");
    snprintf(why, sizeof why, "%.*s", (int)(ev->message.n < sizeof why ? ev->message.n : sizeof why - 1),
             ev->message.n ? ev->message.p : "");
    if (l->answered_once)
        log_line(LOG_ERROR, "%s: the engine cannot open its model again: %s: %s", link_name(l), where, why);
    else
        err_set(&l->fault, ERR_INPUT, where, "%s", why);
    kill(l->child.pid, SIGKILL);
}

static void take_event(struct link *l, const struct gen_event *ev) {
    if (l->state == LINK_STARTING) {
        if (ev->kind == GEN_HELLO)
            take_hello(l, ev);
        else
            take_refusal(l, ev);
        return;
    }
    struct slot *s = slot_of(l, ev->id);
    if (!s)
        return;
    void (*event)(void *ctx, uint64_t id, const struct gen_event *ev) = s->event;
    void *ctx = s->ctx;
    if (ev->kind == GEN_DONE || ev->kind == GEN_REFUSED || ev->kind == GEN_ERROR)
        slot_free(l, s);
    if (event)
        event(ctx, ev->id, ev);
}

/* Every record of a datagram. */
static int take_datagram(struct link *l, struct err *e) {
    struct arena arena = {0};
    struct wire_reader reader = {.left = buf_as_str(&l->datagram), .arena = &arena};
    struct wire_msg *m = malloc(sizeof *m);
    int got = m ? 1 : err_set(e, ERR_MEMORY, "engine", "out of memory");
    while (got > 0 && (got = wire_next(&reader, m, e)) > 0)
        if (m->type == WIRE_EVENT)
            take_event(l, &m->event);
    free(m);
    arena_free(&arena);
    return got;
}

/* ---- the life of the child --------------------------------------------------------------------------------------------------------- */

static void free_handle(uv_handle_t *h) {
    free(h);
}

static void drop_poll(struct link *l) {
    if (!l->poll)
        return;
    uv_close((uv_handle_t *)l->poll, free_handle);
    l->poll = NULL;
}

/* Waits for the child and says how it ended: in the log, or as the fault of a server that could not start. */
static void bury_child(struct link *l, const struct err *why) {
    int status = 0;
    kill(l->child.pid, SIGKILL); /* it has closed its socket, so its own end is past; this is for one that went astray */
    waitpid(l->child.pid, &status, 0);
    char how[128] = "ended";
    if (why->code == ERR_INPUT)
        snprintf(how, sizeof how, "sent what is no record and was stopped");
    else if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "was ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    if (l->answered_once)
        log_line(LOG_ERROR, "%s: the engine %s", link_name(l), how);
    else
        err_set(&l->fault, ERR_ENV, link_name(l), "the engine %s before it answered", how);
}

static void on_restart(uv_timer_t *t) {
    start_child(t->data);
}

static void fail_all(struct link *l) {
    static const char message[] = "The engine of this model stopped; it is being started again.";
    struct gen_event ev = {.kind = GEN_ERROR, .code = GEN_FAULT, .message = {message, sizeof message - 1}};
    for (uint32_t i = 0; i < l->n_slots; i++) {
        struct slot s = l->slots[i];
        if (!s.id)
            continue;
        slot_free(l, &l->slots[i]);
        ev.id = s.id;
        if (s.event)
            s.event(s.ctx, s.id, &ev);
    }
    l->n_outbox = 0;
}

static void child_is_gone(struct link *l, const struct err *why) {
    drop_poll(l);
    close(l->child.sock);
    bury_child(l, why);
    l->child = (struct wire_child){.sock = -1};
    l->state = LINK_DOWN;
    fail_all(l);
    l->backoff_ms = l->backoff_ms ? l->backoff_ms * 2 : BACKOFF_MS_FIRST;
    l->backoff_ms = l->backoff_ms < BACKOFF_MS_MAX ? l->backoff_ms : BACKOFF_MS_MAX;
    uv_timer_start(l->restart, on_restart, l->backoff_ms, 0);
    set_state(l, LINK_DOWN);
}

static void on_socket(uv_poll_t *p, int status, int events) {
    struct link *l = p->data;
    struct err e = {0};
    int r = status < 0 ? err_set(&e, ERR_STOPPED, "engine", "its socket failed") : 1;
    for (int i = 0; i < RECEIVE_AT_ONCE && r > 0; i++) {
        int fd;
        r = wire_recv(l->child.sock, &l->datagram, &fd, false, &e);
        if (fd >= 0)
            close(fd); /* nothing is expected to come with a descriptor */
        if (r > 0 && take_datagram(l, &e) < 0)
            r = e.code;
    }
    if (r < 0)
        child_is_gone(l, &e);
    else if (events & UV_WRITABLE)
        flush(l);
}

static int send_open(struct link *l, struct err *e) {
    struct wire_open open = l->opts.model->open;
    if (l->answered_once) /* what comes back is what was there, or nothing */
        memcpy(open.expect_fingerprint, l->model.fingerprint, sizeof open.expect_fingerprint);
    return wire_send_open(l->child.sock, &open, l->opts.model->fd, l->opts.model->packed_fd, e);
}

static void start_child(struct link *l) {
    struct err e = {0};
    if (l->state == LINK_DOWN)
        l->restarts++;
    if (wire_spawn(&l->child, &e) < 0) {
        log_line(LOG_ERROR, "%s: %s", e.where, e.msg);
        if (!l->answered_once)
            l->fault = e;
        uv_timer_start(l->restart, on_restart, BACKOFF_MS_MAX, 0);
        set_state(l, LINK_DOWN);
        return;
    }
    l->poll = calloc(1, sizeof *l->poll);
    ASSERT(l->poll); /* a few bytes, before any request */
    uv_poll_init(l->opts.loop, l->poll, l->child.sock);
    l->poll->data = l;
    if (send_open(l, &e) < 0) {
        child_is_gone(l, &e);
        return;
    }
    watch(l);
    set_state(l, LINK_STARTING);
}

/* ---- made and asked ------------------------------------------------------------------------------------------------------------------ */

struct link *link_new(const struct link_opts *opts) {
    struct link *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->opts = *opts;
    l->child.sock = -1;
    unsigned capacity = opts->model->open.parallel + opts->model->open.queue;
    l->n_slots = capacity < SLOTS_MAX ? capacity : SLOTS_MAX;
    l->slots = calloc(l->n_slots, sizeof *l->slots);
    l->outbox = calloc(2 * l->n_slots, sizeof *l->outbox);
    l->restart = calloc(1, sizeof *l->restart);
    if (!l->slots || !l->outbox || !l->restart) {
        free(l->slots);
        free(l->outbox);
        free(l->restart);
        free(l);
        return NULL;
    }
    uv_timer_init(opts->loop, l->restart);
    l->restart->data = l;
    start_child(l);
    return l;
}

enum link_state link_state(const struct link *l) {
    return l->state;
}

const struct wire_model *link_model(const struct link *l) {
    return l->answered_once ? &l->model : NULL;
}

const char *link_name(const struct link *l) {
    return l->opts.model->open.name;
}

const struct err *link_fault(const struct link *l) {
    return &l->fault;
}

unsigned link_restarts(const struct link *l) {
    return l->restarts;
}

unsigned link_n_open(const struct link *l) {
    return l->n_open;
}

bool link_is_full(const struct link *l, unsigned n_more) {
    return l->n_slots - l->n_open < n_more;
}

static void wait_for_end(pid_t pid) {
    for (int ms = 0; ms < END_WAIT_MS; ms += 10) {
        if (waitpid(pid, NULL, WNOHANG) != 0)
            return;
        usleep(10000);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

void link_free(struct link *l) {
    if (!l)
        return;
    drop_poll(l);
    uv_close((uv_handle_t *)l->restart, free_handle);
    if (l->child.sock >= 0) {
        close(l->child.sock);
        wait_for_end(l->child.pid);
    }
    free(l->slots);
    free(l->outbox);
    buf_free(&l->datagram);
    free(l);
}
