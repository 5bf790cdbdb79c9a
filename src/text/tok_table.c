/* tok: hashes from strings and pairs to ids, and the table of prefixes. */
#include "tok_impl.h"

#include <stdlib.h>

/* Multiplies to 128 bits and folds: every bit of a and b reaches every bit of the result. */
static inline uint64_t mix(uint64_t a, uint64_t b) {
    unsigned __int128 m = (unsigned __int128)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static inline uint64_t hash_bytes(struct str s, uint64_t seed) {
    uint64_t h = seed ^ s.n, part;
    for (; s.n > 8; s.p += 8, s.n -= 8) {
        memcpy(&part, s.p, 8);
        h = mix(h ^ part, 0x9e3779b97f4a7c15u);
    }
    part = 0;
    if (s.n)
        memcpy(&part, s.p, s.n);
    return mix(h ^ part, 0xd6e8feb86659fd93u);
}

/* Slots for n keys: a power of two, at most two thirds full. */
static uint32_t n_slots(uint32_t n) {
    uint32_t slots = 16;
    while (slots / 3 * 2 < n)
        slots *= 2;
    return slots;
}

bool tok_map_init(struct tok_map *m, const struct str *keys, uint32_t n, struct arena *arena) {
    uint32_t slots = n_slots(n);
    *m = (struct tok_map){
        .keys = keys, .slots = arena_array(arena, slots, sizeof *m->slots), .mask = slots - 1, .seed = random_u64()};
    for (uint32_t i = 0; m->slots && i < slots; i++)
        m->slots[i].id = TOK_ABSENT;
    return m->slots != NULL;
}

/* The slot of key: the one that holds it, or the empty one where it would go. */
static inline struct tok_slot *find_slot(const struct tok_map *m, struct str key, uint32_t hash) {
    for (uint32_t at = hash & m->mask;; at = (at + 1) & m->mask) {
        struct tok_slot *slot = &m->slots[at];
        if (slot->id == TOK_ABSENT || (slot->hash == hash && str_eq(m->keys[slot->id], key)))
            return slot;
    }
}

void tok_map_add(struct tok_map *m, uint32_t id) {
    uint32_t hash = (uint32_t)hash_bytes(m->keys[id], m->seed);
    struct tok_slot *slot = find_slot(m, m->keys[id], hash);
    if (slot->id == TOK_ABSENT)
        *slot = (struct tok_slot){hash, id};
}

uint32_t tok_map_hash(const struct tok_map *m, struct str key) {
    return (uint32_t)hash_bytes(key, m->seed);
}

uint32_t tok_map_find_hashed(const struct tok_map *m, struct str key, uint32_t hash) {
    return find_slot(m, key, hash)->id;
}

uint32_t tok_map_find(const struct tok_map *m, struct str key) {
    return tok_map_find_hashed(m, key, tok_map_hash(m, key));
}

bool tok_pairs_init(struct tok_pairs *m, uint32_t n, struct arena *arena) {
    uint32_t slots = n_slots(n);
    *m = (struct tok_pairs){.slots = arena_array(arena, slots, sizeof *m->slots), .mask = slots - 1, .seed = random_u64() | 1};
    for (uint32_t i = 0; m->slots && i < slots; i++)
        m->slots[i].left = TOK_ABSENT;
    return m->slots != NULL;
}

static inline struct tok_pair *find_pair(const struct tok_pairs *m, uint32_t left, uint32_t right) {
    uint32_t at = (uint32_t)mix((uint64_t)left << 32 | right, m->seed) & m->mask;
    while (m->slots[at].left != TOK_ABSENT && (m->slots[at].left != left || m->slots[at].right != right))
        at = (at + 1) & m->mask;
    return &m->slots[at];
}

void tok_pairs_add(struct tok_pairs *m, struct tok_pair pair) {
    struct tok_pair *slot = find_pair(m, pair.left, pair.right);
    if (slot->left == TOK_ABSENT)
        *slot = pair;
}

const struct tok_pair *tok_pairs_find(const struct tok_pairs *m, uint32_t left, uint32_t right) {
    const struct tok_pair *slot = find_pair(m, left, right);
    return slot->left == TOK_ABSENT ? NULL : slot;
}

static int compare_keys(const void *a, const void *b, void *keys) {
    struct str x = ((const struct str *)keys)[*(const uint32_t *)a], y = ((const struct str *)keys)[*(const uint32_t *)b];
    int order = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);
    return order ? order : (x.n > y.n) - (x.n < y.n);
}

void tok_prefixes_init(struct tok_prefixes *t, const struct str *keys, uint32_t *ids, uint32_t n) {
    *t = (struct tok_prefixes){.keys = keys, .ids = ids, .n = n};
    if (n)
        qsort_r(ids, n, sizeof *ids, compare_keys, (void *)(uintptr_t)keys);
    uint32_t at = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
        t->first[byte] = at;
        while (at < n && (uint8_t)keys[ids[at]].p[0] == byte)
            at++;
    }
    t->first[256] = at;
}

/* First of keys [low, high) whose byte at depth is not below `byte`. */
static uint32_t lower_bound(const struct tok_prefixes *t, uint32_t low, uint32_t high, size_t depth, unsigned byte) {
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if ((uint8_t)t->keys[t->ids[mid]].p[depth] < byte)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

bool tok_walk_step(const struct tok_prefixes *t, struct tok_walk *w, uint8_t byte, uint32_t *id) {
    uint32_t low, high;
    if (w->depth == 0) {
        low = t->first[byte];
        high = t->first[byte + 1];
    } else {
        low = w->low + (t->keys[t->ids[w->low]].n == w->depth); /* the key that ends here has no byte more */
        low = lower_bound(t, low, w->high, w->depth, byte);
        high = lower_bound(t, low, w->high, w->depth, byte + 1u);
    }
    if (low == high)
        return false;
    *w = (struct tok_walk){low, high, w->depth + 1};
    *id = t->keys[t->ids[low]].n == w->depth ? t->ids[low] : TOK_ABSENT;
    return true;
}
