"""flint, PoT, APoT and DenseShift against the published value sets."""

import pytest

from sw.formats import family_terms, get_family

# ANT release, executed; signed n-bit formats have n - 1 magnitude bits
FLINT = {
    2: [0, 1, 2, 4],
    3: [0, 1, 2, 3, 4, 6, 8, 16],
    4: [*range(9), 10, 12, 14, 16, 24, 32, 64],
}
# order of the codes, from the survey's decoder
FLINT_CODES = {
    2: [0, 1, 4, 2],
    3: [0, 1, 2, 3, 16, 8, 4, 6],
    4: [*range(8), 64, 32, 16, 24, 8, 10, 12, 14],
}


def levels(name: str) -> list[int | None]:
    return list(get_family(name).members[0].levels)


def survey_flint(code: int, bits: int) -> int:
    """The other published decoder: 2**(p - 1) * (1 + mantissa / 2**w), w bits below the top."""
    if code == 0:
        return 0
    w = bits - 1
    low = code & ((1 << w) - 1)
    z = w - low.bit_length()
    p = w + 1 + z if code >> w else w - z
    mantissa = low << (z + 1) & ((1 << w) - 1)
    value, rest = divmod((1 << (p - 1)) * ((1 << w) + mantissa), 1 << w)
    assert rest == 0
    return value


@pytest.mark.parametrize("bits", [2, 3, 4, 7])
def test_signed_flint(bits: int) -> None:
    found = levels(f"flint{bits + 1}s")
    magnitudes = [survey_flint(code, bits) for code in range(1 << bits)]
    assert found == [*magnitudes, None, *(-v for v in magnitudes[1:])]
    if bits in FLINT:
        assert magnitudes == FLINT_CODES[bits] and sorted(magnitudes) == FLINT[bits]


def test_unsigned_flint() -> None:
    assert levels("flint4u") == FLINT_CODES[4]


@pytest.mark.parametrize("bits", [3, 4, 5])
def test_powers_of_two(bits: int) -> None:
    magnitudes = [0, *(2**k for k in range(2 ** (bits - 1) - 1))]
    assert levels(f"pot{bits}") == [*magnitudes, None, *(-v for v in magnitudes[1:])]


def test_three_names_for_three_bits() -> None:
    assert levels("pot3")[:4] == [0, 1, 2, 4] == levels("minifloat_e2m0")[:4]
    assert sorted(levels("flint3s")[:4]) == [0, 1, 2, 4]


def test_apot() -> None:
    magnitudes = [0, 1, 2, 3, 4, 6, 8, 10]
    assert levels("apot4") == [*magnitudes, None, *(-v for v in magnitudes[1:])]


@pytest.mark.parametrize(("bits", "magnitudes"), [(2, [1, 2]), (3, [1, 2, 4, 8])])
def test_denseshift(bits: int, magnitudes: list[int]) -> None:
    assert levels(f"denseshift{bits}") == [*magnitudes, *(-v for v in magnitudes)]
    assert levels("denseshift4")[:8] == [1, 2, 4, 8, 16, 32, 64, 128]
    member = get_family(f"denseshift{bits}").members[0]
    assert member.decode(member.cast([0.0, -0.1, 1.5, -1.5])).tolist() == [1, -1, 2, -2]


def test_ant_families() -> None:
    four, three = get_family("ant4"), get_family("ant3")
    assert [m.name for m in four.members] == ["int4", "flint4s"]
    assert [m.name for m in three.members] == ["int3", "flint3s"]
    assert (four.bits, four.id_bits, four.unit) == (4, 1, 1)
    # searched for the union, so that groups of either type take the same slots
    assert set(family_terms(four).terms) == set(four.all_levels) == {*range(-8, 9), 16, -16}
    assert (family_terms(four).slots, family_terms(three).slots) == (2, 2)
