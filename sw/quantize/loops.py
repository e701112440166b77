"""The loops of :mod:`sw.quantize.kernels` in numpy: same bits, without a compiler."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

#: values that are taken at a time
CHUNK = 1 << 16
#: the released quantizer's limits of a step
STEP_RANGE = np.float16(1e-5), np.float16(1e4)
# rounding to float16: adding 1.5 * 2**13 times its power of two leaves ten fraction bits
EXPONENT, TENTH_BIT = np.int32(0x7F800000), np.float32(3 << 12)
SMALLEST_NORMAL, OVERFLOW = np.float32(2.0**-14), np.float32(65520)
INFINITY = np.float32(np.inf)


@dataclass(frozen=True, eq=False)
class Grids:
    """The formats of a family, ready for arithmetic; rows of the arrays are members.

    Attributes
    ----------
    half : whether arithmetic is float16.
    values : float32 (members, count), grid values in rising order, the last repeated.
    cuts : float32 (members, count - 1), the largest float32 that is not above the halfway point.
    codes : uint8 (members, count), code of each value.
    counts : int64 (members,), values of each member.
    even : bool (members,), consecutive integers whose ties go to the even one.
    largest : float32 (members,), divisor of a group's magnitude.
    unit : step over scale; in half mode scale over step.
    """

    half: bool
    values: NDArray[np.float32]
    cuts: NDArray[np.float32]
    codes: NDArray[np.uint8]
    counts: NDArray[np.int64]
    even: NDArray[np.bool_]
    largest: NDArray[np.float32]
    unit: np.float32

    @cached_property
    def arrays(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Values, cuts and codes, float32 (members, 3, count), and int64 (counts, even)."""
        members, count = self.values.shape
        stacked = np.zeros((members, 3, count), np.float32)
        stacked[:, 0], stacked[:, 1, : count - 1], stacked[:, 2] = (
            self.values,
            self.cuts,
            self.codes,
        )
        return stacked, np.stack([self.counts, self.even], axis=1)

    @cached_property
    def tables(self) -> "list[Table]":
        """What the numpy loops take, by member."""
        return [Table(self, member) for member in range(len(self.counts))]


class Table:
    """One grid for the numpy loops: index of the nearest value by look-up wherever possible."""

    def __init__(self, grids: Grids, member: int) -> None:
        count = int(grids.counts[member])
        self.half, self.even = grids.half, bool(grids.even[member])
        self.largest = grids.largest[member]
        self.values = grids.values[member, :count]
        self.cuts = grids.cuts[member, : count - 1]
        self.codes = grids.codes[member, :count]
        twice = self.cuts.astype(np.float64) * 2
        self.by_steps = bool(np.all(twice == np.rint(twice))) and np.ptp(twice) < 1 << 16
        if self.even:
            return
        if self.by_steps:
            self.first, self.last = np.float32(twice[0]), np.float32(twice[-1] + 1)
            every = np.arange(twice[0], twice[-1] + 2) / 2
        else:
            every = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float64)
        self.lut = np.searchsorted(self.cuts, every, side="left").astype(np.uint8)

    def index(self, x: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Index of the value nearest to each ``x``, float16 values in half mode."""
        if self.even:
            low, high = self.values[0], self.values[-1]
            return (np.rint(np.clip(x, low, high)) - low).astype(np.uint8)
        if self.by_steps:
            # cuts are multiples of 1/2: x is above one where ceil(2 * x) is above its double
            place = np.ceil(x + x).clip(self.first, self.last) - self.first
            return self.lut[place.astype(np.int32)]
        if self.half:
            return self.lut[x.astype(np.float16).view(np.uint16)]
        return np.searchsorted(self.cuts, x, side="left").astype(np.uint8)


def rounded_half(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """``x`` rounded to the nearest float16, ties to even; its memory is used.

    numpy's own conversion takes tens of nanoseconds where it underflows.
    """
    shift = (x.view(np.int32) & EXPONENT).view(np.float32)
    np.maximum(shift, SMALLEST_NORMAL, out=shift)
    shift *= TENTH_BIT
    large = np.abs(x) >= OVERFLOW
    if large.any():
        with np.errstate(invalid="ignore"):
            return np.where(large, np.copysign(INFINITY, x), (x + shift) - shift)
    x += shift
    x -= shift
    return x


def quotient(
    w: NDArray[np.float32], steps: NDArray[np.float32], half: bool = False
) -> NDArray[np.float32]:
    """``w`` (r, n) by ``steps`` (r,), 0 where a step is 0, rounded to float16 if ``half``."""
    with np.errstate(over="ignore", invalid="ignore"):
        if steps.all():
            x = w / steps[:, None]
        else:
            column = np.broadcast_to(steps[:, None], w.shape)
            x = np.divide(w, column, out=np.zeros_like(w), where=column > 0)
        return rounded_half(x) if half else x


def _steps(
    reference: NDArray[np.float32], table: Table, unit: np.float32, share: np.float32
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Steps and scales."""
    ratio = reference / table.largest
    if not table.half:
        scales = rounded_half(ratio * share)
        return scales * unit, scales
    steps = rounded_half(rounded_half(ratio) * share)
    least, most = (np.float32(limit) for limit in STEP_RANGE)
    steps = np.clip(steps, least, most)
    return steps, steps * unit


def _errors(
    w: NDArray[np.float32],
    steps: NDArray[np.float32],
    table: Table,
    weights: NDArray[np.float32],
    published: bool,
) -> NDArray[np.float32]:
    """Sums of squared errors (r,) of the rows of ``w``."""
    size = w.shape[1]
    if size > CHUNK:
        first = size // 2 - size // 2 % 8
        left, right = (
            _errors(w[:, part], steps, table, weights[:, part], published)
            for part in (slice(first), slice(first, None))
        )
        return left + right
    error = table.values[table.index(quotient(w, steps, table.half))]
    error *= steps[:, None]
    if table.half:
        error = rounded_half(error)
    error -= w
    if table.half:
        error = rounded_half(error)
    error *= error
    if published:
        error = rounded_half(error)
    if weights.shape[1]:
        error *= weights
    return error.sum(axis=1)


def fit_numpy(
    groups: NDArray[np.float32],
    reference: NDArray[np.float32],
    grids: Grids,
    shares: NDArray[np.float32],
    weights: NDArray[np.float32],
    published: bool,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    """:func:`sw.quantize.kernels.fit` of a few groups; importance (R, size) or (R, 0)."""
    rows, size = groups.shape
    least, best_steps, best_scales = (np.zeros(rows, np.float32) for _ in range(3))
    best = np.zeros(rows, np.uint8)
    only = len(grids.tables) * len(shares) == 1
    for m, table in enumerate(grids.tables):
        for s, share in enumerate(shares):
            steps, scales = _steps(reference, table, grids.unit, share)
            error = least
            if not only:
                error = _errors(groups, steps, table, weights, published)
            if published and not only:
                error = rounded_half((error / np.float64(size)).astype(np.float32))
            better = error < least if m + s else np.ones(rows, bool)
            best[better], best_steps[better], best_scales[better] = m, steps[better], scales[better]
            least = np.where(better, error, least)
    codes = np.empty(groups.shape, np.uint8)
    for m, table in enumerate(grids.tables):
        chosen = best == m
        for first in range(0, size, CHUNK):
            part = slice(first, first + CHUNK)
            x = quotient(groups[chosen, part], best_steps[chosen], table.half)
            codes[chosen, part] = table.codes[table.index(x)]
    return codes, best, best_scales
