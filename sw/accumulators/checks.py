"""Words and input checks shared by the accumulator modules."""

import operator
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError, unknown_name

#: What an accumulator does with a sum outside its range: keep the low bits, clamp to the nearest
#: end, or keep the low bits and set a sticky bit.
Mode = Literal["wrap", "saturate", "flag"]
#: ``inner`` sums one group of weights, ``outer`` the scaled groups.
Stage = Literal["inner", "outer"]
#: Side of a range.
Side = Literal["low", "high"]

#: Integers of any size: int64, or Python ints (dtype object) where int64 could overflow.
Integers = NDArray[Any]


def check_word(kind: str, value: object, words: Any) -> None:
    """Refuse a ``value`` that is not one of the words of the Literal type ``words``."""
    if value not in get_args(words):
        raise unknown_name(kind, value, get_args(words))


def integer(value: Any, name: str, *, least: int | None = None) -> int:
    """``value`` as a Python int, refused when it is no integer or below ``least``."""
    try:
        exact = operator.index(value)
    except TypeError:
        raise InputError(f"{name} must be an integer, not {value!r}") from None
    if least is not None and exact < least:
        raise InputError(f"{name} must be at least {least}, not {exact}")
    return exact


def integer_array(values: ArrayLike, name: str, *, ndim: int) -> Integers:
    """``values`` as a non-empty integer array of ``ndim`` axes, exactly.

    Integer dtypes pass as they are; integers that int64 cannot hold come back with dtype object.
    Floats are refused even when they are whole: beyond 2**53 they have already lost digits.
    """
    try:
        array = np.asarray(values)
    except ValueError:
        raise InputError(f"{name} must be a full array, its rows differ in length") from None
    if array.dtype.kind not in "iu":
        array = np.array(values, dtype=object)
        bad = [v for v in array.flat if isinstance(v, bool) or not isinstance(v, int | np.integer)]
        if bad:
            raise InputError(f"{name} must hold integers only, not {bad[0]!r}")
        array = np.frompyfunc(int, 1, 1)(array)
    if array.ndim != ndim or array.size == 0:
        raise InputError(f"{name} must be non-empty with {ndim} axes, not of shape {array.shape}")
    return array.astype(object) if array.dtype == np.uint64 else array


def input_bounds(input_range: tuple[int, int]) -> tuple[int, int]:
    """The inclusive ``(low, high)`` of the activations, as Python ints in order."""
    try:
        low, high = input_range
    except (TypeError, ValueError):
        raise InputError(f"input range must be (low, high), not {input_range!r}") from None
    low, high = integer(low, "input range low"), integer(high, "input range high")
    if low > high:
        raise InputError(f"input range low {low} is above its high {high}")
    return low, high
