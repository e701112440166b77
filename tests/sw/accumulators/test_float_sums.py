"""Floating-point accumulators of integers, against the casts of numpy and ml_dtypes."""

import itertools
import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.accumulators.float_sums import float_sum_report
from sw.accumulators.float_types import float_type
from sw.accumulators.rounding import rounding_witness

repeatable = settings(deadline=None, derandomize=True, max_examples=300)
CASTS = {
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3": ml_dtypes.float8_e4m3,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "float8_e5m2": ml_dtypes.float8_e5m2,
    "float8_e3m4": ml_dtypes.float8_e3m4,
    "float6_e3m2fn": ml_dtypes.float6_e3m2fn,
}


def cast(values, name):
    """Integers in float64 as numbers of a type; what does not fit is inf or NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        held = values.astype(CASTS[name]).astype(np.float64)
    # the 6-bit casts of ml_dtypes saturate
    return np.where(np.abs(values) > 28, np.inf, held) if name == "float6_e3m2fn" else held


def accumulated(row, inputs, name):
    """Running sums of every input vector (M, K): rounded, and exact, both (K, M)."""
    kept, exact = np.zeros(len(inputs)), np.zeros(len(inputs))
    pairs = []
    for weight, x in zip(row, inputs.T, strict=True):
        with np.errstate(invalid="ignore"):
            kept = cast(kept + float(weight) * x, name)
        exact = exact + float(weight) * x
        pairs.append((kept, exact))
    return tuple(np.array(side) for side in zip(*pairs, strict=True))


def every_input(length, low, high):
    return np.array(list(itertools.product(range(low, high + 1), repeat=length)), dtype=np.float64)


def check(row, low, high, name):
    """What is reported of one row, against every input."""
    report = float_sum_report([row], (low, high), [name])
    sums = report.sums[name]
    inputs = every_input(len(row), low, high)
    kept, exact = accumulated(row, inputs, name)
    assert sums.exact[0] == np.array_equal(kept, exact), (row, low, high, name)
    assert report.reach[0] == np.abs(exact).max()
    products = np.abs(inputs * np.array(row, dtype=np.float64))
    assert report.magnitudes[0] == products.sum(axis=1).max()
    common = math.gcd(*(int(p) for p in products.flat))
    assert report.quanta[0] == common & -common
    assert sums.gamma_errors[0] is None or sums.errors[0] <= sums.gamma_errors[0]
    fits = np.isfinite(kept).all()
    assert fits or sums.may_overflow[0]
    if fits and not sums.may_overflow[0]:
        worst = np.abs(kept - exact).max()
        assert worst <= sums.errors[0]
        assert sums.gamma_errors[0] is None or worst <= sums.gamma_errors[0]
    found = rounding_witness(row, (low, high), name)
    assert (found is None) == sums.exact[0]
    if found is not None:
        assert found.min() >= low and found.max() <= high
        kept, exact = accumulated(row, found[None].astype(np.float64), name)
        assert not np.array_equal(kept, exact)
    return sums


@pytest.mark.parametrize("name", ["float8_e5m2", "float8_e4m3fn", "float8_e3m4", "float6_e3m2fn"])
@pytest.mark.parametrize("ends", [(0, 3), (-2, 1), (0, 0), (1, 3), (-3, -2), (3, 3)])
def test_every_small_row_is_exact_where_casts_are(name, ends):
    for row in itertools.product((-7, -4, -2, 0, 1, 3, 8), repeat=3):
        check(row, *ends, name)


@repeatable
@given(data=st.data())
def test_random_rows_are_exact_where_casts_are(data):
    name = data.draw(st.sampled_from([n for n in CASTS if n != "float8_e4m3fnuz"]))
    edge = 1 << float_type(name).significand_bits
    scale = data.draw(st.sampled_from([1, 2, 3, 8]))
    sizes = st.one_of(st.integers(0, 9), st.integers(edge // 9, edge // 2 + 9))
    row = data.draw(st.lists(st.builds(lambda s, n: s * n, sizes, st.sampled_from([1, -1, scale]))))
    row = row[:5] or [1]
    low = data.draw(st.integers(-4, 4))
    check(row, low, low + data.draw(st.integers(0, 4)), name)


@pytest.mark.parametrize(
    ("row", "ends", "exact"),
    [
        ([9, 9], (0, 1), True),  # 18 without a 9 is 9
        ([9, 7, 2], (0, 1), True),  # 18 without 2 is 16, the edge
        ([9, 6, 3], (0, 1), True),
        ([9, 8, 1], (0, 1), False),  # 17
        ([15, 2, 2, 1], (0, 1), False),
        ([16, -1], (-1, 1), False),
        ([40, 40, -45, 4], (1, 2), False),  # 168 - 45 after the third is no multiple of 8
        ([97, 95, 16, 16], (1, 2), False),
        ([32, -3], (1, 1), False),  # 29, though both products are numbers
        ([24, 4, 2], (1, 1), True),  # 24, 28, 30
        ([24, 4, 3], (1, 1), False),
        ([22, -29], (1, 2), True),
        ([22, -29, -2], (1, 2), False),  # -40 is a number, -38 is not; -29 less would be -11
        ([22, -29, -4], (1, 2), True),
    ],
)
def test_sums_near_the_edge_are_decided(row, ends, exact):
    """p = 4: numbers are odd up to 15, even up to 30, multiples of 4 up to 60."""
    assert check(row, *ends, "float8_e4m3fn").exact[0] == exact


@pytest.mark.parametrize("ends", [(1, 2), (2, 4), (-3, -2), (5, 5)])
def test_inputs_away_from_zero_near_the_edge(ends):
    """Every row of three from odd weights of the edge's size and even ones between."""
    found = {True: 0, False: 0}
    sizes = (-17, -12, -8, -2, 0, 4, 5, 8, 11, 16, 24, 64)
    for row in itertools.product(sizes, repeat=3):
        found[bool(check(row, *ends, "float8_e4m3fn").exact[0])] += 1
    assert min(found.values()) > 10


