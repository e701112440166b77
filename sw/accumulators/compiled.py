"""Exact ranges of every group of weights: loops compiled by numba, and what numpy does without.

The loops read each weight once, in int64. Sums that int64 might not hold are left to numpy's
Python integers. Both ways have the same results.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sw.compiled import inner_loop, njit, outer_loop

from .checks import Integers
from .schedule import Schedule, exact_dtype, step_ranges

#: whether the loops run compiled
COMPILED = njit is not None
_ZERO = np.int64(0)


@dataclass(frozen=True, kw_only=True, eq=False)
class GroupRanges:
    """Exact ranges of the inner sums of ``n`` rows.

    Attributes
    ----------
    group_low, group_high : sums at the end of each group, (groups, n).
    step_low, step_high : sums after any step of any group, (n,).
    l1 : largest sum of absolute weights of a group, (n,).
    """

    group_low: Integers
    group_high: Integers
    step_low: Integers
    step_high: Integers
    l1: Integers


def group_ranges(
    levels: Integers, schedule: Schedule, low: int, high: int, bound: int
) -> GroupRanges:
    """Ranges of the sums of ``levels`` (n, K), over all inputs in ``low`` to ``high``.

    Parameters
    ----------
    bound : at least the magnitude of every sum, see :func:`.largest_product`.

    Raises
    ------
    InputError : a level is not in the schedule's term table.
    """
    if COMPILED and bound < 1 << 63:
        # a copy, so that order, byte order and writability make no further machine code
        rows = np.array(levels, dtype=np.int8 if levels.dtype == np.int8 else np.int64, order="C")
        groups = np.empty((2, schedule.groups, len(rows)), dtype=np.int64)
        ends = np.empty((3, len(rows)), dtype=np.int64)
        if _fill(rows, schedule, low, high, groups, ends):
            return GroupRanges(
                group_low=groups[0],
                group_high=groups[1],
                step_low=ends[0],
                step_high=ends[1],
                l1=ends[2],
            )
    return _plain(levels, schedule, low, high, exact_dtype(bound))


def _fill(rows: Any, schedule: Schedule, low: int, high: int, groups: Any, ends: Any) -> bool:
    """Fill ``groups`` and ``ends`` by the loops; False if a level has no terms."""
    size, lanes = schedule.group_length, schedule.chunk_length
    if schedule.terms is None:
        # with 0 in the range, sums only spread from step to step: the ends of groups tell all
        _parallel(rows, size, size if low <= 0 <= high else lanes, low, high, groups, ends)
        return True
    lowest, partials, exists = schedule.lookup
    if int(rows.min()) < lowest or int(rows.max()) >= lowest + len(exists) - 1:
        return False
    table = _contributions(partials, low, high)
    sums = np.empty(table.shape[1], dtype=np.int64)
    return bool(_serial(rows, lowest, table, exists, size, lanes, sums, groups, ends))


def _contributions(partials: NDArray[np.int64], low: int, high: int) -> NDArray[np.int64]:
    """Range of each level's product after each slot: (levels, slots * 2), low beside high."""
    positive, negative = np.maximum(partials, 0), np.minimum(partials, 0)
    sides = [positive * low + negative * high, positive * high + negative * low]
    return np.ascontiguousarray(np.stack(sides, axis=-1).swapaxes(0, 1)).reshape(
        partials.shape[1], -1
    )


def _plain(levels: Integers, schedule: Schedule, low: int, high: int, dtype: Any) -> GroupRanges:
    steps = step_ranges(levels, schedule, low, high, dtype)
    return GroupRanges(
        group_low=steps.group_low,
        group_high=steps.group_high,
        step_low=steps.low.min(axis=(0, 1, 2)),
        step_high=steps.high.max(axis=(0, 1, 2)),
        l1=steps.l1.max(axis=0),
    )


@inner_loop
def _sides(rows: Any, n: int, first: int, stop: int) -> Any:
    """Sum of the positive weights of a part of row ``n``, and of the negative ones."""
    positive, total = _ZERO, _ZERO
    for k in range(first, stop):
        weight = np.int64(rows[n, k])
        positive += max(weight, _ZERO)
        total += weight
    return positive, total - positive


@outer_loop
def _parallel(rows, group_size, lanes, low, high, groups, ends):  # type: ignore[no-untyped-def]
    """Whole products, ``lanes`` of them a step."""
    length = rows.shape[1]
    for n in range(len(rows)):
        least, most, norm = np.int64(2**63 - 1), np.int64(-(2**63)), _ZERO
        for group in range(groups.shape[1]):
            first = group * group_size
            stop = min(first + group_size, length)
            lowest, highest, l1 = _ZERO, _ZERO, _ZERO
            for chunk in range(first, stop, lanes):
                positive, negative = _sides(rows, n, chunk, min(chunk + lanes, stop))
                lowest += positive * low + negative * high
                highest += positive * high + negative * low
                l1 += positive - negative
                least, most = min(least, lowest), max(most, highest)
            groups[0, group, n], groups[1, group, n] = lowest, highest
            norm = max(norm, l1)
        ends[0, n], ends[1, n], ends[2, n] = least, most, norm


@outer_loop
def _serial(rows, lowest, table, exists, group_size, lanes, sums, groups, ends):  # type: ignore[no-untyped-def]
    """Terms, ``lanes`` of them a step; whether every level has some.

    ``sums`` are the ends of the range after each slot of a chunk, low beside high.
    """
    length, width = rows.shape[1], table.shape[1]
    known = True
    for n in range(len(rows)):
        least, most, norm = np.int64(2**63 - 1), np.int64(-(2**63)), _ZERO
        for group in range(groups.shape[1]):
            first = group * group_size
            stop = min(first + group_size, length)
            low, high, l1 = _ZERO, _ZERO, _ZERO
            for chunk in range(first, stop, lanes):
                sums[::2], sums[1::2] = low, high
                for k in range(chunk, min(chunk + lanes, stop)):
                    level = np.int64(rows[n, k])
                    l1 += abs(level)
                    known &= exists[level - lowest]
                    for place in range(width):
                        sums[place] += table[level - lowest, place]
                for place in range(0, width, 2):
                    least, most = min(least, sums[place]), max(most, sums[place + 1])
                low, high = sums[width - 2], sums[width - 1]
            groups[0, group, n], groups[1, group, n] = low, high
            norm = max(norm, l1)
        ends[0, n], ends[1, n], ends[2, n] = least, most, norm
    return known
