"""The control that all dequantizers share."""

import random

from amaranth.lib import wiring

from hw.dequant import DequantizerControl

from .block import RESET, Block, Model, Outputs, Stimulus, Values


class ControlModel(Model):
    """Where a group's passes are."""

    def __init__(self, block: "ControlBlock") -> None:
        super().__init__()
        self.block = block
        self.elapsed: int | None = None  # cycles since the first bit
        self.ends: Values = {}

    def step(self, inputs: Values) -> Outputs:
        block = self.block
        names = ("correct", "negative", "multiply", "last", "results_valid")
        outputs: Outputs = dict.fromkeys(names, 0)
        if self.elapsed is not None:
            row, bit = divmod(self.elapsed, block.zero_point_bits + block.scale_bits)
            scale_bit = bit - block.zero_point_bits
            if scale_bit < 0:
                outputs |= {"correct": 1, "negative": scale_bit == -1}
            else:
                last = scale_bit == block.scale_bits - 1
                outputs |= {"multiply": 1, "last": last}
                if last and row == block.rows - 1 and self.ends["tile_end"]:
                    outputs |= {"results_valid": 1, "results_job_end": self.ends["job_end"]}
                    self.seen["tile"] += 1
            self.elapsed = self.elapsed + 1 if self.elapsed + 1 < block.cycles else None
        if inputs["load"]:
            self.seen["transaction"] += 1
            self.elapsed, self.ends = 0, inputs
        if inputs[RESET]:
            self.elapsed = None
        return outputs


class ControlBlock(Block):
    """One form of a pass."""

    kind = "dequantizer_control"
    must_see = ("transaction", "tile")

    def __init__(self, zero_point_bits: int, scale_bits: int, rows: int) -> None:
        self.zero_point_bits, self.scale_bits, self.rows = zero_point_bits, scale_bits, rows
        self.variant = f"{zero_point_bits}_{scale_bits}_{rows}"

    @property
    def cycles(self) -> int:
        """Cycles of all passes of a group."""
        return self.rows * (self.zero_point_bits + self.scale_bits)

    def component(self) -> wiring.Component:
        return DequantizerControl(
            zero_point_bits=self.zero_point_bits, scale_bits=self.scale_bits, rows=self.rows
        )

    def model(self) -> Model:
        return ControlModel(self)

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Groups back to back or with gaps; what they end is noise."""
        while True:
            yield {"load": 1}
            for _ in range(self.cycles - 1 + rng.choice((0, 0, 0, 1, 5))):
                yield {"load": 0}


BLOCKS = [
    *(ControlBlock(*form) for form in ((0, 8, 1), (0, 1, 1), (4, 8, 2), (3, 2, 3))),
]
