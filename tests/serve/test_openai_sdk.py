#!/usr/bin/env python3
"""OpenAI's Python SDK against the server: the scripted engine for shapes, and the test model (MOAT_TEST_MODEL) for meaning."""
import math
import os
import sys

import openai

from harness import Server, Skip, run

fake = Server()
model = os.environ.get("MOAT_TEST_MODEL")
real = Server("--ctx", "2048", models=[model]) if model and os.path.exists(model) else None
MESSAGES = [{"role": "user", "content": "Name three colours."}]


def client(server):
    return openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)


def servers():
    return [fake] + ([real] if real else [])


def need_real():
    if not real:
        raise Skip("MOAT_TEST_MODEL is not there")
    return client(real)


def test_models():
    for s in servers():
        listed = client(s).models.list().data
        assert [m.id for m in listed] == [s.name] and listed[0].object == "model"
        assert client(s).models.retrieve(s.name).id == s.name


def test_chat():
    for s in servers():
        r = client(s).chat.completions.create(model=s.name, messages=MESSAGES, max_tokens=8, seed=1)
        assert r.object == "chat.completion" and r.model == s.name and r.id.startswith("chatcmpl-")
        assert r.system_fingerprint.startswith("moat-") and len(r.system_fingerprint) == 21
        assert r.choices[0].message.role == "assistant" and r.choices[0].message.content and r.choices[0].finish_reason in ("stop", "length")
        u = r.usage
        assert u.completion_tokens == 8 or r.choices[0].finish_reason == "stop"
        assert u.total_tokens == u.prompt_tokens + u.completion_tokens and u.prompt_tokens_details.cached_tokens <= u.prompt_tokens


def test_chat_stream():
    for s in servers():
        fields = dict(model=s.name, messages=MESSAGES, max_tokens=8, seed=1, temperature=0.7)
        whole = client(s).chat.completions.create(**fields)
        chunks = list(client(s).chat.completions.create(**fields, stream=True, stream_options={"include_usage": True}))
        assert chunks[0].choices[0].delta.role == "assistant" and chunks[0].object == "chat.completion.chunk"
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert text == whole.choices[0].message.content
        assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
        assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
        assert all(c.usage is None for c in chunks[:-1]) and len({c.id for c in chunks}) == 1


def test_logprobs():
    for s in servers():
        r = client(s).chat.completions.create(model=s.name, messages=MESSAGES, max_tokens=4, logprobs=True, top_logprobs=3, temperature=0)
        content = r.choices[0].logprobs.content
        assert len(content) == r.usage.completion_tokens
        for t in content:
            assert len(t.top_logprobs) == 3 and t.logprob <= 0
        joined = b"".join(bytes(t.bytes) for t in content)
        assert joined.decode(errors="replace").startswith(r.choices[0].message.content)
        stream = client(s).chat.completions.create(model=s.name, messages=MESSAGES, max_tokens=4, logprobs=True, top_logprobs=3, temperature=0, stream=True)
        streamed = [t for c in stream if c.choices[0].logprobs for t in c.choices[0].logprobs.content]
        assert streamed == content


def test_logprobs_are_probabilities():
    c = need_real()
    r = c.chat.completions.create(model=real.name, messages=MESSAGES, max_tokens=4, logprobs=True, top_logprobs=20, temperature=0)
    for t in r.choices[0].logprobs.content:
        tops = [x.logprob for x in t.top_logprobs]
        assert tops == sorted(tops, reverse=True) and tops[0] == t.logprob, "greedy takes the likeliest"
        assert sum(math.exp(x) for x in tops) <= 1.0001


def test_n_and_seed():
    for s in servers():
        r = client(s).chat.completions.create(model=s.name, messages=MESSAGES, max_tokens=6, n=3, seed=7)
        assert [c.index for c in r.choices] == [0, 1, 2]
    c = need_real()
    ask = lambda **f: [x.message.content for x in c.chat.completions.create(model=real.name, messages=MESSAGES, max_tokens=12, **f).choices]
    three = ask(n=3, seed=7)
    assert three == ask(n=3, seed=7) and len(set(three)) > 1
    assert ask(n=1, seed=7) == three[:1]
    raw = c.chat.completions.with_raw_response.create(model=real.name, messages=MESSAGES, max_tokens=12)
    again = ask(seed=int(raw.headers["moat-seed"]))
    assert again == [raw.parse().choices[0].message.content], "an answer without a seed can be asked for again"


