"""``bitsmith explore``: a design space searched, its front checked and shown."""

import dataclasses
import sys
from collections import Counter
from collections.abc import Mapping
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import InputError
from configs.expressions import written
from configs.sweep import SweepConfig, load_sweep

from ..explore.ladder import summary
from ..explore.ladder.promotion import ErrorRow
from ..explore.metrics import METRICS, shown
from ..explore.parcels import blocks
from ..explore.progress import estimate
from ..explore.result import StudyResult
from ..explore.space import Space
from ..explore.study import StudyOptions, run_study, study_evaluator, workers_of
from ..job import Progress
from ..tables import text_table
from .common import Options, emit, override

#: first points that a dry run shows
SHOWN = 5
#: relative difference of figures that are added up in another order
ROUNDING = 1e-9


def explore(options: Options, progress: Progress) -> int:
    """``bitsmith explore``."""
    sweep, folder = load_sweep(options.sweep)
    space = Space.of(_overridden(sweep, options), folder)
    if options.workers is not None and not 1 <= options.workers <= 1024:
        raise InputError(f"--workers is {options.workers}, it must be 1 to 1024")
    if options.dry_run:
        return _dry_run(options, space)
    chosen = StudyOptions(
        folder=options.output or Path("runs") / "explore" / sweep.name,
        workers=options.workers,
        scheduler=options.scheduler,
        storage=options.storage,
        resume=options.resume,
        liberty=options.liberty,
    )
    result = run_study(
        space, chosen, progress=progress, note=lambda line: print(line, file=sys.stderr)
    )
    emit(options, _json(result, chosen.folder), _text(result, chosen.folder))
    return 0


def _overridden(sweep: SweepConfig, options: Options) -> SweepConfig:
    """The sweep with what the command line says instead."""
    search = override(sweep.search, method=options.method, points=options.points, seed=options.seed)
    promote = override(
        sweep.promote, stepped=options.stepped, synthesis=options.synthesis, rtl=options.rtl
    )
    return dataclasses.replace(sweep, search=search, promote=promote)


def _dry_run(options: Options, space: Space) -> int:
    """Size, time and first points, with nothing written."""
    search = space.sweep.search
    guess = estimate(
        space, partial(study_evaluator, space), workers=workers_of(space, options.workers)
    )
    points = [space.settings(int(n)) for n in islice(chain.from_iterable(blocks(space)), SHOWN)]
    paths = [axis.path for axis in space.axes]
    rows = [[written(point[path]) if path in point else "-" for path in paths] for point in points]
    axes = [f"  {axis.path}: {len(axis.values)} values" for axis in space.axes]
    lines = [
        f"{space.sweep.name}: {space.sweep.description}",
        *axes,
        f"{guess.points:,} points of {space.size:,} combinations; objectives "
        f"{', '.join(space.sweep.objectives)}",
    ]
    if search.method == "exhaustive":
        lines.append(f"exhaustive: {guess}; the ladder is not in it")
    else:
        lines.append(f"{search.method}: {min(search.points, guess.points):,} of them")
    lines += ["the first points:", text_table(paths, rows)]
    result = {
        "name": space.sweep.name,
        "points": guess.points,
        "combinations": space.size,
        "method": search.method,
        "seconds": guess.seconds if search.method == "exhaustive" else None,
        "first": points,
    }
    emit(options, result, "\n".join(lines))
    return 0


def _rows(result: StudyResult, places: dict[str, int]) -> list[list[str]]:
    """A row per named point: name, number, objectives, settings that differ."""
    objectives = result.space.sweep.objectives
    rows = []
    for title, place in places.items():
        number = int(result.table.numbers[place])
        metrics = {name: float(column[place]) for name, column in result.table.metrics.items()}
        figures = [_figure(name, metrics) for name in objectives]
        settings = result.space.settings(number)
        varied = ", ".join(
            f"{path.removeprefix('accelerator.')} {written(v)}" for path, v in settings.items()
        )
        rows.append([title, str(number), *figures, varied])
    return rows


def _text(result: StudyResult, folder: Path) -> str:
    """What was found, in words and tables."""
    objectives = result.space.sweep.objectives
    lines = [
        f"{result.evaluated:,} points, {result.feasible:,} feasible, {len(result.front)} on the "
        f"front of {', '.join(objectives)}",
        *(f"  {count:,} infeasible: {reason}" for reason, count in result.refused.items()),
        "",
        text_table(["point", "number", *objectives, "settings"], _rows(result, dict(result.knees))),
    ]
    if result.baselines:
        body = [
            [b.name, *(_figure(name, b.metrics) for name in objectives)] for b in result.baselines
        ]
        lines += ["", text_table(["baseline (notes: report)", *objectives], body)]
    lines += ["", "the front's error, rung by rung:", *_error_lines(result)]
    return "\n".join([*lines, "", f"study folder: {folder} (report.html, points.csv, front/)"])


def _error_lines(result: StudyResult) -> list[str]:
    """How far the rungs below were off; figures without any difference together."""
    lines, rows = [], summary(result.promotions)
    for rung in dict.fromkeys(row.rung for row in rows):
        own = [row for row in rows if row.rung == rung]
        exact = [row for row in own if row.worst < ROUNDING]
        if exact:
            points = max(row.points for row in exact)
            lines.append(f"  {rung}, {points} points: no difference in {_names(exact)}")
        for row in own:
            if row.worst >= ROUNDING:
                lines.append(
                    f"  {rung}, {row.points} points: {row.metric} off by {row.mean:.2%} on "
                    f"average, {row.worst:.2%} at worst"
                )
    left = Counter(p.note for p in result.promotions if not p.figures)
    return [*lines, *(f"  {count} times {note}" for note, count in left.items())]


def _names(rows: list[ErrorRow]) -> str:
    return ", ".join(row.metric for row in rows)


def _figure(name: str, metrics: Mapping[str, float]) -> str:
    """A metric as text; published quality says so."""
    if not np.isfinite(metrics.get(name, np.nan)):
        return "-"
    quoted = METRICS[name].source == "quality" and metrics.get("quality_quoted", 0.0) > 0
    return shown(name, metrics[name]) + (" (quoted)" if quoted else "")


def _json(result: StudyResult, folder: Path) -> dict[str, Any]:
    """The same as one JSON object."""
    table, space = result.table, result.space
    return {
        "folder": str(folder),
        "points": result.evaluated,
        "feasible": result.feasible,
        "refused": dict(result.refused),
        "front": [_point(space, table, int(place)) for place in result.front],
        "knees": {name: int(table.numbers[place]) for name, place in result.knees.items()},
        "baselines": [
            {"name": b.name, "note": b.note, "quoted": b.quoted, **b.metrics}
            for b in result.baselines
        ],
        "errors": [vars(row) for row in summary(result.promotions)],
    }


def _point(space: Space, table: Any, place: int) -> dict[str, Any]:
    number = int(table.numbers[place])
    figures = {name: float(column[place]) for name, column in table.metrics.items()}
    known = {name: value for name, value in figures.items() if value == value}
    return {"number": number, "settings": space.settings(number), **known}
