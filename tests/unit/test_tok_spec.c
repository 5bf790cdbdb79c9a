/* model_tok_spec: rule 8 of the format page, and what a file leaves out. */
#include "unit.h"

#include "gguf_build.h"
#include "model/model.h"

/* A vocabulary of n_pieces tokens named after `names`, of one kind of tokenizer; `more` adds pairs. */
struct file {
    const char *model;
    const char *const *names;
    uint32_t n_names;
    const char *const *merges;
    uint32_t n_merges;
    const float *scores;
    uint32_t n_scores;
    const int32_t *kinds;
    uint32_t n_kinds;
    uint32_t n_more;
    void (*more)(struct buf *b);
};

static void build(const struct file *f, struct buf *b) {
    bool scores = f->n_scores, merges = f->merges, kinds = f->n_kinds;
    put_header(b, 3, 0, 2 + scores + merges + kinds + f->n_more);
    put_kv_str(b, "tokenizer.ggml.model", f->model);
    put_strs(b, "tokenizer.ggml.tokens", f->names, f->n_names);
    if (merges)
        put_strs(b, "tokenizer.ggml.merges", f->merges, f->n_merges);
    if (scores) {
        put_array(b, "tokenizer.ggml.scores", GGUF_F32, f->n_scores);
        buf_add(b, f->scores, f->n_scores * sizeof *f->scores);
    }
    if (kinds) {
        put_array(b, "tokenizer.ggml.token_type", GGUF_I32, f->n_kinds);
        buf_add(b, f->kinds, f->n_kinds * sizeof *f->kinds);
    }
    if (f->more)
        f->more(b);
}

static int read_spec(const struct file *f, struct tok_spec *spec, struct err *e) {
    struct buf b = {0};
    struct gguf *g = NULL;
    struct arena arena = {0};
    build(f, &b);
    assert_int_equal(gguf_open(buf_as_str(&b), &g, e), 0);
    int code = model_tok_spec(g, &arena, spec, e);
    spec->pieces = NULL; /* these lie in the arena */
    spec->merges = NULL;
    arena_free(&arena);
    gguf_close(g);
    buf_free(&b);
    return code;
}

static struct tok_spec accepted(const struct file *f) {
    struct tok_spec spec = {0};
    struct err e = {0};
    int code = read_spec(f, &spec, &e);
    if (code < 0)
        print_error("%s: %s\n", e.where, e.msg);
    assert_int_equal(code, 0);
    return spec;
}

static void refused(const struct file *f, const char *where) {
    struct tok_spec spec = {0};
    struct err e = {0};
    assert_int_equal(read_spec(f, &spec, &e), ERR_INPUT);
    assert_string_equal(e.where, where);
}

static const char *const abc[] = {"a", "b", "ab", "<|im_end|>"};
static const char *const ab[] = {"a b"};

static struct file bpe(void) {
    return (struct file){.model = "gpt2", .names = abc, .n_names = 4, .merges = ab, .n_merges = 1};
}

static void more_bos(struct buf *b) {
    put_kv_u32(b, "tokenizer.ggml.bos_token_id", 0);
}
static void more_llama3(struct buf *b) {
    more_bos(b);
    put_kv_str(b, "tokenizer.ggml.pre", "llama-bpe");
}

static void bpe_defaults(void **state) {
    (void)state;
    static const int32_t kinds[] = {1, 1, 1, 3};
    struct file f = bpe();
    struct tok_spec s = accepted(&f);
    assert_int_equal(s.model, TOK_BPE);
    assert_int_equal(s.n_pieces, 4);
    assert_int_equal(s.n_merges, 1);
    assert_int_equal(s.bos, TOK_NONE);
    assert_int_equal(s.eot, TOK_NONE); /* <|im_end|> is a normal piece here */
    assert_false(s.add_bos || s.add_eos || s.add_space_prefix);
    f.kinds = kinds;
    f.n_kinds = 4;
    f.n_more = 1;
    f.more = more_bos;
    s = accepted(&f);
    assert_int_equal(s.eot, 3);
    assert_false(s.add_bos);
    f.n_more = 2;
    f.more = more_llama3;
    assert_true(accepted(&f).add_bos);
}

static void merges(void **state) {
    (void)state;
    static const char *const bad[] = {"", "a", " a", "a ", "a b c", "a  b", " "};
    for (size_t i = 0; i < N_ITEMS(bad); i++) {
        struct file f = bpe();
        f.merges = &bad[i];
        refused(&f, "tokenizer.ggml.merges");
    }
    struct file none = bpe();
    none.merges = NULL;
    refused(&none, "tokenizer.ggml.merges");
}

