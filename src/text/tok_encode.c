/* tok: encoding. Added tokens are found first, leftmost and longest; the model encodes what is between them. */
#include "tok_impl.h"
#include "unicode_props.h"

#include <stdlib.h>

enum { IDS_MAX_DEFAULT = 1 << 26, TEXT_BYTES_MAX = 1 << 30 };

/* ---- ids and scratch memory -------------------------------------------------------------------------------------------------- */

void tok_ids_free(struct tok_ids *ids) {
    free(ids->ids);
    *ids = (struct tok_ids){.max = ids->max};
}

static int push(struct tok_ids *ids, uint32_t id, struct err *e) {
    size_t max = ids->max ? ids->max : IDS_MAX_DEFAULT;
    if (ids->n >= max)
        return err_set(e, ERR_LIMIT, "text", "is more than %zu tokens", max);
    if (ids->n == ids->cap) {
        size_t cap = ids->cap ? ids->cap * 2 : 256;
        uint32_t *grown = realloc(ids->ids, cap * sizeof *grown);
        if (!grown)
            return err_set(e, ERR_MEMORY, "text", "out of memory for %zu tokens", cap);
        ids->ids = grown;
        ids->cap = cap;
    }
    ids->ids[ids->n++] = id;
    return 0;
}

int tok_push(struct tok_enc *x, uint32_t id) {
    return push(x->ids, id, x->e);
}

int tok_push_bytes(struct tok_enc *x, struct str s) {
    const struct tok *t = x->t;
    int code = 0;
    for (size_t i = 0; code == 0 && i < s.n; i++) {
        uint32_t id = t->bytes[(uint8_t)s.p[i]];
        bool repeated =
            id == TOK_ABSENT && x->ids->n > x->n_settled && t->unk != TOK_NONE && x->ids->ids[x->ids->n - 1] == (uint32_t)t->unk;
        if (id == TOK_ABSENT)
            id = t->unk == TOK_NONE || repeated ? TOK_ABSENT : (uint32_t)t->unk;
        if (id != TOK_ABSENT)
            code = tok_push(x, id);
    }
    return code;
}

void *tok_room(struct tok_enc *x, struct buf *b, size_t n, size_t bytes) {
    size_t total = 0;
    b->max = SIZE_MAX / 2;
    b->n = 0;
    void *room = __builtin_mul_overflow(n, bytes, &total) ? NULL : buf_room(b, total);
    if (!room)
        err_set(x->e, ERR_MEMORY, "text", "out of memory for a text of %zu characters", n);
    return room;
}

static void free_scratch(struct tok_enc *x) {
    free(x->seen);
    struct buf *all[] = {&x->text, &x->word, &x->symbols, &x->links, &x->heap, &x->paths};
    for (size_t i = 0; i < N_ITEMS(all); i++)
        buf_free(all[i]);
}

/* ---- added tokens -------------------------------------------------------------------------------------------------------------- */

/* Which bytes of a text may make a control token: all, none, or those of the template's segments. */
struct origin {
    bool anywhere;
    const struct tmpl_segment *segment, *end; /* the next ones; segment->text is where the search is, or ahead */
};

/* Where the stretch that `at` lies in stops being the template's; `at` itself where it is the request's. */
static const char *trusted_until(struct origin *o, const char *at, const char *end) {
    if (o->anywhere)
        return end;
    while (o->segment < o->end && at >= o->segment->text.p + o->segment->text.n)
        o->segment++;
    return o->segment == o->end || o->segment->from_request ? at : o->segment->text.p + o->segment->text.n;
}

/* The longest added token at p, or TOK_ABSENT. */
static uint32_t added_at(const struct tok *t, const struct tok_prefixes *added, struct origin *o, const char *p,
                         const char *end) {
    const char *trusted = trusted_until(o, p, end);
    struct tok_walk w = {0};
    uint32_t id = TOK_ABSENT, best = TOK_ABSENT;
    while (p < end && tok_walk_step(added, &w, (uint8_t)*p++, &id))
        if (id != TOK_ABSENT && (t->kinds[id] == TOK_USER || p <= trusted))
            best = id;
    return best;
}

static bool is_space(const char *p, const char *end, unsigned *len) {
    uint32_t cp;
    *len = utf8_decode(p, end, &cp);
    return *len && uc_class(cp) & UC_SPACE;
}

