"""Energy of a job, action by action: what the hardware did times what one action costs.

Idle PEs are not free: a slot is charged in every PE, padded rows and columns included, and every
flip-flop of the machine is clocked in every busy cycle, stalls included.
"""

import math
from dataclasses import dataclass
from typing import Literal

from configs.memory import MemoryConfig
from sim.activity import Activity
from sim.results import Traffic
from sw.compile import Machine

from .actions import action_counts, action_parts
from .area import BlockArea, cell_area, machine_area
from .decoder import term_bits
from .estimate import Estimate
from .storage import memory_srams, tile_srams
from .technology import Technology

Place = Literal["on_chip", "dram"]
#: why energy is spent, by what an action's name begins with; the first that fits
CAUSES = {
    "pe.": "compute",
    "dequantizer.": "dequantization",
    "column_scale": "dequantization",
    "activation_sums": "dequantization",
    "decoder": "decoding",
    "special_terms": "decoding",
    "registers.terms": "decoding",
    "negatives": "decoding",
    "activations": "decoding",
    "requantizer": "output",
    "encoder": "output",
    "drain": "output",
    "sram.": "storage",
    "wires.": "movement",
    "registers.": "movement",
    "queue.": "movement",
    "stream.": "movement",
    "control": "control",
    "clock.": "clock",
    "leakage": "leakage",
    "dram.": "dram",
}
#: energy of PEs whose products are padding: rows, columns and lanes without data
IDLE = "idle"


@dataclass(frozen=True, kw_only=True)
class ActionEnergy:
    """Energy of one kind of action.

    Attributes
    ----------
    action : name; that of the block whose data switch, or of the traffic.
    place : where the energy is spent.
    count : how often the action took place.
    energy : of one action, pJ.
    """

    action: str
    place: Place
    count: int
    energy: Estimate

    @property
    def cause(self) -> str:
        """Why the energy is spent: a value of :data:`CAUSES`."""
        return next(cause for start, cause in CAUSES.items() if self.action.startswith(start))

    @property
    def total(self) -> Estimate:
        """Energy of all of them, pJ."""
        return self.energy.times(self.count)

    @property
    def energy_pj(self) -> float:
        """Expected energy of one."""
        return self.energy.value

    @property
    def total_pj(self) -> float:
        """Expected energy of all of them."""
        return self.total.value


def job_energy(
    machine: Machine,
    activity: Activity,
    technology: Technology,
    *,
    memory: MemoryConfig | None = None,
    traffic: Traffic | None = None,
) -> tuple[ActionEnergy, ...]:
    """Energy of ``activity`` on ``machine``, linear in every count of the activity.

    Parameters
    ----------
    memory, traffic : what stands behind the streams and what crosses the DRAM interface. Without
        them every stream beat is fetched from DRAM or sent there.

    Raises
    ------
    InputError : the library was not calibrated for a component.
    """
    counts = job_counts(machine, activity, traffic)
    prices = action_prices(machine, technology, memory)
    return tuple(
        ActionEnergy(
            action=action,
            place="dram" if action.startswith("dram.") else "on_chip",
            count=count,
            energy=prices[action],
        )
        for action, count in counts.items()
        if action in prices
    )


def job_counts(
    machine: Machine, activity: Activity, traffic: Traffic | None = None
) -> dict[str, int]:
    """How often every action takes place, those included that ``machine`` has no price for."""
    return (
        action_counts(machine, activity)
        | {
            "clock.slots": activity.slots,
            "clock.stalls": activity.busy_cycles - activity.slots,
            "leakage.cells": activity.busy_cycles,
            "leakage.sram": activity.busy_cycles,
            "sram.tiles.weights.write": activity.streamed_weight_bits,
            "sram.tiles.weights.read": activity.weight_bits,
            "sram.tiles.activations.write": activity.streamed_activation_bits,
            "sram.tiles.activations.read": activity.activation_bits,
            # terms go down the columns in every slot, activations along the rows in every chunk
            "wires.terms": activity.decoded_terms * term_bits(machine.terms),
            "wires.activations": activity.activation_bits,
        }
        | _traffic_counts(activity, traffic)
    )


