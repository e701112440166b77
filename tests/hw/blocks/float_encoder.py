"""The encoder of results: mantissa and exponent to float32."""

import itertools
import random
from fractions import Fraction

from amaranth.lib import wiring

from hw.dequant import FloatEncoder

from .block import RESET, Block, Model, Outputs, Stimulus, Values
from .integers import fields, interesting, joined, signed

PACES = (0.1, 0.5, 0.9, 1.0)
FLOAT32_BITS, INFINITY = 32, 0x7F800000
#: exponents of the smallest normal and of the smallest subnormal number, and of what is too large
NORMAL, SUBNORMAL, TOO_LARGE = -126, -149, 128
_EXHAUSTIVE_BITS = 15


def float32_bits(mantissa: int, exponent: int) -> int:
    """Bits of the float32 nearest to ``mantissa * 2**exponent``, ties to even; 0 is +0."""
    if not mantissa:
        return 0
    # the exact number in units of the last place that its binade has
    binade = max(abs(mantissa).bit_length() - 1 + exponent, NORMAL)
    places = exponent - (binade - 23)
    number = Fraction(abs(mantissa)) * (1 << places if places >= 0 else Fraction(1, 1 << -places))
    # a normal number's leading bit, and a carry out of its mantissa, add 1 to the exponent field
    magnitude = (binade - NORMAL << 23) + round(number)
    return min(magnitude, INFINITY) | (mantissa < 0) << 31


class FloatEncoderModel(Model):
    """Rows through one register."""

    def __init__(self, block: "FloatEncoderBlock") -> None:
        super().__init__()
        self.block = block
        self.offered: tuple[int, int] | None = None

    def step(self, inputs: Values) -> Outputs:
        block, offered = self.block, self.offered
        moves = bool(inputs["beats__ready"]) or offered is None
        outputs: Outputs = {"values__ready": int(moves), "beats__valid": int(offered is not None)}
        if offered is not None:
            outputs |= {"beats__payload": offered[0], "beats_marks": offered[1]}
            self.seen["refused"] += not moves
        if moves:
            self.offered = None
            if inputs["values__valid"]:
                values = fields(inputs["values__payload"], block.cols, block.value_bits)
                row = [self._encoded(value) for value in values]
                self.seen["transaction"] += 1
                self.offered = joined(row, FLOAT32_BITS), inputs["marks"]
        if inputs[RESET]:
            self.offered = None
        return outputs

    def _encoded(self, value: int) -> int:
        """One column's float32, and what it is."""
        mantissa, exponent = self.block.number(value)
        bits = self.block.expected(mantissa, exponent)
        magnitude, seen = bits % (1 << 31), self.seen
        seen["zero"] += not mantissa
        seen["vanished"] += bool(mantissa and not magnitude)
        seen["subnormal"] += 0 < magnitude < 1 << 23
        seen["infinity"] += magnitude == INFINITY
        if not 0 < magnitude < INFINITY:
            return bits
        last = max((magnitude >> 23) - 1, 0) + SUBNORMAL
        seen["tie"] += abs(mantissa) & -abs(mantissa) == 2 ** (last - 1 - exponent)
        seen["carry"] += magnitude % (1 << 23) == 0 and self._below(mantissa, exponent, magnitude)
        return bits

    def _below(self, mantissa: int, exponent: int, magnitude: int) -> bool:
        """Whether a power of two, normal or the first normal one, was reached from below."""
        return abs(mantissa).bit_length() - 1 + exponent < (magnitude >> 23) + NORMAL - 1


