#!/usr/bin/env python3
"""The tiny models of truth/ against the logits that others computed of them (make_truth.py): within 1e-4 of the largest, with float32
keys and values.

usage: test_truth.py [NAME...]
"""
import os
import subprocess
import sys
import tempfile

import numpy as np

MOAT = os.environ.get("MOAT", "build/moat")
TRUTH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "truth")


def difference(name, tmp):
    """Largest difference relative to the largest logit, or what moat said."""
    with open(os.path.join(TRUTH, "tokens.jsonl"), encoding="utf-8") as tokens:
        run = subprocess.run([MOAT, "logits", os.path.join(TRUTH, name + ".gguf"), "--jsonl", "--kv", "f32", "-o", tmp], stdin=tokens, capture_output=True, text=True)
    if run.returncode or '"error"' in run.stdout:
        return run.stdout + run.stderr
    want = np.load(os.path.join(TRUTH, name + ".npy"))
    return float(np.abs(np.load(os.path.join(tmp, "0.npy")) - want).max() / np.abs(want).max())


def main():
    passed = failed = 0
    for name in sorted(n[:-5] for n in os.listdir(TRUTH) if n.endswith(".gguf")):
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        with tempfile.TemporaryDirectory() as tmp:
            got = difference(name, tmp)
        ok = isinstance(got, float) and got <= 1e-4
        passed += ok
        failed += not ok
        print(f"{'ok  ' if ok else 'FAIL'} {name}: {got if isinstance(got, str) else format(got, '.1e')}")
    print(f"{passed} passed, {failed} failed")
    return failed != 0


sys.exit(main())
