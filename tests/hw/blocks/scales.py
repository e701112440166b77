"""Group scales: the scale decoder, and a column's scale and zero point bit by bit."""

import random

from amaranth.lib import wiring

from configs.accelerator import ScaleConfig
from hw.dequant import ColumnScale, ScaleDecoder

from .block import RESET, Block, Model, Outputs, Stimulus, Values
from .decoders import Combinational


def scale_parts(scale: ScaleConfig, code: int) -> tuple[int | None, int]:
    """Multiplier and shift of a code: a scale is ``multiplier << shift``; None for no scale."""
    if scale.format == "uint8":
        return code, 0
    if scale.format == "e8m0":
        multiplier, shift = 1, code
    else:
        exponent, mantissa = code >> 3 & 15, code & 7
        multiplier = mantissa + 8 if exponent else mantissa
        shift = max(0, exponent - 1)
    if shift > scale.largest_shift:
        return None, 0
    return (multiplier, shift) if scale.shift == "barrel" else (multiplier << shift, 0)


class ScaleDecoderModel(Model):
    """The parts of a scale."""

    def __init__(self, scale: ScaleConfig) -> None:
        super().__init__()
        self.scale = scale

    def step(self, inputs: Values) -> Outputs:
        self.seen["transaction"] += 1
        multiplier, shift = scale_parts(self.scale, inputs["code"])
        if multiplier is None:
            return {}
        return {"multiplier": multiplier} | ({"shift": shift} if self.scale.barrel_shift else {})


class ScaleDecoderBlock(Combinational):
    """One format and way to shift."""

    kind = "scale_decoder"

    def __init__(self, scale: ScaleConfig) -> None:
        self.scale, self.inputs = scale, {"code": scale.code_bits}
        self.variant = f"{scale.format}_{scale.shift}_{scale.binades}"

    def component(self) -> wiring.Component:
        return ScaleDecoder(scale=self.scale)

    def model(self) -> Model:
        return ScaleDecoderModel(self.scale)


class ColumnScaleModel(Model):
    """Headers that wait in a row, and the bits of the current one."""

    def __init__(self, scale: ScaleConfig, zero_point_bits: int, stages: int) -> None:
        super().__init__()
        self.scale, self.zero_point_bits, self.stages = scale, zero_point_bits, stages
        self._reset()

    def _reset(self) -> None:
        """Headers are not reset, but have no meaning afterwards."""
        self.kept: list[tuple[int, int] | None] = [None] * self.stages
        self.multiplier: int | None = None
        self.zero_point: int | None = None
        self.shift: int | None = None
        self.used, self.corrected = 0, 0

    def step(self, inputs: Values) -> Outputs:
        outputs = self._outputs(inputs["multiply"])
        self.used += inputs["multiply"]
        self.corrected += inputs.get("correct", 0)
        if inputs["load"]:
            self._load()
        header = (inputs["code"], inputs.get("zero_point", 0))
        before = [header, *self.kept[:-1]]
        keeps = [inputs["keep"] >> stage & 1 for stage in range(self.stages)]
        self.kept = [b if k else a for a, b, k in zip(self.kept, before, keeps, strict=True)]
        if inputs[RESET]:
            self._reset()
        return outputs

    def _outputs(self, multiply: int) -> Outputs:
        """Bits of the current group, lowest first."""
        outputs: Outputs = {} if multiply else {"scale_bit": 0}
        if multiply and self.multiplier is not None:
            place = self.used % self.scale.serial_bits
            outputs["scale_bit"] = self.multiplier >> place & 1
        if self.zero_point_bits and self.zero_point is not None:
            place = self.corrected % self.zero_point_bits
            outputs["zero_point_bit"] = self.zero_point >> place & 1
        if self.scale.barrel_shift and self.shift is not None:
            outputs["shift"] = self.shift
        return outputs

    def _load(self) -> None:
        """The last stage's group becomes the current one."""
        self.multiplier = self.zero_point = self.shift = None
        self.used = self.corrected = 0
        if self.kept[-1] is not None:
            code, self.zero_point = self.kept[-1]
            self.multiplier, shift = scale_parts(self.scale, code)
            self.shift = None if self.multiplier is None else shift
            self.seen["transaction"] += 1


class ColumnScaleBlock(Block):
    """One scale format and number of waiting headers."""

    kind = "column_scale"
    must_see = ("transaction",)

    def __init__(self, scale: ScaleConfig, zero_point_bits: int, stages: int) -> None:
        self.scale, self.zero_point_bits, self.stages = scale, zero_point_bits, stages
        self.variant = f"{scale.format}_{scale.shift}_{zero_point_bits}_{stages}"

    def component(self) -> wiring.Component:
        return ColumnScale(
            scale=self.scale, zero_point_bits=self.zero_point_bits, stages=self.stages
        )

    def model(self) -> Model:
        return ColumnScaleModel(self.scale, self.zero_point_bits, self.stages)

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Headers and loads at any time; code and zero point are noise."""
        while True:
            pace = rng.choice((0.1, 0.5, 0.9))
            for _ in range(rng.randint(1, 60)):
                keep = rng.getrandbits(self.stages) if rng.random() < pace else 0
                inputs = {"keep": keep, "load": rng.random() < 0.1}
                inputs["multiply"] = rng.random() < pace
                if self.zero_point_bits:
                    inputs["correct"] = rng.random() < pace
                yield inputs


BLOCKS = [
    *(
        ScaleDecoderBlock(ScaleConfig(format=name, shift=shift))
        for name in ("uint8", "e8m0", "e4m3")
        for shift in ("serial", "barrel")
    ),
    ScaleDecoderBlock(ScaleConfig(format="e8m0", shift="barrel", binades=11)),
    ColumnScaleBlock(ScaleConfig(), 0, 1),
    ColumnScaleBlock(ScaleConfig(), 4, 2),
    ColumnScaleBlock(ScaleConfig(format="e4m3", shift="barrel"), 0, 2),
    ColumnScaleBlock(ScaleConfig(format="e4m3"), 3, 1),
    ColumnScaleBlock(ScaleConfig(format="e8m0", shift="barrel", binades=11), 0, 3),
]
