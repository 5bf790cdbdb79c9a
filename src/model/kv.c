/* kv: pages of KERN_PAGE positions, counted by reference.
 *
 * Invariants: a sequence's table holds exactly the pages that it references; positions [0, length) of it are written; a page
 * with more than one reference is never written (kv_reserve copies it first). free[] is a stack of page numbers. */
#include "pass.h"

#include <stdlib.h>
#include <string.h>

struct seq {
    uint8_t **pages; /* [pages_max] */
    uint32_t n_pages, length;
};

struct kv {
    struct mem mem;
    uint64_t page_bytes;
    uint32_t n_pages, n_seqs, pages_max; /* pages_max: of one sequence */
    uint32_t *refs;                      /* [n_pages] */
    uint32_t *free;                      /* [n_free]: numbers of unused pages */
    uint32_t n_free;
    struct seq *seqs;
};

static uint32_t pages_for(uint32_t n_positions) {
    return n_positions / KERN_PAGE + (n_positions % KERN_PAGE != 0);
}

int kv_new(const struct model *m, uint32_t n_pages, uint32_t n_seqs, struct kv **out, struct err *e) {
    struct kv *kv = calloc(1, sizeof *kv);
    if (!kv)
        return err_set(e, ERR_MEMORY, "kv", "no memory");
    *kv = (struct kv){
        .page_bytes = m->info.kv_bytes_per_page, .n_pages = n_pages, .n_seqs = n_seqs, .pages_max = pages_for(m->info.ctx)};
    kv->refs = calloc(n_pages, sizeof *kv->refs);
    kv->free = calloc(n_pages, sizeof *kv->free);
    kv->seqs = calloc(n_seqs, sizeof *kv->seqs);
    bool ok = kv->refs && kv->free && kv->seqs;
    for (uint32_t i = 0; ok && i < n_seqs; i++)
        ok = (kv->seqs[i].pages = calloc(kv->pages_max, sizeof(uint8_t *))) != NULL;
    if (!ok) {
        kv_free(kv);
        return err_set(e, ERR_MEMORY, "kv", "no memory for the tables of %u pages and %u sequences", n_pages, n_seqs);
    }
    if (mem_new(kv->page_bytes * n_pages, &kv->mem, e) < 0) {
        kv_free(kv);
        return e->code;
    }
    cpus_memory_spread(pool_cpus(m->pool), kv->mem.p, kv->mem.n); /* any thread may read any page */
    for (uint32_t i = 0; i < n_pages; i++)
        kv->free[i] = n_pages - 1 - i; /* the lowest page is taken first: memory is touched from its start */
    kv->n_free = n_pages;
    *out = kv;
    return 0;
}

void kv_free(struct kv *kv) {
    if (!kv)
        return;
    for (uint32_t i = 0; kv->seqs && i < kv->n_seqs; i++)
        free(kv->seqs[i].pages);
    free(kv->refs);
    free(kv->free);
    free(kv->seqs);
    mem_free(&kv->mem);
    free(kv);
}

uint32_t kv_pages_free(const struct kv *kv) {
    return kv->n_free;
}

uint32_t kv_length(const struct kv *kv, uint32_t seq) {
    return kv->seqs[seq].length;
}

uint8_t *const *kv_pages(const struct kv *kv, uint32_t seq) {
    return kv->seqs[seq].pages;
}

void kv_advance(struct kv *kv, uint32_t seq, uint32_t n_positions) {
    ASSERT(n_positions <= kv->seqs[seq].n_pages * KERN_PAGE);
    kv->seqs[seq].length = n_positions;
}

static uint32_t page_number(const struct kv *kv, const uint8_t *page) {
    return (uint32_t)((uint64_t)(page - kv->mem.p) / kv->page_bytes);
}

static uint8_t *page_take(struct kv *kv) {
    ASSERT(kv->n_free > 0);
    uint32_t i = kv->free[--kv->n_free];
    kv->refs[i] = 1;
    return kv->mem.p + i * kv->page_bytes;
}

static void page_drop(struct kv *kv, const uint8_t *page) {
    uint32_t i = page_number(kv, page);
    ASSERT(kv->refs[i] > 0);
    if (--kv->refs[i] == 0)
        kv->free[kv->n_free++] = i;
}

bool kv_reserve(struct kv *kv, uint32_t seq, uint32_t n_positions) {
    struct seq *s = &kv->seqs[seq];
    uint32_t pages = pages_for(n_positions), first = s->length / KERN_PAGE, need = 0;
    if (pages > kv->pages_max)
        return false;
    for (uint32_t i = first; i < s->n_pages && i < pages; i++)
        need += kv->refs[page_number(kv, s->pages[i])] > 1;
    need += pages > s->n_pages ? pages - s->n_pages : 0;
    if (need > kv->n_free)
        return false;
    for (uint32_t i = first; i < s->n_pages && i < pages; i++) {
        uint8_t *old = s->pages[i];
        if (kv->refs[page_number(kv, old)] > 1) {
            s->pages[i] = page_take(kv);
            memcpy(s->pages[i], old, kv->page_bytes);
            page_drop(kv, old);
        }
    }
    while (s->n_pages < pages)
        s->pages[s->n_pages++] = page_take(kv);
    return true;
}

void kv_truncate(struct kv *kv, uint32_t seq, uint32_t n_positions) {
    struct seq *s = &kv->seqs[seq];
    uint32_t pages = pages_for(n_positions);
    while (s->n_pages > pages)
        page_drop(kv, s->pages[--s->n_pages]);
    if (s->length > n_positions)
        s->length = n_positions;
}

void kv_share(struct kv *kv, uint32_t seq, uint32_t from, uint32_t n_positions) {
    struct seq *s = &kv->seqs[seq];
    const struct seq *f = &kv->seqs[from];
    ASSERT(seq != from && n_positions <= f->length);
    kv_truncate(kv, seq, 0);
    s->n_pages = pages_for(n_positions);
    s->length = n_positions;
    for (uint32_t i = 0; i < s->n_pages; i++) {
        s->pages[i] = f->pages[i];
        kv->refs[page_number(kv, s->pages[i])]++;
    }
}
