"""Results on disk, one file for each chunk of points: a study can be killed at any moment.

A chunk's file is written under a temporary name, brought to the disk and renamed, so that it is
there whole or not at all. Its name holds a hash of the study, of bitsmith's source and of the
chunk's points: whoever looks for a chunk finds what belongs to it or nothing, and writing it twice
changes nothing. The name also says which points are in it: listing a store reads no file.

    STUDY/store.json               whose results these are
    STUDY/.lock                    who writes: process, host, since when
    STUDY/points/3f/0-16383-16384-3f0c...npz
                                   first, last and number of points, hash of the chunk
"""

import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from configs.files import replace_file, replacing

from ..hashes import code_hash
from .lock import Lock
from .table import Table

_NAME = re.compile(r"(\d+)-(\d+)-(\d+)-([0-9a-f]{32})\.npz")


class Points(Protocol):
    """Points that are evaluated together: a chunk of the space, or several."""

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Of the points, int64 (points,)."""


class StudySpace(Protocol):
    """What a store has to know of a space."""

    @property
    def key(self) -> str:
        """Hash of the sweep and of everything it names."""


@dataclass(frozen=True, order=True)
class _Entry:
    """One file; the order is that of the points."""

    first: int
    last: int
    points: int
    digest: str

    @property
    def place(self) -> Path:
        return Path(self.digest[:2], f"{self.first}-{self.last}-{self.points}-{self.digest}.npz")


class Store:
    """The results of one study in a folder. Without a lock it is for reading; see :meth:`open`.

    Parameters
    ----------
    folder : of the study.
    key : what results depend on beside the points: those of another key are not seen.
    """

    def __init__(self, folder: Path, key: str, *, lock: Lock | None = None) -> None:
        self._points = folder / "points"
        self._key = key.encode()
        self._lock = lock
        self._entries = {entry.digest: entry for entry in self._listed()}

    @classmethod
    def open(cls, folder: Path, space: StudySpace, resume: bool) -> "Store":
        """The store of a study, locked for writing until :meth:`close`.

        Raises
        ------
        InputError : the folder holds results of another study or of another version of bitsmith,
            or results at all without ``resume``; another process writes there; it cannot be
            written.
        """
        study = {"space": space.key, "code": code_hash()}
        try:
            (folder / "points").mkdir(parents=True, exist_ok=True)
            lock = Lock(folder)
        except OSError as error:
            raise _cannot_write(folder, error) from None
        try:
            store = cls(folder, json.dumps(study), lock=lock)
            if store.count:
                _check_owner(folder, study)
                if not resume:
                    raise InputError(
                        f"'{folder}' already holds results of {store.points:,} points: go on with "
                        "--resume, or give another folder"
                    )
            for left in (folder / "points").glob("*/.*"):
                left.unlink(missing_ok=True)
            replace_file(folder / "store.json", json.dumps(study, indent=2).encode())
        except OSError as error:
            lock.release()
            raise _cannot_write(folder, error) from None
        except BaseException:
            lock.release()
            raise
        return store

    def close(self) -> None:
        """Let other processes write."""
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def count(self) -> int:
        """Chunks that are stored."""
        return len(self._entries)

    @property
    def points(self) -> int:
        """Points that are stored; those of two chunks count twice."""
        return sum(entry.points for entry in self._entries.values())

    def has(self, chunk: Points) -> bool:
        """Whether there is a file of the chunk; :meth:`get` also knows whether it is whole."""
        return self._digest(chunk) in self._entries

    def put(self, chunk: Points, table: Table) -> None:
        """Keep the results of a chunk; back when they are on the disk.

        Raises
        ------
        ValueError : the table is not one of the chunk's points.
        InputError : the file cannot be written.
        """
        if not np.array_equal(np.sort(chunk.numbers), table.numbers):
            raise ValueError(f"results of other points than {described(chunk)}")
        entry = _Entry(
            int(table.numbers[0]), int(table.numbers[-1]), len(table), self._digest(chunk)
        )
        path = self._points / entry.place
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, _packed(table))
        except OSError as error:
            raise _cannot_write(path, error) from None
        self._entries[entry.digest] = entry

    def get(self, chunk: Points) -> Table | None:
        """The results of a chunk; None if there are none, or if their file is damaged."""
        entry = self._entries.get(self._digest(chunk))
        return None if entry is None else self._read(entry)

    def tables(self) -> Iterator[Table]:
        """All results in the order of the points' numbers, each point once.

        Holds one chunk at a time; chunks whose ranges of numbers overlap, such as those of a
        search, come as one table.
        """
        last, together = -1, list[Table]()
        for entry in sorted(self._entries.values()):
            if entry.first > last and together:
                yield Table.joined(together)
                together = []
            table = self._read(entry)
            if table is not None:
                together.append(table)
                last = max(last, entry.last)
        if together:
            yield Table.joined(together)

    def _listed(self) -> Iterator[_Entry]:
        """Every chunk's file, by its name."""
        try:
            for folder in os.scandir(self._points):
                for file in os.scandir(folder) if folder.is_dir() else ():
                    if match := _NAME.fullmatch(file.name):
                        yield _Entry(int(match[1]), int(match[2]), int(match[3]), match[4])
        except FileNotFoundError:  # nothing stored yet
            return
        except OSError as error:
            raise InputError(f"cannot read '{self._points}': {error.strerror}") from None

    def _digest(self, chunk: Points) -> str:
        digest = hashlib.sha256(self._key + b"\0")
        digest.update(np.sort(chunk.numbers).astype("<i8").tobytes())
        return digest.hexdigest()[:32]

    def _read(self, entry: _Entry) -> Table | None:
        path = self._points / entry.place
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            data = b""
        except OSError as error:
            raise InputError(f"cannot read '{path}': {error.strerror}") from None
        table = _unpacked(data, entry)
        if table is None:
            del self._entries[entry.digest]
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise _cannot_write(path, error) from None
        return table


