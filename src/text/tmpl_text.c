/* tmpl_text: strings that know where their bytes come from, and the builder that all of them are made with. */
#include "tmpl_run.h"

#include <string.h>

/* ---- builder --------------------------------------------------------------------------------------------------- */

/* Memory for n more bytes. What was there is left behind, for strings that share it. */
static bool reserve(struct render *r, struct text *t, size_t n) {
    if (n <= t->cap - t->n)
        return true;
    size_t cap = t->n + n < 16 ? 32 : 2 * (t->n + n);
    if (n > UINT32_MAX / 4 || cap > UINT32_MAX) {
        tmpl_fail(r, "limit", "a string is longer than memory allows");
        return false;
    }
    char *p = tmpl_alloc(r, cap);
    if (!p)
        return false;
    if (t->n)
        memcpy(p, t->p, t->n);
    t->p = p;
    t->cap = (uint32_t)cap;
    return true;
}

static bool add_run(struct render *r, struct text *t, uint32_t end, uint32_t origin) {
    if (t->n_runs == t->cap_runs) {
        uint32_t cap = t->cap_runs ? 2 * t->cap_runs : 8;
        struct origin_run *runs = tmpl_array(r, cap, sizeof *runs);
        if (!runs)
            return false;
        if (t->n_runs)
            memcpy(runs, t->runs, t->n_runs * sizeof *runs);
        t->runs = runs;
        t->cap_runs = cap;
    }
    t->runs[t->n_runs++] = (struct origin_run){end, origin};
    return true;
}

/* Notes that the bytes from t->n to `end` are of `origin`. */
static bool note_origin(struct render *r, struct text *t, uint32_t end, uint8_t origin) {
    if (t->n == 0 && t->n_runs == 0) {
        t->origin = origin;
        return true;
    }
    if (t->n_runs == 0)
        return origin == t->origin || (add_run(r, t, t->n, t->origin) && add_run(r, t, end, origin));
    struct origin_run *last = &t->runs[t->n_runs - 1];
    if (last->origin != origin)
        return add_run(r, t, end, origin);
    last->end = end;
    return true;
}

void tmpl_text_add(struct render *r, struct text *t, const char *p, size_t n, uint8_t origin) {
    if (n == 0 || tmpl_failed(r) || !reserve(r, t, n) || !note_origin(r, t, t->n + (uint32_t)n, origin))
        return;
    memcpy(t->p + t->n, p, n);
    t->n += (uint32_t)n;
}

void tmpl_text_z(struct render *r, struct text *t, const char *z, uint8_t origin) {
    tmpl_text_add(r, t, z, strlen(z), origin);
}

void tmpl_text_byte(struct render *r, struct text *t, char c, uint8_t origin) {
    tmpl_text_add(r, t, &c, 1, origin);
}

void tmpl_text_cp(struct render *r, struct text *t, uint32_t cp, uint8_t origin) {
    char bytes[4];
    tmpl_text_add(r, t, bytes, utf8_encode(cp, bytes), origin);
}

