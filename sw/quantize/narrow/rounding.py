"""Groups of weights to codes that a register has room for, and the scale that suits them best.

A larger scale makes smaller codes: it is the knob that trades resolution against room. The scale
is chosen first and the codes for it. It may then be fitted to the codes, which stay as they are;
codes are never made again from weights that were shrunk, since they would grow back.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from configs.target import AccumulatorTarget

from .budgets import Room, Whole, a2q_budget, a2q_plus_budget
from .projection import (
    Wide,
    nearest_codes_within,
    project_centred,
    project_l1,
    round_toward_zero,
)

#: scales to try, times the one that stands the largest level for the largest magnitude: the
#: smallest clips, the largest (times the top level) leaves codes of -1, 0 and 1
SMALLEST_SHARE, SHARES = 0.3, 24
#: of a scale: float16
LARGEST_SCALE = float(np.finfo(np.float16).max)
#: weights worked on at a time, so that they stay in the cache
BLOCK_WEIGHTS = 1 << 15

Rounding = Callable[[Wide, Whole], Whole]
"""Weights over scale (R, size) and limits (R,) to codes (R, size)."""


def rounding_of(
    method: str, target: AccumulatorTarget, top: int, importance: Wide | None = None
) -> Rounding:
    """How ``method`` rounds groups for a register.

    ``a2q``: nearest point of the L1 ball, toward zero. ``a2q_plus``: the same with sum 0, or as
    ``a2q`` where that is nearer. ``axe``, ``axe_rtn``: the nearest integers that fit the exact
    range, errors weighted by ``importance`` (size,), above 0.
    """
    if method == "a2q":
        return partial(_a2q, target=target, top=top)
    if method == "a2q_plus":
        return partial(_a2q_plus, target=target, top=top, importance=importance)
    return partial(_within, target=target, top=top, importance=importance)


def _a2q(values: Wide, limits: Whole, *, target: AccumulatorTarget, top: int) -> Whole:
    budgets = a2q_budget(limits, target.width, target.input_signed)
    return round_toward_zero(project_l1(np.clip(values, -top, top), budgets.astype(np.float64)))


def _a2q_plus(
    values: Wide, limits: Whole, *, target: AccumulatorTarget, top: int, importance: Wide | None
) -> Whole:
    """Centred where that buys room; the mean comes back where the codes are better with it.

    Weights fit as they are where each sign has at most half of the budget. A2Q's own budget holds
    for weights that are not centred: of both roundings the one with less error is taken.
    """
    clipped = np.clip(values, -top, top)
    budgets = a2q_plus_budget(limits, target.width).astype(np.float64)
    positive = np.maximum(clipped, 0).sum(axis=1)
    inside = np.maximum(positive, positive - clipped.sum(axis=1)) <= budgets / 2
    centred = np.where(inside[:, None], clipped, project_centred(clipped, budgets))
    found = round_toward_zero(np.clip(centred, -top, top))
    plain = _a2q(values, limits, target=target, top=top)
    weights = np.ones(values.shape[1]) if importance is None else importance
    better = np.square(values - plain) @ weights <= np.square(values - found) @ weights
    return np.where(better[:, None], plain, found)


def _within(
    values: Wide,
    limits: Whole,
    *,
    target: AccumulatorTarget,
    top: int,
    importance: Wide | None,
) -> Whole:
    return nearest_codes_within(values, Room.of(target, limits), top, importance)


def plain_scales(groups: Wide, top: int) -> Wide:
    """Scales (R,) that stand level ``top`` for the largest magnitude; 1 for zeros."""
    largest = np.abs(groups).max(axis=1) / top
    return np.where(largest > 0, largest, 1)


def half_scales(scales: Wide) -> NDArray[np.float32]:
    """Scales as float16 stores them, (R,); those below its smallest number become that number."""
    tiny = float(np.finfo(np.float16).smallest_subnormal)
    return np.clip(scales, tiny, LARGEST_SCALE).astype(np.float16).astype(np.float32)


def fit_groups_narrow(
    groups: Wide,
    limits: Whole,
    rounding: Rounding,
    top: int,
    *,
    search: bool,
    refit: bool = True,
    importance: Wide | None = None,
) -> tuple[Whole, NDArray[np.float32]]:
    """Codes (R, size) of groups (R, size) and their float16 scales (R,).

    Parameters
    ----------
    limits : of each group's register, (R,).
    top : largest code.
    search : try a grid of scales and keep the one with the least squared error, else the plain one.
    refit : let the scale follow the codes (least squares), which stay; only with ``search``.
    importance : weights of the squared errors, (size,).
    """
    rows = max(1, BLOCK_WEIGHTS // groups.shape[1])
    codes = np.empty(groups.shape, dtype=np.int64)
    scales = np.empty(len(groups), dtype=np.float32)
    weights = np.ones(groups.shape[1]) if importance is None else importance
    for first in range(0, len(groups), rows):
        part = slice(first, first + rows)
        plain = plain_scales(groups[part], top)
        if search:
            found = _searched(groups[part], limits[part], rounding, plain, top, weights, refit)
        else:
            kept = half_scales(plain)
            found = rounding(groups[part] / kept[:, None], limits[part]), kept
        codes[part], scales[part] = found
    return codes, scales


def _searched(
    groups: Wide,
    limits: Whole,
    rounding: Rounding,
    plain: Wide,
    top: int,
    weights: Wide,
    refit: bool,
) -> tuple[Whole, NDArray[np.float32]]:
    """Codes and scales with the least error of the grid of scales, the first of equals."""
    best = np.full(len(groups), np.inf)
    codes, scales = np.zeros(groups.shape, dtype=np.int64), half_scales(plain)
    for share in (1.0, *np.geomspace(SMALLEST_SHARE, top, SHARES)):
        tried = half_scales(plain * share)
        found = rounding(groups / tried[:, None], limits)
        if refit:
            tried = _fitted(groups, found, weights, tried)
        error = np.square(groups - found * tried[:, None]) @ weights
        better = error < best
        best[better] = error[better]
        codes[better], scales[better] = found[better], tried[better]
    return codes, scales


def _fitted(
    groups: Wide, codes: Whole, weights: Wide, scales: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Scales with the least squared error for given codes; ``scales`` where no positive one is."""
    squares = np.square(codes) @ weights
    wanted = (groups * codes) @ weights / np.where(squares > 0, squares, 1)
    return np.where(wanted > 0, half_scales(wanted), scales)
