/* tok: making a tokenizer from a spec, and its vocabulary. Everything is copied into one arena; nothing changes afterwards. */
#include "tok_impl.h"

#include <stdlib.h>

enum { PIECES_MAX = 1 << 24, ADDED_BYTES_MAX = 1024 };

/* ---- the vocabulary ----------------------------------------------------------------------------------------------------- */

/* GPT-2's spelling of bytes: printable Latin-1 stands for itself, the other 68 bytes for U+0100 and on, in order. */
static int byte_of_spelling(uint32_t cp) {
    if ((cp >= 0x21 && cp <= 0x7e) || (cp >= 0xa1 && cp <= 0xac) || (cp >= 0xae && cp <= 0xff))
        return (int)cp;
    if (cp < 0x100 || cp > 0x143)
        return -1;
    unsigned k = cp - 0x100;
    return (int)(k < 33 ? k : k < 67 ? 0x7f + k - 33 : 0xad);
}

/* Undoes the spelling; what is not spelled so is left as it is, and *whole false. Returns the number of bytes, at most s.n. */
static size_t unspell_bytes(struct str s, char *out, bool *whole) {
    size_t n = 0;
    *whole = true;
    for (const char *p = s.p, *end = str_end(s); p < end;) {
        uint32_t cp = 0;
        unsigned len = utf8_decode(p, end, &cp);
        int byte = len ? byte_of_spelling(cp) : -1;
        len = len ? len : 1;
        if (byte >= 0) {
            out[n++] = (char)(uint8_t)byte;
        } else {
            memcpy(out + n, p, len);
            n += len;
            *whole = false;
        }
        p += len;
    }
    return n;
}

/* WordPiece has a mark only where a word begins; a further one is a character of the text. */
static size_t unspell_spaces(struct str s, bool first_only, char *out) {
    size_t n = 0;
    for (size_t i = 0; i < s.n;)
        if (!(first_only && i) && s.n - i >= TOK_WORD_START_BYTES && memcmp(s.p + i, TOK_WORD_START, TOK_WORD_START_BYTES) == 0) {
            out[n++] = ' ';
            i += TOK_WORD_START_BYTES;
        } else {
            out[n++] = s.p[i++];
        }
    return n;
}

/* The byte that "<0x0A>" stands for, or -1. */
static int byte_of_name(struct str name) {
    static const char digits[] = "0123456789ABCDEF";
    if (name.n != 6 || memcmp(name.p, "<0x", 3) != 0 || name.p[5] != '>')
        return -1;
    const char *high = memchr(digits, name.p[3], 16), *low = memchr(digits, name.p[4], 16);
    return high && low ? (int)((high - digits) * 16 + (low - digits)) : -1;
}

/* Texts are spelled in bytes for byte-level BPE, with U+2581 for spaces elsewhere; added tokens mean what they say, but for
 * SentencePiece's user-defined ones (gemma's runs of spaces). */
static struct str text_of(const struct tok *t, uint32_t id, char *room) {
    struct str name = t->names[id];
    bool added = t->kinds[id] == TOK_CONTROL || t->kinds[id] == TOK_UNKNOWN;
    int byte = t->model != TOK_BPE && t->kinds[id] == TOK_BYTE ? byte_of_name(name) : -1;
    if (byte >= 0) {
        *room = (char)(uint8_t)byte;
        return (struct str){room, 1};
    }
    if (added || (t->model == TOK_BPE && t->kinds[id] == TOK_USER))
        return name;
    if (t->model != TOK_BPE)
        return (struct str){room, unspell_spaces(name, t->model == TOK_WORDPIECE, room)};
    bool whole;
    size_t n = unspell_bytes(name, room, &whole);
    if (!whole)
        t->whole[id] = TOK_WHOLE_NEVER;
    return (struct str){room, n};
}

/* Copies a piece's name and returns its bytes. Converters write SentencePiece's user-defined runs of spaces as spaces, but the
 * vocabulary's own spelling is what stands for the token in a text: plain spaces are merged. */
