"""ONNX and QONNX graphs as layers of final integers: those that the graph multiplies by."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from sw.accumulators.integers import IntegerLayer

from .integer_source import IntegerSource, ReadLayer
from .onnx_constants import located
from .onnx_graph import STANDARD, Graph, Operand, Quantized, attribute, read_model
from .onnx_linear import INTEGER_TYPES
from .onnx_products import (
    Places,
    channel_axis,
    is_unread,
    pads,
    places,
    product_rows,
)
from .onnx_ranges import WIDEST, Codes, Ranges

#: of a bias; the product of two scales is rounded to float32, and so may be the file's
SCALE_TOLERANCE = 2.0**-20
NO_RANGE = "its activations are not quantized in the file: no range of inputs is known"
FOLDED = "the zero point of the weights is folded: rows are codes less their zero point"
DYNAMIC = "the zero point of its activations is computed at run time: sums are of codes"


class _LeftOut(Exception):
    """Why a node is not a layer of integers."""


@dataclass(frozen=True, kw_only=True)
class _Weights:
    """Operand of a node: rows (N, K) of integers less their zero point, scale of each row."""

    name: str
    rows: NDArray
    scale: NDArray | None
    folded: bool


class OnnxLayers(IntegerSource):
    """The layers of an ONNX file, in the order of its nodes; weights are read one layer at a time.

    Layers are the nodes Conv, ConvTranspose, Gemm and MatMul whose weights are a constant behind
    DequantizeLinear or a QONNX Quant, IntQuant or BipolarQuant, and QLinearConv, QLinearMatMul,
    ConvInteger, MatMulInteger and onnxruntime's QGemm. Integers are computed as the graph does
    (scaled, rounded, clipped); types and bit widths are not looked at beyond that.

    Raises
    ------
    InputError : the onnx package is missing, or the file cannot be read or is not valid; while
        reading, a node that contradicts itself, or no layer at all.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        model, initializers = read_model(path)
        try:
            with located(path):
                self._graph = Graph(model.graph, initializers, path.parent)
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not a valid ONNX file: {error}") from error
        self._functions = {(f.domain, f.name) for f in model.functions}

    def read(self) -> Iterator[ReadLayer]:
        """As :class:`IntegerSource`."""
        ranges, names = Ranges(self._graph), set[str]()
        for node in self._graph.nodes:
            label = node.name or (node.output[0] if node.output else "")
            kind = places(node)
            with located(f"{self.path}: node '{label}' ({node.op_type})"):
                if kind is None:
                    if is_unread(node) or (node.domain, node.op_type) in self._functions:
                        self.left_out[label] = f"{node.op_type} nodes are not read"
                    continue
                try:
                    found = _Reader(self._graph, ranges, node, kind).layer(names)
                except _LeftOut as reason:
                    self.left_out[label] = str(reason)
                    continue
            names.add(found.layer.name)
            yield found


