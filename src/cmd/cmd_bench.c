/* moat bench: tokens per second of prefill, decoding and batched decoding, with llama-bench's keys, so that one script reads
 * both programs. Token ids are fixed; nothing is sampled. */
#include "bench.h"
#include "cmds.h"
#include "compute.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SAMPLES_MAX = 1000, THREADS_LIST_MAX = 16 };

struct bench {
    struct cmd_args *a;
    struct compute c;
    struct kv *kv;
    unsigned threads;
    const char *model;
    struct row *rows;
    uint16_t *faults;
    float *logits;
    unsigned n_records; /* printed so far, of all models */
};
struct record {
    uint32_t n_prompt, n_gen, n_depth, n_seqs, n_samples;
    uint64_t ns[SAMPLES_MAX], cpu_ns[SAMPLES_MAX];
};

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t token_at(const struct bench *b, uint32_t seq, uint32_t pos) {
    return (seq * 31 + pos * 7919 + 13) % model_info(b->c.model)->n_vocab;
}

static void forward(struct bench *b, uint32_t n_rows) {
    memset(b->faults, 0, n_rows * sizeof *b->faults);
    model_forward(b->c.model, b->kv, b->rows, n_rows, b->logits, b->faults);
}

/* Positions [0, n) of seq, the logits of the last one. */
static void prefill(struct bench *b, uint32_t seq, uint32_t n) {
    for (uint32_t pos = 0; pos < n;) {
        uint32_t n_rows = 0;
        for (; n_rows < b->c.chunk && pos < n; n_rows++, pos++)
            b->rows[n_rows] = (struct row){.seq = seq, .pos = pos, .token = token_at(b, seq, pos), .want_logits = pos + 1 == n};
        forward(b, n_rows);
    }
}

static void decode(struct bench *b, uint32_t n_seqs, uint32_t from, uint32_t n) {
    for (uint32_t pos = from; pos < from + n; pos++) {
        for (uint32_t s = 0; s < n_seqs; s++)
            b->rows[s] = (struct row){.seq = s, .pos = pos, .token = token_at(b, s, pos), .want_logits = true};
        forward(b, n_seqs);
    }
}

static void start_over(struct bench *b, uint32_t n_seqs, uint32_t depth, uint32_t reserve) {
    for (uint32_t s = 0; s < n_seqs; s++) {
        kv_truncate(b->kv, s, 0);
        ASSERT(kv_reserve(b->kv, s, reserve));
        prefill(b, s, depth);
    }
}

static void measure(struct bench *b, struct record *r) {
    uint32_t n = r->n_prompt + r->n_gen;
    for (uint32_t i = 0; i <= r->n_samples; i++) { /* the first is for warming up */
        start_over(b, r->n_seqs, r->n_depth, r->n_depth + n);
        uint64_t at = clock_ns(), cpu = cpu_ns();
        if (r->n_prompt)
            prefill(b, 0, r->n_prompt);
        else
            decode(b, r->n_seqs, r->n_depth, r->n_gen);
        if (i > 0) {
            r->ns[i - 1] = clock_ns() - at;
            r->cpu_ns[i - 1] = cpu_ns() - cpu;
        }
    }
}

/* ---- printing ------------------------------------------------------------------------------------------------------------- */

static double rate(const struct record *r, uint32_t i) {
    return (double)(r->n_prompt + r->n_gen) * r->n_seqs * 1e9 / (double)r->ns[i];
}

static void mean_of(const struct record *r, double *mean, double *deviation) {
    double sum = 0, squares = 0;
    for (uint32_t i = 0; i < r->n_samples; i++)
        sum += rate(r, i);
    *mean = sum / r->n_samples;
    for (uint32_t i = 0; i < r->n_samples; i++)
        squares += (rate(r, i) - *mean) * (rate(r, i) - *mean);
    *deviation = r->n_samples > 1 ? sqrt(squares / (r->n_samples - 1)) : 0;
}

