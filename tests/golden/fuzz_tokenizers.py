#!/usr/bin/env python3
"""moat beside PyPI tokenizers (0.23.3) on random strings of hostile shape, in text and in special mode.

usage: fuzz_tokenizers.py [--seed N] [--strings 2000] [--pre NAME,...] [--rest] FILE.gguf...
--pre tries byte-level rules with the file's vocabulary: each name in place of the file's own; --rest stands for all that are known
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata

import peer_tokenizers as peers

MOAT = os.environ.get("MOAT", "build/moat")
CORPUS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "shared", "tokenizers", "corpus.json")
ATOMS = ["'s", "'S", "'ſ", "'ll", "'LL", "'rE", "'", "’s", " ", "  ", "   ", "\t", "\n", "\r\n", "\r", "\n\n", "\u00a0", "\u3000", "\u2028", "\x85", "\x0b",
         "0", "12", "345", "6789", "12345678", "½", "²", "٣", "৪", "①", "Ⅷ", "a", "B", "the", "The", "HTTPServer", "camelCase", "ǅ", "ß", "İ", "ı", "_", "__",
         "-", "...", "!?", "://", "#", "$", "(", ")", "«", "„", "€", "+=", "|", "~", "^", "`", "e\u0301", "é", "o\u0323\u0302", "\u0301", "\u0327\u0301", "한국", "\u1112\u1161\u11ab",
         "中文", "豈", "日本語", "カ\u3099", "ｶﾞ", "ﬁ", "Ｆｕｌｌ", "م", "ا\u0653", "हिन्दी", "ไทย", "עב", "🙂", "👩‍💻", "🏳️‍🌈", "🇩🇪", "\u200d", "\u200b", "\ufeff", "\u2581", "\u2581\u2581",
         "\x00", "\x1b", "\x7f", "\ufffd", "\ue000", "<", ">", "</s>", "<s>", "<|im_end|>", "<0x41>", "[UNK]", "[MASK]", "##", "ſ", "K", "Å", "\u212b", "\u0344", "\u1e9b\u0323"]


def assigned(cp):
    return not 0xD800 <= cp < 0xE000 and unicodedata.category(chr(cp)) != "Cn"


class Strings:
    def __init__(self, seed, vocab, corpus):
        self.random = random.Random(seed)
        self.pieces = [t for t in vocab["tokens"] if 0 < len(t) < 24 and all(assigned(ord(c)) for c in t)]
        types = vocab.get("token_type") or []
        self.added = [t for t, k in zip(vocab["tokens"], types) if k in (2, 3, 4) and t and not peers.is_filler(t)]
        self.corpus = [s for s in corpus if s]

    def code_point(self):
        r = self.random
        while True:
            cp = r.choice([r.randrange(0x80), r.randrange(0x600), r.randrange(0x3100), r.randrange(0x20000), r.randrange(0x110000)])
            if assigned(cp):
                return chr(cp)

    def part(self):
        r = self.random
        pick = r.randrange(12)
        if pick < 4:
            return r.choice(ATOMS)
        if pick < 6:
            return r.choice(self.pieces).replace("Ġ", " ").replace("Ċ", "\n").replace("▁", " ")
        if pick == 6 and self.added:
            name = r.choice(self.added)
            return name if r.random() < 0.7 else name[:r.randrange(len(name)) + 1]
        if pick == 7:
            return r.choice(ATOMS) * r.randrange(2, 9)
        if pick == 8:
            s = r.choice(self.corpus)
            at = r.randrange(len(s))
            return s[at:at + r.randrange(1, 40)]
        if pick == 9:
            return "".join(r.choice("abcdefghijklmnopqrstuvwxyzABCXYZ") for _ in range(r.randrange(1, 60)))
        return "".join(self.code_point() for _ in range(r.randrange(1, 4)))

    def one(self):
        return "".join(self.part() for _ in range(self.random.randrange(1, 10)))


def moat_ids(path, strings, *options):
    text = "".join(json.dumps(s) + "\n" for s in strings)
    run = subprocess.run([MOAT, "tokenize", path, "--jsonl", *options], input=text, capture_output=True, text=True)
    return [json.loads(line) for line in run.stdout.splitlines()] if run.returncode == 0 else sys.exit(run.stderr)


def shortest(peer, mode, path, string):
    """The string with parts cut out as long as the two still differ."""
    options = ["--special"] if mode == "special" else []
    step = max(1, len(string) // 2)
    while step:
        cuts = [string[:i] + string[i + step:] for i in range(0, len(string), step)]
        cuts = [c for c in cuts if c]
        got = moat_ids(path, cuts, *options) if cuts else []
        found = next((c for c, ids in zip(cuts, got) if ids != getattr(peer, mode)(c)), None)
        if found is None:
            step //= 2
        else:
            string = found
            step = min(step, max(1, len(string) // 2))
    return string


def compare(label, path, vocab, a, corpus):
    peer = peers.peer_of(vocab)
    source = Strings(a.seed, vocab, corpus)
    strings = corpus + [source.one() for _ in range(a.strings)]
    strings += [" ".join(strings[i:i + 300] * 2) for i in range(0, len(strings), 300)]  # long enough to remember words and pairs
    differ = 0
    for mode, options in (("text", []), ("special", ["--special"])):
        wrong = [(s, got) for s, got in zip(strings, moat_ids(path, strings, *options)) if got != getattr(peer, mode)(s)]
        differ += len(wrong)
        for s, _ in wrong[:a.show]:
            s = shortest(peer, mode, path, s)
            got = moat_ids(path, [s], *options)[0]
            print(f"  {mode} {s!r} {[hex(ord(c)) for c in s][:12]}: moat {got[:16]} tokenizers {getattr(peer, mode)(s)[:16]}")
    print(f"{label}: {len(strings)} strings in both modes, {differ} differ", flush=True)
    return 2 * len(strings) - differ, differ


def renamed(path, pre, tmp):
    """The file with another tokenizer.ggml.pre, of any length: the value is put in its place."""
    with open(path, "rb") as f:
        data = f.read()
    at = data.index(b"tokenizer.ggml.pre") + len(b"tokenizer.ggml.pre") + 4
    n = int.from_bytes(data[at:at + 8], "little")
    out = os.path.join(tmp, pre + ".gguf")
    with open(out, "wb") as f:
        f.write(data[:at] + len(pre).to_bytes(8, "little") + pre.encode() + data[at + 8 + n:])
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("files", nargs="+")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--strings", type=int, default=2000)
    ap.add_argument("--show", type=int, default=3, help="differences to print of each mode (default %(default)s)")
    ap.add_argument("--pre", default="")
    ap.add_argument("--rest", action="store_true")
    a = ap.parse_args()
    with open(CORPUS, encoding="utf-8") as f:
        corpus = [s for s in json.load(f) if len(s) < 4000]
    names = list(peers.RULES) if a.rest else [n for n in a.pre.split(",") if n]
    passed = failed = 0
    with tempfile.TemporaryDirectory() as tmp:
        for path in a.files:
            vocab = peers.read_vocab(path)
            for pre in names or [None]:
                file = renamed(path, pre, tmp) if pre else path
                p, f = compare(pre or os.path.basename(path), file, dict(vocab, pre=pre) if pre else vocab, a, corpus)
                passed, failed = passed + p, failed + f
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
