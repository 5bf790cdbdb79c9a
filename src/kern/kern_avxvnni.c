/* kern_avxvnni: the tier for AVX2 with the byte products of AVX-VNNI. */
#include "vec_avx2.h"
#include "kern_dot_avx2.h"
#include "kern_body.inc"

const struct kern kern_avxvnni = KERN_TABLE("avxvnni", DOT_T, acts_fill_avx2, matmul_avx2);
