#!/usr/bin/env bash
# slow: the tiers of 64-bit ARM give the golden hashes, those of kern and those of a model's logits. kern, its tests and the layers up to
# model are built by the cross compiler and run by qemu. On such a machine the ordinary tests do that already.
set -u
cd "$(dirname "$0")/../.."
cc=aarch64-linux-gnu-gcc out=build/neon
if [ "$(uname -m)" = aarch64 ] || ! command -v $cc qemu-aarch64 >/dev/null; then
    echo "no cross compiler or qemu-aarch64, or not needed here"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi

# base but for what stands on libraries of the target, kern, gguf and model. A section for each function: what the tests do not call
# is left out, with what it would need.
objects=
for f in src/base/*.c src/kern/*.c src/gguf/*.c src/model/*.c; do
    case $f in */sha256.c | */kern_avx* | */kern_amx*) continue ;; esac
    objects="$objects $out/obj/${f#src/}"
done
objects="${objects//.c/.o} $out/deps/yyjson.o"
make --no-print-directory -j2 CC=$cc BUILD=$out CFLAGS=-ffunction-sections $objects >/dev/null || exit 1
rm -f $out/libmodel.a
ar rcs $out/libmodel.a $objects || exit 1
link() { # SOURCE PROGRAM
    $cc -std=gnu17 -O1 -w -ffp-contract=off -fno-math-errno -D_GNU_SOURCE -Isrc -Itests -isystem build/deps/include "$1" -o $out/"$2" \
        $out/libmodel.a -lm -pthread -Wl,--gc-sections || exit 1
}
emulated() { # CPU PROGRAM ARGUMENTS
    qemu-aarch64 -cpu "$1" -L /usr/aarch64-linux-gnu $out/"${@:2}"
}

passed=0 failed=0 skipped=0
for test in test_dot test_fun test_fun_vec_c test_ceiling; do
    link tests/kern/$test.c $test
    emulated max $test >$out/$test.txt 2>&1 &
done
wait
for test in test_dot test_fun test_fun_vec_c test_ceiling; do
    sed "s/^/$test: /" $out/$test.txt
    read -r p f s < <(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed(, ([0-9]+) skipped)?$/\1 \2 \4/p' $out/$test.txt)
    passed=$((passed + ${p:-0})) failed=$((failed + ${f:-1})) skipped=$((skipped + ${s:-0}))
done

check() { # NAME CONDITION...
    if "${@:2}"; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "FAIL: $1"; fi
}
for tier in neon i8mm; do
    check "the tier $tier was not there" grep -q "^$tier: " $out/test_dot.txt
done

# The second line of test_model_hashes.py, whose hash is the second one of a model.
link tests/golden/logits_raw.c logits_raw
ids=$(python3 -c 'print(*[(i * i * 37 + i * 101 + 26) % 288 for i in range(70)])')
logits() { # CPU MODEL [ISA]
    echo "$ids" | emulated "$1" logits_raw tests/golden/models/"$2".gguf ${3:-} | sha256sum | cut -d' ' -f1
}
for model in tiny-llama tiny-kquants; do
    want=$(python3 -c 'import json, sys; print(json.load(open("tests/golden/model_hashes.json"))[sys.argv[1] + " f16"][1])' $model)
    check "logits of $model with i8mm" [ "$(logits max $model i8mm)" = "$want" ]
    check "logits of $model on a processor without i8mm" [ "$(logits neoverse-n1 $model neon)" = "$want" ]
    check "logits of $model on a processor without dot products" [ "$(logits cortex-a72 $model)" = "$want" ]
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
