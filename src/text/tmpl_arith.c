/* tmpl_arith: Python's arithmetic. Integers have 64 bits, and what does not fit is an error of kind limit. */
#include "tmpl_run.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int overflow(struct render *r) {
    return tmpl_fail(r, "limit", "an integer does not fit 64 bits");
}

static int by_zero(struct render *r, const char *what) {
    return tmpl_fail(r, "division", "%s by zero", what);
}

/* ---- integers ---------------------------------------------------------------------------------------------------- */

static int64_t floor_div(int64_t a, int64_t b) {
    int64_t q = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

static bool power_overflows(int64_t base, int64_t exponent, int64_t *out) {
    int64_t result = 1;
    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1 && __builtin_mul_overflow(result, base, &result))
            return true;
        if (exponent > 1 && __builtin_mul_overflow(base, base, &base))
            return true;
    }
    *out = result;
    return false;
}

static int math_float(struct render *r, char op, double a, double b, struct val *out);

static int math_int(struct render *r, char op, int64_t a, int64_t b, struct val *out) {
    int64_t i = 0;
    bool over = false;
    if (op == 'p' && b < 0)
        return math_float(r, op, (double)a, (double)b, out);
    if (b == 0 && (op == '/' || op == 'f' || op == '%'))
        return by_zero(r, op == '/' ? "division" : op == 'f' ? "integer division" : "integer modulo");
    switch (op) {
    case '+': over = __builtin_add_overflow(a, b, &i); break;
    case '-': over = __builtin_sub_overflow(a, b, &i); break;
    case '*': over = __builtin_mul_overflow(a, b, &i); break;
    case 'p': over = power_overflows(a, b, &i); break;
    case '/': *out = tmpl_float((double)a / (double)b); return 0;
    default:
        if (b == -1) { /* the one quotient that may overflow */
            over = op == 'f' && __builtin_sub_overflow(0, a, &i);
            break;
        }
        i = op == 'f' ? floor_div(a, b) : a - floor_div(a, b) * b;
    }
    *out = tmpl_int(i);
    return over ? overflow(r) : 0;
}

/* ---- floats -------------------------------------------------------------------------------------------------------- */

static double float_mod(double a, double b) {
    double m = fmod(a, b);
    if (m == 0)
        return copysign(0, b);
    return (m < 0) != (b < 0) ? m + b : m;
}

static double float_floor_div(double a, double b) {
    double m = fmod(a, b), q = (a - m) / b;
    if (m != 0 && (m < 0) != (b < 0))
        q -= 1;
    if (q == 0)
        return copysign(0, a / b);
    double whole = floor(q);
    return q - whole > 0.5 ? whole + 1 : whole;
}

static int float_power(struct render *r, double a, double b, struct val *out) {
    if (a == 0 && b < 0)
        return tmpl_fail(r, "division", "0.0 cannot be raised to a negative power");
    if (a < 0 && isfinite(a) && isfinite(b) && b != floor(b))
        return tmpl_fail(r, "type",
                         "a negative number cannot be raised to a fractional power here: there are no complex numbers");
    double f = pow(a, b);
    if (isinf(f) && isfinite(a) && isfinite(b))
        return tmpl_fail(r, "limit", "a power is too large for a float");
    *out = tmpl_float(f);
    return 0;
}

static int math_float(struct render *r, char op, double a, double b, struct val *out) {
    if (b == 0 && (op == '/' || op == 'f' || op == '%'))
        return by_zero(r, op == '/' ? "float division" : op == 'f' ? "float floor division" : "float modulo");
    switch (op) {
    case '+': *out = tmpl_float(a + b); return 0;
    case '-': *out = tmpl_float(a - b); return 0;
    case '*': *out = tmpl_float(a * b); return 0;
    case '/': *out = tmpl_float(a / b); return 0;
    case 'f': *out = tmpl_float(float_floor_div(a, b)); return 0;
    case '%': *out = tmpl_float(float_mod(a, b)); return 0;
    default: return float_power(r, a, b, out);
    }
}

/* ---- sequences ------------------------------------------------------------------------------------------------------- */

static int add_strings(struct render *r, struct val a, struct val b, struct val *out) {
    bool markup = (a.flags | b.flags) & FLAG_MARKUP;
    if (markup && (tmpl_str_escape(r, a, &a) < 0 || tmpl_str_escape(r, b, &b) < 0))
        return tmpl_failed(r);
    if (tmpl_str_concat(r, a, b, out) < 0)
        return tmpl_failed(r);
    out->flags = markup ? FLAG_MARKUP : 0;
    return 0;
}

static int add_lists(struct render *r, struct val a, struct val b, struct val *out) {
    struct list *l;
    if (tmpl_list_concat(r, a.list, b.list, &l) < 0)
        return tmpl_failed(r);
    *out = a.type == VAL_LIST ? tmpl_list(l) : tmpl_tuple(l);
    out->origin = a.origin | b.origin;
    return 0;
}

