/* wire: what server and engine say to one another. Types, their records, nothing that runs.
 *
 *     struct buf out = {.max = WIRE_RECORD_MAX};
 *     wire_put(&out, &(struct wire_msg){.type = WIRE_EVENT, .event = ev}); // any number of records in one datagram
 *     wire_send(sock, buf_as_str(&out), -1, true, &e);
 *
 *     struct wire_reader r = {.left = buf_as_str(&in), .arena = &arena};
 *     while ((got = wire_next(&r, &msg, &e)) > 0) ...                       // borrowed from the datagram and the arena
 *
 * Transport: a SOCK_SEQPACKET socketpair, datagrams of at most 64 KiB, each a row of records. One datagram per step carries
 * every event of the step. A record is
 *
 *     offset  size  meaning
 *          0     2  type (enum wire_type), little-endian like all that follows
 *          2     2  reserved, 0
 *          4     4  bytes of the body
 *          8     n  body: fields, each  tag u16 | bytes u32 | value
 *
 * The tags of a record ascend; a field that is absent is zero or empty. Unknown types and tags are an error: both ends are the
 * same program. What is larger than a datagram (a prompt) is a sealed memfd that comes with the datagram as SCM_RIGHTS, at
 * most one descriptor a datagram; the record then says how long it is. What is larger in the other direction (a rendered
 * prompt, an echo's log-probabilities) comes as several events. Requests: open, request, start, pause, resume, cancel, shutdown. Events:
 * hello, accepted, refused, content, logprobs, choice done, done, error. Both carry the id that the server chose. */
#pragma once

#include "../base/base.h"

enum {
    WIRE_RECORD_MAX = 64 * 1024,
    WIRE_INLINE_MAX = 16 * 1024, /* a longer body of a request goes into a memfd */
    WIRE_BODY_MAX = 64 << 20,
    WIRE_PIECE_MAX = 16 * 1024, /* most text of one content event; longer text comes as several */
    WIRE_STOPS_MAX = 16,
    WIRE_STOP_BYTES_MAX = 256,
    WIRE_BIAS_MAX = 1024,
    WIRE_TOP_MAX = 20,
    WIRE_N_MAX = 16,
};

/* ---- requests --------------------------------------------------------------------------------------------------------- */

enum gen_kind {
    GEN_CHAT,       /* body: JSON object, the template's variables (messages, tools, add_generation_prompt, ...) */
    GEN_TEXT,       /* body: UTF-8 text; its control tokens count (INTERFACES: a raw prompt is the caller's own template) */
    GEN_TOKENS,     /* body: token ids, u32 little-endian */
    GEN_COUNT,      /* as GEN_CHAT or GEN_TEXT by `count_chat`, answers accepted and done only */
    GEN_RENDER,     /* as GEN_CHAT: answers one content with the rendered text, then done */
    GEN_TOKENIZE,   /* body: text; answers contents with `tokens` and no text, then done; add_special, parse_special */
    GEN_DETOKENIZE, /* body: ids; answers contents with text, then done */
};

struct gen_sampling {
    float temperature;           /* 0: argmax */
    uint32_t top_k;              /* 0: all */
    float top_p, min_p, typical; /* 1, 0, 1 switch them off */
    float repetition_penalty;    /* 1: off */
    float presence_penalty, frequency_penalty;
    uint32_t penalty_last_n; /* tokens looked back at; 0: all of prompt and answer */
    bool has_seed;
    uint64_t seed; /* of choice 0; drawn by the engine without has_seed, and named in accepted */
};
struct gen_bias {
    uint32_t token;
    float value; /* -100..100 added to the logit; -inf bans */
};

struct gen_req {
    uint64_t id; /* the server's, unique in the life of the engine */
    enum gen_kind kind;
    struct str body;      /* see gen_kind */
    uint64_t cache_scope; /* prefixes are shared within one scope only (from the key) */
    struct str now;       /* for strftime_now; "" is refused if the template asks for it */
    uint32_t max_tokens;  /* 0: up to the context */
    uint32_t n;           /* choices, 1..WIRE_N_MAX */
    struct gen_sampling sampling;
    struct str stop[WIRE_STOPS_MAX];
    uint32_t n_stop;
    struct gen_bias bias[WIRE_BIAS_MAX];
    uint32_t n_bias;
    bool ignore_eos, echo, add_special, parse_special, count_chat;
    bool echo_only;        /* ends with the prompt: nothing is drawn */
    bool logprobs;         /* send a logprobs event with every content */
    uint32_t top_logprobs; /* 0..WIRE_TOP_MAX alternatives each */
    bool token_ids;        /* content carries ids too (INTERFACES `generate`) */
};

/* ---- events -------------------------------------------------------------------------------------------------------------- */

enum gen_finish { GEN_STOP, GEN_LENGTH, GEN_CANCELLED };
struct gen_usage {
    uint32_t prompt_tokens, cached_tokens, completion_tokens; /* completion: of all choices, end tokens not counted */
    uint64_t prefill_ns, decode_ns, queue_ns;
};
struct gen_logprob {
    uint32_t token;
    float logprob;    /* NaN: none (the first token of an echo) */
    struct str bytes; /* what the token decodes to */
};

/* What the engine serves; sent once as hello, after open. */
struct wire_model {
    char name[128], family[32], fingerprint[17], digest[65], isa[16];
    uint32_t n_vocab, ctx, ctx_train, parallel, threads;
    uint64_t n_params, weight_bytes, kv_bytes;
    bool has_template;
};

