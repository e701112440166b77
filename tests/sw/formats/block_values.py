"""Values for the tests of block formats."""

import numpy as np


def weights(seed: int, shape: tuple[int, int], spread: float = 8) -> np.ndarray:
    """Values over many binades, a few of them zero."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape) * 2.0 ** rng.uniform(-spread, spread, (shape[0], 1))
    return np.where(rng.random(shape) < 0.05, 0, values).astype(np.float32)
