"""Area and energy of many designs at once: points of a design space, each on the same GEMMs.

The same figures as :func:`costmodel.cost` of each point alone, but without building their machines.
With lanes, queues, sharing of dequantizers and the number of bits of a row's number fixed, every
price is bilinear in rows and columns: it is computed for the corners of such a class and
interpolated inside. Tests hold every point against its machine.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.accelerator import AcceleratorConfig
from configs.memory import MemoryConfig
from sim.jobs import Column
from sw.compile import Machine

from .area import cell_area, machine_area, total_area
from .energy import action_prices, job_counts
from .estimate import Estimate
from .technology import Technology

Floats = NDArray[np.float64]
#: settings that classes have in common, beside the bits of a row's number
_FIXED = ("lanes", "queue_beats", "rows_per_dequantizer")
_WIRES = "wires."
_TOTALS = ("area_um2", "on_chip_energy_pj", "dram_energy_pj")


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
    machine : what the points have in common.
    points : settings of the array in which they differ, as :func:`sim.points.simulate_points`.
    activities : as :func:`sim.points.point_activities` returns them.
    memory, traffic : as for :func:`costmodel.cost`; traffic as columns.

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
    found = np.zeros((count, 3 * len(_TOTALS)))
    # memory macros are no linear function of their width: no interpolation where it differs
    alone = ("rows", "cols") if array.buffers is not None else ()
    for members in _classes(settings, (*_FIXED, *alone)):
        part = {name: values[members] for name, values in settings.items()}
        corners = _Corners.of(machine, part, technology, memory)
        activity = SimpleNamespace(**{name: column[members] for name, column in activities.items()})
        crossed = None
        if traffic is not None:
            crossed = SimpleNamespace(**{name: c[members] for name, c in traffic.items()})
        found[members] = corners.totals(activity, crossed)
    ranges = [
        Range(**{limit: found[:, 3 * i + j] for j, limit in enumerate(("value", "low", "high"))})
        for i in range(len(_TOTALS))
    ]
    return PointCosts(**dict(zip(_TOTALS, ranges, strict=True)))


def _classes(settings: Mapping[str, Column], fixed: tuple[str, ...]) -> Iterator[NDArray[np.intp]]:
    """Indices of points that can share corners."""
    levels = np.frexp(settings["rows"] - 1)[1].astype(np.int64)
    keys = np.stack([levels, *(settings[name] for name in fixed)], axis=1)
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


@dataclass(frozen=True, kw_only=True)
class _Corners:
    """Prices of the smallest and largest arrays of a class, and where its points lie between.

    Attributes
    ----------
    machines : the class, with columns for rows and cols.
    weights : share of each corner in each point, float64 (points, corners).
    area, cells : of everything, and without memory macros, float64 (corners, value low high).
    wire_pj : a bit over a millimetre, float64 (value low high).
    prices : by action, float64 (corners, value low high).
    """

    machines: Any
    weights: Floats
    area: Floats
    cells: Floats
    wire_pj: Floats
    prices: dict[str, Floats]

    @classmethod
    def of(
        cls,
        machine: Machine,
        part: Mapping[str, Column],
        technology: Technology,
        memory: MemoryConfig | None,
    ) -> "_Corners":
        """Prices at the corners of a class."""
        fixed: dict[str, Any] = {name: int(part[name][0]) for name in _FIXED}
        axes = [(part[name].min(), part[name].max()) for name in ("rows", "cols")]
        shares = [_shares(part[n], *axis) for n, axis in zip(("rows", "cols"), axes, strict=True)]
        areas, cells, prices, weights = [], [], [], []
        for r, c in product(range(2), range(2)):
            shape: dict[str, Any] = {"rows": int(axes[0][r]), "cols": int(axes[1][c])}
            one = replace(machine, accelerator=replace(machine.accelerator, **fixed, **shape))
            blocks = machine_area(one, technology, memory)
            areas.append(total_area(blocks, technology))
            cells.append(cell_area(blocks, technology))
            prices.append(action_prices(one, technology, memory, areas=blocks))
            weights.append(shares[0][r] * shares[1][c])
        array = replace(machine.accelerator, **fixed, rows=shape["rows"])
        many = _ManyShapes(array, rows=part["rows"], cols=part["cols"])
        result_bits = part["cols"] * machine.result_bits
        return cls(
            machines=_ManyShapes(machine, accelerator=many, result_beat_bits=result_bits),
            weights=np.stack(weights, axis=1),
            area=_rows(areas),
            cells=_rows(cells),
            wire_pj=_rows([technology.wire_pj_per_bit_mm])[0],
            prices={
                action: _rows([p[action] for p in prices])
                for action in prices[0]
                if not action.startswith(_WIRES)
            },
        )

    def totals(self, activity: Any, traffic: Any) -> Floats:
        """Area, on-chip and DRAM energy, each with its limits: float64 (points, 9)."""
        counts = job_counts(self.machines, activity, traffic)
        energies = []
        for is_dram in (False, True):
            names = [name for name in self.prices if name.startswith("dram.") == is_dram]
            amounts = np.stack([counts[name] for name in names], axis=1).astype(np.float64)
            table = np.stack([self.prices[name] for name in names])
            at_corners = np.einsum("pn,ncv->pcv", amounts, table, optimize=True)
            energies.append(np.einsum("pc,pcv->pv", self.weights, at_corners))
        # the length of wires is no linear function of anything
        side_mm = np.sqrt(self.weights @ self.cells) / 1000
        wired = sum(column for name, column in counts.items() if name.startswith(_WIRES))
        energies[0] += np.asarray(wired)[:, None] * side_mm * self.wire_pj
        return np.concatenate([self.weights @ self.area, *energies], axis=1)


def _shares(values: Column, low: int, high: int) -> tuple[Floats, Floats]:
    """How much of the lower and of the upper corner is in each value."""
    upper = (values - low) / max(1, high - low)
    return 1 - upper, upper


def _rows(estimates: list[Estimate]) -> Floats:
    return np.array([(e.value, e.low, e.high) for e in estimates])
