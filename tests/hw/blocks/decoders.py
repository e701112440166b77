"""Combinational lookups: term decoder, pair decoder."""

import contextlib
import itertools
import random
from functools import cache

from amaranth.lib import wiring

from configs.errors import InputError
from hw.terms import PairDecoder, TermDecoder
from sw.formats import (
    FormatFamily,
    TermTable,
    family_terms,
    fitting_terms,
    get_family,
    serial_families,
)

from ..benches_cocotb.designs import TERNARY, THREE
from .block import Block, Model, Outputs, Stimulus, Values

#: members differ in several codes, so that the format id decides in the decoder
MIXED = FormatFamily(
    name="mixed",
    members=tuple(get_family(name).members[0] for name in ("flint4s", "pot4", "int4")),
)


@cache
def fitting() -> tuple[FormatFamily, ...]:
    """Every family that some PE forms in the slots it has."""
    found = []
    for family in serial_families().values():
        with contextlib.suppress(InputError):
            fitting_terms(family)
            found.append(family)
    return tuple(found)


@cache
def decoder_cases() -> dict[str, tuple[FormatFamily, int]]:
    """Every family with the exponent width it needs, and the corner cases with others."""
    cases = {}
    for family in fitting():
        bits = fitting_terms(family).lane_exponent_bits
        cases[f"{family.name}_{bits}"] = (family, bits)
    cases |= {f"{family.name}_2": (family, 2) for family in (TERNARY, THREE, MIXED)}
    fp4 = get_family("bitmod_fp4")
    return cases | {"bitmod_fp4_1": (fp4, 1), "bitmod_fp4_3": (fp4, 3), "one_slot_1": (TERNARY, 1)}


def packed(table: TermTable, level: int | None, slot: int) -> int:
    """Bits of a level's term: present, negative, exponent from the low bit up; 0 for no level."""
    if level is None:
        return 0
    term = table.terms[level][slot]
    return int(term.present) | int(term.negative) << 1 | term.exponent << 2


def term_value(bits: int) -> int:
    """Value of a packed term, base shift excluded."""
    return ((bits & 1) << (bits >> 2)) * (-1 if bits & 2 else 1)


class TermDecoderModel(Model):
    """The tables of the family, checked against its levels before anything is compared to them."""

    def __init__(self, family: FormatFamily, table: TermTable) -> None:
        super().__init__()
        self.special = family.special_code
        self.slots = len(table.base_shifts)
        self.members = len(family.members)
        #: rows[format id][code][slot]
        self.rows = []
        for member in family.members:
            rows = [[packed(table, lv, s) for s in range(self.slots)] for lv in member.levels]
            for level, row in zip(member.levels, rows, strict=True):
                shifted = (term_value(t) << b for t, b in zip(row, table.base_shifts, strict=True))
                assert sum(shifted) == (level or 0), f"{member.name}: terms of {level}"
            self.rows.append(rows)

    def step(self, inputs: Values) -> Outputs:
        self.seen["transaction"] += 1
        code = inputs["code"]
        if code == self.special:
            return {"term": inputs["special"]}
        slot = min(inputs.get("slot", 0), self.slots - 1)
        choices = {rows[code][slot] for rows in self.rows}
        if len(choices) == 1:
            return {"term": choices.pop()}
        format_id = inputs["format_id"]
        return {"term": self.rows[format_id][code][slot] if format_id < self.members else 0}


class Combinational(Block):
    """A block without a clock: all combinations of its inputs, and random ones."""

    clocked = False
    inputs: dict[str, int]
    must_see = ("transaction",)

    def stimulus(self, rng: random.Random) -> Stimulus:
        while True:
            yield {}

    def exhaustive(self) -> Stimulus | None:
        assert sum(self.inputs.values()) <= 16
        return self._every_input()

    def _every_input(self) -> Stimulus:
        for values in itertools.product(*(range(1 << width) for width in self.inputs.values())):
            yield dict(zip(self.inputs, values, strict=True))


class TermDecoderBlock(Combinational):
    """One family."""

    kind = "term_decoder"

    def __init__(self, case: str) -> None:
        self.variant = case
        self.family, bits = decoder_cases()[case]
        self.table = family_terms(self.family, lane_exponent_bits=bits)
        self.inputs = {"code": self.family.bits}
        if self.family.special_code is not None:
            self.inputs["special"] = 2 + self.table.exponent_bits
        elif self.family.id_bits:
            self.inputs["format_id"] = self.family.id_bits
        if self.table.slots > 1:
            self.inputs["slot"] = (self.table.slots - 1).bit_length()

    def component(self) -> wiring.Component:
        return TermDecoder(family=self.family, terms=self.table)

    def model(self) -> Model:
        return TermDecoderModel(self.family, self.table)


class PairDecoderModel(Model):
    """Both codes of a pair: a code beside the identifier is an outlier, the identifier code 0."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    def step(self, inputs: Values) -> Outputs:
        self.seen["transaction"] += 1
        identifier, modulus = 1 << (self.bits - 1), 1 << self.bits
        right, left = divmod(inputs["stored"], modulus)
        if left == identifier and right == identifier:
            return {}  # never stored
        if left == identifier:
            left, right = 0, right + modulus
        elif right == identifier:
            left, right = left + modulus, 0
        return {"codes": left | right << (self.bits + 1)}


class PairDecoderBlock(Combinational):
    """One code width."""

    kind = "pair_decoder"

    def __init__(self, bits: int) -> None:
        self.bits, self.variant = bits, f"{bits}"
        self.inputs = {"stored": 2 * bits}

    def component(self) -> wiring.Component:
        return PairDecoder(bits=self.bits)

    def model(self) -> Model:
        return PairDecoderModel(self.bits)


BLOCKS = [
    *(TermDecoderBlock(case) for case in decoder_cases()),
    *(PairDecoderBlock(bits) for bits in (3, 4)),
]
