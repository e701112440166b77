"""Formats whose precision tapers off: posit, HiFloat8, DyBit, AdaptivFloat, POST.

posit(n, es=0), flint(n) and DyBit(n) have the same magnitudes up to a power of two; only the
codes differ.
"""

import math
import re
from collections.abc import Callable
from fractions import Fraction
from functools import partial

from configs.errors import InputError

from .format import NumberFormat, from_values, sign_magnitude

_NUMBER = r"(0|[1-9][0-9]{0,3})"
POSIT_PATTERN = re.compile(f"posit{_NUMBER}_es{_NUMBER}")
POSIT_NAME = "posit{n}_es{e}"
ADAPTIVFLOAT_PATTERN = re.compile(f"adaptivfloat{_NUMBER}_e{_NUMBER}")
ADAPTIVFLOAT_NAME = "adaptivfloat{n}_e{e}"
MAX_POSIT_EXPONENT_BITS = 7

#: dot code, its bits, exponent bits, mantissa bits of HiFloat8
HIFLOAT8_FIELDS = [
    (0b11, 2, 4, 1),
    (0b10, 2, 3, 2),
    (0b01, 2, 2, 3),
    (0b001, 3, 1, 3),
    (0b0001, 4, 0, 3),
]


def _power(exponent: int) -> Fraction:
    return Fraction(2) ** exponent


def _posit_magnitude(code: int, n: int, es: int) -> Fraction:
    """Value of a positive code: regime run, exponent (cut off bits are 0), fraction."""
    bits = f"{code:0{n - 1}b}"
    run = len(bits) - len(bits.lstrip(bits[0]))
    regime = run - 1 if bits[0] == "1" else -run
    rest = bits[run + 1 :]
    exponent = int(rest[:es].ljust(es, "0") or "0", 2)
    fraction = rest[es:]
    significand = 1 + Fraction(int(fraction or "0", 2), 1 << len(fraction))
    return significand * _power((regime << es) + exponent)


def posit(n: int, es: int) -> NumberFormat:
    """Posit of n bits with es exponent bits: two's complement codes, code 10..0 is NaR (nan).

    es = 2 is the 2022 standard, es = 0 the earlier posit8. Casts go to the nearest value, ties to
    the even code; the standard rounds the bit string instead, so it keeps small numbers from
    becoming 0 and halves differently where exponent bits are cut off.

    Raises
    ------
    InputError : n outside 3..8 or es outside 0..7.
    """
    name = f"posit{n}_es{es}"
    if not (3 <= n <= 8 and 0 <= es <= MAX_POSIT_EXPONENT_BITS):
        raise InputError(
            f"format '{name}': posits have 3..8 bits and 0..{MAX_POSIT_EXPONENT_BITS} exponent bits"
        )
    half = 1 << (n - 1)
    positive = [Fraction(0), *(_posit_magnitude(code, n, es) for code in range(1, half))]
    return from_values(
        name,
        [*positive, None, *(-value for value in reversed(positive[1:]))],
        specials={half: math.nan},
        ties="even",
        source="Standard for Posit Arithmetic (2022), es a parameter as in SoftPosit",
    )


def _hifloat8_magnitude(code: int) -> Fraction:
    """Value of a 7-bit code: dot (prefix code), exponent, mantissa, from the top."""
    fields = [found for found in HIFLOAT8_FIELDS if code >> (7 - found[1]) == found[0]]
    if not fields:
        return _power(code - 23) if code else Fraction(0)
    _, _, exponent_bits, mantissa_bits = fields[0]
    mantissa = code & ((1 << mantissa_bits) - 1)
    field = code >> mantissa_bits & ((1 << exponent_bits) - 1)
    exponent = 0
    if exponent_bits:
        # sign (0 is positive), then the magnitude without its leading one
        leading = 1 << (exponent_bits - 1)
        exponent = -(field | leading) if field & leading else field | leading
    return (1 + Fraction(mantissa, 1 << mantissa_bits)) * _power(exponent)


def hifloat8() -> NumberFormat:
    """HiFloat8: 1 to 4 dot bits say how many bits are exponent and how many mantissa.

    2**-22 .. 2**15, one zero, one NaN (0x80), +-inf (0x6F, 0xEF). Casts round to nearest, ties
    away from zero, and saturate at 2**15 (the paper's overflow to inf).
    """
    specials = {0x80: math.nan, 0x6F: math.inf, 0xEF: -math.inf}
    magnitudes = [_hifloat8_magnitude(code) for code in range(128)]
    values = [*magnitudes, *(-value for value in magnitudes)]
    return from_values(
        "hifloat8",
        [None if code in specials else value for code, value in enumerate(values)],
        specials=specials,
        ties="away",
        source="Ascend HiFloat8 Format for Deep Learning (arXiv:2409.16626)",
    )


