/* fingerprint: what can change an answer, as canonical JSON, hashed. null stands for "the weight file's own" or "none", so a
 * bare file and a release that adds nothing to it are the same. */
#include "engine.h"

#include <string.h>

/* What a release may set beside the weights. */
static const char *const release_keys[] = {"tokenizer", "template", "system_prompt", "sampling_defaults",
                                           "adapters",  "steering", "policy"};

/* longrope takes other factors beyond the original context (numerics 6): the served context is part of the model then. */
static bool rope_depends_on_ctx(const struct gguf *g) {
    struct str scaling = {0}, arch = {0};
    char key[128];
    if (gguf_tensor(g, "rope_factors_long.weight"))
        return true;
    if (gguf_str(g, "general.architecture", &arch, NULL) < 0)
        return false;
    snprintf(key, sizeof key, "%.*s.rope.scaling.type", (int)(arch.n < 64 ? arch.n : 64), arch.p);
    return gguf_str(g, key, &scaling, NULL) == 0 && str_is(scaling, "longrope");
}

static void put(struct buf *out, const char *key) {
    buf_fmt(out, "%c\"%s\":", out->n ? ',' : '{', key);
}

static void put_release(struct buf *out, yyjson_val *release) {
    for (size_t i = 0; i < N_ITEMS(release_keys); i++) {
        yyjson_val *v = yyjson_obj_get(release, release_keys[i]);
        put(out, release_keys[i]);
        if (v)
            json_canonical(out, v);
        else
            buf_z(out, "null");
    }
}

int engine_fingerprint(const struct gguf *g, const struct engine_opts *opts, uint32_t ctx, char digest[65], struct err *e) {
    struct buf text = {0}, canonical = {0};
    yyjson_doc *release = NULL, *doc = NULL;
    char weights[65];
    int r = opts->release.n ? json_read(opts->release, 64, &release, e) : 0;
    if (r < 0)
        goto out;
    digest_hex(opts->weights, weights);
    put(&text, "weights");
    buf_fmt(&text, "\"%s\"", weights);
    put_release(&text, yyjson_doc_get_root(release));
    put(&text, "kv");
    buf_z(&text, opts->kv_type == DTYPE_F16 ? "\"f16\"" : opts->kv_type == DTYPE_Q8_0 ? "\"q8\"" : "\"f32\"");
    put(&text, "ctx");
    if (rope_depends_on_ctx(g))
        buf_fmt(&text, "%u", ctx);
    else
        buf_z(&text, "null");
    buf_z(&text, ",\"numerics\":\"N1\",\"text\":\"T1\"}");
    r = text.failed ? err_set(e, ERR_MEMORY, "fingerprint", "no memory") : json_read(buf_as_str(&text), 64, &doc, e);
    if (r < 0)
        goto out;
    json_canonical(&canonical, yyjson_doc_get_root(doc)); /* sorts the keys */
    struct digest d = sha256_of(buf_as_str(&canonical));
    digest_hex(&d, digest);
out:
    yyjson_doc_free(release);
    yyjson_doc_free(doc);
    buf_free(&text);
    buf_free(&canonical);
    return r;
}
