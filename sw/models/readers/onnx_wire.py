"""A serialized ONNX model, taken apart before protobuf sees it.

A parser makes an object of about 150 bytes from two bytes of an empty message and copies every
weight, so that it can be made to take any amount of memory. Here the messages are counted first,
and the raw data of initialisers are left where they are; protobuf parses what remains.

Source: protobuf encoding (tag, then number, or length and bytes), field numbers of onnx.proto.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import InputError

from .binary import file_size, unreadable

MAX_MESSAGES, MAX_FIELDS = 500_000, 4_000_000
#: bytes of a model without its initialisers, and of one initialiser without its raw data
MAX_BYTES = 128 << 20
#: messages in messages that parsers accept
MAX_DEPTH = 100
VARINT, BYTES, GROUPS = 0, 2, (3, 4)
#: wire type -> bytes of a number
WIDTHS = {1: 8, 5: 4}
#: field numbers of ModelProto, GraphProto and TensorProto
GRAPH, INITIALIZER, RAW_DATA = 7, 5, 9

Data = bytes | mmap.mmap
Extent = tuple[int, int]


@dataclass(frozen=True)
class Initializer:
    """One initialiser: its message without raw data, and where those are in the file."""

    message: bytes
    raw: Extent | None


@dataclass(frozen=True)
class Parts:
    """A model: its message without initialisers, and these."""

    message: bytes
    initializers: tuple[Initializer, ...]


def read_parts(path: Path, descriptor: Any) -> Parts:
    """Take apart the model in a file; weights are not read.

    Parameters
    ----------
    descriptor : of ``onnx.ModelProto``.

    Raises
    ------
    InputError : the file cannot be read, is no protobuf message, or has more than 500 thousand
        messages, 4 million fields or 128 MiB besides the raw data of initialisers.
    """
    if not file_size(path):
        raise InputError(f"{path} is not a valid ONNX file: it is empty")
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _Count().message(data, (0, len(data)), descriptor, 0)
            return _split(data)
    except OSError as error:
        raise unreadable(path, error) from error
    except InputError as error:
        raise InputError(f"{path} is not a valid ONNX file: {error}") from error


def _varint(data: Data, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the place after it."""
    number = shift = 0
    while True:
        byte = data[place]
        number |= (byte & 127) << shift
        place += 1
        if byte < 128:
            return number, place
        shift += 7
        if shift > 63:
            raise IndexError


def _fields(data: Data, extent: Extent) -> Iterator[tuple[int, int, int, int]]:
    """Field number, first byte of the field, first and last + 1 of its content; () if a number."""
    place, end = extent
    while place < end:
        first = place
        try:
            tag, place = _varint(data, place)
            wire, content = tag & 7, place
            if wire == BYTES:
                length, content = _varint(data, place)
                place = content + length
            elif wire == VARINT:
                _, content = _varint(data, place)
                place = content
            elif wire not in GROUPS:
                content = place = place + WIDTHS[wire]
        except LookupError:
            tag = 0
        if place > end or not tag >> 3:
            raise InputError(f"the message at byte {first} is cut off or corrupt")
        yield tag >> 3, first, content, place


class _Count:
    """Messages and fields of a model so far."""

    def __init__(self) -> None:
        self._kinds: dict[str, dict[int, Any]] = {}
        self._messages = self._fields = 0

    def message(self, data: Data, extent: Extent, descriptor: Any, depth: int) -> None:
        """Count what is in one message."""
        name = descriptor.full_name
        if name not in self._kinds:
            kinds = {field.number: field.message_type for field in descriptor.fields}
            self._kinds[name] = {number: kind for number, kind in kinds.items() if kind}
        nested = self._kinds[name]
        self._messages += 1
        if depth > MAX_DEPTH:
            raise InputError(f"more than {MAX_DEPTH} messages lie in each other")
        for number, _, start, stop in _fields(data, extent):
            self._fields += 1
            if self._messages > MAX_MESSAGES or self._fields > MAX_FIELDS:
                raise InputError(f"it has more than {MAX_MESSAGES} nodes, attributes and tensors")
            if number in nested:
                self.message(data, (start, stop), nested[number], depth + 1)


def _split(data: Data) -> Parts:
    """The parts of a model whose messages have been counted."""
    rest, initializers = _Rest("the model"), []
    for number, first, start, stop in _fields(data, (0, len(data))):
        if number != GRAPH:
            rest.add(data, first, stop)
            continue
        # a message that comes in pieces is the same as one with all their fields
        graph = _Rest("the graph")
        for inner, inner_first, inner_start, inner_stop in _fields(data, (start, stop)):
            if inner == INITIALIZER:
                initializers.append(_initializer(data, (inner_start, inner_stop)))
            else:
                graph.add(data, inner_first, inner_stop)
        rest.add_message(GRAPH, graph.message)
    return Parts(rest.message, tuple(initializers))


def _initializer(data: Data, extent: Extent) -> Initializer:
    rest, raw = _Rest("an initialiser"), None
    for number, first, start, stop in _fields(data, extent):
        if number == RAW_DATA:
            raw = (start, stop)
        else:
            rest.add(data, first, stop)
    return Initializer(rest.message, raw)


class _Rest:
    """A message put together again."""

    def __init__(self, what: str) -> None:
        self._what, self._parts, self._size = what, list[bytes](), 0

    def add(self, data: Data, first: int, stop: int) -> None:
        """A whole field."""
        self._size += stop - first
        if self._size > MAX_BYTES:
            raise InputError(f"{self._what} has more than {MAX_BYTES} bytes besides raw data")
        self._parts.append(data[first:stop])

    def add_message(self, number: int, message: bytes) -> None:
        """A field that is a message."""
        length, size = bytearray(), len(message)
        while size > 127:
            length.append(size & 127 | 128)
            size >>= 7
        head = bytes([number << 3 | BYTES, *length, size])
        self.add(head + message, 0, len(head) + len(message))

    @property
    def message(self) -> bytes:
        """The fields so far."""
        return b"".join(self._parts)
