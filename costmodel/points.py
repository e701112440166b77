"""Area and energy of many designs at once: points of a design space, each on the same GEMMs.

The same figures as :func:`costmodel.cost` of each point alone, but without building their machines.
With lanes, queues and sharing of dequantizers fixed, prices are computed for some arrays of such a
class and interpolated between them (:mod:`costmodel.point_nodes`); memory macros are added point by
point. Tests hold every point against its machine.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.accelerator import AcceleratorConfig
from configs.memory import MemoryConfig
from sim.jobs import Column
from sw.compile import Machine

from .area import BlockArea, cell_area, machine_area, total_area
from .energy import action_prices, job_counts
from .estimate import Estimate
from .point_macros import TILES, TileMacros, limits
from .point_nodes import shape_nodes
from .technology import Technology

Floats = NDArray[np.float64]
#: settings that classes have in common
_FIXED = ("lanes", "queue_beats", "rows_per_dequantizer")
_WIRES = "wires."


@dataclass(frozen=True, kw_only=True)
class Range:
    """A figure of every point with its interval, float64 (points,) each."""

    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, kw_only=True)
class PointCosts:
    """What every point takes.

    Attributes
    ----------
    area_um2 : cells and memory macros.
    on_chip_energy_pj, dram_energy_pj : of all its GEMMs.
    """

    area_um2: Range
    on_chip_energy_pj: Range
    dram_energy_pj: Range


@dataclass(frozen=True, kw_only=True, eq=False)
class PointPrices:
    """Prices of every point, for any number of jobs.

    Attributes
    ----------
    classes : of points that share corners: the indices of each.
    points : how many there are.
    """

    classes: tuple[tuple[NDArray[np.intp], "_Class"], ...]
    points: int

    @classmethod
    def of(
        cls,
        machine: Machine,
        points: Mapping[str, Column],
        technology: Technology,
        *,
        memory: MemoryConfig | None = None,
    ) -> "PointPrices":
        """Prices of some points.

        Parameters
        ----------
        machine : what the points have in common.
        points : settings of the array in which they differ, as
            :func:`sim.points.simulate_points`.
        memory : as for :func:`costmodel.cost`.

        Raises
        ------
        InputError : the library was not calibrated for a component.
        """
        array = machine.accelerator
        count = len(next(iter(points.values())))
        settings = {
            name: np.broadcast_to(np.asarray(points.get(name, getattr(array, name))), count)
            for name in ("rows", "cols", *_FIXED)
        }
        classes = tuple(
            (
                members,
                _Class.of(
                    machine, {n: v[members] for n, v in settings.items()}, technology, memory
                ),
            )
            for members in _classes(settings)
        )
        return cls(classes=classes, points=count)

    @property
    def area_um2(self) -> Range:
        """Cells and memory macros."""
        found = np.empty((self.points, 3))
        for members, one in self.classes:
            found[members] = one.area
        return _range(found)

    def take(self, places: NDArray[np.intp]) -> "PointPrices":
        """Some of the points, by increasing indices; nothing is priced again."""
        chosen = []
        for members, one in self.classes:
            among = np.flatnonzero(np.isin(members, places))
            if len(among):
                chosen.append((np.searchsorted(places, members[among]), one.take(among)))
        return PointPrices(classes=tuple(chosen), points=len(places))

    def energies_pj(
        self, activities: Mapping[str, Column], traffic: Mapping[str, Column] | None = None
    ) -> tuple[Range, Range]:
        """Energy on chip and of the DRAM.

        Parameters
        ----------
        activities : by the names of :class:`sim.Activity`, int64 (points,).
        traffic : as for :func:`costmodel.cost`, as columns.
        """
        found = np.empty((self.points, 2, 3))
        for members, one in self.classes:
            activity = SimpleNamespace(**{n: column[members] for n, column in activities.items()})
            crossed = None
            if traffic is not None:
                crossed = SimpleNamespace(**{name: c[members] for name, c in traffic.items()})
            found[members] = one.energies(activity, crossed)
        return _range(found[:, 0]), _range(found[:, 1])


def cost_points(
    machine: Machine,
    points: Mapping[str, Column],
    activities: Mapping[str, Column],
    technology: Technology,
    *,
    memory: MemoryConfig | None = None,
    traffic: Mapping[str, Column] | None = None,
) -> PointCosts:
    """Area and energy of every point.

    Parameters
    ----------
    machine, points, memory : as for :meth:`PointPrices.of`.
    activities, traffic : as for :meth:`PointPrices.energies_pj`.

    Raises
    ------
    InputError : the library was not calibrated for a component.
    """
    prices = PointPrices.of(machine, points, technology, memory=memory)
    on_chip, dram = prices.energies_pj(activities, traffic)
    return PointCosts(area_um2=prices.area_um2, on_chip_energy_pj=on_chip, dram_energy_pj=dram)


def _range(found: Floats) -> Range:
    """Of values and limits, float64 (points, value low high)."""
    value, low, high = np.ascontiguousarray(found.T)
    return Range(value=value, low=low, high=high)


def _classes(settings: Mapping[str, Column]) -> Iterator[NDArray[np.intp]]:
    """Indices of points that can share corners."""
    keys = np.stack([settings[name] for name in _FIXED], axis=1)
    _, number = np.unique(keys, axis=0, return_inverse=True)
    order = np.argsort(number.ravel(), kind="stable")
    yield from np.split(order, np.cumsum(np.bincount(number.ravel()))[:-1])


class _ManyShapes:
    """An array, or a machine, whose rows and columns are columns of numbers."""

    def __init__(self, real: AcceleratorConfig | Machine, **columns: Any) -> None:
        self._real = real
        self.__dict__ |= columns

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Corners:
    """Prices of the arrays that a class is interpolated between.

    Attributes
    ----------
    machines : one for each.
    areas : their blocks, tile buffers left out.
    """

    machines: tuple[Machine, ...]
    technology: Technology
    memory: MemoryConfig | None
    areas: tuple[tuple[BlockArea, ...], ...]

    @cached_property
    def area(self) -> Floats:
        """Of everything, um2, float64 (corners, value low high)."""
        return _rows([total_area(blocks, self.technology) for blocks in self.areas])

    @cached_property
    def cells(self) -> Floats:
        """Without memory macros, um2, float64 (corners, value low high)."""
        return _rows([cell_area(blocks, self.technology) for blocks in self.areas])

    @cached_property
    def wire_pj(self) -> Floats:
        """A bit over a millimetre, float64 (value low high)."""
        return _rows([self.technology.wire_pj_per_bit_mm])[0]

    @cached_property
    def prices(self) -> dict[str, Floats]:
        """By action but those of wires, pJ, float64 (corners, value low high)."""
        each = [
            action_prices(machine, self.technology, self.memory, areas=blocks)
            for machine, blocks in zip(self.machines, self.areas, strict=True)
        ]
        # one row has nothing to select, for example: what a machine does not do costs nothing
        actions = dict.fromkeys(action for prices in each for action in prices)
        nothing = Estimate.exact(0.0)
        return {
            action: _rows([prices.get(action, nothing) for prices in each])
            for action in actions
            if not action.startswith((_WIRES, TILES))
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class _Class:
    """Points of a class, and where they lie between its corners.

    Attributes
    ----------
    machine : of the class, whatever its rows and columns.
    rows, cols : of each point.
    weights : share of each corner in each point, float64 (points, corners).
    macros : tile buffers of each point, where the machine has such.
    """

    machine: Machine
    corners: _Corners
    rows: Column
    cols: Column
    weights: Floats
    macros: TileMacros | None

    @classmethod
    def of(
        cls,
        machine: Machine,
        part: Mapping[str, Column],
        technology: Technology,
        memory: MemoryConfig | None,
    ) -> "_Class":
        """A class of points with these settings."""
        fixed: dict[str, Any] = {name: int(part[name][0]) for name in _FIXED}
        shapes, weights = shape_nodes(machine, part["rows"], part["cols"])
        machines = [
            replace(machine, accelerator=replace(machine.accelerator, **fixed, rows=r, cols=c))
            for r, c in shapes
        ]
        areas = (machine_area(one, technology, memory) for one in machines)
        macros = None
        if machine.accelerator.buffers is not None:
            macros = TileMacros.of(machines[0], part, technology)
        return cls(
            machine=machines[0],
            corners=_Corners(
                machines=tuple(machines),
                technology=technology,
                memory=memory,
                areas=tuple(
                    tuple(block for block in blocks if not block.block.startswith(TILES))
                    for blocks in areas
                ),
            ),
            rows=part["rows"],
            cols=part["cols"],
            weights=weights,
            macros=macros,
        )

    def take(self, places: NDArray[np.intp]) -> "_Class":
        """Some of the points."""
        return replace(
            self,
            rows=self.rows[places],
            cols=self.cols[places],
            weights=self.weights[places],
            macros=None if self.macros is None else self.macros.take(places),
        )

    @property
    def machines(self) -> Any:
        """The machine with columns for rows and columns."""
        array = _ManyShapes(self.machine.accelerator, rows=self.rows, cols=self.cols)
        result_bits = self.cols * self.machine.result_bits
        return _ManyShapes(self.machine, accelerator=array, result_beat_bits=result_bits)

    @property
    def area(self) -> Floats:
        """Of every point, um2, float64 (points, value low high)."""
        cells = self.weights @ self.corners.area
        return cells if self.macros is None else cells + self.macros.area

    def energies(self, activity: Any, traffic: Any) -> Floats:
        """On-chip and DRAM energy of every point, each with its limits: float64 (points, 2, 3)."""
        counts = job_counts(self.machines, activity, traffic)
        energies, prices = [], self.corners.prices
        for is_dram in (False, True):
            names = [name for name in prices if name.startswith("dram.") == is_dram]
            amounts = np.array([counts[name] for name in names], dtype=np.float64)
            table = np.array([prices[name] for name in names])
            at_corners = amounts.T @ table.reshape(len(names), -1)
            at_corners = at_corners.reshape(len(self.weights), *table.shape[1:])
            energies.append(np.einsum("pc,pcv->pv", self.weights, at_corners))
        # the length of wires is no linear function of anything
        side_mm = np.sqrt(self.weights @ self.corners.cells) / 1000
        wired = sum(column for name, column in counts.items() if name.startswith(_WIRES))
        energies[0] += np.asarray(wired)[:, None] * side_mm * self.corners.wire_pj
        for action, price in (self.macros.prices if self.macros else {}).items():
            energies[0] += np.asarray(counts[action])[:, None] * price
        return np.stack(energies, axis=1)


def _rows(estimates: list[Estimate]) -> Floats:
    return np.array([limits(estimate) for estimate in estimates])
