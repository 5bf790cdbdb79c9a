#!/usr/bin/env python3
"""Writes the tiny models in models/: random weights from a fixed seed, so that a clone can check every bit by itself. Needs
Python alone; writing them again gives the same bytes. Blocks of quantised types are random bytes under scales that are drawn.

usage: make_tiny.py [FOLDER]
"""
import os
import random
import struct
import sys

F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K = 0, 1, 2, 3, 6, 7, 8, 12, 13, 14
ALIGN = 32
N_VOCAB = 288
# type: (values of a block, bytes of a block before and after the f16 fields, f16 fields (relative size of each))
BLOCKS = {
    Q4_0: (32, 0, 16, (1 / 4.6,)), Q4_1: (32, 0, 16, (1 / 4.6, -1.6)), Q5_0: (32, 0, 20, (1 / 9.2,)), Q5_1: (32, 0, 20, (1 / 9.2, -1.6)),
    Q8_0: (32, 0, 32, (1 / 74,)),
    Q4_K: (256, 0, 140, (1 / 140, 1 / 20)), Q5_K: (256, 0, 172, (1 / 280, 1 / 20)), Q6_K: (256, 208, 0, (1 / 1400,)),
}


class Writer:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.kv, self.infos, self.data = [], [], bytearray()

    def string(self, s):
        return struct.pack("<Q", len(s.encode())) + s.encode()

    def put(self, key, kind, value):
        number = {"u32": (4, "<I"), "i32": (5, "<i"), "f32": (6, "<f"), "bool": (7, "<?")}
        if kind == "str":
            body = struct.pack("<I", 8) + self.string(value)
        elif kind == "strs":
            body = struct.pack("<IIQ", 9, 8, len(value)) + b"".join(self.string(s) for s in value)
        elif kind == "i32s":
            body = struct.pack("<IIQ", 9, 5, len(value)) + struct.pack(f"<{len(value)}i", *value)
        else:
            body = struct.pack("<I", number[kind][0]) + struct.pack(number[kind][1], value)
        self.kv.append(self.string(key) + body)

    def tensor(self, name, dims, dtype, scale, offset=0.0):
        self.data += b"\0" * (-len(self.data) % ALIGN)
        self.infos.append(self.string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, dtype, len(self.data)))
        n = 1
        for d in dims:
            n *= d
        if dtype in (F32, F16):
            self.data += struct.pack(f"<{n}{'f' if dtype == F32 else 'e'}", *(offset + scale * self.random.gauss(0, 1) for _ in range(n)))
            return
        values, before, after, fields = BLOCKS[dtype]
        for _ in range(n // values):
            size = scale * self.random.uniform(0.5, 1.5)
            self.data += self.random.randbytes(before) + struct.pack(f"<{len(fields)}e", *(size * f for f in fields)) + self.random.randbytes(after)

    def write(self, path):
        head = b"GGUF" + struct.pack("<IQQ", 3, len(self.infos), len(self.kv)) + b"".join(self.kv) + b"".join(self.infos)
        with open(path, "wb") as f:
            f.write(head + b"\0" * (-len(head) % ALIGN) + self.data)


def byte_names():
    """The characters that byte-level BPE writes bytes as."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b) if b in plain else chr(next(others)) for b in range(256)]


def vocabulary(w):
    names = byte_names()
    tokens = names + ["<|start|>", "<|end|>"] + ["t" + str(i) for i in range(N_VOCAB - 258)]
    w.put("tokenizer.ggml.model", "str", "gpt2")
    w.put("tokenizer.ggml.pre", "str", "gpt-2")
    w.put("tokenizer.ggml.tokens", "strs", tokens)
    w.put("tokenizer.ggml.token_type", "i32s", [1] * 256 + [3, 3] + [1] * (N_VOCAB - 258))
    w.put("tokenizer.ggml.merges", "strs", ["t 0"])
    w.put("tokenizer.ggml.eos_token_id", "u32", 257)


def keys(w, name, arch, n_layers, n_embd, n_heads, n_kv, d, n_ff, eps, extra):
    w.put("general.architecture", "str", arch)
    w.put("general.name", "str", name)
    for key, value in (("block_count", n_layers), ("context_length", 1024), ("embedding_length", n_embd), ("feed_forward_length", n_ff),
                       ("attention.head_count", n_heads), ("attention.head_count_kv", n_kv), ("attention.key_length", d),
                       ("attention.value_length", d), ("rope.dimension_count", d)):
        w.put(f"{arch}.{key}", "u32", value)
    w.put(f"{arch}.attention.{eps}", "f32", 1e-5)
    for key, kind, value in extra:
        w.put(f"{arch}.{key}", kind, value)
    vocabulary(w)


def llama(w, name, arch, n_layers, n_embd, n_heads, n_kv, d, n_ff, types, tied, biases=False, extra=()):
    keys(w, name, arch, n_layers, n_embd, n_heads, n_kv, d, n_ff, "layer_norm_rms_epsilon", extra)
    kind = iter(types * 100)

    def matrix(tensor, n, k, gain=1.0):
        w.tensor(tensor + ".weight", (k, n), next(kind), gain / k ** 0.5)
        if biases:
            w.tensor(tensor + ".bias", (n,), F32, 0.1)

    w.tensor("token_embd.weight", (n_embd, N_VOCAB), next(kind), 1.0)
    w.tensor("output_norm.weight", (n_embd,), F32, 0.2, 1.0)
    if not tied:
        w.tensor("output.weight", (n_embd, N_VOCAB), next(kind), 2 / n_embd ** 0.5)
    for i in range(n_layers):
        w.tensor(f"blk.{i}.attn_norm.weight", (n_embd,), F32, 0.2, 1.0)
        w.tensor(f"blk.{i}.ffn_norm.weight", (n_embd,), F16 if biases else F32, 0.2, 1.0)
        matrix(f"blk.{i}.attn_q", n_heads * d, n_embd, 2.0)
        matrix(f"blk.{i}.attn_k", n_kv * d, n_embd, 2.0)
        matrix(f"blk.{i}.attn_v", n_kv * d, n_embd)
        matrix(f"blk.{i}.attn_output", n_embd, n_heads * d)
        matrix(f"blk.{i}.ffn_gate", n_ff, n_embd)
        matrix(f"blk.{i}.ffn_up", n_ff, n_embd)
        matrix(f"blk.{i}.ffn_down", n_embd, n_ff)


def matrices(w, i, types, shapes):
    for (name, n, k, gain), dtype in zip(shapes, types * 100):
        w.tensor(f"blk.{i}.{name}.weight", (k, n), dtype, gain / k ** 0.5)


def gemma2(w, name, n_layers, n, n_heads, n_kv, d, n_ff, types):
    """Windows in every second layer, caps that are felt, norms after each half."""
    keys(w, name, "gemma2", n_layers, n, n_heads, n_kv, d, n_ff, "layer_norm_rms_epsilon",
         [("attention.sliding_window", "u32", 50), ("attn_logit_softcapping", "f32", 5.0), ("final_logit_softcapping", "f32", 3.0)])
    w.tensor("token_embd.weight", (n, N_VOCAB), F16, 1.0)
    w.tensor("output_norm.weight", (n,), F32, 0.2, 1.0)
    for i in range(n_layers):
        for norm in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            w.tensor(f"blk.{i}.{norm}.weight", (n,), F32, 0.2, 1.0)
        matrices(w, i, types, (("attn_q", n_heads * d, n, 2.0), ("attn_k", n_kv * d, n, 2.0), ("attn_v", n_kv * d, n, 1.0),
                               ("attn_output", n, n_heads * d, 1.0), ("ffn_gate", n_ff, n, 1.0), ("ffn_up", n_ff, n, 1.0),
                               ("ffn_down", n, n_ff, 1.0)))


def mpt(w, name, n_layers, n, n_heads, d, n_ff, types):
    """ALiBi for heads that are no power of two, layer norms, clamped q, k and v, exact GELU without gate."""
    keys(w, name, "mpt", n_layers, n, n_heads, n_heads, d, n_ff, "layer_norm_epsilon",
         [("attention.clamp_kqv", "f32", 1.5), ("attention.max_alibi_bias", "f32", 8.0)])
    w.tensor("token_embd.weight", (n, N_VOCAB), F16, 1.0)
    w.tensor("output_norm.weight", (n,), F32, 0.2, 1.0)
    for i in range(n_layers):
        for norm in ("attn_norm", "ffn_norm"):
            w.tensor(f"blk.{i}.{norm}.weight", (n,), F32, 0.2, 1.0)
        matrices(w, i, types, (("attn_qkv", 3 * n_heads * d, n, 1.0), ("attn_output", n, n_heads * d, 1.0), ("ffn_up", n_ff, n, 1.0),
                               ("ffn_down", n, n_ff, 1.0)))


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "models")
    os.makedirs(folder, exist_ok=True)
    w = Writer(1)  # K not a multiple of 64, N not of 16 * 2; products of both kinds from one input
    llama(w, "tiny-llama", "llama", 3, 96, 6, 2, 16, 160, [Q8_0, Q4_0, Q4_1, Q8_0, F16, Q5_0, Q5_1], True)
    w.write(os.path.join(folder, "tiny-llama.gguf"))
    w = Writer(2)
    llama(w, "tiny-window", "llama", 2, 48, 4, 4, 24, 72, [F16, F32], False, True,
          [("attention.sliding_window", "u32", 40), ("rope.freq_base", "f32", 20000.0), ("rope.scaling.type", "str", "yarn"),
           ("rope.scaling.factor", "f32", 4.0), ("rope.scaling.original_context_length", "u32", 256)])
    w.tensor("rope_freqs.weight", (12,), F32, 0.1, 1.5)
    w.write(os.path.join(folder, "tiny-window.gguf"))
    w = Writer(3)
    llama(w, "tiny-kquants", "llama", 1, 256, 4, 1, 64, 256, [Q6_K, Q4_K, Q5_K], True)
    w.write(os.path.join(folder, "tiny-kquants.gguf"))
    w = Writer(4)
    gemma2(w, "tiny-caps", 2, 64, 3, 1, 32, 96, [Q8_0, Q4_1])
    w.write(os.path.join(folder, "tiny-caps.gguf"))
    w = Writer(5)
    mpt(w, "tiny-alibi", 2, 96, 3, 32, 128, [Q8_0, Q4_0])
    w.write(os.path.join(folder, "tiny-alibi.gguf"))


main()
