/* tmpl_lex: a template into tokens, by the rules of jinja2's lexer with trim_blocks and lstrip_blocks:
 *
 *     {{ ... }} print    {% ... %} block    {# ... #} comment    {% raw %} ... {% endraw %} text as it stands
 *     a `-` beside a tag strips white space on that side, a `+` keeps it
 *     without them the new-line after a block tag or comment goes, and so do blanks between a line's begin and such a tag
 *
 * Line ends become \n, and one new-line at the very end goes. Closing tags count only where brackets are balanced. */
#include "tmpl_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct lexer {
    struct arena *arena;
    struct str src; /* with \n as line ends */
    size_t at;
    uint32_t line;
    struct lex_tokens *out;
    size_t cap;
    char closers[TREE_DEPTH_MAX]; /* brackets that must close before the tag can end */
    unsigned n_open;
    struct err *e;
};

static const struct {
    char text[3];
    enum lex_kind kind;
} operators[] = {
    /* the longer ones first */
    {"//", LEX_FLOORDIV}, {"**", LEX_POW},      {"==", LEX_EQ},    {"!=", LEX_NE},    {">=", LEX_GE},    {"<=", LEX_LE},
    {"+", LEX_ADD},       {"-", LEX_SUB},       {"/", LEX_DIV},    {"*", LEX_MUL},    {"%", LEX_MOD},    {"~", LEX_TILDE},
    {"[", LEX_LBRACKET},  {"]", LEX_RBRACKET},  {"(", LEX_LPAREN}, {")", LEX_RPAREN}, {"{", LEX_LBRACE}, {"}", LEX_RBRACE},
    {">", LEX_GT},        {"<", LEX_LT},        {"=", LEX_ASSIGN}, {".", LEX_DOT},    {":", LEX_COLON},  {"|", LEX_PIPE},
    {",", LEX_COMMA},     {";", LEX_SEMICOLON},
};

const char *tmpl_lex_name(enum lex_kind kind) {
    switch (kind) {
    case LEX_EOF: return "end of template";
    case LEX_DATA: return "template data / text";
    case LEX_PRINT_BEGIN: return "begin of print statement";
    case LEX_PRINT_END: return "end of print statement";
    case LEX_BLOCK_BEGIN: return "begin of statement block";
    case LEX_BLOCK_END: return "end of statement block";
    case LEX_NAME: return "name";
    case LEX_STRING: return "string";
    case LEX_INT: return "integer";
    case LEX_FLOAT: return "float";
    default: break;
    }
    for (size_t i = 0; i < N_ITEMS(operators); i++)
        if (operators[i].kind == kind)
            return operators[i].text;
    return "?";
}

/* ---- helpers ------------------------------------------------------------------------------------------------- */

static struct str rest(const struct lexer *l) {
    return (struct str){l->src.p + l->at, l->src.n - l->at};
}

static char peek(const struct lexer *l, size_t ahead) {
    return ahead < l->src.n - l->at ? l->src.p[l->at + ahead] : 0;
}

static bool next_is(const struct lexer *l, const char *z) {
    return str_starts(rest(l), str_of(z));
}

static int fail(struct lexer *l, const char *what) {
    return err_set(l->e, ERR_INPUT, "syntax", "line %u: %s", l->line, what);
}

static void advance(struct lexer *l, size_t n) {
    for (size_t end = l->at + n; l->at < end; l->at++)
        l->line += l->src.p[l->at] == '\n';
}

static struct lex_token *push(struct lexer *l, enum lex_kind kind) {
    if (l->out->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 256;
        struct lex_token *items = realloc(l->out->items, cap * sizeof *items);
        if (!items) {
            err_set(l->e, ERR_MEMORY, "template", "out of memory");
            return NULL;
        }
        l->out->items = items;
        l->cap = cap;
    }
    struct lex_token *t = &l->out->items[l->out->n++];
    *t = (struct lex_token){.kind = kind, .line = l->line};
    return t;
}

static int push_text(struct lexer *l, enum lex_kind kind, struct str text) {
    struct lex_token *t = push(l, kind);
    if (!t)
        return l->e->code;
    t->text = text;
    return 0;
}

