/* tok: WordPiece, as BERT's vocabularies have it. Text is cleaned, decomposed without its accents and made small; words lie between
 * white space, each punctuation mark and each Han character is a word; a word is spelled in its longest pieces from the left, or
 * is unknown as a whole. Inside, the first piece of a word begins with a space, the others do not. */
#include "tok_impl.h"
#include "unicode_props.h"

enum { WORD_CHARS_MAX = 100, REPLACEMENT = 0xfffd, SMALL_I_DOT = 0x130, DOT_ABOVE = 0x307 };

/* ---- classes -------------------------------------------------------------------------------------------------------------- */

static bool is_han(uint32_t cp) {
    if (cp < 0x3400)
        return false;
    return (cp <= 0x4dbf) || (cp >= 0x4e00 && cp <= 0x9fff) || (cp >= 0xf900 && cp <= 0xfaff) ||
           (cp >= 0x20000 && cp <= 0x2a6df) || (cp >= 0x2a700 && cp <= 0x2b81f) ||
           (cp >= 0x2b920 && cp <= 0x2ceaf) || /* U+2B820 on are left out there, too */
           (cp >= 0x2f800 && cp <= 0x2fa1f);
}

static bool is_punctuation(uint32_t cp, uint32_t class) {
    return class & UC_P || (cp < 0x80 && class & UC_S);
}

/* ---- words ------------------------------------------------------------------------------------------------------------------ */

/* Bytes of the longest piece that text begins with, and its id; 0 where none is. */
static size_t longest_piece(const struct tok *t, struct str text, uint32_t *id) {
    size_t longest = 0;
    uint32_t node = 0, found;
    for (size_t i = 0; i < text.n && tok_trie_step(&t->trie, &node, (uint8_t)text.p[i], &found); i++)
        if (found != TOK_ABSENT) {
            longest = i + 1;
            *id = found;
        }
    return longest;
}

static int push_unknown(struct tok_enc *x) {
    return x->t->unk == TOK_NONE ? 0 : tok_push(x, (uint32_t)x->t->unk);
}

static int encode_word(struct tok_enc *x, struct str word, size_t n_chars) {
    const struct tok *t = x->t;
    size_t before = x->ids->n;
    if (n_chars > WORD_CHARS_MAX)
        return push_unknown(x);
    uint32_t id = word.n <= t->text_bytes_max ? tok_map_find(&t->by_text, word) : TOK_ABSENT;
    if (id != TOK_ABSENT)
        return tok_push(x, id);
    for (size_t at = 0; at < word.n;) {
        size_t n = longest_piece(t, (struct str){word.p + at, word.n - at}, &id);
        if (n <= (at == 0)) { /* the space alone begins no word */
            x->ids->n = before;
            return push_unknown(x);
        }
        int code = tok_push(x, id);
        if (code < 0)
            return code;
        at += n;
    }
    return 0;
}

/* The word that is being put together: a space, then its characters. */
struct word {
    struct tok_enc *x;
    struct buf *text;
    size_t n_chars;
};

static void begin_word(struct word *w) {
    w->text->n = 0;
    w->n_chars = 0;
    buf_byte(w->text, ' ');
}

static int end_word(struct word *w) {
    int code = w->n_chars ? encode_word(w->x, buf_as_str(w->text), w->n_chars) : 0;
    begin_word(w);
    return code;
}

/* What is beyond the limit is counted, not kept: such a word is unknown. */
static void add_char(struct word *w, uint32_t cp) {
    char utf8[4];
    if (w->n_chars++ < WORD_CHARS_MAX)
        buf_add(w->text, utf8, utf8_encode(cp, utf8));
}

static void add_lower(struct word *w, uint32_t cp) {
    add_char(w, cp == SMALL_I_DOT ? 'i' : cp < 0x80 ? cp | (cp >= 'A' && cp <= 'Z' ? 0x20 : 0) : uc_lower(cp));
    if (cp == SMALL_I_DOT)
        add_char(w, DOT_ABOVE);
}

static int take_char(struct word *w, uint32_t cp) {
    const struct tok *t = w->x->t;
    uint32_t class = uc_class_8(cp);
    if (t->strip_accents && class & UC_MN)
        return 0;
    bool alone = is_punctuation(cp, class);
    int code = alone || class & UC_SPACE ? end_word(w) : 0;
    if (code < 0 || class & UC_SPACE)
        return code;
    if (t->lowercase)
        add_lower(w, cp);
    else
        add_char(w, cp);
    return alone ? end_word(w) : 0;
}

static int encode_words(struct tok_enc *x, struct str s) {
    struct word w = {.x = x, .text = &x->word};
    int code = 0;
    begin_word(&w);
    for (const char *p = s.p, *end = str_end(s); code == 0 && p < end;) {
        uint32_t cp;
        p += utf8_decode(p, end, &cp); /* whole characters: clean() let nothing else through */
        code = take_char(&w, cp);
    }
    return code < 0 ? code : end_word(&w);
}

/* ---- normalising ---------------------------------------------------------------------------------------------------------------- */

/* Copies s without control characters and what is no UTF-8, with plain spaces for white space and around Han characters. False:
 * all of it is ASCII. */
static bool clean(struct str s, struct buf *out) {
    bool beyond_ascii = false;
    for (const char *p = s.p, *end = str_end(s); p < end;) {
        uint32_t cp;
        unsigned len = utf8_decode(p, end, &cp);
        uint32_t class = len ? uc_class_8(cp) : 0;
        beyond_ascii = beyond_ascii || len > 1;
        if (class & UC_Z || (len && (cp == '\t' || cp == '\n' || cp == '\r'))) {
            buf_byte(out, ' ');
        } else if (len && cp != REPLACEMENT && !(class & (UC_CC | UC_CSPACE | UC_CF | UC_CO))) {
            bool han = is_han(cp);
            if (han)
                buf_byte(out, ' ');
            buf_add(out, p, len);
            if (han)
                buf_byte(out, ' ');
        }
        p += len ? len : 1;
    }
    return beyond_ascii;
}

static int encode_wordpiece(struct tok_enc *x, struct str s) {
    struct buf *text = &x->text, *decomposed = &x->paths;
    text->max = decomposed->max = SIZE_MAX / 2;
    text->n = decomposed->n = 0;
    if (clean(s, text) && x->t->strip_accents) {
        uc_nfd(buf_as_str(text), decomposed);
        text = decomposed;
    }
    if (x->text.failed || x->paths.failed)
        return err_set(x->e, ERR_MEMORY, "text", "out of memory for a copy of it");
    int code = encode_words(x, buf_as_str(text));
    return code == 0 && x->word.failed ? err_set(x->e, ERR_MEMORY, "text", "out of memory for a word") : code;
}

int tok_wordpiece_init(struct tok *t, const struct tok_spec *spec, struct err *e) {
    t->encode = encode_wordpiece;
    t->lowercase = spec->lowercase;
    t->strip_accents = spec->strip_accents;
    return tok_index_trie(t, e);
}
