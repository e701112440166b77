"""Constants of an ONNX graph, and how they reach the nodes that multiply by them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

from .binary import file_size, read_array, read_floats
from .onnx_steps import Cast, Quant, Step, Transpose
from .onnx_wire import Extent

STANDARD = ("", "ai.onnx")
QONNX = ("qonnx.custom_op.general", "onnx.brevitas", "qonnx")
#: nodes between a constant and what it feeds
MAX_CHAIN = 64
EXTERNAL = 1
#: ONNX type -> numpy type of its values, and the field that holds them where they are not raw
TYPES = {
    "FLOAT": ("<f4", "float_data"),
    "FLOAT16": ("<f2", "int32_data"),
    "BFLOAT16": ("<u2", "int32_data"),
    "DOUBLE": ("<f8", "double_data"),
    "INT8": ("i1", "int32_data"),
    "UINT8": ("u1", "int32_data"),
    "INT16": ("<i2", "int32_data"),
    "UINT16": ("<u2", "int32_data"),
    "INT32": ("<i4", "int32_data"),
    "INT64": ("<i8", "int64_data"),
}
CASTS = ("FLOAT", "FLOAT16", "DOUBLE")


@contextmanager
def located(where: object) -> Iterator[None]:
    """Put ``where`` in front of the messages of input errors."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def onnx_library() -> Any:
    """The onnx package.

    Raises
    ------
    InputError : it is missing.
    """
    try:
        import onnx
    except ImportError as error:
        raise InputError(
            "reading .onnx needs the onnx package: pip install 'bitsmith[readers]'"
        ) from error
    return onnx


@dataclass(frozen=True)
class Stored:
    """A tensor of the model, and where its raw data are: a file and the bytes in it, or None.

    ``tensor`` is an ``onnx.TensorProto``; it may hold its data itself.
    """

    tensor: Any
    raw: tuple[Path, Extent] | None = None


class Constant:
    """A constant of the graph, its size checked against its shape, its data not touched.

    Parameters
    ----------
    folder : of the model; data in other files must lie in it.

    Raises
    ------
    InputError : a negative dimension, too few or too many values, or external data that are
        outside the folder or the file.
    """

    def __init__(self, stored: Stored, folder: Path) -> None:
        self._tensor = tensor = stored.tensor
        self.shape = tuple(tensor.dims)
        kinds = onnx_library().TensorProto.DataType
        known = tensor.data_type in kinds.values()
        self.dtype = kinds.Name(tensor.data_type) if known else str(tensor.data_type)
        if any(n < 0 for n in self.shape) or tensor.HasField("segment"):
            raise InputError(f"it has shape {self.shape} or comes in segments")
        self._place: tuple[Path, int] | None = None
        if self.dtype not in TYPES:
            return
        count = prod(self.shape)
        size = count * np.dtype(TYPES[self.dtype][0]).itemsize
        if tensor.data_location == EXTERNAL:
            self._place = _external(tensor, folder, size)
            return
        found, wanted, unit = len(getattr(tensor, TYPES[self.dtype][1])), count, "values"
        if stored.raw:
            path, (start, stop) = stored.raw
            self._place, found, wanted, unit = (path, start), stop - start, size, "bytes"
        elif tensor.HasField("raw_data"):
            found, wanted, unit = len(tensor.raw_data), size, "bytes"
        if found != wanted:
            raise InputError(
                f"shape {self.shape} of type {self.dtype} takes {wanted} {unit}, there are {found}"
            )

    @property
    def place(self) -> Path | None:
        """File that holds the values, if they are not part of the graph."""
        return self._place[0] if self._place else None

    def read(self) -> NDArray:
        """The values; bfloat16 is widened to float32.

        Raises
        ------
        InputError : a type that is not supported, or values that do not fit it.
        """
        if self.dtype not in TYPES:
            raise InputError(f"constants of type {self.dtype} are not supported")
        if self._place:
            path, offset = self._place
            if self.dtype == "BFLOAT16":
                return read_floats(path, "BF16", offset, self.shape)
            dtype = TYPES[self.dtype][0]
            return read_array(path, dtype, offset, prod(self.shape)).reshape(self.shape)
        try:
            array = onnx_library().numpy_helper.to_array(self._tensor)
        except (ValueError, OverflowError, TypeError) as error:
            raise InputError(f"its values do not fit its type: {error}") from error
        return array.astype(np.float32) if self.dtype == "BFLOAT16" else array


