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
int cmd_tokenize(struct cmd_args *a, struct err *e);
int cmd_detokenize(struct cmd_args *a, struct err *e);
int cmd_render(struct cmd_args *a, struct err *e);
int cmd_engine(struct cmd_args *a, struct err *e);
int cmd_generate(struct cmd_args *a, struct err *e);
