"""The pair decoder: every pair."""

import pytest

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("pair_decoder")["cycles"] >= CYCLES
