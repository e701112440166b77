"""Cycles as the simulator of the BitMoD artifact (HPCA 2025) counts them, from its formulas.

Analytical: every operation (a linear layer, or attention's QK and PV) takes the longer of its
compute and its DRAM cycles, and operations are summed. ``docs/reproduction.md`` has the formulas.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from configs.errors import InputError

from .modelling import Modelling
from .points import WRITE_BITS, Point
from .shapes import ModelShape

BUFFER_BYTES = 512 * 1024
#: transfers of the DRAM bus in a cycle
DRAM_TRANSFERS = 2
ACTIVATION_BITS = 16
#: weights that share a scale
GROUP_SIZE = 128
#: bits of a group's scale, and of its selector of a special value
SCALE_BITS, SELECTOR_BITS = 8, 2
#: BitMoD's types with special values have at most so many bits
SPECIAL_VALUE_BITS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Operand:
    """``rows`` rows of ``length`` elements.

    Attributes
    ----------
    bits : of an element in DRAM.
    buffer_bits : of an element in the on-chip buffer.
    """

    rows: int
    length: int
    bits: float = ACTIVATION_BITS
    buffer_bits: float = ACTIVATION_BITS

    @property
    def bytes(self) -> int:
        """Bytes in DRAM; a row starts at a byte."""
        return self.rows * math.ceil(self.length * self.bits / 8)

    @property
    def buffer_words(self) -> int:
        """Writes of 64 bits that store it on chip; a row starts at a word."""
        return self.rows * math.ceil(self.length * self.buffer_bits / WRITE_BITS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """``count`` equal layers, each ``products`` products (tokens, k) x (k, n).

    Attributes
    ----------
    element_bits : of an element of the (k, n) operand, as the PEs take it.
    latency : cycles of a step of a PE.
    """

    name: str
    attention: bool
    count: int
    products: int
    k: int
    n: int
    tokens: int
    element_bits: float
    latency: int
    weights: Operand
    inputs: Operand
    outputs: Operand


@dataclass(frozen=True, kw_only=True, slots=True)
class OperationTiming:
    """One of the ``operation.count`` layers in time.

    Attributes
    ----------
    steps : steps of the array, each of ``lanes`` products per PE.
    weight_fetches, input_fetches : how often the operand is read from DRAM.
    dram_bytes : what crosses the bus, in and out.
    """

    operation: Operation
    steps: int
    compute_cycles: int
    dram_cycles: int
    weight_fetches: int
    input_fetches: int
    dram_bytes: int

    @property
    def total_cycles(self) -> int:
        """Cycles of all ``operation.count`` layers."""
        return self.operation.count * max(self.compute_cycles, self.dram_cycles)


@dataclass(frozen=True, kw_only=True)
class PointTiming:
    """All operations of a point in time."""

    operations: tuple[OperationTiming, ...]

    @property
    def total_cycles(self) -> int:
        """Cycles of everything."""
        return sum(timing.total_cycles for timing in self.operations)

    @property
    def attention_cycles(self) -> int:
        """Cycles of QK and PV."""
        return sum(t.total_cycles for t in self.operations if t.operation.attention)


def time_point(point: Point, modelling: Modelling) -> PointTiming:
    """Cycles of a prefill, or of one decoded token.

    Raises
    ------
    InputError : a batch where the modelling knows none.
    """
    return _timed(point, (*_linears(point, modelling), *_attention(point, modelling)))


def time_generation(point: Point, modelling: Modelling) -> PointTiming:
    """Cycles of ``modelling.decode_steps`` tokens after a prompt of ``point.context`` tokens.

    Where the context grows, the first of them sees one token more than the prompt has.

    Raises
    ------
    InputError : a batch where the modelling knows none.
    """
    steps = modelling.decode_steps
    repeated = list(_linears(point, modelling))
    attention: Iterable[Operation]
    if modelling.growing:
        contexts = range(point.context + 1, point.context + 1 + steps)
        attention = [o for c in contexts for o in _attention(replace(point, context=c), modelling)]
    else:
        repeated += _attention(point, modelling)
        attention = ()
    return _timed(
        point, (*(replace(each, count=each.count * steps) for each in repeated), *attention)
    )


def weight_bits(point: Point, modelling: Modelling) -> float:
    """Bits of a stored weight, with the metadata that the modelling counts.

    INT6 and wider have no special values and hence no selector.
    """
    if modelling.full_metadata and point.bit_serial and point.weight_bits < SPECIAL_VALUE_BITS:
        return math.floor(point.weight_bits) + (SCALE_BITS + SELECTOR_BITS) / GROUP_SIZE
    return point.weight_bits


def _linears(point: Point, modelling: Modelling) -> Iterable[Operation]:
    if point.batch > 1 and not modelling.per_head:
        raise InputError(
            f"{point.where}: field 'batch' is {point.batch}, the 2024 variant knows only batch 1"
        )
    tokens = point.batch * _tokens(point)
    bits = weight_bits(point, modelling)
    for layer in point.model.linears():
        k, n = layer.in_features, layer.out_features
        yield Operation(
            name=layer.name,
            attention=False,
            count=layer.count,
            products=1,
            k=k,
            n=n,
            tokens=tokens,
            element_bits=bits,
            latency=_latency(point, bits),
            weights=Operand(rows=n, length=k, bits=bits, buffer_bits=bits),
            inputs=Operand(rows=tokens, length=k),
            outputs=Operand(rows=tokens, length=n),
        )


def _attention(point: Point, modelling: Modelling) -> tuple[Operation, Operation]:
    """QK and PV of all layers."""
    if modelling.per_head:
        return _attention_2025(point)
    return _attention_2024(point, weight_bits(point, modelling))


def _attention_2024(point: Point, bits: float) -> tuple[Operation, Operation]:
    """QK reduces over the whole hidden size, and PV makes heads x tokens outputs.

    16 bits per element cross the DRAM bus, but the buffer stores the "weight" operand, and the PEs
    take it, at the precision of the weights.
    """
    model, tokens = point.model, _tokens(point)
    heads, hidden, keys = model.num_attention_heads, model.hidden_size, model.key_value_size
    latency = _latency(point, bits)
    scores = Operation(
        name="qk",
        attention=True,
        count=model.num_hidden_layers,
        products=1,
        k=hidden,
        n=tokens,
        tokens=heads * tokens,
        element_bits=bits,
        latency=latency,
        weights=Operand(rows=tokens, length=hidden, buffer_bits=bits),
        inputs=Operand(rows=heads * tokens, length=keys),
        outputs=Operand(rows=heads * tokens, length=tokens),
    )
    values = replace(
        scores,
        name="pv",
        k=point.context,
        n=heads * tokens,
        tokens=tokens,
        weights=Operand(rows=heads * tokens, length=point.context, buffer_bits=bits),
        inputs=Operand(rows=tokens, length=keys),
        outputs=Operand(rows=tokens, length=heads * tokens),
    )
    return scores, values


def _attention_2025(point: Point) -> tuple[Operation, Operation]:
    """One product per head of keys and values; the query heads that share one are its tokens."""
    model: ModelShape = point.model
    products = point.batch * model.num_key_value_heads
    tokens = _tokens(point) * (model.num_attention_heads // model.num_key_value_heads)
    context, width, bits = point.context, model.head_dim, point.kv_bits
    scores = Operation(
        name="qk",
        attention=True,
        count=model.num_hidden_layers,
        products=products,
        k=width,
        n=context,
        tokens=tokens,
        element_bits=bits,
        latency=_latency(point, bits),
        weights=Operand(rows=products * context, length=width, bits=bits, buffer_bits=bits),
        inputs=Operand(rows=products * tokens, length=width),
        outputs=Operand(rows=products * tokens, length=context),
    )
    values = replace(
        scores,
        name="pv",
        k=context,
        n=width,
        weights=Operand(rows=products * width, length=context, bits=bits, buffer_bits=bits),
        inputs=Operand(rows=products * tokens, length=context),
        outputs=Operand(rows=products * tokens, length=width),
    )
    return scores, values


def _tokens(point: Point) -> int:
    """Tokens of a sequence that one pass computes."""
    return point.context if point.phase == "prefill" else 1


def _latency(point: Point, bits: float) -> int:
    """Cycles of a step: two bits of an element per cycle, fractions of a bit being metadata."""
    return -(-int(bits) // 2) if point.bit_serial else 1


def _timed(point: Point, operations: Iterable[Operation]) -> PointTiming:
    return PointTiming(operations=tuple(_time_operation(point, each) for each in operations))


def _time_operation(point: Point, operation: Operation) -> OperationTiming:
    """Compute and DRAM cycles of one layer."""
    steps = operation.products * (
        -(-operation.k // point.lanes)
        * -(-operation.n // point.rows)
        * -(-operation.tokens // point.cols)
    )
    weight_bytes, input_bytes = operation.weights.bytes, operation.inputs.bytes
    weight_fetches, input_fetches = _fetches(weight_bytes, input_bytes)
    fetched = weight_fetches * weight_bytes + input_fetches * input_bytes
    dram_bytes = fetched + operation.outputs.bytes
    return OperationTiming(
        operation=operation,
        steps=steps,
        compute_cycles=steps * operation.latency,
        dram_cycles=8 * dram_bytes // (DRAM_TRANSFERS * point.dram_bits),
        weight_fetches=weight_fetches,
        input_fetches=input_fetches,
        dram_bytes=dram_bytes,
    )


def _fetches(weight_bytes: int, input_bytes: int) -> tuple[int, int]:
    """How often weights and inputs are read: the cheaper order where neither fits its buffer."""
    if weight_bytes <= BUFFER_BYTES or input_bytes <= BUFFER_BYTES:
        return 1, 1
    weight_fetches = -(-input_bytes // BUFFER_BYTES)
    input_fetches = -(-weight_bytes // BUFFER_BYTES)
    if weight_fetches * weight_bytes + input_bytes < input_fetches * input_bytes + weight_bytes:
        return weight_fetches, 1
    return 1, input_fetches
