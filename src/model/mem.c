/* mem: large memory of the model's lifetime. */
#include "pass.h"

#include <sys/mman.h>

int mem_new(size_t bytes, struct mem *out, struct err *e) {
    size_t map_bytes = bytes + MEM_PAGE;
    void *map = map_bytes < bytes
                    ? MAP_FAILED
                    : mmap(NULL, map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return err_set(e, ERR_MEMORY, "memory", "%zu MiB are not to be had", bytes >> 20);
    uintptr_t at = ((uintptr_t)map + MEM_PAGE - 1) / MEM_PAGE * MEM_PAGE;
    *out = (struct mem){(uint8_t *)at, bytes, map, map_bytes};
    if (bytes >= MEM_PAGE)
        (void)madvise(out->p, bytes, MADV_HUGEPAGE); /* a matter of speed only */
    return 0;
}

void mem_free(struct mem *m) {
    if (m->map)
        munmap(m->map, m->map_bytes);
    *m = (struct mem){0};
}
