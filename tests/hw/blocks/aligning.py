"""The PE that aligns products itself."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from amaranth.lib import wiring

from hw.pe import AligningPE
from sw.formats import TermTable, family_terms, get_family, multiplier_terms

from .block import Model, Values
from .float_register import FORMATS, FloatFormat, rounded_magnitude
from .integers import fields
from .pe import SETTINGS, PEBlock, PEModel, PEParameters, Slot, float_sum


@dataclass(frozen=True, kw_only=True)
class AligningParameters(PEParameters):
    """A format of activations, and guard places; digits have their sign beside them."""

    layout: FloatFormat
    guard_bits: int = 0

    @cached_property
    def digits(self) -> list[tuple[int, int]]:
        """Every (digit without sign, exponent) of the term table, with and without a digit."""
        terms = {t for row in self.terms.terms.values() for t in row}
        return sorted({(abs(t.digit), t.exponent) for t in terms})

    @cached_property
    def powers(self) -> list[tuple[int, int]]:
        """Those whose digit has a single one, or none: their products often tie."""
        return [(digit, exponent) for digit, exponent in self.digits if not digit & digit - 1]

    @cached_property
    def sum_bits(self) -> int:
        digit = max(digit for digit, _ in self.digits)
        significand = (1 << self.layout.significand_bits) - 1
        return (self.lanes * significand * digit << self.guard_bits).bit_length() + 1

    @property
    def top(self) -> int:
        return self.layout.largest_place

    @cached_property
    def place_bits(self) -> int:
        """Bits of an activation's place."""
        return self.layout.largest_place.bit_length()

    @property
    def exponent_bits(self) -> int:
        """Bits of a product's exponent."""
        return (self.layout.largest_place + self.largest_exponent).bit_length()

    @property
    def arguments(self) -> dict[str, Any]:
        return {
            "terms": self.terms,
            "lanes": self.lanes,
            "significand_bits": self.layout.significand_bits,
            "place_bits": self.place_bits,
            "guard_bits": self.guard_bits,
            "sum_bits": self.sum_bits,
            "exponent_bits": self.exponent_bits,
            "floating": self.floating,
            "pipeline": self.pipeline,
        }


class AligningModel(PEModel):
    """Products at the largest exponent among those with a digit."""

    p: AligningParameters

    def lane_sum(self, inputs: Values) -> tuple[int, int]:
        p = self.p
        products, places = [], []
        terms = fields(inputs["terms_in"], p.lanes, p.term_bits)
        width = p.layout.significand_bits + 1 + p.place_bits
        activations = fields(inputs["activations"], p.lanes, width)
        for term, activation in zip(terms, activations, strict=True):
            digit, rest = term & (1 << p.packing.digit_bits) - 1, term >> p.packing.digit_bits
            significand = activation & (1 << p.layout.significand_bits) - 1
            negative, place = (
                activation >> p.layout.significand_bits & 1,
                activation >> width - (p.place_bits),
            )
            product = significand * digit << p.guard_bits
            products.append(-product if negative ^ rest & 1 else product)
            places.append(place + (rest >> 1) if digit else 0)
        largest = max(places)
        assert p.floating is not None
        rounding = p.floating.rounding
        aligned = [
            rounded_magnitude(product, largest - place, rounding)
            for product, place in zip(products, places, strict=True)
        ]
        inexact = sum(
            a << largest - x != n for a, n, x in zip(aligned, products, places, strict=True)
        )
        self.seen["lane inexact"] += inexact
        self.seen["lanes cancel"] += sum(aligned) == 0 and any(aligned)
        return sum(aligned), largest


