/* engine_main: the engine as a process of its own. One thread looks at the socket, the text workers and the next step in turn;
 * what the server does not read in time waits in an outbox, and with too much there no step is taken until it drains. */
#include "engine.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    OUTBOX_MAX = 1 << 20, /* bytes that wait before steps stop: what one step or one rendered prompt adds is bounded */
};

/* A datagram that could not be sent yet. */
struct parcel {
    struct parcel *next;
    size_t n;
    char bytes[];
};

struct process {
    int sock;
    struct engine *en;
    struct gguf *g;
    struct str map;
    struct digest weights;
    int packed_fd;
    struct packed_file packed;
    struct buf in;
    struct buf out; /* the datagram that is being filled */
    struct parcel *parcels, **parcels_end;
    size_t n_waiting;    /* bytes in parcels */
    struct wire_msg msg; /* of the reader */
    struct wire_msg event;
    bool stop;
    struct err err;
};

/* ---- sending ------------------------------------------------------------------------------------------------------------------ */

/* Sends parcels in order until the socket is full. */
static int flush_parcels(struct process *p) {
    while (p->parcels) {
        struct parcel *first = p->parcels;
        int sent = wire_send(p->sock, (struct str){first->bytes, first->n}, -1, false, &p->err);
        if (sent <= 0)
            return sent;
        p->n_waiting -= first->n;
        p->parcels = first->next;
        free(first);
    }
    p->parcels_end = &p->parcels;
    return 1;
}

/* Sends what `out` holds, behind what waits already. */
static int flush(struct process *p) {
    int sent = flush_parcels(p);
    if (sent < 0 || p->out.n == 0)
        return sent < 0 ? sent : 0;
    if (sent > 0)
        sent = wire_send(p->sock, buf_as_str(&p->out), -1, false, &p->err);
    if (sent == 0) {
        struct parcel *one = malloc(sizeof *one + p->out.n);
        if (!one)
            return err_set(&p->err, ERR_MEMORY, "engine", "no memory for %zu bytes that the server does not read", p->n_waiting);
        *one = (struct parcel){.n = p->out.n};
        memcpy(one->bytes, p->out.p, p->out.n);
        *p->parcels_end = one;
        p->parcels_end = &one->next;
        p->n_waiting += one->n;
    }
    p->out.n = 0;
    return sent < 0 ? sent : 0;
}

/* Puts an event behind the others of this step; a datagram that is full goes off. */
static void put_event(void *ctx, const struct gen_event *ev) {
    struct process *p = ctx;
    p->event.type = WIRE_EVENT;
    p->event.event = *ev;
    wire_put(&p->out, &p->event);
    if (!p->out.failed)
        return;
    p->out.failed = false;
    if (flush(p) < 0)
        p->stop = true;
    wire_put(&p->out, &p->event);
    ASSERT(!p->out.failed); /* the engine cuts its events so that each fits */
}

/* ---- opening ------------------------------------------------------------------------------------------------------------------ */

static int weigh(struct process *p, const struct wire_open *open, struct err *e) {
    p->packed = (struct packed_file){.fd = p->packed_fd, .weights = &p->weights};
    if (p->packed_fd >= 0 && !digest_parse(str_of(open->packed), &p->packed.source))
        return err_set(e, ERR_USAGE, "packed", "is no SHA-256");
    if (open->digest[0] == 0 && packed_file_weights(p->packed_fd, &p->packed.source, &p->weights))
        return 0;
    if (open->digest[0] == 0)
        p->weights = fs_map_sha256(p->map);
    else if (!digest_parse(str_of(open->digest), &p->weights))
        return err_set(e, ERR_USAGE, "digest", "is no SHA-256");
    p->packed.claimed = open->digest[0] != 0;
    return 0;
}

