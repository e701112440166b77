"""Floating-point activations of one row: taken apart, aligned, or turned into fixed point."""

from typing import Literal

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.pe import parts_layout, right_shift
from sw.formats import FloatLayout

Target = Literal["aligned", "parts", "fixed"]


class FloatActivations(wiring.Component):
    """Decode a chunk of one row, once for all columns.

    What the row's PEs take is registered:

    - ``"aligned"``: two's complement mantissas of the largest place among the lanes, rounded with
      ``guard_bits`` more places below, and that place as their common exponent;
    - ``"parts"``: sign, significand and place of each lane, for PEs that align products;
    - ``"fixed"``: two's complement fixed-point numbers, in which every activation is exact.

    Inf and NaN count as 0 and are reported.

    Timing
    ------
    Codes and ``valid`` in cycle 0, outputs in cycle 1.

    Parameters
    ----------
    layout : :class:`sw.formats.FloatLayout`
        Format of the activations.
    lanes : int
        Activations per chunk.
    target : str
        ``"aligned"``, ``"parts"`` or ``"fixed"``.
    guard_bits : int
        Places below the significand of the largest activation; only with ``"aligned"``.
    rounding : str
        ``"truncate"``, of magnitudes, or ``"nearest_even"``; only with ``"aligned"``.

    Members
    -------
    codes : ``In(lanes * layout.bits)``
        The chunk, lane 0 in the low bits.
    valid : ``In(1)``
        A slot is issued.
    values : ``Out(ArrayLayout(..., lanes))``
        The activations: ``signed(...)`` or ``parts_layout(...)``.
    exponent : ``Out(bits of layout.largest_place)``
        Common exponent; 0 without a slot; absent but with ``"aligned"``.
    invalid : ``Out(1)``
        The slot's chunk holds Inf or NaN.
    """

    def __init__(
        self,
        *,
        layout: FloatLayout,
        lanes: int,
        target: Target,
        guard_bits: int = 0,
        rounding: str = "nearest_even",
    ) -> None:
        self.layout = layout
        self.lanes = lanes
        self.target = target
        self.guard_bits = guard_bits
        self.rounding = rounding
        self.place_bits = layout.largest_place.bit_length()
        #: magnitude of an aligned value
        self.magnitude_bits = layout.significand_bits + guard_bits
        shape = {
            "aligned": signed(self.magnitude_bits + 1),
            "parts": parts_layout(layout.significand_bits, self.place_bits),
            "fixed": signed(layout.fixed_bits),
        }[target]
        members = {
            "codes": In(lanes * layout.bits),
            "valid": In(1),
            "values": Out(data.ArrayLayout(shape, lanes)),
            "invalid": Out(1),
        }
        if target == "aligned":
            members["exponent"] = Out(self.place_bits)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = [self._parts(m, lane) for lane in range(self.lanes)]
        wrong = Cat(self._wrong(lane) for lane in range(self.lanes))
        m.d.sync += self.invalid.eq(wrong.any() & self.valid)
        if self.target == "aligned":
            self._align(m, lanes)
            return m
        for lane, parts in enumerate(lanes):
            if self.target == "parts":
                m.d.sync += self.values[lane].eq(parts)
            else:
                fixed = Signal(self.layout.fixed_bits - 1, name=f"fixed_{lane}")
                m.d.comb += fixed.eq(parts.significand << parts.place)
                m.d.sync += self.values[lane].eq(Mux(parts.negative, -fixed, fixed))
        return m

    def _fields(self, lane: int) -> tuple[Value, Value, Value]:
        """Mantissa, exponent field and sign of a lane's code."""
        code = self.codes.word_select(lane, self.layout.bits)
        mantissa = code[: self.layout.mantissa_bits]
        return mantissa, code[self.layout.mantissa_bits : -1], code[-1]

    def _wrong(self, lane: int) -> Value:
        """Whether a lane's code is Inf or NaN."""
        mantissa, field, _ = self._fields(lane)
        return (Cat(mantissa, field) if self.layout.only_ones else field).all()

    def _parts(self, m: Module, lane: int) -> data.View:
        """Sign, significand and place of a lane; Inf and NaN as 0."""
        parts = Signal(
            parts_layout(self.layout.significand_bits, self.place_bits), name=f"parts_{lane}"
        )
        mantissa, field, negative = self._fields(lane)
        hidden = field.any()
        m.d.comb += parts.negative.eq(negative)
        with m.If(~self._wrong(lane)):
            m.d.comb += [
                parts.significand.eq(Cat(mantissa, hidden)),
                parts.place.eq(Mux(hidden, field - 1, 0)),
            ]
        return parts

    def _align(self, m: Module, lanes: list[data.View]) -> None:
        """Bring the lanes to their largest place."""
        largest: Value = lanes[0].place
        for lane, parts in enumerate(lanes[1:], start=1):
            larger = Signal(self.place_bits, name=f"larger_{lane}")
            m.d.comb += larger.eq(Mux(parts.place >= largest, parts.place, largest))
            largest = larger
        m.d.sync += self.exponent.eq(Mux(self.valid, largest, 0))
        nearest = self.rounding == "nearest_even"
        for lane, parts in enumerate(lanes):
            guarded = Signal(signed(self.magnitude_bits + 1), name=f"guarded_{lane}")
            distance = Signal(self.place_bits, name=f"distance_{lane}")
            m.d.comb += [
                guarded.eq(Cat(Const(0, self.guard_bits), parts.significand)),
                distance.eq(largest - parts.place),
            ]
            moved, carry = right_shift(m, guarded, distance, f"aligned_{lane}", nearest=nearest)
            rounded = Signal(self.magnitude_bits, name=f"rounded_{lane}")
            m.d.comb += rounded.eq(moved + carry)
            m.d.sync += self.values[lane].eq(Mux(parts.negative, -rounded, rounded))
