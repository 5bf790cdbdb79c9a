/* tok: a trie as a double array, built once from sorted keys. Each node looks for a base where all its children find a free unit;
 * free units are a ring. Only the last blocks are looked through, and only so often, so that no file can make it slow: a node that
 * finds no place there gets a new block. */
#include "tok_impl.h"

#include <stdlib.h>

enum { BLOCK = 256, OPEN_BLOCKS = 16, TRIES_MAX = 512, UNITS_MAX = 1 << 28, NOBODY = UNITS_MAX };

/* Keys [low, high) begin with the bytes that lead to node, `depth` of them, and go on. */
struct range {
    uint32_t low, high, node;
    size_t depth;
};
struct builder {
    const struct tok_prefixes *keys;
    struct tok_unit *units; /* a free one: base is the next free one, id the one before */
    uint32_t n, free;       /* free: one of the ring, or TOK_ABSENT */
    struct range *stack;
    size_t n_stack, cap_stack;
};

static void take(struct builder *b, uint32_t at) {
    struct tok_unit *u = &b->units[at];
    b->free = u->base == at ? TOK_ABSENT : u->base;
    b->units[u->base].id = u->id;
    b->units[u->id].base = u->base;
}

static void give(struct builder *b, uint32_t at) {
    uint32_t next = b->free == TOK_ABSENT ? at : b->free, before = next == at ? at : b->units[next].id;
    b->units[at] = (struct tok_unit){next, TOK_ABSENT, before};
    b->units[next].id = at;
    b->units[before].base = at;
    b->free = next;
}

static bool add_block(struct builder *b) {
    if (b->n >= UNITS_MAX)
        return false;
    if (b->n % (OPEN_BLOCKS * BLOCK) == 0) { /* room for as many more as there are, in whole steps */
        size_t cap = (size_t)b->n + (b->n / (OPEN_BLOCKS * BLOCK) / 4 + 1) * OPEN_BLOCKS * BLOCK;
        struct tok_unit *grown = realloc(b->units, cap * sizeof *grown);
        if (!grown)
            return false;
        b->units = grown;
    }
    for (uint32_t i = 0; b->n >= OPEN_BLOCKS * BLOCK && i < BLOCK; i++) {
        uint32_t old = b->n - OPEN_BLOCKS * BLOCK + i;
        if (b->units[old].above == TOK_ABSENT)
            take(b, old);
    }
    b->n += BLOCK;
    for (uint32_t i = b->n - BLOCK; i < b->n; i++)
        give(b, i);
    return true;
}

static bool fits(const struct builder *b, uint32_t base, const uint8_t *bytes, unsigned n) {
    for (unsigned i = 0; i < n; i++)
        if (b->units[base ^ bytes[i]].above != TOK_ABSENT)
            return false;
    return true;
}

/* A base for children of these bytes, or TOK_ABSENT without memory. */
static uint32_t find_base(struct builder *b, const uint8_t *bytes, unsigned n) {
    uint32_t at = b->free;
    for (unsigned tries = 0; at != TOK_ABSENT && tries < TRIES_MAX; tries++, at = b->units[at].base) {
        if (fits(b, at ^ bytes[0], bytes, n))
            return at ^ bytes[0];
        if (b->units[at].base == b->free)
            break;
    }
    return add_block(b) ? b->n - BLOCK : TOK_ABSENT;
}

static bool push(struct builder *b, struct range r) {
    if (b->n_stack == b->cap_stack) {
        size_t cap = b->cap_stack ? 2 * b->cap_stack : 1024;
        struct range *grown = realloc(b->stack, cap * sizeof *grown);
        if (!grown)
            return false;
        b->stack = grown;
        b->cap_stack = cap;
    }
    b->stack[b->n_stack++] = r;
    return true;
}

static struct str key_at(const struct builder *b, uint32_t i) {
    return b->keys->keys[b->keys->ids[i]];
}

/* Makes the children of a node. */
static bool grow(struct builder *b, struct range r) {
    uint8_t bytes[256];
    uint32_t from[257];
    unsigned n = 0;
    for (uint32_t i = r.low; i < r.high; i++) {
        uint8_t byte = (uint8_t)key_at(b, i).p[r.depth];
        if (n == 0 || byte != bytes[n - 1]) {
            from[n] = i;
            bytes[n++] = byte;
        }
    }
    from[n] = r.high;
    uint32_t base = find_base(b, bytes, n);
    if (base == TOK_ABSENT)
        return false;
    b->units[r.node].base = base;
    for (unsigned k = 0; k < n; k++) {
        bool ends = key_at(b, from[k]).n == r.depth + 1; /* the shortest comes first */
        uint32_t node = base ^ bytes[k];
        take(b, node);
        b->units[node] = (struct tok_unit){0, r.node, ends ? b->keys->ids[from[k]] : TOK_ABSENT};
        if (from[k] + ends < from[k + 1] && !push(b, (struct range){from[k] + ends, from[k + 1], node, r.depth + 1}))
            return false;
    }
    return true;
}

bool tok_trie_init(struct tok_trie *trie, const struct tok_prefixes *t, struct arena *arena) {
    struct builder b = {.keys = t, .free = TOK_ABSENT};
    bool good = add_block(&b);
    if (good) { /* the root is no node's child */
        take(&b, 0);
        b.units[0] = (struct tok_unit){.above = NOBODY, .id = TOK_ABSENT};
    }
    good = good && (t->n == 0 || push(&b, (struct range){0, t->n, 0, 0}));
    while (good && b.n_stack)
        good = grow(&b, b.stack[--b.n_stack]);
    struct tok_unit *units = good ? arena_array(arena, b.n, sizeof *units) : NULL;
    if (units)
        memcpy(units, b.units, b.n * sizeof *units);
    trie->units = units;
    free(b.units);
    free(b.stack);
    return units != NULL;
}
