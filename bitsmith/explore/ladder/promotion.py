"""What a rung of the fidelity ladder found of a point, and how far the rung below was off."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

#: from the fastest to the most faithful
RUNGS = ("model", "stepped", "synthesis", "rtl")


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """One point on one rung.

    Attributes
    ----------
    number : of the point in its space.
    rung : one of :data:`RUNGS`.
    figures : what this rung found, by metric; empty where it could not be climbed.
    lower : the same figures by the rungs below, of those that they give.
    seconds : wall time when it was computed.
    note : exactly what was run, what failed, or why the rung was not climbed.
    """

    number: int
    rung: str
    figures: Mapping[str, float]
    lower: Mapping[str, float]
    seconds: float
    note: str

    @property
    def errors(self) -> dict[str, float]:
        """Relative error of the lower rung's figures against this rung's; 0 where both are 0."""
        return {
            name: relative_error(self.lower[name], figure)
            for name, figure in self.figures.items()
            if name in self.lower
        }


@dataclass(frozen=True, kw_only=True)
class Found:
    """What climbing one rung gave.

    Attributes
    ----------
    figures, note : as those of :class:`Promotion`.
    lower : figures by the rungs below that are no metrics of the point.
    """

    figures: Mapping[str, float]
    lower: Mapping[str, float]
    note: str


def relative_error(lower: float, figure: float) -> float:
    """``lower / figure - 1``; 0 where both are 0, infinite where only ``figure`` is."""
    if lower == figure:
        return 0.0
    return (lower - figure) / abs(figure) if figure else math.inf


@dataclass(frozen=True, kw_only=True)
class ErrorRow:
    """How far the rungs below were off in one metric, over all points of a rung.

    Attributes
    ----------
    mean, worst : of the relative errors' absolute values.
    swapped : pairs of points that the rungs below put in the other order.
    """

    rung: str
    metric: str
    points: int
    mean: float
    worst: float
    swapped: int

    @property
    def pairs(self) -> int:
        return math.comb(self.points, 2)


def summary(promotions: Iterable[Promotion]) -> list[ErrorRow]:
    """The front's error: a row per rung and metric, rungs in their order."""
    found: dict[tuple[str, str], list[Promotion]] = {}
    for promotion in sorted(promotions, key=lambda p: RUNGS.index(p.rung)):
        for metric in promotion.errors:
            found.setdefault((promotion.rung, metric), []).append(promotion)
    return [_row(rung, metric, points) for (rung, metric), points in found.items()]


def _row(rung: str, metric: str, promotions: Sequence[Promotion]) -> ErrorRow:
    errors = [abs(p.errors[metric]) for p in promotions]
    low, high = (
        np.array([getattr(p, which)[metric] for p in promotions]) for which in ("lower", "figures")
    )
    turned = np.sign(low[:, None] - low) * np.sign(high[:, None] - high) < 0
    return ErrorRow(
        rung=rung,
        metric=metric,
        points=len(errors),
        mean=float(np.mean(errors)),
        worst=max(errors),
        swapped=int(np.triu(turned).sum()),
    )
