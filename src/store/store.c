/* store: opening, looking up, importing, removing. The layout is drawn in store.h. */
#include "store_json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_BYTES = 1 << 20 };
static const char temp_prefix[] = "tmp-";

struct store {
    int dir;   /* the layout's folder; -1: it does not exist (an empty store, read only) */
    int blobs; /* blobs/sha256 */
};

/* ---- opening and locking ------------------------------------------------------------------------------------------- */

static int make_layout(const char *home, struct err *e) {
    char blobs[4096];
    if ((size_t)snprintf(blobs, sizeof blobs, "%s/blobs/sha256", home) >= sizeof blobs)
        return err_set(e, ERR_ENV, home, "the path is too long");
    int r = fs_mkdirs(blobs, e);
    if (r < 0)
        return r;
    int dir = fs_open(AT_FDCWD, home, O_RDONLY | O_DIRECTORY, 0, e);
    if (dir < 0)
        return dir;
    if (faccessat(dir, "oci-layout", F_OK, 0) < 0)
        r = fs_write_whole(dir, "oci-layout", STR("{\"imageLayoutVersion\":\"1.0.0\"}"), e);
    if (r == 0 && faccessat(dir, "index.json", F_OK, 0) < 0)
        r = fs_write_whole(dir, "index.json", STR("{\"schemaVersion\":2,\"manifests\":[]}"), e);
    close(dir);
    return r;
}

int store_open(const char *home, enum store_open_mode mode, struct store **out, struct err *e) {
    *out = NULL;
    int r = mode == STORE_CREATE ? make_layout(home, e) : 0;
    if (r < 0)
        return r;
    struct store *s = malloc(sizeof *s);
    if (!s)
        return err_set(e, ERR_MEMORY, home, "out of memory");
    *s = (struct store){.dir = -1, .blobs = -1};
    struct stat there;
    if (mode == STORE_CREATE || stat(home, &there) == 0 || errno != ENOENT) {
        s->dir = fs_open(AT_FDCWD, home, O_RDONLY | O_DIRECTORY, 0, e);
        if (s->dir >= 0 && (mode == STORE_CREATE || faccessat(s->dir, "blobs/sha256", F_OK, 0) == 0)) {
            s->blobs = fs_open(s->dir, "blobs/sha256", O_RDONLY | O_DIRECTORY, 0, e);
            r = s->blobs < 0 ? s->blobs : 0;
        }
        r = s->dir < 0 ? s->dir : r;
    }
    if (r < 0) {
        store_close(s);
        return r;
    }
    *out = s;
    return 0;
}

void store_close(struct store *s) {
    if (!s)
        return;
    if (s->blobs >= 0)
        close(s->blobs);
    if (s->dir >= 0)
        close(s->dir);
    free(s);
}

/* The writers' lock: a descriptor to close, or an error. */
static int lock_store(const struct store *s, struct err *e) {
    int fd = fs_open(s->dir, "oci-layout", O_RDONLY, 0, e);
    if (fd >= 0 && flock(fd, LOCK_EX) < 0) {
        close(fd);
        return err_set(e, ERR_ENV, "oci-layout", "cannot lock the store: %s", strerror(errno));
    }
    return fd;
}

/* ---- blobs ---------------------------------------------------------------------------------------------------------- */

int store_blob(struct store *s, const struct digest *d, uint64_t bytes, struct err *e) {
    char hex[65];
    struct stat is;
    digest_hex(d, hex);
    if (s->blobs < 0)
        return err_set(e, ERR_ENV, hex, "this blob is not in the store");
    if (faccessat(s->blobs, hex, F_OK, 0) < 0 && errno == ENOENT)
        return err_set(e, ERR_INPUT, hex, "this blob is not in the store any more; import the file again");
    int fd = fs_open(s->blobs, hex, O_RDONLY, 0, e);
    if (fd < 0)
        return fd;
    if (fstat(fd, &is) < 0 || !S_ISREG(is.st_mode) || (uint64_t)is.st_size != bytes) {
        close(fd);
        return err_set(e, ERR_INPUT, hex, "this blob of the store is damaged: it is not %llu bytes long; import the file again",
                       (unsigned long long)bytes);
    }
    return fd;
}

/* A small blob (JSON), whole and with its digest checked. */
static int read_blob(struct store *s, const struct digest *d, struct buf *out, struct err *e) {
    char hex[65];
    digest_hex(d, hex);
    out->max = STORE_JSON_BYTES_MAX;
    int r = fs_read(s->blobs, hex, out, e);
    if (r < 0)
        return r;
    struct digest is = sha256_of(buf_as_str(out));
    if (memcmp(&is, d, sizeof is) != 0)
        return err_set(e, ERR_INPUT, hex,
                       "this blob of the store is damaged: its bytes have another SHA-256; import the file again");
    return 0;
}

