#!/usr/bin/env python3
"""Writes truth/: tiny models with random weights as GGUF, and float32 logits that others computed of them, for families that
../shared/families has no folder of. transformers builds each from a config and computes the logits (float32, eager attention); llama.cpp's
converter makes the GGUF, so that names, permutations and keys are not ours either. What transformers does not have is built from a
model of the same formula and gets its publisher's names. llama.cpp computes each file too (float32 weights and cache, no flash
attention): a line a model says how far the two are apart, relative to the largest logit.

usage: make_truth.py --llama-cpp SOURCE --peer PYTHON [NAME...]
  SOURCE: llama.cpp's tree, for its converter; PYTHON: a Python with llama-cpp-python. This one needs torch, transformers and numpy.
"""
import argparse
import functools
import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
OUT = HERE / "truth"
N_VOCAB, N_TOKENS = 160, 32
TOKENS = [(i * i * 37 + i * 101 + 13) % N_VOCAB for i in range(N_TOKENS)]


def shapes(layers=2, **more):
    return {**dict(vocab_size=N_VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=2,
                   max_position_embeddings=512, bos_token_id=1, eos_token_id=2, pad_token_id=0), **more}


LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16, rope_theta=5000.0)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16, rope_theta=10000.0)
# name: (model_type of transformers, config)
HF = {
    "gemma": ("gemma", shapes(head_dim=16, hidden_activation="gelu_pytorch_tanh")),
    "olmo2": ("olmo2", shapes()),
    "olmo3": ("olmo3", shapes(4, sliding_window=12, rope_parameters=YARN)),
    "starcoder2": ("starcoder2", shapes(sliding_window=None)),
    "mistral3": ("ministral3", shapes(head_dim=8, rope_parameters=dict(YARN, factor=8.0, mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.1,
                                                                     original_max_position_embeddings=8, beta_fast=32.0, beta_slow=1.0))),
    "cohere2": ("cohere2", shapes(4, sliding_window=12, logit_scale=0.25, rotary_pct=1.0, tie_word_embeddings=True)),
    "glm": ("glm", shapes(head_dim=8, rms_norm_eps=1e-5, seq_length=512, attention_bias=True, partial_rotary_factor=0.5)),
    "glm4": ("glm4", shapes(head_dim=8, attention_bias=True, partial_rotary_factor=0.5)),
    "seed_oss": ("seed_oss", shapes(head_dim=8)),
    "hunyuan": ("hunyuan_v1_dense", shapes(head_dim=8)),
    "exaone4": ("exaone4", shapes(4, head_dim=8, sliding_window=12, sliding_window_pattern=4, rope_parameters=LLAMA3)),
    "exaone4-small": ("exaone4", shapes(head_dim=8, sliding_window=None, layer_types=["full_attention"] * 2, tie_word_embeddings=True, rope_parameters=LLAMA3)),
    "nemotron": ("nemotron", shapes(head_dim=8, partial_rotary_factor=0.5)),
    "arcee": ("arcee", shapes(head_dim=8)),
    "phi2": ("phi", shapes(num_key_value_heads=4, intermediate_size=128, partial_rotary_factor=0.5, hidden_act="gelu_new")),
    "ernie4_5": ("ernie4_5", shapes(head_dim=8, tie_word_embeddings=True)),
}


def internlm2(weights, config):
    """wqkv: of each group the queries, then k, then v."""
    out, d, kv = {}, config["hidden_size"] // config["num_attention_heads"], config["num_key_value_heads"]
    names = {"self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1", "mlp.up_proj": "feed_forward.w3", "mlp.down_proj": "feed_forward.w2",
             "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm", "embed_tokens": "tok_embeddings", "lm_head": "output"}
    for name, w in weights.items():
        if "q_proj" in name:
            parts = [weights[name.replace("q_proj", p)] for p in ("q_proj", "k_proj", "v_proj")]
            fused = np.concatenate([p.reshape(kv, -1, d, p.shape[1]) for p in parts], axis=1)
            out[name.replace("self_attn.q_proj", "attention.wqkv")] = fused.reshape(-1, w.shape[1])
        elif "k_proj" not in name and "v_proj" not in name:
            out[replaced(name, names)] = w
    return out


def exaone(weights, _):
    return {replaced(name, {"model.embed_tokens": "transformer.wte", "model.layers": "transformer.h", "model.norm": "transformer.ln_f", "self_attn": "attn.attention", "o_proj": "out_proj",
                            "mlp.gate_proj": "mlp.c_fc_0", "mlp.up_proj": "mlp.c_fc_1", "mlp.down_proj": "mlp.c_proj", "input_layernorm": "ln_1",
                            "post_attention_layernorm": "ln_2"}): w for name, w in weights.items()}


# name: (architecture and further keys of config.json, model_type of the same formula, its config, names)
FOREIGN = {
    "internlm2": (dict(architectures=["InternLM2ForCausalLM"]), "llama", shapes(), internlm2),
    "minicpm": (dict(architectures=["MiniCPMForCausalLM"], scale_emb=3.0, scale_depth=1.0, dim_model_base=16), "granite",
                shapes(embedding_multiplier=3.0, residual_multiplier=1 / 2 ** 0.5, logits_scaling=2.0, attention_multiplier=1 / 8 ** 0.5), lambda weights, _: weights),
    "exaone": (dict(architectures=["ExaoneForCausalLM"], activation_function="silu"), "llama", shapes(tie_word_embeddings=True, rope_parameters=LLAMA3), exaone),
}


