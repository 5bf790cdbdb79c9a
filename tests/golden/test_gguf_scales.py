#!/usr/bin/env python3
"""Scales of whole matrices (NAME.scale, as NVFP4 files have them): weights halved under a scale of 2 compute the same bits, biases included;
what is no such scale is refused."""
import json
import math
import os
import struct
import subprocess
import sys
import tempfile

from gguf_file import File, written
from tally import Tally

HERE = os.path.dirname(os.path.abspath(__file__))
MOAT = os.environ.get("MOAT", "build/moat")
MODELS = ("starcoder2", "phi2", "glm", "minicpm")  # biases, a bias of the logits, gate and up in one matrix, an output of its own


def logits(path, f):
    with open(path, "wb") as out:
        out.write(written(f.kv, f.tensors))
    run = subprocess.run([MOAT, "logits", path, "--jsonl"], input=json.dumps(list(range(40))), capture_output=True, text=True)
    return run.returncode, run.stdout, run.stderr


def is_multiplied(t):
    return len(t[1]) == 2 and (t[0].startswith("blk.") or t[0] == "output.weight")


def scaled(f):
    """Half of every matrix, and 2.0 beside it. float16 is halved exactly down to 2^-24; what is below the normal numbers becomes 0 on both sides."""
    whole, half = [], []
    for t in f.tensors:
        if not is_multiplied(t):
            whole.append(t)
            half.append(t)
            continue
        values = [v if abs(v) > 2 ** -12 else 0.0 for v, in struct.iter_unpack("<e", t[3])]
        whole.append((*t[:3], struct.pack(f"<{len(values)}e", *values)))
        half.append((*t[:3], struct.pack(f"<{len(values)}e", *(v / 2 for v in values))))
        half.append((t[0].replace(".weight", ".scale"), [1], 0, struct.pack("<f", 2.0)))
    return whole, half


def main():
    tally = Tally()
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, "model.gguf")
        for name in MODELS:
            f = File(os.path.join(HERE, "..", "ref", "truth", name + ".gguf"))
            whole, half = scaled(f)
            f.tensors = whole
            want = logits(path, f)
            f.tensors = half
            got = logits(path, f)
            tally.note(want[0] == got[0] == 0 and "error" not in want[1] and want[1] == got[1], f"{name}: {want} {got}")
            one = (half[1][0].rsplit(".", 1)[0], [1], 0, struct.pack("<f", 2.0))
            for what, tensor in {"of two values": ("blk.0.ffn_down.scale", [2], 0, bytes(8)), "not finite": ("blk.0.ffn_down.scale", [1], 0, struct.pack("<f", math.nan)),
                                 "of the embedding": ("token_embd.scale", *one[1:]), "of a norm": ("blk.0.attn_norm.scale", *one[1:]),
                                 "of the inputs of other types": ("blk.0.ffn_down.input_scale", *one[1:])}.items():
                f.tensors = whole + [tensor]
                got = logits(path, f)
                tally.note(got[0] == 3 and tensor[0] in got[2], f"{name}, a scale {what}: {got}")
        wide = os.path.join(HERE, "..", "..", "..", "shared", "families", "qwen2.f32.gguf")  # rows of 64: a block of NVFP4
        if os.path.exists(wide):
            f = File(wide)
            f.tensors = [(n, d, 40, bytes(math.prod(d) // 64 * 36)) if n == "blk.0.ffn_gate.weight" else (n, d, k, b) for n, d, k, b in f.tensors]
            want = logits(path, f)
            f.tensors.append(("blk.0.ffn_gate.input_scale", [1], 0, struct.pack("<f", 0.5)))
            tally.note(want[0] == 0 and want[:2] == logits(path, f)[:2], f"a scale of the inputs of NVFP4: {want}")
    return tally.end()


sys.exit(main())
