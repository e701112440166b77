"""Which arrays of a class are priced, so that all others follow.

Prices are affine in the columns. In the rows they are a multiple of them and a function of the
bits of a row's number, each of which may be multiplied by the columns. Streams of fixed width add
functions of the rows alone and of the columns alone: the words that a beat takes.
"""

import numpy as np
from numpy.typing import NDArray

from sim.jobs import Column
from sw.compile import Machine

Floats = NDArray[np.float64]
#: rows and columns of an array
Shape = tuple[int, int]


def shape_nodes(machine: Machine, rows: Column, cols: Column) -> tuple[list[Shape], Floats]:
    """Arrays to price, and the share of each in the price of every point, (points, arrays)."""
    (row_nodes, row_shares), (col_nodes, col_shares) = _row_nodes(rows), _col_nodes(cols)
    shares: dict[Shape, Floats] = {}
    for r, row in enumerate(row_nodes):
        for c, col in enumerate(col_nodes):
            shares[row, col] = row_shares[r] * col_shares[c]
    streams = machine.accelerator.streams
    widths = (streams.weight_bits, streams.activation_bits, streams.result_bits)
    if any(width != "auto" for width in widths):
        row, col = row_nodes[0], col_nodes[0]
        # along one row and one column nothing is interpolated
        _correct(shares, [(row, c) for c in np.unique(cols).tolist()], cols, 1)
        _correct(shares, [(r, col) for r in np.unique(rows).tolist()], rows, 0)
        for c, col_node in enumerate(col_nodes):
            shares[row, col_node] -= col_shares[c]
        for r, row_node in enumerate(row_nodes):
            shares[row_node, col] -= row_shares[r]
    return list(shares), np.stack(list(shares.values()), axis=1)


def _correct(shares: dict[Shape, Floats], line: list[Shape], sizes: Column, axis: int) -> None:
    """Add the price of the array of equal size on a line."""
    for shape in line:
        held = shares.get(shape, np.zeros(len(sizes)))
        shares[shape] = held + (sizes == shape[axis])


def _col_nodes(cols: Column) -> tuple[list[int], Floats]:
    """The fewest and the most columns, and their shares in each point, (nodes, points)."""
    low, high = int(cols.min()), int(cols.max())
    if low == high:
        return [low], np.ones((1, len(cols)))
    upper = (cols - low) / (high - low)
    return [low, high], np.stack([1 - upper, upper])


def _row_nodes(rows: Column) -> tuple[list[int], Floats]:
    """Numbers of rows to price, and their shares in each point, (nodes, points).

    The least of every number of bits, and the most of the one with the widest range: it gives
    what a row adds.
    """
    bits = np.frexp(rows - 1)[1]
    levels, places = np.unique(bits, return_inverse=True)
    least = np.array([rows[bits == level].min() for level in levels])
    most = np.array([rows[bits == level].max() for level in levels])
    shares = np.eye(len(levels))[:, places.ravel()]
    widest = int(np.argmax(most - least))
    width = most[widest] - least[widest]
    if not width:
        return least.tolist(), shares
    steps = (rows - least[places.ravel()]) / width
    shares[widest] -= steps
    return [*least.tolist(), int(most[widest])], np.vstack([shares, steps])
