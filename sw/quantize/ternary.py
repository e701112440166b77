"""Ternary and binary weights with scales from the mean or median of the magnitudes.

    ternary   T = clip(round(w / (s + 1e-5)), -1, 1), ties to even     weight ~= T * s
    binary    T = +1 for w >= 0, else -1                               weight ~= T * s

with s the mean |w| (``absmean``; BitNet b1.58, arXiv:2402.17764; for binary weights the least
squares scale, XNOR-Net, arXiv:1603.05279) or the median |w| (``absmedian``; b1.58 Reloaded,
arXiv:2407.09527) of the group, in float64; the stored scale is the nearest float16 value. Published
models use one scale per matrix (``group_size: tensor``). The result depends on all magnitudes of a
group, so quantizing a dequantized matrix again changes it: zeros pull the mean down.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError, unknown_name
from sw.formats import get_family
from sw.formats.planes import checked_weights, half_scales

from .matrix import QuantizedMatrix, check_group_size

RULES = ("absmean", "absmedian")
EPSILON = 1e-5


def quantize_ternary(
    weights: ArrayLike,
    *,
    format_name: str = "ternary",
    rule: str = "absmean",
    group_size: int | Literal["channel", "tensor"] = "tensor",
    group_rows: int = 1,
    scale_format: str = "float16",
) -> QuantizedMatrix:
    """Quantize weights (N, K) to ``ternary`` or ``binary`` levels, see the module.

    Raises
    ------
    InputError : another format or rule, or weights that are not a matrix of finite numbers.
    """
    if format_name not in ("ternary", "binary"):
        raise InputError(
            f"scale_rule '{rule}' is for the formats ternary and binary, not '{format_name}'"
        )
    if rule not in RULES:
        raise unknown_name("scale rule", rule, RULES)
    array = checked_weights(weights)
    rows, columns = array.shape
    size = columns if isinstance(group_size, str) else group_size
    check_group_size(size)
    tall = rows if group_size == "tensor" else min(group_rows, rows)
    scales = np.empty((rows, -(-columns // size)))
    for top in range(0, rows, tall):
        for group in range(scales.shape[1]):
            part = np.abs(array[top : top + tall, group * size : (group + 1) * size])
            middle = part.mean() if rule == "absmean" else np.median(part)
            scales[top : top + tall, group] = middle
    wide = np.repeat(scales, min(size, columns), axis=1)[:, :columns]
    family = get_family(format_name)
    levels: NDArray[np.float64] = np.where(array < 0, -1.0, 1.0)
    if format_name == "ternary":
        levels = np.rint(array / (wide + EPSILON)).clip(-1, 1)
    member = family.members[0]
    matrix = QuantizedMatrix(
        family=family,
        group_size=size,
        codes=member.encode(levels.astype(np.int64)).astype(np.uint8),
        format_ids=np.zeros(scales.shape, dtype=np.uint8),
        scales=half_scales(scales),
        group_rows=tall,
    )
    return matrix.with_uint8_scales() if scale_format == "uint8" else matrix
