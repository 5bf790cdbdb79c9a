/* Golden tests of the codecs: tests/wire/requests.txt (request JSON -> canonical form, or the exact error) and
 * tests/wire/answers.txt (events -> exact bytes). A golden that moves shows in the difference of those files; after a deliberate
 * change `MOAT_WRITE_GOLDEN=1 build/tests/wire/test_api` writes them anew.
 *
 * A case of requests.txt is  "> CODEC BODY"  and the line that must come out; of answers.txt  "> CODEC BODY"  and the bytes up to
 * a line with a single dot. Events are those of `play` below. */
#include "../unit/unit.h"

#include "../../src/api/api.h"

#include <fcntl.h>
#include <math.h>

static const struct {
    const char *name;
    const struct api_codec *codec;
} codecs[] = {
    {"chat", &api_openai_chat},      {"completion", &api_openai_completion}, {"tokenize", &api_tokenize},
    {"detokenize", &api_detokenize}, {"template", &api_apply_template},      {"chat-warn", &api_openai_chat},
};

/* ---- the canonical form: what differs from the defaults ------------------------------------------------------------------ */

static void dump_number(struct buf *out, const char *name, double x, double normal) {
    if (x != normal)
        buf_fmt(out, " %s=%.9g", name, x);
}

static void dump_text(struct buf *out, const char *name, struct str s) {
    if (!s.n)
        return;
    buf_fmt(out, " %s=", name);
    buf_json(out, s);
}

static void dump_sampling(struct buf *out, const struct gen_sampling *s) {
    dump_number(out, "temperature", s->temperature, 1);
    dump_number(out, "top_k", s->top_k, 0);
    dump_number(out, "top_p", s->top_p, 1);
    dump_number(out, "min_p", s->min_p, 0);
    dump_number(out, "typical", s->typical, 1);
    dump_number(out, "repetition_penalty", s->repetition_penalty, 1);
    dump_number(out, "presence_penalty", s->presence_penalty, 0);
    dump_number(out, "frequency_penalty", s->frequency_penalty, 0);
    dump_number(out, "penalty_last_n", s->penalty_last_n, 0);
    if (s->has_seed)
        buf_fmt(out, " seed=%llu", (unsigned long long)s->seed);
}

static void dump_prompt(struct buf *out, const struct api_prompt *p) {
    static const char *const kinds[] = {[GEN_CHAT] = "chat",     [GEN_TEXT] = "text",         [GEN_TOKENS] = "tokens",
                                        [GEN_RENDER] = "render", [GEN_TOKENIZE] = "tokenize", [GEN_DETOKENIZE] = "detokenize"};
    buf_fmt(out, " %s:", kinds[p->kind]);
    if (p->kind == GEN_CHAT || p->kind == GEN_RENDER) {
        buf_str(out, p->body);
    } else if (p->kind == GEN_TOKENS || p->kind == GEN_DETOKENIZE) {
        uint32_t id;
        for (size_t i = 0; i < p->body.n; i += sizeof id) {
            memcpy(&id, p->body.p + i, sizeof id);
            buf_fmt(out, "%s%u", i ? "," : "", id);
        }
    } else {
        buf_json(out, p->body);
    }
}

static void dump_call(struct buf *out, const struct api_call *c) {
    const struct gen_req *g = &c->gen;
    buf_z(out, "=");
    dump_text(out, "model", c->model);
    dump_number(out, "max_tokens", g->max_tokens, 0);
    dump_number(out, "n", g->n, 1);
    dump_sampling(out, &g->sampling);
    for (uint32_t i = 0; i < g->n_stop; i++)
        dump_text(out, "stop", g->stop[i]);
    for (uint32_t i = 0; i < g->n_bias; i++)
        buf_fmt(out, " bias=%u:%g", g->bias[i].token, (double)g->bias[i].value);
    if (g->logprobs)
        buf_fmt(out, " logprobs=%u", g->top_logprobs);
    static const char *const names[] = {"stream",    "include_usage", "ignore_eos",       "echo",
                                        "echo_only", "no_special",    "no_parse_special", "token_ids"};
    const bool flags[] = {c->stream,    c->include_usage, g->ignore_eos,     g->echo,
                          g->echo_only, !g->add_special,  !g->parse_special, g->token_ids};
    for (size_t i = 0; i < N_ITEMS(flags); i++)
        if (flags[i])
            buf_fmt(out, " %s", names[i]);
    dump_text(out, "now", g->now);
    dump_text(out, "fingerprint", c->fingerprint);
    dump_text(out, "ignored", buf_as_str(&c->ignored));
    for (uint32_t i = 0; i < c->n_prompts; i++)
        dump_prompt(out, &c->prompts[i]);
    buf_byte(out, '\n');
}

/* ---- the events of an answer ------------------------------------------------------------------------------------------------ */

