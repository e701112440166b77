"""Integer formats against ml_dtypes and plain arithmetic, every code."""

import ml_dtypes
import numpy as np
import pytest

from sw.formats import get_family

BITS = range(2, 9)


def table(name: str) -> tuple[int | None, ...]:
    member = get_family(name).members[0]
    assert member.unit == 1 and not member.specials
    return member.levels


@pytest.mark.parametrize("bits", BITS)
def test_levels(bits: int) -> None:
    codes = np.arange(1 << bits)
    half = 1 << (bits - 1)
    signed = ((codes ^ half) - half).tolist()
    assert list(table(f"int{bits}_full")) == signed
    assert list(table(f"int{bits}")) == [None if v == -half else v for v in signed]
    assert list(table(f"uint{bits}")) == codes.tolist()
    assert list(table(f"int{bits}_asym")) == (codes - half).tolist()


@pytest.mark.parametrize("name", ["int2_full", "int4_full", "uint2", "uint4"])
def test_storage_is_that_of_ml_dtypes(name: str) -> None:
    oracle = getattr(ml_dtypes, name.removesuffix("_full"))
    member = get_family(name).members[0]
    codes = np.arange(1 << member.bits, dtype=np.uint8)
    assert member.decode(codes).tolist() == codes.view(oracle).astype(int).tolist()


def test_recentred_codes_with_a_zero_point() -> None:
    """(q - z) * s of asymmetric quantization, with q and z both recentred."""
    member = get_family("int4_asym").members[0]
    codes = np.arange(16)
    for zero_point in (0, 5, 15):
        assert np.array_equal(member.decode(codes) - (zero_point - 8), codes - zero_point)


def test_lowest_bit_widths() -> None:
    assert table("int2_midrise") == (-3, -1, 1, 3)
    assert table("abq_int2") == (-2, -1, 0, 1, 2, None, None, None)
    assert table("ternary") == (-1, 0, 1, None)
    assert table("binary") == (-1, 1)
    assert get_family("ternary").members[0].padding_code == 1
    assert get_family("binary").members[0].padding_code == 0
    assert [get_family(n).bits for n in ("abq_int2", "ternary", "binary")] == [3, 2, 1]


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("name", ["int{}", "int{}_full", "uint{}", "int{}_asym"])
def test_casts_round_half_to_even_and_clamp(name: str, bits: int) -> None:
    member = get_family(name.format(bits)).members[0]
    wanted = np.arange(-300, 300.5, 0.25)
    expected = np.rint(wanted).clip(member.grid[0], member.grid[-1])
    assert np.array_equal(member.decode(member.cast(wanted)), expected)


def test_casts_of_the_lowest_bit_widths() -> None:
    x = np.linspace(-1.25, 1.25, 401)

    def levels(name: str, values: np.ndarray) -> np.ndarray:
        member = get_family(name).members[0]
        return member.decode(member.cast(values))

    # BitNet b1.58: clip(round(x), -1, 1)
    assert np.array_equal(levels("ternary", x * 2), np.rint(x * 2).clip(-1, 1))
    assert np.array_equal(levels("abq_int2", x * 3), np.rint(x * 3).clip(-2, 2))
    assert np.array_equal(levels("binary", x), np.where(x >= 0, 1, -1))
    # ParetoQ: values are (level / 4) of the clip value
    expected = (np.rint(np.clip(x, -0.99, 0.99) * 2 - 0.5) + 0.5) / 2
    assert np.array_equal(levels("int2_midrise", x * 4) / 4, expected)
