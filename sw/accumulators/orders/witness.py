"""An input that drives one row's register to the end of its proved range, in any order."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError
from sw.formats import TermTable

from ..checks import Integers, Mode, Side, Stage, check_word, integer, integer_array
from ..schedule import exact_dtype
from ..width import signed_width
from ..witness import witness
from .bounds import agreement_values
from .names import get_order
from .ordered import OrderedLayer, ordered_layer
from .step import OrderStep
from .steps import Steps, Tables, chunk_length, order_tables, tile_steps
from .tables import Extremes


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderWitness:
    """An input vector and the extreme that it reaches.

    Attributes
    ----------
    order : name of the order of additions.
    stage, mode, side : which register, under which meaning of failing, which end of its range.
    inputs : codes, (K,), int64 (dtype object where int64 is too small). Weights that do not matter
        to the extreme meet 0, or the input nearest 0 (1 in ``popcount``).
    step : after it the exact sum is ``value``. For ``wrap`` the last one of a tile, or of the row.
    sequence : elements in the order in which they are added, for ``any_order``.
    value : the extreme.
    """

    order: str
    stage: Stage
    mode: Mode
    side: Side
    inputs: Integers
    step: OrderStep
    value: int
    sequence: tuple[int, ...] | None = None

    @property
    def bits(self) -> int:
        """Width that ``value`` needs: with one bit less the register fails on ``inputs``."""
        return signed_width(self.value, self.value)


class _Extreme(NamedTuple):
    """A value, the step that has it, and what each element of the row has added by then.

    ``parts`` are elements with the table of extremes that they are looked up in; the others do not
    matter.
    """

    value: int
    step: OrderStep
    parts: list[tuple[NDArray[np.intp], Extremes]]


def order_witness(
    row: ArrayLike,
    *,
    order: str,
    input_range: tuple[int, int],
    stage: Stage,
    mode: Mode,
    side: Side | None = None,
    tile: int | None = None,
    lanes: int = 1,
    weight_bits: int | None = None,
    input_bits: int | None = None,
    bias: int | None = None,
    scale_codes: ArrayLike | None = None,
    input_zero_point: int = 0,
    padded: bool = False,
    terms: TermTable | None = None,
) -> OrderWitness:
    """The input that drives one row to the end of its range; see :func:`.order_bounds`.

    Parameters
    ----------
    row : integer weights, (K,).
    stage, mode : which register (``outer`` needs tiles), and what failing means.
    side : end of the range to reach; ``None`` takes the one that needs the most bits (high if
        both do).

    The rest is as for :func:`.order_bounds`, with one bias and the scales of one row, (tiles,).
    ``weight_bits`` must be given where weights are taken bit by bit: it is a matter of the layer.

    Raises
    ------
    InputError : as :func:`.order_bounds`, an unknown word, an outer stage without tiles,
        ``weight_bits`` missing.
    """
    check_word("accumulator stage", stage, Stage)
    check_word("accumulator mode", mode, Mode)
    if get_order(order).weights != "whole" and weight_bits is None:
        raise InputError(f"order of additions '{order}' needs the weight bits of the layer")
    scales = None
    if scale_codes is not None:
        scales = integer_array(scale_codes, "scale codes of a row", ndim=1)[None]
    layer = ordered_layer(
        integer_array(row, "weights of a row", ndim=1)[None],
        order=order,
        input_range=input_range,
        tile=tile,
        lanes=lanes,
        weight_bits=weight_bits,
        input_bits=input_bits,
        bias=None if bias is None else [integer(bias, "bias")],
        scale_codes=scales,
        input_zero_point=input_zero_point,
        padded=padded,
        terms=terms,
    )
    if stage == "outer" and not layer.tiled:
        raise InputError("a row without tiles has no outer accumulator: give a tile")
    sides: tuple[Side, ...] = ("low", "high") if side is None else (side,)
    for word in sides:
        check_word("witness side", word, Side)
    found = [_witness(layer, stage, mode, word) for word in sides]
    return max(reversed(found), key=lambda one: one.bits)


def _witness(layer: OrderedLayer, stage: Stage, mode: Mode, side: Side) -> OrderWitness:
    if layer.order.shape == "slots":
        return _slot_witness(layer, stage, mode, side)
    tables = order_tables(layer)
    index = tables.rows(layer.weights)[0]
    extremes = (_outer_extremes if stage == "outer" else _inner_extremes)(
        layer, tables, index, mode, side
    )
    sign = 1 if side == "high" else -1
    best = max(extremes, key=lambda extreme: sign * extreme.value)  # the first of equals
    idle = 1 if layer.order.popcount else min(max(0, layer.low), layer.high)
    wide = exact_dtype(max(abs(layer.low), abs(layer.high))) is object
    inputs: Any = np.full(len(index), idle, dtype=object if wide else np.int64)
    for elements, table in best.parts:
        inputs[elements] = (table.at_low if side == "low" else table.at_high)[index[elements]]
    sequence = None
    if layer.order.shape == "any":
        first = best.step.subset or ()
        sequence = first + tuple(k for k in range(len(index)) if k not in set(first))
    return OrderWitness(
        order=layer.order.name,
        stage=stage,
        mode=mode,
        side=side,
        inputs=inputs,
        step=best.step,
        value=best.value,
        sequence=sequence,
    )


def _tiles(layer: OrderedLayer) -> list[range]:
    length, size = layer.schedule.length, layer.schedule.group_size
    return [range(k, min(k + size, length)) for k in range(0, length, size)]


def _inner_extremes(
    layer: OrderedLayer, tables: Tables, index: NDArray[np.intp], mode: Mode, side: Side
) -> Iterator[_Extreme]:
    """One candidate per tile and pass, in the order of the steps."""
    bias = None if layer.inner_bias is None else int(layer.inner_bias[0])
    at_end = layer.order.bias == "end"
    start = 0 if bias is None or at_end else bias
    latched_only = mode == "wrap" and not layer.order.transients_count
    if bias is not None and not latched_only:
        yield _Extreme(bias, OrderStep(kind="bias"), [])
    for number, members in enumerate(_tiles(layer)):
        of_tile = index[members.start : members.stop]
        found = list(tile_steps(layer.order, tables, of_tile[None, None], layer.schedule.lanes))
        if bias is not None and at_end:
            ends = found[-1].low if side == "low" else found[-1].high
            whole = [(np.array(members), tables.phases[-1].after)]
            yield _Extreme(int(ends[0, 0, -1]) + bias, OrderStep(kind="result"), whole)
            found = [] if latched_only else found
        for steps in found[-1:] if latched_only else found:
            ends = (steps.low if side == "low" else steps.high)[0, 0]
            place = int(ends.argmin() if side == "low" else ends.argmax())
            place = len(ends) - 1 if latched_only else place
            at = _at(layer, tables, of_tile, steps, place, number, members, side)
            yield _Extreme(int(ends[place]) + start, *at)


def _at(
    layer: OrderedLayer,
    tables: Tables,
    index: NDArray[np.intp],
    steps: Steps,
    place: int,
    number: int,
    members: range,
    side: Side,
) -> tuple[OrderStep, list[tuple[NDArray[np.intp], Extremes]]]:
    """The step at ``place`` of ``steps`` in tile ``number``, and what its elements have added."""
    phase = tables.phases[steps.phase]
    elements = np.array(members)
    first = members.start
    if steps.kind == "subset":
        chosen = elements if steps.level else elements[_chosen(tables, index, side)]
        step = OrderStep(kind="subset", tile=number, subset=tuple(int(k) for k in chosen))
        return step, [(chosen, phase.after)]
    if steps.kind == "node":
        size = 1 << steps.level
        start, stop = first + place * size, min(first + (place + 1) * size, members.stop)
        step = OrderStep(kind="node", tile=number, elements=(start, stop))
        return step, [(np.arange(start, stop), phase.after)]
    before = tables.phases[steps.phase - 1].after  # doubling moves no extreme
    planes: dict[str, Any] = {"weight_plane": phase.weight_plane, "input_plane": phase.input_plane}
    if steps.kind == "shift":
        return OrderStep(kind="shift", tile=number, **planes), [(elements, before)]
    chunk = chunk_length(layer.order, layer.schedule.lanes, len(members))
    start, stop = first + place * chunk, min(first + (place + 1) * chunk, members.stop)
    step = OrderStep(kind="add", tile=number, elements=(start, stop), **planes)
    done, rest = np.arange(first, stop), np.arange(stop, members.stop)
    return step, [(done, phase.after), (rest, before)] if steps.phase else [(done, phase.after)]


def _chosen(tables: Tables, index: NDArray[np.intp], side: Side) -> NDArray[np.bool_]:
    """Which products the extreme subset of a tile has, at least one."""
    ends = tables.low[1][index] if side == "low" else -tables.high[1][index]
    chosen = ends < 0
    if not chosen.any():
        chosen[ends.argmin()] = True
    return chosen


def _outer_extremes(
    layer: OrderedLayer, tables: Tables, index: NDArray[np.intp], mode: Mode, side: Side
) -> Iterator[_Extreme]:
    """One candidate per tile sum added, in order."""
    tiles = _tiles(layer)
    total = 0 if layer.bias is None else int(layer.bias[0])
    if layer.bias is not None and mode != "wrap":
        yield _Extreme(total, OrderStep(kind="bias"), [])
    after = tables.phases[-1].after
    table = tables.low[-1] if side == "low" else tables.high[-1]
    sums = np.array([[sum(int(v) for v in table[index[t.start : t.stop]]) for t in tiles]], object)
    values = agreement_values(sums, layer) if layer.order.popcount else sums
    parts = []
    for number, (members, scale) in enumerate(zip(tiles, layer.outer_scales()[0], strict=True)):
        total += int(scale) * int(values[0, number])
        if scale:
            parts.append((np.array(members), after))
        if mode != "wrap" or number == len(tiles) - 1:
            yield _Extreme(total, OrderStep(kind="tile", tile=number), list(parts))


def _slot_witness(layer: OrderedLayer, stage: Stage, mode: Mode, side: Side) -> OrderWitness:
    """The machine's own order has its own witness; the bias moves all of its values alike."""
    found = witness(
        layer.weights[0],
        terms=layer.terms,
        group_size=layer.schedule.group_size,
        lanes=layer.schedule.lanes,
        input_range=(layer.low, layer.high),
        scale_row=layer.outer_scales()[0] if layer.tiled else None,
        stage=stage,
        mode=mode,
        sign=side,
    )
    biases = layer.bias if stage == "outer" else layer.inner_bias
    bias = 0 if biases is None else int(biases[0])
    members = _tiles(layer)[found.group]
    first = members.start + found.chunk * layer.schedule.lanes
    elements = first, min(first + layer.schedule.lanes, members.stop)
    step = OrderStep(kind="add", tile=found.group, slot=found.slot, elements=elements)
    if stage == "outer":
        step = OrderStep(kind="tile", tile=found.group)
    value, inputs = found.value + bias, found.inputs
    beyond = bias >= value if side == "high" else bias <= value
    if biases is not None and mode != "wrap" and beyond:
        idle = min(max(0, layer.low), layer.high)
        step, value, inputs = OrderStep(kind="bias"), bias, np.full_like(inputs, idle)
    return OrderWitness(
        order=layer.order.name,
        stage=stage,
        mode=mode,
        side=side,
        inputs=inputs,
        step=step,
        value=value,
    )
