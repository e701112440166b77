"""Nearest points of the sets that an accumulator allows.

Real weights: the L1 ball (Duchi et al., ICML 2008) and its part with sum 0. Integers: under a
budget on their magnitudes, the integers nearest to given numbers are these numbers moved toward
zero by one threshold and rounded to nearest. For the k-th unit of a number u lowers the squared
error by ``2 (|u| - k) + 1``, less for every further k, so the best units are those above some
threshold.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .budgets import Room, Whole

Wide = NDArray[np.float64]
#: halvings of the interval that holds a threshold
HALVINGS = 12
#: of a projection to an integer; a million of them are still far from a unit
CLOSE = 1e-9


def simplex_threshold(values: Wide, totals: Wide) -> Wide:
    """``a`` (R,) with ``sum(max(values - a, 0), axis=1) = totals``, for totals above 0.

    Parameters
    ----------
    values : (R, size).
    totals : (R,).
    """
    falling = -np.sort(-values, axis=1)
    counts = np.arange(1, values.shape[1] + 1)
    candidates = (np.cumsum(falling, axis=1) - totals[:, None]) / counts
    last = np.maximum((falling > candidates).sum(axis=1), 1) - 1
    return np.take_along_axis(candidates, last[:, None], axis=1)[:, 0]


def project_l1(values: Wide, budgets: Wide) -> Wide:
    """Nearest points with sums of magnitudes of at most ``budgets``, row by row.

    Parameters
    ----------
    values : (R, size).
    budgets : (R,), not negative.
    """
    sizes = np.abs(values)
    threshold = simplex_threshold(sizes, np.where(budgets > 0, budgets, 1))
    inside = sizes.sum(axis=1) <= budgets
    shrunk = np.maximum(sizes - np.where(inside, 0, threshold)[:, None], 0)
    return np.where(budgets > 0, 1.0, 0.0)[:, None] * np.copysign(shrunk, values)


def project_centred(values: Wide, budgets: Wide) -> Wide:
    """Nearest points with sum 0 and sums of magnitudes of at most ``budgets``, row by row.

    Above the budget, what lies above one threshold and what lies below another is kept, each with
    half of the budget.
    """
    centred = values - values.mean(axis=1, keepdims=True)
    halves = np.where(budgets > 0, budgets, 1) / 2
    above = simplex_threshold(centred, halves)[:, None]
    below = simplex_threshold(-centred, halves)[:, None]
    cut = np.maximum(centred - above, 0) - np.maximum(-centred - below, 0)
    inside = np.abs(centred).sum(axis=1) <= budgets
    nearest = np.where(inside[:, None], centred, cut)
    return np.where(budgets[:, None] > 0, nearest, 0)


def units(sizes: Wide, thresholds: Wide, top: int) -> Whole:
    """Magnitudes (R, size) less thresholds, rounded to nearest, halves down, from 0 to ``top``."""
    return np.clip(np.ceil(sizes - 0.5 - thresholds), 0, top).astype(np.int64)


def nearest_codes_within(
    values: Wide, room: Room, top: int, importance: Wide | None = None
) -> Whole:
    """Integers up to ``top`` nearest to ``values`` (R, size) that fit the room of their group.

    The least squared error there is, up to the room of a single unit, where inputs are unsigned or
    as wide on both sides; with two's-complement inputs, units of the two signs are taken to cost
    the same (they differ by 1 of 2**(N - 1)).

    Parameters
    ----------
    importance : weights of the squared errors, (size,), above 0.
    """
    sizes, positive = np.abs(values), values > 0
    weights = np.ones(values.shape[1]) if importance is None else importance
    found = units(sizes, np.zeros(1), top)
    full = np.flatnonzero(~_fits(found, positive, room))
    if full.size:
        wide, signs = sizes[full], positive[full]
        inner = replace(room, high=room.high[full], low=room.low[full])
        # where the signs do not share room, each has a threshold of its own
        sides = [signs, ~signs] if room.separate else [np.ones_like(signs)]
        parts = [_shared(np.where(side, wide, 0), signs, weights, top, inner) for side in sides]
        found[full] = sum(parts)
    return np.where(positive, found, -found)


def _fits(found: Whole, positive: NDArray[np.bool_], room: Room) -> NDArray[np.bool_]:
    above = np.where(positive, found, 0).sum(axis=1)
    return room.holds(above, found.sum(axis=1) - above)


def _shared(sizes: Wide, positive: NDArray[np.bool_], weights: Wide, top: int, room: Room) -> Whole:
    """Magnitudes under one threshold for both signs."""
    best, low = thresholds(sizes, positive, weights, top, room)
    # the interval of the threshold leaves some units open: take as many as there is room for
    gains = weights * (sizes - best - 0.5)
    still_open = (gains > low[:, None]) & (best < top)
    left = room.less(np.where(positive, best, -best))
    above, below = (found[:, None] for found in left.units())
    both = np.minimum(above, below)
    spare = np.where(positive, above, below) if room.separate else both
    return best + (still_open & (np.cumsum(still_open, axis=1) <= spare))


def thresholds(
    sizes: Wide, positive: NDArray[np.bool_], weights: Wide, top: int, room: Room
) -> tuple[Whole, Wide]:
    """Magnitudes (R, size) that fit, and a threshold (R,) just too low for more."""
    low = np.zeros(len(sizes))
    high = (sizes * weights).max(axis=1)
    # in floating point, exact for sums of so few small integers
    above, rounded = positive.astype(np.float64), sizes - 0.5
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        tried = rounded - middle[:, None] / weights
        np.clip(np.ceil(tried, out=tried), 0, top, out=tried)
        up = np.einsum("ij,ij->i", tried, above)
        fits = room.holds(up, tried.sum(axis=1) - up)
        high, low = np.where(fits, middle, high), np.where(fits, low, middle)
    return units(sizes, high[:, None] / weights, top), low


def round_toward_zero(values: Wide) -> Whole:
    """Whole parts, so that no integer budget on magnitudes is exceeded.

    What is a billionth short of an integer counts as that integer: projections round.
    """
    found: Any = np.trunc(values + np.copysign(CLOSE, values)).astype(np.int64)
    return found
