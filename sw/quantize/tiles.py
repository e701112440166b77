"""Cutting a matrix into blocks that share a scale, a bounded number of weights at a time."""

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError, unknown_name

from .matrix import check_group_size
from .rounding import as_float32, check_importance

#: weights that are worked on at a time, unless a single block has more
BLOCK_WEIGHTS = 1 << 18
GroupSize = int | Literal["channel", "tensor"]
Fit = Callable[[NDArray[np.float32], NDArray[np.float32] | None], tuple[NDArray, ...]]
"""Groups (R, size) and importance (P, size), row ``r % P`` for group ``r``, to codes (R, size),
format ids (R,), scales (R,) and perhaps more results (R,)."""


def as_weights(weights: ArrayLike, limit: float, arithmetic: str) -> NDArray[np.floating]:
    """``weights`` as they are, checked: floating, 2-D, finite, magnitudes up to ``limit``.

    Raises
    ------
    InputError : with the place of a bad weight.
    """
    array = np.asarray(weights)
    if array.dtype not in (np.float16, np.float32, np.float64):
        raise InputError(f"weights must be float16, float32 or float64, not {array.dtype}")
    if array.ndim != 2 or not array.size:
        raise InputError(
            "weights must be a non-empty 2-D array (output channels, input channels), "
            f"not shape {array.shape}"
        )
    rows = max(1, BLOCK_WEIGHTS // array.shape[1])
    for first in range(0, len(array), rows):
        part = array[first : first + rows]
        if -limit <= float(part.min()) and float(part.max()) <= limit:  # not with a nan
            continue
        finite = np.isfinite(part)
        row, column = np.argwhere(np.abs(part) > limit if finite.all() else ~finite)[0].tolist()
        found = f"weights hold {part[row, column]} at {(first + row, column)}"
        if not finite.all():
            raise InputError(f"{found}: every weight must be finite")
        raise InputError(f"{found}: {arithmetic} quantization takes magnitudes up to {limit:g}")
    return array


def block_shape(
    shape: tuple[int, int], group_size: GroupSize, group_rows: int
) -> tuple[int, int, int]:
    """Rows and columns of the blocks that share a scale, and the group size to store.

    Raises
    ------
    InputError : a group size or number of rows that is neither positive nor one of the words.
    """
    if isinstance(group_size, str) and group_size not in ("channel", "tensor"):
        raise unknown_name("group size", group_size, ("channel", "tensor"))
    if isinstance(group_rows, bool) or not isinstance(group_rows, int) or group_rows < 1:
        raise InputError(f"group_rows must be a whole number of at least 1, not {group_rows!r}")
    size = shape[1] if isinstance(group_size, str) else group_size
    check_group_size(size)
    height = shape[0] if group_size == "tensor" else min(group_rows, shape[0])
    return height, min(size, shape[1]), size


def tiles(
    shape: tuple[int, int], height: int, width: int
) -> Iterator[tuple[slice, slice, int, int]]:
    """Cut a matrix into runs of equal blocks, of at most BLOCK_WEIGHTS weights or a single block.

    Yields
    ------
    Rows and columns of a run, and height and width of its blocks; blocks that the matrix's edge
    cuts short come in runs of their own.
    """
    rows, columns = shape
    bands = [(0, rows - rows % height, height), (rows - rows % height, rows, rows % height)]
    spans = [(0, columns - columns % width, width)]
    spans += [(columns - columns % width, columns, columns % width)]
    for top, bottom, tall in bands:
        for left, right, wide in spans:
            if top == bottom or left == right:
                continue
            across = min(right - left, wide * max(1, BLOCK_WEIGHTS // (tall * wide)))
            down = tall * max(1, BLOCK_WEIGHTS // (tall * across))
            for row in range(top, bottom, down):
                for column in range(left, right, across):
                    yield (
                        slice(row, min(bottom, row + down)),
                        slice(column, min(right, column + across)),
                        tall,
                        wide,
                    )


def _to_groups(part: NDArray, height: int, width: int) -> NDArray:
    """A run of blocks (N, K) as (blocks, height * width), block by block along the rows."""
    shape = (len(part) // height, height, part.shape[1] // width, width)
    return part.reshape(shape).transpose(0, 2, 1, 3).reshape(-1, height * width)


def _from_groups(groups: NDArray, shape: tuple[int, int], height: int, width: int) -> NDArray:
    """The inverse of :func:`_to_groups`."""
    blocks = groups.reshape(shape[0] // height, shape[1] // width, height, width)
    return blocks.transpose(0, 2, 1, 3).reshape(shape)


def fit_blocks(
    array: NDArray,
    block: tuple[int, int],
    fit: Fit,
    *,
    half: bool,
    importance: ArrayLike | None = None,
) -> tuple[NDArray, ...]:
    """Quantize a matrix block by block.

    Parameters
    ----------
    array : (N, K), as :func:`as_weights` gives it.
    block : height and width of the blocks; those at the edges are smaller.
    fit : quantizes the blocks, each as a row, its own rows one after the other.
    half : round weights to float16 first.
    importance : weights of the squared errors of the columns (K,), or None.

    Returns
    -------
    Codes (N, K), then the results of ``fit`` as (N, groups), repeated for the rows of a block.

    Raises
    ------
    InputError : bad importance, or a matrix that is not zero but would become so.
    """
    weighting = check_importance(importance, array.shape[1:])
    codes = np.empty(array.shape, dtype=np.uint8)
    results: list[NDArray] = []
    kept = False
    for rows, columns, tall, wide in tiles(array.shape, *block):
        part = array[rows, columns]
        groups = as_float32(_to_groups(part, tall, wide), "weights", half=half)
        some = None
        if weighting is not None:
            some = np.tile(weighting[columns].reshape(-1, wide), (1, tall))
        found, *more = fit(groups, some)
        kept = kept or bool((groups if half else more[1]).any())
        codes[rows, columns] = _from_groups(found, part.shape, tall, wide)
        if not results:
            results = [
                np.empty((len(array), -(-array.shape[1] // block[1])), a.dtype) for a in more
            ]
        at = slice(columns.start // block[1], -(-columns.stop // block[1]))
        for whole, one in zip(results, more, strict=True):
            whole[rows, at] = np.repeat(one.reshape(len(part) // tall, -1), tall, axis=0)
    if not kept and array.any():
        raise InputError(
            f"weights of at most {np.abs(array).max():g} all become 0 in float16: scale them up"
        )
    return codes, *results
