/* kern_pack: from stored rows to the packed layout of kern_dot.h and back. Packing moves bits and never changes a value. */
#include <string.h>

#include "kern_dot.h"

const struct kern_layout *kern_layout(uint32_t dtype) {
    return dtype < N_ITEMS(kern_layouts) && kern_layouts[dtype].scales != KERN_SCALES_NONE ? &kern_layouts[dtype] : NULL;
}

bool kern_supports(uint32_t dtype) {
    return kern_is_dense(dtype) || kern_layout(dtype);
}

enum kern_acts_kind kern_acts_kind(uint32_t dtype) {
    return kern_is_dense(dtype) ? KERN_ACTS_F32 : KERN_ACTS_Q8;
}

/* A line of 64 bytes holds a block of 32 activations, whatever the tier. */
uint64_t kern_acts_bytes(enum kern_acts_kind kind, uint32_t rows, uint32_t k) {
    uint64_t row_bytes = kind == KERN_ACTS_F32 ? (uint64_t)k * sizeof(float) : (uint64_t)(k / KERN_BLOCK) * KERN_LINE;
    return (rows * row_bytes + KERN_ALIGN - 1) / KERN_ALIGN * KERN_ALIGN;
}

static uint64_t dense_bytes(uint32_t dtype) {
    return dtype == DTYPE_F32 ? 4 : 2;
}

uint64_t kern_tile_bytes(uint32_t dtype, uint32_t k) {
    if (kern_is_dense(dtype))
        return (k * dense_bytes(dtype) * KERN_TILE + KERN_LINE - 1) / KERN_LINE * KERN_LINE;
    const struct kern_layout *f = kern_layout(dtype);
    return (k / KERN_BLOCK + f->blocks - 1) / f->blocks * (uint64_t)f->bytes;
}

uint64_t kern_packed_bytes(uint32_t dtype, uint32_t n, uint32_t k) {
    if (!kern_supports(dtype) || !dtype_bytes(dtype, k))
        return 0;
    return kern_tiles(n) * kern_tile_bytes(dtype, k);
}

/* ---- one block in its unit: write, read, meaning ------------------------------------------------------------------- */

/* Where the k-th weight of a row lies in a block's part of a plane of one byte a weight. */
static unsigned place(unsigned row, unsigned k) {
    return k / 4 * 64 + row * 4 + k % 4;
}

static uint8_t *plane_lo(const struct kern_layout *f, uint8_t *unit, unsigned s) {
    return unit + s * 64u * f->lo;
}
static uint8_t *plane_hi(const struct kern_layout *f, uint8_t *unit, unsigned s) {
    return unit + f->hi_at + s * 64u * f->hi;
}

static void codes_write(const struct kern_layout *f, uint8_t *unit, unsigned s, unsigned row, const uint8_t *code) {
    uint8_t *lo = plane_lo(f, unit, s), *hi = plane_hi(f, unit, s);
    for (unsigned k = 0; k < KERN_BLOCK; k++) {
        if (f->lo == 8)
            lo[place(row, k)] = code[k];
        else
            lo[place(row, k % 16)] |= (uint8_t)((code[k] & 15) << k / 16 * 4);
        if (f->hi == 1)
            hi[row * 4 + k % 4] |= (uint8_t)(code[k] >> 4 << k / 4);
        if (f->hi == 2)
            hi[k / 16 * 64 + row * 4 + k % 4] |= (uint8_t)(code[k] >> 4 << k / 4 % 4 * 2);
    }
}

static void codes_read(const struct kern_layout *f, const uint8_t *unit, unsigned s, unsigned row, uint8_t *code) {
    const uint8_t *lo = plane_lo(f, (uint8_t *)unit, s), *hi = plane_hi(f, (uint8_t *)unit, s);
    for (unsigned k = 0; k < KERN_BLOCK; k++) {
        unsigned c = f->lo == 8 ? lo[place(row, k)] : lo[place(row, k % 16)] >> k / 16 * 4 & 15;
        if (f->hi == 1)
            c |= (hi[row * 4 + k % 4] >> k / 4 & 1u) << 4;
        if (f->hi == 2)
            c |= (hi[k / 16 * 64 + row * 4 + k % 4] >> k / 4 % 4 * 2 & 3u) << 4;
        code[k] = (uint8_t)c;
    }
}

