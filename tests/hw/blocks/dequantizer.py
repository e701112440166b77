"""The serial dequantizer."""

import random
from dataclasses import dataclass

from amaranth.lib import wiring

from hw.dequant import SerialDequantizer

from .activation_sums import Timeline
from .block import RESET, Block, Model, Outputs, Stimulus, Values
from .integers import Register, fields, interesting, joined, signed, signed_values


@dataclass(frozen=True, kw_only=True)
class DequantizerParameters:
    """Constructor arguments of a dequantizer."""

    group_bits: int
    corrected_bits: int
    activation_sum_bits: int = 0
    zero_point_bits: int = 0
    scale_bits: int = 8
    barrel_shift: int = 0
    bits: int
    mode: str
    rows: int = 1


class DequantizerModel(Model):
    """Per row ``bound(sum + (group sum - zero point product) * scale)``, one scale bit a cycle.

    The steps of a pass are followed one by one; at its end they must have done what the whole
    product does in one.
    """

    def __init__(self, parameters: DequantizerParameters) -> None:
        super().__init__()
        self.p = parameters
        self.outer = [Register(parameters.bits, parameters.mode) for _ in range(parameters.rows)]
        self._reset()

    def _reset(self) -> None:
        for register in self.outer:
            register.value = 0
        self.held: list[int] = []
        self.row = 0
        self._start_pass()

    def _start_pass(self) -> None:
        self.doublings = self.scale = 0
        self.before, self.events = self.outer[self.row].value, 0

    def step(self, inputs: Values) -> Outputs:
        if inputs[RESET]:
            self._reset()
            return {}
        register, addend = self.outer[self.row], 0
        if inputs["scale_bit"] and self.held:
            addend = self.held[0] << self.doublings + inputs.get("shift", 0)
            self.scale |= 1 << self.doublings
        overflow = register.step(addend)
        self.events += overflow
        outputs: Outputs = {"overflow": overflow}
        if self.row == self.p.rows - 1:
            outputs["results"] = joined([r.value for r in self.outer], self.p.bits)
        if inputs.get("correct") and self.held:
            self._correct(inputs)
        else:
            self.doublings += 1
        if self.doublings == self.p.scale_bits and self.held:
            self._end_pass(register, inputs.get("shift", 0))
        if inputs["clear"]:
            for outer in self.outer:
                outer.value = 0
        if inputs["load"]:
            sums = fields(inputs["group_sums"], self.p.rows, self.p.group_bits)
            self.held = [signed(value, self.p.group_bits) for value in sums]
            self.row = 0
            self._start_pass()
        return outputs

    def _correct(self, inputs: Values) -> None:
        """One bit of the zero point: subtract its multiple, add it for the sign."""
        bits = self.p.activation_sum_bits + self.p.zero_point_bits - 1
        multiple = signed(inputs["multiple"], bits) * inputs["zero_point_bit"]
        self.held[0] += multiple if inputs["negative"] else -multiple

    def _end_pass(self, register: Register, shift: int) -> None:
        """The last scale bit: compare with the whole product; the next row comes in turn."""
        whole = Register(self.p.bits, self.p.mode)
        whole.value = self.before
        overflow = whole.step(self.held.pop(0) * self.scale << shift)
        assert (whole.value, overflow) == (register.value, bool(self.events))
        self.seen["transaction"] += 1
        self.seen["too high"] += whole.left[0]
        self.seen["too low"] += whole.left[1]
        self.row = (self.row + 1) % self.p.rows if self.p.rows > 1 else 0
        self._start_pass()


