"""Block, plane and pair formats as quantized matrices."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError
from sw.formats import FormatFamily, get_family
from sw.formats.blocks import BlockFormat
from sw.formats.pairs import PairFormat
from sw.formats.planes import Plane, PlaneSum
from sw.formats.terms import MAX_LEVEL_BITS

from .matrix import E8M0_BIAS, QuantizedMatrix, scale_values

#: shares of three sigma that the largest normal level is tried at
SWEEP = tuple(share / 20 for share in range(10, 51, 2))

LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


def quantize_blocks(weights: ArrayLike, block: BlockFormat) -> QuantizedMatrix:
    """Weights (N, K) in a block format, with its own scales.

    Block scales stay E8M0, E4M3 or float16; the tensor scale and the element unit are the factor of
    every channel. :meth:`QuantizedMatrix.with_uint8_scales` makes them the machine's, exactly where
    the blocks of a channel are close enough.

    Raises
    ------
    InputError : as :meth:`BlockFormat.encode`.
    """
    largest = float(np.abs(np.asarray(weights, dtype=np.float64)).max(initial=0))
    if np.isfinite(largest) and largest > LARGEST_FLOAT32:
        raise InputError(f"a weight of magnitude {largest:g} is beyond float32")
    coded = block.encode(weights)
    factor = np.float32(float(coded.tensor_scale) * float(block.element_unit))
    parts: dict[str, Any] = {
        "family": get_family(block.element),
        "group_size": block.block_size,
        "codes": coded.codes,
        "format_ids": coded.format_ids,
    }
    if block.scale_format == "float16":
        scales = block.scales(coded).astype(np.float32) * factor
        return QuantizedMatrix(scales=scales, **parts)
    codes = coded.scale_codes.astype(np.uint8)
    return QuantizedMatrix(
        scales=scale_values(block.scale_format, codes) * factor,
        scale_codes=codes,
        channel_scales=np.full(len(codes), factor, dtype=np.float32),
        scale_format=block.scale_format,
        **parts,
    )


def cast_weights(weights: ArrayLike, family: FormatFamily) -> QuantizedMatrix:
    """Weights (N, K) in a wide format such as float16: rounded to nearest, without scales.

    One group per row, whose E8M0 scale is 1.

    Raises
    ------
    InputError : not a finite matrix, or a weight beyond the format's largest number.
    """
    array = np.asarray(weights)
    if family.bits != 16 or family.max_magnitude >> MAX_LEVEL_BITS:
        raise InputError(f"weights cannot be cast to '{family.name}': its levels are too wide")
    # up to half a step beyond the largest number rounds to it
    largest, below = family.members[0].grid[[-1, -2]].astype(float) * float(family.unit)
    if array.ndim != 2 or not array.size or not np.isfinite(array).all():
        raise InputError("weights must be a non-empty matrix of finite numbers")
    if np.abs(array).max() >= largest + (largest - below) / 2:
        raise InputError(
            f"a weight of magnitude {np.abs(array).max():g} is beyond {family.name}, which ends at "
            f"{largest:g}"
        )
    rows = len(array)
    return QuantizedMatrix(
        family=family,
        group_size=array.shape[1],
        codes=family.members[0].cast(array).astype(np.uint16),
        format_ids=np.zeros((rows, 1), dtype=np.uint8),
        scales=np.ones((rows, 1), dtype=np.float32),
        scale_codes=np.full((rows, 1), E8M0_BIAS, dtype=np.uint8),
        channel_scales=np.ones(rows, dtype=np.float32),
        scale_format="e8m0",
    )


def plane_matrix(plane: Plane) -> QuantizedMatrix:
    """One pass of a plane format: its codes, and its float16 group scales.

    The machine runs it like any matrix; the host adds the rescaled outputs of all planes.
    """
    member = plane.family.members[plane.member]
    return QuantizedMatrix(
        family=FormatFamily(name=member.name, members=(member,)),
        group_size=plane.group_size,
        codes=plane.codes.astype(np.uint8),
        format_ids=np.zeros(plane.scales.shape, dtype=np.uint8),
        scales=plane.scales.astype(np.float32),
    )


def plane_stack(planes: PlaneSum) -> QuantizedMatrix:
    """All planes as one matrix, each the residual of the one before."""
    stack: QuantizedMatrix | None = None
    for plane in reversed(planes.planes):
        stack = replace(plane_matrix(plane), residual=stack)
    assert stack is not None
    return stack


def fit_pairs(
    groups: NDArray[np.float32], importance: NDArray[np.float32] | None, *, pair: PairFormat
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    """Groups of weights in outlier-victim pairs (OliVe, ISCA 2023), as the release fits them.

    The normal format's largest level starts at ``|mean| + 3 sigma`` of the group and is swept over
    :data:`SWEEP` times that, each step rounded to float16 (1 where it is 0); the one with the
    least sum of squared errors stays, the first of equals. All else is float64.

    Parameters
    ----------
    groups : finite (R, size), neighbours in a row being pairs.
    importance : weights of the squared errors (P, size), group ``r`` takes row ``r % P``.

    Returns
    -------
    Stream codes (R, size), format ids (R,), all 0, and scales (R,), float16 values.
    """
    array = np.asarray(groups, dtype=np.float64)
    rows, size = array.shape
    weights = 1.0 if importance is None else importance[np.arange(rows) % len(importance)]
    spread = np.abs(array.mean(axis=1)) + 3 * array.std(axis=1)
    least = np.full(rows, np.inf)
    codes = np.zeros(array.shape, dtype=np.uint8)
    steps = np.zeros(rows)
    for share in SWEEP:
        step = (share * spread / pair.normal.max_magnitude).astype(np.float16).astype(float)
        step = np.where(step > 0, step, 1.0)
        found = pair.encode(array / step[:, None])
        values = pair.decode(found, columns=size) * step[:, None]
        error = ((values - array) ** 2 * weights).sum(axis=1)
        better = error < least
        least = np.where(better, error, least)
        steps = np.where(better, step, steps)
        codes[better] = pair.stream(found)[better, :size]
    return codes, np.zeros(rows, dtype=np.uint8), steps.astype(np.float32)
