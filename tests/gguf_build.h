/* Writes GGUF files into a buf, right or wrong ones: for unit tests. */
#pragma once

#include "gguf/gguf.h"

#include <string.h>

static inline void put_u32(struct buf *b, uint32_t v) {
    buf_add(b, &v, sizeof v);
}
static inline void put_u64(struct buf *b, uint64_t v) {
    buf_add(b, &v, sizeof v);
}
static inline void put_f32(struct buf *b, float v) {
    buf_add(b, &v, sizeof v);
}
static inline void put_str(struct buf *b, const char *z) {
    put_u64(b, strlen(z));
    buf_z(b, z);
}
static inline void put_header(struct buf *b, uint32_t version, uint64_t n_tensors, uint64_t n_kv) {
    buf_z(b, "GGUF");
    put_u32(b, version);
    put_u64(b, n_tensors);
    put_u64(b, n_kv);
}
/* A key and its type; the value follows. */
static inline void put_key(struct buf *b, const char *key, uint32_t type) {
    put_str(b, key);
    put_u32(b, type);
}
static inline void put_array(struct buf *b, const char *key, uint32_t item, uint64_t n) {
    put_key(b, key, GGUF_ARR);
    put_u32(b, item);
    put_u64(b, n);
}
static inline void put_kv_u32(struct buf *b, const char *key, uint32_t v) {
    put_key(b, key, GGUF_U32);
    put_u32(b, v);
}
static inline void put_kv_bool(struct buf *b, const char *key, bool v) {
    put_key(b, key, GGUF_BOOL);
    buf_byte(b, v);
}
static inline void put_kv_str(struct buf *b, const char *key, const char *v) {
    put_key(b, key, GGUF_STR);
    put_str(b, v);
}
static inline void put_strs(struct buf *b, const char *key, const char *const *items, uint64_t n) {
    put_array(b, key, GGUF_STR, n);
    for (uint64_t i = 0; i < n; i++)
        put_str(b, items[i]);
}
/* The info of a tensor of up to two dimensions (0: one only). */
static inline void put_tensor(struct buf *b, const char *name, uint64_t cols, uint64_t rows, uint32_t type, uint64_t offset) {
    put_str(b, name);
    put_u32(b, rows ? 2 : 1);
    put_u64(b, cols);
    if (rows)
        put_u64(b, rows);
    put_u32(b, type);
    put_u64(b, offset);
}
static inline void put_zeros(struct buf *b, uint64_t n) {
    while (n--)
        buf_byte(b, 0);
}
static inline void put_padding(struct buf *b, uint64_t align) {
    put_zeros(b, (align - b->n % align) % align);
}
