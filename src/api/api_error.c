/* api_error: what clients are told, in OpenAI's shape. */
#include "api.h"

#include <stdarg.h>
#include <string.h>

static const char *type_of(int status) {
    return status == 429 ? "rate_limit_error" : status >= 500 ? "server_error" : "invalid_request_error";
}

int api_refuse(struct api_error *bad, int status, const char *code, const char *param, const char *fmt, ...) {
    if (bad->status)
        return -1;
    *bad = (struct api_error){.status = status, .type = type_of(status), .code = code};
    snprintf(bad->param, sizeof bad->param, "%s", param);
    va_list args;
    va_start(args, fmt);
    vsnprintf(bad->message, sizeof bad->message, fmt, args);
    va_end(args);
    return -1;
}

void api_error_of_event(struct api_error *bad, const struct gen_event *ev) {
    static const struct {
        int status;
        const char *code;
    } by_code[] = {
        [GEN_BAD_REQUEST] = {400, "invalid_value"},       [GEN_CONTEXT_EXCEEDED] = {400, "context_length_exceeded"},
        [GEN_TEMPLATE_FAILED] = {400, "template_failed"}, [GEN_LIMIT] = {400, "limit_exceeded"},
        [GEN_OVERLOADED] = {503, "overloaded"},           [GEN_FAULT] = {500, "engine_failed"},
        [GEN_NOT_FINITE] = {500, "not_finite"},           [GEN_SHUTDOWN] = {503, "shutting_down"},
    };
    size_t i = ev->code > 0 && (size_t)ev->code < N_ITEMS(by_code) ? (size_t)ev->code : GEN_FAULT;
    char param[sizeof bad->param];
    snprintf(param, sizeof param, "%.*s", (int)(ev->param.n < sizeof param ? ev->param.n : sizeof param - 1),
             ev->param.p ? ev->param.p : "");
    int n = ev->message.n < sizeof bad->message ? (int)ev->message.n : (int)sizeof bad->message - 1;
    const char *why = ev->message.p ? ev->message.p : "";
    if (i == GEN_BAD_REQUEST && param[0])
        api_refuse(bad, by_code[i].status, by_code[i].code, param, "Invalid '%s': %.*s.", param, n, why);
    else
        api_refuse(bad, by_code[i].status, by_code[i].code, param, "%.*s", n, why);
}

/* Texts that were cut by their arrays must not end within a character. */
static struct str whole_chars(const char *z) {
    struct str s = str_of(z);
    s.n = utf8_complete(s);
    return s;
}

void api_error_json(struct buf *out, const struct api_error *bad) {
    buf_z(out, "{\"error\":{\"message\":");
    buf_json(out, whole_chars(bad->message));
    buf_fmt(out, ",\"type\":\"%s\",\"param\":", bad->type ? bad->type : "server_error");
    if (bad->param[0])
        buf_json(out, whole_chars(bad->param));
    else
        buf_z(out, "null");
    if (bad->code)
        buf_fmt(out, ",\"code\":\"%s\"}}", bad->code);
    else
        buf_z(out, ",\"code\":null}}");
}
