/* gguf.h: the container's rules, typed reading, arrays, JSON. The golden files are read by tests/golden/test_gguf_corpus.py. */
#include "unit.h"

#include "gguf_build.h"

#include <math.h>

static struct gguf *open_ok(const struct buf *b) {
    struct gguf *g = NULL;
    struct err e = {0};
    int code = gguf_open(buf_as_str(b), &g, &e);
    if (code < 0)
        print_error("%s: %s\n", e.where, e.msg);
    assert_int_equal(code, 0);
    return g;
}

/* Opens what must be refused with `code`, and finds `where` in the error's place and `text` in its message. Frees b. */
static void refused(struct buf *b, int code, const char *where, const char *text) {
    struct gguf *g = NULL;
    struct err e = {0};
    assert_int_equal(gguf_open(buf_as_str(b), &g, &e), code);
    assert_null(g);
    assert_int_equal(e.code, code);
    assert_string_equal(e.where, where);
    if (!strstr(e.msg, text))
        fail_msg("'%s' is not in '%s'", text, e.msg);
    buf_free(b);
}

static void header(void **state) {
    (void)state;
    struct buf b = {0};
    put_header(&b, 3, 0, 0);
    struct gguf *g = open_ok(&b);
    assert_int_equal(gguf_version(g), 3);
    assert_int_equal(gguf_alignment(g), 32);
    assert_int_equal(gguf_data_start(g), 24);
    assert_null(gguf_find(g, "x"));
    assert_null(gguf_tensor(g, "x"));
    assert_null(gguf_kv(g, 0));
    assert_null(gguf_tensor_at(g, 0));
    gguf_close(g);
    gguf_close(NULL);
    buf_free(&b);

    refused(&b, ERR_INPUT, "header", "too short");
    buf_z(&b, "lmgg....................");
    refused(&b, ERR_INPUT, "header", "not a GGUF file");
    put_header(&b, 1, 0, 0);
    refused(&b, ERR_INPUT, "header", "version 1");
    put_header(&b, 0x03000000, 0, 0);
    refused(&b, ERR_INPUT, "header", "big-endian");
    put_header(&b, 3, UINT64_MAX, 0);
    refused(&b, ERR_INPUT, "n_tensors", "the file ends");
    put_header(&b, 3, 0, UINT64_MAX);
    refused(&b, ERR_INPUT, "n_kv", "the file ends");
}

static void limits(void **state) {
    (void)state;
    struct buf b = {0};
    put_header(&b, 3, 0, 1000001);
    put_zeros(&b, 14 * 1000001);
    refused(&b, ERR_LIMIT, "n_kv", "1000000");
    put_header(&b, 3, 1000001, 0);
    put_zeros(&b, 33 * 1000001);
    refused(&b, ERR_LIMIT, "n_tensors", "1000000");
    put_header(&b, 3, 0, 1);
    put_key(&b, "long", GGUF_STR);
    put_u64(&b, (64 << 20) + 1);
    put_zeros(&b, (64 << 20) + 1);
    refused(&b, ERR_LIMIT, "long", "67108864");
}

static void keys(void **state) {
    (void)state;
    struct buf b = {0};
    put_header(&b, 3, 0, 1);
    put_kv_u32(&b, "", 1);
    put_zeros(&b, 8);
    refused(&b, ERR_INPUT, "metadata pair 0", "empty");
    put_header(&b, 3, 0, 1);
    put_kv_u32(&b, "a\xff", 1);
    refused(&b, ERR_INPUT, "metadata pair 0", "UTF-8");
    put_header(&b, 3, 0, 1);
    put_u64(&b, 3);
    buf_add(&b, "a\0b", 3);
    put_u32(&b, GGUF_U8);
    put_zeros(&b, 1);
    refused(&b, ERR_INPUT, "metadata pair 0", "NUL");
    put_header(&b, 3, 0, 2);
    put_kv_u32(&b, "twice", 1);
    put_kv_u32(&b, "twice", 1);
    refused(&b, ERR_INPUT, "twice", "twice");
    put_header(&b, 3, 0, 1);
    put_key(&b, "typed", 13);
    put_zeros(&b, 8);
    refused(&b, ERR_INPUT, "typed", "13");
}

/* Enough keys that slots collide; each is found, and nothing else. */
static void index_finds(void **state) {
    (void)state;
    enum { N = 5000 };
    struct buf b = {0};
    char key[16];
    put_header(&b, 3, 0, N);
    for (uint32_t i = 0; i < N; i++) {
        snprintf(key, sizeof key, "k%u", i);
        put_kv_u32(&b, key, i);
    }
    struct gguf *g = open_ok(&b);
    struct err e = {0};
    for (uint32_t i = 0; i < N; i++) {
        uint32_t v = 0;
        snprintf(key, sizeof key, "k%u", i);
        assert_int_equal(gguf_u32(g, key, &v, &e), 0);
        assert_int_equal(v, i);
        assert_true(str_is(gguf_kv(g, i)->key, key));
    }
    assert_null(gguf_find(g, "k5000"));
    assert_null(gguf_find(g, ""));
    gguf_close(g);
    buf_free(&b);
}

