/* moat show: what a GGUF file holds. Needs only a valid container: the model may be of an unknown kind. */
#include "cmds.h"
#include "../gguf/gguf.h"
#include "../kern/kern.h"
#include "../engine/engine.h"
#include "../model/model.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { SHOWN_ITEMS = 8, SHOWN_BYTES = 96, DECODE_VALUES = 1 << 16 };

/* ---- one tensor as .npy ------------------------------------------------------------------------------------------- */

/* Rows are whole blocks and lie one after the other, so any number of blocks can be decoded at a time. */
static int write_values(const struct gguf_tensor *t, struct npy *f, struct err *e) {
    uint64_t piece = DECODE_VALUES; /* a multiple of every block */
    float *values = malloc(piece * sizeof *values);
    if (!values)
        return err_set(e, ERR_MEMORY, "show", "out of memory");
    int code = 0;
    for (uint64_t at = 0; code == 0 && at < t->n_values; at += piece) {
        if (piece > t->n_values - at)
            piece = t->n_values - at;
        kern_decode(t->type, piece, t->data + dtype_bytes(t->type, at), values);
        code = npy_add(f, values, piece, e);
    }
    free(values);
    return code;
}

static int show_tensor(const struct gguf *g, const char *name, int fd, const char *path, struct err *e) {
    const struct gguf_tensor *t = gguf_tensor(g, name);
    if (!t)
        return err_set(e, ERR_INPUT, name, "the file has no such tensor; `moat show MODEL` lists them");
    if (!kern_supports(t->type))
        return err_set(e, ERR_INPUT, name, "tensors of type %s cannot be decoded", dtype_info(t->type)->name);
    uint64_t dims[4];
    for (uint32_t i = 0; i < t->n_dims; i++)
        dims[i] = t->dims[t->n_dims - 1 - i];
    struct npy f;
    int code = npy_begin(&f, fd, path, t->n_dims, dims, e);
    return code < 0 ? code : write_values(t, &f, e);
}

/* ---- sums ---------------------------------------------------------------------------------------------------------- */

struct sums {
    uint64_t n_values, bytes;
    struct {
        uint64_t n, bytes;
    } of[64]; /* by type */
};
_Static_assert(DTYPE_Q2_0 < 64, "every type has its sum");

static struct sums sum_tensors(const struct gguf *g) {
    struct sums s = {0};
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        s.n_values += t->n_values;
        s.bytes += t->bytes;
        s.of[t->type].n++;
        s.of[t->type].bytes += t->bytes;
    }
    return s;
}

/* ---- identity ------------------------------------------------------------------------------------------------------ */

struct identity {
    char weights[65];     /* SHA-256 of the file */
    char fingerprint[65]; /* what `moat serve MODEL` answers with, by default settings; its first 16 digits count */
};

static int identify(const struct cmd_model *m, const struct gguf *g, struct identity *id, struct err *e) {
    struct digest weights = m->from_store ? m->weights : sha256_of(m->map);
    struct engine_opts opts = {.weights = &weights, .kv_type = DTYPE_F16};
    digest_hex(&weights, id->weights);
    return engine_fingerprint(g, &opts, engine_default_ctx(g), id->fingerprint, e);
}

/* ---- JSON ---------------------------------------------------------------------------------------------------------- */

/* Hands on what was collected; one piece at a time, so that memory holds no more than the largest value. */
static int flush(struct buf *b, struct err *e) {
    if (b->failed)
        return err_set(e, ERR_LIMIT, "result", "one value takes more than 1 GiB as text");
    fwrite(b->p, 1, b->n, stdout);
    b->n = 0;
    return 0;
}

