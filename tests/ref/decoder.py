"""A decoder in plain numpy (binary64), written from the formulas of the published models and not from src: what a family must
compute, for shapes and settings that no model of ../shared/families has. A model is a Spec and random weights; it computes
logits, and writes itself as GGUF."""
import dataclasses
import math
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
from gguf_file import ARR, BOOL, F32, I32, STR, U32, written  # noqa: E402

N_VOCAB = 288


@dataclasses.dataclass
class Spec:
    arch: str = "llama"
    n_embd: int = 64
    heads: tuple = (4, 4, 4)  # by layer
    kv_heads: tuple = (2, 2, 2)
    n_ff: tuple = (96, 96, 96)
    d_k: int = 16
    d_v: int = 16
    n_rot: int = 16
    adjacent: bool = True  # pairs of the rotation: (2i, 2i+1); else (i, i + n_rot/2)
    base: float = 10000.0
    scaling: tuple = ()  # ("linear", factor) or ("yarn", factor, original context, factor of the file)
    factors: tuple = ()  # rope_freqs
    windows: tuple = (0, 0, 0)
    scaled_windows: bool = True  # windowed layers rotate with the scaling too
    layer_norm: bool = False  # else rms
    norm_bias: bool = False
    act: str = "silu"
    gated: bool = True
    parallel: bool = False  # both halves read the same norm
    pre_norm: bool = True
    post_norm: bool = False
    qk_norm: str = ""  # "whole": over all heads
    qkv_bias: bool = False
    bias: bool = False  # of the other matrices
    output_bias: bool = False
    tied: bool = False
    embd_scale: float = 1.0
    eps: float = 1e-5
    keys: tuple = ()  # further (key, type, value) of the file


