"""Combinational lookups: term decoder, pair decoder."""

import contextlib
import itertools
import random
from functools import cache
from typing import NamedTuple

from amaranth.lib import wiring

from configs.errors import InputError
from hw.terms import PairDecoder, TermDecoder
from sw.formats import (
    FormatFamily,
    TermTable,
    family_terms,
    fitting_terms,
    get_family,
    multiplier_terms,
    serial_families,
)

from ..benches_cocotb.designs import TERNARY, THREE
from .block import Block, Model, Outputs, Stimulus, Values
from .integers import signed

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


#: weights taken whole: families and encodings
WHOLE = {
    f"{name}_{encoding}": (name, encoding)
    for name in ("int8", "int4", "ant4", "olive4", "bitmod_fp4", "float8_e4m3fn")
    for encoding in ("signed", "magnitude")
} | {
    f"{name}_{encoding}": (name, encoding)
    for name in ("float16", "bfloat16")
    for encoding in ("signed", "magnitude")
}


@cache
def decoder_cases() -> dict[str, tuple[FormatFamily, TermTable]]:
    """Every family with the exponent width it needs, and the corner cases with others."""
    cases = {}
    for family in fitting():
        bits = fitting_terms(family).lane_exponent_bits
        cases[f"{family.name}_{bits}"] = (family, bits)
    cases |= {f"{family.name}_2": (family, 2) for family in (TERNARY, THREE, MIXED)}
    fp4 = get_family("bitmod_fp4")
    cases |= {"bitmod_fp4_1": (fp4, 1), "bitmod_fp4_3": (fp4, 3), "one_slot_1": (TERNARY, 1)}
    tables = {case: (f, family_terms(f, lane_exponent_bits=b)) for case, (f, b) in cases.items()}
    for case, (name, encoding) in WHOLE.items():
        tables[case] = (get_family(name), multiplier_terms(get_family(name), encoding))
    return tables


class Packing(NamedTuple):
    """A packed term: a digit of some bits, a sign beside it unless ``signed``, an exponent."""

    encoding: str
    digit_bits: int
    exponent_bits: int

    @classmethod
    def of(cls, table: TermTable) -> "Packing":
        """Widths that the digits and exponents of a table need; a bit's exponent has one."""
        terms = {term for row in table.terms.values() for term in row}
        digits = [term.digit for term in terms]
        if table.encoding == "signed":
            bits = max((d if d >= 0 else ~d).bit_length() for d in digits) + 1
        else:
            bits = max(1, max(abs(digit).bit_length() for digit in digits))
        exponent = max(term.exponent for term in terms).bit_length()
        return cls(table.encoding, bits, max(exponent, int(table.encoding == "bit")))

    @property
    def bits(self) -> int:
        """Width of a term."""
        return self.digit_bits + (self.encoding != "signed") + self.exponent_bits

    def pack(self, table: TermTable, level: int | None, slot: int) -> int:
        """Bits of a level's term, digit lowest; 0 for no level."""
        if level is None:
            return 0
        term = table.terms[level][slot]
        if self.encoding == "signed":
            return term.digit % (1 << self.digit_bits) | term.exponent << self.digit_bits
        return abs(term.digit) | (term.negative | term.exponent << 1) << self.digit_bits

    def value(self, bits: int) -> int:
        """Value of a packed term, base shift excluded."""
        digit, rest = bits % (1 << self.digit_bits), bits >> self.digit_bits
        if self.encoding == "signed":
            return signed(digit, self.digit_bits) << rest
        return (digit << (rest >> 1)) * (-1 if rest & 1 else 1)

    def without_digit(self, bits: int) -> int:
        """The term of a lane that has nothing to do."""
        return bits >> self.digit_bits << self.digit_bits


class TermDecoderModel(Model):
    """The tables of the family, checked against its levels before anything is compared to them."""

    def __init__(self, family: FormatFamily, table: TermTable) -> None:
        super().__init__()
        self.special = family.special_code
        self.slots = len(table.base_shifts)
        self.members = len(family.members)
        self.packing = packing = Packing.of(table)
        #: a code that is its own term: what is neither number nor table entry means nothing
        self.wide = family.bits > 8
        #: rows[format id][code][slot]
        self.rows = []
        for member in family.members:
            rows = [[packing.pack(table, lv, s) for s in range(self.slots)] for lv in member.levels]
            for level, row in zip(member.levels, rows, strict=True):
                values = map(packing.value, row)
                shifted = (v << b for v, b in zip(values, table.base_shifts, strict=True))
                assert sum(shifted) == (level or 0), f"{member.name}: terms of {level}"
            self.rows.append(rows)
        self.levels = family.members[0].levels

    def step(self, inputs: Values) -> Outputs:
        self.seen["transaction"] += 1
        code = inputs["code"]
        if code == self.special:
            return {"term": inputs["special"]}
        if self.wide:
            return self._wide(code)
        slot = min(inputs.get("slot", 0), self.slots - 1)
        choices = {rows[code][slot] for rows in self.rows}
        if len(choices) == 1:
            return {"term": choices.pop()}
        format_id = inputs["format_id"]
        return {"term": self.rows[format_id][code][slot] if format_id < self.members else 0}

    def _wide(self, code: int) -> Outputs:
        """Inf and NaN mean nothing, nor does the sign of zero."""
        level, bits = self.levels[code], self.packing.bits
        if level is None:
            return {}
        sign = 0 if level else 1 << self.packing.digit_bits
        return {"term": (self.rows[0][code][0], (1 << bits) - 1 ^ sign)}


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
        self.family, self.table = decoder_cases()[case]
        self.inputs = {"code": self.family.bits}
        if self.family.special_code is not None:
            self.inputs["special"] = Packing.of(self.table).bits
        elif self.family.id_bits:
            self.inputs["format_id"] = self.family.id_bits
        if len(self.table.base_shifts) > 1:
            self.inputs["slot"] = (len(self.table.base_shifts) - 1).bit_length()

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
