#!/usr/bin/env python3
"""random_model.py SHAPE FORMAT FILE: a GGUF with random weights at the real shape of a model, for measuring where the model itself
cannot be had. Speed depends on shapes and formats only; the values are sensible (unit variance through every matrix), and the
vocabulary is made up but of the right kind and size. FORMAT is a tensor type, or Q4_K_M or Q5_K_M; which tensors get which
type follows llama-quantize (--pure: all matrices the one type). Needs numpy."""
import argparse
import struct

import numpy as np

LLAMA, QWEN2, STABLELM, MPT = "llama", "qwen2", "stablelm", "mpt"
# architecture, vocabulary (kind, pre, size), embedding, layers, heads, KV heads, feed-forward, rotated dimensions, rope base, context, tied
SHAPES = {
    "smollm2-135m": (LLAMA, ("gpt2", "smollm", 49152), 576, 30, 9, 3, 1536, 64, 1e5, 8192, True),
    "llama-3.2-1b": (LLAMA, ("gpt2", "llama-bpe", 128256), 2048, 16, 32, 8, 8192, 64, 5e5, 131072, True),
    "coder-1.5b": (QWEN2, ("gpt2", "qwen2", 151936), 1536, 28, 12, 2, 8960, 128, 1e6, 32768, True),
    "stablecode-3b": (STABLELM, ("gpt2", "gpt-2", 50304), 2560, 32, 32, 32, 6912, 20, 1e6, 16384, False),
    "replit-3b": (MPT, ("unigram", "default", 32768), 2560, 32, 32, 32, 10240, 0, 0, 2048, True),
    "llama-2-7b": (LLAMA, ("llama", "default", 32000), 4096, 32, 32, 32, 11008, 128, 1e4, 4096, False),
}


class Format:
    """A tensor type: its number, values and bytes a block; where a block's f16 scale is; the standard deviation of the values
    that random bytes decode to when the scale is 1; the rest of a block (minima, packed scales) that `shape` makes fit."""

    def __init__(self, number, values, bytes_, scale_at, deviation, shape=None):
        self.number, self.values, self.bytes, self.scale_at, self.deviation, self.shape = number, values, bytes_, scale_at, deviation, shape


def minimum(at, times):
    """The f16 at `at` is `times` the scale: it centres the values."""
    return lambda f, blocks, d: put_f16(blocks, at, (d * times).astype("<f2"))


def put_f16(blocks, at, values):
    blocks[:, at:at + 2] = values.view(np.uint8).reshape(-1, 2)


def k_scales(times):
    """Q4_K, Q5_K: each sub-block's minimum equals its scale, in 6 bits each, packed into 12 bytes at 4."""
    def shape(f, blocks, d):
        blocks[:, 8:12] = blocks[:, 4:8]
        blocks[:, 12:16] = (blocks[:, 12:16] & 15) * 17
        minimum(2, times)(f, blocks, d)
    return shape


def q2_k(f, blocks, d):
    blocks[:, 0:16] = (blocks[:, 0:16] & 15) * 17
    minimum(82, 1.5)(f, blocks, d)


def iq1_m(f, blocks, d):
    """The f16 scale stands in the top nibbles of the four words at 48."""
    words = blocks[:, 48:56].copy().view("<u2")
    bits = d.astype("<f2").view("<u2")
    for i in range(4):
        words[:, i] = words[:, i] & 0xfff | (bits >> 4 * i & 15) << 12
    blocks[:, 48:56] = words.view(np.uint8)


def mxfp4(f, blocks, d):
    blocks[:, 0] = np.round(np.log2(d)).astype(int) + 127


def nvfp4(f, blocks, d):
    """Scales of 4 exponent bits (bias 7) and 3 of mantissa, here powers of two."""
    blocks[:, 0:4] = ((np.clip(np.round(np.log2(d)), -6, 7).astype(int) + 7) << 3)[:, None]


