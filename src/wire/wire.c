/* wire: records from and to structs, by one table of fields per record type. Both directions use the same rows, so what one end
 * writes is what the other reads. The reader takes its peer for hostile: it bounds every count and length and checks every
 * value before anything else sees it. A field's tag is its place in the table plus 1. */
#include "wire.h"

#include <math.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are little-endian, and are copied as they are");
_Static_assert(sizeof(enum gen_kind) == 4 && sizeof(enum gen_finish) == 4, "enums are written as u32");

enum field_kind {
    FIELD_U32, /* max: largest value, 0: any */
    FIELD_U64,
    FIELD_F32,      /* finite */
    FIELD_FLAG,     /* bool */
    FIELD_BYTES,    /* struct str; max: most bytes */
    FIELD_TEXT,     /* struct str, UTF-8; max: most bytes */
    FIELD_CHARS,    /* char[max], UTF-8, NUL-terminated */
    FIELD_STOPS,    /* of a request: each  bytes u32 | UTF-8 */
    FIELD_BIASES,   /* of a request: each  token u32 | value f32 */
    FIELD_TOKENS,   /* of an event: u32 each */
    FIELD_LOGPROBS, /* of an event: each  token u32 | logprob f32 | bytes u16 | text */
};
struct field {
    enum field_kind kind;
    size_t offset; /* in struct wire_msg */
    uint64_t max;
};
struct record {
    const struct field *fields;
    unsigned n_fields;
};

enum { HEADER_BYTES = 8, FIELD_HEADER_BYTES = 6, LOGPROB_BYTES = 10 };

#define AT(member) offsetof(struct wire_msg, member)
#define CHARS(member)                                                                                                            \
    { FIELD_CHARS, AT(member), sizeof((struct wire_msg){0}.member) }

static const struct field id_fields[] = {{FIELD_U64, AT(id), 0}};

static const struct field open_fields[] = {
    CHARS(open.name),
    CHARS(open.path),
    {FIELD_TEXT, AT(open.release), WIRE_RECORD_MAX},
    {FIELD_U32, AT(open.ctx), 0},
    {FIELD_U32, AT(open.parallel), 0},
    {FIELD_U32, AT(open.threads), 0},
    {FIELD_U32, AT(open.chunk), 0},
    {FIELD_U32, AT(open.queue), 0},
    {FIELD_U64, AT(open.kv_memory), 0},
    {FIELD_U32, AT(open.kv_type), 0},
    CHARS(open.isa),
    CHARS(open.packed),
    CHARS(open.digest),
    CHARS(open.expect_fingerprint),
    {FIELD_U32, AT(open.nice), 19},
};

static const struct field request_fields[] = {
    {FIELD_U64, AT(req.id), 0},
    {FIELD_U32, AT(req.kind), GEN_DETOKENIZE},
    {FIELD_BYTES, AT(req.body), WIRE_RECORD_MAX},
    {FIELD_U64, AT(body_fd_bytes), WIRE_BODY_MAX},
    {FIELD_U64, AT(req.cache_scope), 0},
    {FIELD_TEXT, AT(req.now), 64},
    {FIELD_U32, AT(req.max_tokens), 0},
    {FIELD_U32, AT(req.n), WIRE_N_MAX},
    {FIELD_F32, AT(req.sampling.temperature), 0},
    {FIELD_U32, AT(req.sampling.top_k), 0},
    {FIELD_F32, AT(req.sampling.top_p), 0},
    {FIELD_F32, AT(req.sampling.min_p), 0},
    {FIELD_F32, AT(req.sampling.typical), 0},
    {FIELD_F32, AT(req.sampling.repetition_penalty), 0},
    {FIELD_F32, AT(req.sampling.presence_penalty), 0},
    {FIELD_F32, AT(req.sampling.frequency_penalty), 0},
    {FIELD_U32, AT(req.sampling.penalty_last_n), 0},
    {FIELD_FLAG, AT(req.sampling.has_seed), 0},
    {FIELD_U64, AT(req.sampling.seed), 0},
    {FIELD_STOPS, AT(req.stop), 0},
    {FIELD_BIASES, AT(req.bias), 0},
    {FIELD_FLAG, AT(req.ignore_eos), 0},
    {FIELD_FLAG, AT(req.echo), 0},
    {FIELD_FLAG, AT(req.add_special), 0},
    {FIELD_FLAG, AT(req.parse_special), 0},
    {FIELD_FLAG, AT(req.count_chat), 0},
    {FIELD_FLAG, AT(req.logprobs), 0},
    {FIELD_U32, AT(req.top_logprobs), WIRE_TOP_MAX},
    {FIELD_FLAG, AT(req.token_ids), 0},
    {FIELD_FLAG, AT(req.echo_only), 0},
};