class _Reader:
    """Reads one node."""

    def __init__(self, graph: Graph, ranges: Ranges, node: Any, kind: Places) -> None:
        self._graph, self._ranges, self._node, self._kind = graph, ranges, node, kind
        if len(node.input) <= max(kind.activation, kind.weight) or not node.output:
            raise InputError("one of its operands is missing")
        self._activation, self._weight = kind.activation, kind.weight
        #: whether the weights are the first operand of the product
        self._first = False
        self._notes: list[str] = []

    def layer(self, taken: set[str]) -> ReadLayer:
        """The layer, by a name that is not among ``taken``."""
        weights = self._weights()
        codes = self._codes()
        if codes is not None and not codes.uniform:
            raise _LeftOut("its activations have more than one scale or zero point")
        if weights.folded:
            self._notes.append(FOLDED)
        if codes is None:
            self._notes.append(NO_RANGE)
        elif codes.zero_point is None:
            self._notes.append(DYNAMIC)
        layer = IntegerLayer(
            name=self._name(weights.name, taken),
            weights=weights.rows,
            bias=self._bias(weights, codes),
            input_range=(codes.low, codes.high) if codes else None,
            input_zero_point=(codes.zero_point or 0) if codes else 0,
            padded=pads(self._node) or bool(codes and codes.padded),
        )
        return ReadLayer(layer=layer, notes=tuple(self._notes))

    def _name(self, name: str, taken: set[str]) -> str:
        """The name of the constant, ``name@node`` if that is used again."""
        if name in taken:
            name = f"{name}@{self._node.name or self._node.output[0]}"
        full, count = name, 1
        while full in taken:
            count += 1
            full = f"{name}#{count}"
        return full

    def _weights(self) -> _Weights:
        operand = self._graph.operand(self._node.input[self._weight])
        if operand is None and "MatMul" in self._node.op_type and not self._kind.weight_scale:
            # weights times activations
            operand = self._graph.operand(self._node.input[0])
            self._activation, self._weight, self._first = 1, 0, True
        if operand is None:
            raise _LeftOut("no operand of it is a constant behind nodes that are followed")
        found = self._codes_of(operand) if self._kind.integer else operand.integers()
        if found is None:
            raise _LeftOut("its weights are not quantized in the file")
        folded = bool(found.zero_point.any())
        rows = self._rows(_less_zero(found) if folded else found.integers)
        scale = None
        if not self._kind.integer:
            scales = self._rows(found.scale, fill="edge")
            # repeated along the products without being stored, in the usual case
            if scales.strides[1] and (scales != scales[:, :1]).any():
                raise _LeftOut("the scale of its weights changes within the products of an output")
            scale = scales[:, 0]
        return _Weights(name=operand.name, rows=rows, scale=scale, folded=folded)

    def _rows(self, array: NDArray, fill: Any = "constant") -> NDArray:
        if array.size == 0:
            raise InputError(f"its weights have shape {array.shape}: they are empty")
        return product_rows(self._node, array, first=self._first, fill=fill)

    def _codes_of(self, operand: Operand) -> Quantized:
        """Integers and zero points of weights that a node takes as they are."""
        if operand.dtype not in INTEGER_TYPES:
            raise InputError(f"its weights have type {operand.dtype}: integers are needed")
        integers = operand.value()
        place = self._kind.activation_zero if self._first else self._kind.weight_zero
        zero, scale = self._spread(place, integers), self._spread(self._kind.weight_scale, integers)
        if zero.dtype.kind not in "iu":
            raise InputError(f"the zero point of its weights has {zero.dtype} values")
        return Quantized(integers=integers, scale=scale, zero_point=zero)

    def _spread(self, place: int | None, integers: NDArray) -> NDArray:
        """A zero point or scale of integer weights, in their shape; zeros where it is not given."""
        name = self._node.input[place] if place and place < len(self._node.input) else ""
        if not name:
            return np.broadcast_to(np.zeros((), dtype=np.int64), integers.shape)
        assert place is not None
        values = self._ranges.parameter(self._node, place)
        if values is None:
            raise _LeftOut("a scale or zero point of its weights is computed at run time")
        if values.ndim == 1 and values.size > 1 and integers.ndim > 1:
            axis = (-2 if self._first else channel_axis(self._node)) % integers.ndim
            values = values.reshape([-1 if i == axis else 1 for i in range(integers.ndim)])
        elif values.size == 1:
            values = values.reshape(())
        try:
            return np.broadcast_to(values, integers.shape)
        except ValueError:
            raise InputError(
                f"a scale or zero point of shape {values.shape} does not fit weights of shape "
                f"{integers.shape}"
            ) from None

    def _codes(self) -> Codes | None:
        """What the activations are."""
        node, name = self._node, self._node.input[self._activation]
        if not self._kind.integer:
            return self._ranges.codes(name)
        place = self._kind.weight_zero if self._first else self._kind.activation_zero
        assert place is not None
        limits = self._ranges.integers(name) or self._ranges.type_limits(node, place)
        if limits is None:
            return None
        given = place < len(node.input) and bool(node.input[place])
        zero = self._ranges.parameter(node, place) if given else np.zeros((), dtype=np.int32)
        uniform = zero is None or bool((zero == zero.flat[0]).all())
        return Codes(
            low=limits[0],
            high=limits[1],
            zero_point=None if zero is None else int(zero.flat[0]),
            scale=None,
            uniform=uniform,
        )

    def _bias(self, weights: _Weights, codes: Codes | None) -> NDArray | None:
        """The bias as integers, one of each row; a note where it is not one."""
        name = self._bias_name()
        operand = self._graph.operand(name, widest=WIDEST) if name else None
        try:
            if operand is not None:
                return self._bias_integers(operand, weights, codes)
            if name:
                raise _LeftOut("it is computed at run time")
        except _LeftOut as reason:
            self._notes.append(f"its bias is left out: {reason}")
        return None

    def _bias_integers(
        self, operand: Operand, weights: _Weights, codes: Codes | None
    ) -> NDArray | None:
        """Integers of a bias, None if it is zero; refused if not in units of one product."""
        if self._kind.integer:
            if operand.dtype not in INTEGER_TYPES:
                raise _LeftOut(f"it has type {operand.dtype}")
            value = operand.value()
            found = Quantized(integers=value, scale=value, zero_point=np.zeros_like(value))
        else:
            quantized = operand.integers()
            if quantized is None:
                if operand.value().any():
                    raise _LeftOut("it is not quantized")
                return None
            found = quantized
        spread = _across(_less_zero(found), self._node, len(weights.rows))
        if any(attribute(self._node, key, 1.0) != 1 for key in ("alpha", "beta")):
            raise _LeftOut("its node scales it by alpha or beta")
        if self._kind.integer or not spread.any():
            return spread
        if codes is None or codes.scale is None or weights.scale is None:
            raise _LeftOut("the scale of the activations is not known")
        wanted = weights.scale.astype(np.float64) * codes.scale
        scale = _across(found.scale, self._node, len(weights.rows))
        if (np.abs(scale - wanted) > SCALE_TOLERANCE * wanted).any():
            raise _LeftOut("its scale is not that of weights times that of activations")
        return spread

    def _bias_name(self) -> str:
        """Name of the bias: an input of the node, or of the Add that alone takes its result."""
        node, place = self._node, self._kind.bias
        if place is not None:
            return node.input[place] if place < len(node.input) else ""
        users = self._graph.users(node.output[0])
        if len(users) != 1 or users[0].op_type != "Add" or users[0].domain not in STANDARD:
            return ""
        others = [name for name in users[0].input if name != node.output[0]]
        single = len(others) == 1 and not self._first and node.output[0] not in self._graph.outputs
        if not single or self._graph.operand(others[0], widest=WIDEST) is None:
            return ""
        return others[0]


def _less_zero(found: Quantized) -> NDArray[np.int64]:
    return found.integers.astype(np.int64) - found.zero_point.astype(np.int64)


def _across(values: NDArray, node: Any, rows: int) -> NDArray:
    """Values of outputs (along the last axis), one for each row of products."""
    if values.size == 1:
        return np.broadcast_to(values.reshape(1), (rows,))
    phases = rows // values.size if values.size and node.op_type == "ConvTranspose" else 1
    if not values.size or values.size != values.shape[-1] or phases * values.size != rows:
        raise _LeftOut(f"it has shape {values.shape}, not one value for each output")
    return np.repeat(values.ravel(), phases)
