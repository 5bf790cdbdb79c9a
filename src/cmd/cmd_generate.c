/* moat generate: token ids in, the tokens that follow out (INTERFACES: inspection commands). The engine runs in this process;
 * lines are sequences of one continuous batch, and answers are printed in the order of the lines. */
#include "cmds.h"
#include "compute.h"
#include "sampling.h"

#include "../engine/engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PARALLEL = 32, IN_FLIGHT = 2 * PARALLEL };

struct line {
    uint32_t *ids, n;
    struct buf tokens, logprobs; /* of the answer, as JSON arrays without their end */
    const char *finish;          /* NULL: not over */
    struct err err;              /* of this line alone */
};

struct generate {
    struct cmd_model file;
    struct gguf *g;
    struct engine *en;
    struct gen_req req; /* the same for every line but for its body */
    struct line *lines;
    uint64_t n_lines, cap, n_sent, n_printed;
    uint32_t n_in_flight;
};

static int read_line(void *ctx, uint64_t i, struct str text, struct err *e) {
    struct generate *g = ctx;
    (void)i;
    if (g->n_lines == g->cap) {
        uint64_t cap = g->cap ? 2 * g->cap : 64;
        struct line *more = realloc(g->lines, cap * sizeof *more);
        if (!more)
            return err_set(e, ERR_MEMORY, "lines", "no memory");
        g->lines = more;
        g->cap = cap;
    }
    struct line *line = &g->lines[g->n_lines++];
    const struct wire_model *m = engine_model(g->en);
    *line = (struct line){0};
    (void)!compute_ids(text, m->n_vocab, m->ctx, &line->ids, &line->n, &line->err); /* the line answers with its error */
    return 0;
}

/* ---- answers ------------------------------------------------------------------------------------------------------------------ */

static void line_end(struct generate *g, struct line *line, const char *finish) {
    line->finish = finish;
    g->n_in_flight--;
}

static void take_content(struct line *line, const struct gen_event *ev) {
    for (uint32_t i = 0; i < ev->n_tokens; i++)
        buf_fmt(&line->tokens, "%s%u", line->tokens.n ? ", " : "", ev->tokens[i]);
}

/* Nine digits name a float32 exactly. */
static void take_logprobs(struct line *line, const struct gen_event *ev) {
    for (uint32_t i = 0; i < ev->n_logprobs; i++)
        buf_fmt(&line->logprobs, "%s%.9g", line->logprobs.n ? ", " : "", (double)ev->logprobs[i].logprob);
}

static void on_event(void *ctx, const struct gen_event *ev) {
    struct generate *g = ctx;
    struct line *line = &g->lines[ev->id];
    switch (ev->kind) {
    case GEN_ACCEPTED:
        if (!g->req.sampling.has_seed && g->req.sampling.temperature > 0)
            log_line(LOG_INFO, "line %llu: seed %llu", (unsigned long long)ev->id, (unsigned long long)ev->seed);
        engine_start(g->en, ev->id);
        break;
    case GEN_CONTENT: take_content(line, ev); break;
    case GEN_LOGPROBS: take_logprobs(line, ev); break;
    case GEN_CHOICE_DONE: line_end(g, line, ev->finish == GEN_LENGTH ? "length" : "stop"); break;
    case GEN_REFUSED:
    case GEN_ERROR:
        err_set(&line->err, ERR_INPUT, "", "%.*s", (int)ev->message.n, ev->message.p);
        line_end(g, line, "error");
        break;
    case GEN_HELLO:
    case GEN_DONE: break;
    }
}

static void print_line(struct line *line) {
    struct buf out = {0};
    buf_z(&out, "{\"ids\": [");
    buf_str(&out, buf_as_str(&line->tokens));
    buf_z(&out, "], \"logprobs\": [");
    buf_str(&out, buf_as_str(&line->logprobs));
    buf_fmt(&out, "], \"finish\": \"%s\"}", line->finish);
    if (line->tokens.failed || line->logprobs.failed || out.failed)
        err_set(&line->err, ERR_MEMORY, "line", "no memory for its answer");
    cmd_line_print(&out, &line->err);
    buf_free(&out);
}

static void line_free(struct line *line) {
    free(line->ids);
    buf_free(&line->tokens);
    buf_free(&line->logprobs);
    *line = (struct line){0};
}

/* ---- the run ------------------------------------------------------------------------------------------------------------------ */

/* Hands the engine lines until enough are under way; bad ones are over at once. */
static int send_lines(struct generate *g, struct err *e) {
    for (; g->n_sent < g->n_lines && g->n_in_flight < IN_FLIGHT; g->n_sent++) {
        struct line *line = &g->lines[g->n_sent];
        if (line->err.code) {
            line->finish = "error";
            continue;
        }
        g->req.id = g->n_sent;
        g->req.body = (struct str){(const char *)line->ids, line->n * sizeof *line->ids};
        if (engine_submit(g->en, &g->req, e) < 0)
            return e->code;
        g->n_in_flight++;
    }
    return 0;
}

static int answer_lines(struct generate *g, struct err *e) {
    while (g->n_printed < g->n_lines) {
        if (send_lines(g, e) < 0)
            return e->code;
        engine_step(g->en, on_event, g);
        for (; g->n_printed < g->n_sent && g->lines[g->n_printed].finish; g->n_printed++) {
            print_line(&g->lines[g->n_printed]);
            line_free(&g->lines[g->n_printed]);
        }
    }
    return 0;
}

static int open_engine(struct generate *g, const struct cmd_args *a, struct err *e) {
    const struct cmd_opts *o = &a->opts;
    struct engine_opts opts = {.isa = o->isa,
                               .threads = (unsigned)o->threads,
                               .ctx = (uint32_t)o->ctx,
                               .parallel = PARALLEL,
                               .queue = IN_FLIGHT,
                               .chunk = (uint32_t)o->chunk,
                               .kv_type = (enum dtype)cmd_kv_type(o->kv),
                               .sync_text = true};
    if (cmd_model_open(a->args[0], &g->file, e) < 0)
        return e->code;
    opts.map = g->file.map;
    cmd_model_packed(&g->file);
    const struct packed_file packed = {.fd = g->file.packed,
                                       .source = g->file.source,
                                       .weights = g->file.from_store ? &g->file.weights : NULL,
                                       .claimed = g->file.from_store};
    opts.packed = &packed;
    if (gguf_open(g->file.map, &g->g, e) < 0 || engine_new(g->g, &opts, &g->en, e) < 0)
        err_within(e, a->args[0]);
    return e->code;
}

int cmd_generate(struct cmd_args *a, struct err *e) {
    struct generate *g = calloc(1, sizeof *g);
    if (!g)
        return err_set(e, ERR_MEMORY, "", "no memory");
    g->file.fd = -1;
    g->req = (struct gen_req){.kind = GEN_TOKENS, .logprobs = true, .token_ids = true};
    int r = sampling_fill(&a->opts, &g->req, e);
    if (r == 0)
        r = open_engine(g, a, e);
    if (r == 0)
        r = cmd_lines_read(read_line, g, e);
    if (r == 0)
        r = answer_lines(g, e);
    for (uint64_t i = 0; i < g->n_lines; i++)
        line_free(&g->lines[i]);
    free(g->lines);
    engine_free(g->en);
    gguf_close(g->g);
    if (g->file.fd >= 0)
        cmd_model_close(&g->file);
    free(g);
    return r;
}
