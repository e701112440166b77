"""Results to float32: against exact rationals, numpy's casts, and numpy's ldexp."""

import random

import numpy as np
import pytest

from ..blocks.batch import Batch
from ..blocks.checks import CYCLES, check_block
from ..blocks.float_encoder import FloatEncoderBlock, float32_bits
from ..blocks.recording import random_recording


@pytest.mark.rtl
def test_against_exact_rationals() -> None:
    seen = check_block("float_encoder")
    assert seen["cycles"] >= CYCLES and seen["transaction"] >= CYCLES
    events = ("subnormal", "vanished", "infinity", "tie", "carry")
    assert all(seen[event] >= 1000 for event in events)


class NumpyBlock(FloatEncoderBlock):
    """Expects what numpy makes of a float64: mantissas up to 53 bits are exact in it."""

    def expected(self, mantissa: int, exponent: int) -> int:
        with np.errstate(over="ignore", under="ignore"):
            return int(np.float32(np.ldexp(float(mantissa), exponent)).view(np.uint32))


#: an outer sum of 25 bits of each activation format, one that is rounded, and integers
NUMPY = [
    NumpyBlock("numpy_float16", 1, 25, 6, -27, ()),
    NumpyBlock("numpy_bfloat16", 1, 25, 9, -136, ()),
    NumpyBlock("numpy_rounded", 1, 48, 9, -136, ()),
    NumpyBlock("numpy_integer", 1, 53, 0, -24, ()),
    NumpyBlock("numpy_least", 1, 40, 6, -190, ()),
]


@pytest.fixture(scope="module")
def batch() -> Batch:
    """All of them, Verilated once."""
    return Batch(NUMPY)


@pytest.mark.rtl
@pytest.mark.parametrize("block", NUMPY, ids=lambda block: block.variant)
def test_against_numpy(block: NumpyBlock, batch: Batch) -> None:
    recording = random_recording(block, cycles=CYCLES)
    mismatch = batch.replay(recording)
    assert mismatch is None, str(mismatch)


def test_the_model_is_that_of_numpy() -> None:
    """The exact rationals of the block's description, where numpy can follow."""
    rng = random.Random(0)
    block = NUMPY[0]
    for _ in range(20_000):
        mantissa = rng.getrandbits(rng.randint(1, 53)) * rng.choice((1, -1))
        exponent = rng.randint(-210, 130)
        assert float32_bits(mantissa, exponent) == block.expected(mantissa, exponent)


@pytest.mark.parametrize(
    ("mantissa", "exponent", "bits"),
    [
        (1, 0, 0x3F800000),
        (-3, -1, 0xBFC00000),
        (0, 100, 0),
        (1, -149, 1),
        (1, -150, 0),
        (3, -150, 2),
        (-1, -151, 0x80000000),
        ((1 << 24) - 1, -150, 0x00800000),
        ((1 << 24) - 1, 104, 0x7F7FFFFF),
        ((1 << 25) - 1, 103, 0x7F800000),
        (-1, 128, 0xFF800000),
        ((1 << 24) + 1, 0, 0x4B800000),
        ((1 << 24) + 3, 0, 0x4B800002),
    ],
)
def test_known_numbers(mantissa: int, exponent: int, bits: int) -> None:
    assert float32_bits(mantissa, exponent) == bits
