/* fun_bench: `test_fun --bench [FROM_TIER [CASE]]`: attention of each tier as a share of the f32 FMA peak of the same moment, and the functions
 * in values a nanosecond. CPU time of this thread, medians of interleaved samples. */
#pragma once

#include <time.h>

#include "fun_cases.h"

static double cpu_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* GFLOP/s of independent multiply-adds in registers, in zmm or in ymm. */
static double fma_peak(bool wide) {
#ifdef __x86_64__
    long n = 300000;
    double start = cpu_s();
#define FMA(bits, reg) "vfmadd231ps %%" #bits "14, %%" #bits "15, %%" #bits #reg "\n\t"
#define FMA12(bits)                                                                                                              \
    FMA(bits, 0)                                                                                                                 \
    FMA(bits, 1)                                                                                                                 \
    FMA(bits, 2)                                                                                                                 \
    FMA(bits, 3)                                                                                                                 \
    FMA(bits, 4)                                                                                                                 \
    FMA(bits, 5) FMA(bits, 6) FMA(bits, 7) FMA(bits, 8) FMA(bits, 9) FMA(bits, 10) FMA(bits, 11)
#define FMA_LOOP(bits)                                                                                                           \
    __asm__ volatile("vpxor %%ymm14, %%ymm14, %%ymm14\n\tvpxor %%ymm15, %%ymm15, %%ymm15\n\t"                                    \
                     "1:\n\t" FMA12(bits) "dec %0\n\tjnz 1b"                                                                     \
                     : "+r"(n)                                                                                                   \
                     :                                                                                                           \
                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",         \
                       "xmm14", "xmm15", "cc")
    if (wide)
        FMA_LOOP(zmm);
    else
        FMA_LOOP(ymm);
    return 300000.0 * 12 * (wide ? 32 : 16) / (cpu_s() - start) / 1e9;
#else
    return 1;
#endif
}

struct attn_bench {
    const char *name;
    uint32_t group, d, pos0, n_rows;
};
static const struct attn_bench attn_benches[] = {
    {"prefill d 64, 3 heads, 32 rows at 1024", 3, 64, 1024, 32},
    {"prefill d 64, 3 heads, 256 rows at 0", 3, 64, 0, 256},
    {"prefill d 64, 3 heads, 256 rows at 1024", 3, 64, 1024, 256},
    {"prefill d 128, 6 heads, 16 rows at 1024", 6, 128, 1024, 16},
    {"prefill d 64, 1 head, 96 rows at 1024", 1, 64, 1024, 96},
    {"decode d 64, 3 heads, 4000", 3, 64, 4000, 1},
    {"decode d 64, 3 heads, 500", 3, 64, 499, 1},
    {"decode d 128, 6 heads, 4000", 6, 128, 4000, 1},
    {"decode d 128, 4 heads, 4000", 4, 128, 4000, 1},
    {"decode d 128, 8 heads, 4000", 8, 128, 4000, 1},
    {"decode d 128, 1 head, 4000", 1, 128, 4000, 1},
    {"decode d 64, 2 heads, 4000", 2, 64, 4000, 1},
};
enum { BENCH_SAMPLES = 15, BENCH_PAGES = 4096 / KERN_PAGE };

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct bench_job {
    struct kern_kv kv;
    struct kern_attn attn;
    uint8_t *pages[BENCH_PAGES];
    void *parts[BENCH_PAGES];
    uint32_t first, end;
    double flop;
};

static void bench_open(struct run *r, const struct attn_bench *c, struct bench_job *j) {
    *j = (struct bench_job){.kv = {.type = DTYPE_F16, .heads = 1, .d_k = c->d, .d_v = c->d}};
    for (uint32_t p = 0; p < BENCH_PAGES; p++)
        j->pages[p] = garbage(kern_kv_bytes(&j->kv));
    attn_write(r, &j->kv, c->pos0 + c->n_rows, j->pages);
    size_t stride = (size_t)c->group * c->d;
    float *q = malloc(c->n_rows * stride * sizeof *q), *out = malloc(c->n_rows * stride * sizeof *out);
    fill(r, UNIFORM, (uint32_t)(c->n_rows * stride), q);
    r->kern->scale((uint32_t)(c->n_rows * stride), q, 0.05f, q);
    j->attn = (struct kern_attn){.kv = &j->kv,
                                 .pages = j->pages,
                                 .q = q,
                                 .q_stride = stride,
                                 .out = out,
                                 .out_stride = stride,
                                 .n_rows = c->n_rows,
                                 .pos0 = c->pos0,
                                 .n_heads = c->group};
    kern_attn_splits(&j->attn, &j->first, &j->end);
    for (uint32_t s = j->first; s < j->end; s++)
        j->parts[s] = garbage(kern_attn_part_bytes(&j->attn));
    for (uint32_t i = 0; i < c->n_rows; i++)
        j->flop += 4.0 * c->d * c->group * (c->pos0 + i + 1);
}
static void bench_close(struct bench_job *j) {
    for (uint32_t p = 0; p < BENCH_PAGES; p++)
        free(j->pages[p]);
    for (uint32_t s = j->first; s < j->end; s++)
        free(j->parts[s]);
    free((void *)j->attn.q);
    free(j->attn.out);
}

static void bench_attn(const struct kern *kern, const char *only) {
    for (size_t i = 0; i < N_ITEMS(attn_benches); i++) {
        if (!strstr(attn_benches[i].name, only))
            continue;
        struct run r = {.kern = kern};
        struct bench_job j;
        double share[BENCH_SAMPLES], rate[BENCH_SAMPLES];
        bench_open(&r, &attn_benches[i], &j);
        int repeats = kern == &kern_c ? 1 : (int)(5e8 / j.flop) + 1;
        for (int s = 0; s < BENCH_SAMPLES; s++) {
            double peak = fma_peak(strcmp(kern->name, "avx512") == 0 || strcmp(kern->name, "amx") == 0), start = cpu_s();
            for (int k = 0; k < repeats; k++) {
                for (uint32_t split = j.first; split < j.end; split++)
                    kern->attn(&j.attn, 0, split, j.parts[split]);
                kern->attn_merge(&j.attn, 0, j.end - j.first, j.parts + j.first);
            }
            rate[s] = j.flop * repeats / (cpu_s() - start) / 1e9;
            share[s] = rate[s] / peak;
        }
        qsort(share, BENCH_SAMPLES, sizeof *share, by_value);
        qsort(rate, BENCH_SAMPLES, sizeof *rate, by_value);
        printf("%-8s %-42s %6.1f GFLOP/s, of the FMA peak: median %.2f best %.2f\n", kern->name, attn_benches[i].name,
               rate[BENCH_SAMPLES / 2], share[BENCH_SAMPLES / 2], share[BENCH_SAMPLES - 1]);
        bench_close(&j);
    }
}

static void bench_functions(const struct kern *kern) {
    static const struct {
        const char *name;
        size_t at;
    } functions[] = {{"silu", offsetof(struct kern, silu)},
                     {"gelu_tanh", offsetof(struct kern, gelu_tanh)},
                     {"gelu_erf", offsetof(struct kern, gelu_erf)}};
    float x[N_MAX], y[N_MAX];
    struct run r = {.kern = kern};
    fill(&r, UNIFORM, N_MAX, x);
    for (size_t i = 0; i < N_ITEMS(functions); i++) {
        void (*f)(uint32_t, const float *, float *);
        memcpy(&f, (const char *)kern + functions[i].at, sizeof f);
        double start = cpu_s();
        int n = 3000;
        for (int k = 0; k < n; k++)
            f(N_MAX, x, y);
        printf("%-8s %-42s %6.2f values a nanosecond\n", kern->name, functions[i].name,
               n * (double)N_MAX / (cpu_s() - start) / 1e9);
    }
}
