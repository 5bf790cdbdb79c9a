#!/usr/bin/env bash
# make check: warnings as errors with gcc and clang, format, layers, sizes, banned functions, programs that are tracked, symbols defined twice, cppcheck.
set -u
cd "$(dirname "$0")/.."
bad=0
step() {
    local name=$1
    shift
    if out=$("$@" 2>&1); then echo "ok    $name${out:+: $(echo "$out" | tail -n 1 | cut -c1-150)}"; else
        echo "$out" | grep -vE '^(gcc|clang|ar) ' | tail -n 60
        echo "FAIL  $name"
        bad=1
    fi
}
format() { find src tests -name '*.[ch]' -o -name '*.inc' | xargs clang-format --dry-run -Werror; }
build_strict() { make --no-print-directory -j2 "BUILD=build/strict-$1" "CC=$1" WERROR=-Werror "build/strict-$1/moat" && echo "no warning"; }
static() {
    cppcheck --quiet --error-exitcode=1 --enable=warning --inline-suppr --std=c11 --platform=unix64 -j2 \
        --suppressions-list=tools/cppcheck.txt -D__x86_64__ -Isrc $(find src -name '*.c' | grep -v unicode_) && echo "no finding"
}
scripts() { for f in tools/*.sh bench/*.sh .ci/run; do [ ! -e "$f" ] || bash -n "$f" || return 1; done; }
# The linker takes the first of two members of an archive that define a symbol, and says nothing.
symbols() {
    local twice
    twice=$(nm build/strict-gcc/libmoat.a 2>/dev/null | awk '$2 ~ /[TDBR]/ { print $3 }' | sort | uniq -d)
    [ -z "$twice" ] && echo "none is defined twice" || { echo "defined twice: $twice"; return 1; }
}
# What was built does not belong into the repository.
programs() {
    local built
    built=$(git ls-files -z | LC_ALL=C xargs -0 grep -laP '\A\x7fELF')
    [ -z "$built" ] && echo "none is tracked" || { echo "built, and tracked: $built"; return 1; }
}
step layers python3 tools/layers.py
step sizes python3 tools/sizes.py
step banned tools/banned.sh
step format format
step scripts scripts
step programs programs
step "gcc -Werror" build_strict gcc
step symbols symbols
step "clang -Werror" build_strict clang
step cppcheck static
[ $bad = 0 ] && echo "check: all passed"
exit $bad
