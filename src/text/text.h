/* text: whatever turns JSON into tokens and tokens into text. Tokenizers, chat templates, later grammars.
 *
 *     struct tok *tok = NULL;                                    // shared, immutable, any thread
 *     tok_new(&spec, &tok, &e);
 *     struct tok_ids ids = {0};
 *     tok_encode(tok, text, TOK_TEXT, &ids, &e);
 *
 *     struct tmpl *t = NULL;
 *     tmpl_new(source, &t, &e);
 *     tmpl_render(t, context, now, &limits, &segments, &e);
 *
 * Bytes of a request never become control tokens; bytes of the template do: tmpl_render says which byte is which, and
 * tok_encode_segments encodes accordingly. Version T1: a change of any id or byte is a new text version. */
#pragma once

#include "../base/base.h"

/* ---- tokenizers ---------------------------------------------------------------------------------------------------- */

enum tok_model { TOK_BPE, TOK_SPM, TOK_UNIGRAM, TOK_WORDPIECE, TOK_GEMMA4 };
enum tok_kind {
    TOK_NORMAL = 1,
    TOK_UNKNOWN = 2,
    TOK_CONTROL = 3,
    TOK_USER = 4,
    TOK_UNUSED = 5,
    TOK_BYTE = 6
}; /* GGUF's numbers */
enum { TOK_NONE = -1 };

struct tok_piece {
    struct str text; /* as the file spells it */
    float score;
    enum tok_kind kind;
};
/* What a tokenizer is made of: plain data that `model` fills from a file. Borrowed only during tok_new. */
struct tok_spec {
    enum tok_model model;
    struct str pre;  /* tokenizer.ggml.pre; "" where the file names none */
    struct str arch; /* general.architecture: decides the rule where pre is absent */
    const struct tok_piece *pieces;
    uint32_t n_pieces;
    const struct str *merges; /* "left right", in rank order */
    uint32_t n_merges;
    int32_t bos, eos, eot, unk, sep, cls, pad, mask; /* ids or TOK_NONE */
    bool add_bos, add_eos, add_sep, add_space_prefix, remove_extra_spaces;
    bool lowercase, strip_accents; /* WordPiece */
    enum {
        TOK_SAYS_NOTHING,
        TOK_SAYS_YES,
        TOK_SAYS_NO
    } nfc;               /* byte-level BPE: the file's own word on NFC, else the rule's counts */
    struct str charsmap; /* SentencePiece precompiled normaliser, or empty */
};
struct tok; /* opaque, immutable: any number of threads */
int tok_new(const struct tok_spec *spec, struct tok **out,
            struct err *e) MUST_USE; /* ERR_INPUT names the field; unknown pre by name */
const char *tok_pre(size_t i);       /* the i-th tokenizer.ggml.pre that tok_new knows; NULL beyond the last */
void tok_free(struct tok *t);
uint32_t tok_n(const struct tok *t);
int32_t tok_bos(const struct tok *t); /* TOK_NONE where the model's settings add none */
struct str tok_piece_bytes(const struct tok *t,
                           uint32_t id); /* the bytes that the token decodes to (control tokens: their name) */
enum tok_kind tok_kind(const struct tok *t, uint32_t id);
int32_t tok_find(const struct tok *t, struct str name); /* the id spelled exactly so, or TOK_NONE */

enum tok_mode {
    TOK_TEXT,    /* control tokens written out are plain text: what a user typed */
    TOK_SPECIAL, /* control tokens written out are those tokens: what a template wrote */
};
struct tok_ids {
    uint32_t *ids; /* malloc'ed, grows; free with tok_ids_free */
    size_t n, cap;
    size_t max; /* 0: 1 << 26; beyond it ERR_LIMIT */
};
void tok_ids_free(struct tok_ids *ids);
/* Appends the ids of s, of at most 1 GiB. Any bytes are taken; what is not UTF-8 is encoded byte by byte where the vocabulary
 * can. On failure ids holds what it held before. */
int tok_encode(const struct tok *t, struct str s, enum tok_mode mode, struct tok_ids *ids, struct err *e) MUST_USE;
/* Appends what the model's settings put before (BOS, CLS) and, with `after`, behind (EOS, SEP) a whole text. */
int tok_add_front(const struct tok *t, struct tok_ids *ids, struct err *e) MUST_USE;
int tok_add_back(const struct tok *t, struct tok_ids *ids, struct err *e) MUST_USE;

/* Streaming decoder: what it emits is whole characters, U+FFFD for each broken sequence. One per choice; all-zero is the start. */
struct tok_stream {
    char held[4]; /* bytes of an unfinished character */
    uint8_t n_held;
    bool begun; /* a token was decoded: SentencePiece drops the space before the first one only */
};
/* Appends to out the text that id completes; control tokens, and ids beyond the vocabulary, give nothing (control tokens their
 * name with `special`). */
void tok_stream_add(const struct tok *t, struct tok_stream *s, uint32_t id, bool special, struct buf *out);
/* What is still held: U+FFFD for a character that was never finished. */
void tok_stream_end(struct tok_stream *s, struct buf *out);
/* Appends the raw bytes of a whole sequence, as `detokenize --hex` shows them. */
void tok_decode(const struct tok *t, const uint32_t *ids, size_t n, bool special, struct buf *out);

/* ---- chat templates --------------------------------------------------------------------------------------------------- */

/* Rendered text in pieces of one origin each, in order. */
struct tmpl_segment {
    struct str text;   /* in the output's buffer */
    bool from_request; /* these bytes came from the request (or from `now`), through whatever operators and filters */
};
struct tmpl_out {
    struct buf text;               /* the whole text */
    struct tmpl_segment *segments; /* adjacent ones differ in origin */
    size_t n_segments;
};
void tmpl_out_free(struct tmpl_out *out);

struct tmpl_limits { /* 0: the default of INTERFACES.md */
    uint64_t steps;  /* 1,000,000 */
    uint32_t range;  /* 100,000 items */
    size_t output;   /* 1 MiB beyond the request's own text */
    uint32_t depth;  /* 64 */
};
struct tmpl; /* opaque, immutable */
/* Compiles a template of at most 1 MiB. ERR_INPUT "syntax" errors name the line; strings of the template count as its own. */
int tmpl_new(struct str source, struct tmpl **out, struct err *e) MUST_USE;
void tmpl_free(struct tmpl *t);
/* Renders with `context` (a JSON object: all variables; its strings are of the request, except the names in `trusted`, e.g.
 * bos_token, whose strings are the template's own). now: "2026-01-31T12:00:00" for strftime_now, or "" for the clock
 * (then *e is an error if the template asks: the caller fixes the time). Errors: kind and message in e->where and e->msg:
 * "raise", "syntax", "undefined", "type", "security", "division", "limit", "template". */
int tmpl_render(const struct tmpl *t, yyjson_val *context, const char *const *trusted, struct str now,
                const struct tmpl_limits *limits, struct tmpl_out *out, struct err *e) MUST_USE;

/* Is it "2026-01-31T12:00:00", no more and no less, of a day that there is? */
bool tmpl_now_fits(struct str now);

/* Tokens of rendered segments as one text, so that they are those the model was trained on. A control token is recognised only
 * where all its bytes are the template's: the request can neither write one nor complete one. Puts BOS in front where the
 * settings ask for it and the text does not begin with it. */
int tok_encode_segments(const struct tok *t, const struct tmpl_out *rendered, struct tok_ids *ids, struct err *e) MUST_USE;
