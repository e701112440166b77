"""Groups: float32 arithmetic against a slow oracle, scale rules, idempotence, bad input."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.formats import FormatFamily, get_family
from sw.quantize.rounding import SHARES, fit_groups, nearest_codes, percentile_magnitudes

from .test_kernels import hard_groups

FAMILIES = (
    *("bitmod_fp4", "bitmod_fp3", "bitmod_fp4_er", "ant4", "int3", "int4", "int6", "int8"),
    *("flint4s", "pot4", "float4_e2m1fn", "float6_e3m2fn", "float8_e4m3fn", "ternary"),
)
#: grids that end alike on both sides, so that the largest magnitude is always kept
IDEMPOTENT = (*FAMILIES, "bitmod_fp3_ea", "bitmod_fp4_ea", "nf4", "int2_midrise", "denseshift3")
repeatable = settings(deadline=None, derandomize=True, max_examples=80)


def oracle(group, family, shares=(1.0,), weights=None):
    """The documented procedure for one group: format id, scale, and levels."""
    one = np.float32
    best = None
    unit = one(family.unit)
    for index, member in enumerate(family.members):
        ratio = max(abs(w) for w in group) / one(member.max_magnitude * family.unit)
        for share in shares:
            scale = one(np.float16(ratio * one(share)))
            step = scale * unit
            levels, squares = [], []
            for place, w in enumerate(group):
                x = Fraction(float(w / step)) if step else Fraction(0)
                near = sorted((abs(level - x), level) for level in map(int, member.grid))
                nearest = near[0][1]
                tied = [v for d, v in near if d == near[0][0]]
                run = all(b - a == 1 for a, b in zip(member.grid, member.grid[1:], strict=False))
                if run and len(family.members) == 1 and len(tied) == 2:
                    nearest = next(v for v in tied if v % 2 == 0)
                error = one(nearest) * step - w
                squares.append(error * error * (one(1) if weights is None else weights[place]))
                levels.append(nearest)
            total = np.array([squares], dtype=np.float32).sum(axis=1)[0]
            if best is None or total < best[0]:
                best = total, index, scale, levels
    return best[1:]


@settings(repeatable, max_examples=40)
@given(
    family=st.sampled_from(FAMILIES),
    rule=st.sampled_from(("absmax", "mse")),
    size=st.sampled_from((1, 3, 9)),
    weighted=st.booleans(),
    seed=st.integers(0, 1 << 32),
)
def test_equals_slow_oracle(family, rule, size, weighted, seed):
    family = get_family(family)
    groups = hard_groups(seed, 3, size)
    weights = np.random.default_rng(seed).random(size, dtype=np.float32) if weighted else None
    shares = SHARES[::12] if rule == "mse" else (1.0,)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sw.quantize.rounding.SHARES", shares)
        codes, ids, scales = fit_groups(groups, family, rule=rule, importance=weights)
    for row, group in enumerate(groups):
        index, scale, levels = oracle(group, family, shares, weights)
        assert ids[row] == index and scales[row] == scale
        assert family.members[index].decode(codes[row]).tolist() == levels


def values(family: FormatFamily, found) -> np.ndarray:
    """Dequantized groups, float32."""
    codes, ids, scales = found
    levels = family.level_table[ids[:, None], codes].astype(np.float32)
    return levels * np.float32(family.unit) * scales[:, None]


@repeatable
@given(
    family=st.sampled_from(IDEMPOTENT),
    rule=st.sampled_from(("absmax", "mse", "percentile")),
    size=st.integers(1, 40),
    exponent=st.integers(-12, 9),
    seed=st.integers(0, 1 << 32),
)
def test_quantizing_twice_changes_nothing(family, rule, size, exponent, seed):
    """In float32, with scales that are normal float16 numbers.

    A percentile clips on both sides, so both must end alike in every format.
    """
    family = get_family(family)
    alike = all(np.array_equal(m.grid, -m.grid[::-1]) for m in family.members)
    rule = "absmax" if rule == "percentile" and not alike else rule
    groups = np.random.default_rng(seed).standard_normal((6, size)) * 2.0**exponent
    found = fit_groups(groups, family, rule=rule, percentile=80)
    once = values(family, found)
    normal = found[2] >= 2.0**-14
    again = values(family, fit_groups(once, family, rule=rule, percentile=80))
    assert np.array_equal(once[normal], again[normal])


@pytest.mark.parametrize("family", ["int4_full", "bitmod_fp3_ea_pos"])
def test_a_grid_with_a_shorter_side_shrinks(family):
    """Why those are not idempotent: the largest weight lies where the grid ends early."""
    family = get_family(family)
    group = np.array([[8.0, 1, 3] if family.name == "int4_full" else [-6.0, 1, 3]])
    once = values(family, fit_groups(group, family))
    again = values(family, fit_groups(once, family))
    assert np.abs(again).max() < np.abs(once).max() < np.abs(group).max()


def test_float16_may_move_by_a_unit_in_the_last_place():
    """Why that arithmetic is not idempotent: 7 * step is rounded, and so is its seventh."""
    family = get_family("int4")
    unit = 2.0**-12
    steps = (np.arange(1024, 2048) * unit).astype(np.float16)
    largest = (np.float16(7) * steps)[:, None].astype(np.float32)
    _, _, scales = fit_groups(largest, family, arithmetic="float16")
    assert (scales != steps).any() and (np.abs(scales - steps) <= unit).all()


@repeatable
@given(
    family=st.sampled_from(FAMILIES),
    size=st.integers(1, 200),
    seed=st.integers(0, 1 << 32),
    weighted=st.booleans(),
)
def test_mse_is_never_worse_than_absmax(family, size, seed, weighted):
    family = get_family(family)
    rng = np.random.default_rng(seed)
    groups = rng.standard_t(3, (5, size)) * 0.02
    weights = rng.random((5, size), dtype=np.float32) if weighted else None
    errors = []
    for rule in ("mse", "absmax"):
        found = fit_groups(groups, family, rule=rule, importance=weights)
        squares = (values(family, found) - groups) ** 2
        errors.append((squares if weights is None else squares * weights).sum(axis=1))
    assert (errors[0] <= errors[1] * (1 + 1e-5)).all()


def test_mse_clips_long_tails():
    groups = np.random.default_rng(0).standard_t(3, (50, 128))
    family = get_family("int3")
    tail = fit_groups(groups, family, rule="mse")[2] / fit_groups(groups, family)[2]
    assert tail.max() <= 1 and tail.mean() < 0.7
    assert SHARES[0] == 1 and list(SHARES) == sorted(SHARES, reverse=True)


@repeatable
@given(
    size=st.integers(1, 60),
    percentile=st.sampled_from((50, 66.6, 90, 99, 99.9, 100)),
    seed=st.integers(0, 1 << 32),
)
def test_percentile_is_the_stated_order_statistic(size, percentile, seed):
    groups = hard_groups(seed, 8, size)
    found = percentile_magnitudes(groups, percentile)
    for group, magnitude in zip(np.abs(groups), found, strict=True):
        enough = [
            m for m in group if (group <= m).sum() * 100 >= Fraction(str(float(percentile))) * size
        ]
        assert magnitude == (min(enough) if min(enough) > 0 else group.max())


def test_percentile_clips_the_rest():
    group = np.array([[1.0] * 98 + [7, 700]])
    codes, _, scales = fit_groups(group, get_family("int4"), rule="percentile", percentile=99)
    assert scales.tolist() == [1] and codes[0, -2:].tolist() == [7, 7]
    assert fit_groups(group, get_family("int4"), rule="percentile", percentile=100)[2] == [100]
    sparse = np.array([[0.0] * 99 + [7]])
    assert fit_groups(sparse, get_family("int4"), rule="percentile", percentile=90)[2] == [1]


@pytest.mark.parametrize("arithmetic", ["float32", "float16"])
@pytest.mark.parametrize("family", [*FAMILIES, "binary", "int2_midrise"])
def test_zero_constant_and_tiny_groups(family, arithmetic):
    family = get_family(family)
    groups = np.zeros((5, 6))
    groups[1], groups[2] = 3, -3
    groups[3], groups[4] = 2.0**-24, 2.0**-40
    found = fit_groups(groups, family, arithmetic=arithmetic)
    back = values(family, found)
    if arithmetic == "float32":
        assert not back[[0, 4]].any() and not found[2][[0, 4]].any()
    else:  # the least step
        least = 1.01e-5 * family.max_magnitude if 0 not in family.all_levels else 1.01e-5
        assert np.abs(back[[0, 3, 4]]).max() <= least
    # a step is within half a unit in the last place of a float16
    longer = 2**-11 if 0 in family.members[0].levels else 1
    assert np.abs(back[1] - 3).max() <= 3 * 2 * longer
    assert np.abs(back[2]).max() <= 3 * (1 + 2**-10)
    assert np.isfinite(back).all()


def test_nearest_codes():
    family = get_family("bitmod_fp3")
    found = nearest_codes([[2.9, -9, 0.2], [2.9, -9, 0.2]], family, [0, 2], [1, 0.5])
    assert family.members[0].decode(found[0]).tolist() == [3, -4, 0]
    assert family.members[2].decode(found[1]).tolist() == [6, -4, 0]
    assert found.dtype == np.uint8
    zero = nearest_codes([[5.0, -5.0]], family, [0], [0])
    assert not family.members[0].decode(zero).any()
    even = nearest_codes([[0.5, 1.5, -0.5, -1.5]], get_family("int4"), [0], [1])
    assert even.tolist() == [[0, 2, 0, 14]]
    assert nearest_codes(np.zeros((0, 3)), family, np.zeros(0, np.uint8), []).shape == (0, 3)


@repeatable
@given(family=st.sampled_from(FAMILIES), seed=st.integers(0, 1 << 32))
def test_fitted_codes_are_the_nearest_codes(family, seed):
    family = get_family(family)
    groups = hard_groups(seed, 20, 33)
    codes, ids, scales = fit_groups(groups, family)
    assert np.array_equal(nearest_codes(groups, family, ids, scales), codes)


@pytest.mark.parametrize(
    ("groups", "options", "message"),
    [
        ([[np.nan]], {}, r"groups hold nan at \(0, 0\)"),
        ([[1, np.inf]], {}, r"groups hold inf at \(0, 1\)"),
        ([[1e40]], {}, r"groups hold inf at \(0, 0\)"),
        ([[1e6]], {}, "float32 takes up to 458528"),
        ([[20000]], {"arithmetic": "float16"}, "float16 takes up to 10000"),
        ([1.0], {}, "2-D"),
        (np.zeros((3, 0)), {}, "not empty"),
        ([["a"]], {}, "must be real numbers"),
        ([[1.0]], {"rule": "mean"}, "scale rule 'mean'"),
        ([[1.0]], {"arithmetic": "float8"}, "arithmetic 'float8': did you mean"),
        ([[1.0]], {"rule": "percentile", "percentile": 0}, "percentile is 0"),
        ([[1.0]], {"percentile": float("nan")}, "percentile is nan"),
        ([[1.0]], {"importance": [1, 2]}, r"importance must have shape \(1,\), not \(2,\)"),
        ([[1.0]], {"importance": [-1]}, "not negative"),
        ([[1.0]], {"importance": [[np.nan]]}, "finite"),
    ],
)
def test_bad_groups_are_refused(groups, options, message):
    with pytest.raises(InputError, match=message):
        fit_groups(groups, get_family("int4"), **options)


@pytest.mark.parametrize(
    ("family", "arithmetic", "message"),
    [
        ("float16", "float32", "16-bit codes"),
        ("posit8_es2", "float16", "beyond the float16"),
        ("float8_e8m0fnu", "float32", "beyond the float32"),
    ],
)
def test_formats_out_of_range_are_refused(family, arithmetic, message):
    with pytest.raises(InputError, match=message):
        fit_groups([[1.0]], get_family(family), arithmetic=arithmetic)


@pytest.mark.parametrize(
    ("values", "ids", "scales", "message"),
    [
        ([[np.nan]], [0], [1], "values hold nan"),
        ([[1.0]], [4], [1], "from 0 to 3"),
        ([[1.0]], [-1], [1], "from 0 to 3"),
        ([[1.0]], [0.0], [1], "whole numbers"),
        ([[1.0]], [0, 1], [1], "do not go together"),
        ([[1.0]], [0], [-1], "scales must be finite"),
        ([[1.0]], [0], [np.inf], "scales must be finite"),
    ],
)
def test_bad_values_are_refused(values, ids, scales, message):
    with pytest.raises(InputError, match=message):
        nearest_codes(values, get_family("bitmod_fp4"), ids, scales)
