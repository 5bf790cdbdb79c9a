/* dot_bench: `test_dot --bench [--isa NAME] [--beside LIB] [FORMAT]...`: products of each format at the shapes of small and
 * middling models, as shares of what the machine gave in the same moment: int8 products in registers, reading of memory. CPU time
 * of one thread; medians of interleaved samples.
 *
 * LIB is a shared library of the prototype of ../shared/kernels (its k512.c and k256.c), which then runs beside on the same
 * bytes: `gcc -shared -fPIC`, with the flags of its build.sh. */
#pragma once

#include <dlfcn.h>
#include <sys/mman.h>
#include <time.h>

#include "dot_cases.h"

enum { BENCH_BYTES = 96 << 20 /* beyond the caches */, BENCH_N = 2048 /* outputs in a matrix of few rows */, BENCH_SAMPLES = 11 };

static double cpu_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double median(double *of, unsigned n) {
    qsort(of, n, sizeof *of, by_value);
    return of[n / 2];
}

/* ---- ceilings --------------------------------------------------------------------------------------------------- */

/* int8 operations a second (two a product) in registers, or 1 where the tier has no loop of them. */
static double int8_peak(const struct kern_loop *loop) {
    const uint32_t steps = 60000;
    double start = cpu_s();
    if (!loop->run)
        return 1;
    (void)loop->run(steps);
    return 2.0 * steps * loop->products / (cpu_s() - start);
}

static volatile uint64_t bench_sink;
/* Bytes a second, one line after the other. */
static double read_peak(const uint8_t *p, size_t bytes) {
    uint64_t sum[4] = {0};
    double start = cpu_s();
    for (size_t i = 0; i + 256 <= bytes; i += 256)
        for (unsigned j = 0; j < 4; j++) {
            __builtin_prefetch(p + i + 4096 + j * 64);
            sum[j] += *(const uint64_t *)(p + i + j * 64);
        }
    bench_sink = sum[0] + sum[1] + sum[2] + sum[3];
    return (double)bytes / (cpu_s() - start);
}

/* ---- the prototype ------------------------------------------------------------------------------------------------- */

/* As ../shared/kernels/common.h has them. */
struct proto_acts {
    int rows, k;
    int8_t *q;
    float *d;
    int32_t *sums;
};
typedef void proto_fn(const uint8_t *w, int n, int k, int from, int to, const struct proto_acts *a, float *y, int y_stride);
struct proto_isa {
    const char *name;
    int q8_xor;
    proto_fn *row[4], *many[4]; /* Q4_0, Q8_0, none, Q4_K */
};

struct bench {
    struct dot_fns fns;
    const struct kern_loop *int8;
    const struct proto_isa *proto; /* or NULL */
    uint8_t *memory;
};

static proto_fn *proto_of(const struct bench *b, uint32_t dtype, bool many) {
    int i = dtype == DTYPE_Q4_0 ? 0 : dtype == DTYPE_Q8_0 ? 1 : dtype == DTYPE_Q4_K ? 3 : -1;
    return !b->proto || i < 0 ? NULL : many ? b->proto->many[i] : b->proto->row[i];
}

static struct proto_acts proto_acts_make(uint32_t rows, uint32_t k) {
    struct proto_acts a = {(int)rows, (int)k, need((size_t)rows * k), need((size_t)rows * k / 8), need((size_t)rows * k / 8)};
    struct rng r = {3};
    for (size_t i = 0; i < (size_t)rows * k; i++) {
        a.q[i] = (int8_t)(rng_below(&r, 255) - 127);
        a.d[i / 32] = 0.01f;
        a.sums[i / 32] += a.q[i];
    }
    return a;
}

/* ---- one shape ------------------------------------------------------------------------------------------------------- */

struct bench_shape {
    uint32_t dtype, rows, n, k, copies;
    uint64_t bytes; /* of a matrix */
};

/* All copies; seconds. */
static double time_ours(const struct bench *b, const struct bench_shape *s, const struct kern_acts *a, float *y) {
    double start = cpu_s();
    for (uint32_t i = 0; i < s->copies; i++) {
        struct kern_packed w = {s->dtype, s->n, s->k, b->memory + i * s->bytes};
        b->fns.matmul(&w, a, y, s->n, 0, kern_tiles(s->n));
    }
    return cpu_s() - start;
}
static double time_proto(const struct bench *b, const struct bench_shape *s, proto_fn *fn, const struct proto_acts *a, float *y) {
    double start = cpu_s();
    for (uint32_t i = 0; i < s->copies; i++)
        fn(b->memory + i * s->bytes, (int)s->n, (int)s->k, 0, (int)kern_tiles(s->n), a, y, (int)s->n);
    return cpu_s() - start;
}

