"""What the descriptions of all PEs share."""

import abc
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hw.pe import FloatSum
from sw.formats import TermTable

from .block import RESET, Block, Model, Outputs, Stimulus, Values
from .decoders import Packing
from .float_register import FloatRegister
from .integers import Register, joined

#: rounding and normalization of floating-point accumulators
SETTINGS = tuple(itertools.product(("truncate", "nearest_even"), ("right", "full")))
#: what the slots of a group have in common; those of floating-point PEs
MOODS = ("random", "random", "random", "up", "down")
FLOAT_MOODS = ("random", "near", "near", "spread", "low", "cancel", "up", "down")


def float_sum(
    bits: int, rounding: str, normalization: str = "right", *, addend_bits: int, top: int
) -> FloatSum:
    """An accumulator with room for addends up to exponent ``top``, as docs/numerics.md has it."""
    largest = top + max(0, addend_bits + 19 - bits)
    return FloatSum(
        bits=bits,
        exponent_bits=largest.bit_length(),
        rounding=rounding,
        normalization=normalization,
    )


@dataclass(frozen=True, kw_only=True)
class PEParameters(abc.ABC):
    """What every kind of PE has; kinds add their own constructor arguments."""

    terms: TermTable
    lanes: int
    pipeline: tuple[str, ...] = ()
    floating: FloatSum | None = None

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
        return 1 + len({"products", "sums"} & set(self.pipeline))

    @property
    def step_delay(self) -> int:
        """Cycles from a slot's terms to its step."""
        return self.shift_delay + ("shift" in self.pipeline)

    @cached_property
    def packing(self) -> Packing:
        """How a term is packed."""
        return Packing.of(self.terms)

    @property
    def term_bits(self) -> int:
        """Width of a packed term."""
        return self.packing.bits

    @property
    @abc.abstractmethod
    def sum_bits(self) -> int:
        """Exact width of a slot's sum."""

    @property
    @abc.abstractmethod
    def top(self) -> int:
        """Largest exponent of a slot's activations, with ``floating``."""

    @property
    @abc.abstractmethod
    def arguments(self) -> dict[str, Any]:
        """Constructor arguments."""

    @property
    def setting(self) -> tuple[str, str] | None:
        """Rounding and normalization of a floating-point PE."""
        floating = self.floating
        return None if floating is None else (floating.rounding, floating.normalization)


class PEModel(Model):
    """``bound(sum + (lane sum << base shift))`` some cycles after the terms.

    The registers in between are not reset: what was in them still arrives.
    """

    def __init__(self, parameters: PEParameters) -> None:
        super().__init__()
        self.p = p = parameters
        self.sums = [(0, 0)] * p.shift_delay
        self.steps = [(0, 0)] * (p.step_delay - p.shift_delay)
        if p.floating is None:
            self.register = Register(p.bits, p.mode)
        else:
            self.floats = FloatRegister(p.floating, p.sum_bits + max(p.shifts))
            self.floats.seen = self.seen

    def step(self, inputs: Values) -> Outputs:
        index = min(inputs.get("shift_select", 0), len(self.p.shifts) - 1)
        total, place = self.sums.pop(0)
        self.steps.append((total << self.p.shifts[index], place))
        self.sums.append(self.lane_sum(inputs))
        addend, place = self.steps.pop(0)
        self.seen["transaction"] += addend != 0
        clear = inputs["last"] or inputs[RESET]
        if self.p.floating is not None:
            return self._float_step(addend, inputs.get("exponent", place), clear)
        high, low = self.register.left
        outputs: Outputs = {"overflow": self.register.step(addend)}
        outputs["group_sum"] = self.register.value
        self.seen["too high"] += self.register.left[0] - high
        self.seen["too low"] += self.register.left[1] - low
        if clear:
            self.register.value = 0
        return outputs

    def _float_step(self, addend: int, place: int, clear: int) -> Outputs:
        """A step of a floating-point accumulator."""
        self.floats.step(addend, place)
        self.seen["cancellation"] = self.seen["vanished"] + self.seen["cancelled"]
        outputs: Outputs = {"group_sum": self.floats.packed}
        if clear:
            self.floats.clear()
        return outputs

    @abc.abstractmethod
    def lane_sum(self, inputs: Values) -> tuple[int, int]:
        """Sum of the lanes and its exponent, 0 where that is an input."""


@dataclass
class Slot:
    """One slot: packed terms and activations, and the exponent that they have in common."""

    last: bool
    terms: list[int]
    activations: list[int]
    shift_index: int
    exponent: int = 0


