/* fs: the file-system calls that state depends on, in one place, so that tests can make the n-th of them fail. */
#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What to do about it, where that can be said. */
static const char *remedy(int error) {
    switch (error) {
    case ENOENT: return "; check the path";
    case EACCES:
    case EPERM: return "; check its owner and mode";
    case ENOSPC:
    case EDQUOT: return "; free some space";
    case EROFS: return "; choose a folder on a disk that can be written to";
    case EMFILE: return "; raise the limit of open files (ulimit -n)";
    default: return "";
    }
}

static int env_error(struct err *e, const char *path, const char *what) {
    return err_set(e, ERR_ENV, path, "cannot %s: %s%s", what, strerror(errno), remedy(errno));
}

int fs_open(int dir_fd, const char *path, int flags, int mode, struct err *e) {
    int fd = openat(dir_fd, path, flags | O_CLOEXEC, (mode_t)mode);
    return fd < 0 ? env_error(e, path, flags & O_CREAT ? "create" : "open") : fd;
}

int fs_read(int dir_fd, const char *path, struct buf *out, struct err *e) {
    int fd = fs_open(dir_fd, path, O_RDONLY, 0, e);
    if (fd < 0)
        return fd;
    int r = 0;
    for (;;) {
        char piece[16384];
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            r = env_error(e, path, "read");
        if (n <= 0)
            break;
        buf_add(out, piece, (size_t)n);
        if (out->failed) {
            r = err_set(e, ERR_LIMIT, path, "is larger than the %zu bytes allowed", out->max);
            break;
        }
    }
    close(fd);
    return r;
}

int fs_write_all(int fd, const void *p, size_t n, const char *path, struct err *e) {
    const char *at = p;
    while (n > 0) {
        ssize_t wrote = write(fd, at, n);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return env_error(e, path, "write");
        at += wrote;
        n -= (size_t)wrote;
    }
    return 0;
}

