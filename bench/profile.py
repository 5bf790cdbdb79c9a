#!/usr/bin/env python3
"""Where a step's time goes: samples `moat bench` with perf (software clock) and sums the samples by kind of work. Prints each kind's
share of the CPU time, and for products and attention what they reach of the machine's ceiling."""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

KINDS = [  # the first pattern that matches a function's name; the rest is "other"
    ("loading", r"pack_blocks|kern_pack|load_q|load_k|scale_fields|gguf_|model_check|sha256|all_finite|tok_|clear_page|stored|memset"),
    ("products", r"^dot_(tile|stream|part|rows|few|many|unpack|run)|matmul"),
    ("quantising activations", r"acts_fill"),
    ("attention", r"attn|page_scores|axpy|kv_|softmax|split|values|scores"),
    ("norms, rope, gates, residuals", r"norm|rope|silu|gelu|^add$|^scale$|^mul|kern_exp|op_|pass_|forward|finite|embed"),
    ("waiting and hand-over", r"worker_main|pool_|run_items|futex|schedule|wake|switch|spin|idle|syscall|entry_|irq|sched"),
]


def kind_of(symbol):
    return next((name for name, pattern in KINDS if re.search(pattern, symbol)), "other")


def record(a, test):
    with tempfile.NamedTemporaryFile(suffix=".perf") as data:
        command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "999", "-o", data.name, a.moat, "bench", a.model, *test, "-t", str(a.threads),
                   "-r", str(a.rounds), "--noise", "100", "--ceilings", "-o", "jsonl"]
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        lines = subprocess.run(["perf", "report", "-i", data.name, "--stdio", "--no-children", "-F", "overhead,symbol"], check=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.splitlines()
    symbols = [re.match(r"\s*([\d.]+)%\s+\[(.)\]\s+(\S+)", line) for line in lines]
    return json.loads(out), [(m[3], float(m[1])) for m in symbols if m]


CEILING_LOOPS = r"^(fma|maddubs|dpbusd)_\d+$|probe_item"


def report(a, test):
    r, symbols = record(a, test)
    symbols = [(s, share) for s, share in symbols if not re.search(CEILING_LOOPS, s) and kind_of(s) != "loading"]
    total = sum(share for _, share in symbols)
    cpu = sum(r["samples_cpu_ns"]) / len(r["samples_cpu_ns"]) / a.threads
    steps = max(1, r["n_gen"]) if r["n_gen"] else -(-r["n_prompt"] // r["n_batch"])
    ideal = {"products": max(r["ceiling_products_ns"], r["ceiling_read_ns"]), "attention": r["ceiling_attention_ns"]}
    print(f"\n{r['test']}, {a.threads} threads: {cpu / steps / 1e6:.2f} ms of each thread a step, {100 * r['ceiling_share']:.0f} % of the ceiling"
          f" (foreign CPU {100 * r['foreign_cpu']:.0f} %)\n\n| work | share | of its ceiling |\n| --- | ---: | ---: |")
    for name in [n for n, _ in KINDS[1:]] + ["other"]:
        share = sum(s for symbol, s in symbols if kind_of(symbol) == name) / total
        reached = f"{100 * ideal[name] / (share * cpu):.0f} %" if name in ideal and share else ""
        print(f"| {name} | {100 * share:.1f} % | {reached} |")
    if a.functions:
        for symbol, share in symbols[:a.functions]:
            print(f"    {100 * share / total:5.1f} %  {symbol}")


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("model")
    ap.add_argument("--moat", default="build/moat")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--rounds", type=int, default=10)
    ap.add_argument("--functions", type=int, default=0, metavar="N", help="also the N functions that take most")
    ap.add_argument("--tests", default="-p 512 -n 0;-p 0 -n 64;-p 0 -n 32 --seqs 16;-p 0 -n 32 --seqs 64")
    a = ap.parse_args()
    if not any(os.access(os.path.join(p, "perf"), os.X_OK) for p in os.environ["PATH"].split(":")):
        sys.exit("profile: perf is missing; Debian has it in linux-perf")
    for test in a.tests.split(";"):
        report(a, test.split())


main()
