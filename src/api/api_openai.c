/* api_openai: requests of /v1/chat/completions and /v1/completions, and of moat's own small endpoints, as tables of their
 * fields. A field is in a table or it is refused. */
#include "api_answer.h"
#include "api_fields.h"

#include <string.h>

#define AT(field) offsetof(struct api_call, field)

enum { TOKENS_DEFAULT = 16 }; /* OpenAI's default of max_tokens for completions */

static void set_defaults(struct api_call *call) {
    *call = (struct api_call){.gen = {.n = 1, .parse_special = true, .add_special = true}};
    call->gen.sampling = (struct gen_sampling){.temperature = 1, .top_p = 1, .typical = 1, .repetition_penalty = 1};
}

/* Reads the body by the groups of fields. */
static int read_by(struct reader *r, struct str body, const struct field *const *groups) {
    set_defaults(r->call);
    if (api_body_read(body, r->call, r->bad) < 0)
        return -1;
    return api_fields_read(r, yyjson_doc_get_root(r->call->doc), groups);
}

/* ---- chat ------------------------------------------------------------------------------------------------------------ */

static int read_top_logprobs(struct reader *r, const char *name, yyjson_val *v) {
    return api_count_read(r, name, v, 0, WIRE_TOP_MAX, &r->call->gen.top_logprobs);
}

/* A field of which only one value can be chosen here. */
static int only(struct reader *r, const char *name, bool fits, const char *what) {
    return fits ? 0
                : api_refuse(r->bad, 400, "unsupported_value", name, "Unsupported value: '%s' can only be %s on this server.",
                             name, what);
}

static int read_response_format(struct reader *r, const char *name, yyjson_val *v) {
    return only(r, name, yyjson_equals_str(yyjson_obj_get(v, "type"), "text") && yyjson_obj_size(v) == 1, "{\"type\": \"text\"}");
}

static int read_tools(struct reader *r, const char *name, yyjson_val *v) {
    return only(r, name, yyjson_is_arr(v) && yyjson_arr_size(v) == 0, "left out or empty");
}

static int read_tool_choice(struct reader *r, const char *name, yyjson_val *v) {
    return only(r, name, yyjson_equals_str(v, "none") || yyjson_equals_str(v, "auto"), "'none' or 'auto'");
}

static int read_modalities(struct reader *r, const char *name, yyjson_val *v) {
    return only(r, name, yyjson_is_arr(v) && yyjson_arr_size(v) == 1 && yyjson_equals_str(yyjson_arr_get(v, 0), "text"),
                "[\"text\"]");
}

static int read_bool(struct reader *r, const char *name, yyjson_val *v, bool *out) {
    *out = yyjson_is_true(v);
    return yyjson_is_bool(v) ? 0 : api_wrong_type(r, name, "a boolean", v);
}

static int read_generation_prompt(struct reader *r, const char *name, yyjson_val *v) {
    bool wanted = true;
    int failed = read_bool(r, name, v, &wanted);
    r->no_generation_prompt = !wanted;
    return failed;
}

static int read_variables(struct reader *r, const char *name, yyjson_val *v) {
    if (!yyjson_is_obj(v))
        return api_wrong_type(r, name, "an object", v);
    r->variables = v;
    return 0;
}

static const struct field fields_template[] = {
    {"messages", FIELD_READ, 0, 0, 0, api_messages_read},
    {"add_generation_prompt", FIELD_READ, 0, 0, 0, read_generation_prompt},
    {"chat_template_kwargs", FIELD_READ, 0, 0, 0, read_variables},
    {"tools", FIELD_READ, 0, 0, 0, read_tools},
    {.name = NULL},
};
static const struct field fields_chat[] = {
    {"logprobs", FIELD_BOOL, AT(gen.logprobs), 0, 0, NULL},
    {"top_logprobs", FIELD_READ, 0, 0, 0, read_top_logprobs},
    {"response_format", FIELD_READ, 0, 0, 0, read_response_format},
    {"tool_choice", FIELD_READ, 0, 0, 0, read_tool_choice},
    {"parallel_tool_calls", FIELD_IDLE, 0, 0, 0, NULL}, /* there are no tools */
    {"modalities", FIELD_READ, 0, 0, 0, read_modalities},
    {"functions", FIELD_REFUSED, 0, 0, 0, NULL},
    {"function_call", FIELD_REFUSED, 0, 0, 0, NULL},
    {"audio", FIELD_REFUSED, 0, 0, 0, NULL},
    {"prediction", FIELD_REFUSED, 0, 0, 0, NULL},
    {"reasoning_effort", FIELD_REFUSED, 0, 0, 0, NULL},
    {"verbosity", FIELD_REFUSED, 0, 0, 0, NULL},
    {"web_search_options", FIELD_REFUSED, 0, 0, 0, NULL},
    {.name = NULL},
};