static size_t copy_name(const struct tok *t, const struct tok_piece *piece, char *out) {
    struct str name = piece->text;
    size_t n_spaces = 0;
    while (n_spaces < name.n && name.p[n_spaces] == ' ')
        n_spaces++;
    if (t->model != TOK_SPM || piece->kind != TOK_USER || n_spaces < name.n) {
        if (name.n)
            memcpy(out, name.p, name.n);
        return name.n;
    }
    for (size_t i = 0; i < n_spaces; i++)
        memcpy(out + i * TOK_WORD_START_BYTES, TOK_WORD_START, TOK_WORD_START_BYTES);
    return n_spaces * TOK_WORD_START_BYTES;
}

static int copy_pieces(struct tok *t, const struct tok_spec *spec, struct err *e) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < t->n; i++)
        bytes += spec->pieces[i].text.n * (spec->pieces[i].kind == TOK_USER ? TOK_WORD_START_BYTES : 1);
    t->arena.max = SIZE_MAX / 2; /* the spec bounds it */
    t->names = arena_array(&t->arena, t->n, sizeof *t->names);
    t->texts = arena_array(&t->arena, t->n, sizeof *t->texts);
    t->kinds = arena_alloc(&t->arena, t->n);
    t->whole = arena_alloc(&t->arena, t->n);
    char *names = arena_alloc(&t->arena, bytes), *texts = arena_alloc(&t->arena, bytes);
    if (!t->names || !t->texts || !t->kinds || !t->whole || !names || !texts)
        return err_set(e, ERR_MEMORY, "tokenizer", "out of memory for %u tokens", t->n);
    for (uint32_t i = 0; i < t->n; i++) {
        t->kinds[i] = (uint8_t)spec->pieces[i].kind;
        t->names[i] = (struct str){names, copy_name(t, &spec->pieces[i], names)};
        t->texts[i] = text_of(t, i, texts);
        names += t->names[i].n;
        texts += t->names[i].n;
    }
    return 0;
}

bool tok_is_special(const struct tok *t, uint32_t id) {
    return t->kinds[id] == TOK_CONTROL || t->kinds[id] == TOK_UNKNOWN;
}

static bool may_come_of_text(const struct tok *t, uint32_t id) {
    bool normal = t->kinds[id] == TOK_NORMAL || (t->kinds[id] == TOK_USER && t->model != TOK_BPE);
    return normal && t->texts[id].n > 0 && t->whole[id] != TOK_WHOLE_NEVER;
}

static int index_pieces(struct tok *t, struct err *e) {
    if (!tok_map_init(&t->by_name, t->names, t->n, &t->arena) || !tok_map_init(&t->by_text, t->texts, t->n, &t->arena))
        return err_set(e, ERR_MEMORY, "tokenizer", "out of memory for %u tokens", t->n);
    for (uint32_t i = 0; i < t->n; i++) {
        tok_map_add(&t->by_name, i);
        if (!may_come_of_text(t, i))
            continue;
        tok_map_add(&t->by_text, i);
        if (t->texts[i].n > t->text_bytes_max)
            t->text_bytes_max = t->texts[i].n;
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        char c = (char)(uint8_t)byte, name[8];
        int n = snprintf(name, sizeof name, "<0x%02X>", byte);
        struct str key = t->model == TOK_BPE ? (struct str){&c, 1} : (struct str){name, (size_t)n};
        uint32_t id = tok_map_find(t->model == TOK_BPE ? &t->by_text : &t->by_name, key);
        t->bytes[byte] = id == TOK_ABSENT || tok_is_special(t, id) ? TOK_ABSENT : id;
        if (byte < 128)
            t->chars[byte] = tok_map_find(&t->by_text, (struct str){&c, 1});
    }
    return 0;
}

int tok_index_trie(struct tok *t, struct err *e) {
    uint32_t *ids = arena_array(&t->arena, t->n, sizeof *ids), n = 0;
    if (!ids)
        return err_set(e, ERR_MEMORY, "tokenizer", "out of memory for %u tokens", t->n);
    for (uint32_t i = 0; i < t->n; i++)
        if (may_come_of_text(t, i) && tok_map_find(&t->by_text, t->texts[i]) == i)
            ids[n++] = i;
    struct tok_prefixes sorted;
    tok_prefixes_init(&sorted, t->texts, ids, n);
    return tok_trie_init(&t->trie, &sorted, &t->arena) ? 0
                                                       : err_set(e, ERR_MEMORY, "tokenizer", "out of memory for %u tokens", t->n);
}

