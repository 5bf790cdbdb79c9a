#!/usr/bin/env bash
# make long: what takes hours. Fuzzing with libFuzzer (FUZZ_SECONDS each, default 600), exhaustive sweeps of the functions,
# compilers and optimisation levels against the golden hashes, one answer from many requests.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-600}
fuzz_build=build/libfuzzer
make --no-print-directory -j2 BUILD=$fuzz_build CC=clang OPT="-O1 -g" SAN="-fsanitize=fuzzer-no-link,address,undefined" $fuzz_build/libmoat.a \
    $fuzz_build/deps/yyjson.o $fuzz_build/deps/llhttp.o $fuzz_build/deps/llhttp_api.o $fuzz_build/deps/llhttp_http.o
for source in tests/fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    corpus=tests/fuzz/corpus/${name#fuzz_}
    work=build/fuzz-work/$name
    mkdir -p "$work" "$corpus"
    clang -std=gnu17 -O1 -g -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -isystem build/deps/include -Isrc -Itests "$source" -o "$fuzz_build/$name" \
        $fuzz_build/libmoat.a $fuzz_build/deps/*.o -l:libuv_a.a -lssl -lcrypto -ledit -lyaml -lm -ldl -lrt -pthread
    echo "== $name for $seconds s"
    "$fuzz_build/$name" -max_total_time="$seconds" -print_final_stats=1 -timeout=20 -rss_limit_mb=2048 "$work" "$corpus" 2>&1 | tail -n 12
done
for script in tests/kern/*.sh; do
    echo "== $script"
    bash "$script" --all
done
if [ -e tests/kern/sweep.c ]; then
    make --no-print-directory build/tests/kern/sweep && build/tests/kern/sweep
fi
echo "== 30 requests of 256 tokens give one answer"
MOAT=$PWD/build/moat MOAT_TEST_MODEL=${MOAT_TEST_MODEL:-$(tools/default_model.sh --path)} python3 tests/serve/test_determinism.py --full
echo "long: all passed"
