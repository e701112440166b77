"""Term decoder, generated from a format family's term table."""

from amaranth import Module, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sw.formats import FormatFamily, TermTable


def term_layout(exponent_bits: int) -> data.StructLayout:
    """One term: ``(-1)**negative * 2**exponent`` if ``present``, else nothing."""
    return data.StructLayout(
        {"present": unsigned(1), "negative": unsigned(1), "exponent": unsigned(exponent_bits)}
    )


def packed_term(terms: TermTable, level: int | None, slot: int) -> int:
    """Bits of the term of ``level`` in ``slot``, as :func:`term_layout` orders them; 0 for None."""
    if level is None:
        return 0
    term = terms.terms[level][slot]
    return term.present | term.negative << 1 | term.exponent << 2


class TermDecoder(wiring.Component):
    """Look up the term of a code in a slot.

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
    special : ``In(term_layout(terms.exponent_bits))``
        Term of the special code in this slot; absent where the family has none.
    slot : ``In(bits of slots - 1)``
        Slot of the chunk; absent for a single slot.
    term : ``Out(term_layout(terms.exponent_bits))``
        The term, base shift excluded.
    """

    def __init__(self, *, family: FormatFamily, terms: TermTable) -> None:
        self.family = family
        self.terms = terms
        layout = term_layout(terms.exponent_bits)
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

    def _decode(self, m: Module, slot: int, value) -> None:
        """Table of one slot: ``value`` from code and, where members differ, format id."""
        members = self.family.members
        with m.Switch(self.code):
            for code in range(1 << self.family.bits):
                packed = [packed_term(self.terms, f.levels[code], slot) for f in members]
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
