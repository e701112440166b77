"""Integer dot products in floating-point registers: exact or not, and how far off.

The model: products are exact, each is added in the order of the row, and every sum is rounded once
to nearest, ties to even, as a fused multiply-add rounds. All products are multiples of a power of
two q, so nothing is rounded while sums stay within ``2**p * q``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError

from .checks import Integers, input_bounds, integer_array
from .float_types import FloatType, float_type
from .rounding import rounding_witness
from .schedule import exact_dtype
from .width import signed_widths


@dataclass(frozen=True, kw_only=True, eq=False)
class FloatSums:
    """One floating-point type as the accumulator of a layer, per output channel, all (N,).

    Attributes
    ----------
    type : the register.
    exact : bool, no input makes any running sum round; otherwise :func:`.rounding_witness` has one.
    any_order : bool, proved that nothing rounds in any order, tree or split of the additions.
    errors : integers, largest possible ``|float sum - exact sum|`` if nothing overflows.
    gamma_errors : Fractions, the textbook bound ``gamma(k)`` times the largest sum of magnitudes,
        in any order (``k`` additions, see :meth:`.FloatType.gamma`); None where it says nothing.
    may_overflow : bool, some running sum might leave the finite numbers.
    may_stagnate : bool, some running sum is so large that the smallest product is lost.
    """

    type: FloatType
    exact: NDArray[np.bool_]
    any_order: NDArray[np.bool_]
    errors: Integers
    gamma_errors: NDArray[Any]
    may_overflow: NDArray[np.bool_]
    may_stagnate: NDArray[np.bool_]

    @property
    def bit_exact(self) -> bool:
        """Whether every channel is exact."""
        return bool(self.exact.all())


@dataclass(frozen=True, kw_only=True, eq=False)
class FloatSumReport:
    """A layer's exact sums, and what floating-point accumulators make of them.

    Attributes
    ----------
    input_low, input_high : range of every activation, both inclusive.
    quanta : largest power of two that divides every product, (N,); 0 if all are 0.
    reach : largest magnitude of a running sum, the last one included, (N,).
    any_reach : the same over every subset of the products, so in any order, (N,).
    magnitudes : largest sum of the products' magnitudes, (N,).
    sums : floating-point type -> what it does.
    """

    input_low: int
    input_high: int
    quanta: Integers
    reach: Integers
    any_reach: Integers
    magnitudes: Integers
    sums: dict[str, FloatSums]


def float_sum_report(
    weights: ArrayLike,
    input_range: tuple[int, int],
    types: Sequence[str] = ("float32", "float16", "bfloat16"),
) -> FloatSumReport:
    """What floating-point accumulators make of integer dot products, for all inputs in a range.

    Parameters
    ----------
    weights : integers, (N, K).
    input_range : smallest and largest activation, both inclusive; need not contain 0.
    types : names for :func:`.float_type`.

    Raises
    ------
    InputError : empty, ragged or non-integer weights, an empty range, no type or an unknown one.
    """
    weights = integer_array(weights, "weights", ndim=2)
    low, high = input_bounds(input_range)
    if not types:
        raise InputError("a report on floating-point sums needs at least one type")
    scan = _Scan(weights, low, high, [float_type(name) for name in types])
    for column in weights.T:
        scan.add(column)
    return FloatSumReport(
        input_low=low,
        input_high=high,
        quanta=scan.quanta,
        reach=scan.reach,
        any_reach=np.maximum(scan.any_high, -scan.any_low),
        magnitudes=scan.magnitudes,
        sums={run.type.name: _sums(run, scan, weights) for run in scan.runs},
    )


class _Run:
    """One type along the row."""

    def __init__(self, type_: FloatType, channels: int, dtype: Any) -> None:
        self.type = type_
        self.errors = np.zeros(channels, dtype=dtype)
        #: largest magnitude that a running sum can have in the register
        self.largest = np.zeros(channels, dtype=dtype)
        self.beyond = np.zeros(channels, dtype=np.bool_)
        #: some running sum is rounded for some input, for certain
        self.rounds = np.zeros(channels, dtype=np.bool_)
        #: a product itself is rounded, should it come first
        self.long = np.zeros(channels, dtype=np.bool_)

    def add(self, scan: "_Scan", products: Integers, lowest: Integers) -> None:
        """One more product: largest magnitudes, and the largest power of two that divides them."""
        bits = self.type.significand_bits
        self.long |= beyond(products, lowest, bits)
        sums = scan.sums
        # a weight that is an odd multiple of the quantum moves the last place of the extreme sum
        self.rounds |= (scan.low < scan.high) & beyond(sums - scan.widest, scan.quanta, bits)
        self.beyond |= beyond(sums, scan.quanta, bits)
        totals = sums + self.errors
        rows = np.flatnonzero(beyond(totals, scan.quanta, bits))
        if rows.size:
            below = totals[rows] - 1
            digits = signed_widths(np.zeros_like(below), below).astype(totals.dtype) - 1
            half = np.left_shift(np.ones_like(below), digits - bits - 1)
            # the sum before is a number of the type, so none is farther than the product is large
            self.errors[rows] += np.minimum(half, products[rows])
        self.largest = np.maximum(self.largest, sums + self.errors)


class _Scan:
    """Exact ranges of the running sums, column by column, and one :class:`_Run` per type."""

    def __init__(self, weights: Integers, low: int, high: int, types: list[FloatType]) -> None:
        channels, length = weights.shape
        largest = max(abs(int(weights.min())), abs(int(weights.max())), 1)
        # errors are no larger than the sums: all together stay below four times the largest
        bound = 4 * largest * max(abs(low), abs(high), 1) * length
        self.dtype: Any = object if exact_dtype(bound) is object else np.int64
        self.low, self.high = low, high
        #: the power of two that divides a lone input
        self.factor = low & -low if low == high else 1
        zeros = np.zeros(channels, dtype=self.dtype)
        self.lows, self.highs, self.sums, self.reach = (zeros.copy() for _ in range(4))
        self.any_low, self.any_high, self.magnitudes = (zeros.copy() for _ in range(3))
        self.quanta, self.widest, self.smallest = (zeros.copy() for _ in range(3))
        self.products = np.zeros(channels, dtype=np.int64)
        self.runs = [_Run(type_, channels, self.dtype) for type_ in types]

    def add(self, column: Integers) -> None:
        """One more weight of every channel."""
        weights = column.astype(self.dtype)
        ends = weights * self.low, weights * self.high
        lowest, highest = np.minimum(*ends), np.maximum(*ends)
        self.lows, self.highs = self.lows + lowest, self.highs + highest
        self.sums = np.maximum(self.highs, -self.lows)
        self.reach = np.maximum(self.reach, self.sums)
        self.any_low = self.any_low + np.minimum(lowest, 0)
        self.any_high = self.any_high + np.maximum(highest, 0)
        products = np.maximum(highest, -lowest)
        self.magnitudes = self.magnitudes + products
        self.products += (products > 0).astype(np.int64)
        steps = weights * self.factor
        self.quanta = self._lowest_bit(self.quanta | steps)
        sizes = np.abs(weights)
        self.widest = np.maximum(self.widest, sizes)
        fresh = (sizes > 0) & ((self.smallest == 0) | (sizes < self.smallest))
        self.smallest = np.where(fresh, sizes, self.smallest)
        for run in self.runs:
            run.add(self, products, self._lowest_bit(steps))

    @staticmethod
    def _lowest_bit(values: Integers) -> Integers:
        return values & -values

    @property
    def smallest_input(self) -> int:
        """Smallest magnitude of an input that is not 0; 0 if there is none."""
        if self.low <= 0 <= self.high:
            return int(self.low < self.high)
        return min(abs(self.low), abs(self.high))


def beyond(values: Integers, quanta: Integers, bits: int) -> NDArray[np.bool_]:
    """Whether ``values`` exceed ``quanta * 2**bits``, without forming it."""
    return np.asarray((values - 1) >> bits >= quanta, dtype=np.bool_) & (values > 0)


def _sums(run: _Run, scan: _Scan, weights: Integers) -> FloatSums:
    """What one type does, once every product is added."""
    type_, ends = run.type, (scan.low, scan.high)
    may_overflow = np.asarray(run.largest > type_.largest, dtype=np.bool_)
    exact = ~(run.beyond | may_overflow)
    for row in np.flatnonzero(~exact & ~run.rounds):
        exact[row] = rounding_witness(weights[row], ends, type_) is None
    any_reach = np.maximum(scan.any_high, -scan.any_low)
    any_order = ~beyond(any_reach, scan.quanta, type_.significand_bits)
    any_order &= np.asarray(any_reach <= type_.largest, dtype=np.bool_)
    if scan.low <= 0 <= scan.high:
        any_order = exact.copy()  # any sum of some products is also the last sum of some input
    roundings = scan.products - 1 + run.long
    return FloatSums(
        type=type_,
        exact=exact,
        any_order=any_order,
        errors=np.where(exact, 0, run.errors),
        gamma_errors=_gamma_errors(type_, roundings, scan.magnitudes),
        may_overflow=may_overflow & ~exact,
        may_stagnate=_may_stagnate(type_, scan),
    )


def _gamma_errors(type_: FloatType, roundings: Integers, magnitudes: Integers) -> NDArray[Any]:
    found = np.empty(len(roundings), dtype=object)
    for row, (count, magnitude) in enumerate(zip(roundings, magnitudes, strict=True)):
        gamma = type_.gamma(max(int(count), 0))
        found[row] = None if gamma is None else gamma * int(magnitude)
    return found


def _may_stagnate(type_: FloatType, scan: _Scan) -> NDArray[np.bool_]:
    smallest = scan.smallest * scan.smallest_input
    return np.array(
        [
            bool(product) and int(reach) >= type_.stagnation(int(product))
            for product, reach in zip(smallest, scan.reach, strict=True)
        ],
        dtype=np.bool_,
    )
