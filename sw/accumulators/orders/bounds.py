"""How wide an accumulator must be for the order in which products are really added.

The final sum is the same in every order, so a ``wrap`` register needs the same width in all of
them. A register that saturates, raises a flag or shares a word must hold every sum on the way, and
those depend on the order: the partial value of a two's-complement weight does not lie between 0
and the weight.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from sw.formats import TermTable

from ..bounds import BLOCK_WEIGHTS, LayerBounds, StageRange, layer_bounds, outer_sums
from ..checks import Integers
from ..schedule import exact_dtype
from ..width import signed_width
from .ordered import OrderedLayer, ordered_layer
from .steps import Tables, order_tables, tile_steps


def order_bounds(
    weights: ArrayLike,
    *,
    order: str,
    input_range: tuple[int, int],
    tile: int | None = None,
    lanes: int = 1,
    weight_bits: int | None = None,
    input_bits: int | None = None,
    bias: ArrayLike | None = None,
    scale_codes: ArrayLike | None = None,
    input_zero_point: int = 0,
    padded: bool = False,
    terms: TermTable | None = None,
) -> LayerBounds:
    """Exact accumulator ranges of one layer, its products added in ``order``.

    Parameters
    ----------
    weights : (N, K) integers, any integer dtype or Python ints.
    order : a name of :data:`.ORDERS`.
    input_range : smallest and largest input code, both inclusive; need not contain 0.
    tile : products per tile, the last one may be shorter; the inner register sums a tile in
        ``order``, the outer one adds the tiles' sums one after the other. ``None`` for one
        register that sums whole rows.
    lanes : products added per step; orders that add all at once or one by one do without.
    weight_bits, input_bits : planes of an operand that is taken bit by bit (of magnitude and sign
        where that is how); ``None`` for the narrowest type that holds all of them.
    bias : (N,), in units of one product (times scale). The register that ends up in the result
        starts at it, or gets it at the end where the order doubles the register or is a tree;
        both ways it counts as a step of its own. A counter never holds it.
    scale_codes : unsigned scale of each tile, (N, ceil(K / tile)); ``None`` for 1.
    input_zero_point : code that stands for 0. The registers sum raw codes.
    padded : whether positions beyond an edge enter, whose code is the zero point.
    terms : term table, for the order ``slots`` only.

    Returns
    -------
    LayerBounds
        ``slots`` counts the passes over a tile. ``corrected`` is the range of
        ``sum w * (x - zero_point) + bias`` over rows (times scales); of ``popcount``, which counts
        agreeing signs, that of the sum of products (widths are signed: an unsigned counter needs
        a bit less). With ``packed`` the latched range is that of all steps, because every one of
        them matters.

    Raises
    ------
    InputError : an unknown order, empty or non-integer arrays, sizes that do not fit together,
        operands wider than their planes, and what an order cannot add (see :data:`.ORDERS`).
    """
    layer = ordered_layer(
        weights,
        order=order,
        input_range=input_range,
        tile=tile,
        lanes=lanes,
        weight_bits=weight_bits,
        input_bits=input_bits,
        bias=bias,
        scale_codes=scale_codes,
        input_zero_point=input_zero_point,
        padded=padded,
        terms=terms,
    )
    plain = layer.order.name in ("slots", "parallel", "packed")
    bounds = _machine_bounds(layer) if plain else _table_bounds(layer)
    inner, outer = bounds.inner, bounds.outer
    if layer.inner_bias is not None:
        inner = biased(inner, layer.inner_bias, at_end=layer.order.bias == "end")
    if layer.order.transients_count:
        inner = replace(inner, final_low=inner.step_low, final_high=inner.step_high)
    if outer is not None and layer.bias is not None:
        outer = biased(outer, layer.bias, at_end=False)
    # what the result is made of; not ``inner``, whose latched range may be that of all steps
    result = _result(layer, bounds, outer)
    return replace(
        bounds,
        inner=inner,
        outer=outer,
        order=layer.order.name,
        corrected=_corrected(layer, result),
    )


def biased(stage: StageRange, bias: Integers, *, at_end: bool) -> StageRange:
    """``stage`` with ``bias`` (N,), which it starts at or gets in a last step of its own."""
    low, high, step_low, step_high = (
        ends.astype(object)
        for ends in (stage.final_low, stage.final_high, stage.step_low, stage.step_high)
    )
    low, high = low + bias, high + bias
    if not at_end:
        step_low, step_high = step_low + bias, step_high + bias
    return StageRange(
        final_low=narrowed(low),
        final_high=narrowed(high),
        step_low=narrowed(np.minimum(np.minimum(step_low, bias), low)),
        step_high=narrowed(np.maximum(np.maximum(step_high, bias), high)),
    )


def narrowed(values: Integers) -> Integers:
    """Python ints as int64 where all of them fit."""
    largest = max(abs(int(values.min())), abs(int(values.max())))
    return values if exact_dtype(largest) is object else values.astype(np.int64)


def _machine_bounds(layer: OrderedLayer) -> LayerBounds:
    """Orders that the machine's own schedule covers: its slots, or whole products."""
    return layer_bounds(
        layer.weights,
        terms=layer.terms,
        group_size=layer.schedule.group_size,
        lanes=layer.schedule.lanes,
        input_range=(layer.low, layer.high),
        scale_codes=layer.outer_scales() if layer.tiled else None,
    )


