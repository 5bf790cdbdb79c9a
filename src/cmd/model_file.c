/* model_file: what MODEL on a command line means: a path, a name of the store, or (NULL) the store's default. */
#include "cmd.h"

#include "../kern/kern.h"
#include "../store/store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PACKED_MIN = 16 << 20 };

/* A FIFO must not block us: fs_map refuses it. */
static int open_path(const char *path, struct cmd_model *m, struct err *e) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t n = strlen(base);
    if (n > 5 && strcmp(base + n - 5, ".gguf") == 0)
        n -= 5;
    if (!*path)
        return err_set(e, ERR_USAGE, "MODEL", "is an empty name");
    snprintf(m->name, sizeof m->name, "%.*s", (int)(n < sizeof m->name ? n : sizeof m->name - 1), base);
    if ((size_t)snprintf(m->path, sizeof m->path, "%s", path) >= sizeof m->path)
        return err_set(e, ERR_USAGE, path, "the path is longer than %zu bytes", sizeof m->path - 1);
    m->fd = fs_open(AT_FDCWD, m->path, O_RDONLY | O_NONBLOCK, 0, e);
    return m->fd < 0 ? m->fd : 0;
}

/* The entries of the store, at least one; the default model is the first if it is there. */
static int list_stored(struct store *s, struct store_entry **entries, size_t *n, struct err *e) {
    int r = store_list(s, entries, n, e);
    if (r < 0)
        return r;
    for (size_t i = 1; i < *n; i++)
        if (strcmp((*entries)[i].ref, CMD_DEFAULT_MODEL) == 0) {
            struct store_entry first = (*entries)[i];
            memmove(*entries + 1, *entries, i * sizeof first);
            **entries = first;
        }
    if (*n)
        return 0;
    free(*entries);
    return err_set(e, ERR_INPUT, "MODEL",
                   "is missing, and the store is empty; give a GGUF file, or `make run` fetches the default model");
}

static int find_default(struct store *s, struct store_entry *out, struct err *e) {
    struct store_entry *entries;
    size_t n;
    int r = list_stored(s, &entries, &n, e);
    if (r < 0)
        return r;
    *out = entries[0];
    free(entries);
    return 0;
}

static int open_stored(const char *ref, struct cmd_model *m, struct err *e) {
    char home[4096];
    struct store *s = NULL;
    struct store_entry entry;
    int r = cmd_home(home, sizeof home, e);
    if (r == 0)
        r = store_open(home, STORE_READ, &s, e);
    if (r == 0)
        r = ref ? store_find(s, ref, &entry, e) : find_default(s, &entry, e);
    if (r == 0) {
        m->fd = store_blob(s, &entry.weights, entry.weights_bytes, e);
        r = m->fd < 0 ? m->fd : 0;
    }
    if (r == 0) {
        m->from_store = true;
        m->weights = entry.weights;
        snprintf(m->name, sizeof m->name, "%.127s", entry.ref);
        snprintf(m->path, sizeof m->path, "%s", entry.ref);
    }
    store_close(s);
    return r;
}

/* Is MODEL meant as a path? What is no file and could be a name is looked up in the store. */
static bool is_path(const char *model) {
    size_t n = strlen(model);
    char ref[STORE_REF_MAX + 1];
    return model[0] == '/' || model[0] == '.' || (n > 5 && strcmp(model + n - 5, ".gguf") == 0) || access(model, F_OK) == 0 ||
           (!strchr(model, '@') && store_ref_parse(model, ref, NULL) < 0);
}

int cmd_models_stored(char (**refs)[256], size_t *n, struct err *e) {
    char home[4096];
    struct store *s = NULL;
    struct store_entry *entries = NULL;
    int r = cmd_home(home, sizeof home, e);
    if (r == 0)
        r = store_open(home, STORE_READ, &s, e);
    if (r == 0)
        r = list_stored(s, &entries, n, e);
    store_close(s);
    if (r < 0)
        return r;
    *refs = calloc(*n, sizeof **refs);
    for (size_t i = 0; *refs && i < *n; i++)
        memcpy((*refs)[i], entries[i].ref, sizeof **refs);
    free(entries);
    return *refs ? 0 : err_set(e, ERR_MEMORY, "store", "no memory for %zu names", *n);
}

int cmd_model_open(const char *model, struct cmd_model *out, struct err *e) {
    struct cmd_model m = {.fd = -1, .packed = -1};
    int r = model && is_path(model) ? open_path(model, &m, e) : open_stored(model, &m, e);
    if (r < 0)
        return r;
    r = fs_map(m.fd, m.path, &m.map, e);
    if (r < 0) {
        close(m.fd);
        return r;
    }
    fs_map_guard(m.map, m.path);
    *out = m;
    return 0;
}

/* A file outside the store is known by what changes when it is written to or replaced. */
static struct digest identity_of(const struct stat *is) {
    char text[256];
    int n = snprintf(text, sizeof text, "file %llu %llu %lld %lld.%09ld %lld.%09ld", (unsigned long long)is->st_dev,
                     (unsigned long long)is->st_ino, (long long)is->st_size, (long long)is->st_mtim.tv_sec, is->st_mtim.tv_nsec,
                     (long long)is->st_ctim.tv_sec, is->st_ctim.tv_nsec);
    return sha256_of((struct str){text, (size_t)n});
}

void cmd_model_packed(struct cmd_model *m) {
    char home[4096];
    struct stat is;
    if (m->map.n < PACKED_MIN || fstat(m->fd, &is) < 0 || cmd_home(home, sizeof home, NULL) < 0)
        return;
    m->source = m->from_store ? m->weights : identity_of(&is);
    m->packed = store_packed(home, &m->source, KERN_PACKED_VERSION, !m->from_store);
}

void cmd_model_close(struct cmd_model *m) {
    if (m->packed >= 0)
        close(m->packed);
    fs_map_guard((struct str){0}, "");
    fs_unmap(m->map);
    close(m->fd);
}
