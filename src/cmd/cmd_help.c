/* moat help: the list of commands, one command, the man page, completion scripts. */
#include "cmds.h"
#include "../kern/kern.h"
#include "../model/model.h"

#include <string.h>

enum { TYPES_MAX = 256 }; /* numbers of tensor types lie far below */

static const char *format_at(size_t i) {
    for (uint32_t type = 0; type < TYPES_MAX; type++)
        if (kern_supports(type) && i-- == 0)
            return dtype_info(type)->name;
    return NULL;
}

static void print_names(const char *title, const char *name_at(size_t i)) {
    printf("%s:", title);
    for (size_t i = 0; name_at(i); i++)
        printf(" %s", name_at(i));
    putchar('\n');
}

int cmd_help(struct cmd_args *a, struct err *e) {
    if (a->opts.man) {
        opts_man(stdout);
        return 0;
    }
    if (a->opts.models) {
        print_names("architectures", model_arch);
        print_names("formats", format_at);
        print_names("pre-tokenizers", tok_pre);
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