static size_t space_length(const struct lexer *l, size_t ahead) {
    return tmpl_space_length((struct str){l->src.p + l->at + ahead, l->src.n - l->at - ahead});
}

/* ---- text between tags ------------------------------------------------------------------------------------------ */

/* The text before a tag without what the tag strips from it. */
static struct str strip_before(const struct lexer *l, struct str text, char sign, bool lstrip) {
    if (sign == '-') {
        struct val s = tmpl_str_of(text, TEMPLATE);
        while (s.n > 0) {
            unsigned len = tmpl_str_cp_before(s, s.n), whole;
            if (!(tmpl_char_class(tmpl_str_cp(s, s.n - len, &whole)) & CHAR_SPACE))
                break;
            s.n -= len;
        }
        return tmpl_str_bytes(s);
    }
    if (sign == '+' || !lstrip)
        return text;
    const char *newline = text.n ? memrchr(text.p, '\n', text.n) : NULL;
    size_t line = newline ? (size_t)(newline - text.p) + 1 : 0;
    bool whole_line = newline || l->at == 0 || l->src.p[l->at - 1] == '\n';
    bool blank = tmpl_space_length((struct str){text.p + line, text.n - line}) == text.n - line;
    return whole_line && blank ? (struct str){text.p, line} : text;
}

static int push_data(struct lexer *l, struct str text) {
    return text.n ? push_text(l, LEX_DATA, text) : 0;
}

/* Length of the end of a tag or comment at l->at + ahead, whose closing pair is z, with what it strips behind it; 0: none. */
static size_t tag_end(const struct lexer *l, size_t ahead, const char *z, bool trim) {
    char sign = peek(l, ahead);
    size_t n = sign == '-' || sign == '+' ? 1 : 0;
    struct str after = {l->src.p + l->at + ahead + n, l->src.n - l->at - ahead - n};
    if (!str_starts(after, str_of(z)))
        return 0;
    n += 2;
    if (sign == '-')
        return n + space_length(l, ahead + n);
    if (sign == '+')
        return trim ? n : 0; /* a print statement has no plus form */
    return n + (trim && peek(l, ahead + n) == '\n');
}

/* Behind "{%": length of `raw %}` with the sign before it, or 0. */
static size_t raw_begin(const struct lexer *l, size_t tag) {
    size_t n = tag + 2 - l->at;
    n += peek(l, n) == '-' || peek(l, n) == '+';
    n += space_length(l, n);
    struct str word = {l->src.p + l->at + n, l->src.n - l->at - n};
    if (!str_starts(word, STR("raw")))
        return 0;
    n += 3;
    n += space_length(l, n);
    struct str end = {l->src.p + l->at + n, l->src.n - l->at - n};
    if (str_starts(end, STR("%}")))
        return n + 2;
    return str_starts(end, STR("-%}")) ? n + 3 + space_length(l, n + 3) : 0;
}

/* Text up to `{% endraw %}`. Like a comment, one that begins at the very end of the template misses nothing. */
static int lex_raw(struct lexer *l) {
    if (l->at == l->src.n)
        return 0;
    const char *end = l->src.p + l->src.n;
    for (const char *p = l->src.p + l->at; (p = memmem(p, (size_t)(end - p), "{%", 2)); p++) {
        size_t ahead = (size_t)(p - l->src.p) - l->at, n = ahead + 2;
        char sign = peek(l, n);
        n += sign == '-' || sign == '+';
        n += space_length(l, n);
        if (!str_starts((struct str){l->src.p + l->at + n, l->src.n - l->at - n}, STR("endraw")))
            continue;
        n += 6;
        n += space_length(l, n);
        size_t closing = tag_end(l, n, "%}", true);
        if (!closing)
            continue;
        if (push_data(l, strip_before(l, (struct str){l->src.p + l->at, ahead}, sign, true)) < 0)
            return l->e->code;
        advance(l, n + closing);
        return 0;
    }
    return fail(l, "Missing end of raw directive");
}

