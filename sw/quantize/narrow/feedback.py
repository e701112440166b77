"""AXE: error feedback as in GPTQ, every step within what its tile's register has left.

Colbert et al., TMLR 2025. Columns are rounded one after the other, what remains of a row is moved
to make up for it (:mod:`sw.quantize.gptq`), and a code may only take the room that the codes before
it left in its group. So that the first columns do not take it all, weights are moved toward zero by
a threshold, found anew every few columns for the rest of the group: the one under which that rest,
with errors weighted as the feedback weighs them, just fits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.target import AccumulatorTarget

from ..gptq import inverse_factor
from .budgets import Room, Whole
from .projection import Wide, nearest_codes_within
from .rounding import fit_groups_narrow, rounding_of

#: columns between two looks at the rest of the group
REFRESH = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """What a layer reads, as feedback needs it.

    Attributes
    ----------
    moments : their damped Hessian, (K, K).
    factor : U, upper triangular (K, K): ``U^T U`` is the inverse of ``moments``.
    alive : (K,), not always 0, or with nothing else in their group. Weights of the other inputs
        get the room that is left in the end.
    """

    moments: Wide
    factor: Wide
    alive: NDArray[np.bool_]

    @classmethod
    def of(cls, hessian: Wide, damping: float, group_size: int) -> "Inputs":
        """Inputs with ``X^T X`` = ``hessian`` (K, K).

        Raises
        ------
        InputError : as :func:`sw.quantize.gptq.inverse_factor`.
        """
        seen = np.diag(hessian) > 0
        alive = seen.copy()
        for first in range(0, len(seen), group_size):
            part = slice(first, first + group_size)
            alive[part] |= not seen[part].any()
        more = damping * float(np.diag(hessian).mean(where=seen) if seen.any() else 1)
        return cls(
            factor=inverse_factor(hessian, damping),
            moments=hessian + more * np.eye(len(seen)),
            alive=alive,
        )


def feedback_codes(
    weights: Wide,
    factor: Wide,
    limits: Whole,
    target: AccumulatorTarget,
    *,
    group_size: int,
    top: int,
    search: bool,
) -> tuple[Whole, NDArray[np.float32]]:
    """Codes (N, K) and float16 scales (N, groups) of weights (N, K).

    Parameters
    ----------
    factor : as of :class:`Inputs`.
    limits : of each group's register, (N, groups).
    target : inputs of the register.
    top : largest code.
    search : choose scales by least error over a grid, from the moved weights at the group's start.
    """
    left = weights.T.copy()
    columns = len(left)
    codes = np.zeros(left.shape, dtype=np.int64)
    scales = np.empty(limits.shape, dtype=np.float32)
    saliency = 1 / np.square(np.diag(factor))
    for group, first in enumerate(range(0, columns, group_size)):
        last = min(first + group_size, columns)
        importance = saliency[first:last] / saliency[first:last].mean()
        tile = np.ascontiguousarray(left[first:last].T)
        room = limits[:, group]
        scales[:, group] = fit_groups_narrow(
            tile,
            room,
            rounding_of("axe", target, top, importance),
            top,
            search=search,
            refit=False,
            importance=importance,
        )[1]
        steps = scales[:, group].astype(np.float64)
        place = slice(first, last)
        codes[place], errors = _tile(
            left[place], factor[place, place], steps, Room.of(target, room), importance, top
        )
        left[last:] -= factor[place, last:].T @ errors
    return np.ascontiguousarray(codes.T), scales


def _tile(
    left: Wide, factor: Wide, steps: Wide, room: Room, importance: Wide, top: int
) -> tuple[Whole, Wide]:
    """Codes and passed-on errors, (size, N) each, of one group, whose weights are consumed."""
    codes = np.zeros(left.shape, dtype=np.int64)
    errors = np.empty(left.shape)
    for i in range(len(left)):
        if i % REFRESH == 0:
            rest = (left[i:] / steps).T
            wanted = nearest_codes_within(rest, room, top, importance[i:])
            cuts = _cuts(rest, wanted, importance[i:], top)
        codes[i] = _code(left[i] / steps, cuts / importance[i], room, top)
        room = room.less(codes[i])
        errors[i] = error = (left[i] - codes[i] * steps) / factor[i, i]
        left[i + 1 :] -= factor[i, i + 1 :, None] * error
    return codes, errors


def _cuts(values: Wide, codes: Whole, importance: Wide, top: int) -> NDArray[np.float64]:
    """Thresholds (2, R), of positive and of negative weights, that gave ``codes``.

    The largest gain among the units that were left out, 0 where none was.
    """
    sizes = np.abs(codes)
    gains = np.where(sizes < top, importance * (np.abs(values) - sizes - 0.5), 0)
    positive = values > 0
    sides = [np.where(mask, gains, 0).max(axis=1) for mask in (positive, ~positive)]
    return np.stack(sides)


def _code(values: Wide, cuts: Wide, room: Room, top: int) -> Whole:
    """Codes (R,) of one column, cut to what the register has room for."""
    positive = values > 0
    sizes = np.abs(values) - np.where(positive, cuts[0], cuts[1])
    above, below = room.units()
    most = np.minimum(np.where(positive, above, below), top)
    found = np.minimum(np.clip(np.ceil(sizes - 0.5), 0, top).astype(np.int64), most)
    return np.where(positive, found, -found)
