"""Term decoder, generated from a format family's term table."""

from amaranth import Cat, Module, Mux, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sw.formats import FormatFamily, TermTable, float_layout
from sw.formats.terms import MAX_CODE_BITS


def bit_layout(exponent_bits: int) -> data.StructLayout:
    """A term whose digit is one bit."""
    return data.StructLayout(
        {"present": unsigned(1), "negative": unsigned(1), "exponent": unsigned(exponent_bits)}
    )


def term_layout(terms: TermTable) -> data.StructLayout:
    """One term as :meth:`sw.formats.TermTable.packed` orders it.

    ``(-1)**negative * 2**exponent`` if ``present``, else nothing; of weights taken whole
    ``(-1)**negative * magnitude * 2**exponent``, or ``digit * 2**exponent``. ``exponent`` is absent
    where all are 0.
    """
    if terms.encoding == "bit":
        return bit_layout(terms.exponent_bits)
    bits = terms.digit_bits
    fields = {
        "magnitude": {"magnitude": unsigned(bits), "negative": unsigned(1)},
        "signed": {"digit": signed(bits)},
    }[terms.encoding]
    if terms.exponent_bits:
        fields["exponent"] = unsigned(terms.exponent_bits)
    return data.StructLayout(fields)


class TermDecoder(wiring.Component):
    """Look up the term of a code in a slot; a wide floating-point code is its own term.

    Codes that mean the same level in every member of the family are decoded from the code alone.
    A family with a special code (one code differs between members) takes that code's term from
    outside, where it is chosen once per column (:class:`hw.terms.SpecialTerms`); otherwise the
    format id decides. Codes without a level decode to an absent term.

    Timing
    ------
    Combinational.

    Parameters
    ----------
    family : :class:`sw.formats.FormatFamily`
        Formats that can be told apart by ``format_id``.
    terms : :class:`sw.formats.TermTable`
        Terms of every level of the family.

    Members
    -------
    code : ``In(family.bits)``
        Weight code.
    format_id : ``In(family.id_bits)``
        Index of the group's format in the family; absent for a single format or a special code.
    special : ``In(term_layout(terms))``
        Term of the special code in this slot; absent where the family has none.
    slot : ``In(bits of slots - 1)``
        Slot of the chunk; absent for a single slot.
    term : ``Out(term_layout(terms))``
        The term, base shift excluded.
    """

    def __init__(self, *, family: FormatFamily, terms: TermTable) -> None:
        self.family = family
        self.terms = terms
        layout = term_layout(terms)
        members = {"code": In(family.bits), "term": Out(layout)}
        if family.special_code is not None:
            members["special"] = In(layout)
        elif family.id_bits:
            members["format_id"] = In(family.id_bits)
        if terms.slots > 1:
            members["slot"] = In((terms.slots - 1).bit_length())
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        term = self.term.as_value()
        if self.family.bits > MAX_CODE_BITS:
            m.d.comb += term.eq(self._taken_apart())
            return m
        slots = []
        for slot in range(self.terms.slots):
            value = term.like(term, name=f"slot_{slot}")
            self._decode(m, slot, value)
            slots.append(value)
        m.d.comb += term.eq(slots[0])
        if self.terms.slots > 1:
            with m.Switch(self.slot):
                for slot, value in enumerate(slots):
                    # the last slot is the default, so that every value of the selector decodes
                    with m.Default() if slot == len(slots) - 1 else m.Case(slot):
                        m.d.comb += term.eq(value)
        if self.family.special_code is not None:
            with m.If(self.code == self.family.special_code):
                m.d.comb += term.eq(self.special.as_value())
        return m

    def _taken_apart(self):
        """Term of a floating-point code without a table: exponent field E and mantissa M.

        ::

            E = 0   M            * 2**0
            else    (hidden 1,M) * 2**(E - 1)

        Sign and magnitude, or two's complement, as the terms are encoded.
        """
        layout = float_layout(self.family.members[0].name)
        mantissa = self.code[: layout.mantissa_bits]
        field = self.code[layout.mantissa_bits : -1]
        hidden = field.any()
        place = Mux(hidden, field - 1, 0)[: self.terms.exponent_bits]
        significand, negative = Cat(mantissa, hidden), self.code[-1]
        if self.terms.encoding == "signed":
            digit = Mux(negative, -significand, significand)[: self.terms.digit_bits]
            return Cat(digit, place)
        return Cat(significand, negative, place)

    def _decode(self, m: Module, slot: int, value) -> None:
        """Table of one slot: ``value`` from code and, where members differ, format id."""
        members = self.family.members
        with m.Switch(self.code):
            for code in range(1 << self.family.bits):
                packed = [self.terms.packed(f.levels[code], slot) for f in members]
                with m.Case(code):
                    if code == self.family.special_code:
                        continue  # absent here
                    if len(set(packed)) == 1:
                        m.d.comb += value.eq(packed[0])
                        continue
                    with m.Switch(self.format_id):
                        for format_id, bits in enumerate(packed):
                            with m.Case(format_id):
                                m.d.comb += value.eq(bits)
