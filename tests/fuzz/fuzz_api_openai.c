/* Any bytes as the body of a request: a codec refuses them with a whole error, or gives a call within all limits, and what is
 * then written for the engine's events, whatever their text, is JSON. The first byte chooses the codec. */
#include "../../src/api/api.h"

#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_json(struct str text) {
    yyjson_doc *doc = NULL;
    struct err e = {0};
    if (json_read(text, API_JSON_DEPTH_MAX + 8, &doc, &e) < 0)
        fprintf(stderr, "%s %s: %.*s\n", e.where, e.msg, (int)text.n, text.p);
    ASSERT(doc);
    yyjson_doc_free(doc);
}

static void check_call(const struct api_call *call) {
    const struct gen_req *gen = &call->gen;
    ASSERT(call->n_prompts >= 1 && call->n_prompts <= API_PROMPTS_MAX && call->n_prompts * gen->n <= API_CHOICES_MAX);
    ASSERT(gen->n >= 1 && gen->n <= WIRE_N_MAX && gen->n_stop <= WIRE_STOPS_MAX && gen->n_bias <= WIRE_BIAS_MAX);
    ASSERT(gen->top_logprobs <= WIRE_TOP_MAX && gen->sampling.temperature >= 0 && gen->sampling.temperature <= 2);
    ASSERT(isfinite(gen->sampling.repetition_penalty) && isfinite(gen->sampling.presence_penalty));
    for (uint32_t i = 0; i < gen->n_stop; i++)
        ASSERT(gen->stop[i].n >= 1 && gen->stop[i].n <= WIRE_STOP_BYTES_MAX);
    for (uint32_t i = 0; i < call->n_prompts; i++)
        if (call->prompts[i].kind == GEN_CHAT || call->prompts[i].kind == GEN_RENDER)
            check_json(call->prompts[i].body);
}

/* Each "data: {...}" of a stream. */
static void check_stream(struct str s) {
    while (s.n) {
        const char *end = memmem(s.p, s.n, "\n\n", 2);
        ASSERT(end && str_starts(s, STR("data: ")));
        struct str one = {s.p + 6, (size_t)(end - s.p) - 6};
        if (!str_is(one, "[DONE]"))
            check_json(one);
        s = (struct str){end + 2, s.n - (size_t)(end + 2 - s.p)};
    }
}

static void check_answer(const struct api_codec *codec, const struct api_call *call, struct str text) {
    struct api_answer *a = api_answer_new(call, "id", 1, "a \"model\"", "moat-0123456789abcdef");
    struct buf out = {0};
    struct gen_logprob p[1 + WIRE_TOP_MAX];
    uint32_t tokens[] = {1, 2};
    for (size_t i = 0; i < N_ITEMS(p); i++)
        p[i] = (struct gen_logprob){.logprob = i == 1 ? -INFINITY : -0.1f * (float)i, .bytes = {text.p, i < text.n ? i : text.n}};
    for (uint32_t prompt = 0; prompt < call->n_prompts; prompt++) {
        for (uint32_t choice = 0; choice <= call->gen.n; choice++) { /* one too many: the engine is not trusted */
            codec->event(
                a, prompt,
                &(struct gen_event){.kind = GEN_CONTENT, .choice = choice, .text = text, .tokens = tokens, .n_tokens = 2}, &out);
            codec->event(
                a, prompt,
                &(struct gen_event){
                    .kind = GEN_LOGPROBS, .choice = choice, .logprobs = p, .n_logprobs = 1, .n_top = call->gen.top_logprobs},
                &out);
            codec->event(a, prompt, &(struct gen_event){.kind = GEN_CHOICE_DONE, .choice = choice, .finish = GEN_LENGTH}, &out);
        }
        codec->event(a, prompt, &(struct gen_event){.kind = GEN_DONE}, &out);
    }
    codec->finish(a, &out);
    if (call->stream)
        check_stream(buf_as_str(&out));
    else
        check_json(buf_as_str(&out));
    buf_free(&out);
    api_answer_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct api_codec *const codecs[] = {&api_openai_chat, &api_openai_completion, &api_tokenize, &api_detokenize,
                                                     &api_apply_template};
    if (size == 0)
        return 0;
    struct str body = {(const char *)data + 1, size - 1};
    const struct api_codec *codec = codecs[data[0] % N_ITEMS(codecs)];
    struct api_opts opts = {.warn_unknown = data[0] >= 128};
    struct api_call call = {0};
    struct api_error bad = {0};
    if (codec->read(body, &opts, &call, &bad) == 0) {
        ASSERT(!bad.status);
        check_call(&call);
        check_answer(codec, &call, body);
    } else {
        struct buf out = {0};
        ASSERT(bad.status >= 400 && bad.message[0]);
        api_error_json(&out, &bad);
        check_json(buf_as_str(&out));
        buf_free(&out);
    }
    api_call_free(&call);
    return 0;
}