static void bench_one(const struct bench *b, uint32_t dtype, uint32_t rows, uint32_t n, uint32_t k) {
    struct bench_shape s = {dtype, rows, n, k, 1, kern_packed_bytes(dtype, n, k)};
    if (!s.bytes)
        return;
    if (rows <= 16)
        s.copies = (uint32_t)(BENCH_BYTES / s.bytes);
    enum kern_acts_kind kind = kern_acts_kind(dtype);
    struct kern_acts a = {kind, rows, k, need(kern_acts_bytes(kind, rows, k))};
    uint8_t *faults = need(rows);
    float *x = need((size_t)rows * k * sizeof *x), *y = need((size_t)rows * n * sizeof *y);
    struct rng r = {1};
    fill_x(&r, 0, rows, k, x);
    proto_fn *fn = rows > 1 && rows <= 16 ? NULL : proto_of(b, dtype, rows > 16);
    struct proto_acts pa = proto_acts_make(rows, k);
    double ours[BENCH_SAMPLES], of_int8[BENCH_SAMPLES], of_read[BENCH_SAMPLES], proto[BENCH_SAMPLES], fill[BENCH_SAMPLES];
    double ops = 2.0 * rows * n * k * s.copies, bytes = (double)s.bytes * s.copies;
    for (int i = -1; i < BENCH_SAMPLES; i++) { /* the first one warms up */
        double start = cpu_s();
        b->fns.acts_fill(&a, x, k, 0, rows, faults);
        double filled = cpu_s() - start, peak = int8_peak(b->int8);
        double read = rows <= 16 ? read_peak(b->memory, BENCH_BYTES) : 0;
        double t = time_ours(b, &s, &a, y), p = fn ? time_proto(b, &s, fn, &pa, y) : 0;
        if (i < 0)
            continue;
        double unit = rows <= 16 ? bytes / read : ops / peak;
        fill[i] = filled / t * s.copies, ours[i] = ops / t * 1e-9, of_int8[i] = ops / t / peak, of_read[i] = bytes / t / read;
        proto[i] = fn ? unit / p : 0;
    }
    printf("%-7s %4u x %5u x %5u  %6.1f Gop/s  %.3f of int8", dtype_info(dtype)->name, rows, n, k, median(ours, BENCH_SAMPLES),
           median(of_int8, BENCH_SAMPLES));
    if (rows <= 16)
        printf("  %.3f of read", median(of_read, BENCH_SAMPLES));
    if (fn)
        printf("  prototype %.3f of %s", median(proto, BENCH_SAMPLES), rows <= 16 ? "read" : "int8");
    if (rows > 16)
        printf("  acts_fill %.3f of it", median(fill, BENCH_SAMPLES));
    printf("\n");
    free(pa.q), free(pa.d), free(pa.sums);
    free(a.data), free(faults), free(x), free(y);
}

/* ---- all of them --------------------------------------------------------------------------------------------------------- */

static void bench_format(const struct bench *b, uint32_t dtype) {
    static const struct {
        uint32_t rows, n, k;
    } shapes[] = {{512, 1536, 576},   {512, 576, 1536},    {512, 8960, 1536},  {512, 1536, 8960},
                  {1, BENCH_N, 576},  {1, BENCH_N, 2048},  {2, BENCH_N, 2048}, {4, BENCH_N, 2048},
                  {8, BENCH_N, 2048}, {12, BENCH_N, 2048}, {16, BENCH_N, 576}, {16, BENCH_N, 2048}};
    uint32_t block = dtype_info(dtype)->block_values;
    for (unsigned i = 0; i < N_ITEMS(shapes); i++)
        bench_one(b, dtype, shapes[i].rows, shapes[i].n, (shapes[i].k + block - 1) / block * block);
}

/* Packed bytes that are harmless as whatever a format takes them for. */
static uint8_t *bench_memory(void) {
    size_t page = 2 << 20;
    uint8_t *p = mmap(NULL, BENCH_BYTES + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT(p != MAP_FAILED);
    p += page - (uintptr_t)p % page;
    (void)madvise(p, BENCH_BYTES, MADV_HUGEPAGE);
    struct rng r = {7};
    for (size_t i = 0; i < BENCH_BYTES + 65536; i += 8) {
        uint64_t words = (rng_next(&r) & 0x1fff1fff1fff1fff) + 0x0800080008000800;
        memcpy(p + i, &words, 8);
    }
    return p;
}

static int bench_dot(const char *isa, const char *beside, char **formats, int n_formats) {
    static const uint32_t usual[] = {DTYPE_Q4_1, DTYPE_Q4_0, DTYPE_Q8_0, DTYPE_Q4_K, DTYPE_Q6_K, DTYPE_Q5_K, DTYPE_Q5_0};
    struct err e = {0};
    const struct kern *kern = kern_get(isa, &e);
    void *lib = beside ? dlopen(beside, RTLD_NOW) : NULL;
    if (!kern || (beside && !lib)) {
        fprintf(stderr, "%s\n", kern ? dlerror() : e.msg);
        return 2;
    }
    struct bench b = {.fns = {kern->name, kern->panel, kern->acts_fill, kern->matmul},
                      .int8 = &kern_ceiling(kern)->int8,
                      .memory = bench_memory()};
    bool has_512 = strcmp(kern->name, "avx512") == 0 || strcmp(kern->name, "amx") == 0;
    b.proto = lib ? dlsym(lib, has_512 ? "isa512" : "isa2") : NULL;
    printf("%s: %.1f Gop/s int8, %.1f GB/s read\n", kern->name, int8_peak(b.int8) * 1e-9,
           read_peak(b.memory, BENCH_BYTES) * 1e-9);
    for (unsigned i = 0; !n_formats && i < N_ITEMS(usual); i++)
        bench_format(&b, usual[i]);
    for (const struct format_case *f = format_cases; f < format_cases + N_ITEMS(format_cases); f++)
        for (int i = 0; i < n_formats; i++)
            if (strcmp(formats[i], dtype_info(f->dtype)->name) == 0)
                bench_format(&b, f->dtype);
    return 0;
}