def test_stop():
    c = need_real()
    ask = lambda **f: c.chat.completions.create(model=real.name, messages=MESSAGES, max_tokens=24, temperature=0, **f).choices[0]
    text = ask().message.content
    mark = text[len(text) // 2:len(text) // 2 + 3]
    stopped = ask(stop=mark)
    assert stopped.message.content == text[:text.index(mark)] and stopped.finish_reason == "stop"
    streamed = "".join(x.choices[0].delta.content or "" for x in c.chat.completions.create(model=real.name, messages=MESSAGES, max_tokens=24, temperature=0, stop=["no such", mark], stream=True))
    assert streamed == stopped.message.content


def test_logit_bias():
    c = need_real()
    code, _, answer = real.call("POST", "/tokenize", {"content": " blue"})
    assert code == 200 and len(answer["tokens"]) == 1
    r = c.chat.completions.create(model=real.name, messages=MESSAGES, max_tokens=3, temperature=0, logit_bias={str(answer["tokens"][0]): 100})
    assert r.choices[0].message.content == " blue" * 3


def test_completions():
    for s in servers():
        r = client(s).completions.create(model=s.name, prompt="Once upon a time", max_tokens=5, logprobs=2, temperature=0)
        assert r.object == "text_completion" and r.choices[0].text
        lp = r.choices[0].logprobs
        assert len(lp.tokens) == len(lp.token_logprobs) == len(lp.top_logprobs) == len(lp.text_offset) == r.usage.completion_tokens
        several = client(s).completions.create(model=s.name, prompt=["Once upon a time", "A long"], n=2, max_tokens=5, temperature=0)
        assert [c.index for c in several.choices] == [0, 1, 2, 3]
        assert several.choices[0].text == several.choices[1].text == r.choices[0].text, "in any batch the same"
        streamed = list(client(s).completions.create(model=s.name, prompt="Once upon a time", max_tokens=5, temperature=0, stream=True))
        assert "".join(c.choices[0].text for c in streamed) == r.choices[0].text


def test_completion_of_tokens_and_echo():
    c = need_real()
    ids = real.call("POST", "/tokenize", {"content": "Once upon a time"})[2]["tokens"]
    assert real.call("POST", "/detokenize", {"tokens": ids})[2]["content"] == "Once upon a time"
    ask = lambda p, **f: c.completions.create(model=real.name, prompt=p, max_tokens=5, temperature=0, **f)
    by_text = ask("Once upon a time", extra_body={"add_special_tokens": False})
    assert by_text.choices[0].text == ask(ids).choices[0].text == ask([ids]).choices[0].text
    assert by_text.usage.prompt_tokens == len(ids)
    echo = ask(ids, echo=True, logprobs=0).choices[0]
    assert echo.text == "Once upon a time" + by_text.choices[0].text
    assert echo.logprobs.token_logprobs[0] is None and len(echo.logprobs.tokens) == len(ids) + 5
    for logprobs in [None, 0]:  # scoring alone: nothing is drawn
        only = c.completions.create(model=real.name, prompt=ids, max_tokens=0, temperature=0, echo=True, logprobs=logprobs)
        assert (only.choices[0].text, only.choices[0].finish_reason, only.usage.completion_tokens) == ("Once upon a time", "length", 0)
    assert only.choices[0].logprobs.token_logprobs == echo.logprobs.token_logprobs[:len(ids)]


def test_apply_template():
    need_real()
    code, _, answer = real.call("POST", "/apply-template", {"messages": MESSAGES})
    assert code == 200 and "Name three colours." in answer["prompt"]
    c = client(real)
    chat = c.chat.completions.create(model=real.name, messages=MESSAGES, max_tokens=6, temperature=0)
    raw = c.completions.create(model=real.name, prompt=answer["prompt"], max_tokens=6, temperature=0, extra_body={"add_special_tokens": False})
    assert raw.choices[0].text == chat.choices[0].message.content and raw.usage.prompt_tokens == chat.usage.prompt_tokens


def test_context_length():
    c = need_real()
    long = "word " * 3000
    for create, param, fields in [(c.chat.completions.create, "messages", {"messages": [{"role": "user", "content": long}]}),
                                  (c.chat.completions.create, "messages", {"messages": [{"role": "user", "content": long}], "max_tokens": 5}),
                                  (c.chat.completions.create, "max_tokens", {"messages": MESSAGES, "max_tokens": 5000}),
                                  (c.completions.create, "prompt", {"prompt": long}), (c.completions.create, "max_tokens", {"prompt": "a", "max_tokens": 2**31 - 1})]:
        try:
            create(model=real.name, **fields)
            raise AssertionError("it was served")
        except openai.BadRequestError as e:
            assert e.code == "context_length_exceeded" and "maximum context length is 2048 tokens" in str(e) and e.param == param, e


def test_what_the_engine_refuses_names_the_field():
    need_real()
    for path, param, fields in [("/v1/chat/completions", "now", {"messages": MESSAGES, "now": "yesterday"}), ("/apply-template", "now", {"messages": MESSAGES, "now": "2026-02-30T12:00:00"}),
                                ("/v1/chat/completions", "now", {"messages": MESSAGES, "now": "2026-01-31T12:00:00Z"}),
                                ("/v1/chat/completions", "logit_bias", {"messages": MESSAGES, "logit_bias": {"999999": 1}}),
                                ("/v1/completions", "prompt", {"prompt": [1, 999999]}), ("/v1/completions", "prompt", {"prompt": ""}), ("/detokenize", "tokens", {"tokens": [999999]})]:
        code, _, answer = real.call("POST", path, fields)
        assert code == 400 and answer["error"]["param"] == param and answer["error"]["message"].startswith(f"Invalid '{param}': "), (path, fields, answer)


def test_errors():
    for s in servers():
        c = client(s)
        for want, fields in [(openai.BadRequestError, {"temperature": 3}), (openai.NotFoundError, {"model": "other"}), (openai.BadRequestError, {"n": 17}),
                             (openai.BadRequestError, {"tools": [{"type": "function", "function": {"name": "f"}}]}), (openai.BadRequestError, {"logit_bias": {"x": 1}})]:
            try:
                c.chat.completions.create(**{"model": s.name, "messages": MESSAGES, **fields})
                raise AssertionError(f"{fields} was served")
            except want as e:
                assert e.body["message"] and e.body["type"] == "invalid_request_error" and e.param in fields, e


def test_error_in_a_stream():
    try:
        for _ in client(fake).chat.completions.create(model=fake.name, messages=[{"role": "user", "content": "FAULT"}], stream=True):
            pass
        raise AssertionError("the error was not seen")
    except openai.APIError as e:
        assert "It went wrong." in str(e)


try:
    run(sys.modules[__name__])
finally:
    for s in servers():
        s.__exit__()
