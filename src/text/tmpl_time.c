/* tmpl_time: strftime_now, in the C locale, of a time that the caller gives: the clock is an input. */
#include "tmpl_run.h"

#include <string.h>

struct moment {
    int year, month, day, hour, minute, second;
    int week_day, year_day; /* 0 is Sunday; 0 is the first of January */
};

static const char *const days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                     "July",    "August",   "September", "October", "November", "December"};

static bool is_leap(int year) {
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* "2026-01-31T12:00:00", perhaps with more behind. */
static bool read_moment(struct str now, struct moment *m) {
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    char text[20], *p = text;
    int *fields[] = {&m->year, &m->month, &m->day, &m->hour, &m->minute, &m->second};
    if (now.n < 19)
        return false;
    memcpy(text, now.p, 19);
    text[19] = 0;
    for (size_t i = 0; i < N_ITEMS(fields); i++) {
        int n = i == 0 ? 4 : 2;
        for (*fields[i] = 0; n > 0; n--, p++) {
            if (*p < '0' || *p > '9')
                return false;
            *fields[i] = *fields[i] * 10 + (*p - '0');
        }
        if (*p && *p++ != "--T::"[i] && !(i == 2 && p[-1] == ' '))
            return false;
    }
    if (m->year < 1 || m->month < 1 || m->month > 12 || m->day < 1 || m->hour > 23 || m->minute > 59 || m->second > 59)
        return false;
    bool leap_day = m->month == 2 && is_leap(m->year);
    m->year_day = before[m->month - 1] + m->day - 1 + (m->month > 2 && is_leap(m->year));
    int y = m->year - 1;
    m->week_day = (y * 365 + y / 4 - y / 100 + y / 400 + m->year_day + 1) % 7; /* 1 January of year 1 was a Monday */
    return m->day <= lengths[m->month - 1] + leap_day;
}

bool tmpl_now_fits(struct str now) {
    struct moment m;
    return now.n == 19 && now.p[10] == 'T' && read_moment(now, &m);
}

/* ISO 8601 week and its year. */
static int iso_week(const struct moment *m, int *year) {
    int day = (m->week_day + 6) % 7, week = (m->year_day - day + 10) / 7;
    *year = m->year;
    if (week == 0) { /* of the year before: as many weeks as 31 December says */
        struct moment last = {
            .year = m->year - 1, .year_day = 364 + is_leap(m->year - 1), .week_day = (m->week_day - m->year_day % 7 + 13) % 7};
        return iso_week(&last, year);
    }
    int thursdays = m->year_day - day + 3; /* day of the year of this week's Thursday */
    if (week == 53 && thursdays >= 365 + is_leap(m->year)) {
        *year = m->year + 1;
        return 1;
    }
    return week;
}

/* Seconds since 1970 of the time taken as UTC: it has no zone. */
static int64_t epoch(const struct moment *m) {
    int64_t y = m->year - 1, n_days = y * 365 + y / 4 - y / 100 + y / 400 + m->year_day - 719162;
    return n_days * 86400 + m->hour * 3600 + m->minute * 60 + m->second;
}

/* %: its flags, least width and letter. */
struct directive {
    char pad; /* '-', '_', '0', or 0 */
    bool upper, other_case;
    int width;
    char letter;
};

/* Directives that are numbers: value, least digits, what they are padded with. */
static bool number_of(const struct moment *m, char c, int64_t *v, int *digits, char *pad) {
    int iso_year, week = iso_week(m, &iso_year), hour12 = m->hour % 12 ? m->hour % 12 : 12;
    *digits = c == 'j' ? 3 : strchr("uwYGs", c) ? 1 : 2;
    *pad = strchr("ekl", c) ? '_' : '0';
    switch (c) {
    case 'd':
    case 'e': *v = m->day; return true;
    case 'H':
    case 'k': *v = m->hour; return true;
    case 'I':
    case 'l': *v = hour12; return true;
    case 'm': *v = m->month; return true;
    case 'M': *v = m->minute; return true;
    case 'S': *v = m->second; return true;
    case 'y': *v = m->year % 100; return true;
    case 'g': *v = iso_year % 100; return true;
    case 'C': *v = m->year / 100; return true;
    case 'U': *v = (m->year_day + 7 - m->week_day) / 7; return true;
    case 'W': *v = (m->year_day + 7 - (m->week_day + 6) % 7) / 7; return true;
    case 'V': *v = week; return true;
    case 'j': *v = m->year_day + 1; return true;
    case 'u': *v = m->week_day ? m->week_day : 7; return true;
    case 'w': *v = m->week_day; return true;
    case 'Y': *v = m->year; return true;
    case 'G': *v = iso_year; return true;
    case 's': *v = epoch(m); return true;
    default: return false;
    }
}

static void put_all(struct render *r, struct text *t, const struct moment *m, const char *form);

/* The text of a directive that is no number, or NULL. *other: what flag # makes of it, 'u' or 'l'; 0: nothing. */
static const char *text_of(const struct moment *m, char c, int *n, char *other) {
    *n = 3;
    *other = 'u';
    switch (c) {
    case 'a': return days[m->week_day];
    case 'A': *n = 9; return days[m->week_day];
    case 'b':
    case 'h': return months[m->month - 1];
    case 'B': *n = 9; return months[m->month - 1];
    case 'p': *other = 'l'; return m->hour < 12 ? "AM" : "PM";
    case 'P': *other = 0; return m->hour < 12 ? "am" : "pm";
    case 'n': return "\n";
    case 't': return "\t";
    case '%': return "%";
    case 'f': return "000000";
    case 'Z':
    case 'z': return ""; /* the time has no zone */
    default: return NULL;
    }
}

/* Directives that stand for others. */
static const char *form_of(char c) {
    switch (c) {
    case 'c': return "%a %b %e %H:%M:%S %Y";
    case 'D':
    case 'x': return "%m/%d/%y";
    case 'F': return "%Y-%m-%d";
    case 'R': return "%H:%M";
    case 'T':
    case 'X': return "%H:%M:%S";
    case 'r': return "%I:%M:%S %p";
    default: return NULL;
    }
}

static void fill(struct render *r, struct text *t, int64_t n, char with) {
    if (n > 0)
        tmpl_text_fill(r, t, tmpl_str_of((struct str){&with, 1}, REQUEST), (size_t)n);
}

/* Appends z, at most n bytes of it, in the width and case asked for. */
static void put_text(struct render *r, struct text *t, const struct directive *d, const char *z, int n, char other) {
    char text[40];
    int k = snprintf(text, sizeof text, "%.*s", n, z);
    bool lower = d->other_case && other == 'l', upper = !lower && (d->upper || (d->other_case && other == 'u')) && other;
    for (int i = 0; i < k; i++)
        if (upper && text[i] >= 'a' && text[i] <= 'z')
            text[i] = (char)(text[i] - 32);
        else if (lower && text[i] >= 'A' && text[i] <= 'Z')
            text[i] = (char)(text[i] + 32);
    fill(r, t, d->width - k, d->pad == '0' ? '0' : ' ');
    tmpl_text_add(r, t, text, (size_t)k, REQUEST);
}

static void put_number(struct render *r, struct text *t, const struct directive *d, int64_t v, int digits, char pad) {
    char text[24];
    int k = snprintf(text, sizeof text, "%lld", (long long)v);
    pad = d->pad ? d->pad : pad;
    digits = digits > d->width ? digits : d->width;
    if (pad == '-')
        fill(r, t, d->width - k, ' ');
    else
        fill(r, t, digits - k, pad == '_' ? ' ' : '0');
    tmpl_text_add(r, t, text, (size_t)k, REQUEST);
}

/* Appends one directive; false where there is no such. */
static bool put(struct render *r, struct text *t, const struct moment *m, const struct directive *d) {
    int64_t v;
    int digits, n;
    char pad, other;
    const char *text, *form = form_of(d->letter);
    if (form) {
        struct text inner = {0};
        put_all(r, &inner, m, form);
        char z[40];
        snprintf(z, sizeof z, "%.*s", (int)inner.n, inner.p);
        put_text(r, t, d, z, (int)inner.n, d->upper ? 'u' : 0);
    } else if (number_of(m, d->letter, &v, &digits, &pad)) {
        put_number(r, t, d, v, digits, pad);
    } else if ((text = text_of(m, d->letter, &n, &other))) {
        put_text(r, t, d, text, d->letter == 'f' ? 6 : n, other);
    } else {
        return false;
    }
    return true;
}

static void put_all(struct render *r, struct text *t, const struct moment *m, const char *form) {
    for (; *form; form++)
        if (*form != '%')
            tmpl_text_byte(r, t, *form, REQUEST);
        else
            put(r, t, m, &(struct directive){.letter = *++form});
}

/* Reads a directive behind the % at `at`; returns where it ends. letter 0: it is none. */
static size_t read_directive(struct val s, size_t at, struct directive *d) {
    size_t i = at + 1;
    *d = (struct directive){0};
    for (; i < s.n && s.p[i] && strchr("-_0^#", s.p[i]); i++) {
        if (s.p[i] == '^')
            d->upper = true;
        else if (s.p[i] == '#')
            d->other_case = true;
        else
            d->pad = s.p[i];
    }
    for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
        d->width = d->width > 1 << 20 ? d->width : d->width * 10 + (s.p[i] - '0');
    const char *of = NULL; /* the letters that a modifier, without effect here, may stand before */
    if (i < s.n && (s.p[i] == 'E' || s.p[i] == 'O'))
        of = s.p[i++] == 'E' ? "cCxXyY" : "BbhdeHIklmMSuUVwWy";
    if (i >= s.n)
        return i;
    bool plain = i == at + 1;
    bool known = s.p[i] && (!of || strchr(of, s.p[i])) && (plain || s.p[i] != 'f');
    d->letter = known ? s.p[i] : 0;
    return i + 1;
}

int tmpl_strftime(struct render *r, struct val format, struct val *out) {
    struct moment m;
    struct text t = {0};
    if (!read_moment(r->now, &m))
        return tmpl_fail(r, "type", "the template asks for the time, and the caller gave none (now: \"2026-01-31T12:00:00\")");
    for (size_t i = 0, next; i < format.n && !tmpl_failed(r); i = next) {
        struct directive d = {0};
        const char *percent = memchr(format.p + i, '%', format.n - i);
        if (!percent || percent > format.p + i) {
            next = percent ? (size_t)(percent - format.p) : format.n;
            tmpl_text_sub(r, &t, format, i, next - i);
            continue;
        }
        next = read_directive(format, i, &d);
        if (d.letter && put(r, &t, &m, &d))
            continue;
        fill(r, &t, d.width - (int64_t)(next - i), ' ');
        tmpl_text_sub(r, &t, format, i, next - i);
    }
    return tmpl_text_end(r, &t, out);
}
