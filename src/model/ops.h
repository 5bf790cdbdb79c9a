/* ops: what a family is written with. A family file has two functions: load (shapes, then tensors by name) and forward (one
 * straight row of op_* calls). It sees slots, weights and numbers; packed bytes, KV pages and threads are below the ops.
 *
 *     op_rms_norm(p, SLOT_X, l->attn_norm, eps, SLOT_H);             // rowwise: queued
 *     op_linears(p, SLOT_H, 2, (struct linear_out[]){{&l->q, SLOT_Q}, {&l->k, SLOT_K}});
 *
 * Rowwise ops only queue; the next product or attention runs what is queued, panel by panel of rows, in one parallel loop
 * together with the quantisation of its input. So fusing needs no fused ops, and no rounding that numerics names is skipped. */
#pragma once

#include "model.h"

/* Buffers of [rows][width] float32. Widths follow from hparams; a family that needs more says so with load_width. */
enum slot {
    SLOT_X,      /* residual stream [n_embd] */
    SLOT_H,      /* its norm [n_embd] */
    SLOT_Q,      /* queries [n_heads * d_k] */
    SLOT_K,      /* keys [n_kv_heads * d_k] */
    SLOT_V,      /* values [n_kv_heads * d_v] */
    SLOT_O,      /* attention's result [n_heads * d_v] */
    SLOT_Y,      /* what a layer's half adds to the residual [n_embd] */
    SLOT_GATE,   /* [n_ff] */
    SLOT_UP,     /* [n_ff] */
    SLOT_ROPE,   /* cos and sin of each row's position [n_rot] */
    SLOT_ROPE_B, /* the same for a family's second kind of layers */
    SLOTS,
};

/* ---- what a family holds ------------------------------------------------------------------------------------------------ */

struct linear {
    struct kern_packed w; /* n outputs of k inputs */
    const float *bias;    /* [n] or NULL */
};
struct rope {
    struct kern_rope_spec spec;
    double *inv_freq; /* [n_dims / 2] */
    bool adjacent;    /* pairs (2i, 2i+1); else (i, i + n_dims/2) */
};
struct layer_shape {
    uint32_t n_heads, n_kv_heads, n_ff;
};
/* The numbers that nearly all families share, read and checked by load_hparams. */
struct hparams {
    uint32_t n_layers, n_embd, n_vocab, n_ctx_train;
    uint32_t d_k, d_v, n_rot, window; /* window 0: none */
    float eps;
    struct kern_rope_spec rope;
    const struct layer_shape *layers; /* [n_layers] */
};

/* ---- loading -------------------------------------------------------------------------------------------------------------- */

/* The first error stays, and what is asked for after it comes back empty: load functions run straight through. */
struct loader;
/* arch.block_count, embedding_length, attention.*, rope.*: see hparams.c for the keys. `eps_key` is the family's epsilon. */
const struct hparams *load_hparams(struct loader *l, const char *eps_key);
float load_f32(struct loader *l, const char *key, float absent); /* key without "arch."; finite */
uint32_t load_u32(struct loader *l, const char *key, uint32_t absent);
/* The family's own struct, zeroed, freed with the model; model_family gives it back in forward. */
void *load_own(struct loader *l, size_t bytes);
void *load_array(struct loader *l, size_t n, size_t item_bytes);
enum { LOAD_GLOBAL = -1 };
enum load_bias { BIAS_NONE, BIAS_MAY, BIAS_MUST };
/* Tensor "blk.LAYER.NAME.weight" (LOAD_GLOBAL: "NAME.weight") of k inputs (dims[0]) and n outputs (dims[1]). */
void load_linear(struct loader *l, int layer, const char *name, uint64_t n, uint64_t k, enum load_bias bias, struct linear *out);
/* n plain values of tensor "blk.LAYER.NAME" as float32; `must` 0: NULL where the file has none. */
const float *load_vector(struct loader *l, int layer, const char *name, uint64_t n, bool must);
bool load_has(struct loader *l, int layer, const char *name);
void load_refuse(struct loader *l, const char *where, const char *why); /* sets the error */
struct rope load_rope(struct loader *l, const struct kern_rope_spec *spec, bool adjacent);
void load_width(struct loader *l, enum slot slot, uint64_t width); /* the slot's width becomes at least this */

/* ---- forward ---------------------------------------------------------------------------------------------------------------- */

struct pass; /* one model_forward: its rows and slots */
const void *pass_own(const struct pass *p);
const struct hparams *pass_hparams(const struct pass *p);
void pass_layer(struct pass *p, uint32_t layer); /* which layer follows: faults name it */

void op_embed(struct pass *p, const struct linear *embd, float scale, enum slot to); /* scale 1: none */
void op_rope_table(struct pass *p, const struct rope *rope, enum slot table);
void op_rms_norm(struct pass *p, enum slot from, const float *w, float eps, enum slot to);
void op_head_norm(struct pass *p, enum slot x, uint32_t heads, uint32_t d, const float *w, float eps); /* each head by itself */
void op_rope(struct pass *p, const struct rope *rope, enum slot table, enum slot x, uint32_t heads, uint32_t d);
enum gate { GATE_SILU, GATE_GELU_TANH, GATE_GELU_ERF };
void op_gate(struct pass *p, enum gate act, enum slot gate, enum slot up); /* gate = act(gate) * up */
/* x += y. Every addition to the residual stream goes through here: the place where steering enters. */
void op_residual(struct pass *p, enum slot x, enum slot y);

/* y = W x + b. Every product with weights goes through here: the place where LoRA enters. */
struct linear_out {
    const struct linear *linear;
    enum slot to;
};
enum { LINEARS_MAX = 4 };
void op_linear(struct pass *p, enum slot from, const struct linear *linear, enum slot to);
void op_linears(struct pass *p, enum slot from, uint32_t n, const struct linear_out *outs); /* of one input, in one loop */

/* Scales Q, writes K and V of this layer, and attends: O. */
struct attn_opts {
    float scale;         /* of q, after its norm and rope */
    uint32_t window;     /* 0: all */
    float softcap;       /* 0: none */
    const float *slopes; /* ALiBi, per head, or NULL */
    const float *sinks;  /* per head, or NULL */
};
void op_attention(struct pass *p, const struct attn_opts *opts);

/* From here on only rows whose logits are wanted go on: a and b are what the rest of the pass reads. Once, in the last layer. */
void op_wanted(struct pass *p, enum slot a, enum slot b);
/* logits = output(norm(x)), of the rows that op_wanted kept. */
void op_logits(struct pass *p, enum slot x, const float *norm, float eps, const struct linear *output);

/* ---- families[] ---------------------------------------------------------------------------------------------------------------- */

struct family {
    const char *arch; /* general.architecture */
    void (*load)(struct loader *l);
    void (*forward)(struct pass *p);
    const char *const
        *ignored; /* tensor names that real files hold and the family does not compute with; NULL-terminated, or NULL */
};
extern const struct family family_gemma3, family_llama, family_qwen2, family_qwen3;