static int json_metadata(const struct gguf *g, struct buf *b, struct err *e) {
    int code = 0;
    buf_z(b, "\"metadata\": [");
    for (uint64_t i = 0; code == 0 && i < gguf_n_kv(g); i++) {
        const struct gguf_kv *kv = gguf_kv(g, i);
        buf_z(b, i ? ",\n {\"key\": " : "\n {\"key\": ");
        buf_json(b, kv->key);
        buf_fmt(b, ", \"type\": \"%s\"", gguf_type_name(kv->type));
        if (kv->type == GGUF_ARR)
            buf_fmt(b, ", \"of\": \"%s\", \"n\": %llu", gguf_type_name(kv->item), (unsigned long long)kv->n_items);
        buf_z(b, ", \"value\": ");
        gguf_kv_json(kv, b);
        buf_byte(b, '}');
        code = flush(b, e);
    }
    buf_z(b, "],\n");
    return code;
}

static int json_tensors(const struct gguf *g, struct buf *b, struct err *e) {
    int code = 0;
    buf_z(b, "\"tensors\": [");
    for (uint64_t i = 0; code == 0 && i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        buf_z(b, i ? ",\n {\"name\": " : "\n {\"name\": ");
        buf_json(b, t->name);
        buf_fmt(b, ", \"type\": \"%s\", \"dims\": [", dtype_info(t->type)->name);
        for (uint32_t d = 0; d < t->n_dims; d++)
            buf_fmt(b, "%s%llu", d ? ", " : "", (unsigned long long)t->dims[d]);
        buf_z(b, model_ignores(g, t->name) ? "], \"ignored\": true" : "]");
        buf_fmt(b, ", \"bytes\": %llu, \"offset\": %llu, \"file_offset\": %llu}", (unsigned long long)t->bytes,
                (unsigned long long)t->offset, (unsigned long long)(gguf_data_start(g) + t->offset));
        code = flush(b, e);
    }
    buf_z(b, "],\n");
    return code;
}

static int show_json(const struct cmd_model *m, const struct gguf *g, const struct identity *id, struct str template,
                     struct err *e) {
    struct buf b = {0};
    struct sums s = sum_tensors(g);
    buf_z(&b, "{\"file\": ");
    buf_json(&b, str_of(m->path));
    buf_fmt(&b, ", \"sha256\": \"%s\", \"fingerprint\": \"moat-%.16s\",\n", id->weights, id->fingerprint);
    buf_fmt(&b, "\"bytes\": %zu, \"version\": %u, \"alignment\": %u, \"data_start\": %llu,\n", m->map.n, gguf_version(g),
            gguf_alignment(g), (unsigned long long)gguf_data_start(g));
    int code = json_metadata(g, &b, e);
    if (code == 0)
        code = json_tensors(g, &b, e);
    buf_fmt(&b, "\"n_values\": %llu, \"tensor_bytes\": %llu, \"types\": {", (unsigned long long)s.n_values,
            (unsigned long long)s.bytes);
    const char *comma = "";
    for (uint32_t i = 0; i < N_ITEMS(s.of); i++)
        if (s.of[i].n) {
            buf_fmt(&b, "%s\"%s\": {\"n\": %llu, \"bytes\": %llu}", comma, dtype_info(i)->name, (unsigned long long)s.of[i].n,
                    (unsigned long long)s.of[i].bytes);
            comma = ", ";
        }
    buf_z(&b, "},\n\"template\": ");
    if (template.n)
        buf_json(&b, template);
    else
        buf_z(&b, "null");
    buf_z(&b, "}\n");
    if (code == 0)
        code = flush(&b, e);
    buf_free(&b);
    return code;
}

/* ---- text ----------------------------------------------------------------------------------------------------------- */

/* A value on one line: the first items of an array, the beginning of a long text. */
static void print_value(const struct gguf_kv *kv) {
    struct gguf_kv head = *kv;
    struct buf b = {0};
    if (kv->type == GGUF_ARR) {
        head.n_items = kv->n_items < SHOWN_ITEMS ? kv->n_items : SHOWN_ITEMS;
        buf_fmt(&b, "%llu ", (unsigned long long)kv->n_items);
    }
    gguf_kv_json(&head, &b);
    bool cut = head.n_items < kv->n_items || b.n > SHOWN_BYTES;
    struct str shown = {b.p, b.n < SHOWN_BYTES ? b.n : SHOWN_BYTES};
    printf("%.*s%s\n", (int)utf8_complete(shown), shown.p, cut ? " ..." : "");
    buf_free(&b);
}

