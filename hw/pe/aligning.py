"""PE that aligns floating-point products itself."""

from collections.abc import Collection
from dataclasses import dataclass

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In

from hw.terms import term_layout
from sw.formats import TermTable

from .base import PE, registered
from .float_accumulator import FloatSum, sticky_shift


def parts_layout(significand_bits: int, place_bits: int) -> data.StructLayout:
    """A floating-point activation taken apart: ``(-1)**negative * significand * 2**place``."""
    return data.StructLayout(
        {
            "significand": unsigned(significand_bits),
            "negative": unsigned(1),
            "place": unsigned(place_bits),
        }
    )


@dataclass
class _Lane:
    """A lane's product and its exponent, 0 where the digit is 0."""

    magnitude: Value
    negative: Value
    exponent: Value


class AligningPE(PE):
    """Products of floating-point activations, brought to the largest exponent among the lanes.

    A product is significand times digit (a bit for bit-serial weights), its exponent the sum of
    place and the term's exponent. Products are moved right to the largest exponent of the slot,
    rounded with ``guard_bits`` more places below, negated, summed exactly, and accumulated in
    floating point. With one lane and float16 weights this is a fused multiply-add.

    Timing
    ------
    As :class:`hw.pe.SerialPE`; stage ``products`` lies behind the products and the largest
    exponent, in front of the shifts.

    Parameters
    ----------
    terms : :class:`sw.formats.TermTable`
        Digits in encoding ``"bit"`` or ``"magnitude"``.
    lanes : int
        Products per slot.
    significand_bits, place_bits : int
        Widths of an activation's parts.
    guard_bits : int
        Places kept below the significand of the largest product.
    sum_bits : int
        Exact width of a slot's sum.
    exponent_bits : int
        Width of a slot's exponent.
    floating : :class:`hw.pe.FloatSum`
        Accumulator; its rounding is that of the shifts, too: ``"truncate"`` drops bits of the
        magnitude here.
    pipeline : collection of str
        As :class:`hw.pe.SerialPE`.

    Members
    -------
    terms_in : ``In(ArrayLayout(term_layout(...), lanes))``
        One term per lane; an absent one, or a magnitude of 0, adds nothing.
    activations : ``In(ArrayLayout(parts_layout(...), lanes))``
        One activation per lane.
    last, group_sum
        As :class:`hw.pe.SerialPE`.
    shift_select : ``In(bits)``
        As :class:`hw.pe.SerialPE`; absent if there is one base shift.
    """

    def __init__(
        self,
        *,
        terms: TermTable,
        lanes: int,
        significand_bits: int,
        place_bits: int,
        guard_bits: int,
        sum_bits: int,
        exponent_bits: int,
        floating: FloatSum,
        pipeline: Collection[str] = (),
    ) -> None:
        self.lanes = lanes
        self.guard_bits = guard_bits
        self.exponent_bits = exponent_bits
        self.product_bits = significand_bits + terms.digit_bits - (terms.digit_bits == 1)
        super().__init__(
            terms=terms,
            sum_bits=sum_bits,
            negated=False,
            bits=floating.bits,
            mode="wrap",
            floating=floating,
            exponent_bits=exponent_bits,
            pipeline=pipeline,
            members={
                "terms_in": In(data.ArrayLayout(term_layout(terms), lanes)),
                "activations": In(
                    data.ArrayLayout(parts_layout(significand_bits, place_bits), lanes)
                ),
            },
        )

    def lane_sum(self, m: Module) -> tuple[Signal, Value | None]:
        lanes = [self._lane(m, lane) for lane in range(self.lanes)]
        largest = self._largest(m, lanes)
        aligned = [self._aligned(m, index, lane, largest) for index, lane in enumerate(lanes)]
        total = Signal(signed(self.sum_bits), reset_less=True)
        values = self.part_sums(m, [value for value, _ in aligned])
        ones = self.part_sums(m, [one for _, one in aligned])
        m.d.sync += total.eq(sum(part for pair in zip(values, ones, strict=True) for part in pair))
        if "sums" in self.pipeline:
            largest = registered(m, largest, "exponent_of_parts")
        exponent = registered(m, largest, "exponent_register")
        if "shift" in self.pipeline:
            exponent = registered(m, exponent, "exponent_shift_register")
        return total, exponent

    def _lane(self, m: Module, lane: int) -> _Lane:
        """Product and exponent of a lane; no exponent where there is no product."""
        term, activation = self.terms_in[lane], self.activations[lane]
        magnitude = Signal(self.product_bits, name=f"magnitude_{lane}")
        exponent = Signal(self.exponent_bits, name=f"exponent_{lane}")
        if self.terms.encoding == "bit":
            present = term.present
            product = activation.significand & present.replicate(self.product_bits)
        else:
            present = term.magnitude.any()
            product = activation.significand * term.magnitude
        place = activation.place
        if self.terms.exponent_bits:
            place = place + term.exponent
        m.d.comb += [
            magnitude.eq(product),
            exponent.eq(Mux(present, place, 0)),
        ]
        return _Lane(
            magnitude=self.behind_products(m, magnitude, f"magnitude_register_{lane}"),
            negative=self.behind_products(
                m, term.negative ^ activation.negative, f"negative_register_{lane}"
            ),
            exponent=self.behind_products(m, exponent, f"exponent_register_{lane}"),
        )

    def _largest(self, m: Module, lanes: list[_Lane]) -> Value:
        """Largest exponent of the lanes, by a tree of comparisons."""
        values = [lane.exponent for lane in lanes]
        level = 0
        while len(values) > 1:
            pairs = []
            for index, (a, b) in enumerate(zip(values[::2], values[1::2], strict=False)):
                larger = Signal(self.exponent_bits, name=f"larger_{level}_{index}")
                m.d.comb += larger.eq(Mux(a >= b, a, b))
                pairs.append(larger)
            values = pairs + values[len(values) & ~1 :]
            level += 1
        return values[0]

    def _aligned(self, m: Module, index: int, lane: _Lane, largest: Value) -> tuple[Value, Value]:
        """The lane's product at the common exponent, as numbers to be added up.

        A negative one is inverted; the 1 that completes it and the 1 of rounding up are one bit::

            negative, not rounded up: ~q + 1        negative, rounded up: -(q + 1) = ~q
        """
        width = self.product_bits + self.guard_bits
        value = Signal(signed(width + 1), name=f"guarded_{index}")
        distance = Signal(self.exponent_bits, name=f"distance_{index}")
        m.d.comb += [
            value.eq(Cat(Const(0, self.guard_bits), lane.magnitude)),
            distance.eq(largest - lane.exponent),
        ]
        assert self.floating is not None
        if self.lanes == 1:
            moved, up = value.as_unsigned(), Const(0, 1)
        elif self.floating.rounding == "nearest_even":
            moved, half, below = sticky_shift(m, value, distance, f"aligned_{index}")
            up = half & (below | moved[0])
        else:
            moved, up = value.as_unsigned() >> distance, Const(0, 1)
        flip = lane.negative
        inverted = Signal(signed(width + 1), name=f"inverted_{index}")
        m.d.comb += inverted.eq(moved ^ flip.replicate(width + 1))
        return inverted, flip ^ up
