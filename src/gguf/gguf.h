/* gguf: model files. The only reader of GGUF there is; everything is checked before it is used, and before
 * anything is allocated for it.
 *
 *     struct gguf *g = NULL;
 *     if (gguf_open(map, &g, &e) < 0) ...                 // map: the whole file, read-only; must outlive g
 *     const struct gguf_kv *arch = gguf_find(g, "general.architecture");
 *     const struct gguf_tensor *t = gguf_tensor(g, "token_embd.weight");
 *
 * Rules 1 to 5 of the format page (container) hold for every gguf that gguf_open returns. What the values mean for a model
 * (rules 6 to 9) is `model`'s to check. Format: github.com/ggml-org/ggml docs/gguf.md. */
#pragma once

#include "../base/base.h"

enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STR,
    GGUF_ARR,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
};
const char *gguf_type_name(enum gguf_type t); /* "u8" ... "str", "arr" */

struct gguf_kv {
    struct str key;
    enum gguf_type type;
    const uint8_t *value; /* its bytes in the file: of a str its u64 length, of an arr its first item */
    enum gguf_type item;  /* of an array */
    uint64_t n_items;     /* of an array */
};

struct gguf_tensor {
    struct str name;
    uint32_t type;    /* enum dtype; a known one */
    uint32_t n_dims;  /* 1..4 */
    uint64_t dims[4]; /* fastest first, missing ones are 1 */
    uint64_t n_values, bytes;
    uint64_t offset;     /* from the start of the data */
    const uint8_t *data; /* in the map */
};

struct gguf; /* opaque */
/* Reads and checks the container. `file` is borrowed until gguf_close. ERR_INPUT names the field; ERR_LIMIT where a limit of
 * INTERFACES.md is passed (metadata 1 GiB and 1,000,000 pairs, a string 64 MiB, arrays 16 deep, 1,000,000 tensors). Memory:
 * at most 4 bytes for each byte of metadata; time: linear in the metadata, n log n in the tensors. */
int gguf_open(struct str file, struct gguf **out, struct err *e) MUST_USE;
void gguf_close(struct gguf *g);

uint32_t gguf_version(const struct gguf *g);
uint32_t gguf_alignment(const struct gguf *g);
uint64_t gguf_data_start(const struct gguf *g);
uint64_t gguf_n_kv(const struct gguf *g);
const struct gguf_kv *gguf_kv(const struct gguf *g, uint64_t i);        /* in the order of the file */
const struct gguf_kv *gguf_find(const struct gguf *g, const char *key); /* hashed; NULL when absent */
uint64_t gguf_n_tensors(const struct gguf *g);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, uint64_t i);
const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name);

/* Typed reading. Each returns 0 and the value; ERR_INPUT naming the key when it is absent (only where no default is given),
 * of another type or out of range. Integers of any width and sign are taken where the value fits (rule 6). */
int gguf_u32(const struct gguf *g, const char *key, uint32_t *out, struct err *e) MUST_USE;
int gguf_u32_or(const struct gguf *g, const char *key, uint32_t absent, uint32_t *out, struct err *e) MUST_USE;
int gguf_f32(const struct gguf *g, const char *key, float *out, struct err *e) MUST_USE; /* f32 or f64, any value */
int gguf_f32_or(const struct gguf *g, const char *key, float absent, float *out, struct err *e) MUST_USE;
int gguf_bool_or(const struct gguf *g, const char *key, bool absent, bool *out, struct err *e) MUST_USE;
int gguf_str(const struct gguf *g, const char *key, struct str *out, struct err *e) MUST_USE; /* borrowed from the map */
int gguf_str_or(const struct gguf *g, const char *key, struct str absent, struct str *out, struct err *e) MUST_USE;
/* An integer, or an array of n_layers integers: out[0..n_layers-1]. */
int gguf_u32_layers(const struct gguf *g, const char *key, uint32_t n_layers, uint32_t *out, struct err *e) MUST_USE;

/* Array reading: the iterator walks variable-length items. gguf_next_* return false at the end; next_i64 gives the largest
 * int64_t for a u64 beyond it. */
struct gguf_iter {
    const uint8_t *at;
    uint64_t left;
    enum gguf_type item;
};
int gguf_array(const struct gguf *g, const char *key, enum gguf_type item, struct gguf_iter *it, struct err *e) MUST_USE;
/* Integer items of any width; ERR_INPUT when the key is no integer array. */
int gguf_int_array(const struct gguf *g, const char *key, struct gguf_iter *it, struct err *e) MUST_USE;
bool gguf_next_str(struct gguf_iter *it, struct str *out);
bool gguf_next_f32(struct gguf_iter *it, float *out);
bool gguf_next_i64(struct gguf_iter *it, int64_t *out);

/* One metadata value as JSON (arrays whole), for `moat show --json`. */
void gguf_kv_json(const struct gguf_kv *kv, struct buf *out);
