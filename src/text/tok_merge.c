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

/* The token of the character at p, and its length; TOK_ABSENT where there is none. */
static inline uint32_t char_at(const struct tok *t, const char *p, const char *end, unsigned *len) {
    uint32_t cp;
    if ((uint8_t)*p < 0x80) {
        *len = 1;
        return t->chars[(uint8_t)*p];
    }
    *len = utf8_decode(p, end, &cp);
    *len = *len ? *len : 1;
    return tok_map_find(&t->by_text, (struct str){p, *len});
}

static size_t symbols_of(const struct tok *t, struct str word, struct tok_symbol *out) {
    size_t n = 0;
    bool bytes = t->model == TOK_BPE;
    for (size_t i = 0; i < word.n;) {
        unsigned len = 1;
        uint32_t id = bytes ? t->bytes[(uint8_t)word.p[i]] : char_at(t, word.p + i, word.p + word.n, &len);
        if (id != TOK_ABSENT || !bytes)
            out[n++] = (struct tok_symbol){id, (uint32_t)i, len};
        i += len;
    }
    return n;
}

/* ---- what a long text repeats ---------------------------------------------------------------------------------------------- */

/* Words and where their ids stand, pairs and what they make: a text says the same again and again. */
enum { SEEN_WORDS = 16384, SEEN_PAIRS = 8192, SEEN_WORD_MAX = 64, SEEN_TEXT_MIN = 8192 };
struct tok_seen {
    struct {
        struct str text; /* p NULL: empty */
        uint32_t at, n;  /* in the ids */
    } words[SEEN_WORDS];
    struct tok_pair pairs[SEEN_PAIRS]; /* by score only: merges have a table of their own. left 0 and right 0: empty */
};

void tok_begin_words(struct tok_enc *x, struct str text) {
    x->words_seen = text.n >= SEEN_TEXT_MIN; /* clearing costs more than short texts take */
    if (x->words_seen && x->seen)
        memset(x->seen->words, 0, sizeof x->seen->words); /* pairs stay what they are */
    else if (x->words_seen)
        x->seen = calloc(1, sizeof *x->seen); /* without memory it goes on as it did before */
}

/* ---- ranks --------------------------------------------------------------------------------------------------------------------- */

static uint32_t rank_by_text(const struct tok *t, struct str both, uint32_t *id) {
    *id = both.n > t->text_bytes_max ? TOK_ABSENT : tok_map_find(&t->by_text, both);
    return *id == TOK_ABSENT ? TOK_ABSENT : t->ranks[*id];
}

static inline uint32_t rank_seen(struct tok_enc *x, struct str both, uint32_t left, uint32_t right, uint32_t *id) {
    struct tok_pair *p = &x->seen->pairs[(left * 0x9e3779b1u ^ right * 0x85ebca6bu) >> 19];
    if (p->left != left || p->right != right || (left | right) == 0) {
        p->rank = rank_by_text(x->t, both, &p->id);
        p->left = left;
        p->right = right;
    }
    *id = p->id;
    return p->rank;
}

/* The rank of a pair and what it makes; TOK_ABSENT where it is none. */
static inline uint32_t rank_of(struct tok_enc *x, struct str word, const struct tok_symbol *a, const struct tok_symbol *b,
                               uint32_t *id) {
    const struct tok *t = x->t;
    bool named = a->id != TOK_ABSENT && b->id != TOK_ABSENT;
    if (t->ranks) {
        struct str both = {word.p + a->start, a->bytes + b->bytes};
        return named && x->seen ? rank_seen(x, both, a->id, b->id, id) : rank_by_text(t, both, id);
    }
    const struct tok_pair *pair = named ? tok_pairs_find(&t->pairs, a->id, b->id) : NULL;
    *id = pair ? pair->id : TOK_ABSENT;
    return pair ? pair->rank : TOK_ABSENT;
}

/* ---- merging ------------------------------------------------------------------------------------------------------------------- */

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
        rank[i] = rank_of(x, word, &s[i], &s[i + 1], &id[i]);
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
            rank[best] = rank_of(x, word, &s[best], &s[best + 1], &id[best]);
        if (best > 0)
            rank[best - 1] = rank_of(x, word, &s[best - 1], &s[best], &id[best - 1]);
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
    struct tok_enc *x;
    struct str word;
    struct tok_symbol *s;
    struct link *links;
    struct entry *heap;
    size_t n_heap;
};

static void rate(struct many *m, uint32_t at) {
    struct link *l = &m->links[at];
    l->rank = l->next == TOK_ABSENT ? TOK_ABSENT : rank_of(m->x, m->word, &m->s[at], &m->s[l->next], &l->id);
    if (l->rank != TOK_ABSENT)
        heap_put(m->heap, &m->n_heap, (struct entry){l->rank, at});
}

static int merge_many(struct tok_enc *x, struct str word) {
    struct many m = {.x = x, .word = word, .s = tok_room(x, &x->symbols, word.n, sizeof *m.s)};
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

static int encode_new(struct tok_enc *x, struct str word) {
    return x->t->model == TOK_UNIGRAM ? tok_best_word(x, word) : tok_merge_word(x, word);
}

/* A text that is a token becomes that token mostly, not always. What was found out is kept: the same for every thread. */
static int encode_known(struct tok_enc *x, struct str word, uint32_t id) {
    uint8_t *whole = &x->t->whole[id];
    size_t before = x->ids->n;
    switch (__atomic_load_n(whole, __ATOMIC_RELAXED)) {
    case TOK_WHOLE_YES: return tok_push(x, id);
    case TOK_WHOLE_NO: return encode_new(x, word);
    default: break;
    }
    int code = encode_new(x, word);
    bool yes = code == 0 && x->ids->n == before + 1 && x->ids->ids[before] == id;
    if (code == 0)
        __atomic_store_n(whole, yes ? TOK_WHOLE_YES : TOK_WHOLE_NO, __ATOMIC_RELAXED);
    return code;
}

static int repeat(struct tok_enc *x, size_t at, size_t n) {
    int code = 0;
    for (size_t i = at; code == 0 && i < at + n; i++)
        code = tok_push(x, x->ids->ids[i]);
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

static int encode_unless_seen(struct tok_enc *x, struct str word, uint32_t hash) {
    if (!x->seen || !x->words_seen || word.n > SEEN_WORD_MAX)
        return encode_new(x, word);
    size_t slot = hash >> 8 & (SEEN_WORDS - 1), before = x->ids->n;
    if (x->seen->words[slot].text.p && str_eq(x->seen->words[slot].text, word))
        return repeat(x, x->seen->words[slot].at, x->seen->words[slot].n);
    int code = encode_new(x, word);
    if (code == 0 && x->ids->n < UINT32_MAX && repeats(x, before)) {
        x->seen->words[slot].text = word;
        x->seen->words[slot].at = (uint32_t)before;
        x->seen->words[slot].n = (uint32_t)(x->ids->n - before);
    }
    return code;
}

int tok_encode_word(struct tok_enc *x, struct str word) {
    uint32_t hash = tok_map_hash(&x->t->by_text, word);
    uint32_t id = word.n <= x->t->text_bytes_max ? tok_map_find_hashed(&x->t->by_text, word, hash) : TOK_ABSENT;
    return id != TOK_ABSENT ? encode_known(x, word, id) : encode_unless_seen(x, word, hash);
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
