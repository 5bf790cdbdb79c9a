/* kern_tile_amx: the eight tile registers of AMX-INT8, as kern_dot_amx.h uses them:
 *
 *     tile_open(&tile_shapes);         // of this thread; tile_close() when the product is done
 *     tile_load(TILE_A, q, 32);        // 16 rows of 32 int8
 *     tile_load(TILE_B, codes, 64);    // 8 groups of [16][4] int8
 *     tile_zero(0);
 *     tile_dot(0, TILE_A, TILE_B);     // [16][16] int32 += A times B
 *     tile_store(0, sums, 64);
 *
 * The instructions name their registers in the opcode, so a register is a switch over constants: nothing is left of it but the
 * instruction, and it also compiles where gcc at -O0 sees no constant. Every function is a barrier for memory: the compiler keeps
 * the order in which this text mixes them with loads. Tests on other machines have functions of their own. */
#pragma once

#include <stdint.h>

enum {
    TILE_C = 0, /* four of sums */
    TILE_A = 4, /* two of activations */
    TILE_B = 6, /* two of weights */
    TILE_NUMBER = 8,
};

#define TILE_INLINE static inline __attribute__((always_inline))

/* What ldtilecfg reads, named whole as the operand: gcc 12's _tile_loadconfig tells of 8 of these 64 bytes, and the compiler drops
 * the stores to the others. */
struct tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};
_Static_assert(sizeof(struct tile_shapes) == 64, "ldtilecfg reads 64 bytes");
/* A unit of kern_dot_amx.h. */
static const struct tile_shapes tile_shapes = {
    .palette = 1, .row_bytes = {64, 64, 64, 64, 32, 32, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 8, 8}};

#ifndef TILE_EMULATED
TILE_INLINE void tile_open(const struct tile_shapes *shapes) {
    __asm__ volatile("ldtilecfg %0" ::"m"(*shapes) : "memory");
}
TILE_INLINE void tile_close(void) {
    __asm__ volatile("tilerelease" ::: "memory");
}

#define TILE_EACH(OP) OP(0) OP(1) OP(2) OP(3) OP(4) OP(5) OP(6) OP(7)

#define TILE_ZERO(T)                                                                                                             \
    case T: __asm__ volatile("tilezero %%tmm" #T ::: "memory"); break;
TILE_INLINE void tile_zero(unsigned tile) {
    switch (tile) { TILE_EACH(TILE_ZERO) }
}

#define TILE_LOAD(T)                                                                                                             \
    case T: __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #T ::"r"(from), "r"(stride) : "memory"); break;
TILE_INLINE void tile_load(unsigned tile, const void *from, int64_t stride) {
    switch (tile) { TILE_EACH(TILE_LOAD) }
}

#define TILE_STORE(T)                                                                                                            \
    case T: __asm__ volatile("tilestored %%tmm" #T ", (%0,%1,1)" ::"r"(to), "r"(stride) : "memory"); break;
TILE_INLINE void tile_store(unsigned tile, void *to, int64_t stride) {
    switch (tile) { TILE_EACH(TILE_STORE) }
}

/* int8 times int8, four products a sum. c: TILE_C and up, a: TILE_A and up, b: TILE_B and up. */
#define TILE_DOT(C, A, B)                                                                                                        \
    case (C)*4 + (A) % 2 * 2 + (B) % 2:                                                                                          \
        __asm__ volatile("tdpbssd %%tmm" #B ", %%tmm" #A ", %%tmm" #C ::: "memory");                                             \
        break;
#define TILE_DOT_EACH(C) TILE_DOT(C, 4, 6) TILE_DOT(C, 4, 7) TILE_DOT(C, 5, 6) TILE_DOT(C, 5, 7)
TILE_INLINE void tile_dot(unsigned c, unsigned a, unsigned b) {
    switch (c * 4 + a % 2 * 2 + b % 2) {
        TILE_DOT_EACH(0)
        TILE_DOT_EACH(1)
        TILE_DOT_EACH(2)
        TILE_DOT_EACH(3)
    }
}
#endif
