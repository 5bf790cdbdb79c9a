#!/usr/bin/env python3
"""layers.py: every #include "..." goes along an edge of layers.txt, through the folder's public header; names are unique."""
import os
import re
import sys

root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
allowed = {}
for line in open(os.path.join(root, "tools/layers.txt")):
    if line.strip() and not line.startswith("#"):
        folder, lower = line.split(":")
        allowed[folder] = set(lower.split())

faults, seen = [], {}
for folder in sorted(os.listdir(os.path.join(root, "src"))):
    if folder not in allowed:
        faults.append(f"src/{folder}: is not in tools/layers.txt")
        continue
    for name in sorted(os.listdir(os.path.join(root, "src", folder))):
        here = f"src/{folder}/{name}"
        if name in seen:
            faults.append(f"{here}: the name is taken by {seen[name]}")
        seen[name] = here
        for i, line in enumerate(open(os.path.join(root, here), encoding="utf-8"), 1):
            m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not m:
                continue
            target = os.path.normpath(os.path.join(folder, m.group(1)))
            other = os.path.dirname(target)
            if other != folder and other not in allowed[folder]:
                faults.append(f"{here}:{i}: {folder} may not include {other}")
            elif other != folder and os.path.basename(target) != other + ".h":
                faults.append(f"{here}:{i}: includes {target}; the public header is {other}/{other}.h")
            elif not os.path.exists(os.path.join(root, "src", target)):
                faults.append(f"{here}:{i}: {target} does not exist")
print("\n".join(faults) or f"layers: {len(seen)} files, no fault")
sys.exit(bool(faults))
