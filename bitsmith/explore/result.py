"""A finished study: what reports and exports read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .ladder import Promotion
from .space import Space
from .table import Table


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """An accelerator of the literature on the same workload, memory and technology.

    Attributes
    ----------
    metrics : by name, as those of a point.
    note : how the figures are known, and what was assumed.
    quoted : whether quality is a published figure.
    """

    name: str
    metrics: Mapping[str, float]
    note: str
    quoted: bool = False


@dataclass(frozen=True, kw_only=True)
class LayerShare:
    """One layer of one point.

    Attributes
    ----------
    seconds, energy_j : whole workload.
    """

    name: str
    n: int
    k: int
    seconds: float
    energy_j: float
    utilization: float


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyResult:
    """Everything that a study found.

    Attributes
    ----------
    table : the points, in the order of numbers; of a large study the front and an even sample of
        the others.
    evaluated, feasible : how many points there were.
    refused : how many were infeasible, by reason.
    front : places in ``table`` of the points that nothing dominates, int64.
    knees : places of points with a name, such as ``knee`` or ``least area_mm2``.
    promotions : what higher rungs of the fidelity ladder found.
    layers : of the front's points, by point number.
    """

    space: Space
    table: Table
    evaluated: int
    feasible: int
    refused: Mapping[str, int]
    front: NDArray[np.int64]
    knees: Mapping[str, int]
    promotions: tuple[Promotion, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    layers: Mapping[int, tuple[LayerShare, ...]] = field(default_factory=dict)
