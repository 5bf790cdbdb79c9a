/* moat import FILE NAME:TAG: checks a model file and brings it into the store as a release. */
#include "cmds.h"

#include "../gguf/gguf.h"
#include "../model/model.h"
#include "../store/store.h"

#include <string.h>

/* The type that most weights have, for `list` and the config: "Q4_1". */
static const char *main_type(const struct gguf *g) {
    uint64_t bytes[256] = {0};
    uint32_t best = 0;
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        if (t->type < N_ITEMS(bytes) && (bytes[t->type] += t->bytes) > bytes[best])
            best = t->type;
    }
    return dtype_info(best)->name;
}

static int gather_facts(const struct gguf *g, const char *path, struct store_facts *facts, char arch[64], struct err *e) {
    struct str architecture;
    int r = gguf_str(g, "general.architecture", &architecture, e);
    if (r < 0)
        return r;
    snprintf(arch, 64, "%.*s", (int)(architecture.n < 63 ? architecture.n : 63), architecture.p);
    const char *slash = strrchr(path, '/');
    *facts = (struct store_facts){.file = slash ? slash + 1 : path, .architecture = arch, .quantization = main_type(g)};
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++)
        facts->n_params += gguf_tensor_at(g, i)->n_values;
    return 0;
}

static int import_into_store(const struct cmd_model *file, const struct store_facts *facts, const char *ref,
                             struct store_entry *entry, struct err *e) {
    char home[4096];
    struct store *s = NULL;
    int r = cmd_home(home, sizeof home, e);
    if (r == 0)
        r = store_open(home, STORE_CREATE, &s, e);
    if (r == 0)
        r = store_import(s, file->fd, facts, ref, entry, e);
    store_close(s);
    return r;
}

int cmd_import(struct cmd_args *a, struct err *e) {
    char ref[STORE_REF_MAX + 1], arch[64];
    struct cmd_model file;
    struct gguf *g = NULL;
    struct store_facts facts;
    struct store_entry entry;
    int r = store_ref_parse(a->args[1], ref, e);
    if (r < 0)
        return r;
    r = cmd_model_open(a->args[0], &file, e);
    if (r < 0)
        return r;
    uint32_t n_tokens;
    r = gguf_open(file.map, &g, e);
    if (r == 0)
        r = cmd_check_text(g, &n_tokens, e);
    if (r == 0)
        r = model_check(g, e);
    if (r == 0)
        r = gather_facts(g, file.path, &facts, arch, e);
    if (r < 0)
        err_within(e, file.path);
    else
        r = import_into_store(&file, &facts, ref, &entry, e);
    if (r == 0) {
        char hex[65];
        digest_hex(&entry.release, hex);
        printf("%s sha256:%s\n", entry.ref, hex);
    }
    gguf_close(g);
    cmd_model_close(&file);
    return r;
}
