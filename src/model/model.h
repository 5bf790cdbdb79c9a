/* model: families, their weights and their state. One file per family; the only forward there is takes a batch of rows.
 *
 *     struct model *m = NULL;
 *     model_open(g, &opts, &m, &e);                       // checks everything, then packs or maps the weights
 *     struct kv *kv = NULL;
 *     kv_new(m, n_pages, n_seqs, &kv, &e);
 *     kv_reserve(kv, seq, pos + n);                       // pages for what comes
 *     model_forward(m, kv, rows, n_rows, logits, faults); // rows of any number of sequences
 *
 * Used by one thread (the engine thread); the pool's threads help inside model_forward. */
#pragma once

#include "../gguf/gguf.h"
#include "../kern/kern.h"
#include "../text/text.h"

/* ---- what a file says ------------------------------------------------------------------------------------------------ */

/* The tokenizer of a file, whatever its architecture (rule 8). spec's arrays live in `arena`, its strings in g's map. What the
 * file leaves out is settled: flags have the default of their kind of tokenizer and are false where the token they add is
 * missing; eot is found by its name; of WordPiece, bos is cls and add_sep says whether SEP follows. A `llama` vocabulary whose
 * scores are log-probabilities is TOK_UNIGRAM. */
int model_tok_spec(const struct gguf *g, struct arena *arena, struct tok_spec *spec, struct err *e) MUST_USE;
/* The i-th architecture that moat computes, in alphabetical order; NULL beyond the last. */
const char *model_arch(size_t i);
/* The chat template of a file, or an empty str; ERR_INPUT when it is no text. */
int model_template(const struct gguf *g, struct str *out, struct err *e) MUST_USE;
/* Rules 6 to 9 as loading applies them, weights included, without packing or computing. */
int model_check(const struct gguf *g, struct err *e) MUST_USE;

/* Whether the architecture of a file computes without this tensor of it: `ignored` of its family, and the layers behind the
 * model's own that predict tokens further ahead. False where the architecture is none of moat's. */
bool model_ignores(const struct gguf *g, struct str name);

/* A file that keeps packed weights from one start to the next (packed_file.c draws it). Read where it holds what this model packs
 * to; else made anew, if fd may be written to. That it cannot be made is no error, only a line in the log. */
struct packed_file {
    int fd;                       /* -1: none */
    struct digest source;         /* what the model file is known by: its SHA-256, or a digest of its identity */
    const struct digest *weights; /* SHA-256 of the model file; NULL: computed from model_opts.map when it is needed */
    bool claimed;                 /* weights is what a store says: the file must have it when it is packed, or it is damaged */
};
/* The SHA-256 of the model file that `source` is of, as it was when the packed file was made; false where that is not known. */
bool packed_file_weights(int fd, const struct digest *source, struct digest *out);

struct model_opts {
    const struct kern *kern;
    struct pool *pool;  /* borrowed */
    uint32_t ctx;       /* served context, at most 2^20; 0: the model's own */
    enum dtype kv_type; /* numerics 7: DTYPE_F16, DTYPE_Q8_0 (q8), DTYPE_F32 (which is 0: say what you mean) */
    uint32_t rows_max;  /* most rows of one model_forward; 0: 512 */
    struct str map;     /* the file where it is a map of fs_map's: its pages are let go once they are packed; else empty */
    const struct packed_file *packed; /* or NULL */
};
struct model_info {
    const char *family;    /* the row of families[] */
    struct str arch, name; /* general.architecture, general.name; borrowed from g */
    uint32_t n_vocab;      /* rows of the output matrix */
    uint32_t n_layers, n_embd, n_heads, n_kv_heads, n_ctx_train, ctx;
    uint64_t n_params, weight_bytes;
    uint64_t kv_bytes_per_page, state_bytes_per_seq;
};
struct model;
int model_open(const struct gguf *g, const struct model_opts *opts, struct model **out, struct err *e) MUST_USE;
void model_close(struct model *m);
const struct model_info *model_info(const struct model *m);

/* ---- state of sequences ------------------------------------------------------------------------------------------------- */

/* Pages of KERN_PAGE positions, counted by reference, shared between sequences and copied when one of them writes.
 * A sequence is a number below n_seqs; it owns a page table and, for recurrent families, one fixed-size state. */
struct kv;
int kv_new(const struct model *m, uint32_t n_pages, uint32_t n_seqs, struct kv **out, struct err *e) MUST_USE;
void kv_free(struct kv *kv);
uint32_t kv_pages_free(const struct kv *kv);
/* Makes positions [0, n_positions) of seq writable from its current length on; false when the pages do not suffice (nothing
 * is changed then). A shared page that would be written is copied first. */
bool kv_reserve(struct kv *kv, uint32_t seq, uint32_t n_positions) MUST_USE;
uint32_t kv_length(const struct kv *kv, uint32_t seq);
/* seq becomes the first n_positions of `from` (same pages, one more reference each). n_positions <= kv_length(from). */
void kv_share(struct kv *kv, uint32_t seq, uint32_t from, uint32_t n_positions);
void kv_truncate(struct kv *kv, uint32_t seq, uint32_t n_positions); /* forgets what is beyond; 0 releases all pages */

/* ---- the forward pass --------------------------------------------------------------------------------------------------- */

enum { MODEL_NO_ADAPTER = 0, MODEL_NO_STEER = 0 };
struct row {
    uint32_t seq, pos, token; /* pos continues kv_length(seq), or what earlier rows of this batch added */
    bool want_logits;
    uint16_t adapter, steer; /* 0: none */
};
/* Computes rows and appends their keys and values. logits: [rows with want_logits, in order][n_vocab]. faults[i] (n_rows of
 * them, zeroed by the caller) is set to the layer + 1 at which row i met a value that is not finite; other rows keep their
 * bits. Reserve first; n_rows <= rows_max; rows in any order as long as positions of a sequence ascend. */
void model_forward(struct model *m, struct kv *kv, const struct row *rows, uint32_t n_rows, float *logits, uint16_t *faults);
