"""Results of a floating-point machine to float32."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.pe import right_shift

_MANTISSA, _BIAS, _INFINITY = 23, 127, 0x7F800000
FLOAT32_BITS = 32


class FloatEncoder(wiring.Component):
    """``mantissa * 2**(exponent + unit_exponent)`` as float32, to nearest, ties to even.

    One value per column and beat. Zero is +0; subnormal results and infinities are those of
    IEEE 754.

    Timing
    ------
    One register: a beat leaves one cycle after it came in if the output is taken; one beat per
    cycle.

    Parameters
    ----------
    cols : int
        Values per beat.
    bits : int
        Width of a mantissa, two's complement.
    exponent_bits : int
        Width of an exponent; 0 without.
    unit_exponent : int
        Binary logarithm of what mantissa 1 with exponent 0 stands for.

    Members
    -------
    values : ``In(stream.Signature(ArrayLayout(bits + exponent_bits, cols)))``
        Mantissas in the low bits, exponents above.
    marks : ``In(2)``
        Travel with the beat.
    beats : ``Out(stream.Signature(ArrayLayout(32, cols)))``
        The row in float32.
    beats_marks : ``Out(2)``
        ``marks`` of the offered beat.
    """

    def __init__(self, *, cols: int, bits: int, exponent_bits: int, unit_exponent: int) -> None:
        self.cols = cols
        self.bits = bits
        self.exponent_bits = exponent_bits
        self.unit_exponent = unit_exponent
        super().__init__(
            {
                "values": In(stream.Signature(data.ArrayLayout(bits + exponent_bits, cols))),
                "marks": In(2),
                "beats": Out(stream.Signature(data.ArrayLayout(FLOAT32_BITS, cols))),
                "beats_marks": Out(2),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        advance = Signal()
        m.d.comb += [
            advance.eq(self.beats.ready | ~self.beats.valid),
            self.values.ready.eq(advance),
        ]
        with m.If(advance):
            m.d.sync += [
                self.beats.valid.eq(self.values.valid),
                self.beats_marks.eq(self.marks),
            ]
        for col in range(self.cols):
            encoded = self._column(m, col)
            with m.If(advance):
                m.d.sync += self.beats.payload[col].eq(encoded)
        return m

    def _column(self, m: Module, col: int) -> Signal:
        """Leading one to the top, rounding at the 24th place, and the fields."""
        value = self.values.payload[col]
        mantissa, exponent = value[: self.bits].as_signed(), value[self.bits :]
        magnitude = Signal(self.bits, name=f"magnitude_{col}")
        m.d.comb += magnitude.eq(Mux(mantissa[-1], -mantissa, mantissa))
        leading = Signal(range(self.bits), name=f"leading_{col}")
        for place in range(self.bits):
            with m.If(magnitude[place]):
                m.d.comb += leading.eq(place)

        up = Signal(range(max(2, self.bits)), name=f"up_{col}")
        m.d.comb += up.eq(self.bits - 1 - leading)

        # the leading one at the top of at least 24 places, and one above for the shift's sign
        width = max(self.bits, _MANTISSA + 1)
        top = Signal(signed(width + 1), name=f"top_{col}")
        m.d.comb += top.eq((magnitude << up) << width - self.bits)

        # biased exponent of the leading one; below 1 the number is subnormal
        field = self._field(m, col, exponent, leading)
        largest_missing = max(0, 1 - (self.unit_exponent + _BIAS))
        missing = Signal(range(min(largest_missing, width + 1) + 1), name=f"missing_{col}")
        if largest_missing:
            m.d.comb += missing.eq(Mux(field < 1, Mux(field < -width, width + 1, 1 - field), 0))
        distance = Signal(range(2 * width + 2), name=f"distance_{col}")
        m.d.comb += distance.eq(missing + (width - (_MANTISSA + 1)))
        moved, carry = right_shift(m, top, distance, f"moved_{col}", nearest=True)

        # the hidden one adds 1 to the exponent field, and so does a carry out of the mantissa
        below = Signal(range(1 << 10), name=f"below_{col}")
        unsigned_bits = Signal(FLOAT32_BITS, name=f"unsigned_{col}")
        m.d.comb += [
            below.eq(Mux(field < 1, 0, Mux(field > 256, 256, field - 1))),
            unsigned_bits.eq(
                Mux(
                    magnitude.any(),
                    moved[: _MANTISSA + 1] + carry + Cat(Const(0, _MANTISSA), below),
                    0,
                )
            ),
        ]
        encoded = Signal(FLOAT32_BITS, name=f"encoded_{col}")
        limited = Mux(unsigned_bits > _INFINITY, _INFINITY, unsigned_bits)
        m.d.comb += encoded.eq(Cat(limited[: FLOAT32_BITS - 1], mantissa[-1]))
        return encoded

    def _field(self, m: Module, col: int, exponent, leading) -> Signal:
        """Exponent field of the leading one, as a signed number."""
        largest = (1 << self.exponent_bits) + self.bits + abs(self.unit_exponent) + _BIAS
        field = Signal(signed(largest.bit_length() + 1), name=f"field_{col}")
        m.d.comb += field.eq(exponent + leading + (self.unit_exponent + _BIAS))
        return field
