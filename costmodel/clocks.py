"""Clock that the critical paths of many designs allow."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.jobs import DESIGN_SETTINGS, Column
from sw.compile import Machine

from .points import Range
from .technology import Technology

Limits = tuple[float, float, float]


def fmax_points(machine: Machine, points: Mapping[str, Column], technology: Technology) -> Range:
    """:meth:`Technology.fmax_mhz` of every point.

    Delays depend on rows, columns and queues only through binary logarithms, rounded up, of what is
    selected from and of what a signal drives. More of either is never faster, and mostly something
    else is slower still: where the smallest and the largest of some points share a clock, all
    between do.

    Parameters
    ----------
    machine, points : as for :func:`sim.points.simulate_points`.

    Raises
    ------
    InputError : the library was not calibrated for a component.
    """
    array = machine.accelerator
    count = len(next(iter(points.values())))
    settings = {
        name: np.broadcast_to(np.asarray(points.get(name, getattr(array, name))), count)
        for name in DESIGN_SETTINGS
    }
    search = _Search(machine=machine, technology=technology, settings=settings)
    alike = np.stack([settings["lanes"], settings["rows_per_dequantizer"] > 1], axis=1)
    _, number = np.unique(alike, axis=0, return_inverse=True)
    for group in range(number.max() + 1):
        search.fill(np.flatnonzero(number.ravel() == group))
    value, low, high = search.found.T.copy()
    return Range(value=value, low=low, high=high)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Search:
    """Points whose clocks are being found.

    Attributes
    ----------
    found : value and limits, float64 (points, 3).
    """

    machine: Machine
    technology: Technology
    settings: Mapping[str, Column]
    found: NDArray[np.float64] = field(init=False)
    _known: dict[tuple[int, ...], Limits] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.settings["rows"])
        object.__setattr__(self, "found", np.empty((count, 3)))

    @property
    def _never_faster(self) -> bool:
        """Whether more to select from, or to drive, never makes a path shorter."""
        models = self.technology.asic.delay_ps.values()
        return all(price >= 0 for model in models for price in model.terms.values())

    def fill(self, members: NDArray[np.intp]) -> None:
        """Clocks of points with equal lanes that all share dequantizers, or none of them."""
        sizes = {name: self.settings[name][members] for name in ("rows", "cols", "queue_beats")}
        least = {name: int(column.min()) for name, column in sizes.items()}
        most = {name: int(column.max()) for name, column in sizes.items()}
        fastest, slowest = (self._clock(members[0], one) for one in (least, most))
        if least == most or (self._never_faster and fastest == slowest):
            self.found[members] = fastest
            return
        # halve the widest of the ranges
        name = max(sizes, key=lambda n: most[n] / least[n])
        half = sizes[name] <= (least[name] * most[name]) ** 0.5
        self.fill(members[half])
        self.fill(members[~half])

    def _clock(self, member: int, sizes: Mapping[str, int]) -> Limits:
        """Clock of a point with other sizes."""
        shares = self.settings["rows_per_dequantizer"][member] > 1
        changed: dict[str, Any] = {
            **sizes,
            "lanes": int(self.settings["lanes"][member]),
            # how many share one makes no difference
            "rows_per_dequantizer": sizes["rows"] if shares else 1,
        }
        key = tuple(changed.values())
        if key not in self._known:
            array = replace(self.machine.accelerator, **changed)
            clock = self.technology.fmax_mhz(replace(self.machine, accelerator=array))
            self._known[key] = clock.value, clock.low, clock.high
        return self._known[key]
