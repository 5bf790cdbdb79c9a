#!/usr/bin/env python3
"""sizes.py: functions over 100 lines and files over 1,200 are faults unless tools/sizes.txt names them; that list may only shrink.

A function is found by its shape: a line that begins in the first column and ends in " {", up to the "}" in the first column."""
import os
import re
import statistics
import sys

root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
FUNCTION_MAX, FILE_MAX = 100, 1200
allowed = {}
for line in open(os.path.join(root, "tools/sizes.txt")):
    if line.strip() and not line.startswith("#"):
        name, lines = line.split()[:2]
        allowed[name] = int(lines)

faults, lengths, used = [], [], set()


def judge(name, lines, limit, what):
    bound = allowed.get(name)
    if bound is not None:
        used.add(name)
    if lines > (bound or limit):
        faults.append(f"{name}: {lines} lines; {what} has at most {bound or limit}")


for folder, _, names in os.walk(os.path.join(root, "src")):
    for file in sorted(names):
        path = os.path.join(folder, file)
        short = os.path.relpath(path, root)
        text = open(path, encoding="utf-8").read().split("\n")
        generated = any("generated" in line.lower() for line in text[:5])
        if not generated:
            judge(short, len(text), FILE_MAX, "a file")
        start = None
        for i, line in enumerate(text):
            m = re.match(r"^[A-Za-z_].*?([A-Za-z_0-9]+)\(.*\{$", line) or re.match(r"^ .*\) \{$", line) and start is None and re.match(r"^[A-Za-z_].*?([A-Za-z_0-9]+)\(", text[i - 1])
            if m and start is None and not line.startswith(("struct", "enum", "typedef")) or (m and start is None and "(" in line and line.startswith("struct")):
                start, name = i, m.group(1)
            elif line == "}" and start is not None:
                lengths.append(i - start + 1)
                judge(f"{short}:{name}", i - start + 1, FUNCTION_MAX, "a function")
                start = None
for name in sorted(set(allowed) - used):
    faults.append(f"tools/sizes.txt: {name} is gone; take its line out")
lengths.sort()
if lengths:
    print(f"sizes: {len(lengths)} functions, median {statistics.median(lengths):.0f} lines, 95th percentile {lengths[len(lengths) * 95 // 100]}, longest {lengths[-1]}")
print("\n".join(faults) or "sizes: no fault")
sys.exit(bool(faults))