@pytest.mark.parametrize("name", CASTS)
def test_types_are_those_of_numpy_and_ml_dtypes(name):
    known = float_type(name)
    info = (np.finfo if name in ("float32", "float16") else ml_dtypes.finfo)(CASTS[name])
    assert known.largest == int(float(info.max))
    assert known.significand_bits == info.nmant + 1
    top = min(known.largest + 40, 5000)
    values = np.arange(-top, top + 1)
    kept = cast(values.astype(np.float64), name)
    assert [known.holds(int(v)) for v in values] == (kept == values).tolist()


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_adding_to_the_stagnation_sum_changes_nothing(name):
    """The smallest such sum, of all integers that the type holds."""
    known = float_type(name)
    for addend in range(1, 20):
        sums = np.arange(0, min(known.largest, 1 << 17))
        sums = sums[cast(sums.astype(np.float64), name) == sums]
        stuck = sums[cast((sums + addend).astype(np.float64), name) == sums]
        expected = known.stagnation(addend)
        assert not stuck.size if expected > sums[-1] else stuck[0] == expected
    assert [float_type(n).stagnation(1) for n in ("float16", "bfloat16")] == [2048, 256]


def test_any_order_is_exact_in_every_order():
    rng = np.random.default_rng(3)
    proved = 0
    for _ in range(300):
        row = rng.integers(-6, 7, 4)
        low = int(rng.integers(-3, 4))
        high = low + int(rng.integers(0, 3))
        name = ("float8_e5m2", "float8_e4m3fn")[rng.integers(2)]
        sums = float_sum_report([row], (low, high), [name]).sums[name]
        inputs = every_input(4, low, high)
        orders = [list(order) for order in itertools.permutations(range(4))]
        exact = all(np.array_equal(*accumulated(row[o], inputs[:, o], name)) for o in orders)
        assert exact or not sums.any_order[0]
        assert exact == sums.any_order[0] or not low <= 0 <= high
        proved += int(sums.any_order[0])
    assert 30 < proved < 270


