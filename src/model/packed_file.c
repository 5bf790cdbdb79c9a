/* packed_file: the packed weights of a model in a file: one start makes it, later ones read it.
 *
 *     offset   bytes    what
 *     0        8        "moatpack"
 *     8        4        1: the version of this table
 *     12       4        KERN_PACKED_VERSION
 *     16       8        bytes of data
 *     24       32       source: what the model file is known by
 *     56       32       SHA-256 of the model file
 *     88       32       SHA-256 of the matrices (type, n, k and place of each) and of what is read of the model file beside them
 *     120      32       SHA-256 of the digests of the chunks
 *     152      32       SHA-256 of the 152 bytes before
 *     4096     32 each  SHA-256 of each chunk of 2 MiB of the data; zeros up to a multiple of 4096
 *     then     ...      the data, as it lies in memory
 *
 * The file is as hostile as any. Its bytes are copied first and hashed then, so that nobody changes them in between; no length of
 * its own decides anything. What does not fit in any way is made anew: whoever reads a file while it is written finds that it does
 * not fit, and all who write it write the same bytes. The head comes last, so a file whose making was cut short is none. Nothing
 * is synced to disk: bytes that a power cut loses are missed by the digests.
 *
 * Copied, not mapped: in pages of 2 MiB products run faster, and a mapped file that shrinks would end the process. */
#include "pass.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum { CHUNK_BYTES = 2 << 20, ALIGN = 4096, LOOP_MAX = 60000, VERSION = 1 };

struct head {
    char magic[8];
    uint32_t version, packer;
    uint64_t data_bytes;
    struct digest source, weights, matrices, chunks;
    struct digest self; /* of what is before it */
};
_Static_assert(sizeof(struct head) == 184, "the table above");
#define NAME "packed weights"
static const char magic[8] = {'m', 'o', 'a', 't', 'p', 'a', 'c', 'k'};