/* As strings, which bytes are held as. */
static int add_bytes(struct render *r, struct val a, struct val b, struct val *out) {
    a.type = b.type = VAL_STR;
    int code = tmpl_str_concat(r, a, b, out);
    out->type = VAL_BYTES;
    return code;
}

static int repeat(struct render *r, struct val seq, int64_t times, struct val *out) {
    if (times < 0)
        times = 0;
    if (seq.type == VAL_STR || seq.type == VAL_BYTES) {
        struct text t = {0};
        tmpl_text_fill(r, &t, seq, (size_t)times);
        if (tmpl_text_end(r, &t, out) < 0)
            return tmpl_failed(r);
        out->type = seq.type;
        out->flags = seq.flags;
        return 0;
    }
    size_t total;
    if (__builtin_mul_overflow(seq.list->n, (size_t)times, &total))
        return tmpl_fail(r, "limit", "a list is longer than memory allows");
    struct list *l = tmpl_list_new(r, total);
    if (!l)
        return tmpl_failed(r);
    for (size_t i = 0; i < total; i++)
        if (tmpl_list_add(r, l, seq.list->items[i % seq.list->n]) < 0)
            return tmpl_failed(r);
    *out = (struct val){.type = seq.type, .origin = seq.origin, .list = l};
    return 0;
}

static bool is_sequence(struct val v) {
    return v.type == VAL_STR || v.type == VAL_BYTES || v.type == VAL_LIST || v.type == VAL_TUPLE;
}

/* ---- the operators ------------------------------------------------------------------------------------------------------- */

static int no_such(struct render *r, char op, struct val a, struct val b) {
    const char *name = op == 'f' ? "//" : op == 'p' ? "** or pow()" : (char[]){op, 0};
    if (a.type == VAL_UNDEFINED || b.type == VAL_UNDEFINED)
        return tmpl_undefined_fail(r, a.type == VAL_UNDEFINED ? a : b);
    if (a.type == VAL_BIG || b.type == VAL_BIG)
        return overflow(r);
    if (op == '+' && is_sequence(a))
        return tmpl_fail(r, "type", "can only concatenate %s (not \"%s\") to %s", tmpl_type_name(a), tmpl_type_name(b),
                         tmpl_type_name(a));
    return tmpl_fail(r, "type", "unsupported operand type(s) for %s: '%s' and '%s'", name, tmpl_type_name(a), tmpl_type_name(b));
}

int tmpl_arith(struct render *r, char op, struct val a, struct val b, struct val *out) {
    int code;
    if (tmpl_is_int(a) && tmpl_is_int(b))
        code = math_int(r, op, tmpl_as_int(a), tmpl_as_int(b), out);
    else if (tmpl_is_number(a) && tmpl_is_number(b))
        code = math_float(r, op, tmpl_as_float(a), tmpl_as_float(b), out);
    else if (op == '%' && a.type == VAL_STR)
        return tmpl_percent(r, a, b, out);
    else if (op == '+' && a.type == b.type && is_sequence(a))
        return a.type == VAL_STR     ? add_strings(r, a, b, out)
               : a.type == VAL_BYTES ? add_bytes(r, a, b, out)
                                     : add_lists(r, a, b, out);
    else if (op == '*' && is_sequence(a) && tmpl_is_int(b))
        return repeat(r, a, tmpl_as_int(b), out);
    else if (op == '*' && is_sequence(b) && tmpl_is_int(a))
        return repeat(r, b, tmpl_as_int(a), out);
    else
        return no_such(r, op, a, b);
    if (code == 0)
        out->origin = a.origin | b.origin;
    return code;
}

int tmpl_negate(struct render *r, struct val a, bool minus, struct val *out) {
    if (a.type == VAL_UNDEFINED)
        return tmpl_undefined_fail(r, a);
    if (!tmpl_is_number(a))
        return tmpl_fail(r, "type", "bad operand type for unary %s: '%s'", minus ? "-" : "+", tmpl_type_name(a));
    *out = a.type == VAL_FLOAT ? tmpl_float(minus ? -a.f : a.f) : tmpl_int(tmpl_as_int(a));
    out->origin = a.origin;
    if (out->type == VAL_INT && minus && __builtin_sub_overflow(0, out->i, &out->i))
        return overflow(r);
    return 0;
}

/* ---- conversions ------------------------------------------------------------------------------------------------------------ */

/* A decimal string and back, as Python does: exact halves go to even, and no error comes from scaling. */
static double round_float(double f, int64_t digits) {
    char text[512];
    if (!isfinite(f) || digits > 323)
        return f;
    if (digits < -308)
        return copysign(0, f);
    if (digits >= 0) {
        snprintf(text, sizeof text, "%.*f", (int)digits, f);
        return strtod(text, NULL);
    }
    double scale = strtod((snprintf(text, sizeof text, "1e%d", (int)-digits), text), NULL);
    return nearbyint(f / scale) * scale;
}

