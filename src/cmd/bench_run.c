/* bench_run: runs one test on an opened model, round by round. A round is prepared (sequences emptied, their depth filled) before
 * the clock starts. Token ids are fixed; nothing is sampled. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct run {
    const struct compute *c;
    struct kv *kv;
    const struct bench_test *test;
    struct row *rows;
    uint16_t *faults;
    float *logits;
    uint32_t n_rows; /* put into rows for the step to come */
};

uint32_t bench_tokens(const struct bench_test *t) {
    return t->n_prompt + t->n_gen * t->n_seqs;
}

uint32_t bench_positions(const struct bench_test *t) {
    uint32_t decoded = t->n_depth + t->n_gen;
    if (t->kind == BENCH_MIXED)
        return t->n_prompt > decoded ? t->n_prompt : decoded;
    return decoded + t->n_prompt;
}

static uint32_t prompt_a_step(const struct bench_test *t) {
    return (t->n_prompt + t->n_gen - 1) / t->n_gen;
}

uint32_t bench_rows(const struct bench_test *t) {
    return t->n_seqs + (t->kind == BENCH_MIXED ? prompt_a_step(t) : 0);
}

static void put_row(struct run *b, uint32_t seq, uint32_t pos, bool want_logits) {
    uint32_t token = (seq * 31 + pos * 7919 + 13) % model_info(b->c->model)->n_vocab;
    b->rows[b->n_rows++] = (struct row){.seq = seq, .pos = pos, .token = token, .want_logits = want_logits};
}

static void step(struct run *b) {
    memset(b->faults, 0, b->n_rows * sizeof *b->faults);
    model_forward(b->c->model, b->kv, b->rows, b->n_rows, b->logits, b->faults);
    b->n_rows = 0;
}

/* Positions [from, end) of seq, the logits of the last one. */
static void prefill(struct run *b, uint32_t seq, uint32_t from, uint32_t end) {
    for (uint32_t pos = from; pos < end;) {
        while (b->n_rows < b->c->chunk && pos < end) {
            put_row(b, seq, pos, pos + 1 == end);
            pos++;
        }
        step(b);
    }
}

/* n steps of the sequences from position `from`; with each step, some positions of a prompt in one sequence more. */
static void decode(struct run *b, uint32_t from, uint32_t n, uint32_t n_prompt) {
    uint32_t prompted = 0, portion = n_prompt ? prompt_a_step(b->test) : 0;
    for (uint32_t pos = from; pos < from + n; pos++) {
        for (uint32_t s = 0; s < b->test->n_seqs; s++)
            put_row(b, s, pos, true);
        for (uint32_t i = 0; i < portion && prompted < n_prompt; i++, prompted++)
            put_row(b, b->test->n_seqs, prompted, prompted + 1 == n_prompt);
        step(b);
    }
}

static void round_begin(struct run *b) {
    const struct bench_test *t = b->test;
    uint32_t n_seqs = t->n_seqs + (t->kind == BENCH_MIXED);
    for (uint32_t s = 0; s < n_seqs; s++) {
        kv_truncate(b->kv, s, 0);
        ASSERT(kv_reserve(b->kv, s, bench_positions(t)));
        if (s < t->n_seqs)
            prefill(b, s, 0, t->n_depth);
    }
}

static void round_run(struct run *b) {
    const struct bench_test *t = b->test;
    bool mixed = t->kind == BENCH_MIXED; /* or the prompt comes first */
    uint32_t from = t->n_depth + (mixed ? 0 : t->n_prompt);
    if (!mixed)
        prefill(b, 0, t->n_depth, from);
    decode(b, from, t->n_gen, mixed ? t->n_prompt : 0);
}

/* ---- noise ------------------------------------------------------------------------------------------------------------ */

uint64_t bench_busy_ns(void) {
    unsigned long long user, nice, system, idle, wait, irq, softirq, steal = 0;
    FILE *f = fopen("/proc/stat", "r");
    int n =
        f ? fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &wait, &irq, &softirq, &steal)
          : 0;
    if (f)
        fclose(f);
    return n < 7 ? 0 : (user + nice + system + irq + softirq + steal) * 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);
}