static int read_chat(struct str body, const struct api_opts *opts, struct api_call *call, struct api_error *bad) {
    static const struct field *const groups[] = {fields_template, fields_chat, api_fields_sampling, NULL};
    struct reader r = {.call = call, .bad = bad, .opts = opts};
    if (read_by(&r, body, groups) < 0)
        return -1;
    if (call->gen.top_logprobs && !call->gen.logprobs)
        return api_refuse(bad, 400, "invalid_value", "top_logprobs", "'top_logprobs' needs 'logprobs' to be true.");
    return api_chat_compose(&r, GEN_CHAT);
}

/* ---- completions ------------------------------------------------------------------------------------------------------- */

static int add_prompt(struct reader *r, struct api_prompt p) {
    if (r->call->n_prompts == API_PROMPTS_MAX)
        return api_refuse(r->bad, 400, "array_above_max_length", "prompt", "Invalid 'prompt': more than %d prompts.",
                          API_PROMPTS_MAX);
    r->call->prompts[r->call->n_prompts++] = p;
    return 0;
}

static int add_token_prompt(struct reader *r, const char *name, yyjson_val *ids) {
    size_t n = yyjson_arr_size(ids), i, max;
    uint32_t *out = arena_array(&r->call->mem, n, sizeof *out);
    yyjson_val *id;
    if (!out && n)
        return api_refuse(r->bad, 500, "out_of_memory", name, "The server is out of memory.");
    yyjson_arr_foreach(ids, i, max, id) {
        if (api_count_read(r, name, id, 0, UINT32_MAX, &out[i]) < 0)
            return -1;
    }
    return add_prompt(r, (struct api_prompt){GEN_TOKENS, {(char *)out, n * sizeof *out}});
}

/* A text, token ids, or an array of several of either. */
static int read_prompt(struct reader *r, const char *name, yyjson_val *v) {
    if (yyjson_is_str(v))
        return add_prompt(r, (struct api_prompt){GEN_TEXT, api_json_str(v)});
    if (!yyjson_is_arr(v) || yyjson_arr_size(v) == 0)
        return api_wrong_type(r, name, "a string, or an array of strings, token ids or arrays of token ids", v);
    if (yyjson_is_num(yyjson_arr_get_first(v)))
        return add_token_prompt(r, name, v);
    size_t i, max;
    yyjson_val *item;
    yyjson_arr_foreach(v, i, max, item) {
        if (!yyjson_is_str(item) && !yyjson_is_arr(item))
            return api_wrong_type(r, name, "an array of strings or of arrays of token ids", item);
        if ((yyjson_is_str(item) ? read_prompt(r, name, item) : add_token_prompt(r, name, item)) < 0)
            return -1;
    }
    return 0;
}

static int read_logprobs_count(struct reader *r, const char *name, yyjson_val *v) {
    r->call->gen.logprobs = true;
    return api_count_read(r, name, v, 0, WIRE_TOP_MAX, &r->call->gen.top_logprobs);
}

static int read_best_of(struct reader *r, const char *name, yyjson_val *v) {
    return api_count_read(r, name, v, 1, WIRE_N_MAX, &r->best_of);
}

static int read_suffix(struct reader *r, const char *name, yyjson_val *v) {
    return only(r, name, yyjson_is_str(v) && yyjson_get_len(v) == 0, "left out or empty");
}

static const struct field fields_completion[] = {
    {"prompt", FIELD_READ, 0, 0, 0, read_prompt},
    {"echo", FIELD_BOOL, AT(gen.echo), 0, 0, NULL},
    {"logprobs", FIELD_READ, 0, 0, 0, read_logprobs_count},
    {"best_of", FIELD_READ, 0, 0, 0, read_best_of},
    {"suffix", FIELD_READ, 0, 0, 0, read_suffix},
    {"add_special_tokens", FIELD_BOOL, AT(gen.add_special), 0, 0, NULL},
    {.name = NULL},
};