static int lex_comment(struct lexer *l) {
    const char *from = l->src.p + l->at, *p = memmem(from, l->src.n - l->at, "#}", 2);
    if (l->at == l->src.n)
        return 0;
    if (!p)
        return fail(l, "Missing end of comment tag");
    size_t ahead = (size_t)(p - from);
    if (ahead > 0 && (p[-1] == '-' || p[-1] == '+'))
        ahead--;
    advance(l, ahead + tag_end(l, ahead, "#}", true));
    return 0;
}

/* ---- inside tags -------------------------------------------------------------------------------------------------- */

static bool is_digit(char c, int base) {
    int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 99;
    return d < base;
}

/* Length of digits of a base at l->at + ahead, single underscores between them. */
static size_t digits(const struct lexer *l, size_t ahead, int base) {
    size_t n = 0;
    while (is_digit(peek(l, ahead + n), base)) {
        n++;
        if (peek(l, ahead + n) == '_' && is_digit(peek(l, ahead + n + 1), base))
            n++;
    }
    return n;
}

/* Length of a float at l->at, or 0. */
static size_t float_length(const struct lexer *l) {
    size_t n = digits(l, 0, 10), more;
    if (n == 0 || (l->at > 0 && l->src.p[l->at - 1] == '.'))
        return 0;
    bool is_float = false;
    if (peek(l, n) == '.' && (more = digits(l, n + 1, 10)) > 0) {
        n += 1 + more;
        is_float = true;
    }
    if ((peek(l, n) | 32) == 'e') {
        size_t sign = peek(l, n + 1) == '+' || peek(l, n + 1) == '-';
        if ((more = digits(l, n + 1 + sign, 10)) > 0)
            return n + 1 + sign + more;
    }
    return is_float ? n : 0;
}

static size_t int_length(const struct lexer *l, int *base) {
    static const struct {
        char letter;
        int base;
    } prefixes[] = {{'b', 2}, {'o', 8}, {'x', 16}};
    *base = 10;
    for (size_t i = 0; i < N_ITEMS(prefixes) && peek(l, 0) == '0'; i++)
        if ((peek(l, 1) | 32) == prefixes[i].letter) {
            size_t skip = 2 + (peek(l, 2) == '_'), n = digits(l, skip, prefixes[i].base);
            *base = n ? prefixes[i].base : 10;
            return n ? skip + n : 1;
        }
    if (peek(l, 0) != '0')
        return digits(l, 0, 10);
    size_t n = 1;
    while (peek(l, n) == '0' || (peek(l, n) == '_' && peek(l, n + 1) == '0'))
        n += peek(l, n) == '_' ? 2 : 1;
    return n;
}

static int lex_number(struct lexer *l) {
    int base = 10;
    size_t n = float_length(l);
    bool is_float = n > 0;
    if (!is_float)
        n = int_length(l, &base);
    char text[400];
    size_t k = 0;
    for (size_t i = 0; i < n && k < sizeof text - 1; i++)
        if (peek(l, i) != '_')
            text[k++] = peek(l, i);
    text[k] = 0;
    struct lex_token *t = push(l, is_float ? LEX_FLOAT : LEX_INT);
    if (!t)
        return l->e->code;
    errno = 0;
    if (is_float)
        t->f = strtod(text, NULL);
    else
        t->i = strtoll(base == 10 ? text : text + 2, NULL, base);
    if (k == sizeof text - 1 || (!is_float && errno))
        return err_set(l->e, ERR_LIMIT, "limit", "line %u: a number does not fit 64 bits", l->line);
    advance(l, n);
    return 0;
}

static size_t name_length(const struct lexer *l) {
    struct val s = tmpl_str_of(rest(l), TEMPLATE);
    size_t n = 0;
    for (unsigned len; n < s.n; n += len) {
        uint32_t cp = tmpl_str_cp(s, n, &len);
        if (cp != '_' && !(tmpl_char_class(cp) & (n ? CHAR_ALNUM : CHAR_ALPHA)))
            break;
    }
    return n;
}

/* Reads `n` digits of an escape; -1 where they are not all there. */
static int32_t escape_digits(const char *p, const char *end, int n, int base) {
    int32_t v = 0;
    for (int i = 0; i < n; i++, p++) {
        if (p == end || !is_digit(*p, base) || v > 0x10ffff)
            return -1;
        v = v * base + (*p <= '9' ? *p - '0' : (*p | 32) - 'a' + 10);
    }
    return v;
}

