/* tok: decoding. A token's bytes are looked up; the stream keeps back an unfinished character and mends what is no UTF-8. */
#include "tok_impl.h"

/* The bytes that a token adds to a text: nothing for control tokens unless they are asked for, and for ids beyond the vocabulary
 * (rows that pad the output matrix). */
static struct str added_bytes(const struct tok *t, uint32_t id, bool special, bool *begun) {
    struct str s = tok_piece_bytes(t, id);
    bool control = tok_kind(t, id) == TOK_CONTROL || tok_kind(t, id) == TOK_UNKNOWN;
    if (s.n == 0 || (control && !special))
        return (struct str){0};
    bool first = !*begun, has_prefix = t->model == TOK_WORDPIECE || (t->add_space_prefix && t->model != TOK_BPE);
    *begun = true;
    if (first && !control && has_prefix && *s.p == ' ')
        return (struct str){s.p + 1, s.n - 1};
    return s;
}

void tok_decode(const struct tok *t, const uint32_t *ids, size_t n, bool special, struct buf *out) {
    bool begun = false;
    for (size_t i = 0; i < n; i++)
        buf_str(out, added_bytes(t, ids[i], special, &begun));
}

/* ---- streaming --------------------------------------------------------------------------------------------------------------- */

#define REPLACEMENT "\xef\xbf\xbd"

/* Emits what the held bytes are, or goes on holding them: they are always the beginning of one character, so at most three stay.
 * A byte that ends a broken sequence is looked at again by itself. */
static void settle(struct tok_stream *s, struct buf *out) {
    uint32_t cp;
    if (utf8_decode(s->held, s->held + s->n_held, &cp)) {
        buf_add(out, s->held, s->n_held);
        s->n_held = 0;
    } else if (utf8_complete((struct str){s->held, s->n_held}) > 0) {
        char last = s->held[s->n_held - 1];
        bool again = s->n_held > 1;
        buf_z(out, REPLACEMENT);
        s->n_held = 0;
        if (again) {
            s->held[s->n_held++] = last;
            settle(s, out);
        }
    }
}

void tok_stream_add(const struct tok *t, struct tok_stream *s, uint32_t id, bool special, struct buf *out) {
    struct str piece = added_bytes(t, id, special, &s->begun);
    if (s->n_held == 0 && utf8_valid(piece)) {
        buf_str(out, piece);
        return;
    }
    for (size_t i = 0; i < piece.n; i++) {
        ASSERT(s->n_held < sizeof s->held);
        s->held[s->n_held++] = piece.p[i];
        settle(s, out);
    }
}

void tok_stream_end(struct tok_stream *s, struct buf *out) {
    if (s->n_held)
        buf_z(out, REPLACEMENT);
    *s = (struct tok_stream){0};
}
