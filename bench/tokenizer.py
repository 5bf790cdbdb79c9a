#!/usr/bin/env python3
"""moat's tokenizers beside PyPI `tokenizers` (pip install tokenizers==0.23.3), interleaved in one run, one thread each, CPU time:
English text in one call, a word of 1 MB and 1 MB of one character; twice the length shows whether time is linear.

usage: tokenizer.py [--moat build/moat] [--rounds 5] [--peer-hostile] FILE.gguf...
"""
import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "golden"))
import peer_tokenizers as peers  # noqa: E402

SPEED_TEXT = os.path.join(ROOT, "..", "shared", "tokenizers", "speedtext.py")


def cpu_of_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def moat_run(moat, path, lines):
    """CPU seconds and tokens of the last line; the time of a run without work, which reads the file, is taken off by the caller."""
    before = cpu_of_children()
    run = subprocess.run([moat, "tokenize", path, "--jsonl"], input="".join(json.dumps(s) + "\n" for s in lines), capture_output=True, text=True, check=True)
    return cpu_of_children() - before, run.stdout


def moat_seconds(moat, path, text, repeats):
    """of one call with the text: the difference between many calls and one, so that reading the file does not count."""
    many, _ = moat_run(moat, path, [text] * (repeats + 1))
    one, out = moat_run(moat, path, [text])
    return max(many - one, 1e-9) / repeats, json.loads(out)


def peer_seconds(peer, text):
    before = time.process_time()
    ids = peer.text(text)
    return time.process_time() - before, ids


def texts():
    r = random.Random(1)
    english = subprocess.run([sys.executable, SPEED_TEXT], capture_output=True, text=True, check=True).stdout[:1000000]
    word = "".join(r.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(1000000))
    return [("English, 1 MB", english), ("a word of 0.5 MB", word[:500000]), ("a word of 1 MB", word), ("0.5 MB of z", "z" * 500000), ("1 MB of z", "z" * 1000000)]


def measure(a, path, peer, name, text):
    rows, differ, peer_slow = [], False, name != "English, 1 MB" and not a.peer_hostile
    for _ in range(a.rounds):
        mine, ids = moat_seconds(a.moat, path, text, a.repeats)
        theirs, peer_ids = (None, ids) if peer_slow else peer_seconds(peer, text)
        rows.append((mine, theirs))
        differ = differ or ids != peer_ids
    mine = statistics.median(r[0] for r in rows)
    theirs = None if peer_slow else statistics.median(r[1] for r in rows)
    rate = lambda s: f"{len(text.encode()) / s / 1e6:8.2f} MB/s"
    beside = "not run" if peer_slow else f"{rate(theirs)}, moat {statistics.median(t / m for m, t in rows):6.1f} times as fast"
    print(f"  {name:18} {len(ids):8} tokens  moat {rate(mine)}  tokenizers {beside}{'  IDS DIFFER' if differ else ''}", flush=True)
    return differ


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("files", nargs="+")
    ap.add_argument("--moat", default=os.path.join(ROOT, "build", "moat"))
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--repeats", type=int, default=4, help="calls of moat a round (default %(default)s)")
    ap.add_argument("--peer-hostile", action="store_true", help="run tokenizers on the hostile texts too")
    a = ap.parse_args()
    bad = False
    for path in a.files:
        print(os.path.basename(path))
        peer = peers.peer_of(peers.read_vocab(path))
        for name, text in texts():
            bad = measure(a, path, peer, name, text) or bad
    return bad


sys.exit(main())
