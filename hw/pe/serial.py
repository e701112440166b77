"""Bit-serial PE."""

from collections.abc import Collection

from amaranth import C, Cat, Const, Module, Signal, Value, signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In

from hw.terms import term_layout
from sw.formats import TermTable

from .accumulator import extended
from .base import PART_LANES, PE, balanced_sum, carried_sum, registered
from .float_accumulator import FloatSum

#: lanes whose values are added one after the other; the sums of such chains meet in a tree
CHAIN_LANES = 4


def activation_shape(bits: int, *, is_signed: bool):
    """Shape of one activation."""
    return signed(bits) if is_signed else unsigned(bits)


def dot_bits(*, terms: TermTable, lanes: int, activation_bits: int, activation_signed: bool) -> int:
    """Exact width of the sum of some lanes in one slot, base shift excluded."""
    magnitude = 1 << (activation_bits - 1) if activation_signed else (1 << activation_bits) - 1
    return (lanes * magnitude << terms.largest_exponent).bit_length() + 1


class SerialPE(PE):
    """Lane products, their sum and the inner accumulator of one output.

    In every cycle each lane adds ``(-1)**negative * activation << exponent`` (or nothing), the
    lanes are summed exactly, and the accumulator takes ``sum << base shift`` as one step. A cycle
    without a slot has absent terms in all lanes.

    With ``adders="chain"`` the sum is a chain of subtractions, and negated: technology mapping then
    finds a lane's gate, shift and inversion in front of one operand only, and puts them into the
    look-up tables of the subtractor itself. With ``adders="compressor"`` it is one expression of
    many operands, of which synthesis makes a carry-save tree; the negative lanes' ones are counted
    outside, once per column.

    Timing
    ------
    Terms and activations in cycle 0; ``last`` and ``shift_select`` of the same slot in cycle 1,
    where ``group_sum`` and ``overflow`` are combinational. Stages ``products`` and
    ``sums`` put them off by one cycle each, stage ``shift`` by another, ``shift_select`` not
    included.

    Parameters
    ----------
    terms : :class:`sw.formats.TermTable`
        Gives exponent width and base shifts.
    lanes : int
        Products per slot.
    activation_bits : int
        Activation width.
    activation_signed : bool
        Two's complement activations, or unsigned ones.
    bits : int
        Inner accumulator width, P_I.
    mode : str
        Inner accumulator mode, see :class:`hw.pe.Accumulator`.
    adders : str
        ``"chain"`` or ``"compressor"``.
    pipeline : collection of str
        Additional registers: ``"products"`` behind the lanes, ``"sums"`` behind the sums of two,
        ``"shift"`` behind the base shift; other names are ignored.
    floating : :class:`hw.pe.FloatSum` or None
        Floating-point accumulator; activations are mantissas of a common exponent then.
    exponent_bits : int
        Width of that exponent, with ``floating``.

    Members
    -------
    terms_in : ``In(ArrayLayout(term_layout(...), lanes))``
        One term per lane; fields of an absent term are ignored.
    activations : ``In(ArrayLayout(..., lanes))``
        One activation per lane.
    negatives : ``In(bits of lanes)``
        Number of terms whose ``negative`` is set, absent terms included; absent with a chain.
    last : ``In(1)``
        Last slot of a group: the accumulator starts anew from 0.
    shift_select : ``In(bits)``
        Index of the slot's base shift among the distinct ones, rising; absent if only one.
    exponent : ``In(exponent_bits)``
        Exponent of the slot's activations, in the cycle of ``last``; 0 without a slot; absent
        without ``floating``.
    group_sum : ``Out(signed(bits))``
        Inner accumulator after this step: the group's sum in its last slot; of ``floating.layout``
        with ``floating``.
    overflow : ``Out(1)``
        This step's exact sum left the range; absent with ``floating``.
    """

    def __init__(
        self,
        *,
        terms: TermTable,
        lanes: int,
        activation_bits: int,
        activation_signed: bool = True,
        bits: int,
        mode: str,
        adders: str = "chain",
        pipeline: Collection[str] = (),
        floating: FloatSum | None = None,
        exponent_bits: int = 0,
    ) -> None:
        self.lanes = lanes
        self.activation_bits = activation_bits
        self.activation_signed = activation_signed
        self.adders = adders
        self.terms = terms
        activation = activation_shape(activation_bits, is_signed=activation_signed)
        members = {
            "terms_in": In(data.ArrayLayout(term_layout(terms), lanes)),
            "activations": In(data.ArrayLayout(activation, lanes)),
        }
        if adders == "compressor":
            members["negatives"] = In(lanes.bit_length())
        if floating is not None:
            members["exponent"] = In(exponent_bits)
        super().__init__(
            terms=terms,
            sum_bits=self._sum_bits(lanes),
            negated=adders == "chain",
            bits=bits,
            mode=mode,
            floating=floating,
            exponent_bits=exponent_bits,
            pipeline=pipeline,
            members=members,
        )

    def _sum_bits(self, lanes: int) -> int:
        """Exact width of the sum of ``lanes`` lanes."""
        return dot_bits(
            terms=self.terms,
            lanes=lanes,
            activation_bits=self.activation_bits,
            activation_signed=self.activation_signed,
        )

    def lane_sum(self, m: Module) -> tuple[Signal, Value | None]:
        lanes = [self._lane(m, lane) for lane in range(self.lanes)]
        total = Signal(signed(self.sum_bits), reset_less=True)
        if self.adders == "chain":
            negated = (
                self._chains(m, lanes) if "sums" not in self.pipeline else self._parts(m, lanes)
            )
            # for a floating-point accumulator the first chain began with -1: ~(-1 - s) = s
            m.d.sync += total.eq(negated if self.floating is None else ~negated)
        else:
            negatives = self.behind_products(m, self.negatives, "negatives_register")
            if "sums" in self.pipeline:
                negatives = registered(m, negatives, "negatives_of_parts")
            values = self.part_sums(m, [value for value, _ in lanes])
            m.d.sync += total.eq(sum(values, start=negatives))
        return total, None if self.floating is None else self.exponent

    def _lane(self, m: Module, lane: int) -> tuple[Value, Value]:
        """One lane's activation, gated, shifted and inverted if negative; and that flag.

        Its value is the first less the second.
        """
        term, activation = self.terms_in[lane], self.activations[lane]
        width = self._sum_bits(1) - 1 + (not self.activation_signed)
        value = Signal(signed(width), name=f"lane_{lane}")
        shifted = activation << term.exponent if self.terms.largest_exponent else activation
        gated = extended(shifted, width) & term.present.replicate(width)
        m.d.comb += value.eq(gated ^ term.negative.replicate(width))
        negative = self.behind_products(m, term.negative, f"negative_{lane}")
        return self.behind_products(m, value, f"product_{lane}"), negative

    def _chains(self, m: Module, lanes: list[tuple[Value, Value]]) -> Value:
        """Negated sum by chains that meet in a tree."""
        starts = range(0, self.lanes, CHAIN_LANES)
        chains = [self._chain(m, start, lanes[start : start + CHAIN_LANES]) for start in starts]
        return balanced_sum(chains)

    def _parts(self, m: Module, lanes: list[tuple[Value, Value]]) -> Value:
        """Negated sum of registered parts, up to two lanes each, that meet in a tree.

        A part but the first takes its first lane ``l - n`` as ``~l``, which is ``1 - n`` less than
        the lane negated; that enters as a carry where the part joins the tree.
        """
        first = self._chain(m, 0, lanes[:PART_LANES])
        # at power-up as without terms
        parts = [registered(m, first, "part_0", init=0 if self.floating is None else -1)]
        carries = []
        for start in range(PART_LANES, self.lanes, PART_LANES):
            (value, negative), *others = lanes[start : start + PART_LANES]
            part = (~value).as_signed()
            for lane in others:
                part = self._less(m, part, lane, len(value) + 1, f"chain_{start}")
            parts.append(registered(m, part, f"part_{start}"))
            carries.append(registered(m, ~negative, f"part_carry_{start}"))
        return carried_sum(parts, carries)

    def _chain(self, m: Module, first: int, lanes: list[tuple[Value, Value]]) -> Signal:
        """Negated sum of some lanes; in floating point the first chain is 1 less."""
        less = self.floating is not None and first == 0
        total: Value = C(-1, signed(1)) if less else Const(0, 1)
        for number, lane in enumerate(lanes, start=1):
            total = self._less(m, total, lane, self._sum_bits(number), f"chain_{first}_{number}")
        return total

    def _less(self, m: Module, total: Value, lane: tuple, width: int, name: str) -> Signal:
        """``total`` less a lane.

        A negative lane's -1 is the borrow that comes out of a place below the lowest::

            sum    . . . s 0
            lane - . . . l n        the lowest place is dropped again
        """
        value, negative = lane
        following = Signal(signed(width), name=name)
        difference = Cat(Const(0, 1), extended(total, width)) - Cat(
            negative, extended(value, width)
        )
        m.d.comb += following.eq(difference[1 : width + 1])
        return following
