"""The accumulator: three modes, small widths exhaustively."""

import random
from collections.abc import Iterator

from amaranth.lib import wiring

from hw.pe import Accumulator
from hw.pe.accumulator import MODES

from .block import RESET, Block, Model, Outputs, Stimulus, Values
from .integers import Register, interesting, joined, signed, signed_values

#: (bits, addend bits): narrower, wider and equal addends; the last two are not exhaustive
WIDTHS = ((4, 5), (5, 3), (4, 4), (1, 2), (12, 20), (15, 12))
_EXHAUSTIVE_BITS = 10


class AccumulatorModel(Model):
    """``bound(sum in turn + addend)`` in every cycle; sums take turns and are cleared together."""

    def __init__(self, block: "AccumulatorBlock") -> None:
        super().__init__()
        self.block = block
        self.sums = [Register(block.bits, block.mode) for _ in range(block.depth)]

    def step(self, inputs: Values) -> Outputs:
        block, current = self.block, self.sums[0]
        addend = signed(inputs["addend"], block.addend_bits)
        outputs: Outputs = {}
        if block.depth > 1:
            outputs["others"] = joined([s.value for s in self.sums[1:]], block.bits)
        high, low = current.left
        outputs["overflow"] = current.step(-addend if block.subtract else addend)
        outputs["next"] = current.value
        self.seen["transaction"] += 1
        self.seen["too high"] += current.left[0] - high
        self.seen["too low"] += current.left[1] - low
        if inputs.get("turn"):
            self.sums = [*self.sums[1:], current]
        if inputs["clear"] or inputs[RESET]:
            for register in self.sums:
                register.value = 0
        return outputs


class AccumulatorBlock(Block):
    """One width, mode, sign and number of sums."""

    kind = "accumulator"
    must_see = ("transaction", "too high", "too low")

    def __init__(
        self, bits: int, addend_bits: int, mode: str, depth: int = 1, *, subtract: bool = False
    ) -> None:
        self.bits, self.addend_bits, self.mode = bits, addend_bits, mode
        self.depth, self.subtract = depth, subtract
        self.variant = f"{mode}_{bits}_{addend_bits}" + f"_{depth}" * (depth > 1)
        self.variant += "_subtract" * subtract

    def component(self) -> wiring.Component:
        names = ("bits", "addend_bits", "mode", "depth", "subtract")
        return Accumulator(**{name: getattr(self, name) for name in names})

    def model(self) -> Model:
        return AccumulatorModel(self)

    def _inputs(self, addend: int, clear: int = 0, turn: int = 0) -> Values:
        return {"addend": addend, "clear": clear} | ({"turn": turn} if self.depth > 1 else {})

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Runs of steps in one direction, so that wide registers overflow too; idle cycles."""
        half = 1 << (self.addend_bits - 1)
        while True:
            push = rng.choice((0, 0, half - 1, -half))
            for _ in range(rng.randint(1, 40)):
                if rng.randrange(4) == 0:
                    yield self._inputs(0)
                addend = push or interesting(rng, self.addend_bits)
                yield self._inputs(addend, rng.randrange(24) == 0, rng.randrange(3) == 0)

    def corners(self) -> Stimulus:
        """Both ends of the register, then every small step away from them and back."""
        low, high = -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        for end in (low, high, 0):
            for step in (-2, -1, 0, 1):
                yield from self._load(end)
                yield self._inputs(step)
                yield self._inputs(0)

    def exhaustive(self) -> Stimulus | None:
        """Every register value, addend and clear, read back in the next cycle."""
        if self.bits + self.addend_bits > _EXHAUSTIVE_BITS or self.depth > 1:
            return None
        return self._every_step()

    def _every_step(self) -> Stimulus:
        for start in signed_values(self.bits):
            for addend in signed_values(self.addend_bits):
                for clear in (0, 1):
                    yield from self._load(start)
                    yield self._inputs(addend, clear)
                    yield self._inputs(0)

    def _load(self, value: int) -> Iterator[Values]:
        """Bring the register to ``value``, in several steps where the addend is narrower."""
        yield self._inputs(0, clear=1)
        ends, rest = signed_values(self.addend_bits), -value if self.subtract else value
        while rest:
            step = max(ends[0], min(ends[-1], rest))
            yield self._inputs(step)
            rest -= step


BLOCKS = [AccumulatorBlock(bits, addend, mode) for mode in MODES for bits, addend in WIDTHS]
BLOCKS += [AccumulatorBlock(5, 5, mode, subtract=True) for mode in MODES]
BLOCKS += [
    AccumulatorBlock(9, 8, "saturate", 2),
    AccumulatorBlock(8, 8, "flag", 3),
    AccumulatorBlock(14, 12, "saturate", subtract=True),
]
