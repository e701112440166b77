"""Activation sums of a group and their multiples."""

import random
from collections import deque
from dataclasses import dataclass, field

from amaranth.lib import wiring

from hw.dequant import ActivationSums

from .block import RESET, Block, Model, Outputs, Stimulus, Values
from .integers import fields, interesting, joined, signed


@dataclass
class Timeline:
    """Inputs by cycle, collected out of order; cycles not named keep ``idle``."""

    idle: Values
    cycles: dict[int, Values] = field(default_factory=dict)

    def at(self, cycle: int, **values: int) -> None:
        """Set inputs of a cycle."""
        self.cycles.setdefault(cycle, {}).update(values)

    def take(self, cycle: int) -> Values:
        """Inputs of a cycle, which is over then."""
        return self.idle | self.cycles.pop(cycle, {})


class ActivationSumsModel(Model):
    """Sums of each row over a group, and the multiples of the row in turn."""

    def __init__(self, block: "ActivationSumsBlock") -> None:
        super().__init__()
        self.block = block
        self.delayed = deque([[0] * block.rows] * block.delay)
        self.sums = [0] * block.rows
        self.waiting: list[int] = []
        self.multiple, self.doublings = 0, 0

    def step(self, inputs: Values) -> Outputs:
        block, outputs = self.block, {}
        if self.waiting and self.doublings < block.zero_point_bits:
            outputs["multiple"] = self.waiting[0] << self.doublings
            self.seen["transaction"] += inputs["correct"]
        self.delayed.append(self._chunk(inputs["activations"]))
        chunk = self.delayed.popleft()
        if inputs["accumulate"]:
            self.sums = [a + b for a, b in zip(self.sums, chunk, strict=True)]
        self.doublings += inputs["correct"]
        if inputs.get("last"):
            self.waiting, self.doublings = self.waiting[1:], 0
        if inputs["load"]:
            self.waiting, self.doublings = self.sums, 0
            self.sums = [0] * block.rows
            self.seen["load"] += 1
        if inputs[RESET]:
            self.waiting, self.sums = [], [0] * block.rows
        return outputs

    def _chunk(self, packed: int) -> list[int]:
        """Sum of each row's lanes."""
        block = self.block
        values = fields(packed, block.rows * block.lanes, block.activation_bits)
        if block.activation_signed:
            values = [signed(value, block.activation_bits) for value in values]
        return [sum(values[row * block.lanes :][: block.lanes]) for row in range(block.rows)]


class ActivationSumsBlock(Block):
    """One shape."""

    kind = "activation_sums"
    must_see = ("transaction", "load")
    #: chunks of the longest group, and what fits their sums
    LONGEST, BITS = 6, 14

    def __init__(self, rows: int, lanes: int, activation_signed: bool, delay: int) -> None:
        self.rows, self.lanes, self.delay = rows, lanes, delay
        self.activation_signed, self.activation_bits, self.zero_point_bits = activation_signed, 8, 4
        self.variant = f"{'signed' if activation_signed else 'unsigned'}_{rows}_{lanes}_{delay}"

    def component(self) -> wiring.Component:
        names = ("rows", "lanes", "activation_bits", "activation_signed", "zero_point_bits")
        parameters = {name: getattr(self, name) for name in names}
        return ActivationSums(**parameters, delay=self.delay, bits=self.BITS)

    def model(self) -> Model:
        return ActivationSumsModel(self)

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Groups of chunks of slots with gaps; passes of a group beside the next."""
        pass_cycles = self.zero_point_bits + 2
        idle = {"accumulate": 0, "load": 0, "correct": 0} | ({"last": 0} if self.rows > 1 else {})
        timeline, cycle, loaded = Timeline(idle), 0, -1000
        while True:
            begin = now = cycle + self.delay
            chunks, slots = rng.randint(1, self.LONGEST), rng.randint(1, 3)
            self.push = rng.randrange(4) == 0
            for _ in range(chunks):
                now += rng.choice((0, 0, 1, 4))
                timeline.at(now - self.delay, activations=self._activations(rng))
                timeline.at(now, accumulate=1)
                now += slots
            load = max(now - 1, loaded + self.rows * pass_cycles)
            timeline.at(load, load=1)
            for row in range(self.rows):
                start = load + 1 + row * pass_cycles
                for bit in range(self.zero_point_bits):
                    timeline.at(start + bit, correct=1)
                if self.rows > 1:
                    timeline.at(start + pass_cycles - 1, last=1)
            loaded = load
            while cycle < load + 1 - self.delay or cycle < begin:
                yield timeline.take(cycle)
                cycle += 1

    def _activations(self, rng: random.Random) -> int:
        """Activations of a chunk; with ``push`` the largest, so that the sums become large."""
        if self.push:
            largest = rng.choice((127, -128)) if self.activation_signed else 255
            return joined([largest] * self.rows * self.lanes, 8)
        if self.activation_signed:
            values = [interesting(rng, 8) for _ in range(self.rows * self.lanes)]
        else:
            values = [interesting(rng, 8) % 256 for _ in range(self.rows * self.lanes)]
        return joined(values, 8)


BLOCKS = [
    ActivationSumsBlock(1, 3, True, 1),
    ActivationSumsBlock(3, 2, False, 2),
    ActivationSumsBlock(2, 4, True, 3),
]