int tmpl_round(struct render *r, struct val v, int64_t digits, struct val *out) {
    if (v.type == VAL_UNDEFINED)
        return tmpl_undefined_fail(r, v);
    if (v.type == VAL_FLOAT) {
        *out = tmpl_float(round_float(v.f, digits));
        return isinf(out->f) && !isinf(v.f) ? tmpl_fail(r, "limit", "rounded value too large to represent") : 0;
    }
    if (!tmpl_is_int(v))
        return tmpl_fail(r, "type", "type %s doesn't define __round__ method", tmpl_type_name(v));
    int64_t i = tmpl_as_int(v), unit = 1;
    *out = tmpl_int(i);
    if (digits >= 0)
        return 0;
    if (power_overflows(10, -digits, &unit)) {
        *out = tmpl_int(0);
        return 0;
    }
    int64_t down = floor_div(i, unit), rest = i - down * unit; /* half to even */
    if (rest > unit - rest || (rest == unit - rest && down & 1))
        down++;
    return __builtin_mul_overflow(down, unit, &out->i) ? overflow(r) : 0;
}

static struct str trim(struct str s) {
    size_t n = tmpl_space_length(s);
    s = (struct str){s.p + n, s.n - n};
    while (s.n > 0) {
        struct val v = tmpl_str_of(s, TEMPLATE);
        unsigned len = tmpl_str_cp_before(v, s.n), whole;
        if (!(tmpl_char_class(tmpl_str_cp(v, s.n - len, &whole)) & CHAR_SPACE))
            break;
        s.n -= len;
    }
    return s;
}

/* The value of a decimal digit of any script: they come in runs of ten. */
static unsigned decimal_value(uint32_t cp) {
    unsigned n = 0;
    while (tmpl_char_class(cp - n - 1) & CHAR_DECIMAL)
        n++;
    return n % 10;
}

/* s with decimal digits of other scripts as ASCII, in `room`; s itself where it is ASCII or too long for a number. */
static struct str ascii_digits(struct str s, char *room, size_t size) {
    struct val v = tmpl_str_of(s, TEMPLATE);
    size_t n = 0, at = 0;
    unsigned len;
    while (at < s.n && (uint8_t)s.p[at] < 0x80)
        at++;
    if (at == s.n || s.n > size)
        return s;
    for (at = 0; at < s.n; at += len) {
        uint32_t cp = tmpl_str_cp(v, at, &len);
        bool digit = cp >= 0x80 && tmpl_char_class(cp) & CHAR_DECIMAL;
        if (digit)
            room[n++] = (char)('0' + decimal_value(cp));
        for (unsigned i = 0; !digit && i < len; i++)
            room[n++] = s.p[at + i];
    }
    return (struct str){room, n};
}

static int digit_value(char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'z' ? (c | 32) - 'a' + 10 : 99;
}

/* Skips "0x" and the like, and settles base 0. */
static bool skip_prefix(struct str *s, int *base) {
    char letter = s->n > 1 && s->p[0] == '0' ? (char)(s->p[1] | 32) : 0;
    int named = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    if (named && (*base == 0 || *base == named)) {
        *base = named;
        *s = (struct str){s->p + 2, s->n - 2};
        if (s->n && s->p[0] == '_')
            *s = (struct str){s->p + 1, s->n - 1};
    } else if (*base == 0) {
        *base = 10;
        for (size_t i = 0; i < s->n && s->p[0] == '0'; i++)
            if (s->p[i] != '0' && s->p[i] != '_')
                return false; /* 007 */
    }
    return s->n > 0;
}

int tmpl_parse_int(struct render *r, struct str s, int base, int64_t *out, bool *ok) {
    *ok = false;
    *out = 0;
    if (tmpl_work(r, s.n) < 0)
        return tmpl_failed(r);
    char room[128];
    s = ascii_digits(trim(s), room, sizeof room);
    bool minus = s.n && s.p[0] == '-';
    if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
        s = (struct str){s.p + 1, s.n - 1};
    if (!skip_prefix(&s, &base) || s.p[0] == '_' || s.p[s.n - 1] == '_')
        return 0;
    bool over = false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '_' && s.p[i - 1] != '_')
            continue;
        int d = digit_value(s.p[i]);
        if (d >= base)
            return 0;
        over |= __builtin_mul_overflow(*out, base, out) || __builtin_sub_overflow(*out, d, out);
    }
    if (over || (!minus && __builtin_sub_overflow(0, *out, out)))
        return overflow(r);
    *ok = true;
    return 0;
}

bool tmpl_parse_float(struct str s, double *out) {
    char text[512], room[512];
    size_t n = 0;
    s = ascii_digits(trim(s), room, sizeof room);
    if (s.n == 0 || s.n >= sizeof text)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool between = i > 0 && i + 1 < s.n && digit_value(s.p[i - 1]) < 10 && digit_value(s.p[i + 1]) < 10;
        if (c == '_' && between)
            continue;
        if (!c || !strchr("0123456789+-.eEinfatyINFATY", c))
            return false;
        text[n++] = c;
    }
    text[n] = 0;
    char *end;
    *out = strtod(text, &end);
    return end == text + n;
}
