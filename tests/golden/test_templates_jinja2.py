#!/usr/bin/env python3
"""Random templates beside jinja2: the same bytes, or both fail.

usage: test_templates_jinja2.py [--count N] [--seed S] [--moat PATH] [--data DIR] [-v]
jinja2 is set up by render.py of ../shared/templates, as for chat templates. What moat refuses on purpose (OURS) and what
Python prints with an address is not compared. Each template is a function of (seed, its number), so a failure can be asked for again.
"""
import argparse
import importlib.util
import json
import os
import pathlib
import random
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOW = "2025-03-14T15:09:26"
CONTEXT = {
    "s": "Hello, World", "e": "", "u": "Grüße ß İ ǆ ΑΣ\u00a0日本", "w": "  two  words \n and\tmore\r\nlines ", "h": "<b>&amp; \"q\" 'x'</b>", "d9": "12", "f5": " 3.5 ", "long": "lorem ipsum-dolor sit amet " * 4, "web": "see (http://a.com/x_(y)), www.b.org. me@c.net <tel:12>",
    "deep": {"list": [{"name": "get_weather", "args": {"city": "Zürich", "days": [1, 2, 3], "note": "a 'quoted' word and \"another\" one, and more and more words to the end of the line\nsecond line"}}] * 2, "k": list(range(40)), "3": None},
    "i": 7, "n": -3, "z": 0, "x": 2.5, "y": -0.1, "g": 1e20, "t": True, "none": None,
    "l": [3, 1, 2], "ls": ["b", "A", "c", "a"], "lm": [1, "a", None, 2.5, [1], {"k": 1}], "le": [], "ll": [[1, 2], [3], []],
    "o": [{"a": 2, "b": "x", "c": {"d": 1}}, {"a": 1, "b": "Y", "c": {"d": 2}}, {"a": 2, "b": "z"}], "d": {"b": 2, "a": 1, "C": 3}, "dd": {"k": {"v": [1, 2]}, "é": None, "s": "t"}, "de": {},
    "messages": [{"role": "system", "content": " sys "}, {"role": "user", "content": "hi <|x|>"}, {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {"p": 1.0, "q": [True]}}}]}],
}
STR, INT, FLOAT, LIST, DICT, BOOL = "s e u w h d9 f5 long web".split(), "i n z".split(), "x y g".split(), "l ls lm le ll o messages".split(), "d dd de deep".split(), ["t", "none"]
LITERALS = {
    "str": ["'a'", "\"it's\"", "'\\n'", "''", "' x '", "'é'", "'%s'", "'{}'", "'a,b,,c'", "'ab' 'cd'", "'\\\\'", "'12'", "'-1.5e3'", "'0x1f'", "'\\u00e9\\x41'", "'\\N'", "'\\101\\0'", "'\\q'", "'\\U0001f600'"],
    "int": ["0", "1", "-1", "3", "10", "255", "1_000", "0x1F", "0b101", "0o17", "9223372036854775807", "2"],
    "float": ["1.0", "0.1", "-2.5", "1e3", "1.5e-7", "1e22", "3.14159", "1e16", "123456789.125", "0.5"],
    "list": ["[]", "[1, 2, 3]", "['b', 'a']", "(1, 'a')", "()", "(1,)", "range(4)", "range(5, 0, -2)", "[1.0, 1, true]", "[none, '']", "[[1, 'x'], [2, 'y']]"],
    "dict": ["{}", "{'a': 1}", "{'x': [1], 'y': {'z': none}}", "{1: 'i', 'k': 2.0}", "dict(a=1, b='x')", "dict([('p', 1)])"],
    "bool": ["true", "false", "True", "False", "none", "None"],
}
# What moat refuses and says so (docs/templates.md): 64 bits, complex numbers, slices of constants that have none.
OURS = ["limit:", "complex numbers", "subscriptable by a slice"]
KINDS = list(LITERALS)
STR_FILTERS = ["upper", "lower", "title", "capitalize", "trim", "trim('H')", "length", "reverse", "list", "first", "last", "wordcount", "e", "escape", "forceescape", "safe", "striptags", "urlencode", "string", "int", "float", "tojson",
               "replace('l', 'L')", "replace('', '-')", "replace('o', '', 1)", "center(20)", "indent", "indent(2, true)", "indent('> ', blank=true)", "truncate(9)", "truncate(9, true)", "truncate(5, false, '')", "truncate(10, leeway=0)",
               "wordwrap(10)", "wordwrap(5, false)", "wordwrap(8, wrapstring='|')", "wordwrap(12, break_on_hyphens=false)", "default('d')", "d('d', true)", "unique|join", "sort|join", "batch(3)|list", "slice(3)|list", "join('-')", "min", "max", "map('upper')|join", "select('in', 'aeiou')|join",
               "int(5)", "int(0, 16)", "float(1.5)", "format(1)", "format('x')", "count", "pprint", "abs", "round", "items|list", "filesizeformat",
               "urlize", "urlize(8)", "urlize(6, true, '_blank')", "urlize(rel='b a', extra_schemes=['tel:'])", "random is string", "wordwrap(3)|pprint", "list|pprint"]
