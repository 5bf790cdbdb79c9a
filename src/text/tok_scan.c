/* tok: the scanners. All look at one code point at a time; what is no UTF-8 counts as U+FFFD, one byte long. */
#include "tok_scan.h"
#include "unicode_props.h"

#include <string.h>

enum { END = 1 << 20 }; /* the class of what is behind the text */

struct ch {
    uint32_t cp, class;
    unsigned len;
};

static inline struct ch peek(const char *p, const char *end) {
    struct ch c = {0, END, 0};
    if (p == end)
        return c;
    if ((uint8_t)*p < 0x80)
        return (struct ch){(uint8_t)*p, uc_ascii[(uint8_t)*p], 1};
    c.len = utf8_decode(p, end, &c.cp);
    if (c.len == 0)
        c = (struct ch){0xfffd, UC_S, 1};
    else
        c.class = uc_class(c.cp);
    return c;
}

/* The end of a run of characters of these classes. */
static inline const char *run(const char *p, const char *end, uint32_t classes) {
    for (struct ch c; (c = peek(p, end)).class & classes;)
        p += c.len;
    return p;
}

/* The same, of at most max characters (0: any number). */
static const char *run_max(const char *p, const char *end, uint32_t classes, unsigned max) {
    struct ch c;
    for (unsigned n = 0; (max == 0 || n < max) && (c = peek(p, end)).class & classes; n++)
        p += c.len;
    return p;
}

static inline bool is_newline(uint32_t cp) {
    return cp == '\n' || cp == '\r';
}

/* Bytes of 's 't 're 've 'm 'll 'd at p, or 0. Case folding knows U+017F as an s. */
static size_t contraction(const char *p, const char *end, bool fold) {
    size_t n = (size_t)(end - p);
    if (n < 2 || p[0] != '\'')
        return 0;
    unsigned char case_bit = fold ? 0x20 : 0;
    unsigned char a = (unsigned char)p[1] | case_bit, b = n > 2 ? (unsigned char)p[2] | case_bit : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
        return 3;
    return fold && n > 2 && p[1] == '\xc5' && p[2] == '\xbf' ? 3 : 0;
}

/* '\s+(?!\S)|\s+': a run of white space, but for its last character when a word follows. */
static const char *spaces(const char *p, const char *end) {
    const char *last = p, *at = p;
    for (struct ch c; (c = peek(at, end)).class & UC_SPACE; at += c.len)
        last = at;
    return at == end || last == p ? at : last;
}

/* The end of the last new-line in the run of white space at p, or p. */
static const char *newlines(const char *p, const char *end) {
    const char *found = p;
    for (struct ch c; (c = peek(p, end)).class & UC_SPACE;) {
        p += c.len;
        if (is_newline(c.cp))
            found = p;
    }
    return found;
}

/* ---- GPT-2, Llama 3 ---------------------------------------------------------------------------------------------------------- */

const char *tok_scan_gpt2(const char *p, const char *end, const struct tok_stage *stage) {
    (void)stage;
    size_t n = contraction(p, end, false);
    if (n)
        return p + n;
    struct ch c = peek(p, end);
    const char *from = p;
    if (c.cp == ' ') {
        struct ch next = peek(p + 1, end);
        if (!(next.class & (UC_SPACE | END))) {
            c = next;
            from = p + 1;
        }
    }
    if (c.class & UC_L)
        return run(from, end, UC_L);
    if (c.class & UC_N)
        return run(from, end, UC_N);
    return c.class & UC_SPACE ? spaces(p, end) : run(from, end, ~(uint32_t)(UC_SPACE | UC_L | UC_N | END));
}

/* '\s{512}(?!\S)|\s{256}(?!\S)|...|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}' */
static const char *half_spaces(const char *p, const char *end) {
    const char *full = run_max(p, end, UC_SPACE, 513);
    unsigned n = 0;
    for (const char *at = p; at < full; at += peek(at, end).len)
        n++;
    unsigned usable = full == end || n > 512 ? n : n - 1, take = 512; /* all but the one before a word */
    while (take > 4 && take > usable)
        take /= 2;
    if (take > usable)
        take = usable > 2 ? 2 : usable ? usable : 1;
    return run_max(p, end, UC_SPACE, take);
}

