/* moat bench: tokens per second of prefill, decoding, batched and mixed work, and how a process starts, with llama-bench's keys, so
 * that one script reads both programs. */
#include "bench.h"
#include "cmds.h"

#include <stdlib.h>
#include <string.h>

enum { LIST_MAX = 16, START_PROMPT = 20, CHUNK_DEFAULT = 512 };

struct list {
    uint32_t v[LIST_MAX];
    unsigned n;
};
struct plan { /* what the options ask for */
    struct list threads, prompts, gens, depths, seqs, prompt_gen, mixed;
};
struct bench {
    struct cmd_args *a;
    struct cmd_opts given; /* a's, before room was made for the tests */
    struct plan plan;
    struct compute c;
    struct bench_context x;
    struct bench_record *record;
    struct ceilings ceilings; /* all 0 where they were not asked for */
    unsigned n_printed;
};

/* One number, or first-last with a step: "7", "1-4", "0-512+128", "16-256*2". NULL where it is none of them, or too many. */
static const char *read_range(const char *at, struct list *list) {
    char *end, sign = '+';
    if (*at < '0' || *at > '9')
        return NULL;
    unsigned long v = strtoul(at, &end, 10), last = v, step = 1;
    if (*end == '-')
        last = strtoul(end + 1, &end, 10);
    if (*end == '+' || *end == '*') {
        sign = *end;
        step = strtoul(end + 1, &end, 10);
    }
    if (step < (sign == '*' ? 2 : 1) || v > last || last > UINT32_MAX || (sign == '*' && v == 0))
        return NULL;
    for (; v <= last; v = sign == '*' ? v * step : v + step) {
        if (list->n == LIST_MAX)
            return NULL;
        list->v[list->n++] = (uint32_t)v;
    }
    return end;
}

/* "1,2" and more of it, or else `absent`, into list. */
static int read_list(const char *name, const struct opt_list *given, const char *absent, uint32_t min, uint32_t max,
                     struct list *list, struct err *e) {
    for (unsigned i = 0; i < given->n || (i == 0 && absent); i++) {
        const char *text = given->n ? given->items[i] : absent;
        for (const char *at = text; at;) {
            unsigned n = list->n;
            at = read_range(at, list);
            for (; at && n < list->n; n++)
                at = list->v[n] < min || list->v[n] > max ? NULL : at;
            if (!at || (*at && *at != ','))
                return err_set(e, ERR_USAGE, name, "'%s' is no list like 1,2 or 1-4 of at most %d numbers from %u to %u", text,
                               LIST_MAX, min, max);
            at = *at ? at + 1 : NULL;
        }
    }
    return 0;
}

/* "512,64", any number of them. */
static int read_pairs(const char *name, const struct opt_list *given, struct list *pairs, struct err *e) {
    for (unsigned i = 0, n = 0; i < given->n && e->code == 0; i++, n += 2) {
        struct opt_list one = {.items = {given->items[i]}, .n = 1};
        if (read_list(name, &one, NULL, 1, 1048576, pairs, e) == 0 && pairs->n != n + 2)
            err_set(e, ERR_USAGE, name, "'%s' is no pair P,N of a prompt's tokens and steps of decoding", given->items[i]);
    }
    return e->code;
}

static int read_plan(const struct cmd_opts *o, struct plan *p, struct err *e) {
    char all[16];
    snprintf(all, sizeof all, "%u", cpus_usable());
    if (read_list("threads", &o->bench_threads, all, 1, POOL_THREADS_MAX, &p->threads, e) < 0 ||
        read_list("n-prompt", &o->bench_prompts, "512", 0, 1048576, &p->prompts, e) < 0 ||
        read_list("n-gen", &o->bench_gens, "64", 0, 1048576, &p->gens, e) < 0 ||
        read_list("depth", &o->bench_depths, "0", 0, 1048576, &p->depths, e) < 0 ||
        read_list("seqs", &o->bench_seqs, "1", 1, 4096, &p->seqs, e) < 0 ||
        read_pairs("pg", &o->bench_pg, &p->prompt_gen, e) < 0 || read_pairs("mixed", &o->bench_mixed, &p->mixed, e) < 0)
        return e->code;
    return 0;
}

