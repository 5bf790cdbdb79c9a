#!/usr/bin/env python3
"""A machine that is shared: decoding and prefill alone, and beside as many busy processes as there are CPUs, in turns. A thread's fair
share is the CPU time that a busy process gets meanwhile. What moat makes of it is printed: the CPU time of its threads over that of
the busy processes, times the CPU time of a token of one thread beside them over that of a token of all threads (what is spun away is no
work, and one thread waits for nobody). Others on the machine take from all alike. In brackets the same by the CPU time of a token alone:
less where the model stays in a cache alone and others push it out. The logits are the same bits. --nice N: moat runs N
below, as `moat serve --nice N` runs its engine; by the kernel's weights N = 1 gets 0.80 of what a busy process gets, N = 5 gets 0.33."""
import argparse
import json
import os
import subprocess
import sys
import time


def measure(a, test, threads):
    """(CPUs in use, CPU seconds a token, tokens a second)"""
    out = subprocess.run([a.moat, "bench", a.model, *test, "-t", str(threads), "-r", "1", "--noise", "100", "-o", "jsonl"], check=True,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, preexec_fn=lambda: os.nice(a.nice)).stdout
    r = json.loads(out)
    cpu, wall = r["samples_cpu_ns"][0], r["samples_ns"][0]
    return cpu / wall, cpu / (r["avg_ts"] * wall), r["avg_ts"]


def logits(a):
    return subprocess.run([a.moat, "logits", a.model, "--threads", str(a.threads)], check=True, input="[1, 20, 300, 4000, 50, 6]\n",
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


class Busy:
    def __init__(self, n):
        self.n = n

    def __enter__(self):
        self.all = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(self.n)]
        time.sleep(0.3)
        return self

    def cpu_s(self):
        """Of one of them."""
        ticks = [sum(map(int, open(f"/proc/{p.pid}/stat").read().rsplit(") ", 1)[1].split()[11:13])) for p in self.all]
        return sum(ticks) / len(ticks) / os.sysconf("SC_CLK_TCK")

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
    ap.add_argument("--nice", type=int, default=0)
    ap.add_argument("--least", type=float, default=0.7, help="of the fair share")
    a = ap.parse_args()
    least = 9.0
    for name, test in (("decode", ["-p", "0", "-n", "64"]), ("decode of 16", ["-p", "0", "-n", "24", "--seqs", "16"]), ("prefill", ["-p", "512", "-n", "0"])):
        kept, by_alone, alone, beside = [], [], [], []
        for _ in range(a.rounds):
            _, token_alone, rate_alone = measure(a, test, a.threads)
            with Busy(a.busy) as busy:
                cpu, start = busy.cpu_s(), time.monotonic()
                cpus, token, rate = measure(a, test, a.threads)
                fair = (busy.cpu_s() - cpu) / (time.monotonic() - start)
                _, token_one, _ = measure(a, test, 1)
            kept.append(cpus / a.threads / fair * token_one / token)
            by_alone.append(cpus / a.threads / fair * token_alone / token)
            alone.append(rate_alone)
            beside.append(rate)
        middle = lambda x: sorted(x)[len(x) // 2]
        least = min(least, middle(kept))
        print(f"{name}: {middle(alone):.0f} tok/s alone, {middle(beside):.0f} beside {a.busy} busy processes: {middle(kept):.2f} of the fair share "
              f"({min(kept):.2f} to {max(kept):.2f}) [{middle(by_alone):.2f}]", flush=True)
    quiet = logits(a)
    with Busy(a.busy):
        same = all(logits(a) == quiet for _ in range(3))
    print("the same bits" if same else "OTHER BITS")
    sys.exit(not same or least < a.least)


main()
