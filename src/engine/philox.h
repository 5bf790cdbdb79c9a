/* philox: the counter-based generator of all randomness of answers (numerics 9). Philox4x32-10 of Salmon, Moraes, Dror and
 * Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011): no state, so a draw depends on its key and place alone. */
#pragma once

#include <stdint.h>

enum philox_purpose {
    PHILOX_SAMPLE = 0, /* position: that of the token which is drawn */
    PHILOX_CHOICE = 1, /* position: the number of the choice; gives its seed */
};
/* The first two words of the block, the first of them low. Key: seed, low word first; counter: position, then purpose. */
uint64_t philox(uint64_t seed, uint64_t position, enum philox_purpose purpose);

/* The block itself, for its test against the published vectors. */
void philox_block(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);
