/* pass: what the ops, the loader and forward.c share below families. Families include ops.h only. */
#pragma once

#include "ops.h"

/* ---- memory ------------------------------------------------------------------------------------------------------------- */

enum { MEM_PAGE = 2 << 20 };
/* Zeroed pages aligned to MEM_PAGE, as large where the kernel can; touched when used. */
struct mem {
    uint8_t *p;
    size_t n;
    void *map;
    size_t map_bytes;
};
int mem_new(size_t bytes, struct mem *out, struct err *e) MUST_USE;
void mem_free(struct mem *m);

/* ---- loading ------------------------------------------------------------------------------------------------------------ */

/* A matrix that will be packed; where its bytes go is known when all are known. */
struct weight {
    struct kern_packed *w;
    const struct gguf_tensor *tensor;
    const uint8_t *rows; /* w->n of them, stored one after the other */
    uint64_t at;
};
struct loader {
    const struct gguf *g;
    struct model *m;
    struct err *e;
    struct str arch;
    bool *used;      /* [gguf_n_tensors]: some load_* asked for it */
    bool *keys_used; /* [gguf_n_kv]: the same */
    struct weight *weights;
    uint32_t n_weights, weights_max;
    struct hparams hp;
    uint32_t n_blocks; /* block_count: n_layers, and those that predict tokens further ahead */
    uint32_t ctx;      /* that will be served; 0: the model's own */
};
const struct family *find_family(struct str arch); /* NULL: none */
/* After family->load: every tensor was asked for, or model_ignores it; so was every key that changes what is computed. */
int load_check_all_used(const struct loader *l, const struct family *family, struct err *e) MUST_USE;
/* Packs all matrices, in parallel. */
int load_pack(struct loader *l, const struct model_opts *opts, struct mem *out, struct err *e) MUST_USE;
/* Reads `bytes` of packed weights to where zeros are. False, and zeros again, where the file holds none or others. matrices: what
 * was packed. The other one makes the file. */
bool packed_file_read(const struct packed_file *f, struct pool *pool, const struct digest *matrices, uint8_t *to, uint64_t bytes);
void packed_file_write(const struct packed_file *f, struct pool *pool, const struct digest *matrices, const uint8_t *data,
                       uint64_t bytes);
/* Packs one after the other into memory that is thrown away: finds what load_pack would refuse. */
int load_dry_pack(struct loader *l, struct err *e) MUST_USE;

/* ---- one forward ----------------------------------------------------------------------------------------------------------- */

/* A piece of a gated layer: its rows at most, and the floats of one of its two products, a tile more than 16 for each row. */
enum { PIECE_ROWS = 256, PIECE_FLOATS = PIECE_ROWS * (16 + 1) * KERN_TILE };
enum { ROW_OPS_MAX = 24, ATTN_ROWS = 32, CTX_SERVED_MAX = 1 << 20, SPLITS_MAX = CTX_SERVED_MAX / KERN_SPLIT };
struct row_op {
    void (*run)(struct pass *p, const struct row_op *op, uint32_t row);
    enum slot a, b, c;
    uint32_t n, heads, period, layer;
    float s;
    const void *with; /* weights, a rope: what run expects */
};
/* Up to ATTN_ROWS consecutive rows of one sequence. */
struct attn_job {
    uint32_t row, n_rows; /* of the pass */
};

/* What a forward does: the ops of a family write it down, then the pool works it off. The items of its loops read what was written down,
 * and of the pass only what stays as it is. Room: for what ops write down, more than any family's layer needs. */
enum { PLAN_LOOPS_LAYER = 24, PLAN_BYTES_LAYER = 16 << 10 };
struct plan {
    struct pool_loop *loops;
    uint8_t *room;
    size_t used, bytes;
    uint32_t n_loops, loops_max;
};

struct pass {
    struct model *m;
    struct kv *kv;
    uint32_t n_rows, n_wanted, layer; /* that ops are planned for */
    bool kept_wanted;                 /* op_wanted has been called */
    struct row *rows;                 /* sorted by sequence, then as given */
    uint32_t *origin;                 /* [row]: its index in the caller's batch */
    uint64_t *keys;                   /* [row]: scratch of sorting */
    uint32_t *output_row;             /* [i-th logits row]: which row of the pass, before op_wanted */
    float *slot[SLOTS];
    struct kern_acts acts[2]; /* by kern_acts_kind */
    uint8_t *bad;             /* [row]: what acts_fill flags */
    uint16_t *faults;         /* the caller's */
    float *logits;
    float *pieces;               /* [threads][2][PIECE_FLOATS]: a gate and what it is to multiply, in a cache of the thread's */
    struct plan plans[2], *plan; /* in turn: threads that are late may still look at the one before (pool_run) */
    struct row_op ops[ROW_OPS_MAX]; /* queued */
    uint32_t n_ops;
    struct attn_job *jobs;
    uint32_t n_jobs;
    uint8_t *parts; /* attention's partial results: n_parts of splits_max each */
    uint32_t n_parts;
};

struct model {
    const struct family *family;
    struct model_info info;
    struct hparams hp;
    const struct kern *kern;
    struct pool *pool;
    struct arena arena; /* as long as the model: vectors, layers, tables */
    struct mem weights, scratch;
    void *own;          /* the family's */
    struct kern_kv *kv; /* [n_layers] */
    uint32_t width[SLOTS], rows_max, acts_k, splits_max;
    uint32_t ctx_max;    /* that the weights allow; 0: any */
    uint64_t part_bytes; /* of ATTN_ROWS rows, any layer */
    struct pass pass;
};
/* Lays the buffers of one pass out in m->scratch. */
int pass_new(struct model *m, struct err *e) MUST_USE;
static inline float *pass_at(const struct pass *p, enum slot s, uint32_t row) {
    return p->slot[s] + (size_t)row * p->m->width[s];
}
struct row_op *pass_queue(struct pass *p, void (*run)(struct pass *p, const struct row_op *op, uint32_t row));
/* Plans a loop behind those planned before. Its ctx comes from plan_copy: as long-lived as the plan. */
void plan_add(struct pass *p, struct pool_loop loop);
void *plan_copy(struct pass *p, const void *ctx, size_t bytes);
/* Plans to run what is queued on all rows, then to quantise (or lay out) `from` for the kinds of products in the mask (1 << kind). */
void pass_flush(struct pass *p, enum slot from, uint32_t k, unsigned kinds);
/* Of a row of the pass, while it runs. */
void pass_note_fault(struct pass *p, uint32_t layer, uint32_t row);
/* A row of n values with a NaN or an infinity among them is a fault, and becomes zeros: what is no number must not reach the cache
 * (a weight of 0 would not keep it from the rows that do not see it). */
void pass_check_finite(struct pass *p, const struct row_op *op, enum slot slot, uint32_t n, uint32_t row);

/* ---- kv, for ops ------------------------------------------------------------------------------------------------------------ */

uint8_t *const *kv_pages(const struct kv *kv, uint32_t seq);
void kv_advance(struct kv *kv, uint32_t seq, uint32_t n_positions); /* the length becomes this */
