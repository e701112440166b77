"""One row, one input vector, every addition of an order one by one in Python integers.

Slow and plain on purpose: operands are taken apart bit by bit, and nothing comes from the tables
behind the bounds, so it can judge them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import ArrayLike

from configs.errors import InputError
from sw.formats import TermTable

from ..checks import Mode, Stage, check_word, input_bounds, integer, integer_array
from ..width import signed_range
from .names import Order, Planes, get_order
from .step import OrderStep

#: From a sum to what the register keeps of it, and whether it left the range.
Register = Callable[[int], tuple[int, bool]]
#: A step, what it multiplies the register by, and what it adds.
Action = tuple[OrderStep, int, int]
#: Bit number and value of each digit of a number, in the order in which they are taken.
Digits = list[tuple[int | None, int]]


@dataclass(frozen=True, kw_only=True)
class OrderReplay:
    """What the registers did.

    Attributes
    ----------
    value, exact_value : result register at the end, and the same with unlimited registers.
    tile_sums, exact_tile_sums : inner register as latched at the end of each tile.
    exact_corrected : ``sum w * (x - zero_point) + bias`` (times scales), from the operands alone.
    inner_steps, outer_steps : every step with the exact sum after it, in order.
    inner_events, outer_events : steps whose sum left the range, the sum being that of what the
        register held and what the step adds.
    transients_count : whether an event is a failure in every mode.
    """

    value: int
    exact_value: int
    tile_sums: tuple[int, ...]
    exact_tile_sums: tuple[int, ...]
    exact_corrected: int
    inner_steps: tuple[tuple[OrderStep, int], ...]
    outer_steps: tuple[tuple[OrderStep, int], ...]
    inner_events: tuple[OrderStep, ...]
    outer_events: tuple[OrderStep, ...]
    transients_count: bool

    def fails(self, stage: Stage, mode: Mode) -> bool:
        """Whether ``stage`` failed in the sense of ``mode``, see :mod:`sw.accumulators.bounds`.

        The outer stage is judged on what it was given: replay it with an inner width that holds.
        """
        check_word("accumulator stage", stage, Stage)
        check_word("accumulator mode", mode, Mode)
        if stage == "inner" and (self.transients_count or mode != "wrap"):
            return bool(self.inner_events)
        if stage == "inner":
            return self.tile_sums != self.exact_tile_sums
        return bool(self.outer_events) if mode != "wrap" else self.value != self.exact_value


class _Trace:
    """A register with a limited and an unlimited copy, and what happened to them."""

    def __init__(self, keep: Register) -> None:
        self.keep = keep
        self.steps: list[tuple[OrderStep, int]] = []
        self.events: list[OrderStep] = []
        self.kept = self.exact = 0

    def set(self, step: OrderStep, total: int, exact: int) -> tuple[int, int]:
        """Latch ``total``; the unlimited copy gets ``exact``."""
        self.kept, left = self.keep(total)
        self.exact = exact
        self.steps.append((step, exact))
        if left:
            self.events.append(step)
        return self.kept, self.exact

    def do(self, actions: Iterator[Action]) -> None:
        for step, factor, addend in actions:
            self.set(step, factor * self.kept + addend, factor * self.exact + addend)


class _Job(NamedTuple):
    """Checked arguments of a replay."""

    order: Order
    weights: list[int]
    inputs: list[int]
    lanes: int
    weight_bits: int
    input_bits: int
    inputs_signed: bool
    terms: TermTable | None
    sequence: Sequence[int]


def _corrected(job: _Job, tiles: list[range], scales: list[int], zero_point: int) -> int:
    """Sum over the row of what the codes stand for, times weights and scales."""
    return sum(
        scale * job.weights[k] * (job.inputs[k] - zero_point)
        for scale, members in zip(scales, tiles, strict=True)
        for k in members
    )


def _tile_scales(scale_codes: ArrayLike | None, tiles: int, tile: int | None) -> list[int]:
    """One scale per tile; 1 where none are given."""
    if scale_codes is None:
        return [1] * tiles
    scales = [int(s) for s in integer_array(scale_codes, "scale codes of a row", ndim=1)]
    if len(scales) != tiles or min(scales) < 0 or tile is None:
        raise InputError(f"scale codes must be one per tile, none negative, not {scales}")
    return scales


def order_replay(
    row: ArrayLike,
    x: ArrayLike,
    *,
    order: str,
    input_range: tuple[int, int],
    tile: int | None = None,
    lanes: int = 1,
    weight_bits: int | None = None,
    input_bits: int | None = None,
    bias: int | None = None,
    scale_codes: ArrayLike | None = None,
    input_zero_point: int = 0,
    padded: bool = False,
    terms: TermTable | None = None,
    inner_bits: int | None = None,
    outer_bits: int | None = None,
    inner_mode: Mode = "wrap",
    outer_mode: Mode = "wrap",
    sequence: Sequence[int] | None = None,
) -> OrderReplay:
    """Add one row in ``order`` in registers of given widths.

    Parameters
    ----------
    row, x : integer weights and input codes, (K,).
    inner_bits, outer_bits : register widths; ``None`` is unlimited.
    inner_mode, outer_mode : what happens to a sum outside the range.
    sequence : for ``any_order``, the elements of the row in the order in which their products are
        added (within each tile); ``None`` for as they stand.

    The rest is as for :func:`.order_bounds`, with one bias and the scales of one row, (tiles,).
    ``weight_bits`` must be given where weights are taken bit by bit: it is a matter of the layer.

    Raises
    ------
    InputError : as :func:`.order_bounds`; inputs outside their range, a sequence that is no
        permutation, ``weight_bits`` missing.
    """
    low, high = input_bounds(input_range)
    if padded:
        low, high = min(low, input_zero_point), max(high, input_zero_point)
    job = _job(row, x, order, (low, high), lanes, (weight_bits, input_bits), terms, sequence)
    length = len(job.weights)
    size = length if tile is None else integer(tile, "tile", least=1)
    tiles = [range(k, min(k + size, length)) for k in range(0, length, size)]
    scales = _tile_scales(scale_codes, len(tiles), tile)
    bias = None if bias is None else integer(bias, "bias")
    inner_start = None if tile is not None or job.order.bias == "outside" else bias
    inner, outer = _register(inner_bits, inner_mode), _register(outer_bits, outer_mode)
    traces = [_tile_trace(job, number, t, inner, inner_start) for number, t in enumerate(tiles)]
    total = _Trace(outer)
    if tile is not None:
        _add_tiles(job, total, tiles, traces, scales, bias)
    result = traces[-1] if tile is None else total
    return OrderReplay(
        value=result.kept,
        exact_value=result.exact,
        tile_sums=tuple(t.kept for t in traces),
        exact_tile_sums=tuple(t.exact for t in traces),
        exact_corrected=_corrected(job, tiles, scales, input_zero_point) + (bias or 0),
        inner_steps=tuple(step for t in traces for step in t.steps),
        outer_steps=tuple(total.steps),
        inner_events=tuple(event for t in traces for event in t.events),
        outer_events=tuple(total.events),
        transients_count=job.order.transients_count,
    )


def _add_tiles(
    job: _Job,
    total: _Trace,
    tiles: list[range],
    traces: list[_Trace],
    scales: list[int],
    bias: int | None,
) -> None:
    if bias is not None:
        total.set(OrderStep(kind="bias"), bias, bias)
    for number, (members, trace, scale) in enumerate(zip(tiles, traces, scales, strict=True)):
        kept, exact = trace.kept, trace.exact
        if job.order.popcount:
            kept, exact = (2 * count - len(members) for count in (kept, exact))
        step = OrderStep(kind="tile", tile=number)
        total.set(step, total.kept + scale * kept, total.exact + scale * exact)


def _tile_trace(job: _Job, number: int, members: range, keep: Register, bias: int | None) -> _Trace:
    """The inner register over one tile."""
    trace = _Trace(keep)
    at_end = job.order.bias == "end"
    held = (0, 0)
    if bias is not None:
        held = trace.set(OrderStep(kind="bias"), bias, bias)
        if at_end:
            trace.kept = trace.exact = 0
    if job.order.shape == "tree":
        _add_tree(job, number, members, trace)
    else:
        trace.do(_actions(job, number, members))
    if bias is not None and at_end:
        trace.set(OrderStep(kind="result"), trace.kept + held[0], trace.exact + held[1])
    return trace


def _add_tree(job: _Job, number: int, members: range, trace: _Trace) -> None:
    def node(first: int, stop: int, total: int, exact: int) -> tuple[int, int, int, int]:
        step = OrderStep(kind="node", tile=number, elements=(first, stop))
        return first, stop, *trace.set(step, total, exact)

    products = {k: job.weights[k] * job.inputs[k] for k in members}
    nodes = [node(k, k + 1, products[k], products[k]) for k in members]
    while len(nodes) > 1:
        merged = [
            node(left[0], right[1], left[2] + right[2], left[3] + right[3])
            for left, right in zip(nodes[::2], nodes[1::2], strict=False)
        ]
        nodes = merged + nodes[len(merged) * 2 :]


def _actions(job: _Job, number: int, members: range) -> Iterator[Action]:
    """The steps of a tile, trees aside."""
    if job.order.shape == "any":
        return _subset_actions(job, number, members)
    if job.order.shape == "slots":
        return _slot_actions(job, number, members)
    return _plane_actions(job, number, members)


def _subset_actions(job: _Job, number: int, members: range) -> Iterator[Action]:
    added: list[int] = []
    for k in (k for k in job.sequence if k in members):
        added.append(k)
        step = OrderStep(kind="subset", tile=number, subset=tuple(sorted(added)))
        yield step, 1, job.weights[k] * job.inputs[k]


def _slot_actions(job: _Job, number: int, members: range) -> Iterator[Action]:
    assert job.terms is not None
    for first in members[:: job.lanes]:
        chunk = range(first, min(first + job.lanes, members.stop))
        for slot, shift in enumerate(job.terms.base_shifts):
            terms = [job.terms.terms[job.weights[k]][slot].value << shift for k in chunk]
            addend = sum(term * job.inputs[k] for term, k in zip(terms, chunk, strict=True))
            elements = chunk.start, chunk.stop
            yield OrderStep(kind="add", tile=number, slot=slot, elements=elements), 1, addend


def _plane_actions(job: _Job, number: int, members: range) -> Iterator[Action]:
    order = job.order
    scaled = not order.shifts
    inputs_signed = job.inputs_signed
    weights = {k: _digits(job.weights[k], order.weights, job.weight_bits, True) for k in members}
    inputs = {
        k: _digits(job.inputs[k], order.inputs, job.input_bits, inputs_signed) for k in members
    }
    lanes = len(members) if order.fused else job.lanes
    passes = [
        (w, x) for w in range(len(weights[members[0]])) for x in range(len(inputs[members[0]]))
    ]
    for turn, (w, x) in enumerate(passes):
        plane = weights[members[0]][w][0], inputs[members[0]][x][0]
        place: dict[str, Any] = {"tile": number, "weight_plane": plane[0], "input_plane": plane[1]}
        doubles = order.shifts and turn > 0
        if doubles and not order.fused:
            yield OrderStep(kind="shift", **place), 2, 0
        for first in members[::lanes]:
            chunk = range(first, min(first + lanes, members.stop))
            step = OrderStep(kind="add", elements=(chunk.start, chunk.stop), **place)
            weight = sum(plane[i] or 0 for i in (0, 1)) if scaled else 0
            if order.popcount:
                addend = sum(job.weights[k] == job.inputs[k] for k in chunk)
            else:
                addend = sum(weights[k][w][1] * inputs[k][x][1] for k in chunk) << weight
            yield step, 2 if doubles and order.fused else 1, addend


def _digits(value: int, kind: Planes, bits: int, signed: bool) -> Digits:
    """Digits -1, 0 and 1 of ``value``, or itself if it is taken whole."""
    if kind == "whole":
        return [(None, value)]
    if kind == "magnitude_lsb_first":
        sign = -1 if value < 0 else 1
        return [(t, sign * (abs(value) >> t & 1)) for t in range(bits - 1)]
    digits: Digits = [(t, value >> t & 1) for t in range(bits)]
    if signed:
        digits[-1] = (bits - 1, -digits[-1][1])
    return digits if kind == "lsb_first" else digits[::-1]


def _job(
    row: ArrayLike,
    x: ArrayLike,
    name: str,
    input_range: tuple[int, int],
    lanes: int,
    bits: tuple[int | None, int | None],
    terms: TermTable | None,
    sequence: Sequence[int] | None,
) -> _Job:
    order = get_order(name)
    weights = [int(w) for w in integer_array(row, "weights of a row", ndim=1)]
    inputs = [int(v) for v in integer_array(x, "inputs", ndim=1)]
    low, high = input_range
    if len(weights) != len(inputs):
        raise InputError(f"{len(weights)} weights cannot meet {len(inputs)} inputs")
    if not low <= min(inputs) <= max(inputs) <= high:
        raise InputError(
            f"inputs from {min(inputs)} to {max(inputs)} leave their range {low} to {high}"
        )
    if (terms is None) == (order.shape == "slots"):
        raise InputError("a term table is for the order of additions 'slots', which needs one")
    if order.weights != "whole" and bits[0] is None:
        raise InputError(f"order of additions '{name}' needs the weight bits of the layer")
    if order.popcount and not set(weights + inputs) <= {-1, 1}:
        raise InputError("order of additions 'popcount' needs weights and inputs of +-1")
    steps = list(range(len(weights)) if sequence is None else sequence)
    if sorted(steps) != list(range(len(weights))):
        raise InputError(f"the sequence must name each of {len(weights)} elements once")
    signed = low < 0
    needed = next(n for n in range(1, 1 << 20) if _fits(low, high, n, signed))
    return _Job(
        order=order,
        weights=weights,
        inputs=inputs,
        lanes=integer(lanes, "lanes", least=1),
        weight_bits=_held(min(weights), max(weights), bits[0], order),
        input_bits=needed if bits[1] is None else integer(bits[1], "input bits", least=needed),
        inputs_signed=signed,
        terms=terms,
        sequence=steps,
    )


def _held(least: int, most: int, bits: int | None, order: Order) -> int:
    """``bits`` of a weight, refused where the weights of the row need more."""
    if bits is None or order.weights == "whole":
        return 0
    width = integer(bits, "weight bits", least=1)
    if order.weights == "magnitude_lsb_first":  # the most negative code has no magnitude
        least, most = -max(-least, most), max(-least, most)
    if not _fits(least, most, width, True):
        raise InputError(f"weights from {least} to {most} do not fit into {width} bits")
    return width


def _fits(low: int, high: int, bits: int, signed: bool) -> bool:
    if not signed:
        return high < 1 << bits
    least, most = signed_range(bits)
    return least <= low and high <= most


def _register(bits: int | None, mode: Mode) -> Register:
    """A register of ``bits`` that treats overflow by ``mode``; ``None`` is unlimited."""
    check_word("accumulator mode", mode, Mode)
    if bits is None:
        return lambda total: (total, False)
    low, high = signed_range(bits)

    def keep(total: int) -> tuple[int, bool]:
        if low <= total <= high:
            return total, False
        if mode == "saturate":
            return (high if total > high else low), True
        return (total & ((1 << bits) - 1)) - ((total >> (bits - 1) & 1) << bits), True

    return keep
