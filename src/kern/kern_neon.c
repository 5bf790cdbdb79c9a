/* kern_neon: the tier for 64-bit ARM with the dot product instructions (ARMv8.2 and later). */
#include "vec_neon.h"
#include "kern_dot_neon.h"
#include "kern_body.inc"

const struct kern kern_neon = KERN_TABLE("neon", DOT_T, acts_fill_neon, matmul_neon);
