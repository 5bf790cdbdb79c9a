#!/usr/bin/env python3
"""What a bad engine may do to the server, and admission, keys, routing. Scripted engine."""
import json
import os
import shutil
import select
import signal
import subprocess
import sys
import tempfile
import threading

from harness import FAKE, REAL, ROOT, Server, Skip, chat_request, read_all, run, wait_for


def stream_events(answer):
    return [line[6:] for line in answer.decode().split("\n") if line.startswith("data: ")]


def test_engine_that_dies():
    for word in ["CRASH", "GARBAGE"]:
        with Server() as s:
            other = s.connect()
            other.sendall(chat_request("HANG", extra=b"Connection: close\r\n"))
            s.wait_metric("engine_requests", 1)
            with s.connect() as c:
                c.sendall(chat_request(word, stream=True, extra=b"Connection: close\r\n"))
                events = stream_events(read_all(c))
                error = json.loads(events[-1])["error"]
                assert error["code"] == "engine_failed" and error["type"] == "server_error", events
            assert b"HTTP/1.1 500" in read_all(other), "streams that have not begun get a status"
            wait_for(lambda: s.call("GET", "/ready")[0] == 200, "the engine to come back")
            assert s.metric("engine_restarts_total") >= 1
            assert s.chat("hi")[0] == 200
            assert s.call("GET", "/health")[0] == 200


def test_not_ready_while_it_restarts():
    with Server() as s:
        for _ in range(3):
            s.chat("CRASH")
            code, headers, answer = s.call("GET", "/ready")
            if code == 503:
                break
        assert code == 503 and headers["retry-after"] and answer["ready"] is False
        code, headers, answer = s.chat("hi")
        assert code in (200, 503) and (code == 200 or (answer["error"]["code"] == "engine_not_ready" and headers["retry-after"]))


def test_error_event():
    with Server() as s:
        code, _, answer = s.chat("FAULT")
        assert code == 500 and answer["error"]["message"] == "It went wrong."


def test_refusals_are_real_400s():
    with Server() as s:
        for stream in [False, True]:
            code, _, answer = s.chat("LONG", stream=stream)
            error = answer["error"]
            assert code == 400 and error["code"] == "context_length_exceeded" and "5000" in error["message"] and "4096" in error["message"]


def test_model_that_cannot_be_opened():
    s = Server("--name", "unloadable", wait=False)
    out, err = s.process.communicate(timeout=20)
    assert s.process.returncode == 3 and out == "" and "general.architecture: is not known" in err, err


def test_queue_is_bounded():
    with Server("--parallel", "2", "--queue", "3") as s:
        held = [s.connect() for _ in range(5)]
        for c in held:
            c.sendall(chat_request("HANG"))
        s.wait_metric("engine_requests", 5)
        code, headers, answer = s.chat("hi")
        assert code == 503 and headers["retry-after"] and answer["error"]["code"] == "overloaded"
        held.pop().close()
        s.wait_metric("engine_requests", 4)
        assert s.chat("hi")[0] == 200
        for c in held:
            c.close()


def test_keys():
    with Server("--api-key", "secret-one", env={"MOAT_API_KEY": "secret-two"}) as s:
        for headers, want in [({}, 401), ({"Authorization": "Bearer wrong"}, 401), ({"Authorization": "Bearer secret-one"}, 200),
                              ({"Authorization": "bearer secret-one"}, 200), ({"x-api-key": "secret-two"}, 200), ({"Authorization": "secret-one"}, 401), ({"Authorization": "Bearer "}, 401)]:
            for path in ["/v1/models", "/metrics"]:
                code, _, answer = s.call("GET", path, headers=headers)
                assert code == want, (headers, path, code)
            code, _, answer = s.chat("hi", headers=headers)
            assert code == want and (code == 200 or answer["error"]["code"] == "invalid_api_key")
        assert s.call("GET", "/health")[0] == s.call("GET", "/ready")[0] == s.call("GET", "/")[0] == 200
        assert s.call("GET", "/nowhere")[0] == 401, "who has no key does not learn what is there"


