/* tmpl_number: integers, floats and strings by a format specification. */
#include "tmpl_number.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PRECISION_MAX = 1000, NUMBER_MAX = PRECISION_MAX + 400, WIDTH_MAX = 1 << 26 };

static struct val fill_of(const struct spec *s) {
    return s->fill.type == VAL_STR ? s->fill : tmpl_str_literal(" ");
}

/* Sign (and prefix), then body, in a field; '=' pads between the two. */
static int put_field(struct render *r, struct text *t, const char *sign, const char *body, const struct spec *s, uint8_t origin) {
    int64_t n = (int64_t)(strlen(sign) + strlen(body)), pad = s->width > n ? s->width - n : 0;
    int64_t left = s->align == '<' || s->align == '=' ? 0 : s->align == '^' ? pad / 2 : pad;
    if (s->width > WIDTH_MAX)
        return tmpl_fail(r, "limit", "a field is wider than %d characters", WIDTH_MAX);
    tmpl_text_fill(r, t, fill_of(s), (size_t)left);
    tmpl_text_z(r, t, sign, origin);
    if (s->align == '=')
        tmpl_text_fill(r, t, fill_of(s), (size_t)pad);
    tmpl_text_z(r, t, body, origin);
    if (s->align == '<' || s->align == '^')
        tmpl_text_fill(r, t, fill_of(s), (size_t)(pad - left));
    return tmpl_failed(r);
}

static const char *sign_of(bool minus, const struct spec *s) {
    return minus ? "-" : s->sign == '+' ? "+" : s->sign == ' ' ? " " : "";
}

/* Puts separators between groups of digits; zero padding takes part: 00,001,234. */
static void group(char out[NUMBER_MAX], const char *number, const struct spec *s, int every, size_t sign_bytes) {
    size_t digits = strspn(number, "0123456789abcdefABCDEF"), n = digits;
    bool zeros = s->align == '=' && s->fill.type == VAL_STR && tmpl_is_str(s->fill, "0");
    size_t rest = strlen(number) - digits, k = 0;
    while (zeros && (int64_t)(n + (n - 1) / (size_t)every + rest + sign_bytes) < s->width && n < 300)
        n++;
    for (size_t i = 0; i < n; i++) {
        out[k++] = i < n - digits ? '0' : number[i - (n - digits)];
        if ((n - 1 - i) % (size_t)every == 0 && i + 1 < n)
            out[k++] = s->grouping;
    }
    memcpy(out + k, number + digits, rest + 1);
}

static const char *int_prefix(const struct spec *s) {
    if (!s->alternate)
        return "";
    return s->type == 'x' ? "0x" : s->type == 'X' ? "0X" : s->type == 'o' ? "0o" : s->type == 'b' ? "0b" : "";
}

static void int_digits(uint64_t u, unsigned base, bool upper, char out[72]) {
    char reversed[72];
    size_t n = 0;
    do
        reversed[n++] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[u % base];
    while ((u /= base) > 0);
    for (size_t i = 0; i < n; i++)
        out[i] = reversed[n - 1 - i];
    out[n] = 0;
}

int tmpl_format_int(struct render *r, struct text *t, int64_t i, const struct spec *spec, uint8_t origin) {
    struct spec s = *spec;
    char digits[72], padded[NUMBER_MAX], body[NUMBER_MAX], sign[8];
    if (s.type && strchr("eEfFgG%", s.type))
        return tmpl_format_float(r, t, (double)i, spec, origin);
    if (s.precision > PRECISION_MAX)
        return tmpl_fail(r, "limit", "a precision is larger than %d", PRECISION_MAX);
    unsigned base = s.type == 'x' || s.type == 'X' ? 16 : s.type == 'o' ? 8 : s.type == 'b' ? 2 : 10;
    int_digits(i < 0 ? 0 - (uint64_t)i : (uint64_t)i, base, s.type == 'X', digits);
    int zeros = s.percent && s.precision > (int64_t)strlen(digits) ? (int)(s.precision - (int64_t)strlen(digits)) : 0;
    memset(padded, '0', (size_t)zeros);
    memcpy(padded + zeros, digits, strlen(digits) + 1);
    snprintf(sign, sizeof sign, "%s%s", sign_of(i < 0, &s), int_prefix(&s));
    if (s.grouping)
        group(body, padded, &s, base == 10 ? 3 : 4, strlen(sign));
    else
        memcpy(body, padded, strlen(padded) + 1);
    if (!s.align)
        s.align = '>';
    return put_field(r, t, sign, body, &s, origin);
}

