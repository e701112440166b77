"""What blocks are made of: flip-flops, adder bits, multiplexer bits, gates and storage.

Flip-flop counts are exact (tests compare them with synthesis); the rest is what a straightforward
drawing of each block contains, before any logic optimization.
"""

from dataclasses import dataclass, fields

#: gates per bit: conditional negation, increment, comparison for equality
NEGATE_GATES, INCREMENT_GATES, COMPARE_GATES = 5, 3, 3


@dataclass(frozen=True, kw_only=True)
class Structure:
    """Counts of the parts of one block.

    Attributes
    ----------
    flip_flop_bits : registers outside of queues.
    adder_bits : bits of two-operand adders.
    carry_nodes : nodes of the trees that their carries take (Brent and Kung, 1982).
    full_adder_bits : full adders whose carry goes to the next row, or ripples a few places.
    mux2_bits : two-to-one multiplexers, those of register enables included.
    xor_gates : exclusive-or gates of two inputs.
    table_nodes : nodes of the decision diagrams of tables, two for a multiplexer.
    table_inputs : inputs of tables, which are inverted, too.
    slot_choices : bits of tables that differ from one slot to the next.
    gates : other two-input gates.
    memory_bits : queue storage.
    sram_bits : tile buffers.
    """

    flip_flop_bits: int = 0
    adder_bits: int = 0
    carry_nodes: int = 0
    full_adder_bits: int = 0
    mux2_bits: int = 0
    xor_gates: int = 0
    table_nodes: int = 0
    table_inputs: int = 0
    slot_choices: int = 0
    gates: int = 0
    memory_bits: int = 0
    sram_bits: int = 0

    def __add__(self, other: "Structure") -> "Structure":
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return Structure(**sums)

    def times(self, count: int) -> "Structure":
        """``count`` of them."""
        return Structure(**{f.name: getattr(self, f.name) * count for f in fields(self)})


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


def adder(bits: int) -> Structure:
    """Two-operand adder; its carries take a tree, whose size grows faster than its width."""
    return Structure(adder_bits=bits, carry_nodes=max(0, 2 * bits - 2 - (bits - 1).bit_length()))


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
    return Structure(full_adder_bits=sum(widths[:-1])) + adder(widths[-1])


def left_shifter(bits: int, largest: int, *, kept: int | None = None) -> Structure:
    """Shift a signed number of ``bits`` left by 0 to ``largest``, one stage per bit of the shift.

    Low bits are filled with zeros; the top bit of a stage is the sign either way. ``kept`` low bits
    are read (all by default).
    """
    read = bits + largest if kept is None else kept
    parts, width = Structure(), bits
    for stage in range(largest.bit_length()):
        shift = 1 << stage
        both = max(0, min(read, width + shift - 1) - shift)
        parts += Structure(gates=min(shift, read), mux2_bits=both)
        width = min(width + shift, bits + largest)
    return parts


def short_adder(bits: int) -> Structure:
    """Adder of exponents: so short that its carry may ripple."""
    return Structure(full_adder_bits=bits)


def right_shifter(
    bits: int,
    stages: int,
    *,
    kept: int | None = None,
    zero_filled: bool = False,
    zeros: int = 0,
    sticky: bool = False,
) -> Structure:
    """Shift a number of ``bits`` right, one stage per bit of the shift, the largest first.

    Stages that move everything out are one. ``kept`` low bits are read (all by default); above the
    number come zeros or its sign. The low ``zeros`` bits are 0 before. With ``sticky`` one place
    below is kept, and whether anything was lost below that.
    """
    parts, width = Structure(), bits + sticky
    # places that are not always 0
    present = (1 << width) - (1 << zeros + sticky)
    # those that leave something, and one for all others
    useful = min(stages, (width - 1).bit_length())
    for stage in reversed(range(useful + (stages > useful))):
        shift = min(1 << stage, width)
        # later stages bring down bits from above those that are read
        needed = width if kept is None else min(width, kept + sticky + shift - 1)
        read = (1 << needed) - 1
        moved = present >> shift
        if zero_filled:
            both = (present & moved & read).bit_count()
            parts += Structure(mux2_bits=both, gates=((present ^ moved) & read).bit_count())
        else:
            both = max(0, min(needed, width - shift))
            parts += Structure(mux2_bits=both, gates=2 * (needed - both))
        if sticky:
            parts += Structure(gates=(present & (1 << shift) - 1).bit_count() + 1)
        present |= moved
    return parts + Structure(gates=max(0, stages - useful - 1))


def leading_place(places: int) -> Structure:
    """Number of the highest of some places that is 1: a chain, then an encoder."""
    return Structure(gates=2 * places + places * places.bit_length() // 2)


def multiplier(first_bits: int, second_bits: int, *, kept: int | None = None) -> Structure:
    """Product of two numbers: a gate per pair of bits, all rows but the last save their carries.

    The bits that correct for signs fill a row. ``kept`` low bits are read (all by default).
    """
    read = first_bits + second_bits if kept is None else min(kept, first_bits + second_bits)
    narrow, wide = sorted((first_bits, second_bits))
    # every row is a place further left
    rows = [min(wide, read - place) for place in range(min(narrow, read))]
    product = Structure(gates=sum(rows))
    if len(rows) > 1:
        product += Structure(full_adder_bits=sum(rows[1:])) + adder(read)
    return product


def accumulator(bits: int, addend_bits: int, mode: str, *, depth: int = 1) -> Structure:
    """``hw.pe.Accumulator``: registers with clear, adder, and what a bounded mode adds."""
    excess = max(bits, addend_bits) + 1 - bits if mode != "wrap" else 0
    parts = register(depth * bits) + adder(bits + excess) + Structure(gates=depth * bits)
    if depth > 1:
        # the sums move on, or the one in turn takes its successor and the others hold
        parts += Structure(mux2_bits=depth * bits)
    if mode != "wrap":
        parts += Structure(xor_gates=excess)
    if mode == "saturate":
        parts += Structure(mux2_bits=bits)
    return parts
