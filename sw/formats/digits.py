"""Levels as terms: what a PE multiplies by, slot by slot."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

#: how hardware holds a digit: a bit, its magnitude (with a sign beside), or two's complement
Encoding = Literal["bit", "magnitude", "signed"]


@dataclass(frozen=True, kw_only=True)
class Term:
    """One slot of one level: ``(-1)**negative * 2**exponent``, or nothing if not ``present``.

    Where a weight is taken whole (:mod:`sw.formats.multiplier`), times a ``magnitude``.
    """

    present: bool
    negative: bool
    exponent: int
    magnitude: int = 1

    @property
    def value(self) -> int:
        """The term without its base shift."""
        return self.digit * (1 << self.exponent)

    @property
    def digit(self) -> int:
        """The term without any shift, 0 if absent."""
        magnitude = self.magnitude if self.present else 0
        return -magnitude if self.negative else magnitude


@dataclass(frozen=True, kw_only=True)
class TermTable:
    """How a PE of ``lane_exponent_bits`` forms every level of a family.

    Attributes
    ----------
    base_shifts : shared shift of each slot, in slot order.
    terms : level -> its terms, one per slot.
    worst_escape : largest distance of a partial sum from the interval [0, level], in levels.
    encoding : how hardware holds a term, see :meth:`packed`.
    """

    lane_exponent_bits: int
    base_shifts: tuple[int, ...]
    terms: dict[int, tuple[Term, ...]]
    worst_escape: int
    encoding: Encoding = "bit"

    def __hash__(self) -> int:
        return hash((self.lane_exponent_bits, self.base_shifts, self.encoding, len(self.terms)))

    @property
    def slots(self) -> int:
        """Cycles per chunk of ``lanes`` products."""
        return len(self.base_shifts)

    @property
    def exponent_bits(self) -> int:
        """Bits of the largest exponent that occurs; of a bit's exponent at least 1."""
        return max(int(self.encoding == "bit"), self.largest_exponent.bit_length())

    @cached_property
    def largest_exponent(self) -> int:
        """Largest exponent of any term."""
        return max(term.exponent for row in self.terms.values() for term in row)

    @cached_property
    def digit_range(self) -> tuple[int, int]:
        """Smallest and largest digit of any term."""
        digits = [term.digit for row in self.terms.values() for term in row]
        return min(digits), max(digits)

    @property
    def digit_bits(self) -> int:
        """Bits of a digit in its encoding."""
        low, high = self.digit_range
        if self.encoding == "signed":
            return max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + 1
        return max(high, -low, 1).bit_length()

    @cached_property
    def largest_term(self) -> int:
        """Largest magnitude of a term, base shift excluded."""
        return max(abs(term.value) for row in self.terms.values() for term in row)

    def packed(self, level: int | None, slot: int) -> int:
        """Bits of a level's term as hardware holds it, 0 for None: digit, sign, exponent.

        ::

            bit        | exponent | negative | present |
            magnitude  | exponent | negative | magnitude |
            signed     | exponent | digit in two's complement |
        """
        if level is None:
            return 0
        term, bits = self.terms[level][slot], self.digit_bits
        if self.encoding == "signed":
            return term.digit & (1 << bits) - 1 | term.exponent << bits
        return abs(term.digit) | term.negative << bits | term.exponent << bits + 1

    @cached_property
    def _known(self) -> NDArray[np.int64]:
        """Levels that have terms, rising."""
        return np.array(sorted(self.terms), dtype=np.int64)

    @cached_property
    def _fields(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Digits and exponents of those levels' terms, (levels, slots)."""
        rows = [self.terms[level] for level in self._known.tolist()]
        digits = np.array([[t.digit for t in row] for row in rows], dtype=np.int64)
        return digits, np.array([[t.exponent for t in row] for row in rows], dtype=np.int64)

    def _places(self, levels: NDArray[np.int64]) -> NDArray[np.intp]:
        """Where ``levels`` are among those that have terms; others are refused."""
        known = self._known
        index = np.minimum(np.searchsorted(known, levels), len(known) - 1)
        if not np.array_equal(known[index], levels):
            bad = np.asarray(levels)[known[index] != levels].flat[0]
            raise InputError(f"level {bad} has no terms in this table")
        return index

    def partial_levels(self, levels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Partial value of each level after each slot, shape (slots,) + levels.shape."""
        digits, exponents = self._fields
        terms = digits << exponents + np.array(self.base_shifts, dtype=np.int64)
        return np.moveaxis(np.cumsum(terms, axis=1)[self._places(levels)], -1, 0)

    def digits(self, levels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Digits and exponents of each level's terms, each (slots,) + levels.shape."""
        places = self._places(levels)
        digits, exponents = (np.moveaxis(field[places], -1, 0) for field in self._fields)
        return digits, exponents
