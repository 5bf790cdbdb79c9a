#!/usr/bin/env python3
"""moat beside its peers. Rounds alternate between all of them, forwards and backwards, so that what else the machine does strikes
all alike; rounds in which others took much of the CPU are dropped where enough quiet ones remain. Prints tokens per second (best
round) and the ratios moat / peer of wall and of CPU time (medians over the rounds). Of several modes of one peer (same NAME) the
fastest counts. On a busy machine measure one thread on one CPU (--threads 1 --cpus 0): its CPU time is all that is left to compare,
since threads that wait for each other burn CPU time too."""
import argparse
import json
import os
import shlex
import statistics
import sys

import judged
import peers

QUIET = 3  # rounds at least, before noisy ones are dropped


def options():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--moat", required=True)
    ap.add_argument("--python", action="append", default=[], metavar="[NAME=]PATH", help="a Python that has llama-cpp-python")
    ap.add_argument("--llama-bench", action="append", default=[], metavar='NAME="PATH OPTIONS"', help="may be repeated: modes of one peer have one NAME")
    ap.add_argument("--llama-batched-bench", action="append", default=[], metavar='NAME="PATH OPTIONS"')
    ap.add_argument("--model", action="append", required=True, metavar="[LABEL=]PATH")
    ap.add_argument("--tests", default="pp512,tg64,tg32x16", help="pp: prefill, tg: decoding, xN: of N sequences (default %(default)s)")
    ap.add_argument("--isa", help="of moat; a peer is limited by the way it was built")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--cpus", metavar="N,N", help="the CPUs that all processes are bound to")
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--noise", type=float, default=0.1, help="share of the CPU that others may take in a round (default %(default)s)")
    ap.add_argument("--judge", action="store_true", help="print the least ratios beside, and leave out what is not judged; the wall ratio counts, in noise the CPU ratio")
    ap.add_argument("--log", metavar="FILE", help="append every round as a line of JSON")
    return ap.parse_args()


def named(text, default):
    name, eq, rest = text.partition("=")
    return (name, rest) if eq else (default or os.path.basename(text).removesuffix(".gguf"), text)


def open_peers(a):
    found = [peers.LlamaPython(*named(x, "llama.cpp")) for x in a.python]
    for kind, given in ((peers.LlamaBench, a.llama_bench), (peers.LlamaBatchedBench, a.llama_batched_bench)):
        for text in given:
            name, command = named(text, "llama-bench")
            found.append(kind(name, shlex.split(command)))
    return found


def log_round(a, label, test, name, sample):
    if a.log:
        with open(a.log, "a") as f:
            f.write(json.dumps({"model": label, "test": str(test), "threads": a.threads, "who": name, **sample.__dict__}) + "\n")


def fastest_modes(found, path, test, threads):
    """Of the peers that run this test, the fastest of each name; this is their warming round too."""
    best = {}
    for peer in found:
        sample = peer.round(path, test, threads)
        if sample and (peer.name not in best or sample.ns < best[peer.name][1]):
            best[peer.name] = (peer, sample.ns)
    return [peer for peer, _ in best.values()]


def measure(a, moat, rivals, label, path, test):
    """{name: [Sample]}, the rounds aligned."""
    who = [moat, *rivals]
    rounds = {p.name: [] for p in who}
    for i in range(a.rounds):
        for p in who if i % 2 == 0 else reversed(who):
            sample = p.round(path, test, a.threads)
            log_round(a, label, test, p.name, sample)
            rounds[p.name].append(sample)
    return rounds


def quiet_pairs(ours, theirs, noise):
    """Pairs of rounds without the noisy ones; of all noisy, the quieter ones."""
    pairs = sorted(zip(ours, theirs), key=lambda p: max(p[0].foreign, p[1].foreign))
    quiet = [p for p in pairs if max(p[0].foreign, p[1].foreign) <= noise]
    return quiet if len(quiet) >= QUIET else pairs[:QUIET]


def ratio_of(pairs):
    wall = statistics.median(t.ns / o.ns for o, t in pairs)
    known = [t.cpu_ns / o.cpu_ns for o, t in pairs if t.cpu_ns and o.cpu_ns]
    return wall, statistics.median(known) if known else None


def verdict(a, moat, label, name, test, ratio):
    """Two columns of the table, or none; counts into a.kept."""
    least = judged.least(moat.isa, label, name, test) if a.judge else None
    if least is None:
        return " |  |" if a.judge else ""
    a.kept.append(ratio >= least)
    return f" {least:5.2f} | {'yes' if ratio >= least else 'NO':>4} |"


def report(a, moat, label, test, rounds):
    ours = rounds[moat.name]
    for name in [n for n in rounds if n != moat.name]:
        pairs = quiet_pairs(ours, rounds[name], a.noise)
        wall, cpu = ratio_of(pairs)
        mine, other = (test.tokens * 1e9 / min(p[i].ns for p in pairs) for i in (0, 1))
        foreign = statistics.median(max(o.foreign, t.foreign) for o, t in pairs)
        ratio = cpu if cpu and foreign > a.noise else wall
        print(f"| {label:20} | {str(test):8} | {name:12} | {mine:8.1f} | {other:8.1f} | {wall:5.2f} | {cpu and f'{cpu:5.2f}' or '     '} "
              f"| {100 * foreign:5.0f} % |{verdict(a, moat, label, name, test, ratio)}", flush=True)


def main():
    a = options()
    a.kept = []
    moat, found = peers.Moat(a.moat, a.isa), open_peers(a)
    if not found:
        sys.exit("compare: no peer given: --python, --llama-bench or --llama-batched-bench")
    if a.cpus:
        os.sched_setaffinity(0, map(int, a.cpus.split(",")))
    head = "| model | test | peer | moat t/s | peer t/s | wall ratio | CPU ratio | foreign CPU |" + (" least | kept |" if a.judge else "")
    print(f"{a.threads} threads{a.cpus and f' on CPU {a.cpus}' or ''}, {a.rounds} rounds\n\n{head}\n|{' --- |' * (head.count('|') - 1)}", flush=True)
    for model in a.model:
        label, path = named(model, None)
        for test in map(peers.Test.parse, a.tests.split(",")):
            if a.judge and not judged.has(label, test):
                continue
            moat.round(path, test, a.threads)
            report(a, moat, label, test, measure(a, moat, fastest_modes(found, path, test, a.threads), label, path, test))
        for peer in found:
            peer.close()
    if a.judge:
        print(f"\n{sum(a.kept)} of {len(a.kept)} least ratios kept")


main()
