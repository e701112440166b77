"""Rounding to nearest: weights per tensor, channel, group or block, activations per token.

Formats and scales of a group: :mod:`sw.quantize.rounding`.
"""

from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError, unknown_name
from sw.formats import FormatFamily, float_layout, get_family
from sw.formats.pairs import PairFormat, get_pair_format

from .composite import fit_pairs
from .error import quantization_error
from .matrix import SCALE_FORMATS, QuantizedMatrix
from .rounding import LARGEST_HALF, check_settings, fit_checked, largest_weight
from .tiles import Fit, GroupSize, as_weights, block_shape, fit_blocks

__all__ = [
    "activation_values",
    "float_activations",
    "quantization_error",
    "quantize_activations",
    "quantize_matrix",
]


def quantize_matrix(
    weights: ArrayLike,
    family: FormatFamily,
    *,
    group_size: GroupSize,
    scale_format: str = "float16",
    group_rows: int = 1,
    scale_rule: str = "absmax",
    percentile: float = 99.9,
    arithmetic: str = "float16",
    importance: ArrayLike | None = None,
) -> QuantizedMatrix:
    """Quantize the weights of one linear layer, rounding to nearest.

    Beside input and output it takes a few arrays of ``BLOCK_WEIGHTS``, or of the largest single
    block.

    Parameters
    ----------
    weights : float16, float32 or float64 (N, K), finite; rounded to ``arithmetic`` first.
    family : formats to choose from in each group.
    group_size : weights per group along K; a ragged last group is quantized on its own. Or
        ``"channel"``, a whole row, or ``"tensor"``, everything.
    scale_format : ``"float16"``, or ``"uint8"`` to quantize the scales too (the codes are those
        of the float16 scales).
    group_rows : output channels that share format and scale: blocks of group_rows x group_size;
        a ragged last block is quantized on its own.
    scale_rule, percentile : as in :func:`sw.quantize.rounding.fit_groups`. Pair formats have a
        sweep of their own in place of ``absmax`` and ``mse``.
    arithmetic : ``"float16"`` repeats the released BitMoD quantizer bit for bit and takes
        magnitudes up to 10000; ``"float32"`` takes them as long as the scale is a finite float16.
    importance : weights of the squared errors of the input channels, (K,).

    Raises
    ------
    InputError : weights or settings outside the above, or a format whose values leave the
        arithmetic.
    """
    if scale_format not in SCALE_FORMATS:
        raise unknown_name("scale format", scale_format, SCALE_FORMATS)
    check_settings(scale_rule, percentile, arithmetic)
    half = arithmetic == "float16" or family.pairs
    limit = LARGEST_HALF if half else largest_weight(family, arithmetic)
    array = as_weights(weights, limit, arithmetic)
    height, width, size = block_shape(array.shape, group_size, group_rows)
    pair = _pair_format(family, array.shape, (height, width), scale_rule)
    rules = {"rule": scale_rule, "percentile": percentile, "arithmetic": arithmetic}
    fit: Fit = partial(fit_checked, family=family, **rules)  # type: ignore[arg-type]
    if pair is not None:
        fit = partial(fit_pairs, pair=pair)
    codes, ids, scales = fit_blocks(array, (height, width), fit, half=half, importance=importance)
    matrix = QuantizedMatrix(
        family=family,
        group_size=size,
        group_rows=height,
        codes=codes,
        format_ids=ids,
        scales=scales,
    )
    return matrix.with_uint8_scales() if scale_format == "uint8" else matrix


def _pair_format(
    family: FormatFamily, shape: tuple[int, int], block: tuple[int, int], rule: str
) -> PairFormat | None:
    """The pair format behind a family of pairs, if blocks and scale rule suit it."""
    if not family.pairs:
        return None
    if rule == "percentile":
        raise InputError(
            f"'{family.name}' sweeps its scales: scale rule 'percentile' does not apply"
        )
    height, width = block
    if width % 2 and width < shape[1]:
        raise InputError(f"group size {width} splits a pair of '{family.name}'")
    if height > 1 and shape[1] % 2:
        raise InputError(
            f"blocks of {height} rows need an even number of columns in '{family.name}', "
            f"not {shape[1]}"
        )
    return get_pair_format(family.name)


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
    rows = _finite_rows(x)
    limit = (1 << bits - 1) - 1
    scales = np.abs(rows).max(axis=1) / np.float32(limit)
    scales = np.where(scales > 0, scales, np.float32(1)).astype(np.float32)
    codes = np.rint(rows / scales[:, None]).clip(-limit, limit)
    return codes.astype(np.int64), scales


def float_activations(x: ArrayLike, name: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Activations as codes of a floating-point format, rounded to nearest, ties to even.

    16-bit formats take them as they are (saturating), with scale 1. In 8-bit formats each token is
    scaled so that its largest magnitude is the format's largest number.

    Parameters
    ----------
    x : real (M, K), finite; one row per token.
    name : a format of :func:`sw.formats.float_layout`.

    Returns
    -------
    Codes int64 (M, K) and scales float32 (M,).

    Raises
    ------
    InputError : not 2-D, empty, or not finite in float32.
    """
    rows, layout = _finite_rows(x), float_layout(name)
    scales = np.ones(len(rows), dtype=np.float32)
    if layout.bits <= 8:
        member = get_family(name).members[0]
        largest = np.abs(rows).max(axis=1) / np.float32(member.max_magnitude * member.unit)
        scales = np.where(largest > 0, largest, scales).astype(np.float32)
    return layout.encode(rows / scales[:, None]), scales


def activation_values(
    x: ArrayLike, kind: int | str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Values (M, K) of activations' codes and scales (M,).

    Parameters
    ----------
    kind : bits of integers (:func:`quantize_activations`), or a floating-point format's name.
    """
    if isinstance(kind, int):
        codes, scales = quantize_activations(x, bits=kind)
        return codes.astype(np.float32), scales
    codes, scales = float_activations(x, kind)
    return float_layout(kind).values(codes), scales


def _finite_rows(x: ArrayLike) -> NDArray[np.float32]:
    """Activations in float32, checked."""
    with np.errstate(over="ignore"):
        rows = np.asarray(x, dtype=np.float32)
    if rows.ndim != 2 or not rows.size:
        raise InputError(
            f"activations must be a non-empty 2-D array (tokens, channels), not shape {rows.shape}"
        )
    if not np.isfinite(rows).all():
        raise InputError("activations must be finite float32 values")
    return rows
