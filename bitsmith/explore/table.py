"""Points and what is known of them, in columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]
#: place of a feasible point's reason
FEASIBLE = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Points with their metrics.

    Attributes
    ----------
    numbers : of the points in their space, int64 (points,), increasing.
    metrics : by name of :data:`bitsmith.explore.metrics.METRICS`, and ``NAME_low``, ``NAME_high``;
        float64 (points,), NaN where a point has none.
    reasons : why points are infeasible, each once; the first is empty.
    reason : which of them holds, int64 (points,); :data:`FEASIBLE` for none.
    """

    numbers: NDArray[np.int64]
    metrics: Mapping[str, Column]
    reasons: tuple[str, ...]
    reason: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """Whether a point fulfils everything."""
        return self.reason == FEASIBLE

    def take(self, places: Any) -> "Table":
        """Some of the points, by index or mask."""
        return Table(
            numbers=self.numbers[places],
            metrics={name: column[places] for name, column in self.metrics.items()},
            reasons=self.reasons,
            reason=self.reason[places],
        )

    @classmethod
    def joined(cls, tables: Sequence["Table"]) -> "Table":
        """Several tables as one, points in the order of their numbers, each once."""
        texts = {text for table in tables for text in table.reasons} - {""}
        reasons = {text: place for place, text in enumerate(("", *sorted(texts)))}
        names = dict.fromkeys(name for table in tables for name in table.metrics)
        numbers = np.concatenate([table.numbers for table in tables])
        numbers, places = np.unique(numbers, return_index=True)
        reason = np.concatenate(
            [np.array([reasons[t] for t in table.reasons])[table.reason] for table in tables]
        )
        missing = {len(t): np.full(len(t), np.nan) for t in tables}
        metrics = {
            name: np.concatenate([t.metrics.get(name, missing[len(t)]) for t in tables])[places]
            for name in names
        }
        return cls(numbers=numbers, metrics=metrics, reasons=tuple(reasons), reason=reason[places])
