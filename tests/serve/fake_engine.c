/* moat with a scripted engine: `serve` is the real command, `engine` speaks wire and does what words in the prompt say. So the
 * server's own behaviour is tested without a model, also what a good engine never does.
 *
 *   HANG      accepted, then nothing until it is cancelled      LATE     accepted only after half a second
 *   SLOW      a token each 20 ms                                FLOOD    tokens of 1 KB as fast as they go
 *   CRASH     dies after its first token                        GARBAGE  sends what is no record after its first token
 *   LONG      refused: longer than the context                  FAULT    an error event after its first token
 *   PATIENT   as FLOOD, and stops while it is paused
 *
 * Otherwise an answer is max_tokens (at most 1000) times " tok", with log-probabilities when asked for. */
#include "../../src/cmd/cmds.h"
#include "../../src/wire/wire.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REQUESTS_MAX = 1024, DEFAULT_TOKENS = 5, MOST_TOKENS = 1000 };

struct request {
    uint64_t id, due_ns;
    uint32_t n, n_left, n_sent;
    bool logprobs, started, late, paused;
    uint32_t n_top;
    char text[64];
};
static struct request requests[REQUESTS_MAX];
static struct wire_msg msg;

static void send_event(const struct gen_event *ev) {
    static struct wire_msg out;
    struct buf b = {.max = WIRE_RECORD_MAX};
    out.type = WIRE_EVENT;
    out.event = *ev;
    wire_put(&b, &out);
    if (wire_send(WIRE_CHILD_FD, buf_as_str(&b), -1, true, NULL) < 0)
        exit(0);
    buf_free(&b);
}

static void hello(const struct wire_open *open) {
    struct gen_event ev = {.kind = GEN_HELLO};
    snprintf(ev.model.name, sizeof ev.model.name, "%s", open->name);
    snprintf(ev.model.family, sizeof ev.model.family, "fake");
    snprintf(ev.model.fingerprint, sizeof ev.model.fingerprint, "0123456789abcdef");
    memset(ev.model.digest, 'a', 64);
    ev.model.ctx = ev.model.ctx_train = 4096;
    ev.model.n_vocab = 256;
    ev.model.has_template = true;
    send_event(&ev);
}

static bool says(struct str body, const char *word) {
    return body.n && memmem(body.p, body.n, word, strlen(word));
}

static struct request *find(uint64_t id) {
    for (size_t i = 0; i < REQUESTS_MAX; i++)
        if (requests[i].id == id)
            return &requests[i];
    return NULL;
}

static void accept_it(const struct request *r) {
    send_event(&(struct gen_event){.id = r->id, .kind = GEN_ACCEPTED, .usage.prompt_tokens = 7, .usage.cached_tokens = 3});
}

static void done(struct request *r) {
    send_event(&(struct gen_event){
        .id = r->id, .kind = GEN_DONE, .usage = {.prompt_tokens = 7, .cached_tokens = 3, .completion_tokens = r->n_sent}});
    r->id = 0;
}

/* What is answered at once: no text is generated. */
static bool answer_now(const struct gen_req *req, struct str body) {
    struct gen_event ev = {.id = req->id, .kind = GEN_CONTENT};
    uint32_t ids[64];
    if (req->kind == GEN_TOKENIZE) {
        ev.tokens = ids;
        for (size_t i = 0; i < body.n && i < 64; i++)
            ids[ev.n_tokens++] = (unsigned char)body.p[i];
    } else if (req->kind == GEN_DETOKENIZE || req->kind == GEN_RENDER) {
        ev.text = req->kind == GEN_RENDER ? body : STR("text of ids");
    } else {
        return false;
    }
    send_event(&ev);
    send_event(&(struct gen_event){.id = req->id, .kind = GEN_DONE});
    return true;
}

static void take_request(const struct gen_req *req, struct str body) {
    if (says(body, "LONG")) {
        send_event(&(struct gen_event){.id = req->id,
                                       .kind = GEN_REFUSED,
                                       .code = GEN_CONTEXT_EXCEEDED,
                                       .param = STR("messages"),
                                       .message = STR("The prompt has 5000 tokens; the context has 4096.")});
        return;
    }
    if (answer_now(req, body))
        return;
    struct request *r = find(0);
    if (!r)
        abort();
    *r = (struct request){.id = req->id,
                          .n = req->n,
                          .n_left = req->max_tokens ? req->max_tokens : DEFAULT_TOKENS,
                          .logprobs = req->logprobs,
                          .n_top = req->top_logprobs};
    r->n_left = r->n_left < MOST_TOKENS ? r->n_left : MOST_TOKENS;
    static const char *const words[] = {"HANG", "SLOW", "CRASH", "GARBAGE", "FLOOD", "FAULT", "PATIENT"};
    for (size_t i = 0; i < N_ITEMS(words); i++)
        if (says(body, words[i]))
            snprintf(r->text, sizeof r->text, "%s", words[i]);
    r->late = says(body, "LATE");
    if (r->late)
        r->due_ns = clock_ns() + 500000000;
    else
        accept_it(r);
}