/* ---- added tokens --------------------------------------------------------------------------------------------------------- */

/* Converters fill a vocabulary up to the rows of the output matrix with [PAD151936] and the like: no tokens of the model. */
static bool is_filler(struct str name) {
    if (!str_starts(name, STR("[PAD")) || name.n < 6 || name.p[name.n - 1] != ']')
        return false;
    for (size_t i = 4; i < name.n - 1; i++)
        if (name.p[i] < '0' || name.p[i] > '9')
            return false;
    return true;
}

static int find_added(struct tok *t, struct err *e) {
    uint32_t *user = arena_array(&t->arena, t->n, sizeof *user), *added = arena_array(&t->arena, t->n, sizeof *added);
    uint32_t n_user = 0, n_added = 0;
    if (!user || !added)
        return err_set(e, ERR_MEMORY, "tokenizer", "out of memory for %u tokens", t->n);
    for (uint32_t i = 0; i < t->n; i++) {
        unsigned kind = t->kinds[i];
        bool found_first = kind == TOK_CONTROL || kind == TOK_UNKNOWN || kind == TOK_USER;
        if (!found_first || t->names[i].n == 0 || is_filler(t->names[i]) || tok_map_find(&t->by_name, t->names[i]) != i)
            continue;
        if (t->names[i].n > ADDED_BYTES_MAX) /* text is searched for it at every byte */
            return err_set(e, ERR_LIMIT, "tokenizer.ggml.tokens",
                           "token %u is a control or user-defined one of %zu bytes; at most %u are read", i, t->names[i].n,
                           ADDED_BYTES_MAX);
        added[n_added++] = i;
        if (kind == TOK_USER)
            user[n_user++] = i;
    }
    tok_prefixes_init(&t->user, t->names, user, n_user);
    tok_prefixes_init(&t->added, t->names, added, n_added);
    return 0;
}

static void set_strip(struct tok *t, const char *name, uint8_t strip) {
    uint32_t id = tok_map_find(&t->by_name, str_of(name));
    if (id != TOK_ABSENT)
        t->strip[id] = strip;
}

/* phi3 drops white space behind added tokens, Phi-4 (which has <|im_sep|>) on both sides. */
static uint8_t phi_strip(const struct tok *t, const struct tok_spec *spec) {
    bool phi3 = str_is(spec->arch, "phi3") && (t->model == TOK_SPM || t->model == TOK_BPE);
    if (!phi3)
        return 0;
    return tok_map_find(&t->by_name, STR("<|im_sep|>")) == TOK_ABSENT ? TOK_STRIP_RIGHT : TOK_STRIP_LEFT | TOK_STRIP_RIGHT;
}

/* GGUF has no place for what tokenizer.json says of white space around added tokens: the family decides. */
static int find_strip(struct tok *t, const struct tok_spec *spec, struct err *e) {
    static const char *const mask_pre[] = {"jina-v2-de", "jina-v2-es", "jina-v2-code", "modern-bert"};
    static const char *const mask_arch[] = {"nomic-bert-moe", "jina-bert-v3", "modern-bert"};
    static const char *const phi3_not[] = {"<unk>", "<s>", "<|endoftext|>", "<|endofprompt|>"};
    uint8_t phi = phi_strip(t, spec);
    bool mask = false;
    for (size_t i = 0; i < N_ITEMS(mask_pre); i++)
        mask = mask || str_is(spec->pre, mask_pre[i]);
    for (size_t i = 0; i < N_ITEMS(mask_arch); i++)
        mask = mask || str_is(spec->arch, mask_arch[i]);
    if (!phi && !mask)
        return 0;
    t->strip = arena_alloc(&t->arena, t->n);
    if (!t->strip)
        return err_set(e, ERR_MEMORY, "tokenizer", "out of memory for %u tokens", t->n);
    for (uint32_t i = 0; phi && i < t->added.n; i++)
        t->strip[t->added.ids[i]] = phi;
    for (size_t i = 0; phi == TOK_STRIP_RIGHT && i < N_ITEMS(phi3_not); i++)
        set_strip(t, phi3_not[i], 0);
    if (mask) {
        set_strip(t, "<mask>", TOK_STRIP_LEFT);
        set_strip(t, "[MASK]", TOK_STRIP_LEFT);
    }
    return 0;
}

