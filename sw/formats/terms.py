"""Terms: every level as a short sum of signed powers of two, found by exact search.

In slot ``t`` a lane adds ``sign * 2**(base_shifts[t] + exponent)`` times its activation, or
nothing; the base shift is shared by the whole array, the exponent is the lane's own. The search
looks at every schedule of base shifts and every choice of terms, so the slot count is the least
possible for the PE. Ties are broken, in this order, by

1. the smallest largest base shift,
2. the smallest worst *escape*: how far a partial sum leaves the interval between 0 and the level
   (7 = 8 - 1 escapes by 1), because escapes widen the accumulator,
3. the lexicographically first schedule,
4. per level: smallest escape, fewest non-zero terms, then the lexicographically first terms,
   read as (present, negative, exponent) slot by slot.
"""

import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

from .format import FormatFamily


@dataclass(frozen=True, kw_only=True)
class Term:
    """One slot of one level: ``(-1)**negative * 2**exponent``, or nothing if not ``present``."""

    present: bool
    negative: bool
    exponent: int

    @property
    def value(self) -> int:
        """The term without its base shift."""
        magnitude = int(self.present) << self.exponent
        return -magnitude if self.negative else magnitude


@dataclass(frozen=True, kw_only=True)
class TermTable:
    """How a PE of ``lane_exponent_bits`` forms every level of a family.

    Attributes
    ----------
    base_shifts : shared shift of each slot, in slot order.
    terms : level -> its terms, one per slot.
    worst_escape : largest distance of a partial sum from the interval [0, level], in levels.
    """

    lane_exponent_bits: int
    base_shifts: tuple[int, ...]
    terms: dict[int, tuple[Term, ...]]
    worst_escape: int

    @property
    def slots(self) -> int:
        """Cycles per chunk of ``lanes`` products."""
        return len(self.base_shifts)

    def partial_levels(self, levels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Partial value of each level after each slot, shape (slots,) + levels.shape."""
        known = np.array(sorted(self.terms), dtype=np.int64)
        sums = np.array(
            [
                np.cumsum(
                    [t.value << s for t, s in zip(self.terms[v], self.base_shifts, strict=True)]
                )
                for v in known.tolist()
            ],
            dtype=np.int64,
        )
        index = np.minimum(np.searchsorted(known, levels), len(known) - 1)
        if not np.array_equal(known[index], levels):
            bad = np.asarray(levels)[known[index] != levels].flat[0]
            raise InputError(f"level {bad} has no terms in this table")
        return np.moveaxis(sums[index], -1, 0)


@dataclass(frozen=True)
class _Digits:
    """All choices of one term per slot: (choices, slots) fields and their lexicographic order."""

    fields: NDArray[np.int64]
    values: NDArray[np.int64]


@cache
def _digits(slots: int, lane_exponent_bits: int) -> _Digits:
    single = [(0, 0, 0)] + [(1, n, e) for n in (0, 1) for e in range(1 << lane_exponent_bits)]
    fields = np.array(list(itertools.product(single, repeat=slots)), dtype=np.int64)
    values = fields[..., 0] * (1 - 2 * fields[..., 1]) << fields[..., 2]
    return _Digits(fields=fields, values=values)


def _reaches(shifts: tuple[int, ...], levels: tuple[int, ...], lane_exponent_bits: int) -> bool:
    reach = {0}
    for shift in shifts:
        steps = [s << e + shift for s in (1, -1) for e in range(1 << lane_exponent_bits)]
        reach |= {r + step for r in reach for step in steps}
    return reach.issuperset(levels)


def _choose_terms(
    shifts: tuple[int, ...], levels: tuple[int, ...], lane_exponent_bits: int
) -> TermTable:
    """Best terms of every level under one schedule."""
    digits = _digits(len(shifts), lane_exponent_bits)
    prefixes = np.cumsum(digits.values << np.array(shifts), axis=1)
    present = digits.fields[:, :, 0].sum(axis=1)
    terms, worst = {}, 0
    for level in levels:
        rows = np.flatnonzero(prefixes[:, -1] == level)
        low, high = min(0, level), max(0, level)
        out = np.maximum(low - prefixes[rows], prefixes[rows] - high).clip(min=0).max(axis=1)
        # rows are already in lexicographic order, and lexsort is stable
        best = np.lexsort((present[rows], out))[0]
        worst = max(worst, int(out[best]))
        terms[level] = tuple(
            Term(present=bool(p), negative=bool(n), exponent=int(e))
            for p, n, e in digits.fields[rows[best]]
        )
    return TermTable(
        lane_exponent_bits=lane_exponent_bits,
        base_shifts=shifts,
        terms=terms,
        worst_escape=worst,
    )


@cache
def term_table(
    levels: tuple[int, ...],
    *,
    lane_exponent_bits: int = 2,
    max_base_shift: int = 6,
    max_slots: int = 4,
) -> TermTable:
    """Search the least number of slots in which a PE forms every one of ``levels``.

    Parameters
    ----------
    levels : integers that must all be reachable under one schedule.
    lane_exponent_bits : width of a lane's own exponent (2 in the BitMoD paper).
    max_base_shift : largest shared shift of the PE (6 in the paper: 3 bits, INT8 Booth).
    max_slots : give up beyond this many cycles.

    Raises
    ------
    InputError : no schedule within the limits reaches every level.
    """
    for slots in range(1, max_slots + 1):
        for largest in range(max_base_shift + 1):
            schedules = [
                shifts
                for shifts in itertools.combinations_with_replacement(range(largest + 1), slots)
                if shifts[-1] == largest and _reaches(shifts, levels, lane_exponent_bits)
            ]
            if schedules:
                orders = sorted({order for s in schedules for order in itertools.permutations(s)})
                tables = [_choose_terms(order, levels, lane_exponent_bits) for order in orders]
                return min(tables, key=lambda table: (table.worst_escape, table.base_shifts))
    raise InputError(
        f"levels {levels[0]}..{levels[-1]} need more than {max_slots} slots with "
        f"{lane_exponent_bits}-bit lane exponents and base shifts up to {max_base_shift}: "
        "allow a wider lane exponent, a larger base shift or more slots"
    )


def family_terms(family: FormatFamily, *, lane_exponent_bits: int = 2) -> TermTable:
    """The term table of a family, searched for the union of its members' levels."""
    return term_table(family.all_levels, lane_exponent_bits=lane_exponent_bits)
