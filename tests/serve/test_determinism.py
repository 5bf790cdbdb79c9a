#!/usr/bin/env python3
# slow
"""One fingerprint, one answer: 30 identical requests among 16 mixed clients give one answer and one vector of log-probabilities,
before and after a restart, with another number of threads and another prefill chunk. Needs MOAT_TEST_MODEL."""
import os
import random
import sys
import threading

from harness import Server, Skip, run

N_ASKED, N_CLIENTS = 30, 16
ASKED = {"messages": [{"role": "user", "content": "Tell me about the sea in two sentences."}], "max_tokens": 16, "temperature": 0.8, "seed": 1234, "logprobs": True,
         "top_logprobs": 5, "now": "2026-01-31T12:00:00"}
WORDS = "river stone cloud engine paper violin harbour winter copper garden".split()


def mixed(rng):
    """Another client's request: other lengths, sampling, streaming; some share the prefix of ASKED."""
    text = rng.choice([" ".join(rng.choices(WORDS, k=rng.randint(1, 120))), "Tell me about the sea in three words."])
    return {"messages": [{"role": "user", "content": text}], "max_tokens": rng.randint(1, 24), "temperature": rng.choice([0, 1]), "n": rng.choice([1, 1, 2]),
            "stream": rng.random() < 0.5}


def answers_of(server):
    """The answers to ASKED from 16 clients at once, each of which also asks for other things."""
    answers, faults, left = [], [], iter(range(N_ASKED))

    def client(seed):
        rng = random.Random(seed)
        try:
            for _ in left:
                if rng.random() < 0.7:
                    code, _, _ = server.call("POST", "/v1/chat/completions", mixed(rng))
                    assert code == 200, code
                code, _, r = server.call("POST", "/v1/chat/completions", ASKED)
                assert code == 200, r
                answers.append((r["system_fingerprint"], r["choices"][0]["message"]["content"], str(r["choices"][0]["logprobs"]), r["choices"][0]["finish_reason"]))
        except Exception as why:
            faults.append(why)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(N_CLIENTS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not faults, faults[0]
    assert len(answers) == N_ASKED
    return set(answers)


def test_one_answer():
    model = os.environ.get("MOAT_TEST_MODEL")
    if not model or not os.path.exists(model):
        raise Skip("MOAT_TEST_MODEL is not there")
    seen = set()
    for args in [[], ["--threads", "1", "--chunk", "17", "--parallel", "3"]]:
        with Server("--ctx", "1024", *args, models=[model]) as s:
            seen |= answers_of(s)
    assert len(seen) == 1, f"{len(seen)} different answers: {[a[:2] for a in seen]}"


run(sys.modules[__name__])
