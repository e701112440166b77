"""The serial PE."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import fields as fields_of
from functools import cached_property

from amaranth.lib import wiring

from hw.pe import SerialPE
from sw.formats import TermTable, family_terms, get_family

from .block import RESET, Block, Model, Outputs, Stimulus, Values
from .decoders import term_value
from .integers import Register, fields, joined, signed


@dataclass(frozen=True, kw_only=True)
class PEParameters:
    """Constructor arguments of a PE, and what follows from them."""

    terms: TermTable
    lanes: int
    activation_bits: int
    activation_signed: bool = True
    bits: int
    mode: str
    adders: str = "chain"
    pipeline: tuple[str, ...] = ()

    @cached_property
    def shifts(self) -> list[int]:
        """Distinct base shifts, rising."""
        return sorted(set(self.terms.base_shifts))

    @cached_property
    def largest_exponent(self) -> int:
        """Largest exponent of the term table: the adder tree is no wider."""
        return max(term.exponent for row in self.terms.terms.values() for term in row)

    @property
    def shift_delay(self) -> int:
        """Cycles from a slot's terms to its base shift."""
        return 1 + ("products" in self.pipeline)

    @property
    def step_delay(self) -> int:
        """Cycles from a slot's terms to its step."""
        return self.shift_delay + ("shift" in self.pipeline)


class PEModel(Model):
    """``bound(sum + (lane sum << base shift))`` some cycles after the terms.

    The registers in between are not reset: what was in them still arrives.
    """

    def __init__(self, parameters: PEParameters) -> None:
        super().__init__()
        self.p = parameters
        self.register = Register(parameters.bits, parameters.mode)
        self.sums = [0] * parameters.shift_delay
        self.steps = [0] * (parameters.step_delay - parameters.shift_delay)

    def step(self, inputs: Values) -> Outputs:
        index = min(inputs.get("shift_select", 0), len(self.p.shifts) - 1)
        self.steps.append(self.sums.pop(0) << self.p.shifts[index])
        self.sums.append(self._lane_sum(inputs))
        high, low = self.register.left
        addend = self.steps.pop(0)
        outputs: Outputs = {"overflow": self.register.step(addend)}
        outputs["group_sum"] = self.register.value
        self.seen["transaction"] += addend != 0
        self.seen["too high"] += self.register.left[0] - high
        self.seen["too low"] += self.register.left[1] - low
        if inputs["last"] or inputs[RESET]:
            self.register.value = 0
        return outputs

    def _lane_sum(self, inputs: Values) -> int:
        """Sum of the lanes' terms times their activations."""
        p = self.p
        terms = fields(inputs["terms_in"], p.lanes, 2 + p.terms.exponent_bits)
        activations = fields(inputs["activations"], p.lanes, p.activation_bits)
        if p.activation_signed:
            activations = [signed(value, p.activation_bits) for value in activations]
        return sum(term_value(t) * a for t, a in zip(terms, activations, strict=True))


@dataclass
class Slot:
    """One slot."""

    last: bool
    terms: list[int]
    activations: list[int]
    shift_index: int


