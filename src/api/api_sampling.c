/* api_sampling: the fields that say how tokens are chosen, OpenAI's and ours, the same at every endpoint. */
#include "api_fields.h"

#include <string.h>

#define AT(field) offsetof(struct api_call, field)

static int read_seed(struct reader *r, const char *name, yyjson_val *v) {
    if (!yyjson_is_int(v))
        return api_wrong_type(r, name, "an integer", v);
    r->call->gen.sampling.has_seed = true;
    r->call->gen.sampling.seed = yyjson_get_uint(v); /* a negative one keeps its 64 bits */
    return 0;
}

static int add_stop(struct reader *r, const char *name, yyjson_val *v) {
    struct gen_req *gen = &r->call->gen;
    if (!yyjson_is_str(v))
        return api_wrong_type(r, name, "a string", v);
    if (yyjson_get_len(v) == 0)
        return api_refuse(r->bad, 400, "invalid_value", name, "Invalid '%s': a stop string must not be empty.", name);
    if (yyjson_get_len(v) > WIRE_STOP_BYTES_MAX)
        return api_refuse(r->bad, 400, "string_above_max_length", name,
                          "Invalid '%s': string too long. Expected at most %d bytes, but got %zu instead.", name,
                          WIRE_STOP_BYTES_MAX, yyjson_get_len(v));
    gen->stop[gen->n_stop++] = api_json_str(v);
    return 0;
}

static int read_stop(struct reader *r, const char *name, yyjson_val *v) {
    if (!yyjson_is_arr(v))
        return yyjson_is_str(v) ? add_stop(r, name, v) : api_wrong_type(r, name, "a string or an array of strings", v);
    if (yyjson_arr_size(v) > WIRE_STOPS_MAX)
        return api_refuse(r->bad, 400, "array_above_max_length", name,
                          "Invalid '%s': array too long. Expected at most %d strings, but got %zu instead.", name, WIRE_STOPS_MAX,
                          yyjson_arr_size(v));
    size_t i, max;
    yyjson_val *item;
    yyjson_arr_foreach(v, i, max, item) {
        if (add_stop(r, name, item) < 0)
            return -1;
    }
    return 0;
}

/* A key of logit_bias: a token id in decimal. */
static bool read_token_id(struct str s, uint32_t *out) {
    uint64_t id = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9' || i > 9)
            return false;
        id = id * 10 + (uint64_t)(s.p[i] - '0');
    }
    *out = (uint32_t)id;
    return s.n > 0 && id <= UINT32_MAX;
}

static int read_logit_bias(struct reader *r, const char *name, yyjson_val *v) {
    struct gen_req *gen = &r->call->gen;
    if (!yyjson_is_obj(v))
        return api_wrong_type(r, name, "an object", v);
    if (yyjson_obj_size(v) > WIRE_BIAS_MAX)
        return api_refuse(r->bad, 400, "object_above_max_properties", name,
                          "Invalid '%s': too many tokens. Expected at most %d, but got %zu instead.", name, WIRE_BIAS_MAX,
                          yyjson_obj_size(v));
    size_t i, max;
    yyjson_val *key, *value;
    yyjson_obj_foreach(v, i, max, key, value) {
        struct gen_bias *b = &gen->bias[gen->n_bias++];
        double x = yyjson_get_num(value);
        if (!read_token_id(api_json_str(key), &b->token))
            return api_refuse(r->bad, 400, "invalid_value", name, "Invalid '%s': its keys must be token ids.", name);
        if (!yyjson_is_num(value) || x < -100 || x > 100)
            return api_refuse(r->bad, 400, "invalid_value", name, "Invalid '%s': its values must be numbers from -100 to 100.",
                              name);
        b->value = (float)x;
    }
    return 0;
}

static int read_max_tokens(struct reader *r, const char *name, yyjson_val *v) {
    uint32_t n = 0;
    if (api_count_read(r, name, v, r->may_echo ? 0 : 1, INT32_MAX, &n) < 0)
        return -1;
    if (r->has_max_tokens && n != r->call->gen.max_tokens)
        return api_refuse(r->bad, 400, "invalid_value", name,
                          "'max_tokens' and 'max_completion_tokens' are both given, and they differ.");
    r->has_max_tokens = true;
    r->call->gen.max_tokens = n;
    return 0;
}

