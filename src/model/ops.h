/* ops: what a family is written with. A family file has two functions: load (shapes, then tensors by name) and forward (one
 * straight row of op_* calls). It sees slots, weights and numbers; packed bytes, KV pages and threads are below the ops.
 *
 *     op_rms_norm(p, SLOT_X, &l->attn_norm, SLOT_H);                 // rowwise: queued
 *     op_qkv(p, SLOT_H, &l->attn);                                   // products: behind what is queued
 *
 * Ops compute nothing themselves: they plan loops, which run when the family's forward has returned. Rowwise ops only queue; the next
 * product or attention plans what is queued, panel by panel of rows, as one parallel loop together with the quantisation of its input. A product's scale, bias and gate follow while its outputs are in cache. So fusing
 * needs no fused ops, and no rounding that numerics names is skipped. */
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
    SLOT_UP,     /* between the matrices of a layer's second half [n_ff] */
    SLOT_ROPE,   /* cos and sin of each row's position [n_rot] */
    SLOT_ROPE_B, /* the same for a family's second kind of layers */
    SLOTS,
};

/* ---- what a family holds ------------------------------------------------------------------------------------------------ */

struct linear {
    struct kern_packed w; /* n outputs of k inputs */
    const float *scale;   /* [1], of the product before its bias, or NULL: what NVFP4 keeps for a whole matrix */
    const float *bias;    /* [n] or NULL */
};
struct norm {
    const float *w; /* [n] */
    const float *b; /* [n] or NULL */
};
/* The two halves of most layers. d is d_k for q and k, d_v for v and o. */
struct attn {
    struct linear q;    /* [n_heads * d][n_embd] */
    struct linear k, v; /* [n_kv_heads * d][n_embd] */
    struct linear o;    /* [n_embd][n_heads * d] */
};
struct ffn {
    struct linear gate; /* [n_ff][n_embd]; of no size where the family has no gate */
    struct linear up;   /* [n_ff][n_embd] */
    struct linear down; /* [n_embd][n_ff] */
};
struct rope {
    struct kern_rope_spec spec;
    double *inv_freq; /* [n_dims / 2] */
    bool adjacent;    /* pairs (2i, 2i+1); else (i, i + n_dims/2) */
};
struct layer_shape {
    uint32_t n_heads, n_kv_heads, n_ff;
    uint32_t window; /* positions that a row sees, itself included; 0: all */
};
/* The numbers that nearly all families share, read and checked by load_hparams. */
struct hparams {
    uint32_t n_layers, n_embd, n_vocab, n_ctx_train;
    uint32_t d_k, d_v, n_rot;
    float eps;
    struct kern_rope_spec rope;
    struct layer_shape *layers; /* [n_layers] */
};

/* ---- loading -------------------------------------------------------------------------------------------------------------- */

/* The first error stays, and what is asked for after it comes back empty: load functions run straight through. */
struct loader;
/* arch.block_count, embedding_length, attention.*, rope.*: see hparams.c for the keys. `eps_key` is the family's epsilon. */
const struct hparams *load_hparams(struct loader *l, const char *eps_key);
const struct hparams *load_hparams_or(struct loader *l, const char *eps_key, float eps); /* absent: eps, where it is known */
const struct hparams *load_hp(const struct loader *l);                                   /* the same again */
/* Keys without "arch."; what is absent is `absent`. Floats are finite; a positive one is above 0. */
uint32_t load_u32(struct loader *l, const char *key, uint32_t absent);
float load_f32(struct loader *l, const char *key, float absent);
float load_positive(struct loader *l, const char *key, float absent);
bool load_bool(struct loader *l, const char *key, bool absent);
bool load_has_key(const struct loader *l, const char *key);
/* Of each `period` layers the last sees everything; attention.sliding_window_pattern, where the file has it, is another period or
 * one bool per layer (true: windowed). Without this call all layers have the file's window. */
void load_window_period(struct loader *l, uint32_t period);
uint32_t load_ctx(struct loader *l);                   /* the context that will be served */
void load_ctx_max(struct loader *l, uint32_t ctx_max); /* a larger context is refused: learned positions */
/* The family's own struct, zeroed, freed with the model; pass_own gives it back in forward. */
void *load_own(struct loader *l, size_t bytes);
void *load_array(struct loader *l, size_t n, size_t item_bytes);
enum { LOAD_GLOBAL = -1 };
enum load_bias { BIAS_NONE, BIAS_MAY, BIAS_MUST }; /* may: in all layers or in none */
/* Tensor "blk.LAYER.NAME.weight" (LOAD_GLOBAL: "NAME.weight") of k inputs (dims[0]) and n outputs (dims[1]). */
void load_linear(struct loader *l, int layer, const char *name, uint64_t n, uint64_t k, enum load_bias bias, struct linear *out);
/* The same for outputs [from, from + n) of a tensor that has n_all: several matrices that a file holds as one. */
struct load_rows {
    uint64_t from, n, n_all;
};
void load_linear_rows(struct loader *l, int layer, const char *name, struct load_rows rows, uint64_t k, enum load_bias bias,
                      struct linear *out);
/* attn_q, attn_k, attn_v (fused: their rows in this order in one attn_qkv; converters write either, `fused` is what the family's
 * files usually have) and attn_output; ffn_gate, ffn_up and ffn_down. */
