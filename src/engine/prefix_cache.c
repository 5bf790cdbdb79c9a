/* prefix_cache: sequences that are over stay in their KV slots until someone needs the room; a new sequence begins as a copy
 * (copy-on-write, kv_share) of the longest prefix that any slot of its scope has computed, running ones included.
 *
 * Exact to the token: histories are compared, not hashes of them. Slots are few (parallel + CACHE_SLOTS), and comparing stops at
 * the first difference. Families with a recurrent state can only continue a whole sequence, never a part of one. */
#include "engine_int.h"

#include <stdlib.h>

static uint32_t usable(const struct engine *en, uint32_t seq, const struct history *h) {
    const struct slot *slot = &en->slots[seq];
    uint32_t computed = slot->state == SLOT_FREE ? 0 : kv_length(en->kv, seq);
    uint32_t n = computed ? history_common(slot->history, h) : 0;
    n = n < computed ? n : computed;
    if (en->recurrent)
        return n == computed && n < h->n ? n : 0;
    return n < h->n ? n : h->n - 1;
}

uint32_t cache_find(const struct engine *en, const struct history *h, uint32_t *n_common) {
    uint32_t best = SEQ_NONE;
    *n_common = 0;
    for (uint32_t i = 0; i < en->n_slots; i++) {
        uint32_t n = usable(en, i, h);
        if (n > *n_common) {
            *n_common = n;
            best = i;
        }
    }
    return best;
}

bool cache_is_coming(const struct engine *en, const struct history *h, uint32_t have) {
    for (unsigned i = 0; i < en->n_running && !en->recurrent; i++) {
        const struct choice *c = en->running[i];
        uint32_t n = history_common(c->history, h);
        n = n < h->n ? n : h->n - 1;
        if (n > have && n - have >= KERN_PAGE / 2 && kv_length(en->kv, c->seq) < n)
            return true;
    }
    return false;
}

void cache_drop(struct engine *en, uint32_t seq) {
    struct slot *slot = &en->slots[seq];
    if (slot->state == SLOT_CACHED)
        history_free(slot->history);
    kv_truncate(en->kv, seq, 0);
    *slot = (struct slot){0};
}

bool cache_evict(struct engine *en) {
    uint32_t oldest = SEQ_NONE;
    for (uint32_t i = 0; i < en->n_slots; i++)
        if (en->slots[i].state == SLOT_CACHED && (oldest == SEQ_NONE || en->slots[i].used < en->slots[oldest].used))
            oldest = i;
    if (oldest == SEQ_NONE)
        return false;
    cache_drop(en, oldest);
    return true;
}

static uint32_t free_slot(const struct engine *en) {
    for (uint32_t i = 0; i < en->n_slots; i++)
        if (en->slots[i].state == SLOT_FREE)
            return i;
    return SEQ_NONE;
}

uint32_t cache_take_slot(struct engine *en) {
    uint32_t seq = free_slot(en);
    if (seq == SEQ_NONE && cache_evict(en))
        seq = free_slot(en);
    ASSERT(seq != SEQ_NONE); /* there are more slots than running sequences */
    return seq;
}

/* An entry that is a prefix of another one of its scope answers nothing that the other does not. */
static void drop_prefixes_of(struct engine *en, uint32_t seq) {
    for (uint32_t i = 0; i < en->n_slots && !en->recurrent; i++)
        if (i != seq && en->slots[i].state == SLOT_CACHED && kv_length(en->kv, i) <= kv_length(en->kv, seq) &&
            history_common(en->slots[i].history, en->slots[seq].history) >= kv_length(en->kv, i))
            cache_drop(en, i);
}

void cache_keep(struct engine *en, uint32_t seq) {
    struct slot *slot = &en->slots[seq];
    uint32_t computed = kv_length(en->kv, seq);
    slot->state = SLOT_CACHED;
    slot->used = ++en->tick;
    kv_truncate(en->kv, seq, computed); /* gives back pages that were reserved ahead */
    slot->history->n = computed;
    if (computed == 0)
        cache_drop(en, seq);
    else
        drop_prefixes_of(en, seq);
}
