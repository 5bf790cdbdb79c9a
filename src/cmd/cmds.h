/* The functions behind cmds[]: one file each. */
#pragma once

#include "cmd.h"

int cmd_help(struct cmd_args *a, struct err *e);
int cmd_import(struct cmd_args *a, struct err *e);
int cmd_logits(struct cmd_args *a, struct err *e);
int cmd_perplexity(struct cmd_args *a, struct err *e);
int cmd_list(struct cmd_args *a, struct err *e);
int cmd_rm(struct cmd_args *a, struct err *e);
int cmd_run(struct cmd_args *a, struct err *e);
int cmd_serve(struct cmd_args *a, struct err *e);
int cmd_show(struct cmd_args *a, struct err *e);
int cmd_bench(struct cmd_args *a, struct err *e);
int cmd_check(struct cmd_args *a, struct err *e);
/* The tokenizer and the template of a file, as `check` and `import` read them. */
struct gguf;
int cmd_check_text(const struct gguf *g, uint32_t *n_tokens, struct err *e) MUST_USE;
int cmd_tokenize(struct cmd_args *a, struct err *e);
int cmd_detokenize(struct cmd_args *a, struct err *e);
int cmd_render(struct cmd_args *a, struct err *e);
int cmd_engine(struct cmd_args *a, struct err *e);
int cmd_generate(struct cmd_args *a, struct err *e);