static int read_stream_options(struct reader *r, const char *name, yyjson_val *v) {
    static const struct field fields[] = {
        {"include_usage", FIELD_BOOL, AT(include_usage), 0, 0, NULL},
        {"include_obfuscation", FIELD_IDLE, 0, 0, 0, NULL},
        {.name = NULL},
    };
    static const struct field *const groups[] = {fields, NULL};
    if (!yyjson_is_obj(v))
        return api_wrong_type(r, name, "an object", v);
    r->within = name;
    int failed = api_fields_read(r, v, groups);
    r->within = NULL;
    return failed;
}

static int read_store(struct reader *r, const char *name, yyjson_val *v) {
    if (!yyjson_is_bool(v))
        return api_wrong_type(r, name, "a boolean", v);
    return yyjson_is_true(v) ? api_refuse(r->bad, 400, "unsupported_value", name,
                                          "Unsupported value: '%s' can only be false: nothing is stored here.", name)
                             : 0;
}

static int read_service_tier(struct reader *r, const char *name, yyjson_val *v) {
    struct str s = api_json_str(v);
    return str_is(s, "auto") || str_is(s, "default")
               ? 0
               : api_refuse(r->bad, 400, "unsupported_value", name, "Unsupported value: '%s' can only be 'auto' or 'default'.",
                            name);
}

static int read_now(struct reader *r, const char *name, yyjson_val *v) {
    return api_text_read(r, name, v, &r->call->gen.now);
}

const struct field api_fields_sampling[] = {
    {"model", FIELD_TEXT, AT(model), 0, 0, NULL},
    {"temperature", FIELD_REAL, AT(gen.sampling.temperature), 0, 2, NULL},
    {"top_p", FIELD_REAL, AT(gen.sampling.top_p), 0, 1, NULL},
    {"n", FIELD_COUNT, AT(gen.n), 1, WIRE_N_MAX, NULL},
    {"seed", FIELD_READ, 0, 0, 0, read_seed},
    {"stop", FIELD_READ, 0, 0, 0, read_stop},
    {"max_tokens", FIELD_READ, 0, 0, 0, read_max_tokens},
    {"max_completion_tokens", FIELD_READ, 0, 0, 0, read_max_tokens},
    {"presence_penalty", FIELD_REAL, AT(gen.sampling.presence_penalty), -2, 2, NULL},
    {"frequency_penalty", FIELD_REAL, AT(gen.sampling.frequency_penalty), -2, 2, NULL},
    {"logit_bias", FIELD_READ, 0, 0, 0, read_logit_bias},
    {"stream", FIELD_BOOL, AT(stream), 0, 0, NULL},
    {"stream_options", FIELD_READ, 0, 0, 0, read_stream_options},
    /* moat's extensions */
    {"top_k", FIELD_COUNT, AT(gen.sampling.top_k), 0, 1 << 20, NULL},
    {"min_p", FIELD_REAL, AT(gen.sampling.min_p), 0, 1, NULL},
    {"typical_p", FIELD_REAL, AT(gen.sampling.typical), 0, 1, NULL},
    {"repetition_penalty", FIELD_REAL, AT(gen.sampling.repetition_penalty), 0.01, 100, NULL},
    {"penalty_last_n", FIELD_COUNT, AT(gen.sampling.penalty_last_n), 0, INT32_MAX, NULL},
    {"ignore_eos", FIELD_BOOL, AT(gen.ignore_eos), 0, 0, NULL},
    {"now", FIELD_READ, 0, 0, 0, read_now},
    {"fingerprint", FIELD_TEXT, AT(fingerprint), 0, 0, NULL},
    /* known, and without effect on the answer */
    {"user", FIELD_IDLE, 0, 0, 0, NULL},
    {"metadata", FIELD_IDLE, 0, 0, 0, NULL},
    {"safety_identifier", FIELD_IDLE, 0, 0, 0, NULL},
    {"prompt_cache_key", FIELD_IDLE, 0, 0, 0, NULL},
    {"prompt_cache_retention", FIELD_IDLE, 0, 0, 0, NULL},
    {"cache_prompt", FIELD_IDLE, 0, 0, 0, NULL},
    {"store", FIELD_READ, 0, 0, 0, read_store},
    {"service_tier", FIELD_READ, 0, 0, 0, read_service_tier},
    {.name = NULL},
};
