/* model: a batch moves no bit; rows that meet a value that is not finite fail alone; what loading refuses. */
#include "unit.h"

#include "tiny_model.h"

#include <math.h>

enum { N_VOCAB_MAX = 512, N_ROWS = 64 };

struct fixture {
    struct tiny_model tiny;
    struct model *model;
    struct kv *kv;
};

/* A test may spoil the file before open_model. */
static int set_up_file(void **state, const char *name) {
    struct fixture *f = calloc(1, sizeof *f);
    tiny_open(&f->tiny, name, 3, N_ROWS);
    *state = f;
    return 0;
}

static int set_up(void **state) {
    return set_up_file(state, "tiny-window");
}

static int set_up_clamped(void **state) {
    return set_up_file(state, "tiny-alibi");
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    kv_free(f->kv);
    model_close(f->model);
    tiny_close(&f->tiny);
    free(f);
    return 0;
}

static int open_model(struct fixture *f, uint32_t ctx, struct err *e) {
    f->tiny.opts.ctx = ctx;
    return model_open(f->tiny.gguf, &f->tiny.opts, &f->model, e);
}

static void open_all(struct fixture *f) {
    struct err e = {0};
    assert_int_equal(open_model(f, 256, &e), 0);
    assert_int_equal(kv_new(f->model, 16, 4, &f->kv, &e), 0);
}

static uint8_t *tensor_bytes(struct fixture *f, const char *name) {
    const struct gguf_tensor *t = gguf_tensor(f->tiny.gguf, name);
    assert_non_null(t);
    return (uint8_t *)f->tiny.file.p + (t->data - (const uint8_t *)f->tiny.file.p);
}

/* Logits of the last position of n tokens from `first` on, computed as sequence 0 by itself. */
static void alone(struct fixture *f, uint32_t first, uint32_t n, float *logits) {
    struct row rows[N_ROWS];
    uint16_t faults[N_ROWS] = {0};
    kv_truncate(f->kv, 0, 0);
    assert_true(kv_reserve(f->kv, 0, n));
    for (uint32_t i = 0; i < n; i++)
        rows[i] = (struct row){.pos = i, .token = first + i, .want_logits = i + 1 == n};
    model_forward(f->model, f->kv, rows, n, logits, faults);
    kv_truncate(f->kv, 0, 0);
}

/* Two sequences, rows in turn, the higher sequence number first: logits come in the order of the rows. */
static void batches_move_no_bit(void **state) {
    struct fixture *f = *state;
    float a[N_VOCAB_MAX], b[N_VOCAB_MAX], both[2 * N_VOCAB_MAX];
    struct row rows[40];
    uint16_t faults[40] = {0};
    open_all(f);
    uint32_t n_vocab = model_info(f->model)->n_vocab;
    alone(f, 1, 20, a);
    alone(f, 100, 20, b);
    assert_true(kv_reserve(f->kv, 1, 20) && kv_reserve(f->kv, 3, 20));
    for (uint32_t i = 0; i < 20; i++) {
        rows[2 * i] = (struct row){.seq = 3, .pos = i, .token = 1 + i, .want_logits = i == 19};
        rows[2 * i + 1] = (struct row){.seq = 1, .pos = i, .token = 100 + i, .want_logits = i == 19};
    }
    model_forward(f->model, f->kv, rows, 40, both, faults);
    assert_memory_equal(both, a, n_vocab * sizeof(float));
    assert_memory_equal(both + n_vocab, b, n_vocab * sizeof(float));
    for (int i = 0; i < 40; i++)
        assert_int_equal(faults[i], 0);
}

