"""The header of a GGUF file: key-value pairs and where the tensors are, in bounded memory.

The reader of the gguf package makes several Python objects per element of every array (1.8 s and
150 MB for a vocabulary of 49 thousand tokens) and checks no length, so the header is walked here.
Types and sizes of blocks come from the package. Layout: ggml/docs/gguf.md, versions 2 and 3.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import InputError

from .binary import check_extents, file_size, read_array, read_bytes, unreadable
from .source import TensorInfo

MAGIC, VERSIONS = b"GGUF", (2, 3)
ALIGNMENT_KEY, DEFAULT_ALIGNMENT = "general.alignment", 32
# far above any real file, low enough that a hostile one costs neither memory nor time
MAX_KEYS, MAX_TENSORS, MAX_NAME_BYTES, MAX_DIMENSIONS = 1 << 16, 1 << 17, 1 << 10, 4
MAX_ELEMENTS, MAX_STRINGS, MAX_VALUE_BYTES = 1 << 21, 1 << 21, 1 << 25

STRING, ARRAY = 8, 9
#: numpy types of the scalar value types of GGUF
SCALARS = {
    **dict(enumerate(("u1", "i1", "<u2", "<i2", "<u4", "<i4", "<f4", "?"))),
    **{10: "<u8", 11: "<i8", 12: "<f8"},
}
LENGTH, WORD = struct.Struct("<Q"), struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class _Array:
    """An array that is not converted yet: element type, elements, first byte, bytes."""

    kind: int
    count: int
    start: int
    size: int


class Metadata(Mapping[str, object]):
    """Key-value pairs as Python values; arrays become lists when asked for, and are then kept."""

    def __init__(self, path: Path, values: dict[str, object]) -> None:
        self._path, self._values = path, values

    def __getitem__(self, key: str) -> object:
        value = self._values[key]
        if isinstance(value, _Array):
            value = self._values[key] = _elements(self._path, key, value)
        return value

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True, slots=True)
class Placed:
    """A tensor of the file: its info, the number of its type, first byte, bytes."""

    info: TensorInfo
    kind: int
    start: int
    size: int


class GGUFHeader:
    """What a GGUF file says before its data.

    Parameters
    ----------
    sizes : type number -> (name, values in a block, bytes of a block).

    Attributes
    ----------
    metadata : key -> value.
    tensors : name -> :class:`Placed`; all inside the file, none overlapping.

    Raises
    ------
    InputError : the file cannot be read or is not valid.
    """

    def __init__(self, path: Path, sizes: Mapping[int, tuple[str, int, int]]) -> None:
        self._path, self._end, self._sizes = path, file_size(path), sizes
        self._strings = 0
        try:
            with open(path, "rb") as self._file:
                self._read()
        except OSError as error:
            raise unreadable(path, error) from error

    def wrong(self, reason: str) -> InputError:
        """The error for an invalid file."""
        return InputError(f"{self._path} is not a valid GGUF file: {reason}")

    def _read(self) -> None:
        if self._take(4) != MAGIC:
            raise self.wrong("it does not begin with 'GGUF'")
        version = self._word()
        if version not in VERSIONS:
            big = int.from_bytes(version.to_bytes(4, "big"), "little") in VERSIONS
            raise self.wrong("it is big-endian" if big else f"its version is {version}, not 2 or 3")
        tensors, keys = self._length(), self._length()
        if tensors > MAX_TENSORS or keys > MAX_KEYS:
            raise self.wrong(f"it would have {tensors} tensors and {keys} keys")
        values: dict[str, object] = {}
        for _ in range(keys):
            key = self._name()
            if key in values:
                raise self.wrong(f"key '{key}' is there twice")
            values[key] = self._value(key)
        self.metadata = Metadata(self._path, values)
        described = [self._tensor() for _ in range(tensors)]
        begin = self._aligned(self._file.tell())
        self.tensors: dict[str, Placed] = {}
        for name, info, kind, offset, size in described:
            if name in self.tensors:
                raise self.wrong(f"tensor '{name}' is there twice")
            self.tensors[name] = Placed(info, kind, begin + offset, size)
        extents = ((n, t.start, t.start + t.size) for n, t in self.tensors.items())
        check_extents(extents, begin, self._end, self._path)

    def _take(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) < count:
            raise self.wrong(f"it ends within its header, at byte {self._end}")
        return data

    def _word(self) -> int:
        return WORD.unpack(self._take(4))[0]

    def _length(self) -> int:
        return LENGTH.unpack(self._take(8))[0]

    def _skip(self, count: int) -> None:
        place = self._file.tell()
        if count > self._end - place:
            raise self.wrong(f"a value at byte {place} would have {count} bytes")
        self._file.seek(count, 1)

    def _name(self) -> str:
        length = self._length()
        if length > MAX_NAME_BYTES:
            raise self.wrong(f"a name would have {length} bytes")
        return self._text(self._take(length))

    def _text(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self.wrong(f"a name or value is not UTF-8: {data[:40]!r}") from error

    def _value(self, key: str) -> object:
        kind = self._word()
        if kind in SCALARS:
            dtype = np.dtype(SCALARS[kind])
            return np.frombuffer(self._take(dtype.itemsize), dtype)[0].item()
        if kind == STRING:
            length = self._length()
            if length > min(self._end, MAX_VALUE_BYTES):
                raise self.wrong(f"the value of '{key}' would have {length} bytes")
            return self._text(self._take(length))
        if kind != ARRAY:
            raise self.wrong(f"the value of '{key}' has the unknown type {kind}")
        return self._array(key)

    def _array(self, key: str) -> _Array:
        kind, count, start = self._word(), self._length(), self._file.tell()
        if count > MAX_ELEMENTS or (kind not in SCALARS and kind != STRING):
            raise self.wrong(f"'{key}' would be an array of {count} elements of type {kind}")
        if kind in SCALARS:
            self._skip(count * np.dtype(SCALARS[kind]).itemsize)
        else:
            self._strings += count
            if self._strings > MAX_STRINGS:
                raise self.wrong(f"it would have {self._strings} strings")
            for _ in range(count):
                self._skip(self._length())
        size = self._file.tell() - start
        if size > MAX_VALUE_BYTES:
            raise self.wrong(f"the value of '{key}' has {size} bytes")
        return _Array(kind, count, start, size)

    def _tensor(self) -> tuple[str, TensorInfo, int, int, int]:
        """Name, info, type, offset from the start of the data, bytes."""
        name, dimensions = self._name(), self._word()
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise self.wrong(f"tensor '{name}' would have {dimensions} dimensions")
        # the file lists the contiguous dimension first
        shape = tuple(reversed([self._length() for _ in range(dimensions)]))
        kind, offset = self._word(), self._length()
        if kind not in self._sizes:
            raise self.wrong(f"tensor '{name}' has the unknown type {kind}")
        dtype, block, block_bytes = self._sizes[kind]
        if min(shape) < 1 or shape[-1] % block:
            raise self.wrong(
                f"tensor '{name}' of type {dtype} has shape {shape}: "
                f"rows are of a multiple of {block} values"
            )
        size = prod(shape) // block * block_bytes
        return name, TensorInfo(shape=shape, dtype=dtype), kind, offset, size

    def _aligned(self, place: int) -> int:
        """The first byte of the data."""
        alignment: Any = self.metadata.get(ALIGNMENT_KEY, DEFAULT_ALIGNMENT)
        whole = isinstance(alignment, int) and not isinstance(alignment, bool)
        if not whole or alignment < 1 or alignment & (alignment - 1) or alignment > 1 << 31:
            raise self.wrong(f"'{ALIGNMENT_KEY}' is {alignment!r}, it must be a power of two")
        return -(-place // alignment) * alignment


def _elements(path: Path, key: str, array: _Array) -> list[Any]:
    """The elements of an array as Python values; strings that are no UTF-8 are refused."""
    if array.kind in SCALARS:
        return read_array(path, SCALARS[array.kind], array.start, array.count).tolist()
    data, place, found = read_bytes(path, array.start, array.size), 0, []
    try:
        for _ in range(array.count):
            (length,) = LENGTH.unpack_from(data, place)
            found.append(data[place + 8 : place + 8 + length].decode())
            place += 8 + length
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: '{key}' holds a string that is not UTF-8: {error}") from error
    return found
