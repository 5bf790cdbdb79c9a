/* str and buf: borrowed and growing bytes. */
#include "base.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_MAX_DEFAULT = 1 << 30, BUF_FIRST = 64 };

struct str str_of(const char *z) {
    return z ? (struct str){z, strlen(z)} : (struct str){0};
}

bool str_eq(struct str a, struct str b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_is(struct str a, const char *z) {
    return str_eq(a, str_of(z));
}

bool str_starts(struct str s, struct str prefix) {
    return s.n >= prefix.n && str_eq((struct str){s.p, prefix.n}, prefix);
}

void *buf_room(struct buf *b, size_t n) {
    size_t max = b->max ? b->max : BUF_MAX_DEFAULT;
    if (b->failed || n > max || b->n > max - n) {
        b->failed = true;
        return NULL;
    }
    size_t need = b->n + n;
    if (need > b->cap || !b->p) {
        size_t cap = b->cap < BUF_FIRST ? BUF_FIRST : b->cap + b->cap / 2;
        if (cap < need)
            cap = need;
        char *p = realloc(b->p, cap);
        if (!p) {
            b->failed = true;
            return NULL;
        }
        b->p = p;
        b->cap = cap;
    }
    return b->p + b->n;
}

void buf_add(struct buf *b, const void *p, size_t n) {
    if (n == 0)
        return;
    void *to = buf_room(b, n);
    if (!to)
        return;
    memcpy(to, p, n);
    b->n += n;
}

void buf_str(struct buf *b, struct str s) {
    buf_add(b, s.p, s.n);
}

void buf_z(struct buf *b, const char *z) {
    buf_add(b, z, strlen(z));
}

void buf_byte(struct buf *b, char c) {
    buf_add(b, &c, 1);
}

void buf_fmt(struct buf *b, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    va_list again;
    va_copy(again, args);
    char small[256];
    int n = vsnprintf(small, sizeof small, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof small) {
        buf_add(b, small, (size_t)n);
    } else if (n >= 0) {
        char *to = buf_room(b, (size_t)n + 1);
        if (to) {
            vsnprintf(to, (size_t)n + 1, fmt, again);
            b->n += (size_t)n;
        }
    }
    va_end(again);
}

static void json_char(struct buf *b, uint32_t cp, const char *p, unsigned len) {
    static const char short_for[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\'};
    if (cp < sizeof short_for && short_for[cp]) {
        buf_byte(b, '\\');
        buf_byte(b, short_for[cp]);
    } else if (cp < 0x20 || cp == 0x7f) {
        buf_fmt(b, "\\u%04x", cp);
    } else {
        buf_add(b, p, len);
    }
}

void buf_json(struct buf *b, struct str s) {
    const char *end = str_end(s);
    buf_byte(b, '"');
    for (const char *p = s.p; p < end;) {
        uint32_t cp = 0;
        unsigned len = utf8_decode(p, end, &cp);
        if (len)
            json_char(b, cp, p, len);
        else
            buf_z(b, "\xef\xbf\xbd");
        p += len ? len : 1;
    }
    buf_byte(b, '"');
}

struct str buf_as_str(const struct buf *b) {
    return (struct str){b->p, b->n};
}

void buf_free(struct buf *b) {
    free(b->p);
    *b = (struct buf){.max = b->max};
}
