#!/usr/bin/env python3
# slow
"""Golden hashes of logits: the tiny models in models/ and the default model give the committed bits whatever the chunk, the
batch, the number of threads and the instruction set.

usage: test_model_hashes.py [--update | --few]
    --update    writes model_hashes.json; say in the commit which rule moved the bits
    --few       each instruction set once, alone and in a batch: for programs of other compilers
"""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
HASHES = os.path.join(HERE, "model_hashes.json")
MOAT = os.environ.get("MOAT", "build/moat")
DEFAULT_MODEL = os.environ.get("MOAT_TEST_MODEL", "")
TINY = {"tiny-alibi": ("f16", "f32", "q8"), "tiny-caps": ("f16", "f32", "q8"), "tiny-kquants": ("f16", "f32", "q8"), "tiny-llama": ("f16", "f32"),
        "tiny-window": ("f16", "f32")}  # and their types of KV cache: q8 needs heads of 32 n
N_VOCAB, DEFAULT_N_VOCAB = 288, 49152


def ids(n, seed, n_vocab):
    return [(i * i * 37 + i * 101 + seed * 13) % n_vocab for i in range(n)]


TINY_LINES = [ids(1, 1, N_VOCAB), ids(70, 2, N_VOCAB), ids(600, 3, N_VOCAB)]  # 600: past a split of attention
DEFAULT_LINES = [ids(5, 1, DEFAULT_N_VOCAB), ids(48, 2, DEFAULT_N_VOCAB)]
WAYS = [[], ["--chunk", "1"], ["--chunk", "7"], ["--chunk", "32", "--threads", "3"], ["--threads", "1"], ["--together"],
        ["--together", "--chunk", "13", "--threads", "2"], ["--threads", "16"], ["--together", "--threads", "8"]]


def isas():
    """Those that this machine has."""
    for name in ("c", "avx2", "avxvnni", "avx512", "amx", "neon", "i8mm"):
        probe = subprocess.run([MOAT, "logits", os.path.join(HERE, "models", "tiny-llama.gguf"), "--jsonl", "--isa", name], input=b"",
                               capture_output=True)
        if probe.returncode == 0:
            yield name


def hashes(model, lines, *options):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    run = subprocess.run([MOAT, "logits", model, "--jsonl", *options], input=text, capture_output=True, text=True)
    if run.returncode:
        return run.stderr.strip()
    return [json.loads(line).get("sha256", line) for line in run.stdout.splitlines()]


def cases():
    """(name in the file of hashes, model, lines, ways to compute them)"""
    every_isa = list(isas())
    for name, types in TINY.items():
        for kv in types:
            ways = WAYS + [["--isa", isa] for isa in every_isa] + [["--isa", "c", "--together"]]
            if "--few" in sys.argv:
                ways = [["--isa", isa, *way] for isa in every_isa for way in ([], ["--together", "--chunk", "7", "--threads", "3"])]
            yield f"{name} {kv}", os.path.join(HERE, "models", name + ".gguf"), TINY_LINES, [[*way, "--kv", kv] for way in ways]
    if DEFAULT_MODEL and "--few" not in sys.argv:
        yield "default f16", DEFAULT_MODEL, DEFAULT_LINES, WAYS + [["--isa", isa] for isa in every_isa if isa != "c"]
    if DEFAULT_MODEL:
        # the definition takes half a second a token here: it computes the short line only
        yield "default f16 short", DEFAULT_MODEL, DEFAULT_LINES[:1], [["--isa", isa] for isa in every_isa]


def main():
    update = "--update" in sys.argv
    golden = {}
    if os.path.exists(HASHES):
        with open(HASHES, encoding="utf-8") as f:
            golden = json.load(f)
    passed = failed = 0
    for name, model, lines, ways in cases():
        if update:
            golden[name] = hashes(model, lines, *ways[0])
        for way in ways:
            got = hashes(model, lines, *way)
            if got == golden.get(name):
                passed += 1
            else:
                failed += 1
                print(f"{name}: {' '.join(way)}: {got}\n  want {golden.get(name)}")
    if update:
        with open(HASHES, "w", encoding="utf-8") as f:
            json.dump(golden, f, indent=1, sort_keys=True)
            f.write("\n")
    skipped = 0 if DEFAULT_MODEL else 2
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return failed != 0


sys.exit(main())
