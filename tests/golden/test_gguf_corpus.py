"""Reads the valid files of ../shared/gguf and sees that each of the malformed ones is refused, its fault named, by the
corpus's own judges (refusals.py, check_valid.py). Sanitizers reserve much memory: with QUICK the limit on it is lifted."""
import os
import re
import subprocess
import sys

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "shared", "gguf")
MOAT = os.environ.get("MOAT", "build/moat")


def judge(script, *args):
    run = subprocess.run([sys.executable, os.path.join(FOLDER, script), *args], capture_output=True, text=True)
    return run.stdout + run.stderr


if not os.path.exists(os.path.join(FOLDER, "refusals.py")):
    print("../shared/gguf is missing")
    print("0 passed, 0 failed, 246 skipped")
    sys.exit(0)

valid = judge("check_valid.py", MOAT)
verdicts = re.findall(r"^\S+\.gguf +(\S+)", valid, re.M)
good = verdicts.count("ok")
bad = len(verdicts) - good
refusals = judge("refusals.py", os.path.join(FOLDER, "malformed"), *(["--data", "40000000"] if os.environ.get("QUICK") else []), "--", MOAT, "check", "{}")
total = re.search(r"^(?:(\d+) not ok)?(?:, )?(?:(\d+) ok)? of (\d+)$", refusals, re.M)
if bad:
    print(valid)
if not total or total[1]:
    print(refusals)
refused, accepted = (int(total[2] or 0), int(total[1] or 0)) if total else (0, 1)
passed, failed = good + refused, bad + accepted + (not verdicts)
print(f"{passed} passed, {failed} failed, 0 skipped")
sys.exit(failed != 0)
