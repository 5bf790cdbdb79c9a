#!/usr/bin/env python3
"""The tiny models of ../shared/families against float32 logits of others, judged by that folder's compare.py: exact up to
float32 noise with a float32 cache, greedy continuations equal, within what rounding does with the default cache, and with
quantised weights; texts give the ids of tokenizer.json. What moat does not compute is refused by name, and listed.

usage: test_families.py [FOLDER...]
"""
import contextlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import tempfile

from tally import Tally

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FAMILIES = os.path.join(ROOT, "..", "shared", "families")
MOAT = os.environ.get("MOAT", "build/moat")
# Folders that moat refuses, and what the refusal must name. Every other one is tested.
NOT_SERVED = {"bert": "general.architecture", "deepseek2": "general.architecture", "gpt-oss-mxfp4": "general.architecture",
              "lfm2": "general.architecture", "mixtral": "llama.expert_count", "nomic-bert": "general.architecture",
              "qwen2-moe": "general.architecture", "qwen3-moe": "general.architecture"}
SHORT_CTX = {"phi3-longrope": "48"}  # the first sequence was computed with the factors of short contexts
GREEDY_STEPS = 32
tally = Tally()


def load_compare():
    spec = importlib.util.spec_from_file_location("compare", os.path.join(FAMILIES, "compare.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def judge(compare, *args):
    """(passed, what compare.py prints)"""
    out, sys.argv = io.StringIO(), ["compare.py", *args]
    with contextlib.redirect_stdout(out):
        status = compare.main()
    return status == 0, out.getvalue()


def moat(command, model, text, *options):
    run = subprocess.run([MOAT, command, model, "--jsonl", *options], input=text, capture_output=True, text=True)
    return run.returncode == 0 and '"error"' not in run.stdout, run.stdout, run.stdout + run.stderr


def for_sequences(name, command, model, tokens, *options):
    """moat's answer to all sequences; the first of some by itself, in the context it was computed with."""
    ok, out, said = moat(command, model, tokens, *options)
    if ok and name in SHORT_CTX:
        first, rest = tokens.splitlines()[0], out.splitlines(keepends=True)[1:]
        ok, out, said = moat(command, model, first, "--ctx", SHORT_CTX[name], *options)
        out += "".join(rest)
    return ok, out, said


def check_logits(compare, name, tokens, dump, what, file, options, flags, greedy):
    model = os.path.join(FAMILIES, file)
    ok, _, said = for_sequences(name, "logits", model, tokens, "-o", dump, *options)
    if ok and greedy:
        ok, out, said = for_sequences(name, "generate", model, tokens, "-n", str(GREEDY_STEPS), "--ignore-eos", *options)
        with open(os.path.join(dump, "greedy.jsonl"), "w", encoding="utf-8") as f:
            f.writelines(json.dumps(json.loads(line)["ids"]) + "\n" for line in out.splitlines() if ok)
    if ok:
        ok, said = judge(compare, os.path.join(FAMILIES, name), dump, *flags)
        ok = ok and (not greedy or said.count("greedy") == said.count("sequence"))
    tally.note(ok, f"{name} {what}", said)


def check_texts(name):
    with open(os.path.join(FAMILIES, name, "reference.json"), encoding="utf-8") as f:
        texts = json.load(f)["texts"]
    lines = "".join(json.dumps(t["text"]) + "\n" for t in texts)
    ok, out, said = moat("tokenize", os.path.join(FAMILIES, name + ".f32.gguf"), lines, "--bos")
    got = [json.loads(line) for line in out.splitlines()] if ok else []
    tally.note(ok and got == [t["ids"] for t in texts], f"{name} texts", said)


def check_folder(compare, name, tmp):
    with open(os.path.join(FAMILIES, name, "tokens.jsonl"), encoding="utf-8") as f:
        tokens = f.read()
    kinds = [("f32", "f32", ["--kv", "f32"], [], True), ("default cache", "f32", [], ["--f16-kv"], False)]
    kinds += [(q, q, [], ["--quant", q], False) for q in ("q8_0", "q4_0") if os.path.exists(os.path.join(FAMILIES, f"{name}.{q}.gguf"))]
    for what, kind, options, flags, greedy in kinds:
        check_logits(compare, name, tokens, os.path.join(tmp, f"{name} {what}"), what, f"{name}.{kind}.gguf", options, flags, greedy)
    check_texts(name)


def check_refused(name):
    file = next(f for f in sorted(os.listdir(FAMILIES)) if f.startswith(name + ".") and f.endswith(".gguf"))
    run = subprocess.run([MOAT, "logits", os.path.join(FAMILIES, file), "--jsonl"], input="", capture_output=True, text=True)
    tally.note(run.returncode == 3 and NOT_SERVED[name] in run.stderr, f"{name} is not refused by name", run.stderr)
    tally.skipped += 1
    print(f"skipped {name}: {run.stderr.strip().rsplit('/', 1)[-1]}")


def main():
    folders = sorted(n for n in os.listdir(FAMILIES) if os.path.exists(os.path.join(FAMILIES, n, "reference.json"))) \
        if os.path.isdir(FAMILIES) else []
    if sys.argv[1:]:
        folders = [n for n in folders if n in sys.argv[1:]]
    if not folders:
        print("../shared/families is missing\n0 passed, 0 failed, 30 skipped")
        return 0
    compare = load_compare()
    with tempfile.TemporaryDirectory() as tmp:
        for name in folders:
            if name in NOT_SERVED:
                check_refused(name)
            else:
                check_folder(compare, name, tmp)
    print(f"families: {sum(n not in NOT_SERVED for n in folders)} of {len(folders)} folders computed")
    return tally.end()


sys.exit(main())
