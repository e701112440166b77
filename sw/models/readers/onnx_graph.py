"""Constants of an ONNX graph, and how they reach the nodes that multiply by them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

from .onnx_constants import Constant, Stored, located, onnx_library
from .onnx_linear import INTEGER_TYPES, Clip, DequantizeLinear, QuantizeLinear, along
from .onnx_steps import MAX_BIT_WIDTH, Affine, Cast, Flatten, Quant, Step, Transpose
from .onnx_wire import read_parts

__all__ = ["QONNX", "STANDARD", "Graph", "Operand", "attribute", "onnx_library", "read_model"]

STANDARD = ("", "ai.onnx")
QONNX = ("qonnx.custom_op.general", "onnx.brevitas", "qonnx")
#: nodes between a constant and what it feeds
MAX_CHAIN = 64
CASTS = ("FLOAT", "FLOAT16", "DOUBLE")
#: nodes of ONNX between a constant and what it feeds
PASSED = ("Identity", "Transpose", "Cast", "QuantizeLinear", "DequantizeLinear", "Clip")
QUANTIZERS = ("Quant", "IntQuant", "BipolarQuant")


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantized:
    """``(integers - zero_point) * scale``, three arrays of one shape."""

    integers: NDArray
    scale: NDArray[np.float32]
    zero_point: NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Operand:
    """An input of a node that is a constant after some steps; its final shape and type."""

    name: str
    constant: Constant
    steps: tuple[Step, ...]
    shape: tuple[int, ...]
    dtype: str

    def then(self, step: Step) -> "Operand":
        """With one more step."""
        return Operand(
            name=self.name,
            constant=self.constant,
            steps=(*self.steps, step),
            shape=step.shape(self.shape),
            dtype=step.dtype(self.dtype),
        )

    def value(self) -> NDArray:
        """The constant after all steps."""
        array = self.constant.read()
        for step in self.steps:
            array = step.apply(array)
        return array

    def integers(self) -> Quantized | None:
        """Integers, scales and zero points in the final shape; None where none are in the graph.

        Raises
        ------
        InputError : what comes after dequantization is not the same for integers.
        """
        places = [
            i for i, step in enumerate(self.steps) if isinstance(step, Quant | DequantizeLinear)
        ]
        if not places:
            return None
        affine, layout = self.steps[places[-1]], self.steps[places[-1] + 1 :]
        assert isinstance(affine, Affine)
        array = self.constant.read()
        for step in self.steps[: places[-1]]:
            array = step.apply(array)
        integers = affine.integers(array)

        def arranged(values: NDArray) -> NDArray:
            values = np.broadcast_to(values, integers.shape)
            for step in layout:
                if not isinstance(step, Cast):
                    values = step.apply(values)
            return values

        if not all(isinstance(step, Cast | Transpose | Flatten) for step in layout):
            raise InputError("it is clipped or quantized after dequantization")
        return Quantized(
            integers=arranged(integers),
            scale=arranged(affine.scale),
            zero_point=arranged(affine.zero_point),
        )


class Graph:
    """The main graph of a model; graphs nested in If, Loop and Scan are not followed.

    Parameters
    ----------
    graph : ``onnx.GraphProto``.
    initializers : those of the graph, wherever they are.
    folder : of the model.

    Raises
    ------
    InputError : a name that is given twice, or a node that uses what it or a later one gives, as
        all graphs with a cycle have; ONNX asks for sorted nodes.
    """

    def __init__(self, graph: Any, initializers: Sequence[Stored], folder: Path) -> None:
        self._folder = folder
        self._constants: dict[str, Stored] = {}
        self._producers: dict[str, Any] = {}
        self.nodes: Sequence[Any] = graph.node
        self.outputs = {value.name for value in graph.output}
        self.inputs = {value.name: value for value in graph.input}
        self._users: dict[str, list[Any]] = {}
        for stored in initializers:
            self._check_new(stored.tensor.name)
            self._constants[stored.tensor.name] = stored
        awaited: set[str] = set()
        for node in self.nodes:
            for name in node.input:
                self._users.setdefault(name, []).append(node)
            awaited.update(name for name in node.input if not self._given(name))
            value = _constant_value(node)
            for output in filter(None, node.output):
                self._check_new(output)
                if output in awaited:
                    raise InputError(
                        f"a node uses '{output}' before another gives it: "
                        "the nodes form a cycle or are not sorted"
                    )
                if value is None:
                    self._producers[output] = node
                else:
                    self._constants[output] = Stored(value)

    def _given(self, name: str) -> bool:
        return name in self._constants or name in self._producers

    def _check_new(self, name: str) -> None:
        if self._given(name):
            raise InputError(f"'{name}' is given twice")

    def producer(self, name: str) -> Any | None:
        """The node that gives ``name``; None for inputs and constants."""
        return self._producers.get(name)

    def users(self, name: str) -> list[Any]:
        """The nodes that take ``name``, in their order."""
        return self._users.get(name, [])

    def operand(self, name: str, widest: int = MAX_BIT_WIDTH) -> Operand | None:
        """The constant that ``name`` is, behind nodes that cast, turn or quantize it.

        Parameters
        ----------
        widest : largest bit width of a QONNX node that is not refused.

        Returns
        -------
        None where ``name`` depends on an input of the graph or on another kind of node.

        Raises
        ------
        InputError : more than 64 such nodes, or one that makes no sense for its constant.
        """
        behind: list[Any] = []
        while name not in self._constants:
            node = self._producers.get(name)
            if node is None or not _passes(node) or not node.input:
                return None
            behind.append(node)
            if len(behind) > MAX_CHAIN:
                raise InputError(f"more than {MAX_CHAIN} nodes lie between a constant and '{name}'")
            name = node.input[0]
        with located(f"constant '{name}'"):
            constant = Constant(self._constants[name], self._folder)
            found = Operand(
                name=name, constant=constant, steps=(), shape=constant.shape, dtype=constant.dtype
            )
            for node in reversed(behind):
                step = self._step(node, found.shape, widest)
                found = found.then(step) if step else found
        return found

    def _step(self, node: Any, shape: tuple[int, ...], widest: int) -> Step | None:
        """What a node does to a constant of ``shape``; None for nothing."""
        if node.op_type == "Identity":
            return None
        if node.op_type == "Transpose":
            order = attribute(node, "perm", None)
            return Transpose(tuple(reversed(range(len(shape))) if order is None else order))
        if node.op_type == "Cast":
            kinds, number = onnx_library().TensorProto.DataType, attribute(node, "to", 0)
            name = kinds.Name(number) if number in kinds.values() else str(number)
            if name not in CASTS:
                raise InputError(f"it is cast to {name}: supported are {', '.join(CASTS)}")
            return Cast(name)
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            return self.linear(node, shape)
        if node.op_type == "Clip":
            return Clip(*self.clip_limits(node))
        return self.quant(node, widest)

    def linear(self, node: Any, shape: tuple[int, ...] | None) -> QuantizeLinear | DequantizeLinear:
        """A QuantizeLinear or DequantizeLinear node on a tensor of ``shape``, if that is known."""
        axis, block = attribute(node, "axis", 1), attribute(node, "block_size", 0)
        scale = self._parameter(node, 1, "scale").astype(np.float32)
        zero = np.zeros((), dtype=np.int32)
        dtype = "UINT8"
        if len(node.input) > 2 and node.input[2]:
            operand = self.operand(node.input[2])
            dtype = operand.dtype if operand else ""
            zero = self._parameter(node, 2, "zero point")
        if zero.dtype.kind not in "iu":
            raise InputError(f"the zero point of its {node.op_type} node has the type {dtype}")
        scale, zero = (along(x, axis, block, shape) for x in (scale, zero.astype(np.int32)))
        if node.op_type == "DequantizeLinear":
            return DequantizeLinear(scale=scale, zero_point=zero)
        number = attribute(node, "output_dtype", 0)
        if number:
            kinds = onnx_library().TensorProto.DataType
            dtype = kinds.Name(number) if number in kinds.values() else str(number)
        if dtype not in INTEGER_TYPES:
            raise InputError(f"its QuantizeLinear node makes numbers of type {dtype}")
        return QuantizeLinear(scale=scale, zero_point=zero, name=dtype)

    def clip_limits(self, node: Any) -> tuple[float, float]:
        """Both ends of a Clip node, infinite where it has none."""
        ends = [attribute(node, "min", -np.inf), attribute(node, "max", np.inf)]
        for place in (1, 2):
            if place < len(node.input) and node.input[place]:
                value = self._parameter(node, place, "limit")
                if value.size != 1 or np.isnan(value).any():
                    raise InputError("the limits of its Clip node must be numbers")
                ends[place - 1] = float(value.item())
        return ends[0], ends[1]

    def quant(self, node: Any, widest: int = MAX_BIT_WIDTH, *, dynamic: bool = False) -> Quant:
        """A QONNX node.

        Parameters
        ----------
        widest : bit widths beyond it are refused.
        dynamic : take 1 for the scale, which is no constant.
        """
        scale = np.ones((), np.float32) if dynamic else self._parameter(node, 1, "scale")
        if node.op_type == "BipolarQuant":
            zero = np.zeros((), dtype=np.float32)
            return Quant(
                scale=scale.astype(np.float32),
                zero_point=zero,
                bit_width=1,
                signed=True,
                narrow=False,
                rounding_mode="ROUND",
            )
        width = self._parameter(node, 3, "bit width")
        if width.size != 1 or not np.isfinite(width).all() or (width != np.round(width)).any():
            raise InputError("the bit width of a Quant node must be one whole number")
        mode = attribute(node, "rounding_mode", b"ROUND")
        return Quant(
            scale=scale.astype(np.float32),
            zero_point=self._parameter(node, 2, "zero point").astype(np.float32),
            bit_width=int(width.item()),
            signed=bool(attribute(node, "signed", 1)),
            narrow=bool(attribute(node, "narrow", 1)),
            rounding_mode=mode.decode(errors="replace").upper(),
            widest=widest,
        )

    def _parameter(self, node: Any, place: int, what: str) -> NDArray:
        """A constant input of a quantizing node."""
        name = node.input[place] if place < len(node.input) else ""
        found = self.operand(name) if name else None
        if found is None or any(isinstance(step, Quant) for step in found.steps):
            raise InputError(f"the {what} of its {node.op_type} node is not a constant")
        return found.value()


def attribute(node: Any, name: str, default: Any) -> Any:
    """The value of a node's attribute; it must have the kind of value that ``default`` has."""
    found = next((entry for entry in node.attribute if entry.name == name), None)
    if found is None:
        return default
    kinds = onnx_library().AttributeProto
    wanted = {int: kinds.INT, bytes: kinds.STRING, float: kinds.FLOAT}.get(
        type(default), kinds.INTS
    )
    if found.type != wanted:
        raise InputError(f"attribute '{name}' of a {node.op_type} node has the wrong type")
    return {
        kinds.INT: found.i,
        kinds.STRING: found.s,
        kinds.FLOAT: found.f,
        kinds.INTS: list(found.ints),
    }[wanted]


