"""Components that are synthesized for calibration, and what the structural model says they contain.

A component is a circuit that synthesis sees whole; a block of :func:`costmodel.machine_blocks` is
one line of a cost report. Every block belongs to one component, whose coefficients it is priced by.
"""

from collections.abc import Callable
from dataclasses import dataclass

from amaranth.lib import wiring

from configs.timing import dequantizer_cycles, dot_cycles, inner_cycles
from costmodel.array import machine_blocks
from costmodel.decoder import constant_digit_bits
from costmodel.dequant import header_stages
from costmodel.structure import Structure, register
from hw.array import PEArray, Queue, ResultDrain, Sequencer
from hw.array.parts import activation_decoder, inner_pe, make_dequantizer, needs_negatives
from hw.core import Core
from hw.dequant import ActivationSums, ColumnScale
from hw.memory import TileBuffer
from hw.terms import ColumnTerms
from sw.compile import Machine
from sw.compile.transfers import activation_port, weight_port

#: blocks of a column of terms, and of the way out
_COLUMN = ("decoder", "special_terms", "registers.terms", "negatives")
_DRAIN = ("drain", "requantizer", "encoder")


def component_of(machine: Machine, block: str) -> str:
    """Name of the component whose coefficients price a block of ``machine``."""
    family = block.split(".", maxsplit=1)[0]
    floating = machine.accelerator.is_aligned
    if family == "pe":
        return "float_pe" if floating else f"{machine.accelerator.pe}_pe"
    if family == "dequantizer":
        return "float_dequantizer" if floating else "dequantizer"
    if block in _COLUMN:
        return "column"
    if block in _DRAIN:
        return "drain"
    if block.startswith("buffer"):
        return "weight_buffer" if block.endswith("weights") else "activation_buffer"
    if family in ("queue", "activations", "column_scale", "activation_sums"):
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
    without_memories : block RAM is no part of it: its ports are the circuit's.
    alone : what it contains only where synthesis sees nothing else of the machine.
    """

    build: Callable[[Machine], wiring.Component]
    number: Callable[[Machine], int]
    blocks: Callable[[str], bool]
    without_memories: bool = False
    alone: Callable[[Machine], Structure] = lambda machine: Structure()

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
        total = self.alone(machine)
        for parts in self.parts(machine).values():
            total += parts
        return total


def _one(machine: Machine) -> int:
    return 1


def _pes(machine: Machine) -> int:
    return machine.accelerator.rows * machine.accelerator.cols


def _cols(machine: Machine) -> int:
    return machine.accelerator.cols


def _shares(machine: Machine) -> int:
    return machine.accelerator.rows // machine.accelerator.rows_per_dequantizer


def _column(machine: Machine) -> wiring.Component:
    array = machine.accelerator
    return ColumnTerms(
        family=machine.family,
        terms=machine.terms,
        lanes=array.lanes,
        programmable=array.programmable,
        count_negatives=needs_negatives(machine),
    )


def _column_scale(machine: Machine) -> wiring.Component:
    array = machine.accelerator
    return ColumnScale(
        scale=array.scale,
        zero_point_bits=array.zero_point_bits,
        stages=header_stages(machine),
    )


def _activation_sums(machine: Machine) -> wiring.Component:
    array = machine.accelerator
    return ActivationSums(
        rows=array.rows_per_dequantizer,
        lanes=array.lanes,
        activation_bits=array.activation_bits,
        activation_signed=array.activation_signed,
        bits=machine.activation_sum_bits,
        zero_point_bits=array.zero_point_bits,
        delay=dot_cycles(array) + inner_cycles(array) - 1,
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
    return block.startswith(("queue", "walker", "sequencer", *_DRAIN))


def _prefixed(
    prefix: str, build: Callable[[Machine], wiring.Component], number: Callable[[Machine], int]
) -> Component:
    return Component(build=build, number=number, blocks=lambda block: block.startswith(prefix))


_PE = _prefixed("pe.", inner_pe, _pes)
_DEQUANTIZER = _prefixed("dequantizer.", make_dequantizer, lambda m: _shares(m) * _cols(m))
#: what calibration synthesizes; ``control`` also prices what only an array or a core contains
COMPONENTS = {
    "serial_pe": _PE,
    "multiplier_pe": _PE,
    "float_pe": _PE,
    "dequantizer": _DEQUANTIZER,
    "float_dequantizer": _DEQUANTIZER,
    "column": Component(
        build=_column,
        number=_cols,
        blocks=lambda b: b in _COLUMN,
        alone=lambda m: register(constant_digit_bits(m)),
    ),
    "column_scale": _prefixed("column_scale", _column_scale, _cols),
    "activation_sums": _prefixed("activation_sums", _activation_sums, _shares),
    "activations": _prefixed("activations", activation_decoder, lambda m: m.accelerator.rows),
    "queue": _prefixed(
        "queue.weights",
        lambda m: Queue(width=m.chunk_bits, depth=m.accelerator.queue_beats),
        _one,
    ),
    "drain": Component(build=_drain, number=_one, blocks=lambda b: b in _DRAIN),
    "control": Component(
        build=_sequencer, number=_one, blocks=lambda b: b in ("walker", "sequencer")
    ),
    "weight_buffer": Component(
        build=lambda m: TileBuffer(port=weight_port(m)),
        number=_one,
        blocks=lambda b: b == "buffer_control.weights",
        without_memories=True,
    ),
    "activation_buffer": Component(
        build=lambda m: TileBuffer(port=activation_port(m)),
        number=_one,
        blocks=lambda b: b == "buffer_control.activations",
        without_memories=True,
    ),
    "array": Component(
        build=lambda m: PEArray(machine=m),
        number=_one,
        blocks=lambda b: not _outside(b) and not b.startswith("buffer"),
    ),
    "core": Component(
        build=lambda m: Core(machine=m),
        number=_one,
        blocks=lambda b: not b.startswith("buffer"),
    ),
}
