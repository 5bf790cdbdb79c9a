/* moat list, moat rm: what the store holds, and taking it out. */
#include "cmds.h"

#include "../store/store.h"

#include <stdlib.h>

static void list_json(const struct store_entry *entry, struct buf *out) {
    char release[65], weights[65];
    digest_hex(&entry->release, release);
    digest_hex(&entry->weights, weights);
    buf_fmt(out, "{\"name\":\"%s\",\"digest\":\"sha256:%s\",\"weights\":\"sha256:%s\",\"bytes\":%llu,\"file\":", entry->ref,
            release, weights, (unsigned long long)entry->weights_bytes);
    buf_json(out, str_of(entry->file));
    buf_byte(out, '}');
}

static void list_text(const struct store_entry *entry, struct buf *out) {
    char release[65];
    digest_hex(&entry->release, release);
    buf_fmt(out, "%-40s sha256:%.12s %8.1f MB  %s\n", entry->ref, release, (double)entry->weights_bytes / 1e6, entry->file);
}

static int open_store(struct store **s, struct err *e) {
    char home[4096];
    int r = cmd_home(home, sizeof home, e);
    return r < 0 ? r : store_open(home, STORE_READ, s, e);
}

int cmd_list(struct cmd_args *a, struct err *e) {
    struct store *s = NULL;
    struct store_entry *entries = NULL;
    struct buf out = {0};
    size_t n = 0;
    int r = open_store(&s, e);
    if (r == 0)
        r = store_list(s, &entries, &n, e);
    if (a->opts.json)
        buf_byte(&out, '[');
    for (size_t i = 0; r == 0 && i < n; i++) {
        if (!a->opts.json) {
            list_text(&entries[i], &out);
            continue;
        }
        if (i)
            buf_byte(&out, ',');
        list_json(&entries[i], &out);
    }
    if (a->opts.json)
        buf_z(&out, "]\n");
    if (r == 0)
        fwrite(out.p, 1, out.n, stdout);
    if (r == 0 && n == 0 && !a->opts.json)
        fprintf(stderr, "moat: the store is empty; `moat import FILE NAME:TAG` brings a model in\n");
    buf_free(&out);
    free(entries);
    store_close(s);
    return r;
}

int cmd_rm(struct cmd_args *a, struct err *e) {
    struct store *s = NULL;
    uint64_t freed = 0;
    int r = open_store(&s, e);
    for (int i = 0; r == 0 && i < a->n_args; i++) {
        r = store_remove(s, a->args[i], &freed, e);
        if (r == 0)
            fprintf(stderr, "moat: removed %s, %.1f MB freed\n", a->args[i], (double)freed / 1e6);
    }
    store_close(s);
    return r;
}
