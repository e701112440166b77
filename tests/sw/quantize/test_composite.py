"""Block and plane formats on 8-bit scales: exact, or refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.formats.block_tables import block_formats, get_block_format
from sw.formats.planes import dual_binary, nested_read, residual_planes
from sw.formats.trit_planes import trit_planes
from sw.quantize import plane_matrix, quantize_blocks
from sw.quantize.composite import exact_scale_codes


@pytest.mark.parametrize("name", block_formats())
def test_block_values_are_kept(name: str) -> None:
    """Bit for bit without a tensor scale, else to float32's rounding of one product."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((6, 100)) * np.ldexp(1.0, rng.integers(-9, 9, (6, 1)))
    weights[2] = 0
    weights[3, 40:80] = 0
    block = get_block_format(name)
    matrix = quantize_blocks(weights, block)
    wanted = block.decode(block.encode(weights))
    if block.two_level:
        assert np.allclose(matrix.dequantize(np.float64), wanted, rtol=2e-7, atol=0)
    else:
        assert np.array_equal(matrix.dequantize(np.float64), wanted)


@settings(max_examples=100, deadline=None)
@given(
    multiples=st.lists(st.integers(0, 255), min_size=1, max_size=8),
    exponent=st.integers(-120, 100),
)
def test_codes_are_exact(multiples: list[int], exponent: int) -> None:
    scales = np.ldexp(np.array([multiples], dtype=float), exponent)
    codes, units = exact_scale_codes(scales)
    assert np.array_equal(codes * units[:, None], scales)


def test_scales_too_far_apart_are_refused() -> None:
    weights = np.ones((3, 64))
    weights[1, 32:] = 300
    with pytest.raises(InputError, match="channel 1 are up to 256 times"):
        quantize_blocks(weights, get_block_format("mxfp4"))


def test_planes_are_ordinary_matrices() -> None:
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((4, 70))
    residual = residual_planes(weights, bits=4, terms=2)
    sums = {
        "trits": trit_planes(weights, group_size=32),
        "dual": dual_binary(weights, group_size=32),
        "residual": residual,
    }
    for planes in sums.values():
        parts = [plane_matrix(plane).dequantize(np.float64) for plane in planes.planes]
        assert np.allclose(np.sum(parts, axis=0), planes.dequantize(), rtol=1e-12)
    stored = residual_planes(weights, bits=8, terms=1).planes[0]
    nested = nested_read(stored, 4)
    assert np.array_equal(plane_matrix(nested).dequantize(np.float64), nested.dequantize())
