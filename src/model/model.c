/* model: from a checked container to weights that can be multiplied. families[] is the list of what moat computes. */
#include "pass.h"

#include <stdlib.h>
#include <string.h>

static const struct family *const families[] = {
    &family_arcee,     &family_chatglm,    &family_cohere,  &family_cohere2,  &family_ernie4_5,  &family_exaone,
    &family_exaone4,   &family_falcon,     &family_gemma,   &family_gemma2,   &family_gemma3,    &family_glm4,
    &family_gpt2,      &family_gptneox,    &family_granite, &family_hunyuan,  &family_internlm2, &family_llama,
    &family_minicpm,   &family_mistral3,   &family_mpt,     &family_nemotron, &family_olmo2,     &family_phi2,
    &family_phi3,      &family_qwen2,      &family_qwen3,   &family_seed_oss, &family_smollm3,   &family_stablelm,
    &family_starcoder, &family_starcoder2,
};

enum { PARTS_MAX = 3 }; /* matrices in one tensor: q, k and v */

const struct family *find_family(struct str arch) {
    for (size_t i = 0; i < N_ITEMS(families); i++)
        if (str_is(arch, families[i]->arch))
            return families[i];
    return NULL;
}

const char *model_arch(size_t i) {
    return i < N_ITEMS(families) ? families[i]->arch : NULL;
}

/* Shapes, names and types of everything (rules 6 and 7); no weight is looked at but vectors. */
static int load_shapes(struct loader *l, const struct gguf *g, uint32_t ctx, struct model *m, struct err *e) {
    *l = (struct loader){.g = g, .m = m, .e = e, .ctx = ctx};
    if (gguf_str(g, "general.architecture", &l->arch, e) < 0)
        return e->code;
    m->family = find_family(l->arch);
    if (!m->family)
        return err_set(e, ERR_INPUT, "general.architecture", "'%.*s' is not computed; `moat help --models` lists what is",
                       (int)(l->arch.n < 64 ? l->arch.n : 64), l->arch.p);
    l->used = calloc(gguf_n_tensors(g) + 1, sizeof *l->used);
    l->weights_max = PARTS_MAX * (uint32_t)gguf_n_tensors(g) + 1;
    l->weights = calloc(l->weights_max, sizeof *l->weights);
    l->keys_used = calloc(gguf_n_kv(g) + 1, sizeof *l->keys_used);
    if (!l->used || !l->keys_used || !l->weights)
        return err_set(e, ERR_MEMORY, "model", "no memory");
    m->family->load(l);
    if (e->code)
        return e->code;
    m->hp = l->hp;
    return load_check_all_used(l, m->family, e);
}

static void loader_free(struct loader *l) {
    free(l->used);
    free(l->keys_used);
    free(l->weights);
}

int model_check(const struct gguf *g, struct err *e) {
    struct model m = {0};
    struct loader l = {0};
    int r = load_shapes(&l, g, 0, &m, e);
    if (r == 0)
        r = load_dry_pack(&l, e);
    loader_free(&l);
    arena_free(&m.arena);
    return r;
}

static void fill_info(struct model *m, const struct gguf *g, uint32_t ctx) {
    const struct hparams *hp = &m->hp;
    m->info = (struct model_info){
        .family = m->family->arch,
        .n_vocab = hp->n_vocab,
        .n_layers = hp->n_layers,
        .n_embd = hp->n_embd,
        .n_heads = hp->layers[0].n_heads,
        .n_kv_heads = hp->layers[0].n_kv_heads,
        .n_ctx_train = hp->n_ctx_train,
        .ctx = ctx,
    };
    (void)!gguf_str(g, "general.architecture", &m->info.arch, NULL);
    (void)!gguf_str_or(g, "general.name", STR(""), &m->info.name, NULL);
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        m->info.n_params += gguf_tensor_at(g, i)->n_values;
        m->info.weight_bytes += gguf_tensor_at(g, i)->bytes;
    }
}

/* Layers of a page lie one after the other. */
static int lay_out_kv(struct model *m, enum dtype type, struct err *e) {
    if (type == DTYPE_Q8_0 && (m->hp.d_k % 32 || m->hp.d_v % 32))
        return err_set(e, ERR_USAGE, "kv", "q8 keeps 32 values by one scale, and the heads of this model have %u and %u; use f16",
                       m->hp.d_k, m->hp.d_v);
    m->kv = arena_array(&m->arena, m->hp.n_layers, sizeof *m->kv);
    if (!m->kv)
        return err_set(e, ERR_MEMORY, "model", "no memory");
    uint64_t at = 0;
    for (uint32_t i = 0; i < m->hp.n_layers; i++) {
        m->kv[i] = (struct kern_kv){type, m->hp.layers[i].n_kv_heads, m->hp.d_k, m->hp.d_v, at};
        at += kern_kv_bytes(&m->kv[i]);
        struct kern_attn widest = {.kv = &m->kv[i], .n_rows = ATTN_ROWS, .n_heads = m->hp.layers[i].n_heads};
        uint64_t part = kern_attn_part_bytes(&widest);
        m->part_bytes = part > m->part_bytes ? part : m->part_bytes;
    }
    m->info.kv_bytes_per_page = at;
    return 0;
}

static int open_model(const struct gguf *g, const struct model_opts *opts, struct model *m, struct err *e) {
    struct loader l = {0};
    m->kern = opts->kern;
    m->pool = opts->pool;
    m->rows_max = opts->rows_max ? opts->rows_max : 512;
    int r = load_shapes(&l, g, opts->ctx, m, e);
    if (r < 0)
        goto out;
    uint32_t ctx = load_ctx(&l), most = m->ctx_max && m->ctx_max < CTX_SERVED_MAX ? m->ctx_max : CTX_SERVED_MAX;
    if (ctx > most) {
        r = err_set(e, ERR_USAGE, "ctx", "is %u; the most is %u", ctx, most);
        goto out;
    }
    fill_info(m, g, ctx);
    m->splits_max = (ctx + KERN_SPLIT - 1) / KERN_SPLIT;
    r = lay_out_kv(m, opts->kv_type, e);
    if (r == 0)
        r = load_pack(&l, opts, &m->weights, e);
    if (r == 0)
        r = pass_new(m, e);
out:
    loader_free(&l);
    return r;
}

int model_open(const struct gguf *g, const struct model_opts *opts, struct model **out, struct err *e) {
    struct model *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(e, ERR_MEMORY, "model", "no memory");
    int r = open_model(g, opts, m, e);
    if (r < 0)
        model_close(m);
    else
        *out = m;
    return r;
}

void model_close(struct model *m) {
    if (!m)
        return;
    pool_settle(m->pool);
    mem_free(&m->weights);
    mem_free(&m->scratch);
    arena_free(&m->arena);
    free(m);
}

const struct model_info *model_info(const struct model *m) {
    return &m->info;
}