/* A field of a block's scales: where it lies in the struct, in the unit, and how wide it is. */
struct field {
    size_t at;
    uint8_t *p;
    unsigned bytes;
};
#define FIELD(member, offset, width) ((struct field){offsetof(struct kern_block, member), p + (offset), (width)})

/* Fields of block s of output row in a unit; the number of them. */
static unsigned scale_fields(const struct kern_layout *f, uint8_t *unit, unsigned s, unsigned row, struct field out[4]) {
    uint8_t *p = unit + f->scales_at;
    unsigned B = f->blocks, i = s * KERN_TILE + row;
    switch (f->scales) {
    case KERN_SCALES_NONE: return 0;
    case KERN_SCALES_D: out[0] = FIELD(d, i * 2, 2); return 1;
    case KERN_SCALES_DM: out[0] = FIELD(d, i * 2, 2), out[1] = FIELD(m, B * 32 + i * 2, 2); return 2;
    case KERN_SCALES_K:
        out[0] = FIELD(sub, i, 1), out[1] = FIELD(sub_min, B * 16 + i, 1);
        out[2] = FIELD(d, B * 32 + row * 2, 2), out[3] = FIELD(m, B * 32 + 32 + row * 2, 2);
        return 4;
    case KERN_SCALES_S: out[0] = FIELD(sub, i, 1), out[1] = FIELD(d, B * 16 + row * 2, 2); return 2;
    case KERN_SCALES_SUB: out[0] = FIELD(sub, i * 2, 2), out[1] = FIELD(d, B * 32 + row * 2, 2); return 2;
    case KERN_SCALES_SUBM:
        out[0] = FIELD(sub, i * 2, 2), out[1] = FIELD(sub_min, B * 32 + i * 2, 2);
        out[2] = FIELD(d, B * 64 + row * 2, 2), out[3] = FIELD(m, B * 64 + 32 + row * 2, 2);
        return 4;
    case KERN_SCALES_E: out[0] = FIELD(sub, i, 1); return 1;
    case KERN_SCALES_F8: out[0] = FIELD(sub, i * 2, 2); return 1;
    }
    return 0;
}

static void block_write(const struct kern_layout *f, const uint8_t *code_of, uint8_t *tile, uint32_t b, unsigned row,
                        const struct kern_block *block) {
    uint8_t *unit = tile + (uint64_t)(b / f->blocks) * f->bytes;
    unsigned s = b % f->blocks;
    uint8_t code[KERN_BLOCK];
    for (unsigned k = 0; k < KERN_BLOCK; k++)
        code[k] = code_of[(uint8_t)block->q[k]];
    codes_write(f, unit, s, row, code);
    struct field fields[4];
    unsigned n = scale_fields(f, unit, s, row, fields);
    for (unsigned i = 0; i < n; i++)
        memcpy(fields[i].p, (const char *)block + fields[i].at, fields[i].bytes);
}

void kern_block_read(const struct kern_layout *f, const uint8_t *tile, uint32_t b, unsigned row, struct kern_block *out) {
    const uint8_t *unit = tile + (uint64_t)(b / f->blocks) * f->bytes;
    unsigned s = b % f->blocks;
    *out = (struct kern_block){0};
    uint8_t code[KERN_BLOCK];
    codes_read(f, unit, s, row, code);
    for (unsigned k = 0; k < KERN_BLOCK; k++)
        out->q[k] = f->values ? f->values[code[k]] : (int8_t)(code[k] - f->zero);
    struct field fields[4];
    unsigned n = scale_fields(f, (uint8_t *)unit, s, row, fields);
    for (unsigned i = 0; i < n; i++)
        memcpy((char *)out + fields[i].at, fields[i].p, fields[i].bytes);
}

/* 2^(e-128), from the exponent byte of MXFP4, whose codes are doubled. */
static float half_exponent(uint8_t e) {
    union {
        uint32_t bits;
        float f;
    } v = {.bits = e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23};
    return v.f;
}

