"""BitMoD with special values of one's own."""

from fractions import Fraction

import pytest

from configs.errors import InputError
from sw.formats import bitmod_custom, family_terms, get_family


def test_custom_values_take_the_place_of_minus_zero() -> None:
    family = bitmod_custom(4, (5, -5, 8, -8))
    published = get_family("bitmod_fp4")
    assert family.name == "bitmod_fp4_sv_pos5_neg5_pos8_neg8"
    assert [m.levels for m in family.members] == [m.levels for m in published.members]
    assert family.unit == published.unit == Fraction(1, 2)


def test_razer_is_bitmod_on_e2m1_codes() -> None:
    """RaZeR: a block of float4_e2m1fn whose code -0 stands for +-5 or +-8."""
    e2m1 = list(get_family("float4_e2m1fn").members[0].levels)
    for member, special in zip(get_family("bitmod_fp4").members, (5, -5, 8, -8), strict=True):
        assert list(member.levels) == [*e2m1[:8], 2 * special, *e2m1[9:]]


def test_finer_values_make_the_unit_finer() -> None:
    family = bitmod_custom(4, (Fraction(9, 4), -7))
    assert family.unit == Fraction(1, 4)
    assert [v * 0.25 for v in family.members[0].levels[:9]] == [0, 0.5, 1, 1.5, 2, 3, 4, 6, 2.25]
    assert family.members[1].levels[8] == -28
    assert bitmod_custom(3, (0.5,)).unit == Fraction(1, 2)
    assert set(family_terms(family).terms) == set(family.all_levels)


@pytest.mark.parametrize("values", [(3,), (6, -6), (2.5, -2.5, 12.0625), (-7,)])
@pytest.mark.parametrize("bits", [3, 4])
def test_names_resolve_to_the_same_family(bits: int, values: tuple[float, ...]) -> None:
    if bits == 4:
        values = tuple(v + 0.25 for v in values)
    family = bitmod_custom(bits, values)
    assert get_family(family.name) == family
    for member in family.members:
        assert get_family(member.name).members == (member,)
    with pytest.raises(InputError, match=f"unknown member of '{family.name}'.*: did you mean"):
        get_family(f"{family.name}_as_pos9")


@pytest.mark.parametrize(
    ("bits", "values", "message"),
    [
        (5, (1,), "BitMoD formats have 3 or 4 bits, not 5"),
        (4, (), r"'bitmod_fp4': give 1\.\.16 distinct special values"),
        (4, (5, 5), "distinct"),
        (4, (5, -3), "fp4 has the value -3 already"),
        (3, (0,), "fp3 has the value 0 already"),
        (4, (5.01,), "is not a multiple of 1/16 up to 64"),
        (4, (65,), "special value 65 is not a multiple of 1/16 up to 64"),
        (4, (float("nan"),), "special values must be finite numbers"),
        (4, (float("inf"),), "special values must be finite numbers"),
        (4, (None,), "special values must be finite numbers"),
    ],
)
def test_bad_special_values(bits: int, values: tuple[float, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bitmod_custom(bits, values)
