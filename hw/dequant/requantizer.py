"""Dyadic requantizer: outer sums to INT8 with a multiplier and a shift per output channel."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

OUTPUT_BITS = 8


class Requantizer(wiring.Component):
    """``clip((sum * multiplier + half) >> shift, -128, 127)``, halves rounded up.

    ``half`` is half of ``2**shift``, nothing for a shift of 0. One value per column and beat.

    Timing
    ------
    Two registers: the product, then the rounded result. A beat leaves two cycles after it came in
    if the output is taken; one beat per cycle. ``multipliers`` and ``shifts`` are used with the
    beat they belong to in its first two cycles inside, stalls included.

    Parameters
    ----------
    cols : int
        Values per beat.
    bits : int
        Width of a value, P_O.
    multiplier_bits : int
        Width of the unsigned multiplier.
    shift_bits : int
        Width of the shift.

    Members
    -------
    multipliers : ``In(cols * multiplier_bits)``
        Column 0 in the low bits.
    shifts : ``In(cols * shift_bits)``
        Column 0 in the low bits.
    values : ``In(stream.Signature(ArrayLayout(signed(bits), cols)))``
        Outer sums of a row.
    marks : ``In(2)``
        Travel with the beat.
    beats : ``Out(stream.Signature(ArrayLayout(signed(8), cols)))``
        The row, requantized.
    beats_marks : ``Out(2)``
        ``marks`` of the offered beat.
    """

    def __init__(self, *, cols: int, bits: int, multiplier_bits: int, shift_bits: int) -> None:
        self.cols = cols
        self.bits = bits
        self.multiplier_bits = multiplier_bits
        self.shift_bits = shift_bits
        super().__init__(
            {
                "multipliers": In(cols * multiplier_bits),
                "shifts": In(cols * shift_bits),
                "values": In(stream.Signature(data.ArrayLayout(signed(bits), cols))),
                "marks": In(2),
                "beats": Out(stream.Signature(data.ArrayLayout(signed(OUTPUT_BITS), cols))),
                "beats_marks": Out(2),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        product_valid = Signal()
        product_marks = Signal(2)
        advance = Signal()
        # both stages move together, and stand still while the output is not taken
        m.d.comb += [
            advance.eq(self.beats.ready | ~self.beats.valid),
            self.values.ready.eq(advance),
        ]
        with m.If(advance):
            m.d.sync += [
                product_valid.eq(self.values.valid),
                product_marks.eq(self.marks),
                self.beats.valid.eq(product_valid),
                self.beats_marks.eq(product_marks),
            ]
        for col in range(self.cols):
            self._column(m, col, advance)
        return m

    def _column(self, m: Module, col: int, advance: Signal) -> None:
        """Product in cycle 0, rounding and clipping in cycle 1."""
        multiplier = self.multipliers.word_select(col, self.multiplier_bits)
        shift = self.shifts.word_select(col, self.shift_bits)
        width = self.bits + self.multiplier_bits
        product = Signal(signed(width), name=f"product_{col}", reset_less=True)
        # the bit below the result decides: floor((p + half) / 2^s) = (p >> s) + bit s - 1 of p
        doubled = Signal(signed(width + 1), name=f"doubled_{col}")
        shifted = Signal(signed(width + 1), name=f"shifted_{col}")
        rounded = Signal(signed(width + 1), name=f"rounded_{col}")
        high, low = (1 << (OUTPUT_BITS - 1)) - 1, -(1 << (OUTPUT_BITS - 1))
        m.d.comb += [
            doubled.eq(product << 1),
            shifted.eq(doubled >> shift),
            rounded.eq((shifted >> 1) + shifted[0]),
        ]
        result = Signal(signed(OUTPUT_BITS), name=f"result_{col}")
        m.d.comb += result.eq(Mux(rounded > high, high, Mux(rounded < low, low, rounded)))
        with m.If(advance):
            m.d.sync += [
                product.eq(self.values.payload[col] * multiplier),
                self.beats.payload[col].eq(result),
            ]
