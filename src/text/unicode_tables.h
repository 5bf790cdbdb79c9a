/* The raw tables of Unicode 16.0 that gen_unicode.py writes; unicode_props.c and unicode_norm.c give them their meaning. */
#pragma once

#include <stdint.h>

enum { UNICODE_BLOCK = 128, UNICODE_BLOCKS = 0x110000 / UNICODE_BLOCK };

struct unicode_decomposition {
    uint32_t cp, first, second; /* one level; second is 0 for a singleton */
};
struct unicode_combining {
    uint32_t first, last, ccc; /* canonical combining class of a range, never 0 */
};
struct unicode_lower {
    uint32_t first, last, step; /* first, first + step, ... last */
    int32_t distance;           /* to the small letter */
};

extern const uint16_t unicode_block_of[UNICODE_BLOCKS];             /* cp / 128: number of a block of 128 letters */
extern const char unicode_classes[];                                /* blocks; 'a' + number of a class */
extern const struct unicode_decomposition unicode_decompositions[]; /* by cp */
extern const uint16_t unicode_compositions[];               /* indices of decompositions that NFC reverses, by (first, second) */
extern const uint32_t unicode_seconds[];                    /* starters that NFC may put together with what is before them */
extern const struct unicode_combining unicode_combinings[]; /* by first */
extern const struct unicode_lower unicode_lowers[];         /* by first, disjoint */
extern const unsigned unicode_n_decompositions, unicode_n_compositions, unicode_n_seconds, unicode_n_combinings, unicode_n_lowers;
