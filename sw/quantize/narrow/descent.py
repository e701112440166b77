"""Codes looked at again, each with all others known: coordinate descent in what a register holds.

Error feedback goes through the columns once, and a column's error counts on room that later columns
may no longer have. Here every code is set anew to the best of those that fit, while the rest of its
row stays, and again until nothing changes. With ``d = w - Q`` and the moments H of the inputs, the
error ``d H d^T`` of a row is a parabola in each code ``q_k``, least at ::

    q_k + (d H)_k / (H_kk scale)

The scale of a group is set anew in the same way. No step raises the error.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.target import AccumulatorTarget

from .budgets import Room, Whole
from .projection import Wide
from .rounding import half_scales

#: times that every code is looked at, at most
SWEEPS = 8
#: columns between two updates of what lies outside of them
BLOCK = 128


def output_errors(differences: Wide, moments: Wide) -> Wide:
    """``d H d^T`` of each row d of ``differences`` (N, K): squared errors of the outputs, (N,)."""
    found: Wide = np.einsum("ij,ij->i", differences @ moments, differences)
    return found


def full_rows(
    codes: Whole, limits: Whole, target: AccumulatorTarget, size: int
) -> NDArray[np.bool_]:
    """Rows of codes (N, K) with a group that has no room for one more unit of some sign, (N,)."""
    full = np.zeros(len(codes), dtype=bool)
    for group, room in enumerate(limits.T):
        part = codes[:, group * size : (group + 1) * size]
        full |= np.minimum(*Room.of(target, room).less(part).units()) == 0
    return full


def descend(
    weights: Wide,
    codes: Whole,
    scales: NDArray[np.float32],
    moments: Wide,
    limits: Whole,
    target: AccumulatorTarget,
    *,
    group_size: int,
    top: int,
    refit: bool,
) -> tuple[Whole, NDArray[np.float32]]:
    """Codes (N, K) and float16 scales (N, groups) with no more error than those given.

    Parameters
    ----------
    weights : (N, K).
    codes, scales : to start from; the codes fit.
    moments : positive definite, (K, K).
    limits : of each group's register, (N, groups).
    target : inputs of the register.
    top : largest code.
    refit : let scales follow the codes, else only codes change.
    """
    codes, scales = codes.copy(), scales.copy()
    rows = np.flatnonzero(full_rows(codes, limits, target, group_size))
    for _ in range(SWEEPS):
        if not rows.size:
            break
        sweep = _Sweep(
            codes=np.ascontiguousarray(codes[rows].T),
            steps=scales[rows].astype(np.float64),
            slopes=np.empty((0, 0)),
            moments=moments,
            top=top,
        )
        sweep.start(weights[rows], group_size)
        sweep.run(limits[rows], target, group_size, refit)
        changed = (codes[rows] != sweep.codes.T).any(axis=1)
        codes[rows], scales[rows] = sweep.codes.T, sweep.steps
        rows = rows[changed]
    return codes, scales


@dataclass(kw_only=True, eq=False)
class _Sweep:
    """One look at every code of some rows.

    Attributes
    ----------
    codes : (K, R).
    steps : scales in float64, (R, groups).
    slopes : ``H d^T`` (K, R), kept up to date.
    """

    codes: Whole
    steps: Wide
    slopes: Wide
    moments: Wide
    top: int

    def start(self, weights: Wide, size: int) -> None:
        """Slopes of the codes as they are."""
        columns = np.arange(len(self.codes)) // size
        self.slopes = self.moments @ (weights.T - self.codes * self.steps.T[columns])

    def run(self, limits: Whole, target: AccumulatorTarget, size: int, refit: bool) -> None:
        """Every group in turn: its codes, then its scale."""
        for group, first in enumerate(range(0, len(self.codes), size)):
            place = slice(first, min(first + size, len(self.codes)))
            room = Room.of(target, limits[:, group]).less(self.codes[place].T)
            for start in range(first, place.stop, BLOCK):
                block = slice(start, min(start + BLOCK, place.stop))
                room = self._codes(block, self.steps[:, group], room)
            if refit:
                self._scale(place, group)

    def _codes(self, block: slice, steps: Wide, room: Room) -> Room:
        """Set the codes of a block anew; what is left of ``room``."""
        before = self.codes[block].copy()
        near, slopes = self.moments[block, block], self.slopes[block].copy()
        for i, old in enumerate(before):
            freed = room.more(old)
            above, below = (np.minimum(units, self.top) for units in freed.units())
            wanted = np.rint(old + slopes[i] / (near[i, i] * steps)).clip(-below, above)
            new = wanted.astype(np.int64)
            self.codes[block.start + i] = new
            room = freed.less(new)
            slopes -= near[:, i, None] * ((new - old) * steps)
        self.slopes -= self.moments[:, block] @ ((self.codes[block] - before) * steps)
        return room

    def _scale(self, place: slice, group: int) -> None:
        """Set a group's scale anew where float16 has a better one."""
        codes = self.codes[place].astype(np.float64)
        old = self.steps[:, group]
        gain = np.einsum("ij,ij->j", codes, self.slopes[place])
        curve = np.einsum("ij,ij->j", codes, self.moments[place, place] @ codes)
        wanted = old + gain / np.where(curve > 0, curve, np.inf)
        new = np.where(wanted > 0, half_scales(wanted).astype(np.float64), old)
        change = new - old
        change[change * (change * curve - 2 * gain) >= 0] = 0
        self.steps[:, group] += change
        self.slopes -= self.moments[:, place] @ (codes * change)
