/* dot of dense weights: the tier's dense_tile and dense_unpack by number of rows and by format, as the table of formats takes
 * them. Included by tiers whose tiles have at most four rows. */
#pragma once

#define DENSE_TILE(T)                                                                                                            \
    static void dense_tile_##T(const uint8_t *chunk, const uint8_t *x, float *y, uint32_t n, const struct dot_ahead *ahead) {    \
        (void)ahead; /* the machine itself brings in what is read in order */                                                    \
        dense_tile(DTYPE_F32, chunk, (const float *)x, y, n, T, false);                                                          \
    }
DENSE_TILE(1)
DENSE_TILE(2)
DENSE_TILE(3)
DENSE_TILE(4)
static dot_tile_fn *const dense_tiles[DOT_T] = {dense_tile_1, dense_tile_2, dense_tile_3, dense_tile_4};

#define DENSE_STREAM(F, T)                                                                                                       \
    static void dense_stream_##F##_##T(const uint8_t *tile, const uint8_t *x, float *y, uint32_t n) {                            \
        dense_tile(DTYPE_##F, tile, (const float *)x, y, n, T, true);                                                            \
    }
#define DENSE_FORMAT(F)                                                                                                          \
    DENSE_STREAM(F, 1)                                                                                                           \
    DENSE_STREAM(F, 2)                                                                                                           \
    DENSE_STREAM(F, 3)                                                                                                           \
    DENSE_STREAM(F, 4)                                                                                                           \
    static dot_stream_fn *const dot_streams_##F[DOT_T] = {dense_stream_##F##_1, dense_stream_##F##_2, dense_stream_##F##_3,      \
                                                          dense_stream_##F##_4};                                                 \
    static void dense_unpack_##F(const uint8_t *tile, uint32_t from, uint32_t n, uint8_t *chunk) {                               \
        dense_unpack(DTYPE_##F, tile, from, n, chunk);                                                                           \
    }
DENSE_FORMAT(F32)
DENSE_FORMAT(F16)
DENSE_FORMAT(BF16)
