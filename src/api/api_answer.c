/* api_answer: what the writers of all endpoints share, and the small endpoints. */
#include "api_answer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct api_answer *api_answer_new(const struct api_call *call, const char *id, int64_t created, const char *model,
                                  const char *fingerprint) {
    uint32_t n = call->n_prompts * call->gen.n;
    struct api_answer *a = calloc(1, sizeof *a + n * sizeof *a->choices);
    if (!a)
        return NULL;
    a->call = call;
    a->created = created;
    a->n_choices = n;
    snprintf(a->id, sizeof a->id, "%s", id);
    snprintf(a->fingerprint, sizeof a->fingerprint, "%s", fingerprint);
    buf_json(&a->model, str_of(model));
    return a;
}

void api_answer_free(struct api_answer *a) {
    for (uint32_t i = 0; a && i < a->n_choices; i++) {
        struct api_choice *c = &a->choices[i];
        struct buf *all[] = {&c->text, &c->entries, &c->tokens, &c->values, &c->tops, &c->offsets};
        for (size_t k = 0; k < N_ITEMS(all); k++)
            buf_free(all[k]);
    }
    if (a)
        buf_free(&a->model);
    free(a);
}

struct gen_usage api_answer_usage(const struct api_answer *a) {
    return a->usage;
}

struct api_choice *api_choice_of(struct api_answer *a, uint32_t prompt, const struct gen_event *ev) {
    bool there = prompt < a->call->n_prompts && ev->choice < a->call->gen.n;
    return there ? &a->choices[prompt * a->call->gen.n + ev->choice] : NULL;
}

void api_add_usage(struct api_answer *a, const struct gen_usage *u) {
    a->usage.prompt_tokens += u->prompt_tokens;
    a->usage.cached_tokens += u->cached_tokens;
    a->usage.completion_tokens += u->completion_tokens;
    a->usage.prefill_ns += u->prefill_ns;
    a->usage.decode_ns += u->decode_ns;
    a->usage.queue_ns += u->queue_ns;
}

void api_usage_json(struct buf *out, const struct gen_usage *u) {
    buf_fmt(
        out,
        "{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%llu,\"prompt_tokens_details\":{\"cached_tokens\":%u}}",
        u->prompt_tokens, u->completion_tokens, (unsigned long long)u->prompt_tokens + u->completion_tokens, u->cached_tokens);
}

void api_finish_json(struct buf *out, const struct api_choice *c) {
    buf_z(out, !c->finished ? "null" : c->finish == GEN_LENGTH ? "\"length\"" : "\"stop\"");
}

void api_logprob_json(struct buf *out, float x) {
    char text[32];
    if (isnan(x)) {
        buf_z(out, "null");
        return;
    }
    if (isinf(x)) /* JSON has no infinity; OpenAI writes this for what cannot come */
        x = -9999;
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x)
            break;
    }
    buf_z(out, text);
    if (!strpbrk(text, ".e"))
        buf_z(out, ".0");
}

/* ---- the small endpoints -------------------------------------------------------------------------------------------------- */

void api_text_event(struct api_answer *a, uint32_t prompt, const struct gen_event *ev, struct buf *out) {
    struct api_choice *c = api_choice_of(a, prompt, ev);
    (void)out;
    if (!c || ev->kind != GEN_CONTENT)
        return;
    buf_str(&c->text, ev->text);
    for (uint32_t i = 0; i < ev->n_tokens; i++)
        buf_fmt(&c->entries, "%s%u", c->entries.n ? "," : "", ev->tokens[i]);
}

static void finish_text(struct api_answer *a, const char *name, struct buf *out) {
    buf_fmt(out, "{\"%s\":", name);
    buf_json(out, buf_as_str(&a->choices[0].text));
    buf_byte(out, '}');
    out->failed |= a->choices[0].text.failed;
}

void api_tokenize_finish(struct api_answer *a, struct buf *out) {
    buf_z(out, "{\"tokens\":[");
    buf_str(out, buf_as_str(&a->choices[0].entries));
    buf_z(out, "]}");
    out->failed |= a->choices[0].entries.failed;
}

void api_detokenize_finish(struct api_answer *a, struct buf *out) {
    finish_text(a, "content", out);
}

void api_template_finish(struct api_answer *a, struct buf *out) {
    finish_text(a, "prompt", out);
}

void api_model_json(struct buf *out, const struct wire_model *m, int64_t created) {
    buf_z(out, "{\"id\":");
    buf_json(out, str_of(m->name));
    buf_fmt(out, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"moat\",\"fingerprint\":\"moat-%s\",\"family\":",
            (long long)created, m->fingerprint);
    buf_json(out, str_of(m->family));
    buf_fmt(out, ",\"context_length\":%u,\"context_length_trained\":%u,\"vocabulary\":%u,\"parameters\":%llu,\"chat\":%s}",
            m->ctx, m->ctx_train, m->n_vocab, (unsigned long long)m->n_params, m->has_template ? "true" : "false");
}
