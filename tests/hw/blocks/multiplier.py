"""The PE with multipliers."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from amaranth.lib import wiring

from hw.pe import MultiplierPE
from sw.formats import get_family, multiplier_terms

from .block import Model
from .lanes import IntegerLanes, IntegerLanesBlock, IntegerLanesModel
from .pe import SETTINGS, Slot, float_sum


@dataclass(frozen=True, kw_only=True)
class MultiplierParameters(IntegerLanes):
    """Constructor arguments of a PE with multipliers."""

    @cached_property
    def packed(self) -> list[int]:
        """Every term of the table: digit in the low bits, exponent above."""
        return sorted({self.packing.pack(self.terms, level, 0) for level in self.terms.terms})


class MultiplierBlock(IntegerLanesBlock):
    """One choice of parameters."""

    kind = "multiplier_pe"
    p: MultiplierParameters

    def __init__(self, variant: str, **parameters) -> None:
        super().__init__(variant, MultiplierParameters(**parameters))

    def component(self) -> wiring.Component:
        return MultiplierPE(**self.p.arguments)

    def model(self) -> Model:
        return IntegerLanesModel(self.p)

    def term(self, rng: random.Random) -> int:
        return rng.choice(self.p.packed)

    def extreme_term(self, negative: bool) -> int:
        return (min if negative else max)(self.p.packed, key=self.p.packing.value)

    def absent(self, rng: random.Random) -> int:
        """Digit 0 with any exponent."""
        return self.p.packing.without_digit(rng.getrandbits(self.p.term_bits))

    @property
    def every_product(self) -> Iterator[Slot] | None:
        """Every term of the table with every activation, in a single lane."""
        if self.p.lanes > 1 or len(self.p.packed) * len(self.p.activations) > 1 << 16:
            return None
        pairs = itertools.product(self.p.packed, self.p.activations)
        return (Slot(True, [term], [activation], 0) for term, activation in pairs)


def _floating(
    variant: str, sums: tuple[int, str, str], family: str, lanes: int, **more
) -> MultiplierBlock:
    """A PE of aligned mantissas; ``sums`` are accumulator bits, rounding and normalization."""
    given = {"terms": _terms(family), "lanes": lanes, "activation_bits": 9, "exponent_bits": 5}
    given |= more
    plain = MultiplierParameters(**given)
    floating = float_sum(*sums, addend_bits=plain.sum_bits, top=plain.top)
    return MultiplierBlock(variant, **given, floating=floating)


def _terms(family: str):
    return multiplier_terms(get_family(family), "signed")


_INT8 = {"terms": _terms("int8"), "activation_bits": 8}
_INT4 = {"terms": _terms("int4"), "activation_bits": 8}
_ANT4 = {"terms": _terms("ant4"), "activation_bits": 6}
_OLIVE4 = {"terms": _terms("olive4"), "activation_bits": 8}
_STAGES = ("products", "shift")
BLOCKS = [
    MultiplierBlock("int8", **_INT8, lanes=4, bits=18, mode="saturate"),
    MultiplierBlock("int8_one", **_INT8, lanes=1, bits=16, mode="flag"),
    MultiplierBlock("int4", **_INT4, lanes=3, bits=13, mode="flag"),
    MultiplierBlock("int4_unsigned", **_INT4, lanes=5, activation_signed=False, bits=14),
    MultiplierBlock("ant4", **_ANT4, lanes=4, bits=12),
    MultiplierBlock("ant4_staged", **_ANT4, lanes=2, bits=12, mode="saturate", pipeline=_STAGES),
    MultiplierBlock("sums", **_ANT4, lanes=5, bits=13, mode="flag", pipeline=(*_STAGES, "sums")),
    MultiplierBlock("olive4", **_OLIVE4, lanes=4, bits=16, mode="flag"),
    MultiplierBlock(
        "olive4_one", **_OLIVE4, lanes=1, bits=15, mode="saturate", pipeline=("shift",)
    ),
    *(
        _floating(f"float_{rounding}_{normalization}", (bits, rounding, normalization), family, 4)
        for (rounding, normalization), bits, family in zip(
            SETTINGS, (12, 25, 10, 12), ("int8", "int8", "ant4", "int4"), strict=True
        )
    ),
    _floating("float_one", (9, "nearest_even", "right"), "int4", 1, pipeline=("products",)),
    _floating("float_olive", (11, "nearest_even", "full"), "olive4", 2, pipeline=_STAGES),
]
