"""Casts of every format against exact arithmetic; rules of NaN, inf and ties."""

import bisect
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from configs.errors import InputError
from sw.formats import NumberFormat, families, get_family

NAMES = sorted(
    member.name
    for family in families().values()
    for member in family.members
    if len(family.members) == 1 and member.bits <= 8
)
EXTRA = ["posit8_es5", "posit3_es7", "minifloat_e6m1", "minifloat_e1m0", "bitmod_fp3_ea_neg"]


def inputs(member: NumberFormat) -> list[float]:
    """Values, midpoints, the float64 beside each, and points beyond the range."""
    values = [level * member.unit for level in member.grid.tolist()]
    exact = [*values, *((a + b) / 2 for a, b in itertools.pairwise(values))]
    near = [float(value) for value in exact]
    beyond = [float(values[-1]) * 1.5 + 1, float(values[0]) * 1.5 - 1]
    near += [math.nextafter(x, direction) for x in near for direction in (math.inf, -math.inf)]
    return [*near, *beyond, 5e-324, -5e-324, 1e300, -1e300, 0.0, -0.0]


@pytest.mark.parametrize("name", [*NAMES, *EXTRA])
def test_casts_are_exact(name: str) -> None:
    """The nearest value, whatever float64 does in between; ties by the format's rule."""
    member = get_family(name).members[0]
    values = [level * member.unit for level in member.grid.tolist()]
    x = inputs(member)
    codes = member.cast(x)
    for wanted, code in zip(map(Fraction, x), codes.tolist(), strict=True):
        level = member.levels[code]
        assert level is not None and code == member.levels.index(level)
        found = level * member.unit
        place = bisect.bisect_left(values, wanted)
        around = values[max(0, place - 1) : place + 1]
        distance = min(abs(value - wanted) for value in around)
        nearest = [value for value in around if abs(value - wanted) == distance]
        assert found in nearest
        if len(nearest) == 2:
            low, high = nearest
            expected = {
                "lower": low,
                "away": high if wanted >= 0 else low,
                "zero": low if wanted >= 0 else high,
                "even": high if member.levels.index(high / member.unit) % 2 == 0 else low,
            }
            assert found == expected[member.ties]


@pytest.mark.parametrize("name", NAMES)
def test_nan_and_inf(name: str) -> None:
    member = get_family(name).members[0]
    top, bottom = member.decode(member.cast([np.inf, -np.inf]))
    assert (top, bottom) == (member.grid[-1], member.grid[0])
    if any(math.isnan(v) for v in member.specials.values()):
        assert math.isnan(member.values[member.cast(math.nan)])
    else:
        with pytest.raises(InputError, match=f"'{name}' has no code for NaN"):
            member.cast([[0.0, np.nan]])


def test_shapes() -> None:
    member = get_family("float8_e5m2").members[0]
    assert member.cast(1.0).shape == () and member.cast(np.zeros((0, 3))).shape == (0, 3)
    assert member.cast([[1.0, np.nan, -np.inf]]).tolist() == [[0x3C, 0x7E, 0xFB]]
    with np.errstate(all="raise"):
        assert member.cast(np.float32([[1e-30], [3e38]])).tolist() == [[0], [0x7B]]