static const struct field event_fields[] = {
    {FIELD_U64, AT(event.id), 0},
    {FIELD_U32, AT(event.kind), GEN_ERROR},
    {FIELD_U32, AT(event.choice), WIRE_N_MAX - 1},
    {FIELD_TEXT, AT(event.text), WIRE_RECORD_MAX},
    {FIELD_TOKENS, AT(event.tokens), 0},
    {FIELD_U32, AT(event.n_logprobs), WIRE_RECORD_MAX},
    {FIELD_U32, AT(event.n_top), WIRE_TOP_MAX},
    {FIELD_LOGPROBS, AT(event.logprobs), 0},
    {FIELD_U32, AT(event.finish), GEN_CANCELLED},
    {FIELD_U32, AT(event.usage.prompt_tokens), 0},
    {FIELD_U32, AT(event.usage.cached_tokens), 0},
    {FIELD_U32, AT(event.usage.completion_tokens), 0},
    {FIELD_U64, AT(event.usage.prefill_ns), 0},
    {FIELD_U64, AT(event.usage.decode_ns), 0},
    {FIELD_U64, AT(event.usage.queue_ns), 0},
    {FIELD_U64, AT(event.seed), 0},
    {FIELD_U32, AT(event.code), GEN_SHUTDOWN},
    {FIELD_TEXT, AT(event.param), 256},
    {FIELD_TEXT, AT(event.message), 4096},
    CHARS(event.model.name),
    CHARS(event.model.family),
    CHARS(event.model.fingerprint),
    CHARS(event.model.digest),
    CHARS(event.model.isa),
    {FIELD_U32, AT(event.model.n_vocab), 0},
    {FIELD_U32, AT(event.model.ctx), 0},
    {FIELD_U32, AT(event.model.ctx_train), 0},
    {FIELD_U32, AT(event.model.parallel), 0},
    {FIELD_U32, AT(event.model.threads), 0},
    {FIELD_U64, AT(event.model.n_params), 0},
    {FIELD_U64, AT(event.model.weight_bytes), 0},
    {FIELD_U64, AT(event.model.kv_bytes), 0},
    {FIELD_FLAG, AT(event.model.has_template), 0},
};

static const struct record records[] = {
    [WIRE_OPEN] = {open_fields, N_ITEMS(open_fields)},
    [WIRE_REQUEST] = {request_fields, N_ITEMS(request_fields)},
    [WIRE_START] = {id_fields, N_ITEMS(id_fields)},
    [WIRE_CANCEL] = {id_fields, N_ITEMS(id_fields)},
    [WIRE_EVENT] = {event_fields, N_ITEMS(event_fields)},
    [WIRE_SHUTDOWN] = {NULL, 0},
    [WIRE_PAUSE] = {id_fields, N_ITEMS(id_fields)},
    [WIRE_RESUME] = {id_fields, N_ITEMS(id_fields)},
    [WIRE_PACKED] = {NULL, 0},
};

/* ---- writing ----------------------------------------------------------------------------------------------------------- */

static void put_u32(struct buf *out, uint32_t v) {
    buf_add(out, &v, sizeof v);
}

static void put_stops(struct buf *out, const struct gen_req *req) {
    for (uint32_t i = 0; i < req->n_stop; i++) {
        put_u32(out, (uint32_t)req->stop[i].n);
        buf_str(out, req->stop[i]);
    }
}

static void put_biases(struct buf *out, const struct gen_req *req) {
    for (uint32_t i = 0; i < req->n_bias; i++) {
        put_u32(out, req->bias[i].token);
        buf_add(out, &req->bias[i].value, sizeof req->bias[i].value);
    }
}

static uint32_t logprob_entries(const struct gen_event *ev) {
    return ev->n_logprobs * (1 + ev->n_top);
}

static void put_logprobs(struct buf *out, const struct gen_event *ev) {
    for (uint32_t i = 0; i < logprob_entries(ev); i++) {
        const struct gen_logprob *l = &ev->logprobs[i];
        uint16_t n = (uint16_t)l->bytes.n;
        ASSERT(n == l->bytes.n);
        put_u32(out, l->token);
        buf_add(out, &l->logprob, sizeof l->logprob);
        buf_add(out, &n, sizeof n);
        buf_str(out, l->bytes);
    }
}

