"""What blocks are made of: flip-flops, adder bits, multiplexer bits, gates and storage.

Flip-flop counts are exact (tests compare them with synthesis); the rest is what a straightforward
drawing of each block contains, before any logic optimization.
"""

from dataclasses import dataclass, fields

from .figures import Figures

#: gates per bit: exclusive-or, conditional negation, increment, comparison for equality
XOR_GATES, NEGATE_GATES, INCREMENT_GATES, COMPARE_GATES = 2, 5, 3, 3
#: a full adder whose carry goes to the next row instead of the next bit
CARRY_SAVE_GATES = 5


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
    sram_bits : tile buffers.
    """

    flip_flop_bits: int = 0
    adder_bits: int = 0
    mux2_bits: int = 0
    gates: int = 0
    memory_bits: int = 0
    sram_bits: int = 0

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
            + self.sram_bits * figures.sram_area_um2_per_bit
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


def register(bits: int) -> Structure:
    """Register that takes its input in every cycle."""
    return Structure(flip_flop_bits=bits)


def enabled_register(bits: int) -> Structure:
    """Register that holds unless enabled."""
    return Structure(flip_flop_bits=bits, mux2_bits=bits)


def counter(bits: int) -> Structure:
    """Counter with enable and clear."""
    return enabled_register(bits) + Structure(gates=bits * (1 + INCREMENT_GATES))


def queue(width: int, depth: int) -> Structure:
    """``hw.array.Queue``: storage, two places, whether there is room and a word."""
    places = counter(2 * (depth - 1).bit_length())
    return Structure(memory_bits=width * depth) + places + enabled_register(2)


def compressor(widths: list[int]) -> Structure:
    """Sum of many operands; ``widths`` are those of the sums of the first two, three ...

    All rows but the last save their carries.
    """
    if not widths:
        return Structure()
    return Structure(gates=sum(widths[:-1]) * CARRY_SAVE_GATES, adder_bits=widths[-1])


def left_shifter(bits: int, largest: int) -> Structure:
    """Shift a signed number of ``bits`` left by 0 to ``largest``, one stage per bit of the shift.

    Low bits are filled with zeros; the top bit of a stage is the sign either way.
    """
    parts, width = Structure(), bits
    for stage in range(largest.bit_length()):
        shift = 1 << stage
        parts += Structure(gates=shift, mux2_bits=width - 1)
        width = min(width + shift, bits + largest)
    return parts


def short_adder(bits: int) -> Structure:
    """Adder of exponents: so short that its carry may ripple."""
    return Structure(gates=bits * CARRY_SAVE_GATES)


def right_shifter(
    bits: int,
    stages: int,
    *,
    kept: int | None = None,
    zero_filled: bool = False,
    sticky: bool = False,
) -> Structure:
    """Shift a number of ``bits`` right, one stage per bit of the shift, the largest first.

    Stages that move everything out are one. ``kept`` low bits are read (all by default); above the
    number come zeros or its sign. With ``sticky`` one place below is kept, and whether anything was
    lost below that.
    """
    parts, width = Structure(), bits + sticky
    # those that leave something, and one for all others
    useful = min(stages, (width - 1).bit_length())
    for stage in reversed(range(useful + (stages > useful))):
        shift = min(1 << stage, width)
        # later stages bring down bits from above those that are read
        needed = width if kept is None else min(width, kept + sticky + shift - 1)
        both = max(0, min(needed, width - shift))
        filled = needed - both
        parts += Structure(mux2_bits=both, gates=filled if zero_filled else 2 * filled)
        if sticky:
            parts += Structure(gates=shift + 1)
    return parts + Structure(gates=max(0, stages - useful - 1))


def leading_place(places: int) -> Structure:
    """Number of the highest of some places that is 1: a chain, then an encoder."""
    return Structure(gates=2 * places + places * places.bit_length() // 2)


def multiplier(first_bits: int, second_bits: int) -> Structure:
    """Product of two numbers: a gate per pair of bits, all rows but the last save their carries.

    The bits that correct for signs fill a row.
    """
    rows, width = min(first_bits, second_bits), max(first_bits, second_bits)
    saved = max(0, rows - 1) * width
    return Structure(
        gates=rows * width + saved * CARRY_SAVE_GATES,
        adder_bits=first_bits + second_bits if rows > 1 else 0,
    )


def accumulator(bits: int, addend_bits: int, mode: str, *, depth: int = 1) -> Structure:
    """``hw.pe.Accumulator``: registers with clear, adder, and what a bounded mode adds."""
    parts = register(depth * bits) + Structure(adder_bits=bits, gates=depth * bits)
    if depth > 1:
        # the sums move on, or the one in turn takes its successor and the others hold
        parts += Structure(mux2_bits=depth * bits)
    if mode != "wrap":
        excess = max(bits, addend_bits) + 1 - bits
        parts += Structure(adder_bits=excess, gates=excess * XOR_GATES)
    if mode == "saturate":
        parts += Structure(mux2_bits=bits)
    return parts
