"""numpy files: ``.npz`` archives, and ``.npy`` with a single array. Pickled objects are refused."""

import io
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

from .binary import check_extents, file_size, read_array, unreadable
from .source import TensorInfo, TensorSource

#: bytes read at a time
CHUNK = 1 << 20
#: bytes; an archive's directory takes about 60 an array
DIRECTORY_LIMIT = 4 << 20
#: bytes; that of an array of numbers has about 118
HEADER_LIMIT = 10_000
#: float weights hardly shrink; zeros do, but large arrays of zeros are no model
MAX_RATIO, MAX_SMALL_BYTES = 100, 64 << 20
LOCAL_HEADER_BYTES = 30
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 1


class NpyFile(TensorSource):
    """The one array of a ``.npy`` file, named after the file.

    Raises
    ------
    InputError : the file cannot be read or is not valid, or holds pickled objects.
    """

    float_types = ("float32", "float16")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata = {}
        size = file_size(path)
        try:
            with open(path, "rb") as file:
                self._header = _Header(file, f"{path}")
                self._offset = file.tell()
        except OSError as error:
            raise unreadable(path, error) from error
        if size - self._offset != self._header.bytes:
            raise InputError(
                f"{path}: an array {self._header.shape} of {self._header.dtype} takes "
                f"{self._header.bytes} bytes, the file has {size - self._offset}"
            )
        self.infos = {path.stem: self._header.info}

    def read(self, name: str) -> NDArray:
        """The array as stored."""
        header = self._header
        return header.shaped(read_array(self.path, header.dtype, self._offset, prod(header.shape)))


class NpzFile(TensorSource):
    """The arrays of a ``.npz`` archive (``np.savez``, ``np.savez_compressed``).

    An archive whose directory contradicts itself or its arrays, or that would blow up a hundred
    times, is refused when opened.

    Raises
    ------
    InputError : the file cannot be read or is not valid, or holds pickled objects.
    """

    float_types = NpyFile.float_types

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata = {}
        size = file_size(path)
        self._headers: dict[str, _Header] = {}
        try:
            with _archive(path) as archive:
                self._check(archive.infolist(), size)
                for member in archive.infolist():
                    self._headers[member.filename[: -len(".npy")]] = self._header(archive, member)
        except InputError:
            raise
        except Exception as error:
            # zipfile raises many types on malformed archives
            raise InputError(f"{path} is not a valid .npz file: {error}") from error
        self.infos = {name: header.info for name, header in self._headers.items()}

    def _check(self, members: list[zipfile.ZipInfo], size: int) -> None:
        names: set[str] = set()
        for member in members:
            where = f"{self.path}: member '{member.filename}'"
            if member.filename.endswith((".pkl", ".pickle")):
                raise InputError(f"{where} is a pickle, which can run code")
            if not member.filename.endswith(".npy"):
                raise InputError(f"{where} is not a .npy array")
            if member.filename in names:
                raise InputError(f"{where} is there twice")
            names.add(member.filename)
            if member.compress_type not in METHODS or member.flag_bits & ENCRYPTED:
                raise InputError(f"{where} is encrypted or compressed in a way numpy does not use")
            stored, full = member.compress_size, member.file_size
            if member.compress_type == zipfile.ZIP_STORED and stored != full:
                raise InputError(f"{where} is not compressed, but {full} bytes take {stored}")
            if full > max(MAX_RATIO * stored, MAX_SMALL_BYTES):
                raise InputError(f"{where} would unpack {stored} bytes to {full}: refused")
        check_extents(((m.filename, *_extent(m)) for m in members), 0, size, self.path)

    def _header(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> "_Header":
        where = f"{self.path}: member '{member.filename}'"
        with archive.open(member) as file:
            header = _Header(file, where)
            rest = member.file_size - file.tell()
        if rest != header.bytes:
            raise InputError(
                f"{where}: an array {header.shape} of {header.dtype} takes {header.bytes} bytes, "
                f"the archive says {rest}"
            )
        return header

    def read(self, name: str) -> NDArray:
        """The array as stored."""
        header = self._headers[name]
        array = np.empty(prod(header.shape), dtype=header.dtype)
        view, done = array.view(np.uint8).data, 0
        try:
            with _archive(self.path) as archive, archive.open(name + ".npy") as file:
                _Header(file, name)
                while done < len(view):
                    part = file.read(min(CHUNK, len(view) - done))
                    if not part:
                        raise InputError(f"{self.path}: array '{name}' ends early")
                    view[done : done + len(part)] = part
                    done += len(part)
                # the end is where the checksum is compared
                file.read(1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise InputError(f"{self.path}: array '{name}' is corrupt: {error}") from error
        return header.shaped(array)


def _extent(member: zipfile.ZipInfo) -> tuple[int, int]:
    """Bytes that a member takes at least: its local header without extra fields, and its data."""
    data = LOCAL_HEADER_BYTES + len(member.filename) + member.compress_size
    return member.header_offset, member.header_offset + data


class _BoundedFile(io.BufferedReader):
    """A file that refuses to be read by more than a directory's worth at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > DIRECTORY_LIMIT:
            raise InputError(
                f"{self.name}: the directory of the archive has {size} bytes, "
                f"up to {DIRECTORY_LIMIT} are read"
            )
        return super().read(size)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """An open archive; its file is closed too, which zipfile leaves to whoever opened it."""
    with _BoundedFile(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
        yield archive


class _Header:
    """The header of one ``.npy`` array, taken from the start of ``file`` and read by numpy."""

    def __init__(self, file: IO[bytes], where: str) -> None:
        lib = np.lib.format
        readers = {b"\1": (2, lib.read_array_header_1_0), b"\2": (4, lib.read_array_header_2_0)}
        try:
            head = file.read(8)
            if head[:6] != lib.MAGIC_PREFIX or head[6:7] not in readers:
                raise InputError(f"it begins with {head!r}")
            width, read = readers[head[6:7]]
            head = file.read(width)
            length = int.from_bytes(head, "little")
            # numpy would read as many bytes before it looks at the limit
            if length > HEADER_LIMIT:
                raise InputError(f"its header would have {length} bytes")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.shape, self.by_columns, self.dtype = read(io.BytesIO(head + file.read(length)))
        except Exception as error:
            # numpy evaluates the header as a Python literal, which can fail in many ways
            raise InputError(f"{where} is not a valid .npy array: {error}") from error
        if self.dtype.hasobject:
            raise InputError(
                f"{where} holds pickled Python objects, which can run code: "
                "save it as a plain array of numbers"
            )
        if any(isinstance(n, bool) or n < 0 for n in self.shape) or len(self.shape) > 32:
            raise InputError(f"{where} is not a valid .npy array: its shape is {self.shape}")

    @property
    def bytes(self) -> int:
        """Bytes of the values."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def info(self) -> TensorInfo:
        """Shape and type; the name of a type does not tell its byte order."""
        return TensorInfo(shape=self.shape, dtype=self.dtype.name)

    def shaped(self, flat: NDArray) -> NDArray:
        """The array of its values in the order of the file."""
        native = flat.astype(self.dtype.newbyteorder("="), copy=False)
        return native.reshape(self.shape, order="F" if self.by_columns else "C")