static bool same(const struct digest *a, const struct digest *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

static struct digest digest_of(const void *p, size_t n) {
    return sha256_of((struct str){p, n});
}

static struct digest digest_of_head(const struct head *h) {
    return digest_of(h, offsetof(struct head, self));
}

static bool read_head(int fd, const struct digest *source, struct head *h) {
    if (fs_read_at(fd, h, sizeof *h, 0) < 0)
        return false;
    struct digest self = digest_of_head(h);
    return memcmp(h->magic, magic, sizeof magic) == 0 && h->version == VERSION && same(&h->self, &self) &&
           same(&h->source, source);
}

bool packed_file_weights(int fd, const struct digest *source, struct digest *out) {
    static const struct digest none;
    struct head h;
    bool ok = fd >= 0 && read_head(fd, source, &h) && !same(&h.weights, &none);
    if (ok)
        *out = h.weights;
    return ok;
}

/* ---- chunks ------------------------------------------------------------------------------------------------------------- */

struct chunks {
    int fd;
    uint8_t *data;
    uint64_t bytes, data_at; /* data_at: in the file */
    struct digest *digests;  /* [n] */
    uint32_t n, first;       /* first: of this loop */
    bool write;
    _Atomic bool bad;
    struct err err; /* of one that could not be written: the caller looks when all are over */
};

/* False: no memory for the table. */
static bool chunks_new(const struct packed_file *f, uint8_t *data, uint64_t bytes, struct chunks *c) {
    *c = (struct chunks){.fd = f->fd, .data = data, .bytes = bytes, .n = (uint32_t)((bytes + CHUNK_BYTES - 1) / CHUNK_BYTES)};
    uint64_t table = ((uint64_t)c->n * sizeof *c->digests + ALIGN - 1) / ALIGN * ALIGN;
    c->data_at = ALIGN + table;
    c->digests = calloc(1, table);
    return c->digests;
}

static void chunk_item(void *ctx, uint32_t item, unsigned thread) {
    struct chunks *c = ctx;
    uint32_t i = c->first + item;
    uint64_t at = (uint64_t)i * CHUNK_BYTES;
    size_t n = c->bytes - at < CHUNK_BYTES ? (size_t)(c->bytes - at) : CHUNK_BYTES;
    (void)thread;
    if (atomic_load(&c->bad))
        return;
    struct err e = {0};
    bool ok = c->write ? fs_write_at(c->fd, c->data + at, n, c->data_at + at, NAME, &e) == 0
                       : fs_read_at(c->fd, c->data + at, n, c->data_at + at) == 0;
    struct digest d = digest_of(c->data + at, n);
    if (c->write)
        c->digests[i] = d;
    if ((!ok || !same(&d, &c->digests[i])) && !atomic_exchange(&c->bad, true))
        c->err = e;
}

static bool chunks_run(struct chunks *c, struct pool *pool) {
    for (c->first = 0; c->first < c->n; c->first += LOOP_MAX)
        pool_for(pool, c->n - c->first < LOOP_MAX ? c->n - c->first : LOOP_MAX, chunk_item, c);
    return !c->bad;
}

static struct digest digest_of_table(const struct chunks *c) {
    return digest_of(c->digests, c->data_at - ALIGN);
}

/* ---- reading and making ------------------------------------------------------------------------------------------------- */

static bool read_file(const struct packed_file *f, struct pool *pool, const struct digest *matrices, struct chunks *c) {
    struct head h;
    if (!read_head(f->fd, &f->source, &h) || h.packer != KERN_PACKED_VERSION || h.data_bytes != c->bytes ||
        !same(&h.matrices, matrices) || fs_read_at(f->fd, c->digests, c->data_at - ALIGN, ALIGN) < 0)
        return false;
    struct digest table = digest_of_table(c);
    if (!same(&h.chunks, &table))
        return false;
    bool ok = chunks_run(c, pool);
    if (!ok)
        memset(c->data, 0, c->bytes); /* packing leaves what is between matrices as it is */
    return ok;
}

bool packed_file_read(const struct packed_file *f, struct pool *pool, const struct digest *matrices, uint8_t *to,
                      uint64_t bytes) {
    struct stat is;
    struct chunks c;
    if (f->fd < 0 || fstat(f->fd, &is) < 0 || !S_ISREG(is.st_mode) || is.st_size == 0 || !chunks_new(f, to, bytes, &c))
        return false;
    bool ok = read_file(f, pool, matrices, &c);
    free(c.digests);
    if (!ok)
        log_line(LOG_WARN,
                 "the packed weights of an earlier start do not fit this program and model, or are damaged: packing anew");
    return ok;
}

/* As much as is needed must be free twice: a cache does not fill a disk. */
static bool has_room(int fd, uint64_t bytes) {
    struct statvfs s;
    return fstatvfs(fd, &s) < 0 || s.f_blocks == 0 /* no limit */ || (uint64_t)s.f_bavail * s.f_frsize / 2 > bytes;
}

static int write_file(const struct packed_file *f, struct pool *pool, const struct digest *matrices, struct chunks *c) {
    static const uint8_t none[ALIGN];
    struct err *e = &c->err;
    struct head h = {.version = VERSION,
                     .packer = KERN_PACKED_VERSION,
                     .data_bytes = c->bytes,
                     .source = f->source,
                     .weights = f->weights ? *f->weights : (struct digest){{0}},
                     .matrices = *matrices};
    memcpy(h.magic, magic, sizeof magic);
    if (fs_truncate(f->fd, 0, NAME, e) < 0 || fs_write_at(f->fd, none, sizeof none, 0, NAME, e) < 0 || !chunks_run(c, pool) ||
        fs_write_at(f->fd, c->digests, c->data_at - ALIGN, ALIGN, NAME, e) < 0)
        return ERR_ENV;
    h.chunks = digest_of_table(c);
    h.self = digest_of_head(&h);
    return fs_write_at(f->fd, &h, sizeof h, 0, NAME, e);
}

void packed_file_write(const struct packed_file *f, struct pool *pool, const struct digest *matrices, const uint8_t *data,
                       uint64_t bytes) {
    struct chunks c;
    int flags = f->fd < 0 ? -1 : fcntl(f->fd, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) != O_RDWR || flock(f->fd, LOCK_EX | LOCK_NB) < 0) /* or another start is at it */
        return;
    if (!has_room(f->fd, bytes)) {
        log_line(LOG_WARN, NAME " are not kept for later starts: the store's disk has less than twice their size left");
    } else if (chunks_new(f, (uint8_t *)(uintptr_t)data, bytes, &c)) {
        c.write = true;
        if (write_file(f, pool, matrices, &c) < 0) {
            log_line(LOG_WARN, NAME " are not kept for later starts: %s", c.err.msg);
            (void)!fs_truncate(f->fd, 0, NAME, NULL);
        }
        free(c.digests);
    }
    flock(f->fd, LOCK_UN);
}
