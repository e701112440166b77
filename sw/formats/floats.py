"""Floating-point activations as the hardware takes them apart: sign, significand, place."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError

from .minifloats import TABLE
from .tables import get_family


class FloatParts(NamedTuple):
    """``(-1)**negative * significand * 2**place`` smallest subnormals, arrays of one shape.

    Inf and NaN have ``invalid`` set; they count as 0, with place 0.
    """

    negative: NDArray[np.bool_]
    significand: NDArray[np.int64]
    place: NDArray[np.int64]
    invalid: NDArray[np.bool_]

    def of_inputs(self, inputs: NDArray[np.int64]) -> "FloatParts":
        """Those of some columns of a matrix."""
        return FloatParts(
            negative=self.negative[:, inputs],
            significand=self.significand[:, inputs],
            place=self.place[:, inputs],
            invalid=self.invalid[:, inputs],
        )


@dataclass(frozen=True, kw_only=True)
class FloatLayout:
    """Bits of a floating-point format: sign, exponent E, mantissa M, from the top.

    Attributes
    ----------
    name : as in the registry of formats.
    exponent_bits, mantissa_bits, bias : the format.
    only_ones : only the codes with all of E and M ones are invalid (``fn``), else every E of ones.
    """

    name: str
    exponent_bits: int
    mantissa_bits: int
    bias: int
    only_ones: bool

    @property
    def bits(self) -> int:
        """Code width."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def significand_bits(self) -> int:
        """Mantissa with its hidden bit."""
        return self.mantissa_bits + 1

    @property
    def unit(self) -> Fraction:
        """The smallest subnormal."""
        return Fraction(2) ** (1 - self.bias - self.mantissa_bits)

    @property
    def unit_exponent(self) -> int:
        """Binary logarithm of :attr:`unit`."""
        return 1 - self.bias - self.mantissa_bits

    @property
    def largest_place(self) -> int:
        """Place of the largest numbers: their exponent less that of the subnormals."""
        return (1 << self.exponent_bits) - (2 if self.only_ones else 3)

    @property
    def largest_integer(self) -> int:
        """A bound on every number in units, :attr:`significand_bits` ones at the largest place."""
        return ((1 << self.significand_bits) - 1) << self.largest_place

    @property
    def fixed_bits(self) -> int:
        """Two's complement width of every number in units."""
        return self.largest_integer.bit_length() + 1

    def take_apart(self, codes: ArrayLike) -> FloatParts:
        """Sign, significand and place of ``codes``, integers of any shape."""
        wide = np.asarray(codes, dtype=np.int64)
        mantissa = wide & (1 << self.mantissa_bits) - 1
        exponent = wide >> self.mantissa_bits & (1 << self.exponent_bits) - 1
        invalid = exponent == (1 << self.exponent_bits) - 1
        if self.only_ones:
            invalid &= mantissa == (1 << self.mantissa_bits) - 1
        significand = mantissa + np.where(exponent > 0, 1 << self.mantissa_bits, 0)
        return FloatParts(
            negative=(wide >> self.bits - 1 & 1).astype(bool),
            significand=np.where(invalid, 0, significand),
            place=np.where(invalid, 0, np.maximum(exponent, 1) - 1),
            invalid=invalid,
        )

    def values(self, codes: ArrayLike) -> NDArray[np.float32]:
        """Numbers of ``codes``, float32; 0 for Inf and NaN."""
        parts = self.take_apart(codes)
        signed = np.where(parts.negative, -parts.significand, parts.significand)
        place = (parts.place + self.unit_exponent).astype(np.int32)
        return np.ldexp(signed.astype(np.float32), place)

    def encode(self, values: ArrayLike) -> NDArray[np.int64]:
        """Codes of the nearest numbers, ties to even, saturating; zeros are +0.

        Raises
        ------
        InputError : NaN.
        """
        wanted = np.asarray(values, dtype=np.float64)
        if np.isnan(wanted).any():
            raise InputError(f"NaN is no activation in {self.name}")
        largest = get_family(self.name).members[0].max_magnitude
        with np.errstate(over="ignore"):
            units = np.minimum(np.ldexp(np.abs(wanted), -self.unit_exponent), float(largest))
        # the place of the lowest bit that a significand keeps
        place = np.maximum(np.frexp(units)[1] - self.significand_bits, 0)
        significand = np.rint(np.ldexp(units, -place)).astype(np.int64)
        carried = significand >> self.significand_bits
        significand, place = significand >> carried, place + carried
        # the hidden bit is the exponent field's lowest: 1 from the first normal number on
        codes = (place << self.mantissa_bits) + significand
        return np.where((wanted < 0) & (codes > 0), codes | 1 << self.bits - 1, codes)


@cache
def float_layout(name: str) -> FloatLayout:
    """Layout of a format whose special values are those of IEEE 754 or of ``fn`` formats."""
    exponent_bits, mantissa_bits, bias, specials = next(row[1:5] for row in TABLE if row[0] == name)
    if specials not in ("ieee", "fn"):
        raise ValueError(f"activations in '{name}' are not known to the hardware")
    return FloatLayout(
        name=name,
        exponent_bits=exponent_bits,
        mantissa_bits=mantissa_bits,
        bias=bias,
        only_ones=specials == "fn",
    )
