/* tok: what the tokenizer's own files share. Public contract: text.h.
 *
 *     tok.c            making one, and its vocabulary        tok_encode.c   finding added tokens, encoding what is between them
 *     tok_table.c      hashes and the prefix table           tok_decode.c   bytes of tokens, streaming
 *     tok_trie.c       the keys as a double array
 *     tok_pre.c        byte-level BPE: rules by name         tok_scan.c     the scanners those rules are made of
 *     tok_merge.c      merging symbols, best pair first      tok_bpe.c, tok_spm.c, tok_unigram.c, tok_wordpiece.c  one model each
 *
 * Inside, a token's text is what it decodes to: a space is a space, not U+2581 or U+0120. */
#pragma once

#include "text.h"

#include <string.h>

#define TOK_WORD_START "\xe2\x96\x81" /* U+2581, how SentencePiece spells a space */
enum { TOK_WORD_START_BYTES = 3 };
enum { TOK_ABSENT = UINT32_MAX }; /* no token, no rank */

/* ---- tables ------------------------------------------------------------------------------------------------------------- */

/* Strings to ids: open addressing over keys[id]. Seeded, so that no file can make it slow; results do not depend on it. */
struct tok_slot {
    uint32_t hash, id; /* id TOK_ABSENT: empty */
};
struct tok_map {
    const struct str *keys; /* by id */
    struct tok_slot *slots;
    uint32_t mask;
    uint64_t seed;
};
/* Room for n keys. The memory is the arena's; false when there is none. */
bool tok_map_init(struct tok_map *m, const struct str *keys, uint32_t n, struct arena *arena) MUST_USE;
void tok_map_add(struct tok_map *m, uint32_t id); /* the first of equal keys stays */
uint32_t tok_map_find(const struct tok_map *m, struct str key);
/* The same in two steps, for who needs the hash too. */
uint32_t tok_map_hash(const struct tok_map *m, struct str key);
uint32_t tok_map_find_hashed(const struct tok_map *m, struct str key, uint32_t hash);

/* Pairs of ids to the rank of their merge and its result. */
struct tok_pair {
    uint32_t left, right, rank, id; /* left TOK_ABSENT: empty */
};
struct tok_pairs {
    struct tok_pair *slots;
    uint32_t mask;
    uint64_t seed;
};
bool tok_pairs_init(struct tok_pairs *m, uint32_t n, struct arena *arena) MUST_USE;
void tok_pairs_add(struct tok_pairs *m, struct tok_pair pair); /* the first of equal pairs stays */
const struct tok_pair *tok_pairs_find(const struct tok_pairs *m, uint32_t left, uint32_t right); /* or NULL */

/* Keys in byte order, to find all of them that begin a text. */
struct tok_prefixes {
    const struct str *keys; /* by id */
    uint32_t *ids;          /* in the order of their keys */
    uint32_t n;
    uint32_t first[257]; /* keys that begin with byte b are ids[first[b]] .. ids[first[b + 1] - 1] */
};
/* A walk down one text: keys [low, high) begin with its first `depth` bytes. */
struct tok_walk {
    uint32_t low, high;
    size_t depth;
};
/* Takes over ids, which it sorts: n of them, whose keys are distinct and not empty. */
void tok_prefixes_init(struct tok_prefixes *t, const struct str *keys, uint32_t *ids, uint32_t n);
/* Goes one byte further; false when no key has it. *id: the key that ends there, or TOK_ABSENT. */
bool tok_walk_step(const struct tok_prefixes *t, struct tok_walk *w, uint8_t byte, uint32_t *id);

/* The same keys byte by byte, for what is searched at every position of a text: a double array. The child of a node for a byte is
 * unit base ^ byte, if that unit's `above` is the node. Node 0 is the root. */
struct tok_unit {
    uint32_t base, above; /* above TOK_ABSENT: free */
    uint32_t id;          /* the key that ends here, or TOK_ABSENT */
};
struct tok_trie {
    const struct tok_unit *units; /* in blocks of 256, so that base ^ byte is always one of them */
};
/* Takes the keys of t, in their order. */
bool tok_trie_init(struct tok_trie *trie, const struct tok_prefixes *t, struct arena *arena) MUST_USE;
/* Goes from *node along `byte`; false when no key does. *id: the key that ends there, or TOK_ABSENT. */
static inline bool tok_trie_step(const struct tok_trie *trie, uint32_t *node, uint8_t byte, uint32_t *id) {
    uint32_t next = trie->units[*node].base ^ byte;
    if (trie->units[next].above != *node)
        return false;
    *node = next;
    *id = trie->units[next].id;
    return true;
}

/* ---- the tokenizer -------------------------------------------------------------------------------------------------------- */

struct tok_rule;      /* tok_pre.c: how byte-level BPE cuts a text into words */
struct tok_enc;       /* one call of tok_encode */
struct tok_charsmap { /* SentencePiece's normaliser: a double array and the replacements it points to */
    const uint8_t *units;
    uint32_t n_units;
    struct str texts;
    bool plain[256]; /* ASCII but spaces that stands for itself where no more than ASCII follows */
};

