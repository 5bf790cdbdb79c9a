#!/usr/bin/env bash
# make test: runs every test program that was built, then the Python tests against the real binary. Prints one line each,
# the output of what failed, and the totals. QUICK=1 (sanitizer builds) leaves out the Python tests marked "# slow" in line 2.
set -u
cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
python=build/venv/bin/python3
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Adds up what a run printed: cmocka's "[  PASSED  ] N test(s).", or "N passed, N failed[, N skipped]".
count() {
    local p f s
    p=$(sed -nE 's/^.*\[  PASSED  \] ([0-9]+) test.*/\1/p; s/^.*\b([0-9]+) passed, [0-9]+ failed.*/\1/p' "$log" | tail -n 1)
    f=$(sed -nE 's/^.*\b[0-9]+ passed, ([0-9]+) failed.*/\1/p; s/^.*\[  FAILED  \] ([0-9]+) test.*/\1/p' "$log" | tail -n 1)
    s=$(sed -nE 's/^.*\b([0-9]+) skipped.*/\1/p' "$log" | tail -n 1)
    n_passed=${p:-0} n_failed=${f:-0} n_skipped=${s:-0}
}

run() {
    local name=$1 start=$SECONDS status n_passed n_failed n_skipped
    shift
    timeout -k 5 "${TEST_TIMEOUT:-900}" "$@" >"$log" 2>&1
    status=$?
    count
    if [ $status != 0 ] && [ "$n_failed" = 0 ]; then n_failed=1; fi
    if [ $status = 0 ] && [ "$n_failed" = 0 ] && [ "$n_passed" = 0 ] && [ "$n_skipped" = 0 ]; then n_failed=1; echo "(it printed no result)" >>"$log"; fi
    passed=$((passed + n_passed)) failed=$((failed + n_failed)) skipped=$((skipped + n_skipped))
    if [ "$n_failed" = 0 ]; then printf 'ok    %-42s %6d passed %s %ds\n' "$name" "$n_passed" "$([ "$n_skipped" = 0 ] || echo "$n_skipped skipped")" $((SECONDS - start)); else
        tail -n 40 "$log"
        printf 'FAIL  %-42s status %d, %d failed\n' "$name" $status "$n_failed"
    fi
}

for program in $(find "$BUILD/tests" -type f -perm -u+x 2>/dev/null | sort); do
    source=tests/${program#"$BUILD/tests/"}.c
    [ -e "$source" ] && run "${program#"$BUILD/tests/"}" "$program"
done
for program in $(find "$BUILD/fuzz" -type f -perm -u+x 2>/dev/null | sort); do
    name=${program##*/}
    [ -e "tests/fuzz/$name.c" ] && run "corpus of $name" "$program" "tests/fuzz/corpus/${name#fuzz_}"
done
export MOAT="$PWD/$BUILD/moat" MOAT_TEST_MODEL
MOAT_TEST_MODEL=${MOAT_TEST_MODEL:-$(tools/default_model.sh --path 2>/dev/null || true)}
for script in $(find tests -name 'test_*.py' -o -name 'test_*.sh' -o -name 'test_*.mjs' | sort); do
    [ -n "${QUICK:-}" ] && sed -n 2p "$script" | grep -q slow && continue
    case $script in
    *.py) run "${script#tests/}" "$python" "$script" ;;
    *.sh) run "${script#tests/}" bash "$script" ;;
    *.mjs) run "${script#tests/}" node "$script" ;;
    esac
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
