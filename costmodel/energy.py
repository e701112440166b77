"""Energy of a job, action by action: what the hardware did times what one action costs.

Idle PEs are not free: a slot is charged in every PE, padded rows and columns included, and every
flip-flop of the machine is clocked in every busy cycle, stalls included.
"""

from dataclasses import dataclass
from typing import Literal

from configs.schema import TechnologyConfig
from sim.activity import Activity
from sw.compile import Machine

from .figures import Figures, read_figures
from .structure import Structure, counter, enabled_register, machine_blocks, register

Place = Literal["on_chip", "dram"]


@dataclass(frozen=True, kw_only=True)
class ActionEnergy:
    """Energy of one kind of action.

    Attributes
    ----------
    action : name; that of the block whose data switch, or of the traffic.
    place : where the energy is spent.
    count : how often the action took place.
    energy_pj : energy of one action.
    """

    action: str
    place: Place
    count: int
    energy_pj: float

    @property
    def total_pj(self) -> float:
        """Energy of all of them."""
        return self.count * self.energy_pj


def job_energy(
    machine: Machine, activity: Activity, technology: TechnologyConfig
) -> tuple[ActionEnergy, ...]:
    """Energy of ``activity`` on ``machine``, linear in every count of the activity.

    The machine's structure is derived once and kept, so that calling this for each of hundreds of
    layers is cheap.

    Raises
    ------
    InputError : the technology lacks a figure or has an unknown one.
    """
    counts = _counts(machine, activity)
    prices = _prices_pj(machine, read_figures(technology))
    return tuple(
        ActionEnergy(
            action=action,
            place="dram" if action.startswith("dram.") else "on_chip",
            count=count,
            energy_pj=prices[action],
        )
        for action, count in counts.items()
    )


def _counts(machine: Machine, activity: Activity) -> dict[str, int]:
    """How often each action took place."""
    array = machine.accelerator
    scale_steps = activity.group_dequantizations * array.scale_bits
    queued_bits = activity.weight_bits + activity.activation_bits
    counts = {
        "pe.products": activity.pe_slots * array.lanes,
        "pe.tree": activity.pe_slots,
        "pe.inner_accumulator": activity.pe_slots,
        "pe.group_sum": activity.group_dequantizations,
        "dequantizer.product": scale_steps,
        "dequantizer.outer_accumulator": activity.group_dequantizations,
        "registers.scales": scale_steps,
        "decoder": activity.decoded_terms,
        "registers.terms": activity.decoded_terms,
        "registers.activations": activity.activation_bits,
        "queue.write": queued_bits,
        "queue.read": queued_bits,
        "drain": activity.result_bits,
        "control": activity.busy_cycles,
        "clock": activity.busy_cycles,
        "leakage": activity.busy_cycles,
    }
    for place in ("stream", "dram"):
        for port in ("weight", "activation", "result"):
            counts[f"{place}.{port}s"] = getattr(activity, f"{port}_bits")
    return counts


def _prices_pj(machine: Machine, figures: Figures) -> dict[str, float]:
    """Energy of one action each."""
    array, blocks = machine.accelerator, machine_blocks(machine)

    def switching(structure: Structure) -> float:
        return structure.switching_energy_pj(figures)

    prices = {block.block: switching(block.structure) for block in blocks}
    # a scale bit shifts the register of a column, which serves all rows
    prices["registers.scales"] = switching(enabled_register(array.scale_bits)) / array.rows
    prices["registers.activations"] = switching(register(1))
    prices["queue.write"] = figures.memory_write_energy_pj_per_bit
    prices["queue.read"] = figures.memory_read_energy_pj_per_bit
    # every row sent shifts the whole tile, and a tile is loaded once
    tile_moves = 1 + 1 / array.rows
    prices["drain"] = prices["drain"] * tile_moves / machine.result_beat_bits
    # two counters step; a step changes two bits on average, as four bits of random data do
    prices["control"] = switching(counter(4).times(2))
    for port in ("weights", "activations", "results"):
        prices[f"stream.{port}"] = figures.stream_energy_pj_per_bit
        prices[f"dram.{port}"] = figures.dram_energy_pj_per_bit
    total = Structure()
    for block in blocks:
        total += block.structure.times(block.count)
    prices["clock"] = (
        total.flip_flop_bits * figures.clock_energy_pj_per_bit
        + total.memory_bits * figures.memory_clock_energy_pj_per_bit
    )
    # mW x us = 1000 pJ
    leakage_mw = figures.leakage_power_mw_per_mm2 * total.area_um2(figures) * 1e-6
    prices["leakage"] = leakage_mw / array.clock_mhz * 1e3
    return prices
