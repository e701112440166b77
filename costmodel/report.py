"""What a job costs by block, by action and by cause, every figure with interval and source."""

from dataclasses import asdict, dataclass
from typing import Any

from configs.errors import InputError
from configs.figure import Figure
from configs.memory import MemoryConfig
from sim.activity import Activity
from sim.results import Traffic
from sw.compile import Machine

from .area import BlockArea, machine_area, total_area
from .array import machine_blocks
from .calibration.components import component_of
from .energy import ActionEnergy, Place, energy_by_cause, job_energy
from .estimate import Estimate
from .storage import memory_srams, tile_srams
from .technology import Technology


@dataclass(frozen=True, kw_only=True)
class CostReport:
    """Area, energy and time of one job (or of several, added up) on one machine.

    Attributes
    ----------
    technology : name of the technology.
    data : what the operands are assumed to be: ``real``, ``random`` or ``zero_rich``.
    clock_mhz : clock of the machine, as configured.
    logic_fmax : clock that the logic reaches before wires, MHz.
    busy_cycles : cycles from job to last result.
    macs : useful products.
    area : of all blocks, um2: cells and memory macros, no wiring. Its interval is that of whole
        cores, narrower than the sum of the blocks' intervals.
    blocks : area by block.
    actions : energy by action.
    causes : energy by cause, pJ.
    figures : every figure used, with kind and source.
    """

    technology: str
    data: str
    clock_mhz: float
    logic_fmax: Estimate
    busy_cycles: int
    macs: int
    area: Estimate
    blocks: tuple[BlockArea, ...]
    actions: tuple[ActionEnergy, ...]
    causes: dict[str, Estimate]
    figures: dict[str, Figure]

    def energy_at(self, place: Place) -> Estimate:
        """Energy on the chip or in external memory, pJ."""
        return Estimate.total(a.total for a in self.actions if a.place == place)

    @property
    def energy(self) -> Estimate:
        """On-chip and external energy, pJ."""
        return Estimate.total(action.total for action in self.actions)

    @property
    def area_um2(self) -> float:
        """Expected area."""
        return self.area.value

    @property
    def on_chip_energy_pj(self) -> float:
        """Expected energy spent in the machine and its stream ports."""
        return self.energy_at("on_chip").value

    @property
    def dram_energy_pj(self) -> float:
        """Expected energy of external memory."""
        return self.energy_at("dram").value

    @property
    def energy_pj(self) -> float:
        """Expected energy, external memory included."""
        return self.energy.value

    @property
    def time_s(self) -> float:
        """Busy time."""
        return self.busy_cycles / (self.clock_mhz * 1e6)

    @property
    def power(self) -> Estimate:
        """Average on-chip power while busy, mW."""
        return self.energy_at("on_chip").times(1e-9).per(self.time_s)

    @property
    def power_mw(self) -> float:
        """Expected power."""
        return self.power.value

    @property
    def energy_per_mac_pj(self) -> float:
        """Expected energy, external memory included, per useful product."""
        return self.energy_pj / self.macs

    def to_dict(self) -> dict[str, Any]:
        """Strict JSON: the units are in the keys, and the keys are stable.

        - ``technology``, ``data``, ``clock_mhz``, ``busy_cycles``, ``macs``, ``time_s``;
        - ``area_um2``, ``logic_fmax_mhz``, ``power_mw`` (on-chip average), ``energy_pj`` =
          ``on_chip_energy_pj`` + ``dram_energy_pj``, ``energy_per_mac_pj``; ``intervals``: the
          same names, each with ``low`` and ``high``;
        - ``blocks``: list of ``block``, ``component``, ``count``, ``area_um2`` (one),
          ``total_um2``, ``low_um2``, ``high_um2`` (all), and the parts of one: ``flip_flop_bits``,
          ``adder_bits``, ``carry_nodes``, ``full_adder_bits``, ``mux2_bits``, ``xor_gates``,
          ``table_nodes``, ``table_inputs``, ``slot_choices``, ``gates``, ``memory_bits``,
          ``sram_bits``;
        - ``actions``: list of ``action``, ``cause``, ``place`` (``on_chip`` or ``dram``),
          ``count``, ``energy_pj`` (one), ``total_pj``, ``low_pj``, ``high_pj`` (all);
        - ``causes``: name to ``energy_pj``, ``low_pj``, ``high_pj``;
        - ``figures``: name to ``value``, ``low``, ``high``, ``kind`` (measured, fitted or quoted),
          ``source``.
        """
        estimates = {
            "area_um2": self.area,
            "logic_fmax_mhz": self.logic_fmax,
            "power_mw": self.power,
            "energy_pj": self.energy,
            "on_chip_energy_pj": self.energy_at("on_chip"),
            "dram_energy_pj": self.energy_at("dram"),
            "energy_per_mac_pj": self.energy.per(self.macs),
        }
        plain = ("technology", "data", "clock_mhz", "busy_cycles", "macs", "time_s")
        return {
            **{name: getattr(self, name) for name in plain},
            **{name: found.value for name, found in estimates.items()},
            "intervals": {n: {"low": e.low, "high": e.high} for n, e in estimates.items()},
            "blocks": [_block(block) for block in self.blocks],
            "actions": [_action(action) for action in self.actions],
            "causes": {
                name: {"energy_pj": e.value, "low_pj": e.low, "high_pj": e.high}
                for name, e in self.causes.items()
            },
            "figures": {name: asdict(figure) for name, figure in self.figures.items()},
        }