def _table_bounds(layer: OrderedLayer) -> LayerBounds:
    """Every other order, from its tables; still without bias."""
    tables = order_tables(layer)
    blocks = _blocks(layer, tables)
    joined = [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
    weights = layer.weights
    return LayerBounds(
        input_low=layer.low,
        input_high=layer.high,
        group_size=layer.schedule.group_length,
        lanes=layer.schedule.lanes,
        slots=len(tables.phases),
        inner=_stage_range(joined[1:5]),
        outer=_stage_range(joined[5:9]) if layer.tiled else None,
        l1=narrowed(joined[0]),
        weight_bits=signed_width(int(weights.min()), int(weights.max())),
    )


def _blocks(layer: OrderedLayer, tables: Tables) -> Iterator[list[Integers]]:
    """L1, inner range and, with tiles, outer range of a few channels at a time."""
    length = layer.schedule.length
    size = min(layer.schedule.group_size, length)
    whole = length // size * size  # the rest is a shorter last tile
    magnitudes = np.append(abs(tables.levels.astype(tables.low.dtype)), 0)
    scales = layer.outer_scales()
    rows = max(1, BLOCK_WEIGHTS // length)
    for first in range(0, len(layer.weights), rows):
        index = tables.rows(layer.weights[first : first + rows])
        parts = [index[:, :whole].reshape(len(index), -1, size)]
        if whole < length:
            parts.append(index[:, None, whole:])
        found = [_tile_ranges(layer, tables, part) for part in parts]
        low, high, step_low, step_high = (
            np.concatenate(ends, axis=1) for ends in zip(*found, strict=True)
        )
        l1 = [magnitudes[part].sum(axis=-1, dtype=tables.low.dtype).max(axis=1) for part in parts]
        ends = [low.min(axis=1), high.max(axis=1), step_low.min(axis=1), step_high.max(axis=1)]
        if layer.tiled:
            ends += _outer_ends(layer, low, high, scales[first : first + rows])
        yield [np.maximum(l1[0], l1[-1]), *(narrowed(end) for end in ends)]


def _tile_ranges(layer: OrderedLayer, tables: Tables, index: Integers) -> list[Integers]:
    """Final and step range of every tile of one length, each (n, tiles)."""
    lows, highs = [], []
    for steps in tile_steps(layer.order, tables, index, layer.schedule.lanes):
        lows.append(steps.low.min(axis=-1))
        highs.append(steps.high.max(axis=-1))
    final_low, final_high = steps.low[..., -1], steps.high[..., -1]
    return [final_low, final_high, np.min(lows, axis=0), np.max(highs, axis=0)]


def _outer_ends(
    layer: OrderedLayer, low: Integers, high: Integers, scales: Integers
) -> list[Integers]:
    """Final and step range of the outer register, (n,) each."""
    if layer.order.popcount:
        low, high = agreement_values(low, layer), agreement_values(high, layer)
    bound = max(1, abs(int(low.min())), abs(int(high.max())), abs(int(high.min())), int(low.max()))
    lows, highs = outer_sums(low.T, scales, bound), outer_sums(high.T, scales, bound)
    return [lows[-1], highs[-1], lows.min(axis=0), highs.max(axis=0)]


def agreement_values(counts: Integers, layer: OrderedLayer) -> Integers:
    """Sums of products of +-1 from counts of agreements, (n, tiles)."""
    schedule = layer.schedule
    sizes = np.full(schedule.groups, schedule.group_length)
    sizes[-1] = schedule.length - (schedule.groups - 1) * schedule.group_length
    return 2 * counts - sizes


def _result(
    layer: OrderedLayer, bounds: LayerBounds, outer: StageRange | None
) -> tuple[Integers, Integers]:
    """Range of what the registers leave at the end, the bias included, (N,) of Python ints."""
    if outer is not None:
        return outer.final_low.astype(object), outer.final_high.astype(object)
    low, high = bounds.inner.final_low.astype(object), bounds.inner.final_high.astype(object)
    if layer.order.popcount:
        low, high = 2 * low - layer.schedule.length, 2 * high - layer.schedule.length
    bias = 0 if layer.bias is None else layer.bias
    return low + bias, high + bias


def _corrected(layer: OrderedLayer, result: tuple[Integers, Integers]) -> StageRange | None:
    """Range of whole rows once the zero point is subtracted, or counts are turned into sums."""
    if not layer.zero_point and not layer.order.popcount:
        return None
    shift: Integers | int = 0
    if layer.zero_point:
        schedule = layer.schedule
        starts = np.arange(0, schedule.length, schedule.group_size)
        largest = max(abs(int(layer.weights.min())), abs(int(layer.weights.max())))
        wide = exact_dtype(largest * schedule.group_length) is object
        values = layer.weights.astype(object if wide else np.int64, copy=False)
        sums = np.add.reduceat(values, starts, axis=1).astype(object)
        shift = (sums * layer.outer_scales().astype(object)).sum(axis=1) * layer.zero_point
    low, high = narrowed(result[0] - shift), narrowed(result[1] - shift)
    return StageRange(final_low=low, final_high=high, step_low=low, step_high=high)


def _stage_range(ends: list[Integers]) -> StageRange:
    return StageRange(final_low=ends[0], final_high=ends[1], step_low=ends[2], step_high=ends[3])
