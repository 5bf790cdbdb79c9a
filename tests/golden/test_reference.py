#!/usr/bin/env python3
# slow
"""Logits against float32 references of others: the tiny models of ../shared/families (exact up to float32 noise, and with
float16 K and V, and quantised), and real models of ../shared/reference (KL within the peer's figures, greedy continuations).
The judges are the compare.py of those folders; the sharp test (everything float32) runs where Python has the gguf package.

usage: test_reference.py [--sharp]
"""
import json
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHARED = os.path.join(ROOT, "..", "shared")
FAMILIES, REFERENCE = os.path.join(SHARED, "families"), os.path.join(SHARED, "reference")
MOAT = os.environ.get("MOAT", "build/moat")
# Folders of architectures that moat refuses by name. Every other one is tested.
NOT_SERVED = ["bert", "deepseek2", "gpt-oss-mxfp4", "lfm2", "mixtral", "nomic-bert", "qwen2-moe", "qwen3-moe"]
SHORT_CTX = {"phi3-longrope": "48"}  # the first sequence was computed with the factors of short contexts
# reference folder: (file, a margin above which a greedy token may not differ)
REAL = {"smollm2-135m-instruct-q4_1": (os.environ.get("MOAT_TEST_MODEL", ""), 0.15),
        "gemma-3-270m-q4_k_m": (os.environ.get("MOAT_TEST_GEMMA", ""), 0.4)}
passed = failed = skipped = 0


def note(ok, what, output=""):
    global passed, failed
    passed += ok
    failed += not ok
    if not ok:
        print(f"FAIL {what}\n{output}")


def judge(*args):
    run = subprocess.run([sys.executable, *args], capture_output=True, text=True)
    return run.returncode == 0, run.stdout + run.stderr


def logits(model, text, folder, *options):
    run = subprocess.run([MOAT, "logits", model, "--jsonl", "-o", folder, *options], input=text, capture_output=True, text=True)
    return run.returncode == 0 and "error" not in run.stdout, run.stdout + run.stderr


def family_logits(name, model, tokens, out, *options):
    ok, said = logits(model, tokens, out, *options)
    if ok and name in SHORT_CTX:  # sequence 0 again
        ok, said = logits(model, tokens.splitlines()[0], out, "--ctx", SHORT_CTX[name], *options)
    return ok, said


def check_family(name, tmp):
    with open(os.path.join(FAMILIES, name, "tokens.jsonl"), encoding="utf-8") as f:
        tokens = f.read()
    compare, folder = os.path.join(FAMILIES, "compare.py"), os.path.join(FAMILIES, name)
    kinds = [("f32", "f32", ["--kv", "f32"], []), ("f16 kv", "f32", [], ["--f16-kv"])]
    kinds += [(q, q, [], ["--quant", q]) for q in ("q8_0", "q4_0") if os.path.exists(os.path.join(FAMILIES, f"{name}.{q}.gguf"))]
    for kind, model, options, flags in kinds:
        out = os.path.join(tmp, f"{name}-{kind}")
        ok, said = family_logits(name, os.path.join(FAMILIES, f"{name}.{model}.gguf"), tokens, out, *options)
        if ok:
            ok, said = judge(compare, folder, out, *flags)
        note(ok, f"{name} {kind}", said)


def check_refused(name):
    file = next(f for f in sorted(os.listdir(FAMILIES)) if f.startswith(name + ".") and f.endswith(".gguf"))
    run = subprocess.run([MOAT, "logits", os.path.join(FAMILIES, file), "--jsonl"], input="", capture_output=True, text=True)
    note(run.returncode == 3 and ("general.architecture" in run.stderr or "expert_count" in run.stderr), f"{name} is not refused", run.stderr)


def dump_passages(reference, model, dump, *options):
    with open(os.path.join(REFERENCE, reference, "index.json"), encoding="utf-8") as f:
        passages = json.load(f)["passages"]
    for p in passages:
        folder = os.path.join(dump, p["name"])
        ok, said = logits(model, json.dumps(p["ids"][:-1]) + "\n", folder, "--last", str(p["rows"]), *options)
        if not ok:
            return False, said
        os.rename(os.path.join(folder, "0.npy"), folder + ".npy")
    return True, ""


def greedy_differences(reference, model, *options):
    """(prompt, margin) of each first difference."""
    with open(os.path.join(REFERENCE, reference, "greedy.json"), encoding="utf-8") as f:
        golden = json.load(f)
    prompts = golden["prompts"]
    text = "".join(json.dumps(p["prompt_ids"]) + "\n" for p in prompts)
    run = subprocess.run([MOAT, "generate", model, "--jsonl", "-n", str(golden["steps"]), "--ignore-eos", *options], input=text,
                         capture_output=True, text=True)
    for p, line in zip(prompts, run.stdout.splitlines()):
        ids = json.loads(line)["ids"]
        at = next((i for i, (a, b) in enumerate(zip(ids, p["ids"])) if a != b), None)
        if at is not None:
            yield p.get("name", p["prompt"][:20]), p["margins"][at]
    if run.returncode:
        yield run.stderr, 1e9


def check_real(reference, model, margin, tmp):
    compare, folder = os.path.join(REFERENCE, "compare.py"), os.path.join(REFERENCE, reference)
    dump = os.path.join(tmp, reference)
    ok, said = dump_passages(reference, model, dump)
    if ok:
        ok, said = judge(compare, folder, dump)
    note(ok, reference, said)
    print(said)
    found = list(greedy_differences(reference, model))
    print(f"{reference}: greedy differs in {len(found)}: {found}")
    note(all(m <= margin for _, m in found), f"{reference} greedy", str(found))


def check_sharp(reference, model, tmp):
    compare, folder = os.path.join(REFERENCE, "compare.py"), os.path.join(REFERENCE, reference)
    f32, dump = os.path.join(tmp, reference + ".f32.gguf"), os.path.join(tmp, reference + "-sharp")
    ok, said = judge(os.path.join(REFERENCE, "to_f32.py"), model, f32)
    if ok:
        ok, said = dump_passages(reference, f32, dump, "--kv", "f32")
    if ok:
        ok, said = judge(compare, folder, dump, "--limit-kl", "1e-6")
    note(ok, f"{reference} sharp", said)
    print(said)
    found = list(greedy_differences(reference, f32, "--kv", "f32"))
    note(not found, f"{reference} sharp greedy", str(found))
    os.remove(f32)


def main():
    global skipped
    with tempfile.TemporaryDirectory() as tmp:
        folders = sorted(n for n in os.listdir(FAMILIES) if os.path.exists(os.path.join(FAMILIES, n, "tokens.jsonl"))) \
            if os.path.isdir(FAMILIES) else []
        skipped += not folders
        for name in folders:
            if name in NOT_SERVED:
                check_refused(name)
            else:
                check_family(name, tmp)
        print(f"families: {len(folders) - len(NOT_SERVED)} folders served, {len(NOT_SERVED)} not")
        for reference, (model, margin) in REAL.items():
            if not (os.path.isdir(os.path.join(REFERENCE, reference)) and os.path.exists(model)):
                skipped += 2
                continue
            check_real(reference, model, margin, tmp)
            if "--sharp" in sys.argv:
                check_sharp(reference, model, tmp)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return failed != 0


sys.exit(main())
