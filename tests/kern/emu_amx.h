/* emu_amx: what the instructions of kern_tile_amx.h do, in plain C; for machines without AMX. */
#pragma once

#include <string.h>

#define TILE_EMULATED /* the functions of kern_tile_amx.h are these */
#include "base/base.h"
#include "kern/kern_tile_amx.h"

static uint8_t emu_tiles[TILE_NUMBER][16][64];
static struct tile_shapes emu_shapes;
static bool emu_is_open;

static void tile_open(const struct tile_shapes *shapes) {
    ASSERT(shapes->palette == 1 && shapes->start_row == 0);
    emu_shapes = *shapes;
    emu_is_open = true;
    memset(emu_tiles, 0, sizeof emu_tiles);
}
static void tile_close(void) {
    ASSERT(emu_is_open);
    emu_is_open = false;
}
static void tile_zero(unsigned tile) {
    ASSERT(emu_is_open && tile < TILE_NUMBER);
    memset(emu_tiles[tile], 0, sizeof emu_tiles[tile]);
}
static void tile_load(unsigned tile, const void *from, int64_t stride) {
    tile_zero(tile);
    for (unsigned r = 0; r < emu_shapes.rows[tile]; r++)
        memcpy(emu_tiles[tile][r], (const uint8_t *)from + r * stride, emu_shapes.row_bytes[tile]);
}
static void tile_store(unsigned tile, void *to, int64_t stride) {
    ASSERT(emu_is_open && tile < TILE_NUMBER);
    for (unsigned r = 0; r < emu_shapes.rows[tile]; r++)
        memcpy((uint8_t *)to + r * stride, emu_tiles[tile][r], emu_shapes.row_bytes[tile]);
}
static void tile_dot(unsigned c, unsigned a, unsigned b) {
    ASSERT(emu_is_open && c < TILE_NUMBER && a < TILE_NUMBER && b < TILE_NUMBER);
    ASSERT(emu_shapes.row_bytes[a] == 4 * emu_shapes.rows[b] && emu_shapes.rows[c] == emu_shapes.rows[a]);
    for (unsigned m = 0; m < emu_shapes.rows[c]; m++) {
        int32_t sums[16];
        memcpy(sums, emu_tiles[c][m], sizeof sums);
        for (unsigned k = 0; k < emu_shapes.row_bytes[a]; k++)
            for (unsigned n = 0; n < 16; n++)
                sums[n] += (int8_t)emu_tiles[a][m][k] * (int8_t)emu_tiles[b][k / 4][4 * n + k % 4];
        memcpy(emu_tiles[c][m], sums, sizeof sums);
    }
}
