/* base: what C lacks. Errors, borrowed strings, growing buffers, capped arenas, JSON with limits, digests, files that are
 * written whole or not at all, a thread pool, and the table of tensor types.
 *
 *     struct err e = {0};
 *     struct buf text = {.max = 1 << 20};
 *     if (fs_read(AT_FDCWD, "policy.yaml", &text, &e) < 0) return cmd_fail(&e);
 *
 * Every other folder includes this header and nothing else of base. All-zero is a valid empty value of every struct here. */
#pragma once

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <yyjson.h>

#define MOAT_VERSION "0.1.0-dev"
#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define N_ITEMS(a) (sizeof(a) / sizeof *(a))

/* ---- err: what went wrong, where, and what to do ------------------------------------------------------------- */

/* A function that can fail returns 0 (or a count) or one of these, and takes `struct err *e` last. */
enum {
    ERR_ENV = -1,     /* the environment: disk, network, port, permissions; exit 1 */
    ERR_USAGE = -2,   /* the command line or a request field; exit 2, HTTP 400 */
    ERR_INPUT = -3,   /* a model, template or request file is bad; exit 3 */
    ERR_DIFFERS = -4, /* it ran, and the result is not the expected one; exit 4 */
    ERR_LIMIT = -5,   /* a documented limit was reached; exit 3, HTTP 400 or 413 */
    ERR_MEMORY = -6,  /* out of memory or of an arena's cap; exit 1 */
    ERR_STOPPED = -7, /* cancelled or interrupted; exit 130 */
};

struct err {
    int code;       /* 0 or ERR_* */
    char where[96]; /* the thing at fault: a file, a field, a tensor; may be empty */
    char msg[400];  /* why, and what to do: "is 7 bytes long; a GGUF file begins with a 24-byte header" */
};

/* Fills *e and returns `code`. The first error stays: a later call on a filled *e changes nothing. e may be NULL. Control
 * characters and broken UTF-8 that come in through arguments are replaced, so a message is always one printable line. */
