"""A study from the sweep's question to its front: search, ladder, baselines, files."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from configs.errors import InputError
from costmodel.energy import action_prices, job_counts
from sim.activity import Activity
from sim.results import LayerTiming, Traffic

from ..job import Job, Progress, silent
from .baselines import baselines, check_baselines
from .collect import Collector, front_places
from .engines import evaluate_numbers, open_engine, sweep_all
from .evaluate import Evaluator
from .export import write_points, write_tables
from .ladder import climb
from .metrics import METRICS
from .parcels import count_points
from .pareto import knees, minimised
from .point_class import Classes
from .progress import Bar
from .quality import quality_of
from .report import write_report
from .report.page import plotly_script
from .result import LayerShare, StudyResult
from .search import search
from .space import Space
from .store import Store
from .table import Table

#: points of the front whose layers the report shows
SHOWN_LAYERS = 200
#: points for which another process is started, which takes a second
WORTH_A_WORKER = 5000


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """How a study is run.

    Attributes
    ----------
    folder : of the study.
    workers : processes of this computer; None for one per core, fewer for a small space.
    scheduler : address of a Dask scheduler, instead of local processes.
    storage : URL of the search's database; None for SQLite in the folder.
    resume : go on with what the folder holds.
    liberty : cell library for the ladder's synthesis.
    """

    folder: Path
    workers: int | None = None
    scheduler: str | None = None
    storage: str | None = None
    resume: bool = False
    liberty: Path | None = None


def run_study(
    space: Space,
    options: StudyOptions,
    *,
    progress: Progress = silent,
    note: Callable[[str], None] = lambda _: None,
) -> StudyResult:
    """Evaluate, promote, compare and write everything into the study folder.

    Raises
    ------
    InputError : a folder of another study, an unknown engine or storage, no feasible point.
    """
    check_baselines(space)
    plotly_script()
    with closing(Store.open(options.folder, space, resume=options.resume)) as store:
        collector = _collected(space, store, options)
        if collector.front is None or not len(collector.front):
            raise InputError(_nothing(collector))
        note(f"{len(collector.front)} points on the front of {collector.evaluated:,}")
        result = _looked_at(space, collector, options, progress)
        write_tables(options.folder, result)
        write_points(options.folder, result)
        write_report(options.folder / "report.html", result)
    return result


def _collected(space: Space, store: Store, options: StudyOptions) -> Collector:
    """Every point of the space, or of the search."""
    exhaustive = space.sweep.search.method == "exhaustive"
    size = count_points(space) if exhaustive else space.sweep.search.points
    collector = Collector(space.sweep.objectives, size)
    points = _exhaustive if exhaustive else _search
    with Bar(space, size) as bar:
        for table in points(space, store, options, bar):
            collector.add(table)
    return collector


def _looked_at(
    space: Space, collector: Collector, options: StudyOptions, progress: Progress
) -> StudyResult:
    """The front with its names, on the ladder, layer by layer, and beside the literature."""
    table, objectives = collector.table(), space.sweep.objectives
    front = front_places(table, objectives)
    names, classes = _knees(table, front, objectives), Classes(quantizes=False)
    shown = table.numbers[_spread(front, names)].tolist()
    return StudyResult(
        space=space,
        table=table,
        evaluated=collector.evaluated,
        feasible=collector.feasible,
        refused=collector.reasons,
        front=front,
        knees=names,
        promotions=climb(
            space, table, front, folder=options.folder, progress=progress, liberty=options.liberty
        ),
        baselines=baselines(space, int(table.numbers[names["knee"]])),
        layers={
            number: layer_shares(classes.of(space.config(space.settings(number))).job)
            for number in progress(shown, "layers")
        },
    )


def study_evaluator(space: Space) -> Evaluator:
    """What evaluates a study's points; every worker makes its own."""
    return Evaluator(space, quality_of)


def _exhaustive(space: Space, store: Store, options: StudyOptions, bar: Bar) -> Iterator[Table]:
    """Every point, from the store or newly evaluated."""
    return sweep_all(
        space,
        partial(study_evaluator, space),
        store,
        workers=workers_of(space, options.workers),
        scheduler=options.scheduler,
        progress=bar,
    )


def _search(space: Space, store: Store, options: StudyOptions, bar: Bar) -> Iterator[Table]:
    """The points that a search chooses, batch by batch."""
    storage = options.storage or f"sqlite:///{options.folder / 'optuna.db'}"
    factory = partial(study_evaluator, space)
    with open_engine(
        factory, workers=workers_of(space, options.workers), scheduler=options.scheduler
    ) as engine:
        evaluate = partial(evaluate_numbers, space, engine, store)
        for table in search(space, evaluate, storage=storage):
            bar.advance(table)
            yield table


def workers_of(space: Space, given: int | None) -> int:
    """Processes: as many as given; else one per core, but only as many as are worth their start."""
    cores = len(os.sched_getaffinity(0))
    return given or min(cores, max(1, space.size // WORTH_A_WORKER))


def _nothing(collector: Collector) -> str:
    """Why there is no front."""
    if not collector.evaluated:
        return "no combination meets the constraints on axes"
    if not collector.refused:
        return f"none of the {collector.evaluated:,} points has all objectives"
    reason, count = next(iter(collector.reasons.items()))
    return (
        f"none of the {collector.evaluated:,} points is feasible; most often ({count:,}): {reason}"
    )


def _knees(table: Table, front: np.ndarray, objectives: tuple[str, ...]) -> dict[str, int]:
    """Named points of the front, as places in the table."""
    more = [name for name in objectives if METRICS[name].better == "more"]
    found = knees(minimised(table, objectives)[front], objectives, more)
    return {name: int(front[place]) for name, place in found.items()}


def _spread(front: np.ndarray, names: dict[str, int]) -> np.ndarray:
    """Named points and an even choice of the others, at most :data:`SHOWN_LAYERS`."""
    if len(front) <= SHOWN_LAYERS:
        return front
    even = front[np.linspace(0, len(front) - 1, SHOWN_LAYERS - len(names)).astype(np.int64)]
    return np.unique([*even, *names.values()])


def layer_shares(job: Job) -> tuple[LayerShare, ...]:
    """Time and energy of every kind of layer of a job: those of a model's blocks are added up."""
    memory = job.config.memory
    prices = action_prices(job.machine, job.technology, memory)
    clock_hz = job.timing.clock_mhz * 1e6
    kinds: dict[str, list[LayerTiming]] = {}
    for layer in job.timing.layers:
        kind = ".".join(part for part in layer.name.split(".") if not part.isdigit())
        kinds.setdefault(kind, []).append(layer)
    shares = []
    for kind, layers in kinds.items():
        phases = [phase for layer in layers for phase in layer.phases]
        activity = sum((phase.activity for phase in phases), start=Activity())
        traffic = sum((phase.traffic for phase in phases), start=Traffic())
        counts = job_counts(job.machine, activity, None if memory is None else traffic)
        cycles = sum(phase.cycles for phase in phases)
        peak = sum(phase.report.peak_macs_per_cycle * phase.cycles for phase in phases)
        shares.append(
            LayerShare(
                name=kind,
                n=layers[0].gemm.n,
                k=layers[0].gemm.k,
                seconds=cycles / clock_hz,
                energy_j=sum(counts[name] * price.value for name, price in prices.items()) * 1e-12,
                utilization=activity.macs / peak,
            )
        )
    return tuple(shares)
