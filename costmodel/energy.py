"""Energy of a job, action by action: what the hardware did times what one action costs.

Idle PEs are not free: a slot is charged in every PE, padded rows and columns included, and every
flip-flop of the machine is clocked in every busy cycle, stalls included.
"""

from dataclasses import dataclass
from typing import Literal

from configs.schema import TechnologyConfig
from sim.activity import Activity
from sw.compile import Machine

from . import floating
from .array import machine_blocks
from .dequant import (
    activation_multiples,
    column_scale,
    held_sum,
    multiple_bits,
    outer_accumulator,
    rotating_scale_bits,
    running_sum,
    waiting_sums,
)
from .figures import Figures, read_figures
from .structure import Structure, counter, enabled_register, register

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
        if action in prices
    )


def _counts(machine: Machine, activity: Activity) -> dict[str, int]:
    """How often each action took place; a group stands for one group of one PE."""
    array = machine.accelerator
    groups = activity.group_dequantizations
    queued_bits = activity.weight_bits + activity.activation_bits
    chunks = activity.slots // machine.slots
    counts = {
        "pe.products": activity.pe_slots * array.lanes,
        "pe.alignment": activity.pe_slots * array.lanes,
        "pe.exponents": activity.pe_slots,
        "pe.lane_sum": activity.pe_slots,
        "pe.inner_accumulator": activity.pe_slots,
        "pe.signs": activity.slots * array.cols,
        "dequantizer.group_sums": groups,
        "dequantizer.correction": groups * array.zero_point_bits,
        "dequantizer.shifter": groups * array.scale.serial_bits,
        "dequantizer.product": groups * array.scale.serial_bits,
        # a floating-point product is added at once; bits of a scale that are 0 add nothing
        "dequantizer.outer_accumulator": groups
        * (1 if array.is_aligned else array.scale.significand_bits),
        "column_scale": groups,
        "activation_sums.chunks": chunks * array.rows,
        "activation_sums.multiples": groups,
        "decoder": activity.decoded_terms,
        "special_terms": activity.decoded_terms // array.lanes,
        "registers.terms": activity.decoded_terms,
        "negatives": activity.slots * array.cols,
        "registers.activations": activity.activation_bits,
        "activations": chunks * array.rows,
        "registers.exponents": chunks * array.rows,
        "registers.operands": queued_bits,
        "buffers.write": activity.buffered_bits,
        "buffers.read": queued_bits,
        "queue.write": queued_bits,
        "queue.read": queued_bits,
        "drain": activity.result_bits,
        "requantizer": activity.result_bits // machine.result_bits,
        "encoder": activity.result_bits // machine.result_bits,
        "control": activity.busy_cycles,
        "clock": activity.busy_cycles,
        "leakage": activity.busy_cycles,
    }
    for place in ("stream", "dram"):
        for port in ("weight", "activation", "result"):
            counts[f"{place}.{port}s"] = getattr(activity, f"streamed_{port}_bits")
    return counts


def _prices_pj(machine: Machine, figures: Figures) -> dict[str, float]:
    """Energy of one action each, of those that the machine can do."""
    array, blocks = machine.accelerator, machine_blocks(machine)

    def switching(structure: Structure) -> float:
        return structure.switching_energy_pj(figures)

    prices = {block.block: switching(block.structure) for block in blocks}
    prices |= {name: switching(parts) for name, parts in _combined_parts(machine).items()}
    # what serves several PEs is charged to each in equal parts
    prices["column_scale"] /= array.rows
    if array.zero_point_bits:
        prices["activation_sums.multiples"] /= array.cols
    if not array.has_floats:
        prices["registers.activations"] = switching(register(1))
    if "registers.operands" in prices:
        prices["registers.operands"] = switching(register(1))
    prices["queue.write"] = figures.memory_write_energy_pj_per_bit
    prices["queue.read"] = figures.memory_read_energy_pj_per_bit
    if array.buffers:
        prices["buffers.write"] = figures.sram_write_energy_pj_per_bit
        prices["buffers.read"] = figures.sram_read_energy_pj_per_bit
    # a tile is loaded once; every row sent passes one multiplexer of each level of the selection
    levels = (array.rows - 1).bit_length()
    selection = switching(Structure(mux2_bits=levels * array.cols * machine.outer_sum_bits))
    prices["drain"] = (prices["drain"] / array.rows + selection) / machine.result_beat_bits
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


def _combined_parts(machine: Machine) -> dict[str, Structure]:
    """What switches in actions that are not one pass through one block."""
    array = machine.accelerator
    sums = (
        {"dequantizer.outer_accumulator": floating.outer_accumulator(machine, 1)}
        if array.is_aligned
        else _integer_sums(machine)
    )
    # a group's header is taken once; its scale and zero point rotate once per bit, for every row
    rotating = (rotating_scale_bits(machine), array.zero_point_bits)
    rotated = [enabled_register(b).times(array.rows_per_dequantizer * b) for b in rotating]
    parts = sums | {"column_scale": column_scale(machine) + rotated[0] + rotated[1]}
    if array.zero_point_bits:
        parts["activation_sums.chunks"] = running_sum(machine)
        doublings = enabled_register(multiple_bits(machine)).times(array.zero_point_bits)
        parts["activation_sums.multiples"] = activation_multiples(machine) + doublings
    return parts


def _integer_sums(machine: Machine) -> dict[str, Structure]:
    """Group sums and the outer sum of ``SerialDequantizer``."""
    passes = machine.accelerator.scale_pass_cycles
    return {
        # the sum in turn is new in every cycle of a pass, the others move once
        "dequantizer.group_sums": held_sum(machine).times(passes) + waiting_sums(machine),
        "dequantizer.outer_accumulator": outer_accumulator(machine, 1),
    }
