"""A space cut into parcels: what a worker evaluates at a time, and what a file of the store holds.

The cut depends on the space alone, not on who works: a study that is resumed with more workers, or
on a cluster, finds the files of the first run.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .space import Chunk, Space
from .store import Points
from .table import Table

#: numbers that a parcel is cut from at most, and classes: a worker's death costs little
_POINTS, _CLASSES = 16384, 16
#: parcels of a small space, if it has so many classes: enough for all workers
_LEAST = 64

Item = TypeVar("Item", bound=Points)


class Runner(Protocol):
    """Evaluates chunks; :class:`bitsmith.explore.evaluate.Evaluator` is one."""

    def run(self, chunk: Any, /) -> Table:
        """All metrics of all points of the chunk."""


#: makes a worker's own runner; picklable
Factory = Callable[[], Runner]


@dataclass(frozen=True, kw_only=True, eq=False)
class Parcel:
    """Points that are evaluated one chunk after the other.

    Attributes
    ----------
    numbers : int64 (points,), increasing.
    """

    numbers: NDArray[np.int64]
    chunks: tuple[Chunk, ...]


def block_starts(space: Space) -> range:
    """First number of each stretch that :func:`blocks` cuts on its own."""
    each = space.class_size
    classes = max(1, min(_POINTS // each, _CLASSES, space.size // each // _LEAST))
    return range(0, space.size, classes * each)


def blocks(space: Space, start: int = 0) -> Iterator[NDArray[np.int64]]:
    """Numbers of the points that count (:meth:`Space.allowed`), in order: one array for each
    parcel, whole classes together where they are small.

    Parameters
    ----------
    start : where to begin, one of :func:`block_starts`.
    """
    step = block_starts(space).step
    for begin in range(start, space.size, step):
        stop = min(begin + step, space.size)
        for first in range(begin, stop, _POINTS):
            numbers = np.arange(first, min(first + _POINTS, stop), dtype=np.int64)
            numbers = numbers[space.allowed(numbers)]
            if len(numbers):
                yield numbers


def count_points(space: Space) -> int:
    """Points that count, of all combinations; a few seconds for ten millions."""
    return sum(map(len, blocks(space)))


def evaluated(runner: Runner, item: Any) -> Table:
    """The results of a chunk or a parcel."""
    if isinstance(item, Parcel):
        return Table.joined([runner.run(chunk) for chunk in item.chunks])
    return runner.run(item)