/* Three threads on fewer cores, or beside other processes: some are late. */
static void row_by_row_moves_no_bit(void **state) {
    struct fixture *f = *state;
    float a[N_VOCAB_MAX], b[N_VOCAB_MAX];
    uint16_t faults[1] = {0};
    open_all(f);
    alone(f, 1, 60, a);
    for (int round = 0; round < 30; round++) {
        kv_truncate(f->kv, 1, 0);
        assert_true(kv_reserve(f->kv, 1, 60));
        for (uint32_t i = 0; i < 60; i++)
            model_forward(f->model, f->kv, &(struct row){.seq = 1, .pos = i, .token = 1 + i, .want_logits = true}, 1, b, faults);
        assert_memory_equal(b, a, model_info(f->model)->n_vocab * sizeof(float));
    }
}

static void no_rows_and_no_logits(void **state) {
    struct fixture *f = *state;
    uint16_t faults[1] = {0};
    open_all(f);
    model_forward(f->model, f->kv, NULL, 0, NULL, faults);
    assert_true(kv_reserve(f->kv, 0, 1));
    model_forward(f->model, f->kv, &(struct row){.token = 5}, 1, NULL, faults);
    assert_int_equal(kv_length(f->kv, 0), 1);
}

/* Token 7 is a spike in dimension 0, which the first norm makes infinite; token 50 is 0 there. */
static void a_fault_stays_in_its_row(void **state) {
    struct fixture *f = *state;
    float clean[N_VOCAB_MAX], logits[2 * N_VOCAB_MAX];
    uint16_t faults[2] = {0};
    uint16_t *embd = (uint16_t *)(void *)tensor_bytes(f, "token_embd.weight");
    const struct gguf_tensor *t = gguf_tensor(f->tiny.gguf, "token_embd.weight");
    assert_int_equal(t->type, DTYPE_F16);
    memset(embd + 7 * t->dims[0], 0, t->dims[0] * sizeof *embd);
    embd[7 * t->dims[0]] = 0x7bff; /* 65504 */
    embd[50 * t->dims[0]] = 0;
    ((float *)(void *)tensor_bytes(f, "blk.0.attn_norm.weight"))[0] = 3e38f; /* the spike is sqrt(48) by then */
    open_all(f);
    alone(f, 50, 1, clean);
    assert_true(kv_reserve(f->kv, 1, 1) && kv_reserve(f->kv, 2, 1));
    struct row rows[2] = {{.seq = 2, .token = 7, .want_logits = true}, {.seq = 1, .token = 50, .want_logits = true}};
    model_forward(f->model, f->kv, rows, 2, logits, faults);
    assert_int_equal(faults[0], 1);
    assert_int_equal(faults[1], 0);
    assert_memory_equal(logits + model_info(f->model)->n_vocab, clean, model_info(f->model)->n_vocab * sizeof(float));
}

/* Token 7 is a spike in dimension 0, whose key overflows: it fails, and what stands before it and beside it keeps its bits. */
static void keys_and_values_must_be_finite(void **state) {
    struct fixture *f = *state;
    float clean[N_VOCAB_MAX], logits[4 * N_VOCAB_MAX];
    uint16_t faults[4] = {0};
    uint16_t *embd = (uint16_t *)(void *)tensor_bytes(f, "token_embd.weight");
    uint64_t n = gguf_tensor(f->tiny.gguf, "token_embd.weight")->dims[0];
    assert_int_equal(gguf_tensor(f->tiny.gguf, "blk.0.attn_k.weight")->type, DTYPE_F32);
    memset(embd + 7 * n, 0, n * sizeof *embd);
    embd[7 * n] = 0x7bff; /* 65504 */
    embd[50 * n] = embd[51 * n] = 0;
    ((float *)(void *)tensor_bytes(f, "blk.0.attn_k.weight"))[0] = 3e38f;
    open_all(f);
    alone(f, 50, 2, clean);
    assert_true(kv_reserve(f->kv, 1, 3) && kv_reserve(f->kv, 2, 1));
    struct row rows[4] = {{.seq = 1, .token = 50},
                          {.seq = 1, .pos = 1, .token = 51, .want_logits = true},
                          {.seq = 1, .pos = 2, .token = 7},
                          {.seq = 2, .token = 50}};
    model_forward(f->model, f->kv, rows, 4, logits, faults);
    assert_memory_equal(faults, ((uint16_t[]){0, 0, 1, 0}), sizeof faults);
    assert_memory_equal(logits, clean, model_info(f->model)->n_vocab * sizeof(float));
}

