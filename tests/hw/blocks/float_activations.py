"""Floating-point activations of a row: aligned, taken apart, or in fixed point."""

import itertools
import random
from dataclasses import dataclass

from amaranth.lib import wiring

from hw.array.activations import FloatActivations, Target
from sw.formats import float_layout

from .block import RESET, Block, Model, Outputs, Stimulus, Values
from .float_register import FORMATS, rounded
from .integers import fields, joined


@dataclass(frozen=True, kw_only=True)
class FloatActivationsParameters:
    """Constructor arguments, the format by its name."""

    layout: str
    lanes: int
    target: Target
    guard_bits: int = 0
    rounding: str = "nearest_even"


class FloatActivationsModel(Model):
    """Registers behind the formulas of docs/numerics.md."""

    def __init__(self, parameters: FloatActivationsParameters) -> None:
        super().__init__()
        self.p = parameters
        self.layout = FORMATS[parameters.layout]
        self.registered = (0, 0, 0)

    @property
    def value_bits(self) -> int:
        """Width of a value."""
        layout = self.layout
        return {
            "aligned": layout.significand_bits + self.p.guard_bits + 1,
            "parts": layout.significand_bits + 1 + layout.largest_place.bit_length(),
            "fixed": layout.significand_bits + layout.largest_place + 1,
        }[self.p.target]

    def step(self, inputs: Values) -> Outputs:
        values, exponent, invalid = self.registered
        outputs: Outputs = {"values": values, "invalid": invalid}
        if self.p.target == "aligned":
            outputs["exponent"] = exponent
        self.registered = (0, 0, 0) if inputs[RESET] else self._next(inputs)
        return outputs

    def _next(self, inputs: Values) -> tuple[int, int, int]:
        codes, valid = fields(inputs["codes"], self.p.lanes, self.layout.bits), inputs["valid"]
        lanes = [self.layout.take_apart(code) for code in codes]
        largest = max(lane.place for lane in lanes)
        invalid = any(lane.invalid for lane in lanes)
        self.seen["transaction"] += valid
        self.seen["invalid"] += invalid and valid
        self.seen["subnormal"] += any(lane.place == 0 < lane.significand for lane in lanes)
        self.seen["all subnormal"] += largest == 0
        values = []
        for negative, significand, place, _ in lanes:
            if self.p.target == "parts":
                p = self.layout.significand_bits
                values.append(significand | negative << p | place << p + 1)
                continue
            if self.p.target == "fixed":
                value = significand << place
            else:
                guarded, distance = significand << self.p.guard_bits, largest - place
                value = rounded(guarded, distance, self.p.rounding)
                self.seen["inexact"] += value << distance != guarded
                self.seen["tie"] += 2 * (guarded & (1 << distance) - 1) == 1 << distance
                self.seen["vanished"] += value == 0 < guarded
            values.append(-value if negative else value)
        return joined(values, self.value_bits), largest if valid else 0, int(invalid and valid)


class FloatActivationsBlock(Block):
    """One choice of parameters."""

    kind = "float_activations"

    def __init__(self, variant: str, **parameters) -> None:
        self.variant, self.p = variant, FloatActivationsParameters(**parameters)
        self.layout = FORMATS[self.p.layout]
        self.must_see = ("transaction", "invalid", "subnormal", "all subnormal")
        if self.p.target == "aligned" and self.p.lanes > 1:
            self.must_see = (*self.must_see, "inexact", "tie", "vanished")

    def component(self) -> wiring.Component:
        arguments = vars(self.p) | {"layout": float_layout(self.p.layout)}
        return FloatActivations(**arguments)

    def model(self) -> Model:
        return FloatActivationsModel(self.p)

    def _code(self, rng: random.Random, field: int) -> int:
        """A code with that exponent field, or nearly; mantissas with few ones more often."""
        layout = self.layout
        ones = (1 << layout.mantissa_bits) - 1
        few = 1 << rng.randint(0, layout.mantissa_bits)
        mantissa = rng.choice((0, ones, few & ones, rng.randint(0, ones), rng.randint(0, ones)))
        top = (1 << layout.exponent_bits) - 1
        near = min(max(field + rng.choice((0, 0, -1, 1, rng.randint(-15, 15))), 0), top)
        return (
            mantissa | (near | rng.getrandbits(1) << layout.exponent_bits) << layout.mantissa_bits
        )

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Chunks around one exponent, all subnormal, spread as far as can be, or any codes."""
        layout, lanes = self.layout, self.p.lanes
        top = (1 << layout.exponent_bits) - 1
        while True:
            valid = rng.randrange(4) > 0
            choice = rng.randrange(8)
            if choice == 0:
                yield {"valid": valid}
                continue
            base = rng.randint(0, top)
            codes = [self._code(rng, base) for _ in range(lanes)]
            if choice == 1:
                sign = 1 << layout.bits - 1
                codes = [code & (sign | sign - 1 >> layout.exponent_bits) for code in codes]
            elif choice == 2:
                codes = [self._code(rng, rng.choice((0, top - 1))) for _ in codes]
            yield {"valid": valid, "codes": joined(codes, layout.bits)}

    def corners(self) -> Stimulus:
        """Zeros of both signs, all subnormal, largest spread, Inf and NaN beside numbers."""
        layout = self.layout
        sign, one = 1 << layout.bits - 1, 1 << layout.mantissa_bits
        top = ((1 << layout.exponent_bits) - 1) * one
        # zeros, subnormals, the smallest normal numbers, large ones, Inf, NaN
        listed = [0, 1, one - 1, one, one + 1, top - one, top - 1, top, top + one - 1]
        codes = [code | negative for code in listed for negative in (0, sign)]
        for others in itertools.product(codes, repeat=min(2, self.p.lanes)):
            for place in range(self.p.lanes):
                chunk = [others[-1]] * self.p.lanes
                chunk[place] = others[0]
                for valid in (0, 1):
                    yield {"valid": valid, "codes": joined(chunk, layout.bits)}

    def exhaustive(self) -> Stimulus | None:
        """Every chunk of at most 16 bits."""
        width = self.layout.bits * self.p.lanes
        return self._every_chunk(width) if width <= 16 else None

    def _every_chunk(self, width: int) -> Stimulus:
        for codes in range(1 << width):
            yield {"valid": 1, "codes": codes}


def _aligned(layout: str, lanes: int) -> list[FloatActivationsBlock]:
    """Both roundings, with and without guard places."""
    return [
        FloatActivationsBlock(
            f"{layout}_{lanes}_{rounding}_{guard_bits}",
            layout=layout,
            lanes=lanes,
            target="aligned",
            rounding=rounding,
            guard_bits=guard_bits,
        )
        for rounding in ("truncate", "nearest_even")
        for guard_bits in (0, 3)
    ]


BLOCKS = [
    *(
        FloatActivationsBlock(f"{layout}_{target}", layout=layout, lanes=1, target=target)
        for layout in FORMATS
        for target in ("parts", "fixed")
    ),
    *(
        FloatActivationsBlock(f"{layout}_aligned", layout=layout, lanes=1, target="aligned")
        for layout in ("float16", "bfloat16")
    ),
    *(block for layout in ("float8_e4m3fn", "float8_e5m2") for block in _aligned(layout, 2)),
    *(block for layout in ("float16", "bfloat16") for block in _aligned(layout, 4)),
    *_aligned("float16", 5),
    FloatActivationsBlock("float16_3_parts", layout="float16", lanes=3, target="parts"),
    FloatActivationsBlock("float8_e5m2_4_fixed", layout="float8_e5m2", lanes=4, target="fixed"),
]
