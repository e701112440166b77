"""What the page's script draws from: columns of the points shown, as one JSON object."""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.expressions import written

from ..export import names_of
from ..metrics import METRICS, Metric
from ..result import LayerShare, StudyResult
from .files import packed_files

#: feasible points that are drawn, at most, if the front leaves room for so many
CLOUD = 10_000
#: points beside the front in the parallel coordinates, and how far from it they may be
NEAR = 150
NEAR_SHARE = 0.05
#: the index of a setting that a point does not have
ABSENT = 0xFFFFFFFF
#: a column of the table that is not 0 where a point's quality is a published figure
QUOTED = "quality_quoted"


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """The points on the page: the front by its first objective, then others by number.

    Attributes
    ----------
    places : in the result's table, int64 (points,).
    front : how many of them are the front; these come first.
    near : of the others those near the front, as indices into ``places``.
    """

    places: NDArray[np.int64]
    front: int
    near: NDArray[np.int64]


def objective_columns(result: StudyResult, places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Objectives of some points, float64 (points, objectives): less is better in all."""
    names = result.space.sweep.objectives
    signs = [-1.0 if METRICS[name].better == "more" else 1.0 for name in names]
    columns = [s * result.table.metrics[n][places] for s, n in zip(signs, names, strict=True)]
    return np.stack(columns, axis=1)


def shown(result: StudyResult, limit: int = CLOUD, near: int = NEAR) -> Shown:
    """Choose the points to draw: all of the front, knees, and an even sample of the others."""
    first = objective_columns(result, result.front)[:, 0]
    front = result.front[np.argsort(first, kind="stable")]
    keep = result.table.feasible.copy()
    keep[front] = False
    named = np.array(list(result.knees.values()), dtype=np.int64)
    others = np.flatnonzero(keep)
    room = max(0, limit - len(front))
    if len(others) > room:
        others = np.random.default_rng(0).choice(others, room, replace=False)
    others = np.union1d(others, named[keep[named]])
    places = np.concatenate([front, others]).astype(np.int64)
    excess = front_excess(objective_columns(result, others), objective_columns(result, front))
    order = np.argsort(excess, kind="stable")[:near]
    order = order[excess[order] <= NEAR_SHARE]
    return Shown(places=places, front=len(front), near=np.sort(order) + len(front))


def front_excess(values: NDArray[np.float64], front: NDArray[np.float64]) -> NDArray[np.float64]:
    """By which share a point is behind the nearest front point in its worst objective.

    Parameters
    ----------
    values, front : float64 (points, objectives), less is better.
    """
    best = np.full(len(values), np.inf)
    for row in front:
        behind = values - row
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(behind == 0, 0.0, behind / np.abs(row))
        np.fmin(best, share.max(axis=1), out=best)
    return best


def payload(result: StudyResult, points: Shown) -> dict[str, Any]:
    """Everything that the script needs, in JSON types without NaN."""
    table = result.table.take(points.places)
    numbers = table.numbers.tolist()
    settings = [result.space.settings(number) for number in numbers]
    names = names_of(result)
    quoted = table.metrics.get(QUOTED)
    return {
        "objectives": list(result.space.sweep.objectives),
        "metrics": [_metric(metric, table.metrics) for metric in known_metrics(result)],
        "axes": [
            {
                "path": axis.path,
                "label": label,
                "values": [written(value) for value in axis.values],
                "numeric": all(type(value) in (int, float) for value in axis.values),
                "column": _column(
                    [axis.places[s[axis.path]] if axis.path in s else ABSENT for s in settings],
                    "<u4",
                ),
            }
            for axis, label in zip(result.space.axes, axis_labels(result), strict=True)
        ],
        "numbers": numbers,
        "front": points.front,
        "near": points.near.tolist(),
        "names": {str(numbers.index(n)): ", ".join(found) for n, found in names.items()},
        "quoted": [] if quoted is None else np.flatnonzero(quoted > 0).tolist(),
        "baselines": [
            {
                "name": baseline.name,
                "note": baseline.note,
                "quoted": baseline.quoted,
                "metrics": _finite(baseline.metrics),
            }
            for baseline in result.baselines
        ],
        "layers": {str(number): _layers(rows) for number, rows in result.layers.items()},
        "promotions": [_promotion(promotion) for promotion in result.promotions],
        "files": packed_files(result.space, numbers, settings),
    }


def script_json(value: Any) -> str:
    """JSON that may stand inside a script element: no markup, no NaN."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def known_metrics(result: StudyResult) -> tuple[Metric, ...]:
    """Objectives first, then every other metric of which some point has a value."""
    names = [name for name, metric in METRICS.items() if metric.better is not None]
    names = list(dict.fromkeys((*result.space.sweep.objectives, *names)))
    columns = result.table.metrics
    return tuple(METRICS[n] for n in names if n in columns and np.isfinite(columns[n]).any())


def axis_labels(result: StudyResult) -> tuple[str, ...]:
    """Paths of the axes without their first part, where they stay different."""
    paths = [axis.path for axis in result.space.axes]
    short = [path.partition(".")[2] or path for path in paths]
    return tuple(s if short.count(s) == 1 else p for s, p in zip(short, paths, strict=True))


def _layers(rows: Iterable[LayerShare]) -> list[list[Any]]:
    return [
        [row.name, row.n, row.k, *map(_number, (row.seconds, row.energy_j, row.utilization))]
        for row in rows
    ]


def _metric(metric: Metric, columns: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": metric.name,
        "unit": metric.unit,
        "better": metric.better,
        "text": metric.text,
    }
    for key, name in (("column", ""), ("low", "_low"), ("high", "_high")):
        if metric.name + name in columns:
            found[key] = _column(columns[metric.name + name], "<f4")
    return found


def _column(values: Any, kind: str) -> str:
    """Numbers as base64, little-endian; half the size of decimals, and NaN is no trouble."""
    return base64.b64encode(np.asarray(values).astype(kind).tobytes()).decode("ascii")


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if np.isfinite(value)}


def _promotion(promotion: Any) -> dict[str, Any]:
    rows = [
        [name, _number(value), _number(promotion.lower.get(name, np.nan))]
        for name, value in promotion.figures.items()
    ]
    return {
        "number": promotion.number,
        "rung": promotion.rung,
        "rows": rows,
        "note": promotion.note,
    }