/* Two spikes of token 7 meet weights that make infinity minus infinity of its first query, which is clamped then. */
static void a_clamp_hides_no_fault(void **state) {
    struct fixture *f = *state;
    uint16_t faults[1] = {0};
    uint16_t *embd = (uint16_t *)(void *)tensor_bytes(f, "token_embd.weight");
    uint64_t n = gguf_tensor(f->tiny.gguf, "token_embd.weight")->dims[0];
    assert_int_equal(gguf_tensor(f->tiny.gguf, "blk.0.attn_qkv.weight")->type, DTYPE_Q8_0);
    uint8_t *blocks = tensor_bytes(f, "blk.0.attn_qkv.weight"); /* of the first row: an f16 scale, then 32 signed bytes */
    for (int i = 0; i < 2; i++) {
        memcpy(blocks + 34 * i, &(uint16_t){0x7bff}, 2); /* 65504 */
        blocks[34 * i + 2] = i ? 0x81 : 0x7f;
        ((float *)(void *)tensor_bytes(f, "blk.0.attn_norm.weight"))[32 * i] = 1e37f;
    }
    memset(embd + 7 * n, 0, n * sizeof *embd);
    embd[7 * n] = embd[7 * n + 32] = 0x7bff;
    open_all(f);
    assert_true(kv_reserve(f->kv, 1, 1));
    model_forward(f->model, f->kv, &(struct row){.seq = 1, .token = 7}, 1, NULL, faults);
    assert_int_equal(faults[0], 1);
}

static void refuses_what_is_not_finite(void **state) {
    struct fixture *f = *state;
    struct err e = {0};
    ((float *)(void *)tensor_bytes(f, "blk.1.ffn_down.bias"))[3] = NAN;
    assert_int_equal(open_model(f, 0, &e), ERR_INPUT);
    assert_string_equal(e.where, "blk.1.ffn_down.bias");
    e = (struct err){0};
    assert_int_equal(model_check(f->tiny.gguf, &e), ERR_INPUT);
    assert_string_equal(e.where, "blk.1.ffn_down.bias");
}

static void check_finds_what_packing_would(void **state) {
    struct fixture *f = *state;
    struct err e = {0};
    assert_int_equal(model_check(f->tiny.gguf, &e), 0);
    ((uint16_t *)(void *)tensor_bytes(f, "token_embd.weight"))[100] = 0x7c00; /* infinity */
    assert_int_equal(model_check(f->tiny.gguf, &e), ERR_INPUT);
    assert_string_equal(e.where, "token_embd.weight");
}

static void refuses_a_context_beyond_its_tables(void **state) {
    struct fixture *f = *state;
    struct err e = {0};
    assert_int_equal(open_model(f, (1 << 20) + 1, &e), ERR_USAGE);
    assert_string_equal(e.where, "ctx");
}

/* Heads of 24 have no blocks of 32. */
static void refuses_a_q8_cache_that_does_not_divide(void **state) {
    struct fixture *f = *state;
    struct err e = {0};
    f->tiny.opts.kv_type = DTYPE_Q8_0;
    assert_int_equal(open_model(f, 0, &e), ERR_USAGE);
    assert_string_equal(e.where, "kv");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(batches_move_no_bit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(row_by_row_moves_no_bit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_rows_and_no_logits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_fault_stays_in_its_row, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_and_values_must_be_finite, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_clamp_hides_no_fault, set_up_clamped, tear_down),
        cmocka_unit_test_setup_teardown(refuses_what_is_not_finite, set_up, tear_down),
        cmocka_unit_test_setup_teardown(check_finds_what_packing_would, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_a_context_beyond_its_tables, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_a_q8_cache_that_does_not_divide, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
