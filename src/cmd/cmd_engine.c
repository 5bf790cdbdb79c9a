/* moat engine: the child that `serve` and `run` start. Hidden: of no use by hand. */
#include "cmds.h"

#include "../engine/engine.h"

int cmd_engine(struct cmd_args *a, struct err *e) {
    (void)a;
    return engine_main(WIRE_CHILD_FD, e);
}
