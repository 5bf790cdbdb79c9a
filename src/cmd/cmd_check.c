/* moat check: reads a model file as strictly as loading does, without computing. Exit 3 with the field at fault named. */
#include "cmds.h"
#include "../model/model.h"

#include <string.h>

static int check_tokenizer(const struct gguf *g, uint32_t *n_tokens, struct err *e) {
    struct arena arena = {0};
    struct tok_spec spec = {0};
    struct tok *tok = NULL;
    int code = model_tok_spec(g, &arena, &spec, e);
    if (code == 0)
        code = tok_new(&spec, &tok, e);
    *n_tokens = spec.n_pieces;
    tok_free(tok);
    arena_free(&arena);
    return code;
}

static int check_template(const struct gguf *g, struct err *e) {
    struct str source;
    struct tmpl *template = NULL;
    int code = model_template(g, &source, e);
    if (code == 0 && source.n && (code = tmpl_new(source, &template, e)) < 0)
        err_within(e, "tokenizer.chat_template");
    tmpl_free(template);
    return code;
}

int cmd_check_text(const struct gguf *g, uint32_t *n_tokens, struct err *e) {
    int code = check_tokenizer(g, n_tokens, e);
    return code < 0 ? code : check_template(g, e);
}

/* The store names a file by its SHA-256. */
static int check_bytes(const struct cmd_model *m, struct err *e) {
    struct digest is = m->from_store ? fs_map_sha256(m->map) : m->weights;
    if (memcmp(&is, &m->weights, sizeof is) == 0)
        return 0;
    return err_set(e, ERR_INPUT, "", "the store's copy is damaged: its bytes have another SHA-256; import the file again");
}

int cmd_check(struct cmd_args *a, struct err *e) {
    struct cmd_model m;
    struct gguf *g = NULL;
    uint32_t n_tokens = 0;
    int code = cmd_model_open(a->args[0], &m, e);
    if (code < 0)
        return code;
    code = gguf_open(m.map, &g, e);
    if (code == 0)
        code = cmd_check_text(g, &n_tokens, e);
    bool vocabulary = code == 0 && gguf_n_tensors(g) == 0; /* such files exist to be read by `tokenize`; loading refuses them */
    if (code == 0 && !vocabulary)
        code = model_check(g, e);
    if (code == 0)
        code = check_bytes(&m, e);
    if (code < 0)
        err_within(e, m.path);
    else
        printf("%s: ok, %s, %u tokens, %llu tensors\n", m.path, vocabulary ? "a vocabulary without a model" : "a model", n_tokens,
               (unsigned long long)gguf_n_tensors(g));
    gguf_close(g);
    cmd_model_close(&m);
    return code;
}
