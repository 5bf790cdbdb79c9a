#!/usr/bin/env python3
"""bench/compare.py with a peer that only looks like llama-bench and llama-batched-bench: which rows come, that the fastest of a peer's modes
counts, and that the ratio is moat's rate over the peer's."""
import json
import os
import subprocess
import sys
import tempfile

MOAT = os.environ.get("MOAT", "build/moat")
MODEL = "tests/golden/models/" + sorted(os.listdir("tests/golden/models"))[0]
PEER = '''#!/usr/bin/env python3
import json, sys
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
seconds = float(given["--seconds"])
if "-npl" in given:
    print("main: n_kv_max = 1\\n|  PP |  TG |  B | N_KV | T_PP s | S_PP t/s | T_TG s | S_TG t/s | T s | S t/s |\\n|-----|-----|")
    print(f"|   1 | {given['-ntg']} | {given['-npl']} | 9 | 7.0 | 1.0 | {seconds} | 1.0 | 9.0 | 1.0 |")
else:
    print(json.dumps([{"samples_ns": [seconds * 1e9] * int(given["-r"])}]))
'''


def compare(folder, *args):
    path = os.path.join(folder, "peer")
    with open(path, "w") as f:
        f.write(PEER)
    os.chmod(path, 0o755)
    log = os.path.join(folder, "log")
    out = subprocess.run([sys.executable, "bench/compare.py", "--moat", MOAT, "--model", f"tiny={MODEL}", "--threads", "1", "--rounds", "3", "--noise", "1",
                          "--log", log, *(a.replace("PEER", path) for a in args)], capture_output=True, text=True, timeout=300)
    assert out.returncode == 0, out
    with open(log) as f:
        rounds = [json.loads(line) for line in f]
    return [[c.strip() for c in line.split("|")[1:-1]] for line in out.stdout.splitlines() if line.startswith("| tiny")], rounds


def main():
    with tempfile.TemporaryDirectory() as folder:
        rows, rounds = compare(folder, "--tests", "pp8,tg4,tg4x2", "--llama-bench", "fake=PEER --seconds 50", "--llama-bench", "fake=PEER --seconds 20",
                               "--llama-batched-bench", "fake=PEER --seconds 40")
    assert [r[1:3] for r in rows] == [["pp8", "fake"], ["tg4", "fake"], ["tg4x2", "fake"]], rows
    for (_, _, _, moat, peer, wall, *_), tokens, seconds in zip(rows, (8, 4, 8), (20, 20, 40)):
        assert float(peer) == round(tokens / seconds, 1) and float(moat) > 0, rows
        mine = sorted(r["ns"] for r in rounds if r["who"] == "moat" and r["test"] == rows[[8, 4].index(tokens) if seconds == 20 else 2][1])
        assert abs(float(wall) - seconds * 1e9 / mine[1]) < 0.01 * float(wall) + 0.01, (rows, mine)
    assert len(rounds) == 3 * 3 * 2, rounds
    print(f"{len(rows)} passed, 0 failed")


main()
