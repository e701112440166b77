"""The quantizer against the released one, against a slow oracle, and on bad input."""

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from configs.errors import InputError
from sw.formats import FormatFamily, NumberFormat, get_family
from sw.quantize import quantization_error, quantize_activations, quantize_matrix, tiles

GOLDEN = Path(__file__).parents[4] / "shared" / "data" / "bitmod_quant_golden.npz"
#: formats with a level 0 whose float16 arithmetic is on integer levels
FAMILIES = (
    *("ant4", "bitmod_fp3", "bitmod_fp4", "flint4s", "float4_e2m1fn", "float6_e3m2fn"),
    *("int4", "int5_full", "int6", "int8", "pot4", "ternary"),
)
repeatable = settings(deadline=None, derandomize=True, max_examples=60)


def custom(bits, levels, unit=1, name="custom"):
    padded = tuple(levels) + (None,) * ((1 << bits) - len(levels))
    member = NumberFormat(name=name, bits=bits, levels=padded, unit=Fraction(unit), source="test")
    return FormatFamily(name=name, members=(member,))


def oracle_group(group, family):
    """Released procedure, one weight at a time; levels must be exact in float16."""
    best = None
    largest = max(abs(w) for w in group)
    for index, member in enumerate(family.members):
        grid = [np.float16(v) for v in member.grid.tolist()]
        step = largest / max(abs(v) for v in grid)
        step = min(max(step, np.float16(1e-5)), np.float16(1e4))
        consecutive = all(b - a == 1 for a, b in itertools.pairwise(grid))
        levels = []
        for w in group:
            x = float(w / step)
            if consecutive:
                levels.append(np.float16(min(max(round(x), float(grid[0])), float(grid[-1]))))
            else:
                levels.append(min(grid, key=lambda v: (abs(float(v) - x), v)))
        errors = [(v * step - w) * (v * step - w) for v, w in zip(levels, group, strict=True)]
        mean = np.array(errors, dtype=np.float32).mean().astype(np.float16)
        if best is None or mean < best[0]:
            best = mean, index, [int(v) for v in levels], float(step)
    return best[1:]


@pytest.fixture(scope="module")
def golden():
    if not GOLDEN.is_file():
        pytest.skip("../shared/data/bitmod_quant_golden.npz is not there")
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


@pytest.mark.parametrize(
    ("family", "array", "choice"),
    [
        ("bitmod_fp3", "mixed_bitmod_3", "choice_3"),
        ("bitmod_fp4", "mixed_bitmod_4", "choice_4"),
        ("bitmod_fp3_ea_neg", "fp3_ea_neg_3", None),
        ("bitmod_fp4_er_pos", "fp4_er_pos_4", None),
        ("int4", "int_sym_4", None),
        ("int6", "int_sym_6", None),
        ("int8", "int_sym_8", None),
    ],
)
def test_equals_released_quantizer_bit_for_bit(golden, family, array, choice):
    quantized = quantize_matrix(golden["w_fp16"], get_family(family), group_size=128)
    found = quantized.dequantize(np.float16)
    assert found.dtype == np.float16
    # adding +0 makes the released code's -0 and 0 one value
    zero = np.float16(0)
    assert np.array_equal((found + zero).view(np.uint16), (golden[array] + zero).view(np.uint16))
    if choice is not None:
        assert np.array_equal(quantized.format_ids, golden[choice])


@pytest.mark.parametrize(
    ("family", "weights", "levels"),
    [
        ("bitmod_fp3_er_pos", [4, 0.5, 1.5, -0.5, -1.5, 2.5], [4, 0, 1, -1, -2, 2]),
        ("int4", [7, 0.5, 1.5, -0.5, -1.5, 2.5], [7, 0, 2, 0, -2, 2]),
    ],
)
def test_ties(family, weights, levels):
    """To the lower level; on consecutive integers to the even one."""
    quantized = quantize_matrix(np.array([weights], float), get_family(family), group_size=6)
    assert quantized.scales.tolist() == [[1.0]] and quantized.levels.tolist() == [levels]