FORMATS = {
    "Q4_0": Format(2, 32, 18, 0, 4.6),
    "Q4_1": Format(3, 32, 20, 0, 4.6, minimum(2, -7.5)),
    "Q5_0": Format(6, 32, 22, 0, 9.2),
    "Q5_1": Format(7, 32, 24, 0, 9.2, minimum(2, -15.5)),
    "Q8_0": Format(8, 32, 34, 0, 74),
    "Q2_K": Format(10, 256, 84, 80, 9.8, q2_k),
    "Q3_K": Format(11, 256, 110, 108, 42),
    "Q4_K": Format(12, 256, 144, 0, 168, k_scales(7.5)),
    "Q5_K": Format(13, 256, 176, 0, 337, k_scales(15.5)),
    "Q6_K": Format(14, 256, 210, 208, 1360),
    "IQ2_XXS": Format(16, 256, 66, 0, 50),
    "IQ2_XS": Format(17, 256, 74, 0, 50),
    "IQ3_XXS": Format(18, 256, 98, 0, 130),
    "IQ1_S": Format(19, 256, 50, 0, 7),
    "IQ4_NL": Format(20, 32, 18, 0, 67),
    "IQ3_S": Format(21, 256, 110, 0, 140),
    "IQ2_S": Format(22, 256, 82, 0, 50),
    "IQ4_XS": Format(23, 256, 136, 0, 1240),
    "IQ1_M": Format(29, 256, 56, None, 7, iq1_m),
    "TQ1_0": Format(34, 256, 54, 52, 0.82),
    "TQ2_0": Format(35, 256, 66, 64, 1.1),
    "MXFP4": Format(39, 32, 17, None, 2.9, mxfp4),
    "NVFP4": Format(40, 64, 36, None, 2.9, nvfp4),
    "Q1_0": Format(41, 128, 18, 0, 1),
    "Q2_0": Format(42, 64, 18, 0, 1.1),
}
DENSE = {"F32": (0, 4), "F16": (1, 2), "BF16": (30, 2)}
MIXES = {"Q4_K_M": ("Q4_K", "Q6_K", "Q5_K"), "Q5_K_M": ("Q5_K", "Q6_K", "Q6_K")}  # base; for the layers that matter; for qkv
FALLBACK = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0", "TQ1_0": "Q4_0", "TQ2_0": "Q4_0"}  # rows of no whole number of blocks; else IQ4_NL

# ---- tensors -----------------------------------------------------------------------------------------------------------


def type_of(name, layer, n_layers, n_in, fmt, tied, pure):
    base, better, qkv = MIXES.get(fmt, (fmt, fmt, fmt))
    if not pure:
        more = layer < n_layers // 8 or layer >= 7 * n_layers // 8 or (layer - n_layers // 8) % 3 == 2
        if name == "output" or (tied and name == "token_embd"):
            base = base if base in DENSE or base == "Q8_0" else "Q6_K"
        elif name == "attn_qkv":
            base = qkv
        elif name in ("attn_v", "ffn_down") and more:
            base = better
    if base not in DENSE and n_in % FORMATS[base].values:
        base = FALLBACK.get(base, "IQ4_NL")
    return base


def type_number(t):
    return DENSE[t][0] if t in DENSE else FORMATS[t].number


def size_of(t, n):
    return n * DENSE[t][1] if t in DENSE else n // FORMATS[t].values * FORMATS[t].bytes


def matrix_bytes(rng, t, n, deviation):
    """n values of the type, in pieces that fit into memory."""
    step = 1 << 22
    for at in range(0, n, step):
        yield some_bytes(rng, t, min(step, n - at), deviation)