def is_quant(node: Any) -> bool:
    """Whether a node is a quantizer of QONNX."""
    return node.op_type in QUANTIZERS and node.domain in QONNX


def _passes(node: Any) -> bool:
    """Whether a node hands a constant on, see :meth:`Graph.operand`."""
    if node.op_type in PASSED:
        return node.domain in STANDARD
    return is_quant(node)


def _constant_value(node: Any) -> Any:
    """The tensor of a Constant node; None for other nodes and for sparse or text constants."""
    if node.op_type != "Constant" or node.domain not in STANDARD:
        return None
    library = onnx_library()
    for entry in node.attribute:
        if entry.name == "value" and entry.HasField("t"):
            return entry.t
        numbers = {
            "value_float": ("FLOAT", [entry.f], ()),
            "value_floats": ("FLOAT", entry.floats, (len(entry.floats),)),
            "value_int": ("INT64", [entry.i], ()),
            "value_ints": ("INT64", entry.ints, (len(entry.ints),)),
        }.get(entry.name)
        if numbers:
            kind = library.TensorProto.DataType.Value(numbers[0])
            return library.helper.make_tensor("", kind, numbers[2], numbers[1])
    return None


def read_model(path: Path) -> tuple[Any, list[Stored]]:
    """The model as ``onnx.ModelProto`` without initialisers, and these.

    Raises
    ------
    InputError : the onnx package is missing, or the file is not valid.
    """
    onnx = onnx_library()
    parts = read_parts(path, onnx.ModelProto.DESCRIPTOR)
    try:
        model = onnx.ModelProto.FromString(parts.message)
        return model, [
            Stored(
                onnx.TensorProto.FromString(found.message),
                (path, found.raw) if found.raw else None,
            )
            for found in parts.initializers
        ]
    except Exception as error:
        # the types of protobuf's errors depend on its backend
        raise InputError(f"{path} is not a valid ONNX file: {error}") from error
