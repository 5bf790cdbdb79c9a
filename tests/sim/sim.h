/* sim: the real engine, its pages and its prefix cache, with the model's arithmetic and the clock replaced (the linker's --wrap).
 *
 * What a position leaves in its page is its token, and logits follow from all tokens that a sequence's pages hold. So an answer is
 * right only if every page was: one that was shared wrongly, freed too early or written by another sequence changes it. Time is
 * what rows cost. Each run is a function of its seed. */
#pragma once

#include "../unit/unit.h"

#include "../../src/engine/engine_int.h"

#include <fcntl.h>
#include <math.h>
#include <unistd.h>

/* Of model's pass.h, which has an `enum slot` of its own. */
uint8_t *const *kv_pages(const struct kv *kv, uint32_t seq);
void kv_advance(struct kv *kv, uint32_t seq, uint32_t n_positions);

enum { SIM_TOP = 3, SIM_PEAK = 12 };
static const uint64_t sim_ms = 1000000;

/* The world outside the engine. */
static struct sim {
    uint64_t now, random;
    double base_ns, row_ns, pos_ns; /* a step; each row; each position that a row looks back on */
    struct engine *en;
    uint32_t n_steps, n_forwards, rows_most;
    uint64_t step_ns_most;
    void (*on_forward)(const struct row *rows, uint32_t n_rows); /* further checks */
} sim;

static uint64_t sim_random(uint64_t below) {
    sim.random = sim.random * 6364136223846793005u + 1442695040888963407u;
    return (sim.random >> 33) % below;
}

uint64_t __wrap_clock_ns(void);
uint64_t __wrap_clock_ns(void) {
    return sim.now;
}

/* ---- a model ------------------------------------------------------------------------------------------------------------- */

static uint64_t sim_hash(uint64_t h, uint32_t token) {
    h = (h ^ token) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

/* The likeliest token after a sequence with this hash; the others are all alike. */
static uint32_t sim_likeliest(uint64_t h, uint32_t n_vocab) {
    return (uint32_t)(h >> 20) % n_vocab;
}

static uint8_t *sim_cell(const struct kv *kv, uint32_t seq, uint32_t pos) {
    return kv_pages(kv, seq)[pos / KERN_PAGE] + (size_t)(pos % KERN_PAGE) * sizeof(uint32_t);
}

static uint64_t sim_hash_of_pages(const struct kv *kv, uint32_t seq, uint32_t n) {
    uint64_t h = 0;
    for (uint32_t pos = 0; pos < n; pos++) {
        uint32_t token;
        memcpy(&token, sim_cell(kv, seq, pos), sizeof token);
        h = sim_hash(h, token);
    }
    return h;
}

void __wrap_model_forward(struct model *m, struct kv *kv, const struct row *rows, uint32_t n_rows, float *logits,
                          uint16_t *faults);
void __wrap_model_forward(struct model *m, struct kv *kv, const struct row *rows, uint32_t n_rows, float *logits,
                          uint16_t *faults) {
    uint32_t n_vocab = model_info(m)->n_vocab;
    double ns = sim.base_ns;
    (void)faults;
    for (uint32_t i = 0; i < n_rows; i++) {
        const struct row *r = &rows[i];
        assert_int_equal(r->pos, kv_length(kv, r->seq));
        memcpy(sim_cell(kv, r->seq, r->pos), &r->token, sizeof r->token);
        kv_advance(kv, r->seq, r->pos + 1);
        ns += sim.row_ns + sim.pos_ns * r->pos;
        if (!r->want_logits)
            continue;
        uint32_t likeliest = sim_likeliest(sim_hash_of_pages(kv, r->seq, r->pos + 1), n_vocab);
        for (uint32_t t = 0; t < n_vocab; t++)
            logits[t] = t == likeliest ? SIM_PEAK : 0;
        logits += n_vocab;
    }
    if (sim.on_forward)
        sim.on_forward(rows, n_rows);
    sim.now += (uint64_t)ns;
    sim.n_forwards++;
    sim.rows_most = n_rows > sim.rows_most ? n_rows : sim.rows_most;
    sim.step_ns_most = (uint64_t)ns > sim.step_ns_most ? (uint64_t)ns : sim.step_ns_most;
}

/* ---- an engine ------------------------------------------------------------------------------------------------------------- */

static struct gguf *sim_gguf;

static int sim_set_up(void **state) {
    static struct str map;
    struct err e = {0};
    int fd = open("tests/golden/models/tiny-llama.gguf", O_RDONLY | O_CLOEXEC);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(fs_map(fd, "tiny-llama.gguf", &map, &e), 0);
    close(fd);
    return gguf_open(map, &sim_gguf, &e);
}

/* n_pages: of the KV memory; 0: the engine's default. */
static void sim_open(struct engine_opts opts, uint32_t n_pages) {
    static uint64_t page_bytes;
    struct err e = {0};
    opts.kv_type = DTYPE_F16;
    opts.sync_text = true;
    opts.threads = 1;
    opts.kv_memory = n_pages * page_bytes;
    if (engine_new(sim_gguf, &opts, &sim.en, &e) < 0)
        fail_msg("%s: %s", e.where, e.msg);
    if (page_bytes == 0 && n_pages) { /* what a page takes is known now */
        page_bytes = model_info(sim.en->model)->kv_bytes_per_page;
        engine_free(sim.en);
        sim_open(opts, n_pages);
    }
}

/* Pages that no sequence refers to, counted from the tables of all sequences. */
static uint32_t sim_pages_unused(uint32_t n_pages) {
    const uint8_t *seen[4096];
    uint32_t n = 0;
    for (unsigned i = 0; i < sim.en->n_slots; i++)
        for (uint32_t k = 0; k * KERN_PAGE < kv_length(sim.en->kv, i); k++) {
            uint32_t at = 0;
            while (at < n && seen[at] != kv_pages(sim.en->kv, i)[k])
                at++;
            assert_true(at < N_ITEMS(seen));
            seen[at] = kv_pages(sim.en->kv, i)[k];
            n += at == n;
        }
    return n_pages - n;
}
