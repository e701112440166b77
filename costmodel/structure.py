"""What a machine is made of: flip-flops, adder bits, multiplexer bits, gates and storage per block.

Everything is derived from :class:`sw.compile.machine.Machine`; the widths are those of ``hw/``.
Flip-flop counts are exact (tests compare them with synthesis); the rest is what a straightforward
drawing of each block contains, before any logic optimization.
"""

from dataclasses import dataclass, fields
from functools import lru_cache

from configs.schema import AcceleratorConfig
from configs.timing import (
    CAUSES,
    GROUP_COUNT_BITS,
    HEADER_QUEUE_GROUPS,
    TILE_COUNT_BITS,
    dequantizer_cycles,
)
from hw.array.sequencer import COUNTER_BITS
from hw.pe import dot_bits, shift_select_bits
from sw.compile import Machine

from .decoder import decision_nodes, truth_table
from .figures import Figures

#: gates per bit: exclusive-or, conditional negation, increment, comparison for equality
_XOR, _NEGATE, _INCREMENT, _COMPARE = 2, 5, 3, 3


@dataclass(frozen=True, kw_only=True)
class Structure:
    """Counts of the parts of one block.

    Attributes
    ----------
    flip_flop_bits : registers outside of queues.
    adder_bits : bits of two-operand adders.
    mux2_bits : two-to-one multiplexers, those of register enables included.
    gates : two-input gates.
    memory_bits : queue storage.
    """

    flip_flop_bits: int = 0
    adder_bits: int = 0
    mux2_bits: int = 0
    gates: int = 0
    memory_bits: int = 0

    def __add__(self, other: "Structure") -> "Structure":
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return Structure(**sums)

    def times(self, count: int) -> "Structure":
        """``count`` of them."""
        return Structure(**{f.name: getattr(self, f.name) * count for f in fields(self)})

    def area_um2(self, figures: Figures) -> float:
        """Area of all parts."""
        return (
            self.flip_flop_bits * figures.flip_flop_area_um2_per_bit
            + self.adder_bits * figures.adder_area_um2_per_bit
            + self.mux2_bits * figures.mux2_area_um2_per_bit
            + self.gates * figures.gate_area_um2
            + self.memory_bits * figures.memory_area_um2_per_bit
        )

    def switching_energy_pj(self, figures: Figures) -> float:
        """Energy of new data passing through all parts once; clock and storage are apart."""
        return (
            self.flip_flop_bits * figures.flip_flop_energy_pj_per_bit
            + self.adder_bits * figures.adder_energy_pj_per_bit
            + self.mux2_bits * figures.mux2_energy_pj_per_bit
            + self.gates * figures.gate_energy_pj
        )


@dataclass(frozen=True, kw_only=True)
class Block:
    """``count`` equal instances of a block."""

    block: str
    count: int
    structure: Structure


@lru_cache(maxsize=256)
def machine_blocks(machine: Machine) -> tuple[Block, ...]:
    """Every block of a machine, from the PE outwards."""
    array = machine.accelerator
    pes, lanes = array.rows * array.cols, array.lanes
    blocks = [
        ("pe.products", pes * lanes, lane_product(array)),
        ("pe.tree", pes, lane_tree(machine)),
        ("pe.inner_accumulator", pes, inner_accumulator(machine)),
        ("pe.group_sum", pes, enabled_register(machine.inner_bits)),
        ("dequantizer.product", pes, scale_product(machine)),
        ("dequantizer.outer_accumulator", pes, outer_accumulator(machine)),
        ("decoder", array.cols * lanes, term_decoder(machine)),
        ("registers.terms", array.cols * lanes, register(2 + array.lane_exponent_bits)),
        ("registers.activations", array.rows * lanes, register(array.activation_bits)),
        ("registers.scales", array.cols, enabled_register(array.scale_bits).times(2)),
        ("queue.headers", 1, queue(machine.header_bits, HEADER_QUEUE_GROUPS)),
        ("queue.weights", 1, queue(machine.chunk_bits, array.queue_beats)),
        ("queue.activations", 1, queue(activation_chunk_bits(array), array.queue_beats)),
        ("walker", 3, walker()),
        ("sequencer", 1, sequencer(machine)),
        ("control", 1, control(machine)),
        ("drain", 1, drain(machine)),
    ]
    return tuple(Block(block=b, count=c, structure=s) for b, c, s in blocks)


def register(bits: int) -> Structure:
    """Register that takes its input in every cycle."""
    return Structure(flip_flop_bits=bits)


def enabled_register(bits: int) -> Structure:
    """Register that holds unless enabled."""
    return Structure(flip_flop_bits=bits, mux2_bits=bits)


def activation_chunk_bits(array: AcceleratorConfig) -> int:
    """Used bits of an activation beat."""
    return array.rows * array.lanes * array.activation_bits


def lane_product(array: AcceleratorConfig) -> Structure:
    """One lane of ``SerialPE``: gate, negate, shift by the lane's exponent."""
    width = array.activation_bits + 1
    product = Structure(gates=array.activation_bits + width * _NEGATE)
    for stage in range(array.lane_exponent_bits):
        shift = 1 << stage
        # low bits are filled with zeros, the top bit is the sign either way
        product += Structure(gates=shift, mux2_bits=width - 1)
        width += shift
    return product


