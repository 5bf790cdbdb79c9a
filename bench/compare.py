#!/usr/bin/env python3
"""moat beside llama.cpp on one model: rounds alternate between the two, so that what else the machine does strikes both. Prints
tokens per second (best round) and the ratio moat / llama.cpp of wall and of CPU time (medians over the rounds)."""
import argparse
import json
import os
import statistics
import subprocess

TESTS = [("pp", 512, 1), ("tg", 64, 1), ("tg", 32, 16)]


def moat_round(moat, model, threads, kind, n, seqs):
    what = ["-p", str(n), "-n", "0"] if kind == "pp" else ["-p", "0", "-n", str(n), "--seqs", str(seqs)]
    out = subprocess.run([moat, "bench", model, *what, "-t", str(threads), "-r", "1", "-o", "jsonl"], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    r = json.loads(out)
    return r["samples_ns"][0], r["samples_cpu_ns"][0]


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--moat", required=True)
    ap.add_argument("--peer", required=True, help="a Python that has llama-cpp-python")
    ap.add_argument("--model", required=True)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--rounds", type=int, default=5)
    a = ap.parse_args()
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peer.py")
    seqs_max = max(s for _, _, s in TESTS)
    peer = subprocess.Popen([a.peer, script, a.model, str(a.threads), str(seqs_max), "1024"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)

    def peer_round(kind, n, seqs):
        peer.stdin.write(f"{kind} {n} {seqs}\n")
        peer.stdin.flush()
        r = json.loads(peer.stdout.readline())
        return r["ns"], r["cpu_ns"]

    print(f"{'test':14} {'moat t/s':>10} {'llama.cpp':>10} {'wall ratio':>11} {'CPU ratio':>10}")
    for kind, n, seqs in TESTS:
        peer_round(kind, n, seqs)  # warm; moat bench has a warming round of its own
        pairs = [(moat_round(a.moat, a.model, a.threads, kind, n, seqs), peer_round(kind, n, seqs)) for _ in range(a.rounds)]
        wall = statistics.median(p[0] / m[0] for m, p in pairs)
        cpu = statistics.median(p[1] / m[1] for m, p in pairs)
        rates = [n * seqs * 1e9 / min(side[0] for side in one) for one in zip(*pairs)]
        name = f"{kind}{n}" + (f" x {seqs}" if seqs > 1 else "")
        print(f"{name:14} {rates[0]:10.1f} {rates[1]:10.1f} {wall:11.2f} {cpu:10.2f}", flush=True)
    peer.stdin.close()
    peer.wait()


main()
