"""The floating-point dequantizer: roundings, shared rows, one-bit and wide scales, shifts."""

import pytest

from ..blocks.checks import CYCLES, check_block
from ..blocks.float_accumulator import SETTINGS


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    seen = check_block("float_dequantizer")
    assert all(seen[setting] >= CYCLES for setting in SETTINGS)
