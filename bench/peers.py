"""What compare.py measures: moat, llama.cpp inside a resident Python, and any llama-bench or llama-batched-bench binary. Each has
`round(model, test, threads)`, which gives a Sample: the time of one run of the test, and the CPU time it took where that can be told."""
import dataclasses
import json
import os
import re
import resource
import subprocess
import time


@dataclasses.dataclass(frozen=True)
class Test:
    kind: str  # pp: prefill of n tokens; tg: n steps of decoding, each with a row of `seqs` sequences
    n: int
    seqs: int = 1

    @staticmethod
    def parse(text):
        m = re.fullmatch(r"(pp|tg)(\d+)(?:x(\d+))?", text)
        if not m:
            raise ValueError(f"'{text}' is no test like pp512, tg64 or tg32x16")
        return Test(m[1], int(m[2]), int(m[3] or 1))

    def __str__(self):
        return f"{self.kind}{self.n}" + (f"x{self.seqs}" if self.seqs > 1 else "")

    @property
    def tokens(self):
        return self.n * self.seqs


@dataclasses.dataclass
class Sample:
    ns: float
    cpu_ns: float | None
    foreign: float = 0  # share of the machine's CPU time that went to others meanwhile


def busy_seconds():
    """CPU time of the whole machine that was not idle, in seconds."""
    with open("/proc/stat") as f:
        v = [int(x) for x in f.readline().split()[1:9]]
    return (sum(v) - v[3] - v[4]) / os.sysconf("SC_CLK_TCK")


class Foreign:
    """with Foreign() as f: ...; f.share(own CPU seconds): what others took."""

    def __enter__(self):
        self.at, self.busy = time.monotonic(), busy_seconds()
        return self

    def __exit__(self, *_):
        self.at, self.busy = time.monotonic() - self.at, busy_seconds() - self.busy

    def share(self, own):
        return max(0.0, self.busy - own) / (self.at * os.cpu_count())


def run_counted(command, stderr=subprocess.DEVNULL):
    """(output, CPU seconds) of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if out.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {out.returncode}")
    return out.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_options(test):
    return ["-p", str(test.n), "-n", "0"] if test.kind == "pp" else ["-p", "0", "-n", str(test.n)]


class Moat:
    name = "moat"
    isa = None

    def __init__(self, path, isa=None):
        self.path, self.options = path, ["--isa", isa] if isa else []

    def round(self, model, test, threads):
        command = [self.path, "bench", model, *test_options(test), *self.options, "-t", str(threads), "-r", "1", "--noise", "100", "-o", "jsonl"]
        if test.seqs > 1:
            command += ["--seqs", str(test.seqs)]
        with Foreign() as f:
            out, cpu = run_counted(command)
        r = json.loads(out)
        self.isa = r["isa"]
        return Sample(r["samples_ns"][0], r["samples_cpu_ns"][0], f.share(cpu))

    def close(self):
        pass


class LlamaPython:
    """llama-cpp-python in a process that keeps the model loaded."""

    def __init__(self, name, python):
        self.name, self.python, self.process, self.key = name, python, None, None

    def _open(self, model, seqs, threads):
        if self.key == (model, seqs, threads):
            return
        self.close()
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peer.py")
        self.process = subprocess.Popen([self.python, script, model, str(threads), str(seqs), "1024"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.key = (model, seqs, threads)
        self._ask(Test("tg", 2, seqs))

    def _ask(self, test):
        self.process.stdin.write(f"{test.kind} {test.n} {test.seqs}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended while measuring {self.key[0]}")
        return json.loads(line)

    def round(self, model, test, threads):
        self._open(model, test.seqs, threads)
        with Foreign() as f:
            r = self._ask(test)
        return Sample(r["ns"], r["cpu_ns"], f.share(r["cpu_ns"] / 1e9))

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()
        self.process = self.key = None


class LlamaBench:
    """A llama-bench binary. It tells no CPU time, so a round runs it twice: what three repetitions take more than one."""

    def __init__(self, name, command):
        self.name, self.command = name, command

    def _run(self, model, test, threads, n):
        out, cpu = run_counted([*self.command, "-m", model, *test_options(test), "-t", str(threads), "-r", str(n), "-o", "json"])
        return [x for r in json.loads(out) for x in r["samples_ns"]], cpu

    def round(self, model, test, threads):
        if test.seqs > 1:
            return None
        with Foreign() as f:
            one, cpu_one = self._run(model, test, threads, 1)
            three, cpu_three = self._run(model, test, threads, 3)
        samples = sorted(one + three)
        return Sample(samples[len(samples) // 2], (cpu_three - cpu_one) / 2 * 1e9, f.share(cpu_one + cpu_three))

    def close(self):
        pass


class LlamaBatchedBench:
    """A llama-batched-bench binary: the time of its decoding part (its table's T_TG)."""

    def __init__(self, name, command):
        self.name, self.command = name, command

    def round(self, model, test, threads):
        if test.seqs == 1:
            return None
        prompt = 1
        with Foreign() as f:
            out, cpu = run_counted([*self.command, "-m", model, "-t", str(threads), "-c", str((test.n + prompt) * test.seqs + 64),
                                    "-npp", str(prompt), "-ntg", str(test.n), "-npl", str(test.seqs)], stderr=subprocess.STDOUT)  # ik_llama.cpp's table
        rows = [[c.strip() for c in line.split("|")[1:-1]] for line in out.splitlines() if re.match(r"\|\s*\d", line)]
        return Sample(float(rows[-1][6]) * 1e9, None, f.share(cpu))

    def close(self):
        pass
