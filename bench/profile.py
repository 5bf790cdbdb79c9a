#!/usr/bin/env python3
"""Where a step's time goes: samples `moat bench` with perf (software clock) while its rounds run, and sums the samples by kind of work.
Prints each kind's share of the CPU time, and for products and attention what they reach of the machine's ceiling."""
import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile

KINDS = [  # the first pattern that matches a function's name; the rest is "other"
    ("quantising activations", r"^acts_|^amx_fill"),
    ("products", r"^(dot|dense|amx)_|^matmul|^(op_)?linear|^multiply|^gate_(item|piece|in)|^keep_part"),
    ("attention", r"^attn|^(batch|page)_|^axpy$|^kv_|^softmax|^merge|^split"),
    ("norms, rope, gates, residuals", r"norm|rope|silu|gelu|relu|softcap|^(add|scale|divide|clamp|maximum)$|^kern_exp|finite|embed|^kern_block|^flush_rows|^(op|pass|plan)_|^run_(?!again)|forward"),
    ("waiting and hand-over", r"^worker_main|^pool_|^work$|^take_|^claim|^begin$|^run_again|futex|sched|wake|switch|spin|idle|syscall|entry_|irq"),
]
ROUNDS_BEGIN = "moat: ceilings of"  # what moat bench says once the model is loaded and the machine measured


def kind_of(symbol):
    return next((name for name, pattern in KINDS if re.search(pattern, symbol)), "other")


def run_sampled(a, test, data):
    """The record of a test and what moat bench said; data: samples of its rounds, the one that warms up included."""
    command = [a.moat, "bench", a.model, *test, "-t", str(a.threads), "-r", str(a.rounds), "--noise", "100", "--ceilings", "-o", "jsonl"]
    bench = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    perf, said = None, ""
    for said in bench.stderr:
        if said.startswith(ROUNDS_BEGIN):
            perf = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", "999", "-p", str(bench.pid), "-o", data],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lines = bench.stdout.read().splitlines()
    if bench.wait() or not lines:
        raise RuntimeError(f"moat bench ended with exit status {bench.returncode}: {said.strip()}")
    if perf.wait():
        raise RuntimeError(f"perf record ended with exit status {perf.returncode}: no permission, or the rounds were over before it began")
    return json.loads(lines[0])


def record(a, test):
    with tempfile.NamedTemporaryFile(suffix=".perf") as data:
        r = run_sampled(a, test, data.name)
        lines = subprocess.run(["perf", "report", "-i", data.name, "--stdio", "--no-children", "-F", "overhead,symbol"], check=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.splitlines()
    symbols = [re.match(r"\s*([\d.]+)%\s+\[(.)\]\s+(\S+)", line) for line in lines]
    return r, [(m[3], float(m[1])) for m in symbols if m]


def report(a, test):
    r, symbols = record(a, test)
    total = sum(share for _, share in symbols)
    cpu = sum(r["samples_cpu_ns"]) / len(r["samples_cpu_ns"]) / a.threads
    steps = max(1, r["n_gen"]) if r["n_gen"] else -(-r["n_prompt"] // r["n_batch"])
    read = r["ceiling_read_ns"]
    ideal = {"products": max(r["ceiling_products_ns"], read), "attention": r["ceiling_attention_ns"]}
    all_ideal = max(r["ceiling_products_ns"] + r["ceiling_attention_ns"], read)
    print(f"\n{r['test']}, {a.threads} threads: {cpu / steps / 1e6:.2f} ms of each thread a step, {100 * all_ideal / cpu:.0f} % of the ceiling"
          f" (foreign CPU {100 * r['foreign_cpu']:.0f} %)\n\n| work | share | of its ceiling |\n| --- | ---: | ---: |")
    for name in [n for n, _ in KINDS] + ["other"]:
        share = sum(s for symbol, s in symbols if kind_of(symbol) == name) / total
        reached = f"{100 * ideal[name] / (share * cpu):.0f} %" if name in ideal and share else ""
        print(f"| {name} | {100 * share:.1f} % | {reached} |")
    for symbol, share in symbols[:a.functions]:
        print(f"    {100 * share / total:5.1f} %  {symbol}")


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("model")
    ap.add_argument("--moat", default="build/moat")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--rounds", type=int, default=10)
    ap.add_argument("--functions", type=int, default=0, metavar="N", help="also the N functions that take most")
    ap.add_argument("--tests", default="-p 512 -n 0;-p 0 -n 64;-p 0 -n 32 --seqs 16;-p 0 -n 32 --seqs 64",
                    help="options of moat bench, with ; between tests; what fills a depth (-d) is sampled too (default: %(default)s)")
    a = ap.parse_args()
    if not shutil.which("perf"):
        sys.exit("profile: perf is missing; Debian has it in linux-perf")
    failed = 0
    for test in a.tests.split(";"):
        try:
            report(a, test.split())
        except RuntimeError as e:
            failed += 1
            print(f"profile: {test} is left out: {e}", file=sys.stderr)
    sys.exit(failed > 0)


main()
