"""An input that drives one channel's accumulator to the end of its proved range.

The closed form is its own witness: every input sits at one end of its range, chosen by the sign of
its weight. So a bound can be replayed in the golden model or in the RTL: one bit less fails.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError
from sw.formats import TermTable

from .bounds import checked_scales, outer_sums
from .checks import Integers, Mode, Side, Stage, check_word, input_bounds, integer_array
from .schedule import Schedule, StepRanges, exact_dtype, largest_product, step_ranges
from .width import signed_width


@dataclass(frozen=True, kw_only=True, eq=False)
class Witness:
    """An input vector and the extreme that it reaches.

    Attributes
    ----------
    stage, mode, side : which accumulator, under which meaning of failing, which end of its range.
    inputs : activations, (K,), int64 (dtype object where int64 is too small). Weights that do not
        matter to the extreme meet 0, or the input nearest 0.
    group, chunk, slot : step after which the exact sum is ``value``. Ends of groups for ``wrap``
        and for the outer stage.
    value : the extreme.
    """

    stage: Stage
    mode: Mode
    side: Side
    inputs: Integers
    group: int
    chunk: int
    slot: int
    value: int

    @property
    def bits(self) -> int:
        """Width that ``value`` needs.

        With one bit less the accumulator fails on ``inputs`` (but 1 bit is the least there is).
        For the side that needs the most bits this is the channel's own width, which never fails.
        """
        return signed_width(self.value, self.value)


def witness(
    levels_row: ArrayLike,
    *,
    terms: TermTable | None,
    group_size: int,
    lanes: int,
    input_range: tuple[int, int],
    scale_row: ArrayLike | None,
    stage: Stage,
    mode: Mode,
    sign: Side | None = None,
    outer_levels_row: ArrayLike | None = None,
) -> Witness:
    """The input that drives one channel to the end of its range; see :func:`.layer_bounds`.

    Parameters
    ----------
    levels_row : integer weights of the channel, (K,).
    terms, group_size, lanes, input_range : as for :func:`.layer_bounds`.
    scale_row : unsigned scale of each group, (groups,); only the outer stage needs it.
    stage, mode : which accumulator, and what failing means.
    outer_levels_row : weights as the outer stage sees them, (K,), as for :func:`.layer_bounds`.
    sign : end of the range to reach; ``None`` takes the one that needs the most bits (high if
        both do).

    Raises
    ------
    InputError : as :func:`.layer_bounds`, an unknown word, or an outer stage without scales.
    """
    check_word("accumulator stage", stage, Stage)
    check_word("accumulator mode", mode, Mode)
    outer = stage == "outer" and outer_levels_row is not None
    row = outer_levels_row if outer and outer_levels_row is not None else levels_row
    levels = integer_array(row, "levels of a row", ndim=1)[None]
    low, high = input_bounds(input_range)
    # corrected levels need no terms: the outer stage sees whole products
    used = None if outer else terms
    schedule = Schedule(length=levels.shape[1], group_size=group_size, lanes=lanes, terms=used)
    scales = _outer_scales(scale_row, schedule) if stage == "outer" else None
    bound = largest_product(schedule, levels, low, high)
    steps = step_ranges(levels, schedule, low, high, exact_dtype(bound))
    ends = _stage_ends(steps, scales, bound)
    extremes = {side: _extreme(ends[side], side, stage, mode, schedule) for side in ends}
    side = sign or _widest(extremes["low"][0], extremes["high"][0])
    check_word("witness sign", side, Side)
    value, (group, chunk, slot) = extremes[side]
    return Witness(
        stage=stage,
        mode=mode,
        side=side,
        inputs=_inputs(_signs(levels, schedule, scales, (group, chunk, slot)), side, low, high),
        group=group,
        chunk=chunk,
        slot=terms.slots - 1 if outer and terms is not None else slot,
        value=value,
    )


def _outer_scales(scale_row: ArrayLike | None, schedule: Schedule) -> Integers:
    if scale_row is None:
        raise InputError("a witness of the outer stage needs the scale codes of its row")
    row = integer_array(scale_row, "scale codes of a row", ndim=1)[None]
    return checked_scales(row, 1, schedule)


def _widest(low: int, high: int) -> Side:
    return "low" if signed_width(low, low) > signed_width(high, high) else "high"


def _stage_ends(steps: StepRanges, scales: Integers | None, bound: int) -> dict[Side, Integers]:
    """Lowest and highest sum by (group, chunk, slot), in the order of the steps."""
    if scales is None:
        return {
            "low": np.moveaxis(steps.low[..., 0], 0, -1),
            "high": np.moveaxis(steps.high[..., 0], 0, -1),
        }
    return {
        "low": outer_sums(steps.group_low, scales, bound)[:, :, None],
        "high": outer_sums(steps.group_high, scales, bound)[:, :, None],
    }


def _extreme(
    ends: Integers, side: Side, stage: Stage, mode: Mode, schedule: Schedule
) -> tuple[int, tuple[int, int, int]]:
    """The extreme of ``ends`` that matters in ``mode``, and the first step that reaches it."""
    if mode == "wrap":
        ends = ends[:, -1:, -1:]  # latched at the end of each group
    only_last = stage == "outer" and mode == "wrap"
    if only_last:
        ends = ends[-1:]
    flat = int(ends.argmin() if side == "low" else ends.argmax())
    group, chunk, slot = (int(i) for i in np.unravel_index(flat, ends.shape))
    value = int(ends[group, chunk, slot])
    if only_last:
        group = schedule.groups - 1
    if stage == "outer" or mode == "wrap":
        chunk, slot = schedule.chunks_of(group) - 1, schedule.slots - 1
    return value, (group, chunk, slot)


def _signs(
    levels: Integers, schedule: Schedule, scales: Integers | None, step: tuple[int, int, int]
) -> NDArray[np.int64]:
    """Sign of the factor by which each input enters the sum after ``step``, (K,)."""
    group, chunk, slot = step
    groups, chunks, lanes = schedule.positions
    dtype = exact_dtype(schedule.largest_partial(levels))
    partials = list(schedule.partials(levels, dtype))
    whole, latest = (p[lanes, groups, chunks, 0] for p in (partials[-1], partials[slot]))
    inside = groups == group
    factors = np.where(inside & (chunks < chunk), whole, 0)
    factors = np.where(inside & (chunks == chunk), latest, factors)
    if scales is not None:
        # the outer sum also holds the groups before, and nothing of a group scaled by 0
        factors = np.where(groups < group, whole, factors)
        factors = np.where(scales[0][groups] > 0, factors, 0)
    return (factors > 0).astype(np.int64) - (factors < 0).astype(np.int64)


def _inputs(signs: NDArray[np.int64], side: Side, low: int, high: int) -> Integers:
    """The input at the end that pushes its product to ``side``; nearest 0 without influence."""
    idle = min(max(0, low), high)
    positive, negative = (high, low) if side == "high" else (low, high)
    dtype: Any = exact_dtype(max(abs(low), abs(high)))
    choices = np.array([idle, positive, negative], dtype=object if dtype is object else np.int64)
    return choices[signs]  # sign -1 picks the last
