"""An ONNX graph with the shape of every tensor, and which of them are constant."""

from collections.abc import Mapping
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

from configs.errors import InputError, unknown_name
from sw.models.readers.onnx_graph import QONNX, STANDARD, attribute, onnx_library

__all__ = ["STANDARD", "OnnxGraph", "attribute"]

#: initialisers up to this size may say something about shapes; larger ones are not held
SMALL = 1024
#: give other values each time, though they have no input
RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomUniform", "Dropout")
QUANTIZERS = ("Quant", "IntQuant", "BipolarQuant", "Trunc", "FloatQuant")


class OnnxGraph:
    """A graph with inferred shapes; functions of the file are put in the place of their calls.

    Parameters
    ----------
    path : of the file; values of weights are not kept, those in other files not even read.
    sizes : of dynamic dimensions, by name; one without a name is ``input[axis]``.

    Raises
    ------
    InputError : no onnx package, an invalid file, or a dynamic dimension without a size or the
        reverse.
    """

    def __init__(self, path: Path, sizes: Mapping[str, int]) -> None:
        self.path = path
        self.sizes = dict(sizes)
        onnx = onnx_library()
        model = self._loaded(onnx)
        self._check_text(model.graph)
        self._check_sizes(model.graph)
        for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
            self._fix(value)
        self._kinds = _plain_quantizers(model.graph)
        constants = {x.name for x in model.graph.initializer}
        constants |= {x.values.name for x in model.graph.sparse_initializer}
        _without_values(onnx, model.graph)
        model = self._inferred(onnx, model)
        graph = model.graph
        #: nodes in the order of execution
        self.nodes = list(graph.node)
        self._shapes: dict[str, tuple[int | None, ...] | None] = {}
        for value in (*graph.input, *graph.value_info, *graph.output):
            self._shapes[value.name] = _dimensions(value)
        self._shapes |= {x.name: tuple(x.dims) for x in graph.initializer}
        self._origins = dict(zip(constants, constants, strict=True))
        self._spread()

    def kind(self, node: Any) -> str:
        """Its type, with the domain in front if that is not ONNX's own."""
        name = self._kinds.get(node.output[0], node.op_type) if node.output else node.op_type
        return name if node.domain in STANDARD else f"{node.domain}.{name}"

    def shape(self, node: Any, name: str) -> tuple[int, ...]:
        """Shape of a tensor of ``node``.

        Raises
        ------
        InputError : it is not known.
        """
        found = self._shapes.get(name)
        if found is None or any(size is None for size in found):
            shown = "unknown" if found is None else f"{list(found)}".replace("None", "?")
            raise self.wrong(node, f"the shape of '{name}' is {shown} and cannot be inferred")
        return tuple(size for size in found if size is not None)

    def elements(self, name: str) -> int | None:
        """Elements of a tensor; None where its shape is not known."""
        found = self._shapes.get(name)
        if found is None:
            return None
        sizes = [size for size in found if size is not None]
        return prod(sizes) if len(sizes) == len(found) else None

    def is_constant(self, name: str) -> bool:
        """Whether a tensor depends on no input of the graph."""
        return not name or name in self._origins

    def origin(self, name: str) -> str:
        """The initialiser or Constant that a constant was made of first."""
        return self._origins[name]

    def wrong(self, node: Any, why: str) -> InputError:
        """The error of a node that cannot be read."""
        name = node.name or (node.output[0] if node.output else "")
        return InputError(f"{self.path}: node '{name}' ({self.kind(node)}): {why}")

    def _loaded(self, onnx: Any) -> Any:
        # not among the names of the package itself
        inline = import_module("onnx.inliner").inline_local_functions
        try:
            model = onnx.load(self.path, load_external_data=False)
            if model.functions:
                model = inline(model)
        except Exception as error:
            # the types of protobuf's errors depend on its backend
            raise InputError(f"{self.path} is not a valid ONNX file: {_line(error)}") from error
        return model

    def _check_text(self, graph: Any) -> None:
        """Refuse names that are not UTF-8, which protobuf hands on as bytes."""
        texts = [x.name for x in (*graph.input, *graph.output, *graph.value_info)]
        texts += [x.name for x in graph.initializer]
        for node in graph.node:
            texts += [node.op_type, node.domain, node.name, *node.input, *node.output]
            texts += [attribute.name for attribute in node.attribute]
        for text in texts:
            if not isinstance(text, str):
                raise InputError(
                    f"{self.path} is not a valid ONNX file: it holds the name {text!r}"
                )

    def _inferred(self, onnx: Any, model: Any) -> Any:
        try:
            return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        except Exception as error:
            raise InputError(f"{self.path}: shapes cannot be inferred: {_line(error)}") from error

    def _check_sizes(self, graph: Any) -> None:
        """Every dynamic dimension of an input must have a size, and the reverse."""
        known = {x.name for x in graph.initializer}
        dynamic: set[str] = set()
        for value in graph.input:
            if value.name in known:
                continue
            kind = value.type.tensor_type
            if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
                raise InputError(f"{self.path}: input '{value.name}' is no tensor with a shape")
            for axis, dimension in enumerate(kind.shape.dim):
                if not dimension.HasField("dim_value"):
                    name = dimension.dim_param or f"{value.name}[{axis}]"
                    dynamic.add(name)
                    if name not in self.sizes:
                        raise InputError(
                            f"{self.path}: dimension {axis} of input '{value.name}' is dynamic: "
                            f"give a size for '{name}'"
                        )
        for name, size in self.sizes.items():
            if name not in dynamic:
                raise unknown_name(f"dynamic dimension of {self.path}", name, dynamic or {"none"})
            if not isinstance(size, int) or size < 1:
                raise InputError(f"size of dimension '{name}' is {size}, it must be at least 1")

    def _fix(self, value: Any) -> None:
        """Put sizes in the place of dynamic dimensions."""
        if not value.type.HasField("tensor_type"):
            return
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            if dimension.HasField("dim_value"):
                continue
            size = self.sizes.get(dimension.dim_param or f"{value.name}[{axis}]")
            if size is not None:
                dimension.dim_value = size

    def _spread(self) -> None:
        """Find all constants: what nodes make of nothing but constants."""
        for node in self.nodes:
            names = [name for name in node.input if name]
            if node.op_type.startswith(RANDOM) or any(x.g.node for x in node.attribute):
                continue
            if all(name in self._origins for name in names):
                for output in filter(None, node.output):
                    self._origins[output] = self._origins[names[0]] if names else output


