"""The store by its commands, and serving what it holds: nothing is left half done, also on a disk that is full."""
import json
import os
import subprocess
import sys
import tempfile

from harness import REAL, Server, Skip, run

TINY, OTHER = "tests/golden/models/tiny-llama.gguf", "tests/golden/models/tiny-window.gguf"


def moat(home, *args, before=()):
    return subprocess.run([*before, REAL, *args], env={**os.environ, "MOAT_HOME": home}, capture_output=True, text=True, timeout=120)


def names(home):
    return [m["name"] for m in json.loads(moat(home, "list", "--json").stdout)]


def assert_refused(r, status, *words):
    line = r.stderr.strip()
    assert r.returncode == status and r.stdout == "" and line.startswith("moat: ") and "\n" not in line and len(line.encode()) <= 500, r
    assert all(w in line for w in words), (words, line)


def files_below(folder):
    return sorted(os.path.join(at, f) for at, _, files in os.walk(folder) for f in files)


def test_import_list_rm():
    with tempfile.TemporaryDirectory() as home:
        assert_refused(moat(home, "serve", "--port", "0"), 3, "store is empty", "make run")
        assert moat(home, "import", TINY, "tiny:1").returncode == 0
        before = files_below(home)
        again = moat(home, "import", TINY, "tiny:2")
        assert again.returncode == 0 and files_below(home) == before, "the same bytes under the same facts are the same release"
        assert sorted(names(home)) == ["tiny:1", "tiny:2"]
        assert_refused(moat(home, "rm", "tiny:3"), 3, "tiny:3")
        assert moat(home, "rm", "tiny:1").returncode == 0 and names(home) == ["tiny:2"]
        assert moat(home, "rm", "tiny:2").returncode == 0 and names(home) == [] and not [f for f in files_below(home) if "sha256" in f]


def test_import_refuses_what_does_not_load():
    with tempfile.TemporaryDirectory() as home, tempfile.NamedTemporaryFile(suffix=".gguf") as cut:
        cut.write(open(TINY, "rb").read()[:-1000])
        cut.flush()
        assert_refused(moat(home, "import", cut.name, "cut:1"), 3, os.path.basename(cut.name))
        assert_refused(moat(home, "import", TINY, "no name:1"), 2, "no name:1")
        assert_refused(moat(home, "import", "/does/not/exist.gguf", "x:1"), 1, "/does/not/exist.gguf")
        assert names(home) == []


def test_full_disk():
    """On a disk that another model nearly fills: one line, the store as it was, and the next import works."""
    script = f"""mount -t tmpfs -o size=640k none "$1" || exit 77
export MOAT_HOME=$1
"$0" import {TINY} tiny:1 >/dev/null || exit 1
find "$1" -type f | sort > /dev/shm/before.$$; sha256sum "$1/index.json" >> /dev/shm/before.$$
"$0" import {OTHER} other:1; echo "status $?"
find "$1" -type f | sort > /dev/shm/after.$$; sha256sum "$1/index.json" >> /dev/shm/after.$$
cmp /dev/shm/before.$$ /dev/shm/after.$$ && echo same; rm /dev/shm/before.$$ /dev/shm/after.$$
"$0" rm tiny:1 && "$0" import {OTHER} other:1 && "$0" list"""
    with tempfile.TemporaryDirectory() as home:
        r = subprocess.run(["unshare", "--map-root-user", "--mount", "sh", "-c", script.replace("640k", f"{os.path.getsize(OTHER) + 220_000}"), REAL, home], capture_output=True, text=True)
    if r.returncode == 77 or "unshare" in r.stderr:
        raise Skip("no mount namespace of our own here")
    lines = r.stdout.split("\n")
    assert "status 1" in lines and "same" in lines and r.returncode == 0 and "other:1" in lines[-2], r
    assert "No space left" in r.stderr.split("\n")[0] and "MOAT_HOME" in r.stderr.split("\n")[0], r.stderr


def test_damaged_store_is_named():
    with tempfile.TemporaryDirectory() as home:
        assert moat(home, "import", TINY, "tiny:1").returncode == 0
        index = os.path.join(home, "index.json")
        good = open(index).read()
        for bad in (good[:40], good.replace("sha256:", "sha256:zz", 1), "[]", '{"schemaVersion": 2, "manifests": 3}', "\0\1"):
            open(index, "w").write(bad)
            assert_refused(moat(home, "show", "tiny:1"), 3, "index.json")
        open(index, "w").write(good)
        blob = max((f for f in files_below(home) if "sha256" in f), key=os.path.getsize)
        os.chmod(blob, 0o644)
        os.truncate(blob, 5000)
        assert_refused(moat(home, "show", "tiny:1"), 3, "blob")
        os.unlink(blob)
        assert_refused(moat(home, "show", "tiny:1"), 3, "blob", "import the file again")
        assert_refused(moat(index, "list"), 1, "Not a directory")


def test_serving_the_store():
    """All of its models, the default one first, which also answers requests that name none."""
    with tempfile.TemporaryDirectory() as home:
        for file, name in ((OTHER, "other:1"), (TINY, "smollm2:135m-instruct-q4_1"), (TINY, "tiny:2")):
            assert moat(home, "import", file, name).returncode == 0
        with Server(store=home) as s:
            listed = [m["id"] for m in s.call("GET", "/v1/models")[2]["data"]]
            assert listed == ["smollm2:135m-instruct-q4_1", "other:1", "tiny:2"] and s.name == ", ".join(listed), listed
            for asked, answers in ((None, listed[0]), ("tiny:2", "tiny:2"), ("other:1", "other:1")):
                body = {"prompt": [5, 6, 7], "max_tokens": 3, "temperature": 0, **({"model": asked} if asked else {})}
                assert s.call("POST", "/v1/completions", body)[2]["model"] == answers
            status, _, answer = s.call("POST", "/v1/completions", {"model": "gone:1", "prompt": "x"})
            assert status == 404 and "'other:1'" in answer["error"]["message"]


run(sys.modules[__name__])