class PEBlock(Block):
    """One choice of parameters of a PE."""

    p: PEParameters

    def __init__(self, variant: str, parameters: PEParameters) -> None:
        self.variant, self.p = variant, parameters
        self.must_see = ("transaction", "too high", "too low")
        if parameters.floating is not None:
            self.must_see = ("transaction", "inexact", "grown", "cancellation", "tie")

    @abc.abstractmethod
    def slot(self, rng: random.Random, mood: str, base: int) -> Slot:
        """One slot of a group with that mood; its exponents are around ``base``, if they are."""

    @abc.abstractmethod
    def negated(self, slot: Slot) -> Slot:
        """The slot that takes another one back."""

    @abc.abstractmethod
    def plain(self, value: int, exponent: int) -> Slot:
        """The slot that adds ``value * 2**exponent``."""

    @property
    def every_product(self) -> Iterator[Slot] | None:
        """Every operand of a single lane, as groups of one slot; None where there are too many."""
        return None

    @property
    @abc.abstractmethod
    def activation_width(self) -> int:
        """Bits of a packed activation."""

    @abc.abstractmethod
    def absent(self, rng: random.Random) -> int:
        """A term that adds nothing."""

    def place(self, rng: random.Random, mood: str, base: int) -> int:
        """An exponent: anywhere, or as the mood wants it."""
        top = self.p.top
        near = min(max(base + rng.randint(-3, 3), 0), top)
        any_place = rng.randint(0, top)
        return {
            "random": any_place,
            "spread": rng.choice((0, top, near)),
            "low": 0,
            "up": base,
            "down": base,
        }.get(mood, near)

    def _groups(self, rng: random.Random) -> Iterator[Slot | None]:
        """Groups of slots, with gaps inside and between them."""
        moods = MOODS if self.p.floating is None else FLOAT_MOODS
        while True:
            mood, pace = rng.choice(moods), rng.choice((0.4, 0.8, 1.0))
            length = rng.randint(1, 9) if rng.randrange(20) else rng.randint(20, 60)
            base = rng.randint(0, self.p.top) if self.p.floating is not None else 0
            before = None
            for index in range(length):
                while rng.random() > pace:
                    yield None
                back = mood == "cancel" and before is not None and rng.randrange(3)
                slot = self.negated(before) if back else self.slot(rng, mood, base)
                before = None if back else slot
                slot.last = index == length - 1
                yield slot

    def _timed(self, slots: Iterator[Slot | None], rng: random.Random) -> Stimulus:
        """Every input in the cycle in which its slot needs it; ends with the last slot.

        Without a slot terms are absent, with noise in their other bits and on the other inputs.
        """
        p = self.p
        window: list[Slot | None] = [None] * (p.step_delay + 1)
        for slot in itertools.chain(slots, [None] * p.step_delay):
            window = [slot, *window[:-1]]
            shifted, stepping = window[p.shift_delay], window[p.step_delay]
            inputs: Values = {"last": stepping is not None and stepping.last}
            if slot is None:
                inputs |= self.terms_in([self.absent(rng) for _ in range(p.lanes)])
            else:
                inputs |= self.terms_in(slot.terms)
                inputs["activations"] = joined(slot.activations, self.activation_width)
            if shifted is not None and len(p.shifts) > 1:
                inputs["shift_select"] = shifted.shift_index
            yield inputs | self.step_inputs(stepping)

    def step_inputs(self, stepping: Slot | None) -> Values:
        """More inputs in the cycle of a slot's step."""
        return {}

    def terms_in(self, terms: list[int]) -> Values:
        """Terms, and what comes with them."""
        return {"terms_in": joined(terms, self.p.term_bits)}

    def in_reset(self, rng: random.Random) -> Values:
        # mostly nothing but the reset clears the sum
        inputs = self.terms_in([self.absent(rng) for _ in range(self.p.lanes)])
        return inputs | self.step_inputs(None) | {"last": rng.randrange(4) == 0}

    def stimulus(self, rng: random.Random) -> Stimulus:
        return self._timed(self._groups(rng), rng)

    def exhaustive(self) -> Stimulus | None:
        products = self.every_product
        return None if products is None else self._timed(products, random.Random(0))

    def corners(self) -> Stimulus:
        if self.p.floating is None:
            return super().corners()
        return self._timed(self._listed(), random.Random(0))

    def _listed(self) -> Iterator[Slot]:
        """Listed groups, each a list of (value, exponent)."""
        assert self.p.floating is not None
        bits, top = self.p.floating.bits, self.p.top
        large = self.largest_value
        groups = [
            *([(large, top), (large, 0), (-large, top)], [(large, 0), (large, top), (-large, top)]),
            *([(1, 0), (-1, 0)], [(0, top), (1, 0)], [(0, 0)], [(large, 3), (-large, 3), (1, 0)]),
            *([(-1, 0)], [(1, top), (-1, top), (-1, 0)], [(large, 0)] * 70, [(-large, 0)] * 70),
            *([(large, top)] * 70, [(-large, top)] * 70),
            *([(1, place), (-1, top), (1, top)] for place in range(top + 1)),
        ]
        # the end of the range, and one step beyond it
        for sign in (1, -1):
            for last in (-2, -1, 0, 1, 2):
                steps = [(sign, 0)] + [(sign, place) for place in range(bits - 1)]
                groups.append([*steps, (last, 0)])
        # halves: a number, and half of its lowest place, a little less, a little more
        for value in range(-5, 6):
            for sign in (1, -1):
                for little in (-1, 0, 1):
                    for place in range(1, min(top, bits + 1)):
                        groups.append([(value, place), (sign * 2, place - 1), (little, 0)])
                        groups.append([(little, 0), (sign, place - 1), (value, place)])
        for group in groups:
            for index, (value, exponent) in enumerate(group):
                slot = self.plain(value, min(exponent, top))
                slot.last = index == len(group) - 1
                yield slot

    @property
    @abc.abstractmethod
    def largest_value(self) -> int:
        """Largest value for :meth:`plain`."""
