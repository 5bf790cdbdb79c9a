"""The ratios that moat has to reach on 2 threads, by instruction set: (prefill, decoding) beside llama.cpp and beside ik_llama.cpp, and 16
sequences beside llama.cpp."""

COLUMNS = ["SmolLM2 Q4_1", "Gemma-270M Q4_K_M", "1.5B Q4_K_M", "1.5B Q4_0", "1.5B Q8_0"]
RATIOS = {
    "avx512": {"llama.cpp": [(6.0, 2.0), (3.5, 1.5), (3.5, 1.7), (2.5, 1.5), (4.5, 1.7)],
               "ik_llama.cpp": [(2.0, 2.0), (1.7, 1.5), (1.7, 1.15), (1.7, 1.4), (1.7, 1.0)], "batched": 2.5},
    "avx2": {"llama.cpp": [(3.5, 1.8), (1.8, 1.3), (1.8, 1.1), (2.0, 1.2), (1.4, 1.1)],
             "ik_llama.cpp": [(1.3, 1.5), (1.15, 1.3), (1.15, 1.1), (1.5, 1.05), (1.0, 1.0)], "batched": 2.0},
    "amx": {"llama.cpp": [(1.8, 1.5), (1.8, 1.3), (1.8, 1.15), (1.7, 1.05), (1.6, 0.95)],
            "ik_llama.cpp": [(1.8, 1.5), (1.6, 1.3), (1.8, 1.15), (1.7, 1.05), (1.6, 0.95)], "batched": 1.7},
}
RATIOS["avxvnni"] = RATIOS["avx2"]


def has(label, test):
    """Is this test of this model one of those that are judged?"""
    return label in COLUMNS and (test.seqs == 1 or (label == COLUMNS[0] and test.seqs == 16))


def least(isa, label, peer, test):
    """The least ratio, or None where none is set."""
    tier = RATIOS.get(isa)
    if tier is None or not has(label, test):
        return None
    if test.seqs > 1:
        return tier["batched"] if peer == "llama.cpp" else None
    pair = tier.get(peer, [None] * len(COLUMNS))[COLUMNS.index(label)]
    return pair and pair[test.kind == "tg"]
