/* test_dot_avx512: the AVX-512 text of the products beside the definition, on machines without AVX-512 (emu_avx512.h
 * stands in). Where the CPU has the tier, test_dot has it too. */
#if !defined(__x86_64__)
#include <stdio.h>
int main(void) {
    printf("0 passed, 0 failed, 1 skipped\n");
    return 0;
}
#else
#include "emu_avx512.h"

#define DOT_KEEP(v) ((void)0)
#define DOT_UNROLL /* or the compiler takes minutes */
#include "kern/kern_dot_avx512.h"

#include "dot_cases.h"

int main(void) {
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        printf("0 passed, 0 failed, 1 skipped\n");
        return 0;
    }
    struct err e = {0};
    const struct kern *plain = kern_get("c", &e);
    const struct dot_fns def = {"c", plain->panel, plain->acts_fill, plain->matmul},
                         tier = {"avx512", DOT_T, acts_fill_avx512, matmul_avx512};
    size_t outputs = 0;
    unsigned failed = cases_all(&def, &tier, &outputs), all = N_ITEMS(format_cases);
    const char *fault = faults_wrong(&tier);
    if (fault)
        printf("FAIL %s\n", fault);
    failed += fault != NULL;
    printf("%zu outputs compared\n%u passed, %u failed\n", outputs, all + 1 - failed, failed);
    return failed != 0;
}
#endif
