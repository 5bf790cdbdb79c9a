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

static int put(char *out, size_t room, const struct moment *m, char c, char flag);

static int put_all(char *out, size_t room, const struct moment *m, const char *form) {
    int n = 0;
    for (; *form; form++)
        n += *form == '%' ? put(out + n, room - (size_t)n, m, *++form, 0) : snprintf(out + n, room - (size_t)n, "%c", *form);
    return n;
}

static int put_number(char *out, size_t room, int v, int width, char pad, char flag) {
    if (flag == '-')
        width = 0;
    if (flag == '_' || flag == '0')
        pad = flag == '_' ? ' ' : '0';
    return snprintf(out, room, pad == ' ' ? "%*d" : "%0*d", width, v);
}

static int put_text(char *out, size_t room, const char *s, int n, char flag) {
    int k = snprintf(out, room, "%.*s", n, s);
    for (int i = 0; i < k && flag == '^'; i++)
        if (out[i] >= 'a' && out[i] <= 'z')
            out[i] = (char)(out[i] - 32);
    return k;
}

/* Directives that are numbers: value, width, padding. */
static bool number_of(const struct moment *m, char c, int *v, int *width, char *pad) {
    int iso_year, week = iso_week(m, &iso_year), hour12 = m->hour % 12 ? m->hour % 12 : 12;
    *width = 2;
    *pad = c == 'e' || c == 'k' || c == 'l' ? ' ' : '0';
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
    case 'j':
        *v = m->year_day + 1;
        *width = 3;
        return true;
    case 'u':
        *v = m->week_day ? m->week_day : 7;
        *width = 1;
        return true;
    case 'w':
        *v = m->week_day;
        *width = 1;
        return true;
    case 'Y':
        *v = m->year;
        *width = 0;
        return true;
    case 'G':
        *v = iso_year;
        *width = 0;
        return true;
    case 'f':
        *v = 0;
        *width = 6;
        return true;
    default: return false;
    }
}

/* Writes directive c; -1 where there is no such. */
static int put(char *out, size_t room, const struct moment *m, char c, char flag) {
    int v, width;
    char pad;
    if (number_of(m, c, &v, &width, &pad))
        return put_number(out, room, v, width, pad, flag);
    switch (c) {
    case 'a': return put_text(out, room, days[m->week_day], 3, flag == '#' ? '^' : flag);
    case 'A': return put_text(out, room, days[m->week_day], 9, flag == '#' ? '^' : flag);
    case 'b':
    case 'h': return put_text(out, room, months[m->month - 1], 3, flag == '#' ? '^' : flag);
    case 'B': return put_text(out, room, months[m->month - 1], 9, flag == '#' ? '^' : flag);
    case 'p': return put_text(out, room, flag == '#' ? (m->hour < 12 ? "am" : "pm") : (m->hour < 12 ? "AM" : "PM"), 2, flag);
    case 'P': return put_text(out, room, m->hour < 12 ? "am" : "pm", 2, flag);
    case 'c': return put_all(out, room, m, "%a %b %e %H:%M:%S %Y");
    case 'D':
    case 'x': return put_all(out, room, m, "%m/%d/%y");
    case 'F': return put_all(out, room, m, "%Y-%m-%d");
    case 'R': return put_all(out, room, m, "%H:%M");
    case 'T':
    case 'X': return put_all(out, room, m, "%H:%M:%S");
    case 'r': return put_all(out, room, m, "%I:%M:%S %p");
    case 'n': return put_text(out, room, "\n", 1, 0);
    case 't': return put_text(out, room, "\t", 1, 0);
    case '%': return put_text(out, room, "%", 1, 0);
    case 'Z':
    case 'z': return 0; /* the time has no zone */
    default: return -1;
    }
}

int tmpl_strftime(struct render *r, struct val format, struct val *out) {
    struct moment m;
    struct text t = {0};
    if (!read_moment(r->now, &m))
        return tmpl_fail(r, "type", "the template asks for the time, and the caller gave none (now: \"2026-01-31T12:00:00\")");
    for (size_t i = 0; i < format.n;) {
        char piece[128], flag = 0;
        size_t k = i + 1;
        if (format.p[i] != '%') {
            while (k < format.n && format.p[k] != '%')
                k++;
            tmpl_text_sub(r, &t, format, i, k - i);
            i = k;
            continue;
        }
        if (k < format.n && format.p[k] && strchr("-_0^#", format.p[k]))
            flag = format.p[k++];
        int n = k < format.n ? put(piece, sizeof piece, &m, format.p[k], flag) : -1;
        if (n >= 0)
            tmpl_text_add(r, &t, piece, (size_t)n, REQUEST);
        else
            tmpl_text_sub(r, &t, format, i, k < format.n ? k + 1 - i : k - i);
        i = k + 1;
    }
    return tmpl_text_end(r, &t, out);
}