def described(chunk: Points) -> str:
    """A chunk in words: ``points 0..16383``."""
    first, last = int(chunk.numbers.min()), int(chunk.numbers.max())
    return f"point {first}" if first == last else f"points {first}..{last}"


def _cannot_write(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot write '{path}': {error.strerror or error}")


def _check_owner(folder: Path, study: dict[str, str]) -> None:
    """Refuse a folder with results of another study or version."""
    try:
        found = json.loads((folder / "store.json").read_bytes())
        same_space = found["space"] == study["space"]
    except (OSError, ValueError, KeyError, TypeError):
        found, same_space = None, False
    if found != study:
        other = "another version of bitsmith" if same_space else "another study"
        raise InputError(f"'{folder}' holds results of {other}: give another folder")


def _write(path: Path, data: Any) -> None:
    """Write a file so that it is on the disk, whole, when its name appears."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name, too
    finally:
        os.close(folder)


def _packed(table: Table) -> memoryview:
    """A table as the bytes of an npz file.

    Not compressed: float64 figures shrink by a tenth, and it takes twenty times as long.
    """
    words = json.dumps({"metrics": list(table.metrics), "reasons": table.reasons})
    columns = np.array(list(table.metrics.values()), np.float64).reshape(-1, len(table))
    buffer = io.BytesIO()
    np.savez(
        buffer,
        words=np.frombuffer(words.encode(), np.uint8),
        numbers=table.numbers,
        reason=table.reason,
        metrics=columns,
    )
    return buffer.getbuffer()


def _unpacked(data: bytes, entry: _Entry) -> Table | None:
    """The table of a file; None if it is damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if archive.testzip() is not None:
                return None
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            words = json.loads(arrays["words"].tobytes())
            numbers, reason, columns = arrays["numbers"], arrays["reason"], arrays["metrics"]
        if (int(numbers[0]), int(numbers[-1]), len(numbers)) != (
            entry.first,
            entry.last,
            entry.points,
        ):
            return None
        return Table(
            numbers=numbers,
            metrics=dict(zip(words["metrics"], columns, strict=True)),
            reasons=tuple(words["reasons"]),
            reason=reason,
        )
    except MemoryError:
        raise
    except Exception:  # zipfile, numpy and json have many words for damage
        return None