/* Like utf8_encode, for halves of surrogate pairs too. */
static size_t encode_any(uint32_t cp, char *out) {
    if (!tmpl_is_surrogate(cp))
        return utf8_encode(cp, out);
    out[0] = '\xed';
    out[1] = (char)(uint8_t)(0x80 | (cp >> 6 & 0x3f));
    out[2] = (char)(uint8_t)(0x80 | (cp & 0x3f));
    return 3;
}

/* Decodes the escape behind a backslash at p; returns where it ends, or NULL (malformed, or no code point). */
static const char *unescape_one(const char *p, const char *end, char *out, size_t *n) {
    static const char plain[] = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v";
    for (const char *q = plain; *q; q += 2)
        if (*p == *q) {
            out[(*n)++] = q[1];
            return p + 1;
        }
    if (*p == '\n')
        return p + 1;
    int32_t cp;
    int len;
    if (*p >= '0' && *p <= '7') {
        for (len = 1; len < 3 && p + len < end && p[len] >= '0' && p[len] <= '7'; len++)
            ;
        cp = escape_digits(p, end, len, 8);
    } else if (*p == 'x' || *p == 'u' || *p == 'U') {
        len = *p == 'x' ? 2 : *p == 'u' ? 4 : 8;
        cp = escape_digits(++p, end, len, 16);
    } else { /* no escape at all: the backslash stays */
        out[(*n)++] = '\\';
        return p;
    }
    if (cp < 0 || cp > 0x10ffff)
        return NULL;
    *n += encode_any((uint32_t)cp, out + *n);
    return p + len;
}

static int lex_string(struct lexer *l) {
    char quote = peek(l, 0);
    size_t n = 1;
    bool escaped = false;
    while (l->at + n < l->src.n && peek(l, n) != quote) {
        escaped |= peek(l, n) == '\\';
        n += peek(l, n) == '\\' ? 2 : 1;
    }
    if (l->at + n >= l->src.n)
        return fail(l, "a string has no closing quote");
    struct str text = {l->src.p + l->at + 1, n - 1};
    if (escaped) { /* what is unescaped is never longer, but for the backslash that stays */
        char *to = arena_alloc(l->arena, text.n + 4);
        size_t k = 0;
        const char *end = str_end(text);
        if (!to)
            return err_set(l->e, ERR_LIMIT, "limit", "the template is too large");
        for (const char *p = text.p; p < end;) {
            if (*p != '\\')
                to[k++] = *p++;
            else if (p + 1 < end && p[1] == 'N')
                return fail(l,
                            "a string has an escape \\N{...}; names of characters are not known here: write \\u and the number");
            else if (!(p = unescape_one(p + 1, end, to, &k)))
                return fail(l, "a string has a malformed escape");
        }
        text = (struct str){to, k};
    }
    if (push_text(l, LEX_STRING, text) < 0)
        return l->e->code;
    advance(l, n + 1);
    return 0;
}

/* Keeps count of brackets. */
static int balance(struct lexer *l, char c) {
    static const char pairs[] = "(){}[]";
    const char *p = strchr(pairs, c);
    if (!p)
        return 0;
    if ((p - pairs) % 2 == 0) {
        if (l->n_open == sizeof l->closers)
            return err_set(l->e, ERR_LIMIT, "limit", "line %u: brackets are nested more than %d deep", l->line, TREE_DEPTH_MAX);
        l->closers[l->n_open++] = p[1];
        return 0;
    }
    if (l->n_open == 0)
        return err_set(l->e, ERR_INPUT, "syntax", "line %u: unexpected '%c'", l->line, c);
    char expected = l->closers[--l->n_open];
    if (expected != c)
        return err_set(l->e, ERR_INPUT, "syntax", "line %u: unexpected '%c', expected '%c'", l->line, c, expected);
    return 0;
}

