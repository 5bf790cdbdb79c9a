/* tmpl_method_char: methods of str that look at single characters: case and classes. */
#include "tmpl_run.h"

/* ---- case ----------------------------------------------------------------------------------------------------------- */

static int str_upper(struct call *c) {
    return tmpl_str_case(c->r, c->self, CASE_UPPER, c->out);
}

static int str_lower(struct call *c) {
    return tmpl_str_case(c->r, c->self, CASE_LOWER, c->out);
}

static int str_casefold(struct call *c) {
    return tmpl_str_case(c->r, c->self, CASE_FOLD, c->out);
}

/* Maps each character by what `choose` says of it and the one before. */
static int map_each(struct call *c, enum case_map (*choose)(unsigned class, unsigned before, size_t i)) {
    struct text t = {0};
    unsigned len, before = 0;
    for (size_t i = 0; i < c->self.n && !tmpl_failed(c->r); i += len) {
        unsigned class = tmpl_char_class(tmpl_str_cp(c->self, i, &len));
        tmpl_text_case(c->r, &t, c->self, i, len, choose(class, before, i));
        before = class;
    }
    if (tmpl_text_end(c->r, &t, c->out) < 0)
        return tmpl_failed(c->r);
    c->out->flags = c->self.flags;
    return 0;
}

static enum case_map for_title(unsigned class, unsigned before, size_t i) {
    (void)class, (void)i;
    return before & CHAR_CASED ? CASE_LOWER : CASE_TITLE;
}

static enum case_map for_capitalize(unsigned class, unsigned before, size_t i) {
    (void)class, (void)before;
    return i == 0 ? CASE_TITLE : CASE_LOWER;
}

static enum case_map for_swapcase(unsigned class, unsigned before, size_t i) {
    (void)before, (void)i;
    return class & CHAR_UPPER ? CASE_LOWER : CASE_UPPER;
}

static int str_title(struct call *c) {
    return map_each(c, for_title);
}

static int str_capitalize(struct call *c) {
    return map_each(c, for_capitalize);
}

static int str_swapcase(struct call *c) {
    return map_each(c, for_swapcase);
}

/* ---- classes ------------------------------------------------------------------------------------------------------------ */

/* Has every character one of these bits? `empty`: the answer for no character. */
static int all_of(struct call *c, unsigned bits, bool empty) {
    bool good = c->self.n > 0 || empty;
    unsigned len;
    for (size_t i = 0; i < c->self.n && good; i += len)
        good = tmpl_char_class(tmpl_str_cp(c->self, i, &len)) & bits;
    *c->out = tmpl_bool(good);
    return tmpl_work(c->r, c->self.n);
}

static int str_isalnum(struct call *c) {
    return all_of(c, CHAR_ALNUM, false);
}

static int str_isalpha(struct call *c) {
    return all_of(c, CHAR_ALPHA, false);
}

static int str_isdecimal(struct call *c) {
    return all_of(c, CHAR_DECIMAL, false);
}

static int str_isdigit(struct call *c) {
    return all_of(c, CHAR_DIGIT, false);
}

static int str_isnumeric(struct call *c) {
    return all_of(c, CHAR_NUMERIC, false);
}

static int str_isspace(struct call *c) {
    return all_of(c, CHAR_SPACE, false);
}

static int str_isprintable(struct call *c) {
    return all_of(c, CHAR_PRINTABLE, true);
}

static int str_isascii(struct call *c) {
    bool good = true;
    for (size_t i = 0; i < c->self.n && good; i++)
        good = (uint8_t)c->self.p[i] < 0x80;
    *c->out = tmpl_bool(good);
    return tmpl_work(c->r, c->self.n);
}

static int str_isidentifier(struct call *c) {
    bool good = c->self.n > 0;
    unsigned len;
    for (size_t i = 0; i < c->self.n && good; i += len) {
        uint32_t cp = tmpl_str_cp(c->self, i, &len);
        good = cp == '_' || tmpl_char_class(cp) & (i ? CHAR_ALNUM : CHAR_ALPHA);
    }
    *c->out = tmpl_bool(good);
    return tmpl_work(c->r, c->self.n);
}

/* Some cased character, and none of the other case. */
static int only_case(struct call *c, unsigned wanted) {
    unsigned seen = 0, len;
    for (size_t i = 0; i < c->self.n; i += len)
        seen |= tmpl_char_class(tmpl_str_cp(c->self, i, &len)) & CHAR_CASED;
    *c->out = tmpl_bool(seen == wanted);
    return tmpl_work(c->r, c->self.n);
}

static int str_islower(struct call *c) {
    return only_case(c, CHAR_LOWER);
}

static int str_isupper(struct call *c) {
    return only_case(c, CHAR_UPPER);
}

static int str_istitle(struct call *c) {
    bool good = true, any = false, inside = false;
    unsigned len;
    for (size_t i = 0; i < c->self.n && good; i += len) {
        unsigned class = tmpl_char_class(tmpl_str_cp(c->self, i, &len));
        bool big = class & (CHAR_UPPER | CHAR_TITLE);
        good = big ? !inside : !(class & CHAR_LOWER) || inside;
        inside = class & CHAR_CASED;
        any |= inside;
    }
    *c->out = tmpl_bool(good && any);
    return tmpl_work(c->r, c->self.n);
}

const struct callable tmpl_methods_char[] = {
    {"capitalize", 0, 0, NULL, str_capitalize},
    {"casefold", 0, 0, NULL, str_casefold},
    {"isalnum", 0, 0, NULL, str_isalnum},
    {"isalpha", 0, 0, NULL, str_isalpha},
    {"isascii", 0, 0, NULL, str_isascii},
    {"isdecimal", 0, 0, NULL, str_isdecimal},
    {"isdigit", 0, 0, NULL, str_isdigit},
    {"isidentifier", 0, 0, NULL, str_isidentifier},
    {"islower", 0, 0, NULL, str_islower},
    {"isnumeric", 0, 0, NULL, str_isnumeric},
    {"isprintable", 0, 0, NULL, str_isprintable},
    {"isspace", 0, 0, NULL, str_isspace},
    {"istitle", 0, 0, NULL, str_istitle},
    {"isupper", 0, 0, NULL, str_isupper},
    {"lower", 0, 0, NULL, str_lower},
    {"swapcase", 0, 0, NULL, str_swapcase},
    {"title", 0, 0, NULL, str_title},
    {"upper", 0, 0, NULL, str_upper},
    {.name = NULL},
};
