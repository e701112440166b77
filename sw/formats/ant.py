"""ANT's types and other powers of two: flint, PoT, APoT, DenseShift.

All are sign-magnitude: sign bit on top of a magnitude code; "minus 0" is not used (OliVe takes it
as the outlier identifier).
"""

from collections.abc import Callable
from functools import partial

from .format import FormatFamily, NumberFormat, sign_magnitude
from .integers import integer

ANT = "ANT (MICRO 2022)"


def flint_magnitudes(bits: int) -> list[int]:
    """Flint levels by code of ``bits`` magnitude bits: first-one coding of the exponent.

    Top bit 0: the code itself. Top bit 1: z leading zeros in the rest, then a one, then k bits x:
    (2**k + x) << (bits - 1 + z - k), and 2**(2 * bits - 2) for a rest of 0. The set of levels is
    that of the ANT release; the order of the upper codes is from secondary sources.
    """
    half = 1 << (bits - 1)
    levels = list(range(half))
    for rest in range(half):
        if rest == 0:
            levels.append(half * half)
            continue
        k = rest.bit_length() - 1
        zeros = bits - 2 - k
        levels.append(rest << (bits - 1 + zeros - k))
    return levels


def flint(bits: int) -> NumberFormat:
    """Signed flint: sign and ``bits - 1`` magnitude bits."""
    return sign_magnitude(
        f"flint{bits}s",
        flint_magnitudes(bits - 1),
        minus_zero=None,
        provisional=True,
        source=f"{ANT}; level set verified, order of the upper codes recalled",
    )


def flint_unsigned(bits: int) -> NumberFormat:
    """Unsigned flint: ``bits`` magnitude bits."""
    return NumberFormat(
        name=f"flint{bits}u",
        bits=bits,
        levels=tuple(flint_magnitudes(bits)),
        provisional=True,
        source=f"{ANT}; level set verified, order of the upper codes recalled",
    )


def pot(bits: int) -> NumberFormat:
    """Zero and +-2**0 .. +-2**(2**(bits - 1) - 2), magnitude codes in rising order."""
    powers = [1 << k for k in range((1 << (bits - 1)) - 1)]
    return sign_magnitude(f"pot{bits}", [0, *powers], minus_zero=None, source=f"{ANT}, PoT")


def apot4() -> NumberFormat:
    """Additive powers of two 0 1 2 3 4 6 8 10, magnitude codes in rising order."""
    return sign_magnitude(
        "apot4", (0, 1, 2, 3, 4, 6, 8, 10), minus_zero=None, source="APoT (arXiv:1909.13144)"
    )


def denseshift(bits: int) -> NumberFormat:
    """+-2**p without zero: sign bit on top of the shift p in ``bits - 1`` bits."""
    powers = [1 << p for p in range(1 << (bits - 1))]
    return NumberFormat(
        name=f"denseshift{bits}",
        bits=bits,
        levels=(*powers, *(-level for level in powers)),
        ties="away",
        provisional=True,
        source="DenseShift (arXiv:2208.09708); recalled, agrees with two re-implementations",
    )


def ant(bits: int) -> FormatFamily:
    """The better of integer and flint per group, as BitMoD's comparison uses ANT."""
    return FormatFamily(name=f"ant{bits}", members=(integer(bits), flint(bits)))


FORMATS: dict[str, Callable[[], NumberFormat]] = {
    **{f"flint{b}s": partial(flint, b) for b in (3, 4, 5, 8)},
    "flint4u": partial(flint_unsigned, 4),
    **{f"pot{b}": partial(pot, b) for b in (3, 4, 5)},
    "apot4": apot4,
    **{f"denseshift{b}": partial(denseshift, b) for b in (2, 3, 4)},
}
FAMILIES: dict[str, Callable[[], FormatFamily]] = {
    "ant4": partial(ant, 4),
    "ant3": partial(ant, 3),
}
