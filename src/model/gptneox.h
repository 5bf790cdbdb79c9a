/* gptneox.h: the decoder of gptneox.c for the families that are made of the same parts. Their files hold a load of their own. */
#pragma once

#include "ops.h"

struct gptneox_layer {
    struct norm attn_norm; /* [n_embd] */
    struct attn attn;
    struct norm ffn_norm; /* [n_embd]; w is NULL where both halves share attn_norm */
    struct ffn ffn;
    bool no_rope; /* this layer leaves positions out */
};
struct gptneox {
    struct linear embd;          /* [n_vocab][n_embd] */
    struct linear position;      /* [n_ctx_train][n_embd]; of no size where positions are not learned */
    struct linear untied;        /* [n_vocab][n_embd], where the file has it */
    const struct linear *output; /* one of the two */
    struct norm output_norm;     /* [n_embd] */
    struct rope rope;            /* inv_freq is NULL: none */
    const float *slopes;         /* [n_heads]: ALiBi, or NULL */
    float clamp;                 /* of q, k and v; 0: none */
    float q_scale;               /* 1 / sqrt(d_k) */
    float logit_scale;           /* 0: none */
    bool parallel;               /* both halves read the same x */
    enum act act;
    struct gptneox_layer *layers;
};
struct gptneox_opts {
    bool fused;  /* q, k, v in attn_qkv */
    bool gated;  /* the feed-forward */
    bool untied; /* never without an output.weight */
    bool output_bias;
    enum load_bias norm_bias, qkv_bias, bias;
    const char *attn_norm, *ffn_norm; /* names; ffn_norm may be NULL */
};
/* After load_hparams: all but rope, positions and what is not 0 by rule. NULL after an error. */
struct gptneox *gptneox_load(struct loader *l, const struct gptneox_opts *opts);
void gptneox_forward(struct pass *p);
