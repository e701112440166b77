"""Cycles of many designs at once: points of a design space, each on the same GEMMs.

Exact, like :func:`sim.simulate_gemm` and :func:`sim.simulate_workload` of each point alone, but
without building their machines. Jobs whose longest path is known (:mod:`sim.critical`) are not
walked through; all others are.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError, unknown_name
from configs.memory import MemoryConfig
from sw.compile import GemmShape, Machine
from sw.workloads import Workload

from . import kernel, state
from .activity import activity_columns
from .critical import UNKNOWN, straight_cycles
from .jobs import DESIGN_SETTINGS, Column, Jobs
from .memory import Supply
from .passes import Entry, GemmKind, phase_entries
from .workload import JOB_GAP_CYCLES

#: what a setting may be, as in configs/accelerator.py
LIMITS = {"rows": 256, "cols": 256, "lanes": 64, "queue_beats": 1024, "rows_per_dequantizer": 256}
#: why a point cannot run a workload, by :attr:`WorkloadPoints.misfit`
MISFITS = (
    "",
    "a GEMM has more tiles or groups than a job can count",
    "a buffer is too small for a tile",
    "the memory is too slow: the cycles of a GEMM are too many to count",
)
#: jobs at a time: their columns stay in the processor's cache
_SLAB = 8192


@dataclass(frozen=True, kw_only=True, eq=False)
class PhasePoints:
    """One phase of a workload on every point; columns are int64 (points,).

    Attributes
    ----------
    cycles : of all jobs, the cycles between them included.
    peak_macs : products that the array could do in that time, float64.
    activity, traffic : by the names of :class:`sim.Activity` and :class:`sim.Traffic`.
    """

    cycles: Column
    peak_macs: NDArray[np.float64]
    activity: dict[str, Column]
    traffic: dict[str, Column]


@dataclass(frozen=True, kw_only=True, eq=False)
class WorkloadPoints:
    """A workload on every point.

    Attributes
    ----------
    misfit : why a point cannot run it, a place in :data:`MISFITS`, int64 (points,); 0 where it can.
        The other figures of points that cannot mean nothing.
    """

    prefill: PhasePoints
    decode: PhasePoints
    misfit: Column


def simulate_points(
    machine: Machine,
    points: Mapping[str, Column],
    shapes: Sequence[GemmShape],
    *,
    threads: int | None = None,
) -> NDArray[np.int64]:
    """Total cycles of every shape on every point, int64 (points, shapes).

    -1 where the job port cannot count a job, or the machine's buffers do not hold its tiles.

    Parameters
    ----------
    machine : what the points have in common.
    points : settings of the array in which they differ (:data:`sim.jobs.DESIGN_SETTINGS`), int64
        (points,) each.
    shapes : the GEMMs.
    threads : default all cores.

    Raises
    ------
    InputError : another setting, columns of different lengths, or a value out of range.
    """
    jobs, totals = _run(machine, points, shapes, threads)
    return np.where(jobs.fits, totals, -1).reshape(-1, len(shapes))


def point_activities(
    machine: Machine,
    points: Mapping[str, Column],
    shapes: Sequence[GemmShape],
    *,
    repeats: Sequence[int] | None = None,
    threads: int | None = None,
) -> dict[str, Column]:
    """Action counts of all shapes together on every point, by the names of ``Activity``.

    ``busy_cycles`` is -1 where a shape does not fit (:func:`simulate_points`).

    Parameters
    ----------
    machine, points, shapes, threads : as for :func:`simulate_points`.
    repeats : how often each shape is run; default once.

    Raises
    ------
    InputError : as :func:`simulate_points`.
    """
    jobs, totals = _run(machine, points, shapes, threads)
    weights = np.ones(len(shapes), dtype=np.int64) if repeats is None else np.asarray(repeats)
    counts = {
        name: column.reshape(-1, len(shapes)) @ weights
        for name, column in activity_columns(jobs, totals).items()
    }
    all_fit = jobs.fits.reshape(-1, len(shapes)).all(axis=1)
    return counts | {"busy_cycles": np.where(all_fit, counts["busy_cycles"], -1)}


def workload_points(
    machine: Machine,
    points: Mapping[str, Column],
    workload: Workload,
    *,
    group_size: int | Mapping[str, int],
    memory: MemoryConfig | None = None,
    kv_machine: Machine | None = None,
    kv_group_size: int = 128,
    threads: int | None = None,
) -> WorkloadPoints:
    """Cycles, activity and traffic of both phases of a workload on every point.

    Parameters
    ----------
    machine, points, threads : as for :func:`simulate_points`.
    workload, group_size, memory, kv_machine, kv_group_size : as for
        :func:`sim.simulate_workload`. The points' settings hold for ``kv_machine``, too.

    Raises
    ------
    InputError : as :func:`simulate_points`, or a layer without group size.
    """
    columns = _columns(machine, points)
    phases = phase_entries(workload, group_size, kv_group_size)
    parts = [_Part.of(machine, phases, cached=False)]
    parts.append(_Part.of(kv_machine or machine, phases, cached=True))
    parts = [part for part in parts if len(part.shapes)]
    jobs = max(1, sum(len(part.shapes) for part in parts))
    count, slab = len(next(iter(columns.values()))), max(1, _SLAB // jobs)
    found = [
        _slab(parts, {n: c[start : start + slab] for n, c in columns.items()}, memory, threads)
        for start in range(0, count, slab)
    ]
    return _joined(found)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """The GEMMs of one machine.

    Attributes
    ----------
    shapes : m, n, k and group size, int64 (shapes, 4), all different.
    repeats : how often each is run in the prefill and in decode steps, int64 (shapes, 2).
    cached : whether the (N, K) matrices are no weights.
    """

    machine: Machine
    shapes: NDArray[np.int64]
    repeats: NDArray[np.int64]
    cached: bool

    @classmethod
    def of(cls, machine: Machine, phases: Sequence[list[Entry]], *, cached: bool) -> "_Part":
        """The entries that read a cache, or those that do not."""
        rows, repeats = [np.zeros((0, 4), dtype=np.int64)], [np.zeros((0, 2), dtype=np.int64)]
        for phase, entries in enumerate(phases):
            times: dict[tuple[GemmKind, int], int] = {}
            for entry in entries:
                key = entry.kind, entry.steps
                times[key] = times.get(key, 0) + entry.kind.jobs_a_pass(entry.steps)
            for (kind, _), count in times.items():
                if kind.cached == cached:
                    shapes, passes = kind.shapes
                    rows.append(shapes)
                    repeats.append(np.zeros((len(passes), 2), dtype=np.int64))
                    repeats[-1][:, phase] = passes * count
        shapes, places = np.unique(np.concatenate(rows), axis=0, return_inverse=True)
        sums = np.zeros((len(shapes), 2), dtype=np.int64)
        np.add.at(sums, places.ravel(), np.concatenate(repeats))
        return cls(machine=machine, shapes=shapes, repeats=sums, cached=cached)


def _slab(
    parts: Sequence[_Part],
    columns: Mapping[str, Column],
    memory: MemoryConfig | None,
    threads: int | None,
) -> dict[str, Any]:
    """Figures of some points, by name, int64 (points, phases); ``misfit`` int64 (points,)."""
    count = len(next(iter(columns.values())))
    total: dict[str, Any] = {"misfit": np.zeros(count, dtype=np.int64)}
    for part in parts:
        jobs = _jobs(part.machine, columns, part.shapes)
        supply = Supply(jobs=jobs, memory=memory)
        cycles = _totals(jobs, supply.rates, supply.fits, threads)
        found = {f"activity.{n}": c for n, c in activity_columns(jobs, cycles).items()}
        crossing = supply.traffic_columns(cached=part.cached)
        found |= {f"traffic.{name}": column for name, column in crossing.items()}
        sums: dict[str, Any] = {n: c.reshape(count, -1) @ part.repeats for n, c in found.items()}
        gaps = JOB_GAP_CYCLES * part.repeats.sum(axis=0)
        sums["cycles"] = sums["activity.busy_cycles"] + gaps
        rows, cols, lanes = (jobs.setting(name) for name in ("rows", "cols", "lanes"))
        pes = np.broadcast_to(rows * cols * lanes, len(jobs)).reshape(count, -1)[:, :1]
        sums["peak_macs"] = sums["cycles"] * (pes / part.machine.slots)
        for name, column in sums.items():
            total[name] = total[name] + column if name in total else column
        reasons = np.select([~jobs.counted, ~jobs.held, ~supply.fits], [1, 2, 3])
        total["misfit"] = np.maximum(total["misfit"], reasons.reshape(count, -1).max(axis=1))
    return total


def _joined(slabs: Sequence[dict[str, Any]]) -> WorkloadPoints:
    """All slabs, phase by phase."""
    whole = {name: np.concatenate([slab[name] for slab in slabs]) for name in slabs[0]}

    def of(group: str, phase: int) -> dict[str, Column]:
        return {
            name.removeprefix(group): np.ascontiguousarray(column[:, phase])
            for name, column in whole.items()
            if name.startswith(group)
        }

    prefill, decode = (
        PhasePoints(
            cycles=whole["cycles"][:, phase],
            peak_macs=whole["peak_macs"][:, phase].astype(np.float64),
            activity=of("activity.", phase),
            traffic=of("traffic.", phase),
        )
        for phase in range(2)
    )
    return WorkloadPoints(prefill=prefill, decode=decode, misfit=whole["misfit"])


def _run(
    machine: Machine,
    points: Mapping[str, Column],
    shapes: Sequence[GemmShape],
    threads: int | None,
) -> tuple[Jobs, Column]:
    """Jobs of every shape on every point, and their total cycles."""
    rows = np.array([(s.m, s.n, s.k, s.group_size) for s in shapes], dtype=np.int64)
    jobs = _jobs(machine, _columns(machine, points), rows)
    return jobs, _totals(jobs, Supply(jobs=jobs, memory=None).rates, jobs.fits, threads)


def _jobs(machine: Machine, columns: Mapping[str, Column], shapes: NDArray[np.int64]) -> Jobs:
    """A job of every shape on every point, the shapes of a point beside each other."""
    count = len(next(iter(columns.values())))
    m, n, k, group_size = (np.tile(column, count) for column in shapes.T)
    designs = {name: np.repeat(values, len(shapes)) for name, values in columns.items()}
    return Jobs(machine=machine, m=m, n=n, k=k, group_size=group_size, designs=designs)


def _totals(
    jobs: Jobs, rates: NDArray[np.int64], fits: NDArray[np.bool_], threads: int | None
) -> Column:
    """Total cycles of every job; 0 where it does not fit."""
    parameters = jobs.parameters
    parameters[~fits, state.TILES] = 0  # nothing to run
    totals = np.empty(len(jobs), dtype=np.int64)
    straight_cycles(parameters, rates, totals)
    walked = np.flatnonzero(totals == UNKNOWN)
    if not len(walked):
        return totals
    parameters, rates = parameters[walked], rates[walked]
    found = np.zeros((len(walked), state.FOUND), dtype=np.int64)

    def run(part: slice) -> None:
        kernel.run_jobs(parameters[part], rates[part], found[part])

    with ThreadPoolExecutor(threads or cpu_count() or 1) as pool:
        list(pool.map(run, _slices(len(walked), threads or cpu_count() or 1)))
    totals[walked] = found[:, state.F_TOTAL]
    return totals


def _slices(count: int, parts: int) -> Iterator[slice]:
    """At most so many slices of about equal length that cover ``count``."""
    ends = np.linspace(0, count, min(parts, count) + 1).astype(int)
    yield from map(slice, ends[:-1], ends[1:])


def _columns(machine: Machine, points: Mapping[str, Column]) -> dict[str, Column]:
    """Settings as int64; refuse points that no accelerator configuration could be."""
    columns = {name: np.asarray(values, dtype=np.int64) for name, values in points.items()}
    if len({len(values) for values in columns.values()}) != 1:
        raise InputError("points: every setting needs one value a point, and there must be some")
    for name, values in columns.items():
        if name not in DESIGN_SETTINGS:
            raise unknown_name("setting of the points", name, DESIGN_SETTINGS)
        least = 2 if name == "queue_beats" else 1
        if not len(values) or values.min() < least or values.max() > LIMITS[name]:
            raise InputError(f"points: {name} must be {least} to {LIMITS[name]} everywhere")
    array = machine.accelerator
    rows = columns.get("rows", np.array(array.rows))
    shared = columns.get("rows_per_dequantizer", np.array(array.rows_per_dequantizer))
    if (rows % shared).any():
        raise InputError("points: rows_per_dequantizer must divide the rows of every point")
    lanes = columns.get("lanes", np.array(array.lanes))
    if machine.family.pairs and (lanes % 2).any():
        raise InputError(f"points: pairs of '{machine.family.name}' need even numbers of lanes")
    return columns
