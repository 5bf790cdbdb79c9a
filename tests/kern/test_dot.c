/* test_dot: matrix products of every tier of this machine beside the definition, bit for bit; golden hashes; golden blocks of
 * every format.
 *
 *     test_dot            compares, prints "N passed, N failed, N skipped"
 *     test_dot --golden   prints the lines of golden_dot.h
 *     test_dot --bench    speed, see dot_bench.h */
#include <fcntl.h>
#include <math.h>

#include "dot_bench.h"
#include "golden_dot.h"

static unsigned passed, failed, skipped;

static void check(bool ok, const char *what, const char *of) {
    passed += ok;
    failed += !ok;
    if (!ok)
        printf("FAIL %s: %s\n", of, what);
}

static struct dot_fns fns_of(const char *isa) {
    struct err e = {0};
    const struct kern *kern = kern_get(isa, &e);
    ASSERT(kern);
    return (struct dot_fns){kern->name, kern->panel, kern->acts_fill, kern->matmul};
}

/* ---- golden hashes: the same on every tier, compiler and level of optimisation ------------------------------------------- */

static uint64_t hash_bytes(uint64_t h, const void *p, size_t n) { /* FNV-1a */
    for (const uint8_t *b = p; n--; b++)
        h = (h ^ *b) * 0x100000001b3u;
    return h;
}
#define HASH_START 0xcbf29ce484222325u

static uint64_t golden_hash(const struct format_case *f, const struct dot_fns *fns) {
    uint64_t h = HASH_START;
    for (unsigned mode = 0; mode < X_MODES; mode++) {
        struct dot_case c = case_make(f, 40, 768, 1 + 3 * mode, mode % WEIGHT_MODES, mode, 1000 + mode);
        float *y = case_run(&c, fns, 0);
        h = hash_bytes(h, y, (size_t)c.rows * c.y_stride * sizeof *y);
        free(y);
        case_free(&c);
    }
    return h;
}

static uint64_t golden_of(const char *format) {
    for (size_t i = 0; i < N_ITEMS(golden_dot); i++)
        if (strcmp(golden_dot[i].format, format) == 0)
            return golden_dot[i].hash;
    return 0;
}

static void test_golden(const struct dot_fns *fns) {
    for (const struct format_case *f = format_cases; f < format_cases + N_ITEMS(format_cases); f++) {
        const char *name = dtype_info(f->dtype)->name;
        bool same = golden_hash(f, fns) == golden_of(name);
        if (!same)
            printf("%s on %s: ", name, fns->name);
        check(same, "another hash than golden_dot.h", name);
    }
}

/* ---- golden blocks ----------------------------------------------------------------------------------------------------------- */

static void *file_read(const char *name, const char *suffix, size_t *bytes) {
    char path[128];
    snprintf(path, sizeof path, "../shared/quants/%s%s", name, suffix);
    struct buf b = {0};
    struct err e = {0};
    if (fs_read(AT_FDCWD, path, &b, &e) < 0)
        return NULL;
    *bytes = b.n;
    return b.p;
}

/* The largest |y - exact| / sum |w x| over rows [from, to) of the eight. */
static double mm_error(const float *y, const double *exact, unsigned from, unsigned to) {
    double worst = 0;
    for (unsigned i = from * 16; i < to * 16; i++) {
        double r = fabs((double)y[i] - exact[i]) / exact[128 + i];
        worst = r > worst ? r : worst;
    }
    return worst;
}

/* Activations of rows 0..4 are exact in int8, so there only sums err; ggml's figures are the bounds (README of shared/quants). */
static void test_mm(uint32_t dtype, const struct dot_fns *fns) {
    const char *name = dtype_info(dtype)->name;
    size_t n;
    void *w = file_read(name, "_mm.bin", &n), *exact = file_read(name, "_mm.f64", &n);
    float *x = file_read("mm_x", ".f32", &n), row[512], stored[512];
    struct dot_case c = {.packed = need(kern_packed_bytes(dtype, 16, 512)), .x = x, .rows = 8, .y_stride = 16};
    struct err e = {0};
    check(kern_pack(dtype, 16, 512, w, c.packed, &e) == 0, "cannot be packed", name);
    c.w = (struct kern_packed){dtype, 16, 512, c.packed};
    float *y = case_run(&c, fns, 0);
    check(mm_error(y, exact, 0, 5) <= 1.4e-7, "the sums of exact rows err by more than ggml's", name);
    double bound = dtype == DTYPE_TQ1_0 || dtype == DTYPE_TQ2_0 ? 1.1e-2 : dtype == DTYPE_Q2_0 ? 3.1e-3 : 2.2e-3;
    check(mm_error(y, exact, 5, 8) <= bound, "general rows err by more than ggml's", name);
    bool same = true;
    for (uint32_t i = 0; i < 16; i++) {
        kern_packed_row(&c.w, i, row);
        kern_decode(dtype, 512, (const uint8_t *)w + i * dtype_bytes(dtype, 512), stored);
        same = same && memcmp(row, stored, sizeof row) == 0;
    }
    check(same, "a packed row is not the stored row", name);
    free(y);
    free(w);
    free(exact);
    case_free(&c);
}

