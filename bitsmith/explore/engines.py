"""Where points are evaluated: in this process, in several, or on a Dask cluster.

An engine takes points lazily and yields results as they come, with a few in flight at a time: a
space of ten million points takes no more memory than one of ten thousand. What a worker had in
hand when it died is done again.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

from .cluster import Cluster
from .parcels import Factory, Item, Parcel, Runner, blocks, evaluated
from .processes import Processes
from .space import Space
from .store import Store
from .table import Table


class Engine(Protocol):
    """Evaluates items, in the order in which they are done."""

    def run(self, items: Iterable[Item]) -> Iterator[tuple[Item, Table]]:
        """Each item with its results, once."""

    def close(self) -> None:
        """End the workers."""


class Progress(Protocol):
    """Is told of results; :class:`bitsmith.explore.progress.Bar` is one."""

    def advance(self, table: Table, *, stored: bool = False) -> None:
        """More points are known; ``stored`` says that they were known before."""


def sweep_all(
    space: Space,
    factory: Factory,
    store: Store,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> Iterator[Table]:
    """Every point that counts, once: first what the store has, then the others as they are done.

    A table is in the store before it is yielded.

    Raises
    ------
    InputError : a result cannot be stored; workers died again and again; no scheduler answers.
    """
    if store.count:
        for numbers in blocks(space):
            table = store.get(Parcel(numbers=numbers, chunks=()))
            if table is not None:
                if progress is not None:
                    progress.advance(table, stored=True)
                yield table
    with open_engine(factory, workers=workers, scheduler=scheduler) as engine:
        for parcel, table in engine.run(_missing(space, store)):
            store.put(parcel, table)
            if progress is not None:
                progress.advance(table)
            yield table


def _missing(space: Space, store: Store) -> Iterator[Parcel]:
    for numbers in blocks(space):
        if not store.has(Parcel(numbers=numbers, chunks=())):
            yield Parcel(numbers=numbers, chunks=tuple(space.group(numbers)))


def evaluate_numbers(
    space: Space, engine: Engine, store: Store, numbers: NDArray[np.int64]
) -> Table:
    """Some points, from the store or newly evaluated and stored: what a search asks for.

    Raises
    ------
    InputError : as those of :func:`sweep_all`.
    """
    chunks = space.group(numbers)
    found = [store.get(chunk) for chunk in chunks]
    tables = [table for table in found if table is not None]
    missing = [chunk for chunk, table in zip(chunks, found, strict=True) if table is None]
    for chunk, table in engine.run(missing):
        store.put(chunk, table)
        tables.append(table)
    return Table.joined(tables)


@contextmanager
def open_engine(
    factory: Factory, *, workers: int = 1, scheduler: str | None = None
) -> Iterator[Engine]:
    """An engine that is asked more than once, as by a search: its workers stay.

    Parameters
    ----------
    workers : processes; 1 works in this one.
    scheduler : address of a Dask scheduler; its workers do the work, and ``workers`` is ignored.

    Raises
    ------
    InputError : fewer than one worker; ``distributed`` is missing; no scheduler answers.
    """
    engine: Engine
    if scheduler is not None:
        engine = Cluster(factory, scheduler)
    elif workers < 1:
        raise InputError(f"workers is {workers}, at least 1 is needed")
    elif workers == 1:
        engine = _Here(factory)
    else:
        engine = Processes(factory, workers)
    with closing(engine):
        yield engine


def run_chunks(
    factory: Factory, chunks: Iterable[Item], *, workers: int = 1, scheduler: str | None = None
) -> Iterator[tuple[Item, Table]]:
    """Evaluate chunks (or parcels) on an engine of their own; see :func:`open_engine`."""
    with open_engine(factory, workers=workers, scheduler=scheduler) as engine:
        yield from engine.run(chunks)


class _Here:
    """This process."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory
        self._runner: Runner | None = None

    def run(self, items: Iterable[Item]) -> Iterator[tuple[Item, Table]]:
        for item in items:
            if self._runner is None:
                self._runner = self._factory()
            yield item, evaluated(self._runner, item)

    def close(self) -> None:
        """Nothing to end."""
