/* moat help: the list of commands, one command, the man page, completion scripts. */
#include "cmds.h"

#include <string.h>

int cmd_help(struct cmd_args *a, struct err *e) {
    if (a->opts.man) {
        opts_man(stdout);
        return 0;
    }
    if (a->opts.completion)
        return opts_completion(a->opts.completion, stdout, e);
    for (const struct cmd *c = cmds; a->n_args && c->name; c++)
        if (strcmp(c->name, a->args[0]) == 0) {
            opts_help(c, stdout);
            return 0;
        }
    if (a->n_args)
        return err_set(e, ERR_USAGE, a->args[0], "is no command; see `moat help`");
    printf("moat %s: serves open-weight language models on CPU servers\n\nusage: moat COMMAND [OPTIONS] [ARGUMENTS]\n\n",
           MOAT_VERSION);
    for (const struct cmd *c = cmds; c->name; c++)
        if (!c->hidden)
            printf("  %-12s %s\n", c->name, c->summary);
    printf("\n`moat COMMAND --help` shows the options of a command.\n");
    return 0;
}
