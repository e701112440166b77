"""Bounds of what an aligned machine's accumulators hold, step by step, for many channels at once.

The proof is in docs/numerics.md, "Error bound". All arithmetic is on integers: exponents are
counted from a *base*, magnitudes in quarters of ``2**base`` in the machine's unit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from sw.compile.floating import FloatWidths
from sw.formats import FloatLayout

from .checks import Integers

#: full normalization: exponents further below the largest activation's count as this one
_FULL_DEPTH = 16
#: int64 magnitudes stay below 2**_WIDEST
_WIDEST = 58


class TooWide(Exception):
    """A magnitude might not fit int64."""


@dataclass(frozen=True, kw_only=True)
class Units:
    """Activations up to a magnitude, and the base that a bound counts from.

    Attributes
    ----------
    widths : the machine.
    activation : the largest activation in the format's smallest subnormal.
    place : its place; no activation has a larger one.
    """

    widths: FloatWidths
    activation: int
    place: int

    @property
    def guard(self) -> int:
        """Every number is a multiple of ``2**guard``: no rounding at such an exponent."""
        return self.widths.array.floating.guard_bits

    @property
    def base(self) -> int:
        """Exponent that others are counted from; lower ones count as this one, or one below."""
        full = self.widths.array.floating.normalization == "full"
        return max(self.guard, self.place - (_FULL_DEPTH if full else 0))

    @property
    def quarters(self) -> int:
        """The largest activation in quarters of the base."""
        return self.activation << self.guard + 2 >> self.base

    @property
    def lane_places(self) -> tuple[int, int]:
        """The largest place, from the base, and the quarters of its unit that a lane errs by."""
        return self.place - self.base, 2 if self.nearest else 4

    @property
    def nearest(self) -> bool:
        """Rounding to nearest."""
        return self.widths.array.floating.rounding == "nearest_even"

    def real(self, quarters: int) -> Fraction:
        """Quarters of the base as a number."""
        places = self.base - 2 - self.guard + self.widths.layout.unit_exponent
        return quarters * Fraction(2) ** places


def units_of(widths: FloatWidths, largest_activation: Fraction | float | None) -> Units:
    """Units for activations up to a magnitude; ``None`` for the format's largest.

    Raises
    ------
    InputError : the magnitude is not finite, or negative.
    """
    layout = widths.layout
    most = largest_finite(layout)
    if largest_activation is not None:
        if not 0 <= largest_activation < np.inf:
            raise InputError(
                f"the largest activation is {largest_activation}, it must be finite and not below 0"
            )
        most = min(most, int(Fraction(largest_activation) / layout.unit))
    place = max(0, most.bit_length() - layout.significand_bits)
    return Units(widths=widths, activation=most >> place << place, place=place)


def largest_finite(layout: FloatLayout) -> int:
    """The largest number of a format, in its smallest subnormal."""
    significand = (1 << layout.significand_bits) - (2 if layout.only_ones else 1)
    return significand << layout.largest_place


class Register:
    """Bounds of the accumulators of some channels: exponent, magnitude and error.

    Parameters
    ----------
    units : what is counted in.
    bits : the mantissa's width.
    full : rounded once, or operand by operand.
    exact_below : exponents, from the base, at which nothing is rounded, (n,).
    kind : dtype of magnitudes.
    """

    def __init__(
        self, units: Units, *, bits: int, full: bool, exact_below: NDArray[np.int64], kind: Any
    ) -> None:
        self.nearest, self.full, self.kind = units.nearest, full, kind
        self.limit = (1 << bits) - 1
        self.exact_below = exact_below
        self.exponent = np.zeros(len(exact_below), dtype=np.int64)
        #: where the sum fits, from one below the base on
        self.fit = np.full(len(exact_below), -1, dtype=np.int64)
        self.error = np.zeros(len(exact_below), dtype=kind)
        self.first = True

    def add(self, sums: Integers, exponent: Any) -> None:
        """One step.

        Parameters
        ----------
        sums : the largest magnitude of the sum after it, without errors of this register, (n,).
        exponent : the addend's largest exponent, from the base.
        """
        larger = np.maximum(self.exponent, exponent)
        aligned = self._aligned(larger)
        magnitude = sums + self.error + aligned
        if self.kind is np.int64 and (
            int(magnitude.max()) >> _WIDEST or int(larger.max()) >= _WIDEST - 8
        ):
            raise TooWide
        # rounded, the sum fits as soon as it is below 2**(bits - 1) - 1/2
        while (over := (magnitude >> self._shifts(self.fit + 1)) >= self.limit).any():
            self.fit = self.fit + over
        self.error = self.error + self._step_error(larger, aligned)
        self.exponent = np.maximum(0 if self.full else larger, self.fit)
        self.first = False

    def _shifts(self, places: NDArray[np.int64]) -> Integers:
        return places.astype(self.kind)

    def _power(self, factor: int, exponent: NDArray[np.int64]) -> Integers:
        """``factor`` quarters of ``2**exponent``, from -1 on; rounded up."""
        low = np.array(-(-factor // 2)).astype(self.kind)
        power = np.array(factor).astype(self.kind) << self._shifts(np.maximum(exponent, 0))
        return np.where(exponent < 0, low, power)

    def _aligned(self, larger: NDArray[np.int64]) -> Integers:
        """Error of the operand that moves, (n,)."""
        if self.full or self.first:
            return np.zeros(len(larger), dtype=self.kind)
        power = self._power(2 if self.nearest else 4, larger)
        return np.where(larger > self.exact_below, power, 0).astype(self.kind)

    def _step_error(self, larger: NDArray[np.int64], aligned: Integers) -> Integers:
        """Error of one step, both roundings together, (n,)."""
        grown = self.fit > self.exact_below
        if not self.full and self.first:
            grown &= self.fit > larger
        once = self._power(2 if self.nearest else 4, self.fit)
        if self.nearest:
            # an operand moved by E < e, then the sum: half of 2**E and half of 2**e
            twice = self._power(3, self.fit)
            once = np.where(aligned > 0, twice, once)
        return np.maximum(aligned, np.where(grown, once, 0)).astype(self.kind)


@dataclass(frozen=True, kw_only=True)
class Slot:
    """What one slot adds: largest magnitude of the group's sum so far, error of its lanes."""

    sums: Integers
    lane_error: Integers
    exponent: Any


