"""From the machine's integers to real outputs: what the host does, in its stated order."""

from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError


def rescale(
    outputs: NDArray[np.int64] | NDArray[np.float32],
    *,
    channel_scales: ArrayLike,
    unit: Fraction,
    activation_scales: ArrayLike,
) -> NDArray[np.float32]:
    """Real outputs (M, N), each step one float32 operation (docs/numerics.md, "On the host").

    Parameters
    ----------
    outputs : (M, N), int64 outer accumulators, or float32 results of floating-point machines.
    channel_scales : float32 (N,), first-level weight scales.
    unit : value of level 1 of the weights' family.
    activation_scales : float32 (M,), one per token.

    Raises
    ------
    InputError : the shapes do not fit together.
    """
    channels = np.asarray(channel_scales, dtype=np.float32)
    tokens = np.asarray(activation_scales, dtype=np.float32)
    if outputs.shape != (len(tokens), len(channels)):
        raise InputError(
            f"outputs have shape {outputs.shape}, the scales are for {(len(tokens), len(channels))}"
        )
    real = outputs.astype(np.float32) * channels[None, :]
    return real * np.float32(float(unit)) * tokens[:, None]
