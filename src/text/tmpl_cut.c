/* tmpl_cut: cutting strings at lines and edges, replacing in them and padding them. */
#include "tmpl_run.h"

#include <string.h>

static bool ends_line(uint32_t cp) {
    return (cp >= '\n' && cp <= '\r') || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 || cp == 0x2028 || cp == 0x2029;
}

void tmpl_str_line(struct val s, size_t at, size_t *n, size_t *with_end) {
    unsigned len;
    for (size_t i = at; i < s.n; i += len) {
        uint32_t cp = tmpl_str_cp(s, i, &len);
        if (!ends_line(cp))
            continue;
        *n = i - at;
        *with_end = *n + len + (cp == '\r' && i + 1 < s.n && s.p[i + 1] == '\n');
        return;
    }
    *n = *with_end = s.n - at;
}

/* Is the character among `chars`, or white space where chars is no string? */
static bool is_among(struct val chars, const char *p, unsigned len, uint32_t cp) {
    if (chars.type == VAL_STR)
        return tmpl_str_find(chars, (struct str){p, len}, 0, chars.n) != SIZE_MAX;
    return tmpl_char_class(cp) & CHAR_SPACE;
}

int tmpl_str_strip(struct render *r, struct val s, struct val chars, bool left, bool right, struct val *out) {
    size_t from = 0, to = s.n;
    unsigned len, whole;
    if (chars.type != VAL_STR && chars.type != VAL_MISSING && chars.type != VAL_NONE)
        return tmpl_fail(r, "type", "strip arg must be None or str");
    for (; left && from < to; from += len) {
        uint32_t cp = tmpl_str_cp(s, from, &len);
        if (!is_among(chars, s.p + from, len, cp))
            break;
    }
    for (; right && to > from; to -= len) {
        len = tmpl_str_cp_before(s, to);
        if (!is_among(chars, s.p + to - len, len, tmpl_str_cp(s, to - len, &whole)))
            break;
    }
    *out = tmpl_str_sub(s, from, to - from);
    out->flags = s.flags;
    return tmpl_work(r, (s.n - (to - from)) * (1 + (chars.type == VAL_STR ? chars.n : 0)));
}

int tmpl_str_replace(struct render *r, struct val s, struct val old, struct val new, int64_t count, struct val *out) {
    struct text t = {0};
    struct str needle = tmpl_str_bytes(old);
    size_t done = 0, at = 0;
    unsigned len = 0;
    if (s.flags & FLAG_MARKUP && tmpl_str_escape(r, new, &new) < 0)
        return tmpl_failed(r);
    for (; count != 0 && !tmpl_failed(r) && (at = tmpl_str_find(s, needle, at, s.n)) != SIZE_MAX; count--) {
        tmpl_text_sub(r, &t, s, done, at - done);
        tmpl_text_str(r, &t, new);
        done = at;
        if (needle.n) {
            done = at += needle.n;
        } else if (at < s.n) { /* the empty string is found before each character and at the end */
            tmpl_str_cp(s, at, &len);
            at += len;
        } else {
            break;
        }
    }
    if (done == 0 && t.n == 0) { /* nothing found: no copy */
        *out = s;
        return tmpl_work(r, s.n);
    }
    tmpl_text_sub(r, &t, s, done, s.n - done);
    if (tmpl_text_end(r, &t, out) < 0)
        return tmpl_failed(r);
    out->flags = s.flags;
    return 0;
}

void tmpl_text_padded(struct render *r, struct text *t, struct val s, int64_t width, char align, struct val fill) {
    int64_t n = (int64_t)tmpl_str_length(s), pad = width > n ? width - n : 0;
    int64_t left = align == '>' ? pad : align == '<' ? 0 : pad / 2 + (pad & width & 1);
    if (pad > UINT32_MAX / 4) {
        tmpl_fail(r, "limit", "a string is longer than memory allows");
        return;
    }
    tmpl_text_fill(r, t, fill, (size_t)left);
    tmpl_text_str(r, t, s);
    tmpl_text_fill(r, t, fill, (size_t)(pad - left));
}
