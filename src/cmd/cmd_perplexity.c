/* moat perplexity: how well a model predicts a text. The text's tokens are cut into windows of the context; in each window the
 * later half is scored (all of it where the text is shorter than a window), so that every scored token has seen at least half
 * a window: the way llama.cpp's perplexity counts, so that figures can be compared. */
#include "cmds.h"
#include "compute.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW_DEFAULT = 512, TEXT_BYTES_MAX = 1 << 30 };

struct score {
    double sum, squares; /* of -log p */
    uint64_t n;
};

struct ppl {
    struct compute c;
    struct kv *kv;
    struct row *rows;
    uint16_t *faults;
    float *logits;
    uint32_t n_vocab;
};

/* -log p(token) by logits, numerics 9's sum at temperature 1. */
static double surprise(const struct ppl *p, const float *logits, uint32_t token, uint64_t *weights) {
    float max = p->c.kern->max(p->n_vocab, logits);
    uint64_t sum = p->c.kern->weights(p->n_vocab, logits, max, 1, weights);
    return kern_log((double)sum) - kern_log((double)(1ull << 44)) - ((double)logits[token] - (double)max);
}

static int score_window(struct ppl *p, const uint32_t *ids, uint32_t n, uint32_t first, struct score *score, struct err *e) {
    uint64_t *weights = malloc(p->n_vocab * sizeof *weights);
    kv_truncate(p->kv, 0, 0);
    if (!weights || !kv_reserve(p->kv, 0, n))
        err_set(e, ERR_MEMORY, "perplexity", "no memory for a window of %u", n);
    for (uint32_t pos = 0; pos < n && !e->code;) {
        uint32_t n_rows = 0;
        for (; n_rows < p->c.chunk && pos < n; n_rows++, pos++)
            p->rows[n_rows] = (struct row){.seq = 0, .pos = pos, .token = ids[pos], .want_logits = pos >= first && pos + 1 < n};
        memset(p->faults, 0, n_rows * sizeof *p->faults);
        model_forward(p->c.model, p->kv, p->rows, n_rows, p->logits, p->faults);
        const float *logits = p->logits;
        for (uint32_t i = 0; i < n_rows && !e->code; i++) {
            if (p->faults[i])
                err_set(e, ERR_INPUT, "perplexity", "a value that is not finite in layer %u", p->faults[i] - 1u);
            if (!p->rows[i].want_logits)
                continue;
            double s = surprise(p, logits, ids[p->rows[i].pos + 1], weights);
            *score = (struct score){score->sum + s, score->squares + s * s, score->n + 1};
            logits += p->n_vocab;
        }
    }
    free(weights);
    return e->code;
}

static int score_text(struct ppl *p, const struct tok_ids *ids, uint32_t window, struct score *score, struct err *e) {
    if (ids->n < 2)
        return err_set(e, ERR_INPUT, "text", "has %zu tokens; it takes two at least", ids->n);
    if (ids->n <= window)
        return score_window(p, ids->ids, (uint32_t)ids->n, 0, score, e);
    for (size_t at = 0; at + window <= ids->n && !e->code; at += window)
        (void)!score_window(p, ids->ids + at, window, window / 2, score, e);
    return e->code;
}

static int read_ids(const struct compute *c, const char *path, struct tok_ids *ids, struct err *e) {
    struct arena arena = {0};
    struct tok_spec spec;
    struct tok *tok = NULL;
    struct buf text = {.max = TEXT_BYTES_MAX};
    if (fs_read(AT_FDCWD, path, &text, e) == 0 && model_tok_spec(c->gguf, &arena, &spec, e) == 0 &&
        tok_new(&spec, &tok, e) == 0 && tok_add_front(tok, ids, e) == 0)
        (void)!tok_encode(tok, buf_as_str(&text), TOK_TEXT, ids, e);
    tok_free(tok);
    buf_free(&text);
    arena_free(&arena);
    return e->code;
}

static void print_score(const struct score *s, bool json) {
    double mean = s->sum / (double)s->n, variance = s->squares / (double)s->n - mean * mean;
    double ppl = exp(mean), error = s->n > 1 ? ppl * sqrt(variance / (double)(s->n - 1)) : 0;
    printf(json ? "{\"perplexity\": %.6f, \"stderr\": %.6f, \"nll\": %.6f, \"n\": %llu}\n"
                : "perplexity %.4f +- %.4f (mean surprise %.6f nats over %llu tokens)\n",
           ppl, error, mean, (unsigned long long)s->n);
}

int cmd_perplexity(struct cmd_args *a, struct err *e) {
    struct ppl p = {0};
    struct tok_ids ids = {0};
    struct score score = {0};
    uint32_t window = a->opts.ctx ? (uint32_t)a->opts.ctx : WINDOW_DEFAULT;
    a->opts.ctx = window;
    if (compute_open(a, a->args[0], (unsigned)a->opts.threads, &p.c, e) < 0)
        return e->code;
    p.n_vocab = model_info(p.c.model)->n_vocab;
    if (read_ids(&p.c, a->args[1], &ids, e) < 0 || kv_new(p.c.model, (window + KERN_PAGE - 1) / KERN_PAGE, 1, &p.kv, e) < 0)
        goto out;
    p.rows = calloc(p.c.chunk, sizeof *p.rows);
    p.faults = calloc(p.c.chunk, sizeof *p.faults);
    p.logits = malloc((size_t)p.c.chunk * p.n_vocab * sizeof *p.logits);
    if (!p.rows || !p.faults || !p.logits)
        err_set(e, ERR_MEMORY, "perplexity", "no memory for %u rows of logits; give a smaller --chunk", p.c.chunk);
    else if (score_text(&p, &ids, window, &score, e) == 0)
        print_score(&score, a->opts.json);
out:
    free(p.rows);
    free(p.faults);
    free(p.logits);
    tok_ids_free(&ids);
    kv_free(p.kv);
    compute_close(&p.c);
    return e->code;
}