static int lex_operator(struct lexer *l) {
    for (size_t i = 0; i < N_ITEMS(operators); i++)
        if (next_is(l, operators[i].text)) {
            if (balance(l, operators[i].text[0]) < 0 || !push(l, operators[i].kind))
                return l->e->code;
            advance(l, strlen(operators[i].text));
            return 0;
        }
    unsigned len;
    tmpl_str_cp(tmpl_str_of(rest(l), TEMPLATE), 0, &len);
    return err_set(l->e, ERR_INPUT, "syntax", "line %u: unexpected char '%.*s'", l->line, (int)len, l->src.p + l->at);
}

/* Tokens up to the end of a tag, or of the template: then the parser says what is missing. */
static int lex_code(struct lexer *l, bool block) {
    enum lex_kind end_kind = block ? LEX_BLOCK_END : LEX_PRINT_END;
    l->n_open = 0;
    if (!push(l, block ? LEX_BLOCK_BEGIN : LEX_PRINT_BEGIN))
        return l->e->code;
    while (l->at < l->src.n) {
        size_t n = l->n_open ? 0 : tag_end(l, 0, block ? "%}" : "}}", block);
        if (n) {
            if (!push(l, end_kind))
                return l->e->code;
            advance(l, n);
            return 0;
        }
        int r = 0;
        char c = peek(l, 0);
        if ((n = space_length(l, 0)) > 0)
            advance(l, n);
        else if (is_digit(c, 10))
            r = lex_number(l);
        else if ((n = name_length(l)) > 0) {
            r = push_text(l, LEX_NAME, (struct str){l->src.p + l->at, n});
            advance(l, n);
        } else
            r = c == '\'' || c == '"' ? lex_string(l) : lex_operator(l);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------ */

static size_t find_tag(const struct lexer *l) {
    struct str s = rest(l);
    const char *end = str_end(s);
    for (const char *p = s.p; p < end && (p = memchr(p, '{', (size_t)(end - p))); p++)
        if (p + 1 < end && (p[1] == '{' || p[1] == '%' || p[1] == '#'))
            return (size_t)(p - l->src.p);
    return l->src.n;
}

/* Text up to the next tag, and the tag. */
static int lex_root(struct lexer *l) {
    size_t tag = find_tag(l);
    struct str text = {l->src.p + l->at, tag - l->at};
    if (tag == l->src.n) {
        int r = push_data(l, text);
        advance(l, text.n);
        return r;
    }
    char kind = l->src.p[tag + 1], sign = tag + 2 < l->src.n ? l->src.p[tag + 2] : 0;
    bool has_sign = sign == '-' || sign == '+';
    if (push_data(l, strip_before(l, text, has_sign ? sign : 0, kind != '{')) < 0)
        return l->e->code;
    size_t raw = kind == '%' ? raw_begin(l, tag) : 0;
    advance(l, raw ? raw : text.n + 2 + has_sign);
    if (raw)
        return lex_raw(l);
    return kind == '#' ? lex_comment(l) : lex_code(l, kind == '%');
}

/* A copy with \n for \r\n and \r, without one new-line at the end. */
static int normalise(struct lexer *l, struct str source) {
    char *to = arena_alloc(l->arena, source.n + 1);
    if (!to)
        return err_set(l->e, ERR_LIMIT, "limit", "the template is too large");
    size_t n = 0;
    for (size_t i = 0; i < source.n; i++) {
        char c = source.p[i];
        if (c == '\n' && i > 0 && source.p[i - 1] == '\r')
            continue;
        to[n++] = c == '\r' ? '\n' : c;
    }
    n -= n > 0 && to[n - 1] == '\n';
    l->src = (struct str){to, n};
    return 0;
}

int tmpl_lex(struct arena *arena, struct str source, struct lex_tokens *out, struct err *e) {
    struct lexer l = {.arena = arena, .line = 1, .out = out, .e = e};
    *out = (struct lex_tokens){0};
    if (!utf8_valid(source))
        return err_set(e, ERR_INPUT, "syntax", "the template is not valid UTF-8");
    int r = normalise(&l, source);
    while (r == 0 && l.at < l.src.n)
        r = lex_root(&l);
    if (r == 0 && !push(&l, LEX_EOF))
        r = e->code;
    return r;
}
