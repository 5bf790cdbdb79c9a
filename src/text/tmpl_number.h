/* tmpl_number: formatting of single values, shared by `%` and str.format. */
#pragma once

#include "tmpl_val.h"

/* A format specification: [[fill]align][sign][#][0][width][grouping][.precision][type] */
struct spec {
    struct val fill;          /* one character; VAL_MISSING: a blank */
    char align;               /* < > ^ =, or 0: the type's own */
    char sign;                /* + - or blank, or 0 */
    bool alternate;           /* # */
    char grouping;            /* , or _ or 0 */
    char type;                /* 0: none */
    int64_t width, precision; /* precision -1: none */
    bool percent;             /* of `%`: precision pads integers, upper case and octal prefix are printf's */
};
int tmpl_format_int(struct render *r, struct text *t, int64_t i, const struct spec *spec, uint8_t origin) MUST_USE;
int tmpl_format_float(struct render *r, struct text *t, double f, const struct spec *spec, uint8_t origin) MUST_USE;
int tmpl_format_str(struct render *r, struct text *t, struct val s, const struct spec *spec) MUST_USE;
