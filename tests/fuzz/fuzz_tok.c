/* A hostile vocabulary and a hostile text: whatever tok_new accepts must encode and decode within its rules.
 *
 *     byte 0      kind of tokenizer            byte 3      architecture
 *     byte 1, 2   flags                        byte 4..7   bos, eos, unk, sep: ids, or none
 *     byte 8      pre-tokenizer                then        pieces, merges, the character map and the text
 * A piece is a byte for its type, one for its score and its text; texts end with FF, the list with FE. */
#include "text/text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { PIECES_MAX = 600, END = 0xff, LAST = 0xfe };
enum { ADD_BOS = 1, ADD_EOS = 2, ADD_SEP = 4, PREFIX = 8, MERGE_SPACES = 16, LOWER = 32, STRIP = 64, ALPHABET = 128 };

struct input {
    const uint8_t *p, *end;
};

static uint8_t take(struct input *in) {
    return in->p < in->end ? *in->p++ : LAST;
}

static struct str take_text(struct input *in) {
    const uint8_t *start = in->p;
    while (in->p < in->end && *in->p < LAST)
        in->p++;
    struct str s = {(const char *)start, (size_t)(in->p - start)};
    if (in->p < in->end && *in->p == END)
        in->p++;
    return s;
}

static bool ends(struct input *in) {
    if (in->p < in->end && *in->p != LAST)
        return false;
    take(in);
    return true;
}

/* ---- the spec ------------------------------------------------------------------------------------------------------- */

static struct tok_piece pieces[PIECES_MAX];
static struct str merges[PIECES_MAX];
static char names[256][8];

static void add_piece(struct tok_spec *s, struct str text, uint8_t kind, int8_t score) {
    if (s->n_pieces < PIECES_MAX && utf8_valid(text)) /* as GGUF's strings are */
        pieces[s->n_pieces++] = (struct tok_piece){text, (float)score / 4, TOK_NORMAL + kind % 6};
}

/* GPT-2's spelling of bytes, or SentencePiece's. */
static void add_alphabet(struct tok_spec *s) {
    uint32_t other = 0x100;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool plain = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
        size_t len = s->model == TOK_BPE ? utf8_encode(plain ? byte : other++, names[byte])
                                         : (size_t)snprintf(names[byte], sizeof names[byte], "<0x%02X>", byte);
        add_piece(s, (struct str){names[byte], len}, s->model == TOK_BPE ? 0 : TOK_BYTE - TOK_NORMAL, 0);
    }
}

static int32_t id_of(uint8_t byte, uint32_t n) {
    return byte < n ? byte : TOK_NONE;
}

static void read_spec(struct input *in, struct tok_spec *s) {
    static const char *const pre[] = {"gpt-2",  "smollm",   "llama-bpe", "qwen2",          "qwen35",      "gpt-4o",
                                      "tekken", "falcon",   "kimi-k2",   "deepseek-coder", "deepseek-v3", "bloom",
                                      "jais-2", "tiny_aya", "youtu",     "exaone-moe",     "chameleon",   "superbpe",
                                      "viking", "minicpm5", "spark2_5",  "ufakzeka",       "laguna",      "deepseek-llm",
                                      "afmoe",  "nonsense", "",          "default",        "seed-coder",  "minimax-m2"};
    static const char *const arch[] = {"llama", "phi3", "gptneox", "nomic-bert-moe", "falcon", "bert"};
    *s = (struct tok_spec){.model = take(in) % 5, .pieces = pieces, .merges = merges};
    uint8_t flags = take(in), more = take(in), name = take(in), architecture = take(in), ids[4];
    for (unsigned i = 0; i < 4; i++)
        ids[i] = take(in);
    s->pre = str_of(pre[name % N_ITEMS(pre)]);
    s->arch = str_of(arch[architecture % N_ITEMS(arch)]);
    s->add_bos = flags & ADD_BOS;
    s->add_eos = flags & ADD_EOS;
    s->add_sep = flags & ADD_SEP;
    s->add_space_prefix = flags & PREFIX;
    s->remove_extra_spaces = flags & MERGE_SPACES;
    s->lowercase = flags & LOWER;
    s->strip_accents = flags & STRIP;
    if (flags & ALPHABET)
        add_alphabet(s);
    while (!ends(in)) {
        uint8_t kind = take(in), score = take(in);
        add_piece(s, take_text(in), kind, (int8_t)score);
    }
    while (!ends(in) && s->n_merges < PIECES_MAX)
        merges[s->n_merges++] = take_text(in);
    s->charsmap = more & 1 ? take_text(in) : (struct str){0};
    s->bos = id_of(ids[0], s->n_pieces);
    s->eos = id_of(ids[1], s->n_pieces);
    s->unk = id_of(ids[2], s->n_pieces);
    s->sep = id_of(ids[3], s->n_pieces);
    s->eot = s->cls = s->pad = s->mask = TOK_NONE;
    s->nfc = more >> 1 & 1 ? TOK_SAYS_YES : more >> 2 & 1 ? TOK_SAYS_NO : TOK_SAYS_NOTHING;
}

