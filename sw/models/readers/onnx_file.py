"""ONNX and QONNX models: the constant matrices that MatMul, Gemm and Conv multiply by."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

from .onnx_constants import located
from .onnx_graph import STANDARD, Graph, Operand, attribute, read_model
from .onnx_steps import Cast, Flatten, Quant, Transpose, compact
from .source import QuantAnnotation, TensorInfo, TensorSource


class OnnxFile(TensorSource):
    """Weight matrices (N, K) of an ONNX file: N outputs, K products in each.

    A matrix is a constant (initialiser or Constant node) that is the second input of a MatMul (its
    transpose), of a Gemm (with regard to transB, without alpha) or of a Conv (one output channel a
    row, one group's inputs and kernel along it). It may pass Identity, Cast, Transpose, Clip,
    QuantizeLinear, DequantizeLinear and QONNX Quant, IntQuant and BipolarQuant nodes on the way;
    its values are those that arrive, quantized and dequantized where the graph does so.
    Constants of MatMul with other than two axes, and all other constants, are left out. A matrix
    has the name of its constant; if that is used again in another way, ``name@node``.

    Nodes are parsed when opened; data of initialisers, in the file or in others of its folder, are
    read when asked for.

    Raises
    ------
    InputError : the onnx package is missing, the file cannot be read or is not valid, its nodes
        form a cycle or are not sorted, or it holds no such matrix.
    """

    float_types = ("FLOAT", "FLOAT16", "BFLOAT16")

    def __init__(self, path: Path) -> None:
        self.path = path
        model, initializers = read_model(path)
        self._operands: dict[str, Operand] = {}
        self.users: dict[str, list[int]] = {}
        try:
            self.metadata = {"producer_name": model.producer_name, "ir_version": model.ir_version}
            with located(path):
                self._find(Graph(model.graph, initializers, path.parent))
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not a valid ONNX file: {error}") from error
        if not self._operands:
            raise InputError(f"{path} holds no constant that a MatMul, Gemm or Conv multiplies by")
        self.infos = {
            name: TensorInfo(shape=operand.shape, dtype=operand.dtype)
            for name, operand in self._operands.items()
        }

    @property
    def files(self) -> set[Path]:
        """The file itself and those with external data of its matrices."""
        places = [operand.constant.place for operand in self._operands.values()]
        return {self.path, *(path for path in places if path is not None)}

    def kernel_shape(self, name: str) -> tuple[int, ...]:
        """Shape of a Conv's kernel (N, inputs of a group, ...) before it became a matrix."""
        operand = self._operands[name]
        shape = operand.constant.shape
        for step in operand.steps[:-1]:
            shape = step.shape(shape)
        return shape

    def read(self, name: str) -> NDArray:
        """float32, or float16 where the graph has it so."""
        with located(f"{self.path}: tensor '{name}'"):
            array = self._operands[name].value()
        return np.ascontiguousarray(array)

    def quantization(self, name: str) -> QuantAnnotation | None:
        """Integers, scale and zero point of a matrix behind a QONNX node; None for others."""
        operand = self._operands[name]
        places = [i for i, step in enumerate(operand.steps) if isinstance(step, Quant)]
        if not places:
            return None
        quant, layout = operand.steps[places[0]], operand.steps[places[0] + 1 :]
        assert isinstance(quant, Quant)
        with located(f"{self.path}: tensor '{name}'"):
            array = operand.constant.read()
            for step in operand.steps[: places[0]]:
                array = step.apply(array)
            integers = quant.integers(array)

        def arranged(values: NDArray) -> NDArray:
            if values.size == 1:
                return values.reshape(1, 1)
            values = np.broadcast_to(values, integers.shape)
            for step in layout:
                values = values if isinstance(step, Cast) else step.apply(values)
            return values

        return QuantAnnotation(
            integers=np.ascontiguousarray(arranged(integers)).reshape(operand.shape),
            scale=compact(arranged(quant.scale)),
            zero_point=compact(arranged(quant.zero_point.astype(np.int32))),
            bit_width=quant.bit_width,
            signed=quant.signed,
            narrow=quant.narrow,
            rounding_mode=quant.rounding_mode,
        )

    def _find(self, graph: Graph) -> None:
        """Fill in the matrices in the order of the nodes that use them."""
        seen: dict[tuple[str, str, object], str] = {}
        for index, node in enumerate(graph.nodes):
            if node.op_type not in ("MatMul", "Gemm", "Conv") or node.domain not in STANDARD:
                continue
            if len(node.input) < 2:
                raise InputError(f"a {node.op_type} node has no second input")
            operand = graph.operand(node.input[1])
            matrix = _matrix(node, operand) if operand else None
            if matrix is None:
                continue
            use = (node.input[1], node.op_type, attribute(node, "transB", 0))
            if use not in seen:
                seen[use] = self._name(matrix.name, node)
                self._operands[seen[use]] = matrix
            self.users.setdefault(seen[use], []).append(index)

    def _name(self, name: str, node: Any) -> str:
        """A name that no other matrix has."""
        if name in self._operands:
            name = f"{name}@{node.name or node.output[0]}"
        full, count = name, 1
        while full in self._operands:
            count += 1
            full = f"{name}#{count}"
        return full


def _matrix(node: Any, operand: Operand) -> Operand | None:
    """The operand as (N, K); None for a stack of matrices or a vector."""
    if sum(isinstance(step, Quant) for step in operand.steps) > 1:
        raise InputError(f"constant '{operand.name}' is quantized twice")
    axes = len(operand.shape)
    if node.op_type == "Conv":
        if axes < 3:
            raise InputError(f"a Conv has the kernel '{operand.name}' of shape {operand.shape}")
        return operand.then(Flatten())
    if node.op_type == "MatMul":
        return operand.then(Transpose((1, 0))) if axes == 2 else None
    if axes != 2:
        raise InputError(f"a Gemm has the matrix '{operand.name}' of shape {operand.shape}")
    return operand if attribute(node, "transB", 0) else operand.then(Transpose((1, 0)))
