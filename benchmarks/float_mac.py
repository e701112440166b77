"""Float16 units that only area is measured of: as mostly built, and as BitMoD was released."""

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.pe import FloatAccumulator, FloatSum, parts_layout
from sw.formats import FloatLayout


class RoundingMac(wiring.Component):
    """Product rounded to the significand of its operands, then an adder that rounds again.

    Both to nearest, ties to even. Operands are taken apart as for :class:`hw.pe.AligningPE`, by the
    same decoders. As in units that flush subnormal numbers, a product is only moved by one place:
    that of a subnormal operand keeps its leading zeros and loses low bits.

    Timing
    ------
    Operands in cycle 0; ``last`` in cycle 1, where ``group_sum`` is combinational.

    Parameters
    ----------
    layout : :class:`sw.formats.FloatLayout`
        Format of weights and activations.
    floating : :class:`hw.pe.FloatSum`
        Accumulator, its unit that of products.

    Members
    -------
    weight, activation : ``In(parts_layout(...))``
        Operands; a significand of 0 without one.
    last : ``In(1)``
        Last step of a group: the accumulator starts anew from 0.
    group_sum : ``Out(floating.layout)``
        Accumulator after this step.
    """

    def __init__(self, *, layout: FloatLayout, floating: FloatSum) -> None:
        self.significand_bits = layout.significand_bits
        # both places, those of the product that are dropped, and one if it is long
        largest = 2 * layout.largest_place + layout.significand_bits
        self.exponent_bits = largest.bit_length()
        parts = parts_layout(layout.significand_bits, layout.largest_place.bit_length())
        # rounding up may make one bit more; and the sign
        self.accumulator = FloatAccumulator(
            floating=floating,
            addend_bits=layout.significand_bits + 2,
            addend_exponent_bits=self.exponent_bits,
        )
        super().__init__(
            {
                "weight": In(parts),
                "activation": In(parts),
                "last": In(1),
                "group_sum": Out(floating.layout),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.accumulator = accumulator = self.accumulator
        magnitude, exponent = self._product(m)
        negative = self.weight.negative ^ self.activation.negative
        addend = Signal(signed(self.significand_bits + 2), reset_less=True)
        place = Signal(self.exponent_bits, reset_less=True)
        m.d.sync += [addend.eq(Mux(negative, -magnitude, magnitude)), place.eq(exponent)]
        m.d.comb += [
            accumulator.addend.eq(addend),
            accumulator.exponent.eq(place),
            accumulator.clear.eq(self.last),
            self.group_sum.eq(accumulator.next),
        ]
        return m

    def _product(self, m: Module) -> tuple[Signal, Value]:
        """Rounded magnitude and exponent of the product."""
        bits = self.significand_bits
        product = Signal(2 * bits)
        m.d.comb += product.eq(self.weight.significand * self.activation.significand)
        is_long = product[-1]
        # the highest bit in place, a bit to round by, and whether there is more below
        top = Mux(is_long, product[bits:], product[bits - 1 : -1])
        half = Mux(is_long, product[bits - 1], product[bits - 2])
        below = Mux(is_long, product[: bits - 1].any(), product[: bits - 2].any())
        magnitude = Signal(bits + 1)
        m.d.comb += magnitude.eq(top + (half & (below | Cat(top)[0])))
        return magnitude, self.weight.place + self.activation.place + (bits - 1) + is_long


class UnalignedAccumulator(FloatAccumulator):
    """Accumulator of BitMoD's released Verilog: it does not align an addend of smaller exponent.

    **Wrong sums**, for comparison of area only: the sum moves right where its exponent is smaller,
    the addend never does.

    Timing
    ------
    As :class:`hw.pe.FloatAccumulator`.

    Parameters
    ----------
    floating, addend_bits, addend_exponent_bits, depth
        As :class:`hw.pe.FloatAccumulator`.

    Members
    -------
    addend, exponent, clear, turn, next, others
        As :class:`hw.pe.FloatAccumulator`.
    """

    def _operands(self, m: Module, held) -> tuple[Signal, Signal, Signal, Signal]:
        bits = max(len(self.exponent), self.floating.exponent_bits)
        addend_leads = Signal()
        high, low = Signal(signed(self.width)), Signal(signed(self.width))
        distance, largest = Signal(bits), Signal(bits)
        m.d.comb += [
            addend_leads.eq(self.exponent >= held.exponent),
            high.eq(self.addend),
            low.eq(held.mantissa),
            largest.eq(Mux(addend_leads, self.exponent, held.exponent)),
            distance.eq(Mux(addend_leads, (self.exponent - held.exponent)[:bits], 0)),
        ]
        return high, low, distance, largest