static void test_blocks(uint32_t dtype, const struct dot_fns *fns, bool show) {
    const char *name = dtype_info(dtype)->name;
    size_t n_stored, n_want;
    uint8_t *stored = file_read(name, ".bin", &n_stored);
    float *want = file_read(name, ".f32", &n_want);
    if (!stored || !want) {
        skipped++;
        return;
    }
    size_t n = n_want / sizeof *want, n_same = 0;
    float *got = need(n_want);
    kern_decode(dtype, n, stored, got);
    for (size_t i = 0; i < n; i++)
        n_same += memcmp(got + i, want + i, sizeof *got) == 0;
    check(n_same == n, "decoded values differ", name);
    if (show)
        printf("%-8s %5zu blocks, %6zu of %6zu values bit for bit\n", name, n / dtype_info(dtype)->block_values, n_same, n);
    free(got);
    free(want);
    free(stored);
    test_mm(dtype, fns);
}

static void test_refusals(void) {
    uint8_t block[36] = {0}, out[1088];
    struct err e = {0};
    block[18] = 0x00, block[19] = 0x7c; /* the second block's scale is infinite */
    check(kern_pack(DTYPE_Q4_0, 1, 64, block, out, &e) == ERR_INPUT && strstr(e.msg, "row 0, block 1"), "infinite scale", "Q4_0");
    struct err plain = {0};
    float nan_row[2] = {0, NAN};
    check(kern_pack(DTYPE_F32, 1, 2, nan_row, out, &plain) == ERR_INPUT && strstr(plain.msg, "value 1"), "NaN weight", "F32");
    check(kern_packed_bytes(DTYPE_Q4_0, 1, 33) == 0 && kern_packed_bytes(DTYPE_I32, 1, 32) == 0, "sizes", "kern_packed_bytes");
}

static int bench_args(int n, char **args) {
    const char *isa = NULL, *beside = NULL;
    for (; n >= 2 && args[0][0] == '-'; n -= 2, args += 2)
        if (strcmp(args[0], "--isa") == 0)
            isa = args[1];
        else if (strcmp(args[0], "--beside") == 0)
            beside = args[1];
    return bench_dot(isa, beside, args, n);
}

int main(int argc, char **argv) {
    struct dot_fns def = fns_of("c");
    if (argc > 1 && strcmp(argv[1], "--bench") == 0)
        return bench_args(argc - 2, argv + 2);
    if (argc > 1 && strcmp(argv[1], "--golden") == 0) {
        for (const struct format_case *f = format_cases; f < format_cases + N_ITEMS(format_cases); f++)
            printf("    {\"%s\", 0x%016llx},\n", dtype_info(f->dtype)->name, (unsigned long long)golden_hash(f, &def));
        return 0;
    }
    for (unsigned i = 0; kern_isa(i); i++) {
        struct dot_fns fns = fns_of(kern_isa(i));
        size_t outputs = 0;
        test_golden(&fns);
        const char *fault = faults_wrong(&fns);
        check(!fault, fault, fns.name);
        for (const struct format_case *f = format_cases; f < format_cases + N_ITEMS(format_cases); f++)
            if (f->dtype != DTYPE_F32)
                test_blocks(f->dtype, &fns, i == 0);
        if (i > 0)
            check(cases_all(&def, &fns, &outputs) == 0, "differs from the definition", fns.name);
        printf("%s: %zu outputs compared\n", fns.name, outputs);
    }
    test_refusals();
    printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
    return failed != 0;
}
