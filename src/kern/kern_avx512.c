/* kern_avx512: the tiers for AVX-512 (F, BW, VL, DQ) with VNNI, and for AMX-INT8 on top of it: other products, the same rest. */
#include "vec_avx512.h"
#include "kern_dot_avx512.h"
#include "kern_body.inc"

const struct kern kern_avx512 = KERN_TABLE("avx512", DOT_T, acts_fill_avx512, matmul_avx512);
const struct kern kern_amx = KERN_TABLE("amx", DOT_T, acts_fill_amx, matmul_amx);
