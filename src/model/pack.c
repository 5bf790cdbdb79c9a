/* pack: all matrices of a model, packed, in memory of 2 MiB pages: from the file's tensors, or from what an earlier start left in a
 * file of packed weights (packed_file.c). Tensors are packed in pieces of some rows, by all threads; a piece's pages of the map
 * leave this process when it is packed, so that the model is never held twice. */
#include "pass.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { PACK_ALIGN = 4096, PIECE_BYTES = 1 << 20, LOOP_MAX = 60000, NAME_BYTES = 96 };

static uint64_t packed_bytes(const struct weight *w) {
    return kern_packed_bytes(w->w->type, w->w->n, w->w->k);
}

/* The whole of w; an error names the tensor, its row and its block. */
static int pack_whole(const struct weight *w, uint8_t *to, struct err *e) {
    char z[NAME_BYTES];
    int r = kern_pack(w->w->type, w->w->n, w->w->k, w->rows, to, e);
    if (r < 0) {
        snprintf(z, sizeof z, "%.*s", (int)w->tensor->name.n, w->tensor->name.p);
        err_within(e, z);
    }
    return r;
}

struct piece {
    const struct weight *w;
    uint32_t row, n; /* row: a multiple of KERN_TILE */
};
struct pack_loop {
    const struct piece *pieces;
    uint8_t *to;
    struct str map;
    _Atomic uint32_t bad; /* the first piece that was refused, or UINT32_MAX */
};

static void note_bad(struct pack_loop *loop, uint32_t piece) {
    uint32_t first = atomic_load(&loop->bad);
    while (piece < first && !atomic_compare_exchange_weak(&loop->bad, &first, piece))
        ;
}

static void pack_piece(void *ctx, uint32_t item, unsigned thread) {
    struct pack_loop *loop = ctx;
    const struct piece *p = &loop->pieces[item];
    const struct kern_packed *w = p->w->w;
    uint64_t row_bytes = dtype_bytes(w->type, w->k);
    const uint8_t *rows = p->w->rows + p->row * row_bytes;
    uint8_t *to = loop->to + p->w->at + kern_packed_bytes(w->type, p->row, w->k);
    (void)thread;
    if (kern_pack(w->type, p->n, w->k, rows, to, NULL) < 0)
        note_bad(loop, item);
    if (loop->map.n)
        fs_map_forget((struct str){(const char *)rows, p->n * row_bytes});
}

static uint32_t rows_of_piece(const struct weight *w) {
    uint64_t rows = PIECE_BYTES / dtype_bytes(w->w->type, w->w->k) / KERN_TILE * KERN_TILE;
    return rows < KERN_TILE ? KERN_TILE : rows < w->w->n ? (uint32_t)rows : w->w->n;
}

/* Cuts w into pieces behind the n that are there, as many as still fit; *row: where to go on. */
static uint32_t cut(const struct weight *w, uint32_t *row, struct piece *pieces, uint32_t n) {
    uint32_t step = rows_of_piece(w);
    for (; *row < w->w->n && n < LOOP_MAX; n++) {
        uint32_t rest = w->w->n - *row;
        pieces[n] = (struct piece){w, *row, rest < step ? rest : step};
        *row += pieces[n].n;
    }
    return n;
}

static int pack_pieces(struct loader *l, struct piece *pieces, uint8_t *to, struct str map, struct err *e) {
    for (uint32_t i = 0, row = 0; i < l->n_weights;) {
        uint32_t n = 0;
        struct pack_loop loop = {pieces, to, map, UINT32_MAX};
        while (i < l->n_weights && n < LOOP_MAX) {
            n = cut(&l->weights[i], &row, pieces, n);
            if (row == l->weights[i].w->n) {
                i++;
                row = 0;
            }
        }
        pool_for(l->m->pool, n, pack_piece, &loop);
        uint32_t bad = atomic_load(&loop.bad);
        if (bad != UINT32_MAX && pack_whole(pieces[bad].w, to + pieces[bad].w->at, e) < 0)
            return e->code;
    }
    return 0;
}

/* Where each matrix lies in the memory of all; returns its bytes. */
static uint64_t place(struct loader *l) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < l->n_weights; i++) {
        l->weights[i].at = bytes;
        bytes += (packed_bytes(&l->weights[i]) + PACK_ALIGN - 1) / PACK_ALIGN * PACK_ALIGN;
    }
    return bytes;
}

