#!/usr/bin/env python3
# slow
"""One fingerprint, one answer: identical greedy requests with the five likeliest tokens at each place give one answer and one vector of
log-probabilities: alone, among 16 clients who ask for other things, streamed or not, before and after a restart, with 1, 2 and 3 threads and
other chunks. `--full` (tools/long.sh) asks 30 times for 256 tokens each time; else less is asked. Needs MOAT_TEST_MODEL."""
import json
import os
import random
import sys
import threading

from harness import Server, Skip, option, run

FULL = option("--full")
N_ASKED, N_TOKENS = (30, 256) if FULL else (4, 64)
N_CLIENTS = 16
TOP = 5
PATIENCE = 1200  # seconds; 16 clients on a busy machine wait long
QUESTION = "Tell me about the sea in two sentences."
ASKED = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": N_TOKENS, "temperature": 0, "ignore_eos": True, "logprobs": True, "top_logprobs": TOP,
         "now": "2026-01-31T12:00:00"}
SAMPLED = {**ASKED, "temperature": 0.8, "seed": 1234}
WORDS = "river stone cloud engine paper violin harbour winter copper garden".split()


def mixed(rng):
    """Another client's request: other lengths, sampling, streaming; some share the prefix of ASKED."""
    text = rng.choice([" ".join(rng.choices(WORDS, k=rng.randint(1, 120))), "Tell me about the sea in three words."])
    return {"messages": [{"role": "user", "content": text}], "max_tokens": rng.randint(1, 24), "temperature": rng.choice([0, 1]), "n": rng.choice([1, 1, 2]),
            "stream": rng.random() < 0.5}


def answer_of(server, request, stream):
    """(fingerprint, text, finish, log-probabilities: one entry a token) as hashable values."""
    code, _, r = server.call("POST", "/v1/chat/completions", {**request, "stream": stream}, timeout=PATIENCE)
    assert code == 200, r
    if stream:
        lines = [line[6:] for line in r.split("\n") if line.startswith("data: ")]
        assert lines[-1] == "[DONE]", lines[-1]
        chunks = [json.loads(line) for line in lines[:-1]]
        choices = [c["choices"][0] for c in chunks]
        fingerprint, text = chunks[0]["system_fingerprint"], "".join(c["delta"].get("content", "") for c in choices)
        entries, finish = [e for c in choices for e in (c["logprobs"] or {"content": []})["content"]], choices[-1]["finish_reason"]
    else:
        choice = r["choices"][0]
        fingerprint, text, entries, finish = r["system_fingerprint"], choice["message"]["content"], choice["logprobs"]["content"], choice["finish_reason"]
    assert len(entries) == N_TOKENS and all(len(e["top_logprobs"]) == TOP for e in entries) and finish == "length", (len(entries), finish)
    return fingerprint, text, finish, json.dumps(entries)


def ask_alone(server, request):
    return [answer_of(server, request, stream=i % 2 == 1) for i in range(N_ASKED)]


def ask_in_crowd(server, request):
    """The same from 16 clients at once, each of which also asks for other things."""
    answers, faults, left = [], [], iter(range(N_ASKED))

    def client(seed):
        rng = random.Random(seed)
        try:
            for i in left:
                if rng.random() < 0.7:
                    code, _, _ = server.call("POST", "/v1/chat/completions", mixed(rng), timeout=PATIENCE)
                    assert code == 200, code
                answers.append(answer_of(server, request, stream=i % 2 == 1))
            while len(answers) < N_ASKED and not faults:
                server.call("POST", "/v1/chat/completions", mixed(rng), timeout=PATIENCE)
        except Exception as why:
            faults.append(why)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(N_CLIENTS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not faults, faults[0]
    assert len(answers) == N_ASKED
    return answers


def test_one_answer():
    model = os.environ.get("MOAT_TEST_MODEL")
    if not model or not os.path.exists(model):
        raise Skip("MOAT_TEST_MODEL is not there")
    greedy, sampled = [], []
    for args in [["--threads", "2"], ["--threads", "1", "--chunk", "17", "--parallel", "3"], ["--threads", "3"], ["--threads", "2"]]:
        with Server("--ctx", "1024", *args, models=[model]) as s:
            greedy += ask_alone(s, ASKED) + ask_in_crowd(s, ASKED)
            sampled.append(answer_of(s, SAMPLED, stream=False))
    texts, vectors = {a[:3] for a in greedy}, {a[3] for a in greedy}
    print(f"{len(greedy)} greedy requests of {N_TOKENS} tokens with top-{TOP} log-probabilities, 4 starts: {len(texts)} distinct answers, {len(vectors)} distinct vectors")
    assert len(texts) == 1 and len(vectors) == 1, texts
    assert len(set(sampled)) == 1, "a seeded request differs"


run(sys.modules[__name__])
