"""A column's terms: special values, pairs and term decoders together, registered."""

import random

from amaranth.lib import wiring

from hw.terms import ColumnTerms
from sw.formats import FormatFamily, family_terms, get_family, multiplier_terms
from sw.formats.digits import Encoding

from ..benches_cocotb.designs import TERNARY
from .block import RESET, Block, Model, Outputs, Stimulus, Values
from .decoders import MIXED, PairDecoderModel, TermDecoderModel
from .integers import fields, joined
from .special import Family, SpecialTermsModel


class ColumnTermsModel(Model):
    """The models of its parts; terms come one cycle later."""

    def __init__(self, block: "ColumnTermsBlock") -> None:
        super().__init__()
        self.block = block
        self.decoder = TermDecoderModel(block.family, block.table)
        self.pairs = PairDecoderModel(block.family.stored_bits) if block.family.pairs else None
        self.special = None
        if block.family.special_code is not None:
            self.special = SpecialTermsModel(Family(block.family, block.table), block.programmable)
        #: terms, and which of their bits have a meaning
        self.registered: list[tuple[int, int]] | None = [(0, -1)] * block.lanes

    def step(self, inputs: Values) -> Outputs:
        outputs: Outputs = {}
        if self.registered is not None:
            terms, masks = zip(*self.registered, strict=True)
            bits = self.decoder.packing.bits
            outputs["terms_out"] = (joined(list(terms), bits), joined(list(masks), bits))
            if self.block.count_negatives:
                outputs["negatives"] = sum(term >> 1 & 1 for term in terms)
        codes = self._codes(inputs["codes"])
        self.registered = None if codes is None else [self._term(code, inputs) for code in codes]
        self.seen["transaction"] += inputs["valid"]
        if inputs[RESET]:
            self.registered = [(0, -1)] * self.block.lanes
        return outputs

    def _codes(self, stored: int) -> list[int] | None:
        """Codes of the lanes; None where a pair means nothing."""
        block, bits = self.block, self.block.family.bits
        if self.pairs is None:
            return fields(stored, block.lanes, bits)
        codes: list[int] = []
        for pair in fields(stored, block.lanes // 2, 2 * block.family.stored_bits):
            decoded = self.pairs.step({"stored": pair})
            if not decoded:
                return None
            codes += fields(decoded["codes"], 2, bits)
        return codes

    def _term(self, code: int, inputs: Values) -> tuple[int, int]:
        """One lane's term, without its digit if there is no slot; and its bits with a meaning."""
        if self.special is not None:
            inputs = inputs | {"special": self.special.step(inputs)["term"]}
        decoded = self.decoder.step(inputs | {"code": code}).get("term", (0, 0))
        term, mask = decoded if isinstance(decoded, tuple) else (decoded, -1)
        if inputs["valid"]:
            return term, mask
        packing = self.decoder.packing
        return packing.without_digit(term), mask | (1 << packing.digit_bits) - 1


class ColumnTermsBlock(Block):
    """One family."""

    kind = "column_terms"
    must_see = ("transaction",)

    def __init__(
        self,
        variant: str,
        family: FormatFamily,
        lanes: int,
        *,
        encoding: Encoding = "bit",
        programmable: bool = False,
        count: bool = False,
    ) -> None:
        self.variant, self.family, self.lanes = variant, family, lanes
        self.programmable, self.count_negatives = programmable, count
        whole = encoding != "bit"
        self.table = multiplier_terms(family, encoding) if whole else family_terms(family)

    def component(self) -> wiring.Component:
        return ColumnTerms(
            family=self.family,
            terms=self.table,
            lanes=self.lanes,
            programmable=self.programmable,
            count_negatives=self.count_negatives,
        )

    def model(self) -> Model:
        return ColumnTermsModel(self)

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Slots with gaps; codes, formats and slot numbers are noise."""
        while True:
            yield {"valid": rng.randrange(4) > 0}

    def exhaustive(self) -> Stimulus | None:
        """Every code of a wide format, in both lanes."""
        return self._every_code() if self.family.bits > 8 else None

    def _every_code(self) -> Stimulus:
        top = (1 << self.family.bits) - 1
        for code in range(top + 1):
            yield {"valid": 1, "codes": joined([code, top - code], self.family.bits)}


BLOCKS = [
    ColumnTermsBlock("fp4", get_family("bitmod_fp4"), 3, count=True),
    ColumnTermsBlock("programmable", get_family("bitmod_fp4"), 2, programmable=True),
    ColumnTermsBlock("mixed", MIXED, 5),
    ColumnTermsBlock("pairs", get_family("olive4"), 4, count=True),
    ColumnTermsBlock("ternary", TERNARY, 2),
    ColumnTermsBlock("int8_signed", get_family("int8"), 3, encoding="signed"),
    ColumnTermsBlock("pairs_signed", get_family("olive4"), 4, encoding="signed"),
    ColumnTermsBlock("ant4_magnitude", get_family("ant4"), 3, encoding="magnitude"),
    ColumnTermsBlock("fp4_magnitude", get_family("bitmod_fp4"), 2, encoding="magnitude"),
    ColumnTermsBlock("float16_magnitude", get_family("float16"), 2, encoding="magnitude"),
]
