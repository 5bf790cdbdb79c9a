/* Any bytes as a model file: what gguf_open accepts must be whole, and every reader of it must hold. The mutator knows the
 * format: it changes counts, types, lengths, names and offsets where they stand, so that most inputs get past the header. */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t n_max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t n_max) __attribute__((weak)); /* libFuzzer's, where it is linked */

/* ---- the target ---------------------------------------------------------------------------------------------------- */

/* Names reach gguf_find with a NUL behind. */
static const char *named(struct arena *arena, struct str s) {
    struct str copy = arena_str(arena, s);
    ASSERT(copy.p);
    return copy.p;
}

static void read_kv(const struct gguf *g, const struct gguf_kv *kv, struct arena *arena) {
    const char *key = named(arena, kv->key);
    ASSERT(gguf_find(g, key) == kv);
    struct buf text = {0};
    gguf_kv_json(kv, &text);
    ASSERT(utf8_valid(buf_as_str(&text)));
    buf_free(&text);
    uint32_t u, layers[4];
    float f;
    bool flag;
    struct str s;
    struct gguf_iter it;
    int64_t v;
    int code = gguf_u32(g, key, &u, NULL);
    ASSERT((code == 0) == (gguf_u32_layers(g, key, 1, layers, NULL) == 0) || kv->type == GGUF_ARR);
    ASSERT(gguf_f32_or(g, key, 0, &f, NULL) <= 0 && gguf_bool_or(g, key, false, &flag, NULL) <= 0);
    ASSERT(gguf_str(g, key, &s, NULL) < 0 || utf8_valid(s));
    uint64_t n = 0;
    for (int open = gguf_array(g, key, GGUF_STR, &it, NULL); open == 0 && gguf_next_str(&it, &s); n++)
        ASSERT(utf8_valid(s));
    for (int open = gguf_int_array(g, key, &it, NULL); open == 0 && gguf_next_i64(&it, &v);)
        n++;
    ASSERT(n == 0 || n == kv->n_items);
}

static void read_tensor(const struct gguf *g, const struct gguf_tensor *t, struct str file, struct arena *arena) {
    ASSERT(gguf_tensor(g, named(arena, t->name)) == t);
    const uint8_t *begin = (const uint8_t *)file.p, *end = begin + file.n;
    ASSERT(t->data >= begin && t->bytes <= (uint64_t)(end - t->data));
    ASSERT(t->bytes == dtype_bytes(t->type, t->n_values) && t->offset % gguf_alignment(g) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct str file = {(const char *)data, n};
    struct gguf *g = NULL;
    struct err e = {0};
    int code = gguf_open(file, &g, &e);
    ASSERT(code == e.code && (code == 0) == (g != NULL));
    if (code < 0)
        return 0;
    struct arena arena = {0};
    for (uint64_t i = 0; i < gguf_n_kv(g); i++)
        read_kv(g, gguf_kv(g, i), &arena);
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++)
        read_tensor(g, gguf_tensor_at(g, i), file, &arena);
    struct tok_spec spec = {0};
    if (model_tok_spec(g, &arena, &spec, &e) == 0)
        for (uint32_t i = 0; i < spec.n_pieces; i++)
            ASSERT(spec.pieces[i].kind >= TOK_NORMAL && spec.pieces[i].kind <= TOK_BYTE);
    e = (struct err){0};
    code = model_check(g, &e);
    ASSERT(code == e.code);
    arena_free(&arena);
    gguf_close(g);
    return 0;
}

/* ---- the mutator --------------------------------------------------------------------------------------------------- */

enum { FIELDS_MAX = 4096 };

/* Where the numbers and names of a file stand. Walks as far as the bytes make sense; what is beyond the end is left out. */
struct skeleton {
    uint8_t *data;
    size_t n, at;
    struct field {
        size_t at, n;
        bool name; /* bytes of a key or a tensor's name, its length in the 8 bytes before; else a number */
    } fields[FIELDS_MAX];
    unsigned n_fields;
};

static uint64_t step(struct skeleton *s, size_t n, bool name) {
    uint64_t v = 0;
    if (n > s->n - s->at) {
        s->at = s->n;
        return 0;
    }
    if (!name && n <= sizeof v)
        memcpy(&v, s->data + s->at, n);
    if (s->n_fields < FIELDS_MAX && n)
        s->fields[s->n_fields++] = (struct field){s->at, n, name};
    s->at += n;
    return v;
}

