#!/usr/bin/env python3
# slow
"""Siblings of the tiny models of ../shared/families and tests/ref/truth, each with one thing changed: every key of the architecture and of the
tokenizer missing, of another type, 0, negative, huge, not a number, off by one; every tensor missing, twice, of another shape,
type or name, with weights that are not finite; tensors and biases that nobody asked for. moat must refuse each with one line
that names what was changed, or the change must be harmless (the same logits) or mean another model (listed in OTHER_MODEL).

usage: test_gguf_siblings.py [--full] [-v] [NAME...]
--full: tensors of all layers and of quantised files, and every tokenizer; -v: also lists what was accepted
"""
import concurrent.futures
import json
import math
import os
import struct
import subprocess
import sys
import tempfile

from gguf_file import ARR, BLOCKS, BOOL, F32, F64, I32, I64, INTEGERS, STR, U16, U32, U64, File, written

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FAMILIES, TRUTH = os.path.join(ROOT, "..", "shared", "families"), os.path.join(ROOT, "tests", "ref", "truth")
MOAT = os.environ.get("MOAT", "build/moat")
PROMPT = [(i * i * 37 + i * 101 + 13) % 500 % 160 for i in range(70)]  # past all windows
TEXTS = ["def add(a, b):\n    return a + b  # 12345\n", "  The quick brown fox\u00e9\u4e16 "]


def with_key(f, key, kind, value):
    return written([(k, kind, value) if k == key else (k, t, v) for k, t, v in f.kv], f.tensors)


def with_tensor(f, name, *instead):
    return written(f.kv, [new for t in f.tensors for new in (instead if t[0] == name else (t,))])


# ---- changes: (what, the file, what the error may name, what acceptance would mean) -----------------------------------------

REFUSE, SAME, OTHER, TAKE = "refuse", "refuse, or the same logits", "refuse, or another model", "the same logits, `ignored` in show"
COUNTS = "refuse, or other logits"  # not left out silently
NEEDED = ("block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count",
          "attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon")
NONE_AT_0 = ("attention.sliding_window", "attention.clamp_kqv", "attention.temperature_scale", "rope.scaling.yarn_log_multiplier")


def key_changes(f, arch):
    everything = [k for k, _, _ in f.kv if k.startswith(arch + ".")] + [t[0] for t in f.tensors]
    n_layers = next(v for k, _, v in f.kv if k == arch + ".block_count")
    both = {arch + ".attention.layer_norm_rms_epsilon", arch + ".attention.layer_norm_epsilon"} <= {k for k, _, _ in f.kv}
    for key, kind, value in f.kv:
        if not key.startswith(arch + "."):
            continue
        rest = key[len(arch) + 1:]
        needed = rest in NEEDED and not (both and rest.endswith("_rms_epsilon"))
        yield f"{key} missing", written([kv for kv in f.kv if kv[0] != key], f.tensors), [key] if needed else everything, REFUSE if needed else OTHER
        others = {"a text": (STR, "x"), "an array of texts": (ARR, (STR, ["x"])), "an array too long": (ARR, (I32, [1] * (n_layers + 1))), "an empty array": (ARR, (I32, []))}
        if kind != BOOL:
            others["a bool"] = BOOL, 1
        if kind != F32:
            others["a float"] = F32, 2.0
        if kind not in INTEGERS:
            others["an integer"] = U32, 2
        if kind == ARR:
            others["an array too short"] = ARR, (value[0], value[1][:-1])
        for what, (t, v) in others.items():
            period = rest == "attention.sliding_window_pattern" and what == "an integer"
            yield f"{key} as {what}", with_key(f, key, t, v), [key], OTHER if period else SAME
        if kind in INTEGERS:
            for v, t in ((0, U32), (-1, I32), (-(1 << 40), I64), (1 << 31, U32), ((1 << 32) - 1, U32), (1 << 40, U64), ((1 << 64) - 1, U64)):
                yield f"{key} = {v}", with_key(f, key, t, v), [key], OTHER if v == 0 and rest in NONE_AT_0 else SAME
            for v in (value - 1, value + 1):  # what must agree with it may be named instead
                yield f"{key} = {v}", with_key(f, key, I64, v), [*everything, f"blk.{value}."], OTHER if v > 0 else SAME
        if kind in (F32, F64):
            for v in (math.nan, math.inf, -math.inf, 0.0, -value, -1e-30):
                yield f"{key} = {v}", with_key(f, key, F32, v), [key], OTHER if v == 0 and rest in NONE_AT_0 else SAME
            for v in (1e38, 1e-38):
                yield f"{key} = {v}", with_key(f, key, F32, v), [key, arch + ".rope.freq_base"], OTHER
        if kind == STR:
            yield f"{key} unknown", with_key(f, key, STR, "nosuch"), [key, "nosuch"], SAME
            yield f"{key} empty", with_key(f, key, STR, ""), [key], SAME


