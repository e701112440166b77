"""The first rung: metrics of all points of a class at once, each exactly as if it were alone.

Cycles, energy and area are those of :class:`bitsmith.job.Job` and
:func:`bitsmith.steps.cost_report` of every point.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.accelerator import AcceleratorConfig
from configs.errors import InputError
from configs.schema import RunConfig
from costmodel.clocks import fmax_points
from costmodel.points import PointPrices
from sim.jobs import Column
from sim.points import LIMITS, MISFITS, workload_points

from .conditions import Constraint
from .devices import METRIC, fits, fpga_metrics
from .figures import MM2, cost_metrics, interval, timing_metrics
from .found import Found, columns_of
from .metrics import METRICS, Source
from .point_class import KV_GROUP_SIZE, Classes, PointClass
from .quality import Quality
from .space import Chunk, Space
from .table import Table

#: why points are infeasible, beside constraints, what is refused, and what does not fit
TOO_FAST = "clock_mhz over what the critical path allows"
SHARED = "rows_per_dequantizer does not divide the rows"
#: metrics that all points of a class share
OF_CLASS = (
    *("inner_bits", "outer_bits", "bits_per_weight"),
    *("bits_per_byte", "perplexity", "quality_quoted"),
)


class Evaluator:
    """Evaluates points of a space, class by class, in steps that cost more and more.

    A point is refused by the first step that has a reason, and goes through none behind it:

    1. constraints that only name axes, the configuration, rows that cannot share dequantizers;
    2. what all points of the class have in common: widths, stored bits, quality;
    3. area, and cells of the device that a constraint names; a clock over the upper limit of what
       the critical path allows (one between the limits may be too fast, or not);
    4. a GEMM that does not fit; time and energy.

    Each step is followed by the constraints that it was the last to find a metric of. A point has
    the metrics of the steps that it went through. NaN are those of later ones, quality that nobody
    knows, phases that the workload has not, stored bits of a model that nothing makes it quantize,
    and cells where no constraint names a device.

    Parameters
    ----------
    space : where the points are from.
    quality : quality of a configuration; only called where an objective or constraint asks for it.
    """

    def __init__(
        self, space: Space, quality: Callable[[RunConfig], Quality | None] | None = None
    ) -> None:
        self._space, self._quality_of = space, quality
        self._classes = Classes(quantizes="bits_per_weight" in self._asked)
        self._latest: tuple[str, PointClass, Quality | None] | None = None

    @property
    def _asked(self) -> frozenset[str]:
        """Metrics that objectives and constraints name."""
        groups = (self._space.sweep.objectives, *(c.metrics for c in self._space.constraints))
        names = (name for group in groups for name in group)
        return frozenset(name.removesuffix("_low").removesuffix("_high") for name in names)

    @property
    def needs(self) -> frozenset[Source]:
        """What is computed: machine, timing and cost always are."""
        always: set[Source] = {"machine", "timing", "cost"}
        if self._space.device is not None:
            always.add("fpga")
        return frozenset(always | {METRICS[name].source for name in self._asked})

    def run(self, chunk: Chunk) -> Table:
        """Metrics of all points of the chunk, and a reason for each that is infeasible."""
        found = Found(chunk)
        steps = self._steps(chunk, found)
        waiting = list(self._space.constraints)
        try:
            for known, quality in steps:
                ready = [c for c in waiting if c.metrics <= known and c.device in (None, *known)]
                for constraint in ready:
                    found.refuse(~self._holds(constraint, found, quality), constraint.text)
                waiting = [constraint for constraint in waiting if constraint not in ready]
                if not len(found.left):
                    break
        except InputError as error:
            found.refuse(np.ones(len(chunk), dtype=bool), str(error))
        return found.table

    def _steps(self, chunk: Chunk, found: Found) -> Iterator[tuple[frozenset[str], Quality | None]]:
        """Measure the points that are left, step by step; yields what is known by then.

        Raises
        ------
        InputError : the configuration cannot be built or run.
        """
        known: set[str] = set()
        for name, most in LIMITS.items():
            if name in found.columns:
                values = found.columns[name]
                found.refuse((values < 1) | (values > most), f"{name} must be 1 to {most}")
        yield frozenset(known), None
        one, quality = self._class(chunk, found)
        array, machine = one.config.accelerator, one.machine
        found.refuse(~shares_evenly(found.columns, array), SHARED)
        if not len(found.left):
            return
        found.fill(class_metrics(one, quality))
        known |= {*OF_CLASS}
        yield frozenset(known), quality
        places, columns = found.left, found.left_columns(array)
        prices = PointPrices.of(machine, columns, one.technology, memory=one.config.memory)
        clocks = fmax_points(machine, columns, one.technology)
        found.fill(interval("area_mm2", prices.area_um2, MM2) | interval("max_mhz", clocks))
        found.refuse_at(places[clocks.high < array.clock_mhz], TOO_FAST)
        known |= {*columns_of("area_mm2", "max_mhz")}
        yield frozenset(known), quality
        if self._space.device is not None:
            found.fill(fpga_metrics(machine, found.left_columns(array), self._space.device))
            known |= {self._space.device, *columns_of(*METRIC.values())}
            yield frozenset(known), quality
        prices = prices.take(np.searchsorted(places, found.left))
        self._run_workload(found, one, prices)
        yield frozenset([*known, *columns_of(*METRICS)]), quality

    def _run_workload(self, found: Found, one: PointClass, prices: PointPrices) -> None:
        """Time and energy of the points that are left and that every GEMM fits."""
        job, memory, array = one.job, one.config.memory, one.config.accelerator
        timing = workload_points(
            one.machine,
            found.left_columns(array),
            job.timed_workload,
            group_size=job.group_sizes,
            memory=memory,
            kv_machine=one.kv_machine,
            kv_group_size=KV_GROUP_SIZE,
            threads=1,
        )
        workload, hz = job.timed_workload, array.clock_mhz * 1e6
        with np.errstate(divide="ignore", invalid="ignore"):  # figures of points that do not fit
            figures = timing_metrics(timing, workload, hz)
            figures |= cost_metrics(timing, prices, workload, hz, has_memory=memory is not None)
        fits_all = timing.misfit == 0
        found.fill({name: np.where(fits_all, c, np.nan) for name, c in figures.items()})
        places = found.left
        for reason, text in enumerate(MISFITS[1:], 1):
            found.refuse_at(places[timing.misfit == reason], text)

    def _class(self, chunk: Chunk, found: Found) -> tuple[PointClass, Quality | None]:
        """The class of a chunk and its quality; the latest one is kept.

        Raises
        ------
        InputError : the configuration cannot be built or run.
        """
        key = repr(chunk.settings)
        if self._latest is None or self._latest[0] != key:
            one = self._classes.of(self._config(chunk, found))
            quality = None
            if self._quality_of is not None and "quality" in self.needs:
                quality = self._quality_of(one.config)
            self._latest = key, one, quality
        return self._latest[1:]

    def _config(self, chunk: Chunk, found: Found) -> RunConfig:
        """The configuration of one point, or of one like it that shares no dequantizers.

        Raises
        ------
        InputError : it is refused, and not because of the rows.
        """
        first = {name: int(column[found.left[0]]) for name, column in found.columns.items()}
        first |= {"rows_per_dequantizer": 1} if "rows_per_dequantizer" in first else {}
        refused = None
        for rows in np.unique(found.columns["rows"]).tolist() if "rows" in first else [0]:
            one = first | ({"rows": rows} if rows else {})
            settings = {f"accelerator.{name}": value for name, value in one.items()}
            try:
                return self._space.config({**chunk.settings, **settings})
            except InputError as error:
                refused = error
                if "rows_per_dequantizer" not in str(error):
                    break
        assert refused is not None
        raise refused

    def _holds(
        self, constraint: Constraint, found: Found, quality: Quality | None
    ) -> NDArray[np.bool_]:
        """Whether a constraint holds, point by point."""
        if constraint.expression is None:
            assert constraint.device is not None
            return fits(found.metrics, constraint.device)
        values: dict[str, Any] = {name: found.metrics[name] for name in constraint.metrics}
        if constraint.axes:
            columns = self._space.columns(found.numbers)
            values |= {path: columns[path] for path in constraint.axes}
        if constraint.needs_fp16:
            name = next(n for n in constraint.metrics if METRICS[n].source == "quality")
            figure = None if quality is None else getattr(quality, f"float_{name}")
            values["fp16"] = np.nan if figure is None else figure
        held = constraint.expression.evaluate(values)
        return np.broadcast_to(np.asarray(held, dtype=bool), len(found.numbers))


def class_metrics(one: PointClass, quality: Quality | None) -> dict[str, Any]:
    """Metrics that all points of a class share."""
    known = (
        one.machine.inner_bits,
        one.machine.outer_bits,
        one.bits_per_weight,
        None if quality is None else quality.bits_per_byte,
        None if quality is None else quality.perplexity,
        None if quality is None else float(quality.quoted),
    )
    each = zip(OF_CLASS, known, strict=True)
    return {name: np.array(value) for name, value in each if value is not None}


def shares_evenly(columns: Mapping[str, Column], array: AcceleratorConfig) -> NDArray[np.bool_]:
    """Whether the rows of points can share dequantizers."""
    rows = columns.get("rows", np.array([array.rows]))
    shared = columns.get("rows_per_dequantizer", np.array([array.rows_per_dequantizer]))
    return rows % np.maximum(shared, 1) == 0
