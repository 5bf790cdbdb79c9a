"""GGUF files in plain Python, for tests that change or make them: read into lists, written again from lists."""
import math
import struct

U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARR, U64, I64, F64 = range(13)
PACK = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}
INTEGERS = (U8, I8, U16, I16, U32, I32, U64, I64)
BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 8: (32, 34), 9: (32, 36), 24: (1, 1), 26: (1, 4), 28: (1, 8), 30: (1, 2)}  # type: values, bytes


class File:
    """A GGUF file as two lists: (key, type, value) with arrays as (item type, [items]), and (name, dims, type, data)."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.b = f.read()
        self.at = 8
        n_tensors, n_kv = self.take("QQ")
        self.kv = []
        for _ in range(n_kv):
            key, kind = self.string(), self.take("I")[0]
            self.kv.append((key, kind, self.value(kind)))
        infos = [(self.string(), list(self.take(f"{self.take('I')[0]}Q")), *self.take("IQ")) for _ in range(n_tensors)]
        start = self.at + -self.at % 32
        self.tensors = []
        for name, dims, kind, offset in infos:
            values, size = BLOCKS[kind]
            self.tensors.append((name, dims, kind, self.b[start + offset:start + offset + math.prod(dims) // values * size]))

    def take(self, form):
        out = struct.unpack_from("<" + form, self.b, self.at)
        self.at += struct.calcsize("<" + form)
        return out

    def string(self):
        n, = self.take("Q")
        self.at += n
        return self.b[self.at - n:self.at].decode("utf-8", "surrogateescape")

    def value(self, kind):
        if kind == STR:
            return self.string()
        if kind == ARR:
            item, n = self.take("IQ")
            return item, [self.value(item) for _ in range(n)]
        return self.take(PACK[kind])[0]


def packed(kind, value):
    if kind == STR:
        b = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
        return struct.pack("<Q", len(b)) + b
    if kind == ARR:
        return struct.pack("<IQ", value[0], len(value[1])) + b"".join(packed(value[0], v) for v in value[1])
    return struct.pack("<" + PACK[kind], value)


def written(kv, tensors):
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(kv)) + b"".join(packed(STR, k) + struct.pack("<I", t) + packed(t, v) for k, t, v in kv)
    data, at = [], 0
    for name, dims, kind, b in tensors:
        head += packed(STR, name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, at)
        data.append(b + b"\0" * (-len(b) % 32))
        at += len(data[-1])
    return head + b"\0" * (-len(head) % 32) + b"".join(data)
