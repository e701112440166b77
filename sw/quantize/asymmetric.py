"""Asymmetric integers: codes of a whole range of b bits, a zero point and a scale per group.

    weight ~= (level - zero_point) * scale        level, zero_point: two's complement, b bits

With ``low = min(min w, 0)`` and ``high = max(max w, 0)`` over the group and ``top = 2**b - 1``:

    scale = (high - low) / top
    z = clip(rint(-low / scale), 0, top)
    q = clip(rint(w / scale) + z, 0, top)
    level = q - 2**(b - 1),  zero_point = z - 2**(b - 1)

``rint`` rounds half to even. Each operation rounds once to ``arithmetic``. In ``float16`` they are
those of the released BitMoD quantizer (HPCA 2025; `bitmod_quant/quant_utils/quant_weight.py`), bit
for bit where a group has weights of both signs, with the scale kept within 1e-5 .. 1e4. In
``float32`` the scale is rounded to float16, and a scale of 0 makes the group 0 (q = z = 0).
Recentring the codes, which run from 0 up elsewhere (Nagel et al., arXiv:2106.08295), saves a 4-bit
code one of its three terms.

Scale rules: ``absmax`` is the whole range; ``percentile`` first clips low and high to -+ the
percentile of the magnitudes; ``mse`` tries shares of low and high alike, as
:mod:`sw.quantize.rounding` does of the largest magnitude.

Quantizing dequantized weights again may change them: low and high are rounded separately, so that a
group may end one step short of the range that made its scale.
"""

import re
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError, unknown_name
from sw.formats import get_family

from .loops import CHUNK, STEP_RANGE
from .matrix import SCALE_FORMATS, QuantizedMatrix
from .rounding import (
    LARGEST_HALF,
    LARGEST_SCALE,
    SHARES,
    check_settings,
    percentile_magnitudes,
)
from .tiles import GroupSize, as_weights, block_shape, fit_blocks

NAME = re.compile(r"int([2-8])_asym")


def asymmetric_bits(name: str) -> int | None:
    """4 for ``int4_asym``; None for names of other formats."""
    match = NAME.fullmatch(name)
    return int(match[1]) if match else None


def _scales(low: NDArray, high: NDArray, top: int) -> NDArray[np.floating]:
    """Scales (R,) in the type of ``low`` and ``high``, float16 values."""
    span = (high - low) / low.dtype.type(top)
    if low.dtype == np.float16:
        return np.clip(span, *STEP_RANGE)
    return span.astype(np.float16).astype(np.float32)


def _ratio(values: NDArray, scales: NDArray) -> NDArray:
    """``values / scales`` rounded to integers, 0 where the scale is 0."""
    quotient = np.zeros_like(values)
    np.divide(values, scales, out=quotient, where=np.broadcast_to(scales > 0, values.shape))
    return np.rint(quotient, out=quotient)


def _codes(
    w: NDArray, low: NDArray, high: NDArray, top: int
) -> tuple[NDArray, NDArray, NDArray[np.floating]]:
    """q (R, size), z (R,) and scales (R,), all in the type of ``w``."""
    kind = w.dtype.type
    scales = _scales(low, high, top)
    zeros = np.clip(_ratio(-low, scales), kind(0), kind(top))
    codes = _ratio(w, scales[:, None])
    codes += zeros[:, None]
    return np.clip(codes, kind(0), kind(top), out=codes), zeros, scales


def _fit_chunk(
    w: NDArray, top: int, limits: NDArray | None, shares: tuple[float, ...], weights: NDArray
) -> tuple[NDArray, NDArray, NDArray[np.floating]]:
    low, high = (
        np.minimum(w.min(axis=1), w.dtype.type(0)),
        np.maximum(w.max(axis=1), w.dtype.type(0)),
    )
    if limits is not None:
        low, high = np.maximum(low, -limits), np.minimum(high, limits)
    best = _codes(w, low, high, top)
    least: NDArray = np.zeros(0)
    for share in shares if len(shares) > 1 else ():
        part = w.dtype.type(share)
        codes, zeros, scales = _codes(w, low * part, high * part, top)
        error = ((codes - zeros[:, None]) * scales[:, None] - w).astype(np.float32)
        error = (error * error * weights).sum(axis=1)
        if not least.size:
            least = error
            continue
        better = error < least
        least[better] = error[better]
        for kept, found in zip(best, (codes, zeros, scales), strict=True):
            kept[better] = found[better]
    return best


