"""Terms of a family's special values, fixed or written at run time."""

from amaranth import Array, Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sw.formats import FormatFamily, TermTable

from .decoder import term_layout


def _special_code(family: FormatFamily) -> int:
    if family.special_code is None:
        raise ValueError(f"family '{family.name}' has no special code")
    return family.special_code


def special_ports(family: FormatFamily, terms: TermTable) -> dict[str, wiring.Member]:
    """Ports by which special values are written: see :class:`SpecialValues`."""
    value = data.ArrayLayout(term_layout(terms), terms.slots)
    return {"write": In(1), "index": In(max(1, family.id_bits)), "value": In(value)}


class SpecialValues(wiring.Component):
    """Register file of a family's special values, stored as terms (BitMoD's SV registers).

    Timing
    ------
    A value written in one cycle is in ``terms`` in the next. Reset restores the family's own.

    Parameters
    ----------
    family : :class:`sw.formats.FormatFamily`
        Must have a special code.
    terms : :class:`sw.formats.TermTable`
        Terms of the family's special values.

    Members
    -------
    write : ``In(1)``
        Store ``value`` as the special value of format ``index``; beyond the last format nothing
        is stored.
    index : ``In(max(1, family.id_bits))``
        Format id.
    value : ``In(ArrayLayout(term_layout(...), slots))``
        One term per slot.
    terms : ``Out(ArrayLayout(ArrayLayout(term_layout(...), slots), members))``
        Special value of every format.
    """

    def __init__(self, *, family: FormatFamily, terms: TermTable) -> None:
        self.family = family
        self.table = terms
        value = data.ArrayLayout(term_layout(terms), terms.slots)
        stored = data.ArrayLayout(value, len(family.members))
        own = [self._terms(member.levels[_special_code(family)]) for member in family.members]
        super().__init__(special_ports(family, terms) | {"terms": Out(stored, init=own)})

    def _terms(self, level: int | None) -> list[dict[str, int]]:
        """A special value as the register's initial contents."""
        return [
            {"present": t.present, "negative": t.negative, "exponent": t.exponent}
            for t in (self.table.terms[level] if level is not None else ())
        ]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        with m.If(self.write), m.Switch(self.index):
            for format_id in range(len(self.family.members)):
                with m.Case(format_id):
                    m.d.sync += self.terms[format_id].eq(self.value)
        return m


class SpecialTerms(wiring.Component):
    """Choose one column's special term: by format id and slot.

    Timing
    ------
    Combinational.

    Parameters
    ----------
    family : :class:`sw.formats.FormatFamily`
        Must have a special code.
    terms : :class:`sw.formats.TermTable`
        Terms of the family's special values.
    programmable : bool
        Take the values from ``values`` instead of from the term table.

    Members
    -------
    format_id : ``In(family.id_bits)``
        Index of the group's format in the family.
    slot : ``In(bits of slots - 1)``
        Slot of the chunk; absent for a single slot.
    values : ``In(ArrayLayout(ArrayLayout(term_layout(...), slots), members))``
        From :class:`SpecialValues`; absent if not programmable.
    term : ``Out(term_layout(terms))``
        The term, base shift excluded; absent terms for ids beyond the last format.
    """

    def __init__(self, *, family: FormatFamily, terms: TermTable, programmable: bool) -> None:
        self.code = _special_code(family)
        self.family = family
        self.terms = terms
        self.programmable = programmable
        layout = term_layout(terms)
        members = {"format_id": In(family.id_bits), "term": Out(layout)}
        if terms.slots > 1:
            members["slot"] = In((terms.slots - 1).bit_length())
        if programmable:
            value = data.ArrayLayout(layout, terms.slots)
            members["values"] = In(data.ArrayLayout(value, len(family.members)))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        with m.Switch(self.format_id):
            for format_id, member in enumerate(self.family.members):
                with m.Case(format_id):
                    by_slot = [self._term(format_id, member, s) for s in range(self.terms.slots)]
                    chosen = by_slot[0]
                    if self.terms.slots > 1:
                        # slots beyond the last read the last
                        spare = (1 << len(self.slot)) - len(by_slot)
                        chosen = Array([*by_slot, *[by_slot[-1]] * spare])[self.slot]
                    m.d.comb += self.term.as_value().eq(chosen)
        return m

    def _term(self, format_id: int, member, slot: int):
        """Packed term of one format in one slot."""
        if self.programmable:
            return self.values[format_id][slot].as_value()
        level = member.levels[self.code]
        return self.terms.packed(level, slot)