/* ' ?[^\s\p{L}\p{N}]+[\r\n]*' at p, or p. */
static const char *punctuation(const char *p, const char *end, uint32_t letters, unsigned how) {
    const char *from = p + (*p == ' ');
    const char *at = run(from, end, ~(uint32_t)(UC_SPACE | letters | UC_N | END));
    if (at == from)
        return p;
    if (how & TOK_SCAN_NO_TAIL)
        return at;
    while (at < end && (is_newline((uint8_t)*at) || (*at == '/' && how & TOK_SCAN_SLASH))) {
        at++;
        if (how & TOK_SCAN_ONE_TAIL)
            break;
    }
    return at;
}

/* What words, numbers and punctuation leave. */
static const char *white_space(const char *p, const char *end, unsigned how) {
    const char *at = newlines(p, end);
    if (at > p)
        return at;
    return how & TOK_SCAN_HALVES ? half_spaces(p, end) : spaces(p, end);
}

/* '\p{L}\p{M}*(?: ?\p{L}\p{M}*)*' from a letter on: words with one space between stay together. */
static const char *joined_words(const char *p, const char *end) {
    for (struct ch c; (c = peek(p, end)).class & UC_L;) {
        p = run(p + c.len, end, UC_M);
        if (p < end && *p == ' ' && peek(p + 1, end).class & UC_L)
            p++;
    }
    return p;
}

const char *tok_scan_llama3(const char *p, const char *end, const struct tok_stage *stage) {
    unsigned how = stage->how;
    size_t n = how & TOK_SCAN_NO_SHORT ? 0 : contraction(p, end, how & TOK_SCAN_FOLD);
    if (n)
        return p + n;
    uint32_t letters = UC_L | (how & TOK_SCAN_MARKS ? UC_M : 0);
    struct ch c = peek(p, end);
    const char *from = p;
    if (!(c.class & (UC_L | UC_N)) && !is_newline(c.cp) && peek(p + c.len, end).class & letters)
        from = p + c.len;
    if (from > p || c.class & letters)
        return how & TOK_SCAN_JOINED ? joined_words(from, end) : run(from, end, letters);
    if (c.class & UC_N)
        return run_max(p, end, UC_N, stage->max);
    const char *at = punctuation(p, end, letters, how);
    return at > p ? at : white_space(p, end, how);
}

/* ---- o200k ---------------------------------------------------------------------------------------------------------------------- */

enum { UPPER = UC_LU | UC_LT | UC_LM | UC_LO | UC_M, LOWER = UC_LL | UC_LM | UC_LO | UC_M };

/* Scripts.txt: Han */
static const struct tok_range han[] = {
    {0x2e80, 0x2e99},
    {0x2e9b, 0x2ef3},
    {0x2f00, 0x2fd5},
    {0x3005, 0x3005},
    {0x3007, 0x3007},
    {0x3021, 0x3029},
    {0x3038, 0x303b},
    {0x3400, 0x4dbf},
    {0x4e00, 0x9fff},
    {0xf900, 0xfa6d},
    {0xfa70, 0xfad9},
    {0x16fe2, 0x16fe3},
    {0x16ff0, 0x16ff1},
    {0x20000, 0x2a6df},
    {0x2a700, 0x2b739},
    {0x2b740, 0x2b81d},
    {0x2b820, 0x2cea1},
    {0x2ceb0, 0x2ebe0},
    {0x2ebf0, 0x2ee5d},
    {0x2f800, 0x2fa1d},
    {0x30000, 0x3134a},
    {0x31350, 0x323af},
    {0, 0},
};

/* Ranges are in order, the end is {0, 0}. */
static bool in_ranges(uint32_t cp, const struct tok_range *r) {
    for (; r && r->last && cp >= r->first; r++)
        if (cp <= r->last)
            return true;
    return false;
}

/* The class for cutting words: none where Han characters are no letters. */
static struct ch peek_cased(const char *p, const char *end, unsigned how) {
    struct ch c = peek(p, end);
    if (how & TOK_SCAN_HAN && in_ranges(c.cp, han))
        c.class = 0;
    return c;
}

static const char *run_cased(const char *p, const char *end, uint32_t classes, unsigned how) {
    for (struct ch c; (c = peek_cased(p, end, how)).class & classes;)
        p += c.len;
    return p;
}

/* 'UPPER*LOWER+', or p. UPPER* gives back as little as it can: down to its last character that is LOWER too. */
static const char *word_to_lower(const char *p, const char *end, unsigned how) {
    const char *both = p, *at = p;
    for (struct ch c; (c = peek_cased(at, end, how)).class & UPPER;) {
        at += c.len;
        if (c.class & LOWER)
            both = at;
    }
    const char *lower = run_cased(at, end, LOWER, how);
    return lower > at ? lower : both;
}

