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

#include "dot_emulated.h"

int main(void) {
    return emulated_main(&(struct dot_fns){"amx", DOT_T, acts_fill_amx, matmul_amx});
}
#endif
