/* tok: unigram, SentencePiece's other model. Text goes through the file's character map, spaces are put in order, and of all ways
 * to spell it in pieces the one with the greatest sum of scores is taken: one pass from the left, which keeps for each position
 * the best way to get there. Sums are doubles, and the first of equals stays, as in the published tokenizers.
 *
 * precompiled_charsmap:
 *     offset  size   meaning
 *     0       4      bytes of the units, little-endian
 *     4       that   units of 32 bits: a double array (bits 10-30 offset, 9 offset times 256, 8 has a value, 0-7 label; values
 *                    have bit 31) over the byte sequences that are replaced
 *     then    rest   the replacements, each ended by NUL; a value is the position of its first byte */
#include "tok_impl.h"

#include <float.h>

static const double unknown_penalty = 10; /* below the worst piece */

/* ---- the character map ------------------------------------------------------------------------------------------------------ */

static uint32_t unit_at(const struct tok_charsmap *m, uint32_t i) {
    const uint8_t *p = m->units + (size_t)i * 4;
    return i < m->n_units ? (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24 : 0;
}

static uint32_t offset_of(uint32_t unit) {
    return unit >> 10 << ((unit & 1u << 9) >> 6);
}

/* The replacement of the longest sequence that text begins with; *n is that sequence's length, 0 where there is none. */
static struct str replacement(const struct tok_charsmap *m, struct str text, size_t *n) {
    uint32_t at = offset_of(unit_at(m, 0)), found = 0;
    *n = 0;
    for (size_t i = 0; i < text.n && text.p[i]; i++) {
        uint8_t byte = (uint8_t)text.p[i];
        at ^= byte;
        uint32_t unit = unit_at(m, at);
        if ((unit & (1u << 31 | 0xff)) != byte)
            break;
        at ^= offset_of(unit);
        if (unit >> 8 & 1) {
            *n = i + 1;
            found = unit_at(m, at) & ~(1u << 31);
        }
    }
    const char *text_end = found < m->texts.n ? memchr(m->texts.p + found, 0, m->texts.n - found) : NULL;
    if (!text_end) { /* points out of the map */
        *n = 0;
        return (struct str){0};
    }
    return (struct str){m->texts.p + found, (size_t)(text_end - m->texts.p) - found};
}

/* Does the map have a sequence that is `first` alone or goes on in ASCII? */
static bool replaces_ascii(const struct tok_charsmap *m, uint8_t first) {
    uint32_t at = offset_of(unit_at(m, 0)) ^ first, unit = unit_at(m, at);
    if ((unit & (1u << 31 | 0xff)) != first)
        return false;
    bool found = unit >> 8 & 1;
    at ^= offset_of(unit);
    for (uint32_t next = 1; next < 0x80 && !found; next++)
        found = (unit_at(m, at ^ next) & (1u << 31 | 0xff)) == next;
    return found;
}

static void find_plain(struct tok_charsmap *m) {
    for (unsigned byte = 1; byte < 0x80; byte++)
        m->plain[byte] = byte != ' ' && (m->n_units == 0 || !replaces_ascii(m, (uint8_t)byte));
}

static int read_charsmap(struct tok *t, struct str map, struct err *e) {
    if (map.n == 0)
        return 0;
    struct str copy = arena_str(&t->arena, map);
    if (!copy.p)
        return err_set(e, ERR_MEMORY, "tokenizer.ggml.precompiled_charsmap", "out of memory for %zu bytes", map.n);
    const uint8_t *p = (const uint8_t *)copy.p;
    size_t bytes = map.n < 4 ? SIZE_MAX : (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
    if (bytes % 4 || bytes == 0 || bytes > map.n - 4)
        return err_set(e, ERR_INPUT, "tokenizer.ggml.precompiled_charsmap", "has %zu bytes, which its first four contradict",
                       map.n);
    t->charsmap =
        (struct tok_charsmap){.units = p + 4, .n_units = (uint32_t)(bytes / 4), .texts = {copy.p + 4 + bytes, map.n - 4 - bytes}};
    return 0;
}

/* ---- normalising -------------------------------------------------------------------------------------------------------------- */

struct normaliser {
    const struct tok *t;
    struct buf *out;
    bool begun, space_waits;
};

/* What goes before the next character that is no space: the prefix, or the one space that is left of many. */
static void put_space(struct normaliser *n) {
    if (n->begun ? n->space_waits : n->t->add_space_prefix)
        buf_byte(n->out, ' ');
    n->begun = true;
    n->space_waits = false;
}

static void put(struct normaliser *n, struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        bool mark = s.n - i >= TOK_WORD_START_BYTES && memcmp(s.p + i, TOK_WORD_START, TOK_WORD_START_BYTES) == 0;
        if (n->t->remove_extra_spaces && s.p[i] == ' ') {
            n->space_waits = n->begun;
            continue;
        }
        if (!n->begun || n->space_waits)
            put_space(n);
        buf_byte(n->out, mark ? ' ' : s.p[i]);
        i += mark ? TOK_WORD_START_BYTES - 1 : 0;
    }
}

/* Bytes at s.p + i that are copied as they stand: each of them plain, and ASCII behind it. */
static size_t plain_length(const struct tok_charsmap *m, struct str s, size_t i) {
    size_t end = i;
    while (end < s.n && m->plain[(uint8_t)s.p[end]])
        end++;
    return end - i - (end > i && end < s.n && (uint8_t)s.p[end] >= 0x80);
}

static void normalise(const struct tok *t, struct str s, struct buf *out) {
    struct normaliser n = {.t = t, .out = out};
    out->n = 0;
    out->max = SIZE_MAX / 2;
    for (size_t i = 0, len; t->charsmap.n_units && i < s.n; i += len) {
        uint32_t cp;
        if ((len = plain_length(&t->charsmap, s, i))) {
            put_space(&n);
            buf_add(out, s.p + i, len);
            continue;
        }
        struct str to = replacement(&t->charsmap, (struct str){s.p + i, s.n - i}, &len);
        if (len == 0) {
            len = utf8_decode(s.p + i, s.p + s.n, &cp);
            len = len ? len : 1;
            to = (struct str){s.p + i, len};
        }
        put(&n, to);
    }
    if (t->charsmap.n_units == 0)
        put(&n, s);
}

/* ---- the best way --------------------------------------------------------------------------------------------------------------- */

/* A position in the text: how it is reached best. Later, turned round: where the way goes on from here. */
struct node {
    double score;
    uint32_t other, id; /* the piece lies between here and `other`; TOK_ABSENT: a character that no piece has */
};

static inline void reach(struct node *nodes, size_t from, size_t to, double score, uint32_t id) {
    if (score > nodes[to].score)
        nodes[to] = (struct node){score, (uint32_t)from, id};
}

static void find_best(const struct tok *t, struct str s, struct node *nodes) {
    for (size_t i = 0; i <= s.n; i++)
        nodes[i].score = -DBL_MAX;
    nodes[0].score = 0;
    for (size_t at = 0; at < s.n;) {
        uint32_t cp, node = 0, id;
        size_t len = utf8_decode(s.p + at, s.p + s.n, &cp);
        bool known = false;
        len = len ? len : 1;
        for (size_t i = at; i < s.n && tok_trie_step(&t->trie, &node, (uint8_t)s.p[i], &id); i++)
            if (id != TOK_ABSENT) {
                known = known || i + 1 - at == len;
                reach(nodes, at, i + 1, nodes[at].score + t->scores[id], id);
            }
        if (!known)
            reach(nodes, at, at + len, nodes[at].score + t->unknown_score, TOK_ABSENT);
        at += len;
    }
}

/* Turns the way to the end into one from the beginning. */
static void turn_round(struct node *nodes, size_t end) {
    uint32_t next = (uint32_t)end, at = nodes[end].other, id = nodes[end].id;
    for (;;) {
        struct node before = nodes[at];
        nodes[at].other = next;
        nodes[at].id = id;
        if (at == 0)
            return;
        next = at;
        id = before.id;
        at = before.other;
    }
}

int tok_best_word(struct tok_enc *x, struct str text) {
    struct node *nodes = tok_room(x, &x->paths, text.n + 1, sizeof *nodes);
    if (!nodes)
        return ERR_MEMORY;
    if (text.n == 0)
        return 0;
    find_best(x->t, text, nodes);
    turn_round(nodes, text.n);
    int code = 0;
    for (size_t at = 0; code == 0 && at < text.n; at = nodes[at].other) {
        const struct node *n = &nodes[at];
        code = n->id != TOK_ABSENT ? tok_push(x, n->id) : tok_push_bytes(x, (struct str){text.p + at, n->other - at});
    }
    return code;
}

/* Where spaces are put in order the published tokenizers cut text into words first; elsewhere it is one. */
static int encode_unigram(struct tok_enc *x, struct str s) {
    normalise(x->t, s, &x->text);
    if (x->text.failed || x->text.n >= UINT32_MAX)
        return err_set(x->e, ERR_MEMORY, "text", "out of memory for a copy of it");
    struct str text = buf_as_str(&x->text);
    if (!x->t->remove_extra_spaces)
        return tok_best_word(x, text);
    int code = 0;
    tok_begin_words(x, text);
    for (const char *p = text.p, *end = p + text.n, *next; code == 0 && p < end; p = next) {
        next = tok_word_end(x->t, p, end);
        code = tok_encode_word(x, (struct str){p, (size_t)(next - p)});
    }
    return code;
}

int tok_unigram_init(struct tok *t, const struct tok_spec *spec, struct err *e) {
    double least = DBL_MAX;
    t->encode = encode_unigram;
    tok_find_joins(t);
    t->scores = arena_array(&t->arena, t->n, sizeof *t->scores);
    if (!t->scores)
        return err_set(e, ERR_MEMORY, "tokenizer.ggml.scores", "out of memory for %u tokens", t->n);
    for (uint32_t i = 0; i < t->n; i++) {
        t->scores[i] = t->kinds[i] == TOK_NORMAL ? (double)spec->pieces[i].score : 0;
        if (t->kinds[i] == TOK_NORMAL && t->scores[i] < least)
            least = t->scores[i];
    }
    t->unknown_score = (least == DBL_MAX ? 0 : least) - unknown_penalty;
    int code = tok_index_trie(t, e);
    if (code == 0)
        code = read_charsmap(t, spec->charsmap, e);
    find_plain(&t->charsmap);
    return code;
}
