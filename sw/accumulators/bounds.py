"""How wide the accumulators of a layer must be, proved for every input in a range.

The bound is exact, not merely safe: :mod:`sw.accumulators.witness` gives, for every channel, an
input on which one bit less fails. What "wide enough" means depends on the mode:

``wrap``
    the value latched at the end is right, whatever happened before: the range of final sums;
``saturate``, ``flag``
    no step's sum ever leaves the register: the range over all steps.

With 0 in the input range and terms that never overshoot their level the two coincide. They differ
when 0 is outside the input range (running sums go further than final ones), and when a level is
built with an overshoot (7 = 8 - 1 passes through 8).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError
from sw.formats import TermTable

from .checks import Integers, Mode, Stage, check_word, input_bounds, integer, integer_array
from .compiled import group_ranges
from .schedule import Schedule, exact_dtype, largest_product
from .width import signed_width, signed_widths

#: Weights handled at a time, so that memory does not grow with the layer.
BLOCK_WEIGHTS = 1 << 17


@dataclass(frozen=True, kw_only=True, eq=False)
class StageRange:
    """Exact range of one accumulator per output channel, over all inputs.

    Attributes
    ----------
    final_low, final_high : latched values, (N,). The inner stage takes its worst group.
    step_low, step_high : sums after any step, (N,), the final ones included.

    All are int64, or Python ints (dtype object) where int64 could overflow.
    """

    final_low: Integers
    final_high: Integers
    step_low: Integers
    step_high: Integers

    def low(self, mode: Mode) -> Integers:
        """Lowest value that matters in ``mode``, (N,)."""
        check_word("accumulator mode", mode, Mode)
        return self.final_low if mode == "wrap" else self.step_low

    def high(self, mode: Mode) -> Integers:
        """Highest value that matters in ``mode``, (N,)."""
        check_word("accumulator mode", mode, Mode)
        return self.final_high if mode == "wrap" else self.step_high

    def bits(self, mode: Mode) -> NDArray[np.int64]:
        """Smallest width that suffices in ``mode``, signed two's complement, (N,)."""
        return signed_widths(self.low(mode), self.high(mode))


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerBounds:
    """Bounds of one layer.

    Attributes
    ----------
    input_low, input_high : range of every activation, both inclusive.
    group_size, lanes, slots : the schedule that the step ranges hold for; no group is longer than a
        row.
    inner : range of the inner accumulator, worst group of each channel.
    outer : range of the outer accumulator, given that the inner one holds; ``None`` without scales.
    l1 : largest sum of absolute weights of a group, (N,), for the bounds of the literature.
    weight_bits : width of the narrowest signed type that holds every weight, likewise.
    order : name of the order of additions, see :mod:`sw.accumulators.orders`; ``slots`` is the
        machine's.
    corrected : range of the sums of whole rows after the input's zero point is subtracted, where
        the registers above sum codes that have one.
    """

    input_low: int
    input_high: int
    group_size: int
    lanes: int
    slots: int
    inner: StageRange
    outer: StageRange | None
    l1: Integers
    weight_bits: int
    order: str = "slots"
    corrected: StageRange | None = None

    @property
    def channels(self) -> int:
        """Output channels N."""
        return len(self.l1)

    @property
    def input_signed(self) -> bool:
        """Whether the inputs need a sign."""
        return self.input_low < 0

    @property
    def input_bits(self) -> int:
        """Width of the narrowest integer type that holds every input."""
        width = signed_width(self.input_low, self.input_high)
        return width if self.input_signed else max(1, width - 1)

    def stage(self, stage: Stage) -> StageRange:
        """The range of ``stage``; the outer one is refused where there is none."""
        check_word("accumulator stage", stage, Stage)
        if stage == "inner":
            return self.inner
        if self.outer is None:
            raise InputError("the layer has no outer accumulator: it was bounded without scales")
        return self.outer

    def inner_bits(self, mode: Mode) -> NDArray[np.int64]:
        """Smallest P_I of each channel, (N,)."""
        return self.inner.bits(mode)

    def outer_bits(self, mode: Mode) -> NDArray[np.int64]:
        """Smallest P_O of each channel, (N,), given that P_I holds."""
        return self.stage("outer").bits(mode)

    def max_bits(self, stage: Stage, mode: Mode) -> int:
        """Smallest width that suffices for every channel."""
        return int(self.stage(stage).bits(mode).max())

    def worst_channel(self, stage: Stage, mode: Mode) -> int:
        """First channel that needs :meth:`max_bits`."""
        return int(self.stage(stage).bits(mode).argmax())


class Overflow(NamedTuple):
    """One channel whose accumulator is too narrow: what it needs, and the range behind that."""

    channel: int
    stage: Stage
    needed_bits: int
    low: int
    high: int


