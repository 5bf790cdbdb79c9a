/* nodes: which CPUs share a core and which memory is near to them, as /sys/devices/system tells it; threads and memory are kept
 * together by it where there is more than one node. */
#include "base.h"

#include <linux/mempolicy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A file of CPU or node numbers like "0-3,8", as far as they fit into the set; false where there is none. */
static bool read_list(const char *path, cpu_set_t *out) {
    struct buf b = {.max = 65536};
    CPU_ZERO(out);
    bool ok = fs_read(-1, path, &b, NULL) >= 0;
    buf_byte(&b, 0);
    for (char *at = b.p; ok && *at >= '0' && *at <= '9';) {
        unsigned long from = strtoul(at, &at, 10), to = *at == '-' ? strtoul(at + 1, &at, 10) : from;
        for (unsigned long i = from; i <= to && i < CPU_SETSIZE; i++)
            CPU_SET(i, out);
        at += *at == ',';
    }
    buf_free(&b);
    return ok && CPU_COUNT(out) > 0;
}

/* Sets of CPUs that share a core count once. */
static unsigned count_cores(const char *sys, const cpu_set_t *cpus) {
    char path[4096];
    cpu_set_t seen, siblings;
    unsigned n = 0;
    CPU_ZERO(&seen);
    for (unsigned i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, cpus) || CPU_ISSET(i, &seen))
            continue;
        snprintf(path, sizeof path, "%s/cpu/cpu%u/topology/thread_siblings_list", sys, i);
        if (read_list(path, &siblings))
            CPU_OR(&seen, &seen, &siblings);
        n++;
    }
    return n;
}

void cpus_map(const char *sys, const cpu_set_t *allowed, struct cpu_map *out) {
    char path[4096];
    cpu_set_t nodes;
    *out = (struct cpu_map){0};
    snprintf(path, sizeof path, "%s/node/online", sys);
    (void)read_list(path, &nodes);
    for (unsigned i = 0; i < CPU_SETSIZE && out->n_nodes < NODES_MAX; i++) {
        struct cpu_node *node = &out->nodes[out->n_nodes];
        snprintf(path, sizeof path, "%s/node/node%u/cpulist", sys, i);
        if (!CPU_ISSET(i, &nodes) || !read_list(path, &node->cpus))
            continue;
        CPU_AND(&node->cpus, &node->cpus, allowed);
        node->id = i;
        node->n_cores = count_cores(sys, &node->cpus);
        out->n_cores += node->n_cores;
        out->n_nodes += node->n_cores > 0;
    }
    if (out->n_nodes == 0) {
        out->nodes[0] = (struct cpu_node){.n_cores = count_cores(sys, allowed), .cpus = *allowed};
        out->n_cores = out->nodes[0].n_cores;
        out->n_nodes = 1;
    }
}

unsigned cpus_node(const struct cpu_map *map, unsigned thread, unsigned n_threads) {
    unsigned core = (unsigned)((uint64_t)thread * map->n_cores / n_threads), i = 0;
    for (; i + 1 < map->n_nodes && core >= map->nodes[i].n_cores; i++)
        core -= map->nodes[i].n_cores;
    return i;
}

/* Who started the process under a policy (numactl) has decided. */
static bool policy_is_default(void) {
    int mode = MPOL_DEFAULT;
    return syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0) == 0 && mode == MPOL_DEFAULT;
}

static void bind_memory(void *p, size_t n, int mode, const unsigned long *nodes) {
    if (syscall(SYS_mbind, p, n, mode, nodes, (unsigned long)CPU_SETSIZE, 0) < 0)
        log_line(LOG_DEBUG, "memory stays where it is touched first: mbind is refused");
}

void cpus_memory_near(const struct cpu_map *map, unsigned node, void *p, size_t n) {
    unsigned long nodes[CPU_SETSIZE / (8 * sizeof(unsigned long))] = {0};
    unsigned id = map->nodes[node].id;
    nodes[id / (8 * sizeof *nodes)] = 1ul << id % (8 * sizeof *nodes);
    if (map->n_nodes > 1 && policy_is_default())
        bind_memory(p, n, MPOL_PREFERRED, nodes);
}

void cpus_memory_spread(const struct cpu_map *map, void *p, size_t n) {
    unsigned long nodes[CPU_SETSIZE / (8 * sizeof(unsigned long))] = {0};
    for (unsigned i = 0; i < map->n_nodes; i++)
        nodes[map->nodes[i].id / (8 * sizeof *nodes)] |= 1ul << map->nodes[i].id % (8 * sizeof *nodes);
    if (map->n_nodes > 1 && policy_is_default())
        bind_memory(p, n, MPOL_INTERLEAVE, nodes);
}