class FloatEncoderBlock(Block):
    """One width and unit; ``must_see`` beside transactions: what its numbers can become."""

    kind = "float_encoder"

    def __init__(
        self,
        variant: str,
        cols: int,
        bits: int,
        exponent_bits: int,
        unit_exponent: int,
        must_see: tuple[str, ...],
    ) -> None:
        self.variant, self.cols, self.bits = variant, cols, bits
        self.exponent_bits, self.unit_exponent = exponent_bits, unit_exponent
        self.must_see = ("transaction", "refused", "zero", *must_see)

    @property
    def value_bits(self) -> int:
        """Mantissa and exponent."""
        return self.bits + self.exponent_bits

    def number(self, value: int) -> tuple[int, int]:
        """Mantissa and binary exponent of what a value stands for."""
        return signed(value, self.bits), (value >> self.bits) + self.unit_exponent

    def expected(self, mantissa: int, exponent: int) -> int:
        """Bits of the float32 number."""
        return float32_bits(mantissa, exponent)

    def component(self) -> wiring.Component:
        return FloatEncoder(
            cols=self.cols,
            bits=self.bits,
            exponent_bits=self.exponent_bits,
            unit_exponent=self.unit_exponent,
        )

    def model(self) -> Model:
        return FloatEncoderModel(self)

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Rows with gaps, sometimes refused."""
        while True:
            pace, gaps = rng.choice(PACES), rng.choice(PACES)
            for _ in range(rng.randint(1, 30)):
                inputs = {"values__valid": rng.random() < gaps, "beats__ready": rng.random() < pace}
                row = [self._value(rng) for _ in range(self.cols)]
                yield inputs | {"values__payload": joined(row, self.value_bits)}

    def _value(self, rng: random.Random) -> int:
        """Any value; or one near the rounding place, mostly where float32 begins or ends."""
        top = (1 << self.exponent_bits) - 1
        if rng.randrange(3) == 0:
            return self._packed(interesting(rng, self.bits), rng.choice((0, top, self._place(rng))))
        leading = rng.randrange(self.bits - 1)
        binade = rng.choice((NORMAL, NORMAL - 1, rng.randint(SUBNORMAL - 2, NORMAL), TOO_LARGE - 1))
        place = binade - leading - self.unit_exponent
        if place not in range(top + 1):
            place = self._place(rng)
        last = max(place + self.unit_exponent + leading, NORMAL) - 23
        mantissa = self._near_a_tie(rng, leading, last - place - self.unit_exponent)
        return self._packed(mantissa if rng.randrange(2) else -mantissa, place)

    def _place(self, rng: random.Random) -> int:
        return rng.randrange(1 << self.exponent_bits)

    def _near_a_tie(self, rng: random.Random, leading: int, dropped: int) -> int:
        """A magnitude whose lowest ``dropped`` bits are a half, or almost, or 0."""
        magnitude = 1 << leading | rng.choice((0, (1 << leading) - 1, rng.getrandbits(leading)))
        if not 0 < dropped <= leading + 1:
            return magnitude
        half = 1 << dropped - 1
        tail = rng.choice((half, half, half - 1, half + 1, 2 * half - 1, 0))
        magnitude = (magnitude >> dropped << dropped) + tail
        return min(max(magnitude, 1), (1 << self.bits - 1) - 1)

    def _packed(self, mantissa: int, place: int) -> int:
        return mantissa % (1 << self.bits) | place << self.bits

    def corners(self) -> Stimulus:
        """Every place of the leading bit at the ends of the exponents, alone and with all below."""
        top, low = (1 << self.exponent_bits) - 1, 1 << self.bits - 1
        for place, leading in itertools.product({0, top // 2, top}, range(self.bits - 1)):
            one = 1 << leading
            for mantissa in (one, -one, 2 * one - 1, one | one >> 24, one | one >> 23, low, 0):
                yield self._row(self._packed(mantissa, place))

    def exhaustive(self) -> Stimulus | None:
        """Every mantissa and exponent of a narrow encoder."""
        if self.value_bits > _EXHAUSTIVE_BITS:
            return None
        return (self._row(value) for value in range(1 << self.value_bits))

    def _row(self, value: int) -> Values:
        """A value in every column."""
        row = joined([value] * self.cols, self.value_bits)
        return {"values__valid": 1, "beats__ready": 1, "values__payload": row}


_ROUNDED = ("tie", "carry")
_ENDS = ("subnormal", "infinity")
BLOCKS = [
    FloatEncoderBlock("aligned", 2, 25, 6, -27, ()),
    FloatEncoderBlock("wide", 1, 40, 6, -27, _ROUNDED),
    FloatEncoderBlock("exact", 1, 60, 0, -24, _ROUNDED),
    FloatEncoderBlock("bfloat16", 1, 25, 9, -136, _ENDS),
    FloatEncoderBlock("bfloat16_wide", 1, 34, 9, -136, (*_ENDS, *_ROUNDED)),
    FloatEncoderBlock("bfloat16_exact", 1, 288, 0, -133, (*_ENDS, *_ROUNDED)),
    FloatEncoderBlock("vanishing", 1, 30, 7, -220, ("subnormal", "vanished", *_ROUNDED)),
    FloatEncoderBlock("small_low", 1, 10, 5, -162, ("subnormal", "vanished", "tie")),
    FloatEncoderBlock("small_high", 1, 10, 5, 108, ("infinity",)),
]
