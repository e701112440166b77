"""Bytes of weights and of the cache, against formulas of whole models."""

import math
from fractions import Fraction

import pytest

from configs.errors import InputError
from configs.schema import load_axis
from sw.workloads import (
    Gemm,
    Workload,
    bits_with_scales,
    gemm_bytes,
    kv_bytes_read,
    kv_cache_bytes,
    model_workload,
    weight_bytes,
    weight_elements,
)


def preset(name, prefill=200, decode=50, **options):
    config = load_axis("workload", name).architecture
    return model_workload(
        config, name, prefill_tokens=prefill, decode_steps=decode, attention="array", **options
    )


@pytest.mark.parametrize(
    # 2 x layers x key-value heads x head_dim
    ("name", "values_per_token"),
    [
        ("llama2_7b", 262_144),
        ("llama2_13b", 409_600),
        ("llama3_8b", 65_536),
        ("yi_6b", 32_768),
        ("opt_1_3b", 98_304),
        ("phi_2", 163_840),
        ("bitnet_2b", 38_400),
    ],
)
@pytest.mark.parametrize("batch", [1, 3])
def test_keys_and_values(name, values_per_token, batch) -> None:
    found = preset(name, batch=batch)
    each = values_per_token * batch
    assert kv_bytes_read(found, 8, step=0) == each * 201
    assert kv_bytes_read(found, 8, step=49) == each * 250
    assert kv_bytes_read(found, 8) == each * sum(range(201, 251))
    assert kv_bytes_read(found, 4) == each * sum(range(201, 251)) // 2
    assert kv_cache_bytes(found, 16) == 2 * each * 250
    scaled = bits_with_scales(4, group_size=64, scale_bits=32)
    assert kv_cache_bytes(found, scaled) == each * 250 * 9 // 16
    prompt = preset(name, decode=0, batch=batch)
    assert kv_cache_bytes(prompt, 8) == each * 200
    assert kv_bytes_read(prompt, 8) == 0


def test_a_window_holds_its_tokens_only() -> None:
    found = preset("mistral_7b", 4090, 10)
    each = 2 * 32 * 8 * 128
    assert kv_cache_bytes(found, 8) == each * 4096
    assert kv_bytes_read(found, 8) == each * (4091 + 4092 + 4093 + 4094 + 4095 + 5 * 4096)


def test_attention_on_the_host_and_encoders_read_no_cache() -> None:
    config = load_axis("workload", "llama2_7b").architecture
    bare = model_workload(config, "x", prefill_tokens=4, decode_steps=4)
    assert kv_bytes_read(bare, 8) == kv_cache_bytes(bare, 8) == 0
    assert kv_cache_bytes(preset("bert_base", 128, 0), 8) == 0


def test_weights() -> None:
    found = preset("llama2_7b", 4, 4, lm_head="none")
    elements = 6_476_005_376
    assert weight_elements(found.prefill) == weight_elements(found.decode) == elements
    assert weight_bytes(found.decode, 4) == elements // 2
    assert weight_bytes(found.decode, 4.5) == elements * 9 // 16
    bits = {gemm.name: 3 if "mlp" in gemm.name else 4 for gemm in found.decode}
    attention = 32 * 4 * 4096 * 4096
    assert weight_bytes(found.decode, bits) == attention // 2 + (elements - attention) * 3 // 8
    del bits["layers.3.mlp.up_proj"]
    with pytest.raises(InputError, match=r"no bits .* layer 'layers\.3\.mlp\.up"):
        weight_bytes(found.decode, bits)


def test_each_matrix_is_rounded_up() -> None:
    gemm = Gemm(name="x", m=2, n=3, k=5, count=4)
    assert gemm_bytes(gemm, 3) == 4 * math.ceil(45 / 8)
    assert weight_bytes([gemm, Gemm(name="y", m=1, n=1, k=1)], Fraction(5, 3)) == 4 * 4 + 1
    shared = Gemm(name="x", m=2, n=3, k=5, count=4, distinct=2)
    assert (shared.elements, gemm_bytes(shared, 8)) == (30, 30)
    assert weight_elements([gemm, Gemm(name="y", m=1, n=9, k=9, operand="activations")]) == 60


@pytest.mark.parametrize("bits", [0, -1, math.nan, math.inf])
def test_bits_that_are_none(bits) -> None:
    with pytest.raises(InputError, match=r"bits per element are .* must be"):
        gemm_bytes(Gemm(name="x", m=1, n=1, k=1), bits)


def test_refusals() -> None:
    with pytest.raises(InputError, match="'llama' has 50 decode steps: there is no step 50"):
        kv_bytes_read(preset("llama2_7b"), 8, step=50)
    with pytest.raises(InputError, match="group_size is 0"):
        bits_with_scales(4, group_size=0, scale_bits=16)


@pytest.mark.parametrize("first", [1, 5, 9])
@pytest.mark.parametrize("limit", [None, 9, 12])
@pytest.mark.parametrize("steps", [1, 3, 4, 5, 20])
def test_sums_over_steps(first, limit, steps) -> None:
    gemm = Gemm(name="x", m=2, n=first, k=3, count=5, operand="kv_cache", grows="n", limit=limit)
    found = Workload(name="w", prefill=(), decode=(gemm,), decode_steps=steps)
    sizes = [min(first + step, limit or math.inf) for step in range(steps)]
    assert [gemm.at_step(step).n for step in range(steps)] == sizes
    assert found.macs == 2 * 3 * 5 * sum(sizes)
    assert gemm.over_steps(gemm.results, steps) == 2 * 5 * sum(sizes)
    assert kv_bytes_read(found, 8) == 3 * 5 * sum(sizes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"m": 0}, "x: m is 0"),
        ({"distinct": 4, "count": 3}, "x: distinct is 4, valid are 1..3"),
        ({"limit": 4}, "x: limit is 4, but no size grows"),
        ({"limit": 1, "grows": "n"}, "x: limit is 1, valid are 2"),
    ],
)
def test_gemms_that_make_no_sense(changes, message) -> None:
    with pytest.raises(InputError, match=message):
        Gemm(**{"name": "x", "m": 1, "n": 2, "k": 3} | changes)
