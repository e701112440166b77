"""The serial PE."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

from amaranth.lib import wiring

from hw.pe import SerialPE
from sw.formats import TermTable, family_terms, get_family

from .block import Model, Values
from .lanes import IntegerLanes, IntegerLanesBlock, IntegerLanesModel
from .pe import SETTINGS, Slot, float_sum


@dataclass(frozen=True, kw_only=True)
class SerialParameters(IntegerLanes):
    """Constructor arguments of a serial PE."""

    adders: str = "chain"


class SerialBlock(IntegerLanesBlock):
    """One choice of parameters."""

    kind = "serial_pe"
    p: SerialParameters

    def __init__(self, variant: str, **parameters) -> None:
        super().__init__(variant, SerialParameters(**parameters))

    def component(self) -> wiring.Component:
        return SerialPE(**self.p.arguments)

    def model(self) -> Model:
        return IntegerLanesModel(self.p)

    def term(self, rng: random.Random) -> int:
        exponent = rng.randint(0, self.p.largest_exponent)
        return (rng.randrange(4) > 0) | rng.randrange(2) << 1 | exponent << 2

    def extreme_term(self, negative: bool) -> int:
        return 1 | negative << 1 | self.p.largest_exponent << 2

    def absent(self, rng: random.Random) -> int:
        return self.p.packing.without_digit(rng.getrandbits(self.p.term_bits))

    def terms_in(self, terms: list[int]) -> Values:
        """Terms, and how many are negative, absent ones too, where the PE asks for it."""
        values = super().terms_in(terms)
        if self.p.adders == "compressor":
            values["negatives"] = sum(term >> 1 & 1 for term in terms)
        return values

    @property
    def every_product(self) -> Iterator[Slot] | None:
        """Every term, activation and base shift of a single lane."""
        if self.p.lanes > 1:
            return None
        return self._every_product()

    def _every_product(self) -> Iterator[Slot]:
        signs = (0, 1, 2, 3)  # absent, positive, absent, negative
        for shift in range(len(self.p.shifts)):
            for sign, exponent in itertools.product(signs, range(self.p.largest_exponent + 1)):
                for activation in self.p.activations:
                    yield Slot(True, [sign | exponent << 2], [activation], shift)


def _terms(family: str, lane_exponent_bits: int = 2) -> TermTable:
    return family_terms(get_family(family), lane_exponent_bits=lane_exponent_bits)


def _floating(
    variant: str, sums: tuple[int, str, str], terms: TermTable, lanes: int, **more
) -> SerialBlock:
    """A PE of aligned mantissas; ``sums`` are accumulator bits, rounding and normalization."""
    given = {"terms": terms, "lanes": lanes, "activation_bits": 9, "exponent_bits": 5} | more
    plain = SerialParameters(**given)
    addend_bits = plain.sum_bits + max(plain.shifts)
    return SerialBlock(
        variant, **given, floating=float_sum(*sums, addend_bits=addend_bits, top=plain.top)
    )


_FP4 = {"terms": _terms("bitmod_fp4"), "activation_bits": 8}
_INT6 = {"terms": _terms("int6", 1)}
_STAGES = ("products", "shift")
_ALL = ("products", "sums", "shift")
BLOCKS = [
    SerialBlock("fp4", **_FP4, lanes=4, bits=14, mode="saturate"),
    SerialBlock("int8", terms=_terms("int8"), lanes=3, activation_bits=8, bits=17, mode="flag"),
    SerialBlock("narrow", terms=_terms("int8", 1), lanes=1, activation_bits=4, bits=9),
    SerialBlock("ternary", terms=_terms("ternary"), lanes=10, activation_bits=8, bits=11),
    SerialBlock("unsigned", **_FP4, lanes=3, activation_signed=False, bits=14, mode="flag"),
    SerialBlock("one", **_INT6, lanes=1, activation_bits=8, bits=14, mode="saturate"),
    SerialBlock("compressor", **_FP4, lanes=9, adders="compressor", bits=15, mode="saturate"),
    SerialBlock(
        "staged", **_INT6, lanes=2, activation_bits=6, bits=11, mode="flag", pipeline=_STAGES
    ),
    SerialBlock(
        "staged_compressor",
        **_INT6,
        lanes=5,
        activation_bits=5,
        activation_signed=False,
        adders="compressor",
        bits=12,
        mode="flag",
        pipeline=_STAGES,
    ),
    SerialBlock("products", **_FP4, lanes=6, bits=13, mode="saturate", pipeline=("products",)),
    SerialBlock("shift", **_FP4, lanes=5, bits=13, pipeline=("operands", "shift")),
    SerialBlock("sums", **_FP4, lanes=8, bits=15, mode="saturate", pipeline=("sums",)),
    SerialBlock(
        "sums_unsigned",
        **_INT6,
        lanes=5,
        activation_bits=6,
        activation_signed=False,
        bits=16,
        mode="flag",
        pipeline=_ALL,
    ),
    SerialBlock("sums_one", **_INT6, lanes=1, activation_bits=8, bits=14, pipeline=("sums",)),
    SerialBlock("sums_compressor", **_FP4, lanes=7, adders="compressor", bits=14, pipeline=_ALL),
    *(
        _floating(f"float_{rounding}_{normalization}", (11, rounding, normalization), terms, 4)
        for (rounding, normalization), terms in zip(
            SETTINGS, [_terms("bitmod_fp4"), _terms("int8")] * 2, strict=True
        )
    ),
    _floating("float_one", (8, "nearest_even", "right"), _terms("int6", 1), 1, activation_bits=6),
    _floating("float_wide", (30, "nearest_even", "full"), _terms("bitmod_fp3"), 5),
    _floating("float_staged", (13, "truncate", "right"), _terms("int6", 1), 5, pipeline=_STAGES),
    _floating("float_sums", (13, "truncate", "right"), _terms("int6", 1), 5, pipeline=_ALL),
    *(
        _floating(
            f"float_compressor_{lanes}",
            (9, rounding, normalization),
            _terms("bitmod_fp4"),
            lanes,
            adders="compressor",
            pipeline=stages,
        )
        for lanes, rounding, normalization, stages in (
            (1, "truncate", "full", ("shift",)),
            (4, "nearest_even", "right", ()),
            (5, "nearest_even", "full", ("products",)),
            (3, "nearest_even", "full", ("sums",)),
        )
    ),
]