class AligningBlock(PEBlock):
    """One choice of parameters."""

    kind = "aligning_pe"
    p: AligningParameters

    def __init__(self, variant: str, parameters: AligningParameters) -> None:
        super().__init__(variant, parameters)
        if parameters.lanes > 1:
            self.must_see = (*self.must_see, "lane inexact", "lanes cancel")

    def component(self) -> wiring.Component:
        return AligningPE(**self.p.arguments)

    def model(self) -> Model:
        return AligningModel(self.p)

    @property
    def activation_width(self) -> int:
        return self.p.layout.significand_bits + 1 + self.p.place_bits

    def activation(self, significand: int, negative: int, place: int) -> int:
        """Packed parts."""
        return significand | (negative | place << 1) << self.p.layout.significand_bits

    def term(self, digit: int, negative: int, exponent: int) -> int:
        """A packed term."""
        return digit | (negative | exponent << 1) << self.p.packing.digit_bits

    def absent(self, rng: random.Random) -> int:
        return self.p.packing.without_digit(rng.getrandbits(self.p.term_bits))

    def _activation(self, rng: random.Random, mood: str, base: int) -> int:
        """Normal numbers, subnormal ones and zeros of both signs."""
        hidden = 1 << self.p.layout.mantissa_bits
        negative, kind = rng.getrandbits(1), rng.randrange(10)
        if mood == "low" or kind < 2:
            # the hidden bit may be there at place 0
            significand = rng.choice((0, 1, hidden - 1, rng.randrange(2 * hidden)))
            return self.activation(significand, negative, 0)
        mantissa = rng.choice((0, hidden - 1, rng.randrange(hidden), rng.randrange(hidden)))
        return self.activation(hidden + mantissa, negative, self.place(rng, mood, base))

    def slot(self, rng: random.Random, mood: str, base: int) -> Slot:
        p, shift = self.p, rng.randrange(len(self.p.shifts))
        if mood in ("up", "down"):
            digit, exponent = p.digits[-1]
            term = self.term(digit, mood == "down", exponent)
            largest = self.activation((1 << p.layout.significand_bits) - 1, 0, base)
            return Slot(False, [term] * p.lanes, [largest] * p.lanes, len(p.shifts) - 1)
        terms = [
            self.term(digit, rng.getrandbits(1), exponent)
            for digit, exponent in (
                rng.choice(p.digits if rng.randrange(4) else p.powers) for _ in range(p.lanes)
            )
        ]
        activations = [self._activation(rng, mood, base) for _ in range(p.lanes)]
        if p.lanes > 1 and mood in ("cancel", "random") and not rng.randrange(4):
            # two lanes cancel, or all but a tiny one
            opposite = activations[0] ^ 1 << p.layout.significand_bits
            last = [terms[0]] if rng.getrandbits(1) else [0]
            terms = [terms[0], terms[0], *[0] * (p.lanes - 3), *last][: p.lanes]
            activations = [activations[0], opposite, *activations[2:]]
        return Slot(False, terms, activations, shift)

    def negated(self, slot: Slot) -> Slot:
        flip = 1 << self.p.layout.significand_bits
        return Slot(False, slot.terms, [a ^ flip for a in slot.activations], slot.shift_index)

    @property
    def largest_value(self) -> int:
        return (1 << self.p.layout.significand_bits) - 1

    def plain(self, value: int, exponent: int) -> Slot:
        rest = self.p.lanes - 1
        # nothing but lane 0; the sign of zero does not matter
        others = [self.term(0, 1, 0)] * rest
        activation = self.activation(abs(value), value < 0, exponent)
        zero = self.activation(0, 1, 0)
        return Slot(False, [self.term(1, 0, 0), *others], [activation, *[zero] * rest], 0)

    @property
    def every_product(self) -> Iterator[Slot] | None:
        """Every activation with every digit, in a single lane."""
        p = self.p
        operands = 4 * len(p.digits) * (p.top + 1) << p.layout.significand_bits
        if p.lanes > 1 or operands > 1 << 16:
            return None
        return self._every_product()

    def _every_product(self) -> Iterator[Slot]:
        significands = range(1 << self.p.layout.significand_bits)
        for (digit, exponent), negative in itertools.product(self.p.digits, (0, 1)):
            term = self.term(digit, negative, exponent)
            for parts in itertools.product(significands, (0, 1), range(self.p.top + 1)):
                yield Slot(True, [term], [self.activation(*parts)], 0)


def _block(
    variant: str,
    terms: TermTable,
    lanes: int,
    sums: tuple[int, str, str],
    *,
    layout: str = "float16",
    guard_bits: int = 0,
    pipeline: tuple[str, ...] = (),
) -> AligningBlock:
    """A PE; ``sums`` are accumulator bits, rounding and normalization."""
    given: dict[str, Any] = {"terms": terms, "lanes": lanes, "layout": FORMATS[layout]}
    given |= {"guard_bits": guard_bits, "pipeline": pipeline}
    plain = AligningParameters(**given)
    floating = float_sum(
        *sums,
        addend_bits=plain.sum_bits + max(plain.shifts),
        top=plain.top + plain.largest_exponent,
    )
    return AligningBlock(variant, AligningParameters(**given, floating=floating))


def _bits(family: str, lane_exponent_bits: int = 2) -> TermTable:
    return family_terms(get_family(family), lane_exponent_bits=lane_exponent_bits)


def _digits(family: str) -> TermTable:
    return multiplier_terms(get_family(family), "magnitude")


_STAGES = ("products", "shift")
BLOCKS = [
    *(
        _block(f"serial_{r}_{n}", _bits("bitmod_fp4"), 4, (bits, r, n), guard_bits=guard)
        for (r, n), bits, guard in zip(SETTINGS, (12, 10, 14, 11), (3, 0, 2, 3), strict=True)
    ),
    *(
        _block(f"float16_{r}_{n}", _digits("float16"), 1, (bits, r, n))
        for (r, n), bits in zip(SETTINGS, (16, 12, 25, 12), strict=True)
    ),
    _block("e4m3_int4", _digits("int4"), 1, (10, "nearest_even", "right"), layout="float8_e4m3fn"),
    _block(
        "e5m2_ant4",
        _digits("ant4"),
        3,
        (9, "nearest_even", "full"),
        layout="float8_e5m2",
        guard_bits=3,
        pipeline=_STAGES,
    ),
    _block("int8", _digits("int8"), 4, (14, "truncate", "right"), guard_bits=2),
    _block("serial_int8", _bits("int8", 1), 3, (13, "nearest_even", "right"), pipeline=_STAGES),
    _block(
        "bfloat16",
        _bits("bitmod_fp3"),
        3,
        (12, "nearest_even", "full"),
        layout="bfloat16",
        guard_bits=1,
        pipeline=("products",),
    ),
    _block(
        "serial_e5m2",
        _bits("int6", 1),
        1,
        (9, "truncate", "full"),
        layout="float8_e5m2",
        pipeline=("shift",),
    ),
    _block(
        "serial_sums",
        _bits("bitmod_fp4"),
        5,
        (12, "nearest_even", "right"),
        pipeline=(*_STAGES, "sums"),
    ),
]
