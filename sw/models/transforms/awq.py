"""Activation-aware weight quantization: scales that protect the channels with large inputs."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from ..architecture import Architecture
from ..calibrate import InputStatistics
from .fold import Rewritten, Site, Tensors, scale_site, sites, stem_weight
from .smooth import WeightQuantizer, site_statistics

STEPS = 20


def awq(
    architecture: Architecture,
    tensors: Mapping[str, NDArray[np.floating]],
    statistics: Mapping[str, InputStatistics],
    quantize: WeightQuantizer,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Rewritten:
    """AWQ (Lin et al., MLSys 2024, arXiv:2306.00978, equations 4 and 5).

    Column j of the weights is multiplied, and channel j of the inputs divided, by::

        s_j = mean|X_j|**alpha / sqrt(max_k mean|X_k|**alpha * min_k mean|X_k|**alpha)

    For each site alpha is the one of 0, 1/20 .. 1 with the least squared output error of its
    quantized readers, ``|| X (Q(W s) / s - W)^T ||^2`` summed over the readers, the smallest of
    equals. Alpha 0 leaves the model as it is, so the error on calibration inputs never grows.

    Differences from the released code: the error is that of the linears, not of the attention or
    MLP block around q, k, v, gate and up; with grouped-query attention the scales between v_proj
    and o_proj are means over the heads that share a value channel (the code skips them). Clipping
    is a setting of the quantizer (``scale_rule: mse`` weighted with the mean squares of inputs
    collected anew from the rewritten model).

    Parameters
    ----------
    statistics : of every block linear's inputs, for this model; with Hessians the error is exact
        over all tokens, else over the samples.
    quantize : what will be done to the weights.
    progress : called with (sites done, sites).

    Raises
    ------
    InputError : missing statistics.
    """
    new: Tensors = {name: tensors[name] for name in tensors}
    chosen = []
    every = sites(architecture)
    for done, site in enumerate(every, start=1):
        alpha, scales = _search(new, site, site_statistics(statistics, site), quantize)
        if alpha:
            scale_site(new, site, scales)
        chosen.append(alpha)
        if progress is not None:
            progress(done, len(every))
    note = f"AWQ, mean alpha {np.mean(chosen):.2f}"
    return Rewritten(architecture=architecture, tensors=new, note=note)


def _search(
    tensors: Tensors, site: Site, known: InputStatistics, quantize: WeightQuantizer
) -> tuple[float, NDArray[np.float64]]:
    """The best alpha of a site, and its scales (size,)."""
    weights = {name: stem_weight(tensors, name).astype(np.float32) for name in site.readers}
    best, best_alpha, least = np.ones(site.size), 0.0, np.inf
    for step in range(STEPS + 1):
        scales = awq_scales(site.gather(known.mean_abs, "mean"), step / STEPS)
        wide = scales[site.channels].astype(np.float32)
        error = sum(
            known.output_error(quantize(name, matrix * wide) / wide - matrix)
            for name, matrix in weights.items()
        )
        if error < least:
            best, best_alpha, least = scales, step / STEPS, error
    return best_alpha, best


def awq_scales(magnitudes: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """``max(magnitudes**alpha, 1e-4)`` over the geometric mean of its extremes.

    The bound, that of the released code, gives channels without inputs a finite scale.
    """
    powers = np.maximum(magnitudes**alpha, 1e-4)
    return powers / np.sqrt(powers.max() * powers.min())
