/* gguf: the container, read once from front to back. Little-endian throughout:
 *
 *     offset  size  meaning
 *     0       4     "GGUF"
 *     4       4     version, 2 or 3 (the same layout)
 *     8       8     number of tensors
 *     16      8     number of pairs
 *     24            pairs: str key, u32 type, value
 *                   tensor infos: str name, u32 n_dims, u64 dims[n_dims], u32 type, u64 offset
 *                   zeros up to general.alignment; here the data starts, offsets count from here
 *
 * A str is a u64 length and its bytes; an arr is a u32 item type, a u64 count and the items. No number of the file is used
 * before it was compared with what is left of the file, so nothing here can read, allocate or loop beyond it. */
#include "gguf.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are read in place");

enum {
    METADATA_BYTES_MAX = 1 << 30,
    STR_BYTES_MAX = 64 << 20,
    KEY_BYTES_MAX = 65535,
    NAME_BYTES_MAX = 64,
    DEPTH_MAX = 16,
    PAIRS_MAX = 1000000,
    TENSORS_MAX = 1000000,
    PAIR_BYTES_MIN = 8 + 1 + 4 + 1,         /* a key of one byte, a value of one */
    INFO_BYTES_MIN = 8 + 1 + 4 + 8 + 4 + 8, /* a name of one byte, one dimension */
    ARR_BYTES_MIN = 4 + 8,
};

/* Finds one of n items by the str that each begins with. Open addressing; a slot holds an item's number + 1. */
struct index {
    const char *items;
    size_t item_bytes;
    uint32_t *slots;
    uint64_t mask;
};

struct gguf {
    struct arena arena;
    uint64_t hash_seed; /* random: a file cannot be made to collide */
    uint32_t version, alignment;
    uint64_t n_kv, n_tensors, data_start;
    struct gguf_kv *kv;
    struct gguf_tensor *tensors;
    struct index kv_index, tensor_index;
};

static const struct type_info {
    const char *name;
    uint32_t bytes; /* 0: of variable length */
} types[] = {
    [GGUF_U8] = {"u8", 1},   [GGUF_I8] = {"i8", 1},   [GGUF_U16] = {"u16", 2},   [GGUF_I16] = {"i16", 2}, [GGUF_U32] = {"u32", 4},
    [GGUF_I32] = {"i32", 4}, [GGUF_F32] = {"f32", 4}, [GGUF_U64] = {"u64", 8},   [GGUF_I64] = {"i64", 8}, [GGUF_F64] = {"f64", 8},
    [GGUF_STR] = {"str", 0}, [GGUF_ARR] = {"arr", 0}, [GGUF_BOOL] = {"bool", 1},
};

const char *gguf_type_name(enum gguf_type t) {
    return types[t].name;
}

/* ---- the reader ---------------------------------------------------------------------------------------------- */

struct reader {
    const uint8_t *file;
    uint64_t at, n;
    struct str where; /* what is being read, for messages */
    char place[80];   /* holds `where` as long as it has no name yet */
    struct err *e;
};