/* Half of an unsigned e4m3 (NVFP4, whose codes are doubled); 0x7f is no number and means 0. */
static float half_e4m3(uint8_t x) {
    unsigned e = x >> 3 & 15, m = x & 7;
    if ((x & 0x7f) == 0x7f)
        return 0;
    return e ? (float)(8 + m) * half_exponent((uint8_t)(117 + e)) : (float)m * 0x1p-10f;
}

void kern_block_terms(const struct kern_layout *f, const struct kern_block *b, struct kern_terms *t) {
    float d = kern_f16_to(b->d) * f->factor, m = kern_f16_to(b->m);
    *t = (struct kern_terms){.sub = {1, 1}, .sub_min = {1, 1}, .d = {d}, .m = m};
    switch (f->scales) {
    case KERN_SCALES_NONE:
    case KERN_SCALES_D: break;
    case KERN_SCALES_DM: t->has_min = true; break;
    case KERN_SCALES_K:
        t->has_min = true;
        t->d[0] = d * (float)b->sub[0];
        t->m = -(m * (float)b->sub_min[0]);
        break;
    case KERN_SCALES_S: t->d[0] = d * (float)(int8_t)b->sub[0]; break;
    case KERN_SCALES_SUBM:
        t->has_min = true;
        t->m = -m;
        t->sub_min[0] = b->sub_min[0], t->sub_min[1] = b->sub_min[1];
        /* fallthrough */
    case KERN_SCALES_SUB: t->sub[0] = (int8_t)b->sub[0], t->sub[1] = (int8_t)b->sub[1]; break;
    case KERN_SCALES_E: t->d[0] = half_exponent(b->sub[0]); break;
    case KERN_SCALES_F8:
        t->split = true;
        t->d[0] = half_e4m3(b->sub[0]), t->d[1] = half_e4m3(b->sub[1]);
        break;
    }
}

/* ---- packing ----------------------------------------------------------------------------------------------------------- */

static bool f16_finite(uint16_t h) {
    return (h & 0x7c00) != 0x7c00;
}

/* The largest MXFP4 exponent with which all codes are finite: 12 * 2^(252-128). */
enum { E_MAX = 252 };

static bool block_finite(const struct kern_layout *f, const struct kern_block *b) {
    return f16_finite(b->d) && f16_finite(b->m) && (f->scales != KERN_SCALES_E || b->sub[0] <= E_MAX);
}

/* The code of each int8 weight. */
static void codes_of(const struct kern_layout *f, uint8_t code_of[256]) {
    for (unsigned i = 0; i < 256; i++)
        code_of[i] = (uint8_t)(i + f->zero);
    for (unsigned c = 0; f->values && c < 16; c++)
        code_of[(uint8_t)f->values[c]] = (uint8_t)c;
}

static int pack_blocks(uint32_t dtype, uint32_t n, uint32_t k, const uint8_t *rows, uint8_t *out, struct err *e) {
    const struct kern_layout *f = kern_layout(dtype);
    const struct dtype_info *info = dtype_info(dtype);
    unsigned per_stored = info->block_values / KERN_BLOCK;
    uint64_t row_bytes = dtype_bytes(dtype, k), tile_bytes = kern_tile_bytes(dtype, k);
    uint8_t code_of[256];
    codes_of(f, code_of);
    for (uint32_t row = 0; row < n; row++) {
        const uint8_t *stored = rows + row * row_bytes;
        uint8_t *tile = out + row / KERN_TILE * tile_bytes;
        for (uint32_t b = 0; b < k / KERN_BLOCK; b++) {
            struct kern_block block;
            kern_block_load(dtype, stored + (uint64_t)(b / per_stored) * info->block_bytes, b % per_stored, &block);
            if (!block_finite(f, &block))
                return err_set(e, ERR_INPUT, NULL,
                               "row %u, block %u of %s: the scale or minimum is not finite; the file is damaged", row,
                               b / per_stored, info->name);
            block_write(f, code_of, tile, b, row % KERN_TILE, &block);
        }
    }
    return 0;
}

