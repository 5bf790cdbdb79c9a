/* moat logits: token ids in, hashes of logits out (INTERFACES: inspection commands). Lines go through model_forward a chunk
 * of rows at a time; logits are hashed and written as they come. --together makes all lines one continuous batch with their
 * rows interleaved: the proof that a batch moves no bit. */
#include "cmds.h"
#include "compute.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct line {
    uint32_t *ids, n, done; /* done: positions computed */
    struct sha256 *hash;
    struct npy npy;
    int fd; /* of npy, or -1 */
    char path[600];
    struct err err; /* of this line alone */
};

struct logits_run {
    struct compute c;
    const struct cmd_opts *opts;
    struct kv *kv;
    uint32_t n_vocab;
    struct row *rows; /* [chunk] */
    float *logits;    /* [chunk][n_vocab] */
    uint16_t *faults; /* [chunk] */
    struct line *all; /* --together: every line */
    uint64_t n_all, cap;
};

static uint32_t first_wanted(const struct logits_run *run, const struct line *line) {
    uint64_t last = run->opts->last;
    return last && last < line->n ? line->n - (uint32_t)last : 0;
}

static int line_begin(struct logits_run *run, uint64_t i, struct str text, struct line *line, struct err *e) {
    *line = (struct line){.fd = -1};
    if (compute_ids(text, run->n_vocab, model_info(run->c.model)->ctx, &line->ids, &line->n, &line->err) < 0)
        return 0;
    line->hash = sha256_new();
    if (!line->hash)
        return err_set(e, ERR_MEMORY, "line", "no memory");
    if (!run->opts->out)
        return 0;
    snprintf(line->path, sizeof line->path, "%.500s/%llu.npy", run->opts->out, (unsigned long long)i);
    line->fd = fs_open(AT_FDCWD, line->path, O_WRONLY | O_CREAT | O_TRUNC, 0666, e);
    if (line->fd < 0)
        return line->fd;
    return npy_begin(&line->npy, line->fd, line->path, 2, (uint64_t[]){line->n - first_wanted(run, line), run->n_vocab}, e);
}

static void line_end(struct line *line, struct buf *out) {
    char hex[65];
    if (!line->err.code) {
        struct digest d = sha256_end(line->hash);
        line->hash = NULL;
        digest_hex(&d, hex);
        buf_fmt(out, "{\"n\": %u, \"sha256\": \"%s\"}", line->n, hex);
    }
}

static void line_free(struct line *line) {
    free(line->ids);
    if (line->hash)
        (void)sha256_end(line->hash);
    if (line->fd >= 0)
        close(line->fd);
}

/* The next step's rows: one of each line in turn, until the chunk is full. Line i is sequence i. */
static uint32_t next_rows(struct logits_run *run, struct line *lines, uint64_t n_lines) {
    uint32_t n = 0;
    for (bool any = true; any && n < run->c.chunk;) {
        any = false;
        for (uint64_t i = 0; i < n_lines && n < run->c.chunk; i++) {
            struct line *line = &lines[i];
            if (line->err.code || line->done == line->n)
                continue;
            run->rows[n++] = (struct row){.seq = (uint32_t)i,
                                          .pos = line->done,
                                          .token = line->ids[line->done],
                                          .want_logits = line->done >= first_wanted(run, line)};
            line->done++;
            any = true;
        }
    }
    return n;
}

static int take_logits(struct logits_run *run, struct line *lines, uint32_t n_rows, struct err *e) {
    const float *logits = run->logits;
    for (uint32_t i = 0; i < n_rows; i++) {
        const struct row *row = &run->rows[i];
        struct line *line = &lines[row->seq];
        if (run->faults[i])
            err_set(&line->err, ERR_INPUT, "", "a value that is not finite in layer %u at position %u", run->faults[i] - 1u,
                    row->pos);
        if (!row->want_logits)
            continue;
        sha256_add(line->hash, logits, run->n_vocab * sizeof *logits);
        if (line->fd >= 0 && npy_add(&line->npy, logits, run->n_vocab, e) < 0)
            return e->code;
        logits += run->n_vocab;
    }
    return 0;
}

