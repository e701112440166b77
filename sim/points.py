"""Cycles of many designs at once: points of a design space, each on the same GEMMs.

Exact, like :func:`sim.simulate_gemm` of each point alone, but without building their machines.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError, unknown_name
from sw.compile import GemmShape, Machine

from . import kernel, state
from .activity import activity_columns
from .array import Rates
from .jobs import DESIGN_SETTINGS, Column, Jobs

#: what a setting may be, as in configs/accelerator.py
LIMITS = {"rows": 256, "cols": 256, "lanes": 64, "queue_beats": 1024, "rows_per_dequantizer": 256}


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


def _run(
    machine: Machine,
    points: Mapping[str, Column],
    shapes: Sequence[GemmShape],
    threads: int | None,
) -> tuple[Jobs, Column]:
    """Jobs of every shape on every point, and their total cycles."""
    columns = {name: np.asarray(values, dtype=np.int64) for name, values in points.items()}
    _check(machine, columns)
    count, sizes = len(next(iter(columns.values()))), np.array([_row(s) for s in shapes]).T
    m, n, k, group_size = (np.tile(column, count) for column in sizes)
    designs = {name: np.repeat(values, len(shapes)) for name, values in columns.items()}
    jobs = Jobs(machine=machine, m=m, n=n, k=k, group_size=group_size, designs=designs)
    rates = np.broadcast_to(Rates().rows, (len(jobs), 3, state.RATE))
    found = np.zeros((len(jobs), state.FOUND), dtype=np.int64)
    parameters, fits = jobs.parameters, jobs.fits
    parameters[~fits, state.TILES] = 0  # nothing to run
    pieces = np.array_split(np.arange(len(jobs)), max(1, threads or cpu_count() or 1))

    def run(piece: NDArray[np.int64]) -> None:
        part = slice(piece[0], piece[-1] + 1)
        kernel.run_jobs(parameters[part], np.ascontiguousarray(rates[part]), found[part])

    with ThreadPoolExecutor(len(pieces)) as pool:
        list(pool.map(run, [piece for piece in pieces if len(piece)]))
    return jobs, found[:, state.F_TOTAL]


def _row(shape: GemmShape) -> tuple[int, int, int, int]:
    return shape.m, shape.n, shape.k, shape.group_size


def _check(machine: Machine, columns: Mapping[str, Column]) -> None:
    """Refuse points that no accelerator configuration could be."""
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