/* 'UPPER+LOWER*', or p. */
static const char *word_from_upper(const char *p, const char *end, unsigned how) {
    const char *at = run_cased(p, end, UPPER, how);
    return at > p ? run_cased(at, end, LOWER, how) : p;
}

/* A word with its contraction, or p. The first form is tried with the character before and without, then the second. */
static const char *cased_word(const char *p, const char *end, unsigned how) {
    struct ch c = peek(p, end);
    const char *letters = p + (c.class & (UC_L | UC_N) || is_newline(c.cp) ? 0 : c.len), *at;
    if ((at = word_to_lower(letters, end, how)) == letters && (at = word_to_lower(p, end, how)) == p &&
        (at = word_from_upper(letters, end, how)) == letters)
        at = word_from_upper(p, end, how);
    if (at == p)
        return p;
    return how & TOK_SCAN_NO_SHORT ? at : at + contraction(at, end, true);
}

const char *tok_scan_o200k(const char *p, const char *end, const struct tok_stage *stage) {
    unsigned how = stage->how;
    const char *at = p;
    if (how & TOK_SCAN_HAN)
        for (struct ch c; in_ranges((c = peek(at, end)).cp, han);)
            at += c.len;
    if (at == p)
        at = cased_word(p, end, how);
    if (at == p)
        at = run_max(p, end, UC_N, stage->max);
    if (at == p)
        at = punctuation(p, end, UC_L, how);
    return at > p ? at : white_space(p, end, how);
}

/* ---- pieces and what is between them ------------------------------------------------------------------------------------------------ */

/* From p to the end of the match there; where none is, to the next place that has one. */
static const char *isolate(const char *p, const char *end, const struct tok_stage *stage, tok_scan_fn *match) {
    const char *at = match(p, end, stage);
    if (at > p)
        return at;
    do
        p += peek(p, end).len;
    while (p < end && match(p, end, stage) == p);
    return p;
}

static inline bool looked_for(struct ch c, const struct tok_stage *stage) {
    if (stage->how & TOK_SCAN_UNICODE_8 && c.len > 1)
        c.class = uc_class_8(c.cp);
    return c.class & stage->classes || (stage->ranges && c.len && in_ranges(c.cp, stage->ranges));
}

static const char *match_run(const char *p, const char *end, const struct tok_stage *stage) {
    struct ch c;
    for (unsigned n = 0; (stage->max == 0 || n < stage->max) && looked_for((c = peek(p, end)), stage); n++)
        p += c.len;
    return p;
}

const char *tok_scan_runs(const char *p, const char *end, const struct tok_stage *stage) {
    const char *at = match_run(p, end, stage);
    if (at > p)
        return at;
    for (struct ch c; at < end && !looked_for((c = peek(at, end)), stage);)
        at += c.len;
    return at;
}

static const char *match_spaced(const char *p, const char *end, const struct tok_stage *stage) {
    struct ch c = peek(p, end);
    const char *from = p + (c.class & UC_SPACE ? c.len : 0);
    const char *at = match_run(from, end, stage);
    if (at > from)
        return at;
    return match_run(p, end, stage); /* what is looked for may be white space itself */
}

const char *tok_scan_spaced(const char *p, const char *end, const struct tok_stage *stage) {
    return isolate(p, end, stage, match_spaced);
}

static const char *char_before(const char *start, const char *p) {
    do
        p--;
    while (p > start && ((uint8_t)*p & 0xc0) == 0x80);
    return p;
}

const char *tok_scan_last_space(const char *p, const char *end, const struct tok_stage *stage) {
    (void)stage;
    const char *at = end;
    for (const char *before; at > p && peek(before = char_before(p, at), end).class & UC_SPACE;)
        at = before;
    return at > p ? at : end;
}

static const char *match_three_digits(const char *p, const char *end, const struct tok_stage *stage) {
    (void)stage;
    if (end - p < 3)
        return p;
    for (unsigned i = 0; i < 3; i++)
        if (p[i] < '0' || p[i] > '9')
            return p;
    return p + 3;
}

const char *tok_scan_three_digits(const char *p, const char *end, const struct tok_stage *stage) {
    return isolate(p, end, stage, match_three_digits);
}

static bool is_spelled_digit(char c) {
    return (c >= '0' && c <= '9') || (c && memchr("\xb2\xb3\xb9\xbc\xbd\xbe", c, 6));
}

