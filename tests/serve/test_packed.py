"""Packed weights between starts: made by the first, read by the next, made anew when they are damaged; a store that cannot be written to
and a disk that is full are no errors. The logits are the same each time. (tests/unit/test_packed.c has the damage in detail.)"""
import glob
import os
import subprocess
import sys
import tempfile

from harness import Checks

MOAT = os.environ.get("MOAT", "build/moat")
MODEL = os.environ.get("MOAT_TEST_MODEL", "")
check = Checks()


def logits(home, model=MODEL, wrap=()):  # SIGXFSZ stays ignored, as Python has it: a write beyond the limit fails then
    r = subprocess.run([*wrap, MOAT, "logits", model], input="[1, 20, 300, 4000]\n", env={**os.environ, "MOAT_HOME": home}, capture_output=True,
                       text=True, timeout=300, restore_signals=False)
    return r.returncode, r.stdout, r.stderr


def packed(home):
    return sorted(glob.glob(home + "/packed/*"))


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1]))


def blobs_are_checked(home, first):
    """A copy in the store that has rotted is not computed with under its old name, whichever byte it is; importing again mends it."""
    blob = max(glob.glob(home + "/blobs/sha256/*"), key=os.path.getsize)
    size, own = os.path.getsize(blob), [p for p in packed(home) if "/sha256-" in p]

    def refused(command):
        r = subprocess.run([MOAT, *command], env={**os.environ, "MOAT_HOME": home}, capture_output=True, text=True, timeout=300)
        return r.returncode == 3 and "m:t: the store's copy is damaged" in r.stderr

    flip(blob, size // 2)
    check("packed weights are not of the copy that has rotted since", logits(home, "m:t") == first)
    check("check looks at every byte", refused(["check", "m:t"]))
    os.unlink(own[0])
    check("a rotten weight is not packed", refused(["run", "m:t", "hi"]) and "damaged" in logits(home, "m:t")[2])
    flip(blob, size // 2)
    check("the good copy is", logits(home, "m:t") == first)
    with open(blob, "rb") as f:
        flip(blob, f.read(1 << 20).index(b"general.name") + 24)  # a letter of its value
    check("a rotten key is not read", refused(["run", "m:t", "hi"]) and "damaged" in logits(home, "m:t")[2])
    subprocess.run([MOAT, "import", MODEL, "m:t"], env={**os.environ, "MOAT_HOME": home}, check=True, capture_output=True)
    check("importing mends", logits(home, "m:t") == first)


def main():
    if not MODEL:
        print("0 passed, 0 failed, 1 skipped")
        return
    with tempfile.TemporaryDirectory() as home:
        first = logits(home)
        files = packed(home)
        check("the first start makes one file", first[0] == 0 and first[2] == "" and len(files) == 1)
        good = open(files[0], "rb").read()
        check("the second start reads it", logits(home) == first and open(files[0], "rb").read() == good)
        with open(files[0], "r+b") as f:
            f.seek(len(good) // 2)
            f.write(bytes([good[len(good) // 2] ^ 16]))
        again = logits(home)
        check("damage is said and mended", again[:2] == first[:2] and "packing anew" in again[2] and open(files[0], "rb").read() == good)
        os.truncate(files[0], len(good) // 3)
        check("a cut file is mended", logits(home)[:2] == first[:2] and open(files[0], "rb").read() == good)
        os.truncate(files[0], 0)
        full = logits(home, wrap=["prlimit", "--fsize=1000000:1000000"])
        check("a write that fails is no error", full[:2] == first[:2] and "not kept" in full[2] and os.path.getsize(files[0]) == 0)
        subprocess.run([MOAT, "import", MODEL, "m:t"], env={**os.environ, "MOAT_HOME": home}, check=True, capture_output=True)
        check("a model of the store has its own", logits(home, "m:t") == first and len(packed(home)) == 2)
        blobs_are_checked(home, first)
        subprocess.run([MOAT, "rm", "m:t"], env={**os.environ, "MOAT_HOME": home}, check=True, capture_output=True)
        check("and loses it with the model", packed(home) == files)
    check("no store at all", logits("/proc/none") == first)


main()
sys.exit(check.end())
