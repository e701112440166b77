"""What one product has put into the register after each plane of an order.

At every step of every order here the register holds ``sum of f_k(x[k])``, where ``f_k`` depends
only on weight ``k`` and on how many of its planes are done. The inputs are independent, so the
range of the register is the sum of the ranges of the ``f_k``: one small table per plane, by
distinct weight, says all.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from configs.errors import InputError

from ..checks import Integers
from ..schedule import exact_dtype
from .names import Order, Planes

#: Distinct weights times inputs that are enumerated where no closed form is known.
MAX_ENUMERATION = 1 << 20


class Extremes(NamedTuple):
    """Range of what a product has added so far, by distinct weight, and inputs that reach it.

    All are (D,). Where the product does not depend on its input, that is the one nearest 0.
    """

    low: Integers
    high: Integers
    at_low: Integers
    at_high: Integers


class Phase(NamedTuple):
    """One pass over a tile: a plane, or the whole products; ``after`` is what it leaves."""

    after: Extremes
    weight_plane: int | None
    input_plane: int | None


class Part(NamedTuple):
    """Range of a function of one input, and inputs that reach its ends."""

    low: int
    high: int
    at_low: int
    at_high: int


def order_phases(
    order: Order,
    levels: Integers,
    input_range: tuple[int, int],
    weight_planes: int,
    input_planes: int,
) -> list[Phase]:
    """The passes of ``order`` over a tile, in turn.

    Parameters
    ----------
    levels : distinct weights, (D,).
    input_range : smallest and largest input.
    weight_planes, input_planes : bits of a weight and of an input; of a weight's magnitude where
        that is what is taken bit by bit.

    Raises
    ------
    InputError : both operands bit by bit, and too many distinct weights times inputs to look at.
    """
    low, high = input_range
    largest = max(abs(low), abs(high), 1) << (weight_planes + input_planes + 2)
    dtype = np.int64 if exact_dtype(largest) is not object else object
    levels = levels.astype(dtype)
    idle = min(max(0, low), high)
    if order.popcount:
        agreement = Extremes(np.zeros_like(levels), np.ones_like(levels), -levels, levels)
        return [Phase(agreement, None, None)]
    whole = Part(low, high, low, high)
    if not order.serial:
        return [Phase(_products(levels, whole, idle), None, None)]
    if order.enumerates:
        counts = weight_planes, input_planes
        return _both_phases(order, levels, (low, high), counts)
    by_weight = order.weights != "whole"
    kind, count = (order.weights, weight_planes) if by_weight else (order.inputs, input_planes)
    phases = []
    for plane in _plane_order(kind, count):
        if by_weight:
            factors = _partial(levels, plane, count, kind)
            factors = factors >> plane if order.shifts else factors
            after = _products(factors, whole, idle)
        else:
            after = _products(levels, _input_part(order, plane, count, (low, high)), idle)
        phases.append(Phase(after, *((plane, None) if by_weight else (None, plane))))
    return phases


def _plane_order(kind: Planes, count: int) -> range:
    """Planes in the order in which they are taken."""
    return range(count - 1, -1, -1) if kind == "msb_first" else range(count)


def _partial(values: Integers, plane: int, count: int, kind: Planes) -> Integers:
    """What ``values`` amount to once ``plane`` is done, the planes not yet done left out."""
    if kind == "magnitude_lsb_first":
        return np.sign(values) * (abs(values) % (1 << (plane + 1)))
    if kind == "msb_first":
        return values - values % (1 << plane)
    # the last plane completes a value of either sign
    return values if plane == count - 1 else values % (1 << (plane + 1))


def _products(factors: Integers, part: Part, idle: int) -> Extremes:
    """Extremes of ``factor * part`` by factor."""
    one, other = factors * part.low, factors * part.high
    dtype = factors.dtype
    ends = np.array([idle, part.at_low, part.at_high], dtype=dtype)
    positive, negative = (factors > 0).astype(np.intp), (factors < 0).astype(np.intp)
    return Extremes(
        low=np.minimum(one, other),
        high=np.maximum(one, other),
        at_low=ends[positive + 2 * negative],
        at_high=ends[2 * positive + negative],
    )


def _input_part(order: Order, plane: int, count: int, input_range: tuple[int, int]) -> Part:
    """Range of the planes of an input done so far, over all inputs of the range."""
    low, high = input_range
    if order.inputs == "msb_first":
        shift = 0 if order.shifts else plane  # Horner's register holds the bits shifted down
        return Part(low >> plane << shift, high >> plane << shift, low, high)
    if plane == count - 1:
        return Part(low, high, low, high)
    size = 1 << (plane + 1)
    if low // size == high // size:
        return Part(low % size, high % size, low, high)
    turn = high // size * size  # the range holds a multiple of ``size`` and the number below it
    return Part(0, size - 1, turn, turn - 1)


def _both_phases(
    order: Order,
    levels: Integers,
    input_range: tuple[int, int],
    counts: tuple[int, int],
) -> list[Phase]:
    """Pairs of planes, by looking at every input of the range."""
    low, high = input_range
    span = high - low + 1
    if len(levels) * span > MAX_ENUMERATION:
        raise InputError(
            f"order of additions '{order.name}' looks at every pair of a distinct weight and an "
            f"input: {len(levels)} times {span} are more than {MAX_ENUMERATION}"
        )
    # by magnitude, so that the first extreme is the one nearest 0
    inputs = np.array(sorted(range(low, high + 1), key=abs), dtype=levels.dtype)
    phases = []
    for weight_plane, input_plane, sums in _pair_sums(order, levels, inputs, counts):
        at_low, at_high = sums.argmin(axis=1), sums.argmax(axis=1)
        rows = np.arange(len(levels))
        after = Extremes(sums[rows, at_low], sums[rows, at_high], inputs[at_low], inputs[at_high])
        phases.append(Phase(after, weight_plane, input_plane))
    return phases


def _pair_sums(
    order: Order, levels: Integers, inputs: Integers, counts: tuple[int, int]
) -> Iterator[tuple[int, int, Integers]]:
    """Planes of a pair and the sums after it, by distinct weight and input, (D, X)."""
    done = np.zeros_like(levels)
    for weight_plane in _plane_order(order.weights, counts[0]):
        latest = _partial(levels, weight_plane, counts[0], order.weights)
        for input_plane in _plane_order(order.inputs, counts[1]):
            seen = _partial(inputs, input_plane, counts[1], order.inputs)
            yield (
                weight_plane,
                input_plane,
                np.multiply.outer(done, inputs) + np.multiply.outer(latest - done, seen),
            )
        done = latest