static int fail(const struct reader *r, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int fail(const struct reader *r, int code, const char *fmt, ...) {
    char where[sizeof r->e->where], msg[sizeof r->e->msg];
    snprintf(where, sizeof where, "%.*s", (int)(r->where.n < sizeof where ? r->where.n : sizeof where - 1), r->where.p);
    va_list args;
    va_start(args, fmt);
    vsnprintf(msg, sizeof msg, fmt, args);
    va_end(args);
    return err_set(r->e, code, where, "%s", msg);
}

/* The next n bytes, or an error: `what` names them. */
static int take(struct reader *r, uint64_t n, const char *what, const uint8_t **out) {
    if (n > r->n - r->at)
        return fail(r, ERR_INPUT, "the file ends in %s: %llu bytes are needed at %llu, %llu are left; download or copy it again",
                    what, (unsigned long long)n, (unsigned long long)r->at, (unsigned long long)(r->n - r->at));
    if (n > METADATA_BYTES_MAX || r->at > METADATA_BYTES_MAX - n)
        return fail(r, ERR_LIMIT, "the metadata is larger than 1 GiB");
    *out = r->file + r->at;
    r->at += n;
    return 0;
}

static int take_u32(struct reader *r, const char *what, uint32_t *out) {
    const uint8_t *p = NULL;
    int code = take(r, sizeof *out, what, &p);
    if (code == 0)
        memcpy(out, p, sizeof *out);
    return code;
}

static int take_u64(struct reader *r, const char *what, uint64_t *out) {
    const uint8_t *p = NULL;
    int code = take(r, sizeof *out, what, &p);
    if (code == 0)
        memcpy(out, p, sizeof *out);
    return code;
}

static int take_str(struct reader *r, const char *what, uint64_t n_max, struct str *out) {
    uint64_t n = 0;
    const uint8_t *p = NULL;
    int code = take_u64(r, what, &n);
    if (code < 0)
        return code;
    if (n > n_max && n <= r->n - r->at)
        return fail(r, ERR_LIMIT, "%s has %llu bytes; at most %llu are allowed", what, (unsigned long long)n,
                    (unsigned long long)n_max);
    code = take(r, n, what, &p);
    if (code < 0)
        return code;
    *out = (struct str){(const char *)p, n};
    return utf8_valid(*out) ? 0 : fail(r, ERR_INPUT, "%s is not UTF-8", what);
}

/* A key or a tensor's name: not empty, no NUL. */
static int take_name(struct reader *r, const char *what, uint64_t n_max, struct str *out) {
    int code = take_str(r, what, n_max, out);
    if (code < 0)
        return code;
    if (out->n == 0)
        return fail(r, ERR_INPUT, "%s is empty", what);
    if (memchr(out->p, 0, out->n))
        return fail(r, ERR_INPUT, "%s contains a NUL", what);
    return 0;
}

/* ---- pairs --------------------------------------------------------------------------------------------------- */

static int take_type(struct reader *r, const char *what, enum gguf_type *out) {
    uint32_t t = 0;
    int code = take_u32(r, what, &t);
    if (code == 0 && t >= N_ITEMS(types))
        code = fail(r, ERR_INPUT, "%s is %u; there is no such type", what, t);
    *out = (enum gguf_type)t;
    return code;
}

static int take_items(struct reader *r, enum gguf_type item, uint64_t n, unsigned depth);

static int take_array(struct reader *r, unsigned depth, enum gguf_type *item, uint64_t *n) {
    if (depth > DEPTH_MAX)
        return fail(r, ERR_LIMIT, "arrays are nested more than %d deep", DEPTH_MAX);
    int code = take_type(r, "the type of an array's items", item);
    if (code == 0)
        code = take_u64(r, "the length of an array", n);
    if (code < 0)
        return code;
    uint64_t item_bytes_min = types[*item].bytes ? types[*item].bytes : *item == GGUF_STR ? 8 : ARR_BYTES_MIN;
    if (*n > (r->n - r->at) / item_bytes_min)
        return fail(r, ERR_INPUT, "an array of %llu %s reaches beyond the end of the file; download or copy it again",
                    (unsigned long long)*n, types[*item].name);
    return 0;
}

static int take_items(struct reader *r, enum gguf_type item, uint64_t n, unsigned depth) {
    const uint8_t *p = NULL;
    int code = 0;
    if (types[item].bytes) {
        code = take(r, n * types[item].bytes, n == 1 ? "a value" : "an array", &p);
        for (uint64_t i = 0; code == 0 && item == GGUF_BOOL && i < n; i++)
            if (p[i] > 1)
                code = fail(r, ERR_INPUT, "a boolean is %u; it must be 0 or 1", p[i]);
        return code;
    }
    for (uint64_t i = 0; code == 0 && i < n; i++) {
        struct str text;
        enum gguf_type inner = GGUF_U8;
        uint64_t n_inner = 0;
        if (item == GGUF_STR) {
            code = take_str(r, "a text", STR_BYTES_MAX, &text);
        } else {
            code = take_array(r, depth + 1, &inner, &n_inner);
            if (code == 0)
                code = take_items(r, inner, n_inner, depth + 1);
        }
    }
    return code;
}

static int take_pair(struct reader *r, uint64_t i, struct gguf_kv *kv) {
    snprintf(r->place, sizeof r->place, "metadata pair %llu", (unsigned long long)i);
    r->where = str_of(r->place);
    int code = take_name(r, "a key", KEY_BYTES_MAX, &kv->key);
    if (code < 0)
        return code;
    r->where = kv->key;
    code = take_type(r, "the type of the value", &kv->type);
    if (code == 0 && kv->type == GGUF_ARR)
        code = take_array(r, 1, &kv->item, &kv->n_items);
    if (code < 0)
        return code;
    kv->value = r->file + r->at;
    return kv->type == GGUF_ARR ? take_items(r, kv->item, kv->n_items, 1) : take_items(r, kv->type, 1, 0);
}

/* ---- the index ----------------------------------------------------------------------------------------------- */

/* Two rounds of multiply-and-fold for 8 bytes at a time, keyed. */
static uint64_t hash_of(uint64_t seed, struct str s) {
    uint64_t h = seed ^ s.n;
    for (size_t i = 0; i < s.n; i += 8) {
        uint64_t word = 0;
        memcpy(&word, s.p + i, s.n - i < 8 ? s.n - i : 8);
        __uint128_t wide = (__uint128_t)(h ^ word) * (seed | 1);
        wide = (__uint128_t)((uint64_t)wide ^ (uint64_t)(wide >> 64)) * 0x9e3779b97f4a7c15u;
        h = (uint64_t)wide ^ (uint64_t)(wide >> 64);
    }
    return h;
}

/* The slot that holds `name`, or the empty one where it would go. */
static uint32_t *index_slot(const struct index *x, uint64_t seed, struct str name) {
    for (uint64_t i = hash_of(seed, name);; i++) {
        uint32_t *slot = &x->slots[i & x->mask];
        if (*slot == 0)
            return slot;
        struct str there;
        memcpy(&there, x->items + (*slot - 1) * x->item_bytes, sizeof there);
        if (str_eq(there, name))
            return slot;
    }
}

static const void *index_find(const struct gguf *g, const struct index *x, const char *name) {
    if (!x->slots)
        return NULL;
    uint32_t i = *index_slot(x, g->hash_seed, str_of(name));
    return i ? x->items + (i - 1) * x->item_bytes : NULL;
}

/* Fills x with n items; one that is there already is an error. At most half of the slots are taken. */
static int index_fill(struct gguf *g, struct index *x, const void *items, size_t item_bytes, uint64_t n, struct reader *r) {
    uint64_t n_slots = 2;
    while (n_slots < 2 * n)
        n_slots *= 2;
    *x = (struct index){items, item_bytes, arena_array(&g->arena, n_slots, sizeof *x->slots), n_slots - 1};
    if (!x->slots)
        return fail(r, ERR_MEMORY, "out of memory");
    for (uint64_t i = 0; i < n; i++) {
        memcpy(&r->where, x->items + i * item_bytes, sizeof r->where);
        uint32_t *slot = index_slot(x, g->hash_seed, r->where);
        if (*slot)
            return fail(r, ERR_INPUT, "occurs twice");
        *slot = (uint32_t)i + 1;
    }
    return 0;
}

/* ---- header, metadata, tensors --------------------------------------------------------------------------------- */

static int read_header(struct reader *r, struct gguf *g) {
    const uint8_t *magic = NULL;
    r->where = STR("header");
    if (r->n < 4)
        return fail(r, ERR_INPUT, "the file is too short: %llu bytes; not a GGUF file", (unsigned long long)r->n);
    int code = take(r, 4, "the magic", &magic);
    if (code < 0)
        return code;
    if (memcmp(magic, "GGUF", 4) != 0)
        return fail(r, ERR_INPUT, "not a GGUF file: the magic is %02x %02x %02x %02x, not 'GGUF'", magic[0], magic[1], magic[2],
                    magic[3]);
    code = take_u32(r, "the version", &g->version);
    if (code < 0)
        return code;
    if (g->version && (g->version & 0xffff) == 0)
        return fail(r, ERR_INPUT, "the byte order is big-endian; convert the model again as little-endian");
    if (g->version < 2 || g->version > 3)
        return fail(r, ERR_INPUT, "version %u of GGUF is not read, only 2 and 3; convert the model again", g->version);
    code = take_u64(r, "the number of tensors", &g->n_tensors);
    return code < 0 ? code : take_u64(r, "the number of pairs", &g->n_kv);
}

/* A count of the header against its limit and what the rest of the file can hold. */
static int check_count(struct reader *r, const char *field, uint64_t n, uint64_t n_max, uint64_t bytes_min) {
    r->where = str_of(field);
    if (n > (r->n - r->at) / bytes_min)
        return fail(r, ERR_INPUT, "is %llu: the file ends before so many could follow; download or copy it again",
                    (unsigned long long)n);
    return n <= n_max ? 0
                      : fail(r, ERR_LIMIT, "is %llu; at most %llu are read", (unsigned long long)n, (unsigned long long)n_max);
}

static int read_alignment(struct reader *r, struct gguf *g) {
    const struct gguf_kv *kv = gguf_find(g, "general.alignment");
    g->alignment = 32;
    if (!kv)
        return 0;
    r->where = kv->key;
    if (kv->type != GGUF_U32)
        return fail(r, ERR_INPUT, "is of type %s, not u32", types[kv->type].name);
    memcpy(&g->alignment, kv->value, sizeof g->alignment);
    if (g->alignment < 8 || (g->alignment & (g->alignment - 1)))
        return fail(r, ERR_INPUT, "is %u; it must be a power of two and a multiple of 8", g->alignment);
    return 0;
}

static int read_metadata(struct reader *r, struct gguf *g) {
    int code = check_count(r, "n_kv", g->n_kv, PAIRS_MAX, PAIR_BYTES_MIN);
    if (code < 0)
        return code;
    g->kv = arena_array(&g->arena, g->n_kv, sizeof *g->kv);
    if (!g->kv)
        return fail(r, ERR_MEMORY, "out of memory for %llu pairs", (unsigned long long)g->n_kv);
    for (uint64_t i = 0; code == 0 && i < g->n_kv; i++)
        code = take_pair(r, i, &g->kv[i]);
    if (code == 0)
        code = index_fill(g, &g->kv_index, g->kv, sizeof *g->kv, g->n_kv, r);
    return code < 0 ? code : read_alignment(r, g);
}

/* Shape and size of a tensor, from its dimensions and type. */
static int size_tensor(struct reader *r, struct gguf_tensor *t) {
    const struct dtype_info *info = dtype_info(t->type);
    if (!info)
        return fail(r, ERR_INPUT, "tensor type %u is unknown", t->type);
    t->n_values = 1;
    for (uint32_t i = 0; i < 4; i++) {
        if (t->dims[i] == 0)
            return fail(r, ERR_INPUT, "dimension %u is 0", i);
        if (__builtin_mul_overflow(t->n_values, t->dims[i], &t->n_values))
            return fail(r, ERR_INPUT, "the number of values does not fit 64 bits");
    }
    if (t->dims[0] % info->block_values)
        return fail(r, ERR_INPUT, "a row has %llu values, no whole number of %s blocks of %u", (unsigned long long)t->dims[0],
                    info->name, info->block_values);
    t->bytes = dtype_bytes(t->type, t->n_values);
    return t->bytes ? 0 : fail(r, ERR_INPUT, "the number of bytes does not fit 64 bits");
}

static int take_tensor(struct reader *r, const struct gguf *g, struct gguf_tensor *t) {
    snprintf(r->place, sizeof r->place, "tensor %td, after %llu pairs", t - g->tensors, (unsigned long long)g->n_kv);
    r->where = str_of(r->place);
    int code = take_name(r, "a tensor's name", NAME_BYTES_MAX, &t->name);
    if (code < 0)
        return code;
    r->where = t->name;
    code = take_u32(r, "the number of dimensions", &t->n_dims);
    if (code == 0 && (t->n_dims < 1 || t->n_dims > 4))
        code = fail(r, ERR_INPUT, "the tensor has %u dimensions; 1 to 4 are possible", t->n_dims);
    for (uint32_t i = 0; i < 4; i++) {
        t->dims[i] = 1;
        if (code == 0 && i < t->n_dims)
            code = take_u64(r, "the dimensions", &t->dims[i]);
    }
    if (code == 0)
        code = take_u32(r, "the type", &t->type);
    if (code == 0)
        code = take_u64(r, "the offset", &t->offset);
    return code < 0 ? code : size_tensor(r, t);
}

/* Where the data start, and that the file reaches as far. */
static int find_data(struct reader *r, struct gguf *g) {
    g->data_start = r->at;
    if (g->n_tensors == 0)
        return 0;
    g->data_start = (r->at + g->alignment - 1) / g->alignment * g->alignment;
    r->where = STR("tensor data");
    return g->data_start <= r->n ? 0
                                 : fail(r, ERR_INPUT, "the file ends before them: they begin at %llu by general.alignment (%u)",
                                        (unsigned long long)g->data_start, g->alignment);
}

static int place_tensor(struct reader *r, const struct gguf *g, struct gguf_tensor *t) {
    r->where = t->name;
    if (t->offset % g->alignment)
        return fail(r, ERR_INPUT, "offset %llu is no multiple of general.alignment (%u)", (unsigned long long)t->offset,
                    g->alignment);
    uint64_t data_bytes = r->n - g->data_start;
    if (t->offset > data_bytes || t->bytes > data_bytes - t->offset)
        return fail(r, ERR_INPUT,
                    "the data (%llu bytes at offset %llu) reach beyond the end of the file; download or copy it again",
                    (unsigned long long)t->bytes, (unsigned long long)t->offset);
    t->data = r->file + g->data_start + t->offset;
    return 0;
}

static int by_offset(const void *a, const void *b) {
    uint64_t x = (*(const struct gguf_tensor *const *)a)->offset, y = (*(const struct gguf_tensor *const *)b)->offset;
    return (x > y) - (x < y);
}

/* No two tensors share a byte: each ends before the next one, by offset, begins. */
static int check_overlap(struct reader *r, const struct gguf *g) {
    const struct gguf_tensor **order = calloc(g->n_tensors + 1, sizeof *order);
    if (!order)
        return fail(r, ERR_MEMORY, "out of memory for %llu tensors", (unsigned long long)g->n_tensors);
    for (uint64_t i = 0; i < g->n_tensors; i++)
        order[i] = &g->tensors[i];
    qsort(order, g->n_tensors, sizeof *order, by_offset);
    int code = 0;
    for (uint64_t i = 1; code == 0 && i < g->n_tensors; i++) {
        r->where = order[i]->name;
        if (order[i]->offset - order[i - 1]->offset < order[i - 1]->bytes)
            code = fail(r, ERR_INPUT, "the data overlap those of '%.*s'", (int)order[i - 1]->name.n, order[i - 1]->name.p);
    }
    free(order);
    return code;
}

static int read_tensors(struct reader *r, struct gguf *g) {
    int code = check_count(r, "n_tensors", g->n_tensors, TENSORS_MAX, INFO_BYTES_MIN);
    if (code < 0)
        return code;
    g->tensors = arena_array(&g->arena, g->n_tensors, sizeof *g->tensors);
    if (!g->tensors)
        return fail(r, ERR_MEMORY, "out of memory for %llu tensors", (unsigned long long)g->n_tensors);
    for (uint64_t i = 0; code == 0 && i < g->n_tensors; i++)
        code = take_tensor(r, g, &g->tensors[i]);
    if (code == 0)
        code = find_data(r, g);
    for (uint64_t i = 0; code == 0 && i < g->n_tensors; i++)
        code = place_tensor(r, g, &g->tensors[i]);
    if (code == 0)
        code = index_fill(g, &g->tensor_index, g->tensors, sizeof *g->tensors, g->n_tensors, r);
    return code < 0 ? code : check_overlap(r, g);
}

int gguf_open(struct str file, struct gguf **out, struct err *e) {
    struct gguf *g = calloc(1, sizeof *g);
    if (!g)
        return err_set(e, ERR_MEMORY, "gguf", "out of memory");
    g->hash_seed = random_u64();
    struct reader r = {.file = (const uint8_t *)file.p, .n = file.n, .e = e};
    int code = read_header(&r, g);
    if (code == 0)
        code = read_metadata(&r, g);
    if (code == 0)
        code = read_tensors(&r, g);
    if (code == 0)
        *out = g;
    else
        gguf_close(g);
    return code;
}

void gguf_close(struct gguf *g) {
    if (!g)
        return;
    arena_free(&g->arena);
    free(g);
}

uint32_t gguf_version(const struct gguf *g) {
    return g->version;
}

uint32_t gguf_alignment(const struct gguf *g) {
    return g->alignment;
}

uint64_t gguf_data_start(const struct gguf *g) {
    return g->data_start;
}

uint64_t gguf_n_kv(const struct gguf *g) {
    return g->n_kv;
}

const struct gguf_kv *gguf_kv(const struct gguf *g, uint64_t i) {
    return i < g->n_kv ? &g->kv[i] : NULL;
}

const struct gguf_kv *gguf_find(const struct gguf *g, const char *key) {
    return index_find(g, &g->kv_index, key);
}

uint64_t gguf_n_tensors(const struct gguf *g) {
    return g->n_tensors;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, uint64_t i) {
    return i < g->n_tensors ? &g->tensors[i] : NULL;
}

const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name) {
    return index_find(g, &g->tensor_index, name);
}
