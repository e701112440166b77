"""Moving outliers of the activations into the weights: SmoothQuant and Outlier Suppression+."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

from ..architecture import Architecture
from ..calibrate import InputStatistics
from ..llama import Floats
from .fold import Rewritten, Site, Tensors, scale_site, shift_site, sites, stem_weight

WeightQuantizer = Callable[[str, Floats], Floats]
"""``quantize(name, weights)``: weights (N, K) of the linear ``name`` after quantization."""
InputQuantizer = Callable[[Floats], Floats]
"""``quantize(x)``: inputs (rows, K) of a linear after quantization."""
THRESHOLDS = 20


def site_statistics(statistics: Mapping[str, InputStatistics], site: Site) -> InputStatistics:
    """Statistics of the inputs that the site's readers share.

    Raises
    ------
    InputError : none were collected.
    """
    try:
        return statistics[site.readers[0]]
    except KeyError:
        raise InputError(f"no statistics of the inputs of '{site.readers[0]}'") from None


def smoothquant(
    architecture: Architecture,
    tensors: Mapping[str, NDArray[np.floating]],
    statistics: Mapping[str, InputStatistics],
    *,
    alpha: float = 0.5,
) -> Rewritten:
    """SmoothQuant (Xiao et al., ICML 2023, arXiv:2211.10438, equation 4).

    Channel j of the inputs is divided, and column j of the weights multiplied, by::

        s_j = max|X_j|**alpha / max|W_j|**(1 - alpha)

    with the maximum of the weights over all linears that read the channel. A channel that is zero
    on either side keeps ``s_j = 1``. Besides the norms (as published), the inverse also goes into
    v_proj for o_proj and into up_proj for down_proj; with grouped-query attention the maxima are
    over the heads that share a value channel.

    Parameters
    ----------
    statistics : of every block linear's inputs, for this model; Hessians are not needed.
    alpha : migration strength, from 0 (weights become even) to 1 (activations become even).

    Raises
    ------
    InputError : missing statistics, or alpha out of range.
    """
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha must be from 0 to 1, not {alpha}")
    new: Tensors = {name: tensors[name] for name in tensors}
    for site in sites(architecture):
        inputs = site.gather(site_statistics(statistics, site).largest, "max")
        columns = np.max([np.abs(stem_weight(new, name)).max(axis=0) for name in site.readers], 0)
        weights = site.gather(columns, "max")
        live = (inputs > 0) & (weights > 0)
        ratio = np.where(live, inputs, 1) ** alpha / np.where(live, weights, 1) ** (1 - alpha)
        scale_site(new, site, ratio)
    note = f"SmoothQuant, alpha {alpha:g}"
    return Rewritten(architecture=architecture, tensors=new, note=note)


def os_plus(
    architecture: Architecture,
    tensors: Mapping[str, NDArray[np.floating]],
    statistics: Mapping[str, InputStatistics],
    quantize_weights: WeightQuantizer,
    quantize_inputs: InputQuantizer,
) -> Rewritten:
    """Outlier Suppression+ (Wei et al., EMNLP 2023, arXiv:2304.09145, sections 4.2 and 4.3).

    Channel j of the inputs becomes ``(x_j - z_j) / s_j`` with::

        z_j = (max X_j + min X_j) / 2        s_j = max(1, max|X_j - z_j| / t)

    and one threshold t a site: of ``i / 20 * max|X - z|``, i = 20 .. 1, the one with the least
    squared output error of the quantized linears that read the channels, on the sample of their
    inputs; the largest of equals. (The paper measures attention as a whole for q, k and v; here
    the outputs of the linears are measured everywhere.) Shifts become biases of the norm or v_proj
    and of the readers; down_proj's inputs are scaled only, their gate lets no shift pass. With
    grouped-query attention the ranges are over the heads that share a value channel.

    Parameters
    ----------
    statistics : of every block linear's inputs, for this model; Hessians are not needed.
    quantize_weights, quantize_inputs : what will be done to weights and activations.

    Raises
    ------
    InputError : missing statistics.
    """
    new: Tensors = {name: tensors[name] for name in tensors}
    chosen = []
    for site in sites(architecture):
        known = site_statistics(statistics, site)
        highest, lowest = site.gather(known.highest, "max"), site.gather(known.lowest, "min")
        shifts = (highest + lowest) / 2 if site.shiftable else np.zeros(site.size)
        reach = np.maximum(np.abs(highest - shifts), np.abs(lowest - shifts))
        if site.shiftable:
            shift_site(new, site, shifts)
        inputs = known.sample - shifts[site.channels].astype(np.float32)
        best, share, least = np.ones(site.size), 1.0, np.inf
        for step in range(THRESHOLDS, 0, -1):
            threshold = step / THRESHOLDS * reach.max()
            scales = np.maximum(1, reach / threshold) if threshold > 0 else np.ones(site.size)
            error = _joint_error(new, site, inputs, scales, quantize_weights, quantize_inputs)
            if error < least:
                best, share, least = scales, step / THRESHOLDS, error
        scale_site(new, site, best)
        chosen.append(share)
    note = f"Outlier Suppression+, mean threshold {np.mean(chosen):.2f} of the range"
    return Rewritten(architecture=architecture, tensors=new, note=note)


def _joint_error(
    tensors: Tensors,
    site: Site,
    inputs: Floats,
    scales: NDArray[np.float64],
    quantize_weights: WeightQuantizer,
    quantize_inputs: InputQuantizer,
) -> float:
    """Squared output error of a site's readers with both sides quantized."""
    wide = scales[site.channels].astype(np.float32)
    rounded = quantize_inputs(inputs / wide)
    total = 0.0
    for name in site.readers:
        weights = stem_weight(tensors, name).astype(np.float32)
        outputs = rounded @ quantize_weights(name, weights * wide).T
        total += float(np.sum(np.square(outputs - inputs @ weights.T), dtype=np.float64))
    return total
