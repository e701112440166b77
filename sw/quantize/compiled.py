"""The loops of :mod:`sw.quantize.kernels` compiled by numba: same bits as in numpy.

Work goes in batches of leaves, LEAF weights with zeros behind short ones: loops of a constant
length become vector instructions, and the cost of a call is shared. Functions that call themselves
would crash when numba reads them back from its cache, so the tree of a sum is a list of leaves.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiled import inner_loop, outer_loop
from .loops import EXPONENT, INFINITY, OVERFLOW, SMALLEST_NORMAL, STEP_RANGE, TENTH_BIT

#: weights of a leaf, leaves of a batch, depth of a tree of sums
LEAF, BATCH, DEPTH = 128, 16, 64
_LOW, _HIGH = (np.float32(step) for step in STEP_RANGE)
_ROUND = np.float32(3 << 22)
_ZERO, _MAGNITUDE = np.float32(0), np.int32(0x7FFFFFFF)


@cache
def leaves(size: int) -> NDArray[np.int64]:
    """Parts in which ``size`` numbers are added, int64 (leaves, 3): start, length, joins.

    After the last part of a sum its halves are joined: so many sums end with a leaf.
    """
    parts = np.array([[0, size, 0]], dtype=np.int64)
    while (large := parts[:, 1] > LEAF).any():
        first = parts[:, 1] // 2 // 8 * 8
        halves = np.repeat(parts, 1 + large, axis=0)
        left = np.flatnonzero(large) + np.arange(large.sum())
        halves[left, 1], halves[left, 2] = first[large], 0
        halves[left + 1] += np.stack([first, -first, np.ones_like(first)], axis=1)[large]
        parts = halves
    return parts


@inner_loop
def _half(x: Any) -> Any:
    """A float32 rounded to the nearest float16, ties to even."""
    power = np.int32(np.float32(x).view(np.int32) & EXPONENT).view(np.float32)
    shift = max(power, SMALLEST_NORMAL) * TENTH_BIT
    return (x + shift) - shift if abs(x) < OVERFLOW else x * INFINITY


@inner_loop
def _load(groups: Any, first: int, part: Any, leaves: Any, w: Any) -> None:
    """Leaves ``part[0]`` to ``part[1]`` of the groups from ``first`` on, zeros behind each."""
    for row in range(part[1] - part[0]):
        group, leaf = divmod(part[0] + row, len(leaves))
        start, n = leaves[leaf, 0], leaves[leaf, 1]
        for j in range(n):
            w[row, j] = groups[first + group, start + j]
        for j in range(n, LEAF):
            w[row, j] = _ZERO


@inner_loop
def _divide(w: Any, rows: int, steps: Any, half: bool, x: Any) -> None:
    for row in range(rows):
        step = steps[row]
        if step == 0:
            for j in range(LEAF):
                x[row, j] = _ZERO
        elif half:
            for j in range(LEAF):
                x[row, j] = _half(w[row, j] / step)
        else:
            for j in range(LEAF):
                x[row, j] = w[row, j] / step


@inner_loop
def _pick(x: Any, rows: int, tables: Any, kinds: Any, members: Any, entry: int, v: Any) -> None:
    """What the value nearest to each ``x`` has in its member's table: value (0) or code (2).

    Of consecutive integers it is the value in any case. Comparing with every cut beats a look-up.
    """
    for row in range(rows):
        m = members[row]
        count, first = kinds[m, 0], tables[m, entry, 0]
        if kinds[m, 1]:
            low, high = tables[m, 0, 0], tables[m, 0, count - 1]
            for j in range(LEAF):
                inside = min(max(x[row, j], low), high)
                v[row, j] = (inside + _ROUND) - _ROUND
        else:
            for j in range(LEAF):
                v[row, j] = first
            for k in range(count - 1):
                cut, above = tables[m, 1, k], tables[m, entry, k + 1]
                for j in range(LEAF):
                    v[row, j] = above if x[row, j] > cut else v[row, j]


@inner_loop
def _square(w: Any, rows: int, steps: Any, modes: Any, v: Any) -> None:
    """Squared errors in place of the values ``v``."""
    half, published = modes
    for row in range(rows):
        step = steps[row]
        if half:
            for j in range(LEAF):
                error = _half(_half(v[row, j] * step) - w[row, j])
                v[row, j] = error * error
        else:
            for j in range(LEAF):
                error = v[row, j] * step - w[row, j]
                v[row, j] = error * error
        if published:
            for j in range(LEAF):
                v[row, j] = _half(v[row, j])


@inner_loop
def _weigh(importance: Any, first: int, part: Any, leaves: Any, v: Any) -> None:
    for row in range(part[1] - part[0]):
        group, leaf = divmod(part[0] + row, len(leaves))
        start, n = leaves[leaf, 0], leaves[leaf, 1]
        source = (first + group) % len(importance)
        for j in range(n):
            v[row, j] *= importance[source, start + j]


@inner_loop
def _add(v: Any, part: Any, leaves: Any, sums: Any) -> None:
    """Sum of the squares of each leaf."""
    for row in range(part[1] - part[0]):
        n = leaves[(part[0] + row) % len(leaves), 1]
        whole = n - n % 8
        total = _ZERO
        if whole:
            a, b, c, d = v[row, 0], v[row, 1], v[row, 2], v[row, 3]
            e, f, g, h = v[row, 4], v[row, 5], v[row, 6], v[row, 7]
            for j in range(8, whole, 8):
                a += v[row, j]
                b += v[row, j + 1]
                c += v[row, j + 2]
                d += v[row, j + 3]
                e += v[row, j + 4]
                f += v[row, j + 5]
                g += v[row, j + 6]
                h += v[row, j + 7]
            total = ((a + b) + (c + d)) + ((e + f) + (g + h))
        for j in range(whole, n):
            total += v[row, j]
        sums[part[0] + row] = total


@inner_loop
def _join(sums: Any, first: int, leaves: Any, stack: Any) -> Any:
    """Sum of a group from those of its leaves, in the order of the tree."""
    top = 0
    for leaf in range(len(leaves)):
        stack[top] = sums[first + leaf]
        for _ in range(leaves[leaf, 2]):
            top -= 1
            stack[top] += stack[top + 1]
        top += 1
    return stack[0]


@inner_loop
def _set_rows(part, per_group, group_steps, group_members, steps, members):  # type: ignore[no-untyped-def]
    """Step and member of every leaf of a batch, from those of its group; gives the leaves."""
    rows = part[1] - part[0]
    for row in range(rows):
        group = (part[0] + row) // per_group
        steps[row], members[row] = group_steps[group], group_members[group]
    return rows


@inner_loop
def _leaf_sums(groups, first, part, leaves, rows, grids, importance, work, sums):  # type: ignore[no-untyped-def]
    """Sums of the squared errors of a batch of leaves."""
    modes, tables, kinds = grids
    w, x, v, steps, members = work
    _load(groups, first, part, leaves, w)
    _divide(w, rows, steps, modes[0], x)
    _pick(x, rows, tables, kinds, members, 0, v)
    _square(w, rows, steps, modes, v)
    if importance.size:
        _weigh(importance, first, part, leaves, v)
    _add(v, part, leaves, sums)


@inner_loop
def _write(groups, first, part, leaves, rows, grids, work, codes):  # type: ignore[no-untyped-def]
    """Codes of a batch of leaves."""
    modes, tables, kinds = grids
    w, x, v, steps, members = work
    _load(groups, first, part, leaves, w)
    _divide(w, rows, steps, modes[0], x)
    _pick(x, rows, tables, kinds, members, 2, v)
    for row in range(rows):
        group, leaf = divmod(part[0] + row, len(leaves))
        m, start, n = members[row], leaves[leaf, 0], leaves[leaf, 1]
        low = tables[m, 0, 0]
        if kinds[m, 1]:
            for j in range(n):
                place = np.int32(v[row, j] - low)
                codes[first + group, start + j] = np.uint8(tables[m, 2, place])
        else:
            for j in range(n):
                codes[first + group, start + j] = np.uint8(v[row, j])


@inner_loop
def _set_steps(reference, first, count, largest, unit, share, half, steps, scales):  # type: ignore[no-untyped-def]
    for g in range(count):
        ratio = reference[first + g] / largest
        if half:
            steps[g] = min(max(_half(_half(ratio) * share), _LOW), _HIGH)
            scales[g] = steps[g] * unit
        else:
            scales[g] = _half(ratio * share)
            steps[g] = scales[g] * unit


@outer_loop
def fit(groups, reference, leaves, grids, largest, unit, shares, importance, out):  # type: ignore[no-untyped-def]
    """Best grid, share and codes of every group, see :func:`sw.quantize.kernels.fit`."""
    codes, ids, scales = out
    (half, published), _, _ = grids
    floats = np.empty((3, BATCH, LEAF), np.float32)
    row_steps, row_members = np.empty(BATCH, np.float32), np.empty(BATCH, np.int64)
    work = (floats[0], floats[1], floats[2], row_steps, row_members)
    per_group = np.empty((4, BATCH), np.float32)
    steps, tried, least, best_steps = per_group[0], per_group[1], per_group[2], per_group[3]
    member, best = np.empty(BATCH, np.int64), np.empty(BATCH, np.int64)
    # groups of one leaf in batches; the leaves of a larger group in batches
    batch = BATCH if len(leaves) == 1 else 1
    sums, stack = np.empty(batch * len(leaves), np.float32), np.empty(DEPTH, np.float32)
    only = len(largest) * len(shares) == 1
    for first in range(0, len(groups), batch):
        count = min(batch, len(groups) - first)
        total = count * len(leaves)
        for m in range(len(largest)):
            member[:] = m
            for s in range(len(shares)):
                _set_steps(reference, first, count, largest[m], unit, shares[s], half, steps, tried)
                for begin in range(0, 0 if only else total, BATCH):
                    part = (begin, min(begin + BATCH, total))
                    rows = _set_rows(part, len(leaves), steps, member, row_steps, row_members)
                    _leaf_sums(groups, first, part, leaves, rows, grids, importance, work, sums)
                for g in range(count):
                    error = _ZERO if only else _join(sums, g * len(leaves), leaves, stack)
                    if published:
                        error = _half(np.float32(np.float64(error) / groups.shape[1]))
                    if m + s == 0 or error < least[g]:
                        least[g], best[g], best_steps[g] = error, m, steps[g]
                        scales[first + g] = tried[g]
        for begin in range(0, total, BATCH):
            part = (begin, min(begin + BATCH, total))
            rows = _set_rows(part, len(leaves), best_steps, best, row_steps, row_members)
            _write(groups, first, part, leaves, rows, grids, work, codes)
        for g in range(count):
            ids[first + g] = best[g]


@outer_loop
def nearest(wanted, ids, scales, unit, tables, kinds, out):  # type: ignore[no-untyped-def]
    """Codes of single values: short rows, so each value is searched for."""
    rows, size = wanted.shape
    for r in range(rows):
        m, step = ids[r], scales[r] * unit
        low, high = tables[m, 0, 0], tables[m, 0, kinds[m, 0] - 1]
        for j in range(size):
            x = wanted[r, j] / step if step > 0 else _ZERO
            first, last = 0, kinds[m, 0] - 1
            if kinds[m, 1]:
                first = np.int64(((min(max(x, low), high) + _ROUND) - _ROUND) - low)
                last = first
            while first < last:
                middle = (first + last) >> 1
                if x > tables[m, 1, middle]:
                    first = middle + 1
                else:
                    last = middle
            out[r, j] = np.uint8(tables[m, 2, first])


@outer_loop
def magnitudes(groups: Any, out: Any) -> None:
    """Largest magnitude of each row; the bits of magnitudes are in their order."""
    rows, size = groups.shape
    for r in range(rows):
        top = np.int32(0)
        for j in range(size):
            top = max(top, np.int32(np.float32(groups[r, j]).view(np.int32) & _MAGNITUDE))
        out[r] = np.int32(top).view(np.float32)
