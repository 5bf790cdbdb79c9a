/* The streaming decoder on bytes in any order, token by token: what comes out is UTF-8, each broken sequence once U+FFFD. */
#include "unit.h"

#include "model/model.h"
#include "text/unicode_props.h"

#include <fcntl.h>

enum { N_BYTES = 12, N_RUNS = 200000 };

static struct tok *tok;
static uint32_t id_of_byte[256];

static int set_up(void **state) {
    static struct arena arena;
    static struct buf file;
    static struct gguf *g;
    static struct tok_spec spec;
    struct err e = {0};
    (void)state;
    assert_int_equal(fs_read(AT_FDCWD, "tests/golden/models/tiny-llama.gguf", &file, &e), 0);
    assert_int_equal(gguf_open(buf_as_str(&file), &g, &e), 0);
    assert_int_equal(model_tok_spec(g, &arena, &spec, &e), 0);
    assert_int_equal(tok_new(&spec, &tok, &e), 0);
    for (uint32_t i = 0; i < tok_n(tok); i++) {
        struct str s = tok_piece_bytes(tok, i);
        if (s.n == 1 && tok_kind(tok, i) != TOK_CONTROL)
            id_of_byte[(uint8_t)*s.p] = i;
    }
    return 0;
}

/* As Unicode recommends: the longest beginning of a character that goes no further is replaced once. */
static void mend(const char *p, size_t n, struct buf *out) {
    for (size_t at = 0; at < n;) {
        uint32_t cp;
        unsigned len = utf8_decode(p + at, p + n, &cp);
        size_t broken = 1;
        while (broken < 3 && at + broken < n && utf8_complete((struct str){p + at, broken + 1}) == 0)
            broken++;
        if (len)
            buf_add(out, p + at, len);
        else
            buf_z(out, "\xef\xbf\xbd");
        at += len ? len : broken;
    }
}

/* The table for ASCII beside the one that is made from Unicode's data. */
static void ascii_classes(void **state) {
    (void)state;
    for (uint32_t cp = 0; cp < 128; cp++)
        assert_int_equal(uc_ascii[cp], uc_class(cp));
}

static void any_bytes(void **state) {
    static const uint8_t nasty[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xc3, 0xdf,
                                    0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff, 0xbb, 0x82, 0xac, 0x98};
    uint64_t random = 1;
    struct buf got = {0}, want = {0};
    (void)state;
    for (int run = 0; run < N_RUNS; run++) {
        struct tok_stream stream = {0};
        char bytes[N_BYTES];
        got.n = want.n = 0;
        for (size_t i = 0; i < N_BYTES; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = (char)nasty[(random >> 33) % sizeof nasty];
            tok_stream_add(tok, &stream, id_of_byte[(uint8_t)bytes[i]], false, &got);
            assert_true(stream.n_held <= 3);
        }
        tok_stream_end(&stream, &got);
        mend(bytes, N_BYTES, &want);
        assert_true(str_eq(buf_as_str(&got), buf_as_str(&want)));
    }
    buf_free(&got);
    buf_free(&want);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_bytes), cmocka_unit_test(ascii_classes)};
    return cmocka_run_group_tests(tests, set_up, NULL);
}
