"""Number formats against independent tables."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from configs.errors import InputError
from sw.formats import FormatFamily, NumberFormat, families, get_family

# BitMoD (HPCA 2025), Table IV
PUBLISHED = {
    "bitmod_fp3_er_pos": {0, 1, 2, 4, -1, -2, -4, 3},
    "bitmod_fp3_er_neg": {0, 1, 2, 4, -1, -2, -4, -3},
    "bitmod_fp3_ea_pos": {0, 1, 2, 4, -1, -2, -4, 6},
    "bitmod_fp3_ea_neg": {0, 1, 2, 4, -1, -2, -4, -6},
    "bitmod_fp4_er_pos": {0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.5, -1, -1.5, -2, -3, -4, -6, 5},
    "bitmod_fp4_er_neg": {0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.5, -1, -1.5, -2, -3, -4, -6, -5},
    "bitmod_fp4_ea_pos": {0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.5, -1, -1.5, -2, -3, -4, -6, 8},
    "bitmod_fp4_ea_neg": {0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.5, -1, -1.5, -2, -3, -4, -6, -8},
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_bitmod_values(name: str) -> None:
    member = get_family(name).members[0]
    assert {float(v * member.unit) for v in member.grid} == PUBLISHED[name]


@pytest.mark.parametrize("name", [n for n in PUBLISHED if "fp4" in n])
def test_bitmod_codes_are_e2m1_codes(name: str) -> None:
    """All codes but -0 decode as ml_dtypes' float4_e2m1fn does."""
    member = get_family(name).members[0]
    codes = np.array([c for c in range(16) if c != 8], dtype=np.uint8)
    oracle = codes.view(ml_dtypes.float4_e2m1fn).astype(float)
    assert np.array_equal(member.decode(codes) * float(member.unit), oracle)


@pytest.mark.parametrize("name", families())
def test_encode_inverts_decode(name: str) -> None:
    for member in get_family(name).members:
        codes = member.encode(member.grid)
        assert codes.dtype == (np.uint8 if member.bits <= 8 else np.uint16)
        assert np.array_equal(member.decode(codes), member.grid)
        padding = member.decode([member.padding_code])[0]
        assert padding == (0 if 0 in member.grid else member.levels[0])


@pytest.mark.parametrize("name", families())
def test_values_are_levels_times_unit(name: str) -> None:
    family = get_family(name)
    for member in family.members:
        used = [code for code, level in enumerate(member.levels) if level is not None]
        used = used[:: max(1, len(used) // 300)]
        values = member.values
        exact = [member.levels[code] * member.unit for code in used]
        assert [values[code] for code in used] == list(map(float, exact))
        assert member.max_magnitude == max(abs(int(v)) for v in member.grid)
        with pytest.raises(ValueError, match="read-only"):
            member.grid[0] = 1
    assert family.level_table.shape == (len(family.members), 1 << family.bits)


def test_bad_codes_and_levels_are_refused() -> None:
    member = get_family("int4").members[0]
    with pytest.raises(InputError, match=r"code 16 is outside 0\.\.15 of 'int4'"):
        member.decode([0, 16])
    with pytest.raises(InputError, match="code 8 has no level in 'int4'"):
        member.decode([8])
    for level in (-8, 8):
        with pytest.raises(InputError, match=f"level {level} does not exist in 'int4'"):
            member.encode([level])


def test_contradictory_tables_are_refused() -> None:
    with pytest.raises(InputError, match="has 3 levels, its 2-bit code needs 4"):
        NumberFormat(name="x", bits=2, levels=(0, 1, 2), source="test")
    fields = {"name": "x", "bits": 1, "source": "test"}
    with pytest.raises(InputError, match="format 'x' has no level at all"):
        NumberFormat(levels=(None, None), **fields)
    with pytest.raises(InputError, match="'x': code 1 is special and has a level"):
        NumberFormat(levels=(0, 1), specials={1: float("nan")}, **fields)
    with pytest.raises(InputError, match="'x': one code book value per code is needed"):
        NumberFormat(levels=(0, 1), codebook_values=(0.0,), **fields)
    narrow = NumberFormat(name="a", bits=1, levels=(0, 1), source="test")
    wide = NumberFormat(name="b", bits=2, levels=(0, 1, 2, 3), source="test")
    other = NumberFormat(name="c", bits=1, levels=(0, 1), unit=Fraction(1, 2), source="test")
    for partner in (wide, other):
        with pytest.raises(InputError, match="differ in code width or unit"):
            FormatFamily(name="f", members=(narrow, partner))
