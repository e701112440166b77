"""The PE that aligns products: plain integers; fused multiply-add by exact rationals and numpy."""

import random
from fractions import Fraction

import numpy as np
import pytest

from ..blocks.aligning import AligningBlock
from ..blocks.batch import Batch
from ..blocks.block import RESET, Model, Outputs, Stimulus, Values
from ..blocks.checks import CYCLES, check_block
from ..blocks.float_register import FORMATS
from ..blocks.pe import SETTINGS, Slot
from ..blocks.recording import random_recording
from ..blocks.registry import block
from ..blocks.settings import check_settings

#: mantissa of float16 without a sign, and binary logarithm of the smallest product
SIGNIFICAND_BITS, UNIT_EXPONENT = 11, -48


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("aligning_pe")["cycles"] >= CYCLES


@pytest.mark.rtl
def test_every_setting() -> None:
    cycles = check_settings("aligning_pe", lambda block: block.p.setting)
    assert cycles.keys() == set(SETTINGS)
    assert min(cycles.values()) >= CYCLES


def nearest_float16(units: int) -> int:
    """Rounded to float16's significand, ties to even, for any exponent.

    Within float16's normal numbers numpy must say the same.
    """
    places = max(0, abs(units).bit_length() - SIGNIFICAND_BITS)
    nearest = round(Fraction(units, 1 << places)) << places
    if abs(units) < 1 << 53 and 1 << -14 - UNIT_EXPONENT <= abs(nearest) < 65520 << -UNIT_EXPONENT:
        cast = np.float64(np.ldexp(float(units), UNIT_EXPONENT)).astype(np.float16)
        assert np.ldexp(float(cast), -UNIT_EXPONENT) == nearest
    return nearest


class FusedModel(Model):
    """``sum = fl16(sum + weight * activation)`` of float16 numbers, in the smallest product."""

    def __init__(self, tested: "FusedBlock") -> None:
        super().__init__()
        self.tested = tested
        self.sum = self.place = self.product = 0

    def step(self, inputs: Values) -> Outputs:
        outputs: Outputs = {}
        exact = self.sum + self.product
        if self.product:
            self.sum = nearest_float16(exact)
            self.place = self._place(exact)
            self.seen["rounded"] += self.sum != exact
            self.seen["cancelled"] += self.sum == 0 or abs(exact) * 64 < abs(self.product)
            self.seen["transaction"] += 1
        if not inputs[RESET]:
            bits = self.tested.p.floating.bits
            outputs["group_sum"] = (self.sum >> self.place) % (1 << bits) | self.place << bits
        if inputs["last"] or inputs[RESET]:
            self.sum = self.place = 0
        self.product = self.tested.product(inputs)
        return outputs

    def _place(self, exact: int) -> int:
        """The least exponent with which the sum fits, exact and rounded."""
        half, place = 1 << SIGNIFICAND_BITS, max(0, abs(exact).bit_length() - SIGNIFICAND_BITS - 1)
        while exact < -half << place or self.sum >= half << place:
            place += 1
        return place


class FusedBlock(AligningBlock):
    """One lane with float16 weights, fed with float16 codes."""

    def __init__(self) -> None:
        super().__init__("fused", block("aligning_pe__float16_nearest_even_full").p)

    def model(self) -> Model:
        return FusedModel(self)

    def product(self, inputs: Values) -> int:
        """Weight times activation, each from its code by numpy, in the smallest product."""
        if not inputs["terms_in"] & 2047:
            return 0  # no slot: the rest is noise
        product = 1
        for word in (inputs["terms_in"], inputs["activations"]):
            significand, rest = word & 2047, word >> 11
            field = (rest >> 1) + (significand >> 10)
            code = significand & 1023 | field << 10 | (rest & 1) << 15
            product *= int(np.ldexp(float(np.uint16(code).view(np.float16)), 24))
        return product

    def _random_code(self, rng: random.Random) -> int:
        """A finite code; exponents in the middle more often."""
        field = rng.choice((rng.randint(0, 30), rng.randint(10, 20), rng.randint(13, 17)))
        mantissa = rng.choice((0, 1023, rng.getrandbits(10), rng.getrandbits(10)))
        return mantissa | field << 10 | rng.getrandbits(1) << 15

    def _operand(self, code: int) -> int:
        negative, significand, place, _ = FORMATS["float16"].take_apart(code)
        return self.activation(significand, negative, place)

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Dot products whose second half often takes the first back."""
        while True:
            pairs = [
                [self._random_code(rng), self._random_code(rng)] for _ in range(rng.randint(1, 9))
            ]
            if rng.randrange(3) == 0:
                pairs += [[a ^ 1 << 15, b ^ rng.getrandbits(2)] for a, b in reversed(pairs)]
            slots = [Slot(False, *([self._operand(c)] for c in pair), 0) for pair in pairs]
            slots[-1].last = True
            yield from self._timed(iter(slots), rng)


@pytest.mark.rtl
def test_one_lane_with_float16_weights_is_a_fused_multiply_add() -> None:
    tested = FusedBlock()
    recording = random_recording(tested, cycles=CYCLES)
    mismatch = Batch([tested]).replay(recording)
    assert mismatch is None, str(mismatch)
    assert min(recording.model.seen[event] for event in ("rounded", "cancelled")) >= 1000
