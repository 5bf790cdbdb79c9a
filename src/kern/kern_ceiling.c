/* kern_ceiling: for each tier a loop in registers of nothing but its int8 products and one of its float32 fma: the rates that its
 * operations are held against. Every factor is 1, so that the sums tell how many products there were.
 *
 * int8 products are, by tier:
 *   avx2     vpmaddubsw with vpaddw: without it products are in no sum. The vpmaddwd that widens a block's sums is left out: one
 *            in eight at most
 *   avxvnni  vpdpbusd ymm        avx512  vpdpbusd zmm
 *   amx      tdpbssd on whole tiles, 16 rows of 64 bytes; blocks of 32 fill half of one
 *   neon     sdot                i8mm    smmla */
#include "kern_def.h"

#if defined(__x86_64__) || defined(__aarch64__)

/* Twelve independent chains hide a latency of four cycles at two a cycle with room to spare. Each is a variable: in an array they
 * would lie in memory. */
enum { CHAINS = 12 };
#define EACH_CHAIN(DO, x)                                                                                                        \
    DO(0, x) DO(1, x) DO(2, x) DO(3, x) DO(4, x) DO(5, x) DO(6, x) DO(7, x) DO(8, x) DO(9, x) DO(10, x) DO(11, x)
#define CHAIN_BEGIN(i, vector) vector sum##i = {0};
#define CHAIN_STEP(i, text)                                                                                                      \
    __asm__ volatile(text : [sum] "+" ANY_VECTOR(sum##i), [product] "=&" ANY_VECTOR(product) : [one] ANY_VECTOR(one));
#define CHAIN_END(i, all) all += sum##i;

/* name: n steps of `text` on all chains, vectors of bytes / sizeof(lane) sums. */
#define LOOP(name, isa, lane, bytes, ones, text)                                                                                 \
    __attribute__((target(isa))) static double name(uint64_t n) {                                                                \
        typedef lane vector __attribute__((vector_size(bytes)));                                                                 \
        const vector one = (vector){0} + (ones);                                                                                 \
        vector product, all = {0};                                                                                               \
        double total = 0;                                                                                                        \
        EACH_CHAIN(CHAIN_BEGIN, vector)                                                                                          \
        while (n--) {                                                                                                            \
            EACH_CHAIN(CHAIN_STEP, text)                                                                                         \
        }                                                                                                                        \
        EACH_CHAIN(CHAIN_END, all)                                                                                               \
        for (unsigned i = 0; i < (bytes) / sizeof(lane); i++)                                                                    \
            total += all[i];                                                                                                     \
        return total;                                                                                                            \
    }
enum { ONES_16 = 0x0101, ONES_32 = 0x01010101 };
#endif

#ifdef __x86_64__
#include "kern_tile_amx.h"

#define ANY_VECTOR "x" /* of the sixteen that VEX can name */
LOOP(fma_256, "avx2,fma", float, 32, 1.0f, "vfmadd231ps %[one], %[one], %[sum]")
LOOP(fma_512, "avx512f", float, 64, 1.0f, "vfmadd231ps %[one], %[one], %[sum]")
LOOP(maddubs_256, "avx2", uint16_t, 32, ONES_16, "vpmaddubsw %[one], %[one], %[product]\n\tvpaddw %[product], %[sum], %[sum]")
LOOP(dpbusd_256, "avx2", uint32_t, 32, ONES_32, "%{vex%} vpdpbusd %[one], %[one], %[sum]")
LOOP(dpbusd_512, "avx512f", uint32_t, 64, ONES_32, "vpdpbusd %[one], %[one], %[sum]")

/* Four chains: a tile product takes 52 cycles, and one begins every 16. */
enum { TILE_SIDE = 16, TILE_LINE = 64, TILE_SUMS = TILE_SIDE * TILE_SIDE, TILE_CHAINS = 4 };
static double tdpbssd(uint64_t n) {
    static const struct tile_shapes whole = {
        .palette = 1, .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};
    int8_t ones[TILE_SIDE * TILE_LINE];
    int32_t sums[TILE_CHAINS * TILE_SUMS];
    double all = 0;
    memset(ones, 1, sizeof ones);
    tile_open(&whole);
    tile_load(TILE_A, ones, TILE_LINE);
    tile_load(TILE_B, ones, TILE_LINE);
    for (unsigned c = 0; c < TILE_CHAINS; c++)
        tile_zero(c);
    while (n--) {
        tile_dot(0, TILE_A, TILE_B);
        tile_dot(1, TILE_A, TILE_B);
        tile_dot(2, TILE_A, TILE_B);
        tile_dot(3, TILE_A, TILE_B);
    }
    for (unsigned c = 0; c < TILE_CHAINS; c++)
        tile_store(c, sums + c * TILE_SUMS, TILE_LINE);
    tile_close();
    for (unsigned i = 0; i < N_ITEMS(sums); i++)
        all += sums[i];
    return all;
}

#elif defined(__aarch64__)
#define ANY_VECTOR "w"
LOOP(fmla, "arch=armv8.2-a", float, 16, 1.0f, "fmla %[sum].4s, %[one].4s, %[one].4s")
LOOP(sdot, "arch=armv8.2-a+dotprod", uint32_t, 16, ONES_32, "sdot %[sum].4s, %[one].16b, %[one].16b")
LOOP(smmla, "arch=armv8.2-a+i8mm", uint32_t, 16, ONES_32, "smmla %[sum].4s, %[one].16b, %[one].16b")
#endif

static const struct {
    const struct kern *kern;
    struct kern_ceiling ceiling;
} ceilings[] = {
    {&kern_c, {{NULL, 0}, {NULL, 0}}},
#ifdef __x86_64__
    {&kern_avx2, {{maddubs_256, CHAINS * 32}, {fma_256, CHAINS * 8}}},
    {&kern_avxvnni, {{dpbusd_256, CHAINS * 32}, {fma_256, CHAINS * 8}}},
    {&kern_avx512, {{dpbusd_512, CHAINS * 64}, {fma_512, CHAINS * 16}}},
    {&kern_amx, {{tdpbssd, TILE_CHAINS *TILE_SUMS *TILE_LINE}, {fma_512, CHAINS * 16}}},
#endif
#ifdef __aarch64__
    {&kern_neon, {{sdot, CHAINS * 16}, {fmla, CHAINS * 4}}},
    {&kern_i8mm, {{smmla, CHAINS * 32}, {fmla, CHAINS * 4}}},
#endif
};

const struct kern_ceiling *kern_ceiling(const struct kern *kern) {
    for (size_t i = 1; i < N_ITEMS(ceilings); i++)
        if (ceilings[i].kern == kern)
            return &ceilings[i].ceiling;
    return &ceilings[0].ceiling;
}
