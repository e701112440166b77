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
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

from .digits import Term, TermTable
from .format import FormatFamily

MAX_LANE_EXPONENT_BITS = 6
#: levels stay below 2**MAX_LEVEL_BITS, and no term is larger: sums of terms then fit int64
MAX_LEVEL_BITS = 58
MAX_SLOTS = 4
MAX_CODE_BITS = 8
#: levels times choices of the first half that are looked at together: some 10 MB
_PAIRS = 1 << 18


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
    used = [min(1 << lane_exponent_bits, MAX_LEVEL_BITS + 1 - shift) for shift in shifts]
    fields = np.zeros((1, 0, 3), dtype=np.int64)
    for count in used:
        digits = np.array([(0, 0, 0)] + [(1, n, e) for n in (0, 1) for e in range(count)])
        before = np.repeat(fields, len(digits), axis=0)
        after = np.tile(digits, (len(fields), 1))[:, None]
        fields = np.concatenate([before, after], axis=1)
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


@dataclass(frozen=True, eq=False)
class _Sums:
    """Every way to form some levels: a choice for the first half of the slots, one for the second.

    Attributes
    ----------
    first, second : the halves' choices.
    level : (ways,) place of the level, increasing.
    a, b : (ways,) places in ``first`` and ``second``.
    escape : (ways,) how far partial sums leave the interval between 0 and the level.
    """

    first: _Choices
    second: _Choices
    level: NDArray[np.int64]
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    escape: NDArray[np.int64]

    @classmethod
    def of(cls, first: _Choices, second: _Choices, levels: NDArray[np.int64]) -> "_Sums":
        """The halves joined on the sums of the second one, sorted."""
        ordered = second.sums[second.order]
        wanted = (levels[:, None] - first.sums).ravel()
        begin = np.searchsorted(ordered, wanted, side="left")
        count = np.searchsorted(ordered, wanted, side="right") - begin
        level, a = np.divmod(np.repeat(np.arange(len(count)), count), len(first.sums))
        skipped = np.repeat(np.cumsum(count) - count - begin, count)
        b = second.order[np.arange(len(a)) - skipped]
        least = np.minimum(first.low[a], first.sums[a] + second.low[b])
        most = np.maximum(first.high[a], first.sums[a] + second.high[b])
        escape = np.maximum(
            np.minimum(0, levels)[level] - least, most - np.maximum(0, levels)[level]
        )
        return cls(first=first, second=second, level=level, a=a, b=b, escape=escape)

    def best(self) -> NDArray[np.int64]:
        """Places of the best way to form every level that can be formed."""
        present = self.first.present[self.a] + self.second.present[self.b]
        order = np.lexsort((self.b, self.a, present, self.escape, self.level))
        return order[np.unique(self.level[order], return_index=True)[1]]

    def least_escapes(self) -> NDArray[np.int64]:
        """The smallest escape of every level that can be formed."""
        starts = np.flatnonzero(np.diff(self.level, prepend=-1))
        return np.minimum.reduceat(self.escape, starts)


