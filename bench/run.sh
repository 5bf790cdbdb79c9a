#!/usr/bin/env bash
# make bench: the judged table: moat beside llama.cpp, and beside ik_llama.cpp where IK_LLAMA_BENCH names its llama-bench, interleaved
# in one run. The 1.5B models have random weights at Qwen2.5-Coder's shape. ROUNDS (default 5); further arguments go to compare.py.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh test
tools/setup.sh peers
python=build/venv/bin/python3 models=build/models
args=(--model "SmolLM2 Q4_1=$(tools/default_model.sh --path)" --model "Gemma-270M Q4_K_M=$(tools/gemma_model.sh)")
for format in Q4_K_M Q4_0 Q8_0; do
    file=$models/coder-1.5b.$format.gguf
    [ -e $file ] || { $python bench/random_model.py coder-1.5b $format $file.tmp && mv $file.tmp $file; }
    args+=(--model "1.5B $format=$file")
done
if [ -n "${IK_LLAMA_BENCH:-}" ]; then
    args+=(--llama-bench "ik_llama.cpp=$IK_LLAMA_BENCH -rtr 0" --llama-bench "ik_llama.cpp=$IK_LLAMA_BENCH -rtr 1")
fi
exec $python bench/compare.py --moat "${BUILD:-build}/moat" --python "${PEERS:-build/peers}/bin/python3" --judge --rounds "${ROUNDS:-5}" "${args[@]}" "$@"