/* ---- the tests of a plan ------------------------------------------------------------------------------------------------------ */

typedef int test_fn(void *ctx, const struct bench_test *t, struct err *e);

static int tests_at(const struct plan *p, uint32_t depth, test_fn *each, void *ctx, struct err *e) {
    for (unsigned i = 0; i < p->prompts.n; i++)
        if (p->prompts.v[i] && each(ctx, &(struct bench_test){BENCH_PREFILL, p->prompts.v[i], 0, depth, 1}, e) < 0)
            return e->code;
    for (unsigned i = 0; i < p->gens.n; i++)
        for (unsigned s = 0; s < p->seqs.n && p->gens.v[i]; s++)
            if (each(ctx, &(struct bench_test){BENCH_DECODE, 0, p->gens.v[i], depth, p->seqs.v[s]}, e) < 0)
                return e->code;
    const uint32_t *pair = p->prompt_gen.v;
    for (unsigned i = 0; i < p->prompt_gen.n; i += 2)
        if (each(ctx, &(struct bench_test){BENCH_PROMPT_GEN, pair[i], pair[i + 1], depth, 1}, e) < 0)
            return e->code;
    pair = p->mixed.v;
    for (unsigned i = 0; i < p->mixed.n; i += 2)
        for (unsigned s = 0; s < p->seqs.n; s++)
            if (each(ctx, &(struct bench_test){BENCH_MIXED, pair[i], pair[i + 1], depth, p->seqs.v[s]}, e) < 0)
                return e->code;
    return 0;
}

/* Calls each(ctx, test) for every test on an opened model, in the order of their records, until one fails. */
static int for_tests(const struct plan *p, test_fn *each, void *ctx, struct err *e) {
    for (unsigned d = 0; d < p->depths.n && e->code == 0; d++)
        tests_at(p, p->depths.v[d], each, ctx, e);
    return e->code;
}

struct need {
    uint32_t positions, rows;
};

static int add_need(void *ctx, const struct bench_test *t, struct err *e) {
    struct need *need = ctx;
    (void)e;
    need->positions = bench_positions(t) > need->positions ? bench_positions(t) : need->positions;
    need->rows = bench_rows(t) > need->rows ? bench_rows(t) : need->rows;
    return 0;
}

/* Context and rows a step, as far as the options leave them open. */
static int make_room(struct bench *b, struct err *e) {
    struct cmd_opts *o = &b->a->opts;
    struct need need = {0, 0};
    if (for_tests(&b->plan, add_need, &need, e) < 0)
        return e->code;
    o->ctx = o->ctx > need.positions ? o->ctx : need.positions;
    o->chunk = o->chunk ? o->chunk : need.rows > CHUNK_DEFAULT ? need.rows : CHUNK_DEFAULT;
    o->chunk = o->bench_batch && o->bench_batch < o->chunk ? o->bench_batch : o->chunk;
    if (o->chunk < need.rows)
        return err_set(e, ERR_USAGE, "chunk", "is %llu; a step of these tests holds %u rows", (unsigned long long)o->chunk,
                       need.rows);
    return 0;
}

static int run_test(void *ctx, const struct bench_test *t, struct err *e) {
    struct bench *b = ctx;
    b->record->test = *t;
    if (bench_run(&b->c, b->record, (uint32_t)b->a->opts.r, b->x.noise, e) < 0)
        return e->code;
    b->record->ideal = bench_ideal_of(&b->c, t, &b->ceilings);
    bench_print(&b->x, b->record, b->n_printed++ == 0);
    return 0;
}

