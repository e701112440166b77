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


@dataclass(frozen=True, eq=False)
class _Choices:
    """Every choice of terms for some consecutive slots, in lexicographic order.

    Attributes
    ----------
    fields : (choices, slots, 3) present, negative, exponent.
    sums : (choices,) sum of the shifted terms.
    low, high : (choices,) least and greatest partial sum, 0 included.
    present : (choices,) non-zero terms.
    order : (choices,) indices that sort ``sums``.
    """

    fields: NDArray[np.int64]
    sums: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    present: NDArray[np.int64]
    order: NDArray[np.int64]


@cache
def _choices(shifts: tuple[int, ...], lane_exponent_bits: int) -> _Choices:
    single = [(0, 0, 0)] + [(1, n, e) for n in (0, 1) for e in range(1 << lane_exponent_bits)]
    chosen = list(itertools.product(single, repeat=len(shifts)))
    fields = np.array(chosen, dtype=np.int64).reshape(len(chosen), len(shifts), 3)
    magnitudes = fields[..., 0] << fields[..., 2] + np.array(shifts, dtype=np.int64)
    prefixes = np.cumsum(np.where(fields[..., 1], -magnitudes, magnitudes), axis=1)
    padded = np.pad(prefixes, ((0, 0), (1, 0)))
    return _Choices(
        fields=fields,
        sums=padded[:, -1],
        low=padded.min(axis=1),
        high=padded.max(axis=1),
        present=fields[..., 0].sum(axis=1),
        order=np.argsort(padded[:, -1], kind="stable"),
    )


def _reaches(shifts: tuple[int, ...], levels: tuple[int, ...], lane_exponent_bits: int) -> bool:
    """Whether every level is a sum of one choice for the first half and one for the second."""
    half = len(shifts) // 2
    first, second = (_choices(part, lane_exponent_bits) for part in (shifts[:half], shifts[half:]))
    sums = np.unique(second.sums)
    for level in levels:
        wanted = level - first.sums
        index = np.minimum(np.searchsorted(sums, wanted), len(sums) - 1)
        if not (sums[index] == wanted).any():
            return False
    return True


def _choose_terms(
    shifts: tuple[int, ...], levels: tuple[int, ...], lane_exponent_bits: int
) -> TermTable:
    """Best terms of every level under one schedule; halves of the slots are joined on their sum."""
    half = len(shifts) // 2
    first, second = (_choices(part, lane_exponent_bits) for part in (shifts[:half], shifts[half:]))
    ordered = second.sums[second.order]
    terms, worst = {}, 0
    for level in levels:
        begin = np.searchsorted(ordered, level - first.sums, side="left")
        count = np.searchsorted(ordered, level - first.sums, side="right") - begin
        a = np.repeat(np.arange(len(count)), count)
        b = second.order[
            np.arange(count.sum()) - np.repeat(np.cumsum(count) - count - begin, count)
        ]
        least = np.minimum(first.low[a], first.sums[a] + second.low[b])
        most = np.maximum(first.high[a], first.sums[a] + second.high[b])
        escape = np.maximum(min(0, level) - least, most - max(0, level))
        best = np.lexsort((b, a, first.present[a] + second.present[b], escape))[0]
        worst = max(worst, int(escape[best]))
        fields = np.concatenate([first.fields[a[best]], second.fields[b[best]]])
        terms[level] = tuple(
            Term(present=bool(p), negative=bool(n), exponent=int(e)) for p, n, e in fields
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
