/* store_packed: packed weights beside the image layout: packed/sha256-HEX.vN of a blob, packed/file-HEX.vN of a model file outside the
 * store. They follow from what they were packed from, so they need no index, no sync and no lock. */
#include "store.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char file_prefix[] = "file-", blob_prefix[] = "sha256-";

/* Opens without following a link or waiting for a FIFO. */
static int open_regular(int dir, const char *name, int flags) {
    int fd = openat(dir, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    struct stat is;
    if (fd >= 0 && (fstat(fd, &is) < 0 || !S_ISREG(is.st_mode))) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* The entries of a folder, for readdir; NULL where it cannot be read. */
static DIR *entries_of(int dir, const char *path) {
    int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list && fd >= 0)
        close(fd);
    return list;
}

/* Removes the file-* that was used longest ago, if there are more than `most`. */
static void drop_oldest(int dir, unsigned most) {
    DIR *list = entries_of(dir, ".");
    char oldest[256] = "";
    struct timespec at = {0};
    unsigned n = 0;
    for (struct dirent *d; list && (d = readdir(list));) {
        struct stat is;
        if (strncmp(d->d_name, file_prefix, sizeof file_prefix - 1) != 0 || fstatat(dir, d->d_name, &is, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        bool older = is.st_mtim.tv_sec < at.tv_sec || (is.st_mtim.tv_sec == at.tv_sec && is.st_mtim.tv_nsec < at.tv_nsec);
        if (n++ == 0 || older) {
            snprintf(oldest, sizeof oldest, "%s", d->d_name);
            at = is.st_mtim;
        }
    }
    if (n > most)
        unlinkat(dir, oldest, 0);
    if (list)
        closedir(list);
}

static int open_in(int dir, const char *name, bool file) {
    bool was_there = faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    int fd = open_regular(dir, name, O_RDWR | O_CREAT);
    if (fd < 0)
        return open_regular(dir, name, O_RDONLY);
    if (was_there)
        (void)!futimens(fd, NULL); /* used just now */
    else if (file)
        drop_oldest(dir, STORE_PACKED_FILES_MAX);
    return fd;
}

int store_packed(const char *home, const struct digest *source, unsigned version, bool file) {
    char hex[65], name[96], path[4096];
    digest_hex(source, hex);
    snprintf(name, sizeof name, "%s%s.v%u", file ? file_prefix : blob_prefix, hex, version);
    if ((size_t)snprintf(path, sizeof path, "%s/packed", home) >= sizeof path)
        return -1;
    (void)!fs_mkdirs(path, NULL);
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
    if (dir >= 0) {
        fd = open_in(dir, name, file);
        close(dir);
    }
    return fd;
}

uint64_t store_packed_drop(int home_dir, bool all) {
    DIR *list = entries_of(home_dir, "packed");
    const size_t n = sizeof blob_prefix - 1;
    uint64_t bytes = 0;
    for (struct dirent *d; list && (d = readdir(list));) {
        char blob[128];
        struct stat is;
        struct digest digest;
        if (strncmp(d->d_name, blob_prefix, n) != 0 || strlen(d->d_name) < n + 64 ||
            !digest_parse((struct str){d->d_name + n, 64}, &digest))
            continue;
        snprintf(blob, sizeof blob, "blobs/sha256/%.64s", d->d_name + n);
        if ((all || faccessat(home_dir, blob, F_OK, AT_SYMLINK_NOFOLLOW) < 0) &&
            fstatat(dirfd(list), d->d_name, &is, AT_SYMLINK_NOFOLLOW) == 0 && unlinkat(dirfd(list), d->d_name, 0) == 0)
            bytes += (uint64_t)is.st_size;
    }
    if (list)
        closedir(list);
    return bytes;
}
