"""How far quantized weights are from the weights."""

import numpy as np
from numpy.typing import ArrayLike

from configs.errors import InputError

from .matrix import QuantizedMatrix

#: weights that are held in float64 at a time
BLOCK_WEIGHTS = 1 << 20


def quantization_error(weights: ArrayLike, quantized: QuantizedMatrix) -> dict[str, float]:
    """Error of a quantized matrix against ``weights`` (N, K), summed in float64.

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
    values = quantized.dequantize(np.float32)
    rows = max(1, BLOCK_WEIGHTS // exact.shape[1])
    lost = power = 0.0
    for first in range(0, len(exact), rows):
        part = exact[first : first + rows].astype(np.float64)
        lost += float(np.sum((values[first : first + rows] - part) ** 2))
        power += float(np.sum(part**2))
    mse, power = lost / exact.size, power / exact.size
    if mse == 0:
        return {"mse": 0.0, "relative": 0.0, "sqnr_db": float("inf")}
    if power == 0:
        return {"mse": mse, "relative": float("inf"), "sqnr_db": float("-inf")}
    return {
        "mse": mse,
        "relative": mse / power,
        "sqnr_db": 10 * float(np.log10(power) - np.log10(mse)),
    }


def layer_errors(weights: ArrayLike, quantized: QuantizedMatrix) -> dict[str, float]:
    """``mse`` and ``relative`` of :func:`quantization_error`, and ``hardware_relative``.

    The last is with the machine's 8-bit scales. Layers of zeros that are kept as zeros have no
    relative error: 0. All values are finite for finite weights.
    """
    found = quantization_error(weights, quantized)
    hardware = quantization_error(weights, quantized.with_uint8_scales())
    return {
        "mse": found["mse"],
        "relative": found["relative"],
        "hardware_relative": hardware["relative"],
    }
