/* tmpl_bytes: str.encode and the bytes it gives. Bytes are held as a string is, so that each knows its origin. */
#include "tmpl_run.h"

#include <string.h>
#include <strings.h>

enum coding { UTF8, ASCII, LATIN1 };

/* The coding and what to do with errors: arguments 0 and 1. */
static int read_arguments(struct call *c, enum coding *coding, const char **errors) {
    static const struct {
        const char *name;
        enum coding coding;
    } codings[] = {{"utf-8", UTF8},        {"utf8", UTF8},        {"utf_8", UTF8},    {"u8", UTF8},        {"ascii", ASCII},
                   {"us-ascii", ASCII},    {"latin-1", LATIN1},   {"latin1", LATIN1}, {"latin_1", LATIN1}, {"l1", LATIN1},
                   {"iso-8859-1", LATIN1}, {"iso8859-1", LATIN1}, {"cp819", LATIN1},  {"8859", LATIN1}};
    static const char *const known[] = {"strict", "ignore", "replace", "xmlcharrefreplace", "backslashreplace"};
    *coding = UTF8;
    *errors = known[0];
    for (size_t i = 0; i < 2; i++)
        if (c->arg[i].type != VAL_MISSING && c->arg[i].type != VAL_STR)
            return tmpl_fail(c->r, "type", "argument must be str, not %s", tmpl_type_name(c->arg[i]));
    for (size_t i = 0; i < N_ITEMS(known); i++) /* an unknown one matters with the first error only: strict */
        *errors = tmpl_is_str(c->arg[1], known[i]) ? known[i] : *errors;
    if (c->arg[0].type == VAL_MISSING)
        return 0;
    struct str name = tmpl_str_bytes(c->arg[0]);
    for (size_t i = 0; i < N_ITEMS(codings); i++)
        if (name.n == strlen(codings[i].name) && strncasecmp(name.p, codings[i].name, name.n) == 0) {
            *coding = codings[i].coding;
            return 0;
        }
    return tmpl_fail(c->r, "type", "encoding '%.*s' is not known here (utf-8, ascii, latin-1)", (int)name.n, name.p);
}