LIST_FILTERS = ["length", "first", "last", "join", "join(', ')", "join('-', attribute='a')", "sort", "sort(reverse=true)", "sort(case_sensitive=true)", "sort(attribute='a')", "sort(attribute='b,a')", "reverse|list", "unique|list", "unique(true)|list", "unique(attribute='a')|list",
                "list", "min", "max", "min(attribute='a')", "max(attribute='a')", "sum", "sum(attribute='a')", "sum(start=5)", "sum('c.d')", "batch(2)|list", "batch(2, '-')|list", "slice(2)|list", "slice(3, 0)|list", "map('string')|list", "map('upper')|join", "map(attribute='a')|list",
                "map(attribute='b', default='?')|list", "map(attribute='c.d')|list", "map(attribute='c.d', default=0)|list", "map('default', 'x')|list", "select|list", "select('odd')|list", "select('string')|list", "reject('none')|list", "reject|list", "select('number')|list", "selectattr('a')|list",
                "selectattr('a', 'eq', 2)|list", "selectattr('c', 'defined')|list", "rejectattr('b', 'equalto', 'x')|list", "rejectattr('a', 'gt', 1)|list", "groupby('a')", "groupby('b')|map('first')|list", "groupby('c.d', default=0)", "groupby('b', case_sensitive=true)", "tojson", "tojson(indent=2)", "tojson(separators=(',', ':'))",
                "string", "default([])", "map('tojson')|join", "map('length')|list", "map('first')|list", "dictsort", "pprint", "tojson(sort_keys=true)", "map('int')|list", "map('round', 1)|list", "xmlattr", "attr('x')", "count", "urlencode", "center", "map(attribute=0)|list", "selectattr('0')|list", "random is defined", "map('pprint')|list", "map('urlize')|join"]
DICT_FILTERS = ["length", "list", "items|list", "dictsort", "dictsort(true)", "dictsort(by='value')", "dictsort(false, 'value', true)", "tojson", "tojson(indent=4)", "tojson(sort_keys=true)", "first", "join(',')", "string", "xmlattr", "xmlattr(false)", "urlencode", "sort", "min", "max", "map('upper')|list", "default('x')",
                "tojson(indent=1, separators=(', ', ':'))", "last", "reverse|list", "unique|list", "count", "attr('a')", "pprint", "sum", "batch(2)|list", "tojson(ensure_ascii=true)", "dictsort|pprint"]
