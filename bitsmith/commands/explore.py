"""``bitsmith explore``: a design space searched, its front checked and shown."""

import dataclasses
import sys
from collections import Counter
from collections.abc import Mapping
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, get_args

import numpy as np

from configs.errors import InputError
from configs.expressions import written
from configs.sweep import Method, SweepConfig, load_sweep

from ..explore.baselines import check_baselines
from ..explore.export import file_name
from ..explore.ladder import Promotion, summary
from ..explore.ladder.promotion import ErrorRow
from ..explore.metrics import METRICS, shown
from ..explore.parcels import blocks
from ..explore.progress import estimate
from ..explore.result import StudyResult
from ..explore.space import Space
from ..explore.study import StudyOptions, run_study, study_evaluator, workers_of
from ..job import Progress
from ..tables import text_table
from .common import Options, choice, emit, override

#: combinations of an exhaustive sweep: an hour or so
MOST_POINTS = 100_000_000
#: first points that a dry run shows
SHOWN = 5
#: relative difference of figures that are added up in another order
ROUNDING = 1e-9


def explore(options: Options, progress: Progress) -> int:
    """``bitsmith explore``."""
    sweep, beside = load_sweep(options.sweep)
    space = Space.of(_overridden(sweep, options), beside)
    _check(options, space)
    if options.workers is not None and not 1 <= options.workers <= 1024:
        raise InputError(f"--workers is {options.workers}, it must be 1 to 1024")
    if options.dry_run:
        return _dry_run(options, space)
    folder = options.output or Path("runs") / "explore" / file_name(sweep.name)
    _check_folder(folder, resume=options.resume)
    chosen = StudyOptions(
        folder=folder,
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
    return 1 if any(map(_is_wrong, result.promotions)) else 0


def _check(options: Options, space: Space) -> None:
    """Refuse what would be ignored, or found too late."""
    check_baselines(space)
    if space.sweep.search.method == "exhaustive":
        for name in ("points", "seed", "storage"):
            if getattr(options, name) is not None:
                raise InputError(f"--{name} is of searches, and this sweep takes every point")
        if space.size > MOST_POINTS:
            raise InputError(
                f"{space.size:,} combinations are too many to take every one (up to "
                f"{MOST_POINTS:,}): search with --method nsga2, tpe or gp"
            )
    if options.scheduler is not None and options.workers is not None:
        raise InputError("--workers are processes here, --scheduler a cluster: give one of them")
    if options.liberty is not None and not options.liberty.is_file():
        raise InputError(f"--liberty: there is no file '{options.liberty}'")


def _check_folder(folder: Path, *, resume: bool) -> None:
    """Refuse to go on with what is no study, and to write into what is something else."""
    if (folder / "store.json").is_file():
        return
    if resume:
        raise InputError(f"'{folder}' holds no study to go on with: leave out --resume")
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"'{folder}' holds something else than a study: give another folder")


def _overridden(sweep: SweepConfig, options: Options) -> SweepConfig:
    """The sweep with what the command line says instead."""
    method = choice(options.method, "--method", get_args(Method))
    search = override(sweep.search, method=method, points=options.points, seed=options.seed)
    promote = override(
        sweep.promote, stepped=options.stepped, synthesis=options.synthesis, rtl=options.rtl
    )
    return dataclasses.replace(sweep, search=search, promote=promote)


def _dry_run(options: Options, space: Space) -> int:
    """Size, time and first points, with nothing written."""
    search, workers = space.sweep.search, workers_of(space, options.workers)
    guess = None
    if search.method == "exhaustive":
        guess = estimate(space, partial(study_evaluator, space), workers=workers)
    points = [space.settings(int(n)) for n in islice(chain.from_iterable(blocks(space)), SHOWN)]
    paths = [axis.path for axis in space.axes]
    rows = [[written(point[path]) if path in point else "-" for path in paths] for point in points]
    axes = [f"  {axis.path}: {len(axis.values)} values" for axis in space.axes]
    lines = [
        f"{space.sweep.name}: {space.sweep.description}",
        *axes,
        f"{space.size:,} combinations; objectives {', '.join(space.sweep.objectives)}",
        f"{search.method}: up to {search.points:,} of them"
        if guess is None
        else f"exhaustive: {guess}; the ladder is not in it",
    ]
    lines += ["the first points:", text_table(paths, rows)]
    result = {
        "name": space.sweep.name,
        "points": search.points if guess is None else guess.points,
        "combinations": space.size,
        "method": search.method,
        "seconds": None if guess is None else guess.seconds,
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
                    f"average, {row.worst:.2%} at worst; {row.swapped} of {row.pairs} pairs "
                    "change places"
                )
    left = Counter(p.note for p in result.promotions if not p.figures)
    wrong = [f"  point {p.number}: {p.note}" for p in result.promotions if _is_wrong(p)]
    return [*lines, *(f"  {count} times {note}" for note, count in left.items()), *wrong]


def _is_wrong(promotion: Promotion) -> bool:
    """Whether the RTL and the golden model differ."""
    return promotion.figures.get("wrong_cases", 0.0) > 0


def _names(rows: list[ErrorRow]) -> str:
    """Metrics; the limits of one go with it."""
    names = [row.metric for row in rows]
    limits = {f"{name}_{end}" for name in names for end in ("low", "high")}
    with_limits = {name for name in names if f"{name}_low" in names}
    shown = [f"{n} (with limits)" if n in with_limits else n for n in names if n not in limits]
    return ", ".join(shown)


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