/* Bytes of a scalar's value as it is in memory and in the record; 0 for the other kinds. */
static size_t scalar_bytes(enum field_kind kind) {
    switch (kind) {
    case FIELD_U32:
    case FIELD_F32: return 4;
    case FIELD_U64: return 8;
    case FIELD_FLAG: return sizeof(bool);
    default: return 0;
    }
}

static void put_value(struct buf *out, const struct field *f, const struct wire_msg *m) {
    static const char zero[8];
    const void *at = (const char *)m + f->offset;
    size_t n = scalar_bytes(f->kind);
    if (n && memcmp(at, zero, n) != 0)
        buf_add(out, at, n);
    else if (f->kind == FIELD_BYTES || f->kind == FIELD_TEXT)
        buf_str(out, *(const struct str *)at);
    else if (f->kind == FIELD_CHARS)
        buf_z(out, at);
    else if (f->kind == FIELD_STOPS)
        put_stops(out, &m->req);
    else if (f->kind == FIELD_BIASES)
        put_biases(out, &m->req);
    else if (f->kind == FIELD_TOKENS)
        buf_add(out, m->event.tokens, m->event.n_tokens * sizeof *m->event.tokens);
    else if (f->kind == FIELD_LOGPROBS)
        put_logprobs(out, &m->event);
}

/* Writes bytes - header_bytes into the u32 that ends a header at `at`, or takes the header back when nothing follows it. */
static void put_length(struct buf *out, size_t at, size_t header_bytes) {
    uint32_t n = (uint32_t)(out->n - at - header_bytes);
    if (!out->failed)
        memcpy(out->p + at + header_bytes - sizeof n, &n, sizeof n);
}

void wire_put(struct buf *out, const struct wire_msg *m) {
    ASSERT(m->type >= WIRE_OPEN && m->type < N_ITEMS(records));
    const struct record *record = &records[m->type];
    size_t start = out->n;
    put_u32(out, m->type);
    put_u32(out, 0);
    for (unsigned i = 0; i < record->n_fields; i++) {
        size_t at = out->n;
        uint16_t tag = (uint16_t)(i + 1);
        buf_add(out, &tag, sizeof tag);
        put_u32(out, 0);
        put_value(out, &record->fields[i], m);
        if (out->n == at + FIELD_HEADER_BYTES)
            out->n = at;
        else
            put_length(out, at, FIELD_HEADER_BYTES);
    }
    put_length(out, start, HEADER_BYTES);
    if (out->failed)
        out->n = start;
}

/* ---- reading ----------------------------------------------------------------------------------------------------------- */

/* Takes n bytes off the front of s. */
static bool take(struct str *s, void *to, size_t n) {
    if (s->n < n)
        return false;
    memcpy(to, s->p, n);
    *s = (struct str){s->p + n, s->n - n};
    return true;
}

static bool take_str(struct str *s, struct str *out, size_t n) {
    if (s->n < n)
        return false;
    *out = (struct str){s->p, n};
    *s = (struct str){s->p + n, s->n - n};
    return true;
}

static bool get_scalar(const struct field *f, struct str value, void *to) {
    if (value.n != scalar_bytes(f->kind))
        return false;
    if (f->kind == FIELD_FLAG && value.p[0] != 1)
        return false;
    memcpy(to, value.p, value.n);
    if (f->kind == FIELD_U32)
        return f->max == 0 || *(uint32_t *)to <= f->max;
    if (f->kind == FIELD_U64)
        return f->max == 0 || *(uint64_t *)to <= f->max;
    return f->kind != FIELD_F32 || isfinite(*(float *)to);
}

static bool get_chars(const struct field *f, struct str value, char *to) {
    if (value.n >= f->max || memchr(value.p, 0, value.n) || !utf8_valid(value))
        return false;
    memcpy(to, value.p, value.n);
    to[value.n] = 0;
    return true;
}

static bool get_stops(struct str value, struct gen_req *req) {
    while (value.n) {
        uint32_t n;
        if (req->n_stop == WIRE_STOPS_MAX || !take(&value, &n, sizeof n) || n == 0 || n > WIRE_STOP_BYTES_MAX)
            return false;
        struct str *stop = &req->stop[req->n_stop++];
        if (!take_str(&value, stop, n) || !utf8_valid(*stop))
            return false;
    }
    return true;
}

