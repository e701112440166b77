"""What a job costs, and every figure behind it."""

from dataclasses import asdict, dataclass
from typing import Any

from configs.errors import InputError
from configs.schema import Figure, TechnologyConfig
from sim.activity import Activity
from sw.compile import Machine

from .area import BlockArea, machine_area
from .energy import ActionEnergy, Place, job_energy


@dataclass(frozen=True, kw_only=True)
class CostReport:
    """Area, energy and time of one job (or of several, added up) on one machine.

    Attributes
    ----------
    technology : name of the technology.
    clock_mhz : clock of the machine, as configured: not a claim that the logic reaches it.
    busy_cycles : cycles from job to last result.
    macs : useful products.
    blocks : area by block.
    actions : energy by action.
    figures : every figure used, with kind and source.
    """

    technology: str
    clock_mhz: float
    busy_cycles: int
    macs: int
    blocks: tuple[BlockArea, ...]
    actions: tuple[ActionEnergy, ...]
    figures: dict[str, Figure]

    def _energy_at_pj(self, place: Place) -> float:
        return sum(action.total_pj for action in self.actions if action.place == place)

    @property
    def area_um2(self) -> float:
        """Area of all blocks, cells only."""
        return sum(block.total_um2 for block in self.blocks)

    @property
    def on_chip_energy_pj(self) -> float:
        """Energy spent in the machine and its stream ports."""
        return self._energy_at_pj("on_chip")

    @property
    def dram_energy_pj(self) -> float:
        """Energy of external memory: every beat of every stream is fetched from or sent there."""
        return self._energy_at_pj("dram")

    @property
    def energy_pj(self) -> float:
        """On-chip and external energy."""
        return self.on_chip_energy_pj + self.dram_energy_pj

    @property
    def time_s(self) -> float:
        """Busy time."""
        return self.busy_cycles / (self.clock_mhz * 1e6)

    @property
    def power_mw(self) -> float:
        """Average on-chip power while busy."""
        return self.on_chip_energy_pj * 1e-9 / self.time_s

    @property
    def energy_per_mac_pj(self) -> float:
        """Energy, external memory included, per useful product."""
        return self.energy_pj / self.macs

    def to_dict(self) -> dict[str, Any]:
        """Strict JSON: the units are in the keys, and the keys are stable.

        - ``technology``, ``clock_mhz``, ``busy_cycles``, ``macs``, ``time_s``, ``area_um2``,
          ``power_mw`` (on-chip average), ``energy_pj`` = ``on_chip_energy_pj`` +
          ``dram_energy_pj``, ``energy_per_mac_pj``;
        - ``blocks``: list of ``block``, ``count``, ``area_um2`` (one), ``total_um2``,
          ``flip_flop_bits``, ``adder_bits``, ``mux2_bits``, ``gates``, ``memory_bits``,
          ``sram_bits`` (one);
        - ``actions``: list of ``action``, ``place`` (``on_chip`` or ``dram``), ``count``,
          ``energy_pj`` (one), ``total_pj``;
        - ``figures``: name to ``value``, ``kind`` (measured, fitted or quoted), ``source``.
        """
        totals = (
            *("technology", "clock_mhz", "busy_cycles", "macs", "time_s", "area_um2", "power_mw"),
            *("energy_pj", "on_chip_energy_pj", "dram_energy_pj", "energy_per_mac_pj"),
        )
        return {
            **{name: getattr(self, name) for name in totals},
            "blocks": [
                {
                    "block": block.block,
                    "count": block.count,
                    "area_um2": block.area_um2,
                    "total_um2": block.total_um2,
                    **asdict(block.structure),
                }
                for block in self.blocks
            ],
            "actions": [{**asdict(a), "total_pj": a.total_pj} for a in self.actions],
            "figures": {name: asdict(figure) for name, figure in self.figures.items()},
        }


def cost(machine: Machine, activity: Activity, technology: TechnologyConfig) -> CostReport:
    """Area, energy and time of ``activity`` on ``machine``.

    For the layers of one model, add their activities for the total and call
    :func:`costmodel.job_energy` for each layer's share: the area is common.

    Raises
    ------
    InputError : nothing was computed, or the technology lacks a figure or has an unknown one.
    """
    if activity.busy_cycles < 1 or activity.macs < 1:
        raise InputError(
            f"cost needs a job that ran: the activity has {activity.busy_cycles} busy cycles "
            f"and {activity.macs} products"
        )
    return CostReport(
        technology=technology.name,
        clock_mhz=machine.accelerator.clock_mhz,
        busy_cycles=activity.busy_cycles,
        macs=activity.macs,
        blocks=machine_area(machine, technology),
        actions=job_energy(machine, activity, technology),
        figures=dict(sorted(technology.figures.items())),
    )