def _dybit_magnitude(code: int, bits: int) -> Fraction:
    """Leading ones count the exponent; without one, a fixed point number below 1."""
    ones = f"{code:0{bits}b}0".index("0")
    if ones == bits:
        return _power(bits - 1)
    rest_bits = bits - ones - 1
    rest = code & ((1 << rest_bits) - 1)
    if ones == 0:
        return Fraction(rest, 1 << rest_bits)
    return _power(ones - 1) * (1 + Fraction(rest, 1 << rest_bits))


def dybit(bits: int, *, signed: bool) -> NumberFormat:
    """DyBit: sign, then a magnitude coded by its leading ones; codes rise with the value."""
    width = bits - signed
    values: list[Fraction | None] = [_dybit_magnitude(code, width) for code in range(1 << width)]
    if signed:
        values += [None, *(-value for value in values[1:] if value is not None)]
    return from_values(
        f"dybit{bits}{'s' if signed else 'u'}",
        values,
        provisional=True,
        source="DyBit (arXiv:2302.12510); table inferred",
    )


def adaptivfloat(n: int, e: int) -> NumberFormat:
    """AdaptivFloat: sign, e exponent bits, n - 1 - e mantissa bits, no subnormals.

    Values are relative to 2**exp_bias, which the quantizer chooses per tensor and folds into the
    scale: the smallest exponent is 0 here. S.0.0 stands for 0.

    Raises
    ------
    InputError : n outside 3..8, or no or more than 6 exponent bits, or more than n - 1.
    """
    name = f"adaptivfloat{n}_e{e}"
    m = n - 1 - e
    if not (3 <= n <= 8 and 1 <= e <= 6 and m >= 0):
        raise InputError(
            f"format '{name}': adaptivfloats have 3..8 bits and 1..6 exponent bits that fit in them"
        )
    one = 1 << m
    magnitudes = [(one + (code & one - 1)) << (code >> m) for code in range(1 << (n - 1))]
    return sign_magnitude(
        name,
        [0, *magnitudes[1:]],
        minus_zero=0,
        unit=Fraction(1, one),
        provisional=True,
        source="AdaptivFloat (arXiv:1909.13271); rounding at the lower edge recalled",
    )


def post(bits: int, *, root: Fraction = Fraction(45, 32)) -> NumberFormat:
    """POST: 0 and +-sqrt(2)**-k, k = 0 .. 2**(bits - 1) - 2, magnitude codes by k.

    sqrt(2) is no sum of powers of two, so the levels use ``root`` for it: 3/2 (two terms, 6.1 %
    too large), 23/16 (three, 1.6 %), 45/32 (four, -0.56 %) or 181/128 (five, -0.01 %). Exact
    values are in ``codebook_values``; hardware for them keeps two accumulators, for even and odd k,
    and multiplies one of them by sqrt(2) at the end.
    """
    exponents = range((1 << (bits - 1)) - 1)
    near = [_power(-((k + 1) // 2)) * (root if k % 2 else 1) for k in exponents]
    exact = [math.sqrt(2) ** -k if k % 2 else 2.0 ** (-k // 2) for k in exponents]
    return from_values(
        f"post{bits}",
        [Fraction(0), *near, None, *(-value for value in near)],
        codebook_values=(0.0, *exact, None, *(-value for value in exact)),
        provisional=True,
        source="POST, power of sqrt(2); level list recalled",
    )


def posit_by_name(match: re.Match[str]) -> NumberFormat:
    """``posit{n}_es{e}``."""
    return posit(int(match[1]), int(match[2]))


def adaptivfloat_by_name(match: re.Match[str]) -> NumberFormat:
    """``adaptivfloat{n}_e{e}``."""
    return adaptivfloat(int(match[1]), int(match[2]))


FORMATS: dict[str, Callable[[], NumberFormat]] = {
    **{f"posit{n}_es{es}": partial(posit, n, es) for n, es in [(4, 0), (8, 0), (8, 1), (8, 2)]},
    "hifloat8": hifloat8,
    "dybit4s": partial(dybit, 4, signed=True),
    "dybit4u": partial(dybit, 4, signed=False),
    "dybit8s": partial(dybit, 8, signed=True),
    "adaptivfloat4_e2": partial(adaptivfloat, 4, 2),
    "adaptivfloat8_e3": partial(adaptivfloat, 8, 3),
    "post3": partial(post, 3),
    "post4": partial(post, 4),
}