int fs_read_at(int fd, void *p, size_t n, uint64_t at) {
    for (char *to = p; n > 0;) {
        ssize_t got = pread(fd, to, n, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return ERR_ENV;
        to += got, at += (uint64_t)got, n -= (size_t)got;
    }
    return 0;
}

int fs_write_at(int fd, const void *p, size_t n, uint64_t at, const char *path, struct err *e) {
    for (const char *from = p; n > 0;) {
        ssize_t wrote = pwrite(fd, from, n, (off_t)at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return env_error(e, path, "write");
        from += wrote, at += (uint64_t)wrote, n -= (size_t)wrote;
    }
    return 0;
}

int fs_truncate(int fd, uint64_t bytes, const char *path, struct err *e) {
    return ftruncate(fd, (off_t)bytes) < 0 ? env_error(e, path, "cut") : 0;
}

int fs_fsync(int fd, const char *path, struct err *e) {
    return fsync(fd) < 0 ? env_error(e, path, "sync to disk") : 0;
}

int fs_rename(int dir_fd, const char *from, const char *to, struct err *e) {
    return renameat(dir_fd, from, dir_fd, to) < 0 ? env_error(e, to, "put in place") : 0;
}

int fs_link(int dir_fd, const char *from, const char *to, struct err *e) {
    return linkat(dir_fd, from, dir_fd, to, 0) < 0 && errno != EEXIST ? env_error(e, to, "link") : 0;
}

int fs_unlink(int dir_fd, const char *path, struct err *e) {
    return unlinkat(dir_fd, path, 0) < 0 && errno != ENOENT ? env_error(e, path, "remove") : 0;
}

int fs_sync_dir(int dir_fd, struct err *e) {
    int fd = fs_open(dir_fd, ".", O_RDONLY | O_DIRECTORY, 0, e);
    if (fd < 0)
        return fd;
    int r = fs_fsync(fd, "folder", e);
    close(fd);
    return r;
}

/* The folder part of path ("." when it has none) into dir. */
static int folder_of(const char *path, char *dir, size_t dir_bytes) {
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (n >= dir_bytes)
        return ERR_ENV;
    snprintf(dir, dir_bytes, "%.*s", (int)n, path);
    if (n == 0)
        snprintf(dir, dir_bytes, "%s", slash ? "/" : ".");
    return 0;
}

int fs_write_whole(int dir_fd, const char *path, struct str bytes, struct err *e) {
    char dir[4096], temp[4096];
    int len = snprintf(temp, sizeof temp, "%s.%016llx.tmp", path, (unsigned long long)random_u64());
    if (len < 0 || (size_t)len >= sizeof temp || folder_of(path, dir, sizeof dir) < 0)
        return err_set(e, ERR_ENV, path, "the path is too long");
    int r, fd = fs_open(dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL, 0600, e);
    if (fd < 0)
        return fd;
    r = fs_write_all(fd, bytes.p, bytes.n, path, e);
    if (r == 0)
        r = fs_fsync(fd, path, e);
    close(fd);
    if (r == 0)
        r = fs_rename(dir_fd, temp, path, e);
    if (r < 0) {
        unlinkat(dir_fd, temp, 0);
        return r;
    }
    int folder = fs_open(dir_fd, dir, O_RDONLY | O_DIRECTORY, 0, e);
    if (folder < 0)
        return folder;
    r = fs_fsync(folder, dir, e);
    close(folder);
    return r;
}

int fs_mkdirs(const char *path, struct err *e) {
    char part[4096];
    if (strlen(path) >= sizeof part)
        return err_set(e, ERR_ENV, path, "the path is too long");
    memcpy(part, path, strlen(path) + 1);
    for (char *p = part + 1;; p++) {
        if (*p != '/' && *p != 0)
            continue;
        char was = *p;
        *p = 0;
        if (mkdir(part, 0700) < 0 && errno != EEXIST)
            return env_error(e, part, "make the folder");
        if (was == 0)
            break;
        *p = was;
    }
    struct stat s;
    if (stat(path, &s) < 0 || !S_ISDIR(s.st_mode))
        return err_set(e, ERR_ENV, path, "is not a folder");
    return 0;
}

int fs_map(int fd, const char *path, struct str *out, struct err *e) {
    struct stat s;
    *out = (struct str){0};
    if (fstat(fd, &s) < 0)
        return env_error(e, path, "look at");
    if (!S_ISREG(s.st_mode))
        return err_set(e, ERR_ENV, path, "is not a regular file");
    if (s.st_size == 0)
        return 0;
    void *p = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return env_error(e, path, "map");
    *out = (struct str){p, (size_t)s.st_size};
    return 0;
}

void fs_unmap(struct str map) {
    if (map.n)
        munmap((void *)(uintptr_t)map.p, map.n);
}

void fs_map_forget(struct str part) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)part.p / page * page;
    (void)madvise((void *)from, (uintptr_t)part.p + part.n - from, MADV_DONTNEED); /* a matter of memory only */
}

/* ---- a mapped file that is cut short --------------------------------------------------------------------------------------- */

/* Read by a signal handler of the same process. */
static struct {
    uintptr_t from, end;
    char line[512];
} guard;

void fs_map_guard(struct str map, const char *path) {
    struct err e = {0};
    err_set(&e, ERR_ENV, path, "was cut short while it was read; write a new file beside it and rename that");
    guard.from = guard.end = 0;
    snprintf(guard.line, sizeof guard.line, "moat: error: %.90s: %.390s\n", e.where, e.msg);
    guard.from = (uintptr_t)map.p;
    guard.end = guard.from + map.n;
}

const char *fs_map_guarded(const void *at) {
    return (uintptr_t)at >= guard.from && (uintptr_t)at < guard.end ? guard.line : NULL;
}

struct digest fs_map_sha256(struct str map) {
    enum { PIECE_BYTES = 8 << 20 };
    struct sha256 *h = sha256_new();
    for (size_t at = 0; at < map.n; at += PIECE_BYTES) {
        struct str piece = {map.p + at, map.n - at < PIECE_BYTES ? map.n - at : PIECE_BYTES};
        sha256_add(h, piece.p, piece.n);
        fs_map_forget(piece);
    }
    return sha256_end(h);
}
