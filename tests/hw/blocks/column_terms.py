"""A column's terms: special values, pairs and term decoders together, registered."""

import random

from amaranth.lib import wiring

from hw.terms import ColumnTerms
from sw.formats import family_terms, get_family

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
            self.special = SpecialTermsModel(Family(block.family, 2), block.programmable)
        self.registered: list[int] | None = [0] * block.lanes

    def step(self, inputs: Values) -> Outputs:
        outputs: Outputs = {}
        if self.registered is not None:
            outputs["terms_out"] = joined(self.registered, 2 + self.block.table.exponent_bits)
            if self.block.count_negatives:
                outputs["negatives"] = sum(term >> 1 & 1 for term in self.registered)
        codes = self._codes(inputs["codes"])
        self.registered = None if codes is None else [self._term(code, inputs) for code in codes]
        self.seen["transaction"] += inputs["valid"]
        if inputs[RESET]:
            self.registered = [0] * self.block.lanes
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

    def _term(self, code: int, inputs: Values) -> int:
        """One lane's term, absent without a slot."""
        if self.special is not None:
            inputs = inputs | {"special": self.special.step(inputs)["term"]}
        term = self.decoder.step(inputs | {"code": code})["term"]
        return term if inputs["valid"] else term & ~1


class ColumnTermsBlock(Block):
    """One family."""

    kind = "column_terms"
    must_see = ("transaction",)

    def __init__(self, variant: str, family, lanes: int, *, programmable=False, count=False):
        self.variant, self.family, self.lanes = variant, family, lanes
        self.programmable, self.count_negatives = programmable, count
        self.table = family_terms(family)

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


BLOCKS = [
    ColumnTermsBlock("fp4", get_family("bitmod_fp4"), 3, count=True),
    ColumnTermsBlock("programmable", get_family("bitmod_fp4"), 2, programmable=True),
    ColumnTermsBlock("mixed", MIXED, 5),
    ColumnTermsBlock("pairs", get_family("olive4"), 4, count=True),
    ColumnTermsBlock("ternary", TERNARY, 2),
]