def fit_asymmetric(
    groups: NDArray[np.float32],
    importance: NDArray[np.float32] | None,
    *,
    bits: int,
    rule: str,
    percentile: float,
    half: bool,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32], NDArray[np.int16]]:
    """Quantize groups (R, size), finite, float16 values if ``half``; importance (P, size).

    Returns
    -------
    Two's complement codes (R, size), format ids, all 0, scales and zero points (R,).
    """
    top, centre = (1 << bits) - 1, 1 << (bits - 1)
    rows, size = groups.shape
    found = np.empty(groups.shape, np.uint8)
    scales, zeros = np.empty(rows, np.float32), np.empty(rows, np.int16)
    weights = np.ones((1, 1), np.float32) if importance is None else importance
    shares = SHARES if rule == "mse" else SHARES[:1]
    step = max(1, CHUNK // size)
    for first in range(0, rows, step):
        part = slice(first, min(rows, first + step))
        w = groups[part]
        limits = percentile_magnitudes(w, percentile) if rule == "percentile" else None
        if half:
            w = w.astype(np.float16)
            limits = None if limits is None else limits.astype(np.float16)
        some = weights[np.arange(part.start, part.stop) % len(weights)]
        q, z, scales[part] = _fit_chunk(w, top, limits, shares, some)
        # recentred two's complement: the top bit flips
        found[part] = q.astype(np.uint8) ^ np.uint8(centre)
        zeros[part] = z.astype(np.int16) - centre
    return found, np.zeros(rows, np.uint8), scales, zeros


def quantize_asymmetric(
    weights: ArrayLike,
    *,
    bits: int,
    group_size: GroupSize,
    scale_format: str = "float16",
    group_rows: int = 1,
    scale_rule: str = "absmax",
    percentile: float = 99.9,
    arithmetic: str = "float16",
    importance: ArrayLike | None = None,
) -> QuantizedMatrix:
    """Quantize the weights of one linear layer to ``bits``-bit integers with zero points.

    Parameters
    ----------
    weights : float16, float32 or float64 (N, K), finite.
    bits : width of a code, 2 to 8.
    group_size, scale_format, group_rows, scale_rule, percentile, arithmetic, importance : as in
        :func:`sw.quantize.quantize_matrix`.

    Returns
    -------
    A matrix of the family ``int{bits}_full`` with ``zero_points``.

    Raises
    ------
    InputError : weights or settings outside the above.
    """
    if isinstance(bits, bool) or bits not in range(2, 9):
        raise InputError(f"bits must be a whole number from 2 to 8, not {bits!r}")
    if scale_format not in SCALE_FORMATS:
        raise unknown_name("scale format", scale_format, SCALE_FORMATS)
    check_settings(scale_rule, percentile, arithmetic)
    half = arithmetic == "float16"
    limit = LARGEST_HALF if half else LARGEST_SCALE * ((1 << bits) - 1) / 2
    array = as_weights(weights, limit, arithmetic)
    height, width, size = block_shape(array.shape, group_size, group_rows)
    fit = partial(fit_asymmetric, bits=bits, rule=scale_rule, percentile=percentile, half=half)
    codes, ids, scales, zeros = fit_blocks(
        array, (height, width), fit, half=half, importance=importance
    )
    matrix = QuantizedMatrix(
        family=get_family(f"int{bits}_full"),
        group_size=size,
        group_rows=height,
        codes=codes,
        format_ids=ids,
        scales=scales,
        zero_points=zeros,
    )
    return matrix.with_uint8_scales() if scale_format == "uint8" else matrix
