#!/usr/bin/env python3
"""llama.cpp (llama-cpp-python) measured like `moat bench`: reads lines "KIND N SEQS" (KIND pp or tg), answers each with one
line of JSON {"tokens", "ns", "cpu_ns"}. The model stays loaded, so that rounds can alternate with moat's."""
import ctypes
import json
import sys
import time

import llama_cpp as L


def token_at(seq, pos, n_vocab):
    return (seq * 31 + pos * 7919 + 13) % n_vocab


class Peer:
    def __init__(self, path, threads, seqs, n_ctx):
        L.llama_backend_init()
        silent = L.llama_log_callback(lambda level, text, data: None)
        L.llama_log_set(silent, ctypes.c_void_p(0))
        self.silent = silent
        self.model = L.llama_model_load_from_file(path.encode(), L.llama_model_default_params())
        p = L.llama_context_default_params()
        p.n_ctx, p.n_batch, p.n_ubatch, p.n_seq_max = n_ctx * seqs, 512, 512, seqs
        p.n_threads = p.n_threads_batch = threads
        self.ctx = L.llama_init_from_model(self.model, p)
        self.n_vocab = L.llama_vocab_n_tokens(L.llama_model_get_vocab(self.model))
        self.batch = L.llama_batch_init(512, 0, 1)

    def forward(self, rows):
        """rows: (seq, pos, wants logits)"""
        b = self.batch
        b.n_tokens = len(rows)
        for i, (seq, pos, logits) in enumerate(rows):
            b.token[i] = token_at(seq, pos, self.n_vocab)
            b.pos[i] = pos
            b.n_seq_id[i] = 1
            b.seq_id[i][0] = seq
            b.logits[i] = logits
        if L.llama_decode(self.ctx, b) != 0:
            sys.exit("peer: llama_decode failed")

    def run(self, kind, n, seqs):
        L.llama_memory_clear(L.llama_get_memory(self.ctx), True)
        if kind == "pp":
            for at in range(0, n, 512):
                self.forward([(0, pos, pos + 1 == n) for pos in range(at, min(at + 512, n))])
        else:
            for pos in range(n):
                self.forward([(s, pos, True) for s in range(seqs)])
        L.llama_synchronize(self.ctx)


def main():
    path, threads, seqs, n_ctx = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    peer = Peer(path, threads, seqs, n_ctx)
    for line in sys.stdin:
        kind, n, s = line.split()
        n, s = int(n), int(s)
        wall, cpu = time.monotonic_ns(), time.process_time_ns()
        peer.run(kind, n, s)
        print(json.dumps({"tokens": n * s, "ns": time.monotonic_ns() - wall, "cpu_ns": time.process_time_ns() - cpu}), flush=True)


main()
