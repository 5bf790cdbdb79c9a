#!/usr/bin/env python3
"""Gemma 3 as Ollama's converter writes it: without the epsilon and the bases that all sizes share, or with other names for them, without the
scaling of the sizes that see images, and with the encoder of images in the same file. Each computes what the whole file does."""
import json
import os
import subprocess
import sys
import tempfile

from gguf_file import F32, STR, U32, File, written
from tally import Tally

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GEMMA3 = os.path.join(ROOT, "..", "shared", "families", "gemma3.f32.gguf")
MOAT = os.environ.get("MOAT", "build/moat")
PROMPT = [(i * i * 37 + i * 101 + 13) % 500 for i in range(70)]
EPS, BASE, SWA = "gemma3.attention.layer_norm_rms_epsilon", "gemma3.rope.freq_base", "gemma3.rope.freq_base_swa"
MARK = [("gemma3.mm.tokens_per_image", U32, 256)]
LINEAR = [("gemma3.rope.scaling.type", STR, "linear"), ("gemma3.rope.scaling.factor", F32, 8.0)]
CAP = [("gemma3.final_logit_softcapping", F32, 30.0)]


def moat(command, path, text=""):
    run = subprocess.run([MOAT, command, path, *(["--jsonl", "--threads", "1"] if command == "logits" else [])], input=text, capture_output=True, text=True)
    return run.returncode, run.stdout, run.stderr


def without(kv, *keys):
    return [item for item in kv if item[0] not in keys]


def renamed(kv, **names):
    return [(f"gemma3.rope.{names[k[12:].replace('.', '_')]}" if k[12:].replace(".", "_") in names else k, t, v) for k, t, v in kv]


def layers(f, n):
    """The same model with n layers, its own again and again."""
    own = next(v for k, _, v in f.kv if k == "gemma3.block_count")
    tensors = [t for t in f.tensors if not t[0].startswith("blk.")]
    for i in range(n):
        tensors += [(t[0].replace(f"blk.{i % own}.", f"blk.{i}.", 1), *t[1:]) for t in f.tensors if t[0].startswith(f"blk.{i % own}.")]
    return [(k, t, n if k == "gemma3.block_count" else v) for k, t, v in f.kv], tensors


def cases(f):
    images = [("v.patch_embedding.weight", [16], 0, bytes(64)), ("mm.mm_input_projection.weight", [16], 0, bytes(64))]
    nested = [("gemma3.rope.global.freq_base", F32, 1e6), ("gemma3.rope.local.freq_base", F32, 1e4)]
    bare = without(f.kv, EPS, BASE, SWA)
    yield "bare keys", (f.kv, f.tensors), (bare + MARK, f.tensors + images), True
    yield "names of its own", (f.kv, f.tensors), (bare + nested, f.tensors), True
    yield "another local base", (f.kv, f.tensors), (without(bare, SWA) + [nested[0], (nested[1][0], F32, 500.0)], f.tensors), False
    for n in (34, 48, 62):
        kv, tensors = layers(f, n)
        yield f"scaling of {n} layers", (kv + LINEAR, tensors), (without(kv, EPS, BASE, SWA) + MARK, tensors), True
        yield f"scaling of {n} layers that the file has", (kv + LINEAR, tensors), (without(kv, EPS, BASE, SWA) + MARK + LINEAR, tensors), True
    kv, tensors = layers(f, 26)
    yield "the cap of the 1B", (kv, tensors), (without(kv, EPS, BASE, SWA) + nested + CAP, tensors), True
    yield "a cap of others", (f.kv, f.tensors), (f.kv + CAP, f.tensors), False


def refused(f):
    yield "no mark", without(f.kv, EPS), EPS
    yield "no mark, no base", without(f.kv, BASE), BASE
    yield "YaRN by keys of its own", f.kv + MARK + [("gemma3.rope.scaling.extrapolation_factor", F32, 1.0)], "gemma3.rope.scaling.extrapolation_factor"


def main():
    if not os.path.exists(GEMMA3):
        print("../shared/families is missing\n0 passed, 0 failed, 1 skipped")
        return 0
    f, tally = File(GEMMA3), Tally()
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, "model.gguf")

        def run(command, kv, tensors, text=""):
            with open(path, "wb") as out:
                out.write(written(kv, tensors))
            return moat(command, path, text)

        for what, whole, ollama, same in cases(f):
            want, got = run("logits", *whole, json.dumps(PROMPT)), run("logits", *ollama, json.dumps(PROMPT))
            tally.note(want[0] == got[0] == 0 and (want[1] == got[1]) == same, f"{what}: {want} {got}")
        for what, kv, name in refused(f):
            got = run("check", kv, f.tensors)
            tally.note(got[0] == 3 and name in got[2], f"{what}: {got}")
    return tally.end()


sys.exit(main())
