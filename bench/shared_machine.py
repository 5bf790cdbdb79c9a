#!/usr/bin/env python3
"""A machine that is shared: decoding alone, and beside as many busy processes as there are CPUs, in turns. Of n threads and n busy
processes on n CPUs each has half of the CPU time; what moat keeps of its half is printed, and the logits are the same bits."""
import argparse
import json
import os
import subprocess
import sys
import time


def rate(a, test):
    out = subprocess.run([a.moat, "bench", a.model, *test, "-t", str(a.threads), "-r", "1", "--noise", "100", "-o", "jsonl"], check=True,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return json.loads(out)["avg_ts"]


def logits(a):
    return subprocess.run([a.moat, "logits", a.model, "--threads", str(a.threads)], check=True, input="[1, 20, 300, 4000, 50, 6]\n",
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


class Busy:
    def __init__(self, n):
        self.n = n

    def __enter__(self):
        self.all = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(self.n)]
        time.sleep(0.3)

    def __exit__(self, *_):
        for p in self.all:
            p.kill()
            p.wait()


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("model")
    ap.add_argument("--moat", default="build/moat")
    ap.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    ap.add_argument("--busy", type=int, default=len(os.sched_getaffinity(0)))
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--least", type=float, default=0.7, help="of the fair share")
    a = ap.parse_args()
    fair = 1 / (1 + a.busy / len(os.sched_getaffinity(0)))
    least = 1.0
    for name, test in (("decode", ["-p", "0", "-n", "128"]), ("decode of 16", ["-p", "0", "-n", "32", "--seqs", "16"]), ("prefill", ["-p", "512", "-n", "0"])):
        alone, shared = [], []
        for _ in range(a.rounds):
            alone.append(rate(a, test))
            with Busy(a.busy):
                shared.append(rate(a, test))
        alone, shared = sorted(alone)[len(alone) // 2], sorted(shared)[len(shared) // 2]
        least = min(least, shared / alone / fair)
        print(f"{name}: {alone:.0f} tok/s alone, {shared:.0f} beside {a.busy} busy processes: {shared / alone / fair:.2f} of the fair share")
    quiet = logits(a)
    with Busy(a.busy):
        same = all(logits(a) == quiet for _ in range(3))
    print("the same bits" if same else "OTHER BITS")
    sys.exit(not same or least < a.least)


main()
