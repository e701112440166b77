"""Exact widths of signed registers, and the looser bounds of the literature to compare with.

Integers only: a float ``ceil(log2(.))`` is wrong from 49 bits.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError

from .checks import Integers, integer, integer_array


def signed_width(low: int, high: int) -> int:
    """Bits of the narrowest two's-complement register that holds ``low`` to ``high``; at least 1.

    >>> signed_width(-8, 7), signed_width(0, 8), signed_width(0, 0)
    (4, 5, 1)

    Raises
    ------
    InputError : an end is not an integer, or ``low`` is above ``high``.
    """
    low, high = integer(low, "low"), integer(high, "high")
    if low > high:
        raise InputError(f"low {low} is above high {high}")
    return 1 + max(_magnitude_bits(low), _magnitude_bits(high))


def signed_range(bits: int) -> tuple[int, int]:
    """Smallest and largest value of a ``bits``-wide two's-complement register."""
    half = 1 << (integer(bits, "register bits", least=1) - 1)
    return -half, half - 1


def signed_widths(low: ArrayLike, high: ArrayLike) -> NDArray[np.int64]:
    """:func:`signed_width` of each pair of ``low`` (N,) and ``high`` (N,), as (N,) int64.

    Exact for int64 over its whole range and for Python ints (dtype object) of any size.
    """
    low, high = integer_array(low, "low", ndim=1), integer_array(high, "high", ndim=1)
    if low.shape != high.shape:
        raise InputError(f"low has shape {low.shape} but high has shape {high.shape}")
    if (low > high).any():
        bad = int(np.flatnonzero(low > high)[0])
        raise InputError(f"low {low[bad]} is above high {high[bad]} at index {bad}")
    return 1 + np.maximum(_array_magnitude_bits(low), _array_magnitude_bits(high))


def dtype_bound_bits(length: int, weight_bits: int, input_bits: int, input_signed: bool) -> int:
    """Width from the data types alone: ``length`` products of any weights and any inputs.

    Integer form of A2Q (ICCV 2023) equations 9 and 10. It takes ``2**input_bits`` for the largest
    unsigned input, so it is often one bit above the true need.

    Parameters
    ----------
    length : products summed, K.
    weight_bits, input_bits : data-type widths; weights are signed.
    input_signed : whether inputs are signed.
    """
    length = integer(length, "length", least=1)
    shift = integer(input_bits, "input bits", least=1) - bool(input_signed)
    shift += integer(weight_bits, "weight bits", least=1) - 1
    return (length << shift).bit_length() + 1


def l1_bound_bits(l1: int, input_bits: int, input_signed: bool) -> int:
    """Width from a channel's weight norm: integer form of A2Q (ICCV 2023) equations 11 to 13.

    Parameters
    ----------
    l1 : sum of absolute weights (levels).
    input_bits, input_signed : data type of the inputs.
    """
    l1 = integer(l1, "l1 norm", least=0)
    shift = integer(input_bits, "input bits", least=1) - bool(input_signed)
    return (l1 << shift).bit_length() + 1


def a2q_plus_bits(l1: int, input_bits: int) -> int:
    """Width of A2Q+ (ICML 2024, proposition 3.2), in integers; the same for signed inputs.

    Sound only for weights whose positive and negative sums are equal (A2Q+ centres them before
    rounding); for others it can be a bit short, so it serves for comparison, never as a proof.

    Parameters
    ----------
    l1 : sum of absolute weights (levels).
    input_bits : width of the inputs.
    """
    l1 = integer(l1, "l1 norm", least=0)
    input_bits = integer(input_bits, "input bits", least=1)
    return (l1 * ((1 << input_bits) - 1) + 1).bit_length()


def _magnitude_bits(value: int) -> int:
    """Bits of ``value`` without its sign bit: -8 and 7 both have 3."""
    return (value if value >= 0 else ~value).bit_length()


def _array_magnitude_bits(values: Integers) -> NDArray[np.int64]:
    if values.dtype == object:
        return np.array([_magnitude_bits(value) for value in values], dtype=np.int64)
    rest = values.astype(np.int64)
    rest = np.where(rest < 0, ~rest, rest)
    bits = np.zeros(rest.shape, dtype=np.int64)
    for shift in (32, 16, 8, 4, 2, 1):
        upper = rest >> shift
        bits += np.where(upper > 0, shift, 0)
        rest = np.where(upper > 0, upper, rest)
    return bits + rest  # rest is now 1, or 0 for a value without digits
