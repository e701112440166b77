"""Activation sums: groups of chunks, multiples while the next group runs."""

import pytest

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("activation_sums")["cycles"] >= CYCLES
