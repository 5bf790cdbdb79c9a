#!/usr/bin/env python3
"""Control tokens that a user types never become the template's, for every chat template of ../shared/templates.

usage: test_template_origins.py [--moat PATH] [--data DIR]
1. Templates: a template's own spelling of a token is changed (to RESPELLED), the token and the new spelling are put into every
   string of the request (and into the names of tool arguments). Wherever the token shows up in the output, the user wrote it:
   each of its bytes must be of the request.
2. Recombined: every token of every template goes through expressions that take it apart and put it together again. Bytes that
   come from the request alone are the request's; where the template adds some, the token is never all the template's.
3. Ids: the same through a tokenizer; no control token's id comes out that does not come out without the user's text.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOW = "2025-03-14T15:09:26"
TOKEN = re.compile(r"<\|[^|<>{}'\"]{1,40}\|>|<｜[^｜<>{}'\"]{1,40}｜>|</?[A-Za-z_][\w:.-]{0,40}>|\[/?[A-Z][A-Z_ ]{1,40}\]|<</?SYS>>|<\|[a-z_]+>|<[a-z_]+\|>")
CLASSICAL = ["<|im_start|>", "<|im_end|>", "<s>", "</s>", "[INST]", "[/INST]", "<|eot_id|>", "<|endoftext|>"]
GAP = "§"

# What only takes apart and joins: no byte of the token may come out as the template's.
PURE = """content|trim;content.strip();content[:3] + content[3:];content[:1] ~ content[1:];content|first ~ content[1:];content|list|join
content|list|join('');gap.replace('§', '');gap|replace('§', '');gap.split('§')|join;gap.split('§', 2)|join|replace('§', '')
gap.rsplit('§')|join('');gap.partition('§')|join|replace('§', '');content[::-1][::-1];content|reverse|reverse;(content ~ '!')[:-1]
('«' + content + '»')[1:-1];content|tojson;[content]|tojson;{'a': content}|tojson;{content: 1}|tojson;d|tojson;[content];{'a': content}
{content: content};(content, content);d;d|items|list;d.keys()|list;d.values()|first;d|dictsort;content|string;content|safe;content|pprint
'%s' % content;'%s' % (content,);'%s'|format(content);'%(x)s'|format(x=content);'{}'.format(content);'{0[0]}'.format([content])
'{a}'.format(a=content);'{!r}'.format(content);'{:>60}'.format(content);'%60s' % content;'%.99s' % content;content.format();content % ()
content|upper|lower;content|lower;content|title;content.title();content|capitalize;content.swapcase().swapcase();content.casefold()
content|batch(2)|map('join')|join;content|slice(3)|map('join')|join;content|center(80);content|indent(2, true);content.ljust(70)
content.rjust(70);content.zfill(70);content|truncate(500);content|truncate(60, true);content|wordwrap(500);content.expandtabs()
content|select|join;content|map('string')|join;content|map('upper')|map('lower')|join
pieces|join;pieces|sum(start='') if false else pieces|join;pieces[:2]|join ~ pieces[2:]|join;(pieces + [])|join;pieces|map('trim')|join
pieces|reverse|list|reverse|join;pieces|batch(3)|map('join')|join;content.removeprefix('zz').removesuffix('zz');content.splitlines()|join
content.join(['', '']);''.join(pieces);[content, content]|join;content * 2;content|default('x');nothing|default(content);nothing or content
content and content;(content, 1)|first;[content]|last;[content]|min;[content]|max;[content]|unique|first;[content]|sort|first
[{'a': content}]|map(attribute='a')|first;[{'a': content}]|groupby('a')|first|first;[{'a': content}]|selectattr('a')|list;'x'|int(content)
nothing|d(content);'x'|float(content);cycler(content).next();namespace(a=content).a;dict(a=content).a;dict(d);strftime_now(content)
content if content else '';[content][0];{'k': content}['k'];{'k': content}.get('k');{}.get('k', content);d.get(content);d[content]
content|urlencode;content|xmlattr if false else content;[content]|string;content|list|string;content|replace(content, content)
content|replace('zz', 'yy');'zz'|replace('zz', content);'a'.replace('', content);gap|replace('§', '', 99);content|reject('none')|join
content|pprint;[content]|pprint;{content: [content] * 9}|pprint;[content * 9]|pprint;([content] * 40)|pprint;(content ~ ' ') * 20|pprint;((content ~ ' ') * 20)|pprint;{'a': content, 'b': d}|pprint
content.translate({});content.translate({167: none});gap.translate({167: none});gap.translate(''.maketrans('', '', '§'));content.translate(''.maketrans(content, content))
content.translate(''.maketrans({}));'a'.translate({97: content});'a'.translate(''.maketrans({'a': content}));''.join(pieces).translate('');content.translate([])
('ab' * 40)[:content|length].translate(''.maketrans('ab', 'ba')) ~ content;content.encode().decode();content.encode('latin-1', 'ignore').decode('latin-1');content.encode()[:3].decode('ascii', 'ignore') ~ content.encode()[3:].decode('ascii', 'ignore')
(content.encode() + ''.encode()).decode();content.encode('ascii', 'backslashreplace').decode();(content.encode() * 2).decode();content.encode();content.encode()[::-1][::-1].decode();[content]|random;pieces|random ~ content
{content.encode(): 1};content|string|random ~ content;(content ~ '.com')|safe|urlize;(content|safe)|urlize;strftime_now(content ~ '%Y')
strftime_now('%10' ~ content);content|sort|join if false else content;content|truncate(99, leeway=0);[content]|truncate(9)"""
STATEMENTS = ["{% for c in content %}{{ c }}{% endfor %}", "{% for c in content|list %}{{ c }}{% endfor %}", "{% set x %}{{ content }}{% endset %}{{ x }}",
              "{% set x %}{{ content }}{% endset %}{{ x|trim ~ x }}", "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(content) }}{{ m(content)|trim }}",
              "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{{ content }}{% endcall %}", "{% filter trim %} {{ content }} {% endfilter %}",
              "{% filter replace('§', '') %}{{ gap }}{% endfilter %}", "{% set n = namespace(s='') %}{% for c in content %}{% set n.s = n.s ~ c %}{% endfor %}{{ n.s }}",
              "{% set n = namespace(s='') %}{% for c in content %}{% set n.s = n.s + c %}{% endfor %}{{ n.s[:4] }}{{ n.s[4:] }}",
              "{% with x = content %}{{ x }}{% endwith %}", "{% set j = joiner(content) %}{{ j() }}{{ j() }}{{ j() }}", "{% block b %}{{ content }}{% endblock %}{{ self.b() }}",
              "{% for c in [content] recursive %}{{ c }}{{ loop([]) }}{% endfor %}", "{% autoescape true %}{{ content|safe }}{{ content }}{% endautoescape %}",
              "{% for k, v in d.items() %}{{ k }}{{ v }}{% endfor %}", "{% for c in content %}{{ c if loop.first else c }}{{ loop.cycle('') }}{% endfor %}",
              "{% set a, b = content[:2], content[2:] %}{{ a }}{{ b }}", "{% generation %}{{ content }}{% endgeneration %}", "{% autoescape true %}{% for c in [[content]] recursive %}{{ loop(c) if c is not string else c|safe }}{% endfor %}{% endautoescape %}",
              "{% set t = ''.maketrans('abcdefghijklmno', (content ~ 'abcdefghijklmno')[:15]) %}{{ 'abcdefghijklmno'.translate(t) }}", "{% for c in content.encode() %}{{ [c] }}{% endfor %}{{ content }}",
              "{% set t = ''.maketrans('abcdefghijklmno', (content ~ 'abcdefghijklmno')[:15]) %}{% for c in 'abcdefghijklmno' %}{{ c.translate(t) }}{% endfor %}"]
# The template writes a part of the token itself.
MIXED = ["content|e|striptags", "content|forceescape|striptags", "content.split('|')|join('|')", "content.split('_')|join('_')", "'<' ~ content[1:]", "content[:-1] ~ '>'", "content[:-1] + '>'", "content[:1] ~ '|' ~ content[2:]",
         "'[' ~ content[1:-1] ~ ']'", "'<|%s|>' % content[2:-2]", "'<|{}|>'.format(content[2:-2])", "'</s'|replace('s', content[2:])", "content|replace('<', '<')",
         "content|replace('|', '|')|replace('>', '>')", "content[1:]|indent('<', true)", "[content[:2], content[3:]]|join(content[2])", "'<' ~ content[1:-1]|lower ~ '>'", "'<§'.translate({167: content[1:]})", "content.translate({60: '<', 62: '>'})", "content.translate({60: 60, 62: 62, 124: 124})", "('<'.encode() + content[1:].encode()).decode()",
         "content|safe|urlize|striptags", "('http://' ~ content ~ '.com')|safe|urlize|striptags", "content|safe|urlize", "('http://a.b/' ~ content)|safe|urlize", "content.translate(''.maketrans('<|>', '<|>'))"]


def render(moat, lines, *options):
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    done = subprocess.run([moat, "render", *options, "--jsonl"], input=text.encode("utf-8", "surrogatepass"), stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]


def origins_of(got, token):
    """The origins of the bytes of each occurrence."""
    origins = "".join(origin * len(text) for origin, text in got["segments"])
    at = got["output"].find(token)
    while at >= 0:
        yield origins[at:at + len(token)]
        at = got["output"].find(token, at + 1)


def respelled(token):
    return token[:2] + "~" + token[2:]


def typed(value, text, in_names=False):
    """The value with text in every string, and in names where tools have theirs. What decides branches stays: roles and types."""
    if isinstance(value, str):
        return value + text if value else value
    if isinstance(value, list):
        return [typed(v, text) for v in value]
    if isinstance(value, dict):
        return {k + text if in_names else k: v if k in ("role", "type") else typed(v, text, k in ("arguments", "properties")) for k, v in value.items()}
    return value


class Tally:
    def __init__(self):
        self.passed = self.failed = self.seen = 0

    def add(self, name, origins, bad):
        origins = list(origins)
        wrong = [o for o in origins if bad(o)]
        self.seen += len(origins)
        self.passed += not wrong
        self.failed += bool(wrong)
        if wrong and self.failed <= 20:
            print(f"FAIL {name}: origins {wrong[0]}")


def has_template(origins):
    return "t" in origins


def all_template(origins):
    return "r" not in origins


def check_templates(moat, folder, tally, found):
    for path in sorted(folder.glob("*.jinja")):
        template = path.read_bytes().decode()
        cases = [c for c in json.loads(path.with_suffix(".json").read_text()) if "output" in c]
        tokens = sorted(set(TOKEN.findall(template)))
        found.update(tokens)
        jobs = [([t], cases[(i + k) % len(cases)]) for i, t in enumerate(tokens + CLASSICAL) for k in range(3)] + [(tokens + CLASSICAL, c) for c in cases]
        lines = []
        for group, case in jobs:
            changed = template
            for t in group:
                changed = changed.replace(t, respelled(t))
            text = "".join(t + " " + respelled(t) + t for t in group)
            lines.append({"template": changed, "context": typed(case["input"], text), "now": case.get("now", NOW)})
        for (group, case), got in zip(jobs, render(moat, lines)):
            if "error" not in got:
                for t in group:
                    tally.add(f"{path.stem}/{case['case']}, {t}", origins_of(got, t), has_template)


def check_recombined(moat, tokens, tally):
    pure = ["{{ " + e + " }}" for line in PURE.split("\n") for e in line.split(";")] + STATEMENTS
    jobs = [(t, source, has_template) for t in tokens for source in pure] + [(t, "{{ " + e + " }}", all_template) for t in tokens for e in MIXED]
    got_any = set()
    lines = [{"template": source, "context": {"content": t, "gap": GAP.join(t), "pieces": list(t), "d": {t: t}}, "now": NOW} for t, source, _ in jobs]
    for (t, source, bad), got in zip(jobs, render(moat, lines)):
        origins = list(origins_of(got, t)) if "error" not in got else []
        tally.add(f"{source} of {t}", origins, bad)
        if origins:
            got_any.add(source)
    return len(got_any)


def check_ids(moat, model, tally):
    """Renders with the token typed and with plain text in its place: as many ids of control tokens."""
    controls = [t for t in CLASSICAL if len(json.loads(subprocess.run([moat, "render", model, "--ids", "--jsonl"], stdout=subprocess.PIPE, check=True, text=True,
                input=json.dumps({"template": t, "context": {}})).stdout)["ids"]) == 1]
    sources = ["<|im_start|>user\n" + s + "<|im_end|>" for s in ["{{ " + e + " }}" for line in PURE.split("\n") for e in line.split(";")] + STATEMENTS + ["{{ " + e + " }}" for e in MIXED]]
    for t in controls:
        context = {"content": t, "gap": GAP.join(t), "pieces": list(t), "d": {t: t}}
        own = render(moat, [{"template": t, "context": {}}], model, "--ids")[0]["ids"][0]
        for source, got in zip(sources, render(moat, [{"template": s, "context": context, "now": NOW} for s in sources], model, "--ids")):
            if "error" not in got:
                tally.passed += 1
                if got["ids"].count(own) != (t in ("<|im_start|>", "<|im_end|>")):
                    tally.passed -= 1
                    tally.failed += 1
                    print(f"FAIL ids of {source!r} with {t}: {got['ids']}")
    return controls


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--moat", default=os.environ.get("MOAT", ROOT / "build" / "moat"))
    parser.add_argument("--data", default=ROOT.parent / "shared" / "templates", type=pathlib.Path)
    args = parser.parse_args()
    if not args.data.is_dir():
        print(f"no golden data at {args.data}\n0 passed, 0 failed, 1 skipped")
        return 0
    templates, recombined, ids, tokens = Tally(), Tally(), Tally(), set(CLASSICAL)
    check_templates(args.moat, args.data / "chat", templates, tokens)
    print(f"templates: {templates.passed} of {templates.passed + templates.failed}; {templates.seen} typed tokens came out as the request's")
    used = check_recombined(args.moat, sorted(tokens), recombined)
    print(f"recombined: {len(tokens)} tokens, {used} expressions gave one back; {recombined.passed} of {recombined.passed + recombined.failed}")
    model, skipped = os.environ.get("MOAT_TEST_MODEL", ""), 0
    if os.path.exists(model):
        controls = check_ids(args.moat, model, ids)
        print(f"ids: {len(controls)} control tokens, {ids.passed} of {ids.passed + ids.failed}")
    else:
        skipped = 1
        print("ids: no model to tokenize with")
    print(f"{templates.passed + recombined.passed + ids.passed} passed, {templates.failed + recombined.failed + ids.failed} failed, {skipped} skipped")
    return bool(templates.failed or recombined.failed or ids.failed)


if __name__ == "__main__":
    sys.exit(main())