def test_an_empty_key_is_refused():
    s = Server("--api-key", "", wait=False)
    out, err = s.process.communicate(timeout=20)
    assert s.process.returncode == 2 and out == "" and "api-key: is empty" in err, err


def test_a_name_is_printable():
    s = Server("--name", "a\x1b[31m", wait=False)
    out, err = s.process.communicate(timeout=20)
    assert s.process.returncode == 2 and out == "" and "control character" in err, err


def test_routing_and_errors():
    with Server() as s:
        assert s.call("GET", "/nowhere")[0] == 404
        code, headers, answer = s.call("GET", "/v1/chat/completions")
        assert code == 405 and headers["allow"] == "POST" and answer["error"]["type"] == "invalid_request_error"
        assert s.call("DELETE", "/health")[1]["allow"] == "GET, HEAD"
        code, _, answer = s.chat("hi", model="other")
        assert code == 404 and answer["error"]["code"] == "model_not_found" and "'fake'" in answer["error"]["message"]
        assert s.call("GET", "/v1/models/f%61ke")[2]["id"] == "fake"
        assert s.call("GET", "/v1/models/other")[0] == 404
        for body in [b"", b"{", b"[]", b'{"messages":"\xff"}', b'{"messages":[{"role":"user","content":"\xc3"}]}', b'{"a":1,"a":2}', b"[" * 5000, b"{}"]:
            code, _, answer = s.call("POST", "/v1/chat/completions", body)
            assert code == 400 and answer["error"]["type"] == "invalid_request_error", body


def test_fingerprint_is_a_contract():
    with Server() as s:
        for want, headers, fields in [(200, {}, {"fingerprint": "moat-0123456789abcdef"}), (200, {"moat-fingerprint": "0123456789abcdef"}, {}),
                                      (412, {}, {"fingerprint": "moat-fedcba9876543210"}), (412, {"moat-fingerprint": "x"}, {})]:
            assert s.chat("hi", headers=headers, **fields)[0] == want
        _, headers, answer = s.chat("hi")
        assert answer["system_fingerprint"] == headers["moat-fingerprint"] == "moat-0123456789abcdef"
        assert s.chat("hi", seed=42)[1]["moat-seed"] == "42"
        assert s.chat("hi", seed=-1)[1]["moat-seed"] == str(2**64 - 1)
        assert s.chat("hi", now="2026-01-31T12:00:00")[1]["moat-now"] == "2026-01-31T12:00:00"


def test_unknown_fields():
    with Server() as s:
        code, _, answer = s.chat("hi", frobnicate=1)
        assert code == 400 and answer["error"]["param"] == "frobnicate" and answer["error"]["code"] == "unknown_parameter"
    with Server("--unknown-fields", "warn") as s:
        code, headers, _ = s.chat("hi", frobnicate=1, reasoning_effort="low", user="u")
        assert code == 200 and headers["moat-ignored"] == "frobnicate, reasoning_effort"


def test_several_models():
    with tempfile.TemporaryDirectory() as folder:
        files = [os.path.join(folder, name) for name in ["one.gguf", "two.gguf"]]
        for f in files:
            open(f, "w").write("x")
        p = subprocess.Popen([FAKE, "serve", *files, "--port", "0"], stdout=subprocess.PIPE, text=True)
        s = object.__new__(Server)
        s.host, s.port = "127.0.0.1", int(p.stdout.readline().rsplit(":", 1)[1])
        assert [m["id"] for m in s.call("GET", "/v1/models")[2]["data"]] == ["one", "two"]
        assert s.chat("hi", model="two")[2]["model"] == "two"
        assert s.chat("hi")[2]["model"] == "one", "the first answers who names none"
        code, _, answer = s.chat("hi", model="three")
        assert code == 404 and answer["error"]["param"] == "model"
        assert s.chat("CRASH", model="one")[0] == 500
        assert s.chat("hi", model="two")[0] == 200, "a crash in one model touches nothing else"
        p.terminate()
        assert p.wait(20) == 0


