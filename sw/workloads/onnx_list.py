"""ONNX graphs as GEMMs: matrix products and convolutions, all else as work of the host."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import InputError

from .onnx_shapes import STANDARD, OnnxGraph, attribute
from .workload import Gemm, HostWork, Operand, Workload

#: products of matrices, and which inputs their two matrices are
MATMULS = {"MatMul": (0, 1), "MatMulInteger": (0, 1), "QLinearMatMul": (0, 3)}
#: convolutions, and which inputs image, kernel and bias are
CONVOLUTIONS = {"Conv": (0, 1, 2), "ConvInteger": (0, 1, 4), "QLinearConv": (0, 3, 8)}
#: hold products that have no matrix in the graph to be named by, or other graphs
REFUSED = (
    "Attention",
    "ConvTranspose",
    "DeformConv",
    "Einsum",
    "GRU",
    "If",
    "LSTM",
    "Loop",
    "RNN",
    "Scan",
    "SequenceMap",
)


def read_onnx(path: Path, sizes: Mapping[str, int]) -> Workload:
    """Read the products of an ONNX graph, in the order of its nodes.

    MatMul, MatMulInteger and QLinearMatMul, Gemm, and Conv, ConvInteger and QLinearConv are GEMMs:
    of a product of stacks, dimensions in which the (N, K) matrix differs are in ``count`` and all
    others in M; of a convolution M is the output pixels of all images and ``count`` the groups.
    A matrix that depends on no input of the graph holds weights, and the GEMM has the name of the
    initialiser behind it, ``name@node`` where that is used again; other products have the name of
    their node. Weights that are the first matrix change places with the second.

    What depends on no input is computed before and not listed. All other nodes are host work by
    their type, with the elements of their results; where these depend on values of inputs, the
    assumptions say so.

    Parameters
    ----------
    sizes : sizes of the dynamic dimensions, by their names in the graph; one without a name is
        ``input[axis]``.

    Raises
    ------
    InputError : no onnx package, an invalid file, a dynamic dimension without a size or a size
        without a dimension, an operand of a GEMM whose shape cannot be inferred, or a node that may
        hold products and cannot be read: nested graphs, recurrent layers, domains other than ONNX.
    """
    graph = OnnxGraph(path, sizes)
    found = _Products(graph)
    for node in graph.nodes:
        found.add(node)
    if not found.gemms:
        raise InputError(f"{path} holds no MatMul, Gemm or Conv: there is no GEMM to run")
    return Workload(
        name=path.stem,
        prefill=tuple(found.gemms),
        host=tuple(
            HostWork(name=name, prefill=count, decode=0) for name, count in found.host.items()
        ),
        assumptions=tuple(_assumptions(graph, found)),
    )


def _assumptions(graph: OnnxGraph, found: "_Products") -> Iterator[str]:
    if graph.sizes:
        yield "dynamic dimensions: " + ", ".join(f"{k}={v}" for k, v in graph.sizes.items())
    if found.convolutions:
        yield "convolutions are GEMMs of their windows, padding included"
    if found.unknown:
        kinds = ", ".join(f"{kind} ({count})" for kind, count in sorted(found.unknown.items()))
        yield f"host work of unknown size is not counted: results of {kinds}"
    yield "quantizing activations and rescaling results come on top where the graph has no nodes"


class _Products:
    """GEMMs and host work, node by node."""

    def __init__(self, graph: OnnxGraph) -> None:
        self.graph = graph
        self.gemms: list[Gemm] = []
        self.host: Counter[str] = Counter()
        #: results whose size depends on the values, by type of node
        self.unknown: Counter[str] = Counter()
        self.convolutions = False
        self._names: set[str] = set()

    def add(self, node: Any) -> None:
        """Take up one node."""
        readers: dict[str, Callable[[Any], None]] = {"Gemm": self._gemm}
        readers |= dict.fromkeys(MATMULS, self._matmul) | dict.fromkeys(CONVOLUTIONS, self._conv)
        kind = self.graph.kind(node)
        if all(self.graph.is_constant(name) for name in node.output):
            return
        if kind in REFUSED or node.domain not in STANDARD:
            raise self.graph.wrong(node, f"{kind} nodes cannot be read as GEMMs or host work")
        if kind in readers:
            readers[kind](node)
            return
        for name in filter(None, node.output):
            elements = self.graph.elements(name)
            if elements is None:
                self.unknown[kind] += 1
            else:
                self.host[kind] += elements

    def _matmul(self, node: Any) -> None:
        first, second = self._operands(node, *MATMULS[node.op_type])
        a, b = self.graph.shape(node, first), self.graph.shape(node, second)
        # a vector has one row, or one column
        a = (1, *a) if len(a) == 1 else a
        b = (*b, 1) if len(b) == 1 else b
        if self.graph.is_constant(first) and not self.graph.is_constant(second):
            self._product(node, first, b[:-2], b[-1], a[:-2], a[-2], a[-1])
        else:
            self._product(node, second, a[:-2], a[-2], b[:-2], b[-1], b[-2])

    def _product(
        self,
        node: Any,
        matrix: str,
        row_stack: Sequence[int],
        rows: int,
        matrix_stack: Sequence[int],
        n: int,
        k: int,
    ) -> None:
        """A product of two stacks, the second one of (N, K) matrices."""
        count = prod(matrix_stack)
        together = prod(np.broadcast_shapes(tuple(row_stack), tuple(matrix_stack)))
        # a matrix that meets several stacks of rows meets them as one
        self._append(node, matrix, rows * (together // count if count else 0), n, k, count)

    def _gemm(self, node: Any) -> None:
        flipped = [bool(attribute(node, key, 0)) for key in ("transA", "transB")]
        first, second = self._operands(node, 0, 1)
        shapes = [self.graph.shape(node, name) for name in (first, second)]
        if any(len(shape) != 2 for shape in shapes):
            raise self.graph.wrong(node, "the operands of a Gemm must have two axes")
        (m, k), (_, n) = (s[::-1] if flip else s for s, flip in zip(shapes, flipped, strict=True))
        if self.graph.is_constant(first) and not self.graph.is_constant(second):
            self._append(node, first, n, m, k, 1)
        else:
            self._append(node, second, m, n, k, 1)
        self._bias(node, 2)

    def _conv(self, node: Any) -> None:
        *places, bias = CONVOLUTIONS[node.op_type]
        image, kernel = self._operands(node, *places)
        groups = attribute(node, "group", 1)
        image_shape, shape = self.graph.shape(node, image), self.graph.shape(node, kernel)
        pixels = self.graph.shape(node, node.output[0])
        if len(shape) < 3 or len(image_shape) != len(shape):
            raise self.graph.wrong(node, f"its image is {image_shape}, its kernel {shape}")
        filters, inputs = shape[0], image_shape[1]
        if groups < 1 or filters % groups or inputs != shape[1] * groups:
            raise self.graph.wrong(
                node, f"{groups} groups do not fit {inputs} channels and a kernel {shape}"
            )
        m = pixels[0] * prod(pixels[2:])
        self.convolutions = True
        self._append(node, kernel, m, filters // groups, prod(shape[1:]), groups)
        self._bias(node, bias)

    def _operands(self, node: Any, *places: int) -> list[str]:
        """Names of inputs that must be there."""
        found = [node.input[place] for place in places if place < len(node.input)]
        if len(found) < len(places) or not all(found):
            raise self.graph.wrong(node, "one of its operands is missing")
        return found

    def _bias(self, node: Any, place: int) -> None:
        if len(node.input) > place and node.input[place]:
            self.host["bias"] += prod(self.graph.shape(node, node.output[0]))

    def _append(self, node: Any, matrix: str, m: int, n: int, k: int, count: int) -> None:
        if not m * n * k * count:
            # empty tensors are valid and cost nothing
            return
        weights = self.graph.is_constant(matrix)
        operand: Operand = "weights" if weights else "activations"
        own = node.name or node.output[0]
        name = self.graph.origin(matrix) if weights else own
        if name in self._names:
            name = f"{name}@{own}" if weights else name
        full, number = name, 1
        while full in self._names:
            number += 1
            full = f"{name}#{number}"
        self._names.add(full)
        self.gemms.append(Gemm(name=full, m=m, n=n, k=k, count=count, operand=operand))
