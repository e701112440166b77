"""What is kept of a study's points while they come: counts, the front, an even sample."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .pareto import front, minimised
from .table import Table

#: points that a result holds beside its front; all of a study that has no more
KEPT = 100_000
#: an odd multiplier spreads consecutive numbers over all of 64 bits (Knuth, multiplicative hashing)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


def front_places(table: Table, objectives: Sequence[str]) -> NDArray[np.int64]:
    """Places of the feasible points that no feasible point dominates, in the table's order."""
    return front(minimised(table, objectives))


class Collector:
    """Takes tables in any order and any cut; what it has in the end depends on the points alone.

    Parameters
    ----------
    objectives : metrics that the front is of.
    size : points of the space, or of the search.
    """

    def __init__(self, objectives: Sequence[str], size: int, kept: int = KEPT) -> None:
        self.objectives = objectives
        self.evaluated = self.feasible = 0
        self.refused: Counter[str] = Counter()
        self._limit = np.uint64(min(1.0, kept / max(1, size)) * float((1 << 64) - 2048))
        self._all = size <= kept
        self._sample: list[Table] = []
        self._front: Table | None = None

    def add(self, table: Table) -> None:
        """Count points, keep what may be on the front, and some of the others."""
        self.evaluated += len(table)
        self.feasible += int(table.feasible.sum())
        for place, count in enumerate(np.bincount(table.reason, minlength=len(table.reasons))):
            if place and count:
                self.refused[table.reasons[place]] += int(count)
        spread = table.numbers.astype(np.uint64) * _SPREAD
        self._sample.append(table if self._all else table.take(spread < self._limit))
        best = table.take(front_places(table, self.objectives))
        joined = best if self._front is None else Table.joined([self._front, best])
        self._front = joined.take(front_places(joined, self.objectives))

    @property
    def front(self) -> Table | None:
        """The front so far."""
        return self._front

    @property
    def reasons(self) -> dict[str, int]:
        """Infeasible points by reason, the most frequent first."""
        return dict(sorted(self.refused.items(), key=lambda item: (-item[1], item[0])))

    def table(self) -> Table:
        """Front and sample together."""
        assert self._front is not None
        return Table.joined([self._front, *self._sample])
