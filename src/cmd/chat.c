/* chat: requests over the wire to an engine child, one at a time. */
#include "chat.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct chat {
    struct wire_child child;
    struct wire_model model;
    uint64_t last_id;
    struct buf datagram;
};

static int engine_gone(struct chat *c, struct err *e) {
    int status = 0;
    if (c->child.pid > 0 && waitpid(c->child.pid, &status, 0) == c->child.pid && WIFSIGNALED(status))
        err_set(e, ERR_ENV, "engine", "was ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    c->child.pid = -1;
    return err_set(e, ERR_ENV, "engine", "ended before it answered; its messages are above");
}

static int send_msg(struct chat *c, const struct wire_msg *m, struct err *e) {
    struct buf out = {.max = WIRE_RECORD_MAX};
    wire_put(&out, m);
    int r = out.failed ? err_set(e, ERR_LIMIT, "request", "does not fit a record")
                       : wire_send(c->child.sock, buf_as_str(&out), -1, true, e);
    buf_free(&out);
    return r < 0 ? r : 0;
}

/* Waits for a datagram; 1: it is in c->datagram, 0: a signal came first. */
static int receive(struct chat *c, struct err *e) {
    struct pollfd p = {.fd = c->child.sock, .events = POLLIN};
    if (poll(&p, 1, -1) < 0)
        return errno == EINTR ? 0 : err_set(e, ERR_ENV, "engine", "cannot wait for it: %s", strerror(errno));
    int fd = -1, r = wire_recv(c->child.sock, &c->datagram, &fd, false, NULL);
    if (fd >= 0)
        close(fd);
    return r == ERR_STOPPED ? engine_gone(c, e) : r;
}

/* Calls take(ctx, event) for the events that come until it returns something other than 0. */
static int take_events(struct chat *c, int (*take)(void *ctx, const struct gen_event *ev, struct err *e), void *ctx,
                       struct err *e) {
    int r = receive(c, e);
    if (r <= 0)
        return r;
    struct arena arena = {0};
    struct wire_reader reader = {.left = buf_as_str(&c->datagram), .arena = &arena};
    struct wire_msg *m = malloc(sizeof *m);
    r = m ? 0 : err_set(e, ERR_MEMORY, "", "out of memory");
    while (r == 0) {
        int got = wire_next(&reader, m, e);
        if (got <= 0) {
            r = got;
            break;
        }
        if (m->type == WIRE_EVENT)
            r = take(ctx, &m->event, e);
    }
    free(m);
    arena_free(&arena);
    return r;
}

/* The engine's own words as this process's error. */
static int fail_with(const struct gen_event *ev, struct err *e) {
    char where[sizeof e->where], why[sizeof e->msg];
    snprintf(where, sizeof where, "%.*s", (int)(ev->param.n < 90 ? ev->param.n : 90), ev->param.n ? ev->param.p : "");
    snprintf(why, sizeof why, "%.*s", (int)(ev->message.n < 390 ? ev->message.n : 390), ev->message.n ? ev->message.p : "");
    return err_set(e, ERR_INPUT, where, "%s", why);
}

static int take_hello(void *ctx, const struct gen_event *ev, struct err *e) {
    struct chat *c = ctx;
    if (ev->kind == GEN_HELLO) {
        c->model = ev->model;
        return 1;
    }
    return fail_with(ev, e);
}

int chat_open(int model_fd, int packed_fd, const struct wire_open *open, struct chat **out, struct err *e) {
    struct chat *c = calloc(1, sizeof *c);
    *out = NULL;
    int r = c ? wire_spawn(&c->child, e) : err_set(e, ERR_MEMORY, "", "out of memory");
    if (r == 0) {
        r = wire_send_open(c->child.sock, open, model_fd, packed_fd, e);
        for (r = r < 0 ? r : 0; r == 0;)
            r = take_events(c, take_hello, c, e);
        if (r < 0)
            chat_close(c);
    } else {
        free(c);
    }
    if (r < 0)
        return r;
    *out = c;
    return 0;
}

void chat_close(struct chat *c) {
    if (!c)
        return;
    close(c->child.sock);
    if (c->child.pid > 0)
        waitpid(c->child.pid, NULL, 0);
    buf_free(&c->datagram);
    free(c);
}

const struct wire_model *chat_model(const struct chat *c) {
    return &c->model;
}

/* ---- one question ------------------------------------------------------------------------------------------------------- */

struct asking {
    struct chat *chat;
    uint64_t id;
    void (*print)(void *ctx, struct str text);
    void *ctx;
    struct chat_answer *answer;
};

static int send_control(struct chat *c, enum wire_type type, uint64_t id, struct err *e) {
    struct wire_msg *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(e, ERR_MEMORY, "", "out of memory");
    m->type = type;
    m->id = id;
    int r = send_msg(c, m, e);
    free(m);
    return r;
}

static int take_answer(void *ctx, const struct gen_event *ev, struct err *e) {
    struct asking *a = ctx;
    if (ev->id != a->id)
        return 0;
    switch (ev->kind) {
    case GEN_ACCEPTED: a->answer->seed = ev->seed; return send_control(a->chat, WIRE_START, a->id, e);
    case GEN_CONTENT: a->print(a->ctx, ev->text); return 0;
    case GEN_CHOICE_DONE: a->answer->finish = ev->finish; return 0;
    case GEN_DONE: a->answer->usage = ev->usage; return 1;
    case GEN_REFUSED: a->answer->refused = ev->code; return fail_with(ev, e);
    case GEN_ERROR: return fail_with(ev, e);
    default: return 0;
    }
}

int chat_ask(struct chat *c, struct gen_req *req, void (*print)(void *ctx, struct str text), void *ctx, volatile const int *stop,
             struct chat_answer *answer, struct err *e) {
    struct asking a = {.chat = c, .id = req->id = ++c->last_id, .print = print, .ctx = ctx, .answer = answer};
    bool cancelled = false;
    *answer = (struct chat_answer){0};
    int r = wire_send_request(c->child.sock, req, true, e);
    r = r > 0 ? 0 : r;
    while (r == 0) {
        r = take_events(c, take_answer, &a, e);
        if (r == 0 && *stop && !cancelled) {
            cancelled = true;
            r = send_control(c, WIRE_CANCEL, a.id, e);
        }
    }
    if (cancelled)
        answer->finish = GEN_CANCELLED;
    return r < 0 ? r : 0;
}