/* The engine holds copies of all that it needs: whoever writes into the file afterwards changes nothing. */
static void let_go_of_file(struct process *p) {
    fs_map_guard((struct str){0}, "");
    gguf_close(p->g);
    fs_unmap(p->map);
    p->g = NULL;
    p->map = (struct str){0};
}

static int open_engine(struct process *p, const struct wire_open *open, int fd, struct err *e) {
    struct engine_opts opts = {.isa = open->isa[0] ? open->isa : NULL,
                               .threads = open->threads,
                               .ctx = open->ctx,
                               .parallel = open->parallel,
                               .queue = open->queue,
                               .chunk = open->chunk,
                               .kv_memory = open->kv_memory,
                               .kv_type = (enum dtype)open->kv_type,
                               .name = open->name,
                               .release = open->release,
                               .weights = &p->weights};
    if (fd < 0)
        return err_set(e, ERR_USAGE, "open", "came without a model file");
    if (fs_map(fd, open->path, &p->map, e) < 0)
        return e->code;
    fs_map_guard(p->map, open->path);
    if (weigh(p, open, e) < 0)
        return e->code;
    opts.map = p->map;
    opts.packed = &p->packed;
    if (gguf_open(p->map, &p->g, e) < 0 || engine_new(p->g, &opts, &p->en, e) < 0) {
        if (e->code == ERR_INPUT)
            err_within(e, open->path);
        return e->code;
    }
    let_go_of_file(p);
    const struct wire_model *m = engine_model(p->en);
    if (m->ctx_train && m->ctx > m->ctx_train)
        log_line(LOG_WARN, "%s: the context is %u, and the model was trained with %u: what lies beyond it may be nonsense",
                 m->name, m->ctx, m->ctx_train);
    const char *got = engine_model(p->en)->fingerprint;
    if (open->expect_fingerprint[0] && strcmp(open->expect_fingerprint, got) != 0)
        return err_set(e, ERR_DIFFERS, "fingerprint", "is moat-%s, and moat-%s is expected: the file or the program has changed",
                       got, open->expect_fingerprint);
    return 0;
}

/* Waits for a datagram of one record, into p->msg. */
static int wait_record(struct process *p, int *fd) {
    int got = wire_recv(p->sock, &p->in, fd, true, &p->err);
    struct wire_reader r = {.left = buf_as_str(&p->in)};
    return got > 0 ? wire_next(&r, &p->msg, &p->err) : got;
}

/* Compute yields to the server; of this thread and those it starts. */
static void lower_priority(uint32_t nice) {
    errno = 0;
    int now = getpriority(PRIO_PROCESS, 0);
    if (errno == 0)
        setpriority(PRIO_PROCESS, 0, now + (int)nice);
}

/* Waits for open and answers it: hello, or refused with the reason. */
static int take_open(struct process *p) {
    struct err *e = &p->err;
    int fd = -1, got = wait_record(p, &fd);
    if (got > 0 && p->msg.type == WIRE_PACKED) {
        p->packed_fd = fd;
        got = wait_record(p, &fd);
    }
    if (got > 0 && p->msg.type != WIRE_OPEN)
        got = err_set(e, ERR_INPUT, "engine", "the first record is not open");
    if (got > 0) {
        lower_priority(p->msg.open.nice);
        got = open_engine(p, &p->msg.open, fd, e);
    }
    if (fd >= 0)
        close(fd);
    if (p->packed_fd >= 0)
        close(p->packed_fd);
    p->packed_fd = -1;
    if (got >= 0)
        put_event(p, &(struct gen_event){.kind = GEN_HELLO, .model = *engine_model(p->en)});
    else if (got != ERR_STOPPED)
        put_event(p, &(struct gen_event){.kind = GEN_REFUSED,
                                         .code = got == ERR_ENV || got == ERR_MEMORY ? GEN_FAULT : GEN_BAD_REQUEST,
                                         .param = str_of(e->where),
                                         .message = str_of(e->msg)});
    int sent = flush(p);
    return got < 0 ? got : sent;
}

