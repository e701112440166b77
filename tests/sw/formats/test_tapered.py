"""Posit, HiFloat8, DyBit, AdaptivFloat and POST against independent decoders."""

import itertools
import math
from fractions import Fraction

import en_dtypes
import numpy as np
import pytest

from configs.errors import InputError
from sw.formats import NumberFormat, get_family
from sw.formats.tapered import post


def member(name: str) -> NumberFormat:
    return get_family(name).members[0]


def magnitudes(name: str) -> list[float]:
    """Non-negative values by code of a sign-magnitude format, the negative ones checked."""
    values = member(name).values
    half = len(values) // 2
    assert list(values[half + 1 :]) == [-v for v in values[1:half]]
    return list(values[:half])


def projective_posits(n: int, es: int) -> list[Fraction]:
    """Positive posits in rising order by the standard's insertion rule, from 1 and 1 bit up.

    Between two neighbours a longer posit adds: beyond the ends a factor 2**2**es; the geometric
    mean of two powers of two whose exponents are not neighbours; else the arithmetic mean.
    """
    posits = [Fraction(1)]
    useed = Fraction(2) ** (1 << es)
    for _ in range(n - 2):
        between = []
        for low, high in itertools.pairwise(posits):
            ratio = high / low
            if ratio > 2:
                root = Fraction(2) ** ((ratio.numerator.bit_length() - 1) // 2)
                between.append(low * root)
            else:
                between.append((low + high) / 2)
        inner = [x for pair in zip(posits, [*between, None], strict=True) for x in pair]
        posits = [posits[0] / useed, *inner[:-1], posits[-1] * useed]
    return posits


@pytest.mark.parametrize("n", range(3, 9))
@pytest.mark.parametrize("es", range(5))
def test_every_posit_code_by_the_insertion_rule(n: int, es: int) -> None:
    found = member(f"posit{n}_es{es}")
    positive = projective_posits(n, es)
    half = 1 << (n - 1)
    values = [None if v is None else v * found.unit for v in found.levels]
    assert values[0] == 0 and values[1:half] == positive
    assert found.specials.keys() == {half} and math.isnan(found.specials[half])
    # two's complement of the code negates
    assert values[half + 1 :] == [-v for v in reversed(positive)]


@pytest.mark.parametrize(("n", "es"), [(8, 0), *((n, 2) for n in range(3, 9))])
def test_every_posit_code_equals_softposit(n: int, es: int) -> None:
    softposit = pytest.importorskip("softposit", reason="softposit is not installed")
    for code, value in enumerate(member(f"posit{n}_es{es}").values):
        exact = softposit.posit8(bits=code) if es == 0 else softposit.posit_2(x=n, bits=code)
        assert exact.isNaR() if math.isnan(value) else float(exact) == value


def test_posit_casts_go_to_the_nearest_value() -> None:
    found = member("posit8_es0")
    assert found.decode(found.cast([64, 1e9, -1e9, 33, 49])).tolist() == [
        int(v / found.unit) for v in (64, 64, -64, 32, 64)
    ]
    # the posit standard never rounds to 0
    assert found.cast([2**-8, 2**-7 * 1.01]).tolist() == [0, 1]
    assert found.cast([np.nan]).tolist() == [0x80]


@pytest.mark.parametrize("name", ["posit2_es0", "posit9_es0", "posit8_es8"])
def test_impossible_posits(name: str) -> None:
    with pytest.raises(InputError, match=rf"'{name}': posits have 3\.\.8 bits and 0\.\.7 exponent"):
        get_family(name)


def test_every_hifloat8_code_equals_en_dtypes() -> None:
    expected = np.arange(256, dtype=np.uint8).view(en_dtypes.hifloat8).astype(np.float64)
    found = member("hifloat8")
    assert np.array_equal(found.values, expected, equal_nan=True)
    assert len(found.grid) == 253 and found.specials.keys() == {0x80, 0x6F, 0xEF}


def test_hifloat8_casts_equal_en_dtypes_after_clipping() -> None:
    found = member("hifloat8")
    finite = found.grid * float(found.unit)
    middles = (finite[1:] + finite[:-1]) / 2
    x = np.concatenate([finite, middles]).astype(np.float32)
    rng = np.random.default_rng(0)
    wide = rng.standard_normal(4000) * 2.0 ** rng.uniform(-26, 18, 4000)
    x = np.concatenate([x, np.nextafter(x, np.float32(np.inf)), np.nextafter(x, -x), wide])
    clipped = np.clip(x.astype(np.float32), -(2.0**15), 2.0**15)
    expected = clipped.astype(en_dtypes.hifloat8).view(np.uint8)
    assert np.array_equal(found.cast(clipped), expected)
    assert np.array_equal(found.cast(x.astype(np.float32)), expected)
    assert found.cast([np.inf, -np.inf, np.nan]).tolist() == [0x6E, 0xEE, 0x80]


def test_dybit_published_lists() -> None:
    assert magnitudes("dybit4s") == [0, 0.25, 0.5, 0.75, 1, 1.5, 2, 4]
    assert list(member("dybit4u").values) == [
        *(k / 8 for k in range(8)),
        *(1, 1.25, 1.5, 1.75, 2, 3, 4, 8),
    ]
    steps = [(64, 1 / 64), (32, 1 / 32), (16, 1 / 8), (8, 1 / 2), (4, 2)]
    expected: list[float] = []
    start = 0.0
    for count, step in steps:
        expected += [start + k * step for k in range(count)]
        start += count * step
    assert magnitudes("dybit8s") == [*expected, 16, 24, 32, 64]
    assert member("dybit8s").provisional and member("dybit8s").levels[128] is None


@pytest.mark.parametrize("bits", [4, 8])
def test_posit_flint_and_dybit_are_one_value_set(bits: int) -> None:
    """posit(es = 0), flint and DyBit have the same magnitudes, up to a power of two."""
    grids = [member(f"{name}").grid for name in (f"posit{bits}_es0", f"flint{bits}s")]
    grids.append(member(f"dybit{bits}s").grid)
    assert all(np.array_equal(grid, grids[0]) for grid in grids)
    assert np.array_equal(member("posit5_es0").grid, member("flint5s").grid)
    assert np.array_equal(member("dybit4u").grid, member("flint4u").grid)


def test_adaptivfloat() -> None:
    assert magnitudes("adaptivfloat4_e2") == [0, 1.5, 2, 3, 4, 6, 8, 12]
    assert magnitudes("adaptivfloat8_e3") == [
        0 if e == m == 0 else 2**e * (1 + m / 16) for e in range(8) for m in range(16)
    ]
    one, two = [1 + m / 8 for m in range(8)], [2 + m / 4 for m in range(8)]
    assert magnitudes("adaptivfloat5_e1") == [0, *one[1:], *two]
    for name in ("adaptivfloat4_e4", "adaptivfloat9_e3", "adaptivfloat8_e0"):
        with pytest.raises(InputError, match=f"'{name}': adaptivfloats have"):
            get_family(name)


@pytest.mark.parametrize("bits", [3, 4])
@pytest.mark.parametrize(
    ("root", "terms", "error"),
    [("3/2", 2, 0.061), ("23/16", 3, 0.0165), ("45/32", 4, -0.0057), ("181/128", 5, -0.0002)],
)
def test_post(bits: int, root: str, terms: int, error: float) -> None:
    found = post(bits, root=Fraction(root))
    exact = [math.sqrt(2) ** -k for k in range(2 ** (bits - 1) - 1)]
    half = 1 << (bits - 1)
    assert np.allclose(found.codebook_values[1:half], exact, rtol=1e-15)
    assert found.codebook_values[0] == 0 and found.codebook_values[half] is None
    ratios = [v / e for v, e in zip(found.values[1:half], exact, strict=True)]
    assert ratios[::2] == pytest.approx([1] * len(ratios[::2]), rel=1e-15)
    assert ratios[1::2] == pytest.approx([1 + error] * len(ratios[1::2]), abs=1e-3)
    assert max(int((3 * v) ^ v).bit_count() for v in found.grid.tolist() if v > 0) == terms
    assert member(f"post{bits}") == post(bits, root=Fraction(45, 32))
