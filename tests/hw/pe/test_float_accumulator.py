"""The floating-point accumulator: plain integers; IEEE 754 sums by numpy and exact rationals."""

import random
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from hw.pe import FloatSum

from ..blocks.batch import Batch
from ..blocks.block import RESET, Model, Outputs, Stimulus, Values
from ..blocks.checks import CYCLES, check_block
from ..blocks.float_accumulator import SETTINGS, FloatAccumulatorBlock, Widths
from ..blocks.integers import signed
from ..blocks.recording import random_recording


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    seen = check_block("float_accumulator")
    assert all(seen[setting] >= CYCLES for setting in SETTINGS)
    events = ("inexact", "vanished", "cancelled", "tie", "carry", "fallen", "beyond the width")
    assert all(seen[event] >= 500 for event in events)


@dataclass(frozen=True)
class Addition:
    """A type of numpy; mantissa 1 with exponent 0 stands for ``2**unit_exponent``.

    ``fused``: addends are products of two float16 numbers, else numbers of the type.
    """

    name: str
    dtype: Any
    significand_bits: int
    unit_exponent: int
    largest_place: int
    fused: bool = False

    def number(self, units: int) -> Any:
        """A number of the type."""
        number = self.dtype(np.ldexp(float(units), self.unit_exponent))
        assert self.units(number) == units, f"{units} has too many bits"
        return number

    def units(self, number: Any) -> int:
        """The inverse."""
        return int(np.ldexp(np.float64(number), -self.unit_exponent))

    def total(self, held: int, addend: int) -> int:
        """The type's own sum, in units."""
        return self.units(self.number(held) + self.number(addend))


class FusedFloat16(Addition):
    """Products of two float16 numbers added to one: the exact rational number, rounded once."""

    def total(self, held: int, addend: int) -> int:
        exact = held + addend
        places = max(0, abs(exact).bit_length() - self.significand_bits)
        nearest = round(Fraction(exact, 1 << places)) << places
        # where the sum fits into float64, and within float16's normal numbers, numpy says the same
        if abs(exact) < 1 << 53 and 1 << 34 <= abs(nearest) < 1 << 63:
            cast = np.float64(np.ldexp(float(exact), self.unit_exponent)).astype(np.float16)
            assert self.units(cast) == nearest
        return nearest


#: mantissas of 12, 9 and 25 bits; largest places such that runs of 30 addends do not overflow
ADDITIONS = (
    Addition("float16", np.float16, 11, -24, 23),
    Addition("bfloat16", ml_dtypes.bfloat16, 8, -133, 246),
    Addition("float32", np.float32, 24, -149, 246),
    FusedFloat16("float16_products", np.float16, 11, -48, 58, fused=True),
    Addition("float32_products", np.float32, 24, -48, 58, fused=True),
)


class AdditionModel(Model):
    """The sum that the type gives; nothing but its form is the register's."""

    def __init__(self, block: "AdditionBlock") -> None:
        super().__init__()
        self.block, self.sum, self.place = block, 0, 0

    def step(self, inputs: Values) -> Outputs:
        if inputs[RESET]:
            self.sum = self.place = 0
            return {}
        block = self.block
        addend = signed(inputs["addend"], block.addend_bits) << inputs["exponent"]
        if addend:
            exact = self.sum + addend
            self.sum = block.addition.total(self.sum, addend)
            self.place = block.place(exact, self.sum)
            self.seen["rounded"] += exact != self.sum
            self.seen["cancelled"] += bool(
                self.sum and abs(exact).bit_length() + 6 < abs(addend).bit_length()
            )
        self.seen["transaction"] += 1
        mantissa, rest = divmod(self.sum, 1 << self.place)
        assert rest == 0
        outputs: Outputs = {"next": mantissa % (1 << block.bits) | self.place << block.bits}
        if inputs["clear"]:
            self.sum = self.place = 0
        return outputs


class AdditionBlock(FloatAccumulatorBlock):
    """The accumulator that adds as a type of numpy does."""

    def __init__(self, addition: Addition) -> None:
        self.addition = addition
        bits = addition.significand_bits + 1
        addend_bits = 23 if addition.fused else bits
        place_bits = addition.largest_place.bit_length()
        widths = Widths(bits, addend_bits, place_bits, place_bits + 1)
        super().__init__("nearest_even", "full", widths)
        self.variant = addition.name

    def model(self) -> Model:
        return AdditionModel(self)

    def place(self, exact: int, total: int) -> int:
        """Exponent of a sum: the least for which it fits, rounded down and rounded."""
        half = 1 << self.bits - 1
        place = max(0, abs(total).bit_length() - self.bits)
        while exact < -half << place or total >= half << place:
            place += 1
        return place

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Runs of addends, each near the sum or its opposite, subnormal, or any."""
        while True:
            held = mantissa = place = 0
            for _ in range(rng.randint(1, 30)):
                addend, exponent = self._addend(rng, mantissa, place)
                yield {"addend": 0, "exponent": 0, "clear": 0}
                outputs = yield {"addend": addend, "exponent": exponent, "clear": 0}
                held = outputs["next"]
                mantissa, place = signed(held, self.bits), held >> self.bits
            yield {"addend": 0, "clear": 1}

    def _addend(self, rng: random.Random, mantissa: int, place: int) -> tuple[int, int]:
        """Significand, or product of two, and place."""
        top = self.addition.largest_place
        near = min(max(place + rng.randint(-self.bits - 2, 3), 0), top)
        place_wanted = rng.choice((0, rng.randint(0, top), near, near, near))
        if rng.randrange(4) == 0 and place <= top:
            opposite = -mantissa + rng.choice((0, 1, -1))
            if abs(opposite) < 1 << self.addition.significand_bits:
                return opposite, place
        sign = rng.choice((1, -1))
        if self.addition.fused:
            return sign * self._significand(rng, 11) * self._significand(rng, 11), place_wanted
        return sign * self._significand(rng, self.addition.significand_bits), place_wanted

    def _significand(self, rng: random.Random, bits: int) -> int:
        """Normal, mostly; all ones, and few ones, of which products are halves, more often."""
        one = 1 << bits - 1
        normal = one | rng.getrandbits(bits - 1)
        few = rng.choice((one, 3 * one // 2, 2 * one - 1))
        return rng.choice((normal, normal, normal, few, few, rng.getrandbits(bits)))


BLOCKS = [AdditionBlock(addition) for addition in ADDITIONS]


@pytest.fixture(scope="module")
def batch() -> Batch:
    """All of them, Verilated once."""
    return Batch(BLOCKS)


@pytest.mark.rtl
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.variant)
def test_sums_are_those_of_ieee_754(block: AdditionBlock, batch: Batch) -> None:
    recording = random_recording(block, cycles=CYCLES)
    mismatch = batch.replay(recording)
    assert mismatch is None, str(mismatch)
    assert min(recording.model.seen[event] for event in ("rounded", "cancelled")) >= 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bits": 2}, "a mantissa needs 3 bits and an exponent 1, not 2 and 4"),
        ({"exponent_bits": 0}, "a mantissa needs 3 bits and an exponent 1, not 5 and 0"),
        ({"rounding": "up"}, "must be one of truncate, nearest_even, not 'up'"),
        ({"normalization": "left"}, "must be one of right, full, not 'left'"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    right = {"bits": 5, "exponent_bits": 4, "rounding": "truncate", "normalization": "full"}
    with pytest.raises(ValueError) as error:
        FloatSum(**right | arguments)
    assert str(error.value) == message
