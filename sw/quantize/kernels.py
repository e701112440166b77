"""Inner loops of the quantizers: compiled by numba where it is installed, else numpy.

Both give the same bits. All arithmetic is float32, one rounding per operation, nothing fused; in
half mode each result is rounded once more, to float16, which makes it the float16 operation
(rounding twice is harmless: 24 >= 2 * 11 + 2). For a group ``w``, a grid of rising values ``v`` and
a share:

- single: ``scale = half((reference / largest) * share)``, ``step = scale * unit``
- half: ``step = clip(half(half(reference / largest) * share), 1e-5, 1e4)``, ``scale = step * unit``
- ``x = w / step`` (0 where the step is 0), then the nearest ``v``: as many values lie below it as
  there are cuts ``< x``, or, on an even grid, ``x`` rounded half to even within the grid's ends
- ``error = v * step - w``; ``square = error * error``, times the importance where one is given
- the sum of the squares in numpy's pairwise order: up to 128 of them in eight interleaved sums,
  added as ``((0+1)+(2+3))+((4+5)+(6+7))``, then the rest one by one; fewer than eight one by one;
  more than 128 in two parts, the first of ``n // 2`` rounded down to a multiple of eight

The candidate with the strictly least sum stays, the first of equals: grids in order, the shares of
each in order. Published mode compares ``half(sum / n)`` of the ``half(square)`` instead, the
quotient rounded to float32 in between.
"""

import numpy as np
from numpy.typing import NDArray

from ..compiled import njit
from . import compiled
from .loops import CHUNK, Grids, fit_numpy, quotient

#: whether numba does the work; may be set to False
COMPILED = njit is not None


def fit(
    groups: NDArray[np.float32],
    reference: NDArray[np.float32],
    grids: Grids,
    *,
    shares: NDArray[np.float32],
    importance: NDArray[np.float32] | None = None,
    published: bool = False,
    use_numba: bool | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    """Best grid, share and codes of every group.

    Parameters
    ----------
    groups : finite (R, size), C order; float16 values in half mode.
    reference : (R,), magnitude that the largest value of a grid stands for at share 1.
    shares : (S,), of the reference, in the order in which they are tried.
    importance : (P, size), group ``r`` takes row ``r % P``.
    published : measure errors as the release does; half mode, without importance.
    use_numba : rather than numpy; None: :data:`COMPILED`.

    Returns
    -------
    Codes (R, size), indices of grids (R,), scales (R,).
    """
    weighting = np.zeros((1, 0), np.float32) if importance is None else importance
    rows = len(groups)
    found = np.empty(groups.shape, np.uint8), np.empty(rows, np.uint8), np.empty(rows, np.float32)
    if COMPILED if use_numba is None else use_numba:
        leaves = compiled.leaves(groups.shape[1])
        tables = ((grids.half, published), *grids.arrays)
        largest, unit = grids.largest, grids.unit
        compiled.fit(groups, reference, leaves, tables, largest, unit, shares, weighting, found)
        return found
    step = max(1, CHUNK // max(1, groups.shape[1]))
    for first in range(0, rows, step):
        part = slice(first, first + step)
        weights = weighting[np.arange(first, min(rows, first + step)) % len(weighting)]
        outcome = fit_numpy(groups[part], reference[part], grids, shares, weights, published)
        found[0][part], found[1][part], found[2][part] = outcome
    return found


def nearest(
    wanted: NDArray[np.float32],
    ids: NDArray[np.uint8],
    scales: NDArray[np.float32],
    grids: Grids,
    *,
    use_numba: bool | None = None,
) -> NDArray[np.uint8]:
    """Codes (R, n) nearest to ``wanted`` (R, n) for the grid and scale (R,) of each row."""
    out = np.empty(wanted.shape, np.uint8)
    if COMPILED if use_numba is None else use_numba:
        compiled.nearest(wanted, ids, scales, grids.unit, *grids.arrays, out)
        return out
    steps = scales * grids.unit
    for member, table in enumerate(grids.tables):
        chosen = ids == member
        x = quotient(wanted[chosen], steps[chosen])
        out[chosen] = table.codes[table.index(x)]
    return out


def magnitudes(
    groups: NDArray[np.float32], *, use_numba: bool | None = None
) -> NDArray[np.float32]:
    """Largest magnitude (R,) of each row of finite ``groups`` (R, size)."""
    if not (COMPILED if use_numba is None else use_numba):
        return np.maximum(groups.max(axis=1), -groups.min(axis=1)) + np.float32(0)
    out = np.empty(len(groups), np.float32)
    compiled.magnitudes(groups, out)
    return out
