"""Cycles of lanes that skip: an array of work per chunk, lane and group, and who waits for whom.

Work is an integer array ``(chunks, lanes, groups)``: cycles that a lane needs for its weight of a
chunk. ``lanes`` are all those that are supplied together. A group starts when all lanes have
finished the one before, so groups do not depend on each other.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Work = NDArray[np.uint8]
#: weights taken at a time: the arrays of a step then stay in a processor's cache
BLOCK_WEIGHTS = 1 << 20


def lock_step(phases: Sequence[Work]) -> NDArray[np.int32]:
    """Cycles of every group, int32 (groups,), if all lanes go to the next chunk together.

    Parameters
    ----------
    phases : work of each part of a chunk; the lanes also start each part together.
    """
    slowest = [work.max(axis=1).sum(axis=0, dtype=np.int32) for work in phases]
    return np.sum(slowest, axis=0, dtype=np.int32)


def run_ahead(work: Work, depth: int | None) -> NDArray[np.int32]:
    """Cycles of every group, int32 (groups,), if every lane has a queue of ``depth`` chunks.

    A chunk is supplied to all lanes at once, as soon as all have room for it: the one at work and
    ``depth`` waiting. So with ``finish[-1] = 0`` ::

        supply[c] = max over lanes of finish[lane, c - 1 - depth]
        finish[lane, c] = max(finish[lane, c - 1], supply[c]) + work[c, lane]

    Parameters
    ----------
    depth : 0 for lock-step, None for queues that hold a whole group.
    """
    chunks = len(work)
    if depth is None or depth >= chunks - 1:
        return work.sum(axis=0, dtype=np.int32).max(axis=0)
    longest = chunks * int(work.max(initial=0))
    finish = np.zeros(work.shape[1:], np.int16 if longest < 1 << 15 else np.int32)
    slowest: list[NDArray[np.signedinteger]] = []
    for chunk in range(chunks):
        if chunk > depth:
            np.maximum(finish, slowest[chunk - 1 - depth], out=finish)
        finish += work[chunk]
        slowest.append(finish.max(axis=0))
    return slowest[-1].astype(np.int32)


def column_tiles(
    places: NDArray[np.uint16], *, group_size: int, cols: int, lanes: int, padding: int
) -> Iterator[NDArray[np.uint16]]:
    """Weights as they fall onto the array: some column tiles at a time.

    Parameters
    ----------
    places : (N, K), a number per weight.
    padding : the number of lanes that have no weight.

    Yields
    ------
    (chunks, lanes, cols, groups), groups of several tiles; short groups are filled up to the
    longest.
    """
    n, k = places.shape
    length = min(group_size, k)
    groups, chunks = -(-k // length), -(-length // lanes)
    tiles = max(1, BLOCK_WEIGHTS // (cols * groups * chunks * lanes))
    for first in range(0, n, tiles * cols):
        part = places[first : first + tiles * cols]
        count = -(-len(part) // cols)
        whole = np.full((count * cols, groups * length), padding, np.uint16)
        whole[: len(part), :k] = part
        filled = np.full((count * cols, groups, chunks * lanes), padding, np.uint16)
        filled[..., :length] = whole.reshape(count * cols, groups, length)
        shaped = filled.reshape(count, cols, groups, chunks, lanes)
        ordered = shaped.transpose(3, 4, 1, 0, 2).reshape(chunks, lanes, cols, count * groups)
        yield np.ascontiguousarray(ordered)