def _sums(
    shifts: tuple[int, ...], levels: tuple[int, ...], lane_exponent_bits: int
) -> Iterator[tuple[tuple[int, ...], _Sums]]:
    """Some levels after the other, and the ways to form them."""
    half = len(shifts) // 2
    first, second = (_choices(part, lane_exponent_bits) for part in (shifts[:half], shifts[half:]))
    step = max(1, _PAIRS // len(first.sums))
    for start in range(0, len(levels), step):
        part = levels[start : start + step]
        yield part, _Sums.of(first, second, np.array(part, dtype=np.int64))


def _worst_escape(levels: tuple[int, ...], lane_exponent_bits: int, shifts: tuple[int, ...]) -> int:
    parts = _sums(shifts, levels, lane_exponent_bits)
    return max(0, *(int(found.least_escapes().max()) for _, found in parts))


def _choose_terms(
    shifts: tuple[int, ...], levels: tuple[int, ...], lane_exponent_bits: int
) -> TermTable:
    """Best terms of every level under one schedule that reaches them all."""
    terms, worst = {}, 0
    for part, found in _sums(shifts, levels, lane_exponent_bits):
        best = found.best()
        worst = max(worst, int(found.escape[best].max()))
        halves = found.first.fields[found.a[best]], found.second.fields[found.b[best]]
        for level, fields in zip(part, np.concatenate(halves, axis=1).tolist(), strict=True):
            terms[level] = tuple(
                Term(present=bool(p), negative=bool(n), exponent=e) for p, n, e in fields
            )
    return TermTable(
        lane_exponent_bits=lane_exponent_bits,
        base_shifts=shifts,
        terms=terms,
        worst_escape=worst,
    )


def _non_adjacent(level: int) -> int:
    """Places of the signed powers of two that add up to ``level``, as few as there can be."""
    return (abs(level) ^ 3 * abs(level)) >> 1


def _least_slots(levels: tuple[int, ...]) -> int:
    return max(1, *(_non_adjacent(level).bit_count() for level in levels))


@cache
def _smallest(levels: tuple[int, ...], max_bits: int) -> tuple[int, int] | None:
    """Fewest slots, then least lane exponent width up to ``max_bits``, without base shifts."""
    largest = max(map(abs, levels))
    if largest >> MAX_LEVEL_BITS:
        return None
    least = _least_slots(levels)
    top = max(_non_adjacent(level).bit_length() for level in levels) - 1
    for slots in range(least, max(least, MAX_SLOTS) + 1):
        for bits in range(1, max_bits + 1):
            if slots << (1 << bits) - 1 < largest:
                continue
            if top < 1 << bits or _reaches((0,) * slots, levels, bits):
                return slots, bits
    return None


def smallest_pe(
    family: FormatFamily, max_lane_exponent_bits: int = MAX_LANE_EXPONENT_BITS
) -> TermTable:
    """The term table of the PE that forms a family in the fewest slots.

    All shifts are the lanes' own (base shifts 0); of the PEs with that number of slots it is the
    one with the narrowest lane exponents.

    Raises
    ------
    InputError : such lane exponents do not reach every level, or codes are wider than 8 bits.
    """
    _check_serial(family)
    if found := _smallest(family.all_levels, max_lane_exponent_bits):
        slots, bits = found
        return _choose_terms((0,) * slots, family.all_levels, bits)
    raise InputError(
        f"format '{family.name}': no lane exponent of up to {max_lane_exponent_bits} bits forms "
        f"levels up to {_shown(family.max_magnitude)} in {MAX_SLOTS} slots"
    )


def _check_serial(family: FormatFamily) -> None:
    if family.bits > MAX_CODE_BITS:
        raise InputError(
            f"format '{family.name}' has {family.bits}-bit codes, "
            f"a term-serial PE takes at most {MAX_CODE_BITS}"
        )


def _shown(level: int) -> str:
    sign = "-" if level < 0 else ""
    return str(level) if abs(level) < 1 << 32 else f"{sign}2**{math.log2(abs(level)):.1f}"


def _remedy(levels: tuple[int, ...]) -> str:
    """What would make ``levels`` fit."""
    if not (found := _smallest(levels, MAX_LANE_EXPONENT_BITS)):
        return f"no lane exponent of up to {MAX_LANE_EXPONENT_BITS} bits forms them"
    slots, bits = found
    return f"fits with {bits}-bit lane exponents in {slots} slot{'s' * (slots > 1)}"


@cache
def term_table(
    levels: tuple[int, ...],
    *,
    lane_exponent_bits: int = 2,
    max_base_shift: int = 6,
    min_slots: int = 1,
    max_slots: int = MAX_SLOTS,
) -> TermTable:
    """Search the least number of slots in which a PE forms every one of ``levels``.

    Parameters
    ----------
    levels : integers that must all be reachable under one schedule.
    lane_exponent_bits : width of a lane's own exponent (2 in the BitMoD paper).
    max_base_shift : largest shared shift of the PE (6 in the paper: 3 bits, INT8 Booth).
    min_slots : cycles to use at least.
    max_slots : give up beyond this many cycles.

    Raises
    ------
    InputError : no schedule within the limits reaches every level.
    """
    fits = max(map(abs, levels)) >> MAX_LEVEL_BITS == 0
    for slots in range(max(min_slots, _least_slots(levels)), max_slots + 1 if fits else 0):
        for largest in range(max_base_shift + 1):
            schedules = [
                shifts
                for shifts in itertools.combinations_with_replacement(range(largest + 1), slots)
                if shifts[-1] == largest and _reaches(shifts, levels, lane_exponent_bits)
            ]
            if schedules:
                orders = {order for s in schedules for order in itertools.permutations(s)}
                # the same worst escape: the lexicographically first
                best = min(sorted(orders), key=partial(_worst_escape, levels, lane_exponent_bits))
                return _choose_terms(best, levels, lane_exponent_bits)
    raise InputError(
        f"levels {_shown(levels[0])}..{_shown(levels[-1])} need more than {max_slots} slots with "
        f"{lane_exponent_bits}-bit lane exponents and base shifts up to {max_base_shift}: "
        f"{_remedy(levels)}"
    )


def family_terms(
    family: FormatFamily, *, lane_exponent_bits: int = 2, slots: int | None = None
) -> TermTable:
    """The term table of a family, searched for the union of its members' levels.

    Parameters
    ----------
    slots : cycles per chunk; None for the fewest.

    Raises
    ------
    InputError : as :func:`term_table`, or codes are wider than 8 bits.
    """
    _check_serial(family)
    limits = {} if slots is None else {"min_slots": slots, "max_slots": slots}
    try:
        return term_table(family.all_levels, lane_exponent_bits=lane_exponent_bits, **limits)
    except InputError as error:
        raise InputError(f"format '{family.name}': {error}") from None


@cache
def reachable_terms(table: TermTable) -> TermTable:
    """``table`` with the terms of every level that its schedule can form.

    Levels that ``table`` has keep their terms.
    """
    shifts, bits = table.base_shifts, table.lane_exponent_bits
    levels = tuple(sorted({int(total) for total in _choices(shifts, bits).sums}))
    return _choose_terms(shifts, levels, bits)


def fitting_terms(family: FormatFamily) -> TermTable:
    """Terms on the BitMoD PE (2-bit lane exponents), else on the smallest PE that forms them.

    Raises
    ------
    InputError : no PE of up to 6-bit lane exponents and :data:`MAX_SLOTS` slots does.
    """
    try:
        return family_terms(family)
    except InputError:
        bits = smallest_pe(family).lane_exponent_bits
        return family_terms(family, lane_exponent_bits=bits)