static void step_items(struct skeleton *s, uint64_t type, uint64_t n, unsigned depth) {
    static const uint8_t bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    for (uint64_t i = 0; i < n && s->at < s->n && type < sizeof bytes; i++) {
        if (bytes[type]) {
            step(s, bytes[type], false);
        } else if (type == GGUF_STR) {
            uint64_t text = step(s, 8, false);
            s->at = text > s->n - s->at ? s->n : s->at + text;
        } else if (depth < 20) {
            uint64_t item = step(s, 4, false);
            step_items(s, item, step(s, 8, false), depth + 1);
        }
    }
}

static void walk(struct skeleton *s) {
    step(s, 4, false);
    step(s, 4, false);
    uint64_t n_tensors = step(s, 8, false), n_kv = step(s, 8, false);
    for (uint64_t i = 0; i < n_kv && s->at < s->n; i++) {
        step(s, step(s, 8, false), true);
        step_items(s, step(s, 4, false), 1, 0);
    }
    for (uint64_t i = 0; i < n_tensors && s->at < s->n; i++) {
        step(s, step(s, 8, false), true);
        for (uint64_t left = step(s, 4, false); left > 0 && s->at < s->n; left--)
            step(s, 8, false);
        step(s, 4, false);
        step(s, 8, false);
    }
}

static uint64_t draw(uint64_t *state) {
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = (*state ^ *state >> 30) * 0xbf58476d1ce4e5b9u;
    return z ^ z >> 29;
}

/* A number: near the old one, small, at the edge of a width, or what is left of the file. */
static void change_number(struct skeleton *s, const struct field *f, uint64_t *state) {
    static const uint64_t edges[] = {0,          1,          2,          3,          0x7f,       0x80,
                                     0xff,       0xffff,     0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
                                     1ull << 40, 1ull << 58, 1ull << 61, 1ull << 62, 1ull << 63, UINT64_MAX};
    uint64_t v = 0, r = draw(state);
    memcpy(&v, s->data + f->at, f->n < sizeof v ? f->n : sizeof v);
    switch (r % 6) {
    case 0: v += 1 + r / 6 % 3; break;
    case 1: v -= 1 + r / 6 % 3; break;
    case 2: v = edges[r / 6 % N_ITEMS(edges)]; break;
    case 3: v = r / 6 % 16; break;
    case 4: v ^= 1ull << r / 6 % 64; break;
    default: v = s->n - f->at + r / 6 % 17 - 8; break;
    }
    memcpy(s->data + f->at, &v, f->n < sizeof v ? f->n : sizeof v);
}

/* A name becomes another one of the file, or one that has a meaning; its length is kept right. Returns the new size. */
static size_t change_name(struct skeleton *s, const struct field *f, size_t n_max, uint64_t *state) {
    static const char *const known[] = {
        "general.architecture",       "general.alignment",           "tokenizer.ggml.model",
        "tokenizer.ggml.tokens",      "tokenizer.ggml.scores",       "tokenizer.ggml.token_type",
        "tokenizer.ggml.merges",      "tokenizer.ggml.bos_token_id", "tokenizer.ggml.add_bos_token",
        "llama.block_count",          "llama.embedding_length",      "llama.attention.head_count",
        "llama.feed_forward_length",  "llama.rope.dimension_count",  "llama.context_length",
        "llama.attention.key_length", "token_embd.weight",           "blk.0.attn_q.weight",
    };
    uint64_t r = draw(state);
    const struct field *other = &s->fields[r / 4 % s->n_fields];
    struct buf name = {0};
    if (r % 4 == 0 && other->name)
        buf_add(&name, s->data + other->at, other->n);
    else
        buf_z(&name, known[r / 4 % N_ITEMS(known)]);
    size_t n = s->n - f->n + name.n, tail = s->n - f->at - f->n;
    if (!name.failed && n <= n_max && f->at >= 8) {
        uint64_t length = name.n;
        memmove(s->data + f->at + name.n, s->data + f->at + f->n, tail);
        memcpy(s->data + f->at, name.p, name.n);
        memcpy(s->data + f->at - 8, &length, sizeof length);
    } else {
        n = s->n;
    }
    buf_free(&name);
    return n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t n_max, unsigned seed) {
    static struct skeleton s; /* 100 KiB: too large for the stack of some */
    uint64_t state = seed;
    s = (struct skeleton){.data = data, .n = n};
    walk(&s);
    uint64_t r = draw(&state);
    if (LLVMFuzzerMutate && (s.n_fields == 0 || r % 8 == 0))
        return LLVMFuzzerMutate(data, n, n_max);
    for (uint64_t changes = 1 + r / 8 % 3; changes > 0; changes--) {
        const struct field *f = &s.fields[draw(&state) % s.n_fields];
        if (f->name)
            return change_name(&s, f, n_max, &state); /* moves what follows: the last change */
        change_number(&s, f, &state);
    }
    return n;
}
