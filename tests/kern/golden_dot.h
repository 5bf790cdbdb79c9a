/* golden_dot: hashes of the outputs of test_dot's fixed inputs, the same for every tier, compiler and machine. A line moves
 * only with a rule of docs/numerics.md; `test_dot --golden` prints them. */
#pragma once

#include <stdint.h>

static const struct {
    const char *format;
    uint64_t hash;
} golden_dot[] = {
    {"F32", 0xddd29c13c4478ed5},  {"F16", 0x7fccd90f5721bc2f},  {"BF16", 0xd24d1432d6d976f8}, {"Q4_0", 0x8e570c2fd72e18ce},
    {"Q4_1", 0xf519b16ff218f1e3}, {"Q5_0", 0x215b7cda5c2f923b}, {"Q5_1", 0x5f2422c30a4d8877}, {"Q8_0", 0xbbdf34ed3548f195},
    {"Q4_K", 0xb6fef34f70293a1f}, {"Q5_K", 0xb8b9f57b3af23a6c}, {"Q6_K", 0x5f25de81735ac6e1},
};
