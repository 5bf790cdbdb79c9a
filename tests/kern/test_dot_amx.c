/* test_dot_amx: the AMX text of the products beside the definition, on machines without AMX: emu_amx.h stands in for its tiles,
 * emu_avx512.h for the rest. test_amx_object.c runs the compiled text itself. */
#if !defined(__x86_64__)
#include <stdio.h>
int main(void) {
    printf("0 passed, 0 failed, 1 skipped\n");
    return 0;
}
#else
#include "emu_avx512.h"
#include "emu_amx.h"

#define DOT_KEEP(v) ((void)0)
#define DOT_UNROLL /* or the compiler takes minutes */
#include "kern/kern_dot_avx512.h"
#include "kern/kern_dot_amx.h"

#include "dot_cases.h"

int main(void) {
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        printf("0 passed, 0 failed, 1 skipped\n");
        return 0;
    }
    struct err e = {0};
    const struct kern *plain = kern_get("c", &e);
    const struct dot_fns def = {"c", plain->panel, plain->acts_fill, plain->matmul},
                         tier = {"amx", DOT_T, acts_fill_amx, matmul_amx};
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
