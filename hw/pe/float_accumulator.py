"""Floating-point accumulator: a mantissa and the exponent of its lowest bit."""

from dataclasses import dataclass

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .accumulator import extended, ring

ROUNDINGS = ("truncate", "nearest_even")
NORMALIZATIONS = ("right", "full")


@dataclass(frozen=True, kw_only=True)
class FloatSum:
    """What a floating-point accumulator holds and how it rounds.

    Parameters
    ----------
    bits : mantissa width, two's complement.
    exponent_bits : exponent width; must have room for every exponent that occurs.
    rounding : ``"truncate"``, towards minus infinity, or ``"nearest_even"``.
    normalization : ``"right"``, the exponent only grows, or ``"full"``.

    Raises
    ------
    ValueError : a width is too small, or rounding or normalization is unknown.
    """

    bits: int
    exponent_bits: int
    rounding: str
    normalization: str = "right"

    def __post_init__(self) -> None:
        if self.bits < 3 or self.exponent_bits < 1:
            raise ValueError(
                f"a mantissa needs 3 bits and an exponent 1, not {self.bits} and "
                f"{self.exponent_bits}"
            )
        for value, known in ((self.rounding, ROUNDINGS), (self.normalization, NORMALIZATIONS)):
            if value not in known:
                raise ValueError(f"must be one of {', '.join(known)}, not {value!r}")

    @property
    def layout(self) -> data.StructLayout:
        """Value: ``mantissa * 2**exponent``."""
        return data.StructLayout(
            {"mantissa": signed(self.bits), "exponent": unsigned(self.exponent_bits)}
        )

    def guard_places(self, addend_bits: int) -> int:
        """Places below the larger operand that ``"full"`` keeps, enough to round only once."""
        return max(self.bits + 1, addend_bits - self.bits + 2)


