"""From one column's chunk of codes to registered terms."""

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sw.formats import FormatFamily, TermTable

from .decoder import TermDecoder, term_layout
from .pairs import PairDecoder
from .special import SpecialTerms


class ColumnTerms(wiring.Component):
    """Decode a chunk of one column, once for all rows.

    Timing
    ------
    Codes in cycle 0, their terms in cycle 1; absent terms without ``valid``.

    Parameters
    ----------
    family : :class:`sw.formats.FormatFamily`
        Formats of the codes.
    terms : :class:`sw.formats.TermTable`
        Terms of every level.
    lanes : int
        Codes per chunk.
    programmable : bool
        Special values come from ``values``.
    count_negatives : bool
        Count the negative terms.

    Members
    -------
    codes : ``In(lanes * family.stored_bits)``
        Stored codes, lane 0 in the low bits; with pairs, each two are one.
    valid : ``In(1)``
        A slot is issued.
    format_id : ``In(family.id_bits)``
        Format of the chunk's group; absent for a single format.
    slot : ``In(bits of slots - 1)``
        Slot of the chunk; absent for a single slot.
    values : ``In(...)``
        From :class:`hw.terms.SpecialValues`; absent if not programmable.
    terms_out : ``Out(ArrayLayout(term_layout(...), lanes))``
        One term per lane.
    negatives : ``Out(bits of lanes)``
        How many terms have ``negative`` set; absent unless counted.
    """

    def __init__(
        self,
        *,
        family: FormatFamily,
        terms: TermTable,
        lanes: int,
        programmable: bool,
        count_negatives: bool,
    ) -> None:
        self.family = family
        self.terms = terms
        self.lanes = lanes
        self.count_negatives = count_negatives
        self.special = None
        if family.special_code is not None:
            self.special = SpecialTerms(family=family, terms=terms, programmable=programmable)
        layout = term_layout(terms)
        members = {
            "codes": In(lanes * family.stored_bits),
            "valid": In(1),
            "terms_out": Out(data.ArrayLayout(layout, lanes)),
        }
        if family.id_bits:
            members["format_id"] = In(family.id_bits)
        if terms.slots > 1:
            members["slot"] = In((terms.slots - 1).bit_length())
        if programmable and self.special is not None:
            members["values"] = self.special.signature.members["values"]
        if count_negatives:
            members["negatives"] = Out(lanes.bit_length())
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.special is not None:
            self._connect(m, "special", self.special)
        codes = self._codes(m)
        negatives = []
        for lane in range(self.lanes):
            decoder = TermDecoder(family=self.family, terms=self.terms)
            self._connect(m, f"decoder_{lane}", decoder)
            m.d.comb += decoder.code.eq(codes.word_select(lane, self.family.bits))
            if self.special is not None:
                m.d.comb += decoder.special.eq(self.special.term)
            m.d.sync += self.terms_out[lane].eq(decoder.term)
            # the digit is in the low bits: present, magnitude or two's complement
            bits = self.terms.digit_bits
            digit = decoder.term.as_value()[:bits] & self.valid.replicate(bits)
            m.d.sync += self.terms_out[lane].as_value()[:bits].eq(digit)
            if self.count_negatives:
                negatives.append(decoder.term.negative)
        if self.count_negatives:
            m.d.sync += self.negatives.eq(sum(negatives))
        return m

    def _connect(self, m: Module, name: str, part: wiring.Component) -> None:
        """Add a submodule and give it the inputs that it shares with this component."""
        m.submodules[name] = part
        for port in ("format_id", "slot", "values"):
            if port in part.signature.members:
                m.d.comb += getattr(part, port).eq(getattr(self, port))

    def _codes(self, m: Module):
        """Codes of the chunk; stored pairs go through pair decoders."""
        if not self.family.pairs:
            return self.codes
        codes = Signal(self.lanes * self.family.bits, name="decoded_codes")
        width = self.family.stored_bits
        for pair in range(self.lanes // 2):
            m.submodules[f"pair_{pair}"] = decoder = PairDecoder(bits=width)
            m.d.comb += [
                decoder.stored.eq(self.codes.word_select(pair, 2 * width)),
                codes.word_select(pair, 2 * self.family.bits).eq(decoder.codes),
            ]
        return codes
