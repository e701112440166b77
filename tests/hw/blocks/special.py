"""Special values: their registers, and the choice of one column's term."""

import random

from amaranth.lib import wiring

from hw.terms import SpecialTerms, SpecialValues
from sw.formats import FormatFamily, TermTable, family_terms, get_family

from .block import RESET, Block, Model, Outputs, Stimulus, Values
from .decoders import THREE, Packing
from .integers import fields, joined


class Family:
    """A family's special values as term bits."""

    def __init__(self, family: FormatFamily, table: TermTable) -> None:
        self.family = family
        self.table = table
        self.slots = len(self.table.base_shifts)
        self.packing = Packing.of(table)
        self.term_bits = self.packing.bits
        self.value_bits = self.slots * self.term_bits

    @property
    def own(self) -> list[list[int]]:
        """Terms of the special value of every format, by slot."""
        code = self.family.special_code
        levels = [member.levels[code] for member in self.family.members]
        pack = self.packing.pack
        return [[pack(self.table, level, s) for s in range(self.slots)] for level in levels]


class SpecialValuesModel(Model):
    """One value per format; reset restores the family's own."""

    def __init__(self, family: Family) -> None:
        super().__init__()
        self.family = family
        self.values = self._own()

    def _own(self) -> list[int]:
        return [joined(terms, self.family.term_bits) for terms in self.family.own]

    def step(self, inputs: Values) -> Outputs:
        outputs: Outputs = {"terms": joined(self.values, self.family.value_bits)}
        if inputs["write"]:
            if inputs["index"] < len(self.values):
                self.values[inputs["index"]] = inputs["value"]
                self.seen["transaction"] += 1
            else:
                self.seen["beyond the last format"] += 1
        if inputs[RESET]:
            self.values = self._own()
        return outputs


class SpecialValuesBlock(Block):
    """One family."""

    kind = "special_values"
    must_see = ("transaction",)

    def __init__(self, variant: str, family: FormatFamily, lane_exponent_bits: int = 2) -> None:
        table = family_terms(family, lane_exponent_bits=lane_exponent_bits)
        self.variant, self.family = variant, Family(family, table)
        if len(family.members) < 1 << family.id_bits:
            self.must_see = (*self.must_see, "beyond the last format")

    def component(self) -> wiring.Component:
        return SpecialValues(family=self.family.family, terms=self.family.table)

    def model(self) -> Model:
        return SpecialValuesModel(self.family)

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Writes with gaps; index and value are noise."""
        while True:
            yield {"write": rng.randrange(4) > 0}


class SpecialTermsModel(Model):
    """The term of a format in a slot, out of ``values`` or the family's own."""

    def __init__(self, family: Family, programmable: bool) -> None:
        super().__init__()
        self.family, self.programmable = family, programmable

    def step(self, inputs: Values) -> Outputs:
        self.seen["transaction"] += 1
        family, format_id = self.family, inputs["format_id"]
        if format_id >= len(family.family.members):
            return {"term": 0}
        slot = min(inputs.get("slot", 0), family.slots - 1)
        if not self.programmable:
            return {"term": family.own[format_id][slot]}
        values = fields(inputs["values"], len(family.family.members), family.value_bits)
        return {"term": fields(values[format_id], family.slots, family.term_bits)[slot]}


class SpecialTermsBlock(Block):
    """One family, fixed or programmable."""

    kind = "special_terms"
    clocked = False
    must_see = ("transaction",)

    def __init__(
        self, variant: str, family: FormatFamily, programmable: bool, lane_exponent_bits: int = 2
    ) -> None:
        self.variant, self.programmable = variant, programmable
        self.family = Family(family, family_terms(family, lane_exponent_bits=lane_exponent_bits))

    def component(self) -> wiring.Component:
        return SpecialTerms(
            family=self.family.family, terms=self.family.table, programmable=self.programmable
        )

    def model(self) -> Model:
        return SpecialTermsModel(self.family, self.programmable)

    def stimulus(self, rng: random.Random) -> Stimulus:
        while True:
            yield {}

    def exhaustive(self) -> Stimulus | None:
        """Every format and slot; programmed values are noise."""
        return self._every_choice()

    def _every_choice(self) -> Stimulus:
        slots = 1 << (self.family.slots - 1).bit_length()
        for _ in range(20 if self.programmable else 1):
            for format_id in range(1 << self.family.family.id_bits):
                for slot in range(slots):
                    yield {"format_id": format_id} | ({"slot": slot} if slots > 1 else {})


_FP4, _FP3 = get_family("bitmod_fp4"), get_family("bitmod_fp3")
BLOCKS = [
    SpecialValuesBlock("fp4", _FP4),
    SpecialValuesBlock("three", THREE),
    SpecialValuesBlock("fp4_1", _FP4, 1),
    SpecialTermsBlock("fp4", _FP4, False),
    SpecialTermsBlock("fp4_programmable", _FP4, True),
    SpecialTermsBlock("three", THREE, False),
    SpecialTermsBlock("three_slots", _FP4, True, 1),
    SpecialTermsBlock("fp3_programmable", _FP3, True),
]