def test_stagnation_and_overflow_of_long_sums():
    """3000 ones: fp16 stops at 2048, bf16 at 256, float8_e4m3fn at 16; float32 is exact."""
    types = ("float32", "float16", "bfloat16", "float8_e4m3fn")
    report = float_sum_report(np.ones((1, 3000), dtype=np.int8), (0, 1), types)
    ones = np.ones((1, 3000))
    stops = {"float32": 3000, "float16": 2048, "bfloat16": 256, "float8_e4m3fn": 16}
    for name, stop in stops.items():
        sums = report.sums[name]
        kept, _ = accumulated(np.ones(3000), ones, name)
        assert kept[-1, 0] == stop
        assert sums.exact[0] == (stop == 3000) != sums.may_stagnate[0]
        assert 3000 - stop <= sums.errors[0] <= 3000
    assert not report.sums["float16"].may_overflow[0]
    assert report.sums["float8_e4m3fn"].may_overflow[0]  # in another order or of other ones
    assert report.sums["float8_e4m3fn"].gamma_errors[0] is None
    assert report.sums["float16"].gamma_errors[0] is None  # 2999 additions at 2**-11
    assert report.sums["float32"].gamma_errors[0] == Fraction(2999, (1 << 24) - 2999) * 3000
    assert float_sum_report([[1] * 100], (0, 9), ["float16"]).sums["float16"].bit_exact


@pytest.mark.parametrize("bits", [24, 53])
def test_the_edge_of_wide_types(bits):
    """Sums up to 2**p are exact, 2**p + 1 is not: in int64 and in Python integers."""
    name = {24: "float32", 53: "float64"}[bits]
    for shift in (0, 20, 60):
        quantum = 1 << shift
        for extra, exact in ((0, True), (1, False)):
            row = [((1 << bits) - 1 + extra) * quantum, quantum]
            report = float_sum_report([row], (0, 1), [name])
            assert report.quanta[0] == quantum
            assert report.sums[name].bit_exact == exact
            assert report.sums[name].errors[0] == (0 if exact else quantum)


def test_errors_add_up_along_the_row():
    """Sums rounded up meet a coarser rounding than exact ones: 15 -> 16, 11, 14, 9 -> 12 for 8."""
    row = [15, -5, 3, -5]
    kept, exact = accumulated(row, np.ones((1, 4)), "float8_e5m2")
    assert (kept[-1, 0], exact[-1, 0]) == (12, 8)
    assert check(row, 1, 1, "float8_e5m2").errors[0] == 4


def test_channels_and_blocks_are_independent():
    rng = np.random.default_rng(8)
    weights = rng.integers(-127, 128, (30, 70)).astype(np.int8)
    weights[::3] //= 16
    weights[7] = 0
    whole = float_sum_report(weights, (-128, 127))
    assert whole.sums["float32"].bit_exact
    assert 0 < whole.sums["float16"].exact.sum() < 30
    for channel in range(30):
        alone = float_sum_report(weights[channel : channel + 1].tolist(), (-128, 127))
        assert alone.reach[0] == whole.reach[channel] == alone.any_reach[0]
        for name, sums in alone.sums.items():
            for part in ("exact", "any_order", "errors", "may_overflow", "may_stagnate"):
                assert getattr(sums, part)[0] == getattr(whole.sums[name], part)[channel]
            assert sums.gamma_errors[0] == whole.sums[name].gamma_errors[channel]
    assert whole.reach[7] == whole.quanta[7] == whole.sums["bfloat16"].errors[7] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": [[0.5]]}, "weights must hold integers only, not 0.5"),
        ({"input_range": (2, 1)}, "input range low 2 is above its high 1"),
        ({"types": []}, "needs at least one type"),
        ({"types": ["float31"]}, "unknown floating-point type 'float31': did you mean 'float32'"),
        ({"types": ["minifloat_e3m0"]}, "'minifloat_e3m0' has no mantissa bits"),
        ({"types": ["minifloat_e9m3"]}, "'minifloat_e9m3' has too many bits"),
        ({"types": ["float8_e8m0fnu"]}, "unknown floating-point type 'float8_e8m0fnu'"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(change, message):
    good = {"weights": [[1, 2]], "input_range": (0, 1), "types": ["float16"]}
    float_sum_report(**good)
    with pytest.raises(InputError, match=message):
        float_sum_report(**(good | change))
