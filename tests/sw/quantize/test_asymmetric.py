"""Zero points against a slow oracle, exact cases, ranges, ragged groups and bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.formats import get_family
from sw.quantize import quantization_error, quantize_matrix
from sw.quantize.asymmetric import asymmetric_bits, quantize_asymmetric

from .test_kernels import hard_groups

repeatable = settings(deadline=None, derandomize=True, max_examples=80)
KINDS = {"float16": np.float16, "float32": np.float32}


def oracle(group, bits, arithmetic):
    """q, z and scale of one group, a weight at a time, numpy scalars rounding each operation."""
    kind = KINDS[arithmetic]
    group = [kind(w) for w in group]
    top = kind((1 << bits) - 1)
    low, high = min([*group, kind(0)]), max([*group, kind(0)])
    scale = (high - low) / top
    if arithmetic == "float16":
        scale = min(max(scale, np.float16(1e-5)), np.float16(1e4))
    else:
        scale = kind(np.float16(scale))
    if scale == 0:
        return [0] * len(group), 0, 0.0
    zero = min(max(np.rint(-low / scale), kind(0)), top)
    codes = [min(max(np.rint(w / scale) + zero, kind(0)), top) for w in group]
    return [int(q) for q in codes], int(zero), float(scale)


@repeatable
@given(
    bits=st.integers(2, 8),
    arithmetic=st.sampled_from(tuple(KINDS)),
    columns=st.integers(1, 30),
    size=st.integers(1, 12),
    shift=st.sampled_from((0, 0.5, -2)),
    seed=st.integers(0, 1 << 32),
)
def test_equals_slow_oracle(bits, arithmetic, columns, size, shift, seed):
    """Ragged groups, one-sided ones, zeros, equal values, denormals."""
    weights = hard_groups(seed, 4, columns) / 8
    weights = np.where(weights != 0, weights * (1 + shift * np.sign(weights)), 0)
    weights = np.vstack([weights, np.ones((1, columns))]).astype(np.float16).astype(np.float32)
    matrix = quantize_asymmetric(weights, bits=bits, group_size=size, arithmetic=arithmetic)
    half = 1 << (bits - 1)
    assert matrix.family.name == f"int{bits}_full" and matrix.zero_points is not None
    for row, line in enumerate(weights):
        for group in range(matrix.groups):
            part = slice(group * size, (group + 1) * size)
            codes, zero, scale = oracle(line[part], bits, arithmetic)
            assert matrix.levels[row, part].tolist() == [q - half for q in codes]
            assert matrix.zero_points[row, group] == zero - half
            assert matrix.scales[row, group] == np.float32(scale)


@pytest.mark.parametrize("arithmetic", KINDS)
@pytest.mark.parametrize("bits", range(2, 9))
def test_exact_ranges(bits, arithmetic):
    """Whole numbers from -z to 2**bits - 1 - z are kept; zero always is."""
    top = (1 << bits) - 1
    for zero in (0, 1, top // 2, top):
        weights = (np.arange(top + 1) - zero)[None].astype(np.float32)
        matrix = quantize_asymmetric(
            weights, bits=bits, group_size="channel", arithmetic=arithmetic
        )
        assert np.array_equal(matrix.dequantize(), weights)
        assert matrix.zero_points[0, 0] == zero - (1 << (bits - 1))


@pytest.mark.parametrize("arithmetic", KINDS)
def test_zero_constant_and_one_sided_groups(arithmetic):
    weights = np.zeros((5, 8), dtype=np.float32)
    weights[1], weights[2] = 3, -3
    weights[3] = np.linspace(5, 6, 8)
    weights[4, 3] = 1e-6
    matrix = quantize_asymmetric(weights, bits=4, group_size=8, arithmetic=arithmetic)
    back = matrix.dequantize(np.float64)
    assert not back[0].any()
    assert np.abs(back[1:3] - weights[1:3]).max() < 3 * 2**-10
    # the range holds 0, so that 5 to 6 has 15 steps from 0
    assert np.abs(back[3] - weights[3]).max() <= 0.2 * 1.01
    assert np.abs(back[4]).max() < 1e-4


@repeatable
@given(
    bits=st.integers(2, 8),
    columns=st.integers(1, 40),
    exponent=st.integers(-10, 8),
    seed=st.integers(0, 1 << 32),
)
def test_error_and_second_pass(bits, columns, exponent, seed):
    """Less than a step, clipped ends included, where the scale is a normal float16. A second pass
    keeps the values or starts from a range that rounding made shorter."""
    weights = np.random.default_rng(seed).standard_normal((5, columns)) * 2.0**exponent
    options = {"bits": bits, "group_size": columns, "arithmetic": "float32"}
    matrix = quantize_asymmetric(weights, **options)
    back = matrix.dequantize(np.float32)
    step = matrix.scales.astype(np.float64)
    slack = 1 + 2.0 ** (bits - 10)
    normal = step[:, 0] >= 2.0**-14
    assert (np.abs(back - weights) <= step * slack)[normal].all()
    again = quantize_asymmetric(back, **options).dequantize(np.float32)
    top = (1 << bits) - 1
    span = back.max(axis=1, initial=0) - back.min(axis=1, initial=0)
    full = np.isclose(span, top * step[:, 0], rtol=1e-6) & normal
    assert np.array_equal(again[full], back[full])


def test_rules_and_blocks():
    rng = np.random.default_rng(0)
    weights = rng.standard_t(3, (12, 96)) + 0.5
    found = {}
    for rule in ("absmax", "mse", "percentile"):
        matrix = quantize_asymmetric(
            weights, bits=3, group_size=32, group_rows=5, scale_rule=rule, percentile=98
        )
        assert (matrix.zero_points[:5] == matrix.zero_points[0]).all() and matrix.group_rows == 5
        found[rule] = quantization_error(weights, matrix)["mse"]
    assert found["mse"] < found["absmax"] and found["percentile"] < found["absmax"]
    importance = np.arange(96.0) ** 3
    plain, weighted = (
        quantize_asymmetric(weights, bits=3, group_size=32, scale_rule="mse", importance=some)
        for some in (None, importance)
    )
    errors = [((m.dequantize() - weights) ** 2 @ importance).sum() for m in (plain, weighted)]
    assert errors[1] < errors[0]


def test_asymmetric_weights_gain_from_zero_points():
    weights = np.random.default_rng(1).exponential(size=(8, 128))
    symmetric = quantize_matrix(weights, get_family("int4"), group_size=64)
    matrix = quantize_asymmetric(weights, bits=4, group_size=64, scale_format="uint8")
    assert matrix.scale_format == "uint8"
    errors = [quantization_error(weights, m)["mse"] for m in (matrix, symmetric)]
    assert errors[0] < 0.4 * errors[1]
    assert matrix.bits_per_weight == pytest.approx(4 + (8 + 8) / 64 + 32 / 128)


def test_names():
    assert [asymmetric_bits(f"int{b}_asym") for b in range(1, 10)] == [
        *(None, 2, 3, 4, 5, 6, 7, 8, None)
    ]
    assert asymmetric_bits("int4") is None and asymmetric_bits("int4_asymm") is None


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        (np.ones((2, 2)), {"bits": 1}, "bits must be a whole number from 2 to 8, not 1"),
        (np.ones((2, 2)), {"bits": True}, "bits must be"),
        (np.full((2, 2), np.nan), {}, r"weights hold nan at \(0, 0\)"),
        (np.array([[1.0, 2e4]]), {}, "float16 quantization takes magnitudes up to 10000"),
        (np.array([[1.0, 1e6]]), {"arithmetic": "float32"}, "float32 quantization takes"),
        (np.array([[1e-9]]), {}, "all become 0 in float16"),
        (np.array([[1e-9]]), {"arithmetic": "float32"}, "all become 0 in float16"),
    ],
)
def test_bad_weights_are_refused(weights, options, message):
    with pytest.raises(InputError, match=message):
        quantize_asymmetric(weights, **{"bits": 4, "group_size": 2, **options})
