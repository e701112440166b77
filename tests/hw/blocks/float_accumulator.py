"""The floating-point accumulator: roundings, normalizations, widths; small ones exhaustively."""

import itertools
import random
from collections.abc import Iterator
from typing import NamedTuple

from amaranth.lib import wiring

from hw.pe import FloatAccumulator, FloatSum
from hw.pe.float_accumulator import NORMALIZATIONS, ROUNDINGS

from .block import RESET, Block, Model, Outputs, Stimulus, Values
from .float_register import FloatRegister
from .integers import fields, interesting, joined, signed, signed_values


class Widths(NamedTuple):
    """Widths of a variant."""

    bits: int
    addend_bits: int
    addend_exponent_bits: int
    exponent_bits: int
    depth: int = 1


#: equal widths, exhaustive; an addend wider (by much: the guard places follow it), and narrower;
#: several sums in turn
WIDTHS = (
    Widths(4, 4, 4, 5),
    Widths(12, 22, 5, 6),
    Widths(6, 20, 5, 6),
    Widths(16, 9, 5, 6),
    Widths(10, 14, 5, 5, 3),
)
_EXHAUSTIVE_BITS = 8
#: rounding and normalization
SETTINGS = [f"{r}_{n}" for r, n in itertools.product(ROUNDINGS, NORMALIZATIONS)]


class FloatAccumulatorModel(Model):
    """Sum in turn plus ``addend * 2**exponent`` in every cycle; all are cleared together."""

    def __init__(self, block: "FloatAccumulatorBlock") -> None:
        super().__init__()
        self.block = block
        self.sums = [FloatRegister(block.floating, block.addend_bits) for _ in range(block.depth)]

    def step(self, inputs: Values) -> Outputs:
        outputs: Outputs = {}
        if inputs[RESET]:
            # noise may add up to more than the exponent has room for
            self._clear()
            return outputs
        block, current = self.block, self.sums[0]
        if block.depth > 1:
            outputs["others"] = joined([s.packed for s in self.sums[1:]], block.sum_bits)
        before = current.mantissa, current.exponent
        addend = signed(inputs["addend"], block.addend_bits)
        current.seen = self.seen
        current.step(addend, inputs["exponent"])
        assert current.exponent < 1 << block.floating.exponent_bits, "no room for the exponent"
        outputs["next"] = current.packed
        self._see(before, addend, inputs["exponent"])
        if inputs.get("turn"):
            self.sums = [*self.sums[1:], current]
        if inputs["clear"]:
            self._clear()
        return outputs

    def _clear(self) -> None:
        for register in self.sums:
            register.clear()

    def _see(self, before: tuple[int, int], addend: int, place: int) -> None:
        """Count steps, and what a step did."""
        seen, after, (mantissa, exponent) = self.seen, self.sums[0], before
        seen["transaction"] += 1
        seen[self.block.setting] += 1
        if not mantissa or not addend:
            return
        exact = (mantissa << exponent) + (addend << place)
        seen["fallen"] += after.exponent < exponent
        seen["beyond the width"] += abs(exponent - place) > self.block.width + 1
        rounded_up = exact < after.mantissa << after.exponent
        seen["carry"] += rounded_up and after.mantissa == after.half // 2


