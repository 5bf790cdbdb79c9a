/* The functions behind cmds[]: one file each. */
#pragma once

#include "cmd.h"

int cmd_help(struct cmd_args *a, struct err *e);
