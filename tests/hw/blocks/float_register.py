"""Floating-point arithmetic shared by the models, from docs/numerics.md: plain integers."""

from collections import Counter
from typing import NamedTuple

from hw.pe import FloatSum


def rounded(value: int, places: int, rounding: str) -> int:
    """``value / 2**places``, towards minus infinity or to the nearest, ties to even."""
    if places <= 0:
        return value << -places
    floor, rest = value >> places, value & (1 << places) - 1
    if rounding == "truncate":
        return floor
    half = 1 << places - 1
    return floor + (rest > half or (rest == half and floor & 1))


def rounded_magnitude(value: int, places: int, rounding: str) -> int:
    """As :func:`rounded`, ``truncate`` towards 0."""
    magnitude = rounded(abs(value), places, rounding)
    return -magnitude if value < 0 else magnitude


class FloatCode(NamedTuple):
    """A code taken apart: ``(-1)**negative * significand * 2**place`` smallest subnormals."""

    negative: int
    significand: int
    place: int
    invalid: bool


class FloatFormat(NamedTuple):
    """Exponent and mantissa bits; ``finite``: only the code of all ones is invalid."""

    exponent_bits: int
    mantissa_bits: int
    finite: bool

    @property
    def bits(self) -> int:
        """Code width."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def significand_bits(self) -> int:
        """``p`` of docs/numerics.md."""
        return self.mantissa_bits + 1

    @property
    def largest_place(self) -> int:
        """``X`` of docs/numerics.md."""
        return (1 << self.exponent_bits) - (2 if self.finite else 3)

    def take_apart(self, code: int) -> FloatCode:
        """Fields of a code; an invalid one counts as 0."""
        mantissa = code & (1 << self.mantissa_bits) - 1
        field = code >> self.mantissa_bits & (1 << self.exponent_bits) - 1
        negative = code >> self.bits - 1
        ones = (1 << self.exponent_bits) - 1
        if field == ones and (not self.finite or mantissa == (1 << self.mantissa_bits) - 1):
            return FloatCode(negative, 0, 0, True)
        if field == 0:
            return FloatCode(negative, mantissa, 0, False)
        return FloatCode(negative, mantissa + (1 << self.mantissa_bits), field - 1, False)


FORMATS = {
    "float16": FloatFormat(5, 10, False),
    "bfloat16": FloatFormat(8, 7, False),
    "float8_e4m3fn": FloatFormat(4, 3, True),
    "float8_e5m2": FloatFormat(5, 2, False),
}


class FloatRegister:
    """A floating accumulator: ``mantissa * 2**exponent``.

    ``seen`` counts steps by what happened in them: ``inexact``, ``tie``, ``grown`` (the sum did not
    fit), ``vanished`` (two numbers added up to 0), ``cancelled`` (to a far smaller one).
    """

    def __init__(self, floating: FloatSum, addend_bits: int) -> None:
        self.floating = floating
        bits = floating.bits
        self.half = 1 << bits - 1
        self.seen: Counter[str] = Counter()
        self.clear()

    def clear(self) -> None:
        """Start anew from 0."""
        self.mantissa = self.exponent = 0

    @property
    def packed(self) -> int:
        """Mantissa in the low bits, exponent above."""
        return self.mantissa % (2 * self.half) | self.exponent << self.floating.bits

    def step(self, addend: int, place: int) -> None:
        """Add ``addend * 2**place``."""
        rounding = self.floating.rounding
        first, second = self.mantissa << self.exponent, addend << place
        if self.floating.normalization == "right":
            least = max(self.exponent, place)
            total = rounded(first, least, rounding) + rounded(second, least, rounding) << least
        else:
            if not addend:
                return
            total = first + second
            least = 0
        # below this no rounding of the sum fits
        result = max(least, abs(total).bit_length() - self.floating.bits)
        while (
            rounded(total, result, "truncate") < -self.half
            or rounded(total, result, rounding) >= self.half
        ):
            result += 1
        self.mantissa, self.exponent = rounded(total, result, rounding), result
        if first and second:
            self._see(first, second, least)

    def _see(self, first: int, second: int, least: int) -> None:
        exact, seen = first + second, self.seen
        seen["inexact"] += self.mantissa << self.exponent != exact
        seen["grown"] += self.exponent > least
        seen["vanished"] += exact == 0
        far = abs(exact).bit_length() + 3 < max(abs(first), abs(second)).bit_length()
        seen["cancelled"] += far and exact != 0
        seen["tie"] += 2 * (exact & (1 << self.exponent) - 1) == 1 << self.exponent
