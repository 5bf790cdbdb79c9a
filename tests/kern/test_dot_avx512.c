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

#include "dot_emulated.h"

int main(void) {
    return emulated_main(&(struct dot_fns){"avx512", DOT_T, acts_fill_avx512, matmul_avx512});
}
#endif
