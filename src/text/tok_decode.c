/* tok: decoding. A token's bytes are looked up; the stream keeps back an unfinished character and mends what is no UTF-8. */
#include "tok_impl.h"

/* The bytes that a token adds to a text: nothing for control tokens unless they are asked for, and for ids beyond the vocabulary
 * (rows that pad the output matrix). */
static struct str added_bytes(const struct tok *t, uint32_t id, bool special, bool begun) {
    struct str s = tok_piece_bytes(t, id);
    bool control = tok_kind(t, id) == TOK_CONTROL || tok_kind(t, id) == TOK_UNKNOWN;
    if (control && !special)
        return (struct str){0};
    bool has_prefix = t->model == TOK_WORDPIECE || (t->add_space_prefix && t->model != TOK_BPE);
    if (!begun && !control && has_prefix && s.n && *s.p == ' ')
        return (struct str){s.p + 1, s.n - 1};
    return s;
}

void tok_decode(const struct tok *t, const uint32_t *ids, size_t n, bool special, struct buf *out) {
    bool begun = false;
    for (size_t i = 0; i < n; i++) {
        buf_str(out, added_bytes(t, ids[i], special, begun));
        begun = begun || tok_piece_bytes(t, ids[i]).n > 0;
    }
}

static void put_replacement(struct buf *out) {
    buf_z(out, "\xef\xbf\xbd");
}

/* held is the beginning of a character, or empty. One U+FFFD stands for each longest piece that could have become a character,
 * as in Unicode 16.0, section 3.9. */
static void add_byte(struct tok_stream *s, char byte, struct buf *out) {
    s->held[s->n_held++] = byte;
    uint32_t cp;
    if (utf8_decode(s->held, s->held + s->n_held, &cp)) {
        buf_add(out, s->held, s->n_held);
        s->n_held = 0;
    } else if (utf8_complete((struct str){s->held, s->n_held}) != 0) {
        bool alone = s->n_held == 1;
        put_replacement(out);
        s->n_held = 0;
        if (!alone)
            add_byte(s, byte, out);
    }
}

void tok_stream_add(const struct tok *t, struct tok_stream *s, uint32_t id, bool special, struct buf *out) {
    struct str bytes = added_bytes(t, id, special, s->begun);
    for (size_t i = 0; i < bytes.n; i++)
        add_byte(s, bytes.p[i], out);
    s->begun = s->begun || tok_piece_bytes(t, id).n > 0;
}

void tok_stream_end(struct tok_stream *s, struct buf *out) {
    if (s->n_held)
        put_replacement(out);
    s->n_held = 0;
}
