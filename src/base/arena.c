/* arena: blocks in a list, each at least BLOCK_MIN, handed out from the front. */
#include "base.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_MIN = 16 * 1024, ARENA_MAX_DEFAULT = 1 << 30, ALIGN = 16 };

struct arena_block {
    struct arena_block *next;
    size_t used, cap;
    _Alignas(ALIGN) char bytes[];
};

void *arena_alloc(struct arena *a, size_t bytes) {
    size_t max = a->max ? a->max : ARENA_MAX_DEFAULT;
    if (bytes > max)
        return NULL;
    size_t need = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (need == 0)
        need = ALIGN;
    if (a->used > max || need > max - a->used)
        return NULL;
    struct arena_block *block = a->blocks;
    if (!block || block->cap - block->used < need) {
        size_t cap = need > BLOCK_MIN ? need : BLOCK_MIN;
        block = malloc(sizeof *block + cap);
        if (!block)
            return NULL;
        *block = (struct arena_block){.next = a->blocks, .cap = cap};
        a->blocks = block;
    }
    void *p = block->bytes + block->used;
    block->used += need;
    a->used += need;
    return memset(p, 0, need);
}

void *arena_array(struct arena *a, size_t n, size_t item_bytes) {
    size_t bytes;
    return __builtin_mul_overflow(n, item_bytes, &bytes) ? NULL : arena_alloc(a, bytes);
}

struct str arena_str(struct arena *a, struct str s) {
    char *p = s.n < SIZE_MAX ? arena_alloc(a, s.n + 1) : NULL;
    if (!p)
        return (struct str){0};
    if (s.n)
        memcpy(p, s.p, s.n);
    return (struct str){p, s.n};
}

void arena_free(struct arena *a) {
    while (a->blocks) {
        struct arena_block *next = a->blocks->next;
        free(a->blocks);
        a->blocks = next;
    }
    a->used = 0;
}