/* What is read of the file beside matrices: where that has changed, packed weights of another file are not taken for this one's. */
static void add_rest(const struct loader *l, struct str map, struct sha256 *h) {
    uint64_t head = gguf_data_start(l->g);
    sha256_add(h, map.p, map.n < head ? map.n : (size_t)head);
    for (uint64_t i = 0; i < gguf_n_tensors(l->g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(l->g, i);
        if (l->used[i] && t->n_dims == 1)
            sha256_add(h, t->data, (size_t)t->bytes);
    }
}

/* SHA-256 of all that decides, with the tensors, what is packed where, and of the rest of the file. */
static struct digest digest_of_matrices(const struct loader *l, struct str map) {
    struct sha256 *h = sha256_new();
    for (uint32_t i = 0; i < l->n_weights; i++) {
        const struct kern_packed *w = l->weights[i].w;
        const uint64_t row[] = {w->type, w->n, w->k, l->weights[i].at,
                                (uint64_t)(l->weights[i].rows - l->weights[i].tensor->data)};
        sha256_add(h, l->weights[i].tensor->name.p, l->weights[i].tensor->name.n);
        sha256_add(h, row, sizeof row);
    }
    add_rest(l, map, h);
    return sha256_end(h);
}

/* The SHA-256 of the model file goes with its packed weights; it must be the one that the store says, which later starts rely on. */
static int weigh(const struct model_opts *opts, struct digest *weights, struct err *e) {
    const struct packed_file *f = opts->packed;
    *weights = f->weights ? *f->weights : (struct digest){{0}};
    if (opts->map.n == 0 || (f->weights && !f->claimed) || (f->fd < 0 && !f->claimed))
        return 0;
    *weights = fs_map_sha256(opts->map);
    if (f->claimed && memcmp(weights, f->weights, sizeof *weights) != 0)
        return err_set(e, ERR_INPUT, "", "the store's copy is damaged: its bytes have another SHA-256; import the file again");
    return 0;
}

static int pack_all(struct loader *l, const struct model_opts *opts, struct mem *out, struct err *e) {
    struct piece *pieces = malloc(LOOP_MAX * sizeof *pieces);
    if (!pieces)
        return err_set(e, ERR_MEMORY, "weights", "no memory");
    int r = pack_pieces(l, pieces, out->p, opts->map, e);
    free(pieces);
    return r;
}

/* On a machine of several nodes: each 2 MiB go to the node of the thread whose share of the products holds what lies in their
 * middle (op_linear: part i of n of a matrix is thread i's). */
static void place_on_nodes(const struct loader *l, const struct mem *m) {
    const struct cpu_map *cpus = pool_cpus(l->m->pool);
    unsigned n_threads = pool_threads(l->m->pool), node = 0;
    uint64_t from = 0, i = 0;
    for (uint64_t at = 0; cpus->n_nodes > 1 && at < m->n; at += MEM_PAGE) {
        while (i + 1 < l->n_weights && l->weights[i + 1].at <= at + MEM_PAGE / 2)
            i++;
        uint64_t in = at + MEM_PAGE / 2 - l->weights[i].at, bytes = packed_bytes(&l->weights[i]);
        unsigned thread = in < bytes ? (unsigned)(in * n_threads / bytes) : n_threads - 1;
        unsigned now = cpus_node(cpus, thread, n_threads);
        if (now == node)
            continue;
        cpus_memory_near(cpus, node, m->p + from, at - from);
        from = at;
        node = now;
    }
    cpus_memory_near(cpus, node, m->p + from, m->n - from);
}

int load_pack(struct loader *l, const struct model_opts *opts, struct mem *out, struct err *e) {
    int r = mem_new(place(l), out, e);
    if (r < 0)
        return r;
    place_on_nodes(l, out);
    struct digest matrices = digest_of_matrices(l, opts->map), weights;
    if (!opts->packed || !packed_file_read(opts->packed, opts->pool, &matrices, out->p, out->n)) {
        r = opts->packed ? weigh(opts, &weights, e) : 0;
        if (r == 0)
            r = pack_all(l, opts, out, e);
        if (r == 0 && opts->packed) {
            struct packed_file f = *opts->packed;
            f.weights = &weights;
            packed_file_write(&f, opts->pool, &matrices, out->p, out->n);
        }
    }
    for (uint32_t i = 0; i < l->n_weights && r == 0; i++)
        l->weights[i].w->data = out->p + l->weights[i].at;
    return r;
}

int load_dry_pack(struct loader *l, struct err *e) {
    uint64_t most = 0;
    struct mem scratch = {0};
    for (uint32_t i = 0; i < l->n_weights; i++)
        most = packed_bytes(&l->weights[i]) > most ? packed_bytes(&l->weights[i]) : most;
    int r = mem_new(most, &scratch, e);
    for (uint32_t i = 0; i < l->n_weights && r == 0; i++)
        r = pack_whole(&l->weights[i], scratch.p, e);
    mem_free(&scratch);
    return r;
}
