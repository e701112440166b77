"""Weights taken whole: digits and exponents against levels, and as hardware packs them."""

from typing import get_args

import numpy as np
import pytest

from configs.errors import InputError
from sw.formats import FormatFamily, TermTable, float_layout, get_family, multiplier_terms
from sw.formats.digits import Encoding
from sw.formats.tables import families

WHOLE = [encoding for encoding in get_args(Encoding) if encoding != "bit"]
FAMILIES = [family for family in families().values() if family.bits <= 8] + [get_family("float16")]
CASES = [(family, encoding) for family in FAMILIES for encoding in WHOLE]
EVERY_CASE = pytest.mark.parametrize(
    ("family", "encoding"), CASES, ids=[f"{family.name}-{encoding}" for family, encoding in CASES]
)


def unpacked(bits: int, table: TermTable) -> int:
    """Value of a packed term, from the picture in the docstring of ``packed``."""
    digit, rest = bits % (1 << table.digit_bits), bits >> table.digit_bits
    if table.encoding == "signed":
        if digit >> table.digit_bits - 1:
            digit -= 1 << table.digit_bits
        return digit << rest
    return (digit << (rest >> 1)) * (-1 if rest & 1 else 1)


@EVERY_CASE
def test_digits_make_the_levels(family: FormatFamily, encoding: Encoding) -> None:
    table = multiplier_terms(family, encoding)
    assert table.encoding == encoding
    assert (table.slots, table.base_shifts, table.worst_escape) == (1, (0,), 0)
    assert set(table.terms) == set(family.all_levels)
    low, high = table.digit_range
    for level, (term,) in table.terms.items():
        assert term.digit * 2**term.exponent == term.value == level
        assert low <= term.digit <= high
        assert unpacked(table.packed(level, 0), table) == level
    assert table.packed(None, 0) == 0
    assert table.largest_term == family.max_magnitude


@EVERY_CASE
def test_digits_are_no_wider_than_they_must_be(family: FormatFamily, encoding: Encoding) -> None:
    table = multiplier_terms(family, encoding)
    odd_parts = []
    for level in filter(None, family.all_levels):
        odd = abs(level)
        while odd % 2 == 0:
            odd //= 2
        odd_parts.append(odd)
    least = max(odd_parts).bit_length()
    bits = max(abs(digit) for digit in table.digit_range).bit_length()
    assert bits == least or (bits == least + 1 and table.exponent_bits == 0)
    for (term,) in table.terms.values():
        # a smaller exponent would need a wider digit
        assert term.exponent == 0 or abs(2 * term.digit).bit_length() > bits


@pytest.mark.parametrize(
    ("name", "digit_bits", "exponent_bits"),
    [
        *[("int8", 8, 0), ("int4", 4, 0), ("ant4", 4, 2), ("olive4", 4, 3), ("bitmod_fp4", 4, 2)],
    ],
)
def test_widths_of_the_baselines(name: str, digit_bits: int, exponent_bits: int) -> None:
    table = multiplier_terms(get_family(name), "signed")
    assert (table.digit_bits, table.exponent_bits) == (digit_bits, exponent_bits)
    magnitudes = multiplier_terms(get_family(name), "magnitude")
    assert (magnitudes.digit_bits, magnitudes.exponent_bits) == (digit_bits - 1, exponent_bits)


def test_float16_weights_are_significand_and_place() -> None:
    codes = np.arange(1 << 16, dtype=np.uint16)
    values = codes.view(np.float16).astype(np.float64)
    finite = np.isfinite(values)
    parts = float_layout("float16").take_apart(codes[finite])
    levels = np.ldexp(values[finite], 24).astype(np.int64)
    digits, exponents = multiplier_terms(get_family("float16"), "magnitude").digits(levels)
    assert digits.shape == (1, finite.sum())
    assert np.array_equal(np.abs(digits[0]), parts.significand)
    assert np.array_equal(exponents[0], parts.place)
    assert np.array_equal(np.ldexp(digits[0].astype(float), exponents[0] - 24), values[finite])


def test_bfloat16_weights_are_too() -> None:
    member = get_family("bfloat16").members[0]
    table = multiplier_terms(get_family("bfloat16"), "magnitude")
    assert (table.digit_bits, table.exponent_bits) == (8, 8)
    parts = float_layout("bfloat16").take_apart(np.arange(1 << 16))
    for code, level in enumerate(member.levels):
        if level is not None:
            (term,) = table.terms[level]
            assert (abs(term.digit), term.exponent) == (parts.significand[code], parts.place[code])


def test_a_level_of_another_format_is_refused() -> None:
    with pytest.raises(InputError) as error:
        multiplier_terms(get_family("int4"), "signed").digits(np.array([3, 100]))
    assert str(error.value) == "level 100 has no terms in this table"
