/* moat serve: models behind OpenAI's API: those that are named, else all of the store. */
#include "cmds.h"

#include "../serve/serve.h"

#include <stdlib.h>
#include <string.h>

struct serving {
    struct cmd_model models[SERVE_MODELS_MAX];
    struct serve_model serves[SERVE_MODELS_MAX];
    unsigned n;
    const char *host;
    bool has_keys;
};

static bool is_loopback(const char *host) {
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 || strcmp(host, "localhost") == 0;
}

static void announce(void *ctx, const char *url) {
    const struct serving *s = ctx;
    fputs("moat: serving ", stdout);
    for (unsigned i = 0; i < s->n; i++)
        printf("%s%s", i ? ", " : "", s->serves[i].open.name);
    printf(" on %s\n", url);
    fflush(stdout);
    fprintf(stderr,
            "moat: ask it: curl %s/v1/chat/completions%s -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'; "
            "OpenAI clients take base_url %s/v1\n",
            url, s->has_keys ? " -H 'Authorization: Bearer KEY'" : "", url);
    if (!s->has_keys && !is_loopback(s->host))
        log_line(LOG_WARN, "there is no --api-key: everybody who reaches %s may use the models", s->host);
}

static int add_model(struct serving *s, const char *model, const struct cmd_opts *o, struct err *e) {
    if (s->n == SERVE_MODELS_MAX)
        return err_set(e, ERR_USAGE, "MODEL", "more than %d models", SERVE_MODELS_MAX);
    struct cmd_model *m = &s->models[s->n];
    struct serve_model *to = &s->serves[s->n];
    int r = cmd_model_open(model, m, e);
    if (r < 0)
        return r;
    s->n++;
    cmd_model_packed(m);
    to->fd = m->fd;
    to->packed_fd = m->packed;
    to->open = (struct wire_open){
        .ctx = (uint32_t)o->ctx,
        .parallel = (uint32_t)o->parallel,
        .queue = (uint32_t)o->queue,
        .threads = (uint32_t)o->threads,
        .chunk = (uint32_t)o->chunk,
        .nice = (uint32_t)o->nice,
        .kv_memory = o->kv_memory,
        .kv_type = cmd_kv_type(o->kv),
    };
    snprintf(to->open.name, sizeof to->open.name, "%s", o->name ? o->name : m->name);
    for (const char *c = to->open.name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return err_set(e, ERR_USAGE, "name", "holds a control character; give another --name");
    memcpy(to->open.path, m->path, sizeof to->open.path);
    snprintf(to->open.isa, sizeof to->open.isa, "%s", o->isa ? o->isa : getenv("MOAT_ISA") ? getenv("MOAT_ISA") : "");
    if (m->packed >= 0)
        digest_hex(&m->source, to->open.packed);
    if (m->from_store)
        digest_hex(&m->weights, to->open.digest);
    for (unsigned i = 0; i + 1 < s->n; i++)
        if (strcmp(s->serves[i].open.name, to->open.name) == 0)
            return err_set(e, ERR_USAGE, to->open.name, "two models have this name; serve one of them under another file name");
    return 0;
}

static int add_stored(struct serving *s, const struct cmd_opts *o, struct err *e) {
    char(*refs)[256];
    size_t n;
    int r = cmd_models_stored(&refs, &n, e);
    if (r < 0)
        return r;
    if (o->name)
        n = 1;
    if (n > SERVE_MODELS_MAX)
        log_line(LOG_WARN, "the store holds %zu models; the first %d are served", n, SERVE_MODELS_MAX);
    for (size_t i = 0; r == 0 && i < n && i < SERVE_MODELS_MAX; i++)
        r = add_model(s, refs[i], o, e);
    free(refs);
    return r;
}

int cmd_serve(struct cmd_args *a, struct err *e) {
    const struct cmd_opts *o = &a->opts;
    struct serving s = {.host = o->host, .has_keys = o->api_key.n > 0};
    int r = o->name && a->n_args > 1 ? err_set(e, ERR_USAGE, "name", "is for one model; there are %d", a->n_args) : 0;
    for (int i = 0; r == 0 && i < a->n_args; i++)
        r = add_model(&s, a->args[i], o, e);
    if (r == 0 && a->n_args == 0)
        r = add_stored(&s, o, e);
    struct serve_opts opts = {
        .models = s.serves,
        .n_models = s.n,
        .host = o->host,
        .port = (unsigned)o->port,
        .keys = o->api_key.items,
        .n_keys = o->api_key.n,
        .warn_unknown = strcmp(o->unknown_fields, "warn") == 0,
        .announce = announce,
        .ctx = &s,
    };
    if (r == 0)
        r = serve_run(&opts, e);
    for (unsigned i = 0; i < s.n; i++)
        cmd_model_close(&s.models[i]);
    return r;
}