/* ---- what must hold ---------------------------------------------------------------------------------------------------- */

/* Twice, since the second run takes what the first found out; text never becomes a control token. */
static void encode(const struct tok *t, const struct tok_spec *s, struct str text, enum tok_mode mode, struct tok_ids *ids) {
    struct tok_ids again = {0};
    struct err e = {0};
    ASSERT(tok_encode(t, text, mode, ids, &e) == 0 && tok_encode(t, text, mode, &again, &e) == 0);
    ASSERT(ids->n == again.n && (ids->n == 0 || memcmp(ids->ids, again.ids, ids->n * sizeof *ids->ids) == 0));
    for (size_t i = 0; i < ids->n; i++) {
        ASSERT(ids->ids[i] < tok_n(t));
        bool control = tok_kind(t, ids->ids[i]) == TOK_CONTROL && (int32_t)ids->ids[i] != s->unk;
        ASSERT(mode == TOK_SPECIAL || !control);
    }
    tok_ids_free(&again);
}

static void decode(const struct tok *t, const struct tok_ids *ids) {
    struct buf raw = {0}, streamed = {0};
    struct tok_stream stream = {0};
    tok_decode(t, ids->ids, ids->n, true, &raw);
    for (size_t i = 0; i < ids->n; i++)
        tok_stream_add(t, &stream, ids->ids[i], true, &streamed);
    tok_stream_end(&stream, &streamed);
    ASSERT(utf8_valid(buf_as_str(&streamed)));
    ASSERT(!utf8_valid(buf_as_str(&raw)) || str_eq(buf_as_str(&raw), buf_as_str(&streamed)));
    buf_free(&raw);
    buf_free(&streamed);
}

/* All of the request is text; of a text in two halves, the template's one may hold control tokens, within itself. */
static void encode_segments(const struct tok *t, struct str text, const struct tok_ids *plain) {
    struct tmpl_segment whole = {text, true},
                        halves[] = {{{text.p, text.n / 2}, true}, {{text.p + text.n / 2, text.n - text.n / 2}, false}};
    struct tmpl_out out = {.text = {.p = (char *)(uintptr_t)text.p, .n = text.n}, .segments = &whole, .n_segments = 1};
    struct tok_ids ids = {0};
    struct err e = {0};
    ASSERT(tok_encode_segments(t, &out, &ids, &e) == 0);
    size_t extra = ids.n - plain->n; /* BOS, unless the text begins with it */
    ASSERT(extra <= 1 && (plain->n == 0 || memcmp(ids.ids + extra, plain->ids, plain->n * sizeof *ids.ids) == 0));
    ids.n = 0;
    out.segments = halves;
    out.n_segments = 2;
    ASSERT(tok_encode_segments(t, &out, &ids, &e) == 0);
    tok_ids_free(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct input in = {data, data + n};
    struct tok_spec spec;
    struct tok *t = NULL;
    struct err e = {0};
    read_spec(&in, &spec);
    int code = tok_new(&spec, &t, &e);
    ASSERT(code == e.code && (code == 0) == (t != NULL));
    if (code < 0)
        return 0;
    struct str text = {(const char *)in.p, (size_t)(in.end - in.p)};
    struct tok_ids plain = {0}, special = {0};
    encode(t, &spec, text, TOK_TEXT, &plain);
    encode(t, &spec, text, TOK_SPECIAL, &special);
    decode(t, &plain);
    decode(t, &special);
    encode_segments(t, text, &plain);
    ASSERT(tok_add_front(t, &plain, &e) == 0 && tok_add_back(t, &plain, &e) == 0);
    for (uint32_t i = 0; i < tok_n(t); i++)
        ASSERT(tok_find(t, spec.pieces[i].text) != TOK_NONE || spec.pieces[i].kind == TOK_USER);
    tok_ids_free(&plain);
    tok_ids_free(&special);
    tok_free(t);
    return 0;
}
