"""Block floating point, NVFP4, NVINT4, RaZeR and float16 scales against slow rules."""

import math

import ml_dtypes
import numpy as np
import pytest

from configs.errors import InputError
from sw.formats.block_tables import bfp, get_block_format
from sw.formats.blocks import BlockFormat

from .block_values import weights


@pytest.mark.parametrize("m, k", [(2, 3), (4, 16), (8, 32), (7, 1000)])
def test_bfp(m: int, k: int) -> None:
    values = weights(7, (9, 100))
    expected = np.zeros_like(values, dtype=np.float64)
    for row in range(9):
        for first in range(0, 100, k):
            part = values[row, first : first + k].astype(np.float64)
            if part.any():
                exponent = math.frexp(np.abs(part).max())[1] - 1
                q = np.rint(part * 2.0 ** (m - 2 - exponent))
                q = q.clip(-(2 ** (m - 1) - 1), 2 ** (m - 1) - 1)
                expected[row, first : first + k] = q * 2.0 ** (exponent - m + 2)
    block = get_block_format(f"bfp{m}_b{k}")
    assert np.array_equal(block.decode(block.encode(values)), expected)


def test_mxint8_is_bfp8_and_leaves_minus_two_unused() -> None:
    values = weights(8, (8, 64))
    mx, plain = get_block_format("mxint8"), bfp(8, 32)
    assert np.array_equal(mx.decode(mx.encode(values)), plain.decode(plain.encode(values)))
    coded = mx.encode([[-1.999, 1.5]])
    assert mx.decode(coded).tolist() == [[-127 / 64, 1.5]]
    coded.codes[0, 0] = 0x80
    assert mx.decode(coded)[0, 0] == -2


@pytest.mark.parametrize("name", ["nvfp4", "nvint4"])
def test_two_level_recipe(name: str) -> None:
    """The rule, in float64, with ml_dtypes for scales and (plain) elements."""
    values = weights(9, (16, 80), spread=3).astype(np.float64)
    block = get_block_format(name)
    coded = block.encode(values)
    largest = 7 if name == "nvint4" else 6
    tensor = np.float32(np.abs(values).max() / (largest * 448))
    amax = np.abs(values.reshape(16, 5, 16)).max(axis=2)
    scales = (amax / largest / float(tensor)).clip(0, 448).astype(ml_dtypes.float8_e4m3fn)
    assert coded.tensor_scale == tensor
    assert np.array_equal(coded.scale_codes, scales.view(np.uint8))
    step = (scales.astype(np.float64) * float(tensor))[..., None]
    quotient = np.divide(values.reshape(16, 5, 16), step, where=step > 0, out=np.zeros((16, 5, 16)))
    quotient = quotient.clip(-largest, largest)
    if name == "nvint4":
        expected = np.rint(quotient)
    else:
        expected = quotient.astype(ml_dtypes.float4_e2m1fn).astype(np.float64)
    assert np.array_equal(block.decode(coded), (expected * step).reshape(16, 80))


def test_blocks_below_the_smallest_scale_vanish() -> None:
    """0.1 / (448 * 2**9) of the tensor's largest value is under half the least E4M3 scale."""
    values = np.full((1, 32), 1.0)
    values[0, 16:] = 1e-7
    block = get_block_format("nvfp4")
    coded = block.encode(values)
    assert coded.scale_codes.tolist() == [[126, 0]] and not coded.codes[0, 16:].any()
    assert not block.decode(coded)[0, 16:].any()


@pytest.mark.parametrize("base", ["mxfp4", "nvfp4"])
def test_razer_is_the_best_of_four_and_never_worse(base: str) -> None:
    values = weights(10, (32, 64), spread=2).astype(np.float64)
    plain, razer = get_block_format(base), get_block_format(f"razer_{base}")
    coded, size = razer.encode(values), plain.block_size
    old = (plain.decode(plain.encode(values)) - values) ** 2
    error = ((razer.decode(coded) - values) ** 2).reshape(32, -1, size).sum(axis=2)
    assert (error <= old.reshape(32, -1, size).sum(axis=2)).all()
    grid = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.5, -1, -1.5, -2, -3, -4, -6])
    blocks = values.reshape(32, -1, size, 1)
    amax = np.abs(values).reshape(32, -1, size).max(axis=2)
    errors = []
    for extra in (5, -5, 8, -8):
        if base == "mxfp4":
            scale = 2.0 ** (np.frexp(amax)[1] - 3)
        else:
            fine = (amax / max(6, abs(extra)) / float(coded.tensor_scale)).clip(0, 448)
            scale = fine.astype(ml_dtypes.float8_e4m3fn).astype(np.float64)
            scale *= float(coded.tensor_scale)
        distance = np.append(grid, extra) * scale[..., None, None] - blocks
        errors.append((distance**2).min(axis=3).sum(axis=2))
    assert np.allclose(error, np.min(errors, axis=0), rtol=1e-9, atol=0)
    assert len(np.unique(coded.format_ids)) == 4


def test_float16_scales() -> None:
    block = BlockFormat(
        name="q8",
        element="int8",
        block_size=32,
        scale_format="float16",
        rule="amax",
        source="made up",
    )
    values = weights(11, (4, 64), spread=2)
    coded = block.encode(values)
    scales = np.abs(values.reshape(4, 2, 32)).max(axis=2).astype(np.float64) / 127
    assert np.array_equal(coded.scale_codes.view(np.float16), scales.astype(np.float16))
    assert np.allclose(block.decode(coded), values, atol=np.abs(values).max() / 250)
    assert block.bits_per_weight == 8.5
    with pytest.raises(InputError, match="beyond a float16 scale"):
        block.encode([[1e30]])
    coded.scale_codes[0, 0] = 0xFC00
    with pytest.raises(InputError, match="scale code 64512 is negative or infinite"):
        block.decode(coded)
