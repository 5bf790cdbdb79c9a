/* api_chat: OpenAI's messages to the variables of a chat template. */
#include "api_fields.h"

#include <string.h>

int api_messages_read(struct reader *r, const char *name, yyjson_val *v) {
    if (!yyjson_is_arr(v))
        return api_wrong_type(r, name, "an array of objects", v);
    if (yyjson_arr_size(v) == 0)
        return api_refuse(r->bad, 400, "empty_array", name, "Invalid '%s': empty array. Expected an array with minimum length 1.",
                          name);
    r->messages = v;
    return 0;
}

/* Is it {"type": "text", "text": "..."}? */
static int check_part(struct reader *r, const char *param, yyjson_val *part) {
    yyjson_val *type = yyjson_obj_get(part, "type"), *text = yyjson_obj_get(part, "text");
    if (!yyjson_is_obj(part))
        return api_wrong_type(r, param, "an object", part);
    if (!yyjson_equals_str(type, "text"))
        return api_refuse(r->bad, 400, "unsupported_value", param, "Invalid '%s': only parts of type 'text' are supported.",
                          param);
    if (!yyjson_is_str(text))
        return api_wrong_type(r, param, "a part with a string 'text'", text);
    if (yyjson_obj_size(part) > 2)
        return api_refuse(r->bad, 400, "unknown_parameter", param,
                          "Unknown parameter: '%s': a text part has 'type' and 'text' only.", param);
    return 0;
}

/* The one text of an array of text parts: their texts, a line each, as other servers join them. */
static int add_parts(struct reader *r, const char *param, yyjson_val *parts) {
    struct buf joined = {0};
    size_t i, max;
    yyjson_val *part;
    int failed = 0;
    if (yyjson_arr_size(parts) == 0)
        return api_refuse(r->bad, 400, "empty_array", param,
                          "Invalid '%s': empty array. Expected an array with minimum length 1.", param);
    yyjson_arr_foreach(parts, i, max, part) {
        char part_param[96];
        snprintf(part_param, sizeof part_param, "%s[%zu]", param, i);
        failed = check_part(r, part_param, part);
        if (failed)
            break;
        buf_z(&joined, i ? "\n" : "");
        buf_str(&joined, api_json_str(yyjson_obj_get(part, "text")));
    }
    buf_json(&r->call->text, buf_as_str(&joined));
    r->call->text.failed |= joined.failed;
    buf_free(&joined);
    return failed;
}

static int add_content(struct reader *r, size_t i, yyjson_val *content, bool may_be_null) {
    char param[64];
    snprintf(param, sizeof param, "messages[%zu].content", i);
    buf_z(&r->call->text, ",\"content\":");
    if (yyjson_is_arr(content))
        return add_parts(r, param, content);
    if (yyjson_is_str(content) || (may_be_null && yyjson_is_null(content)))
        buf_json(&r->call->text, api_json_str(content));
    else if (!content)
        return api_refuse(r->bad, 400, "missing_required_parameter", param, "Missing required parameter: '%s'.", param);
    else
        return api_wrong_type(r, param, "a string or an array of text parts", content);
    return 0;
}

/* Is v what clients send back for "there is none"? */
static bool is_nothing(yyjson_val *v) {
    return yyjson_is_null(v) || (yyjson_is_arr(v) && yyjson_arr_size(v) == 0);
}

/* The fields of a message beside role and content: texts that templates read, and what is only accepted empty. */
static int add_other_field(struct reader *r, size_t i, struct str name, yyjson_val *v) {
    static const char *const texts[] = {"name", "reasoning_content"}, *const empties[] = {"refusal", "annotations", "audio",
                                                                                          "tool_calls", "function_call"};
    char param[96];
    snprintf(param, sizeof param, "messages[%zu].%.*s", i, name.n < 40 ? (int)name.n : 40, name.p);
    for (size_t k = 0; k < N_ITEMS(texts); k++)
        if (str_is(name, texts[k]) && !yyjson_is_null(v)) {
            if (!yyjson_is_str(v))
                return api_wrong_type(r, param, "a string", v);
            buf_fmt(&r->call->text, ",\"%s\":", texts[k]);
            buf_json(&r->call->text, api_json_str(v));
            return 0;
        } else if (str_is(name, texts[k])) {
            return 0;
        }
    for (size_t k = 0; k < N_ITEMS(empties); k++)
        if (str_is(name, empties[k]))
            return is_nothing(v) ? 0
                                 : api_refuse(r->bad, 400, "unsupported_parameter", param,
                                              "Unsupported parameter: '%s' is not supported by this server.", param);
    return api_refuse(r->bad, 400, "unknown_parameter", param, "Unknown parameter: '%s'.", param);
}