/* Appends what stands for a character that the coding does not have; false: an error. */
static bool put_escape(struct render *r, struct text *t, const char *errors, uint32_t cp, uint8_t origin) {
    char text[16];
    if (*errors == 's')
        return false;
    if (*errors == 'x')
        snprintf(text, sizeof text, "&#%u;", cp);
    else if (*errors == 'b')
        snprintf(text, sizeof text, cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
    else
        snprintf(text, sizeof text, *errors == 'r' ? "?" : "");
    tmpl_text_z(r, t, text, origin);
    return true;
}

/* encode(encoding='utf-8', errors='strict') */
static int str_encode(struct call *c) {
    struct render *r = c->r;
    struct text t = {0};
    struct val s = c->self;
    enum coding coding;
    const char *errors;
    unsigned len;
    if (read_arguments(c, &coding, &errors) < 0)
        return tmpl_failed(r);
    for (size_t at = 0; at < s.n && !tmpl_failed(r); at += len) {
        uint32_t cp = tmpl_str_cp(s, at, &len);
        uint8_t origin = tmpl_str_origin(s, at);
        if (coding == UTF8 ? !tmpl_is_surrogate(cp) : cp < 0x80)
            tmpl_text_sub(r, &t, s, at, len);
        else if (coding == LATIN1 && cp < 0x100)
            tmpl_text_byte(r, &t, (char)(uint8_t)cp, origin);
        else if (!put_escape(r, &t, errors, cp, origin))
            return tmpl_fail(r, "type", "the codec can't encode character U+%04X", cp);
    }
    int code = tmpl_text_end(r, &t, c->out);
    c->out->type = VAL_BYTES;
    return code;
}

/* Bytes at `at` that are no UTF-8: as many as could begin a character, at least one. */
static size_t broken_length(struct val b, size_t at) {
    size_t n = 1;
    while (n < 3 && at + n < b.n && utf8_complete((struct str){b.p + at, n + 1}) == 0)
        n++;
    return n;
}

/* decode(encoding='utf-8', errors='strict') */
static int bytes_decode(struct call *c) {
    struct render *r = c->r;
    struct text t = {0};
    struct val b = c->self;
    enum coding coding;
    const char *errors;
    if (read_arguments(c, &coding, &errors) < 0)
        return tmpl_failed(r);
    for (size_t at = 0, len; at < b.n && !tmpl_failed(r); at += len) {
        uint32_t cp = (uint8_t)b.p[at];
        uint8_t origin = tmpl_str_origin(b, at);
        len = coding == UTF8 ? utf8_decode(b.p + at, b.p + b.n, &cp) : coding == LATIN1 || cp < 0x80;
        if (len > 0) {
            tmpl_text_cp(r, &t, cp, origin);
            continue;
        }
        len = coding == UTF8 ? broken_length(b, at) : 1;
        if (*errors == 's' || *errors == 'x')
            return tmpl_fail(r, "type", "the codec can't decode byte 0x%02x in position %zu", (uint8_t)b.p[at], at);
        for (size_t i = 0; *errors == 'b' && i < len; i++)
            put_escape(r, &t, errors, (uint8_t)b.p[at + i], origin);
        if (*errors == 'r')
            tmpl_text_cp(r, &t, 0xfffd, origin);
    }
    return tmpl_text_end(r, &t, c->out);
}

static int bytes_hex(struct call *c) {
    struct text t = {0};
    for (size_t i = 0; i < c->self.n && !tmpl_failed(c->r); i++) {
        char text[3];
        snprintf(text, sizeof text, "%02x", (uint8_t)c->self.p[i]);
        tmpl_text_z(c->r, &t, text, tmpl_str_origin(c->self, i));
    }
    return tmpl_text_end(c->r, &t, c->out);
}

/* b'...': quotes as repr of a string has them. */
void tmpl_text_bytes(struct render *r, struct text *t, struct val b) {
    bool single = b.n && memchr(b.p, '\'', b.n), twice = b.n && memchr(b.p, '"', b.n);
    char quote = single && !twice ? '"' : '\'', text[8];
    uint8_t outer = b.n ? tmpl_str_origin(b, 0) : TEMPLATE;
    tmpl_text_byte(r, t, 'b', outer);
    tmpl_text_byte(r, t, quote, outer);
    for (size_t i = 0; i < b.n && !tmpl_failed(r); i++) {
        uint8_t byte = (uint8_t)b.p[i];
        const char *short_form = byte == '\n'   ? "\\n"
                                 : byte == '\r' ? "\\r"
                                 : byte == '\t' ? "\\t"
                                 : byte == '\\' ? "\\\\"
                                                : NULL;
        if (short_form)
            snprintf(text, sizeof text, "%s", short_form);
        else if (byte == (uint8_t)quote)
            snprintf(text, sizeof text, "\\%c", quote);
        else
            snprintf(text, sizeof text, byte < 0x20 || byte > 0x7e ? "\\x%02x" : "%c", byte);
        tmpl_text_z(r, t, text, tmpl_str_origin(b, i));
    }
    tmpl_text_byte(r, t, quote, outer);
}

struct val tmpl_byte_at(struct val b, size_t at) {
    struct val v = tmpl_int((uint8_t)b.p[at]);
    v.origin = tmpl_str_origin(b, at);
    return v;
}

/* b[start + i * step] for i < n */
int tmpl_bytes_pick(struct render *r, struct val b, int64_t start, int64_t step, int64_t n, struct val *out) {
    struct text t = {0};
    for (int64_t i = 0; i < n && !tmpl_failed(r); i++)
        tmpl_text_sub(r, &t, b, (size_t)(start + i * step), 1);
    int code = tmpl_text_end(r, &t, out);
    out->type = VAL_BYTES;
    return code;
}

/* item in b: bytes, or the number of one. */
int tmpl_bytes_contain(struct render *r, struct val b, struct val item, bool *out) {
    if (item.type == VAL_BYTES)
        *out = tmpl_str_find(b, tmpl_str_bytes(item), 0, b.n) != SIZE_MAX;
    else if (!tmpl_is_int(item))
        return tmpl_fail(r, "type", "a bytes-like object is required, not '%s'", tmpl_type_name(item));
    else if (tmpl_as_int(item) < 0 || tmpl_as_int(item) > 255)
        return tmpl_fail(r, "type", "byte must be in range(0, 256)");
    else
        *out = b.n && memchr(b.p, (int)tmpl_as_int(item), b.n);
    return tmpl_work(r, b.n);
}

const struct callable tmpl_methods_encode[] = {
    {"encode", 0, 2, "encoding errors", str_encode},
    {.name = NULL},
};
const struct callable tmpl_methods_bytes[] = {
    {"decode", 0, 2, "encoding errors", bytes_decode},
    {"hex", 0, 0, NULL, bytes_hex},
    {.name = NULL},
};