static void integers(void **state) {
    (void)state;
    const int64_t minus = -5;
    struct buf b = {0};
    struct err e = {0};
    put_header(&b, 3, 0, 6);
    put_key(&b, "u8", GGUF_U8), buf_byte(&b, (char)200);
    put_key(&b, "i8", GGUF_I8), buf_byte(&b, (char)-1);
    put_key(&b, "u64", GGUF_U64), put_u64(&b, UINT32_MAX);
    put_key(&b, "large", GGUF_U64), put_u64(&b, UINT64_MAX);
    put_key(&b, "i64", GGUF_I64), put_u64(&b, (uint64_t)minus);
    put_key(&b, "f32", GGUF_F32), put_f32(&b, 2);
    struct gguf *g = open_ok(&b);
    uint32_t v = 0;
    assert_int_equal(gguf_u32(g, "u8", &v, &e), 0);
    assert_int_equal(v, 200);
    assert_int_equal(gguf_u32(g, "u64", &v, &e), 0);
    assert_int_equal(v, UINT32_MAX);
    assert_int_equal(gguf_u32_or(g, "none", 7, &v, &e), 0);
    assert_int_equal(v, 7);
    const char *const bad[] = {"i8", "large", "i64", "f32", "none"};
    for (size_t i = 0; i < N_ITEMS(bad); i++) {
        e = (struct err){0};
        assert_int_equal(gguf_u32(g, bad[i], &v, &e), ERR_INPUT);
        assert_string_equal(e.where, bad[i]);
    }
    gguf_close(g);
    buf_free(&b);
}

static void other_values(void **state) {
    (void)state;
    struct buf b = {0};
    struct err e = {0};
    const double pi = 3.25;
    put_header(&b, 3, 0, 4);
    put_key(&b, "f32", GGUF_F32), put_f32(&b, 1e-5f);
    put_key(&b, "f64", GGUF_F64), buf_add(&b, &pi, sizeof pi);
    put_key(&b, "yes", GGUF_BOOL), buf_byte(&b, 1);
    put_kv_str(&b, "text", "hello");
    struct gguf *g = open_ok(&b);
    float f = 0;
    bool yes = false;
    struct str s;
    assert_int_equal(gguf_f32(g, "f32", &f, &e), 0);
    assert_true(f == 1e-5f);
    assert_int_equal(gguf_f32_or(g, "f64", 1, &f, &e), 0);
    assert_true(f == 3.25f);
    assert_int_equal(gguf_f32_or(g, "none", 8, &f, &e), 0);
    assert_true(f == 8);
    assert_int_equal(gguf_bool_or(g, "yes", false, &yes, &e), 0);
    assert_true(yes);
    assert_int_equal(gguf_str(g, "text", &s, &e), 0);
    assert_true(str_is(s, "hello"));
    assert_int_equal(gguf_str_or(g, "none", STR("x"), &s, &e), 0);
    assert_true(str_is(s, "x"));
    assert_int_equal(gguf_f32(g, "none", &f, &e), ERR_INPUT);
    assert_int_equal(gguf_str(g, "yes", &s, NULL), ERR_INPUT);
    assert_int_equal(gguf_bool_or(g, "text", false, &yes, NULL), ERR_INPUT);
    assert_int_equal(gguf_f32_or(g, "text", 1, &f, NULL), ERR_INPUT);
    gguf_close(g);
    buf_free(&b);
    put_header(&b, 3, 0, 1);
    put_key(&b, "maybe", GGUF_BOOL), buf_byte(&b, 2);
    refused(&b, ERR_INPUT, "maybe", "0 or 1");
}

