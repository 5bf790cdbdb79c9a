/* unicode: NFC and NFD (UAX 15). Text is cut before each code point that never joins what is before it; such a sequence is
 * decomposed, its marks are put in order, and for NFC it is composed again. Linear in the text whatever the marks are. */
#include "unicode_props.h"
#include "unicode_tables.h"

#include <stdlib.h>
#include <string.h>

enum {
    HANGUL_S = 0xac00,
    HANGUL_L = 0x1100,
    HANGUL_V = 0x1161,
    HANGUL_T = 0x11a7,
    HANGUL_N_L = 19,
    HANGUL_N_V = 21,
    HANGUL_N_T = 28
};
/* Code points below are starters and their own NFC; so are texts of bytes below. U+00C0 is the first that NFD takes apart. */
enum { FIRST_MARK = 0x300, FIRST_MARK_LEAD = 0xcc, FIRST_COMPOSED_LEAD = 0xc3 };

struct mark {
    uint32_t cp;
    uint8_t ccc;
};
struct sequence {
    struct mark *at, *spare; /* spare: room for sorting, of the same size */
    size_t n, cap;
};

static bool grow(struct sequence *q) {
    size_t cap = q->cap ? q->cap * 2 : 64;
    struct mark *at = realloc(q->at, cap * sizeof *at);
    if (at)
        q->at = at;
    struct mark *spare = at ? realloc(q->spare, cap * sizeof *spare) : NULL;
    if (!spare)
        return false;
    q->spare = spare;
    q->cap = cap;
    return true;
}

static bool is_second(uint32_t cp) {
    if ((cp >= HANGUL_V && cp < HANGUL_V + HANGUL_N_V) || (cp > HANGUL_T && cp < HANGUL_T + HANGUL_N_T))
        return true;
    for (unsigned i = 0; i < unicode_n_seconds && unicode_seconds[i] <= cp; i++)
        if (unicode_seconds[i] == cp)
            return true;
    return false;
}

/* Appends the decomposition of cp; false when memory runs out. */
static bool put(struct sequence *q, const uint32_t *parts, unsigned n) {
    if (q->n + n > q->cap && !grow(q))
        return false;
    for (unsigned i = 0; i < n; i++)
        q->at[q->n++] = (struct mark){parts[i], (uint8_t)uc_combining(parts[i])};
    return true;
}

/* Stable by class: counting, since a hostile text may hold a megabyte of marks in one run. */
static void sort_run(struct mark *at, struct mark *spare, size_t n) {
    size_t start[257] = {0};
    for (size_t i = 0; i < n; i++)
        start[at[i].ccc + 1]++;
    for (unsigned c = 0; c < 256; c++)
        start[c + 1] += start[c];
    for (size_t i = 0; i < n; i++)
        spare[start[at[i].ccc]++] = at[i];
    memcpy(at, spare, n * sizeof *at);
}

static void order(struct sequence *q) {
    for (size_t i = 0; i < q->n;) {
        size_t end = i + 1;
        bool sorted = true;
        while (q->at[i].ccc && end < q->n && q->at[end].ccc) {
            sorted = sorted && q->at[end].ccc >= q->at[end - 1].ccc;
            end++;
        }
        if (!sorted)
            sort_run(q->at + i, q->spare, end - i);
        i = end;
    }
}

/* What NFC makes of two code points, or 0. */
static uint32_t composed(uint32_t first, uint32_t second) {
    if (first >= HANGUL_L && first < HANGUL_L + HANGUL_N_L && second >= HANGUL_V && second < HANGUL_V + HANGUL_N_V)
        return HANGUL_S + ((first - HANGUL_L) * HANGUL_N_V + second - HANGUL_V) * HANGUL_N_T;
    if (first >= HANGUL_S && first < HANGUL_S + HANGUL_N_L * HANGUL_N_V * HANGUL_N_T && (first - HANGUL_S) % HANGUL_N_T == 0 &&
        second > HANGUL_T && second < HANGUL_T + HANGUL_N_T)
        return first + second - HANGUL_T;
    unsigned low = 0, high = unicode_n_compositions;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        const struct unicode_decomposition *d = &unicode_decompositions[unicode_compositions[mid]];
        if (d->first == first && d->second == second)
            return d->cp;
        if (d->first < first || (d->first == first && d->second < second))
            low = mid + 1;
        else
            high = mid;
    }
    return 0;
}

/* Joins marks to the last starter wherever nothing of the same or a higher class stands between. */
static void compose(struct sequence *q) {
    size_t n = 0, starter = SIZE_MAX;
    unsigned before = 0; /* class of what was kept last after the starter; 0: nothing was */
    for (size_t i = 0; i < q->n; i++) {
        struct mark m = q->at[i];
        bool free_to_join = starter != SIZE_MAX && (n == starter + 1 || (before != 0 && before < m.ccc));
        uint32_t joined = free_to_join ? composed(q->at[starter].cp, m.cp) : 0;
        if (joined) {
            q->at[starter].cp = joined;
            continue;
        }
        if (m.ccc == 0)
            starter = n;
        before = m.ccc;
        q->at[n++] = m;
    }
    q->n = n;
}

static void write_out(const struct sequence *q, struct buf *out) {
    for (size_t i = 0; i < q->n; i++) {
        char text[4];
        buf_add(out, text, utf8_encode(q->at[i].cp, text));
    }
}

/* One sequence from p on: the code point there and all that may join it. Returns its end, or NULL when memory runs out. */
static const char *take_sequence(struct sequence *q, const char *p, const char *end) {
    q->n = 0;
    for (const char *start = p; p < end;) {
        uint32_t cp, parts[4];
        unsigned len = utf8_decode(p, end, &cp);
        if (len == 0 || (p > start && cp < FIRST_MARK))
            break;
        unsigned n = uc_decompose(cp, parts);
        if (p > start && uc_combining(parts[0]) == 0 && !is_second(parts[0]))
            break;
        if (!put(q, parts, n))
            return NULL;
        p += len;
    }
    return p;
}

static void normalize(struct str s, bool nfc, struct buf *out) {
    uint8_t first_lead = nfc ? FIRST_MARK_LEAD : FIRST_COMPOSED_LEAD;
    struct sequence q = {0};
    const char *p = s.p, *end = str_end(s);
    while (p < end && !out->failed) {
        const char *plain = p;
        while (plain < end && (uint8_t)*plain < first_lead)
            plain++;
        if (plain < end) /* the last plain character may take a mark */
            while (plain > p && ((uint8_t) * --plain & 0xc0) == 0x80)
                ;
        buf_add(out, p, (size_t)(plain - p));
        p = plain;
        if (p == end)
            break;
        const char *next = take_sequence(&q, p, end);
        if (!next)
            out->failed = true;
        else if (next == p) /* a byte that is not UTF-8 */
            buf_byte(out, *next++);
        else {
            order(&q);
            if (nfc)
                compose(&q);
            write_out(&q, out);
        }
        p = next;
    }
    free(q.at);
    free(q.spare);
}

void uc_nfc(struct str s, struct buf *out) {
    normalize(s, true, out);
}

void uc_nfd(struct str s, struct buf *out) {
    normalize(s, false, out);
}

bool uc_is_nfc(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if ((uint8_t)s.p[i] >= FIRST_MARK_LEAD)
            return false;
    return true;
}
