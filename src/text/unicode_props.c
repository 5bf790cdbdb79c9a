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

/* Marks, punctuation and format characters since Unicode 8. The ranges hold nothing of these classes that is older. */
static const struct {
    uint32_t first, last;
} newer[] = {
    {0x61d, 0x61d},     {0x7fd, 0x7fd},     {0x890, 0x8e2},     {0x9fd, 0x9fe},     {0xa76, 0xa76},     {0xafa, 0xaff},
    {0xb55, 0xb55},     {0xc04, 0xc3c},     {0xc77, 0xc77},     {0xc84, 0xc84},     {0xd00, 0xd00},     {0xd3b, 0xd3c},
    {0xd81, 0xd81},     {0xeba, 0xeba},     {0xece, 0xece},     {0x180f, 0x1886},   {0x1abf, 0x1ace},   {0x1b4e, 0x1b4f},
    {0x1b7d, 0x1b7f},   {0x1df6, 0x1dfb},   {0x2e43, 0x2e5d},   {0xa82c, 0xa82c},   {0xa8c5, 0xa8c5},   {0xa8ff, 0xa8ff},
    {0xa9bd, 0xa9bd},   {0x10d24, 0x10f89}, {0x11070, 0x11074}, {0x110c2, 0x110cd}, {0x111cf, 0x111cf}, {0x1123e, 0x11241},
    {0x1133b, 0x1133b}, {0x113bb, 0x1145e}, {0x11660, 0x1166c}, {0x116b9, 0x116b9}, {0x1182f, 0x11fff}, {0x12ff1, 0x1612f},
    {0x16d6d, 0x16f4f}, {0x16fe2, 0x16fe4}, {0x1cf00, 0x1cf46}, {0x1e000, 0x1e5ff}, {0x1e944, 0x1e95f}, {UINT32_MAX, UINT32_MAX},
};

uint32_t uc_class_8(uint32_t cp) {
    uint32_t class = uc_class(cp);
    if (cp < newer[0].first)
        return class;
    switch (cp) { /* of another class in Unicode 8 */
    case 0x1734:
    case 0x1171e: return UC_MN;
    case 0x166d:
    case 0x111c9: return UC_PX;
    default: break;
    }
    if (!(class & (UC_MN | UC_P | UC_CF)))
        return class;
    unsigned i = 0;
    while (newer[i].last < cp)
        i++;
    return newer[i].first <= cp ? UC_CN : class;
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