const char *tok_scan_spelled_digits(const char *p, const char *end, const struct tok_stage *stage) {
    (void)stage;
    bool digits = is_spelled_digit(*p);
    do
        p++;
    while (p < end && is_spelled_digit(*p) == digits);
    return p;
}

static bool is_word(uint32_t class) {
    return class & (UC_L | UC_M | UC_N | UC_PC); /* as the regular expressions of the published tokenizers have it */
}

/* The run of numbers at p where it is one to be cut, or p. */
static const char *match_numbers(const char *p, const char *end, const struct tok_stage *stage) {
    const char *at = run(p, end, stage->classes);
    return stage->how & TOK_SCAN_AT_BOUNDARY && is_word(peek(at, end).class) ? p : at;
}

/* A run of numbers gives its first one or two, then all others together: tok_scan_threes goes on from there. */
const char *tok_scan_from_right(const char *p, const char *end, const struct tok_stage *stage) {
    const char *at = match_numbers(p, end, stage);
    if (at > p) {
        unsigned n = 0;
        for (const char *q = p; q < at; q += peek(q, end).len)
            n++;
        return n > 3 && n % 3 ? run_max(p, end, stage->classes, n % 3) : at;
    }
    for (struct ch c; at < end && !((c = peek(at, end)).class & stage->classes && match_numbers(at, end, stage) > at);)
        at = c.class & stage->classes ? run(at, end, stage->classes) : at + c.len;
    return at;
}

const char *tok_scan_threes(const char *p, const char *end, const struct tok_stage *stage) {
    bool numbers = peek(p, end).class & peek(char_before(p, end), end).class & stage->classes;
    return numbers ? run_max(p, end, stage->classes, 3) : end;
}

/* ---- other families ------------------------------------------------------------------------------------------------------------------- */

static bool is_ascii_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static const char *match_deepseek3(const char *p, const char *end, const struct tok_stage *stage) {
    unsigned how = stage->how;
    struct ch c = peek(p, end);
    if (c.cp < 0x80 && c.class & (UC_P | UC_S) && p + 1 < end && is_ascii_letter(p[1])) {
        do
            p++;
        while (p < end && is_ascii_letter(*p));
        return p;
    }
    if (!(c.class & (UC_L | UC_P | UC_S)) && !is_newline(c.cp) && peek(p + c.len, end).class & (UC_L | UC_M))
        return run(p + c.len, end, UC_L | UC_M);
    if (c.class & (UC_L | UC_M))
        return run(p, end, UC_L | UC_M);
    const char *from = p + (c.cp == ' '), *at = run(from, end, UC_P | UC_S);
    if (at > from) {
        while (at < end && is_newline((uint8_t)*at) && !(how & TOK_SCAN_NO_TAIL))
            at++;
        return at;
    }
    if (how & TOK_SCAN_ONE_LINE && is_newline(c.cp))
        return p + 1;
    return how & TOK_SCAN_ONE_LINE ? spaces(p, end) : white_space(p, end, how);
}

const char *tok_scan_deepseek3(const char *p, const char *end, const struct tok_stage *stage) {
    return isolate(p, end, stage, match_deepseek3);
}

static const char *match_bloom(const char *p, const char *end, const struct tok_stage *stage) {
    static const struct tok_range stops[] = {{'!', '!'},       {'(', ')'},       {',', ','},     {'.', '.'},     {'?', '?'},
                                             {'|', '|'},       {0x60c, 0x60c},   {0x6d4, 0x6d4}, {0x964, 0x964}, {0x2026, 0x2026},
                                             {0x3001, 0x3002}, {0xff0c, 0xff0c}, {0, 0}};
    (void)stage;
    const char *from = p + (*p == ' '), *at = from;
    for (struct ch c; !((c = peek(at, end)).class & (UC_SPACE | END)) && !in_ranges(c.cp, stops);)
        at += c.len;
    return at > from ? at : p;
}

const char *tok_scan_bloom(const char *p, const char *end, const struct tok_stage *stage) {
    return isolate(p, end, stage, match_bloom);
}

static const char *match_indent(const char *p, const char *end, const struct tok_stage *stage) {
    (void)stage;
    if (*p == '\t' || *p == '\n')
        return p + 1;
    size_t n = 0;
    while (n < 4 && p + n < end && p[n] == ' ')
        n++;
    return p + (n == 4 ? 4 : n >= 2 ? 2 : 0);
}

const char *tok_scan_indents(const char *p, const char *end, const struct tok_stage *stage) {
    return isolate(p, end, stage, match_indent);
}