static void misbehave(struct request *r) {
    if (strcmp(r->text, "CRASH") == 0)
        abort();
    if (strcmp(r->text, "GARBAGE") == 0 && wire_send(WIRE_CHILD_FD, STR("no record at all"), -1, true, NULL) > 0)
        pause();
    if (strcmp(r->text, "FAULT") == 0) {
        send_event(&(struct gen_event){.id = r->id, .kind = GEN_ERROR, .code = GEN_FAULT, .message = STR("It went wrong.")});
        r->id = 0;
    }
}

static void send_token(struct request *r, uint32_t choice) {
    static char flood[1024];
    memset(flood, 'x', sizeof flood);
    struct gen_event ev = {.id = r->id, .kind = GEN_CONTENT, .choice = choice, .text = STR(" tok")};
    if (strcmp(r->text, "FLOOD") == 0 || strcmp(r->text, "PATIENT") == 0)
        ev.text = (struct str){flood, sizeof flood};
    send_event(&ev);
    struct gen_logprob p[1 + WIRE_TOP_MAX];
    for (uint32_t i = 0; i <= r->n_top; i++)
        p[i] = (struct gen_logprob){.token = i, .logprob = -0.5f * (float)(i + 1), .bytes = i ? STR(" alt") : STR(" tok")};
    if (r->logprobs)
        send_event(&(struct gen_event){
            .id = r->id, .kind = GEN_LOGPROBS, .choice = choice, .logprobs = p, .n_logprobs = 1, .n_top = r->n_top});
    r->n_sent++;
}

/* One step of a request; true when it wants another one at once. */
static bool step(struct request *r) {
    if (r->late && clock_ns() >= r->due_ns) {
        r->late = false;
        accept_it(r);
    }
    if (!r->started || r->paused || strcmp(r->text, "HANG") == 0 || clock_ns() < r->due_ns)
        return false;
    for (uint32_t i = 0; i < r->n; i++)
        send_token(r, i);
    r->due_ns = strcmp(r->text, "SLOW") == 0 ? clock_ns() + 20000000 : 0;
    misbehave(r);
    if (!r->id || --r->n_left)
        return r->id && !r->due_ns;
    for (uint32_t i = 0; i < r->n; i++)
        send_event(&(struct gen_event){.id = r->id, .kind = GEN_CHOICE_DONE, .choice = i, .finish = GEN_LENGTH});
    done(r);
    return false;
}

static void take_datagram(struct str datagram, int fd) {
    struct arena arena = {0};
    struct wire_reader reader = {.left = datagram, .arena = &arena};
    while (wire_next(&reader, &msg, NULL) > 0) {
        struct request *r = msg.type != WIRE_OPEN && msg.type != WIRE_REQUEST ? find(msg.id) : NULL;
        struct str body = msg.req.body, mapped = {0};
        if (msg.type == WIRE_OPEN && strstr(msg.open.name, "unloadable"))
            send_event(&(struct gen_event){.kind = GEN_REFUSED,
                                           .code = GEN_BAD_REQUEST,
                                           .param = STR("general.architecture"),
                                           .message = STR("is not known")});
        else if (msg.type == WIRE_OPEN)
            hello(&msg.open);
        else if (msg.type == WIRE_REQUEST && msg.body_fd_bytes && wire_memfd_map(fd, msg.body_fd_bytes, &mapped, NULL) == 0)
            body = mapped;
        if (msg.type == WIRE_REQUEST)
            take_request(&msg.req, body);
        if (r && msg.type == WIRE_START)
            r->started = true;
        if (r && (msg.type == WIRE_PAUSE || msg.type == WIRE_RESUME))
            r->paused = msg.type == WIRE_PAUSE && strcmp(r->text, "PATIENT") == 0;
        if (r && msg.type == WIRE_CANCEL)
            done(r);
        fs_unmap(mapped);
    }
    arena_free(&arena);
}

static int fake_engine(void) {
    struct buf in = {0};
    bool busy = false;
    for (;;) {
        struct pollfd p = {.fd = WIRE_CHILD_FD, .events = POLLIN};
        poll(&p, 1, busy ? 0 : 5);
        int fd = -1, r = p.revents ? wire_recv(WIRE_CHILD_FD, &in, &fd, false, NULL) : 0;
        if (r < 0)
            break;
        if (r > 0)
            take_datagram(buf_as_str(&in), fd);
        if (fd >= 0)
            close(fd);
        busy = false;
        for (size_t i = 0; i < REQUESTS_MAX; i++)
            if (requests[i].id)
                busy |= step(&requests[i]);
    }
    buf_free(&in);
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "engine") == 0)
        return fake_engine();
    struct err e = {0};
    struct cmd_args a = {.cmd = cmds};
    while (a.cmd->name && strcmp(a.cmd->name, "serve") != 0)
        a.cmd++;
    int r = argc < 2 ? err_set(&e, ERR_USAGE, "arguments", "usage: moat serve MODEL") : opts_read(&a, argc - 2, argv + 2, &e);
    if (r == 0)
        r = a.cmd->run(&a, &e);
    if (r < 0)
        cmd_print_error(a.cmd, &e);
    return cmd_status(r);
}