static void list_ns(struct buf *out, const char *key, const uint64_t *ns, uint32_t n) {
    buf_fmt(out, "\"%s\": [", key);
    for (uint32_t i = 0; i < n; i++)
        buf_fmt(out, "%s%llu", i ? ", " : "", (unsigned long long)ns[i]);
    buf_z(out, "], ");
}

static void print_json(const struct bench *b, const struct record *r, bool lines) {
    struct buf out = {0};
    const struct model_info *info = model_info(b->c.model);
    double mean, deviation;
    mean_of(r, &mean, &deviation);
    buf_z(&out, lines ? "{\"model_filename\": " : b->n_records ? ",\n  {\"model_filename\": " : "[\n  {\"model_filename\": ");
    buf_json(&out, str_of(b->model));
    buf_fmt(&out, ", \"model_size\": %llu, \"model_n_params\": %llu, ", (unsigned long long)info->weight_bytes,
            (unsigned long long)info->n_params);
    buf_fmt(&out, "\"n_batch\": %u, \"n_threads\": %u, \"isa\": \"%s\", \"type_k\": \"%s\", ", b->c.chunk, b->threads,
            b->c.kern->name, b->a->opts.kv);
    buf_fmt(&out, "\"n_prompt\": %u, \"n_gen\": %u, \"n_depth\": %u, \"n_seqs\": %u, ", r->n_prompt, r->n_gen, r->n_depth,
            r->n_seqs);
    list_ns(&out, "samples_ns", r->ns, r->n_samples);
    list_ns(&out, "samples_cpu_ns", r->cpu_ns, r->n_samples);
    buf_fmt(&out, "\"avg_ts\": %.3f, \"stddev_ts\": %.3f, \"samples_ts\": [", mean, deviation);
    for (uint32_t i = 0; i < r->n_samples; i++)
        buf_fmt(&out, "%s%.3f", i ? ", " : "", rate(r, i));
    buf_z(&out, lines ? "]}\n" : "]}");
    fwrite(out.p, 1, out.n, stdout);
    buf_free(&out);
}

static void test_name(const struct record *r, char name[64]) {
    int n = r->n_prompt ? snprintf(name, 64, "pp%u", r->n_prompt) : snprintf(name, 64, "tg%u", r->n_gen);
    if (r->n_depth)
        n += snprintf(name + n, 64 - (size_t)n, " @ d%u", r->n_depth);
    if (r->n_seqs > 1)
        snprintf(name + n, 64 - (size_t)n, " x %u", r->n_seqs);
}

static void print_record(const struct bench *b, const struct record *r) {
    const char *form = b->a->opts.out ? b->a->opts.out : "md";
    char name[64];
    double mean, deviation;
    if (form[0] == 'j') {
        print_json(b, r, strcmp(form, "jsonl") == 0);
    } else if (strcmp(form, "csv") == 0) {
        if (b->n_records == 0)
            printf("model_filename,n_threads,isa,n_prompt,n_gen,n_depth,n_seqs,avg_ts,stddev_ts\n");
        mean_of(r, &mean, &deviation);
        printf("\"%s\",%u,%s,%u,%u,%u,%u,%.3f,%.3f\n", b->model, b->threads, b->c.kern->name, r->n_prompt, r->n_gen, r->n_depth,
               r->n_seqs, mean, deviation);
    } else {
        if (b->n_records == 0)
            printf("| model | isa | threads | test | tokens/s |\n| --- | --- | ---: | --- | ---: |\n");
        mean_of(r, &mean, &deviation);
        test_name(r, name);
        printf("| %s | %s | %u | %s | %.2f ± %.2f |\n", b->c.file.name, b->c.kern->name, b->threads, name, mean, deviation);
    }
    fflush(stdout);
}

/* ---- the command ------------------------------------------------------------------------------------------------------------ */