def rms_norm(x, w, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w


def layer_norm(x, w, b, eps):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w + b


def activation(name, x):
    if name == "silu":
        return x / (1 + np.exp(-x))
    if name == "gelu_tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def frequencies(s, scaled):
    """Inverse frequencies, and what cos and sin are multiplied by."""
    inv = s.base ** (-np.arange(0, s.n_rot, 2) / s.n_rot)
    if s.factors:
        inv = inv / np.array(s.factors)
    if not (s.scaling and scaled):
        return inv, 1.0
    if s.scaling[0] == "linear":
        return inv / s.scaling[1], 1.0
    _, factor, original, by_file = s.scaling  # YaRN: arXiv 2309.00071

    def dim(turns):
        return s.n_rot * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(s.base))

    low, high = max(math.floor(dim(32)), 0), min(math.ceil(dim(1)), s.n_rot - 1)
    ramp = np.clip((np.arange(s.n_rot // 2) - low) / max(high - low, 0.001), 0, 1)
    return inv / factor * ramp + inv * (1 - ramp), (0.1 * math.log(factor) + 1) * by_file


def rotate(x, s, scaled):
    """x: [positions][heads][d_k]"""
    inv, size = frequencies(s, scaled)
    angle = np.arange(x.shape[0])[:, None, None] * inv
    cos, sin = np.cos(angle) * size, np.sin(angle) * size
    out, half = x.copy(), s.n_rot // 2
    first, second = (slice(0, s.n_rot, 2), slice(1, s.n_rot, 2)) if s.adjacent else (slice(0, half), slice(half, s.n_rot))
    out[..., first] = x[..., first] * cos - x[..., second] * sin
    out[..., second] = x[..., first] * sin + x[..., second] * cos
    return out


def attend(q, k, v, window):
    """Causal attention; a token sees itself and the window - 1 before it."""
    n, group = q.shape[0], q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = np.einsum("ihd,jhd->hij", q, k) / math.sqrt(q.shape[2])
    i, j = np.arange(n)[:, None], np.arange(n)[None, :]
    scores = np.where((j > i) | ((i - j >= window) & (window > 0)), -np.inf, scores)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("hij,jhd->ihd", p / p.sum(-1, keepdims=True), v).reshape(n, -1)


class Model:
    def __init__(self, spec, seed):
        self.s, self.random, self.w = spec, np.random.default_rng(seed), {}
        s = spec
        self.matrix("token_embd", N_VOCAB, s.n_embd, False, math.sqrt(s.n_embd))
        if not s.tied:
            self.matrix("output", N_VOCAB, s.n_embd, s.output_bias, 2.0)
        self.norm("output_norm", s.n_embd)
        for i, (heads, kv, ff) in enumerate(zip(s.heads, s.kv_heads, s.n_ff)):
            at = f"blk.{i}."
            for name in (("attn_norm",) if s.parallel else ("attn_norm", "ffn_norm")) if s.pre_norm else ():
                self.norm(at + name, s.n_embd)
            for name in ("post_attention_norm", "post_ffw_norm") if s.post_norm else ():
                self.norm(at + name, s.n_embd)
            if s.qk_norm:
                self.norm(at + "attn_q_norm", heads * s.d_k)
                self.norm(at + "attn_k_norm", kv * s.d_k)
            self.matrix(at + "attn_q", heads * s.d_k, s.n_embd, s.qkv_bias, 2.0)
            self.matrix(at + "attn_k", kv * s.d_k, s.n_embd, s.qkv_bias, 2.0)
            self.matrix(at + "attn_v", kv * s.d_v, s.n_embd, s.qkv_bias)
            self.matrix(at + "attn_output", s.n_embd, heads * s.d_v, s.bias)
            if s.gated:
                self.matrix(at + "ffn_gate", ff, s.n_embd, s.bias)
            self.matrix(at + "ffn_up", ff, s.n_embd, s.bias)
            self.matrix(at + "ffn_down", s.n_embd, ff, s.bias)

    def vector(self, name, n, around):
        self.w[name] = (around + 0.2 * self.random.standard_normal(n)).astype(np.float32)

    def matrix(self, name, n, k, bias, gain=1.0):
        self.w[name + ".weight"] = (gain / math.sqrt(k) * self.random.standard_normal((n, k))).astype(np.float32)
        if bias:
            self.vector(name + ".bias", n, 0)

    def norm(self, name, n):
        self.vector(name + ".weight", n, 1)
        if self.s.norm_bias:
            self.vector(name + ".bias", n, 0)

    # ---- computing

    def get(self, name):
        return self.w[name].astype(np.float64)

    def linear(self, name, x):
        y = x @ self.get(name + ".weight").T
        return y + self.get(name + ".bias") if name + ".bias" in self.w else y

    def normed(self, name, x):
        if not self.s.layer_norm:
            return rms_norm(x, self.get(name + ".weight"), self.s.eps)
        return layer_norm(x, self.get(name + ".weight"), self.get(name + ".bias") if self.s.norm_bias else 0, self.s.eps)

    def attention(self, i, x):
        s, at = self.s, f"blk.{i}."
        q, k, v = (self.linear(at + name, x) for name in ("attn_q", "attn_k", "attn_v"))
        if s.qk_norm:
            q, k = self.normed(at + "attn_q_norm", q), self.normed(at + "attn_k_norm", k)
        q, k, v = q.reshape(len(x), s.heads[i], s.d_k), k.reshape(len(x), s.kv_heads[i], s.d_k), v.reshape(len(x), s.kv_heads[i], s.d_v)
        scaled = s.scaled_windows or s.windows[i] == 0
        return self.linear(at + "attn_output", attend(rotate(q, s, scaled), rotate(k, s, scaled), v, s.windows[i]))

    def feed_forward(self, i, x):
        at = f"blk.{i}."
        up = self.linear(at + "ffn_up", x)
        h = activation(self.s.act, self.linear(at + "ffn_gate", x)) * up if self.s.gated else activation(self.s.act, up)
        return self.linear(at + "ffn_down", h)

    def logits(self, tokens):
        s, x = self.s, self.get("token_embd.weight")[tokens] * self.s.embd_scale
        for i in range(len(s.heads)):
            at = f"blk.{i}."
            h = self.normed(at + "attn_norm", x) if s.pre_norm else x
            y = self.attention(i, h)
            x = x + (self.normed(at + "post_attention_norm", y) if s.post_norm else y)
            if not s.parallel:
                h = self.normed(at + "ffn_norm", x) if s.pre_norm else x
            y = self.feed_forward(i, h)
            x = x + (self.normed(at + "post_ffw_norm", y) if s.post_norm else y)
        x = self.normed("output_norm", x)
        return x @ self.get("token_embd.weight").T if s.tied else self.linear("output", x)

    # ---- the file

    def write(self, path):
        s = self.s

        def by_layer(values):
            return (U32, values[0]) if len(set(values)) == 1 else (ARR, (I32, list(values)))

        kv = [("general.architecture", STR, s.arch)]
        kv += [(f"{s.arch}.{key}", *value) for key, value in {
            "block_count": (U32, len(s.heads)), "context_length": (U32, 512), "embedding_length": (U32, s.n_embd), "feed_forward_length": by_layer(s.n_ff),
            "attention.head_count": by_layer(s.heads), "attention.head_count_kv": by_layer(s.kv_heads), "attention.key_length": (U32, s.d_k),
            "attention.value_length": (U32, s.d_v), "rope.dimension_count": (U32, s.n_rot), "rope.freq_base": (F32, s.base),
            "attention.layer_norm_epsilon" if s.layer_norm else "attention.layer_norm_rms_epsilon": (F32, s.eps)}.items()]
        kv += [(f"{s.arch}.{key}", kind, value) for key, kind, value in s.keys]
        kv += [("tokenizer.ggml.model", STR, "gpt2"), ("tokenizer.ggml.pre", STR, "gpt-2"), ("tokenizer.ggml.merges", ARR, (STR, ["t 0"])),
               ("tokenizer.ggml.tokens", ARR, (STR, [chr(256 + i) for i in range(N_VOCAB - 3)] + ["t", "0", "t0"])), ("tokenizer.ggml.add_bos_token", BOOL, 0)]
        tensors = [(name, list(w.shape[::-1]), 0, w.tobytes()) for name, w in self.w.items()]
        if s.factors:
            tensors.append(("rope_freqs.weight", [len(s.factors)], 0, np.array(s.factors, np.float32).tobytes()))
        with open(path, "wb") as f:
            f.write(written(kv, tensors))
