/* kern_avx512: the tier for AVX-512 (F, BW, VL, DQ) with VNNI. */
#include "vec_avx512.h"
#include "kern_dot_avx512.h"
#include "kern_body.inc"

const struct kern kern_avx512 = KERN_TABLE("avx512", acts_fill_avx512, matmul_avx512);
