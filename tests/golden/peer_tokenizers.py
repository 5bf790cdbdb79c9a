"""Tokenizers of PyPI `tokenizers` made from what a GGUF file holds: its vocabulary and merges, and the normalizer and pre-tokenizer
that the family publishes in tokenizer.json, by tokenizer.ggml.pre. For tests and benchmarks beside moat.

    peer = peer_of(read_vocab("model.gguf"))
    peer.text("hello <|im_end|>"), peer.special("hello <|im_end|>")
"""
import struct

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

NORMAL, UNKNOWN, CONTROL, USER, BYTE = 1, 2, 3, 4, 6
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

# ---- GGUF ---------------------------------------------------------------------------------------------------------------


class Reader:
    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = f.read()
        self.at = 0

    def numbers(self, fmt, n):
        values = struct.unpack_from(f"<{n}{fmt}", self.data, self.at)
        self.at += struct.calcsize(fmt) * n
        return values

    def text(self):
        n = self.numbers("Q", 1)[0]
        self.at += n
        return self.data[self.at - n:self.at]

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind != 9:
            return self.numbers(SCALARS[kind], 1)[0]
        item, n = self.numbers("I", 1)[0], self.numbers("Q", 1)[0]
        return list(self.numbers(SCALARS[item], n)) if item in SCALARS else [self.value(item) for _ in range(n)]


def read_vocab(path):
    """tokenizer.ggml.* and general.architecture without their prefixes; strings as str where they are UTF-8."""
    r, found = Reader(path), {}
    n_kv = r.numbers("I", 2) and r.numbers("Q", 2)[1]
    for _ in range(n_kv):
        key, value = r.text().decode(), r.value(r.numbers("I", 1)[0])
        if key.startswith("tokenizer.ggml.") or key == "general.architecture":
            found[key.replace("tokenizer.ggml.", "")] = value.decode() if isinstance(value, bytes) else value
    for key in ("tokens", "merges"):
        found[key] = [t.decode() for t in found.get(key, [])]
    return found


# ---- the rules of byte-level BPE ----------------------------------------------------------------------------------------------

SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r"\s*[\r\n]+|\s+(?!\S)|\s+"
UP, LOW = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
ASCII_PUNCTUATION = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"""
LETTERS = ("A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377"
           "\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556"
           "\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15"
           "\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe"
           "\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113"
           "\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184"
           "\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e"
           "\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"
           "\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943")
CJK, KANA = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
SIGNS = "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"


def words(digits, letters=r"\p{L}", others=r"\p{L}"):
    return rf"{SHORT}|[^\r\n\p{{L}}\p{{N}}]?{letters}+|\p{{N}}{digits}| ?[^\s{others}\p{{N}}]+[\r\n]*|{TAIL}"


def cased(digits, short=SHORT + "?", tail=r"[\r\n/]*"):
    before = r"[^\r\n\p{L}\p{N}]?"
    return rf"{before}{UP}*{LOW}+{short}|{before}{UP}+{LOW}*{short}|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+{tail}|{TAIL}"


DEEPSEEK3 = rf"{ASCII_PUNCTUATION}[A-Za-z]+|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+| ?[\p{{P}}\p{{S}}]+[\r\n]*|{TAIL}"
LEVEL = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
RAW = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
EACH_DIGIT = pre_tokenizers.Digits(individual_digits=True)


LING = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
KIMI = r"[\p{Han}]+|" + cased("{1,3}", tail=r"[\r\n]*").replace(UP, UP[:-1] + r"&&[^\p{Han}]]").replace(LOW, LOW[:-1] + r"&&[^\p{Han}]]")
THREES = r"\p{Nd}{1,510}(?=(?>\p{Nd}{510})*(?:\P{Nd}|$))|\G\p{Nd}{510}", r"\A\p{Nd}{1,2}(?=\p{Nd}{3}+\z)", r"\A\p{Nd}{3}|\G\p{Nd}{3}"
SCRIPTS = (r"\u4E00-\u9FFF\u3040-\u309F\u30A0-\u30FF\u3400-\u4DBF\uf900-\uFAFF\uFF65-\uFF9F\u2F00-\u2FDF", r"\u0E00-\u0E7F", r"\u0E80-\u0EFF",
           r"\u1780-\u17FF", r"\u1000-\u109F\uAA60-\uAA7F\uA9E0-\uA9FF", r"\uAC00-\uD7AF\u1100-\u11FF")


def split(*expressions):
    return [pre_tokenizers.Split(Regex(x), "isolated") for x in expressions] + [RAW]


GPT2, LLAMA3, QWEN2 = [LEVEL], split(words("{1,3}")), split(words(""))
STARCODER = [EACH_DIGIT, LEVEL]
RULES = {
    "gpt-2": GPT2, "phi-2": GPT2, "jina-v2-code": GPT2, "roberta-bpe": GPT2, "mpt": GPT2, "olmo": GPT2, "gpt-neox": GPT2, "jina-v1-en": GPT2,
    "starcoder": STARCODER, "smollm": STARCODER, "refact": STARCODER, "command-r": STARCODER, "exaone": STARCODER, "codeshell": STARCODER,
    "llama-bpe": LLAMA3, "llama3": LLAMA3, "llama-v3": LLAMA3, "falcon3": LLAMA3, "dbrx": LLAMA3, "smaug-bpe": LLAMA3, "chatglm-bpe": LLAMA3,
    "glm4": LLAMA3, "lfm2": LLAMA3, "qwen2": QWEN2, "deepseek-r1-qwen": QWEN2, "stablelm2": QWEN2, "hunyuan": QWEN2,
    "qwen35": split(words("", r"[\p{L}\p{M}]", r"\p{L}\p{M}")),
    "gpt-4o": split(cased("{1,3}")), "llama4": split(cased("{1,3}")), "tekken": split(cased("", "", r"[\r\n/]*")),
    "falcon": [pre_tokenizers.Punctuation("contiguous"), LEVEL, pre_tokenizers.Digits(individual_digits=False),
               pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")],
    "deepseek-llm": split("[\r\n]", rf"\s?[{LETTERS}]+", SIGNS, r"\s+$", CJK, r"\p{N}+"),
    "deepseek-coder": split("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK, r"\p{N}"),
    "deepseek-v3": split(r"\p{N}{1,3}", KANA, DEEPSEEK3),
    "bloom": split(r" ?[^(\s|.,!?…。，、।۔،)]+"), "poro-chat": split(r" ?[^(\s|.,!?…。，、।۔،)]+"),
    "viking": split(r" ?[^(\s|.,!?…。，、।۔،)]+", r"\p{N}"),
    "seed-coder": split(rf"{SHORT}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{TAIL}"),
    "jais-2": split(words("{1,3}").replace(r"\s+(?!\S)|\s+", "|".join(rf"\s{{{2 ** k}}}(?!\S)" for k in range(9, 1, -1)) + r"|\s{1,2}(?!\S)|\s{1}")),
    "tiny_aya": split(r"\d{1,3}(?=(?:\d{3})*\b)", cased("{1,3}")),
    "gigachat": split(cased("{1,3}")), "minimax-m2": split(cased("{1,3}")), "glm5": LLAMA3, "bailingmoe": split(LING), "bailingmoe2": split(LING), "llada-moe": split(LING),
    "kimi-k2": split(KIMI), "afmoe": [pre_tokenizers.Digits(individual_digits=False)] + split(*THREES, "|".join(f"[{x}]+" for x in SCRIPTS), DEEPSEEK3),
}
NFC = {"mpt", "olmo", "gpt-neox", "command-r", "exaone", "qwen2", "deepseek-r1-qwen", "qwen35", "seed-coder", "minimax-m2", "bailingmoe", "bailingmoe2", "llada-moe"}
WHOLE = {"llama-bpe", "llama3", "llama-v3", "falcon3", "lfm2", "tekken", "glm4", "glm5", "chatglm-bpe", "hunyuan", "gpt-4o", "llama4", "kimi-k2"}  # ignore_merges
BY_ARCH = {"gptneox": "gpt-neox"}

# ---- making one -----------------------------------------------------------------------------------------------------------------


def is_filler(text):
    return text.startswith("[PAD") and text.endswith("]") and text[4:-1].isdigit()


def add_tokens(t, vocab, types, normalize_user=False, strip=()):
    rows = [(text, kind) for text, kind in zip(vocab["tokens"], types) if not is_filler(text)]
    t.add_special_tokens([AddedToken(text, normalized=False, rstrip=text in strip) for text, kind in rows if kind in (CONTROL, UNKNOWN)])
    t.add_tokens([AddedToken(text, normalized=normalize_user, rstrip=text in strip) for text, kind in rows if kind == USER])


def byte_level(vocab, types):
    pre = vocab.get("pre") or BY_ARCH[vocab["general.architecture"]]
    ids = {text: i for i, text in reversed(list(enumerate(vocab["tokens"])))}
    merges = [tuple(m.split(" ", 1)) for m in vocab["merges"]]
    merges = [(a, b) for a, b in merges if a in ids and b in ids and a + b in ids]
    t = Tokenizer(models.BPE(ids, merges, ignore_merges=pre in WHOLE))
    t.normalizer = normalizers.NFC() if pre in NFC else None
    t.pre_tokenizer = pre_tokenizers.Sequence(RULES[pre])
    add_tokens(t, vocab, types)
    return t


def merges_by_score(vocab, types):
    ids = {text: i for i, (text, kind) in enumerate(zip(vocab["tokens"], types)) if kind == NORMAL}
    found = []
    for text, i in ids.items():
        parts = [(ids[text[:k]], ids[text[k:]], text[:k], text[k:]) for k in range(1, len(text)) if text[:k] in ids and text[k:] in ids]
        found += [(-vocab["scores"][i], a, b) for _, _, a, b in sorted(parts)]
    return [(a, b) for _, a, b in sorted(found, key=lambda m: m[0])]


def sentencepiece_bpe(vocab, types):
    ids = {text: i for i, text in reversed(list(enumerate(vocab["tokens"])))}
    has_bytes = BYTE in types
    unknown = vocab["tokens"][types.index(UNKNOWN)] if UNKNOWN in types else None
    t = Tokenizer(models.BPE(ids, merges_by_score(vocab, types), unk_token=unknown, fuse_unk=True, byte_fallback=has_bytes))
    space = normalizers.Replace(" ", "▁")
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), space]) if vocab.get("add_space_prefix", True) else space
    phi3 = {text for text in vocab["tokens"]} - {"<unk>", "<s>", "<|endoftext|>"} if vocab["general.architecture"] == "phi3" else ()
    add_tokens(t, vocab, types, strip=phi3)
    return t


def gemma4(vocab, types):
    ids = {text: i for i, text in reversed(list(enumerate(vocab["tokens"])))}
    merges = [tuple(m.split(" ", 1)) for m in vocab["merges"]]
    merges = [(a, b) for a, b in merges if a in ids and b in ids and a + b in ids]
    t = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Replace(" ", "▁")
    t.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    add_tokens(t, vocab, types)
    return t


def unigram(vocab, types):
    pieces = list(zip(vocab["tokens"], vocab["scores"]))
    unknown = types.index(UNKNOWN)
    t = Tokenizer(models.Unigram(pieces, unk_id=unknown, byte_fallback=BYTE in types))
    steps = [normalizers.Precompiled(bytes(b & 255 for b in vocab["precompiled_charsmap"]))] if vocab.get("precompiled_charsmap") else []
    if vocab.get("remove_extra_whitespaces"):
        t.normalizer = normalizers.Sequence(steps) if steps else None
        t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    else:
        t.normalizer = normalizers.Sequence(steps + [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    add_tokens(t, vocab, types)
    return t


def wordpiece(vocab, types):
    text = lambda t: t if t.startswith("[") and t.endswith("]") else t[1:] if t.startswith("▁") else "##" + t
    vocab = dict(vocab, tokens=[text(t) for t in vocab["tokens"]])
    ids = {t: i for i, t in reversed(list(enumerate(vocab["tokens"])))}
    t = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    t.normalizer = normalizers.BertNormalizer(lowercase=vocab.get("normalizer.lowercase", True), strip_accents=None)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    add_tokens(t, vocab, types)
    return t


MODELS = {"gpt2": byte_level, "llama": sentencepiece_bpe, "gemma4": gemma4, "t5": unigram, "bert": wordpiece}


class Peer:
    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def text(self, s):
        self.tokenizer.encode_special_tokens = True
        return self.tokenizer.encode(s, add_special_tokens=False).ids

    def special(self, s):
        self.tokenizer.encode_special_tokens = False
        return self.tokenizer.encode(s, add_special_tokens=False).ids


def peer_of(vocab):
    types = list(vocab.get("token_type") or [NORMAL] * len(vocab["tokens"]))
    kind = vocab["model"]
    if kind == "llama" and any(s != int(s) for s in vocab["scores"]):
        kind = "t5"  # replit
    return Peer(MODELS[kind](vocab, types))
