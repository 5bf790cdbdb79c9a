"""moat bench on a tiny model: which records come, in which order and form, and that wrong options are named."""
import csv
import io
import json
import os
import sqlite3
import subprocess
import sys

from harness import Checks

MOAT = os.environ.get("MOAT", "build/moat")
MODEL = "tests/golden/models/" + sorted(os.listdir("tests/golden/models"))[0]
QUIET = ["--noise", "100"]
ENV = {**os.environ, "MOAT_THREADS": "1"}
LLAMA_BENCH = set("build_commit cpu_info backends model_filename model_type model_size model_n_params n_batch n_ubatch n_threads type_k type_v n_prompt "
                  "n_gen n_depth test_time avg_ns stddev_ns avg_ts stddev_ts samples_ns samples_ts".split())
check = Checks()


def run(*args):
    return subprocess.run([MOAT, "bench", *QUIET, *args], capture_output=True, text=True, timeout=120, env=ENV)


def keys(r):
    return r["n_prompt"], r["n_gen"], r["n_depth"], r["n_seqs"]


def records():
    args = ["-p", "16,8", "-n", "4,2", "--depth", "3", "--seqs", "1,2", "--pg", "6,2", "--mixed", "6,4", "-r", "2"]
    want = [(16, 0, 3, 1), (8, 0, 3, 1), (0, 4, 3, 1), (0, 4, 3, 2), (0, 2, 3, 1), (0, 2, 3, 2), (6, 2, 3, 1), (6, 4, 3, 1), (6, 4, 3, 2)]
    out = run(MODEL, *args, "-o", "json")
    got = json.loads(out.stdout)
    check("records in order", [keys(r) for r in got] == want, out)
    check("llama-bench's keys", LLAMA_BENCH <= got[0].keys(), LLAMA_BENCH - got[0].keys())
    names = ["pp16 @ d3", "pp8 @ d3", "tg4 @ d3", "tg4 x 2 @ d3", "tg2 @ d3", "tg2 x 2 @ d3", "pp6+tg2 @ d3", "pp6 among tg4 @ d3", "pp6 among tg4 x 2 @ d3"]
    check("names", [r["test"] for r in got] == names, got)
    for r in got:
        tokens = r["n_prompt"] + r["n_gen"] * r["n_seqs"]
        ok = len(r["samples_ts"]) == len(r["samples_ns"]) == 2 and r["model_filename"] == MODEL
        check(f"rates of {r['test']}", ok and all(abs(t * n / 1e9 - tokens) < 0.01 * tokens for t, n in zip(r["samples_ts"], r["samples_ns"])), r)
    lines = run("-m", MODEL, *args, "-o", "jsonl").stdout.splitlines()
    check("a line each, model by -m", [keys(json.loads(x)) for x in lines] == want, lines)
    rows = list(csv.DictReader(io.StringIO(run(MODEL, *args, "-o", "csv").stdout)))
    check("csv", [tuple(int(r[k]) for k in ("n_prompt", "n_gen", "n_depth", "n_seqs")) for r in rows] == want, rows)
    db = sqlite3.connect(":memory:")
    db.executescript(run(MODEL, *args, "-o", "sql").stdout)
    got = db.execute("SELECT n_prompt, n_gen, n_depth, n_seqs FROM llama_bench").fetchall()
    check("sql", got == want and db.execute("SELECT model_filename, avg_ts > 0 FROM llama_bench").fetchone() == (MODEL, 1), got)
    table = run(MODEL, *args).stdout.splitlines()
    check("md", len(table) == 2 + len(want) and all(r.count("|") == table[0].count("|") for r in table), table)
    check("-p 0 and -n 0 leave records out", len(json.loads(run(MODEL, "-p", "0", "-n", "2", "-o", "json").stdout)) == 1)
    again = ["-p", "16", "-p", "8", "-n", "4-2", "-n", "2"], ["-p", "16-4*2", "-n", "0"], ["-p", "4-16*2", "-n", "0", "-pg", "6,2", "--pg", "4,1", "-ub", "8", "-b", "4"]
    check("4-2 is no range", run(MODEL, *again[0]).returncode == 2 and run(MODEL, *again[1]).returncode == 2)
    got = [json.loads(x) for x in run(MODEL, "-p", "16", "-p", "8,4", "-n", "1-3+2", "-n", "2", "-o", "jsonl").stdout.splitlines()]
    check("repeated options add", [(r["n_prompt"], r["n_gen"]) for r in got] == [(16, 0), (8, 0), (4, 0), (0, 1), (0, 3), (0, 2)], got)
    got = [json.loads(x) for x in run(MODEL, *again[2], "-o", "jsonl").stdout.splitlines()]
    check("ranges, pairs, -pg, -ub and -b", [(r["n_prompt"], r["n_gen"], r["n_ubatch"]) for r in got] == [(4, 0, 4), (8, 0, 4), (16, 0, 4), (6, 2, 4), (4, 1, 4)], got)
    check("two thread counts", [json.loads(x)["n_threads"] for x in run(MODEL, "-p", "4", "-n", "0", "-t", "1,2", "-o", "jsonl").stdout.splitlines()] == [1, 2])


def start():
    r = json.loads(run(MODEL, "-p", "0", "-n", "0", "--start", "-r", "2", "-o", "jsonl").stdout)
    check("start", len(r["samples_ns"]) == 2 and r["rss_bytes_peak"] > 1 << 20 and r["n_prompt"] == 20, r)


def ceilings():
    r = json.loads(run("--ceilings").stdout)
    check("ceilings", r["n_threads"] == 1 and r["read_bytes"] > 0 and r["loop_ns"] > 0 and r["item_ns"] > 0, r)
    plain = json.loads(run("--ceilings", "--isa", "c").stdout)
    check("ceilings of a tier", plain["isa"] == "c" and plain["int8_ops"] == plain["f32_flops"] == 0 < plain["read_bytes"] and r["isa"] != "", plain)
    out = run(MODEL, "-p", "8", "-n", "0", "--ceilings", "-o", "jsonl")
    share = json.loads(out.stdout)["ceiling_share"]
    check("share of the ceiling", r["int8_ops"] == 0 or 0 < share < 1.5, out)


def errors():
    for args, words in [((MODEL, "-p", "x"), "n-prompt"), ((MODEL, "--seqs", "0"), "seqs"), ((MODEL, "--pg", "5"), "pg"), ((MODEL, "-d", "1,"), "depth"),
                        ((MODEL, "-n", "1,,2"), "n-gen"), ((), "MODEL"), ((MODEL, "--seqs", "9", "--chunk", "8"), "chunk"),
                        ((MODEL, "-o", "xml"), "output"), ((MODEL, "-ngl", "0"), "-ngl"), ((MODEL, "-mmp", "0"), "-mmp"), ((MODEL, "-p", "0", "-n", "0"), "no test")]:
        r = run(*args)
        check(f"refused {args[1:]}", r.returncode == 2 and words in r.stderr and r.stdout == "", r)


records()
start()
ceilings()
errors()
sys.exit(check.end())
