/* tok: SentencePiece BPE: pieces are merged by score, what is no piece is spelled in bytes. */
#include "tok_impl.h"

int tok_spm_init(struct tok *t, const struct tok_spec *spec, struct err *e) {
    (void)t;
    (void)spec;
    return err_set(e, ERR_INPUT, "tokenizer.ggml.model", "is not built in yet");
}
int tok_unigram_init(struct tok *t, const struct tok_spec *spec, struct err *e) {
    return tok_spm_init(t, spec, e);
}
int tok_wordpiece_init(struct tok *t, const struct tok_spec *spec, struct err *e) {
    return tok_spm_init(t, spec, e);
}
