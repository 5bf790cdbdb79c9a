#!/usr/bin/env python3
"""The tiny models of truth/ against the logits that others computed of them (make_truth.py): within 1e-4 of the largest, with float32
keys and values.

usage: test_truth.py [NAME...]
"""
import os
import sys

import numpy as np
from difference import difference, report

TRUTH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "truth")


def case(name, tokens):
    path = os.path.join(TRUTH, name)
    return name, lambda tmp: difference(path + ".gguf", tokens, np.load(path + ".npy"), tmp)


def main():
    with open(os.path.join(TRUTH, "tokens.jsonl"), encoding="utf-8") as f:
        tokens = f.read()
    names = sorted(n[:-5] for n in os.listdir(TRUTH) if n.endswith(".gguf"))
    return report(case(n, tokens) for n in names if not sys.argv[1:] or n in sys.argv[1:])


sys.exit(main())