struct tok {
    enum tok_model model;
    uint32_t n;
    struct arena arena;
    struct str *names; /* as the file spells them */
    struct str *texts; /* what they decode to */
    uint8_t *kinds;
    double *scores;                  /* unigram only */
    uint32_t *ranks;                 /* SentencePiece BPE: by falling score, 0 is merged first; TOK_ABSENT: never */
    uint8_t *whole;                  /* TOK_WHOLE_ of each token, found when its text first comes as a word (atomic) */
    struct tok_map by_name, by_text; /* by_text: only tokens that plain text can become */
    size_t text_bytes_max;           /* longest key of by_text */
    struct tok_pairs pairs;
    uint32_t bytes[256];             /* the token of a byte alone, or TOK_ABSENT */
    uint32_t chars[128];             /* by_text of one ASCII character */
    struct tok_trie trie;            /* unigram, WordPiece: by_text byte by byte */
    struct tok_prefixes user, added; /* names that are found before anything else: user-defined; those and control */
    uint8_t *strip;                  /* STRIP_ bits of added tokens, or NULL where no token has any */
    const struct tok_rule *rule;     /* byte-level BPE */
    uint64_t joins_space[4];         /* bit b: some token holds a space after a character that ends in byte b */
    struct tok_charsmap charsmap;
    double unknown_score;
    int32_t bos, eos, unk, sep;
    bool add_bos, add_eos, add_sep, add_space_prefix, remove_extra_spaces, lowercase, strip_accents;
    bool prefix_once; /* the space is put before a text only, not behind added tokens too, and where it has none */
    bool nfc;         /* text is put into NFC first */
    int (*encode)(struct tok_enc *x, struct str s); /* appends the ids of text without added tokens; 0 or ERR_* */
};
enum { TOK_STRIP_LEFT = 1, TOK_STRIP_RIGHT = 2 }; /* an added token takes the white space before or behind it */
/* Is a text, taken as a word, encoded as this one token? Never, whatever the text: a name that does not spell bytes (BPE). */
enum { TOK_WHOLE_UNKNOWN, TOK_WHOLE_YES, TOK_WHOLE_NO, TOK_WHOLE_NEVER };

/* One symbol of a word that is being merged. */
struct tok_symbol {
    uint32_t id;           /* TOK_ABSENT: a character that is no token */
    uint32_t start, bytes; /* in the word's text */
};
/* What a call needs beside the tokenizer: memory that grows and is freed at its end. */
struct tok_enc {
    const struct tok *t;
    struct tok_ids *ids;
    struct err *e;
    const char *start;                      /* of the whole text */
    size_t n_settled;                       /* ids up to the last added token: an unknown one behind it begins anew */
    struct buf text;                        /* a normalised copy */
    struct buf word;                        /* see tok_wordpiece.c */
    struct buf symbols, links, heap, paths; /* see tok_merge.c, tok_unigram.c */
    struct tok_seen *seen;                  /* what long texts repeat, or NULL; see tok_merge.c */
    bool words_seen;                        /* its words are this text's */
};

/* Control and unknown tokens: no text becomes one by what it spells. */
bool tok_is_special(const struct tok *t, uint32_t id);

int tok_push(struct tok_enc *x, uint32_t id) MUST_USE;
/* The token of each byte of s; unk, once for all in a row, where there is none (nothing where there is no unk either). */
int tok_push_bytes(struct tok_enc *x, struct str s) MUST_USE;
/* Room for n items of `bytes` each at the start of b; NULL fills *e. */
void *tok_room(struct tok_enc *x, struct buf *b, size_t n, size_t bytes);

/* ---- models ----------------------------------------------------------------------------------------------------------------- */

int tok_bpe_init(struct tok *t, const struct tok_spec *spec, struct err *e) MUST_USE;
int tok_spm_init(struct tok *t, const struct tok_spec *spec, struct err *e) MUST_USE;
int tok_unigram_init(struct tok *t, const struct tok_spec *spec, struct err *e) MUST_USE;
int tok_wordpiece_init(struct tok *t, const struct tok_spec *spec, struct err *e) MUST_USE;
/* Fills t->trie. */
int tok_index_trie(struct tok *t, struct err *e) MUST_USE;

/* Which characters some token holds before a space, and the end of the word at p: the next space that no token reaches over. */
void tok_find_joins(struct tok *t);
const char *tok_word_end(const struct tok *t, const char *p, const char *end);
/* Encodes one word by the best way through its pieces (tok_unigram.c). */
int tok_best_word(struct tok_enc *x, struct str word) MUST_USE;
/* Encodes one word by merging; what ends as no token is spelled in bytes. Words of at most UINT32_MAX bytes. */
int tok_merge_word(struct tok_enc *x, struct str word) MUST_USE;
/* One word: at once where it is a whole token or came before, by merging otherwise. */
int tok_encode_word(struct tok_enc *x, struct str word) MUST_USE;
/* To be called before the words of a text: forgets those of the last one, whose bytes may be gone. */
void tok_begin_words(struct tok_enc *x, struct str text);
/* Reads "left right" merges into t->pairs. Merges that name no tokens of the file, or make a control token, never
 * apply: they are left out. */
int tok_read_merges(struct tok *t, const struct tok_spec *spec, struct err *e) MUST_USE;

/* ---- pre-tokenizer -------------------------------------------------------------------------------------------------------------- */

/* The rule of a name, "" being the architecture's; NULL when there is none. */
const struct tok_rule *tok_rule_find(struct str pre, struct str arch);
bool tok_rule_nfc(const struct tok_rule *r);
bool tok_rule_takes_whole(const struct tok_rule *r); /* a word that is a token is taken whole, whatever the merges say */
/* Cuts s by the rule and calls tok_encode_word for each word. */
int tok_rule_apply(const struct tok_rule *r, struct tok_enc *x, struct str s) MUST_USE;