static void measure_ceilings(struct bench *b) {
    ceilings_measure(b->c.kern, b->x.threads, bench_weight_bytes(&b->c), &b->ceilings);
    fprintf(stderr, "moat: ceilings of %u threads, %s: int8 %.3g ops/s, float32 %.3g flop/s, %.3g bytes/s from %.0f MiB\n",
            b->x.threads, b->c.kern->name, b->ceilings.int8_ops, b->ceilings.f32_flops, b->ceilings.read_bytes,
            (double)bench_weight_bytes(&b->c) / 1048576);
}

static int bench_model(struct bench *b, struct err *e) {
    const struct cmd_opts *o = &b->a->opts;
    struct bench_record *start = o->bench_start ? calloc(1, sizeof *start) : NULL;
    if (o->bench_start && !start)
        return err_set(e, ERR_MEMORY, "bench", "no memory");
    if (start) {
        start->test = (struct bench_test){.kind = BENCH_START, .n_prompt = START_PROMPT, .n_seqs = 1};
        if (bench_start(&b->given, b->x.model, b->x.threads, start, (uint32_t)o->r, b->x.noise, e) < 0)
            goto out;
    }
    if (compute_open(b->a, b->x.model, b->x.threads, &b->c, e) < 0)
        goto out;
    if (o->ceilings)
        measure_ceilings(b);
    if (for_tests(&b->plan, run_test, b, e) == 0 && start)
        bench_print(&b->x, start, b->n_printed++ == 0);
    compute_close(&b->c);
out:
    free(start);
    return e->code;
}

/* Without a model: a record for each number of threads. */
static int print_ceilings(const struct bench *b, struct err *e) {
    const struct kern *kern = kern_get(b->given.isa, e);
    for (unsigned t = 0; kern && t < b->plan.threads.n; t++) {
        unsigned threads = b->plan.threads.v[t];
        struct ceilings c;
        ceilings_measure(kern, threads, 256 << 20, &c);
        printf("{\"n_threads\": %u, \"isa\": \"%s\", \"int8_ops\": %.3g, \"f32_flops\": %.3g, \"read_bytes\": %.3g, "
               "\"loop_ns\": %.3g, \"item_ns\": %.3g}\n",
               threads, kern->name, c.int8_ops, c.f32_flops, c.read_bytes, c.loop_ns, c.item_ns);
    }
    return e->code;
}

int cmd_bench(struct cmd_args *a, struct err *e) {
    struct bench b = {.a = a, .given = a->opts};
    struct opt_list models = a->opts.bench_models;
    if (read_plan(&a->opts, &b.plan, e) < 0 || make_room(&b, e) < 0)
        return e->code;
    for (int i = 0; i < a->n_args && models.n < N_ITEMS(models.items); i++)
        models.items[models.n++] = a->args[i];
    if (models.n == 0 && !a->opts.ceilings)
        return err_set(e, ERR_USAGE, "MODEL", "is missing; give a GGUF file or a name in the store");
    if (models.n == 0)
        return print_ceilings(&b, e);
    b.record = calloc(1, sizeof *b.record);
    if (!b.record)
        return err_set(e, ERR_MEMORY, "bench", "no memory");
    for (unsigned i = 0; i < models.n && e->code == 0; i++)
        for (unsigned t = 0; t < b.plan.threads.n && e->code == 0; t++) {
            b.x = (struct bench_context){.c = &b.c,
                                         .model = models.items[i],
                                         .kv = a->opts.kv,
                                         .form = a->opts.out ? a->opts.out : "md",
                                         .threads = b.plan.threads.v[t],
                                         .noise = a->opts.bench_noise / 100};
            if (bench_model(&b, e) < 0)
                break;
        }
    if (b.n_printed && a->opts.out && strcmp(a->opts.out, "json") == 0)
        printf("\n]\n");
    free(b.record);
    if (e->code == 0 && b.n_printed == 0)
        err_set(e, ERR_USAGE, "bench", "has no test to run: -p, -n, --pg, --mixed and --start name some");
    return e->code;
}
