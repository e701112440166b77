"""How far quantized weights are from the weights."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError

from .matrix import QuantizedMatrix

#: weights that are held in float64 at a time
BLOCK_WEIGHTS = 1 << 20


def _sums(weights: NDArray, quantized: QuantizedMatrix) -> tuple[float, float]:
    """Mean squared error and mean square, in float64, a block of rows at a time."""
    values = quantized.dequantize(np.float32)
    rows = max(1, BLOCK_WEIGHTS // weights.shape[1])
    lost = power = 0.0
    for first in range(0, len(weights), rows):
        part = weights[first : first + rows].astype(np.float64)
        lost += float(np.sum((values[first : first + rows] - part) ** 2))
        power += float(np.sum(part**2))
    return lost / weights.size, power / weights.size


def relative_error(mse: float, mean_square: float) -> float:
    """``mse`` over the mean square of the weights; infinite where only the latter is 0."""
    if mean_square == 0:
        return 0.0 if mse == 0 else float("inf")
    return mse / mean_square


def quantization_error(weights: ArrayLike, quantized: QuantizedMatrix) -> dict[str, float]:
    """Error of a quantized matrix against ``weights`` (N, K).

    Returns
    -------
    ``mse`` (weights squared), ``relative`` (mse over the mean square of the weights) and
    ``sqnr_db`` (signal to quantization noise, dB; infinite without error).

    Raises
    ------
    InputError : the shapes differ.
    """
    exact = np.asarray(weights)
    if exact.shape != quantized.shape:
        raise InputError(
            f"weights have shape {exact.shape}, the quantized matrix {quantized.shape}"
        )
    relative = relative_error(*(sums := _sums(exact, quantized)))
    return {"mse": sums[0], "relative": relative, "sqnr_db": sqnr_db(relative)}


def sqnr_db(relative: float) -> float:
    """Signal to quantization noise of a relative error, dB."""
    if relative == 0:
        return float("inf")
    return -10 * float(np.log10(relative))


def layer_errors(weights: ArrayLike, quantized: QuantizedMatrix) -> dict[str, float]:
    """``mse``, ``mean_square`` (of the weights) and ``hardware_mse`` (with 8-bit scales).

    All are finite for weights that a format takes; :func:`relative_error` divides them.
    """
    array = np.asarray(weights)
    mse, mean_square = _sums(array, quantized)
    hardware_mse, _ = _sums(array, quantized.with_uint8_scales())
    return {"mse": mse, "mean_square": mean_square, "hardware_mse": hardware_mse}
