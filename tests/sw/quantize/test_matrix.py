"""The quantized matrix: its checks, its sums and second-level scales."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.accelerator import AcceleratorConfig
from configs.errors import InputError
from sw.compile import machine_layer
from sw.formats import FormatFamily, NumberFormat, get_family
from sw.quantize import QuantizedMatrix, quantize_matrix

#: with and without a level 0, several members, other units
FEW = ("ant4", "binary", "bitmod_fp3", "bitmod_fp4", "float8_e4m3fn", "int4", "int8", "nf4")
repeatable = settings(deadline=None, derandomize=True, max_examples=60)


CODED = {
    "scale_codes": np.full((2, 2), 200, np.uint8),
    "channel_scales": np.ones(2, np.float32),
}


@pytest.fixture
def matrix():
    """Two rows of five weights, groups of three, FP3 with extra resolution / asymmetry."""
    return QuantizedMatrix(
        family=get_family("bitmod_fp3"),
        group_size=3,
        codes=np.array([[0, 1, 4, 4, 7], [2, 3, 5, 0, 6]], dtype=np.uint8),
        format_ids=np.array([[0, 3], [1, 2]], dtype=np.uint8),
        scales=np.array([[1, 2], [0.5, 0.25]], dtype=np.float32),
    )


def test_levels_follow_each_groups_format(matrix):
    assert matrix.levels.dtype == np.int64
    assert matrix.levels.tolist() == [[0, 1, 3, -6, -4], [2, 4, -1, 0, -2]]
    expected = [[0, 1, 3, -12, -8], [1, 2, -0.5, 0, -0.5]]
    for dtype in (np.float16, np.float32, np.float64):
        values = matrix.dequantize(dtype)
        assert values.dtype == dtype and values.tolist() == expected
    with pytest.raises(InputError, match="cannot dequantize to int64"):
        matrix.dequantize(np.int64)


def test_unit_is_part_of_the_value():
    ones = quantize_matrix(np.full((1, 2), 6.0), get_family("bitmod_fp4"), group_size=2)
    assert ones.scales.tolist() == [[1.0]]  # 6 is FP4's largest value, level 12 of unit 1/2
    assert ones.levels.tolist() == [[12, 12]] and ones.dequantize().tolist() == [[6.0, 6.0]]


def test_stored_bits(matrix):
    assert (matrix.shape, matrix.groups, matrix.scale_format) == ((2, 5), 2, "float16")
    assert matrix.bits_per_weight == 3 + 2 * (2 + 16) / 5
    assert matrix.with_uint8_scales().bits_per_weight == 3 + (2 * (2 + 8) + 32) / 5
    assert list(matrix.format_mix.values()) == [0.25] * 4
    assert list(matrix.format_mix)[3] == "bitmod_fp3_ea_neg"


def test_second_level_scales(matrix):
    scales = np.array([[0.5, 2], [1, 0.75]], dtype=np.float32)
    quantized = dataclasses.replace(matrix, scales=scales).with_uint8_scales()
    assert quantized.scale_format == "uint8" and quantized.codes is matrix.codes
    assert quantized.scale_codes.tolist() == [[64, 255], [255, 191]]
    assert np.array_equal(quantized.channel_scales, np.float32([2 / 255, 1 / 255]))
    assert quantized.with_uint8_scales() is quantized


@repeatable
@given(
    family=st.sampled_from(FEW),
    group_size=st.integers(1, 20),
    spread=st.sampled_from([0.0, 1.0, 4.0]),
    seed=st.integers(0, 99),
)
def test_non_zero_group_never_gets_scale_zero(family, group_size, spread, seed):
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((3, 17)) * 10 ** rng.uniform(-spread, 0, (3, 17))
    weights[rng.random((3, 17)) < 0.3] = 0
    weights[0] = 0
    first = quantize_matrix(weights, get_family(family), group_size=group_size)
    second = quantize_matrix(
        weights, get_family(family), group_size=group_size, scale_format="uint8"
    )
    assert np.array_equal(first.codes, second.codes)
    nonzero = second.levels != 0
    assert (second.expand(second.scale_codes)[nonzero] >= 1).all()
    assert (second.scale_codes.max(axis=1)[first.scales.max(axis=1) > 0] == 255).all()
    clipped = second.scale_codes == 1
    error = np.abs(second.scales - first.scales)
    assert (error <= second.channel_scales[:, None] * 0.501)[~clipped].all()


def test_zero_scales_are_kept():
    zero = QuantizedMatrix(
        family=get_family("int4"),
        group_size=2,
        codes=np.array([[1, 2]], dtype=np.uint8),
        format_ids=np.zeros((1, 1), dtype=np.uint8),
        scales=np.zeros((1, 1), dtype=np.float32),
    )
    assert not zero.with_uint8_scales().dequantize().any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group_size": 0}, "group_size"),
        ({"group_size": 2}, r"format_ids must be uint8 \(2, 3\), not uint8 \(2, 2\)"),
        ({"codes": np.zeros(5, np.uint8)}, "2-D"),
        ({"codes": np.zeros((0, 5), np.uint8)}, "non-empty"),
        ({"codes": [[1]]}, "codes must be"),
        ({"codes": np.zeros((2, 5), np.int64)}, r"codes must be uint8 \(2, 5\), not int64"),
        ({"codes": np.full((2, 5), 8, np.uint8)}, "codes holds 8, .* end at 7"),
        ({"format_ids": np.full((2, 2), 4, np.uint8)}, "format_ids holds 4, .* 0..3"),
        ({"scales": None}, "not NoneType"),
        ({"scales": np.ones((2, 2))}, "not float64"),
        ({"scales": np.full((2, 2), np.nan, np.float32)}, "finite"),
        ({"scales": np.full((2, 2), -1, np.float32)}, "not negative"),
        ({"scales": np.full((2, 2), 0.1, np.float32)}, "0.1.*not a float16 value"),
        ({"scales": np.full((2, 2), 1e6, np.float32)}, "not a float16 value"),
        ({"scale_codes": np.ones((2, 2), np.uint8)}, "together"),
        (
            {"scale_codes": np.ones((2, 2), np.uint8), "channel_scales": np.ones(3, np.float32)},
            r"channel_scales must be float32 \(2,\)",
        ),
        ({**CODED, "scale_format": "uint8"}, "must equal the values of scale_codes"),
        ({**CODED, "scale_format": "float16"}, "float16 scales have no scale codes"),
        ({"scale_format": "e8m0"}, "e8m0 scales need scale codes"),
        ({**CODED, "scale_format": "e4m4"}, "unknown scale format 'e4m4'"),
        ({**CODED, "scale_format": "e4m3"}, "scale_codes holds 200, e4m3 ends at 126"),
        ({"zero_points": np.zeros((2, 1), np.int16)}, r"zero_points must be int16 \(2, 2\)"),
    ],
)
def test_contradictions_are_refused(matrix, changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(matrix, **changes)


def test_zero_points_shift_the_levels(matrix):
    """The published asymmetric product: (level - zero point) times the step."""
    zeros = np.array([[1, -2], [0, 3]], dtype=np.int16)
    shifted = dataclasses.replace(matrix, zero_points=zeros)
    expected = [[-1, 0, 2, -8, -4], [1, 2, -0.5, -0.75, -1.25]]
    for dtype in (np.float16, np.float32, np.float64):
        assert shifted.dequantize(dtype).tolist() == expected
    assert shifted.bits_per_weight == pytest.approx(matrix.bits_per_weight + 2 * 8 / 5)
    array = AcceleratorConfig(name="a", rows=1, cols=1, lanes=1)
    with pytest.raises(InputError, match=r"accelerator 'a' does not: set zero_point_bits to \d"):
        machine_layer(shifted, array)
    # a group of levels 0 with a zero point is not a group of zeros
    codes = np.zeros((1, 4), dtype=np.uint8)
    one = QuantizedMatrix(
        family=get_family("int4_full"),
        group_size=2,
        codes=codes,
        format_ids=np.zeros((1, 2), np.uint8),
        scales=np.array([[1, 1e-3]], np.float16).astype(np.float32),
        zero_points=np.array([[1, 5]], np.int16),
    )
    assert one.with_uint8_scales().scale_codes.tolist() == [[255, 1]]


def test_shared_scales_count_once(matrix):
    both = dataclasses.replace(matrix, group_rows=2)
    assert both.bits_per_weight == pytest.approx(3 + 2 * (2 + 16) / 10)
    zeros = np.zeros((2, 2), np.int16)
    assert dataclasses.replace(both, zero_points=zeros).bits_per_weight == pytest.approx(
        3 + 2 * 26 / 10
    )


def test_residual_is_added(matrix):
    stack = dataclasses.replace(matrix, residual=dataclasses.replace(matrix, residual=matrix))
    assert np.array_equal(stack.dequantize(), 3 * matrix.dequantize())
    assert stack.bits_per_weight == pytest.approx(3 * matrix.bits_per_weight)
    assert [plane.residual for plane in stack.planes] == [None] * 3
    assert stack.with_uint8_scales().residual.scale_format == "uint8"
    other = quantize_matrix(np.ones((1, 2)), get_family("int4"), group_size=2)
    with pytest.raises(InputError, match="residual is"):
        dataclasses.replace(matrix, residual=other)


def test_codes_without_level_and_wide_codes_are_refused():
    fields = {
        "group_size": 1,
        "format_ids": np.zeros((1, 1), np.uint8),
        "scales": np.ones((1, 1), np.float32),
    }
    with pytest.raises(InputError, match="codes holds 8, which has no level"):
        QuantizedMatrix(family=get_family("int4"), codes=np.array([[8]], np.uint8), **fields)
    wide = NumberFormat(name="wide", bits=9, levels=tuple(range(512)), source="test")
    with pytest.raises(InputError, match="9-bit codes"):
        QuantizedMatrix(
            family=FormatFamily(name="wide", members=(wide,)),
            codes=np.array([[8]], np.uint8),
            **fields,
        )
