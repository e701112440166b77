"""Ternary and binary levels with their scales, and PTQTP: weights as two ternary planes."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError, unknown_name

from .planes import Array, PlaneSum, checked_weights, grouped, half_scales, plane_of
from .tables import get_family

#: (plane 1, plane 2) trits, fewest non-zero first: ties go to the first
TRIT_PAIRS = np.array(
    [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1)], dtype=np.int8
)
TERNARY_RULES = ("absmean", "absmedian", "trilm")
#: weights whose nine candidates are held at once
CHUNK_WEIGHTS = 1 << 18


def ternary_levels(
    weights: ArrayLike, *, rule: str = "absmean", epsilon: float = 1e-5
) -> tuple[NDArray[np.int8], float]:
    """Ternary levels of all ``weights`` (any shape) and their one scale.

    ``T = clip(round(w / (scale + epsilon)), -1, 1)``, ties to even, value ``T * scale``. The scale
    is mean|w| (``absmean``: BitNet b1.58, arXiv:2402.17764), median|w| (``absmedian``: b1.58
    Reloaded, arXiv:2407.09527), or epsilon + mean|w| with ``T`` from w / scale (``trilm``: Spectra,
    arXiv:2407.12327).
    """
    if rule not in TERNARY_RULES:
        raise unknown_name("ternary scale rule", rule, TERNARY_RULES)
    array = np.asarray(weights, dtype=np.float64)
    if not array.size or not np.isfinite(array).all():
        raise InputError("weights must be finite numbers, at least one")
    magnitude = np.abs(array)
    scale = float(np.median(magnitude) if rule == "absmedian" else magnitude.mean())
    divisor = scale + epsilon
    levels = np.rint(array / divisor).clip(-1, 1).astype(np.int8)
    return levels, divisor if rule == "trilm" else scale


def binary_levels(weights: ArrayLike) -> tuple[NDArray[np.int8], float]:
    """Signs of all ``weights`` (any shape, 0 counts as +) and the scale mean|w|, the best for them.

    The binary planes of XNOR-Net (arXiv:1603.05279) and the non-salient weights of PB-LLM
    (arXiv:2310.00034).
    """
    array = np.asarray(weights, dtype=np.float64)
    if not array.size or not np.isfinite(array).all():
        raise InputError("weights must be finite numbers, at least one")
    return np.where(array < 0, -1, 1).astype(np.int8), float(np.abs(array).mean())


def onebit_scales(weights: ArrayLike) -> tuple[Array, Array]:
    """OneBit (arXiv:2402.11295): row and column scales, weight ~= g[n] * sign(w) * h[k].

    g (N,) and h (K,) are the rank-1 part of abs(w) by singular values, split evenly, not negative.
    """
    left, values, right = np.linalg.svd(np.abs(checked_weights(weights)), full_matrices=False)
    root = np.sqrt(values[0])
    return np.abs(left[:, 0]) * root, np.abs(right[0]) * root


def trit_planes(
    weights: ArrayLike, *, group_size: int = 128, ridge: float = 1e-8, max_iterations: int = 50
) -> PlaneSum:
    """PTQTP (arXiv:2509.16989): two ternary planes with a scale each per group of a row.

    From absmean ternary levels of the weights and of what they leave, in turns: scales by 2x2 ridge
    regression for the present trits, then for every weight the best of the nine pairs of trits;
    until no trit changes, at most ``max_iterations`` times. ``ridge`` is relative to the number of
    non-zero trits. The first plane has the larger scale. Start, ridge and cap are this project's
    (provisional): the paper adapts the ridge to the conditioning.

    Parameters
    ----------
    weights : real (N, K), finite.
    """
    array = checked_weights(weights)
    groups = grouped(array, group_size)
    rows = groups.reshape(-1, group_size)
    trits = np.zeros((2, *rows.shape), dtype=np.int8)
    scales = np.zeros((2, len(rows)))
    step = max(1, CHUNK_WEIGHTS // group_size)
    for first in range(0, len(rows), step):
        part = slice(first, first + step)
        trits[:, part], scales[:, part] = _fit_trits(rows[part], ridge, max_iterations)
    shape = groups.shape
    return PlaneSum(
        planes=tuple(
            plane_of(
                get_family("ternary"),
                trits[index].reshape(shape),
                half_scales(scales[index]).reshape(shape[:2]),
                array.shape[1],
            )
            for index in range(2)
        )
    )


def _fit_trits(rows: Array, ridge: float, max_iterations: int) -> tuple[NDArray[np.int8], Array]:
    """Trits (2, R, size) and float16-valued scales (2, R) of groups (R, size)."""
    first = _absmean_trits(rows)
    norm = np.maximum((first != 0).sum(axis=1), 1)
    rest = rows - first * ((rows * first).sum(axis=1) / norm)[:, None]
    trits = np.stack([first, _absmean_trits(rest)])
    for _ in range(max_iterations):
        before = trits
        scales = _ridge_scales(rows, trits, ridge)
        trits = _best_pairs(rows, scales)
        if np.array_equal(trits, before):
            break
    scales = np.abs(_ridge_scales(rows, trits, ridge))
    scales = np.sort(half_scales(scales).astype(np.float64), axis=0)[::-1]
    return _best_pairs(rows, scales), scales


def _absmean_trits(rows: Array) -> NDArray[np.int8]:
    scale = np.abs(rows).mean(axis=1, keepdims=True)
    quotient = np.divide(rows, scale, out=np.zeros_like(rows), where=scale > 0)
    return np.rint(quotient).clip(-1, 1).astype(np.int8)


def _ridge_scales(rows: Array, trits: NDArray[np.int8], ridge: float) -> Array:
    """Solve (S'S + lambda I) a = S'w for each group, S the two columns of trits: (2, R)."""
    one, two = trits.astype(np.float64)
    a, b, c = (one * one).sum(axis=1), (two * two).sum(axis=1), (one * two).sum(axis=1)
    right_one, right_two = (one * rows).sum(axis=1), (two * rows).sum(axis=1)
    strength = ridge * np.maximum(a + b, 1)
    a, b = a + strength, b + strength
    return np.stack([b * right_one - c * right_two, a * right_two - c * right_one]) / (
        a * b - c * c
    )


def _best_pairs(rows: Array, scales: Array) -> NDArray[np.int8]:
    """The pair of trits nearest to every weight, (2, R, size)."""
    values = (scales.T @ TRIT_PAIRS.T)[:, None, :]
    best = np.abs(values - rows[..., None]).argmin(axis=2)
    return np.moveaxis(TRIT_PAIRS[best], -1, 0)
