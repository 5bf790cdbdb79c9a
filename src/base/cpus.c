/* cpus: how many cores this process may use: its affinity mask, and the quota of its cgroups (v2 and v1). */
#include "base.h"

#include <string.h>

/* One file of a few numbers, or "max ...", as text with its NUL; false where there is none. */
static bool read_small(struct buf *out, const char *path) {
    out->n = 0;
    if (fs_read(-1, path, out, NULL) < 0)
        return false;
    buf_byte(out, 0);
    return !out->failed;
}

static unsigned whole_cpus(long long quota, long long period) {
    return quota <= 0 || period <= 0 ? 0 : quota < period ? 1 : (unsigned)(quota / period);
}

/* The quota of the group at sys/mount path, 0: none. v2 has `cpu.max` ("max 100000", "150000 100000"), v1 two files. */
static unsigned quota_of(const char *sys, const char *mount, const char *path) {
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

/* The tightest quota of a group and the groups around it. In a container the path may be the host's, which is not there: its root is. */
static unsigned tightest(const char *sys, const char *mount, const char *path) {
    char part[2048];
    unsigned least = 0;
    size_t n = strlen(path);
    for (snprintf(part, sizeof part, "%s", path); n < sizeof part;) {
        part[n] = 0;
        unsigned cpus = quota_of(sys, mount, part);
        least = cpus && (!least || cpus < least) ? cpus : least;
        if (n == 0)
            break;
        do
            n--;
        while (n > 0 && part[n] != '/');
    }
    return least;
}

unsigned cpus_of_cgroups(const char *sys, const char *groups) {
    unsigned least = 0;
    for (const char *line = groups; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        static const char *const mounts[] = {"", "/unified", "/cpu", "/cpu,cpuacct"};
        char controllers[256], path[2048];
        if (sscanf(line, "%*d:%255[^:\n]:%2047[^\n]", controllers, path) != 2 && sscanf(line, "%*d::%2047[^\n]", path) != 1)
            continue;
        for (size_t i = 0; i < N_ITEMS(mounts); i++) {
            unsigned cpus = tightest(sys, mounts[i], strcmp(path, "/") == 0 ? "" : path);
            least = cpus && (!least || cpus < least) ? cpus : least;
        }
    }
    return least;
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