static int compute_lines(struct logits_run *run, struct line *lines, uint64_t n_lines, struct err *e) {
    uint32_t n;
    for (uint64_t i = 0; i < n_lines; i++) {
        kv_truncate(run->kv, (uint32_t)i, 0);
        if (!kv_reserve(run->kv, (uint32_t)i, lines[i].n))
            return err_set(e, ERR_MEMORY, "kv", "no pages for %u positions", lines[i].n);
    }
    while ((n = next_rows(run, lines, n_lines)) > 0) {
        memset(run->faults, 0, n * sizeof *run->faults);
        model_forward(run->c.model, run->kv, run->rows, n, run->logits, run->faults);
        if (take_logits(run, lines, n, e) < 0)
            return e->code;
    }
    return 0;
}

static int one_line(void *ctx, uint64_t i, struct str text, struct buf *out, struct err *e) {
    struct logits_run *run = ctx;
    struct line line;
    struct err env = {0};
    if (line_begin(run, i, text, &line, &env) == 0 && !line.err.code && compute_lines(run, &line, 1, &env) == 0)
        line_end(&line, out);
    const struct err *bad = env.code ? &env : &line.err;
    if (bad->code)
        err_set(e, bad->code, bad->where, "%s", bad->msg);
    line_free(&line);
    return bad->code;
}

static int collect_line(void *ctx, uint64_t i, struct str text, struct err *e) {
    struct logits_run *run = ctx;
    if (run->n_all == run->cap) {
        uint64_t cap = run->cap ? 2 * run->cap : 64;
        struct line *more = realloc(run->all, cap * sizeof *more);
        if (!more)
            return err_set(e, ERR_MEMORY, "lines", "no memory");
        run->all = more;
        run->cap = cap;
    }
    return line_begin(run, i, text, &run->all[run->n_all++], e);
}

static uint32_t pages_for(uint32_t positions) {
    return (positions + KERN_PAGE - 1) / KERN_PAGE;
}

static int all_lines(struct logits_run *run, struct err *e) {
    uint32_t pages = 0;
    int r = cmd_lines_read(collect_line, run, e);
    for (uint64_t i = 0; i < run->n_all; i++)
        pages += pages_for(run->all[i].n);
    if (r == 0 && run->n_all > 0)
        r = kv_new(run->c.model, pages, (uint32_t)run->n_all, &run->kv, e);
    if (r == 0 && run->n_all > 0)
        r = compute_lines(run, run->all, run->n_all, e);
    for (uint64_t i = 0; i < run->n_all; i++) {
        struct buf out = {0};
        if (r == 0) {
            line_end(&run->all[i], &out);
            cmd_line_print(&out, &run->all[i].err);
        }
        line_free(&run->all[i]);
        buf_free(&out);
    }
    free(run->all);
    return r;
}

static int buffers_new(struct logits_run *run, struct err *e) {
    uint32_t chunk = run->c.chunk;
    run->rows = calloc(chunk, sizeof *run->rows);
    run->faults = calloc(chunk, sizeof *run->faults);
    run->logits = malloc((size_t)chunk * run->n_vocab * sizeof *run->logits);
    if (!run->rows || !run->faults || !run->logits)
        return err_set(e, ERR_MEMORY, "logits", "no memory for %u rows of %u logits; give a smaller --chunk", chunk,
                       run->n_vocab);
    return 0;
}

int cmd_logits(struct cmd_args *a, struct err *e) {
    struct logits_run run = {.opts = &a->opts};
    if (a->opts.out && fs_mkdirs(a->opts.out, e) < 0)
        return e->code;
    int r = compute_open(a, a->args[0], (unsigned)a->opts.threads, &run.c, e);
    if (r < 0)
        return r;
    run.n_vocab = model_info(run.c.model)->n_vocab;
    r = buffers_new(&run, e);
    if (r == 0 && a->opts.together)
        r = all_lines(&run, e);
    else if (r == 0 && (r = kv_new(run.c.model, pages_for(model_info(run.c.model)->ctx), 1, &run.kv, e)) == 0)
        r = cmd_lines(one_line, &run, e);
    free(run.rows);
    free(run.faults);
    free(run.logits);
    kv_free(run.kv);
    compute_close(&run.c);
    return r;
}
