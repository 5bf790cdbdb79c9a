#include "sampling.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* "ID=X"; X may be -inf, which bans the token. */
static int fill_bias(const struct opt_list *list, struct gen_req *req, struct err *e) {
    for (unsigned i = 0; i < list->n; i++) {
        const char *text = list->items[i];
        char *end, *value_end;
        errno = 0;
        unsigned long id = strtoul(text, &end, 10);
        float value = *end == '=' ? strtof(end + 1, &value_end) : NAN;
        if (end == text || *end != '=' || value_end == end + 1 || *value_end || errno || id > UINT32_MAX || isnan(value) ||
            value > 100 || (value < -100 && !isinf(value)))
            return err_set(e, ERR_USAGE, "logit-bias", "'%s' is no ID=X with X from -100 to 100, or -inf", text);
        req->bias[req->n_bias++] = (struct gen_bias){(uint32_t)id, value};
    }
    return 0;
}

int sampling_fill(const struct cmd_opts *o, struct gen_req *req, struct err *e) {
    req->max_tokens = (uint32_t)o->n;
    req->n = 1;
    req->ignore_eos = o->ignore_eos;
    req->sampling = (struct gen_sampling){
        .temperature = (float)o->temperature,
        .top_k = (uint32_t)o->top_k,
        .top_p = (float)o->top_p,
        .min_p = (float)o->min_p,
        .typical = (float)o->typical,
        .repetition_penalty = (float)o->repetition_penalty,
        .presence_penalty = (float)o->presence_penalty,
        .frequency_penalty = (float)o->frequency_penalty,
        .penalty_last_n = (uint32_t)o->penalty_last_n,
        .has_seed = o->seed_given,
        .seed = o->seed,
    };
    if (o->stop.n > WIRE_STOPS_MAX)
        return err_set(e, ERR_USAGE, "stop", "stands more than %d times", WIRE_STOPS_MAX);
    for (unsigned i = 0; i < o->stop.n; i++) {
        struct str stop = str_of(o->stop.items[i]);
        if (stop.n == 0 || stop.n > WIRE_STOP_BYTES_MAX || !utf8_valid(stop))
            return err_set(e, ERR_USAGE, "stop", "is not 1 to %d bytes of UTF-8", WIRE_STOP_BYTES_MAX);
        req->stop[req->n_stop++] = stop;
    }
    return fill_bias(&o->logit_bias, req, e);
}
