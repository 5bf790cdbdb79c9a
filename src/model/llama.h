/* llama.h: the decoder of llama.c for the families that are Llama with one or two things changed. Their files hold a load of
 * their own, which calls llama_load and then sets what differs. */
#pragma once

#include "ops.h"

struct llama_layer {
    struct norm attn_norm; /* [n_embd] */
    struct attn attn;
    struct norm q_norm, k_norm; /* [d_k]; w is NULL where heads are not normed */
    struct norm attn_post_norm; /* [n_embd] of what the half adds; w is NULL: none */
    struct norm ffn_norm;       /* [n_embd] */
    struct ffn ffn;
    struct norm ffn_post_norm; /* as attn_post_norm */
    bool no_rope;              /* this layer leaves positions out */
};
struct llama {
    struct linear embd;          /* [n_vocab][n_embd] */
    struct linear untied;        /* [n_vocab][n_embd], where the file has it */
    const struct linear *output; /* one of the two */
    struct norm output_norm;     /* [n_embd] */
    struct rope rope;
    bool norm_after_rope; /* of heads */
    float temper;         /* of queries by position, 0: none */
    uint32_t temper_period;
    float q_scale;        /* 1 / sqrt(d_k) */
    float embd_scale;     /* 1 */
    float residual_scale; /* 1 */
    float logit_divisor;  /* 0: none */
    enum act act;         /* ACT_SILU */
    struct llama_layer *layers;
};
struct llama_opts {
    const struct kern_rope_spec *rope;
    bool adjacent; /* pairs of the rotation: see struct rope */
    bool untied;   /* never without an output.weight */
    bool head_norms;
    bool fused; /* q, k, v in attn_qkv; gate and up in ffn_up */
    bool plain; /* no gate */
    bool post_norms;
    const char *ffn_norm; /* another name for it */
    enum load_bias qkv_bias, bias;
};
/* After load_hparams. NULL after an error. */
struct llama *llama_load(struct loader *l, const struct llama_opts *opts);
/* hparams' rotation, with the factors of each pair where the file has them: Llama 3.1's scaling, or LongRoPE's (phi3.c). */
struct kern_rope_spec load_llama3_rope(struct loader *l);
struct kern_rope_spec load_longrope(struct loader *l);
void llama_forward(struct pass *p);
