"""The dequantizer of floating-point machines."""

import itertools
import random
from dataclasses import dataclass, field

from amaranth.lib import wiring

from hw.dequant import FloatDequantizer
from hw.pe import FloatSum
from hw.pe.float_accumulator import NORMALIZATIONS, ROUNDINGS

from .activation_sums import Timeline
from .block import RESET, Block, Model, Outputs, Stimulus, Values
from .float_register import FloatRegister
from .integers import fields, interesting, joined, signed, signed_values


@dataclass(frozen=True, kw_only=True)
class FloatDequantizerParameters:
    """Constructor arguments of a dequantizer; ``outer_bits`` is a mantissa's width."""

    inner: FloatSum
    outer_bits: int
    scale_bits: int
    barrel_shift: int = 0
    rows: int = 1

    @property
    def group_sum_bits(self) -> int:
        """Mantissa and exponent of a group sum."""
        return self.inner.bits + self.inner.exponent_bits

    @property
    def addend_bits(self) -> int:
        """Width of a product."""
        return self.inner.bits + self.scale_bits

    @property
    def outer(self) -> FloatSum:
        """Rounding as in the group sums, and room for the exponents of a tile of 12 groups."""
        largest = (1 << self.inner.exponent_bits) - 1 + self.barrel_shift
        growth = max(0, self.addend_bits + 5 - self.outer_bits)
        return FloatSum(
            bits=self.outer_bits,
            exponent_bits=(largest + growth).bit_length(),
            rounding=self.inner.rounding,
            normalization=self.inner.normalization,
        )


@dataclass
class Pass:
    """A row's product in the making."""

    mantissa: int
    exponent: int
    scale: list[int] = field(default_factory=list)


class FloatDequantizerModel(Model):
    """Per row ``outer sum + group sum * scale``: one scale bit a cycle, added the cycle after."""

    def __init__(self, parameters: FloatDequantizerParameters) -> None:
        super().__init__()
        self.p = parameters
        self.outer = [
            FloatRegister(parameters.outer, parameters.addend_bits) for _ in range(parameters.rows)
        ]
        for register in self.outer:
            register.seen = self.seen
        self._reset()

    def _reset(self) -> None:
        for register in self.outer:
            register.clear()
        self.waiting: list[Pass] = []
        self.done: tuple[int, int] | None = None
        self.row = 0

    def step(self, inputs: Values) -> Outputs:
        self.seen[f"{self.p.inner.rounding}_{self.p.inner.normalization}"] += 1
        if inputs[RESET]:
            self._reset()
            return {}
        outputs: Outputs = {}
        if inputs["accumulate"] and self.done is not None:
            self.outer[self.row].step(*self.done)
            assert self.outer[self.row].exponent < 1 << self.p.outer.exponent_bits
            self.done = None
            self.row = (self.row + 1) % self.p.rows
            self.seen["transaction"] += 1
            self.seen["back to back"] += bool(self.waiting)
            if self.row == 0:
                sum_bits = self.p.outer.bits + self.p.outer.exponent_bits
                outputs["results"] = joined([r.packed for r in self.outer], sum_bits)
        if self.waiting:
            self.waiting[0].scale.append(inputs["scale_bit"])
            if inputs["last"]:
                self._multiply(self.waiting.pop(0), inputs.get("shift", 0))
        if inputs["clear"]:
            for register in self.outer:
                register.clear()
        if inputs["load"]:
            sums = fields(inputs["group_sums"], self.p.rows, self.p.group_sum_bits)
            bits = self.p.inner.bits
            self.waiting = [Pass(signed(value, bits), value >> bits) for value in sums]
        return outputs

    def _multiply(self, done: Pass, shift: int) -> None:
        """The product of a pass that is over."""
        assert len(done.scale) == self.p.scale_bits
        scale = joined(done.scale, 1)
        self.done = done.mantissa * scale, done.exponent + shift


#: a row's group sum: mantissa, exponent
Sum = tuple[int, int]


