"""Constants of an ONNX model: their types, and where their values are."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

from .binary import file_size, read_array, read_bytes, read_floats
from .onnx_wire import Extent

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
    "UINT32": ("<u4", "uint64_data"),
    "UINT64": ("<u8", "uint64_data"),
}
#: ONNX type -> bits of a value, several to a byte, the first one lowest; bytes are in int32_data
PACKED = {"INT4": 4, "UINT4": 4, "INT2": 2, "UINT2": 2}


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
        if self.dtype not in (*TYPES, *PACKED):
            return
        count, kind = prod(self.shape), TYPES.get(self.dtype, ("u1", "int32_data"))
        if self.dtype in PACKED:
            count = -(-count * PACKED[self.dtype] // 8)
        size = count * np.dtype(kind[0]).itemsize
        if tensor.data_location == EXTERNAL:
            self._place = _external(tensor, folder, size)
            return
        found, wanted, unit = len(getattr(tensor, kind[1])), count, "values"
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
        """The values; bfloat16 is widened to float32, what is packed to int8.

        Raises
        ------
        InputError : a type that is not supported, or values that do not fit it.
        """
        if self.dtype in PACKED:
            return self._unpacked()
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

    def _unpacked(self) -> NDArray[np.int8]:
        """Values of less than a byte."""
        bits, count = PACKED[self.dtype], prod(self.shape)
        if self._place:
            data = read_bytes(*self._place, -(-count * bits // 8))
        elif self._tensor.HasField("raw_data"):
            data = self._tensor.raw_data
        else:
            data = bytes(number & 255 for number in self._tensor.int32_data)
        packed = np.frombuffer(data, dtype=np.uint8)[:, None]
        codes = (packed >> np.arange(0, 8, bits, dtype=np.uint8)) & ((1 << bits) - 1)
        codes = codes.ravel()[:count].reshape(self.shape).astype(np.int8)
        sign = 1 << (bits - 1)
        return codes if self.dtype.startswith("U") else (codes ^ sign) - np.int8(sign)


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