@pytest.mark.parametrize("family", FAMILIES)
def test_equals_slow_oracle(family):
    family = get_family(family)
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((6, 23)) * [[1e-7], [1e-4], [0.02], [1], [40], [0]]
    weights[2, :5] = 0
    weights = weights.astype(np.float16)
    quantized = quantize_matrix(weights, family, group_size=10)
    for row in range(6):
        for group, (begin, end) in enumerate([(0, 10), (10, 20), (20, 23)]):
            index, levels, step = oracle_group(weights[row, begin:end], family)
            assert quantized.format_ids[row, group] == index
            assert quantized.levels[row, begin:end].tolist() == levels
            assert quantized.scales[row, group] * float(family.unit) == step


@repeatable
@given(
    family=st.sampled_from(FAMILIES),
    group_size=st.integers(1, 12),
    weights=hnp.arrays(
        np.float16,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.floats(-2, 2, width=16),
    ),
)
def test_chosen_level_is_a_nearest_one(family, group_size, weights):
    family = get_family(family)
    weights[np.abs(weights) < 1e-3] = 0
    if not weights.any():
        return
    quantized = quantize_matrix(weights, family, group_size=group_size)
    scales = quantized.expand(quantized.scales).astype(np.float64) * float(family.unit)
    ids = quantized.expand(quantized.format_ids)
    error = np.abs(quantized.levels * scales - weights)
    for index, member in enumerate(family.members):
        every = member.grid[:, None, None] * scales
        least = np.abs(every - weights).min(axis=0)
        # x = w / step is rounded to float16 before it is compared
        allowed = least + np.abs(weights) * 2.0**-10
        assert (error <= allowed)[ids == index].all()


@repeatable
@given(family=st.sampled_from(FAMILIES), columns=st.integers(1, 40), group_size=st.integers(1, 50))
def test_groups_are_independent(family, columns, group_size):
    """Each group, ragged or not, is quantized as if it stood alone, in any row block."""
    family = get_family(family)
    rng = np.random.default_rng(columns * 64 + group_size)
    weights = rng.standard_normal((3, columns)).astype(np.float16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "BLOCK_WEIGHTS", columns)
        whole = quantize_matrix(weights, family, group_size=group_size)
    assert whole.groups == -(-columns // group_size)
    for group in range(whole.groups):
        part = slice(group * group_size, (group + 1) * group_size)
        alone = quantize_matrix(weights[:, part], family, group_size=10_000)
        assert np.array_equal(alone.codes, whole.codes[:, part])
        assert np.array_equal(alone.scales[:, 0], whole.scales[:, group])
        assert np.array_equal(alone.format_ids[:, 0], whole.format_ids[:, group])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scale_format", ["float16", "uint8"])
def test_zero_weights(family, scale_format):
    weights = np.zeros((2, 10), dtype=np.float32)
    weights[1, :4] = 1
    quantized = quantize_matrix(
        weights, get_family(family), group_size=4, scale_format=scale_format
    )
    assert not quantized.levels[0].any() and not quantized.levels[1, 4:].any()
    assert np.array_equal(quantized.dequantize() != 0, weights != 0)


def test_families_without_zero_or_with_other_units():
    weights = np.random.default_rng(0).standard_normal((4, 32)).astype(np.float32)
    weights[0] = 0
    no_zero = quantize_matrix(weights, custom(2, (-3, -1, 1, 3)), group_size=16)
    assert set(np.unique(no_zero.levels)) <= {-3, -1, 1, 3}
    assert np.abs(no_zero.dequantize()[0]).max() < 1e-4
    # levels beyond float16 (an 8-bit float on a fine unit) and a unit of 1/127
    magnitudes = [(8 + m) << e for e in range(16) for m in range(8)]
    wide = custom(8, [-m for m in magnitudes[1:]] + magnitudes, unit=Fraction(1, 512))
    quantiles = (-127, -88, -67, -50, -36, -23, -12, 0, 10, 20, 31, 43, 56, 71, 92, 127)
    nf = custom(4, quantiles, unit=Fraction(1, 127))
    for family, bound in ((wide, 1e-3), (nf, 2e-2)):
        quantized = quantize_matrix(weights, family, group_size=16)
        assert quantization_error(weights, quantized)["relative"] < bound
        halves = quantized.dequantize(np.float16).astype(np.float32)
        assert np.allclose(halves, quantized.dequantize(), rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        (np.full((2, 2), np.nan, np.float32), {}, r"weights hold nan at \(0, 0\)"),
        (np.array([[1, np.inf]], np.float16), {}, r"weights hold inf at \(0, 1\)"),
        (np.array([[1, -7e4]], np.float32), {}, r"-70000.0 at \(0, 1\): .* up to 10000"),
        (np.array([[1e-9]]), {}, "all become 0 in float16"),
        (np.zeros((0, 4), np.float32), {}, "non-empty 2-D"),
        (np.zeros(4, np.float32), {}, r"not shape \(4,\)"),
        (np.ones((2, 2), np.int64), {}, "not int64"),
        (np.ones((2, 2)), {"group_size": 0}, "group_size .* at least 1, not 0"),
        (np.ones((2, 2)), {"group_size": True}, "group_size"),
        (np.ones((2, 2)), {"group_size": 1.5}, "group_size"),
        (np.ones((2, 2)), {"scale_format": "unit8"}, "did you mean 'uint8'"),
    ],
)
def test_bad_weights_are_refused(weights, options, message):
    with pytest.raises(InputError, match=message):
        quantize_matrix(weights, get_family("int4"), **{"group_size": 2, **options})


