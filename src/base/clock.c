/* clock and randomness: what the kernel knows and arithmetic must not. */
#include "base.h"

#include <sys/random.h>
#include <time.h>

uint64_t random_u64(void) {
    uint64_t v;
    ASSERT(getrandom(&v, sizeof v, 0) == sizeof v);
    return v;
}

uint64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int64_t clock_wall_s(void) {
    return (int64_t)time(NULL);
}
