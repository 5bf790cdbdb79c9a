/* kern_check: small products of a tier beside the definition, when it is chosen: a CPU or a hypervisor that computes something
 * else shall not serve. The tests compare far more; this takes about a millisecond. */
#include <string.h>

#include "kern_def.h"
#include "kern_dot.h"

enum {
    CHECK_N = KERN_TILE + 1, /* two tiles */
    CHECK_K = 256,
    CHECK_ROWS = KERN_PANEL + 1, /* a panel of the widest tier, and a row that is streamed */
    CHECK_BYTES = 2 * KERN_TILE * CHECK_K * 2,
};

/* One format of each kind of text: dense, nibbles, bytes, scales with minimums, scales of halves. */
static const uint8_t check_types[] = {DTYPE_F16, DTYPE_Q4_0, DTYPE_Q8_0, DTYPE_Q4_K, DTYPE_Q6_K};

struct check {
    _Alignas(KERN_ALIGN) uint8_t weights[CHECK_BYTES];
    _Alignas(KERN_ALIGN) uint8_t acts[CHECK_ROWS * CHECK_K * sizeof(float)];
    float x[CHECK_ROWS * CHECK_K], y[CHECK_ROWS * CHECK_N], want[CHECK_ROWS * CHECK_N];
};

/* The same numbers every time. Read as f16, all of them are finite. */
static void check_fill(struct check *c) {
    uint64_t s = 1;
    for (size_t i = 0; i < sizeof c->weights; i += sizeof s) {
        s = s * 6364136223846793005u + 1442695040888963407u;
        uint64_t word = (s ^ s >> 29) & 0xbfffbfffbfffbfff;
        memcpy(c->weights + i, &word, sizeof word);
    }
    for (size_t i = 0; i < N_ITEMS(c->x); i++) {
        s = s * 6364136223846793005u + 1442695040888963407u;
        c->x[i] = (float)(int32_t)(s >> 32) * 0x1p-31f;
    }
}

static void check_product(const struct kern *kern, struct check *c, enum dtype type, uint32_t rows, float *y) {
    const struct kern_packed w = {type, CHECK_N, CHECK_K, c->weights};
    struct kern_acts a = {kern_acts_kind(type), rows, CHECK_K, c->acts};
    uint8_t faults[CHECK_ROWS] = {0};
    kern->acts_fill(&a, c->x, CHECK_K, 0, rows, faults);
    kern->matmul(&w, &a, y, CHECK_N, 0, kern_tiles(CHECK_N));
}

static bool check_type(const struct kern *kern, struct check *c, enum dtype type) {
    const uint32_t rows[] = {1, kern_is_dense(type) ? 3 : CHECK_ROWS}; /* the definition's fma is slow without the instruction */
    ASSERT(kern_packed_bytes(type, CHECK_N, CHECK_K) <= sizeof c->weights);
    check_product(&kern_c, c, type, rows[1], c->want);
    for (unsigned i = 0; i < 2; i++) {
        check_product(kern, c, type, rows[i], c->y);
        if (memcmp(c->y, c->want, (size_t)rows[i] * CHECK_N * sizeof *c->y) != 0)
            return false;
    }
    return true;
}

bool kern_check(const struct kern *kern) {
    struct check c;
    if (kern == &kern_c)
        return true;
    check_fill(&c);
    for (unsigned i = 0; i < N_ITEMS(check_types); i++)
        if (!check_type(kern, &c, (enum dtype)check_types[i]))
            return false;
    return true;
}