int err_set(struct err *e, int code, const char *where, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* Puts "prefix: " before e->where, for a caller who knows the context (a file name before a field). */
void err_within(struct err *e, const char *prefix);

/* Says that the program itself is wrong, and aborts: asserts stay on in every build outside kern's inner loops. */
#define ASSERT(cond) ((cond) ? (void)0 : assert_failed(#cond, __FILE__, __LINE__))
_Noreturn void assert_failed(const char *cond, const char *file, int line);

/* ---- str, buf: borrowed and owned bytes ---------------------------------------------------------------------- */

struct str {
    const char *p; /* not NUL-terminated */
    size_t n;
};
#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
struct str str_of(const char *z); /* NULL gives the empty string */
/* Behind its last byte; of the empty string, which may have no address to add to, p itself. */
static inline const char *str_end(struct str s) {
    return s.n ? s.p + s.n : s.p;
}
bool str_eq(struct str a, struct str b);
bool str_is(struct str a, const char *z);
bool str_starts(struct str s, struct str prefix);

/* Bytes that grow. `max` (0: 1 GiB) caps the length: beyond it, and when memory runs out, `failed` is set, nothing more is
 * added, and the bytes so far stay. So writers need no check at each call; who hands the bytes on looks at `failed` once. */
struct buf {
    char *p;
    size_t n, cap, max;
    bool failed;
};
void buf_add(struct buf *b, const void *p, size_t n);
void buf_str(struct buf *b, struct str s);
void buf_z(struct buf *b, const char *z);
void buf_byte(struct buf *b, char c);
void buf_fmt(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Appends s as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void buf_json(struct buf *b, struct str s);
/* Makes room for n more bytes and returns where they go (the caller then adds to b->n), or NULL. */
void *buf_room(struct buf *b, size_t n);
struct str buf_as_str(const struct buf *b); /* borrowed, valid until the next change */
void buf_free(struct buf *b);               /* leaves an empty buf with the same max */

/* ---- utf8 ---------------------------------------------------------------------------------------------------- */

/* Decodes one code point at p < end and returns its length 1..4, or 0 where the bytes are not well-formed UTF-8 (overlong,
 * surrogate, above U+10FFFF, cut short). */
unsigned utf8_decode(const char *p, const char *end, uint32_t *cp);
unsigned utf8_encode(uint32_t cp, char out[4]); /* 1..4; cp must be a Unicode scalar value */
bool utf8_valid(struct str s);
/* Length of the longest prefix of s that does not end in the middle of a character that more bytes could complete. */
size_t utf8_complete(struct str s);

/* ---- arena: memory with one lifetime, freed whole -------------------------------------------------------------- */

struct arena {
    struct arena_block *blocks;
    size_t used, max; /* bytes handed out; cap (0: 1 GiB) */
};
/* Zeroed memory, aligned to 16, or NULL beyond the cap (doors bound their input, so that is ERR_MEMORY or a fault). */
void *arena_alloc(struct arena *a, size_t bytes) MUST_USE;
void *arena_array(struct arena *a, size_t n, size_t item_bytes) MUST_USE; /* checks n * item_bytes */
struct str arena_str(struct arena *a, struct str s);                      /* a copy, with a NUL after it; p NULL on failure */
void arena_free(struct arena *a);                                         /* all of it; the arena can be used again */

/* ---- json ---------------------------------------------------------------------------------------------------- */

/* Parses text with depth <= depth_max (INTERFACES: 64), no duplicate keys, valid UTF-8, nothing after the value. On success
 * *doc is owned by the caller (yyjson_doc_free). Numbers that do not fit 64 bits are kept as raw text. */
int json_read(struct str text, unsigned depth_max, yyjson_doc **doc, struct err *e) MUST_USE;
/* Appends v as compact JSON with the keys of every object in byte order and numbers in their shortest form: equal values give
 * equal bytes. The form that digests and fingerprints are taken of. */
void json_canonical(struct buf *b, yyjson_val *v);

/* ---- sha256 -------------------------------------------------------------------------------------------------- */

struct digest {
    uint8_t bytes[32];
};
struct sha256; /* opaque, streaming */
struct sha256 *sha256_new(void);
void sha256_add(struct sha256 *h, const void *p, size_t n);
struct digest sha256_end(struct sha256 *h); /* frees h */
struct digest sha256_of(struct str s);
void digest_hex(const struct digest *d, char hex[65]);
bool digest_parse(struct str hex, struct digest *d); /* exactly 64 lower-case hex digits */

/* ---- random, clock, log ---------------------------------------------------------------------------------------- */

uint64_t random_u64(void);  /* from the kernel; only seeds and ids are made of it, never a result */
uint64_t clock_ns(void);    /* monotonic */
int64_t clock_wall_s(void); /* Unix time */

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
extern enum log_level log_level; /* set once by main */
/* One line on stderr: "moat: LEVEL: text". Never prompts, never secrets. */
void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* ---- fs: the only file-system calls that state depends on --------------------------------------------------------- */

/* Faults are injected here by tests: see tests/fault. Paths are relative to dir_fd (AT_FDCWD for the working directory). */
int fs_read(int dir_fd, const char *path, struct buf *out, struct err *e) MUST_USE; /* whole file, at most out->max bytes */
/* Writes path so that a reader, or a machine that lost power, sees the old bytes or all the new ones: temporary file in the
 * same folder, fsync, rename, fsync of the folder. */
int fs_write_whole(int dir_fd, const char *path, struct str bytes, struct err *e) MUST_USE;
int fs_mkdirs(const char *path, struct err *e) MUST_USE; /* mode 0700 for what is new */
int fs_sync_dir(int dir_fd, struct err *e) MUST_USE;
int fs_open(int dir_fd, const char *path, int flags, int mode, struct err *e) MUST_USE; /* a descriptor (O_CLOEXEC) or ERR_ENV */
int fs_write_all(int fd, const void *p, size_t n, const char *path, struct err *e) MUST_USE;
/* All n bytes at an offset, or ERR_ENV: also where the file ends before. */
int fs_read_at(int fd, void *p, size_t n, uint64_t at) MUST_USE;
int fs_write_at(int fd, const void *p, size_t n, uint64_t at, const char *path, struct err *e) MUST_USE;
int fs_truncate(int fd, uint64_t bytes, const char *path, struct err *e) MUST_USE;
int fs_fsync(int fd, const char *path, struct err *e) MUST_USE;
int fs_rename(int dir_fd, const char *from, const char *to, struct err *e) MUST_USE;
int fs_link(int dir_fd, const char *from, const char *to, struct err *e) MUST_USE; /* ok also when `to` exists already */
int fs_unlink(int dir_fd, const char *path, struct err *e) MUST_USE;               /* ok also when it is gone */
/* Maps a whole regular file read-only. The bytes stay valid until fs_unmap, also when the descriptor is closed. */
int fs_map(int fd, const char *path, struct str *out, struct err *e) MUST_USE;
void fs_unmap(struct str map);
/* Reading what is no longer there of a map, since somebody made the file shorter, raises SIGBUS. fs_map_guarded is for its handler: the
 * line that says so when `at` lies in the map that fs_map_guard was told of last (an empty one: none), or else NULL. */
void fs_map_guard(struct str map, const char *path);
const char *fs_map_guarded(const void *at);
/* Takes the pages of a part of a map out of this process's memory; who reads them gets them back from the page cache. */
void fs_map_forget(struct str part);
struct digest fs_map_sha256(struct str map); /* of all its bytes; it forgets them as it goes */

/* ---- pool: compute threads --------------------------------------------------------------------------------------- */

/* A fixed set of threads that work off lists of loops, sharing out the items of one loop at a time. The caller of pool_run is one of
 * them: a pool of 1 has no thread of its own. Each thread has a share of the items, items [pool_share(n, t, T), pool_share(n, t + 1, T))
 * for thread t of T, and whoever has done his takes over what others have not begun. A loop is over when all items are done, not when
 * all threads have arrived, and whoever finishes its last item begins the next: a thread that the kernel took off its
 * core delays at most its own item, and not even that where it may be run again. Waiting spins briefly, then sleeps. Only one thread
 * may call, and not from within an item. */
enum { POOL_THREADS_MAX = 256, POOL_ITEMS_MAX = 0xffff, POOL_KEPT_MAX = 0x7fff, POOL_STACK = 4 << 20 };
struct pool;
struct pool *pool_new(unsigned n_threads); /* 1..256; NULL when threads cannot be made */
unsigned pool_threads(const struct pool *p);
/* Where the i-th of `of` equal parts of n begins. */
static inline uint32_t pool_share(uint32_t n, uint32_t i, uint32_t of) {
    return (uint32_t)((uint64_t)n * i / of);
}
/* run(ctx, item, thread) for item 0..n-1, thread < pool_threads: for scratch memory. What an item wrote is visible to the caller and
 * to the items of later loops. n at most POOL_ITEMS_MAX.
 *
 * With keep, an item may be run by several threads: run leaves its results in memory of `thread`, and keep, which one of them
 * calls, puts them where others look, briefly. A thread that was late goes on running an item of a loop that is over, as far as in
 * the next run of loops: whatever run reads then may be anything, but must be there, and give results, which nobody keeps. n at most
 * POOL_KEPT_MAX. */
struct pool_loop {
    void (*run)(void *ctx, uint32_t item, unsigned thread);
    void (*keep)(void *ctx, uint32_t item, unsigned thread); /* or NULL */
    void *ctx;
    uint32_t n;
};
/* Runs the loops one after another. They, and what their ctx point to, stay as they are until the next pool_run or pool_settle has
 * returned. */
void pool_run(struct pool *p, const struct pool_loop *loops, uint32_t n);
/* One loop, and nothing of it is looked at any more. */
void pool_for(struct pool *p, uint32_t n, void (*run)(void *ctx, uint32_t item, unsigned thread), void *ctx);
void pool_settle(struct pool *p); /* waits for threads that are late: from here on none is within any item */
void pool_free(struct pool *p);
/* Where the pool's threads run. On a machine of several nodes each is bound to one, the caller of pool_new too until pool_free. */
const struct cpu_map *pool_cpus(const struct pool *p);

/* ---- cpus, nodes: what this process may use of the machine ---------------------------------------------------------- */

/* Cores that this process may use, at least 1: affinity mask and cgroup quota; CPUs that share a core count once. */
unsigned cpus_usable(void);
/* Whole CPUs of the tightest quota of these cgroups and those around them, 0: no quota. sys: "/sys/fs/cgroup"; groups: what
 * /proc/self/cgroup says. */
unsigned cpus_of_cgroups(const char *sys, const char *groups);
/* Bytes of memory that this process may use: the machine's, or the tightest limit of its cgroups. */
uint64_t memory_usable(void);
uint64_t memory_of_cgroups(const char *sys, const char *groups); /* 0: no limit */

/* The nodes (CPUs with memory of their own) that hold an allowed CPU; a machine that tells of none has one. */
enum { NODES_MAX = 64 };
struct cpu_node {
    unsigned id, n_cores; /* the kernel's number; physical cores with an allowed CPU */
    cpu_set_t cpus;       /* the allowed ones */
};
struct cpu_map {
    unsigned n_nodes, n_cores;
    struct cpu_node nodes[NODES_MAX];
};
/* sys: "/sys/devices/system" */
void cpus_map(const char *sys, const cpu_set_t *allowed, struct cpu_map *out);
/* The node (an index into map->nodes) of thread t of n: consecutive threads, as many in a node as it has part in all cores. */
unsigned cpus_node(const struct cpu_map *map, unsigned thread, unsigned n_threads);
/* Untouched pages come from this node, or in turn from all, as far as they have some; nothing on a machine of one node. */
void cpus_memory_near(const struct cpu_map *map, unsigned node, void *p, size_t n);
void cpus_memory_spread(const struct cpu_map *map, void *p, size_t n);

/* ---- mbox: messages between threads ------------------------------------------------------------------------------- */

/* A queue of pointers, unbounded by itself (doors bound what goes in), any thread puts, one thread takes. Its descriptor
 * (an eventfd) is readable while something is in it, for an event loop or poll. */
struct mbox;
struct mbox *mbox_new(void);
int mbox_fd(const struct mbox *m);
int mbox_put(struct mbox *m, void *message) MUST_USE; /* 0 or ERR_MEMORY */
void *mbox_take(struct mbox *m);                      /* NULL when empty, never blocks */
void *mbox_wait(struct mbox *m);                      /* blocks until there is one */
void mbox_free(struct mbox *m);                       /* messages still inside are the caller's: take them first */

/* ---- dtype: tensor types ------------------------------------------------------------------------------------------ */

/* Numbers are GGUF's (the ggml type enum). Adding a format starts with a row in dtype.c. */
enum dtype {
    DTYPE_F32 = 0,
    DTYPE_F16 = 1,
    DTYPE_Q4_0 = 2,
    DTYPE_Q4_1 = 3,
    DTYPE_Q5_0 = 6,
    DTYPE_Q5_1 = 7,
    DTYPE_Q8_0 = 8,
    DTYPE_Q8_1 = 9,
    DTYPE_Q2_K = 10,
    DTYPE_Q3_K = 11,
    DTYPE_Q4_K = 12,
    DTYPE_Q5_K = 13,
    DTYPE_Q6_K = 14,
    DTYPE_Q8_K = 15,
    DTYPE_IQ2_XXS = 16,
    DTYPE_IQ2_XS = 17,
    DTYPE_IQ3_XXS = 18,
    DTYPE_IQ1_S = 19,
    DTYPE_IQ4_NL = 20,
    DTYPE_IQ3_S = 21,
    DTYPE_IQ2_S = 22,
    DTYPE_IQ4_XS = 23,
    DTYPE_I8 = 24,
    DTYPE_I16 = 25,
    DTYPE_I32 = 26,
    DTYPE_I64 = 27,
    DTYPE_F64 = 28,
    DTYPE_IQ1_M = 29,
    DTYPE_BF16 = 30,
    DTYPE_TQ1_0 = 34,
    DTYPE_TQ2_0 = 35,
    DTYPE_MXFP4 = 39,
    DTYPE_NVFP4 = 40,
    DTYPE_Q1_0 = 41,
    DTYPE_Q2_0 = 42,
};
struct dtype_info {
    const char *name;      /* "Q4_K"; NULL: no such type */
    uint16_t block_values; /* values in a block */
    uint16_t block_bytes;  /* bytes of a block */
};
const struct dtype_info *dtype_info(uint32_t type); /* NULL for an unknown number */
/* Bytes of n_values (a multiple of block_values), or 0 where that overflows, is no whole number of blocks, or type is unknown. */
uint64_t dtype_bytes(uint32_t type, uint64_t n_values);
