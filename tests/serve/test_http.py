#!/usr/bin/env python3
"""The server as bytes on a socket see it: malformed requests, limits, clients that leave, slow readers, draining. Scripted engine."""
import signal
import socket
import struct
import sys
import time

from harness import Server, chat_request, read_all, run, wait_for

GET = b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n"
GET_CLOSE = b"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
server = Server()


def status(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None


def test_malformed_is_refused_and_closed():
    for want, request in [
        (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        (400, b"GET / HTTP/1.1\nHost: a\n\n"),
        (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\0\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"),
        (400, b"\x16\x03\x01\x02\x00"),
        (505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
        (431, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20000),
        (431, b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 101 + b"\r\n"),
        (414, b"GET /" + b"x" * 20000),
        (413, b"POST /tokenize HTTP/1.1\r\nHost: a\r\nContent-Length: 8388609\r\n\r\n"),
        (417, b"POST /tokenize HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 2\r\n\r\n{}"),
    ]:
        answer = server.raw(request + GET)
        assert status(answer) == want, (want, request[:60], answer)
        assert answer.count(b"\r\nDate: ") == 1, "what follows a refused request is never answered"
        assert b'{"error":{"message":' in answer and b"Connection: close" in answer


def test_body_limit_counts_chunks():
    body = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    answer = server.raw(b"POST /tokenize HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body * 9)
    assert status(answer) == 413, answer


def test_large_body_is_taken():
    text = "x" * 4_000_000
    code, _, answer = server.chat(text)
    assert code == 200, answer


def test_keep_alive_and_pipelining():
    answer = server.raw(GET * 20 + chat_request("hi") * 3 + GET_CLOSE)
    assert answer.count(b"HTTP/1.1 200 OK") == 24
    assert answer.count(b" tok tok tok tok tok") == 3


def test_http_1_0_closes():
    answer = server.raw(b"GET /health HTTP/1.0\r\n\r\n")
    assert status(answer) == 200 and answer.endswith(b'{"status":"ok"}')
    stream = server.raw(chat_request("hi", stream=True).replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert stream.endswith(b"data: [DONE]\n\n") and b"chunked" not in stream


def test_head_has_no_body():
    answer = server.raw(b"HEAD /health HTTP/1.1\r\nHost: h\r\n\r\n" + GET_CLOSE)
    assert answer.count(b"Content-Length: 15") == 2 and answer.count(b'{"status":"ok"}') == 1


def test_expect_continue():
    with server.connect() as s:
        s.sendall(b"POST /tokenize HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 15\r\n\r\n")
        assert s.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(b'{"content":"a"}')
        assert read_all(s).endswith(b'{"tokens":[97]}')


def test_byte_by_byte():
    with server.connect() as s:
        for c in chat_request("hi", extra=b"Connection: close\r\n"):
            s.sendall(bytes([c]))
        assert status(read_all(s)) == 200


def test_absolute_target_and_query():
    assert status(server.raw(b"GET http://x/health?a=b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")) == 200


def test_client_that_leaves_stops_its_work():
    for how in ["close", "reset", "half-close"]:
        for text in ["HANG", "SLOW"]:
            for stream in [False, True]:
                before = server.metric("requests_cancelled_total")
                s = server.connect()
                s.sendall(chat_request(text, stream=stream, max_tokens=1000))
                wait_for(lambda: server.metric("engine_requests") == 1, "the request to reach the engine")
                if how == "reset":
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if how == "half-close":
                    s.shutdown(socket.SHUT_WR)
                else:
                    s.close()
                server.wait_metric("engine_requests", 0)
                server.wait_metric("requests_cancelled_total", before + 1)
                s.close()


def test_client_that_leaves_before_it_is_accepted():
    s = server.connect()
    s.sendall(chat_request("LATE"))
    wait_for(lambda: server.metric("engine_requests") == 1, "the request to reach the engine")
    s.close()
    server.wait_metric("engine_requests", 0)


def test_too_far_ahead_is_closed():
    with server.connect() as s:
        s.sendall(chat_request("HANG"))
        try:
            s.sendall(GET * 40000)
        except OSError:
            pass
        assert read_all(s) == b""
    server.wait_metric("engine_requests", 0)


def test_slow_reader_pauses_its_work():
    """A client that reads nothing for a while: its work waits at some 64 KiB, and all of the answer comes when it reads on."""
    paused = server.metric("streams_paused_total")
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect((server.host, server.port))
    s.sendall(chat_request("PATIENT", b"Connection: close\r\n", stream=True, max_tokens=1000))
    wait_for(lambda: server.metric("streams_paused_total") == paused + 1, "the stream to be paused")
    tokens = server.metric("completion_tokens_total")
    assert server.chat("hi")[0] == 200 and server.metric("engine_requests") == 1
    data = read_all(s)
    s.close()
    assert data.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n") and data.count(b'"delta":{"content":"') == 1000, (data[-200:], data.count(b'"delta":{"content":"'))
    assert server.metric("completion_tokens_total") == tokens + 5 + 1000 and server.metric("streams_paused_total") > paused + 1


def test_slow_reader_is_cut_off():
    """A client that asks an engine that never pauses for 16 MB and more, and reads nothing: the stream is cancelled, and others are served meanwhile."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect((server.host, server.port))
    s.sendall(chat_request("FLOOD", stream=True, max_tokens=1000, n=16) * 2)
    server.wait_metric("engine_requests", 0)
    assert server.chat("hi")[0] == 200
    wait_for(lambda: server.metric("connections") == 1, "the connection to go")
    try:
        while s.recv(65536):
            pass
        raise AssertionError("it ended as if all had been sent")
    except ConnectionResetError:
        s.close()


def test_slow_head_times_out():
    with server.connect() as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n")
        start = time.time()
        answer = read_all(s)
        assert status(answer) == 408 and 5 < time.time() - start < 30, answer


def test_many_connections():
    sockets = [server.connect() for _ in range(500)]
    for s in sockets:
        s.sendall(GET)
    for s in sockets:
        assert status(s.recv(1000)) == 200
        s.close()


def test_port_taken():
    second = Server("--port", str(server.port), wait=False)
    out, err = second.process.communicate(timeout=20)
    assert second.process.returncode == 1 and out == "" and "another program listens there" in err and err.count("\n") == 1, err


def test_drain():
    for sign in [signal.SIGTERM, signal.SIGINT]:
        with Server() as s, s.connect() as busy, s.connect() as idle:
            busy.sendall(chat_request("SLOW", stream=True, max_tokens=30))
            assert busy.recv(20).startswith(b"HTTP/1.1 200")
            s.process.send_signal(sign)
            assert idle.recv(10) == b"", "an idle connection is closed"
            assert read_all(busy).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"), "what is under way ends"
            assert s.process.wait(20) == 0
            assert "requests under way (1)" in s.process.stderr.read()


def test_second_signal_ends_at_once():
    with Server() as s, s.connect() as busy:
        busy.sendall(chat_request("HANG"))
        s.wait_metric("engine_requests", 1)
        s.process.terminate()
        time.sleep(0.2)
        assert s.process.poll() is None
        s.process.terminate()
        assert s.process.wait(20) == 0


try:
    run(sys.modules[__name__])
finally:
    server.__exit__()
