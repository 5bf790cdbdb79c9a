/* err: filling an error once, as one printable line. */
#include "base.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Makes text a single printable line: arguments of messages may come from hostile files. */
static void make_printable(char *s) {
    size_t n = strlen(s);
    const char *end = s + n;
    for (char *p = s; p < end;) {
        uint32_t cp = 0;
        unsigned len = utf8_decode(p, end, &cp);
        if (len == 0 || cp < 0x20 || cp == 0x7f || (cp >= 0x80 && cp < 0xa0) || cp == 0x2028 || cp == 0x2029) {
            unsigned bad = len ? len : 1;
            memset(p, '?', bad);
            p += bad;
        } else {
            p += len;
        }
    }
}

int err_set(struct err *e, int code, const char *where, const char *fmt, ...) {
    if (!e || e->code)
        return code;
    e->code = code;
    snprintf(e->where, sizeof e->where, "%s", where ? where : "");
    va_list args;
    va_start(args, fmt);
    vsnprintf(e->msg, sizeof e->msg, fmt, args);
    va_end(args);
    make_printable(e->where);
    make_printable(e->msg);
    return code;
}

void err_within(struct err *e, const char *prefix) {
    if (!e || !e->code)
        return;
    /* The field stays whole; of a prefix that is too long (a path, mostly) the end says more. */
    const char *between = e->where[0] ? ": " : "";
    size_t n_old = strlen(e->where) + strlen(between), n = strlen(prefix), room = sizeof e->where - 1;
    if (n_old >= room)
        return;
    n = n < room - n_old ? n : room - n_old;
    memmove(e->where + n + strlen(between), e->where, strlen(e->where) + 1);
    memcpy(e->where + n, between, strlen(between));
    memcpy(e->where, prefix + strlen(prefix) - n, n);
    make_printable(e->where);
}

void assert_failed(const char *cond, const char *file, int line) {
    fprintf(stderr, "moat: a fault of the program itself: %s:%d: %s does not hold; please report it\n", file, line, cond);
    abort();
}