class FloatDequantizerBlock(Block):
    """One choice of parameters."""

    kind = "float_dequantizer"
    must_see = ("transaction", "back to back", "inexact")

    def __init__(self, variant: str, **parameters) -> None:
        self.p = FloatDequantizerParameters(**parameters)
        inner = self.p.inner
        self.variant = f"{variant}_{inner.rounding}_{inner.normalization}"

    def component(self) -> wiring.Component:
        p = self.p
        return FloatDequantizer(
            inner=p.inner,
            outer=p.outer,
            scale_bits=p.scale_bits,
            barrel_shift=p.barrel_shift,
            rows=p.rows,
        )

    def model(self) -> Model:
        return FloatDequantizerModel(self.p)

    @property
    def _idle(self) -> Values:
        """Controls without a meaning are low, all else is noise."""
        return dict.fromkeys(("load", "scale_bit", "last", "accumulate", "clear"), 0)

    def _group(
        self, timeline: Timeline, load: int, sums: list[Sum], scale: int, shift: int = 0
    ) -> int:
        """All passes of a group loaded in cycle ``load``; returns the cycle of the last one's end.

        The rows' outer sums follow each other, each in the cycle after its pass.
        """
        p = self.p
        packed = [mantissa % (1 << p.inner.bits) | e << p.inner.bits for mantissa, e in sums]
        timeline.at(load, load=1, group_sums=joined(packed, p.group_sum_bits))
        now = load
        for _ in range(p.rows):
            for bit in range(p.scale_bits):
                now += 1
                timeline.at(now, scale_bit=scale >> bit & 1)
            timeline.at(now, last=1)
            if p.barrel_shift:
                timeline.at(now, shift=shift)
            timeline.at(now + 1, accumulate=1)
        return now

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Tiles of groups, mostly back to back; a group's scale and sums depend on the last's."""
        p, timeline, cycle, load = self.p, Timeline(self._idle), 0, 0
        top = (1 << p.scale_bits) - 1
        while True:
            near, groups = rng.random() < 0.5, rng.randint(1, 12)
            sums: list[Sum] = []
            scale = shift = 0
            for index in range(groups):
                if not sums or rng.randrange(3):
                    scale = rng.choice((1, 1, top, top // 2 + 1, 0, *[rng.randint(0, top)] * 4))
                    shift = rng.choice((0, p.barrel_shift, rng.randint(0, p.barrel_shift)))
                sums = [self._sum(rng, sums[r] if sums else None, near) for r in range(p.rows)]
                end = self._group(timeline, load, sums, scale, shift)
                timeline.at(end + 1, clear=index == groups - 1)
                while cycle <= load:
                    yield timeline.take(cycle)
                    cycle += 1
                load = end + rng.choice((0, 0, 0, 1, 2, 7))

    def _sum(self, rng: random.Random, last: Sum | None, near: bool) -> Sum:
        """A group sum; often the opposite of the last one, or almost, or near it."""
        inner = self.p.inner
        top = (1 << inner.exponent_bits) - 1
        kind = rng.randrange(6)
        if last is None or kind == 0:
            return interesting(rng, inner.bits), rng.choice((0, top, rng.randint(0, top)))
        if kind < 3:
            opposite = -last[0] + rng.choice((0, 0, 1, -1))
            if opposite in signed_values(inner.bits):
                return opposite, last[1]
        if near:
            exponent = last[1] + rng.randint(-4, 4)
            return interesting(rng, inner.bits), min(max(exponent, 0), top)
        return interesting(rng, inner.bits), rng.randint(0, top)

    def corners(self) -> Stimulus:
        """Pairs of groups at the ends of every range, each pair a tile, without a gap and with."""
        p = self.p
        ends = signed_values(p.inner.bits)
        top, tops = (1 << p.scale_bits) - 1, (1 << p.inner.exponent_bits) - 1
        mantissas = (ends[0], ends[-1], -1, 0, 1)
        groups = [
            ((mantissa, exponent), scale, shift)
            for mantissa, exponent in itertools.product(mantissas, (0, 1, tops))
            for scale in sorted({0, 1, top})
            for shift in sorted({0, p.barrel_shift})
        ]
        yield from self._pairs(groups[::2], groups[1::2], gap=3)

    def exhaustive(self) -> Stimulus | None:
        """Every group sum and scale of a narrow dequantizer, on top of a list of outer sums."""
        p = self.p
        if p.group_sum_bits + p.scale_bits > 10 or p.rows > 1:
            return None
        tops = (1 << p.inner.exponent_bits) - 1
        scales, ends = range(1 << p.scale_bits), signed_values(p.inner.bits)
        sums = itertools.product(ends, range(tops + 1))
        second = [(group_sum, scale, p.barrel_shift) for group_sum in sums for scale in scales]
        first = [
            ((mantissa, exponent), scales[-1], 0)
            for mantissa in (ends[0], ends[-1], ends[-1] - 1, 1, 0)
            for exponent in (0, 2, tops)
        ]
        return self._pairs(first, second, gap=0)

    def _pairs(
        self, first: list[tuple[Sum, int, int]], second: list[tuple[Sum, int, int]], *, gap: int
    ) -> Stimulus:
        """Tiles of two groups, the same group sum in every row."""
        timeline, load, cycle = Timeline(self._idle), 0, 0
        for pair in itertools.product(first, second):
            for group_sum, scale, shift in pair:
                end = self._group(timeline, load, [group_sum] * self.p.rows, scale, shift)
                load = end + gap
            timeline.at(end + 1, clear=1)
            while cycle <= end - self.p.scale_bits:
                yield timeline.take(cycle)
                cycle += 1
        while cycle <= end + 1:
            yield timeline.take(cycle)
            cycle += 1


def _variants(rounding: str, normalization: str) -> list[FloatDequantizerBlock]:
    def inner(bits: int, exponent_bits: int) -> FloatSum:
        return FloatSum(
            bits=bits, exponent_bits=exponent_bits, rounding=rounding, normalization=normalization
        )

    return [
        FloatDequantizerBlock("small", inner=inner(4, 3), outer_bits=5, scale_bits=3),
        FloatDequantizerBlock("one_row", inner=inner(12, 5), outer_bits=16, scale_bits=8),
        FloatDequantizerBlock("wide_outer", inner=inner(8, 4), outer_bits=25, scale_bits=8, rows=2),
        FloatDequantizerBlock(
            "e4m3", inner=inner(10, 4), outer_bits=12, scale_bits=4, barrel_shift=14, rows=2
        ),
        FloatDequantizerBlock(
            "e8m0", inner=inner(9, 4), outer_bits=8, scale_bits=1, barrel_shift=11
        ),
        FloatDequantizerBlock(
            "e8m0_rows", inner=inner(7, 5), outer_bits=10, scale_bits=1, barrel_shift=5, rows=2
        ),
    ]


BLOCKS = [
    block
    for rounding, normalization in itertools.product(ROUNDINGS, NORMALIZATIONS)
    for block in _variants(rounding, normalization)
]
