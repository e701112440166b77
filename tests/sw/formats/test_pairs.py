"""Outlier-victim pairs against the published lists and a decoder written bit by bit."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.formats import NumberFormat, get_family
from sw.formats.packing import get_packing
from sw.formats.pairs import PairFormat, get_pair_format

NAMES = ["olive4", "olive4_flint"]
# OliVe (ISCA 2023) as released: magnitudes in units of the normal step, by code 1..7
OUTLIERS = {
    "olive4": [12, 16, 24, 32, 48, 64, 96],
    "olive4_flint": [24, 32, 48, 64, 96, 128, 192],
}
NORMALS = {"olive4": [*range(8)], "olive4_flint": [0, 1, 2, 3, 4, 6, 8, 16]}
# the release's own grids: int4 in steps of 4, flint4 in steps of 2
RELEASED = [48, 64, 96, 128, 192, 256, 384]


@pytest.mark.parametrize("name", NAMES)
def test_levels(name: str) -> None:
    pairs = get_pair_format(name)
    outliers = OUTLIERS[name]
    assert pairs.outlier_levels == (None, *outliers, None, *(-v for v in outliers))
    step = 4 if name == "olive4" else 2
    assert [step * level for level in outliers] == RELEASED
    positive = [level for level in pairs.all_levels if level >= 0]
    assert positive == NORMALS[name] + outliers
    assert pairs.all_levels == tuple(-level for level in reversed(pairs.all_levels))


def spelled(name: str, byte: int) -> tuple[int, int] | None:
    """Decode a byte from the bits of its nibbles."""

    def outlier(code: int) -> int | None:
        sign, exponent, mantissa = code >> 3, code >> 1 & 3, code & 1
        if exponent == mantissa == 0:
            return None
        bias = 2 if name == "olive4" else 3
        return (-1) ** sign * (2 + mantissa) * 2 ** (exponent + bias)

    def normal(code: int) -> int:
        if name == "olive4":
            return code - 16 * (code >> 3)
        return (-1) ** (code >> 3) * [0, 1, 2, 3, 16, 8, 4, 6][code & 7]

    left, right = byte & 15, byte >> 4
    if right == 8:
        kept = outlier(left)
        return None if kept is None else (kept, 0)
    if left == 8:
        kept = outlier(right)
        return None if kept is None else (0, kept)
    return normal(left), normal(right)


@pytest.mark.parametrize("name", NAMES)
def test_every_byte(name: str) -> None:
    table = get_pair_format(name).byte_table
    assert list(table) == [spelled(name, byte) for byte in range(256)]
    assert sum(pair is None for pair in table) == 3  # (1000, 1000), (0, 1000), (1000, 0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rule", ["left", "larger"])
def test_every_meaning_survives(name: str, rule: str) -> None:
    """Levels of a byte encode to levels of the same byte; packing agrees on what has a meaning."""
    pairs = get_pair_format(name, both_outliers=rule)
    for byte, levels in enumerate(pairs.byte_table):
        codes = np.array([[byte & 15, byte >> 4]])
        if levels is None:
            with pytest.raises(InputError, match=r"row 0, pair 0 is .* which has no meaning"):
                pairs.decode(codes)
            with pytest.raises(InputError, match="never beside 0000 or 1000"):
                get_packing("olive4").unpack(bytes([byte]), 2)
            continue
        assert pairs.decode(codes).tolist() == [list(levels)]
        again = pairs.encode([levels])
        assert pairs.decode(again).tolist() == [list(levels)]
        assert np.array_equal(again, codes)
        assert get_packing("olive4").pack(again)[0] == byte


@pytest.mark.parametrize("name", NAMES)
def test_encoding_by_hand(name: str) -> None:
    """Normal pair; outlier left; outlier right; both, with the right one larger."""
    first, last = OUTLIERS[name][0], OUTLIERS[name][-1]
    values = [[1, -2, first, 3, -1, -last, first, last, last + 1000, 0]]
    left = get_pair_format(name).encode(values)
    decode = get_pair_format(name).decode
    assert decode(left).tolist() == [[1, -2, first, 0, 0, -last, first, 0, last, 0]]
    assert left[0, 2:8].tolist() == [1, 8, 8, 15, 1, 8]
    larger = get_pair_format(name, both_outliers="larger").encode(values)
    assert decode(larger).tolist() == [[1, -2, first, 0, 0, -last, 0, last, last, 0]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rule", ["left", "larger"])
def test_equal_outliers_keep_the_left(name: str, rule: str) -> None:
    pairs = get_pair_format(name, both_outliers=rule)
    top = OUTLIERS[name][2]
    assert pairs.decode(pairs.encode([[-top, top]])).tolist() == [[-top, 0]]


@pytest.mark.parametrize("name", NAMES)
def test_ties_go_to_the_later_entry(name: str) -> None:
    """Also the tie between the largest normal level and the smallest outlier."""
    pairs = get_pair_format(name)
    grid = pairs.all_levels
    for below, above in itertools.pairwise(grid):
        middle = (below + above) / 2
        for value, expected in [
            (middle, above),
            (np.nextafter(middle, -np.inf), below),
            (np.nextafter(middle, np.inf), above),
        ]:
            assert pairs.decode(pairs.encode([[value, 0]]))[0, 0] == expected


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    rule=st.sampled_from(["left", "larger"]),
    columns=st.integers(1, 9),
    seed=st.integers(0, 1 << 32),
)
def test_nearest_level_or_victim(name: str, rule: str, columns: int, seed: int) -> None:
    pairs = get_pair_format(name, both_outliers=rule)
    values = np.random.default_rng(seed).normal(size=(3, columns)) * 12
    codes = pairs.encode(values)
    assert codes.shape == (3, columns + columns % 2) and codes.dtype == np.uint8
    levels = pairs.decode(codes, columns=columns)
    assert levels.shape == values.shape
    assert np.array_equal(pairs.encode(levels.astype(float)), codes)
    packed = get_packing("olive4").pack(codes)
    assert packed.size * 2 == codes.size
    assert np.array_equal(get_packing("olive4").unpack(packed, codes.shape), codes)
    grid = np.array(pairs.all_levels)
    limit = NORMALS[name][-1]
    distance = np.abs(grid - values[..., None]).min(axis=2)
    padded = np.pad(levels, ((0, 0), (0, columns % 2)))
    for n in range(3):
        for k in range(columns):
            if codes[n, k] == 8:
                assert levels[n, k] == 0 and abs(padded[n, k ^ 1]) > limit
            else:
                assert abs(levels[n, k] - values[n, k]) == distance[n, k]


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2),
    name=st.sampled_from(NAMES),
    rule=st.sampled_from(["left", "larger"]),
)
def test_identifier_only_beside_an_outlier(values: list[float], name: str, rule: str) -> None:
    codes = get_pair_format(name, both_outliers=rule).encode([values])[0].tolist()
    assert codes.count(8) <= 1
    if 8 in codes:
        assert codes[1 - codes.index(8)] not in (0, 8)


def test_normal_format_must_leave_the_identifier_free() -> None:
    """A format that uses 1000 (int4 with -8) could emit the identifier alone: refused."""
    with pytest.raises(InputError, match="'int4_full' must have 4 bits and leave code 1000"):
        PairFormat(name="bad", normal=get_family("int4_full").members[0], bias=2)
    with pytest.raises(InputError, match="'int6' must have 4 bits"):
        PairFormat(name="bad", normal=get_family("int6").members[0], bias=2)
    with pytest.raises(InputError, match="bias 1 puts outliers from 6 among normal levels up to 7"):
        PairFormat(name="bad", normal=get_family("int4").members[0], bias=1)
    levels = (*range(1, 9), None, *range(-7, 0))
    odd = NumberFormat(name="odd", bits=4, levels=levels, source="made up")
    with pytest.raises(InputError, match="'odd' has no level 0"):
        PairFormat(name="bad", normal=odd, bias=3)


def test_refusals() -> None:
    pairs = get_pair_format("olive4")
    for bad in ([], [1.0], np.zeros((1, 0)), [[np.nan]], [[np.inf]]):
        with pytest.raises(InputError, match="non-empty 2-D array of finite numbers"):
            pairs.encode(bad)
    for bad in ([[1]], [[1.0, 2.0]], [1, 2], np.zeros((0, 2), dtype=int)):
        with pytest.raises(InputError, match="non-empty integer array"):
            pairs.decode(bad)
    for code in (-1, 16):
        with pytest.raises(InputError, match=r"codes lie in 0\.\.15"):
            pairs.decode([[0, code]])
    with pytest.raises(InputError, match="4 codes in a row are not 2 values"):
        pairs.decode([[0, 0, 0, 0]], columns=2)
    with pytest.raises(InputError, match="unknown pair format 'oliv4': did you mean 'olive4'"):
        get_pair_format("oliv4")
    with pytest.raises(InputError, match="unknown rule for two outliers 'right'"):
        get_pair_format("olive4", both_outliers="right")