def _plain_quantizers(graph: Any) -> dict[str, str]:
    """Make QONNX quantizers, which shape inference does not know, Identity nodes.

    Returns
    -------
    dict : types of these nodes, by their result.
    """
    kinds = {}
    for node in graph.node:
        if node.domain in QONNX and node.op_type in QUANTIZERS and node.output:
            kinds[node.output[0]] = node.op_type
            node.op_type, node.domain = "Identity", ""
            del node.input[1:]
            del node.attribute[:]
    return kinds


def _without_values(onnx: Any, graph: Any) -> None:
    """Keep only the shape of large initialisers, so that inference copies none of them."""
    inputs = {value.name for value in graph.input}
    small = []
    for tensor in graph.initializer:
        external = tensor.data_location == onnx.TensorProto.EXTERNAL
        if not external and prod(tensor.dims) <= SMALL:
            small.append(tensor)
        elif tensor.name not in inputs:
            graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    del graph.initializer[:]
    graph.initializer.extend(small)
    for sparse in graph.sparse_initializer:
        kind = sparse.values.data_type
        graph.input.append(
            onnx.helper.make_tensor_value_info(sparse.values.name, kind, sparse.dims)
        )
    del graph.sparse_initializer[:]


def _dimensions(value: Any) -> tuple[int | None, ...] | None:
    """A shape with None for what is unknown; None where all of it is."""
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        return None
    return tuple(x.dim_value if x.HasField("dim_value") else None for x in kind.shape.dim)


def _line(error: Exception) -> str:
    """The first line of a message."""
    return str(error).strip().split("\n")[0]
