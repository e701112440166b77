"""The result drain, with a requantizer or without."""

import random

from amaranth.lib import wiring

from configs.accelerator import RequantizerConfig
from hw.array import ResultDrain

from .block import RESET, Block, Model, Outputs, Stimulus, Values
from .integers import fields, interesting, joined, signed
from .requantizer import OUTPUT_BITS, PACES, Pipeline, draw_parameters, requantized_row


class DrainModel(Model):
    """Rows not yet accepted, and those in the requantizer."""

    def __init__(self, block: "DrainBlock") -> None:
        super().__init__()
        self.block = block
        self._reset()

    def _reset(self) -> None:
        self.held: list[tuple[int, ...]] = []
        self.pipeline = Pipeline()

    def step(self, inputs: Values) -> Outputs:
        held, direct = self.held, self.block.config is None
        offered = (held[0] if held else None) if direct else self.pipeline.offered
        taken = offered is not None and bool(inputs["beats__ready"])
        outputs: Outputs = {"beats__valid": int(offered is not None), "tile_done": 0}
        if offered is not None:
            row, ends_tile, ends_job = offered
            outputs |= {"beats__payload": row, "last": ends_job, "tile_done": taken and ends_tile}
            self.seen["transaction"] += taken
            self.seen["refused"] += not taken
            self.seen["job end"] += taken and ends_job
        if direct and taken:
            held.pop(0)
        elif not direct and self.pipeline.moves(inputs["beats__ready"]):
            self.pipeline.move(self._entering(inputs["parameters"]))
        if inputs["load"]:
            held.extend(self._rows(inputs["results"], inputs["job_end"]))
        if inputs[RESET]:
            self._reset()
        return outputs

    def _entering(self, packed: int) -> tuple[int, ...] | None:
        """The next row, requantized with the tile's parameters."""
        if not self.held:
            return None
        block, (row, *marks) = self.block, self.held.pop(0)
        width = block.cols * block.config.multiplier_bits
        parameters = (packed % (1 << width), packed >> width)
        return (requantized_row(row, parameters, block.config, block.cols, block.bits), *marks)

    def _rows(self, results: int, job_end: int) -> list[tuple[int, ...]]:
        """Rows of a tile with their marks: ends the tile, ends the job."""
        block, rows = self.block, []
        for index, row in enumerate(fields(results, block.rows, block.cols * block.bits)):
            ends = index == block.rows - 1
            if block.config is None:
                values = [
                    signed(value, block.bits) for value in fields(row, block.cols, block.bits)
                ]
                row = joined(values, block.result_bits)
            rows.append((row, int(ends), int(ends and job_end)))
        return rows


class DrainBlock(Block):
    """One shape and width."""

    kind = "result_drain"
    must_see = ("transaction", "refused", "job end")

    def __init__(
        self, rows: int, cols: int, bits: int, config: RequantizerConfig | None = None
    ) -> None:
        self.rows, self.cols, self.bits, self.config = rows, cols, bits, config
        self.result_bits = -(-bits // 8) * 8 if config is None else OUTPUT_BITS
        self.variant = f"{rows}x{cols}_{bits}" + "_requantized" * (config is not None)

    def component(self) -> wiring.Component:
        shape = {"rows": self.rows, "cols": self.cols, "bits": self.bits}
        return ResultDrain(**shape, result_bits=self.result_bits, requantizer=self.config)

    def model(self) -> Model:
        return DrainModel(self)

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Tiles at once after each other or later, accepted at many paces."""
        while True:
            pace, held = rng.choice(PACES), {}
            for _ in range(rng.choice((0, 0, 1, 4))):
                yield {"load": 0}
            if self.config is not None:
                multipliers, shifts = draw_parameters(rng, self.config, self.cols)
                width = self.cols * self.config.multiplier_bits
                held = {"parameters": multipliers | shifts << width}
            values = [interesting(rng, self.bits) for _ in range(self.rows * self.cols)]
            yield {"load": 1, "results": joined(values, self.bits)} | held
            done = False
            while not done:
                outputs = yield {"load": 0, "beats__ready": rng.random() < pace} | held
                done = bool(outputs["tile_done"])


BLOCKS = [
    DrainBlock(2, 3, 13),
    DrainBlock(5, 1, 24),
    DrainBlock(1, 2, 17),
    DrainBlock(3, 2, 18, RequantizerConfig(multiplier_bits=12, shift_bits=5)),
]
