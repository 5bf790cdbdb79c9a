#!/usr/bin/env bash
# make long: what takes hours. Fuzzing (FUZZ_MINUTES each, default 10; model files FUZZ_MINUTES_GGUF, default 60), exhaustive sweeps of the functions,
# compilers and optimisation levels against the golden hashes, one answer from many requests.
set -euo pipefail
cd "$(dirname "$0")/.."
for source in tests/fuzz/fuzz_*.c; do
    target=$(basename "$source" .c)
    minutes=${FUZZ_MINUTES:-10}
    [ "$target" != fuzz_gguf ] || minutes=${FUZZ_MINUTES_GGUF:-60}
    tools/fuzz.sh "${target#fuzz_}" "$minutes"
done
for script in tests/kern/*.sh; do
    echo "== $script"
    bash "$script" --all
done
echo "== a machine of two nodes" && bash tests/tools/numa_qemu.sh
if [ -e tests/kern/sweep.c ]; then
    make --no-print-directory build/tests/kern/sweep && build/tests/kern/sweep
fi
echo "== 30 requests of 256 tokens give one answer"
MOAT=$PWD/build/moat MOAT_TEST_MODEL=${MOAT_TEST_MODEL:-$(tools/default_model.sh --path)} python3 tests/serve/test_determinism.py --full
echo "long: all passed"
