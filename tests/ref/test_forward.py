#!/usr/bin/env python3
"""Forward passes against decoder.py, in settings that no model of ../shared/families has: scaled rotation, windows and shapes by
layer, biases. Tolerance: 1e-4 of the largest logit, as for the families (float32 against binary64).

usage: test_forward.py [NAME...]
"""
import json
import math
import os
import sys

from decoder import ARR, BOOL, F32, I32, N_VOCAB, STR, U32, Model, Spec
from difference import difference, report

TOKENS = [(i * i * 37 + i * 101 + 13) % N_VOCAB for i in range(150)]
LINEAR, YARN = ("rope.scaling.type", STR, "linear"), ("rope.scaling.type", STR, "yarn")

CASES = {
    "llama plain": Spec(),
    "llama tied": Spec(tied=True),
    "llama with biases": Spec(qkv_bias=True, bias=True),
    "llama with biases of q, k and v": Spec(qkv_bias=True),
    "llama linear": Spec(scaling=("linear", 2.5), keys=(LINEAR, ("rope.scaling.factor", F32, 2.5))),
    "llama linear, older key": Spec(scaling=("linear", 4.0), keys=(("rope.scale_linear", F32, 4.0),)),
    "llama yarn": Spec(scaling=("yarn", 4.0, 64, 1.0), keys=(YARN, ("rope.scaling.factor", F32, 4.0), ("rope.scaling.original_context_length", U32, 64))),
    "llama yarn, wide, its own factor": Spec(d_k=64, d_v=64, n_rot=64, base=1e6, scaling=("yarn", 8.0, 256, 0.75), keys=(
        YARN, ("rope.scaling.factor", F32, 8.0), ("rope.scaling.original_context_length", U32, 256), ("rope.scaling.attn_factor", F32, 0.75))),
    "llama yarn, the factor as a whole": Spec(scaling=("yarn", 4.0, 64, 1.3 / (0.1 * math.log(4) + 1)), keys=(
        YARN, ("rope.scaling.factor", F32, 4.0), ("rope.scaling.original_context_length", U32, 64), ("rope.scaling.yarn_attn_factor", F32, 1.3))),
    "llama yarn with a multiplier below": Spec(scaling=("yarn", 4.0, 64, 1 / (0.05 * math.log(4) + 1)), keys=(
        YARN, ("rope.scaling.factor", F32, 4.0), ("rope.scaling.original_context_length", U32, 64), ("rope.scaling.yarn_log_multiplier", F32, 0.5))),
    "llama with stored factors": Spec(factors=(1.0, 1.0, 1.25, 1.5, 2.0, 4.0, 8.0, 8.0)),
    "llama with a window": Spec(windows=(40,) * 3, keys=(("attention.sliding_window", U32, 40),)),
    "llama with windows by layer": Spec(windows=(20, 0, 70), keys=(("attention.sliding_window", ARR, (I32, [20, 0, 70])),)),
    "llama, every second layer windowed": Spec(windows=(24, 0, 24), keys=(("attention.sliding_window", U32, 24), ("attention.sliding_window_pattern", U32, 2))),
    "llama, windowed by a list": Spec(windows=(0, 24, 24), keys=(("attention.sliding_window", U32, 24), ("attention.sliding_window_pattern", ARR, (BOOL, [0, 1, 1])))),
    "llama with shapes by layer": Spec(heads=(4, 2, 6), kv_heads=(4, 1, 2), n_ff=(96, 160, 64)),
    "llama, keys wider than values": Spec(d_k=32, d_v=16, n_rot=32),
    "llama, a part of a head rotated": Spec(n_rot=8),
    "internlm2": Spec(arch="internlm2"),
    "ernie4_5": Spec(arch="ernie4_5", tied=True),
    "exaone": Spec(arch="exaone", adjacent=False, tied=True, factors=(1.0, 1.0, 1.0, 1.5, 2.0, 8.0, 8.0, 8.0)),
    "gemma": Spec(arch="gemma", adjacent=False, tied=True, act="gelu_tanh", embd_scale=8.0, d_k=32, d_v=32, n_rot=32, kv_heads=(1, 1, 1), eps=1e-6),
    "starcoder2": Spec(arch="starcoder2", adjacent=False, layer_norm=True, norm_bias=True, gated=False, act="gelu_tanh", qkv_bias=True, bias=True, tied=True),
    "olmo2": Spec(arch="olmo2", adjacent=False, pre_norm=False, post_norm=True, qk_norm="whole"),
    "olmo2 with windows": Spec(arch="olmo2", adjacent=False, pre_norm=False, post_norm=True, qk_norm="whole", heads=(4,) * 5, kv_heads=(2,) * 5, n_ff=(96,) * 5,
                               windows=(24, 24, 24, 0, 24), scaling=("yarn", 4.0, 64, 1.0), scaled_windows=False,
                               keys=(("attention.sliding_window", U32, 24), YARN, ("rope.scaling.factor", F32, 4.0), ("rope.scaling.original_context_length", U32, 64))),
}


def case(name, spec, seed):
    def difference_in(tmp):
        model, path = Model(spec, seed), os.path.join(tmp, "model.gguf")
        model.write(path)
        return difference(path, json.dumps(TOKENS) + "\n", model.logits(TOKENS), tmp)
    return name, difference_in


def main():
    wanted = tuple(sys.argv[1:])
    return report(case(name, spec, seed) for seed, (name, spec) in enumerate(CASES.items()) if not wanted or name.startswith(wanted))


sys.exit(main())
