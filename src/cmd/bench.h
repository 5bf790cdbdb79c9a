/* bench: what the machine can do, and what moat makes of it. cmd_bench.c reads the options and walks through the tests,
 * bench_run.c runs one, bench_start.c starts a process, bench_print.c writes records, ceilings.c measures the machine. */
#pragma once

#include "compute.h"

#include <time.h>

/* ---- the machine ---------------------------------------------------------------------------------------------------- */

struct ceilings {
    double int8_ops;   /* products and sums of the tier's int8 products, per second */
    double f32_flops;  /* of its float32 fma */
    double read_bytes; /* per second, from a set of set_bytes */
    double loop_ns;    /* of the pool's loop that every thread joins, awake: from call to return */
    double item_ns; /* of an item of a long loop that does nothing: claiming and counting, wall time over items of all threads */
};
/* The rates of `threads` threads at once, by CPU time, so that others who run do not lower them; the tier "c" has no loops, and rates of 0. Takes a second or two. */
void ceilings_measure(const struct kern *kern, unsigned threads, uint64_t set_bytes, struct ceilings *out);
/* CPU time of this thread, or of this process: of threads that run on other CPUs the latter knows what their last tick told. */
uint64_t bench_cpu_ns(clockid_t thread_or_process);
/* CPU time that all processes of this machine have used, by the kernel's ticks; 0 where it does not tell. */
uint64_t bench_busy_ns(void);
/* The share of the machine's CPU time that others took, when all used busy_ns and we own_ns of it within wall_ns. A tick a CPU is
 * the clock's grain and no noise. */
double bench_foreign(uint64_t busy_ns, uint64_t own_ns, uint64_t wall_ns);

/* ---- one test ------------------------------------------------------------------------------------------------------- */

enum bench_kind {
    BENCH_PREFILL,    /* n_prompt tokens of one sequence */
    BENCH_DECODE,     /* n_gen steps of n_seqs sequences */
    BENCH_PROMPT_GEN, /* n_prompt tokens, then n_gen steps of the same sequence */
    BENCH_MIXED,      /* n_gen steps of n_seqs sequences, among which a prompt of n_prompt tokens is spread */
    BENCH_START,      /* a process from its start to the first token after a prompt of n_prompt */
};
struct bench_test {
    enum bench_kind kind;
    uint32_t n_prompt, n_gen, n_depth, n_seqs; /* depth: tokens that the n_seqs sequences hold before the clock starts */
};
uint32_t bench_tokens(const struct bench_test *t);    /* computed in one round */
uint32_t bench_positions(const struct bench_test *t); /* of the longest sequence */
uint32_t bench_rows(const struct bench_test *t);      /* that one step needs at least */

struct bench_sample {
    uint64_t ns, cpu_ns;
    double foreign; /* share of the machine's CPU time that others took meanwhile */
};
/* What a round takes at the ceilings. Products and attention add up; reading of weights and cache goes on meanwhile. 0: not known. */
struct bench_ideal {
    double products_ns, attention_ns, read_ns;
};
enum { BENCH_REPETITIONS_MAX = 1000, BENCH_TRIES = 3 /* rounds for each that is wanted, where others disturb */ };
struct bench_record {
    struct bench_test test;
    uint32_t n_samples, n_taken; /* kept, and all that were measured */
    struct bench_sample samples[BENCH_TRIES * BENCH_REPETITIONS_MAX];
    struct bench_ideal ideal;
    uint64_t rss_bytes_peak; /* BENCH_START: of the process */
};
/* Keeps the n_wanted samples of the least foreign time. */
void bench_keep_quiet(struct bench_record *r, uint32_t n_wanted);
bool bench_enough(const struct bench_record *r, uint32_t n_wanted, double noise); /* quiet ones; or there were tries enough */

/* Runs r->test n_wanted times on c, one more to warm up, and more where others take more than `noise` of the CPU time. */
int bench_run(const struct compute *c, struct bench_record *r, uint32_t n_wanted, double noise, struct err *e) MUST_USE;
/* The same for BENCH_START: `moat generate` as a process of its own with the compute options of o. */
int bench_start(const struct cmd_opts *o, const char *model, unsigned threads, struct bench_record *r, uint32_t n_wanted,
                double noise, struct err *e) MUST_USE;
/* All 0 for BENCH_START and for mixtures of experts. */
struct bench_ideal bench_ideal_of(const struct compute *c, const struct bench_test *t, const struct ceilings *at);
/* Bytes of the matrices that a step reads. */
uint64_t bench_weight_bytes(const struct compute *c);

/* ---- records -------------------------------------------------------------------------------------------------------- */

struct bench_context { /* what all records of a model share */
    const struct compute *c;
    const char *model, *kv, *form; /* form: md, csv, json, jsonl */
    unsigned threads;
    double noise; /* foreign share up to which a record counts as quiet */
};
void bench_print(const struct bench_context *x, const struct bench_record *r, bool first);