static bool dense_finite(uint32_t dtype, const uint8_t *p) {
    uint16_t top;
    memcpy(&top, p + dense_bytes(dtype) - 2, 2);
    uint16_t exponent = dtype == DTYPE_F16 ? 0x7c00 : 0x7f80;
    return (top & exponent) != exponent;
}

static int pack_dense(uint32_t dtype, uint32_t n, uint32_t k, const uint8_t *rows, uint8_t *out, struct err *e) {
    uint64_t bytes = dense_bytes(dtype), tile_bytes = kern_tile_bytes(dtype, k);
    for (uint32_t row = 0; row < n; row++) {
        const uint8_t *stored = rows + row * k * bytes;
        uint8_t *tile = out + row / KERN_TILE * tile_bytes + row % KERN_TILE * bytes;
        for (uint32_t i = 0; i < k; i++) {
            if (!dense_finite(dtype, stored + i * bytes))
                return err_set(e, ERR_INPUT, NULL, "row %u, value %u is not finite; the file is damaged", row, i);
            memcpy(tile + i * KERN_TILE * bytes, stored + i * bytes, bytes);
        }
    }
    return 0;
}

int kern_pack(uint32_t dtype, uint32_t n, uint32_t k, const void *rows, uint8_t *out, struct err *e) {
    uint64_t bytes = kern_packed_bytes(dtype, n, k);
    if (!bytes) {
        const struct dtype_info *info = dtype_info(dtype);
        return err_set(e, ERR_INPUT, NULL, "cannot be packed: type %s, %u x %u", info ? info->name : "unknown", n, k);
    }
    memset(out, 0, bytes);
    return kern_is_dense(dtype) ? pack_dense(dtype, n, k, rows, out, e) : pack_blocks(dtype, n, k, rows, out, e);
}

/* ---- exact values -------------------------------------------------------------------------------------------------------- */

float kern_dense_at(uint32_t dtype, const void *stored, uint64_t i) {
    union {
        uint32_t bits;
        float f;
    } v;
    if (dtype == DTYPE_F32)
        return ((const float *)stored)[i];
    uint16_t h = ((const uint16_t *)stored)[i];
    if (dtype == DTYPE_F16)
        return kern_f16_to(h);
    v.bits = (uint32_t)h << 16;
    return v.f;
}

static void block_decode(const struct kern_layout *f, const struct kern_block *b, float *out) {
    struct kern_terms t;
    kern_block_terms(f, b, &t);
    for (unsigned k = 0; k < KERN_BLOCK; k++) {
        unsigned half = k / 16;
        float d = t.d[t.split ? half : 0] * (float)t.sub[half];
        out[k] = d * (float)b->q[k];
        if (t.has_min)
            out[k] = out[k] + t.m * (float)t.sub_min[half];
    }
}

void kern_decode(uint32_t dtype, uint64_t n, const void *stored, float *out) {
    if (kern_is_dense(dtype)) {
        for (uint64_t i = 0; i < n; i++)
            out[i] = kern_dense_at(dtype, stored, i);
        return;
    }
    const struct dtype_info *info = dtype_info(dtype);
    unsigned per_stored = info->block_values / KERN_BLOCK;
    for (uint64_t b = 0; b < n / KERN_BLOCK; b++) {
        struct kern_block block;
        kern_block_load(dtype, (const uint8_t *)stored + b / per_stored * info->block_bytes, (unsigned)(b % per_stored), &block);
        block_decode(kern_layout(dtype), &block, out + b * KERN_BLOCK);
    }
}

void kern_packed_row(const struct kern_packed *w, uint32_t row, float *out) {
    const uint8_t *tile = w->data + row / KERN_TILE * kern_tile_bytes(w->type, w->k);
    if (kern_is_dense(w->type)) {
        for (uint32_t i = 0; i < w->k; i++)
            out[i] = kern_dense_at(w->type, tile, (uint64_t)i * KERN_TILE + row % KERN_TILE);
        return;
    }
    const struct kern_layout *f = kern_layout(w->type);
    for (uint32_t b = 0; b < w->k / KERN_BLOCK; b++) {
        struct kern_block block;
        kern_block_read(f, tile, b, row % KERN_TILE, &block);
        block_decode(f, &block, out + b * KERN_BLOCK);
    }
}