static void numbers_agree(void **state) {
    (void)state;
    static const int32_t kinds[] = {1, 1, 1, 7};
    static const float scores[] = {0, 0, __builtin_nanf(""), 0};
    struct file f = bpe();
    f.kinds = kinds;
    f.n_kinds = 3;
    refused(&f, "tokenizer.ggml.token_type");
    f.n_kinds = 4;
    refused(&f, "tokenizer.ggml.token_type");
    f = bpe();
    f.scores = scores;
    f.n_scores = 2;
    refused(&f, "tokenizer.ggml.scores");
    f.n_scores = 4;
    refused(&f, "tokenizer.ggml.scores");
    f = (struct file){.model = "llama", .names = abc, .n_names = 4};
    refused(&f, "tokenizer.ggml.scores");
    f = bpe();
    f.n_names = 0;
    refused(&f, "tokenizer.ggml.tokens");
    f = bpe();
    f.model = "nosuch";
    refused(&f, "tokenizer.ggml.model");
}

static void more_bad_id(struct buf *b) {
    put_kv_u32(b, "tokenizer.ggml.eos_token_id", 4);
}

static void ids(void **state) {
    (void)state;
    struct file f = bpe();
    f.n_more = 1;
    f.more = more_bad_id;
    refused(&f, "tokenizer.ggml.eos_token_id");
}

/* Ranks make a SentencePiece BPE vocabulary, log-probabilities a unigram one. */
static void unigram_in_disguise(void **state) {
    (void)state;
    static const float ranks[] = {0, -1, -2, -3}, logs[] = {0, -1.5f, -2.25f, -3.125f};
    struct file f = {.model = "llama", .names = abc, .n_names = 4, .scores = ranks, .n_scores = 4, .n_more = 1, .more = more_bos};
    struct tok_spec s = accepted(&f);
    assert_int_equal(s.model, TOK_SPM);
    assert_true(s.add_bos && s.add_space_prefix && !s.add_eos);
    f.scores = logs;
    assert_int_equal(accepted(&f).model, TOK_UNIGRAM);
}

static void more_cls(struct buf *b) {
    put_kv_u32(b, "tokenizer.ggml.cls_token_id", 1);
    put_kv_u32(b, "tokenizer.ggml.seperator_token_id", 2);
}
static void more_bos_eos(struct buf *b) {
    put_kv_u32(b, "tokenizer.ggml.bos_token_id", 1);
    put_kv_u32(b, "tokenizer.ggml.eos_token_id", 2);
}

/* CLS and SEP under either name come out the same. */
static void wordpiece(void **state) {
    (void)state;
    struct file f = {.model = "bert", .names = abc, .n_names = 4, .n_more = 2, .more = more_cls};
    for (int i = 0; i < 2; i++, f.more = more_bos_eos) {
        struct tok_spec s = accepted(&f);
        assert_int_equal(s.model, TOK_WORDPIECE);
        assert_int_equal(s.bos, 1);
        assert_int_equal(s.cls, 1);
        assert_int_equal(s.sep, 2);
        assert_true(s.add_bos && s.add_sep && !s.add_eos);
    }
}

/* The usual ids count where the file names none and a control token stands there. */
static void usual_ids(void **state) {
    (void)state;
    static const float ranks[] = {0, -1, -2, -3};
    static const int32_t controls[] = {2, 3, 3, 1}, letters[] = {1, 1, 1, 1};
    struct file f = {
        .model = "llama", .names = abc, .n_names = 4, .scores = ranks, .n_scores = 4, .kinds = controls, .n_kinds = 4};
    struct tok_spec s = accepted(&f);
    assert_true(s.bos == 1 && s.eos == 2 && s.unk == 0 && s.sep == TOK_NONE && s.add_bos);
    f.kinds = letters;
    s = accepted(&f);
    assert_true(s.bos == TOK_NONE && s.eos == TOK_NONE && s.unk == TOK_NONE && !s.add_bos);
}

static void more_sarvam(struct buf *b) {
    put_kv_str(b, "tokenizer.ggml.pre", "sarvam-moe");
}
static void more_roberta(struct buf *b) {
    put_kv_str(b, "tokenizer.ggml.pre", "roberta-bpe");
    put_kv_u32(b, "tokenizer.ggml.seperator_token_id", 3);
}
static void more_nfc(struct buf *b) {
    put_kv_bool(b, "tokenizer.ggml.normalizer.nfc", true);
}

static void names_and_keys(void **state) {
    (void)state;
    struct file f = bpe();
    f.n_more = 1;
    f.more = more_sarvam;
    assert_int_equal(accepted(&f).model, TOK_GEMMA4);
    f.more = more_nfc;
    assert_int_equal(accepted(&f).nfc, TOK_SAYS_YES);
    f.model = "gemma4";
    refused(&f, "tokenizer.ggml.normalizer.nfc");
    f = bpe();
    f.n_more = 2;
    f.more = more_roberta;
    assert_true(accepted(&f).add_sep);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bpe_defaults),        cmocka_unit_test(merges),
        cmocka_unit_test(numbers_agree),       cmocka_unit_test(ids),
        cmocka_unit_test(unigram_in_disguise), cmocka_unit_test(wordpiece),
        cmocka_unit_test(usual_ids),           cmocka_unit_test(names_and_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
