/* Templates that loop, recurse or grow without end stop at a limit with an error that says so, in bounded time and memory. */
#include "unit.h"

#include "text/text.h"

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { SLOWER = 20, BIGGER = 20 };
#else
enum { SLOWER = 3, BIGGER = 1 }; /* for busy machines; the bounds below are CPU time */
#endif
enum { CPU_MS_MAX = 1500, RSS_MIB_MAX = 400 };

#pragma GCC diagnostic ignored "-Wmissing-field-initializers" /* most rows have no context */
struct hostile {
    const char *source, *kind, *says; /* kind NULL: fine, too, as long as it ends */
    const char *context;
};

#define GROW(expression)                                                                                                         \
    "{% set n = namespace(s='abcdefgh') %}{% for i in range(90000) %}{% set n.s = " expression " %}{% endfor %}"
#define NEST "{% set n = namespace(s=[1]) %}{% for i in range(90000) %}{% set n.s = [n.s] %}{% endfor %}"
/* 2^60 leaves in 60 lists */
#define BUSH                                                                                                                     \
    "{% set n = namespace(s=[1], t=[1]) %}{% for i in range(60) %}{% set n.s = [n.s, n.s] %}{% set n.t = [n.t, n.t] %}{% endfor %}"
#define BUSH_DICT "{% set n = namespace(s={'a': 1}) %}{% for i in range(60) %}{% set n.s = {'a': n.s, 'b': n.s} %}{% endfor %}"
#define BUSH_TUPLE                                                                                                               \
    "{% set n = namespace(s=(1,), t=(1,)) %}{% for i in range(60) %}{% set n.s = (n.s, n.s) %}{% set n.t = (n.t, n.t) %}{% endfor %}"

