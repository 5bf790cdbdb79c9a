/* request: copying, preparing, and the tokens of sequences. */
#include "request.h"

#include <stdlib.h>
#include <string.h>

enum { REQUEST_ARENA_MAX = 96 << 20 }; /* the arena holds a copy of the body */

/* ---- history ---------------------------------------------------------------------------------------------------------- */

struct history *history_new(uint64_t scope, const uint32_t *ids, uint32_t n) {
    struct history *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    *h = (struct history){.scope = scope, .n = n, .cap = n + n / 4 + 64};
    h->ids = malloc(h->cap * sizeof *ids);
    if (!h->ids) {
        free(h);
        return NULL;
    }
    memcpy(h->ids, ids, n * sizeof *ids);
    return h;
}

bool history_add(struct history *h, uint32_t id) {
    if (h->n == h->cap) {
        uint32_t cap = h->cap + h->cap / 2;
        uint32_t *ids = realloc(h->ids, cap * sizeof *ids);
        if (!ids)
            return false;
        h->ids = ids;
        h->cap = cap;
    }
    h->ids[h->n++] = id;
    return true;
}

void history_free(struct history *h) {
    if (!h)
        return;
    free(h->ids);
    free(h);
}

/* By blocks, for histories are long and nearly always differ in their first tokens or not for a long way. */
uint32_t history_common(const struct history *a, const struct history *b) {
    uint32_t n = a->n < b->n ? a->n : b->n, at = 0;
    if (a->scope != b->scope)
        return 0;
    while (n - at >= KERN_PAGE && memcmp(a->ids + at, b->ids + at, KERN_PAGE * sizeof *a->ids) == 0)
        at += KERN_PAGE;
    while (at < n && a->ids[at] == b->ids[at])
        at++;
    return at;
}

/* ---- request ------------------------------------------------------------------------------------------------------------ */

static bool copy_str(struct arena *a, struct str *s) {
    *s = arena_str(a, *s);
    return s->p != NULL;
}

struct request *request_new(const struct gen_req *req) {
    struct request *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->req = *req;
    r->arena.max = REQUEST_ARENA_MAX;
    bool ok = copy_str(&r->arena, &r->req.body) && copy_str(&r->arena, &r->req.now);
    for (uint32_t i = 0; ok && i < req->n_stop; i++)
        ok = copy_str(&r->arena, &r->req.stop[i]);
    if (ok)
        return r;
    request_free(r);
    return NULL;
}

void request_free(struct request *r) {
    if (!r)
        return;
    for (uint32_t i = 0; r->choices && i < r->req.n; i++) {
        history_free(r->choices[i].history);
        answer_free(&r->choices[i].answer);
    }
    tok_ids_free(&r->ids);
    buf_free(&r->text);
    arena_free(&r->arena);
    free(r);
}
