/* vec: a vector of 16 floats, the one type that kern_body.inc computes with. vec_c.h says what each function means; vec_avx2.h,
 * vec_avx512.h and vec_neon.h say the same with the instructions of their machine: one zmm, two ymm, four q. Private to kern.
 *
 *     struct vec x = vec_load(p);
 *     vec_store(p, vec_fma(x, vec_set(2), vec_load(y)));      // p[i] = fma(p[i], 2, y[i]) for 16 i
 *
 * Numerics 1 holds for every function: what it does to a lane depends on that lane alone, and is rounded as named. A text
 * defines struct vec, the functions of vec_c.h, VEC_SUMS (how many sums fit the registers beside what feeds them),
 * VEC_KEEP(v) (an empty statement that makes the compiler hold v in a register; gcc would load it again for every use) and
 * VEC_FORGET() (makes it load again what it holds of memory, where registers are so few that it would spill a sum instead). */
#pragma once

#include "kern_def.h"

/* Constant arguments of such a function are constants inside it, functions passed to it are inlined. */
#define FLAT static inline __attribute__((always_inline))
/* A loop with constant bounds over vectors, which are to be registers. */
#if defined(UNROLLED) /* an emulation has its own */
#elif defined(__clang__)
#define UNROLLED(i, n) _Pragma("unroll") for (uint32_t i = 0; i < (n); i++)
#else
#define UNROLLED(i, n) _Pragma("GCC unroll 24") for (uint32_t i = 0; i < (n); i++)
#endif