/* ---- the loop ------------------------------------------------------------------------------------------------------------------ */

static int submit(struct process *p, int fd) {
    struct str map = {0};
    int r = 0;
    if (p->msg.body_fd_bytes) {
        r = wire_memfd_map(fd, p->msg.body_fd_bytes, &map, &p->err);
        p->msg.req.body = map;
    }
    if (r == 0)
        r = engine_submit(p->en, &p->msg.req, &p->err);
    fs_unmap(map);
    return r;
}

static int take_msg(struct process *p, int fd) {
    switch (p->msg.type) {
    case WIRE_REQUEST: return submit(p, fd);
    case WIRE_START: engine_start(p->en, p->msg.id); return 0;
    case WIRE_PAUSE: engine_pause(p->en, p->msg.id, true); return 0;
    case WIRE_RESUME: engine_pause(p->en, p->msg.id, false); return 0;
    case WIRE_CANCEL: engine_cancel(p->en, p->msg.id); return 0;
    case WIRE_SHUTDOWN: p->stop = true; return 0;
    case WIRE_OPEN:
    case WIRE_PACKED:
    case WIRE_EVENT: break;
    }
    return err_set(&p->err, ERR_INPUT, "engine", "a record of type %u does not belong here", (unsigned)p->msg.type);
}

/* All datagrams that are there. */
static int take_datagrams(struct process *p) {
    for (int fd, got; !p->stop;) {
        got = wire_recv(p->sock, &p->in, &fd, false, &p->err);
        if (got <= 0)
            return got;
        struct wire_reader r = {.left = buf_as_str(&p->in)};
        while (got > 0 && (got = wire_next(&r, &p->msg, &p->err)) > 0)
            got = take_msg(p, fd) < 0 ? p->err.code : 1;
        if (fd >= 0)
            close(fd);
        if (got < 0)
            return got;
    }
    return 0;
}

static void wait_for_work(const struct process *p, bool busy) {
    struct pollfd fds[] = {
        {.fd = p->sock, .events = (short)(POLLIN | (p->parcels ? POLLOUT : 0))},
        {.fd = engine_fd(p->en), .events = POLLIN},
    };
    ASSERT(poll(fds, N_ITEMS(fds), busy ? 0 : -1) >= 0 || errno == EINTR);
}

static int serve(struct process *p) {
    int r = 0;
    for (bool busy = false; r >= 0 && !p->stop;) {
        bool clogged = p->n_waiting > OUTBOX_MAX;
        wait_for_work(p, busy && !clogged);
        r = take_datagrams(p);
        if (r >= 0 && !p->stop && !clogged)
            busy = engine_step(p->en, put_event, p);
        if (r >= 0)
            r = flush(p);
    }
    return r;
}

static void process_free(struct process *p) {
    engine_free(p->en);
    let_go_of_file(p);
    flush_parcels(p);
    while (p->parcels) {
        struct parcel *next = p->parcels->next;
        free(p->parcels);
        p->parcels = next;
    }
    buf_free(&p->in);
    buf_free(&p->out);
    free(p);
}

int engine_main(int sock, struct err *e) {
    struct process *p = calloc(1, sizeof *p);
    if (!p)
        return err_set(e, ERR_MEMORY, "engine", "no memory");
    p->sock = sock;
    p->packed_fd = -1;
    p->out.max = WIRE_RECORD_MAX;
    p->parcels_end = &p->parcels;
    prctl(PR_SET_NAME, "moat-engine"); /* it was started as /proc/self/exe, which is what top would show */
    prctl(PR_SET_PDEATHSIG, SIGKILL);  /* a server that is killed in the middle of a long load leaves nobody behind */
    int r = take_open(p);
    bool opened = r >= 0;
    if (opened)
        r = serve(p);
    if (opened && r < 0 && r != ERR_STOPPED)
        err_set(e, r, p->err.where, "%s", p->err.msg);
    process_free(p);
    return e->code;
}
