"""GPTQ: rounding with error feedback through the correlations of the inputs.

Frantar et al., ICLR 2023, arXiv:2210.17323, algorithm 1. With ``H = X^T X`` of the inputs X
(tokens, K), columns are rounded one after the other, and what remains of every row is moved to
make up for it, in closed form (float64)::

    H <- H + damping * mean(diag H) * I          H^-1 = U^T U, U upper triangular (Cholesky)
    q_k = nearest code to w_k in its group       (format and scale fixed at the group's start)
    e   = (w_k - Q_k) / U[k, k]
    w_j <- w_j - e * U[k, j]      for all j > k

Format, scale and zero point of a group come from the moved weights at the group's start, by the
same rule as for rounding to nearest.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError, unknown_name
from sw.formats import FormatFamily

from .asymmetric import fit_asymmetric
from .matrix import SCALE_FORMATS, QuantizedMatrix
from .rounding import as_float32, check_settings, fit_groups, nearest_codes
from .tiles import GroupSize, as_weights, block_shape

Wide = NDArray[np.float64]


def gptq(
    weights: ArrayLike,
    hessian: ArrayLike,
    family: FormatFamily,
    *,
    group_size: GroupSize,
    group_rows: int = 1,
    scale_format: str = "float16",
    scale_rule: str = "absmax",
    percentile: float = 99.9,
    arithmetic: str = "float32",
    zero_points: bool = False,
    damping: float = 0.01,
    act_order: bool = False,
    block: int = 128,
) -> QuantizedMatrix:
    """Quantize the weights of one linear layer with error feedback.

    Without correlations (a diagonal ``hessian``) the result is that of rounding to nearest. Input
    channels that are 0 on all calibration tokens are rounded to nearest too and take part in no
    update (the released code sets their weights to 0).

    Parameters
    ----------
    weights : floating point (N, K), finite.
    hessian : real (K, K), symmetric, ``X^T X`` of the layer's inputs up to a positive factor.
    family : formats to choose from in each group; no outlier-victim pairs.
    group_size, group_rows, scale_format, percentile, arithmetic : as for
        :func:`sw.quantize.quantize_matrix`. ``arithmetic`` is that of choosing formats and scales;
        codes are always chosen in float32. 8-bit scales are made from the float16 ones at the end.
    scale_rule : as there; ``"output_mse"`` weighs squared errors with the diagonal of ``hessian``.
    zero_points : asymmetric integers (:mod:`sw.quantize.asymmetric`), ``family`` is one of
        ``int2_full`` .. ``int8_full``.
    damping : share of the mean of the diagonal that is added to it.
    act_order : round the columns with the largest inputs first. Formats and scales of all groups
        are then fixed beforehand, from the given weights ("static groups" of the released code).
    block : columns between two updates of the columns to their right. Only speed depends on it.

    Raises
    ------
    InputError : anything outside the above, or a Hessian that is not positive semidefinite.
    """
    if scale_format not in SCALE_FORMATS:
        raise unknown_name("scale format", scale_format, SCALE_FORMATS)
    rule = "mse" if scale_rule == "output_mse" else scale_rule
    check_settings(rule, percentile, arithmetic)
    array, moments = checked_moments(weights, hessian, family)
    height, width, size = block_shape(array.shape, group_size, group_rows)
    grid = (_ZeroPointGrid if zero_points else _Grid)(
        family=family,
        size=width,
        rows=height,
        shape=array.shape,
        importance=np.diag(moments) if scale_rule == "output_mse" else None,
        settings={"rule": rule, "percentile": percentile, "arithmetic": arithmetic},
    )
    run = _ordered if act_order else _in_order
    matrix = grid.matrix(run(array, moments, grid, damping, block), size)
    return matrix.with_uint8_scales() if scale_format == "uint8" else matrix


def checked_moments(
    weights: ArrayLike, hessian: ArrayLike, family: FormatFamily
) -> tuple[Wide, Wide]:
    """Weights (N, K) and Hessian (K, K) in float64, checked as :func:`gptq` says."""
    if family.pairs:
        raise InputError(f"GPTQ cannot round '{family.name}': its codes depend on their neighbours")
    array = as_weights(weights, float(np.finfo(np.float32).max), "float32").astype(np.float64)
    moments, columns = np.asarray(hessian, dtype=np.float64), array.shape[1]
    if moments.shape != (columns, columns) or not np.isfinite(moments).all():
        raise InputError(
            f"the Hessian of {columns} input channels must be finite and "
            f"({columns}, {columns}), not {moments.shape}"
        )
    if not np.allclose(moments, moments.T, rtol=1e-3, atol=1e-5 * np.abs(moments).max()):
        raise InputError("the Hessian is not symmetric")
    if moments.diagonal().min() < 0:
        raise InputError(f"the diagonal of the Hessian holds {moments.diagonal().min():g}")
    return array, moments


def inverse_factor(moments: Wide, damping: float) -> Wide:
    """U, upper triangular, with ``U^T U`` the inverse of the damped Hessian (K, K)."""
    if not 0 < damping <= 1:
        raise InputError(f"damping must be above 0 and at most 1, not {damping}")
    diagonal = np.diag(moments).copy()
    dead = diagonal == 0
    mean = float(diagonal[~dead].mean()) if not dead.all() else 1.0
    damped = moments.copy()
    np.fill_diagonal(damped, np.where(dead, mean, diagonal) + damping * mean)
    # with the order of rows and columns reversed, H = L L^T becomes U' U'^T, and U = U'^-1
    try:
        lower = np.linalg.cholesky(damped[::-1, ::-1])
    except np.linalg.LinAlgError:
        raise InputError(
            f"the Hessian with damping {damping:g} is not positive definite: "
            "use more calibration tokens or more damping"
        ) from None
    return np.triu(np.linalg.inv(lower[::-1, ::-1]))


@dataclass(kw_only=True, eq=False)
class _Grid:
    """Formats and scales of all groups of a matrix (N, K), filled in a group at a time."""

    family: FormatFamily
    size: int
    rows: int
    shape: tuple[int, int]
    importance: Wide | None
    settings: dict[str, Any]
    zeros: NDArray[np.int16] | None = None

    def __post_init__(self) -> None:
        per_group = (self.shape[0], -(-self.shape[1] // self.size))
        self.ids = np.zeros(per_group, dtype=np.uint8)
        self.scales = np.zeros(per_group, dtype=np.float32)
        self.values = (self.family.level_table * float(self.family.unit)).astype(np.float32)

    def matrix(self, codes: NDArray[np.uint8], group_size: int) -> QuantizedMatrix:
        """The result for codes (K, N)."""
        return QuantizedMatrix(
            family=self.family,
            group_size=group_size,
            group_rows=self.rows,
            codes=np.ascontiguousarray(codes.T),
            format_ids=self.ids,
            scales=self.scales,
            zero_points=self.zeros,
        )

    def fit(self, group: int, part: Wide) -> None:
        """Choose formats and scales of one group from its weights (columns, N)."""
        first = group * self.size
        weight = None if self.importance is None else self.importance[first : first + self.size]
        whole = self.shape[0] // self.rows * self.rows
        # rows that share a scale lie side by side; a last, smaller set of rows is fitted by itself
        for rows in (slice(0, whole), slice(whole, self.shape[0])):
            height = min(self.rows, rows.stop - rows.start)
            if height:
                tiles = part[:, rows].T.reshape(-1, height * len(part))
                tiled = None if weight is None else np.tile(weight, height)
                for kept, found in self._fitted(tiles, tiled):
                    kept[rows, group] = np.repeat(found, height)

    def _fitted(self, tiles: Wide, importance: Wide | None) -> list[tuple[NDArray, NDArray]]:
        """Pairs of an array to fill (N, groups) and what belongs into it, by tile."""
        _, ids, scales = fit_groups(tiles, self.family, importance=importance, **self.settings)
        return [(self.ids, ids), (self.scales, scales)]

    def round(self, column: int, values: Wide) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Codes and dequantized weights (N,) of one column."""
        group = column // self.size
        ids, scales = self.ids[:, group], self.scales[:, group]
        codes = nearest_codes(values[:, None], self.family, ids, scales)[:, 0]
        return codes, self.values[ids, codes] * scales