static void print_metadata(const struct gguf *g) {
    for (uint64_t i = 0; i < gguf_n_kv(g); i++) {
        const struct gguf_kv *kv = gguf_kv(g, i);
        bool arr = kv->type == GGUF_ARR;
        printf("  %-44.*s %s%-4s ", (int)kv->key.n, kv->key.p, arr ? "arr of " : "", gguf_type_name(arr ? kv->item : kv->type));
        print_value(kv);
    }
}

static void print_tensors(const struct gguf *g) {
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        char shape[96] = "";
        for (uint32_t d = 0, n = 0; d < t->n_dims; d++)
            n += (uint32_t)snprintf(shape + n, sizeof shape - n, "%s%llu", d ? " x " : "", (unsigned long long)t->dims[d]);
        printf("  %-36.*s %-7s %-20s %12llu bytes%s\n", (int)t->name.n, t->name.p, dtype_info(t->type)->name, shape,
               (unsigned long long)t->bytes, model_ignores(g, t->name) ? ", ignored" : "");
    }
}

static void print_template(struct str template) {
    printf("template: %zu bytes\n  ", template.n);
    for (size_t i = 0; i < template.n; i++) {
        uint8_t c = (uint8_t) template.p[i];
        if (c == '\n')
            fputs("\n  ", stdout);
        else
            putchar((c < 0x20 && c != '\t') || c == 0x7f ? '?' : c);
    }
    putchar('\n');
}

static void show_text(const struct cmd_model *m, const struct gguf *g, const struct identity *id, struct str template) {
    struct sums s = sum_tensors(g);
    printf("%s: %zu bytes, GGUF version %u, alignment %u, data from %llu\n", m->path, m->map.n, gguf_version(g),
           gguf_alignment(g), (unsigned long long)gguf_data_start(g));
    printf("sha256 %s\nfingerprint moat-%.16s\n", id->weights, id->fingerprint);
    printf("metadata: %llu pairs\n", (unsigned long long)gguf_n_kv(g));
    print_metadata(g);
    printf("tensors: %llu, %llu values, %llu bytes\n", (unsigned long long)gguf_n_tensors(g), (unsigned long long)s.n_values,
           (unsigned long long)s.bytes);
    print_tensors(g);
    for (uint32_t i = 0; i < N_ITEMS(s.of); i++)
        if (s.of[i].n)
            printf("  %llu of type %s: %llu bytes\n", (unsigned long long)s.of[i].n, dtype_info(i)->name,
                   (unsigned long long)s.of[i].bytes);
    if (template.n)
        print_template(template);
}

static int show(const struct cmd_opts *o, const struct cmd_model *m, int out, struct err *e) {
    struct gguf *g = NULL;
    struct identity id;
    int code = gguf_open(m->map, &g, e);
    if (code == 0 && !o->tensor)
        code = identify(m, g, &id, e);
    if (code < 0)
        err_within(e, m->path);
    struct str template = STR("");
    if (code == 0 && gguf_str_or(g, "tokenizer.chat_template", STR(""), &template, NULL) < 0)
        template = STR(""); /* of another type: it stands among the metadata */
    if (code == 0 && o->tensor)
        code = show_tensor(g, o->tensor, out, o->out, e);
    else if (code == 0 && o->json)
        code = show_json(m, g, &id, template, e);
    else if (code == 0)
        show_text(m, g, &id, template);
    gguf_close(g);
    return code;
}

int cmd_show(struct cmd_args *a, struct err *e) {
    struct cmd_model m;
    if (!a->opts.tensor != !a->opts.out)
        return err_set(e, ERR_USAGE, "tensor", "--tensor NAME and -o FILE.npy go together");
    int out = -1, code = cmd_model_open(a->args[0], &m, e);
    if (code < 0)
        return code;
    if (a->opts.out)
        code = out = fs_open(AT_FDCWD, a->opts.out, O_WRONLY | O_CREAT, 0666, e);
    if (code >= 0)
        code = show(&a->opts, &m, out, e);
    if (out >= 0)
        close(out);
    cmd_model_close(&m);
    return code;
}
