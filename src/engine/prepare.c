/* prepare: what text workers do with a request: check what records cannot, render the chat, tokenise. Each function returns
 * false when it has refused the request. */
#include "request.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { JSON_DEPTH_MAX = 64 };

bool request_refuse(struct request *r, enum gen_error code, const char *param, const char *fmt, ...) {
    struct err e = {0};
    char text[sizeof e.msg];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    err_set(&e, ERR_INPUT, "", "%s", text); /* makes it one printable line */
    snprintf(r->why, sizeof r->why, "%s", e.msg);
    r->refusal = code;
    r->param = param;
    return false;
}

static bool in_range(struct request *r, const char *param, float value, float min, float max) {
    if (value >= min && value <= max)
        return true;
    return request_refuse(r, GEN_BAD_REQUEST, param, "%g is not from %g to %g", (double)value, (double)min, (double)max);
}

static bool check_now(struct request *r) {
    if (r->req.now.n == 0 || tmpl_now_fits(r->req.now))
        return true;
    int n = r->req.now.n < 40 ? (int)r->req.now.n : 40;
    return request_refuse(r, GEN_BAD_REQUEST, "now", "'%.*s' is no time like 2026-01-31T12:00:00", n, r->req.now.p);
}

/* What no limit of a record says. */
static bool check_request(const struct text_kit *kit, struct request *r) {
    const struct gen_req *q = &r->req;
    const struct gen_sampling *s = &q->sampling;
    bool ok = in_range(r, "temperature", s->temperature, 0, 100) && in_range(r, "top_p", s->top_p, 0, 1) &&
              in_range(r, "min_p", s->min_p, 0, 1) && in_range(r, "typical", s->typical, 0, 1) &&
              in_range(r, "repetition_penalty", s->repetition_penalty, 0.01f, 100) &&
              in_range(r, "presence_penalty", s->presence_penalty, -100, 100) &&
              in_range(r, "frequency_penalty", s->frequency_penalty, -100, 100) && in_range(r, "n", (float)q->n, 1, WIRE_N_MAX) &&
              in_range(r, "top_logprobs", (float)q->top_logprobs, 0, WIRE_TOP_MAX);
    for (uint32_t i = 0; ok && i < q->n_bias; i++)
        if (q->bias[i].token >= kit->n_vocab)
            ok = request_refuse(r, GEN_BAD_REQUEST, "logit_bias", "token id %u is not below %u, the size of the vocabulary",
                                q->bias[i].token, kit->n_vocab);
    for (uint32_t i = 0; ok && i < q->n_stop; i++)
        if (q->stop[i].n == 0)
            ok = request_refuse(r, GEN_BAD_REQUEST, "stop", "a stop string is empty");
    return ok;
}

/* ---- chat ------------------------------------------------------------------------------------------------------------------ */

/* The variables that templates expect beside the request's: the spelling of special tokens, which are the template's own text
 * whatever the request says. */
static const struct {
    const char *name;
    size_t id; /* in struct tok_spec */
} token_variables[] = {
    {"bos_token", offsetof(struct tok_spec, bos)},   {"eos_token", offsetof(struct tok_spec, eos)},
    {"unk_token", offsetof(struct tok_spec, unk)},   {"sep_token", offsetof(struct tok_spec, sep)},
    {"cls_token", offsetof(struct tok_spec, cls)},   {"pad_token", offsetof(struct tok_spec, pad)},
    {"mask_token", offsetof(struct tok_spec, mask)},
};

/* A copy of the request's object with these variables; NULL without memory. */
static yyjson_doc *with_tokens(const struct text_kit *kit, yyjson_doc *doc) {
    yyjson_mut_doc *copy = yyjson_doc_mut_copy(doc, NULL);
    yyjson_mut_val *root = yyjson_mut_doc_get_root(copy);
    bool ok = copy != NULL;
    for (size_t i = 0; ok && i < N_ITEMS(token_variables); i++) {
        int32_t id = *(const int32_t *)(const void *)((const char *)kit->spec + token_variables[i].id);
        yyjson_mut_obj_remove_key(root, token_variables[i].name);
        if (id == TOK_NONE)
            continue;
        struct str text = tok_piece_bytes(kit->tok, (uint32_t)id);
        ok = yyjson_mut_obj_add_strn(copy, root, token_variables[i].name, text.p, text.n);
    }
    yyjson_doc *out = ok ? yyjson_mut_doc_imut_copy(copy, NULL) : NULL;
    yyjson_mut_doc_free(copy);
    return out;
}

static bool render_with(const struct text_kit *kit, struct request *r, yyjson_doc *doc, struct tmpl_out *out) {
    const char *trusted[N_ITEMS(token_variables) + 1] = {0};
    for (size_t i = 0; i < N_ITEMS(token_variables); i++)
        trusted[i] = token_variables[i].name;
    struct err e = {0};
    yyjson_doc *context = with_tokens(kit, doc);
    if (!context)
        return request_refuse(r, GEN_FAULT, "messages", "no memory for the request");
    int failed = tmpl_render(kit->tmpl, yyjson_doc_get_root(context), trusted, r->req.now, NULL, out, &e);
    yyjson_doc_free(context);
    if (!failed)
        return true;
    return request_refuse(r, e.code == ERR_LIMIT ? GEN_LIMIT : GEN_TEMPLATE_FAILED, "messages", "the chat template: %s%s%s",
                          e.where, e.where[0] ? ": " : "", e.msg);
}

