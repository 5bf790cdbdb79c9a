/* utf8: well-formed sequences only (Unicode 16.0, table 3-7). */
#include "base.h"

unsigned utf8_decode(const char *text, const char *end, uint32_t *cp) {
    const uint8_t *p = (const uint8_t *)text;
    size_t left = (size_t)(end - text);
    if (left == 0)
        return 0;
    if (p[0] < 0x80) {
        *cp = p[0];
        return 1;
    }
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    unsigned len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (left < len)
        return 0;
    uint8_t low = 0x80, high = 0xbf; /* bounds of the second byte: no overlong form, no surrogate, not above U+10FFFF */
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    uint32_t c = p[0] & (0x7fu >> len);
    for (unsigned i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3fu);
    }
    *cp = c;
    return len;
}

unsigned utf8_encode(uint32_t cp, char out[4]) {
    ASSERT(cp <= 0x10ffff && (cp < 0xd800 || cp > 0xdfff));
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    unsigned len = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (unsigned i = len - 1; i > 0; i--, cp >>= 6)
        out[i] = (char)(0x80 | (cp & 0x3f));
    out[0] = (char)(uint8_t)((0xf00u >> len & 0xf0u) | cp);
    return len;
}

bool utf8_valid(struct str s) {
    const char *end = str_end(s);
    for (const char *p = s.p; p < end;) {
        uint32_t cp;
        unsigned len = utf8_decode(p, end, &cp);
        if (len == 0)
            return false;
        p += len;
    }
    return true;
}

size_t utf8_complete(struct str s) {
    /* Only the last 1..3 bytes can be an unfinished character: find its lead byte and see what it still lacks. */
    for (size_t back = 1; back <= 3 && back <= s.n; back++) {
        uint8_t c = (uint8_t)s.p[s.n - back];
        if ((c & 0xc0) == 0x80)
            continue;
        unsigned len = c < 0xc2 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c <= 0xf4 ? 4 : 1;
        if (len <= back)
            return s.n;
        char trial[4];
        for (size_t i = 0; i < len; i++)
            trial[i] = i < back ? s.p[s.n - back + i] : (char)0x80;
        if (len > back && back == 1) /* the second byte's bounds depend on the lead; any that fits will do */
            trial[1] = (char)(c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80);
        uint32_t cp;
        return utf8_decode(trial, trial + len, &cp) ? s.n - back : s.n;
    }
    return s.n;
}
