"""Bit-serial dequantizer: group sum times group scale, one scale bit per cycle, then outer sum."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.pe import Accumulator


class SerialDequantizer(wiring.Component):
    """Multiply by an unsigned scale, most significant bit first, and accumulate over groups.

    Timing
    ------
    ``multiply`` is high for ``scale_bits`` consecutive cycles, ``first`` with the first of them;
    ``group_sum`` must hold meanwhile. ``accumulate`` follows in the cycle after the last bit and
    may coincide with the first bit of the next group. ``result`` is combinational in that cycle.

    Parameters
    ----------
    group_bits : int
        Width of the group sum, P_I.
    scale_bits : int
        Width of the scale. The product register is ``group_bits + scale_bits`` wide and cannot
        overflow.
    bits : int
        Outer accumulator width, P_O.
    mode : str
        Outer accumulator mode, see :class:`hw.pe.Accumulator`.

    Members
    -------
    group_sum : ``In(signed(group_bits))``
        Inner accumulator of the finished group.
    scale_bit : ``In(1)``
        Bit of the scale, most significant first.
    multiply : ``In(1)``
        A scale bit is offered.
    first : ``In(1)``
        The bit is the first of its group.
    accumulate : ``In(1)``
        Add the product to the outer sum.
    clear : ``In(1)``
        The group is the first of its tile.
    result : ``Out(signed(bits))``
        Outer sum including this group.
    overflow : ``Out(1)``
        The outer step's exact sum left the range.
    """

    def __init__(self, *, group_bits: int, scale_bits: int, bits: int, mode: str) -> None:
        self.product_bits = group_bits + scale_bits
        self.accumulator = Accumulator(bits=bits, addend_bits=self.product_bits, mode=mode)
        super().__init__(
            {
                "group_sum": In(signed(group_bits)),
                "scale_bit": In(1),
                "multiply": In(1),
                "first": In(1),
                "accumulate": In(1),
                "clear": In(1),
                "result": Out(signed(bits)),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.accumulator = accumulator = self.accumulator

        # cycles 0 .. scale_bits - 1: product = 2 * product + (group sum if the bit is set)
        product = Signal(signed(self.product_bits), reset_less=True)
        doubled = Mux(self.first, 0, product << 1)
        with m.If(self.multiply):
            m.d.sync += product.eq(doubled + Mux(self.scale_bit, self.group_sum, 0))

        # cycle scale_bits: outer accumulation
        m.d.comb += [
            accumulator.addend.eq(product),
            accumulator.enable.eq(self.accumulate),
            accumulator.clear.eq(self.clear),
            self.result.eq(accumulator.next),
            self.overflow.eq(accumulator.overflow),
        ]
        return m
