"""Metrics and reasons of some points, as they become known."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from configs.accelerator import AcceleratorConfig
from sim.jobs import Column

from .metrics import METRICS
from .space import Chunk
from .table import FEASIBLE, Table


def columns_of(*names: str) -> tuple[str, ...]:
    """Columns of a table for these metrics: each by its name, and its limits."""
    ends = {name: ("", "_low", "_high") if METRICS[name].interval else ("",) for name in names}
    return tuple(f"{name}{end}" for name in names for end in ends[name])


class Found:
    """What is known of a chunk's points.

    Attributes
    ----------
    columns : settings in which the points differ, int64 (points,) each.
    metrics : all columns of a table, NaN where nothing is known yet.
    """

    def __init__(self, chunk: Chunk) -> None:
        self.numbers = chunk.numbers
        self.columns = {n: np.asarray(c, dtype=np.int64) for n, c in chunk.columns.items()}
        self.metrics = {name: np.full(len(chunk), np.nan) for name in columns_of(*METRICS)}
        self._reasons: dict[str, int] = {"": FEASIBLE}
        self._reason = np.full(len(chunk), FEASIBLE, dtype=np.int64)

    @property
    def left(self) -> NDArray[np.intp]:
        """Places of the points that nothing refused yet."""
        return np.flatnonzero(self._reason == FEASIBLE)

    def left_columns(self, array: AcceleratorConfig) -> dict[str, Column]:
        """Settings in which those differ; the array's rows where they differ in nothing."""
        columns = self.columns or {"rows": np.full(len(self.numbers), array.rows)}
        return {name: values[self.left] for name, values in columns.items()}

    def fill(self, figures: Mapping[str, NDArray[np.float64]]) -> None:
        """Metrics of the points that are left, by name."""
        left = self.left
        for name, column in figures.items():
            self.metrics[name][left] = column

    def refuse(self, mask: NDArray[np.bool_], text: str) -> None:
        """Points of the chunk for which a reason holds; an earlier reason stays."""
        mask = mask & (self._reason == FEASIBLE)
        if mask.any():
            self._reason[mask] = self._reasons.setdefault(text, len(self._reasons))

    def refuse_at(self, places: NDArray[np.intp], text: str) -> None:
        """As :meth:`refuse`, by place."""
        mask = np.zeros(len(self.numbers), dtype=bool)
        mask[places] = True
        self.refuse(mask, text)

    @property
    def table(self) -> Table:
        """What is known."""
        return Table(
            numbers=self.numbers,
            metrics=self.metrics,
            reasons=tuple(self._reasons),
            reason=self._reason,
        )