enum gen_event_kind {
    GEN_HELLO,       /* model */
    GEN_ACCEPTED,    /* usage.prompt_tokens, usage.cached_tokens, seed: nothing runs before the server's start */
    GEN_REFUSED,     /* code, param, message */
    GEN_CONTENT,     /* choice, text (whole characters), tokens */
    GEN_LOGPROBS,    /* choice, chosen entries, each with top_logprobs alternatives; follows the content it belongs to */
    GEN_CHOICE_DONE, /* choice, finish */
    GEN_DONE,        /* all choices are done; usage */
    GEN_ERROR,       /* code, message: the stream ends here */
};
enum gen_error { /* codes of refused and error; api maps them to HTTP statuses and vendors' codes */
                 GEN_BAD_REQUEST = 1,
                 GEN_CONTEXT_EXCEEDED,
                 GEN_TEMPLATE_FAILED,
                 GEN_LIMIT,
                 GEN_OVERLOADED,
                 GEN_FAULT,
                 GEN_NOT_FINITE,
                 GEN_SHUTDOWN,
};

struct gen_event {
    uint64_t id;
    enum gen_event_kind kind;
    uint32_t choice;
    struct str text;
    const uint32_t *tokens; /* GEN_CONTENT with token_ids; the ids that this text completes */
    uint32_t n_tokens;
    const struct gen_logprob *logprobs; /* GEN_LOGPROBS: n_logprobs groups of (1 + n_top): the token, then alternatives */
    uint32_t n_logprobs, n_top;
    enum gen_finish finish;
    struct gen_usage usage;
    uint64_t seed;
    enum gen_error code;
    struct str param, message;
    struct wire_model model;
};

/* ---- records --------------------------------------------------------------------------------------------------------------- */

/* Engine settings, the body of open. Descriptors travel beside it: the model file; that of its packed weights goes before, with a
 * record of its own. */
struct wire_open {
    char name[128], path[512]; /* how the API calls it; what messages call the file */
    struct str release;        /* JSON of the release (canonical), or "" for a bare file */
    uint32_t ctx, parallel, threads, chunk, queue;
    uint32_t nice; /* how far below the server's priority it runs, 0..19 */
    uint64_t kv_memory;
    uint32_t kv_type; /* enum dtype */
    char isa[16];
    char packed[65]; /* what the model is known by in the file of its packed weights (SHA-256), or "": there is none */
    char digest[65]; /* SHA-256 of the model file where the server knows it (the store names blobs so), or "" */
    char expect_fingerprint[17]; /* "" or the one that must come out, else refused */
};

enum wire_type {
    WIRE_OPEN = 1,
    WIRE_REQUEST,
    WIRE_START,
    WIRE_CANCEL,
    WIRE_EVENT,
    WIRE_SHUTDOWN,
    WIRE_PAUSE,
    WIRE_RESUME,
    WIRE_PACKED
};
struct wire_msg {
    enum wire_type type;
    uint64_t id; /* WIRE_START, WIRE_CANCEL, WIRE_PAUSE, WIRE_RESUME */
    struct wire_open open;
    struct gen_req req; /* body empty and body_fd_bytes > 0: the body is in the memfd */
    uint64_t body_fd_bytes;
    struct gen_event event;
};
struct wire_reader {
    struct str left;
    struct arena *arena; /* for the arrays of an event */
};
/* Appends one record, or nothing and `out->failed` when it would pass out's max: the sender then sends what is there, empties
 * out and puts it again. */
void wire_put(struct buf *out, const struct wire_msg *m);
/* 1 and the next record, 0 at the end, ERR_INPUT for anything malformed. Strings are borrowed from r->left. Texts for people
 * and content are UTF-8, floats are finite (a bias may be -inf, a missing logprob NaN), counts are within the limits above. */
int wire_next(struct wire_reader *r, struct wire_msg *m, struct err *e) MUST_USE;

/* ---- transport ----------------------------------------------------------------------------------------------------------- */

/* Sends one datagram, which must not be empty, with at most one descriptor (-1: none; it stays the caller's). 1 sent, 0 would
 * block (only without `wait`), ERR_STOPPED the peer is gone. */
int wire_send(int sock, struct str datagram, int fd, bool wait, struct err *e) MUST_USE;
/* Receives one datagram into `into`, replacing what was there; *fd is -1 or a received descriptor, the caller's now. 1, 0 would
 * block, ERR_STOPPED the peer is gone, ERR_INPUT more than one descriptor or more bytes than a datagram may have. */
int wire_recv(int sock, struct buf *into, int *fd, bool wait, struct err *e) MUST_USE;
/* Sends WIRE_PACKED with its descriptor (-1: left out), then WIRE_OPEN with that of the model file; waits for room. As wire_send. */
int wire_send_open(int sock, const struct wire_open *open, int model_fd, int packed_fd, struct err *e) MUST_USE;
/* Sends a request in a datagram of its own, its body in a memfd when it is long. As wire_send. */
int wire_send_request(int sock, const struct gen_req *req, bool wait, struct err *e) MUST_USE;

/* A sealed memfd that holds s, which is not empty. */
int wire_memfd(struct str s, struct err *e) MUST_USE;
/* The reading side: maps it after checking that it is a memfd that nobody can change or shrink, and its size. fs_unmap it. */
int wire_memfd_map(int fd, uint64_t bytes, struct str *out, struct err *e) MUST_USE;

/* ---- the child ---------------------------------------------------------------------------------------------------------------- */

/* Starts this program's own `engine` command as a child: the socket is its descriptor WIRE_CHILD_FD, its environment is empty,
 * stdin is /dev/null, stdout goes to stderr, and no other descriptor is open. It ends when the socket is closed; the caller
 * owns `sock` and waits for `pid`. */
enum { WIRE_CHILD_FD = 3 };
struct wire_child {
    pid_t pid;
    int sock;
};
int wire_spawn(struct wire_child *out, struct err *e) MUST_USE;
