"""Logits of moat beside others: how far they lie apart, and the report of it."""
import os
import subprocess
import sys
import tempfile

import numpy as np

MOAT = os.environ.get("MOAT", "build/moat")
BOUND = 1e-4  # of the largest logit


def difference(path, tokens, want, tmp):
    """Largest difference relative to the largest logit, or what moat said. tokens: its standard input; float32 keys and values."""
    run = subprocess.run([MOAT, "logits", path, "--jsonl", "--kv", "f32", "-o", tmp], input=tokens, capture_output=True, text=True)
    if run.returncode or '"error"' in run.stdout:
        return run.stdout + run.stderr
    return float(np.abs(np.load(os.path.join(tmp, "0.npy")) - want).max() / np.abs(want).max())


def report(cases):
    """cases: (name, function of a temporary folder that gives a difference). The exit status."""
    passed = failed = 0
    for name, difference_in in cases:
        with tempfile.TemporaryDirectory() as tmp:
            got = difference_in(tmp)
        ok = isinstance(got, float) and got <= BOUND
        passed += ok
        failed += not ok
        print(f"{'ok  ' if ok else 'FAIL'} {name}: {got if isinstance(got, str) else format(got, '.1e')}")
    print(f"{passed} passed, {failed} failed")
    return failed != 0