uint64_t bench_cpu_ns(clockid_t thread_or_process) {
    struct timespec t;
    clock_gettime(thread_or_process, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double bench_foreign(uint64_t busy_ns, uint64_t own_ns, uint64_t wall_ns) {
    double cpus = (double)sysconf(_SC_NPROCESSORS_ONLN), grain = cpus * 1e9 / (double)sysconf(_SC_CLK_TCK);
    double others = (double)busy_ns - (double)own_ns - grain;
    return others > 0 ? others / ((double)wall_ns * cpus) : 0;
}

static void take_sample(struct run *b, struct bench_sample *to) {
    uint64_t busy = bench_busy_ns(), cpu = bench_cpu_ns(CLOCK_PROCESS_CPUTIME_ID), at = clock_ns();
    round_run(b);
    to->ns = clock_ns() - at;
    to->cpu_ns = bench_cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    to->foreign = bench_foreign(bench_busy_ns() - busy, to->cpu_ns, to->ns);
}

static int quieter(const void *a, const void *b) {
    const struct bench_sample *x = a, *y = b;
    return (x->foreign > y->foreign) - (x->foreign < y->foreign);
}

void bench_keep_quiet(struct bench_record *r, uint32_t n_wanted) {
    qsort(r->samples, r->n_taken, sizeof *r->samples, quieter);
    r->n_samples = n_wanted < r->n_taken ? n_wanted : r->n_taken;
}

bool bench_enough(const struct bench_record *r, uint32_t n_wanted, double noise) {
    uint32_t quiet = 0;
    for (uint32_t i = 0; i < r->n_taken; i++)
        quiet += r->samples[i].foreign <= noise;
    return quiet >= n_wanted || r->n_taken >= BENCH_TRIES * n_wanted;
}

/* ---- a test ------------------------------------------------------------------------------------------------------------- */

static int run_open(struct run *b, struct err *e) {
    const struct bench_test *t = b->test;
    uint32_t n_seqs = t->n_seqs + (t->kind == BENCH_MIXED), pages = (bench_positions(t) + KERN_PAGE - 1) / KERN_PAGE;
    b->rows = calloc(b->c->chunk, sizeof *b->rows);
    b->faults = calloc(b->c->chunk, sizeof *b->faults);
    b->logits = malloc((size_t)n_seqs * model_info(b->c->model)->n_vocab * sizeof *b->logits);
    if (!b->rows || !b->faults || !b->logits)
        return err_set(e, ERR_MEMORY, "bench", "no memory for %u rows", b->c->chunk);
    return kv_new(b->c->model, n_seqs * pages, n_seqs, &b->kv, e);
}

int bench_run(const struct compute *c, struct bench_record *r, uint32_t n_wanted, double noise, struct err *e) {
    struct run b = {.c = c, .test = &r->test};
    r->n_taken = 0;
    int code = run_open(&b, e);
    if (code == 0) {
        round_begin(&b);
        round_run(&b); /* to warm up */
        while (!bench_enough(r, n_wanted, noise)) {
            round_begin(&b);
            take_sample(&b, &r->samples[r->n_taken++]);
        }
        bench_keep_quiet(r, n_wanted);
    }
    kv_free(b.kv);
    free(b.rows);
    free(b.faults);
    free(b.logits);
    return code;
}

/* ---- what a round takes at the ceilings ------------------------------------------------------------------------------------ */

struct work {
    double row_ops[2], logits_ops[2]; /* products and sums of a row in the layers, for its logits; by enum kern_acts_kind */
    double attn_flops;                /* of a row for each position it sees */
    double weight_bytes;              /* read once a step */
    double kv_bytes;                  /* of a position */
    bool known;
};

static struct work work_of(const struct compute *c) {
    const struct model_info *info = model_info(c->model);
    bool untied = gguf_tensor(c->gguf, "output.weight");
    struct work w = {.known = true};
    for (uint64_t i = 0; i < gguf_n_tensors(c->gguf); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(c->gguf, i);
        w.known &= t->n_dims < 3; /* experts: which are read depends on the tokens */
        bool is_output = str_is(t->name, untied ? "output.weight" : "token_embd.weight");
        if (t->n_dims < 2 || !(is_output || str_starts(t->name, STR("blk."))))
            continue;
        (is_output ? w.logits_ops : w.row_ops)[kern_acts_kind(t->type)] += 2 * (double)t->n_values;
        w.weight_bytes += (double)t->bytes;
    }
    w.kv_bytes = (double)info->kv_bytes_per_page / KERN_PAGE;
    w.attn_flops = info->n_kv_heads ? 2 * w.kv_bytes / 2 * info->n_heads / info->n_kv_heads : 0; /* f16: two bytes a value */
    return w;
}

uint64_t bench_weight_bytes(const struct compute *c) {
    return (uint64_t)work_of(c).weight_bytes;
}

static double sum_to(double n) { /* 1 + 2 + ... + n */
    return n * (n + 1) / 2;
}

struct bench_ideal bench_ideal_of(const struct compute *c, const struct bench_test *t, const struct ceilings *at) {
    struct work w = work_of(c);
    if (t->kind == BENCH_START || !w.known || at->int8_ops <= 0 || at->f32_flops <= 0 || at->read_bytes <= 0)
        return (struct bench_ideal){0, 0, 0};
    bool mixed = t->kind == BENCH_MIXED;
    double prompt_from = mixed ? 0 : t->n_depth, prompt_end = prompt_from + t->n_prompt, from = mixed ? t->n_depth : prompt_end;
    double seqs = t->n_seqs, steps = t->n_gen + (mixed ? 0 : (t->n_prompt + c->chunk - 1) / c->chunk);
    double seen_prompt = sum_to(prompt_end) - sum_to(prompt_from), seen_gen = seqs * (sum_to(from + t->n_gen) - sum_to(from));
    double n_logits = t->n_gen * seqs + (t->n_prompt > 0), ops[2];
    for (unsigned kind = 0; kind < 2; kind++)
        ops[kind] = bench_tokens(t) * w.row_ops[kind] + n_logits * w.logits_ops[kind];
    return (struct bench_ideal){.products_ns = 1e9 * (ops[KERN_ACTS_Q8] / at->int8_ops + ops[KERN_ACTS_F32] / at->f32_flops),
                                .attention_ns = 1e9 * (seen_prompt + seen_gen) * w.attn_flops / at->f32_flops,
                                .read_ns = 1e9 * (steps * w.weight_bytes + seen_gen * w.kv_bytes) / at->read_bytes};
}
