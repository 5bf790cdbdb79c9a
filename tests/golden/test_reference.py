#!/usr/bin/env python3
# slow
"""Real models against the float32 logits of ../shared/reference: KL divergence within the peer's figures by that folder's
compare.py, greedy continuations equal where the margin is above the noise. The sharp test leaves nothing quantised (weights and
cache float32) and asks for equal continuations; it needs the Python package gguf.

usage: test_reference.py [--sharp]
"""
import json
import os
import subprocess
import sys
import tempfile

from tally import Tally

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHARED = os.path.join(ROOT, "..", "shared")
REFERENCE = os.path.join(SHARED, "reference")
MOAT = os.environ.get("MOAT", "build/moat")
# reference folder: (file, a margin above which a greedy token may not differ)
REAL = {"smollm2-135m-instruct-q4_1": (os.environ.get("MOAT_TEST_MODEL", ""), 0.15),
        "gemma-3-270m-q4_k_m": (os.environ.get("MOAT_TEST_GEMMA", os.path.join(ROOT, "build/models/gemma-3-270m-q4_k_m.gguf")), 0.4)}
tally = Tally()


def judge(*args):
    run = subprocess.run([sys.executable, *args], capture_output=True, text=True)
    return run.returncode == 0, run.stdout + run.stderr


def logits(model, text, folder, *options):
    run = subprocess.run([MOAT, "logits", model, "--jsonl", "-o", folder, *options], input=text, capture_output=True, text=True)
    return run.returncode == 0 and "error" not in run.stdout, run.stdout + run.stderr


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
    tally.note(ok, reference, said)
    print(said)
    found = list(greedy_differences(reference, model))
    print(f"{reference}: greedy differs in {len(found)}: {found}")
    tally.note(all(m <= margin for _, m in found), f"{reference} greedy", str(found))


def check_sharp(reference, model, tmp):
    compare, folder = os.path.join(REFERENCE, "compare.py"), os.path.join(REFERENCE, reference)
    f32, dump = os.path.join(tmp, reference + ".f32.gguf"), os.path.join(tmp, reference + "-sharp")
    ok, said = judge(os.path.join(REFERENCE, "to_f32.py"), model, f32)
    if ok:
        ok, said = dump_passages(reference, f32, dump, "--kv", "f32")
    if ok:
        ok, said = judge(compare, folder, dump, "--limit-kl", "1e-6")
    tally.note(ok, f"{reference} sharp", said)
    print(said)
    found = list(greedy_differences(reference, f32, "--kv", "f32"))
    tally.note(not found, f"{reference} sharp greedy", str(found))
    os.remove(f32)


def main():
    with tempfile.TemporaryDirectory() as tmp:
        for reference, (model, margin) in REAL.items():
            if not (os.path.isdir(os.path.join(REFERENCE, reference)) and os.path.exists(model)):
                tally.skipped += 2
                print(f"skipped {reference}: ../shared/reference or the model ({model or 'MOAT_TEST_MODEL'}) is missing; tools/*_model.sh fetch models")
                continue
            check_real(reference, model, margin, tmp)
            if "--sharp" in sys.argv:
                check_sharp(reference, model, tmp)
    return tally.end()


sys.exit(main())