static void play_choice(const struct api_codec *codec, struct api_answer *a, const struct api_call *call, uint32_t prompt,
                        uint32_t choice, struct buf *out) {
    static const char *const pieces[] = {"Gr\xc3\xbc\xc3\x9f", "", "e \"x\"\n"};
    static const char *const bytes[] = {"Gr\xc3\xbc\xc3\x9f", "\xe2\x82", "e \"x\"\n"};
    uint32_t ids[] = {7, 8};
    for (size_t i = 0; i < N_ITEMS(pieces); i++) {
        struct gen_logprob p[1 + WIRE_TOP_MAX];
        p[0] = (struct gen_logprob){
            .token = 1, .logprob = call->gen.echo && i == 0 ? NAN : -0.1f * (float)(i + 1), .bytes = str_of(bytes[i])};
        for (uint32_t k = 1; k <= call->gen.top_logprobs; k++)
            p[k] = (struct gen_logprob){
                .token = k, .logprob = k == 2 ? -INFINITY : -1.5f * (float)k, .bytes = k == 1 ? str_of(bytes[i]) : STR("alt")};
        struct gen_event ev = {.kind = GEN_CONTENT, .choice = choice, .text = str_of(pieces[i]), .tokens = ids, .n_tokens = 2};
        codec->event(a, prompt, &ev, out);
        if (call->gen.logprobs)
            codec->event(
                a, prompt,
                &(struct gen_event){
                    .kind = GEN_LOGPROBS, .choice = choice, .logprobs = p, .n_logprobs = 1, .n_top = call->gen.top_logprobs},
                out);
    }
    codec->event(a, prompt,
                 &(struct gen_event){.kind = GEN_CHOICE_DONE, .choice = choice, .finish = choice % 2 ? GEN_LENGTH : GEN_STOP},
                 out);
}

static void play(const struct api_codec *codec, const struct api_call *call, struct buf *out) {
    struct api_answer *a = api_answer_new(call, "id-1", 1700000000, "a/model", "moat-0123456789abcdef");
    for (uint32_t prompt = 0; prompt < call->n_prompts; prompt++) {
        for (uint32_t choice = 0; choice < call->gen.n; choice++)
            play_choice(codec, a, call, prompt, choice, out);
        codec->event(
            a, prompt,
            &(struct gen_event){.kind = GEN_DONE,
                                .usage = {.prompt_tokens = 10, .cached_tokens = 4, .completion_tokens = 3 * call->gen.n}},
            out);
    }
    codec->finish(a, out);
    buf_z(out, call->stream ? ".\n" : "\n.\n");
    api_answer_free(a);
}

/* ---- the files ------------------------------------------------------------------------------------------------------------------ */

static void run_case(struct str name, struct str body, bool answers, struct buf *out) {
    for (size_t i = 0; i < N_ITEMS(codecs); i++) {
        if (!str_is(name, codecs[i].name))
            continue;
        struct api_opts opts = {.warn_unknown = i == N_ITEMS(codecs) - 1};
        struct api_call call = {0};
        struct api_error bad = {0};
        if (codecs[i].codec->read(body, &opts, &call, &bad) < 0) {
            buf_fmt(out, "%d ", bad.status);
            api_error_json(out, &bad);
            buf_byte(out, '\n');
        } else if (answers) {
            play(codecs[i].codec, &call, out);
        } else {
            dump_call(out, &call);
        }
        api_call_free(&call);
        return;
    }
    fail_msg("no codec %.*s", (int)name.n, name.p);
}

/* Answers every "> CODEC BODY" line of the file; the result must be the file. */
static void run_file(const char *path, bool answers) {
    struct buf golden = {0}, made = {0};
    struct err e = {0};
    if (fs_read(AT_FDCWD, path, &golden, &e) < 0)
        fail_msg("%s: %s (run this from the repository's root)", e.where, e.msg);
    const char *at = golden.p, *end = golden.p + golden.n;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        line_end = line_end ? line_end : end;
        if (*at == '>' || *at == '#')
            buf_str(&made, (struct str){at, (size_t)(line_end - at)}), buf_byte(&made, '\n');
        if (*at == '>') {
            const char *name = at + 2, *blank = memchr(name, ' ', (size_t)(line_end - name));
            assert_non_null(blank);
            run_case((struct str){name, (size_t)(blank - name)}, (struct str){blank + 1, (size_t)(line_end - blank) - 1}, answers,
                     &made);
        }
        at = line_end + 1;
    }
    if (getenv("MOAT_WRITE_GOLDEN"))
        assert_int_equal(fs_write_whole(AT_FDCWD, path, buf_as_str(&made), &e), 0);
    else
        for (size_t i = 0; i < made.n || i < golden.n; i++)
            if (i >= made.n || i >= golden.n || made.p[i] != golden.p[i])
                fail_msg("%s differs at byte %zu: ...%.*s", path, i, (int)(made.n - i < 300 ? made.n - i : 300),
                         i < made.n ? made.p + i : "");
    buf_free(&golden);
    buf_free(&made);
}

static void test_requests(void **state) {
    (void)state;
    run_file("tests/wire/requests.txt", false);
}

static void test_answers(void **state) {
    (void)state;
    run_file("tests/wire/answers.txt", true);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_requests), cmocka_unit_test(test_answers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
