"""Bit-serial dequantizer: group sums, zero points, group scale one bit per cycle, outer sums."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.pe import Accumulator


class SerialDequantizer(wiring.Component):
    """Subtract a zero point, multiply by a scale, accumulate over groups; for one or more rows.

    The latched group sums of ``rows`` PEs of a column are served one after the other, each in a
    pass of ``zero_point_bits`` and then ``scale_bits`` cycles, all low bit first. A zero point bit
    takes its multiple of the row's activation sum from the group sum. Then the group sum doubles in
    every cycle, and is added to the row's outer sum where the scale has a 1: there is no product
    register. The scale being unsigned, these partial sums go straight from the old outer sum to the
    new one, so that all accumulator modes act as if the whole product were added at once.

    Timing
    ------
    ``load`` in one cycle, the first pass from the next. ``results`` is combinational in the last
    cycle of the last pass.

    Parameters
    ----------
    group_bits : int
        Width of a group sum, P_I.
    corrected_bits : int
        Width of a group sum less its zero point product; ``group_bits`` without zero points.
    activation_sum_bits, zero_point_bits : int
        Widths of a group's activation sum and zero point; 0 without zero points.
    scale_bits : int
        Bits of the multiplier.
    barrel_shift : int
        Largest left shift on the way to the outer sum; 0 without a shifter.
    bits : int
        Outer accumulator width, P_O.
    mode : str
        Outer accumulator mode, see :class:`hw.pe.Accumulator`.
    rows : int
        PEs that share this dequantizer.

    Members
    -------
    group_sums : ``In(ArrayLayout(signed(group_bits), rows))``
        Inner accumulators at the end of a group, the row of the first pass first.
    load : ``In(1)``
        Take the group sums.
    multiple : ``In(signed(activation_sum_bits + zero_point_bits - 1))``
        Activation sum of the pass' row times the weight of this zero point bit; absent without
        zero points.
    zero_point_bit : ``In(1)``
        This bit of the zero point; absent without zero points.
    correct : ``In(1)``
        A zero point bit is offered; absent without zero points.
    negative : ``In(1)``
        The bit is the sign, which counts negative; absent without zero points.
    scale_bit : ``In(1)``
        Bit of the multiplier; 0 outside of the scale's cycles.
    shift : ``In(bits of barrel_shift)``
        Left shift on the way to the outer sum; absent without a shifter.
    last : ``In(1)``
        Last cycle of a pass: the next row comes in turn; absent for one row.
    clear : ``In(1)``
        Last cycle of a tile: the outer sums start anew from 0.
    results : ``Out(ArrayLayout(signed(bits), rows))``
        Outer sums after this step, in row order in the last pass.
    overflow : ``Out(1)``
        The outer step's exact sum left the range.
    """

    def __init__(
        self,
        *,
        group_bits: int,
        corrected_bits: int,
        activation_sum_bits: int,
        zero_point_bits: int,
        scale_bits: int,
        barrel_shift: int,
        bits: int,
        mode: str,
        rows: int,
    ) -> None:
        self.rows = rows
        self.corrected_bits = corrected_bits
        self.zero_point_bits = zero_point_bits
        self.barrel_shift = barrel_shift
        #: of the group sum after its doublings
        self.shifted_bits = corrected_bits + scale_bits - 1
        self.accumulator = Accumulator(
            bits=bits, addend_bits=self.shifted_bits + barrel_shift, mode=mode, depth=rows
        )
        members = {
            "group_sums": In(data.ArrayLayout(signed(group_bits), rows)),
            "load": In(1),
            "scale_bit": In(1),
            "clear": In(1),
            "results": Out(data.ArrayLayout(signed(bits), rows)),
            "overflow": Out(1),
        }
        if zero_point_bits:
            members["multiple"] = In(signed(activation_sum_bits + zero_point_bits - 1))
            members |= {name: In(1) for name in ("zero_point_bit", "correct", "negative")}
        if rows > 1:
            members["last"] = In(1)
        if barrel_shift:
            members["shift"] = In(barrel_shift.bit_length())
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.accumulator = accumulator = self.accumulator
        held = self._held(m)
        shifted = held << self.shift if self.barrel_shift else held
        m.d.comb += [
            accumulator.addend.eq(Mux(self.scale_bit, shifted, 0)),
            accumulator.clear.eq(self.clear),
            self.results[-1].eq(accumulator.next),
            self.overflow.eq(accumulator.overflow),
        ]
        if self.rows > 1:
            m.d.comb += accumulator.turn.eq(self.last)
        for row in range(self.rows - 1):
            m.d.comb += self.results[row].eq(accumulator.others[row])
        return m

    def _held(self, m: Module) -> Signal:
        """Group sum of the row in turn: corrected, then doubled in every cycle."""
        held = Signal(signed(self.shifted_bits), reset_less=True)
        waiting = [
            Signal(signed(self.corrected_bits), name=f"waiting_{row}", reset_less=True)
            for row in range(1, self.rows)
        ]
        m.d.sync += held.eq(held << 1)
        if self.zero_point_bits:
            weight = Mux(self.zero_point_bit, self.multiple, 0)
            with m.If(self.correct):
                m.d.sync += held.eq(held + Mux(self.negative, weight, -weight))
        queue = [held, *waiting]
        if self.rows > 1:
            with m.If(self.last):
                m.d.sync += [here.eq(behind) for here, behind in zip(queue, waiting, strict=False)]
        with m.If(self.load):
            m.d.sync += [here.eq(self.group_sums[row]) for row, here in enumerate(queue)]
        return held