static const char *skip_spaces(const char *p, const char *end) {
    for (unsigned len; p < end && is_space(p, end, &len);)
        p += len;
    return p;
}

static const char *drop_spaces(const char *start, const char *end) {
    for (unsigned len; start < end;) {
        const char *p = end - 1;
        while (p > start && ((uint8_t)*p & 0xc0) == 0x80)
            p--;
        if (!is_space(p, end, &len))
            break;
        end = p;
    }
    return end;
}

/* What stands before an added token, then the token. Returns where the text goes on, NULL on failure. */
static const char *take_added(struct tok_enc *x, const char *from, const char *at, const char *end, uint32_t id) {
    uint8_t strip = x->t->strip ? x->t->strip[id] : 0;
    const char *plain_end = strip & TOK_STRIP_LEFT ? drop_spaces(from, at) : at;
    if (plain_end > from && x->t->encode(x, (struct str){from, (size_t)(plain_end - from)}) < 0)
        return NULL;
    if (tok_push(x, id) < 0)
        return NULL;
    x->n_settled = x->ids->n;
    at += x->t->names[id].n;
    return strip & TOK_STRIP_RIGHT ? skip_spaces(at, end) : at;
}

static int encode(struct tok_enc *x, struct str s, const struct tok_prefixes *added, struct origin *o) {
    if (s.n > TEXT_BYTES_MAX)
        return err_set(x->e, ERR_LIMIT, "text", "is %zu bytes long; at most %u can be encoded", s.n, TEXT_BYTES_MAX);
    const char *from = s.p, *end = str_end(s);
    for (const char *p = from; p < end && added->n;) {
        uint32_t id = added->first[(uint8_t)*p] == added->first[(uint8_t)*p + 1] ? TOK_ABSENT : added_at(x->t, added, o, p, end);
        if (id == TOK_ABSENT)
            p++;
        else if (!(p = from = take_added(x, from, p, end, id)))
            return x->e->code;
    }
    return from < end ? x->t->encode(x, (struct str){from, (size_t)(end - from)}) : 0;
}

/* Runs encode with scratch memory of its own; on failure the ids are as they were. */
static int encode_all(const struct tok *t, struct str s, const struct tok_prefixes *added, struct origin *o, struct tok_ids *ids,
                      struct err *e) {
    struct err local = {0};
    struct tok_enc x = {.t = t, .ids = ids, .e = &local, .start = s.p, .n_settled = ids->n};
    size_t before = ids->n;
    int code = encode(&x, s, added, o);
    free_scratch(&x);
    if (code < 0) {
        ids->n = before;
        err_set(e, local.code, local.where, "%s", local.msg);
    }
    return code;
}

/* ---- public ----------------------------------------------------------------------------------------------------------------------- */

int tok_encode(const struct tok *t, struct str s, enum tok_mode mode, struct tok_ids *ids, struct err *e) {
    struct origin o = {.anywhere = mode == TOK_SPECIAL};
    return encode_all(t, s, mode == TOK_SPECIAL ? &t->added : &t->user, &o, ids, e);
}

int tok_encode_segments(const struct tok *t, const struct tmpl_out *rendered, struct tok_ids *ids, struct err *e) {
    struct origin o = {.segment = rendered->segments, .end = rendered->segments + rendered->n_segments};
    size_t before = ids->n;
    int code = encode_all(t, buf_as_str(&rendered->text), &t->added, &o, ids, e);
    if (code < 0 || !t->add_bos || (ids->n > before && ids->ids[before] == (uint32_t)t->bos))
        return code;
    code = push(ids, (uint32_t)t->bos, e);
    if (code < 0) {
        ids->n = before;
        return code;
    }
    memmove(ids->ids + before + 1, ids->ids + before, (ids->n - before - 1) * sizeof *ids->ids);
    ids->ids[before] = (uint32_t)t->bos;
    return 0;
}

int tok_add_front(const struct tok *t, struct tok_ids *ids, struct err *e) {
    return t->add_bos ? push(ids, (uint32_t)t->bos, e) : 0;
}

int tok_add_back(const struct tok *t, struct tok_ids *ids, struct err *e) {
    int code = t->add_eos ? push(ids, (uint32_t)t->eos, e) : 0;
    return code == 0 && t->add_sep ? push(ids, (uint32_t)t->sep, e) : code;
}