/* ---- floats --------------------------------------------------------------------------------------------------------- */

static void drop_zeros(char *mantissa) {
    size_t n = strlen(mantissa);
    if (!strchr(mantissa, '.'))
        return;
    while (mantissa[n - 1] == '0')
        n--;
    mantissa[mantissa[n - 1] == '.' ? n - 1 : n] = 0;
}

/* Without a type: repr, or with a precision like 'g' but never without a point or an exponent. f >= 0, finite. */
static int general(struct render *r, double f, int precision, char out[NUMBER_MAX]) {
    if (precision < 0) {
        struct text t = {0};
        tmpl_text_float(r, &t, f, TEMPLATE);
        snprintf(out, NUMBER_MAX, "%.*s", (int)t.n, t.p ? t.p : "");
        return tmpl_failed(r);
    }
    if (precision == 0)
        precision = 1;
    char scientific[NUMBER_MAX];
    snprintf(scientific, sizeof scientific, "%.*e", precision - 1, f);
    char *e = strchr(scientific, 'e');
    long point = strtol(e + 1, NULL, 10) + 1;
    if (f != 0 && (point <= -4 || point > precision - 1)) {
        *e = 0;
        drop_zeros(scientific);
        snprintf(out, NUMBER_MAX, "%s%s%+03ld", scientific, "e", point - 1);
        return 0;
    }
    snprintf(out, NUMBER_MAX - 2, "%.*g", precision, f);
    if (!strchr(out, '.'))
        memcpy(out + strlen(out), ".0", 3);
    return 0;
}

static int float_digits(struct render *r, double f, const struct spec *s, char out[NUMBER_MAX]) {
    char type = s->type == 'n' ? 'g' : s->type, form[8];
    int precision = s->precision < 0 ? (type ? 6 : -1) : (int)s->precision;
    if (!isfinite(f)) {
        snprintf(out, NUMBER_MAX, "%s%s",
                 isnan(f)                     ? (type >= 'E' && type <= 'G' ? "NAN" : "nan")
                 : type >= 'E' && type <= 'G' ? "INF"
                                              : "inf",
                 type == '%' ? "%" : "");
        return 0;
    }
    if (!type)
        return general(r, f, precision, out);
    bool hundred = type == '%';
    snprintf(form, sizeof form, "%%%s.*%c", s->alternate ? "#" : "", hundred ? 'f' : type);
    int n = snprintf(out, NUMBER_MAX, form, precision, hundred ? f * 100 : f);
    if (hundred && n < NUMBER_MAX - 1)
        memcpy(out + n, "%", 2);
    return 0;
}

int tmpl_format_float(struct render *r, struct text *t, double f, const struct spec *spec, uint8_t origin) {
    struct spec s = *spec;
    char digits[NUMBER_MAX], body[NUMBER_MAX + 400];
    bool minus = signbit(f) && !isnan(f);
    if (s.precision > PRECISION_MAX)
        return tmpl_fail(r, "limit", "a precision is larger than %d", PRECISION_MAX);
    if (float_digits(r, fabs(f), &s, digits) < 0)
        return tmpl_failed(r);
    const char *sign = sign_of(minus, &s);
    if (s.grouping && isfinite(f) && strlen(digits) < NUMBER_MAX - 450)
        group(body, digits, &s, 3, strlen(sign));
    else
        memcpy(body, digits, strlen(digits) + 1);
    if (!s.align)
        s.align = '>';
    return put_field(r, t, sign, body, &s, origin);
}

int tmpl_format_str(struct render *r, struct text *t, struct val s, const struct spec *spec) {
    char align = spec->align ? spec->align : '<';
    if (spec->precision >= 0)
        s = tmpl_str_sub(s, 0, tmpl_str_offset(s, spec->precision));
    if (spec->width > WIDTH_MAX)
        return tmpl_fail(r, "limit", "a field is wider than %d characters", WIDTH_MAX);
    if (align == '^') { /* unlike str.center, the odd blank goes right */
        int64_t n = (int64_t)tmpl_str_length(s), pad = spec->width > n ? spec->width - n : 0;
        tmpl_text_fill(r, t, fill_of(spec), (size_t)(pad / 2));
        tmpl_text_str(r, t, s);
        tmpl_text_fill(r, t, fill_of(spec), (size_t)(pad - pad / 2));
    } else {
        tmpl_text_padded(r, t, s, spec->width, align, fill_of(spec));
    }
    return tmpl_failed(r);
}
