#!/usr/bin/env bash
# slow: programs of other compilers and levels of optimisation give the committed hashes of logits, on every instruction set of
# this machine. Two of them by default; --all: gcc and clang, the files of kern at -O1, -O2 and -O3 (make long).
set -u
cd "$(dirname "$0")/../.."
[ -x build/venv/bin/python3 ] && python=build/venv/bin/python3 || python=python3
passed=0 failed=0 skipped=0

try() { # try NAME CC LEVEL [MAKE-ARGUMENT...]: the rest of the program at LEVEL too
    local name=$1 cc=$2 level=$3 out=build/$1 said p f s
    shift 3
    if ! command -v "$cc" >/dev/null; then skipped=$((skipped + 1)) && echo "$cc is not there"; return; fi
    if ! make --no-print-directory -j2 "CC=$cc" "BUILD=$out" "OPT=$level -g" "$@" "$out/moat" >"build/$name.log" 2>&1; then
        tail -n 20 "build/$name.log"
        failed=$((failed + 1))
        return
    fi
    said=$(MOAT=$out/moat $python tests/golden/test_model_hashes.py --few)
    read -r p f s < <(echo "$said" | sed -nE 's/^([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\1 \2 \3/p')
    echo "$cc $level $*: $said"
    passed=$((passed + ${p:-0})) failed=$((failed + ${f:-1})) skipped=$((skipped + ${s:-0}))
}

mkdir -p build/compilers
if [ "${1:-}" = --all ]; then
    for cc in gcc clang; do
        try compilers/$cc-O1 $cc -O1 OPT_FILE=
        try compilers/$cc-O2 $cc -O2 OPT_FILE=
        try compilers/$cc-O3 $cc -O3
    done
else
    try strict-clang clang -O2 WERROR=-Werror # as make check builds it, which then finds it built; kern at -O3
    try compilers/gcc-O1 gcc -O1 OPT_FILE=
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