NUM_FILTERS = ["abs", "round", "round(1)", "round(1, 'floor')", "round(0, 'ceil')", "round(-1)", "int", "float", "string", "tojson", "filesizeformat", "filesizeformat(true)", "default(1)", "string|length", "upper", "e", "center(9)", "pprint", "round(2)|string", "list", "format"]
FILTERS = {"str": STR_FILTERS, "list": LIST_FILTERS, "dict": DICT_FILTERS, "int": NUM_FILTERS, "float": NUM_FILTERS, "bool": ["default('x')", "default('x', true)", "string", "tojson", "int", "abs", "upper", "list", "d(1, boolean=true)"]}
STR_METHODS = ["upper()", "lower()", "title()", "capitalize()", "swapcase()", "casefold()", "strip()", "lstrip()", "rstrip('d')", "strip('Hd')", "split()", "split(' ')", "split('l', 1)", "rsplit(None, 1)", "rsplit('o', 1)", "splitlines()", "splitlines(true)", "partition('o')", "rpartition(' ')", "startswith('H')", "endswith(('d', 'x'))",
               "startswith('e', 1)", "find('o')", "find('o', 5)", "rfind('o')", "index('l')", "count('l')", "count('')", "replace('l', 'r')", "replace('l', 'r', 1)", "join(['a', 'b'])", "join('xyz')", "join([1])", "isdigit()", "isalpha()", "isalnum()", "isspace()", "isupper()", "islower()", "istitle()", "isdecimal()", "isnumeric()", "isidentifier()",
               "isprintable()", "isascii()", "zfill(8)", "ljust(8, '*')", "rjust(15)", "center(15, '-')", "removeprefix('He')", "removesuffix('ld')", "expandtabs(4)", "format(1, a=2)", "encode", "upper", "nope", "nope()", "__class__", "format_map({'a': 1})", "split('')", "rindex('zz')", "find('l', -4, -1)", "lstrip(' t')", "rjust(3, 'ab')", "translate({108: 'L', 72: none, 111: 48})",
               "encode()", "encode('ascii', 'replace')", "encode('latin-1', 'backslashreplace')|list", "encode()[1:3]", "encode()|length", "encode().decode()", "encode('latin-1', 'ignore').decode('utf-8', 'replace')",
               "encode().hex()", "encode() + 'a'.encode()", "encode()|upper", "encode()[0]", "encode('utf8') * 2", "encode('ascii')", "encode()|tojson", "encode('ascii', 'xmlcharrefreplace')[::-2]", "encode()|int", "encode().decode('ascii', 'ignore')", "encode() == 'a'.encode()", "encode()|sort",
               "encode().decode('ascii', 'backslashreplace')", "encode() is sequence", "encode()|join('.')", "encode()|first", "encode()|last", "translate('x'.maketrans('lo', 'LO'))", "translate(''.maketrans({'l': '<', 100: none}))", "maketrans('ab', 'cd', 'e')", "translate('abc')", "translate(l)", "translate(d)", "translate(none)", "maketrans('a')", "maketrans('a', 'bc')"]
LIST_METHODS = ["index(1)", "count(1)", "append(1)", "pop()", "copy()", "nope", "sort()", "insert(0, 1)", "index('a', 1)", "extend([1])"]
DICT_METHODS = ["keys()|list", "values()|list", "items()|list", "get('a')", "get('zz')", "get('zz', 5)", "a", "b", "k.v", "zz", "copy()", "update({})", "pop('a')", "items()", "keys()", "values()", "setdefault('q', 1)", "get(1)", "zz.y", "fromkeys(['a'])"]
METHODS = {"str": STR_METHODS, "list": LIST_METHODS, "dict": DICT_METHODS}
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "mapping", "iterable", "sequence", "boolean", "true", "false", "callable", "odd", "even", "divisibleby(3)", "eq(1)", "equalto('a')", "ne 2", "gt 1", "ge(2)", "lt(3)", "le 0", "greaterthan(0)", "lessthan 9", "in [1, 'a', 7]", "in(s)", "sameas(true)",
         "sameas none", "lower", "upper", "escaped", "filter", "test", "not none", "not defined", "not in l", "==(1)", "in ls"]
FORMATS = ["'%s|%5s|%-5s|' % (A, B, A)", "'%r' % [A]", "'%d' % A", "'%05d' % A", "'%+.2f' % A", "'%x' % A", "'%e' % A", "'%g' % A", "'%c' % A", "'%%%s' % A", "'%(k)s' % {'k': A}", "'%5.1f%%' % A", "'{} {}'.format(A, B)", "'{1}{0}'.format(A, B)", "'{a!r:>8}'.format(a=A)", "'{:>8}|{:<8}|{:^8}'.format(A, B, A)",
           "'{:,}'.format(A)", "'{:.3f}'.format(A)", "'{:08.2f}'.format(A)", "'{:+d}'.format(A)", "'{:#x}'.format(A)", "'{:%}'.format(A)", "'{:e}'.format(A)", "'{:g}'.format(A)", "'{0[0]}'.format(A)", "'{x.y}'.format(x=A)", "'{{}}{}'.format(A)", "'{:{}}'.format(A, 9)", "'%s'|format(A)", "'%s %s'|format(A, B)", "'%o' % A", "'%*d' % (5, A)",
           "'%i %u' % (A, B)", "'{:c}'.format(A)", "'{:b}'.format(A)", "'{!s:.2}'.format(A)", "'{:_}'.format(A)", "'{:*^+9.1f}'.format(A)", "'%.3s' % A", "'% d' % A", "'%#x' % A", "'%a' % A", "'{:n}'.format(A)", "'{:G}'.format(A)"]