def tokenizer_changes(f):
    keys = {k: (t, v) for k, t, v in f.kv if k.startswith("tokenizer.")}
    n = len(keys["tokenizer.ggml.tokens"][1][1])
    for key, (kind, value) in keys.items():
        yield f"{key} missing", written([kv for kv in f.kv if kv[0] != key], f.tensors), [key], REFUSE if key.endswith((".model", ".tokens", ".merges")) else OTHER
        for what, t, v in (("a text", STR, "x"), ("an integer", U32, 1), ("a float", F32, 1.0), ("a bool", BOOL, 1), ("an array of bools", ARR, (BOOL, [1] * n))):
            if t != kind or t == ARR:
                yield f"{key} as {what}", with_key(f, key, t, v), [key], REFUSE
        if key.endswith("_token_id"):
            for v, t in ((n, U32), (-1, I32), ((1 << 32) - 1, U32), (1 << 40, U64), (-(1 << 40), I64)):
                yield f"{key} = {v}", with_key(f, key, t, v), [key], REFUSE
        if kind == ARR and value[1] and len(value[1]) == n:
            numbers = ["tokenizer.ggml.tokens", "token_embd.weight", "tokenizer.ggml.token_type", "tokenizer.ggml.scores", "vocab_size"]
            for what, items in (("one less", value[1][:-1]), ("one more", value[1] + value[1][-1:]), ("none", [])):
                yield f"{key} {what}", with_key(f, key, ARR, (value[0], items)), numbers, REFUSE
            for at in (0, n - 1):
                bad = {STR: [b"\xff\xfe"], F32: [math.nan, math.inf, -math.inf], I32: [-1, 0, 7, 77]}.get(value[0], [])
                for v in bad:
                    yield f"{key}[{at}] = {v}", with_key(f, key, ARR, (value[0], value[1][:at] + [v] + value[1][at + 1:])), [key], REFUSE
        if key == "tokenizer.ggml.merges":
            for v in ("", " ", "a", "a ", " a", "a b c", "a  b", b"\xff a"):
                yield f"{key} with {v!r}", with_key(f, key, ARR, (STR, value[1][:-1] + [v])), [key], REFUSE
            for v in ("nosuchleft nosuchright", value[1][0].split(" ")[0] + " nosuchright"):
                yield f"{key} with {v!r}", with_key(f, key, ARR, (STR, value[1] + [v])), [key], SAME
        if key.endswith((".model", ".pre")):
            yield f"{key} unknown", with_key(f, key, STR, "nosuch"), [key, "nosuch"], SAME
    for source in ("{{", "{% if %}", "{% for x in y %}", "{{ a | nosuchfilter }}", "{% endif %}"):
        yield f"tokenizer.chat_template = {source}", written(f.kv + [("tokenizer.chat_template", STR, source)], f.tensors), ["tokenizer.chat_template"], REFUSE
    yield "tokenizer.chat_template as an integer", written(f.kv + [("tokenizer.chat_template", U32, 1)], f.tensors), ["tokenizer.chat_template"], REFUSE


