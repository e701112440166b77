"""The range of the register after every step of a tile, many rows at a time."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks import Integers
from ..schedule import exact_dtype
from .names import Order
from .ordered import OrderedLayer
from .step import Kind
from .tables import Phase, order_phases

#: Weights whose distance is at most this are looked up by it; others are sorted first.
MAX_DENSE_SPAN = 1 << 16


class Steps(NamedTuple):
    """Ranges after some steps of the same kind, (n, tiles, steps).

    Without the bias. ``phase`` is the pass that the steps belong to, ``level`` that of a tree.
    """

    kind: Kind
    phase: int
    level: int
    low: Integers
    high: Integers


class Tables(NamedTuple):
    """An order's passes with the weights that they are looked up by.

    Attributes
    ----------
    levels : weights of the rows of the tables, ascending; the last row is padding, which adds
        nothing.
    low, high : what a product has added before pass 0 (nothing), after pass 0, and so on,
        (passes + 1, D + 1), of a dtype that the sums cannot overflow.
    """

    phases: list[Phase]
    levels: Integers
    low: Integers
    high: Integers

    @property
    def padding(self) -> int:
        """Row of a product that is not there."""
        return len(self.levels)

    def rows(self, weights: Integers) -> NDArray[np.intp]:
        """Row of the tables of each weight."""
        lowest = self.levels[0]
        if int(self.levels[-1]) - int(lowest) == len(self.levels) - 1:
            return (weights.astype(self.levels.dtype) - lowest).astype(np.intp)
        return np.searchsorted(self.levels, weights)


def order_tables(layer: OrderedLayer) -> Tables:
    """The tables of all weights of ``layer``."""
    levels = _levels(layer.weights, dense=not layer.order.enumerates)
    phases = order_phases(
        layer.order, levels, (layer.low, layer.high), layer.weight_planes, layer.input_planes
    )
    # twice: what a step adds is a difference, and Horner's scheme doubles
    lows, highs = ([phase.after[side] for phase in phases] for side in (0, 1))
    largest = max(max(abs(int(end.min())), abs(int(end.max()))) for end in lows + highs)
    dtype = exact_dtype(4 * max(largest, 1) * layer.schedule.group_length)
    shape = len(phases) + 1, len(levels) + 1
    low, high = np.zeros(shape, dtype=dtype), np.zeros(shape, dtype=dtype)
    for number, phase in enumerate(phases, start=1):
        low[number, :-1], high[number, :-1] = phase.after.low, phase.after.high
    return Tables(phases, levels, low, high)


def _levels(weights: Integers, *, dense: bool) -> Integers:
    """Distinct weights, ascending; where they are close together, the ones between as well."""
    least, most = int(weights.min()), int(weights.max())
    dtype = object if exact_dtype(max(abs(least), abs(most))) is object else np.int64
    if dense and most - least <= MAX_DENSE_SPAN:
        return np.array(range(least, most + 1), dtype=dtype)
    return np.unique(weights).astype(dtype)


def tile_steps(
    order: Order, tables: Tables, index: NDArray[np.intp], lanes: int
) -> Iterator[Steps]:
    """Ranges of the sum of a tile after each of its steps; the last of all is the whole sum's.

    Parameters
    ----------
    index : rows of the tables of tiles of one length T, (n, tiles, T).
    lanes : products per step.
    """
    if order.shape == "tree":
        return _tree_steps(tables, index)
    if order.shape == "any":
        return _subset_steps(tables, index)
    return _row_steps(order, tables, index, lanes)


def chunk_length(order: Order, lanes: int, length: int) -> int:
    """Products that a step adds in a tile of ``length``."""
    return length if order.fused else min(lanes, length)


def _row_steps(
    order: Order, tables: Tables, index: NDArray[np.intp], lanes: int
) -> Iterator[Steps]:
    rows, tiles, length = index.shape
    chunk = chunk_length(order, lanes, length)
    if rest := -length % chunk:
        index = np.pad(index, ((0, 0), (0, 0), (0, rest)), constant_values=tables.padding)
    index = index.reshape(rows, tiles, -1, chunk)
    ends = [np.zeros((rows, tiles, 1), dtype=tables.low.dtype) for _ in range(2)]
    factor = 2 if order.shifts else 1
    for phase in range(len(tables.phases)):
        ends = [factor * end[..., -1:] for end in ends]
        if phase and order.shifts and not order.fused:
            yield Steps("shift", phase, 0, *ends)
        ends = [
            end + _running(table[phase + 1] - factor * table[phase], index)
            for end, table in zip(ends, (tables.low, tables.high), strict=True)
        ]
        yield Steps("add", phase, 0, *ends)


def _running(added: Integers, index: NDArray[np.intp]) -> Integers:
    """Running sums over the chunks of what each adds, (n, tiles, chunks)."""
    values = added[index]
    sums = values[..., 0] if index.shape[-1] == 1 else values.sum(axis=-1, dtype=added.dtype)
    return sums.cumsum(axis=-1, dtype=added.dtype)


def _tree_steps(tables: Tables, index: NDArray[np.intp]) -> Iterator[Steps]:
    """Level by level; the odd one out at the end of a level passes on to the next."""
    low, high = tables.low[1][index], tables.high[1][index]
    level = 0
    yield Steps("node", 0, level, low, high)
    while low.shape[-1] > 1:
        low, high = _paired(low), _paired(high)
        level += 1
        yield Steps("node", 0, level, low, high)


def _paired(ends: Integers) -> Integers:
    even = ends.shape[-1] // 2 * 2
    pairs = ends[..., 0:even:2] + ends[..., 1:even:2]
    return np.concatenate([pairs, ends[..., even:]], axis=-1)


def _subset_steps(tables: Tables, index: NDArray[np.intp]) -> Iterator[Steps]:
    """The extreme over all non-empty subsets, then the whole."""
    low, high = tables.low[1][index], tables.high[1][index]
    dtype = low.dtype
    lowest = np.minimum(low, 0).sum(axis=-1, dtype=dtype)
    highest = np.maximum(high, 0).sum(axis=-1, dtype=dtype)
    # where every product has the same sign, the least of them alone is the nearest to 0
    lowest = np.where(lowest < 0, lowest, low.min(axis=-1))
    highest = np.where(highest > 0, highest, high.max(axis=-1))
    yield Steps("subset", 0, 0, lowest[..., None], highest[..., None])
    whole = [ends.sum(axis=-1, keepdims=True, dtype=dtype) for ends in (low, high)]
    yield Steps("subset", 0, 1, *whole)
