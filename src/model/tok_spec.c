/* tok_spec: the tokenizer and the chat template that a file carries (tokenizer.ggml.*), checked by rule 8 of the format page.
 * What a file leaves out has the default of its kind of tokenizer, as the files of that kind expect it. */
#include "model.h"

#include <math.h>
#include <string.h>

enum { PIECES_MAX = 1 << 22, MERGES_MAX = 1 << 22 };

/* What tokenizer.ggml.model stands for, with the settings that hold where the file has no key for them. */
static const struct kind {
    const char *name;
    enum tok_model model;
    bool has_merges, has_scores;
    bool add_bos, add_eos, add_sep, add_space_prefix;
    int32_t bos, eos, unk, sep; /* where such a token stands in files of this kind, if it does there */
} kinds[] = {
    {.name = "gpt2", .model = TOK_BPE, .has_merges = true, .bos = 11, .eos = 11, .unk = TOK_NONE, .sep = TOK_NONE},
    {.name = "llama",
     .model = TOK_SPM,
     .has_scores = true,
     .add_bos = true,
     .add_space_prefix = true,
     .bos = 1,
     .eos = 2,
     .unk = 0,
     .sep = TOK_NONE},
    {.name = "t5",
     .model = TOK_UNIGRAM,
     .has_scores = true,
     .add_eos = true,
     .add_space_prefix = true,
     .bos = TOK_NONE,
     .eos = 1,
     .unk = 2,
     .sep = TOK_NONE},
    {.name = "bert",
     .model = TOK_WORDPIECE,
     .add_bos = true,
     .add_sep = true,
     .bos = 101,
     .eos = TOK_NONE,
     .unk = 100,
     .sep = 102},
    {.name = "gemma4",
     .model = TOK_GEMMA4,
     .has_merges = true,
     .add_bos = true,
     .bos = TOK_NONE,
     .eos = TOK_NONE,
     .unk = TOK_NONE,
     .sep = TOK_NONE},
};
enum { KIND_GEMMA4 = N_ITEMS(kinds) - 1 };

/* Files that call themselves gpt2 and spell spaces as U+2581, with bytes by name: Gemma's tokenizer. */
static const char *const pre_of_gemma4[] = {"gemma4", "granite-embed-multi-311m", "sarvam-moe"};
static const char *const pre_with_sep[] = {"jina-v1-en", "jina-v2-code", "roberta-bpe"};

/* Byte-level BPE adds no BOS unless the file says so; files with these pre-tokenizers mean it without saying so. */
static const char *const pre_with_bos[] = {"llama-bpe", "llama3", "llama-v3", "falcon3",   "falcon-h1",   "pixtral",
                                           "midm-2.0",  "lfm2",   "tekken",   "chameleon", "jina-v5-nano"};

/* End of turn, where the file has no key for it: the first of these that is a control or user-defined token. */
static const char *const end_of_turn[] = {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<turn|>", "<EOT>"};

static bool is_one_of(struct str name, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_is(name, names[i]))
            return true;
    return false;
}

static int find_kind(const struct gguf *g, struct str pre, const struct kind **out, struct err *e) {
    struct str name;
    int code = gguf_str(g, "tokenizer.ggml.model", &name, e);
    if (code < 0)
        return code;
    for (size_t i = 0; i < N_ITEMS(kinds); i++)
        if (str_is(name, kinds[i].name)) {
            *out = kinds[i].model == TOK_BPE && is_one_of(pre, pre_of_gemma4, N_ITEMS(pre_of_gemma4)) ? &kinds[KIND_GEMMA4]
                                                                                                      : &kinds[i];
            return 0;
        }
    return err_set(e, ERR_INPUT, "tokenizer.ggml.model", "'%.*s' is not a known tokenizer (gpt2, llama, t5, bert, gemma4)",
                   (int)(name.n < 64 ? name.n : 64), name.p);
}

static int check_number(const char *key, uint64_t n, uint32_t n_pieces, struct err *e) {
    return n == n_pieces ? 0 : err_set(e, ERR_INPUT, key, "has %llu items for %u tokens", (unsigned long long)n, n_pieces);
}