class PEBlock(Block):
    """One choice of parameters."""

    kind = "serial_pe"
    must_see = ("transaction", "too high", "too low")

    def __init__(self, variant: str, **parameters) -> None:
        self.variant, self.p = variant, PEParameters(**parameters)

    def component(self) -> wiring.Component:
        return SerialPE(**{field.name: getattr(self.p, field.name) for field in fields_of(self.p)})

    def model(self) -> Model:
        return PEModel(self.p)

    @property
    def activations(self) -> range:
        """All values of an activation."""
        half = 1 << (self.p.activation_bits - 1)
        return range(-half, half) if self.p.activation_signed else range(2 * half)

    def _slot(self, rng: random.Random, push: int) -> tuple[list[int], list[int], int]:
        """Terms, activations, shift: random, or with ``push`` the largest step up or down."""
        p, values = self.p, self.activations
        if push:
            extreme = values[0] if p.activation_signed else values[-1]
            negative = (push > 0) == p.activation_signed
            term = 1 | negative << 1 | p.largest_exponent << 2
            return [term] * p.lanes, [extreme] * p.lanes, len(p.shifts) - 1
        terms = [
            (rng.randrange(4) > 0) | rng.randrange(2) << 1 | rng.randint(0, p.largest_exponent) << 2
            for _ in range(p.lanes)
        ]
        ends = (values[0], values[-1], 0)
        activations = [rng.choice((*ends, rng.choice(values))) for _ in range(p.lanes)]
        return terms, activations, rng.randrange(len(p.shifts))

    def _slots(self, rng: random.Random) -> Iterator[Slot | None]:
        """Groups of slots, with gaps inside and between them."""
        while True:
            push, pace = rng.choice((0, 0, 0, 1, -1)), rng.choice((0.4, 0.8, 1.0))
            length = rng.randint(1, 9)
            for index in range(length):
                while rng.random() > pace:
                    yield None
                yield Slot(index == length - 1, *self._slot(rng, push))

    def _timed(self, slots: Iterator[Slot | None], rng: random.Random) -> Stimulus:
        """Every input in the cycle in which its slot needs it; ends with the last slot.

        Without a slot terms are absent, with noise in their other bits and on the other inputs.
        """
        p = self.p
        width = 2 + p.terms.exponent_bits
        window: list[Slot | None] = [None] * (p.step_delay + 1)
        for slot in itertools.chain(slots, [None] * p.step_delay):
            window = [slot, *window[:-1]]
            shifted, stepping = window[p.shift_delay], window[p.step_delay]
            inputs: Values = {"last": stepping is not None and stepping.last}
            if slot is None:
                inputs |= self._terms_in([2 * rng.getrandbits(width - 1) for _ in range(p.lanes)])
            else:
                inputs |= self._terms_in(slot.terms)
                inputs["activations"] = joined(slot.activations, p.activation_bits)
            if shifted is not None and len(p.shifts) > 1:
                inputs["shift_select"] = shifted.shift_index
            yield inputs

    def _terms_in(self, terms: list[int]) -> Values:
        """Terms, and how many are negative, absent ones too, where the PE asks for it."""
        values = {"terms_in": joined(terms, 2 + self.p.terms.exponent_bits)}
        if self.p.adders == "compressor":
            values["negatives"] = sum(term >> 1 & 1 for term in terms)
        return values

    def in_reset(self, rng: random.Random) -> Values:
        return self._terms_in([2 * rng.randrange(2) for _ in range(self.p.lanes)])

    def stimulus(self, rng: random.Random) -> Stimulus:
        return self._timed(self._slots(rng), rng)

    def exhaustive(self) -> Stimulus | None:
        """Every term, activation and base shift of a single lane."""
        if self.p.lanes > 1:
            return None
        return self._timed(iter(list(self._every_product())), random.Random(0))

    def _every_product(self) -> Iterator[Slot]:
        signs = (0, 1, 2, 3)  # absent, positive, absent, negative
        for shift in range(len(self.p.shifts)):
            for sign, exponent in itertools.product(signs, range(self.p.largest_exponent + 1)):
                for activation in self.activations:
                    yield Slot(True, [sign | exponent << 2], [activation], shift)


def _terms(family: str, lane_exponent_bits: int = 2) -> TermTable:
    return family_terms(get_family(family), lane_exponent_bits=lane_exponent_bits)


_FP4 = {"terms": _terms("bitmod_fp4"), "activation_bits": 8}
_INT6 = {"terms": _terms("int6", 1)}
BLOCKS = [
    PEBlock("fp4", **_FP4, lanes=4, bits=14, mode="saturate"),
    PEBlock("int8", terms=_terms("int8"), lanes=3, activation_bits=8, bits=17, mode="flag"),
    PEBlock("narrow", terms=_terms("int8", 1), lanes=1, activation_bits=4, bits=9, mode="wrap"),
    PEBlock("ternary", terms=_terms("ternary"), lanes=10, activation_bits=8, bits=11, mode="wrap"),
    PEBlock("unsigned", **_FP4, lanes=3, activation_signed=False, bits=14, mode="flag"),
    PEBlock("one", **_INT6, lanes=1, activation_bits=8, bits=14, mode="saturate"),
    PEBlock("compressor", **_FP4, lanes=9, adders="compressor", bits=15, mode="saturate"),
    PEBlock(
        "staged",
        **_INT6,
        lanes=2,
        activation_bits=6,
        bits=11,
        mode="flag",
        pipeline=("products", "shift"),
    ),
    PEBlock(
        "staged_compressor",
        **_INT6,
        lanes=5,
        activation_bits=5,
        activation_signed=False,
        adders="compressor",
        bits=12,
        mode="flag",
        pipeline=("products", "shift"),
    ),
    PEBlock("products", **_FP4, lanes=6, bits=13, mode="saturate", pipeline=("products",)),
    PEBlock("shift", **_FP4, lanes=5, bits=13, mode="wrap", pipeline=("operands", "shift")),
]