def zeros(name, dims, kind):
    values, size = BLOCKS[kind]
    return name, dims, kind, bytes(math.prod(dims) // values * size)


def not_finite(kind, data, where, what):
    """data with one value (of a plain type), or the scale of one block, that is not finite."""
    values, size = BLOCKS[kind]
    at = {"first": 0, "last": len(data) // size - 1}[where] * size
    bits = {"nan": (0x7fc00000, 0x7e00, 0x7fc0), "inf": (0x7f800000, 0x7c00, 0x7f80), "-inf": (0xff800000, 0xfc00, 0xff80)}[what]
    b = struct.pack("<I", bits[0]) if kind == 0 else struct.pack("<H", bits[2] if kind == 30 else bits[1])
    return data[:at] + b + data[at + len(b):]


def tensor_changes(f, t, may_be_missing):
    name, dims, kind, data = t
    rest = name.split(".", 2)[2] if name.startswith("blk.") else name
    stem = rest.rsplit(".", 1)[0]  # the bias that is left over, or that of the next layer, may be named instead
    yield f"{name} missing", with_tensor(f, name), [name, stem + ".bias"], OTHER if may_be_missing else REFUSE
    yield f"{name} twice", with_tensor(f, name, t, t), [name], REFUSE
    yield f"{name} renamed", with_tensor(f, name, (name + "x", dims, kind, data)), [name, stem + ".bias"], REFUSE
    shapes = {"another dimension": dims + [2], "more rows": dims[:-1] + [dims[-1] + 32], "fewer rows": dims[:-1] + [dims[-1] - 32] if dims[-1] > 32 else None,
              "longer rows": [dims[0] + 32] + dims[1:], "transposed": dims[::-1] if dims != dims[::-1] else None, "flat": [math.prod(dims)] if len(dims) > 1 else None,
              "a column": [1] + dims if len(dims) == 1 and kind in (0, 1, 30) else None}
    for what, shape in shapes.items():
        if shape and shape[0] % BLOCKS[kind][0] == 0:
            yield f"{name}: {what}", with_tensor(f, name, zeros(name, shape, kind)), [name], REFUSE
    for other in (24, 26, 28, 9) if len(dims) > 1 else (24, 26, 28, 8, 9):
        if dims[0] % BLOCKS[other][0] == 0:
            yield f"{name} of type {other}", with_tensor(f, name, zeros(name, dims, other)), [name], REFUSE
    for where in ("first", "last"):
        for what in ("nan", "inf", "-inf"):
            yield f"{name}: {where} is {what}", with_tensor(f, name, (name, dims, kind, not_finite(kind, data, where, what))), [name], REFUSE


def ignored_tensors(f, arch, n_layers):
    """What real files hold and the model is computed without."""
    rotation = [zeros(f"blk.{i}.attn_rot_embd{end}", [16], 0) for i, end in ((0, ".weight"), (1, ""))]
    yield "also attn_rot_embd", written(f.kv, f.tensors + rotation), [t[0] for t in rotation], TAKE if arch == "llama" else REFUSE
    ahead = [(name.replace("blk.0.", f"blk.{n_layers}."), *rest) for name, *rest in f.tensors if name.startswith("blk.0.")] + [zeros(f"blk.{n_layers}.nextn.eh_proj.weight", [128, 64], 0)]
    longer = [(k, t, v + 1) if k == arch + ".block_count" else (k, t, (v[0], v[1] + v[1][-1:])) if t == ARR and k.startswith(arch) else (k, t, v) for k, t, v in f.kv]
    key = arch + ".nextn_predict_layers", U32
    yield "a layer that predicts further", written(longer + [(*key, 1)], f.tensors + ahead), [], TAKE
    yield "such a layer that nobody tells", written(f.kv, f.tensors + ahead), [f"blk.{n_layers}."], REFUSE
    beyond = [(name.replace(f"blk.{n_layers}.", f"blk.{n_layers + 1}."), *rest) for name, *rest in ahead]
    yield "such a layer in the wrong place", written(longer + [(*key, 1)], f.tensors + beyond), [f"blk.{n_layers}."], REFUSE


def extra_tensors(f, n_layers):
    names = {t[0] for t in f.tensors}
    for name in ("mystery.weight", "blk.0.mystery.weight", "blk.0.attn_q", "blk.0.attn_norm", "blk.00.attn_norm.weight", "blk.-1.attn_norm.weight", f"blk.{n_layers}.attn_norm.weight",
                 "blk.4294967296.attn_norm.weight", "output.bias", "token_embd.bias", "output_norm.scale", "rope_freqs", "x" * 64):
        yield f"also {name}", written(f.kv, f.tensors + [zeros(name, [64], 0)]), [name], REFUSE
    for name, dims, _, _ in f.tensors:
        bias = name.replace(".weight", ".bias")
        if bias not in names and (name.startswith(("blk.0.", f"blk.{n_layers - 1}.")) or "blk." not in name):
            yield f"also {bias}", written(f.kv, f.tensors + [zeros(bias, dims[-1:], 0)]), [bias, "attn_norm.bias"], REFUSE


def absent_keys(f, arch):
    """Keys that the tiny models do not have, with values that no model has."""
    there = {k for k, _, _ in f.kv}
    bad = [("rope.scaling.type", STR, "nosuch"), ("rope.scaling.type", U32, 1), ("rope.scaling.type", STR, "longrope"), ("rope.scaling.factor", F32, math.nan),
           ("rope.scaling.factor", F32, 0.0), ("rope.scaling.factor", F32, -2.0), ("rope.scaling.factor", F32, 1e-38), ("rope.scaling.factor", STR, "2"),
           ("rope.scale_linear", F32, math.inf), ("rope.freq_base", F32, 0.0), ("rope.freq_base", F32, 1e-30), ("rope.dimension_count", U32, 0), ("rope.dimension_count", U32, 7),
           ("rope.dimension_count", U32, 1 << 31), ("attention.key_length", U32, 0), ("attention.key_length", U32, 7), ("attention.key_length", U32, 1 << 31),
           ("attention.value_length", U32, 0), ("attention.value_length", U32, 7), ("attention.value_length", U32, 1 << 31), ("attention.head_count_kv", U32, 0),
           ("attention.head_count_kv", ARR, (U32, [1])), ("attention.sliding_window", I32, -1), ("attention.sliding_window", U64, 1 << 40), ("attention.sliding_window", STR, "32"),
           ("attention.causal", BOOL, 0), ("attention.causal", U32, 0), ("expert_count", U32, 8), ("expert_count", U32, 1 << 31), ("expert_count", STR, "8"),
           ("expert_used_count", U32, 2), ("nextn_predict_layers", U32, 1), ("nextn_predict_layers", U32, 1 << 31), ("nextn_predict_layers", I32, -1),
           ("nextn_predict_layers", STR, "1"), ("vocab_size", U32, 511), ("vocab_size", U32, 1 << 31), ("vocab_size", I32, -1)]
    for rest, kind, value in bad:
        key = f"{arch}.{rest}"
        if key not in there:
            names = [key, arch + ".rope.freq_base", arch + ".rope.dimension_count", arch + ".rope.scaling.type"] + (["blk.0.attn_"] if "attention." in rest else []) + (["blk."] if rest == "nextn_predict_layers" else [])
            yield f"also {key} = {value}", written(f.kv + [(key, kind, value)], f.tensors), names, SAME
    for key, kind, value in (("split.count", U16, 3), ("split.no", U16, 1), ("split.tensors.count", I32, len(f.tensors) + 1)):
        yield f"also {key} = {value}", written(f.kv + [(key, kind, value)], f.tensors), [key], REFUSE


def keys_that_count(f, arch):
    """Keys of other families that change what is computed: each is refused, or computed."""
    there = {k for k, _, _ in f.kv}
    rotates = "rope.freq_base" in str(there) or not arch.startswith(("gpt2", "mpt", "starcoder"))
    windows = arch + ".attention.sliding_window" in there
    for rest, kind, value in (("attn_logit_softcapping", F32, 2.0), ("final_logit_softcapping", F32, 2.0), ("logit_scale", F32, 0.5), ("residual_scale", F32, 0.5), ("embedding_scale", F32, 0.5),
                              ("attention.scale", F32, 0.05), ("attention.max_alibi_bias", F32, 4.0), ("attention.clamp_kqv", F32, 0.25), ("attention.temperature_scale", F32, 0.1),
                              ("attention.output_scale", F32, 2.0), ("attention.value_scale", F32, 2.0), ("attention.shared_kv_layers", U32, 1), ("attention.key_length_swa", U32, 8),
                              ("attention.value_length_swa", U32, 8), ("attention.unheard_of", F32, 1.0), ("swin_norm", BOOL, 1), ("num_loops", U32, 2), ("hidden_activation", STR, "relu"),
                              ("use_parallel_residual", BOOL, arch != "gptneox"), ("rope.scaling.alpha", F32, 1000.0), ("rope.dimension_sections", ARR, (I32, [2, 1, 1, 0])),
                              ("rope.dimension_count_swa", U32, 8), ("rope.freq_base_swa", F32, 500.0), ("rope.scaling.attn_factor", F32, 1.5), ("rope.scaling.beta_fast", F32, 64.0)):
        key = f"{arch}.{rest}"
        harmless = rest == "rope.freq_base_swa" and not windows or rest == "rope.scaling.attn_factor" and not rotates
        if key not in there and not harmless and not (arch == "gptneox" and rest == "use_parallel_residual"):
            yield f"also {key} = {value}", written(f.kv + [(key, kind, value)], f.tensors), [key, "blk.0.ffn_norm.weight"], COUNTS


# ---- what files may lack: without it they say that they are another model -----------------------------------------------------

TIED = ("exaone4", "falcon", "glm", "gpt2", "gptbigcode", "granite", "hunyuan", "llama", "minicpm", "mistral", "mpt", "phi3", "qwen2", "qwen3", "smollm3")
OPTIONAL = [("output.weight", TIED), ("rope_freqs.weight", ("exaone", "llama"))]


TOKENIZERS = ("llama-mha.f32", "mpt-replit.f32", "qwen2.f32")  # SentencePiece, unigram, byte-level: others are the same again


def may_be_missing(tensor, file):
    return any(tensor == name and file.startswith(files) for name, files in OPTIONAL)


def changes(name, f, full):
    arch = next(v for k, _, v in f.kv if k == "general.architecture")
    n_layers = next(v for k, _, v in f.kv if k == arch + ".block_count")
    if not name.endswith((".q8_0", ".q4_0", ".mxfp4")):
        yield from key_changes(f, arch)
        if full or name in TOKENIZERS:
            yield from tokenizer_changes(f)
        yield from absent_keys(f, arch)
        yield from keys_that_count(f, arch)
        yield from ignored_tensors(f, arch, n_layers)
        yield from extra_tensors(f, n_layers)
    for t in f.tensors:
        if full or "blk." not in t[0] or t[0].startswith("blk.0."):
            yield from tensor_changes(f, t, may_be_missing(t[0], name))


# ---- judging ---------------------------------------------------------------------------------------------------------------

def run(*args, text=""):
    r = subprocess.run([MOAT, *args], input=text, capture_output=True, text=True, timeout=60)
    return r.returncode, r.stdout, r.stderr


def computed(path):
    """What a file computes: logits of a prompt, ids of texts; or the error."""
    logits = run("logits", path, "--jsonl", "--threads", "1", text=json.dumps(PROMPT) + "\n")
    ids = run("tokenize", path, "--jsonl", "--bos", text="".join(json.dumps(t) + "\n" for t in TEXTS))
    return logits[:2], ids[:2]


def ignored(path):
    return [t["name"] for t in json.loads(run("show", path, "--json")[1])["tensors"] if t.get("ignored")]


def one_line(said):
    return said.count("\n") == 1 and len(said.encode()) <= 500 and said.startswith("moat: ")


def verdict(original, what, data, names, meaning, path):
    with open(path, "wb") as f:
        f.write(data)
    status, _, said = run("check", path)
    said = said.replace(path, "FILE")
    if status == 3 and meaning != TAKE:
        if not one_line(said):
            return f"FAIL {what}: more than one line: {said}"
        return None if any(n in said for n in names) else f"FAIL {what}: the error does not name it: {said.strip()}"
    if status != 0:
        return f"FAIL {what}: status {status}: {said.strip()[-300:]}"
    if meaning == TAKE and original == computed(path):
        return None if ignored(path) else f"FAIL {what}: show does not say what is ignored"
    if meaning in (REFUSE, TAKE):
        return f"FAIL {what}: accepted"
    now = computed(path)
    if now[0][0] not in (0, 3) or now[1][0] != 0:
        return f"FAIL {what}: accepted by check, then {now}"
    if meaning == COUNTS and now == original:
        return f"FAIL {what}: accepted, and not computed"
    if meaning == SAME and now != original:
        return f"FAIL {what}: accepted, computes something else"
    if meaning == SAME:
        return f"SAME {what}"
    return f"OTHER {what}" + (" (the same)" if now == original else "")


def main():
    args, full, verbose = [a for a in sys.argv[1:] if not a.startswith("-")], "--full" in sys.argv, "-v" in sys.argv
    passed = failed = skipped = 0
    if not os.path.isdir(FAMILIES):
        print("../shared/families is missing")
        skipped = 30
    ends = {FAMILIES: ".gguf" if full else ".f32.gguf", TRUTH: ".gguf"}
    paths = [os.path.join(folder, n) for folder, end in ends.items() if os.path.isdir(folder) for n in sorted(os.listdir(folder)) if n.endswith(end)]
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as tmp, concurrent.futures.ThreadPoolExecutor(2) as pool:
        for path in paths:
            name = os.path.basename(path)[:-5]
            if args and name not in args and name.rsplit(".", 1)[0] not in args:
                continue
            if run("check", path)[0] != 0:
                skipped += 1
                continue
            f, original = File(path), computed(path)
            if '"error"' in str(original):
                failed += 1
                print(name, "FAIL as it is:", original)
            cases = enumerate(changes(name, f, full))

            def judge(case):
                i, change = case
                where = os.path.join(tmp, f"{name}-{i}.gguf")
                try:
                    return verdict(original, *change, where)
                except subprocess.TimeoutExpired:
                    return f"FAIL {change[0]}: hangs"
                finally:
                    os.unlink(where)

            for said in pool.map(judge, cases):
                bad = bool(said) and said.startswith("FAIL")
                passed += not bad
                failed += bad
                if bad or (said and verbose):
                    print(name, said, flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return failed != 0


sys.exit(main())