static bool get_biases(struct str value, struct gen_req *req) {
    while (value.n) {
        if (req->n_bias == WIRE_BIAS_MAX)
            return false;
        struct gen_bias *bias = &req->bias[req->n_bias++];
        if (!take(&value, &bias->token, sizeof bias->token) || !take(&value, &bias->value, sizeof bias->value))
            return false;
        if (!isfinite(bias->value) && !(bias->value < 0))
            return false;
    }
    return true;
}

static bool get_tokens(struct str value, struct gen_event *ev, struct arena *arena) {
    uint32_t *tokens = value.n % sizeof *tokens == 0 ? arena_alloc(arena, value.n) : NULL;
    if (!tokens)
        return false;
    memcpy(tokens, value.p, value.n);
    ev->tokens = tokens;
    ev->n_tokens = (uint32_t)(value.n / sizeof *tokens);
    return true;
}

static bool get_logprobs(struct str value, struct gen_event *ev, struct arena *arena) {
    uint64_t n = (uint64_t)ev->n_logprobs * (1 + ev->n_top);
    if (n == 0 || n > value.n / LOGPROB_BYTES)
        return false;
    struct gen_logprob *entries = arena_array(arena, n, sizeof *entries);
    for (uint64_t i = 0; entries && i < n; i++) {
        struct gen_logprob *l = &entries[i];
        uint16_t bytes;
        if (!take(&value, &l->token, sizeof l->token) || !take(&value, &l->logprob, sizeof l->logprob) ||
            !take(&value, &bytes, sizeof bytes) || !take_str(&value, &l->bytes, bytes) || isinf(l->logprob))
            return false;
    }
    ev->logprobs = entries;
    return entries && value.n == 0;
}

static bool get_value(const struct field *f, struct str value, struct wire_msg *m, struct arena *arena) {
    void *to = (char *)m + f->offset;
    switch (f->kind) {
    case FIELD_U32:
    case FIELD_U64:
    case FIELD_F32:
    case FIELD_FLAG: return get_scalar(f, value, to);
    case FIELD_BYTES:
    case FIELD_TEXT: *(struct str *)to = value; return value.n <= f->max && (f->kind == FIELD_BYTES || utf8_valid(value));
    case FIELD_CHARS: return get_chars(f, value, to);
    case FIELD_STOPS: return get_stops(value, &m->req);
    case FIELD_BIASES: return get_biases(value, &m->req);
    case FIELD_TOKENS: return get_tokens(value, &m->event, arena);
    case FIELD_LOGPROBS: return get_logprobs(value, &m->event, arena);
    }
    return false;
}

/* What no single field shows. */
static bool consistent(const struct wire_msg *m) {
    if (m->type == WIRE_REQUEST)
        return m->body_fd_bytes == 0 || m->req.body.n == 0;
    if (m->type == WIRE_EVENT)
        return m->event.n_logprobs == 0 || m->event.logprobs;
    return true;
}

int wire_next(struct wire_reader *r, struct wire_msg *m, struct err *e) {
    if (r->left.n == 0)
        return 0;
    uint32_t type, bytes;
    struct str body;
    if (!take(&r->left, &type, sizeof type) || !take(&r->left, &bytes, sizeof bytes) || !take_str(&r->left, &body, bytes))
        return err_set(e, ERR_INPUT, "record", "is cut short");
    if (type < WIRE_OPEN || type >= N_ITEMS(records))
        return err_set(e, ERR_INPUT, "record", "has the unknown type %u", type);
    memset(m, 0, sizeof *m);
    m->type = (enum wire_type)type;
    const struct record *record = &records[type];
    for (unsigned before = 0; body.n;) {
        uint16_t tag;
        struct str value;
        if (!take(&body, &tag, sizeof tag) || !take(&body, &bytes, sizeof bytes) || !take_str(&body, &value, bytes))
            return err_set(e, ERR_INPUT, "record", "of type %u is cut short", type);
        if (tag <= before || tag > record->n_fields || value.n == 0 || !get_value(&record->fields[tag - 1], value, m, r->arena))
            return err_set(e, ERR_INPUT, "record", "of type %u has a bad field %u", type, tag);
        before = tag;
    }
    return consistent(m) ? 1 : err_set(e, ERR_INPUT, "record", "of type %u contradicts itself", type);
}
