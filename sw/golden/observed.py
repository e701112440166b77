"""Which values the accumulators of a layer take on given activations, in exact arithmetic."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sw.accumulators import StageRange

from . import narrow, narrow_loops
from .narrow_layer import Int64, NarrowLayer


@dataclass(frozen=True, kw_only=True, eq=False)
class Observed:
    """Ranges seen, in the same terms as proved ones, so that both stand side by side.

    Attributes
    ----------
    tokens : how many rows of activations were looked at.
    inner : by channel, worst group: sums latched and sums after any step.
    outer : by channel: results and sums after any addition of a scaled group.
    """

    tokens: int
    inner: StageRange
    outer: StageRange

    def __or__(self, other: "Observed") -> "Observed":
        """Both of them: of the same layer, on other tokens."""
        return Observed(
            tokens=self.tokens + other.tokens,
            inner=_joined(self.inner, other.inner),
            outer=_joined(self.outer, other.outer),
        )


def observed_ranges(
    layer: NarrowLayer, activations: Int64, *, use_numba: bool | None = None
) -> Observed:
    """Ranges of the accumulators of ``layer`` on ``activations``, int64 (M, K).

    Parameters
    ----------
    use_numba : rather than numpy; None: :data:`sw.golden.narrow.COMPILED`.

    Raises
    ------
    InputError : activations of another shape or outside the layer's input range.
    """
    layer.check_activations(activations)
    wanted = narrow.COMPILED if use_numba is None else use_numba

    def run(first: int, last: int) -> Observed:
        return _block(layer, activations[first:last], wanted)

    blocks = narrow.in_blocks(run, len(activations))
    found = blocks[0]
    for block in blocks[1:]:
        found |= block
    return found


def _block(layer: NarrowLayer, x: Int64, use_numba: bool) -> Observed:
    """:func:`observed_ranges` of a few tokens."""
    total = np.zeros((len(x), len(layer.levels)), np.int64)
    inner, outer = [], []
    for group in range(len(layer.parts)):
        sums = layer.exact_sums(group, x)
        total += layer.scaled(group, sums, x)
        steps = (_extremes if use_numba else _extremes_plainly)(layer, group, x)
        inner.append(_range(sums, *steps))
        outer.append(_range(total, total.min(axis=0), total.max(axis=0)))
    first, last = inner[0], outer[-1]
    for found in inner[1:]:
        first = _joined(first, found)
    # only the last sum is latched
    partial = outer[0]
    for found in outer[1:]:
        partial = _joined(partial, found)
    return Observed(
        tokens=len(x),
        inner=first,
        outer=StageRange(
            final_low=last.final_low,
            final_high=last.final_high,
            step_low=partial.step_low,
            step_high=partial.step_high,
        ),
    )


def _range(latched: Int64, low: NDArray[np.int64], high: NDArray[np.int64]) -> StageRange:
    return StageRange(
        final_low=latched.min(axis=0), final_high=latched.max(axis=0), step_low=low, step_high=high
    )


def _joined(left: StageRange, right: StageRange) -> StageRange:
    return StageRange(
        final_low=np.minimum(left.final_low, right.final_low),
        final_high=np.maximum(left.final_high, right.final_high),
        step_low=np.minimum(left.step_low, right.step_low),
        step_high=np.maximum(left.step_high, right.step_high),
    )


def _extremes(layer: NarrowLayer, group: int, x: Int64) -> tuple[Int64, Int64]:
    """Lowest and highest sum after any step of a group, (N,) each."""
    steps = layer.operands(group, np.arange(len(layer.levels)), x)
    limits = np.iinfo(steps[0].dtype)
    lows = np.full(len(layer.levels), limits.max, steps[0].dtype)
    highs = np.full(len(layer.levels), limits.min, steps[0].dtype)
    narrow_loops.extreme_sums(steps, lows, highs)
    return lows.astype(np.int64), highs.astype(np.int64)


def _extremes_plainly(layer: NarrowLayer, group: int, x: Int64) -> tuple[Int64, Int64]:
    """:func:`_extremes` by numpy."""
    inputs, places, table, lanes = layer.operands(group, np.arange(len(layer.levels)), x)
    register = np.zeros((len(x), len(layer.levels)), np.int64)
    seen = []
    for first in range(0, len(inputs), lanes):
        part = slice(first, first + lanes)
        for terms in table:
            factors = terms[places[:, part]].astype(np.int64)
            register = register + inputs[part].T.astype(np.int64) @ factors.T
            seen.append((register.min(axis=0), register.max(axis=0)))
    lows, highs = zip(*seen, strict=True)
    return np.min(lows, axis=0), np.max(highs, axis=0)