def _external(tensor: Any, folder: Path, size: int) -> tuple[Path, int]:
    """File and first byte of external data, which must lie in the folder, links followed."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    numbers = {key: entries.get(key, "0") for key in ("offset", "length")}
    if any(not (n.isascii() and n.isdecimal() and len(n) < 20) for n in numbers.values()):
        raise InputError(f"its external data are at {numbers}, which are not whole numbers")
    offset, length = int(numbers["offset"]), int(numbers["length"])
    try:
        path = (folder / location).resolve()
        inside = bool(location) and path.is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):
        inside = False
    if not inside or Path(location).is_absolute():
        raise InputError(
            f"its external data are in {location!r}: only files in the model's folder are read"
        )
    if "length" in entries and length != size:
        raise InputError(f"its external data have {length} bytes, its shape takes {size}")
    there = file_size(path)
    if offset + size > there:
        raise InputError(
            f"its external data are bytes {offset} to {offset + size} of {path}, which has {there}"
        )
    return path, offset


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
        for stored in initializers:
            self._check_new(stored.tensor.name)
            self._constants[stored.tensor.name] = stored
        awaited: set[str] = set()
        for node in self.nodes:
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

    def operand(self, name: str) -> Operand | None:
        """The constant that ``name`` is, behind Identity, Cast, Transpose and QONNX nodes.

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
                step = self._step(node, found.shape)
                found = found.then(step) if step else found
        return found

    def _step(self, node: Any, shape: tuple[int, ...]) -> Step | None:
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
        return self._quant(node)

    def _quant(self, node: Any) -> Quant:
        if node.op_type == "BipolarQuant":
            zero = np.zeros((), dtype=np.float32)
            return Quant(
                scale=self._parameter(node, 1, "scale"),
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
            scale=self._parameter(node, 1, "scale"),
            zero_point=self._parameter(node, 2, "zero point"),
            bit_width=int(width.item()),
            signed=bool(attribute(node, "signed", 1)),
            narrow=bool(attribute(node, "narrow", 1)),
            rounding_mode=mode.decode(errors="replace").upper(),
        )

    def _parameter(self, node: Any, place: int, what: str) -> NDArray[np.float32]:
        """A constant input of a Quant node as float32."""
        name = node.input[place] if place < len(node.input) else ""
        found = self.operand(name) if name else None
        if found is None or any(isinstance(step, Quant) for step in found.steps):
            raise InputError(f"the {what} of its {node.op_type} node is not a constant")
        return found.value().astype(np.float32)


def attribute(node: Any, name: str, default: Any) -> Any:
    """The value of a node's attribute; it must have the kind of value that ``default`` has."""
    found = next((entry for entry in node.attribute if entry.name == name), None)
    if found is None:
        return default
    kinds = onnx_library().AttributeProto
    wanted = {int: kinds.INT, bytes: kinds.STRING}.get(type(default), kinds.INTS)
    if found.type != wanted:
        raise InputError(f"attribute '{name}' of a {node.op_type} node has the wrong type")
    return {kinds.INT: found.i, kinds.STRING: found.s, kinds.INTS: list(found.ints)}[wanted]


def _passes(node: Any) -> bool:
    """Whether a node hands a constant on, see :meth:`Graph.operand`."""
    if node.op_type in ("Identity", "Transpose", "Cast"):
        return node.domain in STANDARD
    return node.op_type in ("Quant", "IntQuant", "BipolarQuant") and node.domain in QONNX


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