static void arrays(void **state) {
    (void)state;
    const char *const words[] = {"a", "", "bc"};
    struct buf b = {0};
    struct err e = {0};
    put_header(&b, 3, 0, 4);
    put_strs(&b, "words", words, 3);
    put_array(&b, "i16", GGUF_I16, 2), buf_add(&b, "\xff\xff\x02\x00", 4);
    put_array(&b, "f32", GGUF_F32, 1), put_f32(&b, 0.5f);
    put_kv_u32(&b, "one", 9);
    struct gguf *g = open_ok(&b);
    struct gguf_iter it;
    struct str s;
    assert_int_equal(gguf_array(g, "words", GGUF_STR, &it, &e), 0);
    assert_int_equal(it.left, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(gguf_next_str(&it, &s));
        assert_true(str_is(s, words[i]));
    }
    assert_false(gguf_next_str(&it, &s));
    int64_t v = 0;
    assert_int_equal(gguf_int_array(g, "i16", &it, &e), 0);
    assert_true(gguf_next_i64(&it, &v) && v == -1);
    assert_true(gguf_next_i64(&it, &v) && v == 2);
    assert_false(gguf_next_i64(&it, &v));
    float f = 0;
    assert_int_equal(gguf_array(g, "f32", GGUF_F32, &it, &e), 0);
    assert_true(gguf_next_f32(&it, &f) && f == 0.5f);
    assert_false(gguf_next_f32(&it, &f));
    assert_int_equal(gguf_array(g, "words", GGUF_F32, &it, NULL), ERR_INPUT);
    assert_int_equal(gguf_array(g, "one", GGUF_U32, &it, NULL), ERR_INPUT);
    assert_int_equal(gguf_int_array(g, "f32", &it, NULL), ERR_INPUT);
    uint32_t layers[3];
    assert_int_equal(gguf_u32_layers(g, "one", 3, layers, &e), 0);
    assert_int_equal(layers[2], 9);
    assert_int_equal(gguf_u32_layers(g, "i16", 3, layers, NULL), ERR_INPUT); /* two items for three layers */
    assert_int_equal(gguf_u32_layers(g, "i16", 2, layers, NULL), ERR_INPUT); /* -1 */
    gguf_close(g);
    buf_free(&b);
}

/* depth arrays around an empty one of u8. */
static void put_nested(struct buf *b, unsigned depth) {
    put_header(b, 3, 0, 1);
    put_key(b, "deep", GGUF_ARR);
    for (unsigned i = 1; i < depth; i++) {
        put_u32(b, GGUF_ARR);
        put_u64(b, 1);
    }
    put_u32(b, GGUF_U8);
    put_u64(b, 0);
}

static void nesting(void **state) {
    (void)state;
    struct buf b = {0};
    put_nested(&b, 16);
    struct gguf *g = open_ok(&b);
    struct buf text = {0};
    gguf_kv_json(gguf_kv(g, 0), &text);
    assert_true(str_is(buf_as_str(&text), "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"));
    buf_free(&text);
    gguf_close(g);
    buf_free(&b);
    put_nested(&b, 17);
    refused(&b, ERR_LIMIT, "deep", "16");
    put_header(&b, 3, 0, 1);
    put_array(&b, "many", GGUF_ARR, UINT64_MAX / 12);
    refused(&b, ERR_INPUT, "many", "beyond the end");
}

static void json(void **state) {
    (void)state;
    struct buf b = {0}, text = {0};
    put_header(&b, 3, 0, 1);
    put_array(&b, "x", GGUF_ARR, 4);
    put_u32(&b, GGUF_F32), put_u64(&b, 6);
    put_f32(&b, 0.1f), put_f32(&b, -0.0f), put_f32(&b, 1e-45f), put_f32(&b, 16777216), put_f32(&b, INFINITY), put_f32(&b, NAN);
    put_u32(&b, GGUF_U64), put_u64(&b, 1), put_u64(&b, UINT64_MAX);
    put_u32(&b, GGUF_STR), put_u64(&b, 1), put_str(&b, "\"\n");
    put_u32(&b, GGUF_BOOL), put_u64(&b, 2), buf_add(&b, "\0\1", 2);
    struct gguf *g = open_ok(&b);
    gguf_kv_json(gguf_kv(g, 0), &text);
    buf_byte(&text, 0);
    assert_string_equal(text.p,
                        "[[0.1, -0.0, 1.4013e-45, 16777216.0, \"Infinity\", \"NaN\"], [18446744073709551615], [\"\\\"\\n\"], "
                        "[false, true]]");
    gguf_close(g);
    buf_free(&text);
    buf_free(&b);
}

