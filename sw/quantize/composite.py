"""Block, plane and pair formats as quantized matrices for 8-bit scales."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError
from sw.formats import FormatFamily, get_family
from sw.formats.blocks import BlockFormat
from sw.formats.pairs import PairFormat
from sw.formats.planes import Plane

from .matrix import SCALE_CODE_MAX, QuantizedMatrix, check_group_size

#: shares of three sigma that the largest normal level is tried at
SWEEP = tuple(share / 20 for share in range(10, 51, 2))
_MANTISSA_BITS = 53
#: beyond every float64 exponent
_FAR = 1 << 20


def exact_scale_codes(
    scales: NDArray[np.float64],
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Scales (N, groups) as unsigned 8-bit multiples of a power of two per channel, exactly.

    Returns codes uint8 (N, groups) and the power of two of each channel, float64 (N,).

    Raises
    ------
    InputError : a channel's scales have no such multiples up to 255.
    """
    fractions, exponents = np.frexp(scales)
    integers = np.ldexp(fractions, _MANTISSA_BITS).astype(np.int64)
    lowest = np.frexp((integers & -integers).astype(np.float64))[1] - 1
    places = np.where(scales > 0, exponents - _MANTISSA_BITS + lowest, _FAR)
    place = places.min(axis=1)
    place = np.where((scales > 0).any(axis=1), place, 0)
    multiples = np.ldexp(scales, -place[:, None].astype(np.int32))
    if multiples.max() > SCALE_CODE_MAX:
        channel = int(multiples.max(axis=1).argmax())
        raise InputError(
            f"the block scales of channel {channel} are up to {multiples[channel].max():.0f} times "
            f"their common unit, an 8-bit scale holds at most {SCALE_CODE_MAX}"
        )
    return multiples.astype(np.uint8), np.ldexp(1.0, place.astype(np.int32))


def quantize_blocks(weights: ArrayLike, block: BlockFormat) -> QuantizedMatrix:
    """Weights (N, K) in a block format, ready for the machine.

    E8M0 and E4M3 scales of one channel become multiples of a common power of two, which goes into
    the channel scale with the tensor scale: no rounding. Blocks of zeros get scale 0.

    Raises
    ------
    InputError : as :meth:`BlockFormat.encode`, or scales too far apart within a channel.
    """
    coded = block.encode(weights)
    family = get_family(block.element)
    levels = np.array(family.level_table)[
        np.repeat(coded.format_ids, block.block_size, axis=1)[:, : coded.codes.shape[1]],
        coded.codes,
    ]
    starts = np.arange(coded.scale_codes.shape[1]) * block.block_size
    occupied = np.logical_or.reduceat(levels != 0, starts, axis=1)
    scale_codes, units = exact_scale_codes(np.where(occupied, block.scales(coded), 0.0))
    factor = float(coded.tensor_scale) * float(block.element_unit)
    channel_scales = (units * factor).astype(np.float32)
    return QuantizedMatrix(
        family=family,
        group_size=block.block_size,
        codes=coded.codes,
        format_ids=coded.format_ids,
        scales=scale_codes * channel_scales[:, None],
        scale_codes=scale_codes,
        channel_scales=channel_scales,
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


def quantize_pairs(weights: ArrayLike, pair: PairFormat, *, group_size: int) -> QuantizedMatrix:
    """Weights (N, K) in outlier-victim pairs with float16 group scales.

    The normal format's largest level starts at ``|mean| + 3 sigma`` of the group and is swept over
    :data:`SWEEP` times that; the scale with the least squared error stays, the first of equals.

    Raises
    ------
    InputError : a group size that splits pairs, or weights that are not a finite matrix.
    """
    check_group_size(group_size)
    array = np.asarray(weights, dtype=np.float64)
    if array.ndim != 2 or not array.size or not np.isfinite(array).all():
        raise InputError("weights must be a non-empty 2-D array of finite numbers")
    columns = array.shape[1]
    if group_size % 2 and group_size < columns:
        raise InputError(f"group size {group_size} splits a pair of '{pair.name}'")
    codes, scales = [], []
    for first in range(0, columns, group_size):
        part = array[:, first : first + group_size]
        spread = np.abs(part.mean(axis=1)) + 3 * part.std(axis=1)
        least = np.full(len(part), np.inf)
        best_codes = np.zeros(part.shape, dtype=np.uint8)
        best_steps = np.zeros(len(part))
        for share in SWEEP:
            step = (share * spread / pair.normal.max_magnitude).astype(np.float16).astype(float)
            step = np.where(step > 0, step, 1.0)
            found = pair.encode(part / step[:, None])
            values = pair.decode(found, columns=part.shape[1]) * step[:, None]
            error = ((values - part) ** 2).sum(axis=1)
            better = error < least
            least = np.where(better, error, least)
            best_steps = np.where(better, step, best_steps)
            stream = pair.stream(found)[:, : part.shape[1]]
            best_codes = np.where(better[:, None], stream, best_codes)
        codes.append(best_codes.astype(np.uint8))
        scales.append(best_steps.astype(np.float32))
    return QuantizedMatrix(
        family=pair.family,
        group_size=group_size,
        codes=np.concatenate(codes, axis=1),
        format_ids=np.zeros((len(array), len(scales)), dtype=np.uint8),
        scales=np.stack(scales, axis=1),
    )
