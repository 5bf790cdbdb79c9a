/* sampling: the sampling options of `run` and `generate` as fields of a request. */
#pragma once

#include "cmd.h"
#include "../wire/wire.h"

/* Fills max_tokens, n, ignore_eos, sampling, stop and bias; strings are borrowed from o. ERR_USAGE names the option. */
int sampling_fill(const struct cmd_opts *o, struct gen_req *req, struct err *e) MUST_USE;
