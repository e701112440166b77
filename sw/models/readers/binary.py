"""Bytes of files: sizes first, then exact ranges; nothing is mapped, so nothing stays resident."""

import json
import stat
from collections.abc import Iterable
from functools import cache
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from configs.errors import InputError
from sw.formats import get_family

#: values converted at a time
CHUNK = 1 << 20
#: the largest JSON text that is parsed: the index of 90 thousand tensors has 9 MB
JSON_LIMIT = 16 << 20
FLOAT8 = {"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}
#: float types of safetensors that every reader can widen, the widest first
FLOATS = ("F32", "F16", "BF16", *FLOAT8)


def unreadable(path: Path, error: Exception) -> InputError:
    """The error for a file that the operating system does not give."""
    return InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}")


def file_size(path: Path) -> int:
    """Bytes of a file.

    Raises
    ------
    InputError : there is none, or it is a folder, a pipe or a device.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"cannot read {path}: Is a directory")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"cannot read {path}: it is not a regular file")
    return status.st_size


def read_array(path: Path, dtype: DTypeLike, offset: int, count: int) -> NDArray:
    """``count`` values from byte ``offset``, 1-D.

    Raises
    ------
    InputError : the file cannot be read or ends before.
    """
    array = np.empty(count, dtype=dtype)
    view = array.view(np.uint8).data
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(offset)
            done = 0
            while done < len(view):
                step = file.readinto(view[done:])
                if not step:
                    raise InputError(
                        f"{path} ends at byte {offset + done}, {len(view) - done} bytes early"
                    )
                done += step
    except OSError as error:
        raise unreadable(path, error) from error
    return array


def read_bytes(path: Path, offset: int, count: int) -> bytes:
    """``count`` bytes from ``offset``; errors as :func:`read_array`."""
    return read_array(path, np.uint8, offset, count).tobytes()


def read_head(path: Path, count: int = 8) -> bytes:
    """The first ``count`` bytes, or all of a shorter file."""
    return read_bytes(path, 0, min(count, file_size(path)))


def read_json(path: Path) -> object:
    """A parsed JSON file.

    Raises
    ------
    InputError : it cannot be read, is larger than 16 MiB or no JSON.
    """
    size = file_size(path)
    if size > JSON_LIMIT:
        raise InputError(f"{path} has {size} bytes, JSON files of up to {JSON_LIMIT} are read")
    try:
        return json.loads(read_bytes(path, 0, size))
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error


@cache
def float8_values(kind: str) -> NDArray[np.float32]:
    """float32 (256,): the value of every code of one of ``FLOAT8``."""
    number = get_family(FLOAT8[kind]).members[0]
    values = np.empty(256, dtype=np.float32)
    for code, level in enumerate(number.levels):
        values[code] = number.specials[code] if level is None else float(level * number.unit)
    # the table of levels has no -0
    values[128] = -values[0]
    return values


def read_floats(path: Path, kind: str, offset: int, shape: tuple[int, ...]) -> NDArray[np.floating]:
    """A tensor of one of the types ``FLOATS``, stored little-endian, row-major, from ``offset``.

    float32 and float16 as they are, the others widened to float32, a chunk at a time.
    """
    count = prod(shape)
    if kind in ("F32", "F16"):
        return read_array(path, "<f4" if kind == "F32" else "<f2", offset, count).reshape(shape)
    values = np.empty(count, dtype=np.float32)
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        if kind == "BF16":
            # bfloat16 is the upper half of a float32
            raw = read_array(path, "<u2", offset + 2 * start, size)
            values[start : start + size] = (raw.astype(np.uint32) << 16).view(np.float32)
        else:
            raw = read_array(path, np.uint8, offset + start, size)
            values[start : start + size] = float8_values(kind)[raw]
    return values.reshape(shape)


def check_extents(
    extents: Iterable[tuple[str, int, int]], begin: int, end: int, where: object
) -> None:
    """Check that byte ranges lie inside a file's data and apart from each other.

    Parameters
    ----------
    extents : (name, first byte, byte after the last).
    begin, end : where the data are.
    where : the file, for messages.

    Raises
    ------
    InputError : one does not.
    """
    before, reached = "", begin
    for name, start, stop in sorted(extents, key=lambda extent: extent[1:]):
        if start < begin or stop > end:
            raise InputError(
                f"{where}: '{name}' lies at bytes {start} to {stop}, "
                f"the data at {begin} to {end}: the file is truncated or corrupt"
            )
        if start < reached and start < stop:
            raise InputError(f"{where}: '{before}' and '{name}' overlap at byte {start}")
        if stop > start:
            before, reached = name, stop
