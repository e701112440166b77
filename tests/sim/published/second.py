"""A second implementation of the published simulator, layer by layer, for tests of the first."""

import math
from fractions import Fraction

KIB512 = 512 * 1024


def blocks(shape) -> list[tuple[int, int]]:
    """(inputs, outputs) of every linear layer of the model, one entry per matrix."""
    query = shape.num_attention_heads * shape.head_dim
    kv = shape.num_key_value_heads * shape.head_dim
    h, f = shape.hidden_size, shape.intermediate_size
    one = [(h, query), (h, kv), (h, kv), (query, h), (h, f), (f, h)]
    if shape.gated_mlp:
        one.append((h, f))
    return one * shape.num_hidden_layers + [(h, shape.vocab_size)]


def gemms(row: dict, shape, variant: str) -> list[dict]:
    """Every layer: sizes, bytes of the three operands, words of 64 bits that each fills."""
    config, context, batch = row["config"], row["context"], row["batch"]
    w, kv_bits = config["w_prec"], config["kv"]
    t = context if row["phase"] == "discriminative_prefill" else 1
    heads, kv_heads, hd = shape.num_attention_heads, shape.num_key_value_heads, shape.head_dim
    slow = math.ceil(math.floor(w) / 2) if config["bs"] else 1
    slow_kv = math.ceil(kv_bits / 2) if config["bs"] else 1

    def up(bits: float) -> int:
        return math.ceil(bits / 8)

    def words(bits: float) -> int:
        return math.ceil(bits / 64)

    found = [
        {
            "size": (k, n, batch * t, 1, slow),
            "W": n * up(k * w), "I": batch * t * 2 * k, "O": batch * t * 2 * n,
            "w": n * words(k * w), "i": batch * t * words(16 * k), "o": batch * t * words(16 * n),
        }
        for k, n in blocks(shape)
    ]  # fmt: skip
    if variant == "2024":
        kv, h = kv_heads * hd, shape.hidden_size
        attention = [
            {
                "size": (h, t, heads * t, 1, slow),
                "W": 2 * t * h, "I": 2 * heads * t * kv, "O": 2 * heads * t * t,
                "w": t * words(h * w), "i": heads * t * words(16 * kv),
                "o": heads * t * words(16 * t),
            },
            {
                "size": (context, heads * t, t, 1, slow),
                "W": 2 * heads * t * context, "I": 2 * t * kv, "O": 2 * heads * t * t,
                "w": heads * t * words(context * w), "i": t * words(16 * kv),
                "o": t * words(16 * heads * t),
            },
        ]  # fmt: skip
    else:
        n, q = batch * kv_heads, t * heads // kv_heads
        attention = [
            {
                "size": (hd, context, q, n, slow_kv),
                "W": n * context * up(hd * kv_bits), "I": 2 * n * q * hd, "O": 2 * n * q * context,
                "w": n * context * words(hd * kv_bits), "i": n * q * words(16 * hd),
                "o": n * q * words(16 * context),
            },
            {
                "size": (context, hd, q, n, slow_kv),
                "W": n * hd * up(context * kv_bits), "I": 2 * n * q * context, "O": 2 * n * q * hd,
                "w": n * hd * words(context * kv_bits), "i": n * q * words(16 * context),
                "o": n * q * words(16 * hd),
            },
        ]  # fmt: skip
    return found + attention * shape.num_hidden_layers


def evaluate(row: dict, shape, variant: str) -> tuple[int, float, float]:
    """Cycles, on-chip and total energy in uJ of a row."""
    config = row["config"]
    rows, cols = config["dim"]
    weights, inputs = row["weight_sram"], row["activation_sram"]
    cycles, compute, steps, moved, writes = 0, 0, 0, 0, 0.0
    for gemm in gemms(row, shape, variant):
        k, n, tokens, repeats, slow = gemm["size"]
        tiles = math.ceil(k / config["dp"]) * math.ceil(n / rows) * math.ceil(tokens / cols)
        tiles *= repeats
        w_times = i_times = 1
        if gemm["W"] > KIB512 and gemm["I"] > KIB512:
            if math.ceil(gemm["I"] / KIB512) * gemm["W"] + gemm["I"] < (
                math.ceil(gemm["W"] / KIB512) * gemm["I"] + gemm["W"]
            ):
                w_times = math.ceil(gemm["I"] / KIB512)
            else:
                i_times = math.ceil(gemm["W"] / KIB512)
        total = gemm["W"] * w_times + gemm["I"] * i_times + gemm["O"]
        dram = int(Fraction(8 * total, 2 * row["dram"]["bits"]))
        cycles += max(tiles * slow, dram)
        compute += tiles * slow
        steps += tiles
        moved += total
        writes += w_times * gemm["w"] * weights["write_pJ_per64b"]
        writes += (i_times * gemm["i"] + gemm["o"]) * inputs["write_pJ_per64b"]
    onchip = 1.5 * config["pe_energy"] * rows * cols * compute
    onchip += steps * (weights["read_pJ"] + inputs["read_pJ"]) + writes
    dram_pj = 8 * moved / row["dram"]["bits"] * row["dram"]["cost_pJ"]
    return cycles, onchip / 1e6, (onchip + dram_pj) / 1e6