def some_bytes(rng, t, n, deviation):
    if t in DENSE:
        x = rng.standard_normal(n, dtype=np.float32) * np.float32(deviation)
        return x.tobytes() if t == "F32" else x.astype("<f2").tobytes() if t == "F16" else (x.view("<u4") >> 16).astype("<u2").tobytes()
    f = FORMATS[t]
    n_blocks = n // f.values
    blocks = np.frombuffer(rng.bytes(n_blocks * f.bytes), np.uint8).reshape(n_blocks, f.bytes).copy()
    d = (rng.random(n_blocks, dtype=np.float32) + np.float32(0.5)) * np.float32(deviation / f.deviation)
    if f.scale_at is not None:
        put_f16(blocks, f.scale_at, d.astype("<f2"))
    if f.shape:
        f.shape(f, blocks, d)
    return blocks.tobytes()


def tensors(shape, fmt, pure):
    """(name, [columns, rows], type or None for a float32 vector, deviation, mean)"""
    arch, (_, _, vocab), embd, layers, heads, kv_heads, ff, _, _, _, tied = shape
    head = embd // heads

    def matrix(name, n_in, n_out, layer=0, where=""):
        t = type_of(name, layer, layers, n_in, fmt, tied, pure)
        return (f"{where}{name}.weight", [n_in, n_out], t, n_in ** -0.5, 0)

    def norm(name, where=""):
        yield (f"{where}{name}.weight", [embd], None, 0.1, 1)
        if arch == STABLELM:
            yield (f"{where}{name}.bias", [embd], None, 0.1, 0)

    yield matrix("token_embd", embd, vocab)
    if not tied:
        yield matrix("output", embd, vocab)
    yield from norm("output_norm")
    if arch == LLAMA and vocab == 128256:
        yield ("rope_freqs.weight", [head // 2], None, 0, 1)
    for i in range(layers):
        at = f"blk.{i}."
        yield from norm("attn_norm", at)
        yield from norm("ffn_norm", at)
        qkv = {"attn_qkv": 3 * embd} if arch == MPT else {"attn_q": heads * head, "attn_k": kv_heads * head, "attn_v": kv_heads * head}
        for name, n in qkv.items():
            yield matrix(name, embd, n, i, at)
            if arch == QWEN2:
                yield (f"{at}{name}.bias", [n], None, 0.1, 0)
        yield matrix("attn_output", embd, embd, i, at)
        if arch != MPT:
            yield matrix("ffn_gate", embd, ff, i, at)
        yield matrix("ffn_up", embd, ff, i, at)
        yield matrix("ffn_down", ff, embd, i, at)


# ---- metadata ------------------------------------------------------------------------------------------------------------


def text(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


KINDS = {"u32": (4, "<I"), "i32": (5, "<i"), "f32": (6, "<f"), "bool": (7, "<?")}


def pair(key, kind, value):
    if kind == "str":
        return text(key) + struct.pack("<I", 8) + text(value)
    if kind == "strs":
        return text(key) + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
    number, form = KINDS[kind.rstrip("s")]
    if kind.endswith("s"):
        return text(key) + struct.pack("<IIQ", 9, number, len(value)) + np.array(value, form).tobytes()
    return text(key) + struct.pack("<I", number) + struct.pack(form, value)


def byte_chars():
    """GPT-2's character for each byte, printable ASCII first."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [b for b in range(256) if b not in kept]
    return [chr(b) for b in kept] + [chr(256 + i) for i in range(len(other))]


def vocab_bpe(pre, size):
    chars = byte_chars()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    merges, made = [], []
    short = chars
    while len(merges) < size - len(chars) - len(special):
        longer = [(a, b) for a in short for b in chars][:size - len(chars) - len(special) - len(merges)]
        merges += [f"{a} {b}" for a, b in longer]
        short = [a + b for a, b in longer]
        made += short
    first_special = len(chars) + len(made)
    yield pair("tokenizer.ggml.model", "str", "gpt2")
    yield pair("tokenizer.ggml.pre", "str", pre)
    yield pair("tokenizer.ggml.tokens", "strs", chars + made + special)
    yield pair("tokenizer.ggml.token_type", "i32s", [1] * first_special + [3] * len(special))
    yield pair("tokenizer.ggml.merges", "strs", merges)
    yield pair("tokenizer.ggml.bos_token_id", "u32", first_special)
    yield pair("tokenizer.ggml.eos_token_id", "u32", first_special)
    yield pair("tokenizer.ggml.add_bos_token", "bool", False)


def vocab_pieces(kind, size):
    chars = ["\u2581"] + [chr(c) for c in range(33, 127)]
    pieces, short = [], [""]
    head = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    while len(head) + len(pieces) < size:
        short = [a + b for a in short for b in chars]
        pieces += short[:size - len(head) - len(pieces)]
    scores = [-8 - i / 4096 - 1 / 8192 if kind == "unigram" else -float(i) for i in range(len(pieces))]
    yield pair("tokenizer.ggml.model", "str", "llama")
    yield pair("tokenizer.ggml.pre", "str", "default")
    yield pair("tokenizer.ggml.tokens", "strs", head + pieces)
    yield pair("tokenizer.ggml.scores", "f32s", [0] * len(head) + scores)
    yield pair("tokenizer.ggml.token_type", "i32s", [2, 3, 3] + [6] * 256 + [1] * len(pieces))
    yield pair("tokenizer.ggml.bos_token_id", "u32", 1)
    yield pair("tokenizer.ggml.eos_token_id", "u32", 2)
    yield pair("tokenizer.ggml.unknown_token_id", "u32", 0)


def metadata(name, shape):
    arch, (kind, pre, size), embd, layers, heads, kv_heads, ff, n_rot, base, ctx, _ = shape
    yield pair("general.architecture", "str", arch)
    yield pair("general.name", "str", f"{name}, random weights")
    counts = {"context_length": ctx, "embedding_length": embd, "block_count": layers, "feed_forward_length": ff, "attention.head_count": heads}
    if arch != MPT:
        counts |= {"attention.head_count_kv": kv_heads, "rope.dimension_count": n_rot}
        yield pair(f"{arch}.rope.freq_base", "f32", base)
    for key, n in counts.items():
        yield pair(f"{arch}.{key}", "u32", n)
    rms = "_rms" if arch in (LLAMA, QWEN2) else ""
    yield pair(f"{arch}.attention.layer_norm{rms}_epsilon", "f32", 1e-5)
    if arch == STABLELM:
        yield pair("stablelm.use_parallel_residual", "bool", False)
    if arch == MPT:
        yield pair("mpt.attention.max_alibi_bias", "f32", 8.0)
    yield from vocab_bpe(pre, size) if kind == "gpt2" else vocab_pieces(kind, size)


# ---- the file --------------------------------------------------------------------------------------------------------------

ALIGNMENT = 32


def padded(n):
    return -n % ALIGNMENT


def write(path, name, fmt, pure, seed):
    shape, rng = SHAPES[name], np.random.default_rng(seed)
    pairs, listed = list(metadata(name, shape)), list(tensors(shape, fmt, pure))
    infos, at = b"", 0
    for tensor, dims, t, _, _ in listed:
        infos += text(tensor) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims)
        infos += struct.pack("<IQ", type_number(t or "F32"), at)
        at += size_of(t or "F32", int(np.prod(dims)))
        at += padded(at)
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(listed), len(pairs)) + b"".join(pairs) + infos
    with open(path, "wb") as out:
        out.write(head + bytes(padded(len(head))))
        for _, dims, t, deviation, mean in listed:
            n = int(np.prod(dims))
            if t is None:
                out.write((rng.standard_normal(n) * deviation + mean).astype("<f4").tobytes())
            else:
                for piece in matrix_bytes(rng, t, n, deviation):
                    out.write(piece)
            out.write(bytes(padded(size_of(t or "F32", n))))


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("shape", choices=SHAPES)
    ap.add_argument("format", choices=[*FORMATS, *DENSE, *MIXES])
    ap.add_argument("file")
    ap.add_argument("--pure", action="store_true", help="every matrix of the one type")
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    write(a.file, a.shape, a.format, a.pure, a.seed)


main()
