"""Plain arithmetic operators, as published area and energy tables count them.

None of them is part of an accelerator: they exist to be measured beside published figures.
"""

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.pe import sticky_shift

#: places below the lowest that an addition keeps: guard, round and sticky
_GUARDS = 3


class IntegerAdder(wiring.Component):
    """``a + b``, low bits.

    Timing
    ------
    Combinational.

    Parameters
    ----------
    bits : int
        Width of operands and sum.

    Members
    -------
    a, b : ``In(bits)``
        Operands.
    result : ``Out(bits)``
        Sum without its carry.
    """

    def __init__(self, *, bits: int) -> None:
        super().__init__({"a": In(bits), "b": In(bits), "result": Out(bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.result.eq(self.a + self.b)
        return m


class IntegerMultiplier(wiring.Component):
    """``a * b`` of two's complement numbers, the whole product.

    Timing
    ------
    Combinational.

    Parameters
    ----------
    bits : int
        Width of the operands.

    Members
    -------
    a, b : ``In(bits)``
        Operands.
    result : ``Out(2 * bits)``
        Product.
    """

    def __init__(self, *, bits: int) -> None:
        super().__init__({"a": In(bits), "b": In(bits), "result": Out(2 * bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.result.eq(self.a.as_signed() * self.b.as_signed())
        return m


class FloatOperator(wiring.Component):
    """A floating-point operator on codes: sign, exponent, fraction, rounded to nearest even.

    Subnormal numbers count as 0, as operands and as results; results too large become infinite.
    Infinite operands and NaN are not treated.

    Timing
    ------
    Combinational.

    Parameters
    ----------
    exponent_bits, fraction_bits : int
        Widths of the fields.

    Members
    -------
    a, b : ``In(1 + exponent_bits + fraction_bits)``
        Operands.
    result : ``Out(1 + exponent_bits + fraction_bits)``
        Rounded result.
    """

    def __init__(self, *, exponent_bits: int, fraction_bits: int) -> None:
        self.exponent_bits = exponent_bits
        self.fraction_bits = fraction_bits
        width = 1 + exponent_bits + fraction_bits
        super().__init__({"a": In(width), "b": In(width), "result": Out(width)})

    def _significand(self, code: Signal) -> Value:
        """Fraction below its hidden bit; 0 of a number that counts as 0."""
        hidden = self._exponent(code).any()
        fraction = code[: self.fraction_bits] & hidden.replicate(self.fraction_bits)
        return Cat(fraction, hidden)

    def _exponent(self, code: Signal) -> Value:
        return code[self.fraction_bits : -1]

    def _pack(self, m: Module, sign: Value, exponent: Value, kept: Value, up: Value) -> None:
        """``result`` from a significand with its hidden bit: round up or not, or 0, or infinite.

        ``exponent`` is signed, that of the hidden bit, and means 0 if below 1.
        """
        bits, fraction = self.exponent_bits, self.fraction_bits
        # a carry out of the fraction raises the exponent by itself
        rounded = Signal(bits + fraction + 2)
        m.d.comb += rounded.eq(Cat(kept[:fraction], exponent[: bits + 1]) + up)
        infinite = rounded[fraction:] >= (1 << bits) - 1
        infinity = Cat(Const(0, fraction), Const(-1, bits).as_unsigned())
        magnitude = Mux(infinite, infinity, rounded[: bits + fraction])
        m.d.comb += self.result.eq(
            Cat(Mux(kept[-1] & (exponent > 0), magnitude, Const(0, bits + fraction)), sign)
        )


class FloatMultiplier(FloatOperator):
    """Rounded product, see :class:`FloatOperator`.

    Timing
    ------
    Combinational.

    Parameters
    ----------
    exponent_bits, fraction_bits : int
        Widths of the fields.

    Members
    -------
    a, b : ``In(1 + exponent_bits + fraction_bits)``
        Operands.
    result : ``Out(1 + exponent_bits + fraction_bits)``
        Product.
    """

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits, width = self.exponent_bits, self.fraction_bits + 1
        product = Signal(2 * width)
        m.d.comb += product.eq(self._significand(self.a) * self._significand(self.b))
        is_long = product[-1]
        # one place further left unless the product is long
        placed = Signal(2 * width)
        m.d.comb += placed.eq(Mux(is_long, product, product << 1))
        kept, half, below = placed[width:], placed[width - 1], placed[: width - 1].any()
        exponent = Signal(bits + 2)
        bias = (1 << bits - 1) - 1
        m.d.comb += exponent.eq(self._exponent(self.a) + self._exponent(self.b) + is_long - bias)
        self._pack(m, self.a[-1] ^ self.b[-1], exponent.as_signed(), kept, half & (below | kept[0]))
        return m


class FloatAdder(FloatOperator):
    """Rounded sum, see :class:`FloatOperator`; one path for near and far operands.

    Timing
    ------
    Combinational.

    Parameters
    ----------
    exponent_bits, fraction_bits : int
        Widths of the fields.

    Members
    -------
    a, b : ``In(1 + exponent_bits + fraction_bits)``
        Operands.
    result : ``Out(1 + exponent_bits + fraction_bits)``
        Sum.
    """

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = self.fraction_bits + 1
        large, small = Signal.like(self.a), Signal.like(self.a)
        swap = self.a[:-1] < self.b[:-1]
        m.d.comb += [
            large.eq(Mux(swap, self.b, self.a)),
            small.eq(Mux(swap, self.a, self.b)),
        ]
        distance = Signal(self.exponent_bits)
        m.d.comb += distance.eq(self._exponent(large) - self._exponent(small))
        # significands with places for guard, round and sticky below, and a sign of 0
        widened = Signal(width + _GUARDS + 1)
        m.d.comb += widened.eq(self._significand(small) << _GUARDS)
        moved, half, rest = sticky_shift(m, widened, distance, "aligned")
        jammed = Cat(moved[0] | half | rest, moved[1 : width + _GUARDS])
        total = Signal(width + _GUARDS + 1)
        high = self._significand(large) << _GUARDS
        m.d.comb += total.eq(Mux(large[-1] ^ small[-1], high - jammed, high + jammed))
        self._normalize(m, large, total)
        return m

    def _normalize(self, m: Module, large: Signal, total: Signal) -> None:
        """Leading one to the top, by steps that halve; rounded and packed."""
        width, value = len(total), total
        places: list[Signal] = []
        for step in reversed(range((width - 1).bit_length())):
            empty = Signal(name=f"empty_{step}")
            following = Signal(width, name=f"normalized_{step}")
            m.d.comb += [
                empty.eq(~value[width - (1 << step) :].any()),
                following.eq(Mux(empty, value << (1 << step), value)),
            ]
            places.insert(0, empty)
            value = following
        exponent = Signal(self.exponent_bits + 2)
        m.d.comb += exponent.eq(self._exponent(large) + 1 - Cat(places))
        below = width - self.fraction_bits - 1
        kept, half, rest = value[below:], value[below - 1], value[: below - 1].any()
        zero = ~total.any()
        # a sum of 0 is positive unless both operands are negative
        sign = large[-1] & (~zero | (self.a[-1] & self.b[-1]))
        self._pack(m, sign, exponent.as_signed(), kept, half & (rest | kept[0]))