/* ---- making and asking ------------------------------------------------------------------------------------------------------- */

static int check_spec(const struct tok_spec *spec, struct err *e) {
    const struct {
        const char *name;
        int32_t id;
    } ids[] = {{"bos", spec->bos}, {"eos", spec->eos}, {"unk", spec->unk}, {"sep", spec->sep}, {"cls", spec->cls}};
    if (spec->n_pieces == 0 || spec->n_pieces > PIECES_MAX)
        return err_set(e, ERR_INPUT, "tokenizer.ggml.tokens", "has %u tokens; 1 to %u can be used", spec->n_pieces, PIECES_MAX);
    for (size_t i = 0; i < N_ITEMS(ids); i++)
        if (ids[i].id < TOK_NONE || (ids[i].id >= 0 && (uint32_t)ids[i].id >= spec->n_pieces))
            return err_set(e, ERR_INPUT, ids[i].name, "is token %d of %u", ids[i].id, spec->n_pieces);
    return 0;
}

static int init_model(struct tok *t, const struct tok_spec *spec, struct err *e) {
    switch (t->model) {
    case TOK_BPE: return tok_bpe_init(t, spec, e);
    case TOK_SPM:
    case TOK_GEMMA4: return tok_spm_init(t, spec, e);
    case TOK_UNIGRAM: return tok_unigram_init(t, spec, e);
    case TOK_WORDPIECE: return tok_wordpiece_init(t, spec, e);
    }
    return err_set(e, ERR_INPUT, "tokenizer.ggml.model", "is tokenizer %d, which is none", (int)t->model);
}

int tok_new(const struct tok_spec *spec, struct tok **out, struct err *e) {
    *out = NULL;
    int code = check_spec(spec, e);
    struct tok *t = code == 0 ? calloc(1, sizeof *t) : NULL;
    if (code == 0 && !t)
        code = err_set(e, ERR_MEMORY, "tokenizer", "out of memory");
    if (code == 0) {
        t->model = spec->model;
        t->n = spec->n_pieces;
        t->bos = spec->bos;
        t->eos = spec->eos;
        t->unk = spec->unk;
        t->sep = spec->sep;
        t->add_bos = spec->add_bos && spec->bos != TOK_NONE;
        t->add_eos = spec->add_eos && spec->eos != TOK_NONE;
        t->add_sep = spec->add_sep && spec->sep != TOK_NONE;
        t->add_space_prefix = spec->add_space_prefix;
        t->remove_extra_spaces = spec->remove_extra_spaces;
        code = copy_pieces(t, spec, e);
    }
    if (code == 0)
        code = index_pieces(t, e);
    if (code == 0)
        code = find_added(t, e);
    if (code == 0)
        code = find_strip(t, spec, e);
    if (code == 0)
        code = init_model(t, spec, e);
    if (code == 0)
        *out = t;
    else
        tok_free(t);
    return code;
}

void tok_free(struct tok *t) {
    if (!t)
        return;
    struct arena arena = t->arena;
    arena_free(&arena);
    free(t);
}

uint32_t tok_n(const struct tok *t) {
    return t->n;
}

int32_t tok_bos(const struct tok *t) {
    return t->add_bos ? t->bos : TOK_NONE;
}

struct str tok_piece_bytes(const struct tok *t, uint32_t id) {
    return id < t->n ? t->texts[id] : (struct str){0};
}

enum tok_kind tok_kind(const struct tok *t, uint32_t id) {
    return id < t->n ? (enum tok_kind)t->kinds[id] : TOK_UNUSED;
}

int32_t tok_find(const struct tok *t, struct str name) {
    uint32_t id = tok_map_find(&t->by_name, name);
    return id == TOK_ABSENT ? TOK_NONE : (int32_t)id;
}
