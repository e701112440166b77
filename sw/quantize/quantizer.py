"""Rounding to nearest: weights per group with the best format of a family, activations per token.

The weight quantizer repeats the arithmetic of the released BitMoD quantizer
(`bitmod_quant/quant_utils/quant_weight.py`; BitMoD, HPCA 2025, Algorithm 1) bit for bit. Every
line below is one float16 operation: operands float16, exact result rounded once to float16.

- ``step = clamp(max|w| / max|level|, 1e-5, 1e4)``
- ``x = w / step``, then the nearest level; ties go to the lower level, except on runs of
  consecutive integers (INTb), where they go to the even level
- ``error = level * step - w`` and its square; their mean is taken in float32 and rounded once
- the first format with the strictly smallest mean is chosen

Float16 squares overflow from errors of 256 and vanish below about 2**-12; formats that tie for
that reason leave the choice to the first.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError, unknown_name
from sw.formats import FormatFamily, NumberFormat
from sw.formats.pairs import get_pair_format

from .composite import quantize_pairs
from .matrix import SCALE_FORMATS, QuantizedMatrix, check_group_size, half_unit

STEP_RANGE = np.float16(1e-5), np.float16(1e4)
LARGEST_WEIGHT = 1e4
BLOCK_WEIGHTS = 1 << 20


@dataclass(frozen=True, eq=False)
class _Grid:
    """One format, ready for float16 arithmetic.

    Attributes
    ----------
    values : float16 (count,), the levels in rising order times ``half_unit``.
    codes : uint8 (count,), their codes.
    largest : float16, greatest magnitude of ``values``.
    nearest : uint8 (65536,), index of the nearest value by the bit pattern of a float16.
    """

    values: NDArray[np.float16]
    codes: NDArray[np.uint8]
    largest: np.float16
    nearest: NDArray[np.uint8]


@cache
def _grid(member: NumberFormat, unit: float) -> _Grid:
    values = (member.grid * unit).astype(np.float16)
    wide = values.astype(np.float32)
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    every = np.nan_to_num(every, nan=0.0)
    if np.all(np.diff(wide) == 1):
        nearest = np.rint(every).clip(wide[0], wide[-1]) - wide[0]
    else:
        nearest = np.searchsorted((wide[1:] + wide[:-1]) / 2, every, side="left")
    return _Grid(
        values=values,
        codes=member.encode(member.grid),
        largest=np.abs(values).max(),
        nearest=nearest.astype(np.uint8),
    )


def _quantize_groups(
    groups: NDArray[np.float16], grids: list[_Grid]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float16]]:
    """Codes (rows, groups, size), format ids and float16 steps (rows, groups) of whole groups."""
    largest = np.abs(groups).max(axis=-1, keepdims=True)
    codes = np.zeros(groups.shape, dtype=np.uint8)
    ids = np.zeros(groups.shape[:2], dtype=np.uint8)
    steps = np.zeros(groups.shape[:2], dtype=np.float16)
    least = np.zeros(groups.shape[:2], dtype=np.float16)
    for index, grid in enumerate(grids):
        step = np.clip(largest / grid.largest, *STEP_RANGE)
        nearest = grid.nearest[(groups / step).view(np.uint16)]
        with np.errstate(over="ignore"):
            error = grid.values[nearest] * step - groups
            square = (error * error).astype(np.float32)
            mean = square.mean(axis=-1).astype(np.float16)
        better = mean < least if index else np.ones_like(mean, dtype=bool)
        codes[better] = grid.codes[nearest[better]]
        ids[better] = index
        steps[better] = step[better, 0]
        least[better] = mean[better]
    return codes, ids, steps


def _as_float16(weights: ArrayLike) -> NDArray[np.float16]:
    array = np.asarray(weights)
    if array.dtype not in (np.float16, np.float32, np.float64):
        raise InputError(f"weights must be float16, float32 or float64, not {array.dtype}")
    if array.ndim != 2 or not array.size:
        raise InputError(
            "weights must be a non-empty 2-D array (output channels, input channels), "
            f"not shape {array.shape}"
        )
    if not np.isfinite(array).all():
        place = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
        raise InputError(f"weights hold {array[place]} at {place}: every weight must be finite")
    if np.abs(array).max() > LARGEST_WEIGHT:
        place = tuple(np.argwhere(np.abs(array) > LARGEST_WEIGHT)[0].tolist())
        raise InputError(
            f"weights hold {array[place]} at {place}: float16 quantization "
            f"takes magnitudes up to {LARGEST_WEIGHT:g}"
        )
    halves = array.astype(np.float16)
    if array.any() and not halves.any():
        raise InputError(
            f"weights of at most {np.abs(array).max():g} all become 0 in float16: scale them up"
        )
    return halves


def quantize_matrix(
    weights: ArrayLike,
    family: FormatFamily,
    *,
    group_size: int,
    scale_format: str = "float16",
) -> QuantizedMatrix:
    """Quantize the weights of one linear layer.

    Parameters
    ----------
    weights : float16, float32 or float64 (N, K), finite, magnitudes up to 10000; wider types
        are rounded to float16 first.
    family : formats to choose from in each group.
    group_size : weights per group along K; a ragged last group is quantized on its own.
    scale_format : ``"float16"``, or ``"uint8"`` to quantize the scales too (the codes are those
        of the float16 scales).

    Raises
    ------
    InputError : weights, group size or scale format outside the above, or a format whose values
        leave float16.
    """
    check_group_size(group_size)
    if scale_format not in SCALE_FORMATS:
        raise unknown_name("scale format", scale_format, SCALE_FORMATS)
    halves = _as_float16(weights)
    if family.pairs:
        matrix = quantize_pairs(halves, get_pair_format(family.name), group_size=group_size)
        return matrix.with_uint8_scales() if scale_format == "uint8" else matrix
    unit = half_unit(family)
    largest = float(family.max_magnitude * unit)
    if largest > float(np.finfo(np.float16).max):
        raise InputError(
            f"values of '{family.name}' reach {largest:g}, beyond the float16 of scales and weights"
        )
    grids = [_grid(member, float(unit)) for member in family.members]
    rows, columns = halves.shape
    whole = columns // group_size * group_size
    spans = [(0, whole, group_size), (whole, columns, columns - whole)]
    codes = np.empty(halves.shape, dtype=np.uint8)
    ids = np.empty((rows, -(-columns // group_size)), dtype=np.uint8)
    steps = np.empty(ids.shape, dtype=np.float16)
    block_rows = max(1, BLOCK_WEIGHTS // columns)
    for first in range(0, rows, block_rows):
        block = slice(first, first + block_rows)
        for begin, end, size in spans:
            if begin == end:
                continue
            part = np.ascontiguousarray(halves[block, begin:end])
            found = _quantize_groups(part.reshape(len(part), -1, size), grids)
            at = slice(begin // group_size, -(-end // group_size))
            codes[block, begin:end] = found[0].reshape(part.shape)
            ids[block, at], steps[block, at] = found[1:]
    scales = steps.astype(np.float32) * np.float32(unit / family.unit)
    matrix = QuantizedMatrix(
        family=family, group_size=group_size, codes=codes, format_ids=ids, scales=scales
    )
    return matrix.with_uint8_scales() if scale_format == "uint8" else matrix


def check_activation_bits(bits: object) -> None:
    """Refuse anything but an int from 2 to 16."""
    if isinstance(bits, bool) or not isinstance(bits, int) or not 2 <= bits <= 16:
        raise InputError(f"activation_bits must be a whole number from 2 to 16, not {bits!r}")


def quantize_activations(
    x: ArrayLike, *, bits: int = 8
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Quantize activations dynamically, per token, symmetrically; all arithmetic in float32.

    ``scale = max|x| / (2**(bits - 1) - 1)`` (1 for an all-zero row); ``code = x / scale`` rounded
    half to even and clipped to ``+-(2**(bits - 1) - 1)``.

    Parameters
    ----------
    x : real (M, K), finite; one row per token.
    bits : width of a code, 2 to 16.

    Returns
    -------
    Codes int64 (M, K) and scales float32 (M,): ``x ~= codes * scales[:, None]``.

    Raises
    ------
    InputError : not 2-D, empty, not finite in float32, or bits out of range.
    """
    check_activation_bits(bits)
    with np.errstate(over="ignore"):
        rows = np.asarray(x, dtype=np.float32)
    if rows.ndim != 2 or not rows.size:
        raise InputError(
            f"activations must be a non-empty 2-D array (tokens, channels), not shape {rows.shape}"
        )
    if not np.isfinite(rows).all():
        raise InputError("activations must be finite float32 values")
    limit = (1 << bits - 1) - 1
    scales = np.abs(rows).max(axis=1) / np.float32(limit)
    scales = np.where(scales > 0, scales, np.float32(1)).astype(np.float32)
    codes = np.rint(rows / scales[:, None]).clip(-limit, limit)
    return codes.astype(np.int64), scales


def quantization_error(weights: ArrayLike, quantized: QuantizedMatrix) -> dict[str, float]:
    """Error of a quantized matrix against ``weights`` (N, K), all in float64.

    Returns
    -------
    ``mse`` (weights squared), ``relative`` (mse over the mean square of the weights) and
    ``sqnr_db`` (signal to quantization noise, dB; infinite without error).

    Raises
    ------
    InputError : the shapes differ.
    """
    exact = np.asarray(weights, dtype=np.float64)
    if exact.shape != quantized.shape:
        raise InputError(
            f"weights have shape {exact.shape}, the quantized matrix {quantized.shape}"
        )
    mse = float(np.mean((quantized.dequantize(np.float64) - exact) ** 2))
    power = float(np.mean(exact**2))
    if mse == 0:
        return {"mse": 0.0, "relative": 0.0, "sqnr_db": float("inf")}
    if power == 0:
        return {"mse": mse, "relative": float("inf"), "sqnr_db": float("-inf")}
    return {
        "mse": mse,
        "relative": mse / power,
        "sqnr_db": 10 * float(np.log10(power) - np.log10(mse)),
    }