def layer_bounds(
    levels: ArrayLike,
    *,
    terms: TermTable | None,
    group_size: int,
    lanes: int,
    input_range: tuple[int, int],
    scale_codes: ArrayLike | None,
    outer_levels: ArrayLike | None = None,
) -> LayerBounds:
    """Exact accumulator ranges of one layer for every input in ``input_range``.

    Parameters
    ----------
    levels : integer weights, (N, K), any integer dtype or Python ints.
    terms : term table that the PE steps through, or ``None`` for a bit-parallel PE.
    group_size, lanes : the schedule along K; the last group and chunk may be ragged.
    input_range : smallest and largest activation, both inclusive; need not contain 0.
    scale_codes : unsigned scale of each group, (N, ceil(K / group_size)), or ``None`` where there
        is no outer accumulator.
    outer_levels : weights as the outer accumulator sees them, (N, K), where zero points are
        subtracted in between; ``None`` for ``levels`` themselves.

    Raises
    ------
    InputError : empty, ragged or non-integer arrays, sizes below 1, a level without terms.
    """
    levels = integer_array(levels, "levels", ndim=2)
    low, high = input_bounds(input_range)
    channels, length = levels.shape
    schedule = Schedule(length=length, group_size=group_size, lanes=lanes, terms=terms)
    scales = None if scale_codes is None else checked_scales(scale_codes, channels, schedule)
    outer = levels if outer_levels is None else integer_array(outer_levels, "outer levels", ndim=2)
    if outer.shape != levels.shape:
        raise InputError(f"outer levels have shape {outer.shape}, the levels {levels.shape}")
    ends, outer_ends = _ends(levels), None if outer is levels else _ends(outer)
    parts = [ends] if outer_ends is None else [ends, outer_ends]
    bound = max(largest_product(schedule, part, low, high) for part in parts)
    corrected = None if outer_levels is None else outer
    blocks = _blocks(levels, corrected, scales, schedule, (low, high), bound)
    joined = [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
    return LayerBounds(
        input_low=low,
        input_high=high,
        group_size=schedule.group_length,
        lanes=schedule.lanes,
        slots=schedule.slots,
        inner=_stage_range(joined[1:5]),
        outer=None if scales is None else _stage_range(joined[5:9]),
        l1=joined[0],
        weight_bits=signed_width(int(ends[0]), int(ends[1])),
    )


def single_stage_bounds(weights: ArrayLike, input_range: tuple[int, int]) -> LayerBounds:
    """Bounds of plain integer dot products: one accumulator, one product per step, in order.

    Parameters
    ----------
    weights : (N, K) integers of any size.
    input_range : smallest and largest activation, both inclusive.

    The final range and the range over all partial sums (steps) coincide when 0 is in the input
    range. Raises :class:`InputError` like :func:`layer_bounds`.
    """
    weights = integer_array(weights, "weights", ndim=2)
    return layer_bounds(
        weights,
        terms=None,
        group_size=weights.shape[1],
        lanes=1,
        input_range=input_range,
        scale_codes=None,
    )


def overflowing_channels(
    bounds: LayerBounds,
    inner_bits: int | None,
    outer_bits: int | None,
    inner_mode: Mode,
    outer_mode: Mode,
) -> list[Overflow]:
    """Every channel that some input can overflow at the given widths, inner stage first.

    Bits may be ``None`` to leave a stage out.
    """
    wanted: tuple[tuple[Stage, int | None, Mode], ...]
    wanted = (("inner", inner_bits, inner_mode), ("outer", outer_bits, outer_mode))
    found = []
    for stage, bits, mode in wanted:
        if bits is None:
            continue
        held = integer(bits, f"{stage} accumulator bits", least=1)
        range_ = bounds.stage(stage)
        needed, low, high = range_.bits(mode), range_.low(mode), range_.high(mode)
        found += [
            Overflow(int(c), stage, int(needed[c]), int(low[c]), int(high[c]))
            for c in np.flatnonzero(needed > held)
        ]
    return found


def checked_scales(scale_codes: ArrayLike, channels: int, schedule: Schedule) -> Integers:
    """``scale_codes`` as a non-negative integer array of shape (channels, groups)."""
    scales = integer_array(scale_codes, "scale codes", ndim=2)
    if scales.shape != (channels, schedule.groups):
        raise InputError(
            f"scale codes have shape {scales.shape}, the layer needs one per channel and group, "
            f"{(channels, schedule.groups)}"
        )
    if scales.min() < 0:
        raise InputError(f"scale codes must not be negative, found {scales.min()}")
    return scales


def outer_sums(groups: Integers, scales: Integers, bound: int) -> Integers:
    """Running scaled sums of one side of the group ranges, (groups, n).

    Parameters
    ----------
    groups : lowest or highest sum of each group, (groups, n).
    scales : (n, groups), not negative, so that they keep the side.
    bound : largest magnitude in ``groups``.
    """
    dtype = exact_dtype(bound * int(scales.max()) * len(groups))
    if dtype is not object:
        dtype = np.int64
    return np.cumsum(groups.astype(dtype) * scales.T.astype(dtype), axis=0, dtype=dtype)


def _blocks(
    levels: Integers,
    outer_levels: Integers | None,
    scales: Integers | None,
    schedule: Schedule,
    input_range: tuple[int, int],
    bound: int,
) -> Iterator[list[Integers]]:
    """L1, inner range and, with scales, outer range of a few channels at a time."""
    rows = max(1, BLOCK_WEIGHTS // schedule.length)
    whole = replace(schedule, terms=None)  # the outer stage sees whole products
    for first in range(0, len(levels), rows):
        sums = group_ranges(levels[first : first + rows], schedule, *input_range, bound)
        lows, highs = sums.group_low, sums.group_high
        block = [sums.l1, lows.min(axis=0), highs.max(axis=0), sums.step_low, sums.step_high]
        if scales is not None:
            codes = scales[first : first + rows]
            if outer_levels is not None:
                sums = group_ranges(outer_levels[first : first + rows], whole, *input_range, bound)
                lows, highs = sums.group_low, sums.group_high
            lows, highs = outer_sums(lows, codes, bound), outer_sums(highs, codes, bound)
            block += [lows[-1], highs[-1], lows.min(axis=0), highs.max(axis=0)]
        yield block


def _ends(levels: Integers) -> Integers:
    """Smallest and largest level, (2,): all that a bound on the sums depends on."""
    return np.array([levels.min(), levels.max()], dtype=levels.dtype)


def _stage_range(ends: list[Integers]) -> StageRange:
    wide: list[Any] = [e if e.dtype == object else e.astype(np.int64) for e in ends]
    return StageRange(final_low=wide[0], final_high=wide[1], step_low=wide[2], step_high=wide[3])
