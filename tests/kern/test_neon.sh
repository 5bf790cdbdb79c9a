#!/usr/bin/env bash
# slow: the tier of 64-bit ARM gives the golden hashes. kern and its tests are built by the cross compiler and run by qemu. On such
# a machine the ordinary tests do that already.
set -u
cd "$(dirname "$0")/../.."
cc=aarch64-linux-gnu-gcc out=build/neon
if [ "$(uname -m)" = aarch64 ] || ! command -v $cc qemu-aarch64 >/dev/null; then
    echo "no cross compiler or qemu-aarch64, or not needed here"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi

# kern, and base but for what stands on libraries of the target. A section for each function: what the tests do not call is left
# out, with what it would need.
objects=
for f in src/base/*.c src/kern/*.c; do
    case $f in */sha256.c | */kern_avx*) continue ;; esac
    objects="$objects $out/obj/${f#src/}"
done
objects=${objects//.c/.o}
make --no-print-directory CC=$cc BUILD=$out CFLAGS=-ffunction-sections $objects >/dev/null || exit 1
rm -f $out/libkern.a
ar rcs $out/libkern.a $objects || exit 1

passed=0 failed=0 skipped=0
for test in test_dot test_fun test_fun_vec_c; do
    $cc -std=gnu17 -O1 -w -ffp-contract=off -fno-math-errno -D_GNU_SOURCE -Isrc -Itests -isystem build/deps/include tests/kern/$test.c \
        -o $out/$test $out/libkern.a -pthread -Wl,--gc-sections || exit 1
    qemu-aarch64 -L /usr/aarch64-linux-gnu $out/$test >$out/$test.txt 2>&1
    sed "s/^/$test: /" $out/$test.txt
    read -r p f s < <(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed(, ([0-9]+) skipped)?$/\1 \2 \4/p' $out/$test.txt)
    passed=$((passed + ${p:-0})) failed=$((failed + ${f:-1})) skipped=$((skipped + ${s:-0}))
done
if ! grep -q '^neon: ' $out/test_dot.txt; then failed=$((failed + 1)) && echo "FAIL: the tier neon was not there"; fi
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
