#!/usr/bin/env bash
# slow: the golden hashes notice what they are for: the definition compiled with contraction gives others (numerics 11 d), compiled
# without it, at any level of optimisation, the same.
set -u
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build}
out=$BUILD/negative_control
mkdir -p "$out"
passed=0 failed=0

hashes() { # hashes COMPILER FLAGS...: those of the plain text built so
    local cc=$1 f objects=''
    shift
    for f in src/kern/kern_{def,def_dot,math,pack,stored}.c tests/kern/test_dot.c; do
        "$cc" -std=gnu17 -w -D_GNU_SOURCE -Isrc -Itests -isystem build/deps/include "$@" -c "$f" -o "$out/$(basename "$f").o" || return 1
        objects="$objects $out/$(basename "$f").o"
    done
    "$cc" -o "$out/test_dot" $objects "$BUILD/libmoat.a" $BUILD/deps/yyjson.o -lcrypto -lm -pthread && "$out/test_dot" --golden
}
lines() { grep -o '"[A-Z0-9_]*", 0x[0-9a-f]*'; }
expect() { # expect same|other COMPILER FLAGS...
    local want=$1 got=other said
    shift
    command -v "$1" >/dev/null || { echo "$1 is not there"; return; }
    said=$(hashes "$@" | lines)
    if [ -z "$said" ]; then got=no; elif [ "$said" = "$(lines <tests/kern/golden_dot.h)" ]; then got=same; fi
    if [ $got = "$want" ]; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "FAIL $*: $got hashes, not $want"; fi
}

expect same gcc -O0 -ffp-contract=off
expect same gcc -O3 -ffp-contract=off
expect same clang -O2 -ffp-contract=off
if [ "$(uname -m)" = x86_64 ]; then
    expect same gcc -O3 -mfma -ffp-contract=off
    expect same clang -O3 -mfma -ffp-contract=off
    expect other gcc -O3 -mfma -ffp-contract=fast
fi
echo "$passed passed, $failed failed"
[ $failed = 0 ]