def slots(units: Units, levels: Integers, padding: Integers, kind: Any) -> Iterator[Slot]:
    """The slots of one group, ``levels`` (n, inputs), in order."""
    terms, lanes = units.widths.terms, units.widths.array.lanes
    partials = np.abs(terms.partial_levels(levels)).astype(kind)
    whole = np.abs(levels).astype(kind)
    share = _in_pe if units.widths.in_pe else _in_row
    done = np.zeros(len(levels), dtype=kind)
    most = done
    for first in range(0, levels.shape[1], lanes):
        chunk = slice(first, first + lanes)
        errors = share(units, levels[:, chunk], padding, kind)
        for slot, (error, exponent) in enumerate(errors):
            most = np.maximum(most, done + partials[slot][:, chunk].sum(axis=1))
            yield Slot(sums=most * units.quarters, lane_error=error, exponent=exponent)
        done = done + whole[:, chunk].sum(axis=1)


def _in_row(
    units: Units, levels: Integers, padding: Integers, kind: Any
) -> Iterator[tuple[Integers, Any]]:
    """Errors of activations aligned in their row, with the first slot; exponents.

    All lanes of a chunk but the one with the largest place may err.
    """
    places, factor = units.lane_places
    whole = np.abs(levels).astype(kind)
    inexact = units.place > units.guard
    weights = whole.sum(axis=1) - whole.min(axis=1) if inexact else whole[:, 0] * 0
    yield weights * (factor << max(places, 0)), max(places, 0)
    for _ in range(units.widths.terms.slots - 1):
        yield weights * 0, max(places, 0)


def _in_pe(
    units: Units, levels: Integers, padding: Integers, kind: Any
) -> Iterator[tuple[Integers, Any]]:
    """Errors of products aligned in the PE, slot by slot; exponents (n,).

    All lanes with a digit may err but the one with the largest exponent, which may be a missing
    lane.
    """
    places, factor = units.lane_places
    terms = units.widths.terms
    missing = levels.shape[1] < units.widths.array.lanes
    held = np.concatenate([levels, padding[:, None]], axis=1) if missing else levels
    digits, exponents = terms.digits(held)
    for slot, base_shift in enumerate(terms.base_shifts):
        present = digits[slot] != 0
        most = np.where(present, exponents[slot], 0).max(axis=1)
        count = np.maximum(present.sum(axis=1) - 1, 0).astype(kind)
        inexact = units.place + most > units.guard
        relative = np.maximum(places + most, 0)
        power = np.array(factor).astype(kind) << (relative + base_shift).astype(kind)
        yield np.where(inexact, count * power, 0).astype(kind), relative
