"""Scale codes of 8 bits that keep the outer accumulator within its width."""

import numpy as np
from numpy.typing import NDArray

from sw.accumulators import signed_range

from ..matrix import SCALE_CODE_MAX
from .budgets import Whole

#: largest scale codes to try. With less of them the outer sums are smaller and the scales coarser;
#: below the last, the weights give way
LARGEST_CODES = (SCALE_CODE_MAX, 191, 127, 95, 63, 47, 31, 23, 15, 11, 7)


def scale_codes_within(
    scales: NDArray[np.float32], used: NDArray[np.bool_], low: Whole, high: Whole, outer_bits: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float64]]:
    """8-bit scale codes and a factor per channel, with the largest codes that fit.

    As :meth:`sw.quantize.QuantizedMatrix.with_uint8_scales`, but the largest code may be less than
    255. Groups without weights get code 1.

    Parameters
    ----------
    scales : wanted, (R, groups), above 0 where ``used``.
    used : groups that hold a weight that is not 0.
    low, high : exact range of every group's sum, (R, groups), around 0.
    outer_bits : width of the outer accumulator.

    Returns
    -------
    Codes (R, groups), factors (R,), and how many times (R,) the outer range is as large as the
    register: at most 1 where it fits.
    """
    floor, ceiling = signed_range(outer_bits)
    wanted = np.where(used, scales, 0).astype(np.float32)
    largest = wanted.max(axis=1)
    codes = np.ones(scales.shape, dtype=np.uint8)
    factors = np.ones(len(scales), dtype=np.float32)
    times = np.full(len(scales), np.inf)
    for top in LARGEST_CODES:
        tried = np.where(largest > 0, largest / np.float32(top), 1).astype(np.float32)
        found = np.rint(wanted / tried[:, None]).clip(1, SCALE_CODE_MAX).astype(np.int64)
        # with 0 among the inputs, sums of all groups go further than sums of some
        above, below = (found * high).sum(axis=1), (found * low).sum(axis=1)
        needed = np.maximum(above / max(ceiling, 1), below / floor)
        open_rows = times > 1
        codes[open_rows] = found[open_rows].astype(np.uint8)
        factors[open_rows], times[open_rows] = tried[open_rows], needed[open_rows]
    return codes, factors, times
