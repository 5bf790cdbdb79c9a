/* test_ceiling: the loops of every tier of this machine do the products that they are counted with, and the plain tier has none. */
#include <stdio.h>
#include <string.h>

#include "kern/kern_def.h"

static unsigned passed, failed;
static void check(bool ok, const char *tier, const char *what) {
    passed += ok;
    failed += !ok;
    if (!ok)
        printf("FAIL %s: %s\n", tier, what);
}

static bool counts(const struct kern_loop *loop) {
    static const uint32_t steps[] = {0, 1, 3, 1024};
    for (unsigned i = 0; loop->run && i < N_ITEMS(steps); i++)
        if (loop->run(steps[i]) != (double)steps[i] * loop->products)
            return false;
    return loop->run && loop->products;
}

int main(void) {
    struct err e = {0};
    check(!kern_ceiling(&kern_c)->int8.run && !kern_ceiling(&kern_c)->f32.run, "c", "has loops");
    for (unsigned i = 1; kern_isa(i); i++) {
        const struct kern_ceiling *of = kern_ceiling(kern_get(kern_isa(i), &e));
        check(counts(&of->int8), kern_isa(i), "int8 products");
        check(counts(&of->f32), kern_isa(i), "float32 fma");
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