class _ZeroPointGrid(_Grid):
    """Integers of b bits around a zero point in each group."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.bits = self.family.bits
        if self.family.name not in [f"int{bits}_full" for bits in range(2, 9)]:
            raise InputError(
                f"'{self.family.name}' has no zero points: choose int2_full .. int8_full"
            )
        self.zeros = np.zeros(self.ids.shape, dtype=np.int16)

    def _fitted(self, tiles: Wide, importance: Wide | None) -> list[tuple[NDArray, NDArray]]:
        half = self.settings["arithmetic"] == "float16"
        _, _, scales, zeros = fit_asymmetric(
            as_float32(tiles, "weights", half=half),
            None if importance is None else importance.astype(np.float32)[None],
            bits=self.bits,
            rule=self.settings["rule"],
            percentile=self.settings["percentile"],
            half=half,
        )
        assert self.zeros is not None
        return [(self.scales, scales), (self.zeros, zeros)]

    def round(self, column: int, values: Wide) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        assert self.zeros is not None
        group, top = column // self.size, 1 << (self.bits - 1)
        scales, zeros = self.scales[:, group], self.zeros[:, group]
        ratio = values.astype(np.float32) / np.where(scales > 0, scales, np.float32(np.inf))
        levels = np.clip(np.rint(ratio) + zeros, -top, top - 1).astype(np.int16)
        codes = (levels & ((1 << self.bits) - 1)).astype(np.uint8)
        return codes, (levels - zeros) * scales


def _blocks(grid: _Grid, block: int) -> list[tuple[int, int]]:
    """Column ranges of at most ``block`` that hold whole groups or lie in one group.

    So the columns of a group that starts are up to date.
    """
    if block < 1:
        raise InputError(f"block must be at least 1 column, not {block}")
    columns, size = grid.shape[1], grid.size
    if size <= block:
        step = block // size * size
        return [(i, min(i + step, columns)) for i in range(0, columns, step)]
    return [
        (i, min(i + block, start + size, columns))
        for start in range(0, columns, size)
        for i in range(start, min(start + size, columns), block)
    ]


def _rounded(
    left: Wide,
    factor: Wide,
    grid: _Grid,
    blocks: list[tuple[int, int]],
    order: NDArray[np.intp] | None = None,
) -> NDArray[np.uint8]:
    """Codes (K, N) of the weights ``left`` (K, N), which are consumed.

    ``order``: the column of the matrix that each row of ``left`` is, its groups fitted already.
    """
    codes = np.empty(left.shape, dtype=np.uint8)
    for first, last in blocks:
        errors = np.empty((last - first, left.shape[1]))
        for i in range(first, last):
            column = i if order is None else int(order[i])
            if order is None and i % grid.size == 0:
                grid.fit(i // grid.size, left[i : i + grid.size])
            codes[i], rounded = grid.round(column, left[i])
            errors[i - first] = error = (left[i] - rounded) / factor[i, i]
            left[i + 1 : last] -= factor[i, i + 1 : last, None] * error
        left[last:] -= factor[first:last, last:].T @ errors
    return codes


def _in_order(
    array: Wide, moments: Wide, grid: _Grid, damping: float, block: int
) -> NDArray[np.uint8]:
    """Codes (K, N), columns from left to right."""
    return _rounded(array.T.copy(), inverse_factor(moments, damping), grid, _blocks(grid, block))


def _ordered(
    array: Wide, moments: Wide, grid: _Grid, damping: float, block: int
) -> NDArray[np.uint8]:
    """Codes (K, N) with the columns of the largest diagonal rounded first."""
    for group in range(grid.ids.shape[1]):
        grid.fit(group, array.T[group * grid.size : (group + 1) * grid.size])
    order = np.argsort(-np.diag(moments), kind="stable")
    factor = inverse_factor(moments[np.ix_(order, order)], damping)
    sorted_codes = _rounded(array.T[order], factor, grid, _blocks(grid, block), order)
    codes = np.empty_like(sorted_codes)
    codes[order] = sorted_codes
    return codes