def test_with_the_test_model():
    """A client that leaves during prefill frees the engine at once; an engine that is killed comes back with the same answer."""
    model = os.environ.get("MOAT_TEST_MODEL")
    if not model or not os.path.exists(model):
        raise Skip("MOAT_TEST_MODEL is not there")
    with Server("--ctx", "4096", models=[model]) as s:
        ask = lambda: s.chat("Hello", max_tokens=5, temperature=0)[2]["choices"][0]["message"]["content"]
        first = ask()
        for stream in [False, True]:
            with s.connect() as c:
                c.sendall(chat_request("word " * 3000, stream=stream))
                wait_for(lambda: s.metric("engine_requests") == 1, "the request to reach the engine")
            s.wait_metric("engine_requests", 0)
        assert s.metric("requests_cancelled_total") == 2
        with s.connect() as c:
            c.sendall(chat_request("Tell me a long story", stream=True, max_tokens=2000, ignore_eos=True, extra=b"Connection: close\r\n"))
            assert c.recv(10)
            os.kill(s.engine_pid(), signal.SIGKILL)
            assert json.loads(stream_events(read_all(c))[-1])["error"]["code"] == "engine_failed"
        wait_for(lambda: s.call("GET", "/ready")[0] == 200, "the engine to come back", 60)
        assert ask() == first


def test_short_requests_do_not_wait_behind_long_texts():
    """Texts of megabytes that are refused in the end take seconds to tokenise; short ones overtake them."""
    model = os.environ.get("MOAT_TEST_MODEL")
    if not model or not os.path.exists(model):
        raise Skip("MOAT_TEST_MODEL is not there")
    with Server("--ctx", "512", models=[model]) as s:
        long = [s.connect() for _ in range(6)]
        for c in long:
            c.sendall(chat_request(" " * 4000000))
        s.wait_metric("engine_requests", 6)
        assert s.chat("Hello", max_tokens=1)[0] == 200
        assert any(not select.select([c], [], [], 0)[0] for c in long), "the long ones were answered first"
        for c in long:
            c.close()


def test_model_file_that_is_overwritten():
    """An engine holds copies: what happens to the file afterwards changes no answer. One that starts again says what is wrong with it."""
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "m.gguf")
        shutil.copy(os.path.join(ROOT, "tests", "golden", "models", "tiny-llama.gguf"), model)
        with Server(models=[model]) as s:
            ask = lambda **f: s.call("POST", "/v1/completions", {"prompt": [1, 20, 30], "max_tokens": 8, "temperature": 0, "logprobs": 1, **f})
            first = ask()[2]["choices"]
            with open(model, "r+b") as f:
                f.write(b"GGUF" + bytes(100000))
            assert ask()[2]["choices"] == first
            os.truncate(model, 0)
            assert ask()[2]["choices"] == first and s.metric("engine_restarts_total") == 0
            os.kill(s.engine_pid(), signal.SIGKILL)
            wait_for(lambda: s.call("GET", "/ready")[0] == 503, "the server to say that it is not ready")
            code, headers, answer = ask()
            assert code == 503 and answer["error"]["code"] == "engine_not_ready" and headers["retry-after"]


def test_model_file_that_is_cut_short_under_its_reader():
    source = os.environ.get("MOAT_TEST_MODEL")
    if not source or not os.path.exists(source):
        raise Skip("MOAT_TEST_MODEL is not there")
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "m.gguf")
        shutil.copy(source, model)
        p = subprocess.Popen([REAL, "check", model], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: model in open(f"/proc/{p.pid}/maps").read(), "the file to be mapped")
        os.truncate(model, 4096)
        out, err = p.communicate(timeout=40)
        assert (p.returncode, out) == (1, "") and err.startswith(f"moat: error: {model}: was cut short"), (p.returncode, out, err)


def test_many_at_once():
    with Server("--parallel", "4", "--queue", "400") as s:
        codes = []

        def one():
            for _ in range(5):
                codes.append(s.chat("hi", stream=True)[0])

        threads = [threading.Thread(target=one) for _ in range(40)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert codes == [200] * 200
        s.wait_metric("engine_requests", 0)


run(sys.modules[__name__])
