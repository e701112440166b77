"""What Yosys makes of the memories of a machine: block RAM, LUT RAM or flip-flops.

The rules follow the memory libraries that Yosys 0.70 ships for each family (widths, depths and
costs of its RAMs); the cheapest that can do it is taken. Tests compare them with synthesis.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from configs.errors import unknown_name
from configs.timing import HEADER_QUEUE_GROUPS, PARAMETER_QUEUE_TILES
from costmodel.array import used_header_bits
from sw.compile import Machine
from sw.compile.transfers import OperandPort, activation_port, weight_port


@dataclass(frozen=True, kw_only=True)
class Storage:
    """What holds a memory's bits.

    Attributes
    ----------
    bram : block RAMs, counted as in :mod:`costmodel.fpga.families`.
    ram_luts : look-up tables that serve as RAM.
    flip_flops : of storage without RAM, and behind a LUT RAM that is read in a cycle of its own.
    """

    bram: int = 0
    ram_luts: int = 0
    flip_flops: int = 0

    def __add__(self, other: "Storage") -> "Storage":
        return Storage(
            bram=self.bram + other.bram,
            ram_luts=self.ram_luts + other.ram_luts,
            flip_flops=self.flip_flops + other.flip_flops,
        )


@dataclass(frozen=True, kw_only=True)
class BlockRam:
    """One size of block RAM.

    Attributes
    ----------
    bits : of storage, without those that only complete bytes of nine.
    widths : of its ports; a width above 8 has an enable per ``byte`` bits.
    byte : bits that share an enable.
    cost : as Yosys weighs it.
    units : block RAMs of :mod:`costmodel.fpga.families` that it counts as.
    """

    bits: int
    widths: tuple[int, ...]
    byte: int
    cost: int
    units: int = 1

    def rows(self, width: int) -> int:
        """Rows at a port width; the ninth bit of a byte is extra."""
        return self.bits // (width // 9 * 8 if width >= 9 and self.byte == 9 else width)

    def beside(self, width: int, row_bits: int, word_bits: int) -> int:
        """Blocks side by side that hold a row whose words are written one by one."""
        words, rest = divmod(row_bits, word_bits)
        if row_bits <= word_bits:
            return -(-row_bits // width)
        if width < max(9, self.byte) and not (self.byte == 1 and width == max(self.widths)):
            # one enable for all of it
            return words * -(-word_bits // width) - (-rest // width)
        taken = words * -(-word_bits // self.byte) - (-rest // self.byte)
        return -(-taken // (width // self.byte))

    def count(self, row_bits: int, depth: int, word_bits: int) -> int:
        """Fewest blocks: rows that fill no block are stored in wider ones."""
        best = 0
        for width in self.widths:
            rows, beside = self.rows(width), self.beside(width, row_bits, word_bits)
            full, left = divmod(depth, rows)
            if not full:
                found = beside
            else:
                found = full * beside + (self.count(row_bits, left, word_bits) if left else 0)
            best = min(best, found) if best else found
        return best


@dataclass(frozen=True, kw_only=True)
class LutRam:
    """LUT RAM with a port to write and one to read.

    Attributes
    ----------
    shapes : (rows, bits) of one.
    luts : look-up tables that one takes.
    cost : as Yosys weighs one of full width.
    fixed : share of the cost that a narrower one has as well, in units of ``cost``.
    """

    shapes: tuple[tuple[int, int], ...]
    luts: int
    cost: float
    fixed: float
    overhead: float

    def number(self, row_bits: int, depth: int) -> int:
        """How many hold a memory."""
        rows, bits = self._shape(depth)
        return -(-row_bits // bits) * -(-depth // rows)

    def weight(self, row_bits: int, depth: int) -> float:
        """Cost as Yosys weighs it."""
        rows, bits = self._shape(depth)
        used = row_bits / bits
        across = -(-row_bits // bits)
        scaled = self.cost * (across * self.fixed + used * (1 - self.fixed))
        return scaled * -(-depth // rows) + self.overhead

    def _shape(self, depth: int) -> tuple[int, int]:
        for rows, bits in self.shapes:
            if depth <= rows:
                return rows, bits
        return self.shapes[-1]


_BLOCKS: dict[str, tuple[BlockRam, ...]] = {
    "ecp5": (BlockRam(bits=16384, widths=(36, 18, 9, 4, 2, 1), byte=9, cost=128),),
    "ice40": (BlockRam(bits=4096, widths=(16, 8, 4, 2), byte=1, cost=64),),
    "xc7": (
        BlockRam(bits=32768, widths=(72, 36, 18, 9, 4, 2, 1), byte=9, cost=257, units=2),
        BlockRam(bits=16384, widths=(36, 18, 9, 4, 2, 1), byte=9, cost=129),
    ),
}
_LUTS = {
    "ecp5": LutRam(shapes=((16, 4),), luts=4, cost=4, fixed=1, overhead=2),
    "xc7": LutRam(shapes=((32, 6), (64, 3)), luts=4, cost=8, fixed=1 / 8, overhead=2),
}


def storage(
    family: str, row_bits: int, depth: int, *, word_bits: int | None = None, synchronous: bool
) -> Storage:
    """What becomes of a memory with one port to write and one to read.

    Parameters
    ----------
    family : ``ecp5``, ``ice40`` or ``xc7``.
    row_bits, depth : of the memory.
    word_bits : bits of a row that are written on their own; all of them by default.
    synchronous : read a cycle after the address; only then block RAM is possible.

    Raises
    ------
    InputError : the family's memories are not known.
    """
    if family not in _BLOCKS:
        raise unknown_name("FPGA family", family, _BLOCKS)
    held = row_bits * depth
    registers = row_bits if synchronous else 0
    # the cheapest; where costs are equal, the one named first
    options = [(float(held), Storage(flip_flops=held + registers))]
    if synchronous:
        for block in _BLOCKS[family]:
            count = block.count(row_bits, depth, word_bits or row_bits)
            options.append((count * block.cost, Storage(bram=count * block.units)))
    if family in _LUTS:
        ram = _LUTS[family]
        luts = ram.number(row_bits, depth) * ram.luts
        found = Storage(ram_luts=luts, flip_flops=registers)
        options.append((ram.weight(row_bits, depth), found))
    return min(options, key=lambda option: option[0])[1]


def machine_memories(machine: Machine, family: str, *, alone: bool = False) -> dict[str, Storage]:
    """Storage of every memory of a machine, by the name of its block.

    ``alone``: a tile buffer that is synthesized alone keeps the zeros that fill its beats up to
    whole bytes; in a machine nothing reads them.
    """
    beats = machine.accelerator.queue_beats
    queues: Sequence[tuple[str, int, int]] = (
        ("queue.headers", used_header_bits(machine), HEADER_QUEUE_GROUPS),
        ("queue.weights", machine.chunk_bits, beats),
        ("queue.activations", machine.activation_chunk_bits, beats),
        ("queue.parameters", machine.parameter_bits, PARAMETER_QUEUE_TILES),
    )
    found = {
        name: storage(family, bits, max(2, depth), synchronous=False)
        for name, bits, depth in queues
        if bits
    }
    if machine.accelerator.buffers is not None:
        for port in (weight_port(machine), activation_port(machine)):
            row_bits, depth, word_bits = buffer_shape(port, alone=alone)
            found[f"buffer.{port.name}"] = storage(
                family, row_bits, depth, word_bits=word_bits, synchronous=True
            )
    return found


def buffer_shape(port: OperandPort, *, alone: bool = False) -> tuple[int, int, int]:
    """Bits of a row, rows, bits of a word of a tile buffer, as ``hw.memory`` builds it.

    Without bits that nothing reads: of a last word those above the beat, and in a machine those
    above the widest kind of beat.
    """
    most = max(port.words.values())
    word_bits = port.beat_bits if most == 1 else port.stream_bits
    places = max(1, (port.half_beats - 1).bit_length())
    read_bits = port.beat_bits if alone else max(port.kinds.values())
    return min(most * word_bits, read_bits), (1 << places) + port.half_beats, word_bits