class DequantizerBlock(Block):
    """One choice of parameters."""

    kind = "serial_dequantizer"
    must_see = ("transaction", "too high", "too low")

    def __init__(self, variant: str, **parameters) -> None:
        self.variant, self.p = variant, DequantizerParameters(**parameters)

    def component(self) -> wiring.Component:
        return SerialDequantizer(**vars(self.p))

    def model(self) -> Model:
        return DequantizerModel(self.p)

    @property
    def pass_cycles(self) -> int:
        """Cycles of one row's pass."""
        return self.p.zero_point_bits + self.p.scale_bits

    def _group(self, timeline: Timeline, load: int, rng: random.Random, push: int) -> None:
        """All passes of a group loaded in cycle ``load``."""
        p, top = self.p, (1 << self.p.scale_bits) - 1
        sums = [push or interesting(rng, p.group_bits) for _ in range(p.rows)]
        timeline.at(load, load=1, group_sums=joined(sums, p.group_bits))
        scale = top if push else rng.choice((0, 1, top, top // 2 + 1, rng.randint(0, top)))
        shift = p.barrel_shift if push else rng.randint(0, p.barrel_shift)
        zero_point = 0 if push or not p.zero_point_bits else interesting(rng, p.zero_point_bits)
        for row in range(p.rows):
            activations = interesting(rng, p.activation_sum_bits) if p.zero_point_bits else 0
            start = load + 1 + row * self.pass_cycles
            self._pass(timeline, start, (scale, shift), (zero_point, activations))

    def _pass(
        self, timeline: Timeline, now: int, scale: tuple[int, int], correction: tuple[int, int]
    ) -> None:
        """One row: (scale, shift) and (zero point, activation sum), low bits first."""
        p, (zero_point, activations) = self.p, correction
        for bit in range(p.zero_point_bits):
            sign = bit == p.zero_point_bits - 1
            values = {"zero_point_bit": zero_point >> bit & 1, "multiple": activations << bit}
            timeline.at(now + bit, correct=1, negative=sign, **values)
        now += p.zero_point_bits
        for bit in range(p.scale_bits):
            timeline.at(now + bit, scale_bit=scale[0] >> bit & 1)
            if p.barrel_shift:
                timeline.at(now + bit, shift=scale[1])
        if p.rows > 1:
            timeline.at(now + p.scale_bits - 1, last=1)

    @property
    def _idle(self) -> Values:
        """Controls without a meaning are low, all else is noise."""
        names = ["load", "scale_bit", "clear"]
        names += ["correct"] * bool(self.p.zero_point_bits) + ["last"] * (self.p.rows > 1)
        return dict.fromkeys(names, 0)

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Tiles of groups, mostly back to back; extremes in runs so that the sums overflow."""
        timeline, half, cycle, load = Timeline(self._idle), 1 << (self.p.group_bits - 1), 0, 0
        while True:
            push, groups = rng.choice((0, 0, half - 1, -half)), rng.randint(1, 12)
            for index in range(groups):
                self._group(timeline, load, rng, push)
                last = load + self.p.rows * self.pass_cycles
                timeline.at(last, clear=index == groups - 1)
                while cycle <= load:
                    yield timeline.take(cycle)
                    cycle += 1
                load = last + rng.choice((0, 0, 0, 1, 2, 7))

    def exhaustive(self) -> Stimulus | None:
        """Every group sum and scale of a narrow dequantizer, back to back."""
        p = self.p
        if p.group_bits > 5 or p.rows > 1 or p.zero_point_bits:
            return None
        return self._every_product()

    def _every_product(self) -> Stimulus:
        timeline, load, cycle = Timeline(self._idle), 0, 0
        for group_sum in signed_values(self.p.group_bits):
            for scale in range(1 << self.p.scale_bits):
                timeline.at(load, load=1, group_sums=group_sum)
                self._pass(timeline, load + 1, (scale, 0), (0, 0))
                load += self.p.scale_bits
                timeline.at(load, clear=1)
                while cycle < load:
                    yield timeline.take(cycle)
                    cycle += 1
        for _ in range(self.p.scale_bits + 2):
            yield timeline.take(cycle)
            cycle += 1


_PLAIN = {"group_bits": 10, "corrected_bits": 10}
_ZERO_POINTS = {
    "group_bits": 9,
    "corrected_bits": 12,
    "activation_sum_bits": 8,
    "zero_point_bits": 4,
}
_E4M3 = {"scale_bits": 4, "barrel_shift": 14}
BLOCKS = [
    DequantizerBlock("plain", **_PLAIN, bits=20, mode="saturate"),
    DequantizerBlock("narrow", **_PLAIN, bits=12, mode="wrap"),
    DequantizerBlock("even", **_PLAIN, bits=18, mode="flag"),
    DequantizerBlock("zero_points", **_ZERO_POINTS, bits=19, mode="flag"),
    DequantizerBlock("three_rows", **_PLAIN, bits=19, mode="saturate", rows=3),
    DequantizerBlock("e4m3", **_ZERO_POINTS, **_E4M3, bits=29, mode="flag", rows=2),
    DequantizerBlock("e8m0", **_PLAIN, scale_bits=1, barrel_shift=15, bits=25, mode="saturate"),
    DequantizerBlock("small", group_bits=5, corrected_bits=5, bits=14, mode="wrap"),
]
