"""Real activations as the codes of a machine's activation port."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.accelerator import AcceleratorConfig
from sw.quantize.quantizer import float_activations, quantize_activations


def machine_activations(
    x: ArrayLike, array: AcceleratorConfig
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Codes (M, K) and scales (M,) of activations (M, K), quantized dynamically per token.

    Raises
    ------
    InputError : as :func:`sw.quantize.quantize_activations`.
    """
    if array.activation_format != "integer":
        return float_activations(x, array.activation_format)
    return quantize_activations(x, bits=array.activation_bits)
