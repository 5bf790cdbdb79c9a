"""What the tests of the server share: starting it, raw requests, running the test_* functions of a module."""
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "tests", "golden"))
from tally import Tally
BUILD = os.path.dirname(os.environ.get("MOAT", os.path.join(ROOT, "build", "moat")))
FAKE = os.path.join(BUILD, "fake", "moat")
REAL = os.path.join(BUILD, "moat")


class Skip(Exception):
    pass


class Checks(Tally):
    """Of a script that is one long test."""

    def __call__(self, name, ok, detail=""):
        self.note(ok, name, detail)


class Server:
    """The server on a free port, with models or all of a store. Without either: the scripted engine (fake_engine.c) behind a file that nobody reads."""

    def __init__(self, *args, models=None, store=None, wait=True, env=None):
        program = REAL if models or store else FAKE
        if store:
            models, env = [], {"MOAT_HOME": store, **(env or {})}
        elif not models:
            self.folder = tempfile.TemporaryDirectory()
            models = [os.path.join(self.folder.name, "fake.gguf")]
            open(models[0], "w").write("nobody reads this")
        self.process = subprocess.Popen([program, "serve", *models, "--port", "0", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, **(env or {})})
        self.line = self.process.stdout.readline() if wait else ""
        found = re.match(r"moat: serving (.+) on http://(.+):(\d+)\n$", self.line)
        if wait and not found:
            self.process.wait(20)
            raise AssertionError(f"the server did not start: {self.line!r} {self.process.stderr.read()!r}")
        if found:
            self.name, self.host, self.port = found[1], found[2], int(found[3])
            self.url = f"http://{self.host}:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Ends it; it must end well, also under a sanitizer."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            err = self.process.communicate(timeout=40)[1]
        finally:
            self.process.kill()
        assert self.process.returncode == 0 and "Sanitizer" not in (err or "") and "runtime error" not in (err or ""), (self.process.returncode, err)

    def engine_pid(self):
        return int(open(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read().split()[0])

    def connect(self):
        s = socket.create_connection((self.host, self.port), timeout=40)
        return s

    def raw(self, data, half_close=False):
        """Sends bytes, returns all that comes until the server closes."""
        with self.connect() as s:
            try:
                s.sendall(data)
            except OSError:
                pass  # it may close while we are still sending
            if half_close:
                s.shutdown(socket.SHUT_WR)
            return read_all(s)

    def call(self, method, path, body=None, headers=None, timeout=60):
        """(status, headers, body as JSON or text)"""
        c = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        if not (body is None or isinstance(body, bytes)):
            body = json.dumps(body).encode()
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, dict((k.lower(), v) for k, v in r.getheaders()), json.loads(data) if r.getheader("Content-Type") == "application/json" and data else data.decode()

    def chat(self, text, headers=None, **fields):
        return self.call("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": text}], **fields}, headers)

    def metric(self, name):
        text = self.call("GET", "/metrics")[2]
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.split("\n") if line.startswith("moat_" + name))

    def wait_metric(self, name, value):
        wait_for(lambda: self.metric(name) == value, f"{name} to become {value}; it is {self.metric(name)}")


def read_all(s):
    data = b""
    try:
        while piece := s.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def wait_for(condition, what, seconds=30):
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def chat_request(text, extra=b"", **fields):
    body = json.dumps({"messages": [{"role": "user", "content": text}], **fields}).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n%s\r\n" % (len(body), extra) + body


def option(name):
    """Whether `name` stands on the command line; run() then sees the names of tests only."""
    there = name in sys.argv
    if there:
        sys.argv.remove(name)
    return there


def run(module):
    passed = failed = skipped = 0
    for name, test in list(vars(module).items()):
        if not name.startswith("test_") or (len(sys.argv) > 1 and name not in sys.argv[1:]):
            continue
        try:
            test()
            passed += 1
        except Skip as why:
            print(f"{name}: skipped: {why}")
            skipped += 1
        except Exception:
            traceback.print_exc()
            print(f"{name}: FAILED")
            failed += 1
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(failed > 0)