static int read_completion(struct str body, const struct api_opts *opts, struct api_call *call, struct api_error *bad) {
    static const struct field *const groups[] = {fields_completion, api_fields_sampling, NULL};
    struct reader r = {.call = call, .bad = bad, .opts = opts, .may_echo = true};
    if (read_by(&r, body, groups) < 0)
        return -1;
    if (call->n_prompts == 0)
        return api_refuse(bad, 400, "missing_required_parameter", "prompt", "Missing required parameter: 'prompt'.");
    call->gen.echo_only = r.has_max_tokens && call->gen.max_tokens == 0;
    if (call->gen.echo_only && !call->gen.echo)
        return api_refuse(bad, 400, "integer_below_min_value", "max_tokens", "Invalid 'max_tokens': 0 is for 'echo' only.");
    if (r.best_of && r.best_of != call->gen.n)
        return api_refuse(bad, 400, "unsupported_value", "best_of",
                          "Unsupported value: 'best_of' can only be equal to 'n' on this server.");
    if (call->n_prompts * call->gen.n > API_CHOICES_MAX)
        return api_refuse(bad, 400, "invalid_value", "n", "Invalid 'n': prompts times 'n' is more than %d choices.",
                          API_CHOICES_MAX);
    if (!r.has_max_tokens)
        call->gen.max_tokens = TOKENS_DEFAULT;
    return 0;
}

/* ---- moat's own ---------------------------------------------------------------------------------------------------------- */

static int read_content(struct reader *r, const char *name, yyjson_val *v) {
    struct api_prompt p = {GEN_TOKENIZE, {0}};
    return api_text_read(r, name, v, &p.body) < 0 ? -1 : add_prompt(r, p);
}

static int read_add_special(struct reader *r, const char *name, yyjson_val *v) {
    return read_bool(r, name, v, &r->add_special);
}

static int read_tokens(struct reader *r, const char *name, yyjson_val *v) {
    if (!yyjson_is_arr(v))
        return api_wrong_type(r, name, "an array of token ids", v);
    if (add_token_prompt(r, name, v) < 0)
        return -1;
    r->call->prompts[0].kind = GEN_DETOKENIZE;
    return 0;
}

static int read_tokenize(struct str body, const struct api_opts *opts, struct api_call *call, struct api_error *bad) {
    static const struct field fields[] = {
        {"content", FIELD_READ, 0, 0, 0, read_content},
        {"add_special", FIELD_READ, 0, 0, 0, read_add_special},
        {"parse_special", FIELD_BOOL, AT(gen.parse_special), 0, 0, NULL},
        {"model", FIELD_TEXT, AT(model), 0, 0, NULL},
        {.name = NULL},
    };
    static const struct field *const groups[] = {fields, NULL};
    struct reader r = {.call = call, .bad = bad, .opts = opts};
    if (read_by(&r, body, groups) < 0)
        return -1;
    call->gen.token_ids = true;
    call->gen.add_special = r.add_special;
    return call->n_prompts
               ? 0
               : api_refuse(bad, 400, "missing_required_parameter", "content", "Missing required parameter: 'content'.");
}

static int read_detokenize(struct str body, const struct api_opts *opts, struct api_call *call, struct api_error *bad) {
    static const struct field fields[] = {
        {"tokens", FIELD_READ, 0, 0, 0, read_tokens},
        {"model", FIELD_TEXT, AT(model), 0, 0, NULL},
        {.name = NULL},
    };
    static const struct field *const groups[] = {fields, NULL};
    struct reader r = {.call = call, .bad = bad, .opts = opts};
    if (read_by(&r, body, groups) < 0)
        return -1;
    return call->n_prompts
               ? 0
               : api_refuse(bad, 400, "missing_required_parameter", "tokens", "Missing required parameter: 'tokens'.");
}

/* Takes whatever a chat request may hold, so that a client can send it the same body. */
static int read_apply_template(struct str body, const struct api_opts *opts, struct api_call *call, struct api_error *bad) {
    static const struct field *const groups[] = {fields_template, fields_chat, api_fields_sampling, NULL};
    struct reader r = {.call = call, .bad = bad, .opts = opts};
    if (read_by(&r, body, groups) < 0)
        return -1;
    call->stream = false;
    return api_chat_compose(&r, GEN_RENDER);
}

const struct api_codec api_openai_chat = {read_chat, api_chat_event, api_chat_finish};
const struct api_codec api_openai_completion = {read_completion, api_completion_event, api_completion_finish};
const struct api_codec api_tokenize = {read_tokenize, api_text_event, api_tokenize_finish};
const struct api_codec api_detokenize = {read_detokenize, api_text_event, api_detokenize_finish};
const struct api_codec api_apply_template = {read_apply_template, api_text_event, api_template_finish};
