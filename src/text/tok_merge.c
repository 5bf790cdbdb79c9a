/* tok: merging. The symbols of a word are joined in pairs, always the pair of lowest rank, the leftmost of equals, until no
 * pair has a rank. Few symbols are searched through at each step; many wait in a heap, so that a word of n characters costs
 * n log n. Symbols are bytes (byte-level BPE; a byte without a token is dropped, as every known tokenizer does) or characters. */
#include "tok_impl.h"

#include <stdlib.h>

enum { FEW = 40 };

struct link {
    uint32_t prev, next; /* live neighbours; TOK_ABSENT at the ends */
    uint32_t rank, id;   /* of the pair with `next`: TOK_ABSENT when it cannot be merged */
};
struct entry {
    uint32_t rank, at; /* stale once the link at `at` has another rank */
};

static size_t symbols_of(const struct tok *t, struct str word, struct tok_symbol *out) {
    size_t n = 0;
    for (size_t i = 0; i < word.n;) {
        uint32_t cp;
        unsigned len = t->model == TOK_BPE ? 1 : utf8_decode(word.p + i, word.p + word.n, &cp);
        len = len ? len : 1;
        uint32_t id =
            t->model == TOK_BPE ? t->bytes[(uint8_t)word.p[i]] : tok_map_find(&t->by_text, (struct str){word.p + i, len});
        if (id != TOK_ABSENT || t->model != TOK_BPE)
            out[n++] = (struct tok_symbol){id, (uint32_t)i, len};
        i += len;
    }
    return n;
}

/* The rank of a pair and what it makes; TOK_ABSENT where it is none. */
static inline uint32_t rank_of(const struct tok *t, struct str word, const struct tok_symbol *a, const struct tok_symbol *b,
                               uint32_t *id) {
    if (t->ranks) {
        struct str both = {word.p + a->start, a->bytes + b->bytes};
        *id = both.n > t->text_bytes_max ? TOK_ABSENT : tok_map_find(&t->by_text, both);
        return *id == TOK_ABSENT ? TOK_ABSENT : t->ranks[*id];
    }
    if (a->id == TOK_ABSENT || b->id == TOK_ABSENT)
        return TOK_ABSENT;
    const struct tok_pair *pair = tok_pairs_find(&t->pairs, a->id, b->id);
    *id = pair ? pair->id : TOK_ABSENT;
    return pair ? pair->rank : TOK_ABSENT;
}

static void join(struct tok_symbol *a, const struct tok_symbol *b, uint32_t id) {
    a->id = id;
    a->bytes = b->start + b->bytes - a->start;
}

static int emit(struct tok_enc *x, struct str word, const struct tok_symbol *s) {
    return s->id != TOK_ABSENT ? tok_push(x, s->id) : tok_push_bytes(x, (struct str){word.p + s->start, s->bytes});
}

static int merge_few(struct tok_enc *x, struct str word) {
    const struct tok *t = x->t;
    struct tok_symbol s[FEW];
    uint32_t rank[FEW], id[FEW]; /* of the pair (i, i + 1) */
    size_t n = symbols_of(t, word, s);
    for (size_t i = 0; i + 1 < n; i++)
        rank[i] = rank_of(t, word, &s[i], &s[i + 1], &id[i]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == TOK_ABSENT)
            break;
        join(&s[best], &s[best + 1], id[best]);
        n--;
        for (size_t i = best + 1; i < n; i++) {
            s[i] = s[i + 1];
            rank[i - 1] = rank[i];
            id[i - 1] = id[i];
        }
        if (best + 1 < n)
            rank[best] = rank_of(t, word, &s[best], &s[best + 1], &id[best]);
        if (best > 0)
            rank[best - 1] = rank_of(t, word, &s[best - 1], &s[best], &id[best - 1]);
    }
    int code = 0;
    for (size_t i = 0; code == 0 && i < n; i++)
        code = emit(x, word, &s[i]);
    return code;
}

