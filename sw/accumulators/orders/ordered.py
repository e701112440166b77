"""A layer together with the order in which its products are added, checked once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from configs.errors import InputError
from sw.formats import TermTable

from ..bounds import checked_scales
from ..checks import Integers, input_bounds, integer, integer_array
from ..schedule import Schedule
from ..width import signed_width
from .names import Order, get_order


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderedLayer:
    """Checked arguments of :func:`.order_bounds`.

    Attributes
    ----------
    weights : (N, K).
    low, high : range of the inputs, the code of padding included.
    schedule : tiles and chunks along K; one tile is the whole row where there are none.
    tiled : whether tile sums are added in an outer register.
    scales : scale of each tile, (N, tiles), or ``None`` for 1.
    bias : (N,), dtype object, or ``None``.
    zero_point : code of the input 0.
    weight_planes, input_planes : bits of an operand that is taken bit by bit, and at least what
        the whole one needs where it is not.
    """

    order: Order
    weights: Integers
    low: int
    high: int
    schedule: Schedule
    tiled: bool
    scales: Integers | None
    bias: Integers | None
    zero_point: int
    weight_planes: int
    input_planes: int

    @property
    def inner_bias(self) -> Integers | None:
        """What the inner register starts at, or gets at the end; ``None`` if it has no bias."""
        return None if self.tiled or self.order.bias == "outside" else self.bias

    @property
    def terms(self) -> TermTable | None:
        """Term table of the machine's own order."""
        return self.schedule.terms

    def outer_scales(self) -> Integers:
        """Scale of each tile, (N, tiles), 1 where none is given."""
        if self.scales is not None:
            return self.scales
        return np.ones((len(self.weights), self.schedule.groups), dtype=np.uint8)


def ordered_layer(
    weights: ArrayLike,
    *,
    order: str,
    input_range: tuple[int, int],
    tile: int | None,
    lanes: int,
    weight_bits: int | None,
    input_bits: int | None,
    bias: ArrayLike | None,
    scale_codes: ArrayLike | None,
    input_zero_point: int,
    padded: bool,
    terms: TermTable | None,
) -> OrderedLayer:
    """The arguments of :func:`.order_bounds`, checked; raises :class:`InputError` as it does."""
    found = get_order(order)
    matrix = integer_array(weights, "weights", ndim=2)
    if (terms is None) == (found.shape == "slots"):
        wanted = "needs the term table of the PE" if terms is None else "takes no term table"
        raise InputError(f"order of additions '{found.name}' {wanted}")
    low, high = input_bounds(input_range)
    zero_point = integer(input_zero_point, "input zero point")
    if padded:
        low, high = min(low, zero_point), max(high, zero_point)
    length = matrix.shape[1]
    schedule = Schedule(
        length=length, group_size=length if tile is None else tile, lanes=lanes, terms=terms
    )
    if tile is None and scale_codes is not None:
        raise InputError("scale codes need a tile: they multiply the sums of tiles")
    scales = None if scale_codes is None else checked_scales(scale_codes, len(matrix), schedule)
    if found.popcount:
        _check_signs(matrix, (low, high), zero_point)
    return OrderedLayer(
        order=found,
        weights=matrix,
        low=low,
        high=high,
        schedule=schedule,
        tiled=tile is not None,
        scales=scales,
        bias=None if bias is None else _checked_bias(bias, len(matrix)),
        zero_point=zero_point,
        weight_planes=_weight_planes(found, int(matrix.min()), int(matrix.max()), weight_bits),
        input_planes=input_planes(low, high, input_bits),
    )


def input_planes(low: int, high: int, input_bits: int | None) -> int:
    """Bits of an input: two's complement where the range has negative inputs.

    ``input_bits`` is the width that the hardware has; ``None`` takes the narrowest that holds the
    range ``low`` to ``high``, and a narrower one is refused.
    """
    needed = signed_width(low, high) if low < 0 else max(1, high.bit_length())
    if input_bits is None:
        return needed
    planes = integer(input_bits, "input bits", least=1)
    if planes < needed:
        raise InputError(f"inputs from {low} to {high} need {needed} bits, not {planes}")
    return planes


def narrowest_weight_bits(weights: ArrayLike, order: str) -> int:
    """Bits of the narrowest type that holds all ``weights``, any shape, as ``order`` stores them.

    Two's complement, or sign and magnitude where that is what is taken bit by bit. This is what
    :func:`.order_bounds` takes for a layer, and what the witness of one of its rows must be told.
    """
    found = get_order(order)
    values = integer_array(np.asarray(weights).reshape(-1), "weights", ndim=1)
    return _needed_bits(found, int(values.min()), int(values.max()))


def _needed_bits(order: Order, least: int, most: int) -> int:
    if order.weights == "magnitude_lsb_first":
        return 1 + max(abs(least), abs(most), 1).bit_length()
    return signed_width(least, most)


def _weight_planes(order: Order, least: int, most: int, weight_bits: int | None) -> int:
    """Bits of a weight that are taken one by one: its sign is none where it stands alone."""
    needed = _needed_bits(order, least, most)
    bits = needed if weight_bits is None else integer(weight_bits, "weight bits", least=1)
    magnitude = order.weights == "magnitude_lsb_first"
    if bits < needed:
        kind = "sign and magnitude" if magnitude else "two's complement"
        raise InputError(f"weights from {least} to {most} need {needed} bits in {kind}, not {bits}")
    return bits - 1 if magnitude else bits


def _checked_bias(bias: ArrayLike, channels: int) -> Integers:
    values = integer_array(bias, "bias", ndim=1)
    if len(values) != channels:
        raise InputError(f"bias has {len(values)} values for {channels} rows of weights")
    return values.astype(object)


def _check_signs(weights: Integers, input_range: tuple[int, int], zero_point: int) -> None:
    """Refuse what a counter of agreeing signs cannot sum."""
    bad = weights[(weights != 1) & (weights != -1)]
    if bad.size:
        raise InputError(f"order of additions 'popcount' needs weights of +-1, not {bad[0]}")
    if input_range != (-1, 1):
        raise InputError(
            f"order of additions 'popcount' needs the inputs -1 and 1, not {list(input_range)}"
        )
    if zero_point:
        raise InputError(
            f"order of additions 'popcount' has no input zero point, but one of {zero_point} is set"
        )