class FloatAccumulator(wiring.Component):
    """Add ``addend * 2**exponent`` to a floating-point register in every cycle.

    Both operands are brought to the larger of the two exponents; then the sum is moved right, if
    need be, until its mantissa fits. With normalization ``"right"`` each of the two shifts rounds
    and the exponent never falls. With ``"full"`` the sum is exact (guard places and a sticky bit),
    the exponent becomes the smallest that is possible (0 for a sum of 0), and the sum is rounded
    once: as IEEE 754 rounds a sum. docs/numerics.md defines both bit by bit.

    A cycle without a step adds 0 with exponent 0, which changes nothing.

    Timing
    ------
    ``next`` is combinational; it is in the register one cycle later, or 0 with ``clear``. Reset
    makes all sums 0.

    Parameters
    ----------
    floating : :class:`FloatSum`
        Widths and rounding.
    addend_bits : int
        Width of the addend.
    addend_exponent_bits : int
        Width of its exponent.
    depth : int
        Sums that take turns, at least 1.

    Members
    -------
    addend : ``In(signed(addend_bits))``
        Mantissa of the number to add.
    exponent : ``In(addend_exponent_bits)``
        Its exponent.
    clear : ``In(1)``
        Last step: all sums start anew from 0.
    turn : ``In(1)``
        Last step of the sum in turn: it goes behind all others; absent for depth 1.
    next : ``Out(floating.layout)``
        The sum in turn after this step.
    others : ``Out(ArrayLayout(floating.layout, depth - 1))``
        The other sums, the one that is next in turn first; absent for depth 1.
    """

    def __init__(
        self, *, floating: FloatSum, addend_bits: int, addend_exponent_bits: int, depth: int = 1
    ) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, not {depth}")
        self.floating = floating
        self.addend_bits = addend_bits
        self.depth = depth
        self.width = max(addend_bits, floating.bits)
        layout = floating.layout
        members = {
            "addend": In(signed(addend_bits)),
            "exponent": In(addend_exponent_bits),
            "clear": In(1),
            "next": Out(layout),
        }
        if depth > 1:
            members |= {"turn": In(1), "others": Out(data.ArrayLayout(layout, depth - 1))}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held = data.View(self.floating.layout, ring(m, self, self.floating.layout.size))
        high, low, distance, largest = self._operands(m, held)
        if self.floating.normalization == "right":
            self._grow(m, high, low, distance, largest)
        else:
            self._normalize(m, high, low, distance, largest)
        return m

    def _operands(self, m: Module, held) -> tuple[Signal, Signal, Signal, Signal]:
        """The operand with the larger exponent, the other one, their distance, that exponent."""
        exponent = self.exponent
        if self.floating.normalization == "full":
            # an addend of 0 has no say in the exponent
            exponent = exponent & self.addend.any().replicate(len(exponent))
        bits = max(len(exponent), self.floating.exponent_bits)
        addend_leads = Signal()
        high, low = Signal(signed(self.width)), Signal(signed(self.width))
        distance, largest = Signal(bits), Signal(bits)
        m.d.comb += [
            addend_leads.eq(exponent >= held.exponent),
            high.eq(Mux(addend_leads, self.addend, held.mantissa)),
            low.eq(Mux(addend_leads, held.mantissa, self.addend)),
            largest.eq(Mux(addend_leads, exponent, held.exponent)),
            distance.eq(
                Mux(addend_leads, exponent - held.exponent, held.exponent - exponent)[:bits]
            ),
        ]
        return high, low, distance, largest

    def _grow(self, m: Module, high, low, distance, largest) -> None:
        """Round the smaller operand to the larger one's exponent, add, and move right if needed."""
        nearest = self.floating.rounding == "nearest_even"
        aligned, carry = right_shift(m, low, distance, "aligned", nearest=nearest)
        total = Signal(signed(self.width + 1))
        m.d.comb += total.eq(high + aligned + carry)
        excess = Signal(range(self.width + 2 - self.floating.bits))
        self._excess(m, total, excess)
        self._rounded(m, total, excess, largest + excess)

    def _normalize(self, m: Module, high, low, distance, largest) -> None:
        """Exact sum on guard places, moved to the smallest exponent, rounded once.

        Guard places suffice because the register holds 0, or a mantissa with its top bit in use, or
        exponent 0: what is dropped below them is then far below the rounding.
        """
        guard = self.floating.guard_places(self.addend_bits)
        wide = Signal(signed(self.width + guard))
        m.d.comb += wide.eq(low << guard)
        quotient, half, rest = sticky_shift(m, wide, distance, "aligned")
        # what is dropped shows in the lowest place, far below the rounding
        jammed = Cat(quotient[0] | half | rest, quotient[1:]).as_signed()
        total = Signal(signed(self.width + guard + 1))
        m.d.comb += total.eq((high << guard) + jammed)
        # zeros below: the few bits that a cancellation leaves move left
        below = guard + self.floating.bits - 1
        filled = Signal(signed(len(total) + self.floating.bits - 1))
        needed = Signal(range(len(filled) + 1 - self.floating.bits))
        least, shift = Signal(range(below + 1)), Signal(range(len(filled) + 1))
        self._excess(m, filled, needed)
        m.d.comb += [
            filled.eq(total << self.floating.bits - 1),
            # without an addend back to where it was: rounding to -2**(bits - 2) leaves an exponent
            # that is not the smallest, and no idle cycle may change it
            least.eq(Mux(self.addend.any(), Mux(largest < below, below - largest, 0), below)),
            shift.eq(Mux(needed > least, needed, least)),
        ]
        self._rounded(m, filled, shift, Mux(total.any(), largest + shift - below, 0))

    def _excess(self, m: Module, total: Signal, excess: Signal) -> None:
        """How far ``total`` must move right for its mantissa to fit, before rounding."""
        # the highest place that differs from the sign decides
        for place in range(self.floating.bits - 1, len(total) - 1):
            with m.If(total[place] != total[-1]):
                m.d.comb += excess.eq(place - (self.floating.bits - 2))

    def _rounded(self, m: Module, total: Signal, shift, exponent) -> None:
        """``next`` from ``total`` moved right by ``shift``; ``exponent`` is that of the result."""
        bits = self.floating.bits
        nearest = self.floating.rounding == "nearest_even"
        moved, carry = right_shift(m, total, shift, "moved", nearest=nearest)
        rounded = Signal(signed(bits + 1))
        m.d.comb += [
            rounded.eq(moved[: bits + 1].as_signed() + carry),
            self.next.mantissa.eq(rounded),
            self.next.exponent.eq(exponent),
        ]
        if nearest:
            # rounded up to 2**(bits - 1), which does not fit
            with m.If(rounded[bits] != rounded[bits - 1]):
                m.d.comb += [
                    self.next.mantissa.eq(1 << bits - 2),
                    self.next.exponent.eq(exponent + 1),
                ]


def sticky_shift(m: Module, value: Signal, amount: Value, name: str) -> tuple[Value, Value, Value]:
    """``value >> amount`` (two's complement), the first bit dropped, and whether others were 1."""
    width = len(value) + 1
    moved: Value = Cat(Const(0, 1), value)
    sticky: Value = Const(0, 1)
    for place in reversed(range(len(amount))):
        dropped = min(1 << place, width)
        following = Signal(width, name=f"{name}_{place}")
        gathered = Signal(name=f"{name}_sticky_{place}")
        rest = moved[dropped:].as_signed() if dropped < width else moved[-1].as_signed()
        m.d.comb += [
            following.eq(Mux(amount[place], extended(rest, width), moved)),
            gathered.eq(sticky | (amount[place] & moved[:dropped].any())),
        ]
        moved, sticky = following, gathered
    return moved[1:], moved[0], sticky


def right_shift(
    m: Module, value: Signal, amount: Value, name: str, *, nearest: bool
) -> tuple[Value, Value]:
    """``value >> amount`` and what to add to it to round to the nearest, ties to even."""
    amount = Value.cast(amount)
    if not nearest:
        return value >> amount, Const(0, 1)
    quotient, half, below = sticky_shift(m, value, amount, name)
    return quotient.as_signed(), half & (below | quotient[0])