static void tensors(void **state) {
    (void)state;
    struct buf b = {0};
    put_header(&b, 2, 2, 1);
    put_kv_u32(&b, "general.alignment", 64);
    put_tensor(&b, "second", 32, 2, DTYPE_Q4_0, 64);
    put_tensor(&b, "first", 3, 0, DTYPE_F32, 0);
    put_padding(&b, 64);
    uint64_t start = b.n;
    put_zeros(&b, 64 + 36);
    struct gguf *g = open_ok(&b);
    assert_int_equal(gguf_data_start(g), start);
    assert_int_equal(gguf_n_tensors(g), 2);
    const struct gguf_tensor *t = gguf_tensor(g, "second");
    assert_ptr_equal(t, gguf_tensor_at(g, 0));
    assert_int_equal(t->n_values, 64);
    assert_int_equal(t->bytes, 36);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->dims[3], 1);
    assert_ptr_equal(t->data, b.p + start + 64);
    gguf_close(g);
    b.n--;
    refused(&b, ERR_INPUT, "second", "beyond the end");
    put_header(&b, 3, 1, 0);
    put_tensor(&b, "t", 3, 0, DTYPE_F32, 0);
    refused(&b, ERR_INPUT, "tensor data", "general.alignment");
    put_header(&b, 3, 2, 0);
    put_tensor(&b, "t", 3, 0, DTYPE_F32, 0);
    put_zeros(&b, 64);
    refused(&b, ERR_INPUT, "tensor 1, after 0 pairs", "empty");
}

/* One tensor of the given shape, type and place in a file with 64 bytes of data. */
static void bad_tensor(uint64_t cols, uint64_t rows, uint32_t type, uint64_t offset, const char *text) {
    struct buf b = {0};
    put_header(&b, 3, 1, 0);
    put_tensor(&b, "t", cols, rows, type, offset);
    put_padding(&b, 32);
    put_zeros(&b, 64);
    refused(&b, ERR_INPUT, "t", text);
}

static void bad_tensors(void **state) {
    (void)state;
    bad_tensor(0, 0, DTYPE_F32, 0, "is 0");
    bad_tensor(8, 0, DTYPE_F32, 8, "general.alignment");
    bad_tensor(8, 0, DTYPE_F32, 64, "beyond the end");
    bad_tensor(8, 0, DTYPE_F32, UINT64_MAX - 31, "beyond the end");
    bad_tensor(31, 2, DTYPE_Q4_0, 0, "blocks of 32");
    bad_tensor(1ull << 32, 1ull << 32, DTYPE_F32, 0, "64 bits");
    bad_tensor((1ull << 62) + 32, 0, DTYPE_F32, 0, "64 bits");
    bad_tensor(8, 0, 4, 0, "type 4");
    bad_tensor(8, 0, UINT32_MAX, 0, "type 4294967295");
    struct buf b = {0};
    put_header(&b, 3, 2, 0);
    put_tensor(&b, "a", 16, 0, DTYPE_F32, 0);
    put_tensor(&b, "b", 4, 0, DTYPE_F32, 32);
    put_padding(&b, 32);
    put_zeros(&b, 64);
    refused(&b, ERR_INPUT, "b", "overlap those of 'a'");
    put_header(&b, 3, 2, 0);
    put_tensor(&b, "a", 4, 0, DTYPE_F32, 0);
    put_tensor(&b, "a", 4, 0, DTYPE_F32, 32);
    put_padding(&b, 32);
    put_zeros(&b, 64);
    refused(&b, ERR_INPUT, "a", "twice");
}

/* A small file with something of everything: each of its prefixes is refused, and no flipped byte does harm. */
static void cut_and_flipped(void **state) {
    (void)state;
    const char *const words[] = {"x", "yy"};
    struct buf b = {0};
    put_header(&b, 3, 1, 3);
    put_kv_str(&b, "s", "text");
    put_strs(&b, "words", words, 2);
    put_array(&b, "n", GGUF_ARR, 1), put_u32(&b, GGUF_BOOL), put_u64(&b, 1), buf_byte(&b, 1);
    put_tensor(&b, "t", 4, 2, DTYPE_F16, 0);
    put_padding(&b, 32);
    put_zeros(&b, 16);
    gguf_close(open_ok(&b));
    for (size_t n = 0; n < b.n; n++) {
        char *copy = malloc(n ? n : 1); /* of its own size, so that a sanitizer sees a byte too far */
        memcpy(copy, b.p, n);
        struct gguf *g = NULL;
        assert_int_equal(gguf_open((struct str){copy, n}, &g, NULL), ERR_INPUT);
        free(copy);
    }
    for (size_t i = 0; i < b.n * 8; i++) {
        b.p[i / 8] ^= (char)(1 << i % 8);
        struct gguf *g = NULL;
        if (gguf_open(buf_as_str(&b), &g, NULL) == 0)
            gguf_close(g);
        b.p[i / 8] ^= (char)(1 << i % 8);
    }
    buf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header),      cmocka_unit_test(limits),      cmocka_unit_test(keys),
        cmocka_unit_test(index_finds), cmocka_unit_test(integers),    cmocka_unit_test(other_values),
        cmocka_unit_test(arrays),      cmocka_unit_test(nesting),     cmocka_unit_test(json),
        cmocka_unit_test(tensors),     cmocka_unit_test(bad_tensors), cmocka_unit_test(cut_and_flipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
