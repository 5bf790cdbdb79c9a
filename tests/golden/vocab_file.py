"""A tokenizer.json as a vocabulary-only GGUF file, for what is tried beside PyPI tokenizers: what converters write, and no more.

    write_gguf(json.load(open("tokenizer.json")), "qwen2", "qwen2", "out.gguf")
"""
import importlib.util
import os

SHARED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "shared")
NORMAL, UNKNOWN, CONTROL, USER, BYTE = 1, 2, 3, 4, 6
KINDS = {"WordPiece": "bert", "Unigram": "t5"}


def gguf_writer():
    spec = importlib.util.spec_from_file_location("gguf_write", os.path.join(SHARED, "gguf", "gguf_write.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Gguf()


def spelled(kind, text):
    """WordPiece's ## marks what goes on, GGUF's U+2581 what begins."""
    if kind != "bert" or (text.startswith("[") and text.endswith("]")):
        return text
    return text[2:] if text.startswith("##") else "\u2581" + text


def is_byte(kind, text):
    return kind in ("llama", "t5", "gemma4") and len(text) == 6 and text.startswith("<0x")


def pieces_of(tokenizer, kind):
    """(text, score, type) by id"""
    model, added = tokenizer["model"], {t["id"]: t for t in tokenizer.get("added_tokens") or []}
    unigram = isinstance(model["vocab"], list)
    texts = {i: p[0] for i, p in enumerate(model["vocab"])} if unigram else {i: t for t, i in model["vocab"].items()}
    scores = {i: p[1] for i, p in enumerate(model["vocab"])} if unigram else {}
    unknown = model["unk_id"] if unigram else model["vocab"].get(model.get("unk_token") or "", -1)
    rows = []
    for i in range(max(list(texts) + list(added)) + 1):
        text = added[i]["content"] if i in added else spelled(kind, texts.get(i, f"[PAD{i}]"))
        special = CONTROL if i in added and added[i]["special"] else USER if i in added else NORMAL
        if kind in ("llama", "t5") and i == unknown:
            special = UNKNOWN
        rows.append((text, scores.get(i, float(-i) if kind == "llama" else 0.0), BYTE if special == NORMAL and is_byte(kind, text) else special))
    return rows, unknown


def write_gguf(tokenizer, arch, pre, path, kind=None, **more):
    """more: further keys, as name=(type, value) with __ for dots behind tokenizer.ggml."""
    model = tokenizer["model"]
    kind = kind or KINDS.get(model["type"], "gpt2")
    rows, unknown = pieces_of(tokenizer, kind)
    g = gguf_writer()
    g.set("general.architecture", "str", arch).set("tokenizer.ggml.model", "str", kind)
    if pre:
        g.set("tokenizer.ggml.pre", "str", pre)
    g.set("tokenizer.ggml.tokens", "arr", ("str", [r[0] for r in rows]))
    g.set("tokenizer.ggml.token_type", "arr", ("i32", [r[2] for r in rows]))
    if kind in ("llama", "t5"):
        g.set("tokenizer.ggml.scores", "arr", ("f32", [r[1] for r in rows]))
    if kind in ("gpt2", "gemma4"):
        g.set("tokenizer.ggml.merges", "arr", ("str", [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]))
    if unknown >= 0:
        g.set("tokenizer.ggml.unknown_token_id", "u32", unknown)
    for key, (type_, value) in more.items():
        g.set("tokenizer.ggml." + key.replace("__", "."), type_, value)
    with open(path, "wb") as f:
        f.write(g.build())
