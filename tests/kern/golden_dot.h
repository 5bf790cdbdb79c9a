/* golden_dot: hashes of the outputs of test_dot's fixed inputs, the same for every tier, compiler and machine. A line moves
 * only with a rule of docs/numerics.md; `test_dot --golden` prints them. */
#pragma once

#include <stdint.h>

static const struct {
    const char *format;
    uint64_t hash;
} golden_dot[] = {
    {"F32", 0xc4884b9a7204c3be},     {"F16", 0xea45157aa9550b31},    {"BF16", 0x7ad260dd512cf744},
    {"Q4_0", 0xfbd5a8dadc577c4d},    {"Q4_1", 0x08a38b1671ea65c0},   {"Q5_0", 0x13f6914278feab2d},
    {"Q5_1", 0xb6e36978ee5b933f},    {"Q8_0", 0x8a83a74b8bb8f31a},   {"Q4_K", 0x399d150088417fcc},
    {"Q5_K", 0xfd28af3b66dc50fc},    {"Q6_K", 0xbc61a5f722d1e07d},   {"Q2_K", 0x411a5aede7990360},
    {"Q3_K", 0x53d28afaad255b4a},    {"IQ4_NL", 0x1eb0f4968ef009c7}, {"IQ4_XS", 0x65643b908bf83be0},
    {"MXFP4", 0xf35f2dfabc3c63ae},   {"NVFP4", 0x02690ef23b7ef6e6},  {"TQ1_0", 0xe202dcfc01a4fc9f},
    {"TQ2_0", 0x3672283dfe53f538},   {"Q1_0", 0x9e53835e17fd97e2},   {"Q2_0", 0xb058d2956a2defcc},
    {"IQ2_XXS", 0x4f67b05dca9b3201}, {"IQ2_XS", 0xbb5f71011d07ab8c}, {"IQ2_S", 0x924a0f1b42c7497b},
    {"IQ3_XXS", 0x23c9b8ff4f4a86da}, {"IQ3_S", 0xc1fa28a601b356a2},  {"IQ1_S", 0x7c5550763a4df985},
    {"IQ1_M", 0xe64ca70f9a5d0f52},
};
