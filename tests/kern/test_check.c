/* test_check: a tier that computes something else is not used: every tier of this machine passes the check of kern_get, and one
 * whose products are off by a bit, of any format and number of rows, does not. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kern/kern_def.h"

static unsigned passed, failed;
static void check(bool ok, const char *what) {
    passed += ok;
    failed += !ok;
    if (!ok)
        printf("FAIL %s\n", what);
}

/* The definition, but for the last bit of one output of one format, with at least so many rows. */
static uint32_t broken_type, broken_rows;
static void matmul_broken(const struct kern_packed *w, const struct kern_acts *a, float *y, size_t y_stride, uint32_t from,
                          uint32_t to) {
    kern_c.matmul(w, a, y, y_stride, from, to);
    if (w->type == broken_type && a->rows >= broken_rows) {
        uint32_t bits = bits_of(y[w->n - 1]) ^ 1;
        y[w->n - 1] = float_of(bits);
    }
}

int main(void) {
    struct err e = {0};
    log_level = LOG_ERROR;
    for (unsigned i = 0; kern_isa(i); i++) {
        struct timespec start, end;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
        const struct kern *kern = kern_get(kern_isa(i), &e);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
        check(kern && strcmp(kern->name, kern_isa(i)) == 0, kern_isa(i));
        printf("%s: %.0f us\n", kern_isa(i),
               (double)(end.tv_sec - start.tv_sec) * 1e6 + (double)(end.tv_nsec - start.tv_nsec) / 1e3);
    }
    struct kern broken = kern_c;
    broken.name = "broken";
    broken.matmul = matmul_broken;
    const struct kern *const tiers[] = {&kern_c, &broken};
    static const uint32_t types[] = {DTYPE_F16, DTYPE_Q4_0, DTYPE_Q8_0, DTYPE_Q4_K, DTYPE_Q6_K};
    for (unsigned i = 0; i < N_ITEMS(types); i++)
        for (broken_rows = 1; broken_rows < 4; broken_rows += 2) {
            broken_type = types[i];
            check(kern_choose(tiers, 2, NULL, "test", &e) == &kern_c, "a broken tier is chosen");
        }
    struct err named = {0};
    check(!kern_choose(tiers, 2, "broken", "--isa", &named) && named.code == ERR_ENV && strstr(named.msg, "computes other bits"),
          "a broken tier that is named");
    broken_type = DTYPE_F32;
    check(kern_choose(tiers, 2, NULL, "test", &e) == &broken, "what is not broken");
    struct err unknown = {0};
    check(!kern_choose(tiers, 2, "mmx", "--isa", &unknown) && strstr(unknown.msg, "it has c, broken"),
          "a tier that is not there");
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
