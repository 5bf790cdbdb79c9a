#!/usr/bin/env python3
"""The vectors of ../shared/tokenizers: ids of every string in text and in special mode, the bytes of single tokens, and what text
comes back from its ids. 11 vocabularies, and 3 tokenizer.json files as vocabulary-only GGUF files.

usage: test_tokenizers.py [-v] [VOCABULARY...]
"""
import json
import os
import subprocess
import sys
import tempfile

import vocab_file

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DATA = os.path.join(ROOT, "..", "shared", "tokenizers")
MOAT = os.environ.get("MOAT", "build/moat")
MODELS = {"smollm2": os.environ.get("MOAT_TEST_MODEL") or os.path.join(ROOT, "build/models/SmolLM2-135M-Instruct.Q4_1.gguf"),
          "gemma3": os.environ.get("MOAT_TEST_GEMMA") or os.path.join(ROOT, "build/models/gemma-3-270m-q4_k_m.gguf")}
JSON = {"llama3_1": ("llama", "llama-bpe"), "qwen3": ("qwen3", "qwen2"), "minilm": ("bert", "bert-bge")}
TO_COME = []  # vocabularies that moat cannot read yet: refused by name
LOSSY = {"bert-bge", "hf-minilm"}  # case and spaces do not come back
verbose = "-v" in sys.argv
total = {"passed": 0, "failed": 0, "skipped": 0}


class Count:
    def __init__(self, vocabulary):
        self.vocabulary, self.passed, self.failed = vocabulary, 0, 0

    def note(self, ok, what):
        self.passed += ok
        self.failed += not ok
        if not ok and (verbose or self.failed <= 5):
            print(f"FAIL {self.vocabulary} {what}")


def lines_of(path):
    with open(os.path.join(DATA, path), encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def moat(command, model, values, *options):
    text = "".join(json.dumps(v) + "\n" for v in values)
    run = subprocess.run([MOAT, command, model, "--jsonl", *options], input=text, capture_output=True, text=True)
    if run.returncode != 0:
        return None, run.stderr.strip()
    return [json.loads(line) for line in run.stdout.splitlines()], ""


def check_ids(count, name, model, corpus):
    """Ids in both modes; returns those of text mode."""
    rows = {row[0]: row[1:] for row in lines_of(f"expected/{name}.jsonl")}
    for mode, options in (("text", []), ("special", ["--special"])):
        got, said = moat("tokenize", model, corpus, *options)
        if got is None:
            count.note(False, said)
            continue
        for i, row in sorted(rows.items()):
            want = row[0] if mode == "text" or len(row) == 1 else row[1]
            if want is not None:
                count.note(got[i] == want, f"{mode} {i} {corpus[i][:60]!r}: want {want[:24]} got {str(got[i])[:160]}")
    return {i: row[0] for i, row in rows.items() if row[0] is not None}


def check_pieces(count, name, model):
    """A token behind itself, so that SentencePiece's first space does not matter."""
    rows = lines_of(f"pieces/{name}.jsonl")
    got, said = moat("detokenize", model, [ids for row in rows for ids in ([row[0]], [row[0]] * 2)], "--hex")
    if got is None:
        return count.note(False, said)
    for row, one, two in zip(rows, got[0::2], got[1::2]):
        count.note(two[len(one):] == row[2], f"piece {row}: got {two} behind {one}")


def check_decode(count, name, model, ids, corpus):
    want = {i: text.encode().hex() for i, text in enumerate(corpus)}
    path = f"decode/{name}.jsonl"
    if name in LOSSY:
        return
    if os.path.exists(os.path.join(DATA, path)):
        want.update({row[0]: row[1] for row in lines_of(path)})
    elif name == "hf-qwen3":
        return  # NFC: some do not come back, and no list says which
    got, said = moat("detokenize", model, list(ids.values()), "--hex")
    if got is None:
        return count.note(False, said)
    for i, text in zip(ids, got):
        count.note(text == want[i], f"decode {i}: want {want[i][:80]} got {text[:80]}")


def model_file(name, tmp):
    if name in MODELS:
        return MODELS[name]
    if name.startswith("hf-"):
        path, file = os.path.join(tmp, name + ".gguf"), name[len("hf-"):]
        with open(os.path.join(DATA, "hf", file + ".json"), encoding="utf-8") as f:
            vocab_file.write_gguf(json.load(f), *JSON[file], path)
        return path
    return os.path.join(DATA, "vocabs", name + ".gguf")


def skip(name, why):
    total["skipped"] += 1
    print(f"{name:16} skipped: {why}")


def check(name, corpus, tmp):
    model = model_file(name, tmp)
    if not os.path.exists(model):
        return skip(name, f"{os.path.basename(model)} is not in build/models (tools/default_model.sh, tools/gemma_model.sh)")
    if name in TO_COME:
        _, said = moat("tokenize", model, [])
        if said:
            return skip(name, said.rsplit("/", 1)[-1])
    count = Count(name)
    ids = check_ids(count, name, model, corpus)
    n_ids = count.passed
    if os.path.exists(os.path.join(DATA, "pieces", name + ".jsonl")):
        check_pieces(count, name, model)
    n_pieces = count.passed - n_ids
    check_decode(count, name, model, ids, corpus)
    print(f"{name:16} {n_ids} ids, {n_pieces} pieces, {count.passed - n_ids - n_pieces} decoded, {count.failed} failed")
    total["passed"] += count.passed
    total["failed"] += count.failed


def main():
    if not os.path.isdir(DATA):
        print("../shared/tokenizers is missing\n0 passed, 0 failed, 14 skipped")
        return 0
    names = sorted(f[:-len(".jsonl")] for f in os.listdir(os.path.join(DATA, "expected")))
    asked = [a for a in sys.argv[1:] if a != "-v"]
    with open(os.path.join(DATA, "corpus.json"), encoding="utf-8") as f:
        corpus = json.load(f)
    with tempfile.TemporaryDirectory() as tmp:
        for name in names:
            if not asked or name in asked:
                check(name, corpus, tmp)
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**total))
    return total["failed"] != 0


sys.exit(main())
