#!/usr/bin/env bash
# fuzz.sh TARGET MINUTES: one fuzz target under libFuzzer with AddressSanitizer and UBSan, from its committed corpus and what
# earlier runs found (build/fuzz-work/TARGET). Prints executions, coverage, and findings, which stay in build/fuzz-findings/TARGET.
# fuzz.sh --minimise TARGET [N]: prints the N inputs (default 200) that cover most, smallest first, for the committed corpus.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/fuzzer
usage() { sed -n '2,4s/^# //p' "$0"; echo "targets: $(ls tests/fuzz/fuzz_*.c | sed 's/.*fuzz_\(.*\)\.c/\1/' | xargs)"; exit 2; }
[ $# -ge 2 ] && [ "$2" != 0 ] || usage
minimise=''
[ "$1" = --minimise ] && { minimise=1; shift; }
target=$1
[ -e "tests/fuzz/fuzz_$target.c" ] || usage

make --no-print-directory -j2 BUILD=$build CC=clang OPT="-O1 -g" SAN_KERN= SAN="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all" \
    "$build/fuzzer/$target" >&2
corpus=tests/fuzz/corpus/$target work=build/fuzz-work/$target findings=build/fuzz-findings/$target
mkdir -p "$work" "$findings"

if [ -n "$minimise" ]; then
    rm -rf "$work.min" && mkdir "$work.min"
    "$build/fuzzer/$target" -merge=1 "$work.min" "$corpus" "$work" >/dev/null 2>&1
    ls -Sr "$work.min" | head -n "${2:-200}" | sed "s|^|$work.min/|"
    exit 0
fi

dict=()
[ ! -e "tests/fuzz/$target.dict" ] || dict=(-dict="tests/fuzz/$target.dict")
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
"$build/fuzzer/$target" -max_total_time="$(($2 * 60))" -print_final_stats=1 -timeout=20 -rss_limit_mb=2048 -artifact_prefix="$findings/" \
    "${dict[@]}" "$work" "$corpus" >"$log" 2>&1 || status=$?
[ $status = 0 ] || grep -A 30 -m 1 -E 'ERROR|runtime error|ASSERT|assert' "$log" || tail -n 40 "$log"
runs=$(sed -nE 's/^stat::number_of_executed_units: *//p' "$log")
covered=$(grep -oE 'cov: [0-9]+ ft: [0-9]+' "$log" | tail -n 1)
edges=$(sed -nE 's/.*Loaded .* \(([0-9]+) inline 8-bit counters\).*/\1/p' "$log" | paste -sd+ | bc)
echo "$target: ${runs:-?} executions in $2 min, ${covered:-cov: ?} of ${edges:-?} edges, $(ls "$findings" | wc -l) findings$([ $status = 0 ] || echo ", status $status")"
[ $status = 0 ]