def lane_tree(machine: Machine) -> Structure:
    """Adder tree of ``SerialPE`` and its register."""
    array = machine.accelerator
    total = dot_bits(terms=machine.terms, lanes=array.lanes, activation_bits=array.activation_bits)
    width = array.activation_bits + (1 << array.lane_exponent_bits)
    adders, values = 0, array.lanes
    while values > 1:
        width = min(width + 1, total)
        adders += values // 2 * width
        values -= values // 2
    return Structure(adder_bits=adders, flip_flop_bits=total)


def accumulator(bits: int, addend_bits: int, mode: str) -> Structure:
    """``hw.pe.Accumulator``: register, adder, clear, and what a bounded mode adds."""
    parts = enabled_register(bits) + Structure(adder_bits=bits, gates=bits)
    if mode != "wrap":
        excess = max(bits, addend_bits) + 1 - bits
        parts += Structure(adder_bits=excess, gates=excess * _XOR)
    if mode == "saturate":
        parts += Structure(mux2_bits=bits)
    return parts


def inner_accumulator(machine: Machine) -> Structure:
    """Base shift and inner accumulator of ``SerialPE``."""
    array, terms = machine.accelerator, machine.terms
    dot = dot_bits(terms=terms, lanes=array.lanes, activation_bits=array.activation_bits)
    largest = max(terms.base_shifts)
    shifter = Structure(mux2_bits=(len(set(terms.base_shifts)) - 1) * dot, gates=largest)
    mode = array.inner_accumulator.mode
    return shifter + accumulator(machine.inner_bits, dot + largest, mode)


def term_decoder(machine: Machine) -> Structure:
    """``TermDecoder``, from the family's term table, and half a ``PairDecoder`` for pairs."""
    table = truth_table(machine.family, machine.terms)
    mux2, gates = decision_nodes(table, 2 + machine.terms.lane_exponent_bits)
    # a pair decoder compares each stored code with the identifier, and clears it
    pair_gates = 2 * machine.family.stored_bits if machine.family.pairs else 0
    return Structure(mux2_bits=mux2, gates=gates + pair_gates)


def scale_product(machine: Machine) -> Structure:
    """Product register of ``SerialDequantizer``: clear, gate by the scale bit, add."""
    bits = machine.product_bits
    gating = Structure(gates=bits + machine.inner_bits, adder_bits=bits)
    return enabled_register(bits) + gating


def outer_accumulator(machine: Machine) -> Structure:
    """Outer accumulator of ``SerialDequantizer``."""
    mode = machine.accelerator.outer_accumulator.mode
    return accumulator(machine.outer_bits, machine.product_bits, mode)


def counter(bits: int) -> Structure:
    """Counter with enable and clear."""
    return enabled_register(bits) + Structure(gates=bits * (1 + _INCREMENT))


def queue(width: int, depth: int) -> Structure:
    """``SyncFIFO``: storage, two pointers, level."""
    pointers = 2 * (depth - 1).bit_length() + depth.bit_length()
    return Structure(memory_bits=width * depth) + counter(pointers)


def walker() -> Structure:
    """``hw.array.Walker``: three counters, their comparisons, and ``active``."""
    counters = counter(TILE_COUNT_BITS) + counter(GROUP_COUNT_BITS).times(2)
    comparisons = counters.flip_flop_bits * _COMPARE + 2 * GROUP_COUNT_BITS
    ends = Structure(gates=comparisons, mux2_bits=GROUP_COUNT_BITS)
    return counters + ends + enabled_register(1)


def sequencer(machine: Machine) -> Structure:
    """``hw.array.Sequencer`` without its walker: slot, dequantizer timer, cause counters."""
    slot_bits = (max(2, machine.terms.slots) - 1).bit_length()
    timer_bits = (dequantizer_cycles(machine.accelerator.scale_bits) - 1).bit_length()
    small = slot_bits + timer_bits
    return (
        counter(COUNTER_BITS).times(len(CAUSES))
        + counter(small)
        + Structure(gates=small * _COMPARE)
        + enabled_register(2)
    )


def control(machine: Machine) -> Structure:
    """Job port, loader state, and the pipeline of ``PEArray`` that all PEs share."""
    array = machine.accelerator
    job = enabled_register(TILE_COUNT_BITS + 3 * GROUP_COUNT_BITS + 1)
    slot_bits = (machine.terms.slots - 1).bit_length() if shift_select_bits(machine.terms) else 0
    # a slot's valid and five ends, twice; three of the ends twice more; header_next; accumulate
    pipeline = register(2 * (6 + slot_bits) + 2 * 3 + 1 + 1)
    modes = (array.inner_accumulator.mode, array.outer_accumulator.mode)
    sticky = array.cols * sum(mode != "wrap" for mode in modes)
    flags = enabled_register(sticky) + Structure(gates=sticky * array.rows)
    return job + pipeline + counter(array.scale_bits.bit_length()) + flags


def drain(machine: Machine) -> Structure:
    """``hw.array.ResultDrain``: a tile that is loaded or shifted by a row, and its row counter."""
    array = machine.accelerator
    held = enabled_register(array.rows * array.cols * machine.outer_bits)
    loaded = Structure(mux2_bits=held.flip_flop_bits)
    return held + loaded + counter(array.rows.bit_length()) + enabled_register(1)