def _traffic_counts(activity: Activity, traffic: Traffic | None) -> dict[str, int]:
    """Bits that cross the stream ports, the buffers behind them, and the DRAM interface."""
    streamed = {
        "weights": activity.streamed_weight_bits,
        "activations": activity.streamed_activation_bits,
        "results": activity.streamed_result_bits,
    }
    dram = streamed
    if traffic is not None:
        dram = {
            "weights": 8 * (traffic.weight_bytes + traffic.kv_bytes),
            "activations": 8 * traffic.activation_bytes,
            "results": 8 * traffic.result_bytes,
        }
    counts = {f"stream.{port}": bits for port, bits in streamed.items()}
    for port in ("weights", "activations"):
        counts |= {f"sram.{port}.write": dram[port], f"sram.{port}.read": streamed[port]}
    return counts | {f"dram.{port}": bits for port, bits in dram.items()}


def action_prices(
    machine: Machine,
    technology: Technology,
    memory: MemoryConfig | None = None,
    *,
    areas: tuple[BlockArea, ...] | None = None,
) -> dict[str, Estimate]:
    """Energy of one action each in pJ, of those that the machine can do.

    ``areas`` are those of :func:`costmodel.machine_area`, where they are known.
    """
    prices = {
        action: technology.energy_pj(component, parts)
        for action, (component, parts) in action_parts(machine).items()
    }
    for name, sram in (tile_srams(machine) | memory_srams(memory)).items():
        prices[f"{name}.read"] = technology.sram_pj_per_bit(sram, write=False)
        prices[f"{name}.write"] = technology.sram_pj_per_bit(sram, write=True)
    dram = technology.dram_pj_per_bit
    if memory is not None:
        dram = Estimate.of(memory.dram.energy_pj_per_bit)
    for port in ("weights", "activations", "results"):
        prices[f"stream.{port}"] = technology.stream_pj_per_bit
        prices[f"dram.{port}"] = dram
    areas = machine_area(machine, technology, memory) if areas is None else areas
    prices |= wire_prices(technology, cell_area(areas, technology))
    return prices | _standing_prices(machine, technology, areas)


def wire_prices(technology: Technology, cells: Estimate) -> dict[str, Estimate]:
    """A bit across a square as large as the cells, driven once for all that read it."""
    side_mm = cells.map(math.sqrt).times(1e-3)
    price = technology.wire_pj_per_bit_mm.times(side_mm)
    return {"wires.terms": price, "wires.activations": price}


def _standing_prices(
    machine: Machine, technology: Technology, areas: tuple[BlockArea, ...]
) -> dict[str, Estimate]:
    """What a cycle costs whatever the data: clock of all flip-flops, and leakage."""
    parts = [area.structure.times(area.count) for area in areas]
    clocked = sum(p.flip_flop_bits + p.memory_bits for p in parts)
    clock = technology.clock_pj_per_bit.times(clocked)
    # mW x us = 1000 pJ
    per_cycle = 1e3 / machine.accelerator.clock_mhz
    cells = technology.leakage_mw_per_mm2.times(cell_area(areas, technology)).times(1e-6)
    prices = {
        "clock.slots": clock,
        "clock.stalls": clock,
        "leakage.cells": cells.times(per_cycle),
    }
    if stored := sum(part.sram_bits for part in parts):
        macros = technology.sram_leakage_mw.times(stored)
        prices["leakage.sram"] = macros.times(per_cycle)
    return prices


def energy_by_cause(
    machine: Machine, activity: Activity, actions: tuple[ActionEnergy, ...]
) -> dict[str, Estimate]:
    """Energy by cause, in pJ; what idle PEs take is apart from what products take."""
    found: dict[str, list[Estimate]] = {}
    for action in actions:
        found.setdefault(action.cause, []).append(action.total)
    causes = {cause: Estimate.total(parts) for cause, parts in found.items()}
    products = activity.pe_slots * machine.accelerator.lanes
    if products and "compute" in causes:
        useful = activity.macs * machine.slots / products
        compute = causes["compute"]
        causes["compute"], causes[IDLE] = compute.times(useful), compute.times(1 - useful)
    return causes
