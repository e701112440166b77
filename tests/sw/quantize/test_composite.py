"""Block and plane formats on 8-bit scales: exact, or refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.accelerator import AcceleratorConfig
from configs.errors import InputError
from sw.compile import machine_layer
from sw.formats.block_tables import block_formats, get_block_format
from sw.formats.planes import dual_binary, nested_read, residual_planes
from sw.formats.trit_planes import trit_planes
from sw.quantize import plane_matrix, quantize_blocks
from sw.quantize.composite import plane_stack
from sw.quantize.matrix import exact_scale_codes


@pytest.mark.parametrize("name", block_formats())
def test_block_values_are_kept(name: str) -> None:
    """Bit for bit without a tensor scale, else to float32's rounding of one product.

    The machine's 8-bit scales keep them too while the blocks of a channel are close together.
    """
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((6, 100)) * np.ldexp(1.0, rng.integers(-9, 9, (6, 1)))
    weights[2] = 0
    weights[3, 40:80] = 0
    block = get_block_format(name)
    matrix = quantize_blocks(weights, block)
    assert matrix.scale_format == block.scale_format
    wanted = block.decode(block.encode(weights))
    for same in (matrix, matrix.with_uint8_scales()):
        if block.two_level:
            assert np.allclose(same.dequantize(np.float64), wanted, rtol=2e-7, atol=0)
        else:
            assert np.array_equal(same.dequantize(np.float64), wanted)
    tensor_bits = 32 / weights.size if block.two_level else 0
    groups = -(-100 // block.block_size) / 100
    scale_bits = (block.bits_per_weight - matrix.family.bits) * block.block_size * groups
    assert matrix.bits_per_weight == pytest.approx(matrix.family.bits + scale_bits + tensor_bits)


@settings(max_examples=100, deadline=None)
@given(
    multiples=st.lists(st.integers(0, 255), min_size=1, max_size=8),
    exponent=st.integers(-120, 100),
)
def test_multiples_of_a_power_of_two_are_found(multiples: list[int], exponent: int) -> None:
    scales = np.ldexp(np.array([multiples, [256, *multiples[1:]]], dtype=float), exponent)
    exact, units = exact_scale_codes(scales)
    assert exact[0] and np.array_equal(np.rint(scales / units[:, None])[0] * units[0], scales[0])
    assert exact[1] == all(m % 2 == 0 for m in multiples[1:])


def test_scales_too_far_apart_are_rounded_in_their_channel_only() -> None:
    weights = np.ones((3, 64))
    weights[1, 32:] = 300
    matrix = quantize_blocks(weights, get_block_format("mxfp4"))
    machine = matrix.with_uint8_scales()
    assert np.array_equal(machine.dequantize()[[0, 2]], matrix.dequantize()[[0, 2]])
    assert machine.scale_codes is not None and machine.scale_codes[1].tolist() == [1, 255]
    assert machine.with_uint8_scales() is machine


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
        stack = plane_stack(planes)
        assert np.allclose(stack.dequantize(np.float64), planes.dequantize(), rtol=1e-12)
        assert len(stack.planes) == len(parts)
        assert stack.bits_per_weight == sum(part.bits_per_weight for part in stack.planes)
        with pytest.raises(InputError, match="several planes"):
            machine_layer(stack, AcceleratorConfig(name="a", rows=1, cols=1, lanes=1))
    stored = residual_planes(weights, bits=8, terms=1).planes[0]
    nested = nested_read(stored, 4)
    assert np.array_equal(plane_matrix(nested).dequantize(np.float64), nested.dequantize())
