"""Small floating-point formats: one decoder of (exponent bits, mantissa bits, bias, specials).

Bits are sign, exponent E, mantissa M, from the top. E = 0 stands for ``M * 2**(1 - bias - m)``,
any other E for ``(1 + M / 2**m) * 2**(E - bias)``; level 1 is the smallest subnormal.

Casts round to nearest, ties to the even code (away from zero in float8_e8m0fnu), and saturate:
overflow and inf give the largest finite value, also in formats that have an inf, and NaN gives the
positive quiet NaN, or an error where a format has none. ml_dtypes differs: its casts overflow to
inf or NaN in the 8-bit formats, and turn NaN into -0 in the formats without one.
"""

import math
import re
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Literal

from configs.errors import InputError

from .format import NumberFormat

#: which codes are not numbers: none; E all ones is inf (M = 0) or NaN; only S.1..1.1..1 is NaN;
#: only S.0..0.0..0 with S = 1 is NaN (no -0)
Specials = Literal["none", "ieee", "fn", "fnuz"]

PATTERN = re.compile(r"minifloat_e(0|[1-9][0-9]{0,3})m(0|[1-9][0-9]{0,3})")
PATTERN_NAME = "minifloat_e{e}m{m}"
MAX_BITS, MAX_EXPONENT_BITS = 16, 8


def _special_codes(e: int, m: int, specials: Specials) -> dict[int, float]:
    """Codes without a level, the positive quiet NaN first."""
    sign = 1 << (e + m)
    if specials == "fnuz":
        return {sign: math.nan}
    if specials == "fn":
        return {sign - 1: math.nan, 2 * sign - 1: math.nan}
    if specials == "none":
        return {}
    top = sign - (1 << m)
    quiet = top | (1 << m >> 1)
    nans = dict.fromkeys([quiet, *range(top + 1, sign)], math.nan)
    codes = {**nans, top: math.inf}
    return codes | {code + sign: -value for code, value in codes.items()}


def minifloat(
    name: str,
    e: int,
    m: int,
    *,
    bias: int | None = None,
    specials: Specials = "none",
    source: str = "sign, exponent, mantissa; subnormals; every code finite",
) -> NumberFormat:
    """ExMy with a sign bit.

    Parameters
    ----------
    e, m : exponent bits (at least 1) and mantissa bits.
    bias : exponent bias; by default 2**(e - 1) - 1, but at least 1, so that E1My is the fixed
        point number M / 2**m (as float4_e1m2 of en_dtypes).
    specials : which codes are inf or NaN.

    Raises
    ------
    InputError : more than 16 bits, or no or more than 8 exponent bits.
    """
    if not (1 <= e <= MAX_EXPONENT_BITS and 1 + e + m <= MAX_BITS):
        raise InputError(
            f"format '{name}': minifloats have 1..{MAX_EXPONENT_BITS} exponent bits and "
            f"{MAX_BITS} bits in all, not {e} and {1 + e + m}"
        )
    bias = max(1, (1 << (e - 1)) - 1) if bias is None else bias
    codes = _special_codes(e, m, specials)
    fraction = (1 << m) - 1
    magnitudes = [
        code if code <= fraction else (fraction + 1 | code & fraction) << (code >> m) - 1
        for code in range(1 << (e + m))
    ]
    signed = magnitudes + [-level for level in magnitudes]
    return NumberFormat(
        name=name,
        bits=1 + e + m,
        levels=tuple(None if code in codes else level for code, level in enumerate(signed)),
        unit=Fraction(2) ** (1 - bias - m),
        specials=codes,
        ties="even",
        source=source,
    )


def float8_e8m0fnu() -> NumberFormat:
    """Powers of two 2**-127..2**127 without sign, zero or inf: a scale format, code 255 is NaN.

    Casts take zero and negative values to the smallest level. The OCP rule for shared scales (the
    floor of the logarithm) is not this rounding; the block formats apply it themselves.
    """
    return NumberFormat(
        name="float8_e8m0fnu",
        bits=8,
        levels=(*(1 << code for code in range(255)), None),
        unit=Fraction(1, 1 << 127),
        specials={255: math.nan},
        ties="away",
        source=OCP,
    )


def by_name(match: re.Match[str]) -> NumberFormat:
    """``minifloat_e{e}m{m}`` of any size: default bias, every code finite."""
    return minifloat(match[0], int(match[1]), int(match[2]))


OCP = "OCP Microscaling Formats (MX) v1.0"
OFP8 = "OCP 8-bit Floating Point (OFP8) v1.0"
FNUZ = "8-bit Numerical Formats for Deep Neural Networks (arXiv:2206.02915)"
IEEE = "IEEE 754 rules in fewer bits (ml_dtypes)"
IEEE_754 = "IEEE 754-2019, binary16"
B11 = "Hybrid 8-bit Floating Point Training (NeurIPS 2019), code table of ml_dtypes"

#: name, exponent bits, mantissa bits, bias, special values, source
TABLE: list[tuple[str, int, int, int, Specials, str]] = [
    ("minifloat_e2m0", 2, 0, 1, "none", "BitMoD (HPCA 2025), FP3"),
    ("minifloat_e1m2", 1, 2, 1, "none", "en_dtypes float4_e1m2"),
    ("float4_e2m1fn", 2, 1, 1, "none", OCP),
    ("minifloat_e3m0", 3, 0, 3, "none", "power of two with zero"),
    ("minifloat_e2m2", 2, 2, 1, "none", "FP6-LLM (arXiv:2401.14112), FP5"),
    ("minifloat_e3m1", 3, 1, 3, "none", "BitMoD (HPCA 2025), FP5"),
    ("float6_e2m3fn", 2, 3, 1, "none", OCP),
    ("float6_e3m2fn", 3, 2, 3, "none", OCP),
    ("float8_e3m4", 3, 4, 3, "ieee", IEEE),
    ("float8_e4m3", 4, 3, 7, "ieee", IEEE),
    ("float8_e4m3fn", 4, 3, 7, "fn", OFP8),
    ("float8_e4m3fnuz", 4, 3, 8, "fnuz", FNUZ),
    ("float8_e4m3b11fnuz", 4, 3, 11, "fnuz", B11),
    ("float8_e5m2", 5, 2, 15, "ieee", OFP8),
    ("float8_e5m2fnuz", 5, 2, 16, "fnuz", FNUZ),
    ("bfloat16", 8, 7, 127, "ieee", "upper half of IEEE 754 binary32"),
    ("float16", 5, 10, 15, "ieee", IEEE_754),
]
FORMATS: dict[str, Callable[[], NumberFormat]] = {
    "float8_e8m0fnu": float8_e8m0fnu,
    **{
        name: partial(minifloat, name, e, m, bias=bias, specials=specials, source=source)
        for name, e, m, bias, specials, source in TABLE
    },
}