/* Index of the run that holds byte `at` of t. */
static uint32_t run_at(const struct text *t, size_t at) {
    uint32_t low = 0, high = t->n_runs - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (t->runs[middle].end <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void tmpl_text_sub(struct render *r, struct text *t, struct val s, size_t at, size_t n) {
    if (s.origin != MIXED) {
        tmpl_text_add(r, t, s.p + at, n, s.origin);
        return;
    }
    const struct text *from = s.text;
    size_t base = (size_t)(s.p - from->p), pos = base + at, end = pos + n;
    for (uint32_t i = n ? run_at(from, pos) : 0; pos < end && !tmpl_failed(r); i++) {
        size_t stop = from->runs[i].end < end ? from->runs[i].end : end;
        tmpl_text_add(r, t, from->p + pos, stop - pos, (uint8_t)from->runs[i].origin);
        pos = stop;
    }
}

void tmpl_text_str(struct render *r, struct text *t, struct val s) {
    tmpl_text_sub(r, t, s, 0, s.n);
}

void tmpl_text_fill(struct render *r, struct text *t, struct val s, size_t times) {
    if (s.n == 0)
        return;
    if (times > UINT32_MAX / s.n) {
        tmpl_fail(r, "limit", "a string is longer than memory allows");
        return;
    }
    if (reserve(r, t, s.n * times)) /* at once, so that too much fails before the work */
        while (times-- > 0 && !tmpl_failed(r))
            tmpl_text_str(r, t, s);
}

void tmpl_text_escaped(struct render *r, struct text *t, struct val s) {
    size_t done = 0;
    for (size_t i = 0; i < s.n; i++) {
        const char *to = s.p[i] == '&'    ? "&amp;"
                         : s.p[i] == '<'  ? "&lt;"
                         : s.p[i] == '>'  ? "&gt;"
                         : s.p[i] == '\'' ? "&#39;"
                         : s.p[i] == '"'  ? "&#34;"
                                          : NULL;
        if (!to)
            continue;
        tmpl_text_sub(r, t, s, done, i - done);
        tmpl_text_z(r, t, to, tmpl_str_origin(s, i));
        done = i + 1;
    }
    tmpl_text_sub(r, t, s, done, s.n - done);
}

/* Longer strings keep their builder, so that `s ~ more` can append in place. */
enum { KEEP_BUILDER_MIN = 128 };

int tmpl_text_end(struct render *r, struct text *t, struct val *out) {
    if (tmpl_failed(r))
        return tmpl_failed(r);
    *out = tmpl_str_of((struct str){t->p, t->n}, t->n_runs ? MIXED : t->origin);
    if (t->n_runs == 0 && t->n < KEEP_BUILDER_MIN)
        return 0;
    struct text *kept = tmpl_alloc(r, sizeof *kept);
    if (!kept)
        return tmpl_failed(r);
    *kept = *t;
    out->text = kept;
    return 0;
}

/* ---- strings ------------------------------------------------------------------------------------------------------- */

struct val tmpl_str_of(struct str s, uint8_t origin) {
    return (struct val){.type = VAL_STR, .origin = origin, .n = (uint32_t)s.n, .p = s.p ? s.p : ""};
}

struct val tmpl_str_literal(const char *z) {
    return tmpl_str_of(str_of(z), TEMPLATE);
}

struct str tmpl_str_bytes(struct val s) {
    return (struct str){s.p, s.n};
}

uint8_t tmpl_str_origin(struct val s, size_t at) {
    if (s.origin != MIXED)
        return s.origin;
    return (uint8_t)s.text->runs[run_at(s.text, (size_t)(s.p - s.text->p) + at)].origin;
}

struct val tmpl_str_sub(struct val s, size_t at, size_t n) {
    struct val sub = s;
    sub.p = s.p + at;
    sub.n = (uint32_t)n;
    if (s.origin != MIXED) {
        sub.text = NULL;
        return sub;
    }
    size_t base = (size_t)(sub.p - s.text->p);
    const struct origin_run *run = &s.text->runs[run_at(s.text, base)];
    if (n == 0 || run->end >= base + n) { /* all of one run */
        sub.origin = n ? (uint8_t)run->origin : TEMPLATE;
        sub.text = NULL;
    }
    return sub;
}

/* Can bytes be appended in place? Only behind the last byte that anyone took, and where no other growth moves the memory. */
static bool can_append(struct val a, size_t n) {
    const struct text *t = a.text;
    return t && a.p >= t->p && (size_t)(a.p - t->p) + a.n == t->n && t->cap - t->n >= n;
}

int tmpl_str_concat(struct render *r, struct val a, struct val b, struct val *out) {
    if (b.n == 0 || a.n == 0) {
        *out = b.n == 0 ? a : b;
        out->flags = 0;
        return 0;
    }
    struct text fresh = {0}, *t = can_append(a, b.n) ? a.text : &fresh;
    if (t == &fresh) {
        if (!reserve(r, t, (size_t)a.n + b.n))
            return tmpl_failed(r);
        tmpl_text_str(r, t, a);
    }
    tmpl_text_str(r, t, b);
    if (t == &fresh)
        return tmpl_text_end(r, t, out);
    if (tmpl_failed(r))
        return tmpl_failed(r);
    *out = a;
    out->flags = 0;
    out->n = a.n + b.n;
    if (a.origin != b.origin)
        out->origin = MIXED;
    return 0;
}

int tmpl_str_from(struct render *r, struct val v, struct val *out) {
    if (v.type == VAL_STR) {
        *out = v;
        return 0;
    }
    struct text t = {0};
    tmpl_text_val(r, &t, v);
    return tmpl_text_end(r, &t, out);
}

int tmpl_str_escape(struct render *r, struct val v, struct val *out) {
    struct val s;
    if (tmpl_str_from(r, v, &s) < 0)
        return tmpl_failed(r);
    if (v.type != VAL_STR || !(v.flags & FLAG_MARKUP)) {
        struct text t = {0};
        tmpl_text_escaped(r, &t, s);
        if (tmpl_text_end(r, &t, &s) < 0)
            return tmpl_failed(r);
    }
    s.flags = FLAG_MARKUP;
    *out = s;
    return 0;
}

/* ---- characters of a string --------------------------------------------------------------------------------------------- */

static bool is_continuation(char c) {
    return ((uint8_t)c & 0xc0) == 0x80;
}

size_t tmpl_str_length(struct val s) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += !is_continuation(s.p[i]);
    return n;
}

/* Strings are valid UTF-8 (templates and JSON are checked at the door, operators cut between characters), but for the halves of
 * surrogate pairs that a template can write; no such string is ever put out. */
size_t tmpl_str_offset(struct val s, int64_t index) {
    size_t at;
    if (index >= 0) {
        for (at = 0; at < s.n && index > 0; index--)
            for (at++; at < s.n && is_continuation(s.p[at]);)
                at++;
        return at;
    }
    for (at = s.n; at > 0 && index < 0; index++)
        for (at--; at > 0 && is_continuation(s.p[at]);)
            at--;
    return at;
}

uint32_t tmpl_str_cp(struct val s, size_t at, unsigned *len) {
    uint32_t cp = (uint8_t)s.p[at];
    *len = 1;
    if (cp < 0x80)
        return cp;
    unsigned n = utf8_decode(s.p + at, s.p + s.n, &cp);
    if (n == 0 && s.n - at >= 3 && (uint8_t)s.p[at] == 0xed && (uint8_t)s.p[at + 1] >= 0xa0 && is_continuation(s.p[at + 2])) {
        *len = 3; /* half of a surrogate pair, which only an escape of the template can make */
        return 0xd000 | ((uint8_t)s.p[at + 1] & 0x3fu) << 6 | ((uint8_t)s.p[at + 2] & 0x3fu);
    }
    *len = n ? n : 1;
    return n ? cp : 0xfffd;
}

unsigned tmpl_str_cp_before(struct val s, size_t end) {
    unsigned n = 1;
    while (n < end && is_continuation(s.p[end - n]))
        n++;
    return n;
}

size_t tmpl_str_find(struct val s, struct str needle, size_t from, size_t to) {
    if (to > s.n)
        to = s.n;
    if (from > to || needle.n > to - from)
        return SIZE_MAX;
    const char *p = needle.n ? memmem(s.p + from, to - from, needle.p, needle.n) : s.p + from;
    return p ? (size_t)(p - s.p) : SIZE_MAX;
}

size_t tmpl_str_rfind(struct val s, struct str needle, size_t from, size_t to) {
    if (to > s.n)
        to = s.n;
    if (from > to || needle.n > to - from)
        return SIZE_MAX;
    for (size_t at = to - needle.n;; at--) {
        if (needle.n == 0 || memcmp(s.p + at, needle.p, needle.n) == 0)
            return at;
        if (at == from)
            return SIZE_MAX;
    }
}
