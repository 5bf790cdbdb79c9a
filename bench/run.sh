#!/usr/bin/env bash
# make bench: moat beside llama.cpp on the default model, interleaved in one run; ratios are what counts on a shared machine.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh test
tools/setup.sh peers
model=$(tools/default_model.sh --path)
exec build/venv/bin/python3 bench/compare.py --moat "${BUILD:-build}/moat" --peer build/peers/bin/python3 --model "$model" "$@"