static int bench_one(struct bench *b, uint64_t n_prompt, uint64_t n_gen, struct err *e) {
    const struct cmd_opts *o = &b->a->opts;
    struct record *r = calloc(1, sizeof *r);
    if (!r)
        return err_set(e, ERR_MEMORY, "bench", "no memory");
    *r = (struct record){.n_prompt = (uint32_t)n_prompt, .n_gen = (uint32_t)n_gen, .n_samples = (uint32_t)o->r};
    r->n_seqs = n_gen ? (uint32_t)o->seqs : 1;
    r->n_depth = n_gen ? (uint32_t)o->depth : 0;
    uint32_t positions = r->n_depth + r->n_prompt + r->n_gen, n_pages = r->n_seqs * ((positions + KERN_PAGE - 1) / KERN_PAGE);
    size_t vocab = model_info(b->c.model)->n_vocab;
    if (kv_new(b->c.model, n_pages, r->n_seqs, &b->kv, e) == 0) {
        b->rows = calloc(b->c.chunk, sizeof *b->rows);
        b->faults = calloc(b->c.chunk, sizeof *b->faults);
        b->logits = malloc(r->n_seqs * vocab * sizeof *b->logits);
        if (b->rows && b->faults && b->logits) {
            measure(b, r);
            print_record(b, r);
            b->n_records++;
        } else {
            err_set(e, ERR_MEMORY, "bench", "no memory for %u rows", b->c.chunk);
        }
        kv_free(b->kv);
    }
    free(b->rows);
    free(b->faults);
    free(b->logits);
    free(r);
    b->rows = NULL;
    b->faults = NULL;
    b->logits = NULL;
    return e->code;
}

static int bench_model(struct bench *b, struct err *e) {
    struct cmd_opts *o = &b->a->opts;
    uint64_t need = o->p > o->depth + o->n ? o->p : o->depth + o->n;
    o->ctx = o->ctx > need ? o->ctx : need;
    o->chunk = o->chunk ? o->chunk : o->seqs > 512 ? o->seqs : 512;
    if (o->chunk < o->seqs)
        return err_set(e, ERR_USAGE, "chunk", "is %llu; a step holds a row of each of the %llu sequences",
                       (unsigned long long)o->chunk, (unsigned long long)o->seqs);
    if (compute_open(b->a, b->model, b->threads, &b->c, e) < 0)
        return e->code;
    if (o->p && bench_one(b, o->p, 0, e) < 0)
        goto out;
    if (o->n && bench_one(b, 0, o->n, e) < 0)
        goto out;
out:
    compute_close(&b->c);
    return e->code;
}

/* "1,2" into list; the number of them. */
static int read_threads(const char *text, unsigned list[THREADS_LIST_MAX], struct err *e) {
    int n = 0;
    for (const char *at = text; text && *at; n++) {
        char *end;
        unsigned long v = strtoul(at, &end, 10);
        if (end == at || v < 1 || v > 256 || (*end && *end != ',') || n == THREADS_LIST_MAX)
            return err_set(e, ERR_USAGE, "threads", "'%s' is no list of thread counts like 1,2", text);
        list[n] = (unsigned)v;
        at = *end ? end + 1 : end;
    }
    if (n == 0)
        list[n++] = cpus_usable();
    return n;
}

int cmd_bench(struct cmd_args *a, struct err *e) {
    struct bench b = {.a = a};
    unsigned threads[THREADS_LIST_MAX];
    int n_threads = read_threads(a->opts.bench_threads, threads, e);
    if (n_threads < 0)
        return n_threads;
    if (a->opts.ceilings)
        for (int t = 0; t < n_threads; t++)
            bench_ceilings(threads[t]);
    else if (a->n_args == 0)
        return err_set(e, ERR_USAGE, "MODEL", "is missing");
    for (int i = 0; i < a->n_args; i++)
        for (int t = 0; t < n_threads; t++) {
            b.model = a->args[i];
            b.threads = threads[t];
            if (bench_model(&b, e) < 0)
                return e->code;
        }
    if (b.n_records && a->opts.out && strcmp(a->opts.out, "json") == 0)
        printf("\n]\n");
    return 0;
}