static int read_tokens(const struct gguf *g, struct arena *arena, struct tok_piece **pieces, uint32_t *n, struct err *e) {
    const char *key = "tokenizer.ggml.tokens";
    struct gguf_iter it;
    int code = gguf_array(g, key, GGUF_STR, &it, e);
    if (code < 0)
        return code;
    if (it.left == 0 || it.left > PIECES_MAX)
        return err_set(e, it.left ? ERR_LIMIT : ERR_INPUT, key, "has %llu tokens; 1 to %u are read", (unsigned long long)it.left,
                       PIECES_MAX);
    *n = (uint32_t)it.left;
    *pieces = arena_array(arena, *n, sizeof **pieces);
    if (!*pieces)
        return err_set(e, ERR_MEMORY, key, "out of memory for %u tokens", *n);
    struct str text;
    for (struct tok_piece *p = *pieces; gguf_next_str(&it, &text); p++)
        *p = (struct tok_piece){.text = text, .kind = TOK_NORMAL};
    return 0;
}

static int read_kinds(const struct gguf *g, struct tok_piece *pieces, uint32_t n, struct err *e) {
    const char *key = "tokenizer.ggml.token_type";
    struct gguf_iter it;
    if (!gguf_find(g, key))
        return 0;
    int code = gguf_int_array(g, key, &it, e);
    if (code == 0)
        code = check_number(key, it.left, n, e);
    int64_t kind;
    for (uint32_t i = 0; code == 0 && gguf_next_i64(&it, &kind); i++) {
        if (kind < TOK_NORMAL || kind > TOK_BYTE)
            code = err_set(e, ERR_INPUT, key, "token %u is of type %lld; there are 1 to 6", i, (long long)kind);
        pieces[i].kind = (enum tok_kind)kind;
    }
    return code;
}

static int read_scores(const struct gguf *g, struct tok_piece *pieces, uint32_t n, bool needed, struct err *e) {
    const char *key = "tokenizer.ggml.scores";
    struct gguf_iter it;
    if (!needed && !gguf_find(g, key))
        return 0;
    int code = gguf_array(g, key, GGUF_F32, &it, e);
    if (code == 0)
        code = check_number(key, it.left, n, e);
    for (uint32_t i = 0; code == 0 && i < n; i++)
        if (gguf_next_f32(&it, &pieces[i].score) && !isfinite(pieces[i].score))
            code = err_set(e, ERR_INPUT, key, "the score of token %u is not a finite number", i);
    return code;
}

static bool merge_is_pair(struct str merge) {
    const char *space = memchr(merge.p, ' ', merge.n);
    if (!space || space == merge.p)
        return false;
    size_t right = merge.n - (size_t)(space - merge.p) - 1;
    return right > 0 && !memchr(space + 1, ' ', right);
}

static int read_merges(const struct gguf *g, struct arena *arena, struct tok_spec *spec, struct err *e) {
    const char *key = "tokenizer.ggml.merges";
    struct gguf_iter it;
    int code = gguf_array(g, key, GGUF_STR, &it, e);
    if (code < 0)
        return code;
    if (it.left > MERGES_MAX)
        return err_set(e, ERR_LIMIT, key, "has %llu merges; at most %u are read", (unsigned long long)it.left, MERGES_MAX);
    struct str *merges = arena_array(arena, it.left, sizeof *merges);
    if (!merges)
        return err_set(e, ERR_MEMORY, key, "out of memory for %llu merges", (unsigned long long)it.left);
    spec->merges = merges;
    for (struct str merge; gguf_next_str(&it, &merge); merges[spec->n_merges++] = merge)
        if (!merge_is_pair(merge))
            return err_set(e, ERR_INPUT, key, "merge %u, '%.*s', is not two parts and one space", spec->n_merges,
                           (int)(merge.n < 64 ? merge.n : 64), merge.p);
    return 0;
}

static int read_id(const struct gguf *g, const char *key, uint32_t n_pieces, int32_t *id, struct err *e) {
    uint32_t v = 0;
    *id = TOK_NONE;
    if (!gguf_find(g, key))
        return 0;
    int code = gguf_u32(g, key, &v, e);
    if (code == 0 && v >= n_pieces)
        code = err_set(e, ERR_INPUT, key, "is %u; the last token is %u", v, n_pieces - 1);
    if (code == 0)
        *id = (int32_t)v;
    return code;
}

