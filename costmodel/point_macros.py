"""Tile buffers of many designs at once: memory macros, which no interpolation gives."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.jobs import Column
from sw.compile import Machine

from .estimate import Estimate
from .storage import tile_srams
from .technology import Technology

Floats = NDArray[np.float64]
#: with what the names of tile buffers, as blocks and as actions, begin
TILES = "sram.tiles."
LEAKAGE = "leakage.sram"
#: the setting of the array that decides the width of each
_WIDTH = {f"{TILES}weights": "cols", f"{TILES}activations": "rows"}


@dataclass(frozen=True, kw_only=True, eq=False)
class TileMacros:
    """Tile buffers of some points; figures are float64 (points, value low high).

    Attributes
    ----------
    area : of both, um2.
    prices : by action, pJ.
    """

    area: Floats
    prices: Mapping[str, Floats]

    @classmethod
    def of(
        cls, machine: Machine, sizes: Mapping[str, Column], technology: Technology
    ) -> "TileMacros":
        """Buffers of a machine with other numbers of ``rows`` and ``cols``."""
        per_cycle = 1e3 / machine.accelerator.clock_mhz
        area, leakage = np.zeros(3), np.zeros(3)
        prices: dict[str, Floats] = {}
        for name, setting in _WIDTH.items():
            each, places = np.unique(sizes[setting], return_inverse=True)
            rows: dict[str, list[tuple[float, float, float]]] = {}
            for value in each.tolist():
                array = replace(machine.accelerator, **{setting: value, **_alone(setting)})
                sram = tile_srams(replace(machine, accelerator=array))[name]
                figures = {
                    "area": technology.sram_area_um2(sram),
                    "read": technology.sram_pj_per_bit(sram, write=False),
                    "write": technology.sram_pj_per_bit(sram, write=True),
                    "leakage": technology.sram_leakage_mw.times(sram.bits).times(per_cycle),
                }
                for figure, estimate in figures.items():
                    rows.setdefault(figure, []).append(limits(estimate))
            table = {figure: np.array(found)[places.ravel()] for figure, found in rows.items()}
            area, leakage = area + table["area"], leakage + table["leakage"]
            prices |= {f"{name}.read": table["read"], f"{name}.write": table["write"]}
        return cls(area=area, prices=prices | {LEAKAGE: leakage})

    def take(self, places: NDArray[np.intp]) -> "TileMacros":
        """Those of some of the points."""
        prices = {action: price[places] for action, price in self.prices.items()}
        return TileMacros(area=self.area[places], prices=prices)


def limits(estimate: Estimate) -> tuple[float, float, float]:
    """Value and limits."""
    return estimate.value, estimate.low, estimate.high


def _alone(setting: str) -> dict[str, int]:
    """What goes with any number of rows."""
    return {"rows_per_dequantizer": 1} if setting == "rows" else {}
