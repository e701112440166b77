"""Which integers the activations of an ONNX graph can be, as far as its nodes tell."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

from .onnx_graph import STANDARD, Graph, attribute, is_quant, onnx_library
from .onnx_linear import INTEGER_TYPES

#: nodes between a layer and the quantizer before it
MAX_DEPTH = 64
#: bit width of a QONNX node that is not refused
WIDEST = 32
#: give values of their first input, and no others
PASSED = (
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "GlobalMaxPool",
    "Identity",
    "MaxPool",
    "Reshape",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
)
#: give values from 0 to 1
UNIT = ("HardSigmoid", "Sigmoid", "Softmax")
#: numbers of FLOAT, FLOAT16, DOUBLE and BFLOAT16 in TensorProto.DataType
FLOATS = (1, 10, 11, 16)
LARGEST = float(np.finfo(np.float32).max)
Interval = tuple[float, float]
Limits = tuple[int, int]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Codes:
    """Integers that stand for an activation: ``(code - zero_point) * scale``.

    Attributes
    ----------
    low, high : both inclusive; every code of a run lies between them.
    zero_point : ``None`` where it is computed at run time.
    scale : ``None`` likewise.
    uniform : whether scale and zero point are the same for all elements of a tensor.
    padded : whether zeros were put around the tensor.
    """

    low: int
    high: int
    zero_point: int | None
    scale: float | None
    uniform: bool = True
    padded: bool = False


class Ranges:
    """Ranges of tensors, from the nodes that give them."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._codes: dict[str, Codes | None] = {}
        self._integers: dict[str, Limits | None] = {}
        self._intervals: dict[str, Interval] = {}
        self._depth = 0

    def codes(self, name: str) -> Codes | None:
        """Codes of a tensor of real numbers; None where it is not quantized or too far away."""
        return self._once(name, self._codes, self._find_codes, None)

    def integers(self, name: str) -> Limits | None:
        """Smallest and largest value of a tensor of integers; None where that is not known."""
        return self._once(name, self._integers, self._find_integers, None)

    def interval(self, name: str) -> Interval:
        """Smallest and largest value of a tensor of real numbers, both may be infinite."""
        return self._once(name, self._intervals, self._find_interval, (-np.inf, np.inf))

    def parameter(self, node: Any, place: int) -> NDArray | None:
        """A constant input of a node; None where it is no constant or not there."""
        name = node.input[place] if place < len(node.input) else ""
        found = self._graph.operand(name) if name else None
        if found is None:
            return None
        if 0 in found.shape:
            raise InputError(f"'{name}' holds no value")
        return found.value()

    def _once(self, name: str, known: dict[str, T], find: Callable[[Any, str], T], default: T) -> T:
        """What ``find`` says about a tensor; each one is asked about once."""
        node = self._graph.producer(name)
        if name not in known:
            found = default
            if self._depth < MAX_DEPTH:
                self._depth += 1
                found = find(node, name)
                self._depth -= 1
            known[name] = found
        return known[name]

    def _find_codes(self, node: Any, name: str) -> Codes | None:
        kind = _kind(node, name)
        if kind == "Quant":
            return self._quant(node)
        if kind == "DequantizeLinear":
            return self._dequantized(node)
        if kind in PASSED or (kind == "Cast" and attribute(node, "to", 0) in FLOATS):
            return self.codes(node.input[0])
        if kind == "Relu":
            return _rectified(self.codes(node.input[0]))
        if kind == "Pad":
            found, zeros = self.codes(node.input[0]), self._pads_zeros(node)
            if zeros is None or found is None:
                return None
            return replace(found, padded=True) if zeros else found
        if kind == "Concat":
            return _joined([self.codes(part) for part in node.input])
        return None

    def _quant(self, node: Any) -> Codes | None:
        """Codes behind a QONNX node; a scale may be computed at run time, all else not."""
        zero, scale = self.parameter(node, 2), self.parameter(node, 1)
        bipolar = node.op_type == "BipolarQuant"
        if not bipolar and (zero is None or self.parameter(node, 3) is None):
            return None
        quant = self._graph.quant(node, WIDEST, dynamic=scale is None)
        uniform = _is_single(quant.scale) and _is_single(quant.zero_point)
        ends = self.interval(node.input[0]) if scale is not None else (-np.inf, np.inf)
        channels = np.ones(np.broadcast_shapes(quant.scale.shape, quant.zero_point.shape))
        values = quant.integers(np.multiply.outer(_finite(ends), channels))
        return Codes(
            low=int(values.min()),
            high=int(values.max()),
            zero_point=int(quant.zero_point.flat[0]),
            scale=None if scale is None else float(quant.scale.flat[0]),
            uniform=uniform,
        )

    def _dequantized(self, node: Any) -> Codes | None:
        limits = self.integers(node.input[0]) or self.type_limits(node, 2)
        if limits is None:
            return None
        scale, zero = self.parameter(node, 1), self.parameter(node, 2)
        given = len(node.input) > 2 and bool(node.input[2])
        zero = np.zeros((), dtype=np.int32) if zero is None and not given else zero
        return Codes(
            low=limits[0],
            high=limits[1],
            zero_point=None if zero is None else int(zero.flat[0]),
            scale=None if scale is None else float(scale.flat[0]),
            uniform=all(x is None or _is_single(x) for x in (scale, zero)),
        )

    def _find_integers(self, node: Any, name: str) -> Limits | None:
        kind = _kind(node, name)
        if node is None:
            return self._input_limits(name)
        if kind == "QuantizeLinear":
            return self._quantized(node)
        if kind == "DynamicQuantizeLinear":
            return INTEGER_TYPES["UINT8"]
        if kind in ("QLinearConv", "QLinearMatMul"):
            return self.type_limits(node, 7)
        if kind in PASSED:
            return self.integers(node.input[0])
        if kind == "Clip":
            found = self.integers(node.input[0]) or self.type_limits(node, 1)
            if found is None:
                return None
            ends = self._clip(node)
            low, high = (
                int(np.clip(x, max(ends[0], -(2**62)), min(ends[1], 2**62))) for x in found
            )
            return low, high
        return None

    def _quantized(self, node: Any) -> Limits | None:
        """Integers that a QuantizeLinear node gives."""
        parameters = [self.parameter(node, 1), self.parameter(node, 2)]
        given = len(node.input) > 2 and bool(node.input[2])
        constant = parameters[0] is not None and (parameters[1] is not None or not given)
        if not constant or any(x is not None and x.size != 1 for x in parameters):
            return self.type_limits(node, 2)
        step = self._graph.linear(node, None)
        low, high = step.integers(_finite(self.interval(node.input[0])))
        return int(low), int(high)

    def type_limits(self, node: Any, place: int) -> Limits | None:
        """All values of the type that ``output_dtype`` or else an input says."""
        kinds, number = onnx_library().TensorProto.DataType, 0
        if node.op_type == "QuantizeLinear":
            number = attribute(node, "output_dtype", 0)
        name = node.input[place] if place < len(node.input) else ""
        if number in kinds.values() and number:
            return INTEGER_TYPES.get(kinds.Name(number))
        if not name:
            return INTEGER_TYPES["UINT8"] if node.op_type == "QuantizeLinear" else None
        found = self._graph.operand(name)
        return INTEGER_TYPES.get(found.dtype) if found else self._input_limits(name)

    def _input_limits(self, name: str) -> Limits | None:
        """All values of the type of an input of the graph."""
        value, kinds = self._graph.inputs.get(name), onnx_library().TensorProto.DataType
        number = value.type.tensor_type.elem_type if value is not None else 0
        return INTEGER_TYPES.get(kinds.Name(number)) if number in kinds.values() else None

    def _find_interval(self, node: Any, name: str) -> Interval:
        kind, whole = _kind(node, name), (-np.inf, np.inf)
        if kind in UNIT:
            return 0.0, 1.0
        if kind in PASSED:
            return self.interval(node.input[0])
        if kind in ("Relu", "Clip"):
            least, most = self._clip(node) if kind == "Clip" else (0.0, np.inf)
            low, high = (min(max(x, least), most) for x in self.interval(node.input[0]))
            return low, high
        if kind in ("Quant", "DequantizeLinear"):
            found = self.codes(name)
            if found and found.uniform and found.scale and found.zero_point is not None:
                ends = np.array([found.low, found.high]) - found.zero_point
                low, high = (ends.astype(np.float32) * np.float32(found.scale)).tolist()
                return low, high
        return whole

    def _clip(self, node: Any) -> Interval:
        """Limits of a Clip node; none that are computed at run time."""
        for place in (1, 2):
            name = node.input[place] if place < len(node.input) else ""
            if name and self._graph.operand(name) is None:
                return -np.inf, np.inf
        return self._graph.clip_limits(node)

    def _pads_zeros(self, node: Any) -> bool | None:
        """Whether a Pad node puts zeros around; None for other values."""
        if attribute(node, "mode", b"constant") != b"constant":
            return False
        if attribute(node, "value", 0.0) != 0:
            return None
        given = len(node.input) > 2 and bool(node.input[2])
        value = self.parameter(node, 2)
        return True if not given or (value is not None and not value.any()) else None


def _kind(node: Any, name: str) -> str:
    """What a node is; empty where nothing is known about its result ``name``."""
    if node is None or not node.input:
        return ""
    if is_quant(node):
        return "Quant"
    if node.domain not in STANDARD or (node.output[0] != name and node.op_type != "Split"):
        return ""
    return node.op_type


def _is_single(values: NDArray) -> bool:
    return bool((values == values.flat[0]).all())


def _finite(interval: Interval) -> NDArray[np.float32]:
    return np.clip(np.array(interval), -LARGEST, LARGEST).astype(np.float32)


def _rectified(found: Codes | None) -> Codes | None:
    if found is None or found.zero_point is None or not found.uniform:
        return found
    zero = found.zero_point
    return replace(found, low=max(found.low, zero), high=max(found.high, zero))


def _joined(parts: list[Codes | None]) -> Codes | None:
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    same = len({(part.scale, part.zero_point) for part in known}) == 1
    return replace(
        known[0],
        low=min(part.low for part in known),
        high=max(part.high for part in known),
        uniform=same and all(part.uniform for part in known),
        padded=any(part.padded for part in known),
    )
