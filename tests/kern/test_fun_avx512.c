/* The AVX-512 text of everything but the products on machines without AVX-512 (emu_avx512.h stands in). */
#if !defined(__x86_64__)
#include <stdio.h>
int main(void) {
    printf("0 passed, 0 failed, 1 skipped\n");
    return 0;
}
#else
#include "emu_avx512.h"

#define VEC_KEEP(v) ((void)0)
#define UNROLLED(i, n) for (uint32_t i = 0; i < (n); i++) /* or the compiler takes minutes */
#include "kern/vec_avx512.h"
#include "kern/kern_dot.h"
enum { DOT_T = 4 }; /* rows of a panel, as the real tier has */
#include "kern/kern_body.inc"

static const struct kern kern_emulated = KERN_TABLE("avx512 (emulated)", 1, acts_fill_def, matmul_def);

#include "fun_cases.h"

int main(void) {
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        printf("0 passed, 0 failed, 1 skipped\n");
        return 0;
    }
    return fun_main(2, (const struct kern *[]){&kern_c, &kern_emulated});
}
#endif
