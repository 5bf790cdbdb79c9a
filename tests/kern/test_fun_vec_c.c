/* kern_body.inc over vectors in plain C: its logic on every machine, and under the sanitizers. */
#include "kern/vec_c.h"
#include "kern/kern_dot.h"
enum { DOT_T = 1 }; /* acts_fill_def takes any row */
#include "kern/kern_body.inc"

static const struct kern kern_vec_c = KERN_TABLE("vec_c", 1, acts_fill_def, matmul_def);

#include "fun_cases.h"

int main(void) {
    return fun_main(2, (const struct kern *[]){&kern_c, &kern_vec_c});
}
