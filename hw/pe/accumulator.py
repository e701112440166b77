"""Accumulator of bounded width: the one place that says what an overflow does."""

from amaranth import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

MODES = ("wrap", "saturate", "flag")


def extended(value: Value, width: int) -> Value:
    """Bits of ``value`` in ``width`` bits, sign or zero extended by hand."""
    value = Value.cast(value)
    missing = width - len(value)
    if missing <= 0:
        return value[:width]
    top = value[-1].replicate(missing) if value.shape().signed else Const(0, missing)
    return Cat(value, top)


def ring(m: Module, accumulator, width: int) -> Value:
    """Registers of an accumulator's sums; the one in turn, ``width`` bits.

    ``accumulator`` has ``depth``, ``next``, ``clear`` and, where sums take turns, ``turn`` and
    ``others``. Clearing is a synchronous reset of the flip-flops, not a multiplexer in front of the
    adder.
    """
    # the sum in turn is at the low end
    sums = Signal(width * accumulator.depth, name="ring")
    following = Value.cast(accumulator.next)
    m.d.sync += sums[:width].eq(following)
    if accumulator.depth > 1:
        m.d.comb += Value.cast(accumulator.others).eq(sums[width:])
        with m.If(accumulator.turn):
            m.d.sync += sums.eq(Cat(sums[width:], following))
    with m.If(accumulator.clear):
        m.d.sync += sums.eq(0)
    return sums[:width]


class Accumulator(wiring.Component):
    """Add a signed number to a two's complement register in every cycle.

    The step's sum is formed exactly; then ``wrap`` keeps its low bits, ``saturate`` clamps it to
    the register's range, and ``flag`` keeps the low bits and reports that the sum left the range.
    A cycle without a step adds 0, which changes and reports nothing in any mode.

    With a ``depth`` above 1 that many sums share the adder and take turns.

    Timing
    ------
    ``next`` and ``overflow`` are combinational; ``next`` is in the register one cycle later, or 0
    with ``clear``. Reset makes all sums 0.

    Parameters
    ----------
    bits : int
        Register width.
    addend_bits : int
        Width of the addend.
    mode : str
        ``"wrap"``, ``"saturate"`` or ``"flag"``.
    subtract : bool
        Subtract the addend instead.
    depth : int
        Sums that take turns.

    Members
    -------
    addend : ``In(signed(addend_bits))``
        Number to add.
    clear : ``In(1)``
        Last step: all sums start anew from 0.
    turn : ``In(1)``
        Last step of the sum in turn: it goes behind all others; absent for depth 1.
    next : ``Out(signed(bits))``
        The sum in turn after this step.
    others : ``Out(ArrayLayout(signed(bits), depth - 1))``
        The other sums, the one that is next in turn first; absent for depth 1.
    overflow : ``Out(1)``
        The step's exact sum left the range; always 0 in mode ``wrap``.

    Raises
    ------
    ValueError
        A width or the depth is below 1, or the mode is unknown.
    """

    def __init__(
        self, *, bits: int, addend_bits: int, mode: str, subtract: bool = False, depth: int = 1
    ) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, not {depth}")
        if bits < 1 or addend_bits < 1:
            raise ValueError(f"widths must be at least 1 bit, not {bits} and {addend_bits}")
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
        self.bits = bits
        self.mode = mode
        self.subtract = subtract
        self.depth = depth
        members = {
            "addend": In(signed(addend_bits)),
            "clear": In(1),
            "next": Out(signed(bits)),
            "overflow": Out(1),
        }
        if depth > 1:
            members |= {
                "turn": In(1),
                "others": Out(data.ArrayLayout(signed(bits), depth - 1)),
            }
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        total = self._total(ring(m, self, self.bits).as_signed())
        if self.mode == "wrap":
            # low bits only: the exact sum need not exist
            m.d.comb += self.next.eq(total)
        else:
            self._bound(m, total)
        return m

    def _total(self, start):
        """Exact sum, or its low bits where that is enough.

        An addition is written as ``start - ~addend - 1``, the 1 being the borrow of a place below
        the lowest: technology mapping of a subtraction finds what gates the addend in front of the
        subtrahend only, and puts it into the same look-up tables (in an addition it may not).
        """
        if self.subtract:
            return start - self.addend
        width = max(self.bits, len(self.addend)) + (self.mode != "wrap")
        minuend = Cat(Const(0, 1), extended(start, width))
        difference = minuend - Cat(Const(1, 1), ~extended(self.addend, width))
        return difference[1 : width + 1].as_signed()

    def _bound(self, m: Module, total) -> None:
        """``next`` and ``overflow`` of the modes that look at the exact sum."""
        exact = Signal(signed(max(self.bits, len(self.addend)) + 1))
        too_high = Signal()
        too_low = Signal()
        half = 1 << (self.bits - 1)
        m.d.comb += [
            exact.eq(total),
            too_high.eq(exact >= half),
            too_low.eq(exact < -half),
            self.overflow.eq(too_high | too_low),
            self.next.eq(exact),
        ]
        if self.mode == "saturate":
            with m.If(too_high):
                m.d.comb += self.next.eq(half - 1)
            with m.Elif(too_low):
                m.d.comb += self.next.eq(-half)
