/* api_openai_out: events to the bytes of OpenAI's chat and completion answers, streamed or whole. */
#include "api_answer.h"

#include <string.h>

/* {"id","object","created","model","system_fingerprint", ... : what every answer and chunk begins with. */
static void begin(const struct api_answer *a, const char *object, struct buf *out) {
    buf_fmt(out, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", a->id, object, (long long)a->created);
    buf_str(out, buf_as_str(&a->model));
    buf_fmt(out, ",\"system_fingerprint\":\"%s\",\"choices\":[", a->fingerprint);
}

static void end_chunk(const struct api_answer *a, struct buf *out) {
    buf_z(out, a->call->include_usage ? "],\"usage\":null}\n\n" : "]}\n\n");
}

/* The last chunks of a stream: usage if it was asked for, and OpenAI's end mark. */
static void end_stream(const struct api_answer *a, const char *object, struct buf *out) {
    if (a->call->include_usage) {
        buf_z(out, "data: ");
        begin(a, object, out);
        buf_z(out, "],\"usage\":");
        api_usage_json(out, &a->usage);
        buf_z(out, "}\n\n");
    }
    buf_z(out, "data: [DONE]\n\n");
}

static uint32_t choice_index(const struct api_answer *a, const struct api_choice *c) {
    return (uint32_t)(c - a->choices);
}

/* ---- chat ------------------------------------------------------------------------------------------------------------------ */

/* "token", "logprob" and "bytes" of one token, without braces. */
static void chat_token(struct buf *out, const struct gen_logprob *p) {
    buf_z(out, "\"token\":");
    buf_json(out, p->bytes);
    buf_z(out, ",\"logprob\":");
    api_logprob_json(out, p->logprob);
    buf_z(out, ",\"bytes\":[");
    for (size_t i = 0; i < p->bytes.n; i++)
        buf_fmt(out, "%s%u", i ? "," : "", (unsigned char)p->bytes.p[i]);
    buf_byte(out, ']');
}

static void chat_logprobs(struct api_choice *c, const struct gen_event *ev) {
    for (uint32_t i = 0; i < ev->n_logprobs; i++) {
        const struct gen_logprob *group = &ev->logprobs[(size_t)i * (1 + ev->n_top)];
        buf_z(&c->entries, c->entries.n ? ",{" : "{");
        chat_token(&c->entries, group);
        buf_z(&c->entries, ",\"top_logprobs\":[");
        for (uint32_t k = 1; k <= ev->n_top; k++) {
            buf_z(&c->entries, k > 1 ? ",{" : "{");
            chat_token(&c->entries, &group[k]);
            buf_byte(&c->entries, '}');
        }
        buf_z(&c->entries, "]}");
    }
}

/* ,"logprobs":...,"finish_reason":...} : the end of every chat choice. */
static void chat_choice_end(const struct api_answer *a, const struct api_choice *c, struct buf *out) {
    buf_z(out, ",\"logprobs\":");
    if (a->call->gen.logprobs && (c->entries.n || !a->call->stream)) {
        buf_z(out, "{\"content\":[");
        buf_str(out, buf_as_str(&c->entries));
        buf_z(out, "],\"refusal\":null}");
    } else {
        buf_z(out, "null");
    }
    buf_z(out, ",\"finish_reason\":");
    api_finish_json(out, c);
    buf_byte(out, '}');
}

/* data: {...,"choices":[{"index":0,"delta":{ : up to where a chunk's own part begins. */
static void chat_chunk(const struct api_answer *a, const struct api_choice *c, struct buf *out) {
    buf_z(out, "data: ");
    begin(a, "chat.completion.chunk", out);
    buf_fmt(out, "{\"index\":%u,\"delta\":{", choice_index(a, c));
}

static void chat_role_chunk(const struct api_answer *a, struct api_choice *c, struct buf *out) {
    c->role_sent = true;
    chat_chunk(a, c, out);
    buf_z(out, "\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}");
    end_chunk(a, out);
}

static void chat_text_chunk(const struct api_answer *a, struct api_choice *c, struct buf *out) {
    chat_chunk(a, c, out);
    buf_z(out, "\"content\":");
    buf_json(out, buf_as_str(&c->text));
    buf_byte(out, '}');
    chat_choice_end(a, c, out);
    end_chunk(a, out);
    out->failed |= c->text.failed || c->entries.failed;
    c->text.n = c->entries.n = 0;
}

static void chat_end_chunk(const struct api_answer *a, struct api_choice *c, struct buf *out) {
    chat_chunk(a, c, out);
    buf_byte(out, '}');
    chat_choice_end(a, c, out);
    end_chunk(a, out);
}

/* Is it time to send what a choice holds? With log-probabilities a text waits for the event that brings them. */
static bool chunk_is_ready(const struct api_answer *a, const struct gen_event *ev) {
    enum gen_event_kind last = a->call->gen.logprobs ? GEN_LOGPROBS : GEN_CONTENT;
    return a->call->stream && (ev->kind == last || ev->kind == GEN_CHOICE_DONE);
}

void api_chat_event(struct api_answer *a, uint32_t prompt, const struct gen_event *ev, struct buf *out) {
    struct api_choice *c = api_choice_of(a, prompt, ev);
    if (ev->kind == GEN_DONE)
        api_add_usage(a, &ev->usage);
    if (!c || c->finished)
        return;
    if (ev->kind == GEN_CONTENT)
        buf_str(&c->text, ev->text);
    else if (ev->kind == GEN_LOGPROBS)
        chat_logprobs(c, ev);
    if (chunk_is_ready(a, ev)) {
        if (!c->role_sent)
            chat_role_chunk(a, c, out);
        if (c->text.n || c->entries.n)
            chat_text_chunk(a, c, out);
    }
    if (ev->kind == GEN_CHOICE_DONE) {
        c->finished = true;
        c->finish = ev->finish;
        if (a->call->stream)
            chat_end_chunk(a, c, out);
    }
}

void api_chat_finish(struct api_answer *a, struct buf *out) {
    if (a->call->stream) {
        end_stream(a, "chat.completion.chunk", out);
        return;
    }
    begin(a, "chat.completion", out);
    for (uint32_t i = 0; i < a->n_choices; i++) {
        const struct api_choice *c = &a->choices[i];
        buf_fmt(out, "%s{\"index\":%u,\"message\":{\"role\":\"assistant\",\"content\":", i ? "," : "", i);
        buf_json(out, buf_as_str(&c->text));
        buf_z(out, ",\"refusal\":null}");
        chat_choice_end(a, c, out);
        out->failed |= c->text.failed || c->entries.failed;
    }
    buf_z(out, "],\"usage\":");
    api_usage_json(out, &a->usage);
    buf_byte(out, '}');
}

/* ---- completions ------------------------------------------------------------------------------------------------------------ */

/* A token as a JSON string; one that is no text by itself as OpenAI writes it: "bytes:\xe2\x96". */
static void token_json(struct buf *out, struct str bytes) {
    if (utf8_valid(bytes)) {
        buf_json(out, bytes);
        return;
    }
    buf_z(out, "\"bytes:");
    for (size_t i = 0; i < bytes.n; i++)
        buf_fmt(out, "\\\\x%02x", (unsigned char)bytes.p[i]);
    buf_byte(out, '"');
}

/* {"token": logprob, ...} of the alternatives and the token itself, equal texts once. */
static void top_object(struct buf *out, const struct gen_logprob *group, uint32_t n_top) {
    bool first = true;
    buf_byte(out, '{');
    for (uint32_t i = 0; i <= n_top; i++) {
        uint32_t k = i < n_top ? i + 1 : 0; /* the chosen one comes last, if it is not among the others */
        bool twice = false;
        for (uint32_t j = 1; j < (k ? k : n_top + 1) && !twice; j++)
            twice = str_eq(group[j].bytes, group[k].bytes);
        if (twice)
            continue;
        buf_z(out, first ? "" : ",");
        first = false;
        token_json(out, group[k].bytes);
        buf_byte(out, ':');
        api_logprob_json(out, group[k].logprob);
    }
    buf_byte(out, '}');
}

static uint64_t count_chars(struct str s) {
    uint64_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

static void completion_logprobs(struct api_choice *c, const struct gen_event *ev) {
    for (uint32_t i = 0; i < ev->n_logprobs; i++) {
        const struct gen_logprob *group = &ev->logprobs[(size_t)i * (1 + ev->n_top)];
        const char *comma = c->tokens.n ? "," : "";
        buf_z(&c->tokens, comma);
        token_json(&c->tokens, group->bytes);
        buf_z(&c->values, comma);
        api_logprob_json(&c->values, group->logprob);
        buf_z(&c->tops, comma);
        if (ev->n_top && group->logprob == group->logprob) /* NaN: the first token of an echo has none */
            top_object(&c->tops, group, ev->n_top);
        else
            buf_z(&c->tops, "null");
        buf_fmt(&c->offsets, "%s%llu", comma, (unsigned long long)c->n_chars);
        c->n_chars += count_chars(group->bytes);
    }
}

static void completion_choice(const struct api_answer *a, const struct api_choice *c, struct buf *out) {
    buf_fmt(out, "{\"index\":%u,\"text\":", choice_index(a, c));
    buf_json(out, buf_as_str(&c->text));
    buf_z(out, ",\"logprobs\":");
    if (a->call->gen.logprobs && (c->tokens.n || !a->call->stream)) {
        buf_z(out, "{\"tokens\":[");
        buf_str(out, buf_as_str(&c->tokens));
        buf_z(out, "],\"token_logprobs\":[");
        buf_str(out, buf_as_str(&c->values));
        buf_z(out, "],\"top_logprobs\":");
        buf_z(out, a->call->gen.top_logprobs ? "[" : "null");
        buf_str(out, a->call->gen.top_logprobs ? buf_as_str(&c->tops) : (struct str){0});
        buf_z(out, a->call->gen.top_logprobs ? "],\"text_offset\":[" : ",\"text_offset\":[");
        buf_str(out, buf_as_str(&c->offsets));
        buf_z(out, "]}");
    } else {
        buf_z(out, "null");
    }
    buf_z(out, ",\"finish_reason\":");
    api_finish_json(out, c);
    buf_byte(out, '}');
    out->failed |= c->text.failed || c->tokens.failed || c->values.failed || c->tops.failed || c->offsets.failed;
}

static void completion_chunk(struct api_answer *a, struct api_choice *c, struct buf *out) {
    buf_z(out, "data: ");
    begin(a, "text_completion", out);
    completion_choice(a, c, out);
    end_chunk(a, out);
    c->text.n = c->tokens.n = c->values.n = c->tops.n = c->offsets.n = 0;
}

void api_completion_event(struct api_answer *a, uint32_t prompt, const struct gen_event *ev, struct buf *out) {
    struct api_choice *c = api_choice_of(a, prompt, ev);
    if (ev->kind == GEN_DONE)
        api_add_usage(a, &ev->usage);
    if (!c || c->finished)
        return;
    if (ev->kind == GEN_CONTENT)
        buf_str(&c->text, ev->text);
    else if (ev->kind == GEN_LOGPROBS)
        completion_logprobs(c, ev);
    if (ev->kind == GEN_CHOICE_DONE) {
        c->finished = true;
        c->finish = ev->finish;
    }
    if (chunk_is_ready(a, ev) && (c->finished || c->text.n || c->tokens.n))
        completion_chunk(a, c, out);
}

void api_completion_finish(struct api_answer *a, struct buf *out) {
    if (a->call->stream) {
        end_stream(a, "text_completion", out);
        return;
    }
    begin(a, "text_completion", out);
    for (uint32_t i = 0; i < a->n_choices; i++) {
        buf_z(out, i ? "," : "");
        completion_choice(a, &a->choices[i], out);
    }
    buf_z(out, "],\"usage\":");
    api_usage_json(out, &a->usage);
    buf_byte(out, '}');
}
