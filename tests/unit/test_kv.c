/* kv: reference counts, copy on write, sharing and truncation, on the pages of a tiny model. */
#include "unit.h"

#include "tiny_model.h"

enum { N_PAGES = 8, N_SEQS = 4, N_VOCAB_MAX = 512 };

struct fixture {
    struct tiny_model tiny;
    struct model *model;
    struct kv *kv;
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    struct err e = {0};
    tiny_open(&f->tiny, "tiny-llama", 2, 64);
    assert_int_equal(model_open(f->tiny.gguf, &f->tiny.opts, &f->model, &e), 0);
    assert_int_equal(kv_new(f->model, N_PAGES, N_SEQS, &f->kv, &e), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    kv_free(f->kv);
    model_close(f->model);
    tiny_close(&f->tiny);
    free(f);
    return 0;
}

/* Tokens (first + i) at the next n positions of seq; the logits of the last one. */
static void extend(struct fixture *f, uint32_t seq, uint32_t first, uint32_t n, float *logits) {
    struct row rows[64];
    uint16_t faults[64] = {0};
    uint32_t from = kv_length(f->kv, seq);
    assert_true(kv_reserve(f->kv, seq, from + n));
    for (uint32_t at = 0; at < n;) {
        uint32_t k = 0;
        for (; k < 64 && at < n; k++, at++)
            rows[k] = (struct row){.seq = seq, .pos = from + at, .token = first + at, .want_logits = at + 1 == n};
        model_forward(f->model, f->kv, rows, k, logits, faults);
    }
    assert_int_equal(kv_length(f->kv, seq), from + n);
}

static void reserves_all_or_nothing(void **state) {
    struct kv *kv = ((struct fixture *)*state)->kv;
    assert_int_equal(kv_pages_free(kv), N_PAGES);
    assert_true(kv_reserve(kv, 0, 65));
    assert_int_equal(kv_pages_free(kv), N_PAGES - 2);
    assert_true(kv_reserve(kv, 0, 128)); /* there already */
    assert_int_equal(kv_pages_free(kv), N_PAGES - 2);
    assert_false(kv_reserve(kv, 1, 64 * (N_PAGES - 2) + 1));
    assert_int_equal(kv_pages_free(kv), N_PAGES - 2);
    assert_false(kv_reserve(kv, 1, 1 << 20)); /* beyond the context */
    kv_truncate(kv, 0, 0);
    assert_int_equal(kv_pages_free(kv), N_PAGES);
}

static void counts_references(void **state) {
    struct fixture *f = *state;
    float logits[N_VOCAB_MAX];
    extend(f, 0, 1, 130, logits);
    kv_share(f->kv, 1, 0, 130);
    kv_share(f->kv, 2, 0, 64);
    assert_int_equal(kv_pages_free(f->kv), N_PAGES - 3);
    assert_int_equal(kv_length(f->kv, 2), 64);
    kv_truncate(f->kv, 0, 0);
    assert_int_equal(kv_pages_free(f->kv), N_PAGES - 3);
    kv_share(f->kv, 1, 2, 10); /* gives back what it had */
    assert_int_equal(kv_pages_free(f->kv), N_PAGES - 1);
    kv_truncate(f->kv, 2, 0);
    kv_truncate(f->kv, 1, 0);
    assert_int_equal(kv_pages_free(f->kv), N_PAGES);
}

static void copies_before_writing(void **state) {
    struct fixture *f = *state;
    float alone[N_VOCAB_MAX], after[N_VOCAB_MAX], other[N_VOCAB_MAX];
    size_t bytes = model_info(f->model)->n_vocab * sizeof(float);
    extend(f, 0, 1, 70, alone);
    extend(f, 0, 200, 5, alone);
    kv_truncate(f->kv, 0, 70);
    kv_share(f->kv, 1, 0, 70);
    extend(f, 1, 100, 5, other); /* must not disturb sequence 0 */
    assert_int_equal(kv_pages_free(f->kv), N_PAGES - 3);
    extend(f, 0, 200, 5, after);
    assert_memory_equal(alone, after, bytes);
    assert_memory_not_equal(alone, other, bytes);
}

static void truncated_is_forgotten(void **state) {
    struct fixture *f = *state;
    float straight[N_VOCAB_MAX], again[N_VOCAB_MAX];
    extend(f, 0, 1, 100, straight);
    extend(f, 1, 1, 40, again);
    extend(f, 1, 150, 80, again);
    kv_truncate(f->kv, 1, 40);
    extend(f, 1, 41, 60, again);
    assert_memory_equal(straight, again, model_info(f->model)->n_vocab * sizeof(float));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reserves_all_or_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(counts_references, set_up, tear_down),
        cmocka_unit_test_setup_teardown(copies_before_writing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(truncated_is_forgotten, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
