/* kern_i8mm: the tier for 64-bit ARM with dot products and byte matrix products (ARMv8.6, or the I8MM feature before). */
#include "vec_neon.h"
#include "kern_dot_neon.h"
#include "kern_body.inc"

const struct kern kern_i8mm = KERN_TABLE("i8mm", DOT_T, acts_fill_neon, matmul_neon);
