#!/usr/bin/env python3
"""docs/models.md names the architectures and the types of weights that `moat help --models` does, no more and no fewer."""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MOAT = os.environ.get("MOAT", "build/moat")


def section(page, title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", page, re.M | re.S)[1]


def main():
    with open(os.path.join(ROOT, "docs", "models.md"), encoding="utf-8") as f:
        page = f.read()
    lists = dict(line.split(":", 1) for line in subprocess.run([MOAT, "help", "--models"], capture_output=True, text=True, check=True).stdout.splitlines())
    told = {"architectures": re.findall(r"^\| `([^`]+)` \|", section(page, "Architectures"), re.M),
            "formats": re.search(r"^F32 .*\.$", section(page, "Types of weights"), re.M)[0].rstrip(".").replace("·", " ").split()}
    wrong = {kind: sorted(set(names) ^ set(lists[kind].split())) for kind, names in told.items() if sorted(names) != sorted(lists[kind].split())}
    for kind, names in wrong.items():
        print(f"{kind} of docs/models.md and of `moat help --models` differ: {names}")
    print(f"{len(told) - len(wrong)} passed, {len(wrong)} failed")
    return len(wrong) != 0


sys.exit(main())