void load_attn(struct loader *l, int layer, bool fused, enum load_bias qkv, enum load_bias output, struct attn *out);
enum load_ffn { FFN_GATED, FFN_PLAIN, FFN_FUSED }; /* fused: rows of ffn_gate, then of ffn_up, in one ffn_up */
void load_ffn(struct loader *l, int layer, enum load_ffn kind, enum load_bias bias, struct ffn *out);
/* token_embd into embd. Gives back the output matrix: `own` if the file has output.weight or must have it, else embd (tied). */
const struct linear *load_embd(struct loader *l, bool must, struct linear *embd, struct linear *own);
/* n plain values of tensor "blk.LAYER.NAME" as float32; `must` 0: NULL where the file has none. */
const float *load_vector(struct loader *l, int layer, const char *name, uint64_t n, bool must);
struct norm load_norm(struct loader *l, int layer, const char *name, uint64_t n, enum load_bias bias);
bool load_has(struct loader *l, int layer, const char *name);
void load_refuse(struct loader *l, const char *key, const char *why); /* sets the error; key without "arch." */
struct rope load_rope(struct loader *l, const struct kern_rope_spec *spec, bool adjacent);
void load_width(struct loader *l, enum slot slot, uint64_t width); /* the slot's width becomes at least this */

/* ---- forward ---------------------------------------------------------------------------------------------------------------- */

struct pass; /* one model_forward: its rows and slots */
const void *pass_own(const struct pass *p);
const struct hparams *pass_hparams(const struct pass *p);
void pass_layer(struct pass *p, uint32_t layer); /* which layer follows: faults name it, ops take its shape */
bool pass_is_last(const struct pass *p);         /* of the layers */

void op_embed(struct pass *p, const struct linear *embd, float scale, enum slot to); /* scale 1: none */
void op_position(struct pass *p, const struct linear *table, enum slot to);          /* learned: the row of its position */
void op_rms_norm(struct pass *p, enum slot from, const struct norm *w, enum slot to);
void op_layer_norm(struct pass *p, enum slot from, const struct norm *w, enum slot to);
void op_head_norm(struct pass *p, enum slot x, const struct norm *w); /* rms of each head by itself; x: SLOT_Q or SLOT_K */
void op_rope_table(struct pass *p, const struct rope *rope, enum slot table);
void op_rope(struct pass *p, const struct rope *rope, enum slot table); /* the heads of SLOT_Q and SLOT_K */
void op_clamp(struct pass *p, enum slot x, float limit);                /* to [-limit, limit] */
void op_scale(struct pass *p, enum slot x, float s);                    /* x * s */
void op_temper(struct pass *p, enum slot x, float t, uint32_t period);  /* x * (1 + t ln(1 + floor(pos / period))) */
enum act { ACT_SILU, ACT_GELU_TANH, ACT_GELU_ERF, ACT_RELU2 };
void op_act(struct pass *p, enum act act, enum slot x); /* x = act(x) */
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
void op_qkv(struct pass *p, enum slot from, const struct attn *w);                          /* to SLOT_Q, SLOT_K, SLOT_V */
/* Wdown (act(Wgate x) * Wup x), or Wdown act(Wup x) where there is no gate; to SLOT_Y. */
void op_ffn(struct pass *p, enum slot from, enum act act, const struct ffn *w);

/* Scales Q, writes K and V of this layer, and attends by its window: O. */
struct attn_opts {
    float scale;         /* of q, after its norm and rope */
    float softcap;       /* 0: none */
    const float *slopes; /* ALiBi, per head, or NULL */
    const float *sinks;  /* per head, or NULL */
};
void op_attention(struct pass *p, const struct attn_opts *opts);

/* From here on only rows whose logits are wanted go on, in the caller's order: `slots` (a mask, 1 << slot) are what the rest of
 * the pass reads. Once, in the last layer after attention. */
void op_wanted(struct pass *p, unsigned slots);
/* logits = output(from) with its bias, then * scale, / divide and the soft cap, where they are not 0. After op_wanted. */
struct logits_opts {
    float scale, divide, softcap;
};
void op_logits(struct pass *p, enum slot from, const struct linear *output, const struct logits_opts *opts);

/* ---- families[] ---------------------------------------------------------------------------------------------------------------- */

struct family {
    const char *arch; /* general.architecture */
    void (*load)(struct loader *l);
    void (*forward)(struct pass *p);
    /* Tensors that real files hold and the family does not compute with: names ("blk.*.NAME": of any layer; "v.*": all that begin
     * so); NULL-terminated, or NULL. */
    const char *const *ignored;
};
extern const struct family family_arcee, family_chatglm, family_cohere, family_cohere2, family_ernie4_5, family_exaone,
    family_exaone4, family_falcon, family_gemma, family_gemma2, family_gemma3, family_glm4, family_gpt2, family_gptneox,
    family_granite, family_hunyuan, family_internlm2, family_llama, family_minicpm, family_mistral3, family_mpt, family_nemotron,
    family_olmo2, family_phi2, family_phi3, family_qwen2, family_qwen3, family_seed_oss, family_smollm3, family_stablelm,
    family_starcoder, family_starcoder2;