static bool render(const struct text_kit *kit, struct request *r, struct tmpl_out *out) {
    struct err e = {0};
    yyjson_doc *doc = NULL;
    if (!kit->tmpl)
        return request_refuse(r, GEN_BAD_REQUEST, "messages", "the model has no chat template; send a raw prompt to completions");
    if (json_read(r->req.body, JSON_DEPTH_MAX, &doc, &e) < 0)
        return request_refuse(r, GEN_BAD_REQUEST, "messages", "%s", e.msg);
    bool ok = yyjson_is_obj(yyjson_doc_get_root(doc))
                  ? render_with(kit, r, doc, out)
                  : request_refuse(r, GEN_BAD_REQUEST, "messages", "the body is no JSON object");
    yyjson_doc_free(doc);
    return ok;
}

static bool encode_chat(const struct text_kit *kit, struct request *r) {
    struct tmpl_out out = {0};
    struct err e = {0};
    bool ok = render(kit, r, &out);
    if (ok && tok_encode_segments(kit->tok, &out, &r->ids, &e) < 0)
        ok = request_refuse(r, GEN_BAD_REQUEST, "messages", "%s", e.msg);
    tmpl_out_free(&out);
    return ok;
}

static bool render_text(const struct text_kit *kit, struct request *r) {
    struct tmpl_out out = {0};
    bool ok = render(kit, r, &out);
    if (ok)
        buf_str(&r->text, buf_as_str(&out.text));
    tmpl_out_free(&out);
    return ok;
}

/* ---- raw text and ids -------------------------------------------------------------------------------------------------------- */

/* A text that spells its own BOS gets no second one. */
static bool encode_text(const struct text_kit *kit, struct request *r, enum tok_mode mode) {
    struct tok_ids *ids = &r->ids;
    struct err e = {0};
    int failed = r->req.add_special ? tok_add_front(kit->tok, ids, &e) : 0;
    size_t n_front = ids->n;
    if (failed || tok_encode(kit->tok, r->req.body, mode, ids, &e) < 0)
        return request_refuse(r, GEN_BAD_REQUEST, r->req.kind == GEN_TOKENIZE ? "content" : "prompt", "%s", e.msg);
    if (n_front == 1 && ids->n > 1 && ids->ids[0] == ids->ids[1])
        memmove(ids->ids, ids->ids + 1, --ids->n * sizeof *ids->ids);
    return true;
}

static bool take_ids(struct request *r, uint32_t n_vocab) {
    const char *param = r->req.kind == GEN_DETOKENIZE ? "tokens" : "prompt";
    size_t n = r->req.body.n / sizeof(uint32_t);
    if (r->req.body.n % sizeof(uint32_t))
        return request_refuse(r, GEN_BAD_REQUEST, param, "the ids end in the middle of one");
    uint32_t *ids = malloc(n ? n * sizeof *ids : 1);
    if (!ids)
        return request_refuse(r, GEN_FAULT, param, "no memory for %zu tokens", n);
    memcpy(ids, r->req.body.p, n * sizeof *ids);
    r->ids = (struct tok_ids){.ids = ids, .n = n, .cap = n};
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= n_vocab)
            return request_refuse(r, GEN_BAD_REQUEST, param, "token id %u at %zu is not below %u, the size of the vocabulary",
                                  ids[i], i, n_vocab);
    return true;
}

static bool detokenize(const struct text_kit *kit, struct request *r) {
    struct tok_stream stream = {0};
    if (!take_ids(r, tok_n(kit->tok)))
        return false;
    for (size_t i = 0; i < r->ids.n; i++)
        tok_stream_add(kit->tok, &stream, r->ids.ids[i], true, &r->text);
    tok_stream_end(&stream, &r->text);
    return true;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------------------- */

/* What holds for a prompt that is to be continued. Clients know the first sentence of the long ones: it is OpenAI's. */
static bool check_prompt(const struct text_kit *kit, struct request *r) {
    const char *param = r->req.kind == GEN_CHAT ? "messages" : "prompt";
    size_t n = r->ids.n;
    uint32_t wanted = r->req.max_tokens;
    if (n == 0)
        return request_refuse(r, GEN_BAD_REQUEST, param, "the text is empty, and this model begins none by itself");
    if (n + 1 > kit->ctx)
        return request_refuse(r, GEN_CONTEXT_EXCEEDED, param,
                              "This model's maximum context length is %u tokens, the answer included. Your %s resulted in %zu; "
                              "shorten the %s.",
                              kit->ctx, param, n, param);
    if (n + wanted > kit->ctx)
        return request_refuse(r, GEN_CONTEXT_EXCEEDED, "max_tokens",
                              "This model's maximum context length is %u tokens. You requested %zu (%zu in the %s, %u in the "
                              "answer); ask for %zu at most, or shorten the %s.",
                              kit->ctx, n + wanted, n, param, wanted, kit->ctx - n, param);
    return true;
}

void request_prepare(const struct text_kit *kit, struct request *r) {
    bool ok = false;
    if (!check_now(r) || (request_generates(r) && !check_request(kit, r)))
        return;
    switch (r->req.kind) {
    case GEN_CHAT: ok = encode_chat(kit, r); break;
    case GEN_TEXT: ok = encode_text(kit, r, TOK_SPECIAL); break;
    case GEN_TOKENS: ok = take_ids(r, kit->n_vocab); break;
    case GEN_COUNT: ok = r->req.count_chat ? encode_chat(kit, r) : encode_text(kit, r, TOK_SPECIAL); break;
    case GEN_RENDER: ok = render_text(kit, r); break;
    case GEN_TOKENIZE: ok = encode_text(kit, r, r->req.parse_special ? TOK_SPECIAL : TOK_TEXT); break;
    case GEN_DETOKENIZE: ok = detokenize(kit, r); break;
    }
    if (ok && request_generates(r))
        ok = check_prompt(kit, r);
    if (ok && r->text.failed)
        request_refuse(r, GEN_FAULT, "", "no memory for the text");
}
