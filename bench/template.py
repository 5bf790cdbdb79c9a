#!/usr/bin/env python3
"""Chat templates: moat beside jinja2, in one run, in CPU time. A conversation of 20 messages of about 350 bytes each.

usage: template.py [--moat PATH] [--data DIR] [--rounds N] [NAME...]      (NAME: chat/NAME.jinja, default: three of ../shared/templates)
moat's column is all that `moat render --jsonl` does with a line: it reads the JSON, compiles the template, renders and writes
text and segments. jinja2's are compiling and rendering alone. Rounds alternate between the two; the median is shown.
"""
import argparse
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
NOW = "2025-03-14T15:09:26"
NAMES = ["gguf-SmolLM2-135M-Instruct", "meta-llama-Llama-3.1-8B-Instruct", "Qwen-Qwen3-0.6B"]
LINES = 200
WORDS = "The quick brown fox asks how many of the seven boats, which left at dawn, will be back before noon; and why. "


def conversation():
    turns = [{"role": "user" if i % 2 == 0 else "assistant", "content": f"{i}. " + (WORDS * 4)[:345]} for i in range(19)]
    return {"messages": [{"role": "system", "content": (WORDS * 4)[:345]}, *turns], "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>",
            "tools": None, "documents": None}


def moat_ms(moat, template, context):
    """CPU time of a line, without the start of the program."""
    line = json.dumps({"template": template, "context": context, "now": NOW}, ensure_ascii=False) + "\n"

    def cpu(n):
        before = os.times()
        output = subprocess.run([moat, "render", "--jsonl"], input=(line * n).encode(), stdout=subprocess.PIPE, check=True).stdout
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system, output

    once, _ = cpu(1)
    many, output = cpu(LINES + 1)
    return (many - once) * 1000 / LINES, json.loads(output.split(b"\n")[0])["output"]


def jinja_ms(reference, template, context):
    env = reference.environment(NOW)
    start = time.process_time()
    compiled = env.from_string(template)
    compiling = time.process_time() - start
    start = time.process_time()
    for _ in range(20):
        output = compiled.render(**context)
    return compiling * 1000, (time.process_time() - start) * 1000 / 20, output


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--moat", default=os.environ.get("MOAT", ROOT / "build" / "moat"))
    parser.add_argument("--data", default=ROOT.parent / "shared" / "templates", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("names", nargs="*", default=NAMES)
    args = parser.parse_args()
    spec = importlib.util.spec_from_file_location("render", args.data / "render.py")
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    context = conversation()
    print("| template | jinja2: compile | render | moat: all of a line | output |\n|---|---|---|---|---|")
    slow = False
    for name in args.names:
        template = (args.data / "chat" / f"{name}.jinja").read_bytes().decode()
        rounds = [(jinja_ms(reference, template, context), moat_ms(args.moat, template, context)) for _ in range(args.rounds)]
        if rounds[0][0][2] != rounds[0][1][1]:
            sys.exit(f"{name}: the two render differently")
        compiling, rendering = (statistics.median(j[k] for j, _ in rounds) for k in (0, 1))
        ours = statistics.median(m[0] for _, m in rounds)
        slow |= ours > 1
        print(f"| {name} | {compiling:.1f} ms | {rendering:.2f} ms | {ours:.3f} ms | {len(rounds[0][0][2]) / 1000:.1f} KB |", flush=True)
    print("1 ms or less: " + ("no" if slow else "yes"))
    return slow


if __name__ == "__main__":
    sys.exit(main())