class FloatAccumulatorBlock(Block):
    """One rounding, normalization, width and number of sums."""

    kind = "float_accumulator"

    def __init__(self, rounding: str, normalization: str, widths: Widths) -> None:
        self.bits, self.addend_bits, self.addend_exponent_bits, exponent_bits, self.depth = widths
        self.floating = FloatSum(
            bits=self.bits,
            exponent_bits=exponent_bits,
            rounding=rounding,
            normalization=normalization,
        )
        self.width = max(self.bits, self.addend_bits)
        self.setting = f"{rounding}_{normalization}"
        self.variant = f"{self.setting}_{self.bits}_{self.addend_bits}"
        self.variant += f"_{self.depth}" * (self.depth > 1)
        self.must_see = ("transaction", "inexact", "vanished", "tie")
        if self.width > 8:
            self.must_see += ("cancelled",)
        if normalization == "full" or self.addend_bits >= self.bits:
            self.must_see += ("grown",)
        if len(self.places) > self.width + 4:
            self.must_see += ("beyond the width",)
        if normalization == "full":
            self.must_see += ("fallen",)
        if rounding == "nearest_even" and self.addend_bits >= self.bits:
            self.must_see += ("carry",)

    @property
    def sum_bits(self) -> int:
        """Mantissa and exponent."""
        return self.bits + self.floating.exponent_bits

    @property
    def ceiling(self) -> int:
        """Largest exponent from which a step cannot leave the room for exponents."""
        return (1 << self.floating.exponent_bits) - 1 - (self.width + 3 - self.bits)

    @property
    def places(self) -> range:
        """Exponents of addends."""
        return range(min(1 << self.addend_exponent_bits, self.ceiling + 1))

    def component(self) -> wiring.Component:
        return FloatAccumulator(
            floating=self.floating,
            addend_bits=self.addend_bits,
            addend_exponent_bits=self.addend_exponent_bits,
            depth=self.depth,
        )

    def model(self) -> Model:
        return FloatAccumulatorModel(self)

    def _inputs(self, addend: int, place: int, clear: int = 0, turn: int = 0) -> Values:
        inputs = {"addend": addend, "exponent": place, "clear": clear}
        if not addend and self.floating.normalization == "full":
            del inputs["exponent"]
        return inputs | ({"turn": turn} if self.depth > 1 else {})

    def _in_turn(self, inputs: Values, outputs: Outputs) -> tuple[int, int]:
        """Mantissa and exponent that the next step finds."""
        packed = outputs["next"]
        if inputs["clear"]:
            packed = 0
        elif inputs.get("turn"):
            packed = fields(outputs["others"], self.depth - 1, self.sum_bits)[0]
        return signed(packed, self.bits), packed >> self.bits

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Runs of steps of one kind, which know the sum that they add to; idle cycles."""
        kinds = (self._any, self._any, self._near, self._cancelling, self._tie, self._carry)
        held = 0, 0
        while True:
            kind = rng.choice((*kinds, self._far_tie, self._mixed))
            clears = 2 if kind == self._far_tie else 24
            for _ in range(rng.randint(1, 30)):
                if rng.randrange(4) == 0:
                    yield self._inputs(0, 0)
                if held[1] > self.ceiling:
                    inputs = self._inputs(0, 0, clear=1)
                else:
                    step = kind(rng, *held)
                    inputs = self._inputs(*step, rng.randrange(clears) == 0, rng.randrange(3) == 0)
                held = self._in_turn(inputs, (yield inputs))

    def _any(self, rng: random.Random, mantissa: int, exponent: int) -> tuple[int, int]:
        """Any mantissa, 0 and the ends more often, at any exponent."""
        return interesting(rng, self.addend_bits), rng.choice(self.places)

    def _near(self, rng: random.Random, mantissa: int, exponent: int) -> tuple[int, int]:
        """Not further away than the shifters reach."""
        place = exponent + rng.randint(-self.width - 3, self.width + 3)
        return interesting(rng, self.addend_bits), min(max(place, 0), self.places[-1])

    def _cancelling(self, rng: random.Random, mantissa: int, exponent: int) -> tuple[int, int]:
        """The sum's opposite, or almost, written with a lower or a higher exponent."""
        places = rng.randint(-self.bits, self.addend_bits)
        wanted = -(mantissa << places) if places >= 0 else -(mantissa >> -places)
        wanted += rng.choice((0, 0, 1, -1, rng.randint(-4, 4)))
        return self._possible(rng, wanted, exponent - places)

    def _tie(self, rng: random.Random, mantissa: int, exponent: int) -> tuple[int, int]:
        """Half a last place beside a multiple of it, or next to that."""
        places = rng.randint(1, max(1, self.addend_bits - 2))
        wanted = interesting(rng, max(1, self.addend_bits - places)) << places | 1 << places - 1
        wanted += rng.choice((0, 0, 0, 1, -1))
        return self._possible(rng, wanted, exponent - places)

    def _far_tie(self, rng: random.Random, mantissa: int, exponent: int) -> tuple[int, int]:
        """Half a last place on its own, so that a sum far below decides; at first that sum."""
        extra = self.addend_bits - self.bits
        if not mantissa or extra < 1:
            return rng.choice((1, -1, 3, interesting(rng, self.addend_bits))), rng.randint(0, 2)
        extra = rng.randint(1, extra)
        kept = 1 << self.bits - 2 | rng.getrandbits(self.bits - 2)
        wanted = kept << extra | 1 << extra - 1
        place = exponent + rng.randint(self.bits, self.width + 4)
        return self._possible(rng, rng.choice((wanted, -wanted)), place)

    def _carry(self, rng: random.Random, mantissa: int, exponent: int) -> tuple[int, int]:
        """To half a last place below the next power of two, or around it."""
        places = rng.randint(1, 3)
        wanted = ((1 << self.bits - 1) - mantissa << places) - rng.choice((1, 1 << places - 1, 0))
        return self._possible(rng, wanted, exponent - places)

    def _mixed(self, rng: random.Random, mantissa: int, exponent: int) -> tuple[int, int]:
        """A kind of its own for every step."""
        kind = rng.choice((self._any, self._near, self._cancelling, self._tie, self._carry))
        return kind(rng, mantissa, exponent)

    def _possible(self, rng: random.Random, addend: int, place: int) -> tuple[int, int]:
        """The addend if it can be one, else any."""
        if addend in signed_values(self.addend_bits) and place in self.places:
            return addend, place
        return self._any(rng, 0, 0)

    def corners(self) -> Stimulus:
        """Listed sums of a few addends, each from 0, with an idle cycle behind every step."""
        for sums in self._listed():
            yield self._inputs(0, 0, clear=1)
            for addend, place in sums:
                if addend in signed_values(self.addend_bits):
                    yield self._inputs(addend, place)
                    yield self._inputs(0, 0)

    def _listed(self) -> Iterator[list[tuple[int, int]]]:
        """Addends with their exponents."""
        places, ends = self.places, signed_values(min(self.bits, self.addend_bits))
        top, low, high = places[-1], ends[0], ends[-1]
        # nothing left at the largest exponent, then the smallest number, of either sign
        for mantissa, least in itertools.product((high, low + 1, 1), (1, -1)):
            yield [(mantissa, top), (-mantissa, top), (least, 0), (0, top), (least, 0)]
        # every distance, both ways, to a number of either sign with many bits and with one
        for first, second in itertools.product((high, low, 1, -1), (high, low, 1, -1)):
            for place in places:
                yield [(first, place), (second, 0)]
                yield [(first, 0), (second, place)]
        # almost everything cancels: one number has one bit, the other all of them
        for place in places:
            yield [(high, 0), (-1, place), (1, 0), (-1, 0)]
            yield [(1, place), (-high, 0), (-1, 0)]
        # halves, above an even and an odd number, of either sign; beside them
        for mantissa, part in itertools.product((high, high - 1, low, low + 1, 2, 3), (1, 2, 3)):
            for sign in (1, -1):
                yield [(mantissa, 2), (sign * part, 0)]
                yield [(mantissa, 2), (mantissa, 2), (sign * part, 1), (sign * part, 0)]
        # in one direction until the mantissa is full, where the addend is narrower
        for end in (low, high):
            yield [*[(end, top)] * (2 << max(0, self.bits - self.addend_bits)), (1, 0)]
        # nothing but the smallest numbers
        yield [(1, 0), (1, 0), (-1, 0), (-1, 0), (-1, 0), (low, 0), (high, 0), (1, 0)]

    def exhaustive(self) -> Stimulus | None:
        """Every first and second addend with every exponent."""
        if self.bits + self.addend_bits > _EXHAUSTIVE_BITS or self.depth > 1:
            return None
        return self._every_pair()

    def _every_pair(self) -> Stimulus:
        numbers = list(itertools.product(signed_values(self.addend_bits), self.places))
        yield self._inputs(0, 0, clear=1)
        for first, second in itertools.product(numbers, numbers):
            yield self._inputs(*first)
            yield self._inputs(*second, clear=1)


BLOCKS = [
    FloatAccumulatorBlock(rounding, normalization, widths)
    for rounding, normalization in itertools.product(ROUNDINGS, NORMALIZATIONS)
    for widths in WIDTHS
]
