/* tok: byte-level BPE. Text is cut into words (tok_pre.c), each is merged (tok_merge.c). */
#include "tok_impl.h"
#include "unicode_props.h"

static int encode_bpe(struct tok_enc *x, struct str s) {
    const struct tok_rule *rule = x->t->rule;
    if (x->t->nfc && !uc_is_nfc(s)) {
        x->text.n = 0;
        uc_nfc(s, &x->text);
        if (x->text.failed)
            return err_set(x->e, ERR_MEMORY, "text", "out of memory for its NFC form");
        s = buf_as_str(&x->text);
    }
    tok_begin_words(x, s);
    return tok_rule_apply(rule, x, s);
}

int tok_bpe_init(struct tok *t, const struct tok_spec *spec, struct err *e) {
    int code = tok_read_merges(t, spec, e);
    if (code < 0)
        return code;
    t->encode = encode_bpe;
    t->rule = tok_rule_find(spec->pre, spec->arch);
    if (!t->rule && (spec->pre.n == 0 || str_is(spec->pre, "default")))
        return err_set(e, ERR_INPUT, "tokenizer.ggml.pre",
                       "is missing, and architecture '%.*s' does not say how text is cut into words",
                       (int)(spec->arch.n < 64 ? spec->arch.n : 64), spec->arch.p);
    if (!t->rule)
        return err_set(e, ERR_INPUT, "tokenizer.ggml.pre", "'%.*s' is not a known pre-tokenizer; `moat help --models` lists them",
                       (int)(spec->pre.n < 64 ? spec->pre.n : 64), spec->pre.p);
    t->nfc = spec->nfc == TOK_SAYS_NOTHING ? tok_rule_nfc(t->rule) : spec->nfc == TOK_SAYS_YES;
    if (tok_rule_takes_whole(t->rule))
        memset(t->whole, TOK_WHOLE_YES, t->n);
    return 0;
}
