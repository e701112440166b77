"""The requantizer: outer sums to bytes."""

import random

from amaranth.lib import wiring

from configs.accelerator import RequantizerConfig
from hw.dequant import Requantizer

from .block import RESET, Block, Model, Outputs, Stimulus, Values
from .integers import fields, interesting, joined, signed

OUTPUT_BITS = 8
PACES = (0.1, 0.5, 0.9, 1.0)


def requantized(value: int, multiplier: int, shift: int) -> int:
    """``clip(floor(value * multiplier / 2**shift + 1/2), -128, 127)``."""
    rounded = (2 * value * multiplier + (1 << shift)) // (2 << shift)
    return max(-128, min(127, rounded))


class Pipeline:
    """Stages that move together unless the last holds a beat that is not taken."""

    def __init__(self, stages: int = 2) -> None:
        self.stages: list[tuple[int, ...] | None] = [None] * stages

    @property
    def offered(self) -> tuple[int, ...] | None:
        """The beat on its way out."""
        return self.stages[-1]

    def moves(self, ready: int) -> bool:
        """Whether the stages move, and a beat can come in."""
        return bool(ready) or self.offered is None

    def move(self, beat: tuple[int, ...] | None) -> None:
        """Take a beat or a bubble."""
        self.stages = [beat, *self.stages[:-1]]


def requantized_row(values: int, parameters: tuple[int, int], config, cols: int, bits: int) -> int:
    """A row of outer sums as a row of bytes; parameters are (multipliers, shifts)."""
    multipliers = fields(parameters[0], cols, config.multiplier_bits)
    shifts = fields(parameters[1], cols, config.shift_bits)
    numbers = [signed(value, bits) for value in fields(values, cols, bits)]
    results = map(requantized, numbers, multipliers, shifts)
    return joined(list(results), OUTPUT_BITS)


def draw_parameters(rng: random.Random, config: RequantizerConfig, cols: int) -> tuple[int, int]:
    """Multipliers and shifts; mostly such that results are neither all 0 nor all clipped."""
    multipliers, shifts = [], []
    for _ in range(cols):
        largest = (1 << config.multiplier_bits) - 1
        multipliers.append(rng.choice((largest, 1, 0, *[rng.randint(0, largest)] * 6)))
        top = (1 << config.shift_bits) - 1
        likely = min(top, rng.randint(0, config.multiplier_bits + 6))
        shifts.append(rng.choice((0, 1, top, *[likely] * 9)))
    return joined(multipliers, config.multiplier_bits), joined(shifts, config.shift_bits)


class RequantizerModel(Model):
    """Rows through two stages."""

    def __init__(self, block: "RequantizerBlock") -> None:
        super().__init__()
        self.block, self.pipeline = block, Pipeline()

    def step(self, inputs: Values) -> Outputs:
        offered, block = self.pipeline.offered, self.block
        moves = self.pipeline.moves(inputs["beats__ready"])
        outputs: Outputs = {"values__ready": int(moves), "beats__valid": int(offered is not None)}
        if offered is not None:
            outputs |= {"beats__payload": offered[0], "beats_marks": offered[1]}
            self.seen["refused"] += not moves
        if moves:
            beat = None
            if inputs["values__valid"]:
                self.seen["transaction"] += 1
                parameters = (inputs["multipliers"], inputs["shifts"])
                values = inputs["values__payload"]
                row = requantized_row(values, parameters, block.config, block.cols, block.bits)
                for byte in fields(row, block.cols, OUTPUT_BITS):
                    self.seen[{127: "high end", 128: "low end"}.get(byte, "between")] += 1
                beat = (row, inputs["marks"])
            self.pipeline.move(beat)
        if inputs[RESET]:
            self.pipeline = Pipeline()
        return outputs


class RequantizerBlock(Block):
    """One width."""

    kind = "requantizer"
    must_see = ("transaction", "refused", "high end", "low end", "between")

    def __init__(self, cols: int, bits: int, config: RequantizerConfig) -> None:
        self.cols, self.bits, self.config = cols, bits, config
        self.variant = f"{cols}_{bits}_{config.multiplier_bits}_{config.shift_bits}"

    def component(self) -> wiring.Component:
        widths = {n: getattr(self.config, n) for n in ("multiplier_bits", "shift_bits")}
        return Requantizer(cols=self.cols, bits=self.bits, **widths)

    def model(self) -> Model:
        return RequantizerModel(self)

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Bursts of rows; the parameters change between bursts, while nothing is inside."""
        while True:
            multipliers, shifts = draw_parameters(rng, self.config, self.cols)
            held = {"multipliers": multipliers, "shifts": shifts}
            pace, gaps, left = rng.choice(PACES), rng.choice(PACES), rng.randint(1, 12)
            inside = 0
            while left or inside:
                values = joined([interesting(rng, self.bits) for _ in range(self.cols)], self.bits)
                valid, ready = left > 0 and rng.random() < gaps, rng.random() < pace
                inputs = {"values__valid": valid, "beats__ready": ready} | held
                outputs = yield inputs | {"values__payload": values}
                taken = bool(valid and outputs["values__ready"])
                inside += taken - bool(ready and outputs["beats__valid"])
                left -= taken

    def exhaustive(self) -> Stimulus | None:
        """Every value, multiplier and shift of a narrow requantizer."""
        total = self.bits + self.config.multiplier_bits + self.config.shift_bits
        return self._every_operand() if self.cols == 1 and total <= 16 else None

    def _every_operand(self) -> Stimulus:
        for shift in range(1 << self.config.shift_bits):
            for multiplier in range(1 << self.config.multiplier_bits):
                held = {"multipliers": multiplier, "shifts": shift, "beats__ready": 1}
                for value in range(1 << self.bits):
                    yield {"values__valid": 1, "values__payload": value} | held
                for _ in range(2):
                    yield {"values__valid": 0} | held


BLOCKS = [
    RequantizerBlock(2, 20, RequantizerConfig()),
    RequantizerBlock(1, 33, RequantizerConfig(multiplier_bits=32, shift_bits=6)),
    RequantizerBlock(1, 9, RequantizerConfig(multiplier_bits=4, shift_bits=3)),
]
