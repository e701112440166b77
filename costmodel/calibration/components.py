"""Components that are synthesized for calibration, and what the structural model says they contain.

A component is a circuit that synthesis sees whole; a block of :func:`costmodel.machine_blocks` is
one line of a cost report. Every block belongs to one component, whose coefficients it is priced by.
"""

from collections.abc import Callable
from dataclasses import dataclass

from amaranth.lib import wiring

from configs.timing import dequantizer_cycles
from costmodel.array import machine_blocks
from costmodel.structure import Structure
from hw.array import PEArray, Queue, ResultDrain, Sequencer
from hw.array.parts import activation_decoder, inner_pe, make_dequantizer, needs_negatives
from hw.core import Core
from hw.terms import ColumnTerms
from sw.compile import Machine


def component_of(machine: Machine, block: str) -> str:
    """Name of the component whose coefficients price a block of ``machine``."""
    family = block.split(".", maxsplit=1)[0]
    floating = machine.accelerator.is_aligned
    if family == "pe":
        return "float_pe" if floating else f"{machine.accelerator.pe}_pe"
    if family == "dequantizer":
        return "float_dequantizer" if floating else "dequantizer"
    if block in ("decoder", "special_terms", "registers.terms", "negatives"):
        return "column"
    if block in ("drain", "requantizer", "encoder"):
        return "drain"
    if family in ("queue", "activations", "buffer"):
        return family
    return "control"


@dataclass(frozen=True, kw_only=True)
class Component:
    """One kind of circuit.

    Attributes
    ----------
    build : the circuit of a machine.
    number : how many of it a machine has.
    blocks : whether a block of a machine is in it, by name.
    """

    build: Callable[[Machine], wiring.Component]
    number: Callable[[Machine], int]
    blocks: Callable[[str], bool]

    def parts(self, machine: Machine) -> dict[str, Structure]:
        """Parts of one circuit, by block."""
        number = self.number(machine)
        return {
            block.block: block.structure.times(block.count // number)
            for block in machine_blocks(machine)
            if self.blocks(block.block)
        }

    def structure(self, machine: Machine) -> Structure:
        """Parts of one circuit, all blocks together."""
        total = Structure()
        for parts in self.parts(machine).values():
            total += parts
        return total


def _pe(machine: Machine) -> int:
    return machine.accelerator.rows * machine.accelerator.cols


def _column(machine: Machine) -> wiring.Component:
    array = machine.accelerator
    return ColumnTerms(
        family=machine.family,
        terms=machine.terms,
        lanes=array.lanes,
        programmable=array.programmable,
        count_negatives=needs_negatives(machine),
    )


def _drain(machine: Machine) -> wiring.Component:
    array = machine.accelerator
    return ResultDrain(
        rows=array.rows,
        cols=array.cols,
        bits=machine.outer_sum_bits,
        result_bits=machine.result_bits,
        requantizer=array.requantizer,
        float_exponents=machine.float_exponents,
    )


def _sequencer(machine: Machine) -> wiring.Component:
    cycles = dequantizer_cycles(machine.accelerator)
    return Sequencer(slots=machine.slots, dequantizer_cycles=cycles)


def _outside(block: str) -> bool:
    """Blocks of a core that are not in its array."""
    return block.startswith(("queue", "walker", "sequencer", "drain", "requantizer", "encoder"))


_SHARED_SIGNS = "pe.signs"
#: what calibration synthesizes; ``control`` also prices what only an array or a core contains
COMPONENTS = {
    "serial_pe": Component(
        build=inner_pe, number=_pe, blocks=lambda b: b.startswith("pe.") and b != _SHARED_SIGNS
    ),
    "dequantizer": Component(
        build=make_dequantizer,
        number=lambda m: _pe(m) // m.accelerator.rows_per_dequantizer,
        blocks=lambda b: b.startswith("dequantizer."),
    ),
    "column": Component(
        build=_column,
        number=lambda m: m.accelerator.cols,
        blocks=lambda b: b in ("decoder", "special_terms", "registers.terms", "negatives"),
    ),
    "activations": Component(
        build=activation_decoder,
        number=lambda m: m.accelerator.rows,
        blocks=lambda b: b == "activations",
    ),
    "queue": Component(
        build=lambda m: Queue(width=m.chunk_bits, depth=m.accelerator.queue_beats),
        number=lambda m: 1,
        blocks=lambda b: b == "queue.weights",
    ),
    "drain": Component(
        build=_drain,
        number=lambda m: 1,
        blocks=lambda b: b in ("drain", "requantizer", "encoder"),
    ),
    "control": Component(
        build=_sequencer, number=lambda m: 1, blocks=lambda b: b in ("walker", "sequencer")
    ),
    "array": Component(
        build=lambda m: PEArray(machine=m),
        number=lambda m: 1,
        blocks=lambda b: not _outside(b) and not b.startswith("buffer"),
    ),
    "core": Component(
        build=lambda m: Core(machine=m),
        number=lambda m: 1,
        blocks=lambda b: not b.startswith("buffer"),
    ),
}
for _same in ("multiplier_pe", "float_pe"):
    COMPONENTS[_same] = COMPONENTS["serial_pe"]
COMPONENTS["float_dequantizer"] = COMPONENTS["dequantizer"]
