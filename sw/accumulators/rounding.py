"""An input for which a floating-point accumulator really rounds.

Let S be the largest sum, itself a number of the type, and q a power of two that divides the
weights. If S is at most ``2**p * q``, no sum rounds. Else S is an even multiple of q, and less the
smallest odd multiple of q among the weights an odd one: no number of the type while it is above
``2**p * q``. If it is not, sums above lack smaller weights only: the same again with those alone.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from .checks import Integers, input_bounds, integer_array
from .float_types import FloatType, float_type
from .schedule import exact_dtype


def rounding_witness(
    row: ArrayLike, input_range: tuple[int, int], type_: FloatType | str
) -> Integers | None:
    """Inputs on which a running sum of ``row`` is no number of ``type_``; None if there are none.

    Parameters
    ----------
    row : integer weights, (K,). Products are added in this order.
    input_range : smallest and largest activation, both inclusive.
    type_ : the register, or its name.

    Returns
    -------
    Activations, (K,); with 0 in the range it is the last sum that is no number of the type.

    Raises
    ------
    InputError : as :func:`.float_sum_report`.
    """
    weights = [int(w) for w in integer_array(row, "weights of a row", ndim=1)]
    low, high = input_bounds(input_range)
    if isinstance(type_, str):
        type_ = float_type(type_)
    for stop, sign in _suspects(weights, low, high, type_):
        found = _inputs([sign * w for w in weights[:stop]], low, high, type_)
        if found is not None:
            idle = min(max(0, low), high)
            found += [idle] * (len(weights) - stop)
            dtype = exact_dtype(max(abs(low), abs(high)))
            return np.array(found, dtype=object if dtype is object else np.int64)
    return None


def _suspects(
    weights: list[int], low: int, high: int, type_: FloatType
) -> Iterator[tuple[int, int]]:
    """Length and sign of every running sum that can go beyond ``2**p`` quanta."""
    factor = low & -low if low == high else 1
    bits = lowest = highest = 0
    for stop, weight in enumerate(weights, start=1):
        bits |= weight * factor
        lowest += min(weight * low, weight * high)
        highest += max(weight * low, weight * high)
        if low <= 0 <= high and stop < len(weights):
            continue  # what a running sum reaches, the last one does
        edge = min((bits & -bits) << type_.significand_bits, type_.largest)
        for sign, extreme in ((1, highest), (-1, -lowest)):
            # with 0 outside the range, sums can lie wholly on one side
            if extreme > edge:
                yield stop, sign


def _inputs(weights: list[int], low: int, high: int, type_: FloatType) -> list[int] | None:
    """Inputs for which the whole sum is above the edge and no number of the type."""
    extreme = [high if w > 0 else low for w in weights]
    total = sum(w * x for w, x in zip(weights, extreme, strict=True))
    if not type_.holds(total):
        return extreme
    near = [k for k, w in enumerate(weights) if w and low < high]
    while near:
        bits = 0
        for k in near:
            bits |= weights[k]
        quantum = bits & -bits
        above = total - (quantum << type_.significand_bits)
        least = min((k for k in near if weights[k] & quantum), key=lambda k: abs(weights[k]))
        if abs(weights[least]) < above:
            extreme[least] -= 1 if weights[least] > 0 else -1
            return extreme
        near = [k for k in near if abs(weights[k]) < above]
    return None
