"""Dequantizer of a floating-point machine: mantissas times scales, accumulated over groups."""

import itertools

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.pe import FloatAccumulator, FloatSum


class FloatDequantizer(wiring.Component):
    """Multiply group sums by a scale, exactly, and accumulate them in floating point.

    The latched group sums of ``rows`` PEs of a column are served one after the other, each in a
    pass of ``scale_bits`` cycles, the scale's low bit first. The mantissa is added to the upper
    part of the product register, which then moves right by a place: after the pass it holds the
    product. That is added to the row's outer sum in the cycle after the pass, while the next pass
    begins. The shift of a scale is added to the exponent.

    Timing
    ------
    ``load`` in one cycle, the first pass from the next. ``results`` is combinational in the cycle
    after the last pass, in which ``accumulate`` is set.

    Parameters
    ----------
    inner : :class:`hw.pe.FloatSum`
        Group sums.
    outer : :class:`hw.pe.FloatSum`
        Outer sums.
    scale_bits : int
        Bits of the multiplier.
    barrel_shift : int
        Largest shift of a scale; 0 without.
    rows : int
        PEs that share this dequantizer.

    Members
    -------
    group_sums : ``In(ArrayLayout(inner.layout, rows))``
        Inner accumulators at the end of a group, the row of the first pass first.
    load : ``In(1)``
        Take the group sums.
    scale_bit : ``In(1)``
        Bit of the multiplier.
    shift : ``In(bits of barrel_shift)``
        The scale's shift, throughout the passes of its group; absent without shifts.
    last : ``In(1)``
        Last cycle of a pass.
    accumulate : ``In(1)``
        The cycle after ``last``.
    clear : ``In(1)``
        The outer sums start anew from 0; with the last ``accumulate`` of a tile.
    results : ``Out(ArrayLayout(outer.layout, rows))``
        Outer sums after this step, in row order after the last pass.
    """

    def __init__(
        self, *, inner: FloatSum, outer: FloatSum, scale_bits: int, barrel_shift: int, rows: int
    ) -> None:
        self.inner = inner
        self.rows = rows
        self.scale_bits = scale_bits
        self.barrel_shift = barrel_shift
        #: room for the exponent of a product
        self.exponent_bits = ((1 << inner.exponent_bits) - 1 + barrel_shift).bit_length()
        self.accumulator = FloatAccumulator(
            floating=outer,
            addend_bits=inner.bits + scale_bits,
            addend_exponent_bits=self.exponent_bits,
            depth=rows,
        )
        members = {
            "group_sums": In(data.ArrayLayout(inner.layout, rows)),
            "load": In(1),
            "scale_bit": In(1),
            "last": In(1),
            "accumulate": In(1),
            "clear": In(1),
            "results": Out(data.ArrayLayout(outer.layout, rows)),
        }
        if barrel_shift:
            members["shift"] = In(barrel_shift.bit_length())
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.accumulator = accumulator = self.accumulator
        held = self._held(m)

        # the pass: upper part of the product plus the mantissa, moved right by a place
        product = Signal(signed(self.inner.bits + self.scale_bits))
        upper = Signal(signed(self.inner.bits))
        total = Signal(signed(self.inner.bits + 1))
        m.d.comb += [
            upper.eq(Mux(self.accumulate, 0, product[self.scale_bits :])),
            total.eq(upper + Mux(self.scale_bit, held.mantissa, 0)),
        ]
        m.d.sync += product.eq(Cat(product[1 : self.scale_bits], total))

        # its exponent, kept for the cycle after
        exponent = Signal(self.exponent_bits, reset_less=True)
        with m.If(self.last):
            shifted = held.exponent + self.shift if self.barrel_shift else held.exponent
            m.d.sync += exponent.eq(shifted)
        m.d.comb += [
            accumulator.addend.eq(Mux(self.accumulate, product, 0)),
            accumulator.exponent.eq(Mux(self.accumulate, exponent, 0)),
            accumulator.clear.eq(self.clear),
            self.results[self.rows - 1].eq(accumulator.next),
        ]
        if self.rows > 1:
            m.d.comb += accumulator.turn.eq(self.accumulate)
        for row in range(self.rows - 1):
            m.d.comb += self.results[row].eq(accumulator.others[row])
        return m

    def _held(self, m: Module):
        """Group sum of the row in turn."""
        layout = self.inner.layout
        queue = [Signal(layout, name=f"held_{row}", reset_less=True) for row in range(self.rows)]
        with m.If(self.last):
            m.d.sync += [here.eq(behind) for here, behind in itertools.pairwise(queue)]
        with m.If(self.load):
            m.d.sync += [here.eq(self.group_sums[row]) for row, here in enumerate(queue)]
        return queue[0]
