"""The serial dequantizer: scales, zero points, shared rows, modes."""

import pytest

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("serial_dequantizer")["cycles"] >= CYCLES