class Maker:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.names = []

    def pick(self, options):
        return self.r.choice(options)

    def value(self, kind):
        names = {"str": STR, "int": INT, "float": FLOAT, "list": LIST, "dict": DICT, "bool": BOOL}[kind]
        return self.pick(names) if self.r.random() < 0.6 else self.pick(LITERALS[kind])

    def any(self, depth=1):
        return self.expr(self.pick(KINDS), depth)

    def path(self):
        return self.pick(["o[0].a", "o[1]['b']", "o[2].c", "o[2].c.d", "messages[1].content", "messages[-1]['tool_calls'][0].function.arguments", "dd.k.v[1]", "dd['k']['v']", "missing", "missing.x", "d['zz']", "l[9]", "s[3]", "s.x", "l.0", "ll[0][1]", "messages|length", "d.items", "o[0]['a']", "i.real", "x.imag", "loop", "self"])

    def index(self, base):
        return f"{base}[{self.pick(['0', '-1', '1:', ':2', '::-1', '-3:-1', '::2', '5', '1:9', ':-1', '2::-1', ':', 'z', 'i', chr(39) + 'a' + chr(39), 'none:2', '9:1:-1', '::-2'])}]"

    def expr(self, kind, depth):
        if depth <= 0:
            return self.value(kind)
        choice = self.r.random()
        inner = self.expr(kind, depth - 1)
        bare = inner if inner.replace("_", "a").isalnum() and not inner[0].isdigit() else f"({inner})"
        if choice < 0.28:
            return f"{bare}|{self.pick(FILTERS[kind])}"
        if choice < 0.42 and kind in METHODS:
            return f"{bare}.{self.pick(METHODS[kind])}"
        if choice < 0.50 and kind in ("str", "list"):
            return self.index(bare)
        if choice < 0.60:
            return f"{bare} {self.operation(kind, depth)}"
        if choice < 0.68:
            return f"{bare} {self.comparison(kind, depth)}"
        if choice < 0.76:
            return f"{bare} is {self.pick(TESTS)}"
        if choice < 0.81:
            return f"({bare} if {self.any(depth - 1)} else {self.any(depth - 1)})" if self.r.random() < 0.8 else f"({bare} if {self.any(depth - 1)})"
        if choice < 0.88:
            return self.pick(FORMATS).replace("A", self.any(0)).replace("B", self.any(0))
        if choice < 0.92:
            return self.pick(["not ", "-", "+"]) + inner
        if choice < 0.96:
            return self.pick([f"[{inner}, {self.any(depth - 1)}]", f"({inner},)", f"{{'k': {inner}}}", f"({inner}, {self.any(0)})", f"{{{self.any(0)}: {inner}}}", f"dict(k={inner})", f"namespace(q={inner}).q", f"cycler({inner}, 1).next()"])
        return self.path()

    def operation(self, kind, depth):
        """An operator and what stands right of it: most of the time one that the kind takes."""
        if self.r.random() < 0.1:
            return f"{self.pick(['+', '-', '*', '/', '//', '%', '**', '~'])} {self.any(depth - 1)}"
        if kind in ("int", "float"):
            return f"{self.pick(['+', '-', '*', '/', '//', '%', '**', '~'])} {self.value(self.pick(['int', 'float']))}"
        if kind in ("str", "list") and self.r.random() < 0.6:
            return self.pick([f"+ {self.value(kind)}", f"* {self.pick(['2', 'z', 'n', '3', 't'])}"])
        return f"~ {self.any(depth - 1)}"

    def comparison(self, kind, depth):
        if self.r.random() < 0.1:
            return f"{self.pick(['<', '<=', '>', '>=', 'in', 'not in'])} {self.any(depth - 1)}"
        if kind in ("int", "float", "str") and self.r.random() < 0.5:
            return f"{self.pick(['<', '<=', '>', '>='])} {self.value(kind)}"
        return f"{self.pick(['==', '!=', 'and', 'or'])} {self.any(depth - 1)}" if self.r.random() < 0.7 else f"{self.pick(['in', 'not in'])} {self.value('list')}"

    def data(self):
        return self.pick(["text", " ", "\n", "  \n", "a\nb", "\n\n", "<|im_start|>", "é", "\t", "{ ", "} ", "# ", "%", "a  ", "\r\n", "'q'"])

    def tag(self, text):
        return "{%" + self.pick(["", "", "", "-", "+"]) + f" {text} " + self.pick(["", "", "", "-", "+"]) + "%}"

    def out(self, depth):
        return "{{" + self.pick(["", "", "", "-"]) + f" {self.any(depth)} " + self.pick(["", "", "", "-"]) + "}}"

    def body(self, depth, names=()):
        parts = []
        for _ in range(self.r.randint(1, 2)):
            parts.append(self.statement(depth - 1, names) if self.r.random() < 0.7 else self.data())
        return "".join(parts)

    def use(self, names):
        return "{{ " + self.pick(list(names)) + self.pick(["", "|string", "|length", " ~ '.'", "|tojson", "|default('?')", "|upper", " is defined", "|list"]) + " }}" if names else self.out(1)

    def statement(self, depth, names=()):
        r = self.r.random()
        if depth <= 0 or r < 0.25:
            return self.use(names) if names and self.r.random() < 0.5 else self.out(2)
        if r < 0.37:
            middle = self.tag(f"elif {self.any(1)}") + self.body(depth, names) if self.r.random() < 0.3 else ""
            last = self.tag("else") + self.body(depth, names) if self.r.random() < 0.5 else ""
            return self.tag(f"if {self.any(2)}") + self.body(depth, names) + middle + last + self.tag("endif")
        if r < 0.58:
            return self.loop(depth, names)
        if r < 0.66:
            return self.tag(f"set v = {self.any(2)}") + self.use((*names, "v")) if self.r.random() < 0.7 else self.tag("set v" + self.pick(["", " | upper", " | trim | length"])) + self.body(depth, names) + self.tag("endset") + self.use(("v",))
        if r < 0.74:
            return self.macro(depth, names)
        if r < 0.79:
            return self.tag("set ns = namespace(c=0, t='')") + self.tag(f"for q in {self.expr('list', 1)}") + self.tag(f"set ns.{self.pick(['c = ns.c + 1', 't = ns.t ~ q', 't = q', 'c = loop.index'])}") + self.body(depth - 1, (*names, "q", "ns.c")) + self.tag("endfor") + "{{ ns.c }}{{ ns.t }}"
        if r < 0.84:
            return self.tag(f"filter {self.pick(['upper', 'trim', 'replace(' + chr(39) + 'a' + chr(39) + ', 1)', 'indent', 'e', 'length', 'title', 'center(30)', 'wordwrap(7)', 'upper|lower'])}") + self.body(depth, names) + self.tag("endfilter")
        if r < 0.89:
            return self.tag(self.pick([f"with m = {self.any(1)}", f"with m = {self.any(1)}, k = m", "with"])) + self.body(depth, (*names, "m")) + self.tag("endwith")
        if r < 0.92:
            return self.tag("raw") + self.pick(["{{ x }}", "{% if %}", "{# c #}", "\n a "]) + self.tag("endraw")
        if r < 0.95:
            return "{#" + self.pick(["", "-"]) + " note {{ x }} " + self.pick(["", "-"]) + "#}" + self.data()
        if r < 0.97:
            return self.tag("autoescape " + self.pick(["true", "false"])) + self.body(depth, names) + self.tag("endautoescape")
        if r < 0.985:
            return self.tag("generation") + self.body(depth, names) + self.tag("endgeneration")
        return "{{ strftime_now('" + self.pick(["%Y-%m-%d", "%d %b %Y", "%H:%M:%S", "%A, %j", "%-d/%-m", "%y %p %I", "%B %e", "%U %w %%", "%c", "%x %X", "%10d|%-5d|%_4m", "%^a %#p %12A", "%Ey %Od %EQ", "%5Y %s"]) + "') }}"

    def loop(self, depth, names):
        shape = self.r.random()
        extra = self.pick(["", "", "", " if x", " if loop is defined", " if x is string", " if x != 1", " if x is not none"])
        if shape < 0.6:
            head, inner = f"for x in {self.expr(self.pick(['list', 'list', 'list', 'dict', 'str']), 1)}{extra}", "x"
        elif shape < 0.8:
            head, inner = f"for k, x in {self.expr('dict', 0)}.items()", "k"
        elif shape < 0.9:
            head, inner = f"for k, x in {self.pick(['ll', '[(1, 2), (3, 4)]', 'd|dictsort', 'o|groupby(' + chr(39) + 'a' + chr(39) + ')', 'dd|items'])}", "k"
        else:
            head, inner = "for x in [[1, [2]], 3, []] recursive", "x"
            return self.tag(head) + "{{ loop.depth }}" + self.tag("if x is sequence") + self.pick(["{{ loop(x) }}", "<{{ loop(x) }}>"]) + self.tag("else") + self.body(1, ("x",)) + self.tag("endif") + self.tag("endfor")
        loops = ["loop.index", "loop.index0", "loop.first", "loop.last", "loop.length", "loop.revindex", "loop.revindex0", "loop.previtem", "loop.nextitem", "loop.cycle('a', 'b')", "loop.changed(x)", "loop.depth", "loop.depth0", "loop.previtem is defined", "loop.nextitem|default('-')"]
        cut = self.tag(f"if {self.pick(['loop.index > 2', 'x == 1', 'loop.first', 'not x'])}") + self.tag(self.pick(["break", "continue"])) + self.tag("endif") if self.r.random() < 0.3 else ""
        last = self.tag("else") + self.body(depth - 1, names) if self.r.random() < 0.25 else ""
        return self.tag(head) + cut + "{{ " + self.pick(loops) + " }}" + self.body(depth, (*names, "x", inner, self.pick(loops))) + last + self.tag("endfor")

    def macro(self, depth, names):
        head = self.pick(["mac(p)", "mac(p, q=2)", "mac(p='d', q=p)", "mac()", "mac(p, q=[1], r={})"])
        body = self.body(depth, ("p", "q")) + self.pick(["", "{{ varargs }}", "{{ kwargs }}", "{{ caller() }}", "{{ caller(1) if caller else '-' }}", "{{ varargs|length }}{{ kwargs|length }}", "{{ mac.name }}{{ mac.arguments }}{{ mac.catch_varargs }}"])
        call = self.pick(["mac()", f"mac({self.any(1)})", f"mac({self.any(0)}, {self.any(0)})", f"mac(q={self.any(0)})", f"mac(*{self.value('list')})", "mac(**{'p': 1})", f"mac({self.any(0)}, 2, 3, z=4)"])
        used = self.tag("call" + self.pick(["", "(c)"]) + f" {call}") + self.body(1, ("c",)) + self.tag("endcall") if self.r.random() < 0.35 else "{{ " + call + self.pick(["", "|upper", "|trim ~ '!'", "|length"]) + " }}"
        return self.tag(f"macro {head}") + body + self.tag("endmacro") + used

    def template(self):
        return "".join(self.statement(3) if self.r.random() < 0.75 else self.data() for _ in range(self.r.randint(1, 2)))