def _block(block: BlockArea) -> dict[str, Any]:
    return {
        "block": block.block,
        "component": block.component,
        "count": block.count,
        "area_um2": block.area_um2,
        "total_um2": block.total_um2,
        "low_um2": block.total.low,
        "high_um2": block.total.high,
        **asdict(block.structure),
    }


def _action(action: ActionEnergy) -> dict[str, Any]:
    return {
        "action": action.action,
        "cause": action.cause,
        "place": action.place,
        "count": action.count,
        "energy_pj": action.energy_pj,
        "total_pj": action.total_pj,
        "low_pj": action.total.low,
        "high_pj": action.total.high,
    }


def cost(
    machine: Machine,
    activity: Activity,
    technology: Technology,
    *,
    memory: MemoryConfig | None = None,
    traffic: Traffic | None = None,
) -> CostReport:
    """Area, energy and time of ``activity`` on ``machine``.

    For the layers of one model, add their activities for the total and call
    :func:`costmodel.job_energy` for each layer's share: the area is common.

    Parameters
    ----------
    memory, traffic : what stands behind the streams and what crosses the DRAM interface; both or
        neither. Without them every stream beat is fetched from DRAM or sent there.

    Raises
    ------
    InputError : nothing was computed, or the library was not calibrated for a component.
    """
    if activity.busy_cycles < 1 or activity.macs < 1:
        raise InputError(
            f"cost needs a job that ran: the activity has {activity.busy_cycles} busy cycles "
            f"and {activity.macs} products"
        )
    blocks = machine_area(machine, technology, memory)
    actions = job_energy(machine, activity, technology, memory=memory, traffic=traffic)
    return CostReport(
        technology=technology.config.name,
        data=technology.data,
        clock_mhz=machine.accelerator.clock_mhz,
        logic_fmax=technology.fmax_mhz(machine),
        busy_cycles=activity.busy_cycles,
        macs=activity.macs,
        area=total_area(blocks, technology),
        blocks=blocks,
        actions=actions,
        causes=energy_by_cause(machine, activity, actions),
        figures=_figures(machine, technology, memory),
    )


def _figures(
    machine: Machine, technology: Technology, memory: MemoryConfig | None
) -> dict[str, Figure]:
    """Every figure that a price of the machine comes from."""
    components = {component_of(machine, block.block) for block in machine_blocks(machine)}
    found = dict(technology.figures(components))
    if memory is not None:
        found["dram_energy_pj_per_bit"] = memory.dram.energy_pj_per_bit
    for name, sram in (tile_srams(machine) | memory_srams(memory)).items():
        found |= technology.sram_figures(name, sram)
    return found
