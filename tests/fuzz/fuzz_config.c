/* The YAML file of `moat serve --config`: any bytes give options within their limits, or an error of one line. */
#include "cmd/cmds.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const struct cmd *serve = cmds;
    while (strcmp(serve->name, "serve") != 0)
        serve++;
    struct cmd_args a = {.cmd = serve};
    struct err e = {0};
    opts_defaults(&a.opts);
    int r = config_parse(&a, "moat.yaml", (struct str){(const char *)data, n}, &e);
    ASSERT(r == 0 || (e.where[0] && e.msg[0] && !strchr(e.msg, '\n')));
    ASSERT(a.n_args <= serve->max_args && a.opts.port <= 65535);
    opts_free(&a);
    return 0;
}