/* The usual id where the file names none and the token there is a control or unknown one; a letter is never BOS. */
static int32_t usual_id(const struct tok_spec *s, int32_t id) {
    bool there = id != TOK_NONE && (uint32_t)id < s->n_pieces;
    return there && (s->pieces[id].kind == TOK_CONTROL || s->pieces[id].kind == TOK_UNKNOWN) ? id : TOK_NONE;
}

static int read_ids(const struct gguf *g, const struct kind *kind, struct tok_spec *s, struct err *e) {
    const struct {
        const char *key;
        int32_t *id, usual;
    } ids[] = {
        {"tokenizer.ggml.bos_token_id", &s->bos, kind->bos},
        {"tokenizer.ggml.eos_token_id", &s->eos, kind->eos},
        {"tokenizer.ggml.eot_token_id", &s->eot, TOK_NONE},
        {"tokenizer.ggml.unknown_token_id", &s->unk, kind->unk},
        {"tokenizer.ggml.cls_token_id", &s->cls, TOK_NONE},
        {"tokenizer.ggml.seperator_token_id", &s->sep, kind->sep}, /* the format's spelling */
        {"tokenizer.ggml.padding_token_id", &s->pad, TOK_NONE},
        {"tokenizer.ggml.mask_token_id", &s->mask, TOK_NONE},
    };
    int code = 0;
    for (size_t i = 0; code == 0 && i < N_ITEMS(ids); i++) {
        code = read_id(g, ids[i].key, s->n_pieces, ids[i].id, e);
        if (code == 0 && *ids[i].id == TOK_NONE)
            *ids[i].id = usual_id(s, ids[i].usual);
    }
    return code;
}

/* tokenizer.ggml.normalizer.nfc, which some converters write for byte-level BPE. */
static int read_nfc(const struct gguf *g, struct tok_spec *s, struct err *e) {
    const char *key = "tokenizer.ggml.normalizer.nfc";
    bool nfc = false;
    int code = gguf_bool_or(g, key, false, &nfc, e);
    if (code == 0 && nfc && s->model != TOK_BPE)
        return err_set(e, ERR_INPUT, key, "is true; only tokenizers of kind gpt2 can be put into NFC");
    if (code == 0 && gguf_find(g, key))
        s->nfc = nfc ? TOK_SAYS_YES : TOK_SAYS_NO;
    return code;
}

static int read_flags(const struct gguf *g, const struct kind *kind, struct tok_spec *s, struct err *e) {
    bool bpe = s->model == TOK_BPE;
    bool add_bos = kind->add_bos || (bpe && is_one_of(s->pre, pre_with_bos, N_ITEMS(pre_with_bos)));
    bool add_sep = kind->add_sep || (bpe && is_one_of(s->pre, pre_with_sep, N_ITEMS(pre_with_sep)));
    const struct {
        const char *key;
        bool absent, *flag;
    } flags[] = {
        {"tokenizer.ggml.add_bos_token", add_bos, &s->add_bos},
        {"tokenizer.ggml.add_eos_token", kind->add_eos, &s->add_eos},
        {"tokenizer.ggml.add_sep_token", add_sep, &s->add_sep},
        {"tokenizer.ggml.add_space_prefix", kind->add_space_prefix, &s->add_space_prefix},
        {"tokenizer.ggml.remove_extra_whitespaces", false, &s->remove_extra_spaces},
        {"tokenizer.ggml.normalizer.lowercase", true, &s->lowercase},
    };
    int code = 0;
    for (size_t i = 0; code == 0 && i < N_ITEMS(flags); i++)
        code = gguf_bool_or(g, flags[i].key, flags[i].absent, flags[i].flag, e);
    if (code == 0) /* BERT drops accents where it drops capitals */
        code = gguf_bool_or(g, "tokenizer.ggml.normalizer.strip_accents", s->lowercase, &s->strip_accents, e);
    return code;
}