def replaced(name, pairs):
    for old, new in pairs.items():
        name = name.replace(old, new)
    return name


def random_model(kind, config, seed):
    """A model of transformers in which every weight matters: no norm is one, no bias zero; all are exact in float16."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **config), attn_implementation="eager", dtype=torch.float32).eval()
    g, seen = torch.Generator().manual_seed(seed), set()
    for mname, m in model.named_modules():
        for pname, p in m.named_parameters(recurse=False):
            if p in seen:
                continue
            seen.add(p)
            name = f"{mname}.{pname}"
            x = torch.randn(p.shape, generator=g)
            if "Norm" in type(m).__name__:
                x = 0.2 * x + (0 if pname == "bias" or "Gemma" in type(m).__name__ or "1P" in type(m).__name__ else 1)
            elif p.dim() == 1:
                x = 0.2 * x
            elif "embed" in name:
                x = x * (2 / config["hidden_size"] ** 0.5 if config.get("tie_word_embeddings") else 1)
            else:
                x = x * (2 if any(s in name for s in ("q_proj", "k_proj", "lm_head")) else 1) / p.shape[1] ** 0.5
            p.data.copy_(x.half().float())
    return model


def reference(model):
    import torch
    with torch.no_grad():
        return model(input_ids=torch.tensor([TOKENS]), use_cache=False).logits[0].float().numpy()


def set_vocab(self):
    """Instead of the converter's: a vocabulary that any tokenizer reads, as decoder.py writes it."""
    names = [chr(256 + i) for i in range(N_VOCAB - 3)] + ["t", "0", "t0"]
    self.gguf_writer.add_tokenizer_model("gpt2")
    self.gguf_writer.add_tokenizer_pre("gpt-2")
    self.gguf_writer.add_token_list(names)
    self.gguf_writer.add_token_types([1] * N_VOCAB)
    self.gguf_writer.add_token_merges(["t 0"])
    self.gguf_writer.add_add_bos_token(False)


def convert(folder, source, path, weights):
    sys.path[:0] = [source, os.path.join(source, "gguf-py")]
    import conversion
    import gguf
    logging.getLogger().setLevel(logging.ERROR)
    hparams = conversion.ModelBase.load_hparams(Path(folder), False)
    cls = conversion.get_model_class(conversion.get_model_architecture(hparams, conversion.ModelType.TEXT))
    kind = gguf.LlamaFileType.ALL_F32 if weights == "f32" else gguf.LlamaFileType.MOSTLY_F16
    model = cls(Path(folder), kind, Path(path), eager=True, model_name="tiny")
    own = getattr(model, "impl", model)  # some stand in front of another
    own.set_vocab = functools.partial(set_vocab, own)
    model.write()


def peer_logits(python, path):
    code = f"""
import sys, numpy as np, llama_cpp
m = llama_cpp.Llama({str(path)!r}, n_ctx=512, n_batch=512, n_threads=1, logits_all=True, type_k=0, type_v=0, flash_attn=False, verbose=False)
m.eval({TOKENS})
np.save({str(path)!r} + ".npy", np.array(m.scores[:{N_TOKENS}], np.float32))
"""
    run = subprocess.run([python, "-c", code], capture_output=True, text=True)
    if run.returncode:
        return run.stderr.strip().splitlines()[-1] if run.stderr.strip() else f"status {run.returncode}"
    return np.load(str(path) + ".npy")


def save_foreign(folder, model, extra, config, rename):
    from safetensors.numpy import save_file
    os.makedirs(folder)
    weights = {name: p.detach().numpy() for name, p in model.named_parameters()}
    save_file({name: np.ascontiguousarray(w) for name, w in rename(weights, config).items()}, os.path.join(folder, "model.safetensors"))
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
        json.dump({**config, "rms_norm_eps": 1e-6, **extra}, f)


def apart(a, b):
    return a if isinstance(a, str) else format(np.abs(a - b).max() / np.abs(b).max(), ".1e")


def make(name, seed, args, tmp):
    folder = os.path.join(tmp, name)
    extra, kind, config, rename = FOREIGN.get(name) or (None, *HF[name], None)
    model = random_model(kind, config, seed)
    if rename:
        save_foreign(folder, model, extra, config, rename)
    else:
        model.save_pretrained(folder)
    want = reference(model)
    for weights in ("f32", "f16"):
        convert(folder, args.llama_cpp, os.path.join(tmp, f"{name}.{weights}"), weights)
    peer = peer_logits(args.peer, os.path.join(tmp, f"{name}.f32"))
    np.save(OUT / f"{name}.npy", want)
    with open(os.path.join(tmp, f"{name}.f16"), "rb") as f, open(OUT / f"{name}.gguf", "wb") as to:
        to.write(f.read())
    print(f"| {name} | {kind} | {apart(peer, want)} | {want.std():.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--llama-cpp", required=True)
    parser.add_argument("--peer", required=True)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    (OUT / "tokens.jsonl").write_text(json.dumps(TOKENS) + "\n")
    with tempfile.TemporaryDirectory() as tmp:
        for name in [*HF, *FOREIGN]:
            if not args.names or name in args.names:
                make(name, sum(name.encode()), args, tmp)


main()
