"""The result drain: with a requantizer, with float32 results, with neither."""

import math
import random
import struct

from amaranth.lib import wiring

from configs.accelerator import RequantizerConfig
from hw.array import ResultDrain

from .block import RESET, Block, Model, Outputs, Stimulus, Values
from .integers import fields, interesting, joined, signed
from .requantizer import OUTPUT_BITS, PACES, Pipeline, draw_parameters, requantized_row


def float32_code(mantissa: int, exponent: int) -> int:
    """Bits of ``mantissa * 2**exponent`` in float32; mantissas of up to 53 bits are exact first."""
    value = math.ldexp(mantissa, exponent)
    try:
        return int.from_bytes(struct.pack("<f", value), "little")
    except OverflowError:
        return int.from_bytes(struct.pack("<f", math.copysign(math.inf, value)), "little")


class DrainModel(Model):
    """Rows not yet accepted, and those in the requantizer or encoder."""

    def __init__(self, block: "DrainBlock") -> None:
        super().__init__()
        self.block = block
        self._reset()

    def _reset(self) -> None:
        self.held: list[tuple[int, ...]] = []
        self.pipeline = Pipeline(1 if self.block.config is None else 2)

    def step(self, inputs: Values) -> Outputs:
        held, direct = self.held, self.block.direct
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
            self.pipeline.move(self._entering(inputs.get("parameters", 0)))
        if inputs["load"]:
            held.extend(self._rows(inputs["results"], inputs["job_end"]))
        if inputs[RESET]:
            self._reset()
        return outputs

    def _entering(self, packed: int) -> tuple[int, ...] | None:
        """The next row, requantized with the tile's parameters or in float32."""
        if not self.held:
            return None
        block, (row, *marks) = self.block, self.held.pop(0)
        if block.config is None:
            values = [self._encoded(value) for value in fields(row, block.cols, block.bits)]
            return (joined(values, block.result_bits), *marks)
        width = block.cols * block.config.multiplier_bits
        parameters = (packed % (1 << width), packed >> width)
        return (requantized_row(row, parameters, block.config, block.cols, block.bits), *marks)

    def _encoded(self, value: int) -> int:
        """A result in float32."""
        exponent_bits, unit_exponent = self.block.float_exponents
        mantissa_bits = self.block.bits - exponent_bits
        mantissa, exponent = signed(value, mantissa_bits), value >> mantissa_bits
        code = float32_code(mantissa, exponent + unit_exponent)
        magnitude = code & (1 << 31) - 1
        self.seen["subnormal"] += 0 < magnitude < 1 << 23
        self.seen["infinite"] += magnitude == 0xFF << 23
        return code

    def _rows(self, results: int, job_end: int) -> list[tuple[int, ...]]:
        """Rows of a tile with their marks: ends the tile, ends the job."""
        block, rows = self.block, []
        for index, row in enumerate(fields(results, block.rows, block.cols * block.bits)):
            ends = index == block.rows - 1
            if block.direct:
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
        self,
        rows: int,
        cols: int,
        bits: int,
        config: RequantizerConfig | None = None,
        float_exponents: tuple[int, int] | None = None,
    ) -> None:
        self.rows, self.cols, self.bits, self.config = rows, cols, bits, config
        self.float_exponents = float_exponents
        self.direct = config is None and float_exponents is None
        self.result_bits = -(-bits // 8) * 8 if config is None else OUTPUT_BITS
        self.variant = f"{rows}x{cols}_{bits}" + "_requantized" * (config is not None)
        if float_exponents is not None:
            exponent_bits, unit_exponent = float_exponents
            self.result_bits = 32
            self.variant += f"_float_{exponent_bits}_{abs(unit_exponent)}"
            if unit_exponent < -126:
                self.must_see = (*self.must_see, "subnormal")
            if (1 << exponent_bits) + bits - exponent_bits + unit_exponent > 130:
                self.must_see = (*self.must_see, "infinite")

    def component(self) -> wiring.Component:
        shape = {"rows": self.rows, "cols": self.cols, "bits": self.bits}
        return ResultDrain(
            **shape,
            result_bits=self.result_bits,
            requantizer=self.config,
            float_exponents=self.float_exponents,
        )

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
    # an aligned float16 machine, an aligned bfloat16 machine, an exact one
    DrainBlock(2, 3, 25 + 6, float_exponents=(6, -27)),
    DrainBlock(3, 2, 16 + 9, float_exponents=(9, -136)),
    DrainBlock(2, 2, 48, float_exponents=(0, -24)),
]
