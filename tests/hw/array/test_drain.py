"""The result drain: refused rows, tiles back to back, with and without a requantizer."""

import pytest

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("result_drain")["cycles"] >= CYCLES
