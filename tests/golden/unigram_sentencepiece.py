#!/usr/bin/env python3
"""Unigram files beside SentencePiece itself (pip install sentencepiece tokenizers), which the file's pieces and character map are given to:
the same ids, or pieces whose scores have the same sum (SentencePiece adds floats, moat and PyPI tokenizers doubles).

usage: unigram_sentencepiece.py [--seed N] [--strings 1500] FILE.gguf...
"""
import argparse
import json
import math
import sys

import fuzz_tokenizers as fuzz
import peer_tokenizers as peers
import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as model_pb2

UNIGRAM = 1


def processor(vocab):
    model = model_pb2.ModelProto()
    for text, score, kind in zip(vocab["tokens"], vocab["scores"], vocab["token_type"]):
        model.pieces.add(piece=text, score=score, type=kind)
    unknown = vocab["token_type"].index(peers.UNKNOWN)
    t, n = model.trainer_spec, model.normalizer_spec
    t.model_type, t.unk_id, t.unk_piece, t.pad_id = UNIGRAM, unknown, vocab["tokens"][unknown], -1
    t.bos_id, t.eos_id = vocab.get("bos_token_id", -1), vocab.get("eos_token_id", -1)
    t.bos_piece, t.eos_piece = (vocab["tokens"][i] if i >= 0 else "" for i in (t.bos_id, t.eos_id))
    n.precompiled_charsmap = bytes(b & 255 for b in vocab.get("precompiled_charsmap", []))
    n.add_dummy_prefix, n.remove_extra_whitespaces = vocab.get("add_space_prefix", True), vocab.get("remove_extra_whitespaces", False)
    p = sentencepiece.SentencePieceProcessor()
    p.LoadFromSerializedProto(model.SerializeToString())
    return p


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("files", nargs="+")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--strings", type=int, default=1500)
    a = ap.parse_args()
    with open(fuzz.CORPUS, encoding="utf-8") as f:
        corpus = [s for s in json.load(f) if len(s) < 4000]
    failed = passed = 0
    for path in a.files:
        vocab = peers.read_vocab(path)
        source, p = fuzz.Strings(a.seed, vocab, corpus), processor(vocab)
        strings = [s for s in corpus + [source.one() for _ in range(a.strings)] if "\0" not in s]  # the map's texts end with NUL
        same = sums = 0
        total = lambda ids: math.fsum(vocab["scores"][i] for i in ids)
        for s, ids in zip(strings, fuzz.moat_ids(path, strings)):
            theirs = p.EncodeAsIds(s)
            if ids == theirs:
                same += 1
            elif math.isclose(total(ids), total(theirs), rel_tol=1e-6):
                sums += 1
            else:
                failed += 1
                print(f"  {s!r}: moat {ids[:16]} sentencepiece {theirs[:16]}")
        passed += same + sums
        print(f"{path}: {len(strings)} strings, {same} the same ids, {sums} the same sum in another order")
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
