"""The dequantizers' control: passes back to back, with and without zero points."""

import pytest

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("dequantizer_control")["cycles"] >= CYCLES
