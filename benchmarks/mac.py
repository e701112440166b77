"""What the serial PE is measured against: multiplier PEs, and the decoders of both.

All have the serial PE's outside: activations and weights registered by others, the lane sum
registered, an accumulator that starts anew after the last step of a group.
"""

from amaranth import C, Cat, Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.pe import Accumulator, balanced_sum
from hw.terms import SpecialTerms, TermDecoder, term_layout
from sw.accumulators.width import signed_width
from sw.formats import FormatFamily, TermTable

#: lanes whose values are added one after the other, as in the serial PE
CHAIN_LANES = 4


def level_bits(family: FormatFamily) -> int:
    """Two's complement width of a family's levels."""
    return signed_width(min(family.all_levels), max(family.all_levels))


class MultiplierPE(wiring.Component):
    """``sum(activation * weight)`` with the operators of the language: a MAC as anyone writes it.

    Timing
    ------
    Operands in cycle 0; ``last`` in cycle 1, where ``group_sum`` is combinational.

    Parameters
    ----------
    weight_bits : int
        Two's complement weight width.
    lanes : int
        Products per cycle.
    activation_bits : int
        Two's complement activation width.
    bits : int
        Accumulator width; it wraps.

    Members
    -------
    weights : ``In(ArrayLayout(signed(weight_bits), lanes))``
        One weight per lane.
    activations : ``In(ArrayLayout(signed(activation_bits), lanes))``
        One activation per lane.
    last : ``In(1)``
        Last step of a group: the accumulator starts anew from 0.
    group_sum : ``Out(signed(bits))``
        Accumulator after this step.
    """

    def __init__(self, *, weight_bits: int, lanes: int, activation_bits: int, bits: int) -> None:
        self.lanes = lanes
        self.dot_bits = (lanes << (weight_bits - 1 + activation_bits - 1)).bit_length() + 1
        self.accumulator = Accumulator(bits=bits, addend_bits=self.dot_bits, mode="wrap")
        super().__init__(
            {
                "weights": In(data.ArrayLayout(signed(weight_bits), lanes)),
                "activations": In(data.ArrayLayout(signed(activation_bits), lanes)),
                "last": In(1),
                "group_sum": Out(signed(bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.accumulator = accumulator = self.accumulator
        products = [self.weights[lane] * self.activations[lane] for lane in range(self.lanes)]
        dot = Signal(signed(self.dot_bits), reset_less=True)
        m.d.sync += dot.eq(balanced_sum(products))
        m.d.comb += [
            accumulator.addend.eq(dot),
            accumulator.clear.eq(self.last),
            self.group_sum.eq(accumulator.next),
        ]
        return m


class ParallelPE(wiring.Component):
    """All terms of a weight in one cycle: the serial PE with its slots side by side.

    The best multiplier for look-up tables that we know how to write: recoded weights (for integers
    Booth's digits) from the same decoders, added by the serial PE's chains of subtractions, one
    per slot and four lanes.

    Timing
    ------
    As :class:`MultiplierPE`.

    Parameters
    ----------
    terms : :class:`sw.formats.TermTable`
        Slots, base shifts and exponents.
    lanes, activation_bits, bits : int
        As :class:`MultiplierPE`.

    Members
    -------
    terms_in : ``In(ArrayLayout(ArrayLayout(term_layout(...), lanes), slots))``
        Every slot's term of every lane.
    activations, last, group_sum
        As :class:`MultiplierPE`.
    """

    def __init__(self, *, terms: TermTable, lanes: int, activation_bits: int, bits: int) -> None:
        self.terms = terms
        self.lanes = lanes
        self.lane_bits = activation_bits + terms.largest_exponent
        total = sum(lanes << (self.lane_bits - 1 + shift) for shift in terms.base_shifts)
        self.dot_bits = total.bit_length() + 1
        self.accumulator = Accumulator(
            bits=bits, addend_bits=self.dot_bits, mode="wrap", subtract=True
        )
        slot = data.ArrayLayout(term_layout(terms), lanes)
        super().__init__(
            {
                "terms_in": In(data.ArrayLayout(slot, terms.slots)),
                "activations": In(data.ArrayLayout(signed(activation_bits), lanes)),
                "last": In(1),
                "group_sum": Out(signed(bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.accumulator = accumulator = self.accumulator
        sums = []
        for slot, shift in enumerate(self.terms.base_shifts):
            starts = range(0, self.lanes, CHAIN_LANES)
            chains = [self._chain(m, slot, start) for start in starts]
            sums.append(balanced_sum(chains) << shift)
        negated = Signal(signed(self.dot_bits), reset_less=True)
        m.d.sync += negated.eq(balanced_sum(sums))
        m.d.comb += [
            accumulator.addend.eq(negated),
            accumulator.clear.eq(self.last),
            self.group_sum.eq(accumulator.next),
        ]
        return m

    def _chain(self, m: Module, slot: int, start: int) -> Signal:
        """Negated sum of up to four lanes' terms in one slot."""
        total: Value = C(0, 1)
        chosen = range(start, min(start + CHAIN_LANES, self.lanes))
        for number, lane in enumerate(chosen, start=1):
            term, activation = self.terms_in[slot][lane], self.activations[lane]
            shifted = activation << term.exponent if self.terms.largest_exponent else activation
            lane_bits = self.lane_bits
            gated = extended(shifted, lane_bits) & term.present.replicate(lane_bits)
            value = Signal(signed(lane_bits), name=f"lane_{slot}_{lane}")
            m.d.comb += value.eq(gated ^ term.negative.replicate(lane_bits))
            width = (number << (lane_bits - 1)).bit_length() + 1
            following = Signal(signed(width), name=f"chain_{slot}_{lane}")
            m.d.comb += following.eq(subtract_lane(total, value, term.negative, width))
            total = following
        return total


class ColumnTerms(wiring.Component):
    """Decoders and term registers of one array column, shared by all its PEs.

    Timing
    ------
    Codes in cycle 0, terms in cycle 1.

    Parameters
    ----------
    family : :class:`sw.formats.FormatFamily`
        Weight formats.
    terms : :class:`sw.formats.TermTable`
        Terms of the family.
    lanes : int
        Codes per cycle.
    parallel : bool
        Decode every slot at once, for :class:`ParallelPE`.

    Members
    -------
    codes : ``In(lanes * family.bits)``
        Weight codes.
    format_id : ``In(family.id_bits)``
        Format of the group; absent for a single format.
    slot : ``In(bits of slots - 1)``
        Slot of the chunk; absent for a single slot, or if ``parallel``.
    valid : ``In(1)``
        There is a slot in this cycle.
    terms : ``Out(ArrayLayout(ArrayLayout(term_layout(...), lanes), slots or 1))``
        Registered terms.
    """

    def __init__(
        self, *, family: FormatFamily, terms: TermTable, lanes: int, parallel: bool = False
    ) -> None:
        self.family = family
        self.table = terms
        self.lanes = lanes
        self.parallel = parallel
        self.slot_bits = 0 if parallel else (terms.slots - 1).bit_length()
        slot = data.ArrayLayout(term_layout(terms), lanes)
        members = {
            "codes": In(lanes * family.bits),
            "valid": In(1),
            "terms": Out(data.ArrayLayout(slot, terms.slots if parallel else 1)),
        }
        if family.id_bits:
            members["format_id"] = In(family.id_bits)
        if self.slot_bits:
            members["slot"] = In(self.slot_bits)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        slots = range(self.table.slots) if self.parallel else [self.slot if self.slot_bits else 0]
        for number, slot in enumerate(slots):
            special = self._special(m, number, slot)
            for lane in range(self.lanes):
                decoder = TermDecoder(family=self.family, terms=self.table)
                m.submodules[f"decoder_{number}_{lane}"] = decoder
                m.d.comb += decoder.code.eq(self.codes.word_select(lane, self.family.bits))
                if special is not None:
                    m.d.comb += decoder.special.eq(special)
                elif self.family.id_bits:
                    m.d.comb += decoder.format_id.eq(self.format_id)
                if self.table.slots > 1:
                    m.d.comb += decoder.slot.eq(slot)
                term = self.terms[number][lane]
                m.d.sync += term.eq(decoder.term)
                m.d.sync += term.present.eq(decoder.term.present & self.valid)
        return m

    def _special(self, m: Module, number: int, slot):
        """Term of the column's special value in a slot, or None."""
        if self.family.special_code is None:
            return None
        special = SpecialTerms(family=self.family, terms=self.table, programmable=False)
        m.submodules[f"special_{number}"] = special
        m.d.comb += special.format_id.eq(self.format_id)
        if self.table.slots > 1:
            m.d.comb += special.slot.eq(slot)
        return special.term


class ColumnLevels(wiring.Component):
    """Weights of one array column as integers, registered: the decoder of :class:`MultiplierPE`.

    Timing
    ------
    Codes in cycle 0, levels in cycle 1.

    Parameters
    ----------
    family : :class:`sw.formats.FormatFamily`
        Weight formats.
    lanes : int
        Codes per cycle.

    Members
    -------
    codes : ``In(lanes * family.bits)``
        Weight codes.
    format_id : ``In(family.id_bits)``
        Format of the group; absent for a single format.
    valid : ``In(1)``
        There are codes in this cycle.
    levels : ``Out(ArrayLayout(signed(level_bits(family)), lanes))``
        Registered levels, 0 without codes.
    """

    def __init__(self, *, family: FormatFamily, lanes: int) -> None:
        self.family = family
        self.lanes = lanes
        members = {
            "codes": In(lanes * family.bits),
            "valid": In(1),
            "levels": Out(data.ArrayLayout(signed(level_bits(family)), lanes)),
        }
        if family.id_bits:
            members["format_id"] = In(family.id_bits)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for lane in range(self.lanes):
            code = self.codes.word_select(lane, self.family.bits)
            level = Signal(signed(level_bits(self.family)), name=f"level_{lane}")
            with m.Switch(Cat(code, self.format_id) if self.family.id_bits else code):
                for format_id, member in enumerate(self.family.members):
                    for number, value in enumerate(member.levels):
                        with m.Case(format_id << self.family.bits | number):
                            m.d.comb += level.eq(value if value is not None else 0)
            valid = self.valid.replicate(len(level))
            m.d.sync += self.levels[lane].eq(level & valid)
        return m


class ActivationRegister(wiring.Component):
    """Integer activations of one row, registered.

    Timing
    ------
    One cycle.

    Parameters
    ----------
    bits : int
        Width of all of them.

    Members
    -------
    values : ``In(bits)``
        Activations.
    registered : ``Out(bits)``
        The same, one cycle later.
    """

    def __init__(self, *, bits: int) -> None:
        super().__init__({"values": In(bits), "registered": Out(bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.registered.eq(self.values)
        return m


def extended(value, width: int) -> Value:
    """Low ``width`` bits of ``value``, sign or zero extended by hand."""
    value = Value.cast(value)
    missing = max(0, width - len(value))
    top = value[-1].replicate(missing) if value.shape().signed else C(0, missing)
    return Cat(value, top)[:width]


def subtract_lane(total, value, negative, width: int) -> Value:
    """``total - value - negative`` in ``width`` bits, the flag as a borrow from below."""
    minuend = Cat(C(0, 1), extended(total, width))
    return (minuend - Cat(negative, extended(value, width)))[1 : width + 1]
