/* tok: BPE over characters. SentencePiece's merges by score, Gemma 4's by the rank of its merges; what is no piece is spelled in
 * bytes. Text is one word by itself; it is cut before a space where no token could reach over the cut, which changes nothing
 * but the speed. */
#include "tok_impl.h"

#include <stdlib.h>

static inline bool joins(const struct tok *t, char before) {
    uint8_t c = (uint8_t)before;
    return t->joins_space[c / 64] >> (c % 64) & 1;
}

void tok_find_joins(struct tok *t) {
    for (uint32_t i = 0; i < t->n; i++) {
        struct str s = t->texts[i];
        if (t->kinds[i] == TOK_CONTROL || t->kinds[i] == TOK_UNKNOWN)
            continue;
        for (size_t k = 1; k < s.n; k++)
            if (s.p[k] == ' ')
                t->joins_space[(uint8_t)s.p[k - 1] / 64] |= 1ull << ((uint8_t)s.p[k - 1] % 64);
    }
}

const char *tok_word_end(const struct tok *t, const char *p, const char *end) {
    for (p++; p < end; p++) {
        p = memchr(p, ' ', (size_t)(end - p));
        if (!p)
            return end;
        if (!joins(t, p[-1]))
            return p;
    }
    return end;
}

/* Appends s with each U+2581 as the space that it stands for. */
static void add_spaced(struct buf *out, struct str s) {
    const char *p = s.p, *end = str_end(s);
    while (p < end) {
        const char *mark = memmem(p, (size_t)(end - p), TOK_WORD_START, TOK_WORD_START_BYTES);
        buf_add(out, p, (size_t)((mark ? mark : end) - p));
        if (mark)
            buf_byte(out, ' ');
        p = mark ? mark + TOK_WORD_START_BYTES : end;
    }
}

static bool begins_with_space(struct str s) {
    return *s.p == ' ' || str_starts(s, STR(TOK_WORD_START));
}

static int encode_spm(struct tok_enc *x, struct str s) {
    const struct tok *t = x->t;
    x->text.n = 0;
    x->text.max = SIZE_MAX / 2;
    if (t->add_space_prefix && !(t->prefix_once && (s.p > x->start || begins_with_space(s))))
        buf_byte(&x->text, ' ');
    add_spaced(&x->text, s);
    if (x->text.failed)
        return err_set(x->e, ERR_MEMORY, "text", "out of memory for a copy of it");
    int code = 0;
    tok_begin_words(x, buf_as_str(&x->text));
    const char *end = x->text.p + x->text.n, *next;
    for (const char *p = x->text.p; code == 0 && p < end; p = next) {
        next = tok_word_end(t, p, end);
        code = tok_encode_word(x, (struct str){p, (size_t)(next - p)});
    }
    return code;
}

static int compare_scores(const void *a, const void *b, void *pieces) {
    const struct tok_piece *p = pieces;
    float x = p[*(const uint32_t *)a].score, y = p[*(const uint32_t *)b].score;
    return (x < y) - (x > y);
}

/* Ranks by falling score; equal scores share one. User-defined pieces come before all others. */
static int rank_by_score(struct tok *t, const struct tok_spec *spec, struct err *e) {
    uint32_t *order = arena_array(&t->arena, t->n, sizeof *order), n = 0;
    t->ranks = arena_array(&t->arena, t->n, sizeof *t->ranks);
    if (!order || !t->ranks)
        return err_set(e, ERR_MEMORY, "tokenizer.ggml.scores", "out of memory for %u tokens", t->n);
    for (uint32_t i = 0; i < t->n; i++)
        if (t->kinds[i] == TOK_NORMAL)
            order[n++] = i;
    qsort_r(order, n, sizeof *order, compare_scores, (void *)(uintptr_t)spec->pieces);
    uint32_t rank = 0;
    for (uint32_t i = 0; i < n; i++) {
        rank += i == 0 || spec->pieces[order[i]].score < spec->pieces[order[i - 1]].score;
        t->ranks[order[i]] = rank;
    }
    return 0;
}

/* Mistral's files since 0.3 have [INST] for a token; with them the space is put before a text only, and where it has none. */
static bool has_prefix_once(const struct tok *t) {
    uint32_t id = tok_map_find(&t->by_name, STR("[INST]"));
    return id != TOK_ABSENT && (t->kinds[id] == TOK_CONTROL || t->kinds[id] == TOK_USER);
}

int tok_spm_init(struct tok *t, const struct tok_spec *spec, struct err *e) {
    t->encode = encode_spm;
    t->prefix_once = has_prefix_once(t);
    tok_find_joins(t);
    return t->model == TOK_GEMMA4 ? tok_read_merges(t, spec, e) : rank_by_score(t, spec, e);
}
