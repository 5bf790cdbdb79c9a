/* dot_emulated: the tests of a text that runs on AVX2, with functions of ours for the instructions that the machine may lack. */
#pragma once

#include "dot_cases.h"

static int emulated_main(const struct dot_fns *tier) {
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        printf("0 passed, 0 failed, 1 skipped\n");
        return 0;
    }
    struct err e = {0};
    const struct kern *plain = kern_get("c", &e);
    const struct dot_fns def = {"c", plain->panel, plain->acts_fill, plain->matmul};
    size_t outputs = 0;
    unsigned failed = cases_all(&def, tier, &outputs), all = N_ITEMS(format_cases);
    const char *fault = faults_wrong(tier);
    if (fault)
        printf("FAIL %s\n", fault);
    failed += fault != NULL;
    printf("%zu outputs compared\n%u passed, %u failed\n", outputs, all + 1 - failed, failed);
    return failed != 0;
}
