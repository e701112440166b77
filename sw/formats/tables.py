"""The tables. Adding a format means adding one entry here; everything else is derived."""

from fractions import Fraction
from functools import cache

from configs.errors import unknown_name

from .format import FormatFamily, NumberFormat

BITMOD = "BitMoD (HPCA 2025), Table IV"


def integer(bits: int) -> NumberFormat:
    """Two's complement without the most negative value (symmetric, restricted)."""
    half = 1 << (bits - 1)
    levels = [code if code < half else code - 2 * half for code in range(2 * half)]
    return NumberFormat(
        name=f"int{bits}",
        bits=bits,
        levels=tuple(None if level == -half else level for level in levels),
        source="symmetric restricted range, two's complement",
    )


def sign_magnitude(
    name: str, magnitudes: tuple[int, ...], *, unit: Fraction, minus_zero: int, source: str
) -> NumberFormat:
    """Sign bit on top of an index into ``magnitudes``; ``minus_zero`` is the level of code -0."""
    negative = [minus_zero if m == 0 else -m for m in magnitudes]
    return NumberFormat(
        name=name,
        bits=len(magnitudes).bit_length(),
        levels=magnitudes + tuple(negative),
        unit=unit,
        source=source,
    )


def bitmod(bits: int) -> FormatFamily:
    """FP3 or FP4 with code -0 replaced by one of four special values, chosen per group.

    FP4: 0.5 1 1.5 2 3 4 6 with +-5 or +-8; FP3: 1 2 4 with +-3 or +-6. Members in the order of the
    published search: extra resolution +, -, extra asymmetry +, -.
    """
    magnitudes = (0, 1, 2, 3, 4, 6, 8, 12) if bits == 4 else (0, 1, 2, 4)
    unit = Fraction(1, 2) if bits == 4 else Fraction(1)
    resolution, asymmetry = (10, 16) if bits == 4 else (3, 6)
    specials = {
        "er_pos": resolution,
        "er_neg": -resolution,
        "ea_pos": asymmetry,
        "ea_neg": -asymmetry,
    }
    return FormatFamily(
        name=f"bitmod_fp{bits}",
        members=tuple(
            sign_magnitude(
                f"bitmod_fp{bits}_{suffix}",
                magnitudes,
                unit=unit,
                minus_zero=special,
                source=BITMOD,
            )
            for suffix, special in specials.items()
        ),
    )


@cache
def families() -> dict[str, FormatFamily]:
    """Every family by name, a single format being the family of itself."""
    listed = [bitmod(4), bitmod(3)]
    listed += [FormatFamily(name=f"int{b}", members=(integer(b),)) for b in (4, 6, 8)]
    return {family.name: family for family in listed}


def get_family(name: str) -> FormatFamily:
    """The family called ``name``, or the family of the single format of that name."""
    known = families()
    if name in known:
        return known[name]
    members = {m.name: m for family in known.values() for m in family.members}
    if name in members:
        return FormatFamily(name=name, members=(members[name],))
    raise unknown_name("number format", name, [*known, *members])
