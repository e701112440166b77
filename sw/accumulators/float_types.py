"""Floating-point registers by name: how many bits they keep, and where they end."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from configs.errors import InputError, unknown_name
from sw.formats.minifloats import MAX_BITS, MAX_EXPONENT_BITS, PATTERN, TABLE, Specials

from .checks import integer

#: exponent bits, mantissa bits, bias, special values: IEEE 754-2019
_WIDE: dict[str, tuple[int, int, int, Specials]] = {
    "float32": (8, 23, 127, "ieee"),
    "float64": (11, 52, 1023, "ieee"),
}


@dataclass(frozen=True, kw_only=True)
class FloatType:
    """A floating-point register that rounds to nearest, ties to even, and holds integers.

    Attributes
    ----------
    name : as in the registry of formats, or ``float32``, ``float64``.
    significand_bits : p, the hidden bit included; at least 2.
    largest : largest finite value, rounded down to an integer.
    """

    name: str
    significand_bits: int
    largest: int

    def holds(self, value: int) -> bool:
        """Whether the integer ``value`` is one of the type's numbers."""
        magnitude = abs(value)
        zeros = (magnitude & -magnitude).bit_length() - 1
        digits = magnitude.bit_length() - zeros
        return not value or (digits <= self.significand_bits and magnitude <= self.largest)

    def stagnation(self, addend: int) -> int:
        """Smallest running sum that adding ``addend``, an integer above 0, no longer changes.

        Only the significand is looked at: the sum can lie beyond :attr:`largest`.
        """
        addend = integer(addend, "addend", least=1)
        spacing = 1 << (2 * addend - 1).bit_length()  # a half of it is no less than the addend
        return spacing << (self.significand_bits - 1)

    def gamma(self, roundings: int) -> Fraction | None:
        """``k u / (1 - k u)`` of ``k`` roundings, ``u = 2**-p``; None from ``k u = 1`` on.

        Relative to the sum of magnitudes, it bounds the error of a sum in any order (Higham,
        Accuracy and Stability of Numerical Algorithms, 2002, section 3.1).
        """
        errors = Fraction(roundings, 1 << self.significand_bits)
        return errors / (1 - errors) if errors < 1 else None


@cache
def float_type(name: str) -> FloatType:
    """The register called ``name``: ``float32``, ``float64``, or a minifloat of the registry.

    Raises
    ------
    InputError : an unknown name, or a format without mantissa bits.
    """
    listed = {row[0]: (row[1], row[2], row[3], row[4]) for row in TABLE} | _WIDE
    if name in listed:
        exponent_bits, mantissa_bits, bias, specials = listed[name]
    elif match := PATTERN.fullmatch(name):
        exponent_bits, mantissa_bits, specials = int(match[1]), int(match[2]), "none"
        bias = max(1, (1 << exponent_bits >> 1) - 1)
        if not 1 <= exponent_bits <= MAX_EXPONENT_BITS or exponent_bits + mantissa_bits >= MAX_BITS:
            raise InputError(f"floating-point type '{name}' has too many bits")
    else:
        raise unknown_name("floating-point type", name, listed)
    if not mantissa_bits:
        raise InputError(f"floating-point type '{name}' has no mantissa bits: sums need some")
    # the exponent field of the largest numbers, and the last mantissa that is a number there
    field = (1 << exponent_bits) - (2 if specials == "ieee" else 1)
    significand = (2 << mantissa_bits) - (2 if specials == "fn" else 1)
    largest = significand * Fraction(2) ** (field - bias - mantissa_bits)
    return FloatType(name=name, significand_bits=mantissa_bits + 1, largest=int(largest))