static int read_charsmap(const struct gguf *g, struct tok_spec *s, struct err *e) {
    const char *key = "tokenizer.ggml.precompiled_charsmap";
    const struct gguf_kv *kv = gguf_find(g, key);
    if (!kv)
        return 0;
    if (kv->type != GGUF_ARR || (kv->item != GGUF_U8 && kv->item != GGUF_I8))
        return err_set(e, ERR_INPUT, key, "is no array of bytes");
    s->charsmap = (struct str){(const char *)kv->value, kv->n_items};
    return 0;
}

/* SentencePiece gives the pieces of a BPE vocabulary the scores 0, -1, -2 ...: ranks. Log-probabilities are fractions. */
static bool scores_are_probabilities(const struct tok_spec *s) {
    uint32_t n_normal = 0, n_fractions = 0;
    for (uint32_t i = 0; i < s->n_pieces; i++) {
        if (s->pieces[i].kind != TOK_NORMAL)
            continue;
        n_normal++;
        n_fractions += s->pieces[i].score != truncf(s->pieces[i].score);
    }
    return n_fractions > n_normal / 2;
}

static int32_t find_end_of_turn(const struct tok_spec *s) {
    size_t best = N_ITEMS(end_of_turn);
    int32_t id = TOK_NONE;
    for (uint32_t i = 0; i < s->n_pieces; i++)
        for (size_t k = 0; (s->pieces[i].kind == TOK_CONTROL || s->pieces[i].kind == TOK_USER) && k < best; k++)
            if (str_is(s->pieces[i].text, end_of_turn[k])) {
                best = k;
                id = (int32_t)i;
            }
    return id;
}

/* What follows from the rest where the file is silent, or says the same in two ways. */
static void settle(struct tok_spec *s) {
    if (s->model == TOK_SPM && scores_are_probabilities(s))
        s->model = TOK_UNIGRAM; /* replit's files call themselves llama */
    if (s->eot == TOK_NONE)
        s->eot = find_end_of_turn(s);
    if (s->model == TOK_WORDPIECE) { /* some files call CLS and SEP bos and eos */
        s->cls = s->cls == TOK_NONE ? s->bos : s->cls;
        s->bos = s->cls;
        s->sep = s->sep == TOK_NONE ? s->eos : s->sep;
        s->add_sep = s->add_sep || s->add_eos;
        s->add_eos = false;
    }
    if (s->model == TOK_GEMMA4 && str_is(s->arch, "gemma4")) /* the first files said no, and the model needs it */
        s->add_bos = true;
    s->add_bos = s->add_bos && s->bos != TOK_NONE;
    s->add_eos = s->add_eos && s->eos != TOK_NONE;
    s->add_sep = s->add_sep && s->sep != TOK_NONE;
}

int model_tok_spec(const struct gguf *g, struct arena *arena, struct tok_spec *spec, struct err *e) {
    const struct kind *kind = NULL;
    struct tok_piece *pieces = NULL;
    struct tok_spec s = {0};
    int code = gguf_str_or(g, "tokenizer.ggml.pre", STR(""), &s.pre, e);
    if (code == 0)
        code = find_kind(g, s.pre, &kind, e);
    if (code == 0)
        code = read_tokens(g, arena, &pieces, &s.n_pieces, e);
    if (code == 0)
        code = read_kinds(g, pieces, s.n_pieces, e);
    if (code == 0)
        code = read_scores(g, pieces, s.n_pieces, kind->has_scores, e);
    if (code == 0 && kind->has_merges)
        code = read_merges(g, arena, &s, e);
    if (code == 0)
        code = gguf_str_or(g, "general.architecture", STR(""), &s.arch, e);
    if (code < 0)
        return code;
    s.model = kind->model;
    s.pieces = pieces;
    code = read_ids(g, kind, &s, e);
    if (code == 0)
        code = read_flags(g, kind, &s, e);
    if (code == 0)
        code = read_nfc(g, &s, e);
    if (code == 0)
        code = read_charsmap(g, &s, e);
    if (code < 0)
        return code;
    settle(&s);
    *spec = s;
    return 0;
}

int model_template(const struct gguf *g, struct str *out, struct err *e) {
    return gguf_str_or(g, "tokenizer.chat_template", STR(""), out, e);
}
