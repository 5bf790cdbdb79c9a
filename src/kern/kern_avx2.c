/* kern_avx2: the tier for AVX2, FMA and F16C. */
#include "vec_avx2.h"
#include "kern_dot_avx2.h"
#include "kern_body.inc"

const struct kern kern_avx2 = KERN_TABLE("avx2", DOT_T, acts_fill_avx2, matmul_avx2);