def load_reference(folder):
    spec = importlib.util.spec_from_file_location("render", folder / "render.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--moat", default=os.environ.get("MOAT", ROOT / "build" / "moat"))
    parser.add_argument("--data", default=ROOT.parent / "shared" / "templates", type=pathlib.Path)
    parser.add_argument("-v", action="store_true")
    args = parser.parse_args()
    if not (args.data / "render.py").exists():
        print(f"no reference at {args.data}\n0 passed, 0 failed, 1 skipped")
        return 0
    sys.set_int_max_str_digits(0)
    reference = load_reference(args.data)
    env = reference.environment(NOW)
    sources = [Maker(f"{args.seed}/{i}").template() for i in range(args.count)]
    lines = "".join(json.dumps({"template": s, "context": CONTEXT, "now": NOW}, ensure_ascii=False) + "\n" for s in sources)
    done = subprocess.run([args.moat, "render", "--jsonl"], input=lines.encode(), stdout=subprocess.PIPE)
    answers = [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]
    same = errors = left_out = failed = 0
    if len(answers) != len(sources):
        print(f"moat ended after {len(answers)} templates: {sources[len(answers)]!r}")
        failed += 1
    for i, (source, got) in enumerate(zip(sources, answers)):
        try:
            want = {"output": env.from_string(source).render(**CONTEXT)}
        except Exception as e:
            want = {"error": {"kind": reference.kind_of(e), "message": str(e)}}
        if any(what in got.get("error", "") for what in OURS) or " at 0x" in want.get("output", "").lower():
            left_out += 1
        elif "error" in want and "error" in got:
            errors += 1
        elif want.get("output") == got.get("output") and "error" not in got and "error" not in want:
            same += 1
        else:
            failed += 1
            if args.v or failed <= 10:
                print(f"#{i}: {source!r}\n   want {want.get('output', want)!r}\n   got  {got.get('output', got)!r}")
    print(f"beside jinja2: {same} outputs equal, {errors} errors in both, {left_out} left out")
    print(f"{same + errors} passed, {failed} failed, 0 skipped")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
