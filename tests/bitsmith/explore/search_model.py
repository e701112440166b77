"""A made-up machine for searches: a space, its figures, and a program around both.

``search_model.py METHOD`` prints what a search of 25 points in batches of 12 finds.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bitsmith.explore.search import search
from bitsmith.explore.space import Space
from bitsmith.explore.table import Table
from configs.sweep import SearchConfig, SweepConfig

BITS = {"bitmod_fp4_g32": 4.2, "bitmod_fp4": 4.0, "int4": 4.1, "int6": 6.1}


def space_with(
    method: Any = "nsga2", objectives: tuple[str, ...] = ("tokens_per_s", "area_mm2"), **given: int
) -> Space:
    """2256 points that count of 2880: text, numbers out of order, a conditional axis."""
    sweep = SweepConfig(
        name="made_up",
        description="",
        base={
            "workload": "scribe",
            "quantization": "bitmod_fp4_g32",
            "accelerator": "tiny_4x4x4",
            "technology": "generic_28nm",
        },
        axes={
            "quantization": list(BITS),
            "accelerator.rows_per_dequantizer": [1, 2, 4],
            "accelerator.lanes": [8, 2, 16, 4],
            "accelerator.rows": [8, 4, 2, 1],
            "accelerator.cols": [2, 4, 8, 16, 32],
            "accelerator.queue_beats": [2, 4, 8],
        },
        objectives=objectives,
        when={"accelerator.rows_per_dequantizer": "accelerator.rows > 1"},
        constraints=("accelerator.rows * accelerator.cols <= 128", "area_mm2 <= 2"),
        search=SearchConfig(method=method, **{"points": 300, "batch": 50, "seed": 1, **given}),
    )
    return Space.of(sweep, Path())


class Model:
    """A made-up machine: a roofline of time, an area, a part of the space that is refused."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.asked: list[list[int]] = []

    def __call__(self, numbers: np.ndarray) -> Table:
        self.asked.append(numbers.tolist())
        columns = self.space.columns(numbers)
        bits = np.array([BITS[name] for name in columns["quantization"]])
        rows, cols, lanes, beats, shared = (
            columns[f"accelerator.{name}"].astype(float)
            for name in ("rows", "cols", "lanes", "queue_beats", "rows_per_dequantizer")
        )
        compute_s = 1e-3 * bits / (rows * cols * lanes) * (1 + shared / lanes) * (1 + 0.5 / beats)
        memory_s = 1e-4 * bits / np.minimum(16, cols)
        area = 0.01 + rows * cols * (4e-4 * lanes + 2e-3 / shared) + 1e-4 * beats * cols * bits
        refused = (area > 2) | ((lanes == 16) & (beats == 2))
        metrics = {"tokens_per_s": 1 / np.maximum(compute_s, memory_s), "area_mm2": area}
        return Table(
            numbers=numbers,
            metrics={name: np.where(refused, np.nan, v) for name, v in metrics.items()},
            reasons=("", "refused"),
            reason=refused.astype(np.int64),
        )


def as_text(tables: list[Table]) -> str:
    """Tables, to be compared whole."""
    return json.dumps(
        [
            [t.numbers.tolist(), t.reason.tolist(), {k: v.tolist() for k, v in t.metrics.items()}]
            for t in tables
        ]
    )


def main(method: str) -> str:
    space = space_with(method, points=25, batch=12)
    return as_text(list(search(space, Model(space), storage=None)))


if __name__ == "__main__":
    print(main(sys.argv[1]))
