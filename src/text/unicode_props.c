/* unicode: classes, lower case, decomposition: look-ups in the generated tables. */
#include "unicode_props.h"
#include "unicode_tables.h"

const uint32_t uc_ascii[128] = {
    [0 ... 8] = UC_CC,     ['\t' ... '\r'] = UC_CSPACE,
    [14 ... 31] = UC_CC,   [' '] = UC_Z,
    ['!' ... '#'] = UC_PX, ['$'] = UC_S,
    ['%' ... '*'] = UC_PX, ['+'] = UC_S,
    [',' ... '/'] = UC_PX, ['0' ... '9'] = UC_ND,
    [':' ... ';'] = UC_PX, ['<' ... '>'] = UC_S,
    ['?' ... '@'] = UC_PX, ['A' ... 'Z'] = UC_LU,
    ['[' ... ']'] = UC_PX, ['^'] = UC_S,
    ['_'] = UC_PC,         ['`'] = UC_S,
    ['a' ... 'z'] = UC_LL, ['{'] = UC_PX,
    ['|'] = UC_S,          ['}'] = UC_PX,
    ['~'] = UC_S,          [127] = UC_CC,
};

uint32_t uc_class(uint32_t cp) {
    if (cp > 0x10ffff)
        return UC_CN;
    unsigned block = unicode_block_of[cp / UNICODE_BLOCK];
    return 1u << (unicode_classes[block * UNICODE_BLOCK + cp % UNICODE_BLOCK] - 'a');
}

uint32_t uc_lower(uint32_t cp) {
    unsigned low = 0, high = unicode_n_lowers;
    while (low < high) { /* the first range that does not end before cp */
        unsigned mid = (low + high) / 2;
        if (unicode_lowers[mid].last < cp)
            low = mid + 1;
        else
            high = mid;
    }
    const struct unicode_lower *r = &unicode_lowers[low];
    if (low == unicode_n_lowers || cp < r->first || (cp - r->first) % r->step)
        return cp;
    return (uint32_t)((int32_t)cp + r->distance);
}

unsigned uc_combining(uint32_t cp) {
    unsigned low = 0, high = unicode_n_combinings;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (unicode_combinings[mid].last < cp)
            low = mid + 1;
        else
            high = mid;
    }
    return low < unicode_n_combinings && cp >= unicode_combinings[low].first ? unicode_combinings[low].ccc : 0;
}

static const struct unicode_decomposition *find_decomposition(uint32_t cp) {
    unsigned low = 0, high = unicode_n_decompositions;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (unicode_decompositions[mid].cp < cp)
            low = mid + 1;
        else
            high = mid;
    }
    bool found = low < unicode_n_decompositions && unicode_decompositions[low].cp == cp;
    return found ? &unicode_decompositions[low] : NULL;
}

enum {
    HANGUL_S = 0xac00,
    HANGUL_L = 0x1100,
    HANGUL_V = 0x1161,
    HANGUL_T = 0x11a7,
    HANGUL_N_V = 21,
    HANGUL_N_T = 28,
    HANGUL_N = 11172
};

static unsigned decompose_hangul(uint32_t s, uint32_t out[4]) {
    out[0] = HANGUL_L + s / (HANGUL_N_V * HANGUL_N_T);
    out[1] = HANGUL_V + s / HANGUL_N_T % HANGUL_N_V;
    out[2] = HANGUL_T + s % HANGUL_N_T;
    return out[2] == HANGUL_T ? 2 : 3;
}

unsigned uc_decompose(uint32_t cp, uint32_t out[4]) {
    if (cp >= HANGUL_S && cp < HANGUL_S + HANGUL_N)
        return decompose_hangul(cp - HANGUL_S, out);
    uint32_t seconds[3]; /* only the first part can be decomposed again */
    unsigned n_seconds = 0, n = 0;
    for (const struct unicode_decomposition *d; cp >= 0xc0 && (d = find_decomposition(cp)); cp = d->first)
        if (d->second)
            seconds[n_seconds++] = d->second;
    out[n++] = cp;
    while (n_seconds)
        out[n++] = seconds[--n_seconds];
    return n;
}
