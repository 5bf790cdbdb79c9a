/* report: what an error becomes outside: one line and an exit status. */
#include "cmd.h"

#include <string.h>

enum { LINE_MAX_SHOWN = 499 }; /* INTERFACES: one line of at most 500 bytes */

int cmd_status(int code) {
    switch (code) {
    case 0: return 0;
    case ERR_USAGE: return 2;
    case ERR_INPUT:
    case ERR_LIMIT: return 3;
    case ERR_DIFFERS: return 4;
    case ERR_STOPPED: return 130;
    default: return 1;
    }
}

void cmd_print_error(const struct cmd *c, const struct err *e) {
    char line[sizeof e->where + sizeof e->msg + 64];
    snprintf(line, sizeof line, "moat: %.20s failed: %s%s%s", c ? c->name : "command", e->where, e->where[0] ? ": " : "", e->msg);
    struct str shown = {line, strlen(line) < LINE_MAX_SHOWN ? strlen(line) : LINE_MAX_SHOWN};
    fprintf(stderr, "%.*s\n", (int)utf8_complete(shown), line);
}
