"""make_gguf_corpus.py FOLDER: writes the seeds of the fuzz target for GGUF: tiny files with every type, every kind of
tokenizer and one whole model each of two sizes. The same bytes every time."""
import os
import random
import struct
import sys

TYPES = {"u8": (0, "B"), "i8": (1, "b"), "u16": (2, "H"), "i16": (3, "h"), "u32": (4, "I"), "i32": (5, "i"), "f32": (6, "f"), "bool": (7, "B"), "str": (8, None),
         "arr": (9, None), "u64": (10, "Q"), "i64": (11, "q"), "f64": (12, "d")}
TENSORS = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20), "Q8_0": (8, 32, 34), "Q4_K": (12, 256, 144), "Q6_K": (14, 256, 210)}


def text(s):
    return struct.pack("<Q", len(s.encode())) + s.encode()


def value(type, v):
    if type == "str":
        return text(v)
    if type == "arr":
        item, items = v
        return struct.pack("<IQ", TYPES[item][0], len(items)) + b"".join(value(item, i) for i in items)
    return struct.pack("<" + TYPES[type][1], v)


def file(pairs, tensors=(), version=3, align=32):
    """pairs: (key, type, value); tensors: (name, dims, type)."""
    rng = random.Random(1)
    out = struct.pack("<4sIQQ", b"GGUF", version, len(tensors), len(pairs))
    for key, type, v in pairs:
        out += text(key) + struct.pack("<I", TYPES[type][0]) + value(type, v)
    data = b""
    for name, dims, type in tensors:
        number, block, size = TENSORS[type]
        n = 1
        for d in dims:
            n *= d
        out += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, number, len(data))
        if type == "F32":
            data += struct.pack(f"<{n}f", *(1 + rng.random() / 8 for _ in range(n)))
        else:  # a small scale in the first two bytes of every block, and anything after it
            data += b"".join(struct.pack("<e", 0.01) + bytes(rng.randrange(1, 20) for _ in range(size - 2)) for _ in range(n // block))
        data += bytes(-len(data) % align)
    return out + (bytes(-len(out) % align) + data if tensors else b"")


def tokenizer(model, tokens, kinds=None, **more):
    pairs = [("general.architecture", "str", "llama"), ("tokenizer.ggml.model", "str", model), ("tokenizer.ggml.tokens", "arr", ("str", tokens)),
             ("tokenizer.ggml.token_type", "arr", ("i32", kinds or [1] * len(tokens)))]
    return pairs + [("tokenizer.ggml." + k, *v) for k, v in more.items()]


def llama(n_layers, type):
    embd, ff, tokens = 32, 32, ["a", "b", "c", "d", "ab", "cd", "abcd", "<|end|>"]
    pairs = tokenizer("gpt2", tokens, [1] * 7 + [3], pre=("str", "gpt-2"), merges=("arr", ("str", ["a b", "c d", "ab cd"])), eos_token_id=("u32", 7))
    pairs += [("llama.block_count", "u32", n_layers), ("llama.context_length", "u32", 64), ("llama.embedding_length", "u32", embd), ("llama.feed_forward_length", "u32", ff),
              ("llama.attention.head_count", "u32", 4), ("llama.attention.head_count_kv", "u32", 2), ("llama.attention.layer_norm_rms_epsilon", "f32", 1e-5),
              ("llama.rope.freq_base", "f32", 10000.0), ("llama.vocab_size", "u32", len(tokens)), ("tokenizer.chat_template", "str", "{% for m in messages %}{{ m.content }}{% endfor %}")]
    tensors = [("token_embd.weight", [embd, len(tokens)], type), ("output_norm.weight", [embd], "F32")]
    for i in range(n_layers):
        tensors += [(f"blk.{i}.{name}.weight", dims, kind) for name, dims, kind in (
            ("attn_norm", [embd], "F32"), ("attn_q", [embd, embd], type), ("attn_k", [embd, 16], type), ("attn_v", [embd, 16], type), ("attn_output", [embd, embd], type),
            ("ffn_norm", [embd], "F32"), ("ffn_gate", [embd, ff], type), ("ffn_up", [embd, ff], type), ("ffn_down", [ff, embd], type))]
    return file(pairs, tensors)


scalars = [(t, t, {"bool": 1, "f32": 0.5, "f64": -2.5, "str": "text"}.get(t, 7)) for t in TYPES if t != "arr"]
arrays = [("a." + t, "arr", (t, [v, v])) for _, t, v in scalars] + [("a.none", "arr", ("u8", []))]
nested = [("two", "arr", ("arr", [("u8", [1, 2]), ("str", ["x", ""])])), ("four", "arr", ("arr", [("arr", [("arr", [("u16", [1])])])]))]
FILES = {
    "empty": file([]), "scalars": file(scalars, version=2), "arrays": file(arrays), "nested": file(nested),
    "alignment": file([("general.alignment", "u32", 64)], [("x", [3], "F32"), ("y", [2, 3], "F16")], align=64),
    "blocks": file([], [(t, [256, 1], t) for t in TENSORS]),
    "bpe": file(tokenizer("gpt2", ["a", "b", "ab", "<s>"], [1, 1, 1, 3], pre=("str", "llama-bpe"), merges=("arr", ("str", ["a b"])), bos_token_id=("u32", 3), add_eos_token=("bool", 0))),
    "spm": file(tokenizer("llama", ["<unk>", "<s>", "▁a", "b"], [2, 3, 1, 1], scores=("arr", ("f32", [0, 0, -1, -2])), bos_token_id=("u32", 1), unknown_token_id=("i32", 0))),
    "unigram": file(tokenizer("t5", ["<unk>", "▁a"], [2, 1], scores=("arr", ("f32", [0, -1.5])), precompiled_charsmap=("arr", ("u8", [1, 2, 3, 4])), remove_extra_whitespaces=("bool", 1))),
    "wordpiece": file(tokenizer("bert", ["[UNK]", "[CLS]", "[SEP]", "▁a"], [3, 3, 3, 1], cls_token_id=("u32", 1), seperator_token_id=("u32", 2))),
    "llama-f16": llama(1, "F16"), "llama-q4_0": llama(2, "Q4_0"),
}
os.makedirs(sys.argv[1], exist_ok=True)
for name, data in FILES.items():
    open(os.path.join(sys.argv[1], name), "wb").write(data)