static const struct hostile loops[] = {
    {"{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", "limit", "steps"},
    {"{% for i in range(100001) %}{% endfor %}", "limit", "MAX_RANGE"},
    {"{{ range(9223372036854775807)|length }}", "limit", "MAX_RANGE"},
    {"{% for a in range(99999) if false %}{% for b in range(99999) if false %}{% endfor %}{% endfor %}"
     "{% for a in range(99999) %}{% for b in range(99999) if b > a %}{% endfor %}{% endfor %}",
     "limit", "steps"},
    {"{% for i in range(99999) %}{{ range(99999)|sum }}{% endfor %}", "limit", ""},
    {"{% for i in range(99999) %}{{ range(99999)|list|length }}{% endfor %}", "limit", ""},
    {"{% for i in range(99999) %}{{ range(99999)|max }}{% endfor %}", "limit", ""},
    {"{% for i in range(99999) %}{{ -1 in range(99999) }}{% endfor %}", NULL, ""}, /* Python looks no item at */
    {"{% for i in range(99999) %}{{ -1 in range(99999)|list }}{% endfor %}", "limit", ""},
    {"{% for i in range(99999) %}{{ range(99999)|map('string')|select('none')|list }}{% endfor %}", "limit", ""},
    {"{% for i in range(99999) %}{{ range(99999)|sort(reverse=true)|first }}{% endfor %}", "limit", ""},
    {"{% for i in range(99999) %}{{ 'y' in 'x' * 999999 }}{% endfor %}", "limit", ""},
    {"{% set s = 'x' * 999999 %}{% for i in range(99999) %}{{ 'y' in s }}{% endfor %}", "limit", ""},
    {"{% set s = 'x' * 999999 %}{% for i in range(99999) %}{{ s|length }}{% endfor %}", "limit", ""},
    {"{% set s = 'x' * 999999 %}{% for i in range(99999) %}{{ s[-1] }}{{ s[500000] }}{% endfor %}", "limit", ""},
    {"{% set s = 'x' * 999999 %}{% for i in range(99999) %}{{ s == s ~ '' }}{{ s|wordcount }}{% endfor %}", "limit", ""},
    {"{% set s = 'x' * 999999 %}{% for i in range(99999) %}{{ s.count('xy') }}{{ s.rfind('y') }}{{ s.isalpha() }}{% endfor %}",
     "limit", ""},
    {"{% set s = 'x' * 400000 %}{{ ('x' * 200000 ~ 'y') in s }}{{ (s ~ 'y').find('x' * 200000 ~ 'yy') }}", NULL, ""},
    {"{% set s = 'x' * 999999 %}{% set d = {s: 1} %}{% for i in range(99999) %}{{ d[s] }}{% endfor %}", "limit", ""},
    {"{% set s = '0' * 999999 %}{% for i in range(99999) %}{{ s|int }}{{ s|float }}{% endfor %}", "limit", ""},
    {"{% set s = ' ' * 999999 %}{% for i in range(99999) %}{{ s|trim }}{{ s.split() }}{% endfor %}", "limit", ""},
};
static const struct hostile recursions[] = {
    {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "limit", "deep"},
    {"{% macro f(x) %}{{ g(x) }}{% endmacro %}{% macro g(x) %}{{ f(x ~ x) }}{% endmacro %}{{ f('a') }}", "limit", ""},
    {"{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}", "limit", ""},
    {"{% macro f() %}{% if caller %}{% endif %}{% call f() %}{% endcall %}{% endmacro %}{{ f() }}", "limit", ""},
    {"{% macro f() %}{{ caller() }}{% endmacro %}{% macro g() %}{% call f() %}{{ g() }}{% endcall %}{% endmacro %}{{ g() }}",
     "limit", ""},
    {"{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "limit", ""},
    {"{% block b %}{{ self.b() }}{% endblock %}", "limit", ""},
    {"{% set f = namespace() %}{% macro m() %}{{ f.m() }}{% endmacro %}{% set f.m = m %}{{ m() }}", "limit", ""},
    {NEST "{{ n.s }}", "limit", "deep"},
    {NEST "{{ n.s|tojson }}", "limit", "deep"},
    {NEST "{{ n.s|string|length }}", "limit", "deep"},
    {NEST "{{ n.s == [n.s] }}", "limit", ""},
    {NEST "{{ n.s < [n.s] }}", "limit", ""},
    {NEST "{{ [n.s, n.s]|sort }}", "limit", ""},
    {NEST "{{ n.s|pprint }}", "limit", "deep"},
    {"{% set n = namespace(s=(1,)) %}{% for i in range(90000) %}{% set n.s = (n.s,) %}{% endfor %}{{ {n.s: 1} }}", "limit", ""},
    {BUSH "{{ n.s }}", "limit", ""},
    {BUSH "{{ n.s|tojson }}", "limit", ""},
    {BUSH "{{ n.s == n.t }}", "limit", ""},
    {BUSH "{{ n.s < n.t }}", "limit", ""},
    {BUSH "{{ n.s in [n.t] }}", "limit", ""},
    {BUSH "{{ [n.s, n.t]|unique|list }}", "type", ""}, /* lists cannot be hashed */
    {BUSH "{{ [n.s, n.t]|sort }}", "limit", ""},
    {BUSH "{{ [n.s, n.t].index(3) }}", "type", ""},
    {BUSH_DICT "{{ n.s }}", "limit", ""},
    {BUSH_DICT "{{ n.s|tojson }}", "limit", ""},
    {BUSH_DICT "{{ n.s|tojson(indent=4) }}", "limit", ""},
    {BUSH_TUPLE "{{ {n.s: 1}[n.t] }}", "limit", ""},
    {BUSH_TUPLE "{{ [n.s, n.t]|unique|list }}", "limit", ""},
    {BUSH_TUPLE "{{ '%s' % n.s }}", "limit", ""},
    {BUSH_TUPLE "{{ '%s' % [n.s] }}", "limit", ""},
    {BUSH_TUPLE "{{ '{}'.format(n.s) }}", "limit", ""},
};
static const struct hostile growths[] = {
    {"{{ 'x' * 1000000000 }}", "limit", ""},
    {"{{ 'x' * 9223372036854775807 }}", "limit", ""},
    {"{{ ('x' * 9223372036854775807)|length }}", "limit", ""},
    {"{{ 'x' * 4294967297 }}", "limit", ""},
    {"{{ ([0] * 1000000000)|length }}", "limit", ""},
    {"{{ ((1, 2) * 9223372036854775807)|length }}", "limit", ""},
    {"{{ 2 ** 10000000 }}", "limit", ""},
    {"{{ 10 ** 18 * 100 }}", "limit", ""},
    {"{{ 9223372036854775807 + 1 }}", "limit", ""},
    {"{{ range(100000)|join('x' * 10000) }}", "limit", ""},
    {"{{ ('x' * 1000000)|replace('x', 'y' * 1000000) }}", "limit", ""},
    {"{{ ('x' * 1000000)|replace('', 'y' * 1000000) }}", "limit", ""},
    {"{{ ('x' * 1000000).join('y' * 1000000) }}", "limit", ""},
    {"{{ 'x'|center(1000000000) }}", "limit", ""},
    {"{{ 'x'.ljust(9223372036854775807) }}", "limit", ""},
    {"{{ 'x'.rjust(1000000000) }}", "limit", ""},
    {"{{ 'x'.zfill(1000000000) }}", "limit", ""},
    {"{{ ('\\t' * 100000).expandtabs(1000000) }}", "limit", ""},
    {"{{ '\\t'.expandtabs(9223372036854775807) }}", "limit", ""},
    {"{{ '%1000000000d' % 1 }}", "limit", ""},
    {"{{ '%.1000000000f' % 1 }}", "limit", ""},
    {"{{ '%*d' % (1000000000, 1) }}", "limit", ""},
    {"{{ '{:1000000000}'.format(1) }}", "limit", ""},
    {"{{ '{:.1000000000f}'.format(1.5) }}", NULL, ""},
    {"{{ 'a\\nb'|indent(1000000000) }}", "limit", ""},
    {"{{ [{'a': 1}]|tojson(indent=1000000000) }}", "limit", ""},
    {"{{ [1]|batch(1000000000, 'x')|list }}", "limit", ""},
    {"{{ [1]|slice(1000000000, 'x')|list }}", "limit", ""},
    {"{{ ('<' * 1000000)|e|e|e|e|e|e|length }}", NULL, ""},
    {GROW("n.s ~ n.s"), "limit", ""},
    {GROW("n.s + n.s"), "limit", ""},
    {GROW("n.s * 2"), "limit", ""},
    {GROW("n.s|replace('a', 'aa')"), "limit", ""},
    {GROW("[n.s, n.s]|join(n.s)"), "limit", ""},
    {GROW("n.s|list + n.s|list"), "limit", ""},
    {GROW("'%s%s' % (n.s, n.s)"), "limit", ""},
    {GROW("'{0}{0}'.format(n.s)"), "limit", ""},
    {GROW("n.s|string|tojson"), "limit", ""},
    {GROW("n.s|e ~ '&'"), "limit", ""},
    {GROW("n.s|urlencode ~ '%'"), "limit", ""},
    {"{% set n = namespace(s=[1]) %}{% for i in range(90000) %}{% set n.s = n.s + n.s %}{% endfor %}", "limit", ""},
    {"{% set n = namespace(s={}) %}{% for i in range(90000) %}{% set n.s = dict(n.s, **{'k' ~ i: i}) %}{% endfor %}", "limit",
     ""},
    {"{% for i in range(90000) %}{% set x %}{{ 'x' * 100000 }}{% endset %}{% endfor %}", "limit", ""},
    {"{% for i in range(90000) %}0123456789012345678901234567890123456789{% endfor %}", "limit", "output"},
    {"{% for i in range(90000) %}{{ s }}{% endfor %}", "limit", "output",
     "{\"s\": \"0123456789012345678901234567890123456789\"}"},
    {"{% macro f(s) %}{{ s }}{{ s }}{% endmacro %}{% set n = namespace(s='ab') %}{% for i in range(99) %}{% set n.s = f(n.s) %}{% endfor %}",
     "limit", ""},
};

static double cpu_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static long rss_mib(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss >> 10;
}

static int render(struct str source, const char *context, struct err *e) {
    struct tmpl *t = NULL;
    struct tmpl_out out = {0};
    yyjson_doc *doc = yyjson_read(context, strlen(context), 0);
    int code = tmpl_new(source, &t, e);
    if (code == 0)
        code = tmpl_render(t, yyjson_doc_get_root(doc), NULL, STR("2026-01-31T12:00:00"), NULL, &out, e);
    tmpl_out_free(&out);
    tmpl_free(t);
    yyjson_doc_free(doc);
    return code;
}

static unsigned n_bad;

static void note(const char *source, const char *what, const struct err *e) {
    fprintf(stderr, "%.150s: %s (%s: %s)\n", source, what, e->where, e->msg);
    n_bad++;
}

/* Renders, and tells of what took too long, too much, or failed without a word. */
static int render_bounded(struct str source, const char *context, const char *name, long rss_mib_max, struct err *e) {
    double start = cpu_ms();
    int code = render(source, context, e);
    double took = cpu_ms() - start;
    if (code < 0 && !e->msg[0])
        note(name, "does not say why", e);
    if (took > CPU_MS_MAX * SLOWER)
        note(name, "took too long", e);
    if (took > 300)
        fprintf(stderr, "%.0f ms: %.100s\n", took, name);
    if (rss_mib() > rss_mib_max * BIGGER)
        note(name, "took too much memory", e);
    return code;
}

static void all_stop(const struct hostile *list, size_t n) {
    for (const struct hostile *h = list; h < list + n; h++) {
        struct err e = {0};
        int code = render_bounded(str_of(h->source), h->context ? h->context : "{}", h->source, RSS_MIB_MAX, &e);
        if (h->kind && code == 0)
            note(h->source, "did not stop", &e);
        else if (h->kind && strcmp(e.where, h->kind) != 0)
            note(h->source, "stopped for another reason", &e);
        else if (code < 0 && !strstr(e.msg, h->says))
            note(h->source, "says something else", &e);
    }
    assert_int_equal(n_bad, 0);
}

static void loops_stop(void **state) {
    (void)state;
    all_stop(loops, N_ITEMS(loops));
}

static void recursions_stop(void **state) {
    (void)state;
    all_stop(recursions, N_ITEMS(recursions));
}

static void growths_stop(void **state) {
    (void)state;
    all_stop(growths, N_ITEMS(growths));
}

/* Sources that nest or repeat one piece: refused or rendered, never a stack that overflows. */
static void sources_end(void **state) {
    static const struct {
        const char *front, *middle, *back, *tail; /* front, N times middle, back, N times tail */
    } pieces[] = {
        {"{{ ", "(", "1", ")"},
        {"{{ ", "[", "1", "]"},
        {"{{ ", "{'a': ", "1", "}"},
        {"{{ ", "not ", "1", ""},
        {"{{ ", "-", "1", ""},
        {"{{ ", "x[", "1", "]"},
        {"{{ ", "range(", "1", ")"},
        {"{{ ", "1 if 1 else ", "1", ""},
        {"{{ ", "1 if ", "1", " else 1"},
        {"{{ 1", "|string", "", ""},
        {"{{ 1", " is defined", "", ""},
        {"{{ 1", " + 1", "", ""},
        {"{{ 2", " ** 1", "", ""},
        {"{{ 'a'", " ~ 'a'", "", ""},
        {"{{ 1", " and 1", "", ""},
        {"{{ 1", " == 1", "", ""},
        {"{{ x", ".a", "", ""},
        {"{{ x", "[0]", "", ""},
        {"{{ x", "()", "", ""},
        {"{{ 'a'", " 'a'", "", ""},
        {"", "{% if 1 %}", "", "{% endif %}"},
        {"", "{% for x in [1] %}", "", "{% endfor %}"},
        {"", "{% if 1 %}{% else %}", "", "{% endif %}"},
        {"{% if 0 %}", "{% elif 0 %}", "", ""},
        {"", "{% macro m() %}", "", "{% endmacro %}"},
        {"", "{% set x %}", "", "{% endset %}"},
        {"", "{% filter trim %}", "", "{% endfilter %}"},
        {"", "{% with %}", "", "{% endwith %}"},
        {"", "{% call x() %}", "", "{% endcall %}"},
        {"", "{{", "", ""},
        {"", "{#", "", ""},
        {"", "{% raw %}", "", ""},
        {"", "{%", "", ""},
        {"{{ '", "\\", "", ""},
        {"{% set ", "(x,", "x", ")"},
        {"{% for ", "(x,", "x", ")"},
    };
    static const char *const ends[] = {"", " }}", " = 1 %}", " in [] %}{% endfor %}"};
    (void)state;
    for (size_t i = 0; i < N_ITEMS(pieces); i++)
        for (size_t k = 0; k < N_ITEMS(ends) * 2; k++) {
            size_t bytes = strlen(pieces[i].middle) + strlen(pieces[i].tail), n = k % 2 ? 150 : 200000 / bytes;
            struct buf source = {0};
            buf_z(&source, pieces[i].front);
            for (size_t j = 0; j < n; j++)
                buf_z(&source, pieces[i].middle);
            buf_z(&source, pieces[i].back);
            for (size_t j = 0; j < n; j++)
                buf_z(&source, pieces[i].tail);
            buf_z(&source, ends[k / 2]);
            struct err e = {0};
            (void)render_bounded(buf_as_str(&source), "{\"x\": 1}", pieces[i].middle, 2 * RSS_MIB_MAX, &e);
            buf_free(&source);
        }
    assert_int_equal(n_bad, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loops_stop),
        cmocka_unit_test(recursions_stop),
        cmocka_unit_test(growths_stop),
        cmocka_unit_test(sources_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
