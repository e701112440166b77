"""The order in which a PE adds one row of weights, and the exact range of the sum at each step.

A step adds, over the lanes of one chunk, one term of each weight times its input. After slot
``t`` of chunk ``c`` the register holds

    sum of w[k] * x[k] over the chunks before c  +  sum of V_t[k] * x[k] over chunk c

with ``V_t`` the partial value of a weight after slots 0..t. Every input appears once, so the range
over all inputs is the sum of the ranges of the products.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from sw.formats import TermTable

from .checks import Integers, integer

#: Largest distance between the levels of a term table (its lookup is a dense array).
MAX_LEVEL_SPAN = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How ``length`` weights are cut into groups, chunks and slots.

    Parameters
    ----------
    length : weights in a row, K.
    group_size : weights per group; the last group may be shorter.
    lanes : weights per chunk; the last chunk of a group may be shorter.
    terms : term table of the weights' family, or ``None`` for a bit-parallel PE, which adds the
        whole product in one slot.

    Raises
    ------
    InputError : a size is not a positive integer, or the term table is too wide.
    """

    length: int
    group_size: int
    lanes: int
    terms: TermTable | None

    def __post_init__(self) -> None:
        for name in ("length", "group_size", "lanes"):
            value = integer(getattr(self, name), name.replace("_", " "), least=1)
            object.__setattr__(self, name, value)
        if (
            self.terms is not None
            and max(self.terms.terms) - min(self.terms.terms) > MAX_LEVEL_SPAN
        ):
            raise InputError(f"the term table's levels span more than {MAX_LEVEL_SPAN}")

    @property
    def slots(self) -> int:
        """Steps per chunk."""
        return 1 if self.terms is None else self.terms.slots

    @property
    def group_length(self) -> int:
        """Weights in the longest group."""
        return min(self.group_size, self.length)

    @property
    def chunk_length(self) -> int:
        """Weights in the longest chunk."""
        return min(self.lanes, self.group_length)

    @property
    def groups(self) -> int:
        """Groups per row."""
        return -(-self.length // self.group_size)

    @property
    def chunks(self) -> int:
        """Chunks of the longest group."""
        return -(-self.group_length // self.lanes)

    def chunks_of(self, group: int) -> int:
        """Chunks of ``group``."""
        return -(-min(self.group_size, self.length - group * self.group_size) // self.lanes)

    @cached_property
    def positions(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Group, chunk and lane of every weight, each (K,)."""
        group, inside = np.divmod(np.arange(self.length), self.group_length)
        chunk, lane = np.divmod(inside, self.chunk_length)
        return group, chunk, lane

    @cached_property
    def lookup(self) -> tuple[int, NDArray[np.int64], NDArray[np.bool_]]:
        """Lowest level; partial value by (slot, level above it); whether that level exists.

        The last column is the padding: it exists and adds 0.
        """
        assert self.terms is not None
        known = np.array(sorted(self.terms.terms), dtype=np.int64)
        partials = np.zeros((self.slots, int(known[-1] - known[0]) + 2), dtype=np.int64)
        partials[:, known - known[0]] = self.terms.partial_levels(known)
        exists = np.zeros(partials.shape[1], dtype=np.bool_)
        exists[known - known[0]] = exists[-1] = True
        return int(known[0]), partials, exists

    def largest_partial(self, levels: Integers) -> int:
        """A bound on the magnitude of every partial value of ``levels``."""
        if self.terms is None:
            return max(abs(int(levels.min())), abs(int(levels.max())))
        return int(np.abs(self.lookup[1]).max())

    def partials(self, levels: Integers, dtype: Any) -> Iterator[Integers]:
        """Partial values of ``levels`` (n, K) after each slot in turn.

        Each is (chunk length, groups, chunks, n) of ``dtype``, 0 where a group or chunk is ragged.

        Raises
        ------
        InputError : a level is not in the term table.
        """
        group, chunk, lane = self.positions
        shape = (self.chunk_length, self.groups, self.chunks, len(levels))
        if self.terms is None:
            whole = np.zeros(shape, dtype=dtype)
            whole[lane, group, chunk] = levels.T
            yield whole
            return
        lowest, partials, exists = self.lookup
        padding = len(exists) - 1
        if int(levels.min()) < lowest or int(levels.max()) >= lowest + padding:
            bad = levels.max() if int(levels.min()) >= lowest else levels.min()
            raise InputError(f"level {bad} has no terms in this table")
        index = np.full(shape, padding, dtype=np.intp)
        index[lane, group, chunk] = levels.astype(np.intp).T - lowest
        if not exists[index].all():
            raise InputError(
                f"level {index[~exists[index]][0] + lowest} has no terms in this table"
            )
        for slot in partials.astype(dtype):
            yield slot[index]


@dataclass(frozen=True, kw_only=True, eq=False)
class StepRanges:
    """Exact range of the inner sum at every step of ``n`` rows, counted from its group's start.

    Attributes
    ----------
    low, high : (slots, groups, chunks, n). A chunk that a ragged last group does not have repeats
        the value at the end of the group.
    l1 : sum of absolute weights per group, (groups, n).
    """

    low: Integers
    high: Integers
    l1: Integers

    @property
    def group_low(self) -> Integers:
        """Lowest sum of each group, (groups, n)."""
        return self.low[-1, :, -1]

    @property
    def group_high(self) -> Integers:
        """Highest sum of each group, (groups, n)."""
        return self.high[-1, :, -1]


def exact_dtype(bound: int) -> Any:
    """The narrowest of int32, int64 and object that holds every value up to ``bound``."""
    if bound < 1 << 31:
        return np.int32
    return np.int64 if bound < 1 << 63 else object


def largest_product(schedule: Schedule, levels: Integers, low: int, high: int) -> int:
    """A bound, at least 1, on the magnitude of every inner sum and of the inputs themselves."""
    return max(schedule.largest_partial(levels), 1) * max(-low, high, 1) * schedule.group_length


def step_ranges(
    levels: Integers, schedule: Schedule, low: int, high: int, dtype: Any
) -> StepRanges:
    """Range of the sum after every step, over all inputs in ``low`` to ``high``.

    Parameters
    ----------
    levels : (n, K) integers.
    dtype : integer dtype that cannot overflow, see :func:`largest_product`.
    """
    shape = (schedule.slots, schedule.groups, schedule.chunks, len(levels))
    lows, highs = np.empty(shape, dtype=dtype), np.empty(shape, dtype=dtype)
    for slot, values in enumerate(schedule.partials(levels, dtype)):
        positive = np.maximum(values, 0).sum(axis=0, dtype=dtype)
        negative = values.sum(axis=0, dtype=dtype) - positive
        lows[slot] = positive * low + negative * high
        highs[slot] = positive * high + negative * low
    for ends in (lows, highs):
        before = np.cumsum(ends[-1, :, :-1], axis=1, dtype=dtype)
        ends[:, :, 1:] += before
    # the last slot leaves the full weights in ``positive`` and ``negative``
    return StepRanges(low=lows, high=highs, l1=(positive - negative).sum(axis=1))
