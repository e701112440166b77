"""Integer scales against the values of the stored formats."""

import numpy as np
import pytest

from configs.accelerator import ScaleConfig
from configs.errors import InputError
from sw.compile import largest_scale, machine_scales, scale_integers
from sw.formats import get_family
from sw.formats.block_tables import get_block_format
from sw.quantize import QuantizedMatrix, quantize_blocks
from sw.quantize.matrix import scale_values


@pytest.mark.parametrize("shift", ["serial", "barrel"])
def test_every_e4m3_code(shift: str) -> None:
    scale = ScaleConfig(format="e4m3", shift=shift)
    codes = np.arange(0x7F, dtype=np.uint8)
    integers = scale_integers(scale, codes)
    assert np.array_equal(integers * 2.0**-9, scale_values("e4m3", codes))
    assert integers.max() <= largest_scale(scale) < 1 << scale.integer_bits


def test_powers_of_two_and_integers() -> None:
    e8m0 = ScaleConfig(format="e8m0", binades=9)
    assert scale_integers(e8m0, np.array([0, 1, 9], np.uint8)).tolist() == [1, 2, 512]
    assert largest_scale(e8m0) == 512
    assert scale_integers(ScaleConfig(), np.array([0, 7, 255], np.uint8)).tolist() == [0, 7, 255]
    assert largest_scale(ScaleConfig()) == 255


@pytest.mark.parametrize("block", ["mxfp4", "nvfp4"])
def test_block_scales_are_exact(block: str) -> None:
    rng = np.random.default_rng(4)
    weights = rng.standard_normal((6, 96)) * np.exp2(rng.integers(-3, 4, (6, 1)))
    matrix = quantize_blocks(weights, get_block_format(block))
    codes, factors = machine_scales(matrix, ScaleConfig(format=matrix.scale_format))
    integers = scale_integers(ScaleConfig(format=matrix.scale_format), codes)
    assert np.array_equal(integers.astype(np.float32) * factors[:, None], matrix.scales)


def matrix_with(codes: list[int]) -> QuantizedMatrix:
    scale_codes = np.array([codes], dtype=np.uint8)
    return QuantizedMatrix(
        family=get_family("float4_e2m1fn"),
        group_size=2,
        codes=np.array([[1, 0] * len(codes)], dtype=np.uint8),
        format_ids=np.zeros((1, len(codes)), dtype=np.uint8),
        scales=scale_values("e8m0", scale_codes),
        scale_codes=scale_codes,
        channel_scales=np.ones(1, dtype=np.float32),
        scale_format="e8m0",
    )


def test_too_many_binades() -> None:
    scale = ScaleConfig(format="e8m0", binades=4)
    assert machine_scales(matrix_with([100, 104]), scale)[0].tolist() == [[0, 4]]
    with pytest.raises(InputError, match=r"channel 0 span 5 binades, .* dequantizer 4: raise"):
        machine_scales(matrix_with([100, 105]), scale)


def test_groups_of_zeros_do_not_widen_the_span() -> None:
    matrix = matrix_with([100, 250, 101])
    zeros = matrix.codes.copy()
    zeros[0, 2:4] = 0
    empty = QuantizedMatrix(**{**vars(matrix), "codes": zeros})
    codes, factors = machine_scales(empty, ScaleConfig(format="e8m0", binades=1))
    assert codes.tolist() == [[0, 0, 1]] and factors.tolist() == [2.0**-27]


def test_other_scales_are_refused() -> None:
    with pytest.raises(InputError, match="takes e4m3 scales, the weights have e8m0 ones"):
        machine_scales(matrix_with([100]), ScaleConfig(format="e4m3"))