@repeatable
@given(
    bits=st.integers(2, 16),
    x=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=7),
        elements=st.floats(-1000, 1000, width=32),
    ),
)
def test_activations(bits, x):
    codes, scales = quantize_activations(x, bits=bits)
    limit = 2 ** (bits - 1) - 1
    assert codes.dtype == np.int64 and scales.dtype == np.float32 and (scales > 0).all()
    assert np.abs(codes).max() <= limit
    loud = np.abs(x).max(axis=1) > 1e-30
    assert (np.abs(codes[loud]).max(axis=1, initial=0) == limit).all()
    quiet = ~x.any(axis=1)
    assert (scales[quiet] == 1).all() and not codes[quiet].any()
    error = np.abs(codes * scales[:, None].astype(np.float64) - x)[loud]
    assert (error <= scales[loud, None] * (0.5 + limit * 2.0**-22)).all()


def test_activations_round_half_to_even():
    codes, scales = quantize_activations([[7.0, 0.5, 1.5, -2.5]], bits=4)
    assert scales.tolist() == [1.0] and codes.tolist() == [[7, 0, 2, -2]]


@pytest.mark.parametrize(
    ("x", "bits", "message"),
    [
        ([[1.0]], 1, "activation_bits .* not 1"),
        ([[1.0]], 8.0, "activation_bits"),
        ([1.0], 8, r"not shape \(1,\)"),
        (np.zeros((0, 3)), 8, "non-empty"),
        ([[np.nan]], 8, "finite"),
        ([[1e300]], 8, "finite float32"),
    ],
)
def test_bad_activations_are_refused(x, bits, message):
    with pytest.raises(InputError, match=message):
        quantize_activations(x, bits=bits)


def test_quantization_error():
    weights = np.array([[7.0, 3.25], [0, 0]])
    quantized = quantize_matrix(weights, get_family("int4"), group_size=2)
    error = quantization_error(weights, quantized)
    assert error["mse"] == pytest.approx(0.25**2 / 4)
    assert error["relative"] == pytest.approx(0.25**2 / (49 + 3.25**2))
    assert error["sqnr_db"] == pytest.approx(-10 * np.log10(error["relative"]))
    exact = quantization_error(quantized.dequantize(), quantized)
    assert exact == {"mse": 0.0, "relative": 0.0, "sqnr_db": float("inf")}
    nothing = quantization_error(np.zeros((2, 2)), quantized)
    assert nothing["relative"] == float("inf") and nothing["sqnr_db"] == float("-inf")
    with pytest.raises(InputError, match=r"shape \(1, 2\)"):
        quantization_error(weights[:1], quantized)
