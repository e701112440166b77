"""Pareto fronts: which points nothing dominates, how much they cover, which of them to name.

Everywhere here less is better: negate a column of which more is better (:func:`minimised`). A point
dominates another when it is no worse in any objective and better in at least one. Values are
float64; a row with a NaN or an infinity is no point and is on no front.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError, unknown_name

from .metrics import METRICS
from .table import Table

Values = NDArray[np.float64]
Places = NDArray[np.int64]

#: pairs of points compared at once: a few MiB of booleans
_PAIRS = 1 << 21
#: points that a first pass compares all others with
_PIVOTS = 16


def minimised(table: Table, objectives: Sequence[str]) -> Values:
    """The objectives of a table's points, float64 (points, objectives), all with less better.

    Infeasible points are rows of NaN.

    Raises
    ------
    InputError : a name that is no metric, or a metric that is no objective.
    """
    values = np.full((len(table), len(objectives)), np.nan)
    for place, name in enumerate(objectives):
        if name not in METRICS or METRICS[name].better is None:
            goals = [metric.name for metric in METRICS.values() if metric.better]
            raise unknown_name("objective", name, goals)
        values[:, place] = table.metrics[name] * (-1 if METRICS[name].better == "more" else 1)
    values[~table.feasible] = np.nan
    return values


def front(values: ArrayLike) -> Places:
    """Places of the points that no other point dominates, int64, increasing.

    Exact; equal points are all kept. Up to three objectives take O(n log^2 n) whatever the points,
    more take O(n f) for a front of f points.

    Parameters
    ----------
    values : (points, objectives); less is better; rows with a NaN or an infinity are left out.

    Raises
    ------
    InputError : not two-dimensional, or without objectives.
    """
    values = _matrix(values)
    places = np.flatnonzero(np.isfinite(values).all(1))
    places = places[_not_below_pivots(values[places])]
    # equal points stand and fall together: each distinct point is looked at once
    order = np.lexsort(values[places].T[::-1])
    ordered = values[places[order]]
    first = np.ones(len(ordered), bool)
    first[1:] = (ordered[1:] != ordered[:-1]).any(1)
    kept = _distinct_front(ordered[first])[np.cumsum(first) - 1]
    return np.sort(places[order[kept]])


def _matrix(values: ArrayLike) -> Values:
    matrix = np.asarray(values, np.float64)
    if matrix.ndim != 2 or not matrix.shape[1]:
        raise InputError(f"a front is of (points, objectives), got the shape {matrix.shape}")
    return matrix


def _not_below_pivots(values: Values) -> NDArray[np.bool_]:
    """Mask of the points that a few good points do not dominate: often a small part."""
    kept = np.ones(len(values), bool)
    if len(values) <= 4 * _PIVOTS:
        return kept
    low, high = values.min(0), values.max(0)
    # halves, so that the difference of two finite numbers is finite
    key = (values / 2 - low / 2).dot(1 / np.maximum(high / 2 - low / 2, np.finfo(float).tiny))
    for pivot in values[np.argpartition(key, _PIVOTS)[:_PIVOTS]]:
        left = np.flatnonzero(kept)
        rest = values[left]
        kept[left] = (rest < pivot).any(1) | (rest == pivot).all(1)
    return kept


def _distinct_front(values: Values) -> NDArray[np.bool_]:
    """Mask of the front; ``values`` are distinct and in lexicographic order.

    A dominator stands before the points it dominates, so each point is compared with earlier ones.
    """
    if not len(values):
        return np.zeros(0, bool)
    match values.shape[1]:
        case 1:
            return np.arange(len(values)) == 0
        case 2:
            least = np.minimum.accumulate(values[:, 1])
            return np.concatenate([[True], values[1:, 1] < least[:-1]])
        case 3:
            return ~_dominated_by_halves(values[:, 1], values[:, 2])
    return _front_by_blocks(values)


def _dominated_by_halves(y: Values, z: Values) -> NDArray[np.bool_]:
    """Mask of the places with an earlier place whose ``y`` and ``z`` are both no greater.

    Divide and conquer over places (Kung, Luccio, Preparata: On finding the maxima of a set of
    vectors, J. ACM 22(4), 1975), all parts of one size at once: in every part, in the order of y,
    the running minimum of z over its first half is what its second half has to stay below.
    """
    size = 1 << max(len(y) - 1, 1).bit_length()
    padded = np.full(size, np.inf)
    padded[: len(y)] = y
    # stable: of equal y the earlier place comes first
    order = np.argsort(padded, kind="stable")
    padded[: len(z)] = z
    dominated = np.zeros(size, bool)
    while size > 1:
        half = size // 2
        second = (order & half) != 0
        z_of = padded[order]
        least = np.where(second, np.inf, z_of).reshape(-1, size)
        np.minimum.accumulate(least, axis=1, out=least)
        dominated[order[second & (least.ravel() <= z_of)]] = True
        # each half has as many places in every part: a stable partition is two selections
        halves = [order[~second].reshape(-1, 1, half), order[second].reshape(-1, 1, half)]
        order = np.concatenate(halves, axis=1).ravel()
        size = half
    return dominated[: len(y)]


def _front_by_blocks(values: Values) -> NDArray[np.bool_]:
    """Any number of objectives: each block against the front so far, then against itself."""
    # Points near the ideal first, as they dominate most. Rounded sums keep the order of domination
    # but for ties, which the order of ``values`` breaks, the sort being stable.
    low, high = values.min(0), values.max(0)
    scaled = (values / 2 - low / 2) / np.maximum(high / 2 - low / 2, np.finfo(float).tiny)
    order = np.argsort(np.add.accumulate(scaled, axis=1)[:, -1], kind="stable")
    found = np.empty((0, values.shape[1]))
    kept = np.zeros(len(values), bool)
    for start in range(0, len(order), 1024):
        block = order[start : start + 1024]
        block = block[~_below(values[block], found)]
        block = block[~_below(values[block], values[block])]
        kept[block] = True
        found = np.concatenate([found, values[block]])
    return kept


def _below(values: Values, others: Values) -> NDArray[np.bool_]:
    """Mask of the points that some other point dominates."""
    alive = np.arange(len(values))
    start, step = 0, 32
    while start < len(others) and len(alive):
        step = max(1, min(2 * step, _PAIRS // len(alive)))
        part, mine = others[start : start + step], values[alive]
        no_worse = np.ones((len(alive), len(part)), bool)
        better = np.zeros((len(alive), len(part)), bool)
        for axis in range(values.shape[1]):
            no_worse &= part[None, :, axis] <= mine[:, axis, None]
            better |= part[None, :, axis] < mine[:, axis, None]
        alive = alive[~(no_worse & better).any(1)]
        start += step
    return ~np.isin(np.arange(len(values)), alive)


def hypervolume(values: ArrayLike, reference: ArrayLike) -> float:
    """What the points dominate of the box below ``reference``, in the product of the units.

    Points that are not better than the reference in every objective add nothing. Exact but for
    rounding, O(n log n) (Fonseca, Paquete, Lopez-Ibanez: An improved dimension-sweep algorithm for
    the hypervolume indicator, CEC 2006).

    Raises
    ------
    InputError : more than three objectives, or a reference of another size.
    """
    values, reference = _matrix(values), np.asarray(reference, np.float64)
    objectives = values.shape[1]
    if objectives > 3 or reference.shape != (objectives,):
        raise InputError(
            f"a hypervolume is of 1 to 3 objectives and a reference of as many, got {objectives} "
            f"and {reference.size}"
        )
    values = values[front(values)]
    sides = (reference - values)[(values < reference).all(1)]
    # fewer objectives: the box is 1 deep in the others
    sides = np.concatenate([sides, np.ones((len(sides), 3 - objectives))], axis=1)
    return _volume(sides[np.lexsort(sides.T)[::-1]].tolist())


def _volume(boxes: list[list[float]]) -> float:
    """Volume of the union of boxes with a common corner; (x, y, z) sides, z falling.

    Swept down z: the union's cut is a staircase, whose area only grows.
    """
    stairs_x, stairs_y = [0.0], [float("inf")]  # x rising, y falling
    area = volume = 0.0
    for place, (x, y, z) in enumerate(boxes):
        # stairs with x and y both no greater than the box's go; those are side by side
        stop = bisect_right(stairs_x, x)
        start = bisect_left(stairs_y, -y, 0, len(stairs_y), key=lambda side: -side)
        if start < stop or (stop == len(stairs_x) or stairs_y[stop] < y):
            beyond = stairs_y[stop] if stop < len(stairs_y) else 0.0
            for old in range(start, stop + 1):
                left = stairs_x[old - 1]
                right = stairs_x[old] if old < stop else x
                area += (right - left) * (y - (stairs_y[old] if old < stop else beyond))
            stairs_x[start:stop], stairs_y[start:stop] = [x], [y]
        below = boxes[place + 1][2] if place + 1 < len(boxes) else 0.0
        volume += area * (z - below)
    return volume


def knees(values: ArrayLike, names: Sequence[str], more: Collection[str] = ()) -> dict[str, int]:
    """Points of a front that have a name: ``knee``, and ``least NAME`` or ``most NAME``.

    The knee is the point nearest to the ideal in Manhattan distance, each objective's logarithm
    scaled to 0..1 over the front (Chiu, Yen, Juan: Minimum Manhattan distance approach to multiple
    criteria decision making in multiobjective optimization problems, IEEE Trans. Evol. Comput.
    20(6), 2016). With two objectives that is the point farthest from the line through the extremes
    (Das: On characterizing the knee of the Pareto curve, Structural Optimization 18, 1999).
    Logarithms, as trades are judged by ratios; an objective whose values are not all of one sign is
    scaled as it is.

    Parameters
    ----------
    values : of a front, (points, objectives); less is better. Points that are not on the front of
        ``values`` get no name.
    names : of the objectives.
    more : those of ``names`` whose values are negated, more being better.

    Returns
    -------
    places in ``values``; of equally good points the first. Empty without points.
    """
    values = _matrix(values)
    places = front(values)
    if not len(places):
        return {}
    values = values[places]
    far = np.zeros(len(values))
    for column in values.T:
        if (column > 0).all() or (column < 0).all():
            column = np.log(np.abs(column)) * np.sign(column)
        span = column.max() - column.min()
        far += (column - column.min()) / (span or 1.0)
    # rounded, so that the order of additions does not break a tie
    found = {"knee": int(places[np.argmin(far.round(12))])}
    for name, column in zip(names, values.T, strict=True):
        found[f"{'most' if name in more else 'least'} {name}"] = int(places[np.argmin(column)])
    return found
