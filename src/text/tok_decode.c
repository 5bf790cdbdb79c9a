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
