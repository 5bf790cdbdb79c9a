/* golden_dot: hashes of the outputs of test_dot's fixed inputs, the same for every tier, compiler and machine. A line moves
 * only with a rule of docs/numerics.md; `test_dot --golden` prints them. */
#pragma once

#include <stdint.h>

static const struct {
    const char *format;
    uint64_t hash;
} golden_dot[] = {
    {"F32", 0xc4884b9a7204c3be},  {"F16", 0xea45157aa9550b31},  {"BF16", 0x7ad260dd512cf744}, {"Q4_0", 0xfbd5a8dadc577c4d},
    {"Q4_1", 0x08a38b1671ea65c0}, {"Q5_0", 0x13f6914278feab2d}, {"Q5_1", 0xb6e36978ee5b933f}, {"Q8_0", 0x8a83a74b8bb8f31a},
    {"Q4_K", 0x399d150088417fcc}, {"Q5_K", 0xfd28af3b66dc50fc}, {"Q6_K", 0xbc61a5f722d1e07d},
};
