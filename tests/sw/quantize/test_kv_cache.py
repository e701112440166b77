"""The key/value cache against loops over its elements."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from configs.schema import KVCacheConfig
from sw.quantize.kv_cache import (
    KV_PRESETS,
    kv_bits_per_value,
    kv_hook,
    quantize_keys,
    quantize_values,
)


def arrays(shape, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal(shape).astype(np.float32) * 3 for _ in range(2))


def oracle_group(group, bits):
    """Codes, scale and zero of one group, a list of float32 numbers."""
    single, half = np.float32, np.float16
    top = 2**bits - 1
    zero = single(half(min(group)))
    scale = single(half(max((max(group) - zero) / single(top), 0)))
    codes = []
    for value in group:
        code = round(float((value - zero) / scale)) if scale else 0
        codes.append(min(max(code, 0), top))
    return codes, scale, zero


def oracle(x, bits, size, axis):
    """What is left of x, element by element; axis 1 for keys, 3 for values."""
    out = np.empty_like(x)
    batch, tokens, heads, dim = x.shape
    for b in range(batch):
        for h in range(heads):
            lines = range(dim) if axis == 1 else range(tokens)
            for line in lines:
                at = (b, slice(None), h, line) if axis == 1 else (b, line, h, slice(None))
                row = x[at]
                for first in range(0, len(row), size):
                    group = row[first : first + size]
                    codes, scale, zero = oracle_group(group, bits)
                    row = row.copy()
                    row[first : first + size] = [np.float32(c) * scale + zero for c in codes]
                out[at] = row
    return out


@settings(deadline=None, max_examples=40)
@given(
    bits=st.sampled_from([2, 3, 4, 8, 12]),
    size=st.integers(1, 9),
    tokens=st.integers(1, 9),
    dim=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_groups_equal_the_loop(bits, size, tokens, dim, seed):
    keys, values = arrays((2, tokens, 2, dim), seed)
    found = quantize_keys(keys, bits=bits, group=size)
    assert np.array_equal(found.dequantize(), oracle(keys, bits, size, 1))
    assert found.scales.shape == found.zeros.shape == (2, math.ceil(tokens / size), 2, dim)
    found = quantize_values(values, bits=bits, group=size)
    assert np.array_equal(found.dequantize(), oracle(values, bits, size, 3))
    assert found.scales.shape == (2, tokens, 2, math.ceil(dim / size))
    assert found.codes.dtype == (np.uint8 if bits <= 8 else np.uint16)
    assert found.codes.max() < 1 << bits


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_error_is_at_most_half_a_step(bits):
    keys, _ = arrays((2, 32, 2, 8))
    found = quantize_keys(keys, bits=bits, group=16)
    error = np.abs(found.dequantize() - keys)
    steps = np.repeat(found.scales, 16, axis=1)
    # the ends move by the rounding of zero and scale to float16
    assert (error <= steps / 2 + 2**-10 * np.abs(keys).max()).all()


def test_constant_and_zero_groups():
    x = np.zeros((1, 4, 1, 4), dtype=np.float32)
    found = quantize_values(x, bits=2, group=2)
    assert not found.dequantize().any() and not found.scales.any() and not found.codes.any()
    assert (quantize_keys(x + 1.5, bits=2, group=3).dequantize() == 1.5).all()
    # nearly constant: the range vanishes in float16
    tiny = x + 1
    tiny[0, 0] += np.float32(1e-7)
    assert np.isfinite(quantize_keys(tiny, bits=8, group=4).dequantize()).all()


@pytest.mark.parametrize("quantize", [quantize_keys, quantize_values])
@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (np.nan, {}, "must be finite numbers of at most 65504"),
        (-np.inf, {}, "must be finite"),
        (65536.0, {}, "at most 65504"),
        (0, {"bits": 1}, "must be a whole number from 2 to 16, not 1"),
        (0, {"bits": 17}, "not 17"),
        (0, {"bits": 4.0}, r"not 4\.0"),
        (0, {"group": 0}, "at least 1, not 0"),
        (0, {"group": True}, "not True"),
    ],
)
def test_bad_input_is_refused(quantize, change, options, message):
    x = np.zeros((1, 2, 1, 2))
    x[0, 1, 0, 1] = change
    with pytest.raises(InputError, match=message):
        quantize(x, **{"bits": 4, "group": 2} | options)


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 0, 2, 2)])
def test_bad_shapes_are_refused(shape):
    with pytest.raises(InputError, match=r"non-empty array \(batch, tokens, heads, head_dim\)"):
        quantize_keys(np.zeros(shape), bits=4, group=2)


@pytest.mark.parametrize("residual", [0, 3, 8, 100])
@pytest.mark.parametrize("key_group", [1, 4, 5])
def test_hook_quantizes_the_past(residual, key_group):
    config = KVCacheConfig(
        key_bits=4, value_bits=2, key_group=key_group, value_group=3, residual_tokens=residual
    )
    tokens = 11
    k, v = arrays((2, tokens, 2, 8))
    new_k, new_v = kv_hook(config)(0, k, v)
    old = max(0, tokens - residual)
    complete = old // key_group * key_group
    expected_k, expected_v = k.copy(), v.copy()
    if complete:
        expected_k[:, :complete] = oracle(k[:, :complete], 4, key_group, 1)
    if old:
        expected_v[:, :old] = oracle(v[:, :old], 2, 3, 3)
    assert np.array_equal(new_k, expected_k) and np.array_equal(new_v, expected_v)
    assert new_k.dtype == new_v.dtype == np.float32


def test_keys_of_one_channel_share_a_scale():
    """A channel that is large for every token costs the others nothing."""
    keys, _ = arrays((1, 32, 1, 8))
    keys[..., 3] = 500 + keys[..., 3]
    others = np.arange(8) != 3

    def error(found):
        return np.abs(found.dequantize() - keys)[..., others].max()

    assert error(quantize_keys(keys, bits=4, group=32)) < 1
    assert error(quantize_values(keys, bits=4, group=8)) > 5


def test_presets():
    assert {n: (c.key_bits, c.value_bits) for n, c in KV_PRESETS.items()} == {
        "k8v8": (8, 8),
        "k4v4": (4, 4),
        "k4v2": (4, 2),
    }


def test_bits_per_value():
    config = KVCacheConfig(
        key_bits=4, value_bits=2, key_group=32, value_group=32, residual_tokens=32
    )
    # keys 4 + 32 / 32, values 2 + 32 / 32
    assert kv_bits_per_value(config, 64) == 4
    # heads of 48 channels have two groups
    assert kv_bits_per_value(config, 48) == pytest.approx((5 + 2 + 64 / 48) / 2)
    # of 100 tokens the keys of 64 and the values of 68 are quantized
    expected = (64 * 5 + 36 * 16 + 68 * 3 + 32 * 16) / 200
    assert kv_bits_per_value(config, 64, tokens=100) == pytest.approx(expected)
    assert kv_bits_per_value(config, 64, tokens=20) == 16
    none = dataclasses.replace(config, residual_tokens=0)
    assert kv_bits_per_value(none, 64, tokens=64) == 4
    for head_dim, tokens in ((0, None), (4, 0)):
        with pytest.raises(InputError, match="head_dim and tokens must be at least 1"):
            kv_bits_per_value(config, head_dim, tokens)
