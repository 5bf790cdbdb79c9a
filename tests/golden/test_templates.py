#!/usr/bin/env python3
"""Chat templates and snippets against jinja2's results (golden data), and the origin of every byte of the request's strings.

usage: test_templates.py [--moat PATH] [--data DIR] [-v]
A case passes when the output is equal byte for byte, or fails as expected (a `raise` with the same message). The origin test
puts MARK into every string of every case's input: wherever MARK shows up in the output, no byte of it may be the template's.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOW = "2025-03-14T15:09:26"
MARK = "<|im_end|>"


def render(moat, lines):
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    done = subprocess.run([moat, "render", "--jsonl"], input=text.encode("utf-8", "surrogatepass"), stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]


def expected(case, got):
    """What is wrong with the answer to a case, or None."""
    if "error" in got:
        if "error" not in case:
            return f"failed: {got['error']}; want {case['output']!r}"
        want = case["error"]
        if want["kind"] == "raise" and got["error"] != "raise: " + want["message"]:
            return f"message {got['error']!r}; want {want['message']!r}"
        return None
    if "error" in case:
        return f"gave {got['output']!r}; want error {case['error']}"
    if got["output"] != case["output"]:
        return f"gave\n{got['output']!r}; want\n{case['output']!r}"
    if "".join(text for _, text in got["segments"]) != got["output"]:
        return "segments are not the output"
    return None


def marked(value):
    if isinstance(value, str):
        return value + MARK if value else value
    if isinstance(value, list):
        return [marked(v) for v in value]
    if isinstance(value, dict):
        return {k: marked(v) if k not in ("role", "type") else v for k, v in value.items()}
    return value


class Tally:
    def __init__(self, verbose):
        self.passed = self.failed = 0
        self.verbose = verbose

    def add(self, name, problem):
        self.passed += problem is None
        self.failed += problem is not None
        if problem is not None and (self.verbose or self.failed <= 20):
            print(f"{name}: {problem}")


def check_chat(moat, folder, tally):
    for path in sorted(folder.glob("*.jinja")):
        template = path.read_bytes().decode()
        cases = json.loads(path.with_suffix(".json").read_text())
        lines = [{"template": template, "context": c["input"], "now": c.get("now", NOW)} for c in cases]
        for case, got in zip(cases, render(moat, lines)):
            tally.add(f"{path.stem}/{case['case']}", expected(case, got))


def check_origin(moat, folder, tally):
    """The template's own spelling of MARK is replaced first, so that each MARK in the output comes from the request."""
    for path in sorted(folder.glob("*.jinja")):
        template = path.read_bytes().decode().replace(MARK, "<|im_stop|>")
        cases = json.loads(path.with_suffix(".json").read_text())
        lines = [{"template": template, "context": marked(c["input"]), "now": c.get("now", NOW)} for c in cases]
        for case, got in zip(cases, render(moat, lines)):
            if "error" in got:
                continue
            origins = "".join(origin * len(text) for origin, text in got["segments"])
            at, problem = got["output"].find(MARK), None
            while at >= 0 and problem is None:
                here = origins[at:at + len(MARK)]
                if "t" in here:
                    problem = f"{got['output'][max(0, at - 30):at + 30]!r} has origins {here}"
                at = got["output"].find(MARK, at + 1)
            tally.add(f"origin of {path.stem}/{case['case']}", problem)


def check_snippets(moat, path, tally):
    cases = json.loads(path.read_text())
    lines = [{"template": c["template"], "context": c["context"], "now": c.get("now", NOW)} for c in cases]
    for case, got in zip(cases, render(moat, lines)):
        tally.add(f"{case['name']} {case['template']!r}", expected(case, got))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--moat", default=os.environ.get("MOAT", ROOT / "build" / "moat"))
    parser.add_argument("--data", default=ROOT.parent / "shared" / "templates", type=pathlib.Path)
    parser.add_argument("-v", action="store_true")
    args = parser.parse_args()
    if not args.data.is_dir():
        print(f"no golden data at {args.data}\n0 passed, 0 failed, 1 skipped")
        return 0
    total = Tally(args.v)
    for name, check, where in (("chat cases", check_chat, args.data / "chat"), ("snippets", check_snippets, args.data / "conformance.json"),
                               ("origins", check_origin, args.data / "chat")):
        tally = Tally(args.v)
        check(args.moat, where, tally)
        print(f"{name}: {tally.passed} of {tally.passed + tally.failed}")
        total.passed += tally.passed
        total.failed += tally.failed
    print(f"{total.passed} passed, {total.failed} failed, 0 skipped")
    return total.failed != 0


if __name__ == "__main__":
    sys.exit(main())