static int add_role(struct reader *r, size_t i, struct str role) {
    static const struct {
        const char *name, *in_template;
    } roles[] = {{"system", "system"}, {"developer", "system"}, {"user", "user"}, {"assistant", "assistant"}};
    for (size_t k = 0; k < N_ITEMS(roles); k++)
        if (str_is(role, roles[k].name)) {
            buf_fmt(&r->call->text, "%s{\"role\":\"%s\"", i ? "," : "", roles[k].in_template);
            return 0;
        }
    char param[64];
    snprintf(param, sizeof param, "messages[%zu].role", i);
    return api_refuse(r->bad, 400, "invalid_value", param,
                      "Invalid '%s': supported values are 'system', 'developer', 'user' and 'assistant'.", param);
}

static int add_message(struct reader *r, size_t i, yyjson_val *m) {
    char param[64], role_param[64];
    snprintf(param, sizeof param, "messages[%zu]", i);
    snprintf(role_param, sizeof role_param, "messages[%zu].role", i);
    if (!yyjson_is_obj(m))
        return api_wrong_type(r, param, "an object", m);
    yyjson_val *role_value = yyjson_obj_get(m, "role");
    struct str role = api_json_str(role_value);
    if (!role_value)
        return api_refuse(r->bad, 400, "missing_required_parameter", role_param, "Missing required parameter: '%s'.", role_param);
    if (!yyjson_is_str(role_value))
        return api_wrong_type(r, role_param, "a string", role_value);
    if (add_role(r, i, role) < 0 || add_content(r, i, yyjson_obj_get(m, "content"), str_is(role, "assistant")) < 0)
        return -1;
    size_t k, max;
    yyjson_val *key, *v;
    yyjson_obj_foreach(m, k, max, key, v) {
        struct str name = api_json_str(key);
        if (!str_is(name, "role") && !str_is(name, "content") && add_other_field(r, i, name, v) < 0)
            return -1;
    }
    buf_byte(&r->call->text, '}');
    return 0;
}

/* chat_template_kwargs: further variables, which cannot replace those that the request itself sets. */
static int add_variables(struct reader *r) {
    size_t i, max;
    yyjson_val *key, *v;
    if (!r->variables)
        return 0;
    yyjson_obj_foreach(r->variables, i, max, key, v) {
        struct str name = api_json_str(key);
        if (str_is(name, "messages") || str_is(name, "add_generation_prompt") || str_is(name, "tools"))
            return api_refuse(r->bad, 400, "invalid_value", "chat_template_kwargs",
                              "Invalid 'chat_template_kwargs': '%.*s' is a field of the request itself.", (int)name.n, name.p);
        buf_byte(&r->call->text, ',');
        buf_json(&r->call->text, name);
        buf_byte(&r->call->text, ':');
        json_canonical(&r->call->text, v);
    }
    return 0;
}

int api_chat_compose(struct reader *r, enum gen_kind kind) {
    struct api_call *call = r->call;
    if (!r->messages)
        return api_refuse(r->bad, 400, "missing_required_parameter", "messages", "Missing required parameter: 'messages'.");
    buf_z(&call->text, "{\"messages\":[");
    size_t i, max;
    yyjson_val *m;
    yyjson_arr_foreach(r->messages, i, max, m) {
        if (add_message(r, i, m) < 0)
            return -1;
    }
    buf_fmt(&call->text, "],\"add_generation_prompt\":%s", r->no_generation_prompt ? "false" : "true");
    if (add_variables(r) < 0)
        return -1;
    buf_byte(&call->text, '}');
    if (call->text.failed)
        return api_refuse(r->bad, 500, "out_of_memory", "", "The server is out of memory.");
    call->prompts[0] = (struct api_prompt){kind, buf_as_str(&call->text)};
    call->n_prompts = 1;
    return 0;
}
