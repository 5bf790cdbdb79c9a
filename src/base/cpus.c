/* cpus: how many cores this process may use (its affinity mask, and the quota of its cgroups, v2 and v1), and how much memory. */
#include "base.h"

#include <string.h>
#include <unistd.h>

/* One file of a few numbers, or "max ...", as text with its NUL; false where there is none. */
static bool read_small(struct buf *out, const char *path) {
    out->n = 0;
    if (fs_read(-1, path, out, NULL) < 0)
        return false;
    buf_byte(out, 0);
    return !out->failed;
}

static uint64_t whole_cpus(long long quota, long long period) {
    return quota <= 0 || period <= 0 ? 0 : quota < period ? 1 : (uint64_t)(quota / period);
}

/* The quota of the group at sys/mount path, 0: none. v2 has `cpu.max` ("max 100000", "150000 100000"), v1 two files. */
static uint64_t quota_of(const char *sys, const char *mount, const char *path) {
    char file[4096];
    struct buf b = {.max = 256};
    long long quota = 0, period = 0;
    snprintf(file, sizeof file, "%s%s%s/cpu.max", sys, mount, path);
    bool found = read_small(&b, file) && sscanf(b.p, "%lld %lld", &quota, &period) == 2;
    snprintf(file, sizeof file, "%s%s%s/cpu.cfs_quota_us", sys, mount, path);
    if (!found && read_small(&b, file) && sscanf(b.p, "%lld", &quota) == 1) {
        snprintf(file, sizeof file, "%s%s%s/cpu.cfs_period_us", sys, mount, path);
        if (!read_small(&b, file) || sscanf(b.p, "%lld", &period) != 1)
            period = 0;
    }
    buf_free(&b);
    return whole_cpus(quota, period);
}

/* The most memory of the group at sys/mount path, 0: no limit. `memory.max` is "max" or bytes; v1 has bytes, 2^63 less a page for none. */
static uint64_t memory_of(const char *sys, const char *mount, const char *path) {
    static const char *const names[] = {"memory.max", "memory.limit_in_bytes"};
    char file[4096];
    struct buf b = {.max = 256};
    unsigned long long bytes = 0;
    for (size_t i = 0; i < N_ITEMS(names) && bytes == 0; i++) {
        snprintf(file, sizeof file, "%s%s%s/%s", sys, mount, path, names[i]);
        if (!read_small(&b, file) || sscanf(b.p, "%llu", &bytes) != 1 || bytes >= 1ull << 60)
            bytes = 0;
    }
    buf_free(&b);
    return bytes;
}

typedef uint64_t limit_fn(const char *sys, const char *mount, const char *path);

static uint64_t lesser(uint64_t a, uint64_t b) { /* 0: none */
    return a == 0 || (b && b < a) ? b : a;
}

/* The tightest limit of a group and the groups around it. In a container the path may be the host's, which is not there: its root is. */
static uint64_t tightest(limit_fn *limit_of, const char *sys, const char *mount, const char *path) {
    char part[2048];
    uint64_t least = 0;
    size_t n = strlen(path);
    for (snprintf(part, sizeof part, "%s", path); n < sizeof part;) {
        part[n] = 0;
        least = lesser(least, limit_of(sys, mount, part));
        if (n == 0)
            break;
        do
            n--;
        while (n > 0 && part[n] != '/');
    }
    return least;
}

/* mounts: where the hierarchies that can hold the limit lie below sys; NULL ends them. */
static uint64_t limit_of_cgroups(limit_fn *limit_of, const char *const *mounts, const char *sys, const char *groups) {
    uint64_t least = 0;
    for (const char *line = groups; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        char controllers[256], path[2048];
        if (sscanf(line, "%*d:%255[^:\n]:%2047[^\n]", controllers, path) != 2 && sscanf(line, "%*d::%2047[^\n]", path) != 1)
            continue;
        for (size_t i = 0; mounts[i]; i++)
            least = lesser(least, tightest(limit_of, sys, mounts[i], strcmp(path, "/") == 0 ? "" : path));
    }
    return least;
}

unsigned cpus_of_cgroups(const char *sys, const char *groups) {
    static const char *const mounts[] = {"", "/unified", "/cpu", "/cpu,cpuacct", NULL};
    return (unsigned)limit_of_cgroups(quota_of, mounts, sys, groups);
}

uint64_t memory_of_cgroups(const char *sys, const char *groups) {
    static const char *const mounts[] = {"", "/unified", "/memory", NULL};
    return limit_of_cgroups(memory_of, mounts, sys, groups);
}

unsigned cpus_usable(void) {
    struct cpu_map map;
    cpu_set_t set;
    struct buf b = {.max = 65536};
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return 1;
    cpus_map("/sys/devices/system", &set, &map);
    unsigned n = map.n_cores, quota = read_small(&b, "/proc/self/cgroup") ? cpus_of_cgroups("/sys/fs/cgroup", b.p) : 0;
    buf_free(&b);
    if (quota && quota < n)
        n = quota;
    return n < 1 ? 1 : n > POOL_THREADS_MAX ? POOL_THREADS_MAX : n;
}

uint64_t memory_usable(void) {
    struct buf b = {.max = 65536};
    uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t limit = read_small(&b, "/proc/self/cgroup") ? memory_of_cgroups("/sys/fs/cgroup", b.p) : 0;
    buf_free(&b);
    return lesser(all, limit);
}