static void temp_name(char name[32]) {
    snprintf(name, 32, "%s%016llx", temp_prefix, (unsigned long long)random_u64());
}

/* Syncs the temporary file behind fd and gives it its name. */
static int commit_blob(struct store *s, int fd, const char *temp, const struct digest *d, struct err *e) {
    char hex[65];
    digest_hex(d, hex);
    int r = fs_fsync(fd, hex, e);
    if (r == 0)
        r = fs_rename(s->blobs, temp, hex, e);
    return r == 0 ? fs_sync_dir(s->blobs, e) : r;
}

static int write_blob(struct store *s, struct str bytes, struct descriptor *out, struct err *e) {
    char temp[32];
    temp_name(temp);
    int fd = fs_open(s->blobs, temp, O_WRONLY | O_CREAT | O_EXCL, 0600, e);
    if (fd < 0)
        return fd;
    out->digest = sha256_of(bytes);
    out->bytes = bytes.n;
    int r = fs_write_all(fd, bytes.p, bytes.n, temp, e);
    if (r == 0)
        r = commit_blob(s, fd, temp, &out->digest, e);
    if (r < 0)
        unlinkat(s->blobs, temp, 0);
    close(fd);
    return r;
}

/* Copies all of `from` to `to`, hashing. */
static int copy_hashed(int from, int to, const char *name, struct descriptor *out, struct err *e) {
    char *piece = malloc(COPY_BYTES);
    if (!piece)
        return err_set(e, ERR_MEMORY, name, "out of memory");
    struct sha256 *hash = sha256_new();
    int r = 0;
    out->bytes = 0;
    for (;;) {
        ssize_t n = pread(from, piece, COPY_BYTES, (off_t)out->bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            r = err_set(e, ERR_ENV, name, "cannot read: %s", strerror(errno));
        if (n <= 0)
            break;
        sha256_add(hash, piece, (size_t)n);
        r = fs_write_all(to, piece, (size_t)n, "the store (MOAT_HOME)", e);
        if (r < 0)
            break;
        out->bytes += (uint64_t)n;
    }
    out->digest = sha256_end(hash);
    free(piece);
    return r;
}

static int import_blob(struct store *s, int from, const char *name, struct descriptor *out, struct err *e) {
    char temp[32];
    temp_name(temp);
    int fd = fs_open(s->blobs, temp, O_WRONLY | O_CREAT | O_EXCL, 0600, e);
    if (fd < 0)
        return fd;
    int r = copy_hashed(from, fd, name, out, e);
    if (r == 0)
        r = commit_blob(s, fd, temp, &out->digest, e);
    if (r < 0)
        unlinkat(s->blobs, temp, 0);
    close(fd);
    return r;
}

/* ---- reading ---------------------------------------------------------------------------------------------------------- */

static int read_index(struct store *s, struct index *out, struct err *e) {
    *out = (struct index){0};
    if (s->dir < 0 || faccessat(s->dir, "index.json", F_OK, 0) < 0)
        return 0;
    struct buf text = {.max = STORE_JSON_BYTES_MAX};
    struct err why = {0};
    int r = fs_read(s->dir, "index.json", &text, e);
    if (r == 0 && store_index_parse(buf_as_str(&text), out, &why) < 0)
        r = err_set(e, why.code, why.where, "%s; without the file the store is empty, and models can be imported again", why.msg);
    buf_free(&text);
    return r;
}

static int read_entry(struct store *s, const struct index_row *row, struct store_entry *out, struct err *e) {
    struct buf text = {0};
    struct manifest m;
    *out = (struct store_entry){.release = row->manifest.digest};
    memcpy(out->ref, row->ref, sizeof out->ref);
    int r = read_blob(s, &row->manifest.digest, &text, e);
    if (r == 0)
        r = store_manifest_parse(buf_as_str(&text), &m, e);
    buf_free(&text);
    if (r < 0) {
        err_within(e, row->ref);
        return r;
    }
    out->weights = m.weights.digest;
    out->weights_bytes = m.weights.bytes;
    memcpy(out->file, m.file, sizeof out->file);
    return 0;
}

int store_list(struct store *s, struct store_entry **entries, size_t *n, struct err *e) {
    struct index index;
    *entries = NULL;
    *n = 0;
    int r = read_index(s, &index, e);
    if (r < 0 || index.n == 0)
        return r;
    struct store_entry *list = calloc(index.n, sizeof *list);
    if (!list)
        r = err_set(e, ERR_MEMORY, "", "out of memory");
    for (size_t i = 0; r == 0 && i < index.n; i++)
        r = read_entry(s, &index.rows[i], &list[i], e);
    if (r < 0) {
        free(list);
    } else {
        *entries = list;
        *n = index.n;
    }
    store_index_free(&index);
    return r;
}

/* The names of an index in a message's room: "a:1, b:2, ...". */
static const char *names_of(const struct index *index, char *text, size_t bytes) {
    size_t at = 0;
    text[0] = 0;
    for (size_t i = 0; i < index->n && at + 40 < bytes; i++)
        at += (size_t)snprintf(text + at, bytes - at, "%s%.30s", i ? ", " : "", index->rows[i].ref);
    return index->n ? text : "nothing; `moat import FILE NAME:TAG` brings a model in";
}

/* Does the row answer to `ref`: its whole name, its name with the manifest's digest, or (with `bare`) the name without tag? */
static bool row_matches(const struct index_row *row, const char *ref, bool bare) {
    const char *tag = strrchr(row->ref, ':');
    size_t name = (size_t)(tag - row->ref);
    const char *at = strchr(ref, '@');
    if (at) {
        struct digest d;
        return (size_t)(at - ref) == name && strncmp(ref, row->ref, name) == 0 && strncmp(at, "@sha256:", 8) == 0 &&
               digest_parse(str_of(at + 8), &d) && memcmp(&d, &row->manifest.digest, sizeof d) == 0;
    }
    if (bare)
        return strlen(ref) == name && strncmp(ref, row->ref, name) == 0;
    return strcmp(ref, row->ref) == 0;
}

/* The row that ref means, or an error that lists what there is. */
static int find_row(const struct index *index, const char *ref, size_t *at, struct err *e) {
    char latest[STORE_REF_MAX + 16], names[300];
    size_t n_bare = 0;
    snprintf(latest, sizeof latest, "%.*s:latest", STORE_REF_MAX, ref);
    for (size_t i = 0; i < index->n; i++)
        if (row_matches(&index->rows[i], ref, false) || row_matches(&index->rows[i], latest, false)) {
            *at = i;
            return 0;
        }
    for (size_t i = 0; i < index->n; i++)
        if (row_matches(&index->rows[i], ref, true)) {
            *at = i;
            n_bare++;
        }
    if (n_bare == 1)
        return 0;
    return err_set(e, ERR_INPUT, ref, "%s; the store holds %s",
                   n_bare ? "has several tags; name one" : "is no file and no name in the store",
                   names_of(index, names, sizeof names));
}

int store_find(struct store *s, const char *ref, struct store_entry *out, struct err *e) {
    struct index index;
    size_t at = 0;
    int r = read_index(s, &index, e);
    if (r < 0)
        return r;
    r = find_row(&index, ref, &at, e);
    if (r == 0)
        r = read_entry(s, &index.rows[at], out, e);
    store_index_free(&index);
    return r;
}

/* ---- writing ------------------------------------------------------------------------------------------------------------ */

/* What an import that was killed left behind. Called under the lock. */
static void remove_stale(struct store *s) {
    int fd = openat(s->blobs, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *d; dir && (d = readdir(dir));)
        if (strncmp(d->d_name, temp_prefix, sizeof temp_prefix - 1) == 0)
            unlinkat(s->blobs, d->d_name, 0);
    if (dir)
        closedir(dir);
    else if (fd >= 0)
        close(fd);
}

static int write_index(struct store *s, const struct index *index, struct err *e) {
    struct buf text = {0};
    store_index_write(&text, index);
    int r = text.failed ? err_set(e, ERR_MEMORY, "index.json", "out of memory")
                        : fs_write_whole(s->dir, "index.json", buf_as_str(&text), e);
    buf_free(&text);
    return r;
}

/* Config, release layer and manifest for weights that are already there. */
static int write_release(struct store *s, const struct store_facts *facts, const struct descriptor *weights,
                         struct descriptor *manifest, struct err *e) {
    struct manifest m = {.weights = *weights};
    snprintf(m.file, sizeof m.file, "%s", facts->file);
    struct buf config = {0}, release = {0}, text = {0};
    store_config_write(&config, facts, &weights->digest);
    store_release_write(&release);
    int r = config.failed || release.failed ? err_set(e, ERR_MEMORY, "", "out of memory")
                                            : write_blob(s, buf_as_str(&config), &m.config, e);
    if (r == 0)
        r = write_blob(s, buf_as_str(&release), &m.release, e);
    if (r == 0) {
        store_manifest_write(&text, &m);
        r = text.failed ? err_set(e, ERR_MEMORY, "", "out of memory") : write_blob(s, buf_as_str(&text), manifest, e);
    }
    buf_free(&config);
    buf_free(&release);
    buf_free(&text);
    return r;
}

static int import_locked(struct store *s, int fd, const struct store_facts *facts, const char *ref, struct store_entry *out,
                         struct err *e) {
    struct descriptor weights = {0};
    struct index index = {0};
    struct index_row row = {0};
    remove_stale(s);
    memcpy(row.ref, ref, STORE_REF_MAX + 1);
    int r = read_index(s, &index, e);
    if (r == 0)
        r = import_blob(s, fd, facts->file, &weights, e);
    if (r == 0)
        r = write_release(s, facts, &weights, &row.manifest, e);
    if (r == 0)
        r = store_index_set(&index, &row, e);
    if (r == 0)
        r = write_index(s, &index, e);
    if (r == 0)
        r = read_entry(s, &row, out, e);
    store_index_free(&index);
    return r;
}

int store_import(struct store *s, int fd, const struct store_facts *facts, const char *name, struct store_entry *out,
                 struct err *e) {
    char ref[STORE_REF_MAX + 1];
    int r = store_ref_parse(name, ref, e);
    if (r < 0)
        return r;
    int lock = lock_store(s, e);
    if (lock < 0)
        return lock;
    r = import_locked(s, fd, facts, ref, out, e);
    close(lock);
    return r;
}

/* Does any manifest of the index name blob `hex`? A manifest that cannot be read keeps everything. */
static int blob_needed(struct store *s, const struct index *index, const struct digest *d, bool *needed, struct err *e) {
    *needed = false;
    for (size_t i = 0; i < index->n && !*needed; i++) {
        struct buf text = {0};
        struct manifest m;
        *needed = memcmp(d, &index->rows[i].manifest.digest, sizeof *d) == 0;
        int r = *needed ? 0 : read_blob(s, &index->rows[i].manifest.digest, &text, e);
        if (r == 0 && !*needed)
            r = store_manifest_parse(buf_as_str(&text), &m, e);
        if (r == 0 && !*needed)
            *needed = memcmp(d, &m.weights.digest, sizeof *d) == 0 || memcmp(d, &m.config.digest, sizeof *d) == 0 ||
                      memcmp(d, &m.release.digest, sizeof *d) == 0;
        buf_free(&text);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Unlinks every blob that the index does not need. */
static int collect_garbage(struct store *s, const struct index *index, uint64_t *freed, struct err *e) {
    int fd = fs_open(s->blobs, ".", O_RDONLY | O_DIRECTORY, 0, e);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return err_set(e, ERR_ENV, "blobs/sha256", "cannot list: %s", strerror(errno));
    int r = 0;
    for (struct dirent *entry; r == 0 && (entry = readdir(dir));) {
        struct digest d;
        struct stat is;
        bool needed;
        if (!digest_parse(str_of(entry->d_name), &d) || fstatat(s->blobs, entry->d_name, &is, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        r = blob_needed(s, index, &d, &needed, e);
        if (r == 0 && !needed && (r = fs_unlink(s->blobs, entry->d_name, e)) == 0)
            *freed += (uint64_t)is.st_size;
    }
    closedir(dir);
    return r;
}

/* On a full disk packed weights make room: the next start packs them again. */
static int write_index_making_room(struct store *s, const struct index *index, uint64_t *freed, struct err *e) {
    struct err first = {0};
    if (write_index(s, index, &first) == 0)
        return 0;
    uint64_t room = store_packed_drop(s->dir, true);
    *freed += room;
    return room ? write_index(s, index, e) : err_set(e, first.code, first.where, "%s", first.msg);
}

static int remove_locked(struct store *s, const char *ref, uint64_t *freed, struct err *e) {
    struct index index;
    size_t at = 0;
    int r = read_index(s, &index, e);
    if (r < 0)
        return r;
    r = find_row(&index, ref, &at, e);
    if (r == 0) {
        index.n--;
        memmove(&index.rows[at], &index.rows[at + 1], (index.n - at) * sizeof index.rows[0]);
        r = write_index_making_room(s, &index, freed, e);
    }
    if (r == 0)
        r = collect_garbage(s, &index, freed, e);
    if (r == 0)
        *freed += store_packed_drop(s->dir, false);
    store_index_free(&index);
    return r;
}

int store_remove(struct store *s, const char *ref, uint64_t *freed, struct err *e) {
    *freed = 0;
    if (s->blobs < 0)
        return err_set(e, ERR_INPUT, ref, "is not in the store, which is empty");
    int lock = lock_store(s, e);
    if (lock < 0)
        return lock;
    int r = remove_locked(s, ref, freed, e);
    close(lock);
    return r;
}
