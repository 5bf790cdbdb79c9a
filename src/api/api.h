/* api: vendors' JSON to what the engine is asked, and the engine's events to the vendor's bytes. Pure: no I/O, no clock, no random.
 *
 *     struct api_call call = {0};
 *     struct api_error bad = {0};
 *     if (api_openai_chat.read(body, &opts, &call, &bad) < 0) ... api_error_json(&out, &bad)
 *     struct api_answer *a = api_answer_new(&api_openai_chat, &call, id, created, model, fingerprint);
 *     codec->event(a, prompt, &ev, &out);   // for each event; a stream's bytes go to out
 *     codec->finish(a, &out);               // the end of the stream, or the whole answer
 *
 * A field of a request is understood, refused by name, or in the documented list of fields without effect (docs/api.md); the
 * tables in api_openai.c say which. Texts handed out are borrowed from the call, which owns the parsed JSON. */
#pragma once

#include "../wire/wire.h"

enum { API_PROMPTS_MAX = 64, API_CHOICES_MAX = 128, API_JSON_DEPTH_MAX = 64 };

/* What a client is told: the parts of OpenAI's error object, and the HTTP status. */
struct api_error {
    int status;       /* 0: none */
    const char *type; /* "invalid_request_error", "server_error" ... */
    const char *code; /* "unknown_parameter" ..., or NULL */
    char param[96];   /* the field at fault, or "" */
    char message[400];
};
/* Fills *bad (the first error stays) and returns -1. */
int api_refuse(struct api_error *bad, int status, const char *code, const char *param, const char *fmt, ...) PRINTF_LIKE(5, 6);
/* The error of an engine's refused or error event. */
void api_error_of_event(struct api_error *bad, const struct gen_event *ev);
/* {"error": {"message", "type", "param", "code"}} */
void api_error_json(struct buf *out, const struct api_error *bad);

struct api_opts {
    bool warn_unknown; /* serve requests with fields that are not enforced, and list them in call->ignored */
};
struct api_prompt {
    enum gen_kind kind;
    struct str body;
};
/* One request as it was understood. api_call_free it, also after a failure. */
struct api_call {
    struct str model;                           /* "" when the request names none */
    struct gen_req gen;                         /* everything but id, body and cache_scope, and the seed unless has_seed */
    struct api_prompt prompts[API_PROMPTS_MAX]; /* each is one gen_req with gen's settings */
    uint32_t n_prompts;
    bool stream, include_usage;
    struct str fingerprint; /* the one that the client expects, or "" */
    struct buf ignored;     /* names of ignored fields: "a, b" */
    yyjson_doc *doc;
    struct arena mem;
    struct buf text;
};
void api_call_free(struct api_call *c);

/* An answer under way: what of it is not sent yet, or all of it when it is not streamed. */
struct api_answer;
struct api_codec {
    int (*read)(struct str body, const struct api_opts *opts, struct api_call *call, struct api_error *bad);
    /* Takes an event of prompt number `prompt`: content, logprobs, choice_done, done. */
    void (*event)(struct api_answer *a, uint32_t prompt, const struct gen_event *ev, struct buf *out);
    void (*finish)(struct api_answer *a, struct buf *out);
};
extern const struct api_codec api_openai_chat, api_openai_completion;           /* /v1/chat/completions, /v1/completions */
extern const struct api_codec api_tokenize, api_detokenize, api_apply_template; /* moat's own */

/* `call` is borrowed as long as the answer lives. NULL: out of memory. */
struct api_answer *api_answer_new(const struct api_call *call, const char *id, int64_t created, const char *model,
                                  const char *fingerprint);
void api_answer_free(struct api_answer *a);
struct gen_usage api_answer_usage(const struct api_answer *a);

/* One model of /v1/models. */
void api_model_json(struct buf *out, const struct wire_model *m, int64_t created);