static inline bool before(struct entry a, struct entry b) {
    return a.rank < b.rank || (a.rank == b.rank && a.at < b.at);
}

static void heap_put(struct entry *heap, size_t *n, struct entry e) {
    size_t at = (*n)++;
    for (; at > 0 && before(e, heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = e;
}

static struct entry heap_take(struct entry *heap, size_t *n) {
    struct entry top = heap[0], last = heap[--*n];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < *n; at = child) {
        if (child + 1 < *n && before(heap[child + 1], heap[child]))
            child++;
        if (!before(heap[child], last))
            break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return top;
}

/* What merge_many works on. */
struct many {
    const struct tok *t;
    struct str word;
    struct tok_symbol *s;
    struct link *links;
    struct entry *heap;
    size_t n_heap;
};

static void rate(struct many *m, uint32_t at) {
    struct link *l = &m->links[at];
    l->rank = l->next == TOK_ABSENT ? TOK_ABSENT : rank_of(m->t, m->word, &m->s[at], &m->s[l->next], &l->id);
    if (l->rank != TOK_ABSENT)
        heap_put(m->heap, &m->n_heap, (struct entry){l->rank, at});
}

static int merge_many(struct tok_enc *x, struct str word) {
    struct many m = {.t = x->t, .word = word, .s = tok_room(x, &x->symbols, word.n, sizeof *m.s)};
    if (!m.s)
        return ERR_MEMORY;
    size_t n = symbols_of(x->t, word, m.s);
    m.links = tok_room(x, &x->links, n, sizeof *m.links);
    m.heap = tok_room(x, &x->heap, 3 * n, sizeof *m.heap); /* one entry a pair, and at most two more a merge */
    if (!m.links || !m.heap)
        return ERR_MEMORY;
    for (uint32_t i = 0; i < n; i++)
        m.links[i] = (struct link){i ? i - 1 : TOK_ABSENT, i + 1 < n ? i + 1 : TOK_ABSENT, TOK_ABSENT, TOK_ABSENT};
    for (uint32_t i = 0; i < n; i++)
        rate(&m, i);
    while (m.n_heap) {
        struct entry best = heap_take(m.heap, &m.n_heap);
        struct link *l = &m.links[best.at];
        if (l->rank != best.rank)
            continue;
        struct link *gone = &m.links[l->next];
        join(&m.s[best.at], &m.s[l->next], l->id);
        gone->rank = TOK_ABSENT;
        l->next = gone->next;
        if (l->next != TOK_ABSENT)
            m.links[l->next].prev = best.at;
        rate(&m, best.at);
        if (l->prev != TOK_ABSENT)
            rate(&m, l->prev);
    }
    int code = 0;
    for (uint32_t at = n ? 0 : TOK_ABSENT; code == 0 && at != TOK_ABSENT; at = m.links[at].next)
        code = emit(x, word, &m.s[at]);
    return code;
}

int tok_merge_word(struct tok_enc *x, struct str word) {
    return word.n <= FEW ? merge_few(x, word) : merge_many(x, word);
}

/* A text that is a token becomes that token mostly, not always. What was found out is kept: the same for every thread. */
static int encode_known(struct tok_enc *x, struct str word, uint32_t id) {
    uint8_t *whole = &x->t->whole[id];
    size_t before = x->ids->n;
    switch (__atomic_load_n(whole, __ATOMIC_RELAXED)) {
    case TOK_WHOLE_YES: return tok_push(x, id);
    case TOK_WHOLE_NO: return tok_merge_word(x, word);
    default: break;
    }
    int code = tok_merge_word(x, word);
    bool yes = code == 0 && x->ids->n == before + 1 && x->ids->ids[before] == id;
    if (code == 0)
        __atomic_store_n(whole, yes ? TOK_WHOLE_YES : TOK_WHOLE_NO, __ATOMIC_RELAXED);
    return code;
}

/* ---- words that came before ------------------------------------------------------------------------------------------------ */

/* A word of the text and where its ids stand. A text says the same words again and again. */
struct tok_seen {
    struct str word; /* p NULL: empty */
    uint32_t at, n;  /* in the ids */
};
enum { SEEN_SLOTS = 4096, SEEN_WORD_MAX = 64, SEEN_TEXT_MIN = 8192 };

void tok_begin_words(struct tok_enc *x, struct str text) {
    if (x->seen)
        memset(x->seen, 0, SEEN_SLOTS * sizeof *x->seen);
    else if (text.n >= SEEN_TEXT_MIN)
        x->seen = calloc(SEEN_SLOTS, sizeof *x->seen); /* without memory it goes on as it did before */
}

static int repeat(struct tok_enc *x, const struct tok_seen *seen) {
    int code = 0;
    for (uint32_t i = 0; code == 0 && i < seen->n; i++)
        code = tok_push(x, x->ids->ids[seen->at + i]);
    return code;
}

/* Is what a word gave since `before` the same wherever it stands? An unknown token depends on the one before it. */
static bool repeats(const struct tok_enc *x, size_t before) {
    uint32_t unk = (uint32_t)x->t->unk; /* TOK_NONE is no id */
    for (size_t i = before ? before - 1 : 0; i < x->ids->n; i++)
        if (x->ids->ids[i] == unk)
            return false;
    return true;
}

static int merge_unless_seen(struct tok_enc *x, struct str word, uint32_t hash) {
    if (!x->seen || word.n > SEEN_WORD_MAX)
        return tok_merge_word(x, word);
    struct tok_seen *seen = &x->seen[hash >> 8 & (SEEN_SLOTS - 1)];
    if (seen->word.p && str_eq(seen->word, word))
        return repeat(x, seen);
    size_t before = x->ids->n;
    int code = tok_merge_word(x, word);
    if (code == 0 && x->ids->n < UINT32_MAX && repeats(x, before))
        *seen = (struct tok_seen){word, (uint32_t)before, (uint32_t)(x->ids->n - before)};
    return code;
}

int tok_encode_word(struct tok_enc *x, struct str word) {
    uint32_t hash = tok_map_hash(&x->t->by_text, word);
    uint32_t id = word.n <= x->t->text_bytes_max ? tok_map_find_hashed(&x->t->by_text, word, hash) : TOK_ABSENT;
    return id != TOK_ABSENT ? encode_known(x, word, id) : merge_unless_seen(x, word, hash);
}

int tok_read_merges(struct tok *t, const struct tok_spec *spec, struct err *e) {
    if (!tok_pairs_init(&t->pairs, spec->n_merges, &t->arena))
        return err_set(e, ERR_MEMORY, "tokenizer.ggml.merges", "out of memory for %u merges", spec->n_merges);
    struct buf both = {0};
    for (uint32_t rank = 0; rank < spec->n_merges && !both.failed; rank++) {
        struct str m = spec->merges[rank];
        const char *space = m.n > 2 ? memchr(m.p + 1, ' ', m.n - 2) : NULL;
        if (!space) {
            buf_free(&both);
            return err_set(e, ERR_INPUT, "tokenizer.ggml.merges", "merge %u is not two parts and one space", rank);
        }
        struct str left = {m.p, (size_t)(space - m.p)}, right = {space + 1, m.n - left.n - 1};
        both.n = 0;
        buf_str(&both, left);
        buf_str(&both, right);
        struct tok_pair pair = {tok_map_find(&t->by_name, left), tok_map_find(&t->by_name, right), rank,
                                tok_map_find(&t->by_name, buf_as_str(&both))};
        if (pair.left != TOK_ABSENT && pair.right != TOK_ABSENT && pair.id != TOK_ABSENT && !tok_is_special(t, pair.id))
            tok_pairs_add(&t->pairs, pair);
    }
    bool failed = both.failed;
    buf_free(&both);
    return failed ? err_set(e, ERR_MEMORY, "tokenizer.ggml.merges", "out of memory") : 0;
}
